"""Room for writers: at once where there is some, and in order where they have to wait for it."""

import asyncio

import pytest
from enkaku.transports.write_queue import Room
from support import WITHIN, turns


async def wait(room: Room, name: int, woken: list[int]) -> None:
    await room.wait()
    woken.append(name)


async def test_write_queue_writable_does_not_yield() -> None:
    room = Room()
    waiting = room.wait()
    with pytest.raises(StopIteration):
        waiting.send(None)


async def test_write_queue_waiters_leave_in_order() -> None:
    room, woken = Room(), list[int]()
    room.fill()
    tasks = [asyncio.create_task(wait(room, name, woken)) for name in range(100)]
    await turns()
    assert woken == []
    tasks[3].cancel()
    room.clear()
    await asyncio.wait(tasks, timeout=WITHIN)
    assert woken == [name for name in range(100) if name != 3]


async def test_write_queue_new_writers_do_not_starve_waiters() -> None:
    room, woken = Room(), list[int]()

    async def write_for_ever(name: int) -> None:
        while True:
            await wait(room, name, woken)
            if len(woken) % 3 == 0:
                room.fill()

    room.fill()
    tasks = [asyncio.create_task(write_for_ever(name)) for name in range(30)]
    await turns()
    for _ in range(30):
        room.clear()
        await turns()
    assert set(woken) == set(range(30))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=WITHIN)


async def test_write_queue_wakes_few_waiters_at_a_time() -> None:
    room, woken = Room(), list[int]()

    async def fill(name: int) -> None:
        await wait(room, name, woken)
        room.fill()

    room.fill()
    tasks = [asyncio.create_task(fill(name)) for name in range(100)]
    await turns()
    for _ in range(5):
        before = len(woken)
        room.clear()
        await turns()
        assert 1 <= len(woken) - before <= 8
    room.give_up()
    await asyncio.wait(tasks, timeout=WITHIN)
    assert woken == list(range(100))


async def test_write_queue_cancelled_waiter_passes_on_wakeup() -> None:
    room, woken = Room(), list[int]()
    room.fill()
    tasks = [asyncio.create_task(wait(room, name, woken)) for name in range(30)]
    await turns()
    room.clear()
    for task in tasks[:10]:
        task.cancel()
    await asyncio.wait(tasks, timeout=WITHIN)
    assert woken == list(range(10, 30))


@pytest.mark.slow
@pytest.mark.parametrize("leave", ["woken", "cancelled"])
async def test_write_queue_many_waiters_leave_in_linear_time(leave: str) -> None:
    """A queue that each of them searches would take minutes."""
    room = Room()
    room.fill()
    tasks = [asyncio.create_task(room.wait()) for _ in range(60_000)]
    await turns(1)
    if leave == "woken":
        room.clear()
    else:
        for task in reversed(tasks):
            task.cancel()
    _, pending = await asyncio.wait(tasks, timeout=WITHIN)
    assert not pending
