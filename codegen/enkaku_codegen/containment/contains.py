"""Whether a reader's schema accepts every value that a writer's schema accepts.

Three deciders are asked in turn, each in a process whose time and memory are limited: the canonical forms of
jsonschema-rs, the prover of generated types, and a search for a value that the writer accepts and the reader rejects.
"Contained" is claimed only if it is proved, "not contained" only with such a value.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from enkaku_codegen.json_values import Json, Schema, as_json, as_text, identity
from enkaku_codegen.reading.options import StringTypes
from enkaku_codegen.reading.simple_schema import as_dict, as_list

from . import process
from .pair import Pair, make_side
from .process import Decider, WorkerEnded

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
_UNTIL_SEARCH: Final = 0.6
"""The share of the time that canonical forms and proofs may take, each at most half of it."""


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
        time_limit: How many seconds the deciders may take together. The first question, and one after a decider
            that took too long, also wait for a process to start, half a second each.
    """
    pair = Pair(
        make_side(writer, writer_definitions, writer_types),
        make_side(reader, reader_definitions, reader_types),
    )
    texts = [as_json([each.schema, {**each.definitions}]) for each in (pair.writer, pair.reader)]
    if any('"$dynamicRef"' in text for text in (*texts, as_json(writer), as_json(reader))):
        # Without its anchors, a schema does not say what it means.
        if '"$dynamicAnchor"' in as_json(writer) and identity(writer) == identity(reader):
            return Verdict(contained=True, value=None, decided_by="equal", reason="")
        reason = "a $dynamicRef means what the schemas around it say, which is not compared"
        return Verdict(contained=None, value=None, decided_by=None, reason=reason)
    if pair.is_equal:
        return Verdict(contained=True, value=None, decided_by="equal", reason="")
    return _Question(pair, time_limit).verdict()


class _Question:
    """One pair, which the deciders are asked about."""

    def __init__(self, pair: Pair, time_limit: float) -> None:
        process.start()
        self._pair = pair
        self._time_limit = time_limit
        self._until = time.monotonic() + time_limit
        self._reasons: list[str] = []

    def verdict(self) -> Verdict:
        share = self._time_limit * _UNTIL_SEARCH / 2
        canonical = self._ask("canonical", share)
        if canonical == "yes":
            return Verdict(contained=True, value=None, decided_by="canonical", reason="")
        if canonical == "no":
            self._reasons.append("canonical: no, but no value was found that shows it")
        else:
            doubts = self._ask("prover", share)
            if doubts == []:
                return Verdict(contained=True, value=None, decided_by="prover", reason="")
            self._reasons += [f"prover: {as_text(each)}" for each in as_list(doubts)[:1]]
        found = as_dict(self._ask("search", self._until - time.monotonic()))
        if "value" in found:
            decider: Literal["canonical", "search"] = "canonical" if canonical == "no" else "search"
            return Verdict(
                contained=False,
                value=found["value"],
                decided_by=decider,
                reason=as_text(found["reason"]),
            )
        self._reasons += [f"search: {as_text(found['reason'])}"] if "reason" in found else []
        return Verdict(
            contained=None, value=None, decided_by=None, reason="; ".join(self._reasons)
        )

    def _ask(self, decider: Decider, seconds: float) -> Json:
        """Return the answer of a decider; None if it has none."""
        try:
            return process.ask(decider, self._pair, max(seconds, _LEAST_TIME))
        except WorkerEnded as ended:
            self._reasons.append(f"{decider}: {ended}")
            return None


_LEAST_TIME: Final = 0.05
