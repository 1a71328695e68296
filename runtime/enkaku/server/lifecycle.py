"""The lifecycle of a connection at the server: whether it is read, its idle timeout, its lifespan, and its end.

Reading is paused while the lifespan has not been entered, while the inboxes are full, while events wait for a free handler, and
while the client leaves too many replies unread.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack, suppress
from typing import Final

from enkaku._checks import enter_block
from enkaku.calls.idle_timer import IdleTimer
from enkaku.calls.info import Call, ConnectionInfo
from enkaku.calls.observers import Lifespan
from enkaku.errors import ConnectionLost
from enkaku.flow.inbox import ReadGate
from enkaku.limits import Limits
from enkaku.transports.base import Receiver, Transport

__all__ = ["Lifecycle"]

logger: Final = logging.getLogger("enkaku.server")


class Lifecycle:
    """Reads a connection, or does not, and ends it.

    Args:
        transport: What carries the bytes; not started yet.
        lifespan: What stands around the connection, if anything.
        list_calls: Gives the calls whose handlers run.

    Attributes:
        info: The connection, as observers and handlers see it.
        gate: Stops the reading while there is no room for items.
        reason: Why it ended; ``""`` while it has not.
        gone: Whether the transport has ended.
        watches_idle: Whether a limit makes it end when the client sends nothing.
        ended: Done when the connection is gone, the last handler with it, and its lifespan is over.
    """

    __slots__ = (
        "_catching_up",
        "_entered",
        "_flushing",
        "_full",
        "_heard",
        "_idle",
        "_lifespan",
        "_limits",
        "_list_calls",
        "_living",
        "_over",
        "_transport",
        "ended",
        "gate",
        "gone",
        "info",
        "reason",
        "watches_idle",
    )

    def __init__(
        self,
        transport: Transport,
        limits: Limits,
        *,
        lifespan: Lifespan | None,
        list_calls: Callable[[], Collection[Call]],
    ) -> None:
        self.info: Final = ConnectionInfo(transport.peer, transport.credentials, list_calls)
        self.gate: Final = ReadGate(
            self._settle_reading, buffered=limits.buffered, stall=limits.stall
        )
        self.ended: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()
        self.reason = ""
        self._transport = transport
        self._limits = limits
        self.watches_idle = limits.first_byte is not None or limits.idle is not None
        self._lifespan = lifespan
        self._list_calls = list_calls
        self._idle = IdleTimer(self._on_idle)
        self._heard = False
        self._entered = lifespan is None
        self._full = False
        self.gone = False
        self._over: asyncio.Event | None = None
        self._living: asyncio.Task[None] | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._flushing: asyncio.Task[None] | None = None

    def start(self, receiver: Receiver) -> None:
        """Begin to read; with a lifespan, once that has been entered."""
        limits = self._limits
        self._transport.start(
            receiver, message_size=limits.message_size, unread_time=limits.unread_time
        )
        if self._lifespan is None:
            self._idle.restart(self._limits.first_byte)
        else:
            self._settle_reading()
            self._over = over = asyncio.Event()
            self._living = asyncio.get_running_loop().create_task(self._live(self._lifespan, over))
            self._living.add_done_callback(self._take_end_of_lifespan)

    def note_activity(self) -> None:
        """Something came."""
        if self._heard:
            self._idle.last = time.monotonic()
        else:
            self._heard = True
            self._idle.restart(self._limits.idle)

    def check_backlog(self) -> None:
        """Read no further while the client leaves too many answers unread."""
        if self._transport.buffered > self._limits.backlog and self._catching_up is None:
            self._catching_up = asyncio.get_running_loop().create_task(self._catch_up())
            self._catching_up.add_done_callback(self._take_catching_up)
            self._settle_reading()

    def drop(self, reason: str) -> None:
        """End the connection at once."""
        self.reason = self.reason or reason
        self._transport.abort()

    def on_connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self.reason = self.reason or str(error or "the client ended the connection")
        logger.debug("%s is gone: %s", self.info.peer, self.reason)
        self.gone = True
        self._idle.restart(None)
        self.gate.close()
        if self._living is not None and not self._entered:
            self._living.cancel()
        if self._transport.buffered:
            # A client that has ended its side may still read, but need not: its socket is kept for a while.
            flushing = self._transport.close(within=self._limits.linger)
            self._flushing = asyncio.get_running_loop().create_task(flushing)
            self._flushing.add_done_callback(self._take_flushing)
        self._settle_end()

    def update(self, *, full: bool) -> None:
        """What was read has been taken, or a handler has ended: read on or not, and find out whether it is all over.

        Args:
            full: Whether there is no room for more handlers, and what was read waits for it.
        """
        if self._full != full:
            self._full = full
            self._settle_reading()
        if self.gone:
            self._settle_end()
        elif self.watches_idle:
            self._idle.last = time.monotonic()

    def _settle_end(self) -> None:
        if not self.gone or self._list_calls() or self._catching_up or self._flushing:
            return
        if self._over is not None:
            self._over.set()
        if self._living is None and not self.ended.done():
            self.ended.set_result(None)

    async def stop(self) -> None:
        """Send what was written, then the end; bounded."""
        self.reason = self.reason or "this server has stopped"
        await self._transport.close(within=self._limits.cleanup)

    async def abandon(self) -> None:
        """Wait for its lifespan no longer."""
        if self._living is not None:
            self._living.cancel()
            await asyncio.wait({self._living}, timeout=self._limits.cleanup)

    def _settle_reading(self) -> None:
        behind = self._catching_up is not None
        if self.gate.paused or self._full or behind or not self._entered:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _on_idle(self) -> None:
        if not self._list_calls():
            self.drop("the client was silent for too long")

    async def _live(self, lifespan: Lifespan, over: asyncio.Event) -> None:
        try:
            async with AsyncExitStack() as stack:
                await enter_block(stack, lifespan, self.info, "the lifespan")
                self._entered = True
                self._idle.restart(None if self.gone else self._limits.first_byte)
                self._settle_reading()
                await over.wait()
        except Exception:
            logger.exception("%s: its lifespan failed", self.info.peer)

    def _take_end_of_lifespan(self, _: asyncio.Task[None]) -> None:
        # Here, and not in the task: one that is cancelled before its first step runs none of its code.
        self._living = None
        if not self.gone:
            self.drop("its lifespan failed")
        self._settle_end()

    async def _catch_up(self) -> None:
        """Wait until the client has read its answers."""
        with suppress(ConnectionLost):
            await self._transport.drain()

    def _take_catching_up(self, _: asyncio.Task[None]) -> None:
        self._catching_up = None
        self._settle_reading()
        self._settle_end()

    def _take_flushing(self, _: asyncio.Task[None]) -> None:
        self._flushing = None
        self._settle_end()
