"""Report of a soak: compares each figure with its limits."""

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .counting import CONNECTION
from .run import Plan, Record

__all__ = ["Row", "evaluate", "faults", "table"]

_MIB: Final = 2**20
_OBJECTS: Final = 4_000  # that may be left, such as tables that have grown,
_OBJECTS_A_CALL: Final = 0.1  # and for each call
_HEAP: Final = _MIB  # bytes that may be left,
_HEAP_A_CALL: Final = 10  # and for each call


@dataclass(frozen=True, slots=True)
class Row:
    """A figure.

    Attributes:
        right: Whether it is within its limits; None if it has none.
    """

    name: str
    value: str
    right: bool | None = None


def evaluate(plan: Plan, record: Record) -> list[Row]:
    """Return all figures, each compared with its limits."""
    return [*_server(plan, record), *_memory(record), *_clients(record)]


def _server(plan: Plan, record: Record) -> Iterator[Row]:
    for number, figures in enumerate(record.stopped, start=1):
        name = "last server, stopped" if number == len(record.stopped) else "stopped server"
        if figures is None:
            yield Row(name, "hung or failed", right=False)
        else:
            yield from _balance(name, figures.started, figures.ended)
            yield _same("  handlers that run on", figures.running)
    first, last = record.first, record.last
    if first is None or last is None:
        yield Row("the last server", "did not answer", right=False)
        return
    yield from _balance("last server", last.started, last.ended, connections=1)
    yield Row(
        "handlers, at least as many as users",
        f"{last.handlers:,}",
        right=last.handlers >= plan.connections,
    )
    yield _same("handlers that run on", last.running)
    yield _same("tasks left", last.tasks - first.tasks)
    yield _same("descriptors left", last.descriptors - first.descriptors)
    yield _same("calls left", last.calls)
    yield _same("connections left", last.connections - 1)


def _memory(record: Record) -> Iterator[Row]:
    """Compare what is allocated without any call: before, and after so many calls.

    Resident memory has no limit: how much of what was freed it contains depends on the machine.
    """
    first, last = record.first, record.last
    if first is not None and last is not None:
        warm, now = (first.objects, first.heap), (last.objects, last.heap)
        yield from _left("the last server", warm, now, sum(last.ended.values()))
    for client in record.clients:
        if client is not None and client["warm"] is not None:
            calls = sum(client["ended"].values())
            yield from _left("a client", client["warm"], client["allocated"], calls)
    for name, samples in (("server", record.server_memory), ("a client", record.client_memory)):
        third = len(samples) // 3
        if third:
            before = statistics.median(samples[:third])
            after = statistics.median(samples[-third:])
            yield Row(
                f"resident memory of {name}", f"{before / _MIB:.1f} to {after / _MIB:.1f} MiB"
            )


def _left(where: str, warm: Sequence[int], now: Sequence[int], calls: int) -> Iterator[Row]:
    objects, heap = (after - before for before, after in zip(warm, now, strict=True))
    for name, left, most in (
        ("objects", objects, _OBJECTS + _OBJECTS_A_CALL * calls),
        ("bytes", heap, _HEAP + _HEAP_A_CALL * calls),
    ):
        value = f"{left:,} after {calls:,} calls"
        yield Row(f"{name} left in {where}", value, right=left <= most)


def _clients(record: Record) -> Iterator[Row]:
    hung = sum(client is None for client in record.clients)
    yield _same("clients that hung or failed", hung)
    counts: Counter[str] = Counter()
    for client in record.clients:
        if client is not None:
            counts.update(client["counts"])
            yield from _balance("a client", client["started"], client["ended"])
            yield _same("tasks left in a client", client["tasks"])
            yield _same("descriptors left in a client", client["descriptors"])
    for name, count in (*sorted(record.kills.items()), *sorted(counts.items())):
        yield Row(name, f"{count:,}")
    yield _same("faults", len(list(faults(record))))


def _balance(
    name: str, started: Mapping[str, int], ended: Mapping[str, int], connections: int = 0
) -> Iterator[Row]:
    """Compare starts with ends; ``connections`` are those that request the figures."""
    for kind in sorted(started):
        still = connections if kind == CONNECTION else 0
        yield Row(
            f"{name}: {kind}s started, ended",
            f"{started[kind]:,}, {ended.get(kind, 0):,}",
            right=started[kind] == ended.get(kind, 0) + still,
        )


def _same(name: str, value: int) -> Row:
    return Row(name, f"{value}", right=value == 0)


def faults(record: Record) -> Iterator[str]:
    """Return a description of each fault."""
    for figures in (*record.stopped, record.last):
        yield from (f"server: {fault}" for fault in figures.faults) if figures else ()
    for client in record.clients:
        yield from (f"client: {fault}" for fault in client["faults"]) if client else ()
    if record.errors:
        yield f"standard error: {record.errors[-3000:]}"


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Return the lines of the table."""
    words = {True: "ok", False: "WRONG", None: ""}
    width = max(len(row.name) for row in rows) + 2
    for row in rows:
        yield f"{row.name:<{width}}{row.value:>32}  {words[row.right]}".rstrip()
