"""The time slices in which the messages of one read are handled."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from enkaku.flow import fairness
from enkaku.flow.fairness import CHUNK, TimeSlices, free
from support import WITHIN, Sliced


class Handling:
    """Handles one message in each slice."""

    def __init__(self) -> None:
        self.handled: list[int] = []
        self.on_message: Callable[[], None] = lambda: None
        self.slices = TimeSlices[int](Sliced(self._handle))

    def _handle(self, batch: Sequence[int]) -> None:
        self.handled.append(batch[0])
        self.slices.defer(batch[1:])
        self.on_message()

    async def run(self) -> None:
        async with asyncio.timeout(WITHIN):
            while self.slices.waiting:  # noqa: ASYNC110 # there is no event of it
                await asyncio.sleep(0)


async def test_free_removes_some_values_in_each_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [[number] for number in range(5)]
    free(values[:])
    monkeypatch.setattr(fairness, "SLICE", -1.0)  # time for one value
    free(values)
    counts = [len(values)]
    while values:
        await asyncio.sleep(0)
        counts.append(len(values))
    assert counts == [4, 3, 2, 1, 0]


async def test_clear_within_slice_drops_every_batch_that_waits() -> None:
    handling = Handling()
    handling.slices.add([1, 2])
    handling.slices.add([3])
    handling.on_message = handling.slices.clear
    await handling.run()
    assert handling.handled == [1, 2]


async def test_release_many_times_still_runs_one_slice_at_a_time() -> None:
    handling = Handling()
    handling.slices.add([*range(20)])
    for _ in range(5):
        handling.slices.hold()
        handling.slices.release()
    counts: list[int] = []
    while handling.slices.waiting:
        counts.append(len(handling.handled))
        await asyncio.sleep(0)
    assert counts == [*range(1, 20)]


async def test_hold_within_slice_keeps_further_messages_until_release() -> None:
    handled: list[int] = []

    def handle(batch: Sequence[int]) -> None:
        handled.extend(batch)
        slices.hold()

    slices = TimeSlices[int](Sliced(handle))
    slices.add([*range(3 * CHUNK)])
    await asyncio.sleep(0)
    assert handled == [*range(CHUNK)]
    slices.release()
    await asyncio.sleep(0)
    assert handled == [*range(2 * CHUNK)]


async def test_end_with_messages_that_wait_is_called_once_after_them() -> None:
    handling = Handling()
    ends: list[list[int]] = []
    handling.slices.add([1, 2, 3])
    handling.slices.end(lambda: ends.append([*handling.handled]))
    await handling.run()
    handling.slices.add([4, 5])
    await handling.run()
    assert ends == [[1, 2, 3]]
    assert handling.handled == [1, 2, 3, 4, 5]
