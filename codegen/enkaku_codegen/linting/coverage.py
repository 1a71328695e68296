"""Coverage of schemas: whether one certainly accepts every value that another accepts, keyword by keyword.

It compares the schemas as they are written, in a time that is linear in their size. What it does not prove may be true nevertheless.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from enkaku_codegen.json_values import Json, Schema, Tokens, same
from enkaku_codegen.planning.all_of import type_names
from enkaku_codegen.proving.constants import fits
from enkaku_codegen.proving.value_sets import highest, lowest
from enkaku_codegen.reading.dialects import DRAFT_2020_12
from enkaku_codegen.reading.schemas import rebuilt
from enkaku_codegen.reading.simple_schema import as_dict, as_list

from .proofs import LEAVES, listed
from .subject import Subject

__all__ = ["Coverage"]

_DEEPEST: Final = 12
_TEXTS: Final = frozenset({"$comment", "default", "deprecated", "description", "examples", "title"})
# Their meaning depends on the keywords next to them, so that equal values need not mean the same.
_DEPENDENT: Final = frozenset(
    {"$dynamicRef", "additionalProperties", "contains", "else", "if", "items", "maxContains"}
    | {"minContains", "then", "unevaluatedItems", "unevaluatedProperties"}
)

Object: TypeAlias = dict[str, Json]


class Coverage:
    """Compares schemas of a protocol.

    Args:
        subject: The protocol.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._bare: dict[int, tuple[Object, Object]] = {}
        self._known: dict[tuple[int, int], tuple[bool, Object, Object]] = {}

    def covers(self, wide: Json, narrow: Json, depth: int = 0) -> bool:
        """Return whether one schema certainly accepts every value that another accepts."""
        self._subject.limit.step()
        if wide is True or narrow is False:
            return True
        if not isinstance(wide, dict) or not isinstance(narrow, dict) or depth > _DEEPEST:
            return False
        key = id(wide), id(narrow)
        if key not in self._known:
            # While it is compared, a recursive schema proves nothing; the schemas keep their identities.
            self._known[key] = False, wide, narrow
            self._known[key] = self._covers(wide, narrow, depth), wide, narrow
        return self._known[key][0]

    def _covers(self, wide: Object, narrow: Object, depth: int) -> bool:
        asked, given = self._without_annotations(wide), self._without_annotations(narrow)
        if same(asked, given):
            return True
        target = self._subject.target(narrow)
        if target is not None and given.keys() == {"$ref"}:
            return self.covers(wide, target[1], depth + 1)
        target = self._subject.target(wide)
        if target is not None and asked.keys() == {"$ref"}:
            return self.covers(target[1], narrow, depth + 1)
        return all(self._implied(keyword, asked, given, depth) for keyword in asked)

    def _without_annotations(self, schema: Object) -> Object:
        """Return a schema without annotations; formats stay, since types may depend on them."""
        if id(schema) not in self._bare:
            # With the schema itself, so that its identity is not used again.
            self._bare[id(schema)] = _without_texts(schema), schema
        return self._bare[id(schema)][0]

    def _implied(self, keyword: str, wide: Object, narrow: Object, depth: int) -> bool:
        """Return whether every value of a schema matches a keyword of another one."""
        value = wide[keyword]
        values = next(listed(narrow), None)
        if values is not None and (keyword in LEAVES or keyword in {"type", "enum", "const"}):
            return all(fits(each, keyword, value) for each in values)
        if keyword in narrow and keyword not in _DEPENDENT and same(value, narrow[keyword]):
            return True
        kinds = {"number" if each == "integer" else each for each in type_names(narrow.get("type"))}
        if kinds and keyword in LEAVES and LEAVES[keyword] not in kinds:
            return True
        if keyword in _LEAF_RULES:
            return _LEAF_RULES[keyword](keyword, value, narrow)
        return self._parts_implied(keyword, wide, narrow, depth + 1)

    def _parts_implied(self, keyword: str, wide: Object, narrow: Object, depth: int) -> bool:
        own, rest = as_dict(narrow.get("properties")), narrow.get("additionalProperties", True)
        plain = not {"patternProperties", "prefixItems"} & {*wide, *narrow}
        match keyword:
            case "items" if plain:
                return self.covers(wide["items"], narrow.get("items", True), depth)
            case "properties" if plain:
                return all(
                    self.covers(below, own.get(name, rest), depth)
                    for name, below in as_dict(wide["properties"]).items()
                )
            case "additionalProperties" if plain:
                known = as_dict(wide.get("properties"))
                others = [below for name, below in own.items() if name not in known]
                return all(self.covers(wide[keyword], each, depth) for each in [*others, rest])
            case _:
                return False


def _without_texts(schema: Object) -> Object:
    def below(_: Tokens, each: Schema) -> Schema:
        return _without_texts(each) if isinstance(each, dict) else each

    return {
        key: value
        for key, value in rebuilt(schema, DRAFT_2020_12, below).items()
        if key not in _TEXTS and not key.startswith("x-")
    }


def _type(_: str, value: Json, narrow: Object) -> bool:
    names, wider = type_names(narrow.get("type")), {*type_names(value)}
    return bool(names) and all(
        each in wider or (each == "integer" and "number" in wider) for each in names
    )


def _lower(keyword: str, value: Json, narrow: Object) -> bool:
    return lowest({keyword: value}, integer=False) <= lowest(narrow, integer=False)


def _upper(keyword: str, value: Json, narrow: Object) -> bool:
    return highest({keyword: value}, integer=False) >= highest(narrow, integer=False)


def _least(keyword: str, value: Json, narrow: Object) -> bool:
    return _number(value) <= _number(narrow.get(keyword, 0))


def _most(keyword: str, value: Json, narrow: Object) -> bool:
    return keyword in narrow and _number(value) >= _number(narrow[keyword])


def _number(value: Json) -> float:
    return value if isinstance(value, int | float) else 0


def _required(_: str, value: Json, narrow: Object) -> bool:
    return {*map(str, as_list(value))} <= {*map(str, as_list(narrow.get("required")))}


_LEAF_RULES: Final[Mapping[str, Callable[[str, Json, Object], bool]]] = {
    "type": _type,
    "required": _required,
    **dict.fromkeys(("minimum", "exclusiveMinimum"), _lower),
    **dict.fromkeys(("maximum", "exclusiveMaximum"), _upper),
    **dict.fromkeys(("minLength", "minItems", "minProperties"), _least),
    **dict.fromkeys(("maxLength", "maxItems", "maxProperties"), _most),
}
"""The rules of keywords without subschemas."""
