"""Whether a soak went well: each figure beside what it may be.

Above it: the program and the test. Below it: the record.
"""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .protocol import Figures
from .run import Plan, Record

__all__ = ["Row", "faults", "judge", "table"]

_MIB: Final = 2**20
_SLACK: Final = 8 * _MIB  # bytes that a process may grow by after its warm-up, whatever its size
_SHARE: Final = 0.05  # and of its size


@dataclass(frozen=True, slots=True)
class Row:
    """A figure.

    Attributes:
        right: Whether it is as it has to be; None where it may be anything.
    """

    name: str
    value: str
    right: bool | None = None


def judge(plan: Plan, record: Record) -> list[Row]:
    """Give every figure."""
    return [*_server(plan, record), *_memory(record), *_clients(record)]


def _server(plan: Plan, record: Record) -> Iterator[Row]:
    for figures in record.stopped:
        if figures is None:
            yield Row("a server that was stopped", "hung or failed", right=False)
        else:
            yield _balance("calls of a server that was stopped", figures)
    first, last = record.first, record.last
    if first is None or last is None:
        yield Row("the last server", "did not answer", right=False)
        return
    yield _balance("calls of the last server", last)
    for kind in sorted(last.started):
        yield Row(f"  {kind}", f"{last.started[kind]:,}")
    enough = sum(last.started.values()) >= plan.connections
    yield Row("calls, at least as many as users", f"{sum(last.started.values()):,}", right=enough)
    yield _same("tasks left", last.tasks - first.tasks)
    yield _same("descriptors left", last.descriptors - first.descriptors)
    yield _same("calls left", last.calls)
    yield _same("connections left", last.connections - first.connections)


def _memory(record: Record) -> Iterator[Row]:
    for name, samples in (("server", record.server_memory), ("a client", record.client_memory)):
        third = len(samples) // 3
        if third:
            before = statistics.median(samples[:third])
            after = statistics.median(samples[-third:])
            flat = after - before <= _SLACK + _SHARE * before
            value = f"{before / _MIB:.1f} to {after / _MIB:.1f} MiB"
            yield Row(f"memory of {name} after its warm-up", value, right=flat)


def _clients(record: Record) -> Iterator[Row]:
    hung = sum(client is None for client in record.clients)
    yield _same("clients that hung or failed", hung)
    counts: Counter[str] = Counter()
    for client in record.clients:
        if client is not None:
            counts.update(client["counts"])
            yield _same("tasks left in a client", client["tasks"])
            yield _same("descriptors left in a client", client["descriptors"])
    for name, count in (*sorted(record.kills.items()), *sorted(counts.items())):
        yield Row(name, f"{count:,}")
    yield _same("faults", len(list(faults(record))))


def _balance(name: str, figures: Figures) -> Row:
    started, ended = sum(figures.started.values()), sum(figures.ended.values())
    return Row(f"{name}: started, ended", f"{started:,}, {ended:,}", right=started == ended)


def _same(name: str, value: int) -> Row:
    return Row(name, f"{value}", right=value == 0)


def faults(record: Record) -> Iterator[str]:
    """Give what went wrong, in words."""
    for figures in (*record.stopped, record.last):
        yield from (f"server: {fault}" for fault in figures.faults) if figures else ()
    for client in record.clients:
        yield from (f"client: {fault}" for fault in client["faults"]) if client else ()
    if record.errors:
        yield f"standard error: {record.errors[-3000:]}"


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Give the lines."""
    words = {True: "ok", False: "WRONG", None: ""}
    width = max(len(row.name) for row in rows) + 2
    for row in rows:
        yield f"{row.name:<{width}}{row.value:>24}  {words[row.right]}".rstrip()
