"""Server-sent events: what an event stream delivers, however it is cut."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Sequence

import enkaku
import pytest
from enkaku.transports.base import HEAD_SIZE, Oversized
from enkaku.transports.http.client_feed import ClientFeed
from enkaku.transports.http.events import EventStream

LIMIT = 100
A, B = b'{"a":1}', b'{"b":"\xc3\xa9"}'
STREAMS = {
    "usual": (b"data: %b\n\ndata: %b\n\n" % (A, B), [A, B]),
    "crlf": (b"data: %b\r\n\r\ndata: %b\r\n\r\n" % (A, B), [A, B]),
    "cr": (b"data: %b\r\rdata: %b\r\r" % (A, B), [A, B]),
    "mixed ends": (b"data: %b\n\r\ndata: %b\r\n\n" % (A, B), [A, B]),
    "no space": (b"data:%b\n\n" % A, [A]),
    "two spaces": (b"data:  %b\n\n" % A, [b" " + A]),
    "lines": (b'data: {"a":\ndata: 1\ndata: }\n\n', [b'{"a":\n1\n}']),
    "empty line": (b'data: {"a":\ndata\ndata: 1}\n\n', [b'{"a":\n\n1}']),
    "comments": (b":\n\n: hi\ndata: %b\n:\n\n:\n\n" % A, [A]),
    "fields": (b"id: 5\nevent: x\nretry: 9\nfoo: y\nbar\ndata: %b\nid\n\n" % A, [A]),
    "byte order mark": (b"\xef\xbb\xbfdata: %b\n\n" % A, [A]),
    "later byte order mark": (
        b"data: %b\n\n\xef\xbb\xbfdata: %b\n\ndata: %b\n\n" % (A, A, B),
        [A, B],
    ),
    "part of a mark": (b"\xef\xbbx\n\ndata: %b\n\n" % A, [A]),
    "no data": (b"event: x\n\nid: 3\n\ndata: %b\n\n" % A, [A]),
    "empty data": (b"data:\n\ndata: \n\ndata\n\ndata:   \n\ndata: %b\n\n" % A, [A]),
    "no messages": (b"data: null\n\ndata: nonsense\n\n", [b"null", b"nonsense"]),
    "other names": (b"dat: x\ndatas: x\nData: x\n data: x\n\ndata: %b\n\n" % A, [A]),
    "unfinished": (b"data: %b\n\ndata: %b\n" % (A, B), [A]),
    "blank lines": (b"\n\n\ndata: %b\n\n\n\n" % A, [A]),
    "at the limit": (b"data: %b\n\n" % (b"x" * LIMIT), [b"x" * LIMIT]),
    "over the limit": (
        b"data: %b\n\ndata: %b\n\n" % (b"x" * (LIMIT + 1), A),
        [Oversized(b"x" * (LIMIT + 1)), A],
    ),
    "far over the limit": (
        b"data: %b\n\ndata: %b\n\n" % (b"x" * 3 * LIMIT, A),
        [Oversized(b"x" * (LIMIT + 1)), A],
    ),
    "lines over the limit": (
        b"data: %b\ndata: %b\ndata: %b\n\ndata: %b\n\n" % (b"x" * 60, b"y" * 60, b"z" * 60, A),
        [Oversized(b"x" * 60 + b"\n" + b"y" * 60), A],
    ),
    "comment over the limit": (b": %b\ndata: %b\n\n" % (b"x" * 300, A), [A]),
    "field after large data": (b"data: %b\nid: 12345\n\n" % (b"x" * LIMIT), [b"x" * LIMIT]),
}


def split(pieces: list[bytes]) -> list[bytes | Oversized]:
    events = EventStream(LIMIT)
    found: list[bytes | Oversized] = []
    for piece in pieces:
        found += events.split(piece)
    assert not events.violation
    # How much of a head there is depends on how the event was cut.
    return [Oversized(each.head[:LIMIT]) if isinstance(each, Oversized) else each for each in found]


def expected(name: str) -> list[bytes | Oversized]:
    return [
        Oversized(each.head[:LIMIT]) if isinstance(each, Oversized) else each
        for each in STREAMS[name][1]
    ]


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 10_000])
def test_event_stream_in_pieces_of_one_size(name: str, size: int) -> None:
    data = STREAMS[name][0]
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert split(pieces) == expected(name)


@pytest.mark.parametrize("name", STREAMS)
def test_event_stream_cut_at_each_byte(name: str) -> None:
    data = STREAMS[name][0]
    for at in range(len(data) + 1):
        assert split([data[:at], data[at:]]) == expected(name), at
        assert split([b":\n\n", data[:at], b"", data[at:]]) == expected(name) or b"\xef" in data


def test_event_stream_counts_unfinished_bytes() -> None:
    events = EventStream(100_000)
    events.split(b"data: " + b"x" * 4_000)
    assert events.unfinished == 0
    events.split(b"x" * 4_000)
    assert events.unfinished == 8_006
    assert events.split(b"\n\n") == [b"x" * 8_000]
    assert events.unfinished == 0


def test_event_stream_keeps_only_head_of_large_event() -> None:
    events = EventStream(10_000)
    found = events.split(b"data: " + b"x" * 20_000)
    assert found == [Oversized(b"x" * HEAD_SIZE)]
    assert events.unfinished == 20_006
    assert not events._line
    assert events.split(b"x" * 15_000) == []
    assert not events.violation
    assert events.split(b"\ndata: y\n\ndata: z\n\n") == [b"z"]


def test_event_stream_event_without_end_is_violation() -> None:
    events = EventStream(10_000)
    for _ in range(5):
        assert not events.violation
        events.split(b"data: " + b"x" * 8_100)
    assert "four times the size limit" in events.violation


@pytest.mark.parametrize("data", [b"\n" * 5_000, b":\n\n" * 2_000, b"data:\n\n" * 1_000])
def test_event_stream_of_short_lines_is_violation(data: bytes) -> None:
    events = EventStream(10_000)
    assert events.split(data) == []
    assert "too short" in events.violation


def test_event_stream_of_shortest_messages_is_none() -> None:
    events = EventStream(10_000)
    event = b'data: {"payload":{"typ":"x","rid":""}}\n\n'
    assert len(events.split(event * 10_000)) == 10_000
    assert len(events.split(event * 10_000 + b":\n\n")) == 10_000
    assert not events.violation


def test_event_of_many_short_lines_takes_little_memory() -> None:
    events = EventStream(10**6)
    events.split(b":\n\n")
    piece = b"data:aaaa\n" * 6_000
    tracemalloc.start()
    try:
        for _ in range(30):
            assert events.split(piece) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000
    assert events.split(b"\n") == [b"\n".join([b"aaaa"] * 180_000)]


class Owner:
    """A transport that reads on, whatever comes."""

    def __init__(self) -> None:
        self.readable = asyncio.Event()
        self.readable.set()
        self.messages: list[bytes | Oversized] = []

    def on_messages(self, messages: Sequence[bytes | Oversized]) -> None:
        self.messages += messages

    def on_growing(self, size: int) -> None:
        pass

    def end_feed(self, feed: ClientFeed, error: enkaku.ConnectionLost | None) -> None:
        pass


class OneChunk:
    """An answer that comes in one piece."""

    status = 200

    def __init__(self, data: bytes) -> None:
        self._data = data

    def header(self, name: str) -> str:
        return name

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._data

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("gap", [b"\n", b""], ids=["events", "lines"])
async def test_feed_with_large_read_lets_others_run(gap: bytes) -> None:
    item = b'data:{"payload":{"typ":"receive","rid":"r","val":1}}\n' + gap
    owner, count = Owner(), 5_000
    feed = ClientFeed(owner, message_size=10**6, message_time=None, silence=None)
    reading = asyncio.create_task(feed.read(OneChunk(b":\n\n" + item * count + b"\n")))
    iterations = 0
    while not reading.done():
        await asyncio.sleep(0)
        iterations += 1
    await reading
    feed.close()
    assert len(owner.messages) == (count if gap else 1)
    assert iterations > 4  # of the event loop: in each, a part was read
