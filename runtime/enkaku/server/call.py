"""Calls at the server, as handlers see them: their state, their metadata, and how they send and receive items.

``ServerCall`` is any call; ``StreamCall`` is a stream or channel, which also has a send window, perhaps a send buffer, and, for a
channel, an inbox. ``until_closed()`` is a block that a handler leaves when the client closes the call.

*Close* (the client asks for the result) changes the state, ends the inbox, and interrupts the handler's ``until_closed()``
blocks. The handler goes on, and its return value is sent. *Abort* cancels the handler's task, and nothing more is sent.
"""

import asyncio
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol

from enkaku._checks import require_loop
from enkaku.calls.deadlines import Block, scope
from enkaku.calls.info import Call, ConnectionInfo
from enkaku.calls.observers import Observers
from enkaku.calls.states import SERVER, ServerState, Step, after
from enkaku.errors import CallClosed, UsageError
from enkaku.flow.fairness import Fairness
from enkaku.flow.inbox import Inbox
from enkaku.flow.overflow import WhenFull
from enkaku.flow.send_window import SendBuffer, Window
from enkaku.procedures import Procedure
from enkaku.transports.base import Transport
from enkaku.wire.messages import NEWLINE_SIZE, encode_item, receive_head

from .capacity import Capacity

__all__ = [
    "TAKES_ITEMS",
    "Absence",
    "Context",
    "EndsCalls",
    "ServerCall",
    "StreamCall",
    "UntilClosed",
    "current_call",
]


class UntilClosed:
    """An ``async with`` block that is left without an exception when its call is closed; made by ``until_closed()``."""

    def __init__(self, is_closed: Callable[[], bool], blocks: "set[UntilClosed | Absence]") -> None:
        self._is_closed = is_closed
        self._blocks = blocks
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0  # how many cancellations the task had not handled when it entered
        self._left = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        if task is None or self._task is not None:
            raise UsageError("until_closed(): a block can be entered once, by one task")
        self._task = task
        self._cancelling = task.cancelling()
        self._blocks.add(self)
        if self._is_closed():
            self.leave()

    def leave(self) -> None:
        """Interrupt the block at its next ``await``, by cancelling its task."""
        if self._task is not None and not self._left:
            self._left = True
            self._task.cancel()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._blocks.discard(self)
        if not self._left or self._task is None:
            return False
        if not isinstance(error, asyncio.CancelledError):
            # The block ended before the cancellation was thrown into it: catch it here.
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError as late:
                if self._task.cancelling() > self._cancelling + 1:
                    raise
                error = error if error is not None and not isinstance(error, CallClosed) else late
        outer = self._task.uncancel() > self._cancelling
        return isinstance(error, asyncio.CancelledError | CallClosed) and not outer


class Absence:
    """The calls to its own peer that the handler of a request or event waits for, and needs no place meanwhile.

    It is one of the call's blocks, so that the end of the call is none of the usual ones.

    Attributes:
        calls: How many of them are open.
    """

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0

    def leave(self) -> None:
        """Go on: the call was closed, and the handler knows it from other blocks."""


_RUNNING: Final = ServerState.RUNNING
TAKES_ITEMS: Final = frozenset({ServerState.RUNNING, ServerState.HALF_CLOSED})
"""In these states a handler may send items, and is not asked to finish."""
_ENDS: Final = frozenset({Step.CLOSE, Step.STOP, Step.FINISH})
_ASKED: Final = frozenset({ServerState.CLOSING, ServerState.STOPPING})
_NO_ITEMS: Final = frozenset({Step.HALF_CLOSE, Step.CLOSE, Step.FINISH})  # of the client any more


class EndsCalls(Protocol):
    """What runs the handlers of a session."""

    def end_at_deadline(self, call: "ServerCall") -> None:
        """End a call whose deadline has passed."""

    def give_up_place(self, call: "ServerCall") -> Callable[[object], None] | None:
        """Let the handler of a call need no place, since it waits for a call to its own peer."""
        ...


@dataclass(eq=False, slots=True)  # not frozen: that would make each session slower
class Context:
    """What the calls of a session share.

    Attributes:
        connection: The connection that they belong to.
        transport: Sends their messages.
        capacity: What the connection uses.
        observers: Are notified of their events.
        fairness: Counts the items that handlers send without waiting.
        send_buffer: How many bytes of items each call may buffer.
        loop: The event loop that they belong to.
        runner: Runs their handlers.
    """

    connection: ConnectionInfo
    transport: Transport
    capacity: Capacity
    observers: Observers
    fairness: Fairness
    send_buffer: int
    loop: asyncio.AbstractEventLoop
    runner: EndsCalls


class ServerCall(Call):
    """A call that a handler is serving; ``current_call()`` returns it."""

    phase: ServerState
    task: asyncio.Task[None] | None
    stopping: bool = False
    """Whether the server is stopping: the handler should finish soon."""
    cancelled: bool = False
    stuck: bool = False
    memory: int = 0
    """How many bytes are held for it, as ``Limits.memory`` counts them."""
    blocks: "set[UntilClosed | Absence] | None"
    absence: "Absence | None" = None
    reserved: bool = False
    """Whether it is one of the runtime itself, which interceptors do not wrap."""
    needs_login: bool = False
    """Whether it is admitted by the login of its connection, so that it ends with that."""
    admission: "Callable[[ServerCall], Awaitable[None]] | None" = None
    """Waits until it is admitted, if that takes a while; None once it is."""
    on_admitted: Callable[[], None] | None = None
    """Tells the client an error of the call once it is admitted: before, that would show that there is such a procedure."""

    def __init__(
        self,
        procedure: Procedure,
        context: Context,
        started: float,
        due: float | None,
        rid: str = "",
        *,
        answered: bool = True,
    ) -> None:
        # As the base class does, without another function for each call. What each call reads is set here, since Python
        # finds the defaults of a class more slowly.
        self.phase = _RUNNING
        self.task = None
        self.blocks = None
        self.procedure = procedure
        self.connection = context.connection
        self.rid = rid
        self.due = due
        self.started = started
        self.context: Final = context
        self.answered: Final = answered

    def __repr__(self) -> str:
        return self.describe(self.phase.name.lower().replace("_", "-"))

    @property
    def closed(self) -> bool:
        """Whether the handler is asked to finish: the client has closed the call, or the server stops."""
        return self.phase not in TAKES_ITEMS

    def until_closed(self) -> "UntilClosed":
        """Return an ``async with`` block that is left without an exception when the call is closed.

        A request that waits may use it: ``async with current_call().until_closed(): ...``
        """
        if self.blocks is None:
            self.blocks = set()
        return UntilClosed(lambda: self.closed, self.blocks)

    def step(self, step: Step) -> bool:
        """Go to the next state, and return True; return False where the step is none from this state. Called by the session."""
        state = after(SERVER, self.phase, step)
        if state is None:
            return False
        self.phase = state
        if self.blocks and step in _ENDS:
            for block in tuple(self.blocks):
                block.leave()
        return True

    def limit(self) -> float | None:
        """Return the deadline of the calls that the handler makes. A task that outlives the call is not bound by it."""
        return None if self.phase is ServerState.RELEASED else self.due

    def give_up_place(self, connection: object) -> Callable[[object], None] | None:
        """Need no place among the handlers while the handler waits for a call on this connection."""
        leads = self.connection.leads_to(connection)
        return self.context.runner.give_up_place(self) if leads else None

    def on_deadline(self) -> None:
        """End with ``EK05``, unless the call has been answered. Called by the deadline timer."""
        if self.phase < ServerState.ENDED:
            self.context.runner.end_at_deadline(self)

    def release(self) -> None:
        """Return what was reserved of the connection's buffers: the handler has ended. Called by the session."""

    def record_dropped(self, count: int) -> None:
        """Count items that were dropped. Called by the call's buffers."""
        self.dropped += count
        self.context.observers.item_dropped(self, count)


def current_call() -> ServerCall:
    """Return the call that the running task serves.

    Raises:
        UsageError: The task serves no call.
    """
    found = scope.get()
    while isinstance(found, Block):
        found = found.outer
    if isinstance(found, ServerCall):
        return found
    raise UsageError(
        "current_call(): this task does not serve a call; use it in a handler's method"
    )


class StreamCall(ServerCall):
    """A stream or a channel that a handler is serving."""

    inbox: Inbox[tuple[object, int]] | None = None
    decode_item: Callable[[bytes], object] | None = None
    flush_first: tuple[Callable[[], None], ...]
    """Send what the handler's next item must not overtake. Set by broadcasts."""

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
        self.flush_first = ()
        self.send_buffer: SendBuffer | None = None
        self.window: Final = window
        self._head = receive_head(rid)

    def step(self, step: Step) -> bool:
        """Go to the next state, and return True; return False where the step is none from this state. Called by the session."""
        if not super().step(step):
            return False
        if step in _NO_ITEMS and self.inbox is not None:
            self.inbox.put_end()
        if step is not Step.HALF_CLOSE:
            self.window.wake()
        return True

    def release(self) -> None:
        """Return what was reserved of the connection's buffers: the handler has ended. Called by the session."""
        if self.inbox is not None:
            self.inbox.clear()
            self.inbox.release()

    async def send_item(self, encoded: bytes, when_full: WhenFull) -> None:
        """Send an encoded item: wait until it may be sent, or buffer it. Called by streams."""
        require_loop(self.context.loop, "the stream")
        for flush in self.flush_first:
            flush()
        message = encode_item(self._head, encoded)
        fairness = self.context.fairness
        await fairness.yield_if_due()
        fairness.left -= 1
        if when_full == "wait":
            if self.send_buffer is not None:
                await self.send_buffer.flush()
            await self._reserve(len(message))
            # Nothing is awaited from here on: an item is sent if and only if this returns.
            self._write_one(message)
        else:
            self._send_or_buffer(message, when_full)

    def send_item_now(self, encoded: bytes) -> bool:
        """Send an encoded item if this needs no waiting, nor yielding to other tasks; return whether it was sent."""
        context = self.context
        fairness, transport = context.fairness, context.transport
        if self.phase not in TAKES_ITEMS or self.flush_first or self.send_buffer is not None:
            return False
        if fairness.left <= 0 or get_running_loop() is not context.loop:
            return False
        message = encode_item(self._head, encoded)
        size, window = len(message) + NEWLINE_SIZE, self.window
        if window.reserving or size > window.free or not transport.writable:
            return False
        fairness.left -= 1
        window.free -= size  # from here on as _write() does, without another function for each item
        self.items_sent += 1
        self.bytes_sent += size
        transport.write(message)
        return True

    def send_items_now(self, encoded: Sequence[bytes]) -> bool:
        """Send encoded items if none of them has to wait; return whether they were sent. Called by broadcasts."""
        if self.phase >= ServerState.ENDED:  # a broadcast sends a little later than its caller did
            return False
        return self._write_now([encode_item(self._head, item) for item in encoded])

    def takes_items(self) -> bool:
        """Return whether the handler may still send items."""
        # A closed channel's handler may still answer the items that came before the close.
        answering = self.inbox is not None and not self.inbox.finished
        return not self.closed or (self.phase in _ASKED and answering)

    async def drain(self) -> None:
        """Wait until the transport is writable. Called by the window."""
        await self.context.transport.drain()

    async def wait_for_credit(self) -> None:
        """Wait until the client has granted more. Called by the window."""
        await self.window.wait()

    async def _reserve(self, size: int) -> None:
        """Wait until a message of so many bytes may be sent. The caller sends it before it awaits anything else."""
        await self.window.reserve(size + NEWLINE_SIZE, self)
        self._require_taking_items()

    def _send_or_buffer(self, message: bytes, when_full: WhenFull) -> None:
        self._require_taking_items()
        if self._write_now((message,)):
            return
        if self.send_buffer is None:
            self.send_buffer = SendBuffer(
                self._reserve,
                self._write_one,
                capacity=self.context.send_buffer,
                on_drop=self.record_dropped,
            )
        self.send_buffer.put(message, when_full)

    def _write_now(self, messages: Sequence[bytes]) -> bool:
        """Send messages if none has to wait, nor overtakes another; return whether they were sent."""
        if self.send_buffer is not None and not self.send_buffer.empty:
            return False
        size = sum(map(len, messages)) + len(messages) * NEWLINE_SIZE
        if not (self.context.transport.writable and self.window.fit(size, len(messages))):
            return False
        self._write(messages, size)
        return True

    def _write_one(self, message: bytes) -> None:
        self._write((message,), len(message) + NEWLINE_SIZE)

    def _write(self, messages: Sequence[bytes], size: int) -> None:
        self.window.free -= size
        self.items_sent += len(messages)
        self.bytes_sent += size
        self.context.transport.write_all(messages)

    def _require_taking_items(self) -> None:
        if not self.takes_items():
            raise CallClosed(f"{self.procedure.name}: the call takes no more items: it is closed")
