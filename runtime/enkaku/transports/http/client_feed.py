"""The feed as the client has it: the endless answer that carries the items and ends of its streams and channels.

``ClientFeed`` reads it, and ends it when it is silent, when a message on it takes too long, or when it had no call for a minute.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from enkaku.errors import ConnectionLost
from enkaku.transports.base import Oversized
from enkaku.wire.messages import find_ids

from .answers import Answer
from .events import EventStream
from .outbox import Outbox

__all__ = ["REST", "SILENCE", "ClientFeed", "FeedOwner", "OpenStream"]

SILENCE: Final = 45.0  # seconds; a server of this library sends something each 15
REST: Final = 60.0  # seconds without a call, after which the client closes the feed
_PART: Final = (
    64 * 1024
)  # bytes that are read in one iteration of the event loop; short lines take 6 ms
_RECEIVE: Final = b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"receive"'
_ENDS: Final = frozenset({"result", "error"})
_TYPES: Final = _ENDS | {"receive", "credit"}
_CALLS: Final = frozenset({"request", "stream", "channel", "send", "abort", "end"})


class OpenStream:
    """A stream or channel that has not ended.

    Attributes:
        rid: The id of the call.
        feed: The feed that carries it; None until there is one.
        held: Messages that wait until the call was opened; None when it was.
    """

    __slots__ = ("feed", "held", "rid")

    def __init__(self, rid: str) -> None:
        self.rid: Final = rid
        self.feed: ClientFeed | None = None
        self.held: list[bytes] | None = []


class FeedOwner(Protocol):
    """The transport, as its feed sees it."""

    @property
    def readable(self) -> asyncio.Event:
        """Set while reading is not paused."""
        ...

    def on_messages(self, messages: Sequence[bytes | Oversized]) -> None:
        """Handle messages of the feed."""

    def on_growing(self, size: int) -> None:
        """Handle that a message of the feed is incomplete."""

    def end_feed(self, feed: "ClientFeed", error: ConnectionLost | None) -> None:
        """End the feed; its calls, too, with an error."""


def _parts(chunk: bytes) -> Iterator[bytes]:
    """Cut what was received into parts, behind events: a server may send lines of which each byte takes long to read."""
    start = 0
    while len(chunk) - start > _PART:
        end = chunk.rfind(b"\n\n", start, start + _PART) + 2
        end = end if end > start + 1 else start + _PART
        yield chunk[start:end]
        start = end
    yield chunk[start:] if start else chunk


class ClientFeed:
    """One feed.

    Args:
        owner: Gets what the feed carries.
        message_size: The size limit of a message.
        message_time: How many seconds a message of more than 4 KiB may take.
        silence: After how many seconds without a byte the feed is broken; None is never.
        accepts_calls: Whether the server may call this client, so that the feed carries other messages, too, and is kept open.

    Attributes:
        calls: The calls that it carries, and those that wait for it, by their ids.
        ready: Done when its head has come, or when it could not be opened.
        session_id: Names it in further POSTs; ``""`` until its head has come.
        outbox: Sends the messages of its calls.
        task: Reads it.
        opener: The id of the call whose opening opens it.
        ended: Whether it carries no more calls.
        opened_at: When its head came, by the clock of the event loop.
    """

    def __init__(
        self,
        owner: FeedOwner,
        *,
        message_size: int,
        message_time: float | None,
        silence: float | None,
        accepts_calls: bool = False,
    ) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._owner: Final = owner
        self._events: Final = EventStream(message_size)
        self._message_time: Final = message_time
        self._silence: Final = silence
        self._accepts_calls: Final = accepts_calls
        self._types: Final = _TYPES | _CALLS if accepts_calls else _TYPES
        self._timers: Final[dict[str, asyncio.TimerHandle]] = {}
        self._last = 0.0
        self.calls: Final[dict[str, OpenStream]] = {}
        self.ready: Final[asyncio.Future[None]] = self._loop.create_future()
        self.session_id = ""
        self.outbox: Outbox | None = None
        self.task: asyncio.Task[None] | None = None
        self.opener = ""
        self.ended = False
        self.opened_at = 0.0

    def add(self, stream: OpenStream) -> None:
        """Carry a call from now on."""
        self.calls[stream.rid] = stream
        stream.feed = self
        self._stop("rest")

    def remove(self, rid: str) -> None:
        """Carry a call no more: it has ended."""
        rests = self.calls.pop(rid, None) is not None and not self.calls
        if rests and not self.ended and not self._accepts_calls:
            self._start("rest", REST, self._on_rest)

    def on_head(self, session_id: str) -> None:
        """Record that the head has come."""
        self.session_id = session_id
        self.opened_at = self._last = self._loop.time()
        if not self.ready.done():
            self.ready.set_result(None)

    def close(self) -> None:
        """Stop the timers, and let those go on who wait for the head. Called once, by the owner."""
        self.ended = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if not self.ready.done():
            self.ready.set_result(None)
        if self.outbox is not None:
            self.outbox.close()

    async def read(self, answer: Answer) -> None:
        """Deliver what comes, until the feed ends.

        Raises:
            ConnectionLost: It violates the limits.
            HttpFailure: The connection was lost.
        """
        events, owner, readable = self._events, self._owner, self._owner.readable
        if self._silence is not None:
            self._start("silence", self._silence, self._on_silence)
        async for chunk in answer.chunks():
            self._last = self._loop.time()
            for part in _parts(chunk):
                messages = events.split(part)
                ended: list[str] = []
                # Without a message, too: a comment shows that the server is alive.
                owner.on_messages([each for each in messages if self._is_known(each, ended)])
                for rid in ended:
                    self.remove(rid)
                if events.unfinished or "message" in self._timers:
                    self._on_unfinished()
                if events.violation:
                    raise ConnectionLost(events.violation)
                if not readable.is_set():
                    await readable.wait()
                    self._last = self._loop.time()
                elif len(part) < len(chunk):
                    await asyncio.sleep(0)

    def _is_known(self, message: bytes | Oversized, ended: list[str]) -> bool:
        """Return whether a message is of a known type, or none at all; add the call that it ends to a list."""
        if type(message) is Oversized or message.startswith(_RECEIVE):
            return True
        typ, rid = find_ids(message)
        if rid is not None and typ in _ENDS:
            ended.append(rid)
        return rid is None or typ in self._types

    def _on_unfinished(self) -> None:
        self._owner.on_growing(self._events.unfinished)
        if not self._events.unfinished:
            self._stop("message")
        elif self._message_time is not None and "message" not in self._timers:
            self._start("message", self._message_time, self._on_message_time)

    def _on_message_time(self) -> None:
        if not self._owner.readable.is_set():
            self._start("message", self._message_time or 0.0, self._on_message_time)
            return
        self._break(f"the server took more than {self._message_time:g} s to send a message")

    def _on_silence(self) -> None:
        silence = self._silence or 0.0
        left = self._last + silence - self._loop.time()
        if not self._owner.readable.is_set():
            left = silence  # the silence is this side's: it does not read
        if left > 0:
            self._start("silence", left, self._on_silence)
            return
        self._break(f"the server has sent nothing for {silence:g} s")

    def _on_rest(self) -> None:
        self._owner.end_feed(self, None)

    def _break(self, reason: str) -> None:
        self._owner.end_feed(self, ConnectionLost(reason))

    def _start(self, name: str, seconds: float, on_time: Callable[[], None]) -> None:
        self._stop(name)
        self._timers[name] = self._loop.call_later(seconds, on_time)

    def _stop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
