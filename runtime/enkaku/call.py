"""A call as its handler sees it: what it can send, what it is sent, and when it is to finish.

Above it: routes, which hand these objects to methods, and the calls of a session. Below it: the facts of a call, the
inbox, the transport.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Final, Generic, TypeVar

from .errors import CallClosed, UsageError
from .facts import Call, ConnectionInfo
from .full import POLICIES, WhenFull
from .inbox import End, Inbox
from .messages import encode_receive
from .observer import Observers
from .outbox import Outbox
from .procedures import Procedure
from .slots import Slot
from .states import SERVER, ServerState, Step, after
from .transport import Transport
from .until_closed import UntilClosed
from .usage import require_loop, require_one_of
from .window import Window

__all__ = [
    "ServerCall",
    "ServerChannel",
    "ServerStream",
    "current_call",
    "set_current_call",
]

Send = TypeVar("Send")
Receive = TypeVar("Receive")

_STREAK: Final = 32  # how many items a handler may send before the others get a turn
_ROOM: Final = 64 * 1024  # bytes that may wait for the socket before a handler has to
_TAKES_ITEMS: Final = frozenset({ServerState.RUNNING, ServerState.HALF_CLOSED})


class ServerCall(Call):
    """A call that a handler is serving; ``current_call()`` returns it."""

    def __init__(  # noqa: PLR0913 # what a session hands down, most of it by name
        self,
        procedure: Procedure,
        connection: ConnectionInfo,
        transport: Transport,
        observers: Observers,
        *,
        rid: str = "",
        due: float | None = None,
        window: Window | None = None,
        outbox_size: int = 0,
    ) -> None:
        super().__init__(procedure, connection, rid=rid, due=due)
        self.answered: Final = procedure.kind != "event"
        self.window: Final = window if window is not None else Window(None)
        self.state = ServerState.RUNNING
        self.inbox: Inbox[object] | None = None
        self.outbox: Outbox | None = None
        self.decode_item: Callable[[bytes], object] | None = None
        self.task: asyncio.Task[None] | None = None
        self.cancelled = False
        self.stuck = False
        self._transport = transport
        self._observers = observers
        self._outbox_size = outbox_size
        self._watchers: set[UntilClosed] = set()
        self._streak = 0
        self._loop = asyncio.get_running_loop()

    @property
    def closed(self) -> bool:
        """Whether the handler is asked to finish: the client has closed the call, or the server stops."""
        return self.state not in _TAKES_ITEMS

    def until_closed(self) -> "UntilClosed":
        """Make a block that is left quietly as soon as the call is closed.

        It suits a request that waits for something: ``async with current_call().until_closed(): ...``
        """
        return UntilClosed(lambda: self.closed, self._watchers)

    def step(self, step: Step) -> bool:
        """Go on in the life of the call, if the step means anything where it stands. Called by the session."""
        state = after(SERVER, self.state, step)
        if state is None:
            return False
        self.state = state
        if step is not Step.RELEASE and self.inbox is not None:
            self.inbox.put_end()
        if step in {Step.CLOSE, Step.FINISH}:
            self.window.end()
            for watcher in tuple(self._watchers):
                watcher.leave()
        return True

    def note_dropped(self, count: int) -> None:
        """Count items that were dropped. Called by the inbox and the outbox."""
        self.dropped += count
        self._observers.item_dropped(self, count)

    def _takes_items(self) -> bool:
        # A closed channel's handler may still answer the items that came before the close.
        answering = self.inbox is not None and not self.inbox.finished
        return self.state in _TAKES_ITEMS or (self.state is ServerState.CLOSING and answering)

    async def send_item(self, text: bytes, when_full: WhenFull) -> None:
        """Send an item's JSON text: wait until there is room for it, or put it aside. Called by streams."""
        require_loop(self._loop, "the stream")
        line = encode_receive(self.rid, text)
        self._streak += 1
        if self._streak >= _STREAK:
            # A handler whose sends never wait would keep every other call from running.
            self._streak = 0
            await asyncio.sleep(0)
        if when_full == "wait":
            if self.outbox is not None:
                await self.outbox.flush()
            await self._wait_for_room(len(line))
            # Nothing is awaited from here on: an item is sent if and only if this returns.
            self._write_item(line)
        else:
            self._send_or_keep(line, when_full)

    async def _wait_for_room(self, size: int) -> None:
        """Wait until an item's line of so many bytes may be sent; send it without waiting for anything else."""
        await self.window.turn.acquire()
        try:
            while self._takes_items():
                # Credit first: who waits for it must have seen just now that the call goes on, or nobody wakes him.
                if not self.window.fits(size):
                    await self.window.wait()
                    continue
                await self._transport.drain()
                if self.window.fits(size):
                    break
        finally:
            self.window.turn.release()
        self._require_taking_items()

    def _send_or_keep(self, line: bytes, when_full: WhenFull) -> None:
        self._require_taking_items()
        if self._write_if_room(line):
            return
        if self.outbox is None:
            self.outbox = Outbox(
                self._wait_for_room,
                self._write_item,
                size=self._outbox_size,
                on_drop=self.note_dropped,
            )
        self.outbox.put(line, when_full)

    def send_now(self, text: bytes) -> bool:
        """Send an item's JSON text if nobody has to wait for it, and say so. Called by broadcasts."""
        return self._takes_items() and self._write_if_room(encode_receive(self.rid, text))

    def _write_if_room(self, line: bytes) -> bool:
        others = self.window.turn.locked() or not (self.outbox is None or self.outbox.empty)
        if others or self._transport.buffered >= _ROOM or not self.window.fits(len(line)):
            return False
        self._write_item(line)
        return True

    def _write_item(self, line: bytes) -> None:
        self.window.take(len(line))
        self.note_sent(len(line), items=1)
        self._transport.write(line)

    def _require_taking_items(self) -> None:
        if not self._takes_items():
            raise CallClosed(f"{self.procedure.name}: the call takes no more items: it is closed")


_current: Final[ContextVar[ServerCall]] = ContextVar("enkaku_current_call")


def current_call() -> ServerCall:
    """Return the call that the running task serves.

    Raises:
        UsageError: It serves none.
    """
    try:
        return _current.get()
    except LookupError:
        raise UsageError("current_call() is for tasks that a handler's method runs in") from None


def set_current_call(call: ServerCall) -> None:
    """Make ``call`` the current one of this task and of those that it starts."""
    _current.set(call)


class ServerStream(Generic[Receive]):
    """The server's end of a stream: takes the items for the client."""

    def __init__(self, call: ServerCall, receive: Slot[Receive]) -> None:
        self._when_full: WhenFull = "wait"
        self._call = call
        self._receive = receive

    @property
    def call(self) -> ServerCall:
        """The call that the stream is part of."""
        return self._call

    @property
    def when_full(self) -> WhenFull:
        """What happens to an item that there is no room for; ``"wait"`` at first.

        With ``"latest"`` or ``"drop_oldest"``, ``send`` does not wait, and older items make room for newer ones.
        """
        return self._when_full

    @when_full.setter
    def when_full(self, policy: WhenFull) -> None:
        require_one_of("when_full", policy, POLICIES)
        self._when_full = policy

    @property
    def closed(self) -> bool:
        """Whether the handler is asked to finish: the client has closed the call, or the server stops."""
        return self._call.closed

    @property
    def dropped(self) -> int:
        """How many items were dropped, because there was no room for them and ``when_full`` said so."""
        return self._call.dropped

    def until_closed(self) -> UntilClosed:
        """Make a block that is left quietly as soon as the call is closed."""
        return self._call.until_closed()

    async def send(self, item: Receive) -> None:
        """Wait until there is room for an item, and send it; what was sent is sent when this returns.

        Where ``when_full`` is not ``"wait"``, an item that there is no room for is put aside, and goes as soon as there
        is some, unless a newer one takes its place.

        Raises:
            CallClosed: The handler is asked to finish, or has.
            ConnectionLost: The client is gone; the handler's own task has been cancelled by then.
            EncodeError: The item does not fit its schema.
        """
        await self._call.send_item(self._receive.encode(item), self._when_full)


class ServerChannel(ServerStream[Receive], Generic[Send, Receive]):
    """The server's end of a channel: an async iterator over the client's items, which takes items for it.

    After the client has closed the channel, the iterator gives what came before, and then ends; up to then
    items can still be sent. After the client has only ended its own side, items can be sent as long as the handler
    likes.
    """

    def __init__(self, call: ServerCall, receive: Slot[Receive], inbox: Inbox[Send]) -> None:
        super().__init__(call, receive)
        self._inbox = inbox

    def __aiter__(self) -> AsyncIterator[Send]:
        return self

    async def __anext__(self) -> Send:
        try:
            return await self._inbox.get()
        except End:
            raise StopAsyncIteration from None
