"""Comparison of the messages of two versions: who calls, who writes a slot, and who reads it.

A call has two ends, and each is of one version. Where the server is upgraded first, old clients call the new server, and the
new server calls old clients (callbacks). So one walk over the procedures serves both directions and both orders.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from enkaku_codegen.json_values import Json, Schema, as_json, pointer
from enkaku_codegen.reading.definition import ErrorDefinition, Procedure, Protocol, SlotName

from .rules import RULES, First, Severity
from .schemas import Schemas, Unchanged, Whole
from .slots import Decisions

__all__ = ["Change", "compare_messages", "shortened"]

_OF_CALLER: Final[tuple[SlotName, ...]] = ("data", "param", "send")
_OF_CALLEE: Final[tuple[SlotName, ...]] = ("receive", "result")
_LONGEST: Final = 160
_NO_DATA: Final[dict[str, Json]] = {"const": {}}  # what an error without data carries
_NEVER: Final[dict[str, Json]] = {"not": {}}


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between two versions of a protocol.

    Attributes:
        rule: The id of the rule.
        severity: Whether it breaks something.
        old: The location in the old version, as a JSON pointer; None if it has none.
        new: The location in the new version.
        message: What it means.
        value: A value that one end writes and the other rejects, in a tuple of one; empty if there is none.
        details: More for machines.
    """

    rule: str
    severity: Severity
    old: str | None
    new: str | None
    message: str
    value: tuple[Json, ...] = ()
    details: Mapping[str, Json] = field(default_factory=dict[str, Json])

    @property
    def pointer(self) -> str:
        """The location in the new version, else in the old one."""
        return (self.new if self.new is not None else self.old) or ""


@dataclass(frozen=True, slots=True)
class _End:
    """One end of the calls, of one version.

    Attributes:
        name: The end in words.
        procedures: What it calls, or serves, by name.
        schemas: The schemas of its version.
    """

    name: str
    is_server: bool
    is_new: bool
    procedures: Mapping[str, Procedure]
    schemas: Schemas

    def does(self, verb: str) -> str:
        """Return the end as the subject of a verb."""
        return f"{self.name} {verb}{'s' if self.is_server else ''}"

    def does_not(self, verb: str) -> str:
        """Return the end as the subject of a verb that is negated."""
        return f"{self.name} {'does' if self.is_server else 'do'} not {verb}"


def compare_messages(old: Protocol, new: Protocol, first: First = "server") -> list[Change]:
    """Return the differences in what peers of two versions send each other.

    Args:
        old: The old version.
        new: The new version.
        first: The side that is upgraded first. By default, old clients meet the new server.
    """
    versions = {False: (old, Schemas(old)), True: (new, Schemas(new))}
    decisions, unchanged = Decisions(), Unchanged(old, new)
    found: list[Change] = []

    def end(*, is_server: bool, is_new: bool, callbacks: bool) -> _End:
        protocol, schemas = versions[is_new]
        listed = protocol.callbacks if callbacks else protocol.procedures
        age = "new" if is_new else "old"
        name = f"the {age} server" if is_server else f"{age} clients"
        return _End(name, is_server, is_new, {each.name: each for each in listed}, schemas)

    for is_new in (True, False):  # the server
        if first not in ("server" if is_new else "client", "either"):
            continue
        for callbacks in (False, True):
            server = end(is_server=True, is_new=is_new, callbacks=callbacks)
            clients = end(is_server=False, is_new=not is_new, callbacks=callbacks)
            ends = (server, clients) if callbacks else (clients, server)
            found += _Calls(*ends, decisions, unchanged).changes()
    return _without_repetitions(found)


def _without_repetitions(changes: list[Change]) -> list[Change]:
    """Return the changes without those that the other order of upgrades has as well, or has as something worse."""
    grave = {(each.rule, each.pointer) for each in changes if each.severity != "note"}
    kept: dict[tuple[str, str, str], Change] = {}
    for each in changes:
        if each.severity != "note" or (each.rule, each.pointer) not in grave:
            kept.setdefault((each.rule, each.pointer, each.message), each)
    return list(kept.values())


class _Calls:
    """The calls of one end, which the other end serves."""

    def __init__(
        self, caller: _End, callee: _End, decisions: Decisions, unchanged: Unchanged
    ) -> None:
        self._caller = caller
        self._callee = callee
        self._decisions = decisions
        self._unchanged = unchanged

    def changes(self) -> Iterator[Change]:
        """Yield the differences, procedure by procedure."""
        caller, callee = self._caller.procedures, self._callee.procedures
        for name in sorted(caller.keys() | callee.keys()):
            called, served = caller.get(name), callee.get(name)
            if called is not None and served is not None:
                yield from self._procedure(called, served)
            elif called is not None:
                message = f"{self._caller.does('call')} {name}, which {self._callee.does('reject')} with EK08"
                yield self._only(self._caller, "procedure", called.pointer, message)
            elif served is not None:
                message = f"{self._caller.does_not('call')} {name}"
                yield self._only(self._callee, "procedure", served.pointer, message)

    def _procedure(self, called: Procedure, served: Procedure) -> Iterator[Change]:
        if called.kind != served.kind:
            message = (
                f"{self._caller.does('call')} a {called.kind}; for {self._callee.name} it is a {served.kind}, "
                "and the call is rejected with EK08"
            )
            yield self._both("kind-changed", called.pointer, served.pointer, message)
            return
        yield from self._idempotence(called, served)
        for slot in _OF_CALLER:
            yield from self._slot(slot, (self._caller, called), (self._callee, served))
        for slot in _OF_CALLEE:
            yield from self._slot(slot, (self._callee, served), (self._caller, called))
        yield from self._errors(called, served)

    def _idempotence(self, called: Procedure, served: Procedure) -> Iterator[Change]:
        if called.idempotent == served.idempotent:
            return
        new = served if self._callee.is_new else called
        rule = "idempotent-added" if new.idempotent else "idempotent-removed"
        if not called.idempotent or self._caller.is_server:  # a server repeats nothing
            yield self._both(rule, called.pointer, served.pointer, "no client repeats it", "note")
            return
        message = (
            f"{self._caller.does('repeat')} the request if its reply was lost with the connection; "
            f"{self._callee.does_not('declare')} that this is safe"
        )
        yield self._both(rule, called.pointer, served.pointer, message)

    def _slot(
        self, slot: SlotName, written: tuple[_End, Procedure], read: tuple[_End, Procedure]
    ) -> Iterator[Change]:
        one, other = (procedure.slots.get(slot) for _, procedure in (written, read))
        if one is None and other is None:
            return
        is_dynamic = any(slot in procedure.dynamic_schemas for _, procedure in (written, read))
        if not is_dynamic and self._unchanged.holds(one, other):
            return
        writer, reader = (_Slot.of(end, procedure, slot) for end, procedure in (written, read))
        if writer.whole is None or reader.whole is None:
            yield from self._one_sided(slot, writer, reader)
            return
        yield from self._values(slot, (writer, writer.whole), (reader, reader.whole))
        if slot in ("data", "param") and self._callee.is_new and not self._caller.is_server:
            yield from self._absence(writer.whole, reader.whole, self._where(writer, reader))

    def _one_sided(self, slot: SlotName, writer: "_Slot", reader: "_Slot") -> Iterator[Change]:
        """Compare a slot that one version does not declare."""
        where = self._where(writer, reader)
        has_new = (writer if writer.end.is_new else reader).whole is not None
        rule = "slot-added" if has_new else "slot-removed"
        if reader.whole is not None:
            sends = f"{writer.end.does('send')} no {slot}"
            if len(reader.whole.falsy) == 1:
                value = as_json(reader.whole.falsy[0])
                message = f"{sends}, which {reader.end.does('read')} as {value}"
                yield self._change(rule, where, message, "note")
            else:
                yield self._change(rule, where, f"{sends}, and {reader.end.does('need')} one")
        elif slot == "result":
            message = f"{writer.end.does('send')} a result, which {reader.end.does('ignore')}"
            yield self._change(rule, where, message, "note")
        elif writer.whole is not None:
            verdict = self._decisions.decide(writer.whole, reader.end.schemas.whole(_NEVER))
            value_sent = () if verdict.contained is not False else (verdict.value,)
            shown = "".join(f" such as {shortened(each)}" for each in value_sent)
            message = (
                f"{writer.end.does('send')} a {slot}{shown}, and {reader.end.does('accept')} none"
            )
            yield self._change(rule, where, message, value=value_sent)

    def _absence(self, writer: Whole, reader: Whole, where: tuple[str, str]) -> Iterator[Change]:
        if writer.text != reader.text and len(writer.falsy) == 1 and len(reader.falsy) > 1:
            several = ", ".join(map(as_json, reader.falsy))
            message = (
                f"TypeScript clients leave out {as_json(writer.falsy[0])}; {self._callee.does('reject')} "
                f"a call without a value, since that may mean {several}"
            )
            yield self._change("absent-ambiguous", where, message)

    def _values(
        self, slot: str, written: tuple["_Slot", Whole], read: tuple["_Slot", Whole]
    ) -> Iterator[Change]:
        """Compare the schemas of a slot that both versions have."""
        (writer, schema), (reader, other) = written, read
        verdict = self._decisions.decide(schema, other)
        where = self._where(writer, reader)
        if verdict.decided_by == "equal":
            return
        details: dict[str, Json] = {"slot": slot, "decided_by": verdict.decided_by}
        if verdict.contained is None:
            message = (
                f"undecided whether {reader.end.does('accept')} all that {writer.end.does('send')}, "
                f"so it counts as breaking: {verdict.reason}"
            )
            yield self._change("undecided", where, message, details=details)
        elif verdict.contained:
            message = f"{reader.end.does('accept')} all that {writer.end.does('send')}"
            yield self._change("slot-changed", where, message, details=details)
        else:
            rule = f"{slot.replace(' ', '-')}-{'narrowed' if reader.end.is_new else 'widened'}"
            why = f": {_cut(verdict.reason)}" if verdict.reason else ""
            message = (
                f"{writer.end.does('send')} {shortened(verdict.value)}, "
                f"which {reader.end.does('reject')}{why}"
            )
            yield self._change(rule, where, message, value=(verdict.value,), details=details)

    def _errors(self, called: Procedure, served: Procedure) -> Iterator[Change]:
        known = {each.code: each for each in called.errors}
        sent = {each.code: each for each in served.errors}
        for code, error in sent.items():
            reader = known.get(code) or known.get(None)
            if reader is None:
                what = "an error of any code" if code is None else f"the error {code}"
                message = f"{self._callee.does('send')} {what}, for which {self._caller.does('raise')} CallError"
                yield self._only(self._callee, "error", error.pointer, message, called.pointer)
            else:
                yield from self._error_data(error, reader)
        for code in sorted(known.keys() - sent.keys(), key=str):
            what = "errors of any code" if code is None else f"the error {code}"
            message = f"{self._callee.does_not('send')} {what}"
            yield self._only(
                self._caller, "error", known[code].pointer, message, served.pointer, "note"
            )

    def _error_data(self, written: ErrorDefinition, read: ErrorDefinition) -> Iterator[Change]:
        if read.data is None:
            return  # whatever is sent is ignored
        data: Schema = _NO_DATA if written.data is None else written.data
        if self._unchanged.holds(data, read.data):
            return
        writer, reader = self._callee.schemas.whole(data), self._caller.schemas.whole(read.data)
        yield from self._values(
            "error data",
            (_Slot(self._callee, written.pointer, writer), writer),
            (_Slot(self._caller, read.pointer, reader), reader),
        )

    def _where(self, writer: "_Slot", reader: "_Slot") -> tuple[str, str]:
        """Return the locations in the old and in the new version."""
        return (
            (writer.pointer, reader.pointer)
            if reader.end.is_new
            else (reader.pointer, writer.pointer)
        )

    def _only(
        self,
        end: _End,
        what: str,
        pointer: str,
        message: str,
        other: str | None = None,
        severity: Severity | None = None,
    ) -> Change:
        """Return the change for something that one version alone has.

        Args:
            end: The end of that version.
            what: What it is: the rule without ``-added`` or ``-removed``.
            pointer: Its location there.
            message: What it means.
            other: What is around it in the other version.
            severity: By default, that of the rule.
        """
        if end.is_new:
            return self._change(f"{what}-added", (other, pointer), message, severity)
        return self._change(f"{what}-removed", (pointer, other), message, severity)

    def _both(
        self,
        rule: str,
        called: str,
        served: str,
        message: str,
        severity: Severity | None = None,
    ) -> Change:
        where = (called, served) if self._callee.is_new else (served, called)
        return self._change(rule, where, message, severity)

    def _change(
        self,
        rule: str,
        where: tuple[str | None, str | None],
        message: str,
        severity: Severity | None = None,
        *,
        value: tuple[Json, ...] = (),
        details: Mapping[str, Json] | None = None,
    ) -> Change:
        known = RULES[rule]
        by_rule = known.new_callee if self._callee.is_new else known.new_caller
        return Change(rule, severity or by_rule or "error", *where, message, value, details or {})


@dataclass(frozen=True, slots=True)
class _Slot:
    """A slot at one end; without a schema where the version does not declare it."""

    end: _End
    pointer: str
    whole: Whole | None

    @classmethod
    def of(cls, end: _End, procedure: Procedure, slot: SlotName) -> "_Slot":
        """Return the slot of a procedure."""
        if slot not in procedure.slots:
            return cls(end, procedure.pointer, None)
        whole = end.schemas.whole(procedure.slots[slot], procedure.dynamic_schemas.get(slot))
        return cls(end, procedure.pointer + pointer((slot,)), whole)


def shortened(value: Json) -> str:
    """Return a value as JSON, on one line of bounded length."""
    return _cut(as_json(value))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"
