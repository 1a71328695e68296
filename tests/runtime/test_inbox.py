"""The bounded queue of a call, and the control that stops a connection from reading too much."""

import asyncio
import gc
from typing import Any

import enkaku
import pytest
from enkaku.errors import ConnectionLost, InboxOverflow, UsageError
from enkaku.flow.inbox import End, Inbox, ReadControl
from hypothesis import given, settings
from hypothesis import strategies as st
from support import WITHIN, turns, until

ITEM = 1000


def control_of(decisions: list[bool] | None = None, *, buffered: int = 10**9) -> ReadControl:
    """Make a control that writes down what it decides."""

    class Reads:
        def update_reading(self) -> None:
            if decisions is not None:
                decisions.append(control.paused)

    control = ReadControl(Reads(), buffered=buffered)
    return control


class Books:
    """What an inbox has granted to its sender, and what it has dropped."""

    def __init__(self) -> None:
        self.granted: list[int] = []
        self.dropped = 0

    def drop(self, count: int) -> None:
        self.dropped += count


def inbox_of(
    control: ReadControl,
    *,
    window: int = 2999,
    limit: int = 10_000,
    when_full: enkaku.WhenFull = "wait",
    books: Books | None = None,
) -> Inbox[int]:
    books = books or Books()
    return Inbox(
        control,
        window=window,
        limit=limit,
        when_full=when_full,
        grant=books.granted.append,
        on_drop=books.drop,
    )


def put(inbox: Inbox[int], item: int, size: int) -> None:
    inbox.put(((item, size),), size)


async def take(inbox: Inbox[int], count: int) -> list[int]:
    async with asyncio.timeout(WITHIN):
        return [await inbox.get() for _ in range(count)]


async def test_inbox_returns_items_in_order_then_end() -> None:
    inbox = inbox_of(control_of())
    for item in range(3):
        put(inbox, item, 1)
    inbox.put_end()
    assert await take(inbox, 3) == [0, 1, 2]
    for _ in range(2):
        with pytest.raises(End):
            await inbox.get()


async def test_inbox_first_end_counts_and_later_items_are_dropped() -> None:
    inbox = inbox_of(control_of())
    inbox.put_end(ConnectionLost("first"))
    inbox.put_end(ConnectionLost("second"))
    inbox.put_end()
    put(inbox, 1, 1)
    with pytest.raises(ConnectionLost, match="first"):
        await inbox.get()


async def test_inbox_reader_waits_for_item_or_end() -> None:
    inbox = inbox_of(control_of())
    reading = asyncio.create_task(inbox.get())
    await turns()
    put(inbox, 1, 1)
    assert await reading == 1
    reading = asyncio.create_task(inbox.get())
    await turns()
    inbox.put_end()
    with pytest.raises(End):
        await reading


async def test_inbox_second_reader_raises_usage_error() -> None:
    inbox = inbox_of(control_of())
    reading = asyncio.create_task(inbox.get())
    await turns()
    with pytest.raises(UsageError):
        await inbox.get()
    put(inbox, 1, 1)
    assert await reading == 1


async def test_inbox_full_pauses_reading() -> None:
    decisions: list[bool] = []
    control = control_of(decisions)
    inbox = inbox_of(control)
    for item in range(3):
        assert not control.paused
        put(inbox, item, ITEM)
    assert control.paused
    await inbox.get()
    assert not control.paused
    assert decisions == [True, False]


async def test_inbox_full_keeps_reading_while_other_reader_waits() -> None:
    control = control_of()
    full, other = inbox_of(control), inbox_of(control)
    reading = asyncio.create_task(other.get())
    await turns()
    for item in range(5):
        put(full, item, ITEM)
    assert not control.paused
    put(other, 1, 1)
    assert await reading == 1
    assert control.paused
    with control.waiting():
        assert not control.paused
    assert control.paused
    assert await take(full, 3) == [0, 1, 2]
    assert not control.paused


async def test_inbox_over_limit_overflows_and_keeps_items() -> None:
    inbox = inbox_of(control_of())
    for item in range(10):
        put(inbox, item, ITEM)
    with pytest.raises(InboxOverflow, match="10 items"):
        put(inbox, 10, ITEM)
    assert await take(inbox, 10) == list(range(10))


async def test_inbox_single_item_over_limit_is_accepted() -> None:
    inbox = inbox_of(control_of())
    put(inbox, 1, 10**9)
    assert await inbox.get() == 1


@pytest.mark.parametrize("how", ["end", "clear", "lossy", "read"])
async def test_inbox_no_longer_full_resumes_reading(how: str) -> None:
    decisions: list[bool] = []
    control = control_of(decisions)
    inbox = inbox_of(control)
    for item in range(4):
        put(inbox, item, ITEM)
    assert control.paused
    match how:
        case "end":
            inbox.put_end()
        case "clear":
            inbox.clear()
        case "lossy":
            inbox.drop_excess()
        case _:
            await take(inbox, 2)
    assert not control.paused
    for finish in (inbox.clear, inbox.put_end, inbox.drop_excess, inbox.clear):
        finish()
    assert decisions == [True, False]
    other = inbox_of(control)
    for item in range(3):
        put(other, item, ITEM)
    assert control.paused
    other.clear()
    assert not control.paused


async def test_inbox_dropping_excess_keeps_first_items() -> None:
    control = control_of()
    inbox = inbox_of(control)
    inbox.drop_excess()
    for item in range(100):
        put(inbox, item, ITEM)
    assert not control.paused
    inbox.put_end()
    assert await take(inbox, 2) == [0, 1]
    with pytest.raises(End):
        await inbox.get()


async def test_inbox_cancelled_reader_is_not_counted_and_loses_nothing() -> None:
    control = control_of()
    waited, full = inbox_of(control), inbox_of(control)
    for woken in (False, True):
        reading = asyncio.create_task(waited.get())
        await turns()
        if woken:
            put(waited, 7, 1)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    for item in range(3):
        put(full, item, ITEM)
    assert control.paused, "a reader that is gone still counts as waiting"
    assert await waited.get() == 7


async def test_inbox_reader_that_never_waits_yields() -> None:
    inbox = inbox_of(control_of(), window=10**9, limit=10**9)
    for item in range(1000):
        put(inbox, item, 1)
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await take(inbox, 1000)
    task.cancel()
    assert others >= 10


async def test_inbox_returns_credit_at_half_of_window() -> None:
    control, books = control_of(), Books()
    control.enable_flow_control()
    inbox = inbox_of(control, window=4000, books=books)
    for item in range(4):
        put(inbox, item, ITEM)
    await inbox.get()
    assert books.granted == []
    await take(inbox, 2)
    assert books.granted == [2000]
    assert not control.paused


async def test_inbox_waiting_reader_returns_owed_credit() -> None:
    control, books = control_of(), Books()
    control.enable_flow_control()
    inbox = inbox_of(control, window=100_000, books=books)
    put(inbox, 1, ITEM)
    await inbox.get()
    reading = asyncio.create_task(inbox.get())
    await until(lambda: books.granted == [ITEM])
    inbox.put_end()
    with pytest.raises(End):
        await reading


async def test_inbox_without_flow_control_returns_no_credit() -> None:
    books = Books()
    inbox = inbox_of(control_of(), books=books)
    for item in range(2):
        put(inbox, item, ITEM)
    await take(inbox, 2)
    assert books.granted == []


async def test_inbox_two_windows_unread_overflow() -> None:
    control = control_of()
    control.enable_flow_control()
    inbox = inbox_of(control, window=100_000)
    with pytest.raises(InboxOverflow, match="granted 100000"):
        for item in range(1000):
            put(inbox, item, ITEM)
    assert len(await take(inbox, 201)) == 201
    put(inbox, 1, 10**9)  # a single large item goes when nothing is outstanding


@pytest.mark.parametrize(("when_full", "kept"), [("latest", [99]), ("drop_oldest", [98, 99])])
async def test_inbox_when_full_drops_items_and_returns_credit(
    when_full: enkaku.WhenFull, kept: list[int]
) -> None:
    control, books = control_of(), Books()
    control.enable_flow_control()
    inbox = inbox_of(control, when_full=when_full, books=books)
    for item in range(100):
        put(inbox, item, ITEM)
    assert sum(books.granted) == 100 * ITEM
    assert books.dropped == 100 - len(kept)
    assert control.unread == len(kept) * ITEM
    assert await take(inbox, len(kept)) == kept


async def test_inboxes_share_buffer_limit_of_connection() -> None:
    control = control_of(buffered=10_000)
    first, second = inbox_of(control), inbox_of(control)
    for item in range(5):
        put(first, item, ITEM)
        put(second, item, ITEM)
    with pytest.raises(InboxOverflow, match="all calls"):
        put(second, 6, ITEM)
    first.release()
    put(second, 6, ITEM)
    assert await take(first, 5) == [0, 1, 2, 3, 4]
    assert control.unread == 6 * ITEM


def test_reserve_shrinks_as_buffer_fills() -> None:
    control = control_of(buffered=100_000)
    reserved = [control.reserve(20_000) for _ in range(10)]
    assert reserved[:3] == [20_000] * 3
    assert reserved == sorted(reserved, reverse=True)
    assert reserved[-1] == 4096
    for each in reserved:
        control.release(each)
    assert control.reserve(20_000) == 20_000


steps = st.lists(
    st.tuples(
        st.integers(0, 2), st.sampled_from(["put", "get", "cancel", "end", "clear", "lossy"])
    ),
    max_size=40,
)


@given(steps)
@settings(deadline=None)
def test_read_pause_holds_only_for_a_reason(
    given_steps: list[tuple[int, str]],
) -> None:
    asyncio.run(_drive(given_steps))


async def _drive(given_steps: list[tuple[int, str]]) -> None:  # noqa: C901 # a branch for each step
    control = control_of()
    inboxes = [inbox_of(control) for _ in range(3)]
    readers: dict[int, asyncio.Task[int]] = {}
    open_ended = {0: True, 1: True, 2: True}
    for number, step in given_steps:
        inbox = inboxes[number]
        match step:
            case "put":
                try:
                    put(inbox, number, ITEM)
                except InboxOverflow:
                    inbox.clear()
                    inbox.put_end()
                    open_ended[number] = False
            case "get" if number not in readers or readers[number].done():
                readers[number] = asyncio.create_task(inbox.get())
            case "cancel" if number in readers:
                readers[number].cancel()
            case "end":
                inbox.put_end()
                open_ended[number] = False
            case "clear":
                inbox.clear()
            case "lossy":
                inbox.drop_excess()
            case _:
                pass
        await turns(3)
        if any(not reader.done() for reader in readers.values()):
            assert not control.paused
    for reader in readers.values():
        reader.cancel()
    await asyncio.gather(*readers.values(), return_exceptions=True)
    for inbox in inboxes:
        inbox.put_end()
        inbox.clear()
    assert not control.paused
    last: Any = inbox_of(control)
    for item in range(3):
        put(last, item, ITEM)
    assert control.paused, "somebody is still counted as waiting"
    last.clear()
    assert not control.paused, "an inbox is still counted as full"


def test_released_inbox_is_part_of_no_cycle() -> None:
    books = Books()
    inbox = inbox_of(control_of(), books=books)
    books.granted.append(0)
    inbox.release()
    assert gc.get_referents(inbox).count(books.drop) == 0
    inbox.put(((1, 2),), 2)
    assert books.dropped == 0
