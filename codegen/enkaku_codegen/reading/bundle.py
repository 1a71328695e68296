"""Schema bundles for validators: without annotations, and with the definitions that they need."""

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

from enkaku_codegen.json_values import Json, Schema, Tokens

from .dialects import DRAFT_2020_12
from .options import STRING_KEYWORDS, StringTypes
from .regexes import with_validator_patterns
from .schemas import applied, rebuilt
from .simple_schema import reference_name

__all__ = ["bare", "needed_definitions", "without_annotations"]

_ANNOTATIONS: Final = frozenset(
    {
        *(
            "$comment",
            "contentEncoding",
            "contentMediaType",
            "contentSchema",
            "default",
            "deprecated",
        ),
        *("description", "examples", "format", "readOnly", "title", "writeOnly"),
    }
)

# Characters that are allowed in the fragment of a URI (RFC 3986, 3.5); names are not percent-encoded yet.
_IN_FRAGMENTS: Final = "#!$&'()*+,;=:@/?-._~"


def without_annotations(schema: Schema) -> Schema:
    """Return a schema of draft 2020-12 that accepts the same values, without annotations, and with patterns for the validator."""
    if isinstance(schema, bool):
        return schema

    def below(_: Tokens, each: Schema) -> Schema:
        return without_annotations(each)

    kept = _without_annotations(schema, below)
    if isinstance(reference := kept.get("$ref"), str):
        kept["$ref"] = quote(reference, safe=_IN_FRAGMENTS)
    return with_validator_patterns(kept)


def bare(schema: Schema, string_types: StringTypes) -> Schema:
    """Return a schema of draft 2020-12 that accepts the same values, without annotations.

    Args:
        schema: Any schema.
        string_types: The formats and encodings that stay, since strings without them are rejected.
    """
    if isinstance(schema, bool):
        return schema

    def below(_: Tokens, each: Schema) -> Schema:
        return bare(each, string_types)

    kept = _without_annotations(schema, below)
    if not schema.keys() & {"const", "enum"}:
        kept |= {
            key: value
            for key in STRING_KEYWORDS
            if isinstance(value := schema.get(key), str) and (key, value) in string_types
        }
    return kept


def _without_annotations(
    schema: dict[str, Json], below: Callable[[Tokens, Schema], Schema]
) -> dict[str, Json]:
    return {
        key: value
        for key, value in rebuilt(schema, DRAFT_2020_12, below).items()
        if key not in _ANNOTATIONS and not key.startswith("x-")
    }


def needed_definitions(schema: Schema, definitions: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return the definitions that a schema refers to, directly or through others."""
    found: dict[str, Schema] = {}
    waiting = [schema]
    while waiting:
        each = waiting.pop()
        if isinstance(each, bool):
            continue
        name = reference_name(each)
        if name is not None and name in definitions and name not in found:
            found[name] = definitions[name]
            waiting.append(definitions[name])
        waiting += [below for _, below in applied(each, DRAFT_2020_12)]
    return found
