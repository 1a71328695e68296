"""Client sessions of ends that serve calls, too: at a client with a handler, and at a server that calls its client.

The other half of the end is a server's session, which has the same ``ConnectionInfo``; see ``calls/halves``. A handler that waits
for a call to its own peer gives up its place among ``Limits.handlers`` until the call has ended: if the peer's handler calls back,
that call needs the place. The handler then goes on at once, even if no place is free: it may hold what those that have one wait for.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from enkaku.calls.deadlines import scope
from enkaku.calls.halves import Halves
from enkaku.calls.info import Call, ConnectionInfo
from enkaku.calls.observers import Observers
from enkaku.errors import MessageTooLarge
from enkaku.limits import Limits
from enkaku.transports.base import Oversized, PausesReading, Transport
from enkaku.wire.messages import ALIVE, SERVER_RID, encode_open, introduce, peek
from enkaku.wire.tally import VALUES_MAX, tally

from .session import ClientSession, OpenCall

if TYPE_CHECKING:
    from enkaku.identity.messages import Signer

__all__ = ["CalledSession", "ServedCalls", "ServingSession"]


class ServedCalls(Protocol):
    """The handler of a client, as its sessions see it: what serves the calls of the server."""

    def connected(self, transport: Transport, info: ConnectionInfo) -> None:
        """Serve the calls of a new connection."""

    def is_served_by(self, task: "asyncio.Task[object] | None") -> bool:
        """Return whether one of its handlers runs in a task."""
        ...

    async def stop(self, *, within: float) -> None:
        """Let the handlers finish, and cancel them in time."""


class _PairedSession(ClientSession):
    """A client session at an end that serves calls, too."""

    _halves: Halves | None = None

    def open_call(
        self, opened: OpenCall, call: Call, prm: bytes | None, *, win: int | None = None
    ) -> None:
        """Send the message that opens a call. Until it has ended, the handler that makes it needs no place."""
        super().open_call(opened, call, prm, win=win)
        outer = scope.get()
        take_back = None if outer is None else outer.give_up_place(self.info)
        if take_back is not None:
            opened.over.add_done_callback(take_back)

    def _is_reading_paused(self) -> bool:
        return super()._is_reading_paused() or (self._halves is not None and self._halves.paused)


class ServingSession(_PairedSession):
    """The session of a client with a handler: it owns the transport, and shows the server at once that it can be called."""

    def __init__(
        self,
        transport: Transport,
        limits: Limits,
        observers: Observers,
        on_lost: Callable[[ClientSession], None],
        served: ServedCalls,
        connect_peer: Callable[[], object] | None,
        signer: "Signer | None",
    ) -> None:
        self._connect_peer = connect_peer
        super().__init__(transport, limits, observers, on_lost, signer=signer)
        self._served = served
        halves = self._halves = Halves(
            transport, self, self._read_by, at_server=False, most=limits.window
        )
        halves.begin()
        if self.separate is None:
            served.connected(halves.guest, self.info)
            ping = encode_open("request", self._ping_rid, ALIVE, None)
            self.write(self.introduce(ping))
        else:
            opening = encode_open("stream", f"{self.separate.call_prefix}feed", ALIVE, None)
            self.separate.accept_calls(opening, self._on_feed)

    def _on_feed(self, is_open: bool) -> None:  # noqa: FBT001 # a state, not an option
        """Serve the calls of a connection that the client keeps open for them, or end that."""
        if self._halves is None:
            return
        if is_open:
            self._served.connected(self._halves.replace_guest(), self.info)
        else:
            self._halves.end_guest(None)

    def connect_peer(self) -> object:
        """Return the connection, for a handler."""
        return None if self._connect_peer is None else self._connect_peer()

    def _read_by(self, reader: PausesReading) -> None:
        self.reader = reader

    def introduce(self, message: bytes) -> bytes:
        """Return the first message with what this client supports."""
        self.is_new = False
        return introduce(message, call=True)

    def _lose(self, reason: str, cause: Exception | None) -> None:
        super()._lose(reason, cause)
        if self._halves is not None:
            self._halves.end_guest(cause)


class CalledSession(_PairedSession):
    """The session of a server that calls its client: the guest of a transport that the server's session owns.

    Args:
        halves: The halves of the connection.
        info: The connection, as observers see it.
        limits: Bound what is buffered.
        observers: Are notified of calls.
        on_lost: Called when no further calls can be made.
    """

    def __init__(
        self,
        halves: Halves,
        info: ConnectionInfo,
        limits: Limits,
        observers: Observers,
        on_lost: Callable[[ClientSession], None],
    ) -> None:
        super().__init__(halves.guest, limits, observers, on_lost, info)
        self._ended = False
        self._halves = halves
        halves.list_made = self._list_over
        self.is_open = False  # until the client has shown that it can be called
        self.is_new = False  # the server's session has said what this side supports
        self._received = True
        self._rids = map(SERVER_RID.__add__, self._rids)
        self._ping_rid = SERVER_RID + self._ping_rid

    def open(self) -> None:
        """Make calls from now on: the client can be called, and supports flow control."""
        if self._halves is not None and not (self.is_open or self._ended):
            self.is_open = True
            self._on_flow_control()
            self._halves.begin()

    def messages_received(self, batch: Sequence[bytes | Oversized]) -> None:
        """Handle messages of the client; end the call of one that has so many values that decoding them takes long."""
        values = self.limits.values
        small = values // VALUES_MAX
        if all(len(raw) <= small for raw in batch):
            super().messages_received(batch)
            return
        bounded: list[bytes | Oversized] = []
        for raw in batch:
            if type(raw) is Oversized or len(raw) <= small or tally(raw, values) is not None:
                bounded.append(raw)
            else:
                error = MessageTooLarge(f"a message of more than {values} values was discarded")
                self._on_invalid(peek(raw)[1], error)
        super().messages_received(bounded)

    async def close(self, *, within: float) -> None:
        """End every call, and make no more. The connection goes on."""
        for opened in tuple(self._calls.values()):
            self.abort_call(opened.info, None)
        await super().close(within=within)

    def _list_over(self) -> Collection[asyncio.Future[Any]]:
        return [opened.over for opened in self._calls.values()]

    def _lose(self, reason: str, cause: Exception | None) -> None:
        if not self._ended:
            self._ended = self.is_open = True  # also if it never was
            super()._lose(reason, cause)
            self.observers.log.flush()
