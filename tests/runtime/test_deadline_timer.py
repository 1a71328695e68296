"""One timer ends all open calls at their deadlines."""

import asyncio
import time
from collections.abc import Callable, Iterable
from math import inf

import pytest
from enkaku.calls import deadlines
from enkaku.calls.deadlines import Deadlines
from support import soon, turns


class Calls:
    """Open calls, and the timer that looks at them."""

    def __init__(self) -> None:
        self.open: list[OpenCall] = []
        self.looks = 0
        self.deadlines = Deadlines(self._list)

    def add(self, due: float | None, on_deadline: Callable[[], object]) -> "OpenCall":
        call = OpenCall(self, due, on_deadline)
        self.open.append(call)
        if due is not None and due < self.deadlines.wakes:
            self.deadlines.wake_at(due)
        return call

    def _list(self) -> Iterable["OpenCall"]:
        self.looks += 1
        return self.open


class OpenCall:
    def __init__(self, calls: Calls, due: float | None, on_deadline: Callable[[], object]) -> None:
        self.due = due
        self._calls = calls
        self._on_deadline = on_deadline

    def end(self) -> None:
        if self in self._calls.open:
            self._calls.open.remove(self)

    def on_deadline(self) -> None:
        self.end()
        self._on_deadline()


async def test_deadline_queue_calls_end_in_time_and_in_order() -> None:
    calls, seen, done = Calls(), list[int](), asyncio.Event()
    now = time.monotonic()
    for number in (3, 1, 2):
        calls.add(now + number / 20, lambda number=number: seen.append(number))
    calls.add(None, lambda: seen.append(0))
    calls.add(now + 0.2, done.set)
    await soon(done)
    assert seen == [1, 2, 3]
    assert time.monotonic() >= now + 0.2
    assert len(calls.open) == 1
    assert calls.deadlines.wakes == inf


async def test_deadline_queue_ended_call_is_not_called_back() -> None:
    calls, seen, done = Calls(), list[str](), asyncio.Event()
    now = time.monotonic()
    calls.add(now + 0.001, lambda: seen.append("ended")).end()
    calls.add(now + 0.02, done.set)
    await soon(done)
    assert seen == []


async def test_deadline_queue_passed_deadline_is_noticed_soon() -> None:
    calls, done = Calls(), asyncio.Event()
    calls.add(time.monotonic() - 1, done.set)
    assert not done.is_set()
    await soon(done)


async def test_deadline_queue_raising_callback_does_not_stop_others() -> None:
    upset = list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: upset.append(context))
    calls, done = Calls(), asyncio.Event()
    now = time.monotonic()
    calls.add(now, lambda: {}["nothing"])
    calls.add(now, done.set)
    await soon(done)
    assert len(upset) == 1


async def test_deadline_queue_call_added_by_callback_ends() -> None:
    calls, done = Calls(), asyncio.Event()
    calls.add(time.monotonic(), lambda: calls.add(time.monotonic() + 0.001, done.set))
    await soon(done)


async def test_deadline_queue_many_deadlines_are_checked_together() -> None:
    calls, ended = Calls(), list[int]()
    now = time.monotonic()
    done = asyncio.Event()
    for number in range(1000):
        calls.add(now + 0.05 + number / 20_000, lambda number=number: ended.append(number))
    calls.add(now + 0.15, done.set)
    await soon(done)
    assert len(ended) == 1000
    assert calls.looks < 20  # one each 10 ms, and not one for each call


async def test_deadline_queue_ended_calls_leave_only_one_timer() -> None:
    calls = Calls()
    due = time.monotonic() + 60
    for number in range(10_000):
        calls.add(due + number, lambda: None).end()
    assert calls.deadlines.wakes == due
    assert calls.looks == 0
    calls.deadlines.close()


async def test_deadline_queue_closed_calls_nothing_back() -> None:
    calls, seen, done = Calls(), list[str](), asyncio.Event()
    now = time.monotonic()
    calls.add(now + 0.001, lambda: seen.append("late"))
    calls.deadlines.close()
    calls.add(now + 0.001, lambda: seen.append("later"))
    asyncio.get_running_loop().call_later(0.02, done.set)
    await soon(done)
    await turns()
    assert seen == []


async def test_deadline_timer_ends_many_calls_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "SLICE", -1.0)  # time for one call
    calls, seen, done = Calls(), list[tuple[int, int]](), asyncio.Event()
    now = time.monotonic()
    for number in range(5):
        calls.add(now, lambda number=number: seen.append((number, calls.looks)))
    calls.add(now + 0.2, done.set)
    await soon(done)
    assert seen == [(number, number + 1) for number in range(5)]
