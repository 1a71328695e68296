"""Simulated connection: bytes are delivered only when the test asks, in pieces of any size.

Each end behaves as a socket does: a close sends the written bytes first, an abort drops them.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from enkaku import ConnectionLost
from enkaku.transports.base import PeerCredentials, Receiver
from enkaku.transports.lines import Lines

__all__ = ["Alter", "End", "Line", "Message", "Mistake", "Watcher", "wire"]

_HIGH_WATER = 500  # bytes under way, above which writers wait

Line = dict[str, Any]
Message = dict[str, dict[str, Any]]
"""A line as it is written: its header and its payload."""
Alter = Callable[[Message], list[Message]]
"""Says what takes the place of a message."""


@dataclass(frozen=True)
class Mistake:
    """A mistake of the runtime on one side, as the other side would see it.

    Attributes:
        side: Whose mistake it is: the ``"client"``'s, or the ``"server"``'s.
        heard: Whether it takes what has arrived for something else; or it sends something else than it should.
        begin: Begins to make the mistake, on a new connection.
    """

    side: str
    heard: bool
    begin: Callable[[], Alter]


class Watcher(Protocol):
    """Is told of each line when it is written, when all of it arrives, and when an end is told of its loss."""

    def wrote(self, line: Line, size: int) -> None: ...
    def got(self, line: Line, size: int) -> None: ...
    def lost(self) -> None: ...


class Pipe:
    """The bytes under way in one direction.

    Args:
        alter: What is heard in place of what was said; None for the same.
    """

    def __init__(self, alter: Alter | None) -> None:
        self._alter = alter
        self.data = bytearray()
        self.lines: deque[tuple[int, Line, int]] = deque()  # where each ends
        self.written = 0
        self.taken = 0
        self.end: str | None = None  # "eof" behind the bytes, or "reset"
        self.writable = asyncio.Event()
        self.writable.set()

    def put(self, data: bytes, message: Message) -> None:
        if self.end is not None:
            return
        heard = data if self._alter is None else _encode(self._alter(message))
        self.data += heard
        self.written += len(heard)
        self.lines.append((self.written, _line(message), len(data)))
        self.settle()

    def take(self, count: int) -> tuple[bytes, list[tuple[Line, int]]]:
        data = bytes(self.data[:count])
        del self.data[:count]
        self.taken += len(data)
        whole: list[tuple[Line, int]] = []
        while self.lines and self.lines[0][0] <= self.taken:
            _, line, size = self.lines.popleft()
            whole.append((line, size))
        self.settle()
        return data, whole

    def settle(self) -> None:
        if len(self.data) > _HIGH_WATER:
            self.writable.clear()
        else:
            self.writable.set()

    def cut(self, keep: int) -> None:
        """Lose all but the first bytes, and whatever would come after them."""
        if self.end != "reset":
            del self.data[keep:]
            self.end = "reset"
            self.settle()


class End:
    """A transport: one end of the connection."""

    credentials: PeerCredentials | None = None

    def __init__(
        self,
        peer: str,
        incoming: Pipe,
        outgoing: Pipe,
        watcher: Watcher,
        alter: Alter | None,
    ) -> None:
        self.peer = peer
        self.incoming = incoming
        self.outgoing = outgoing
        self.watcher = watcher
        self._alter = alter
        self._receiver: Receiver | None = None
        self._reading = True
        self._ending = False
        self._over = False
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def over(self) -> bool:
        """Whether nothing is read or taken any more."""
        return self._over

    @property
    def has_room(self) -> bool:
        """Whether a writer need not wait."""
        return not self._over and self.outgoing.writable.is_set()

    @property
    def buffered(self) -> int:
        return len(self.outgoing.data)

    def start(
        self, receiver: Receiver, *, message_size: int, unread_time: float | None = None
    ) -> None:
        # Without unread_time: the steps of a program say what becomes of the connection.
        self._receiver = receiver
        self._framing = Lines(message_size)

    def write_all(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            self.write(message)

    def write(self, data: bytes) -> None:
        message: Message = json.loads(data)
        for each in [message] if self._alter is None else self._alter(message):
            text = data + b"\n" if each is message else _encode([each])
            self.watcher.wrote(_line(each), len(text))
            if not self._over and not self._ending:
                self.outgoing.put(text, each)

    async def drain(self) -> None:
        if not self._over:
            await self.outgoing.writable.wait()
        if self._over:
            await asyncio.shield(self._lost)
            raise ConnectionLost(f"the connection to {self.peer} is gone")

    def pause_reading(self) -> None:
        self._reading = self._ending

    def resume_reading(self) -> None:
        self._reading = True

    async def close(self, *, within: float) -> None:
        if not self._over:
            self._ending = self._reading = True
            self.outgoing.end = self.outgoing.end or "eof"
        try:
            async with asyncio.timeout(within):
                await asyncio.shield(self._lost)
        except TimeoutError:
            self.abort()
            await asyncio.shield(self._lost)
        except asyncio.CancelledError:
            self.abort()
            raise

    def abort(self, keep: int = 0) -> None:
        """End at once; only the first bytes of what is under way may still arrive."""
        self.outgoing.cut(keep)
        if not self._lost.done():
            self._over = True
            asyncio.get_running_loop().call_soon(self._lose, None)

    def deliver(self, count: int) -> bool:
        """Take so many bytes of what is under way, or the end that stands behind them; return whether any moved."""
        pipe = self.incoming
        if pipe.data and (self._over or self._reading):
            data, lines = pipe.take(count)
            if not self._over and self._receiver is not None:
                for line, size in lines:
                    self.watcher.got(line, size)
                self._receiver.messages_received(self._framing.split(data))
            return True
        if self._lost.done():
            return False
        if pipe.end == "reset" and not pipe.data:
            self.outgoing.cut(0)
            self._lose(ConnectionResetError("the peer reset the connection"))
            return True
        if pipe.end == "eof" and not pipe.data and self._reading and not self._over:
            # No more comes; what was written here may still leave.
            self._over = True
            self.outgoing.end = self.outgoing.end or "eof"
            self._tell(None)
            return True
        if self._over and not self.outgoing.data:
            self._lose(None)
            return True
        return False

    def _lose(self, error: Exception | None) -> None:
        self._over = True
        if not self._lost.done():
            self._lost.set_result(None)
            self.outgoing.writable.set()
            self._tell(error)

    def _tell(self, error: Exception | None) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            self.watcher.lost()
            receiver.connection_lost(error)


def wire(make: Callable[[str], Watcher], mistake: Mistake | None) -> tuple[End, End]:
    """Make both ends of a connection: the client's and the server's.

    Args:
        make: Makes the watcher of a side.
        mistake: What one of them does wrong; None for nothing.
    """

    def alter(side: str, *, heard: bool) -> Alter | None:
        made = mistake is not None and (mistake.side, mistake.heard) == (side, heard)
        return mistake.begin() if made and mistake is not None else None

    to_server = Pipe(alter("server", heard=True))
    to_client = Pipe(alter("client", heard=True))
    client = End("the server", to_client, to_server, make("client"), alter("client", heard=False))
    server = End("the client", to_server, to_client, make("server"), alter("server", heard=False))
    return client, server


def _line(message: Message) -> Line:
    return {**message["header"], **message["payload"]}


def _encode(messages: list[Message]) -> bytes:
    """Write lines; where there are none, one that is blank, which a reader passes over."""
    lines = [json.dumps(each, separators=(",", ":"), ensure_ascii=False) for each in messages]
    return "\n".join([*lines, ""]).encode() or b"\n"
