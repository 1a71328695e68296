"""Finds in schemas what JSON Schema allows and nobody means: to it, a keyword that is none says nothing.

Above it: library. Below it: words.
"""

from collections.abc import Iterator
from typing import Final

from .jsontree import Json, Tokens
from .words import nearest, severed

__all__ = ["mistakes"]

# Of draft-07 and 2020-12 alike: a keyword of the other draft is no misspelt one.
_KEYWORDS: Final = tuple("""
    $anchor $comment $defs $dynamicAnchor $dynamicRef $id $recursiveAnchor $recursiveRef $ref $schema
    $vocabulary additionalItems additionalProperties allOf anyOf const contains contentEncoding
    contentMediaType contentSchema default definitions dependencies dependentRequired dependentSchemas
    deprecated description else enum examples exclusiveMaximum exclusiveMinimum format if items
    maxContains maxItems maxLength maxProperties maximum minContains minItems minLength minProperties
    minimum multipleOf not oneOf pattern patternProperties prefixItems properties propertyNames readOnly
    required then title type unevaluatedItems unevaluatedProperties uniqueItems writeOnly
    """.split())  # noqa: SIM905 # sixty lines say no more
_KNOWN: Final = frozenset(_KEYWORDS)
# What other tools have their own meaning for.
_FOREIGN: Final = frozenset({"example", "typeof"})
_ALIKE: Final = 0.8


def mistakes(schema: dict[str, Json], *, may_hold: bool) -> Iterator[tuple[Tokens, str]]:
    """Give what is surely not meant in a schema, apart from the schemas within it.

    Args:
        schema: The schema.
        may_hold: Whether it may be no schema at all, but an object that holds some.
    """
    is_schema = bool(_KNOWN & schema.keys())
    if may_hold and not is_schema:
        return
    for key, value in schema.items():
        if key in _KNOWN or key in _FOREIGN or key.startswith("x-"):
            continue
        hint = severed(schema, key) or nearest(key, _KEYWORDS, cutoff=_ALIKE)
        if not hint and not is_schema and _is_schema(value):
            hint = ": properties stand within, as in {type: object, properties: ...}"
        if hint:
            yield (key,), f'unknown keyword "{key}"{hint}'


def _is_schema(value: Json) -> bool:
    match value:
        case {"type": str() | list()} | {"$ref": str()}:
            return True
        case _:
            return False
