"""One timer for any number of deadlines."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from enkaku.calls.deadlines import Expiries
from support import soon


class Thing:
    def __init__(self, expire: Callable[[], Any]) -> None:
        self.expire = expire


async def test_each_is_called_back_in_its_time_and_in_order() -> None:
    expiries, seen, done = Expiries(), list[int](), asyncio.Event()
    now = time.monotonic()
    for number in (3, 1, 2):
        expiries.add(now + number / 100, Thing(lambda number=number: seen.append(number)))
    expiries.add(now + 0.04, Thing(done.set))
    await soon(done)
    assert seen == [1, 2, 3]
    assert time.monotonic() >= now + 0.04
    assert len(expiries) == 0


async def test_what_is_forgotten_is_not_called_back() -> None:
    expiries, seen, done = Expiries(), list[str](), asyncio.Event()
    now = time.monotonic()
    expiries.add(now + 0.01, Thing(done.set))
    things = [Thing(lambda: seen.append("forgotten")) for _ in range(2)]
    for due, thing in zip((0.001, 0.01), things, strict=True):
        expiries.add(now + due, thing)
        expiries.forget(thing)
        expiries.forget(thing)
    expiries.forget(Thing(done.set))
    await soon(done)
    assert seen == []


async def test_a_time_that_is_over_already_is_told_soon_and_not_at_once() -> None:
    expiries, done = Expiries(), asyncio.Event()
    expiries.add(time.monotonic() - 1, Thing(done.set))
    assert not done.is_set()
    await soon(done)


async def test_what_one_raises_keeps_no_other_from_being_told() -> None:
    expiries, done, upset = Expiries(), asyncio.Event(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: upset.append(context))
    now = time.monotonic()
    expiries.add(now, Thing(lambda: {}["nothing"]))
    expiries.add(now, Thing(done.set))
    await soon(done)
    assert len(upset) == 1


async def test_one_that_is_added_by_another_is_told_too() -> None:
    expiries, done = Expiries(), asyncio.Event()
    expiries.add(time.monotonic(), Thing(lambda: _add(expiries, done)))
    await soon(done)


def _add(expiries: Expiries, done: asyncio.Event) -> None:
    expiries.add(time.monotonic() + 0.001, Thing(done.set))


async def test_one_that_another_ends_is_not_told() -> None:
    expiries, seen, done = Expiries(), list[str](), asyncio.Event()
    second = Thing(lambda: seen.append("second"))
    now = time.monotonic()
    expiries.add(now, Thing(lambda: expiries.forget(second)))
    expiries.add(now, second)
    expiries.add(now, Thing(done.set))
    await soon(done)
    assert seen == []


async def test_a_far_deadline_puts_off_none_that_is_near() -> None:
    expiries, seen, done = Expiries(), list[int](), asyncio.Event()
    now = time.monotonic()
    far = Thing(done.set)
    expiries.add(now + 3600, far)
    for number in (2, 1, 3):
        expiries.add(now + number / 100, Thing(lambda number=number: seen.append(number)))
    expiries.add(now + 0.04, Thing(done.set))
    await soon(done)
    assert seen == [1, 2, 3]
    assert len(expiries) == 1
    expiries.forget(far)
    expiries.add(now + 1800, far)
    assert len(expiries) == 1
    expiries.close()


@pytest.mark.parametrize("before", [0, 3600], ids=["in order", "before another"])
async def test_what_has_ended_takes_no_room(before: int) -> None:
    expiries = Expiries()
    later = time.monotonic() + 60
    kept = [Thing(lambda: None) for _ in range(10)]
    if before:
        expiries.add(later + before, kept[0])
    for thing in kept[bool(before) :]:
        expiries.add(later, thing)
    for _ in range(10_000):
        ended = Thing(lambda: None)
        expiries.add(later, ended)
        expiries.forget(ended)
    assert len(expiries) == 10
    assert len(expiries._heap) < 1000
    for thing in kept:
        expiries.forget(thing)
    assert len(expiries) == 0
    expiries.close()


async def test_nobody_is_called_back_after_the_end() -> None:
    expiries, seen = Expiries(), list[str]()
    expiries.add(time.monotonic() + 0.001, Thing(lambda: seen.append("late")))
    expiries.close()
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, done.set)
    await soon(done)
    assert seen == []
