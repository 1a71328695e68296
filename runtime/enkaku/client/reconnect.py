"""Reconnecting: which client session the next call uses, and how a lost one is replaced.

A connection without ``reconnect`` has one session, and fails with it. With it, a task replaces a lost session: it waits
(exponential backoff with full jitter, from "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), connects, and
starts a new session. Calls that were open when the session was lost end with ``ConnectionLost``; new calls wait for the
next session until their deadline. Every change of state is kept for ``Connection.states()``.
"""

import asyncio
import logging
from collections import deque
from typing import Final, Literal, TypeAlias

from enkaku.calls.deadlines import left
from enkaku.calls.observers import Observers
from enkaku.errors import ConnectFailed, ConnectionLost, TransportError
from enkaku.limits import Limits
from enkaku.options import Reconnect
from enkaku.procedures import Procedure
from enkaku.transports.base import Dial, Transport

from .session import ClientSession, timed_out

__all__ = ["ConnectionState", "Lifecycle", "Redialer", "Sessions", "States"]

logger: Final = logging.getLogger("enkaku.client")

ConnectionState: TypeAlias = Literal["open", "connecting", "failed", "closed"]
"""Where a connection stands: ``"open"``; ``"connecting"``, lost and being made again; ``"failed"``, lost for good;
``"closed"`` by this side. Nothing follows the last two."""

_KEPT: Final = 16  # states that somebody who is late can still see


class Lifecycle:
    """The states that a connection goes through; it begins open, as far as anybody can see it."""

    def __init__(self) -> None:
        self.count = 1
        self._kept: deque[ConnectionState] = deque(["open"], _KEPT)
        self._changed = asyncio.Event()

    @property
    def state(self) -> ConnectionState:
        """The state that it is in."""
        return self._kept[-1]

    @property
    def over(self) -> bool:
        """Whether no other state follows."""
        return self.state in {"failed", "closed"}

    def become(self, state: ConnectionState) -> None:
        """Go on to another state; after the last one, do nothing."""
        if not self.over:
            self._kept.append(state)
            self.count += 1
            self._changed.set()
            self._changed = asyncio.Event()

    async def change(self) -> None:
        """Wait for the next state."""
        await self._changed.wait()

    def kept(self, number: int) -> tuple[int, ConnectionState]:
        """Return a state by its number, or the oldest later one that is kept, with its own number."""
        number = max(number, self.count - len(self._kept))
        return number, self._kept[number - self.count]


class States:
    """Iterates over the states of a connection, from the present one to the last.

    Whoever takes them late sees the newest sixteen. Nothing waits for them, and nothing has to be closed.
    """

    def __init__(self, life: Lifecycle) -> None:
        self._life = life
        self._next = life.count - 1

    def __aiter__(self) -> "States":
        return self

    async def __anext__(self) -> ConnectionState:
        while self._next == self._life.count:
            if self._life.over:
                raise StopAsyncIteration
            await self._life.change()
        number, state = self._life.kept(self._next)
        self._next = number + 1
        return state


class Redialer:
    """Dials until somebody answers.

    Args:
        dial: Connects.
        reconnect: How often, and after which waits.
        where: The address, for messages to people.

    Attributes:
        failure: What the last attempt has failed with; None where it has not.
    """

    def __init__(self, dial: Dial, reconnect: Reconnect, where: str) -> None:
        self.failure: TransportError | None = None
        self._dial: Final = dial
        self._reconnect: Final = reconnect
        self._where: Final = where
        self._attempts = 0
        self._bound = 0.0

    async def first(self, *, within: float) -> Transport:
        """Connect, for the first time.

        Args:
            within: How long all attempts together may take, in seconds.

        Raises:
            ConnectFailed: Nobody answered in time, or as often as it was to be tried.
        """
        try:
            async with asyncio.timeout(within):
                return await self._dial_on()
        except TimeoutError:
            last = f", at last: {self.failure}" if self.failure else ""
            raise ConnectFailed(
                f"{self._where}: no connection within {within:g} s{last}"
            ) from self.failure

    async def again(self, *, lasted: float) -> Transport:
        """Wait, and connect again.

        Args:
            lasted: How long the last connection did, in seconds.

        Raises:
            ConnectFailed: Nobody answered as often as it was to be tried.
        """
        if lasted >= self._bound:
            self._attempts, self._bound = 0, 0.0
        else:
            self.failure = ConnectFailed(f"{self._where}: lost again after {lasted:.3f} s")
        await self._pause()
        return await self._dial_on()

    async def _dial_on(self) -> Transport:
        while True:
            self._attempts += 1
            try:
                transport = await self._dial()
            except ConnectFailed as error:
                self.failure = error
                await self._pause()
            else:
                self.failure = None
                return transport

    async def _pause(self) -> None:
        if self._attempts == self._reconnect.attempts:
            raise ConnectFailed(
                f"{self._attempts} attempts in a row have failed, at last: {self.failure}"
            ) from self.failure
        grown = self._bound * self._reconnect.factor
        self._bound = min(self._reconnect.longest, max(self._reconnect.first, grown))
        await asyncio.sleep(self._reconnect.random.uniform(0, self._bound))


class Sessions:
    """The client sessions of a connection: one; or, with a redialer, one after the other.

    Args:
        transport: Carries the first one.
        redialer: Makes the transports of the others; None, if the connection fails with the first.
        limits: Hold for each session.
        observers: Are notified of each session.

    Attributes:
        life: The state of the connection.
        session: The last session that there was.
    """

    def __init__(
        self,
        transport: Transport,
        redialer: Redialer | None,
        limits: Limits,
        observers: Observers,
    ) -> None:
        self.life: Final = Lifecycle()
        self._redialer = redialer
        self._limits = limits
        self._observers = observers
        self._connecting: asyncio.Task[None] | None = None
        self._end: Exception | None = None
        self.session = self._new_session(transport)

    @property
    def reconnects(self) -> bool:
        """Whether another session may follow the last one."""
        return self._redialer is not None and not self.life.over

    async def ready(self, procedure: Procedure, due: float | None) -> ClientSession:
        """Return an open session; wait for the next one, if there may be one, until ``due``.

        Raises:
            ConnectionLost: There is none, and none will come.
            DeadlineExceeded: None has come in time.
        """
        if not self.session.is_open:
            if self._redialer is None:
                self.session.require_open(procedure)
            else:
                await self._wait(procedure, due, self._redialer)
        return self.session

    async def follows(self, session: ClientSession) -> bool:
        """Wait until a session is lost, if another may follow it; return whether one may."""
        while session.is_open and self.reconnects:
            await self.life.change()
        return self.reconnects

    async def close(self, *, within: float) -> None:
        """End the session, and let none follow."""
        self.life.become("closed")
        try:
            if self._connecting is not None:
                self._connecting.cancel()
                await asyncio.wait([self._connecting])
        finally:
            await self.session.close(within=within)

    async def _wait(self, procedure: Procedure, due: float | None, redialer: Redialer) -> None:
        try:
            async with asyncio.timeout(None if due is None else left(due)):
                while self.life.state == "connecting":
                    await self.life.change()
        except TimeoutError:
            raise timed_out(procedure) from redialer.failure
        if self.life.state == "closed":
            raise ConnectionLost(
                f"{procedure.name}: this side closed the connection ({self.session.info.peer})"
            )
        if self.life.state == "failed":
            raise ConnectionLost(
                f"{procedure.name}: the connection was lost, and not made again: {self._end}"
            ) from self._end

    def _new_session(self, transport: Transport) -> ClientSession:
        return ClientSession(transport, self._limits, self._observers, self._on_lost)

    def _on_lost(self, session: ClientSession) -> None:
        if self.life.over:
            return
        if self._redialer is None:
            self.life.become("failed")
            return
        self.life.become("connecting")
        connecting = self._connect(session, session.info.duration, self._redialer)
        self._connecting = asyncio.get_running_loop().create_task(connecting)

    async def _connect(self, lost: ClientSession, lasted: float, redialer: Redialer) -> None:
        try:
            await lost.close(within=0)  # what it has not sent yet is for calls that have ended
            self.session = self._new_session(await redialer.again(lasted=lasted))
        except Exception as error:  # noqa: BLE001 # whatever it is, no call may wait without end
            logger.warning("the connection to %s is given up: %s", lost.info.peer, error)
            self._end = error
            self.life.become("failed")
        else:
            self.life.become("open")
