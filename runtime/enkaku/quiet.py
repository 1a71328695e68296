"""How much it takes to say why a JSON Schema refused a value, and a way to say less.

Above it: checked. jsonschema-rs judges a value in one pass, but explains a union by all that is wrong in each of its
alternatives: of unions in unions that is exponential, and each fault holds a copy of its part of the value.
"""

import json
from typing import Any, Final, cast

__all__ = ["is_cheap", "quieten", "widest_union"]

_UNIONS: Final = ("anyOf", "oneOf")
_VALUES: Final = frozenset({"const", "default", "enum", "examples"})
_SIZE_MAX: Final = 4_000  # of a value that is explained in full: about the characters of its text
_FAULTS_MAX: Final = 200_000  # the same, times the alternatives on its deepest path


def widest_union(schema: object) -> int:
    """Return how many alternatives the widest union of a schema has; 1 if there is none."""
    if isinstance(schema, list):
        return max(map(widest_union, cast(list[object], schema)), default=1)
    most = 1
    if isinstance(schema, dict):
        for name, inner in cast(dict[str, object], schema).items():
            most = max(most, widest_union(inner))
            if name in _UNIONS and isinstance(inner, list):
                most = max(most, len(cast(list[object], inner)))
    return most


def is_cheap(value: object, branches: int) -> bool:
    """Return whether a value can be explained in full, by a schema whose unions have so many alternatives."""
    size, deepest, rest = 0, 1, [(value, 1)]
    while rest:
        each, depth = rest.pop()
        size += len(each) + 2 if isinstance(each, str) else 4
        size += each.bit_length() // 3 if isinstance(each, int) else 0
        if isinstance(each, dict):
            members = cast(dict[str, object], each)
            size += sum(map(len, members))
            rest += [(inner, depth + 1) for inner in members.values()]
            deepest = max(deepest, depth)
        elif isinstance(each, list):
            items = cast(list[object], each)
            size += len(items)
            if size > _SIZE_MAX:
                return False
            rest += [(inner, depth + 1) for inner in items]
            deepest = max(deepest, depth)
        if size > _SIZE_MAX or size * branches ** min(deepest, 64) > _FAULTS_MAX:
            return False
    return True


def quieten(text: str) -> Any:  # noqa: ANN401 # a JSON Schema
    """Return a schema that accepts the same, and says of a union no more than that none of it fits.

    Args:
        text: The schema's text.

    Returns:
        The schema, or None where it counts what its unions have looked at, or points into them.
    """
    if '"unevaluated' in text or any(f"/{name}/" in text for name in _UNIONS):
        return None
    return _quiet(json.loads(text))


def _quiet(schema: Any) -> Any:  # noqa: ANN401 # as above
    if isinstance(schema, list):
        return [_quiet(each) for each in cast(list[object], schema)]
    if not isinstance(schema, dict):
        return schema
    told: dict[str, Any] = {
        name: inner if name in _VALUES else _quiet(inner)
        for name, inner in cast(dict[str, object], schema).items()
    }
    for name in _UNIONS:
        if isinstance(told.get(name), list):
            # Why something is what it must not be, nobody can say: so nobody tries.
            hidden = {"not": {"not": {name: told.pop(name)}}}
            told["allOf"] = [*told.get("allOf", ()), hidden]
    return told
