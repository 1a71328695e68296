"""Calls at the server, as handlers see them: their state, their metadata, and how they send and receive items.

``ServerCall`` is any call; ``StreamCall`` is a stream or channel, which also has a send window, an outbox and, for a channel,
an inbox. ``stream.until_closed()`` leaves its block when the client closes the call.
"""

import asyncio
from asyncio import get_running_loop
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, NamedTuple

from enkaku._checks import require_loop
from enkaku.calls.deadlines import Block, scope
from enkaku.calls.info import Call, ConnectionInfo
from enkaku.calls.observers import Observers
from enkaku.calls.states import SERVER, ServerState, Step, after
from enkaku.errors import CallClosed, UsageError
from enkaku.flow.fairness import Turns
from enkaku.flow.inbox import Inbox
from enkaku.flow.overflow import WhenFull
from enkaku.flow.send_window import Outbox, Window
from enkaku.procedures import Procedure
from enkaku.transports.base import Transport
from enkaku.wire.messages import NEWLINE_SIZE, encode_item, receive_head

__all__ = [
    "TAKES_ITEMS",
    "Context",
    "ServerCall",
    "StreamCall",
    "UntilClosed",
    "current_call",
]


class UntilClosed:
    """A block that the close of its call ends quietly; made by ``until_closed()``."""

    def __init__(self, is_closed: Callable[[], bool], watchers: "set[UntilClosed]") -> None:
        self._is_closed = is_closed
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
        if self._is_closed():
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


TAKES_ITEMS: Final = frozenset({ServerState.RUNNING, ServerState.HALF_CLOSED})
"""Where a handler may send items, and is not asked to finish."""
_ENDS: Final = frozenset({Step.CLOSE, Step.FINISH})


class Context(NamedTuple):
    """What the calls of a session share.

    Attributes:
        connection: Whose they are.
        transport: Sends their messages.
        observers: Are notified of what happens to them.
        turns: Says when a sender yields to other tasks.
        outbox_size: How many bytes of items each may buffer.
        loop: The event loop that they belong to.
        end_at_deadline: Ends one whose deadline has passed.
    """

    connection: ConnectionInfo
    transport: Transport
    observers: Observers
    turns: Turns
    outbox_size: int
    loop: asyncio.AbstractEventLoop
    end_at_deadline: "Callable[[ServerCall], None]"


class ServerCall(Call):
    """A call that a handler is serving; ``current_call()`` returns it."""

    state: ServerState = ServerState.RUNNING
    task: asyncio.Task[None] | None = None
    cancelled: bool = False
    stuck: bool = False
    watchers: set[UntilClosed] | None = None

    def __init__(
        self,
        procedure: Procedure,
        context: Context,
        started: float,
        due: float | None,
        rid: str = "",
    ) -> None:
        # As the base class does, without another function for each call.
        self.procedure = procedure
        self.connection = context.connection
        self.rid = rid
        self.due = due
        self.started = started
        self.context: Final = context
        self.answered: Final = procedure.kind != "event"

    @property
    def closed(self) -> bool:
        """Whether the handler is asked to finish: the client has closed the call, or the server stops."""
        return self.state not in TAKES_ITEMS

    def until_closed(self) -> "UntilClosed":
        """Make a block that is left quietly as soon as the call is closed.

        It suits a request that waits for something: ``async with current_call().until_closed(): ...``
        """
        if self.watchers is None:
            self.watchers = set()
        return UntilClosed(lambda: self.closed, self.watchers)

    def step(self, step: Step) -> bool:
        """Go on in the life of the call, if the step means anything where it stands. Called by the session."""
        state = after(SERVER, self.state, step)
        if state is None:
            return False
        self.state = state
        if self.watchers and step in _ENDS:
            for watcher in tuple(self.watchers):
                watcher.leave()
        return True

    def on_deadline(self) -> None:
        """End, unless it has ended already and only its handler goes on. Called by the deadline timer."""
        if self.state < ServerState.ENDED:
            self.context.end_at_deadline(self)

    def release(self) -> None:
        """Need nothing of the connection any longer: the handler has ended. Called by the session."""

    def note_dropped(self, count: int) -> None:
        """Count items that were dropped. Called by the inbox and the outbox."""
        self.dropped += count
        self.context.observers.item_dropped(self, count)


def current_call() -> ServerCall:
    """Return the call that the running task serves.

    Raises:
        UsageError: It serves none.
    """
    found = scope.get()
    while isinstance(found, Block):
        found = found.outer
    if isinstance(found, ServerCall):
        return found
    raise UsageError("current_call() is for tasks that a handler's method runs in")


class StreamCall(ServerCall):
    """A stream or a channel that a handler is serving."""

    inbox: Inbox[object] | None = None
    outbox: Outbox | None = None
    decode_item: Callable[[bytes], object] | None = None
    before: tuple[Callable[[], None], ...] = ()
    """Send what a handler's own next item must not overtake. Set by broadcasts."""

    def __init__(
        self,
        procedure: Procedure,
        context: Context,
        started: float,
        due: float | None,
        rid: str,
        window: Window,
    ) -> None:
        super().__init__(procedure, context, started, due, rid)
        self.window: Final = window
        self._head = receive_head(rid)

    def step(self, step: Step) -> bool:
        """Go on in the life of the call, if the step means anything where it stands. Called by the session."""
        if not super().step(step):
            return False
        if step is not Step.RELEASE and self.inbox is not None:
            self.inbox.put_end()
        if step is not Step.HALF_CLOSE:
            self.window.wake()
        return True

    def release(self) -> None:
        """Need nothing of the connection any longer: the handler has ended. Called by the session."""
        if self.inbox is not None:
            self.inbox.clear()
            self.inbox.release()

    async def send_item(self, text: bytes, when_full: WhenFull) -> None:
        """Send an item's JSON text: wait until there is room for it, or put it aside. Called by streams."""
        require_loop(self.context.loop, "the stream")
        for send in self.before:
            send()
        line = encode_item(self._head, text)
        await self.context.turns.give_way()
        if when_full == "wait":
            if self.outbox is not None:
                await self.outbox.flush()
            await self._reserve(len(line))
            # Nothing is awaited from here on: an item is sent if and only if this returns.
            self._write(line)
        else:
            self._send_or_keep(line, when_full)

    def send_in_turn(self, text: bytes) -> bool:
        """Send an item's JSON text if nobody has to wait for it, nor the others for their turn, and say so."""
        context = self.context
        turns, transport = context.turns, context.transport
        if self.state not in TAKES_ITEMS or self.before or self.outbox is not None:
            return False
        if turns.left <= 1 or get_running_loop() is not context.loop:
            return False
        message = encode_item(self._head, text)
        size, window = len(message) + NEWLINE_SIZE, self.window
        if window.reserving or size > window.free or not transport.writable:
            return False
        turns.left -= 1
        window.free -= size  # from here on as in _write(), without another function for each item
        self.items_sent += 1
        self.bytes_sent += size
        transport.write(message)
        return True

    def send_together(self, texts: Sequence[bytes]) -> bool:
        """Send some items' JSON texts if nobody has to wait for any of them, and say so. Called by broadcasts."""
        if self.state >= ServerState.ENDED:  # they may have been given before the call was closed
            return False
        return self._write_together([encode_item(self._head, text) for text in texts])

    def takes_items(self) -> bool:
        """Return whether the handler may still send items."""
        # A closed channel's handler may still answer the items that came before the close.
        answering = self.inbox is not None and not self.inbox.finished
        return not self.closed or (self.state is ServerState.CLOSING and answering)

    async def drain(self) -> None:
        """Wait until the transport is writable. Called by the window."""
        await self.context.transport.drain()

    async def wait_for_credit(self) -> None:
        """Wait until the client has granted more. Called by the window."""
        await self.window.wait()

    async def _reserve(self, size: int) -> None:
        """Wait until a message of so many bytes may be sent; then send it before anything else is awaited."""
        await self.window.reserve(size + NEWLINE_SIZE, self)
        self._require_taking_items()

    def _send_or_keep(self, line: bytes, when_full: WhenFull) -> None:
        self._require_taking_items()
        if self._write_together((line,)):
            return
        if self.outbox is None:
            self.outbox = Outbox(
                self._reserve,
                self._write,
                size=self.context.outbox_size,
                on_drop=self.note_dropped,
            )
        self.outbox.put(line, when_full)

    def _write_together(self, messages: Sequence[bytes]) -> bool:
        """Send some items, one at least, if none has to wait, nor overtakes another; return whether they were sent."""
        if self.outbox is not None and not self.outbox.empty:
            return False
        items = len(messages)
        transport, size = self.context.transport, sum(map(len, messages)) + items * NEWLINE_SIZE
        if not (transport.writable and self.window.take_together(size, items)):
            return False
        self.items_sent += items
        self.bytes_sent += size
        transport.write_all(messages)
        return True

    def _write(self, message: bytes) -> None:
        size = len(message) + NEWLINE_SIZE
        self.window.free -= size
        self.items_sent += 1
        self.bytes_sent += size
        self.context.transport.write(message)

    def _require_taking_items(self) -> None:
        if not self.takes_items():
            raise CallClosed(f"{self.procedure.name}: the call takes no more items: it is closed")
