"""A call as its handler sees it: what it can send, what it is sent, and when it is to finish.

Above it: routes, which hand these objects to methods, and the calls of a session. Below it: procedures, the
inbox, the transport.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from enum import Enum, auto
from types import TracebackType
from typing import Final, Generic, TypeVar

from .errors import CallClosed, UsageError
from .inbox import End, Inbox
from .messages import encode_receive
from .procedures import Procedure
from .slots import Slot
from .transport import Transport

__all__ = [
    "CallState",
    "ServerCall",
    "ServerChannel",
    "ServerStream",
    "UntilClosed",
    "current_call",
    "set_current_call",
]

Send = TypeVar("Send")
Receive = TypeVar("Receive")

_STREAK: Final = 32  # how many items a handler may send before the others get a turn


class CallState(Enum):
    """Where a call stands on the server."""

    RUNNING = auto()
    CLOSING = auto()  # asked to finish; its result is still wanted
    ENDED = auto()  # answered, or given up: nothing more is sent


class ServerCall:
    """A call that a handler is serving; ``current_call()`` returns it.

    Attributes:
        procedure: What is called.
        peer: Who calls, for messages to people.
    """

    def __init__(
        self,
        rid: str,
        procedure: Procedure,
        transport: Transport,
        decode_item: Callable[[bytes], object] | None = None,
    ) -> None:
        self.procedure: Final = procedure
        self.peer: Final = transport.peer
        self.rid: Final = rid
        self.decode_item: Final = decode_item
        self.answered: Final = procedure.kind != "event"
        self.state = CallState.RUNNING
        self.inbox: Inbox[object] | None = None
        self.task: asyncio.Task[None] | None = None
        self._transport = transport
        self._watchers: set[UntilClosed] = set()
        self._streak = 0

    @property
    def closed(self) -> bool:
        """Whether the handler is asked to finish: the client has closed the call, or the server stops."""
        return self.state is not CallState.RUNNING

    def until_closed(self) -> "UntilClosed":
        """Make a block that is left quietly as soon as the call is closed.

        It suits a request that waits for something: ``async with current_call().until_closed(): ...``
        """
        return UntilClosed(self, self._watchers)

    def close(self) -> None:
        """Ask the handler to finish. Called by the session."""
        if self.state is CallState.RUNNING:
            self.state = CallState.CLOSING
            self._stop_sending()

    def end(self) -> None:
        """Let nothing more be sent. Called by the session."""
        if self.state is not CallState.ENDED:
            self.state = CallState.ENDED
            self._stop_sending()

    def _stop_sending(self) -> None:
        if self.inbox is not None:
            self.inbox.put_end()
        for watcher in tuple(self._watchers):
            watcher.leave()

    def _takes_items(self) -> bool:
        # A closed channel's handler may still answer the items that came before the close.
        answering = self.inbox is not None and not self.inbox.finished
        return self.state is CallState.RUNNING or (self.state is CallState.CLOSING and answering)

    async def send_item(self, slot: Slot[Receive], item: Receive) -> None:
        """Wait until there is room for an item, and send it. Called by streams."""
        line = encode_receive(self.rid, slot.encode(item))
        self._streak += 1
        if self._streak >= _STREAK:
            # A handler whose sends never wait would keep every other call from running.
            self._streak = 0
            await asyncio.sleep(0)
        if self._takes_items():
            await self._transport.drain()
        # Nothing is awaited from here on: an item is sent if and only if this returns.
        if not self._takes_items():
            raise CallClosed(f"{self.procedure.name}: the call takes no more items: it is closed")
        self._transport.write(line)


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


class UntilClosed:
    """A block that the close of its call ends quietly; made by ``until_closed()``."""

    def __init__(self, call: ServerCall, watchers: "set[UntilClosed]") -> None:
        self._call = call
        self._watchers = watchers
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._left = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        if task is None or self._task is not None:
            raise UsageError("until_closed() makes a block for one task, to be entered once")
        self._task = task
        self._cancelling = task.cancelling()
        self._watchers.add(self)
        if self._call.closed:
            self.leave()

    def leave(self) -> None:
        """Interrupt the block where it waits next."""
        if self._task is not None and not self._left:
            self._left = True
            self._task.cancel()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._watchers.discard(self)
        if not self._left or self._task is None:
            return False
        if not isinstance(error, asyncio.CancelledError):
            # The block was over before the cancellation reached it: take it here.
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError as late:
                if self._task.cancelling() > self._cancelling + 1:
                    raise
                error = error if error is not None and not isinstance(error, CallClosed) else late
        outer = self._task.uncancel() > self._cancelling
        return isinstance(error, asyncio.CancelledError | CallClosed) and not outer


class ServerStream(Generic[Receive]):
    """The server's end of a stream: takes the items for the client."""

    def __init__(self, call: ServerCall, receive: Slot[Receive]) -> None:
        self._call = call
        self._receive = receive

    @property
    def closed(self) -> bool:
        """Whether the handler is asked to finish: the client has closed the call, or the server stops."""
        return self._call.closed

    def until_closed(self) -> UntilClosed:
        """Make a block that is left quietly as soon as the call is closed."""
        return self._call.until_closed()

    async def send(self, item: Receive) -> None:
        """Wait until there is room for an item, and send it; what was sent is sent when this returns.

        Raises:
            CallClosed: The handler is asked to finish, or has.
            EncodeError: The item does not fit its schema.
        """
        await self._call.send_item(self._receive, item)


class ServerChannel(ServerStream[Receive], Generic[Send, Receive]):
    """The server's end of a channel: an async iterator over the client's items, which takes items for it.

    After the client has closed the channel, the iterator gives what came before, and then ends; up to then
    items can still be sent.
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
