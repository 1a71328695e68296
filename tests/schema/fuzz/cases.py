"""Schemas to try, many to a protocol, and the protocols that hold them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from random import Random
from types import ModuleType
from typing import Any, Final

from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.json_values import tokens
from schema.protocols import document, package

from .schemas import Draft, Schema, SchemaMaker, escaped

__all__ = ["Case", "Generated", "Refusal", "generated", "random_cases"]


# Large schemas are as those in real protocols; in small ones, more is left to the types.
_DEPTHS: Final = (0, 0, 1, 2)


@dataclass(frozen=True)
class Case:
    """A schema in a protocol.

    Attributes:
        name: The procedure whose param has it.
        definitions: What its references lead to: those that the protocol shares, and its own.
    """

    name: str
    draft: Draft
    schema: Schema
    definitions: dict[str, Schema]

    @property
    def known(self) -> dict[str, Schema]:
        """What any reference means: parts of definitions, anchors and ``#`` as well."""
        known = {escaped(name): each for name, each in self.definitions.items()}
        for name, each in self.definitions.items():
            if isinstance(each, dict):
                above = f"{escaped(name)}/properties/"
                known |= {above + key: part for key, part in each.get("properties", {}).items()}
                known[f"#{each.get('$dynamicAnchor', '')}"] = each
        return {**known, "#": self.schema}

    def protocol(self) -> dict[str, Any]:
        """Give a protocol file with nothing else in it."""
        procedures = {self.name: {"type": "request", "param": self.schema}}
        content = document(self.draft, procedures, self.definitions)
        if self.draft == "draft2020-12":
            del content["$schema"]
        return content


@dataclass(frozen=True)
class Refusal:
    """A protocol that nothing is generated from.

    Attributes:
        expected: It is said what is wrong with it.
    """

    cases: tuple[Case, ...]
    message: str
    expected: bool


@dataclass(frozen=True)
class Generated:
    module: ModuleType
    cases: Sequence[Case]


def random_cases(pick: Random, draft: Draft, count: int) -> list[Case]:
    """Make cases that share their definitions."""
    maker = SchemaMaker(pick, draft)
    shared = maker.definitions
    cases: list[Case] = []
    for number in range(count):
        schema = maker.schema(pick.choice(_DEPTHS))
        case = Case(f"p{number}", draft, schema, shared)
        kind = pick.random()
        if kind < 0.03:
            parts = {"next": {"$ref": "#"}, "value": schema}
            case = replace(case, schema={"type": "object", "properties": parts})
        elif kind < 0.05:
            case = replace(
                case, schema={"anyOf": [schema, {"type": "array", "items": {"$ref": "#"}}]}
            )
        elif kind < 0.06 and draft == "draft2020-12" and isinstance(schema, dict):
            anchor = f"anchor{number}"
            own = {f"Own{number}": {**schema, "$dynamicAnchor": anchor}}
            whole = {"$defs": own, "anyOf": [{"$dynamicRef": f"#{anchor}"}, {"type": "null"}]}
            case = Case(case.name, draft, whole, {**shared, **own})
        elif kind < 0.1:
            own = {f"Own{number}": schema}
            items = {"$ref": f"#/$defs/Own{number}"}
            whole = {"$defs": own, "type": "array", "items": items}
            case = Case(case.name, draft, whole, {**shared, **own})
        cases.append(case)
    return cases


@contextmanager
def generated(
    cases: Sequence[Case], *, formatted: bool = True
) -> Iterator[tuple[list[Generated], list[Refusal]]]:
    """Generate packages with the cases: one if that can be had, else several.

    The cases share a draft, and have shared definitions alike.
    """
    with ExitStack() as stack:
        made: list[Generated] = []
        refusals: list[Refusal] = []
        waiting = [list(cases)]
        while waiting:
            some = waiting.pop()
            try:
                module = stack.enter_context(package(_content(some), formatted=formatted))
                made.append(Generated(module, some))
            except Exception as error:  # noqa: BLE001 - to be told
                if len(some) > 1:
                    waiting += _apart(some, error)
                else:
                    refusals.append(_refusal(some, error))
        yield made, refusals


def _content(cases: Sequence[Case]) -> dict[str, Any]:
    definitions: dict[str, Schema] = {}
    for case in cases:
        own = case.schema.get("$defs", {}) if isinstance(case.schema, dict) else {}
        definitions |= {key: each for key, each in case.definitions.items() if key not in own}
    procedures = {case.name: {"type": "request", "param": case.schema} for case in cases}
    return document(cases[0].draft, procedures, definitions)


def _apart(cases: list[Case], error: Exception) -> list[list[Case]]:
    """Part the cases that were refused together: those at fault from the others, or in two halves."""
    if isinstance(error, ProtocolError):
        names = {token for issue in error.issues for token in tokens(issue.pointer)[1:2]}
        faulty = [case for case in cases if case.name in names]
        others = [case for case in cases if case.name not in names]
        if faulty and others:
            return [others, *([case] for case in faulty)]
    half = len(cases) // 2
    return [cases[:half], cases[half:]]


def _refusal(cases: Sequence[Case], error: Exception) -> Refusal:
    if isinstance(error, ProtocolError):
        return Refusal(tuple(cases), error.issues[0].message, expected=True)
    return Refusal(tuple(cases), f"{type(error).__name__}: {error}", expected=False)
