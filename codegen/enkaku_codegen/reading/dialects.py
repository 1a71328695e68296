"""Dialects of JSON Schema that are supported: draft 2020-12 and draft-07."""

from dataclasses import dataclass
from typing import Final

from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema.protocols import Validator

from enkaku_codegen.json_values import Json

__all__ = ["DRAFT_07", "DRAFT_2020_12", "HOLDERS", "IN_PLACE", "Dialect", "dialect_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """A draft of JSON Schema.

    Attributes:
        name: Its name in messages.
        uri: The value of ``$schema`` for it, without scheme and ``#``.
        one: The keywords whose value is a schema.
        listed: The keywords whose value is an array of schemas.
        named: The keywords whose value is an object of schemas.
        others: The keywords with any other value.
        ref_alone: Whether the keywords next to a ``$ref`` are ignored.
    """

    name: str
    uri: str
    validator: Validator
    one: frozenset[str]
    listed: frozenset[str]
    named: frozenset[str]
    others: frozenset[str]
    ref_alone: bool

    @property
    def keywords(self) -> frozenset[str]:
        """Every keyword of the dialect."""
        return self.one | self.listed | self.named | self.others


HOLDERS: Final = frozenset({"$defs", "definitions"})
"""The keywords whose schemas apply only where a reference leads to them; in either dialect."""

IN_PLACE: Final = frozenset(
    {"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"}
)
"""The keywords whose schemas apply to the same value as the schema around them."""

_ONE: Final = frozenset(
    {"additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"}
)
_LISTED: Final = frozenset({"allOf", "anyOf", "oneOf"})
_NAMED: Final = frozenset({"properties", "patternProperties"}) | HOLDERS
_OTHERS: Final = frozenset("""
    $comment $id $ref $schema const contentEncoding contentMediaType default deprecated description enum
    examples exclusiveMaximum exclusiveMinimum format maxItems maxLength maxProperties maximum minItems minLength
    minProperties minimum multipleOf pattern readOnly required title type uniqueItems writeOnly
    """.split())  # noqa: SIM905 # thirty lines say no more

DRAFT_2020_12: Final = Dialect(
    "draft 2020-12",
    "json-schema.org/draft/2020-12/schema",
    Draft202012Validator(Draft202012Validator.META_SCHEMA),
    one=_ONE | {"contentSchema", "unevaluatedItems", "unevaluatedProperties"},
    listed=_LISTED | {"prefixItems"},
    named=_NAMED | {"dependentSchemas"},
    others=_OTHERS
    | {
        "$anchor",
        "$dynamicAnchor",
        "$dynamicRef",
        "$vocabulary",
        "dependentRequired",
        "maxContains",
        "minContains",
    },
    ref_alone=False,
)
DRAFT_07: Final = Dialect(
    "draft-07",
    "json-schema.org/draft-07/schema",
    Draft7Validator(Draft7Validator.META_SCHEMA),
    one=_ONE | {"additionalItems"},
    listed=_LISTED | {"items"},
    named=_NAMED | {"dependencies"},
    others=_OTHERS,
    ref_alone=True,
)


def dialect_of(uri: Json) -> Dialect | None:
    """Return the dialect that a ``$schema`` names, or None if it is not supported."""
    if not isinstance(uri, str):
        return None
    bare = uri.removesuffix("#").removeprefix("https://").removeprefix("http://")
    return next((each for each in (DRAFT_2020_12, DRAFT_07) if each.uri == bare), None)
