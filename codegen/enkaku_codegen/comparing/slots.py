"""Decisions about slots: whether the reader of one version accepts all that the writer of the other sends.

A pair of schemas is decided once, however many slots have it; equal schemas need no decision.
"""

from typing import Final

from enkaku_codegen.containment import Verdict, contains

from .schemas import Whole

__all__ = ["Decisions"]

_EQUAL: Final = Verdict(contained=True, value=None, decided_by="equal", reason="")


class Decisions:
    """Decides pairs of schemas, and remembers the answers."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Verdict] = {}

    def decide(self, writer: Whole, reader: Whole) -> Verdict:
        """Return whether the reader accepts every value that the writer accepts."""
        if writer.text == reader.text:
            return _EQUAL
        key = writer.text, reader.text
        if key not in self._known:
            self._known[key] = contains(
                writer.schema,
                reader.schema,
                writer_definitions=writer.protocol.definitions,
                reader_definitions=reader.protocol.definitions,
                writer_types=writer.protocol.string_types,
                reader_types=reader.protocol.string_types,
            )
        return self._known[key]
