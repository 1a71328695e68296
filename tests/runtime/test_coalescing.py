"""Messages of one event-loop iteration leave together; a reply, and what comes after a pause, at once."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import enkaku
import pytest
from enkaku.transports import coalescing
from enkaku.transports.coalescing import CoalescingWriter
from enkaku.transports.sockets.transport import SocketTransport
from support import ECHO, POUR, Serving, turns


class Sent(CoalescingWriter):
    """What left, a piece for each system call."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop(), b"")
        self.pieces: list[bytes] = []

    @property
    def pending(self) -> int:
        return self._pending_size

    def arrive(self) -> None:
        self._replying = self._alone

    def discard(self) -> None:
        self._discard()

    def _send_messages(self, data: bytes) -> None:
        self.pieces.append(data)


_NOW = 1_000.0  # seconds of a clock that stands still, so that a busy machine makes no pauses


@pytest.fixture
async def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    monkeypatch.setattr(coalescing, "monotonic", lambda: _NOW)
    sent = Sent()
    sent.write(b"first")  # there was none before: it leaves at once
    assert sent.pieces == [b"first"]
    sent.pieces.clear()
    return sent


async def test_coalescing_writes_of_one_iteration_leave_together(sent: Sent) -> None:
    for number in range(5):
        sent.write(b"%d" % number)
    assert sent.pieces == []
    assert sent.pending == 5
    await turns(1)
    assert sent.pieces == [b"01234"]
    assert sent.pending == 0


async def test_coalescing_first_reply_leaves_at_once(sent: Sent) -> None:
    for _ in range(20):
        sent.arrive()
        sent.write(b"answer")
    assert sent.pieces == [b"answer"] * 20


async def test_coalescing_replies_of_many_calls_leave_together(sent: Sent) -> None:
    await _write_together(sent)
    for _ in range(3):
        sent.pieces.clear()
        sent.arrive()
        await _write_together(sent)
        assert sent.pieces == [b"abc"]


async def test_coalescing_sequential_replies_leave_at_once_again(sent: Sent) -> None:
    await _write_together(sent)
    for _ in range(10):
        sent.arrive()
        sent.write(b"answer")
        await turns(1)
    sent.arrive()
    sent.write(b"last")
    assert sent.pieces[-1] == b"last"


async def test_coalescing_write_after_pause_leaves_at_once(
    sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "monotonic", lambda: _NOW + 1)
    sent.write(b"a")
    assert sent.pieces == [b"a"]
    monkeypatch.setattr(coalescing, "monotonic", lambda: _NOW + 1.001)
    sent.write(b"b")
    assert sent.pieces == [b"a"]
    monkeypatch.setattr(
        coalescing, "monotonic", lambda: _NOW + 1.5
    )  # a handler computes for so long
    sent.write(b"c")
    assert sent.pieces == [b"a", b"bc"]
    await turns(1)
    assert sent.pieces == [b"a", b"bc"]


async def test_coalescing_buffers_at_most_64_kib(sent: Sent) -> None:
    for _ in range(20):
        sent.write(b"x" * 10_000)
    assert [len(piece) for piece in sent.pieces] == [70_000, 70_000]
    await turns(1)
    assert sum(len(piece) for piece in sent.pieces) == 200_000


async def test_coalescing_discarded_bytes_are_never_written(sent: Sent) -> None:
    sent.write(b"a")
    sent.discard()
    await turns(2)
    assert sent.pieces == []


async def _write_together(sent: Sent) -> None:
    for piece in (b"a", b"b", b"c"):
        sent.write(piece)
    await turns(1)


async def test_coalescing_write_all_joins_writes_of_iteration(sent: Sent) -> None:
    sent.write(b"a")
    sent.write_all([b"b", b"c", b"d"])
    sent.write(b"e")
    assert sent.pieces == []
    await turns(1)
    assert sent.pieces == [b"abcde"]


def _counting(count: list[int]) -> Callable[[SocketTransport, bytes], None]:
    send = SocketTransport._send_messages

    def counted(self: SocketTransport, data: bytes) -> None:
        count.append(len(data))
        send(self, data)

    return counted


async def test_coalescing_connection_writes_once_per_iteration(
    socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescing, "_PAUSE", 60.0)
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
        with mock.patch.object(SocketTransport, "_send_messages", _counting(count)):
            texts = [str(number) for number in range(50)]
            assert (
                await asyncio.gather(*(connection.request(ECHO, text) for text in texts)) == texts
            )
            assert len(count) < 20
            count.clear()
            async with connection.stream(POUR, 1000) as stream:
                assert [item async for item in stream] == [str(item) for item in range(1000)]
            assert len(count) < 100
