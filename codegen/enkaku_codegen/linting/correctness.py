"""Rules of correctness: schemas, values and definitions without effect, and unions that nothing tells apart."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Final

from enkaku_codegen.json_values import Json, Tokens, identity, pointer
from enkaku_codegen.planning.all_of import type_names
from enkaku_codegen.proving.constants import fits
from enkaku_codegen.reading.doubts import STANDARD_FORMATS
from enkaku_codegen.reading.options import ENCODINGS, FORMATS
from enkaku_codegen.reading.simple_schema import as_dict, as_list
from enkaku_codegen.reading.validation_text import describe, nearest

from .coverage import Coverage
from .proofs import LEAVES, Part, Proofs, excluded, is_closed, kinds_of, parts_of
from .rules import Hit
from .subject import Subject, Visited

__all__ = ["correctness", "unused"]

_MOST_PAIRS: Final = 20_000  # of alternatives of one union
_SUBSCHEMAS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("properties", "patternProperties", "additionalProperties", "propertyNames"), "object"
    ),
    **dict.fromkeys(("dependentRequired", "dependentSchemas", "unevaluatedProperties"), "object"),
    **dict.fromkeys(("items", "prefixItems", "contains", "unevaluatedItems"), "array"),
}
_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "then": ("if",),
    "else": ("if",),
    "if": ("then", "else"),
    "minContains": ("contains",),
    "maxContains": ("contains",),
}


def correctness(subject: Subject) -> Iterator[Hit]:
    """Yield what is wrong with each schema by itself, and with its unions."""
    proofs, coverage = Proofs(subject), Coverage(subject)
    formats = _Formats(subject)
    for each in subject.visited:
        subject.limit.step()
        if not each.negated:
            yield from _contradiction(each, subject, proofs)
            for keyword in ("anyOf", "oneOf"):
                if keyword in each.schema:
                    yield from _union(each, keyword, subject, (proofs, coverage))
            yield from _dead_properties(each, subject)
            yield from _required(each, subject)
        yield from _enum(each)
        yield from _keywords(each)
        formats.add(each)
    yield from formats.hits()


def _contradiction(visited: Visited, subject: Subject, proofs: Proofs) -> Iterator[Hit]:
    """Yield that a schema accepts no value, if its own keywords are the reason, not those of a schema in it."""
    if visited.path[-2:-1] in [("anyOf",), ("oneOf",)]:
        return  # a dead alternative
    parts = parts_of(subject, visited.path, visited.schema)
    if parts is None:
        return
    reason = proofs.contradiction(parts)
    # A definition with a contradiction is reported where it stands, and not where it is referred to.
    inner = [part for part in parts if part.path != visited.path and len(parts) > 1]
    if reason and not any(proofs.contradiction([part]) for part in inner):
        yield Hit("contradiction", visited.path, f"no value matches this schema: {reason}")


def _union(
    visited: Visited, keyword: str, subject: Subject, provers: tuple[Proofs, Coverage]
) -> Iterator[Hit]:
    proofs, coverage = provers
    alternatives = as_list(visited.schema[keyword])
    here = (*visited.path, keyword)
    rest = {key: value for key, value in visited.schema.items() if key != keyword}
    around = parts_of(subject, visited.path, rest) or []
    dead: set[int] = set()
    living: list[tuple[int, Sequence[Part]]] = []
    for index, each in enumerate(alternatives):
        subject.limit.step()
        path = (*here, str(index))
        parts = parts_of(subject, path, each)
        reason = proofs.why_empty(path, each) if parts is not None else "it is false"
        if not reason and parts is not None:
            reason = proofs.contradiction([*around, *parts])
        if reason:
            dead.add(index)
            yield Hit("dead-alternative", path, f"no value matches this alternative: {reason}")
        elif parts is not None:
            living.append((index, parts))
    if len(alternatives) ** 2 > 2 * _MOST_PAIRS:
        message = f"{len(alternatives)} alternatives: they were not compared with each other"
        yield Hit("incomplete", here, message)
        return
    covered: set[int] = set()
    for hit, index in _covered(here, alternatives, dead, coverage):
        covered.add(index)
        yield hit
    yield from _ambiguous(here, [each for each in living if each[0] not in covered], proofs)


def _covered(
    here: Tokens, alternatives: list[Json], dead: set[int], coverage: Coverage
) -> Iterator[tuple[Hit, int]]:
    """Yield the alternatives that accept only what another one accepts, each with its index."""
    covered: set[int] = set()
    for narrow, wide in permutations(range(len(alternatives)), 2):
        if dead & {narrow, wide} or covered & {narrow, wide}:
            continue
        if here[-1] == "anyOf" and _names_values(alternatives[narrow], alternatives[wide]):
            continue
        if not coverage.covers(alternatives[wide], alternatives[narrow]):
            continue
        covered.add(narrow)
        other = pointer((*here, str(wide)))
        message = (
            f"every value of it matches {other}, too, so that oneOf rejects all of them"
            if here[-1] == "oneOf"
            else f"every value of it matches {other}, too: leave one of them out"
        )
        yield Hit("dead-alternative", (*here, str(narrow)), message), narrow


def _names_values(narrow: Json, wide: Json) -> bool:
    """Return whether an alternative documents some values that another allows as well: the idiom of an open enum."""
    listed = [
        isinstance(each, dict) and bool(each.keys() & {"const", "enum"}) for each in (narrow, wide)
    ]
    return listed == [True, False]


def _ambiguous(
    here: Tokens, living: list[tuple[int, Sequence[Part]]], proofs: Proofs
) -> Iterator[Hit]:
    objects = [
        (index, parts)
        for index, parts in living
        if kinds_of(parts) == frozenset({"object"})
        and any(part.schema.get("properties") for part in parts)
    ]
    if alike := proofs.alike(objects):
        first, second = alike
        message = (
            f"an object may match both alternative {first} and alternative {second}: "
            "give each a required property with a const of its own"
        )
        yield Hit("ambiguous-union", here, message)


def _dead_properties(visited: Visited, subject: Subject) -> Iterator[Hit]:
    schema, path = visited.schema, visited.path
    names = as_dict(schema.get("propertyNames"))
    for name in as_dict(schema.get("properties")):
        for keyword, asked in names.items():
            if (keyword in LEAVES or keyword in {"enum", "const", "type"}) and not fits(
                name, keyword, asked
            ):
                message = f"no object can have this property: propertyNames excludes its name by {keyword}"
                yield Hit("dead-property", (*path, "properties", name), message)
                break
    if schema.get("maxProperties") == 0 and schema.get("properties"):
        yield Hit("dead-property", (*path, "properties"), "maxProperties is 0: no object has them")
    most, first = schema.get("maxItems"), as_list(schema.get("prefixItems"))
    if isinstance(most, int | float):
        for index in range(int(most), len(first)):
            message = f"no array has this item: maxItems is {most}"
            yield Hit("dead-property", (*path, "prefixItems", str(index)), message)
        if len(first) >= most and isinstance(schema.get("items"), dict):
            message = f"no array has such an item: maxItems is {most}"
            yield Hit("dead-property", (*path, "items"), message)
    yield from _closed_out(visited, subject)


def _closed_out(visited: Visited, subject: Subject) -> Iterator[Hit]:
    """Yield the properties in ``allOf`` that another part of it excludes, which is closed."""
    if "allOf" not in visited.schema and "$ref" not in visited.schema:
        return
    if visited.outer is not None and "allOf" in visited.path[-2:]:
        return  # a part of the schema around it
    parts = parts_of(subject, visited.path, visited.schema) or []
    closed = [part for part in parts if is_closed(part.schema)]
    for part in closed:
        known = as_dict(part.schema.get("properties"))
        lost = sorted(
            {
                name
                for other in parts
                if other is not part
                for name, below in as_dict(other.schema.get("properties")).items()
                if name not in known and below is not False
            }
        )
        if lost:
            what = ", ".join(map(describe, lost[:5])) + (" and others" if len(lost) > 5 else "")
            message = (
                f"no object can have {what}: {pointer(part.path) or 'the schema'} has "
                "additionalProperties: false; use unevaluatedProperties: false next to allOf instead"
            )
            yield Hit("dead-property", visited.path, message)
            return


def _required(visited: Visited, subject: Subject) -> Iterator[Hit]:
    """Yield the required names that no schema for the same value has as a property."""
    names = [each for each in as_list(visited.schema.get("required")) if isinstance(each, str)]
    if not names or not visited.schema.get("properties") or is_closed(visited.schema):
        return  # next to additionalProperties: false, it is a contradiction
    outer = visited.outer or visited
    if outer.path[:1] == ("$defs",) and len(outer.path) == 2 and outer.path[1] in subject.combined:
        return
    known = _all_properties(outer, subject)
    if known is None:
        return
    for name in names:
        if name not in known:
            near = nearest(name, known)
            message = f"{describe(name)} is required, but no property{near}"
            index = as_list(visited.schema["required"]).index(name)
            yield Hit("unknown-required", (*visited.path, "required", str(index)), message)


def _all_properties(visited: Visited, subject: Subject) -> set[str] | None:
    """Return the properties that a schema and those in it name for the same value; None if it may have any name."""
    known: set[str] = set()
    seen: set[str] = set()
    waiting: list[Json] = [visited.schema]
    while waiting:
        subject.limit.step()
        each = waiting.pop()
        if not isinstance(each, dict):
            continue
        rest = each.get("additionalProperties")
        if each.get("patternProperties") or isinstance(rest, dict) or "$dynamicRef" in each:
            return None
        known.update(as_dict(each.get("properties")))
        target = subject.target(each)
        if target is not None and target[0] not in seen:
            seen.add(target[0])
            waiting.append(target[1])
        for keyword in ("allOf", "anyOf", "oneOf"):
            waiting += as_list(each.get(keyword))
        waiting += [each.get(keyword) for keyword in ("if", "then", "else")]
        waiting += as_dict(each.get("dependentSchemas")).values()
    return known


def _enum(visited: Visited) -> Iterator[Hit]:
    values, path = as_list(visited.schema.get("enum")), (*visited.path, "enum")
    if not values:
        return
    first: dict[object, int] = {}
    part = [Part(visited.path, visited.schema)]
    wrong: list[Hit] = []
    for index, value in enumerate(values):
        if first.setdefault(identity(value), index) != index:
            message = f"{describe(value)} is in enum twice"
            yield Hit("duplicate-enum-value", (*path, str(index)), message)
        elif keyword := excluded(value, part):
            message = f"no value matches {describe(value)}: {keyword} excludes it"
            wrong.append(Hit("dead-enum-value", (*path, str(index)), message))
    if len(wrong) < len(first):  # else, it is a contradiction
        yield from wrong


def _keywords(visited: Visited) -> Iterator[Hit]:
    schema = visited.schema
    names = type_names(schema["type"]) if "type" in schema else []
    kinds = {"number" if name == "integer" else name for name in names}
    for keyword in schema:
        kind = LEAVES.get(keyword) or _SUBSCHEMAS.get(keyword)
        if kind is not None and kinds and kind not in kinds:
            message = (
                f"{keyword} has no effect: it is for type {kind}, the type is {', '.join(names)}"
            )
            yield Hit("dead-keyword", (*visited.path, keyword), message)
        needed = _NEEDS.get(keyword)
        if needed and not any(each in schema for each in needed):
            message = f"{keyword} has no effect without {' or '.join(needed)}"
            yield Hit("dead-keyword", (*visited.path, keyword), message)


class _Formats:
    """Formats that nothing asserts: one hit for each, at the first location."""

    def __init__(self, subject: Subject) -> None:
        self._protocol = subject.protocol
        self._found: dict[tuple[str, str], list[Visited]] = {}

    def add(self, visited: Visited) -> None:
        for keyword, types in (
            ("format", self._protocol.formats),
            ("contentEncoding", self._protocol.encodings),
        ):
            name = visited.schema.get(keyword)
            if isinstance(name, str) and name not in types:
                self._found.setdefault((keyword, name), []).append(visited)

    def hits(self) -> Iterator[Hit]:
        for (keyword, name), found in self._found.items():
            others = len(found) - 1
            more = f"; here and at {others} other location{'s'[:others - 1]}" if others else ""
            known, option = (
                (FORMATS, "formats") if keyword == "format" else (ENCODINGS, "encodings")
            )
            rule = "unasserted-format"
            if name in known:
                hint = f'select a type for it: "{option}": {{"{name}": "{known[name]}"}}'
            elif keyword == "format" and name not in STANDARD_FORMATS:
                rule = "unknown-format"
                near = nearest(name.lower(), sorted(STANDARD_FORMATS))
                hint = f"JSON Schema has no such format{near}"
            else:
                hint = "add a pattern or maxLength if the string must be checked"
            message = f"nothing checks the {keyword} {describe(name)}: {hint}{more}"
            yield Hit(rule, (*found[0].path, keyword), message)


def unused(subject: Subject) -> Iterator[Hit]:
    """Yield the definitions of the file that no procedure refers to; a file of definitions alone has none."""
    protocol = subject.protocol
    if not protocol.procedures:
        return
    for name, origin in protocol.origins.items():
        subject.limit.step()
        own = origin.document.key == subject.document.key and origin.path[:1] == ("$defs",)
        anchored = isinstance(origin.value, dict) and "$dynamicAnchor" in origin.value
        if own and name not in subject.used and not anchored:
            message = "no procedure refers to this definition, directly or through others"
            yield Hit("unused-definition", ("$defs", name), message)
