"""What is written in one turn of the event loop leaves together; an answer, and what comes after a pause, at once."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import enkaku
import pytest
from enkaku.transports.sockets import coalescing as gathering
from enkaku.transports.sockets.coalescing import Gathering
from support import ECHO, POUR, Serving, turns


class Sent:
    """What left, a piece for each system call."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.gathering = Gathering(self.pieces.append)


@pytest.fixture
async def sent() -> Sent:
    sent = Sent()
    sent.gathering.add(b"first")  # there was none before: it leaves at once
    assert sent.pieces == [b"first"]
    sent.pieces.clear()
    return sent


async def test_what_one_turn_writes_leaves_together_and_in_order(sent: Sent) -> None:
    for number in range(5):
        sent.gathering.add(b"%d" % number)
    assert sent.pieces == []
    assert sent.gathering.size == 5
    await turns(1)
    assert sent.pieces == [b"01234"]
    assert sent.gathering.size == 0


async def test_the_first_answer_to_what_came_leaves_at_once(sent: Sent) -> None:
    for _ in range(20):
        sent.gathering.arrive()
        sent.gathering.add(b"answer")
    assert sent.pieces == [b"answer"] * 20


async def test_the_answers_of_many_calls_leave_together(sent: Sent) -> None:
    await _write_together(sent)
    for _ in range(3):
        sent.pieces.clear()
        sent.gathering.arrive()
        await _write_together(sent)
        assert sent.pieces == [b"abc"]


async def test_one_call_at_a_time_is_answered_at_once_again_after_some(sent: Sent) -> None:
    await _write_together(sent)
    for _ in range(10):
        sent.gathering.arrive()
        sent.gathering.add(b"answer")
        await turns(1)
    sent.gathering.arrive()
    sent.gathering.add(b"last")
    assert sent.pieces[-1] == b"last"


async def test_what_comes_after_a_pause_leaves_at_once(
    sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(gathering, "monotonic", lambda: now + 1)
    sent.gathering.add(b"a")
    assert sent.pieces == [b"a"]
    monkeypatch.setattr(gathering, "monotonic", lambda: now + 1.001)
    sent.gathering.add(b"b")
    assert sent.pieces == [b"a"]
    monkeypatch.setattr(gathering, "monotonic", lambda: now + 1.5)  # a handler computes for so long
    sent.gathering.add(b"c")
    assert sent.pieces == [b"a", b"bc"]
    await turns(1)
    assert sent.pieces == [b"a", b"bc"]


async def test_no_more_than_64_kib_wait_for_the_end_of_a_turn(sent: Sent) -> None:
    for _ in range(20):
        sent.gathering.add(b"x" * 10_000)
    assert [len(piece) for piece in sent.pieces] == [70_000, 70_000]
    await turns(1)
    assert sum(len(piece) for piece in sent.pieces) == 200_000


async def test_what_is_cleared_never_leaves(sent: Sent) -> None:
    sent.gathering.add(b"a")
    sent.gathering.clear()
    await turns(2)
    assert sent.pieces == []


async def _write_together(sent: Sent) -> None:
    for piece in (b"a", b"b", b"c"):
        sent.gathering.add(piece)
    await turns(1)


def _counting(count: list[int]) -> Callable[[Gathering], None]:
    flush = Gathering.flush

    def counted(self: Gathering) -> None:
        count.append(self.size)
        flush(self)

    return counted


async def test_a_connection_writes_a_turn_at_a_time(socket_path: Path) -> None:
    count: list[int] = []

    async def echo(text: str) -> str:
        return text

    async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
        for item in range(number):
            await stream.send(str(item))
        return number

    async with (
        enkaku.serve_unix(Serving(echo=echo, pour=pour), socket_path),
        enkaku.connect_unix(socket_path) as connection,
    ):
        with mock.patch.object(Gathering, "flush", _counting(count)):
            texts = [str(number) for number in range(50)]
            assert (
                await asyncio.gather(*(connection.request(ECHO, text) for text in texts)) == texts
            )
            assert len(count) < 20
            count.clear()
            async with connection.stream(POUR, 1000) as stream:
                assert [item async for item in stream] == [str(item) for item in range(1000)]
            assert len(count) < 100
