"""Makes a disagreement small: as few keywords, definitions and values as still disagree."""

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any, Final

from json_values import read_text
from schema.values import text_of

from .cases import Case, generated
from .compare import Disagreement, Tally, compare_case, slot_of
from .judge import Judge
from .schemas import Schema, escaped

__all__ = ["shrunk"]

_MOST_TRIES: Final = 400
_IN_PLACE: Final = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "$ref")


def shrunk(found: Disagreement, *, tries: int = _MOST_TRIES) -> Disagreement:
    """Give a disagreement of the same kind that is as small as some tries make it."""
    best = _tried(replace(found, case=replace(found.case, name="p")), found.kind) or found
    known = {_size(best)}
    progress = True
    while progress and tries > 0:
        progress = False
        for candidate in _smaller(best):
            size = _size(candidate)
            if size in known or len(size) >= len(_size(best)):
                continue
            known.add(size)
            tries -= 1
            smaller = _tried(candidate, found.kind)
            if smaller is not None:
                best, progress = smaller, True
                break
            if tries <= 0:
                break
    return best


def _size(found: Disagreement) -> str:
    return json.dumps([found.case.schema, found.case.definitions, found.text])


def _tried(candidate: Disagreement, kind: str) -> Disagreement | None:
    """Give the disagreement that a candidate shows, if it is of the kind."""
    tally = Tally()
    case = candidate.case
    try:
        judge = Judge(case.draft, case.schema, case.definitions, second=True)
        with generated([case]) as (packages, refusals):
            for refusal in refusals:
                if not refusal.expected and kind == "generator fails":
                    return replace(candidate, detail=refusal.message)
            for each in packages:
                compare_case(case, slot_of(each, case), [candidate.text], judge, tally)
    except Exception:  # noqa: BLE001 - no schema any more
        return None
    return next((each for each in tally.disagreements if each.kind == kind), None)


def _smaller(found: Disagreement) -> Iterator[Disagreement]:
    case = found.case
    value = read_text(found.text)
    for schema, below in _descended(case.schema, value):
        yield replace(found, case=replace(case, schema=schema), text=text_of(below))
    used = _used(case)
    if len(used) < len(case.definitions):
        yield replace(found, case=replace(case, definitions=used))
    for schema in _smaller_schemas(case.schema, case.known):
        yield replace(found, case=replace(case, schema=schema))
    for name, each in case.definitions.items():
        for schema in _smaller_schemas(each, case.known):
            definitions = {**case.definitions, name: schema}
            yield replace(found, case=replace(case, definitions=definitions))
    for smaller in _smaller_values(value):
        yield replace(found, text=text_of(smaller))


def _descended(schema: Schema, value: Any) -> Iterator[tuple[Schema, Any]]:
    """Give the schemas of the members and items of a value, with these."""
    if isinstance(schema, bool):
        return
    if isinstance(value, dict):
        for key, below in value.items():
            for each in (schema.get("properties", {}).get(key), schema.get("additionalProperties")):
                if isinstance(each, dict):
                    yield each, below
    if isinstance(value, list):
        first = schema.get("prefixItems", [])
        for at, below in enumerate(value):
            each = first[at] if at < len(first) else schema.get("items")
            if isinstance(each, dict):
                yield each, below


def _used(case: Case) -> dict[str, Schema]:
    used: dict[str, Schema] = {}
    texts = [json.dumps(case.schema)]
    while texts:
        text = texts.pop()
        for name, each in case.definitions.items():
            anchor = each.get("$dynamicAnchor") if isinstance(each, dict) else None
            refers = any(f'"#{target}' in text for target in (f"/$defs/{escaped(name)}", anchor))
            if name not in used and refers:
                used[name] = each
                texts.append(json.dumps(each))
    return used


def _smaller_schemas(schema: Schema, known: dict[str, Schema]) -> Iterator[Schema]:
    if isinstance(schema, bool):
        return
    for word in _IN_PLACE:
        inner = schema.get(word, [])
        rest = {key: below for key, below in schema.items() if key != word}
        if isinstance(inner, str):
            yield {**rest, **_dict(known.get(inner.removeprefix("#/$defs/"), True))}
        else:
            yield from inner if isinstance(inner, list) else [inner]
    yield from _without(schema)


def _dict(schema: Schema) -> dict[str, Any]:
    return schema if isinstance(schema, dict) else {}


def _without(tree: Any) -> Iterator[Any]:
    """Give a tree without one of its branches, or with a bare one."""
    match tree:
        case dict():
            for key in tree:
                yield {other: each for other, each in tree.items() if other != key}
            for key, below in tree.items():
                if isinstance(below, dict):
                    yield {**tree, key: True}
                for smaller in _without(below):
                    yield {**tree, key: smaller}
        case list():
            for at in range(len(tree)):
                yield tree[:at] + tree[at + 1 :]
            for at, below in enumerate(tree):
                for smaller in _without(below):
                    yield [*tree[:at], smaller, *tree[at + 1 :]]
        case _:
            return


def _smaller_values(value: Any) -> Iterator[Any]:
    match value:
        case dict() | list():
            yield from _without(deepcopy(value))
            steps = value.values() if isinstance(value, dict) else value
            yield from steps
            for key in value if isinstance(value, dict) else range(len(value)):
                if value[key] not in (None, 0, ""):
                    other = deepcopy(value)
                    other[key] = None
                    yield other
        case str() if value:
            yield value[1:]
            yield value[:-1]
        case _:
            return
