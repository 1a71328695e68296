"""The lifecycle of a connection at the server, as a table of phases; whether it is read, and its idle timeout.

A connection ends in two steps. First it is lost: the client has ended it, or this side has. Once its handlers have ended
and what was written is sent, or given up, its lifespan is left; then it has ended.

*Reading is paused* for any number of reasons at a time: the lifespan has not been entered; the inboxes are full; events wait
for a free handler; the client leaves too many replies unread; messages that were read wait to be handled;
the memory of the server is used up. It resumes when none is left.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from enum import IntEnum, auto
from typing import Final, Protocol

from enkaku._checks import enter_block
from enkaku.calls.deadlines import scope
from enkaku.calls.halves import Halves
from enkaku.calls.idle_timer import IdleTimer
from enkaku.calls.info import Call, ConnectionInfo
from enkaku.calls.observers import Lifespan, Observers
from enkaku.errors import ConnectionLost, RejectConnection, escaped
from enkaku.flow.inbox import ReadControl
from enkaku.limits import Limits
from enkaku.transports.base import PausesReading, Receiver, Transport

from .capacity import Capacity
from .handler import sole

__all__ = ["Lifecycle", "Pause", "Served"]

logger: Final = logging.getLogger("enkaku.server")

_REASON_MAX: Final = 500  # characters of a rejection in the log


class Pause(IntEnum):
    """A reason not to read."""

    LIFESPAN = auto()  # has not been entered
    INBOXES = auto()  # are full, and the client does not support flow control
    EVENTS = auto()  # wait for a free handler
    BACKLOG = auto()  # of replies that the client has not read
    SLICE = auto()  # of time is used up: messages that were read wait for the next one
    MEMORY = auto()  # of the server is used up


_UNHANDLED: Final = frozenset({Pause.SLICE, Pause.MEMORY})
_NO_PAUSES: Final = frozenset[Pause]()  # one object: each empty set takes 216 bytes


class Phase(IntEnum):
    """Where a connection stands."""

    ENTERING = auto()  # its lifespan is being entered
    OPEN = auto()
    FAILED = auto()  # its lifespan has ended, so the transport is aborted
    LOST = auto()  # handlers may still run, and written messages be sent
    LEAVING = auto()  # its lifespan is being left
    ENDED = auto()


class _Event(IntEnum):
    ENTERED = auto()  # the lifespan, or there is none
    LOST = auto()  # the transport has ended
    UNUSED = auto()  # no handler runs, and no message is being sent
    LEFT = auto()  # the lifespan, or there is none


# Looking up the members of an enum is slow before Python 3.12.
_ENTERING, _OPEN, _FAILED, _LOST, _LEAVING, _ENDED = Phase
_ON_ENTERED, _ON_LOST, _ON_UNUSED, _ON_LEFT = _Event

_PHASES: Final[Mapping[tuple[Phase, _Event], Phase]] = {
    (_ENTERING, _ON_ENTERED): _OPEN,
    (_ENTERING, _ON_LOST): _LOST,
    (_ENTERING, _ON_LEFT): _FAILED,
    (_OPEN, _ON_LOST): _LOST,
    (_OPEN, _ON_LEFT): _FAILED,
    (_FAILED, _ON_LOST): _LOST,
    (_LOST, _ON_UNUSED): _LEAVING,
    (_LEAVING, _ON_LEFT): _ENDED,
}


class Served(Receiver, Protocol):
    """The session of a connection."""

    def on_end(self) -> None:
        """Handle that the connection has ended, its handlers, and its lifespan."""


class Lifecycle:
    """Reads a connection, or pauses, and ends it.

    Args:
        transport: Carries the messages; not started yet.
        limits: Bound what is buffered, and how long the connection may be idle.
        capacity: What the connection uses.
        lifespans: The context managers that the connection lives in; the first is outermost.
        observers: Their ``log`` limits what is logged.
        running: The calls whose handlers run.
        info: The connection, as observers and handlers see it.

    Attributes:
        info: The connection, as observers and handlers see it.
        reading: Pauses reading while inboxes are full.
        reason: Why the connection ended; ``""`` while it has not.
        rejected: Whether the lifespan has rejected the connection.
        failed: Whether the lifespan has failed.
        lost: Whether the transport has ended.
        last_active: The time of the client's last call, by ``time.monotonic()``.
        watches_idle: Whether a limit ends the connection when the client sends nothing.
    """

    __slots__ = (
        "_capacity",
        "_ended",
        "_finishing",
        "_halves",
        "_heard",
        "_idle",
        "_left",
        "_lifespans",
        "_limits",
        "_living",
        "_log",
        "_pauses",
        "_phase",
        "_reader",
        "_running",
        "_session",
        "_transport",
        "failed",
        "info",
        "last_active",
        "lost",
        "reading",
        "reason",
        "rejected",
        "watches_idle",
    )

    def __init__(
        self,
        transport: Transport,
        limits: Limits,
        capacity: Capacity,
        *,
        lifespans: Sequence[Lifespan],
        observers: Observers,
        running: Collection[Call],
        info: ConnectionInfo,
    ) -> None:
        self.info: Final = info
        self.reading: Final = ReadControl(self, buffered=limits.buffered, stall=limits.stall)
        self.last_active = time.monotonic()
        self.reason = ""
        self.rejected = False
        self.failed = False
        self.lost = False
        self.watches_idle = limits.first_byte is not None or limits.idle is not None
        self._transport = transport
        self._reader: PausesReading = transport
        self._halves: Halves | None = None  # once another session shares the transport
        self._limits = limits
        self._capacity = capacity
        self._lifespans = lifespans
        self._log = observers.log
        self._running = running
        self._session: Served | None = None
        self._idle: IdleTimer | None = None  # if a limit needs it
        self._heard = False  # something of the client
        self._phase = _ENTERING
        self._pauses = _NO_PAUSES
        self._living: asyncio.Task[None] | None = None  # in the lifespan
        self._left: asyncio.Event | None = None  # ends that task
        self._finishing: tuple[asyncio.Task[None], ...] = ()  # wait until messages are sent
        self._ended: asyncio.Future[None] | None = None  # while somebody waits for the end

    @property
    def ended(self) -> asyncio.Future[None]:
        """Done when the connection is lost, the last handler has ended, and its lifespan was left."""
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
            if self._phase is _ENDED:
                self._ended.set_result(None)
        return self._ended

    def start(self, session: Served) -> None:
        """Begin to read; with a lifespan, once that has been entered."""
        limits, self._session = self._limits, session
        self._transport.start(
            session,
            message_size=limits.message_size,
            message_time=limits.message_time,
            unread_time=limits.unread_time,
        )
        if not self._lifespans:
            self._step(_ON_ENTERED)
        else:
            self.pause(Pause.LIFESPAN)
            self._left = asyncio.Event()
            living = self._live(self._left)
            self._living = asyncio.get_running_loop().create_task(living)
            # Not in the task itself: one that is cancelled before its first step runs none of its code.
            self._living.add_done_callback(self._on_lifespan_end)

    def is_entered_by(self, task: asyncio.Task[object] | None) -> bool:
        """Return whether a task enters the lifespan, before which nothing is read."""
        return self._phase is _ENTERING and self._living is task

    def on_activity(self) -> None:
        """Restart the idle timeout: something was received."""
        self.last_active = time.monotonic()
        if not self._heard:
            self._heard = True
            self._restart_idle(self._limits.idle)
        elif self._idle is not None:
            self._idle.last = self.last_active

    def check_backlog(self) -> None:
        """Pause reading if the client leaves too many replies unread."""
        if self._transport.buffered > self._limits.backlog and Pause.BACKLOG not in self._pauses:
            self._capacity.set_backlog(self._transport.buffered)
            self.pause(Pause.BACKLOG)
            self._finish(self._drain())

    def pause(self, reason: Pause) -> None:
        """Stop reading, for a reason."""
        self._pauses |= {reason}
        self._reader.pause_reading()

    def resume(self, reason: Pause) -> None:
        """Read again, if there is no other reason not to."""
        self._pauses = self._pauses - {reason} or _NO_PAUSES
        if not self._pauses:
            self._reader.resume_reading()

    def share(self, halves: Halves) -> None:
        """Share the transport with the session that calls the client."""
        self._halves = halves

    def read_by(self, reader: PausesReading) -> None:
        """Pause and resume reading by another object than the transport, which another session shares from now on."""
        self._reader = reader
        if self._pauses:
            reader.pause_reading()

    def drop(self, reason: str) -> None:
        """End the connection at once."""
        self.reason = self.reason or reason
        self._transport.abort()

    def on_connection_lost(self, error: Exception | None) -> None:
        """Handle that the transport has ended."""
        self.reason = self.reason or str(error or "the client ended the connection")
        logger.debug("%s: disconnected: %s", self.info.peer, self.reason)
        if self._living is not None and self._phase is _ENTERING:
            self._living.cancel()
        self._step(_ON_LOST)
        self._restart_idle(None)
        self.reading.close()
        if self._transport.buffered:
            # A client that has ended its side may still read: the rest is sent, for a bounded time.
            self._finish(self._transport.close(within=self._limits.linger))
        self.check_unused()

    def on_handler_end(self) -> None:
        """Handle that a handler has ended: the connection may be unused now, or idle from now on."""
        if self.lost:
            self.check_unused()
        elif self._idle is not None:
            self._idle.last = self.last_active = time.monotonic()

    def check_unused(self) -> None:
        """Leave the lifespan if the connection is lost, no handler runs, and no message is being sent."""
        if self._phase is _LOST and not self._running and not self._finishing:
            self._step(_ON_UNUSED)

    async def stop(self) -> None:
        """Send what was written, then end the connection; bounded."""
        self.reason = self.reason or "this server has stopped"
        await self._transport.close(within=self._limits.cleanup)

    async def abandon(self) -> None:
        """Cancel the lifespan, and wait for it; bounded."""
        if self._living is not None:
            self._living.cancel()
            await asyncio.wait({self._living}, timeout=self._limits.cleanup)

    def _step(self, event: _Event) -> None:
        phase = _PHASES.get((self._phase, event))
        if phase is None:
            return
        self._phase, self.lost = phase, phase >= _LOST
        if phase is _OPEN:
            self._restart_idle(self._limits.first_byte)
        elif phase is _FAILED:
            self.drop("its lifespan failed")
        elif phase is _LEAVING:
            if self._living is None or self._left is None:
                self._step(_ON_LEFT)
            else:
                self._left.set()
        elif phase is _ENDED:
            self._capacity.close()
            if self._session is not None:
                asyncio.get_running_loop().call_soon(self._session.on_end)
            if self._ended is not None:
                self._ended.set_result(None)

    def _restart_idle(self, seconds: float | None) -> None:
        if self._idle is None and seconds is not None:
            self._idle = IdleTimer(self._on_idle)
        if self._idle is not None:
            self._idle.restart(seconds)

    def update_reading(self) -> None:
        """Pause reading while the inboxes are full. Called by ``reading``."""
        if self.reading.paused:
            self.pause(Pause.INBOXES)
        else:
            self.resume(Pause.INBOXES)

    def _on_idle(self) -> None:
        if self._halves is not None and self._halves.list_made():
            return  # whoever calls the client bounds how long that may take
        # A client that was read and not handled yet is not silent.
        if not self._running and self._pauses.isdisjoint(_UNHANDLED):
            self.drop("the client was silent for too long")

    async def _live(self, left: asyncio.Event) -> None:
        scope.set(None)  # a deadline() around the server's start ends before its connections
        try:
            async with AsyncExitStack() as stack:
                for lifespan in self._lifespans:
                    await enter_block(stack, lifespan, self.info, "the lifespan")
                self._step(_ON_ENTERED)
                self.resume(Pause.LIFESPAN)
                await left.wait()
        except Exception as error:  # noqa: BLE001 # whatever a lifespan raises ends its connection
            self._log_failure(error)

    def _log_failure(self, error: Exception) -> None:
        only, peer = sole(error), self.info.peer
        if isinstance(only, RejectConnection):
            reason = escaped(only.reason[:_REASON_MAX]) or "no reason given"
            self.rejected = True
            self.reason = self.reason or f"rejected by the lifespan: {reason}"
            text = "%s: rejected by its lifespan: %s"
            self._log.log(logger, logging.INFO, "rejected connections", text, peer, reason)
        else:
            self.failed = True
            text = "%s: its lifespan failed"
            self._log.log(logger, logging.ERROR, "failed lifespans", text, peer, error=error)

    def _on_lifespan_end(self, living: asyncio.Task[None]) -> None:
        self._living = None
        if living.cancelled() and self._phase in (_ENTERING, _OPEN):
            self.failed = True
            kind, text = "lifespans that cancelled themselves", "%s: its lifespan cancelled itself"
            self._log.log(logger, logging.ERROR, kind, text, self.info.peer)
        self._step(_ON_LEFT)

    async def _drain(self) -> None:
        """Wait until the client has read its replies, and read again."""
        try:
            with suppress(ConnectionLost):
                await self._transport.drain()
        finally:
            self._capacity.set_backlog(0)
            self.resume(Pause.BACKLOG)

    def _finish(self, sending: Coroutine[None, None, None]) -> None:
        """Run what the connection waits for before it ends."""
        task = asyncio.get_running_loop().create_task(sending)
        self._finishing = (*self._finishing, task)
        task.add_done_callback(self._on_finished)

    def _on_finished(self, task: asyncio.Task[None]) -> None:
        self._finishing = tuple(each for each in self._finishing if each is not task)
        self.check_unused()
