"""One timer for any number of deadlines."""

import asyncio
import time

from enkaku.expiries import Expiries
from support import soon


async def test_each_is_called_back_in_its_time_and_in_order() -> None:
    expiries, seen, done = Expiries(), list[int](), asyncio.Event()
    now = time.monotonic()
    for number in (3, 1, 2):
        expiries.add(now + number / 100, lambda number=number: seen.append(number))
    expiries.add(now + 0.04, done.set)
    await soon(done)
    assert seen == [1, 2, 3]
    assert time.monotonic() >= now + 0.04
    assert len(expiries) == 0


async def test_what_is_forgotten_is_not_called_back() -> None:
    expiries, seen, done = Expiries(), list[str](), asyncio.Event()
    now = time.monotonic()
    key = expiries.add(now + 0.001, lambda: seen.append("forgotten"))
    expiries.add(now + 0.01, done.set)
    expiries.forget(key)
    expiries.forget(key)
    expiries.forget(0)
    await soon(done)
    assert seen == []


async def test_a_time_that_is_over_already_is_told_soon_and_not_at_once() -> None:
    expiries, done = Expiries(), asyncio.Event()
    expiries.add(time.monotonic() - 1, done.set)
    assert not done.is_set()
    await soon(done)


async def test_what_one_raises_keeps_no_other_from_being_told() -> None:
    expiries, done, upset = Expiries(), asyncio.Event(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: upset.append(context))
    now = time.monotonic()
    expiries.add(now, lambda: {}["nothing"])
    expiries.add(now, done.set)
    await soon(done)
    assert len(upset) == 1


async def test_one_that_is_added_by_another_is_told_too() -> None:
    expiries, done = Expiries(), asyncio.Event()
    expiries.add(time.monotonic(), lambda: _add(expiries, done))
    await soon(done)


def _add(expiries: Expiries, done: asyncio.Event) -> None:
    expiries.add(time.monotonic() + 0.001, done.set)


async def test_what_has_ended_takes_no_room() -> None:
    expiries = Expiries()
    later = time.monotonic() + 60
    kept = [expiries.add(later, lambda: None) for _ in range(10)]
    for _ in range(10_000):
        expiries.forget(expiries.add(later, lambda: None))
    assert len(expiries) == 10
    assert len(expiries._heap) < 1000
    for key in kept:
        expiries.forget(key)
    assert len(expiries) == 0
    expiries.close()


async def test_nobody_is_called_back_after_the_end() -> None:
    expiries, seen = Expiries(), list[str]()
    expiries.add(time.monotonic() + 0.001, lambda: seen.append("late"))
    expiries.close()
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, done.set)
    await soon(done)
    assert seen == []
