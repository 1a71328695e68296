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

_HIGH_WATER = 500  # bytes in transit, above which writers wait

Line = dict[str, Any]
Message = dict[str, dict[str, Any]]
"""A message: header and payload."""
Alter = Callable[[Message], list[Message]]
"""Returns the messages that replace a message."""


@dataclass(frozen=True)
class Mistake:
    """A mutation of the messages of one side, equivalent to a bug in its code.

    Attributes:
        side: The side with the bug: ``"client"`` or ``"server"``.
        received: Whether received messages are changed, or sent ones.
        begin: Returns the mutation for a new connection.
    """

    side: str
    received: bool
    begin: Callable[[], Alter]


class Watcher(Protocol):
    """Notified of each message when it is written and when all of it has arrived, and of the connection's loss."""

    def wrote(self, line: Line, size: int) -> None: ...
    def got(self, line: Line, size: int) -> None: ...
    def lost(self) -> None: ...


class Pipe:
    """The bytes in transit in one direction.

    Args:
        alter: Changes the messages; None for no change.
    """

    def __init__(self, alter: Alter | None) -> None:
        self._alter = alter
        self.data = bytearray()
        self.lines: deque[tuple[int, Line, int]] = deque()  # the end position of each
        self.written = 0
        self.taken = 0
        self.end: str | None = None  # "eof" after the bytes, or "reset"
        self.writable = asyncio.Event()
        self.writable.set()

    def put(self, data: bytes, message: Message) -> None:
        if self.end is not None:
            return
        received = data if self._alter is None else _encode(self._alter(message))
        self.data += received
        self.written += len(received)
        self.lines.append((self.written, _line(message), len(data)))
        self.update_writable()

    def take(self, count: int) -> tuple[bytes, list[tuple[Line, int]]]:
        data = bytes(self.data[:count])
        del self.data[:count]
        self.taken += len(data)
        whole: list[tuple[Line, int]] = []
        while self.lines and self.lines[0][0] <= self.taken:
            _, line, size = self.lines.popleft()
            whole.append((line, size))
        self.update_writable()
        return data, whole

    def update_writable(self) -> None:
        if len(self.data) > _HIGH_WATER:
            self.writable.clear()
        else:
            self.writable.set()

    def cut(self, keep: int) -> None:
        """Drop all bytes in transit except the first ones, and all later ones."""
        if self.end != "reset":
            del self.data[keep:]
            self.end = "reset"
            self.update_writable()


class End:
    """One end of the connection; implements ``Transport``."""

    credentials: PeerCredentials | None = None
    certificate: None = None
    request: None = None

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
        self._ended = False
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def ended(self) -> bool:
        """Whether this end has stopped reading and writing."""
        return self._ended

    @property
    def writable(self) -> bool:
        """Whether ``drain`` would return at once."""
        return not self._ended and self.outgoing.writable.is_set()

    @property
    def buffered(self) -> int:
        return len(self.outgoing.data)

    def start(
        self,
        receiver: Receiver,
        *,
        message_size: int,
        message_time: float | None = None,
        unread_time: float | None = None,
    ) -> None:
        # The times are ignored: only the steps of a program end the connection.
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
            if not self._ended and not self._ending:
                self.outgoing.put(text, each)

    async def drain(self) -> None:
        if not self._ended:
            await self.outgoing.writable.wait()
        if self._ended:
            await asyncio.shield(self._lost)
            raise ConnectionLost(f"the connection to {self.peer} has ended")

    def pause_reading(self) -> None:
        self._reading = self._ending

    def resume_reading(self) -> None:
        self._reading = True

    async def close(self, *, within: float) -> None:
        if not self._ended:
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
        """End at once; only the first ``keep`` bytes in transit may still arrive."""
        self.outgoing.cut(keep)
        if not self._lost.done():
            self._ended = True
            asyncio.get_running_loop().call_soon(self._lose, None)

    def deliver(self, count: int) -> bool:
        """Receive a number of bytes in transit, or the end after them; return whether there were any."""
        pipe = self.incoming
        if pipe.data and (self._ended or self._reading):
            data, lines = pipe.take(count)
            if not self._ended and self._receiver is not None:
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
        if pipe.end == "eof" and not pipe.data and self._reading and not self._ended:
            # The peer has ended; bytes written here may still be delivered.
            self._ended = True
            self.outgoing.end = self.outgoing.end or "eof"
            self._report_lost(None)
            return True
        if self._ended and not self.outgoing.data:
            self._lose(None)
            return True
        return False

    def _lose(self, error: Exception | None) -> None:
        self._ended = True
        if not self._lost.done():
            self._lost.set_result(None)
            self.outgoing.writable.set()
            self._report_lost(error)

    def _report_lost(self, error: Exception | None) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            self.watcher.lost()
            receiver.connection_lost(error)


def wire(make: Callable[[str], Watcher], mistake: Mistake | None) -> tuple[End, End]:
    """Return both ends of a connection: the client's and the server's.

    Args:
        make: Returns the watcher of a side.
        mistake: A mutation of one side's messages; None for none.
    """

    def alter(side: str, *, received: bool) -> Alter | None:
        made = mistake is not None and (mistake.side, mistake.received) == (side, received)
        return mistake.begin() if made and mistake is not None else None

    to_server = Pipe(alter("server", received=True))
    to_client = Pipe(alter("client", received=True))
    client = End(
        "the server", to_client, to_server, make("client"), alter("client", received=False)
    )
    server = End(
        "the client", to_server, to_client, make("server"), alter("server", received=False)
    )
    return client, server


def _line(message: Message) -> Line:
    return {**message["header"], **message["payload"]}


def _encode(messages: list[Message]) -> bytes:
    """Encode messages as lines; a blank line, which readers ignore, if there are none."""
    lines = [json.dumps(each, separators=(",", ":"), ensure_ascii=False) for each in messages]
    return "\n".join([*lines, ""]).encode() or b"\n"
