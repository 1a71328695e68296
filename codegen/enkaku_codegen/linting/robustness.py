"""Rules of robustness: what a client may send without limit, and patterns that take long."""

from collections.abc import Iterator, Mapping
from typing import Final

from enkaku_codegen.json_values import Json, Tokens
from enkaku_codegen.planning.all_of import type_names
from enkaku_codegen.reading.simple_schema import as_dict, as_list
from enkaku_codegen.reading.validation_text import describe

from .patterns import is_bounding, is_exponential
from .proofs import is_closed
from .rules import Hit
from .subject import Subject, Visited

__all__ = ["robustness"]

_ANNOTATIONS: Final = frozenset(
    {
        *("$comment", "default", "deprecated", "description", "examples", "readOnly", "title"),
        "writeOnly",
    }
)
_ANY: Final = "a client may send any value there: add a type"


def robustness(subject: Subject) -> Iterator[Hit]:
    """Yield the values that clients may send without limit, and the patterns that take long."""
    for path, schema, sent in subject.slots:
        if sent and schema is True:
            yield Hit("any-value", path, _ANY)
    for each in subject.visited:
        subject.limit.step()
        yield from _patterns(each)
        if each.outer is None and not each.negated and subject.is_sent(each.path):
            yield from _unbounded(each.path, each.schema, {})
            for name, below in as_dict(each.schema.get("properties")).items():
                if below is True:
                    yield Hit("any-value", (*each.path, "properties", name), _ANY)


def _unbounded(path: Tokens, schema: dict[str, Json], around: Mapping[str, Json]) -> Iterator[Hit]:
    """Yield what is unbounded of the values of a schema, without their parts.

    Args:
        path: The path of the schema.
        schema: The schema.
        around: The keywords that apply to the value as well.
    """
    own = _joined(schema, around)
    for keyword in ("anyOf", "oneOf"):
        if keyword in own:
            rest = {key: value for key, value in own.items() if key != keyword}
            for index, each in enumerate(as_list(own[keyword])):
                if isinstance(each, dict):
                    yield from _unbounded((*path, keyword, str(index)), each, rest)
            return
    if own.keys() & {"$ref", "$dynamicRef", "const", "enum", "not", "if"}:
        return  # a definition is checked where it stands
    if not own.keys() - _ANNOTATIONS and not any(key.startswith("x-") for key in own):
        yield Hit("any-value", path, _ANY)
    names = type_names(own.get("type"))
    if "string" in names and not _is_bounded(own):
        message = "a client may send a string of any length: add maxLength, or a format, pattern, enum or const"
        yield Hit("unbounded-string", path, message)
    if "array" in names and "maxItems" not in own and own.get("items") is not False:
        message = "a client may send an array of any length: add maxItems"
        yield Hit("unbounded-array", path, message)
    if "object" in names and _is_map(own):
        message = (
            "a client may send an object with any number of names: add maxProperties, "
            "or properties and additionalProperties: false"
        )
        yield Hit("unbounded-map", path, message)


def _joined(schema: dict[str, Json], around: Mapping[str, Json]) -> dict[str, Json]:
    """Return the keywords of a schema, of what is around it, and of its ``allOf``; of those that are there twice, one."""
    joined = dict(around)
    waiting: list[Json] = [schema]
    while waiting:
        each = as_dict(waiting.pop())
        joined |= {key: value for key, value in each.items() if key != "allOf"}
        waiting += as_list(each.get("allOf"))
    return joined


def _is_bounded(schema: Mapping[str, Json]) -> bool:
    pattern = schema.get("pattern")
    if "maxLength" in schema or "format" in schema:
        return True
    return isinstance(pattern, str) and is_bounding(pattern)


def _is_map(schema: Mapping[str, Json]) -> bool:
    names = as_dict(schema.get("propertyNames"))
    if "maxProperties" in schema or names.keys() & {"enum", "const"} or is_closed(schema):
        return False
    rest = schema.get("additionalProperties")
    return isinstance(rest, dict) or "patternProperties" in schema or not schema.get("properties")


def _patterns(visited: Visited) -> Iterator[Hit]:
    pattern = visited.schema.get("pattern")
    found: list[tuple[Tokens, str]] = [
        (("patternProperties", each), each)
        for each in as_dict(visited.schema.get("patternProperties"))
    ]
    if isinstance(pattern, str):
        found.append((("pattern",), pattern))
    for path, each in found:
        if is_exponential(each):
            message = (
                f"validators that backtrack, such as those of JavaScript, may need exponential time for {describe(each)}: "
                "a repetition in it repeats what can match in several ways"
            )
            yield Hit("slow-pattern", (*visited.path, *path), message)
