"""The write queue: a writer continues at once while it is writable, and otherwise in the order of arrival."""

import asyncio

import pytest
from enkaku.transports.write_queue import WriteQueue
from support import WITHIN, turns


async def wait(queue: WriteQueue, name: int, woken: list[int]) -> None:
    await queue.wait()
    woken.append(name)


async def test_write_queue_writable_does_not_yield() -> None:
    queue = WriteQueue()
    waiting = queue.wait()
    with pytest.raises(StopIteration):
        waiting.send(None)


async def test_write_queue_waiters_leave_in_order() -> None:
    queue, woken = WriteQueue(), list[int]()
    queue.mark_full()
    tasks = [asyncio.create_task(wait(queue, name, woken)) for name in range(100)]
    await turns()
    assert woken == []
    tasks[3].cancel()
    queue.mark_writable()
    await asyncio.wait(tasks, timeout=WITHIN)
    assert woken == [name for name in range(100) if name != 3]


async def test_write_queue_new_writers_do_not_starve_waiters() -> None:
    queue, woken = WriteQueue(), list[int]()

    async def write_for_ever(name: int) -> None:
        while True:
            await wait(queue, name, woken)
            if len(woken) % 3 == 0:
                queue.mark_full()

    queue.mark_full()
    tasks = [asyncio.create_task(write_for_ever(name)) for name in range(30)]
    await turns()
    for _ in range(30):
        queue.mark_writable()
        await turns()
    assert set(woken) == set(range(30))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=WITHIN)


async def test_write_queue_wakes_few_waiters_at_a_time() -> None:
    queue, woken = WriteQueue(), list[int]()

    async def fill(name: int) -> None:
        await wait(queue, name, woken)
        queue.mark_full()

    queue.mark_full()
    tasks = [asyncio.create_task(fill(name)) for name in range(100)]
    await turns()
    for _ in range(5):
        before = len(woken)
        queue.mark_writable()
        await turns()
        assert 1 <= len(woken) - before <= 8
    queue.release_all()
    await asyncio.wait(tasks, timeout=WITHIN)
    assert woken == list(range(100))


async def test_write_queue_cancelled_waiter_passes_on_wakeup() -> None:
    queue, woken = WriteQueue(), list[int]()
    queue.mark_full()
    tasks = [asyncio.create_task(wait(queue, name, woken)) for name in range(30)]
    await turns()
    queue.mark_writable()
    for task in tasks[:10]:
        task.cancel()
    await asyncio.wait(tasks, timeout=WITHIN)
    assert woken == list(range(10, 30))


@pytest.mark.slow
@pytest.mark.parametrize("leave", ["woken", "cancelled"])
async def test_write_queue_many_waiters_leave_in_linear_time(leave: str) -> None:
    """A queue that each of them searches would take minutes."""
    queue = WriteQueue()
    queue.mark_full()
    tasks = [asyncio.create_task(queue.wait()) for _ in range(60_000)]
    await turns(1)
    if leave == "woken":
        queue.mark_writable()
    else:
        for task in reversed(tasks):
            task.cancel()
    _, pending = await asyncio.wait(tasks, timeout=WITHIN)
    assert not pending
