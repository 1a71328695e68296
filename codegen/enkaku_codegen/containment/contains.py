"""Whether a reader's schema accepts every value that a writer's schema accepts.

Three deciders are asked in turn, each in a process whose time and memory are limited: the canonical forms of
jsonschema-rs, the prover of generated types, and a search for a value that the writer accepts and the reader rejects.
"Contained" is claimed only if it is proved, "not contained" only with such a value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from enkaku_codegen.json_values import Json, Schema, as_text, identity
from enkaku_codegen.reading.options import StringTypes
from enkaku_codegen.reading.simple_schema import as_dict, as_list

from .pair import Pair, has_key, make_side
from .process import Decider, WorkerEnded, ask, written

__all__ = ["Verdict", "contains"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the reader accepts every value that the writer accepts.

    Attributes:
        contained: None if it is undecided.
        value: A value that the writer accepts and the reader rejects, if ``contained`` is False.
        decided_by: What decided; None if it is undecided.
        reason: In words, why the reader rejects the value, or why it is undecided.
    """

    contained: bool | None
    value: Json
    decided_by: Literal["equal", "canonical", "prover", "search"] | None
    reason: str


_NO_TYPES: Final[StringTypes] = {}
_SHARES: Final[Mapping[Decider, float]] = {"canonical": 0.25, "prover": 0.25, "search": 0.5}
"""The part of the time that each decider may take."""


def contains(
    writer: Schema,
    reader: Schema,
    *,
    writer_definitions: Mapping[str, Schema],
    reader_definitions: Mapping[str, Schema],
    writer_types: StringTypes = _NO_TYPES,
    reader_types: StringTypes = _NO_TYPES,
    time_limit: float = 2.0,
) -> Verdict:
    """Return whether the reader accepts every value that the writer accepts.

    The schemas are of draft 2020-12, as ``reading.definition`` has them. Of a slot with a ``$dynamicRef``, pass
    ``Procedure.dynamic_schemas``; unless both are equal, it is undecided.

    Args:
        writer: The schema of those who write the values.
        reader: The schema of those who read them.
        writer_definitions: The targets of references in the writer's schema.
        reader_definitions: The targets of references in the reader's schema.
        writer_types: ``Protocol.string_types`` of the writer: the formats and encodings that its types enforce.
        reader_types: The same of the reader.
        time_limit: How many seconds of the processor the deciders may take together, without the start of their
            process: about half a second for the first question, and for each after a decider that took too long.
    """
    pair = Pair(
        make_side(writer, writer_definitions, writer_types),
        make_side(reader, reader_definitions, reader_types),
    )
    if any(
        has_key(each, "$dynamicRef")
        for side in (pair.writer, pair.reader)
        for each in (writer, reader, *side.definitions.values())
    ):
        # Without its anchors, a schema does not say what it means.
        if has_key(writer, "$dynamicAnchor") and identity(writer) == identity(reader):
            return Verdict(contained=True, value=None, decided_by="equal", reason="")
        reason = "a $dynamicRef means what the schemas around it say, which is not compared"
        return Verdict(contained=None, value=None, decided_by=None, reason=reason)
    if pair.is_equal:
        return Verdict(contained=True, value=None, decided_by="equal", reason="")
    return _Question(pair, time_limit).verdict()


class _Question:
    """One pair, which the deciders are asked about."""

    def __init__(self, pair: Pair, time_limit: float) -> None:
        self._pair = written(pair)
        self._time_limit = time_limit
        self._reasons: list[str] = []

    def verdict(self) -> Verdict:
        canonical = self._ask("canonical")
        if canonical == "yes":
            return Verdict(contained=True, value=None, decided_by="canonical", reason="")
        if canonical == "no":
            self._reasons.append("canonical: no, but no value was found that shows it")
        else:
            doubts = self._ask("prover")
            if doubts == []:
                return Verdict(contained=True, value=None, decided_by="prover", reason="")
            self._reasons += [f"prover: {as_text(each)}" for each in as_list(doubts)[:1]]
        found = as_dict(self._ask("search"))
        if "value" in found:
            decider: Literal["canonical", "search"] = "canonical" if canonical == "no" else "search"
            return Verdict(
                contained=False,
                value=found["value"],
                decided_by=decider,
                reason=as_text(found["reason"]),
            )
        self._reasons += [f"search: {as_text(found['reason'])}"] if "reason" in found else []
        return Verdict(contained=None, value=None, decided_by=None, reason="; ".join(self._reasons))

    def _ask(self, decider: Decider) -> Json:
        """Return the answer of a decider; None if it has none."""
        try:
            return ask(decider, self._pair, self._time_limit * _SHARES[decider])
        except WorkerEnded as ended:
            self._reasons.append(f"{decider}: {ended}")
            return None
