"""Decisions about slots: whether the reader of one version accepts all that the writer of the other sends.

A pair of schemas is decided once, however many slots have it; equal schemas need no decision.
"""

from dataclasses import dataclass
from typing import Final

from enkaku_codegen.containment import Verdict, contains

from .schemas import Schemas, Whole

__all__ = ["Decisions", "Side"]

_EQUAL: Final = Verdict(contained=True, value=None, decided_by="equal", reason="")


@dataclass(frozen=True, slots=True)
class Side:
    """A slot of one version, with the schemas around it."""

    schemas: Schemas
    whole: Whole


class Decisions:
    """Decides pairs of schemas, and remembers the answers."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Verdict] = {}

    def decide(self, writer: Side, reader: Side) -> Verdict:
        """Return whether the reader accepts every value that the writer accepts."""
        one, other = writer.whole, reader.whole
        if one.text == other.text:
            return _EQUAL
        key = one.text, other.text
        if key not in self._known:
            self._known[key] = _decided(writer, reader)
        return self._known[key]


def _decided(writer: Side, reader: Side) -> Verdict:
    one, other = writer.whole, reader.whole
    if one.dynamic is not None or other.dynamic is not None:
        return _undecided("the schema has a $dynamicRef")
    verdict = contains(
        one.schema,
        other.schema,
        writer_definitions=one.definitions,
        reader_definitions=other.definitions,
    )
    if verdict.contained and other.formats and reader.schemas.lists_strings(one):
        # The pattern of a format matches strings that are none, such as 2020-02-30.
        return _undecided(
            "the writer lists strings, which the reader may not accept as strings of a format"
        )
    return verdict


def _undecided(reason: str) -> Verdict:
    return Verdict(contained=None, value=None, decided_by=None, reason=reason)
