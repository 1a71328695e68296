"""Rules for keywords that apply to the items of arrays."""

from collections.abc import Iterator, Mapping
from typing import Final

from enkaku_codegen.json_values import Json
from enkaku_codegen.reading.simple_schema import as_list

from .case import Case, Reason, Rule
from .value_sets import Array, Tuple, size

__all__ = ["RULES"]


def _prefix_items(case: Case, value: Json) -> Iterator[Reason]:
    for index, schema in enumerate(as_list(value)):
        match case.values:
            case Array(items, simple):
                most = simple.get("maxItems")
                if not isinstance(most, int) or index < most:
                    yield from case.below(items, schema, str(index))
            case Tuple(items) if index < len(items):
                yield from case.below(items[index], schema, str(index))
            case _:
                pass


def _items(case: Case, value: Json) -> Iterator[Reason]:
    start = len(as_list(case.schema.get("prefixItems")))
    match case.values:
        case Array(items):
            most = size(case.values)[1]
            if most is None or most > start:
                yield from case.below(items, value)
        case Tuple(items):
            for simple in items[start:]:
                yield from case.below(simple, value)
        case _:
            pass


def _unique_items(case: Case, value: Json) -> Iterator[Reason]:
    if value is True and case.values.kind == "array":
        most = size(case.values)[1]
        if most is None or most > 1:
            yield from case.reason("a Python list may contain an item twice")


def _contains(case: Case, _: Json) -> Iterator[Reason]:
    asked = case.schema.get("minContains") != 0 or "maxContains" in case.schema
    if case.values.kind == "array" and asked:
        yield from case.reason("'contains' cannot be expressed as a Python type")


def _unevaluated_items(case: Case, value: Json) -> Iterator[Reason]:
    if case.values.kind == "array" and value not in (True, {}):
        yield from case.reason("depends on other keywords, which a Python type cannot express")


RULES: Final[Mapping[str, Rule]] = {
    "contains": _contains,
    "items": _items,
    "prefixItems": _prefix_items,
    "unevaluatedItems": _unevaluated_items,
    "uniqueItems": _unique_items,
}
"""The rule for each keyword."""
