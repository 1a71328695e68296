"""Reconnecting: which client session the next call uses, and how a lost one is replaced.

A connection without ``reconnect`` has one session, and fails with it. With it, a task replaces a lost session: it waits
(exponential backoff with full jitter, from "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), connects, and
starts a new session. Calls that were open when the session was lost end with ``ConnectionLost``; new calls wait for the
next session until their deadline. Every change of state is kept for ``Connection.states()``.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from enkaku.calls.deadlines import left
from enkaku.calls.observers import Observers
from enkaku.errors import ConnectFailed, ConnectionLost, UsageError
from enkaku.limits import Limits
from enkaku.options import Reconnect
from enkaku.procedures import Procedure
from enkaku.transports.base import Dial, Transport

from .lifespan import Living
from .login import is_rejected
from .paired import ServedCalls, ServingSession
from .session import ClientSession, timed_out

if TYPE_CHECKING:
    from enkaku.identity.messages import Signer

__all__ = ["ConnectionState", "Connector", "Sessions", "StateHistory", "States"]

logger: Final = logging.getLogger("enkaku.client")

ConnectionState: TypeAlias = Literal["open", "connecting", "failed", "closed"]
"""The state of a connection: ``"open"``; ``"connecting"``, lost, and reconnecting; ``"failed"``, lost for good;
``"closed"`` by this side. No state follows the last two."""

_KEPT: Final = 16  # states that a late iterator still sees


class StateHistory:
    """The state of a connection, and the states before it; the first is ``"open"``."""

    def __init__(self) -> None:
        self.count = 1
        self._kept: deque[ConnectionState] = deque(["open"], _KEPT)
        self._changed = asyncio.Event()

    @property
    def state(self) -> ConnectionState:
        """The present state."""
        return self._kept[-1]

    @property
    def final(self) -> bool:
        """Whether no other state follows."""
        return self.state in {"failed", "closed"}

    def append(self, state: ConnectionState) -> None:
        """Go to another state; after a final one, do nothing."""
        if not self.final:
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

    A late iterator gets the newest sixteen. The connection does not wait for it, and it need not be closed.
    """

    def __init__(self, history: StateHistory) -> None:
        self._history = history
        self._next = history.count - 1

    def __aiter__(self) -> "States":
        return self

    async def __anext__(self) -> ConnectionState:
        while self._next == self._history.count:
            if self._history.final:
                raise StopAsyncIteration
            await self._history.change()
        number, state = self._history.kept(self._next)
        self._next = number + 1
        return state


class Connector:
    """Connects, with retries and a backoff.

    Args:
        dial: Connects once.
        reconnect: The backoff, and the number of retries.
        where: The address, for error messages.

    Attributes:
        failure: The error of the last attempt; None if it succeeded.
    """

    def __init__(self, dial: Dial, reconnect: Reconnect, where: str) -> None:
        self.failure: Exception | None = None
        self._dial: Final = dial
        self._reconnect: Final = reconnect
        self._where: Final = where
        self._attempts = 0
        self._bound = 0.0

    async def connect(self, *, within: float) -> Transport:
        """Connect, for the first time.

        Args:
            within: How long all attempts together may take, in seconds.

        Raises:
            ConnectFailed: No attempt succeeded in time, or of as many as are allowed.
        """
        try:
            async with asyncio.timeout(within):
                return await self._retry()
        except TimeoutError:
            last = f"; the last attempt failed: {self.failure}" if self.failure else ""
            raise ConnectFailed(
                f"{self._where}: no connection within {within:g} s{last}"
            ) from self.failure

    async def reconnect(self, *, lasted: float, failure: Exception | None = None) -> Transport:
        """Wait, and connect again.

        Args:
            lasted: How long the last connection was open, in seconds.
            failure: Why it could not be used, if it could not; then the last attempt counts as failed.

        Raises:
            ConnectFailed: No attempt succeeded of as many as are allowed.
        """
        if failure is not None:
            self.failure = failure
        elif lasted >= self._bound:
            self._attempts, self._bound = 0, 0.0
        else:
            self.failure = ConnectFailed(
                f"{self._where}: connected, and lost again after {lasted:.3f} s"
            )
        await self._back_off()
        return await self._retry()

    async def _retry(self) -> Transport:
        while True:
            self._attempts += 1
            try:
                transport = await self._dial()
            except ConnectFailed as error:
                self.failure = error
                await self._back_off()
            else:
                self.failure = None
                return transport

    async def _back_off(self) -> None:
        if self._attempts == self._reconnect.attempts:
            raise ConnectFailed(
                f"{self._attempts} attempts in a row failed; the last: {self.failure}"
            ) from self.failure
        grown = self._bound * self._reconnect.factor
        self._bound = min(self._reconnect.longest, max(self._reconnect.first, grown))
        await asyncio.sleep(self._reconnect.random.uniform(0, self._bound))


class Sessions:
    """The client sessions of a connection: one; or, with a connector, one after the other.

    Args:
        connector: Makes the transports of all but the first one; None if the connection fails with that.
        limits: The limits of each session.
        observers: Are notified of each session.
        served: Serves the calls of the server, if the client has a handler.
        connect_peer: Returns the connection, for its handlers.
        begin_lifespan: Begins the login and the lifespan of a session, if there is one of them.
        signer: Signs the messages, if the client has an identity.

    Attributes:
        history: The states of the connection.
        observers: Are notified of each session.
        session: The newest session.
    """

    session: ClientSession

    def __init__(
        self,
        connector: Connector | None,
        limits: Limits,
        observers: Observers,
        served: ServedCalls | None = None,
        connect_peer: Callable[[], object] | None = None,
        begin_lifespan: Callable[[ClientSession], Living] | None = None,
        signer: "Signer | None" = None,
    ) -> None:
        self.history: Final = StateHistory()
        self._connector = connector
        self._limits = limits
        self.observers: Final = observers
        self._served = served
        self._connect_peer = connect_peer
        self._begin_lifespan = begin_lifespan
        self._signer = signer
        self._living: Living | None = None
        self._only: Sessions | None = None  # the session of that
        self._connecting: asyncio.Task[None] | None = None
        self._end: Exception | None = None

    @property
    def reconnects(self) -> bool:
        """Whether another session may follow the last one."""
        return self._connector is not None and not self.history.final

    def start(self, transport: Transport) -> None:
        """Begin the first session."""
        self.session = self._new_session(transport)

    def only(self, session: ClientSession) -> "Sessions":
        """Return this session alone, for its lifespan: calls go to it, and end with it."""
        self._only = _OneSession(session, self._limits, self.observers)
        return self._only

    async def enter_lifespan(self, session: ClientSession) -> None:
        """Log in on a session, and enter its lifespan, if there is one.

        Raises:
            CallError: The server has rejected the login.
            ConnectionLost: The session was lost meanwhile.
            Exception: What the function of the login, or the lifespan, has raised.
        """
        if self._begin_lifespan is None:
            return
        self._living = self._begin_lifespan(session)
        await self._living.entered()
        if not session.is_open:
            raise session.lost_error(self._living.step)

    async def ready(self, procedure: Procedure, due: float | None) -> ClientSession:
        """Return an open session; if one may follow, wait for it until ``due``.

        Raises:
            ConnectionLost: There is none, and none will follow.
            DeadlineExceeded: None was opened in time.
        """
        if not self.session.is_open:
            if self._connector is None:
                self.session.require_open(procedure)
            else:
                await self._wait(procedure, due, self._connector)
        return self.session

    async def follows(self, session: ClientSession) -> bool:
        """Wait until a session is lost, if another may follow it; return whether one may.

        A transport that carries each call by itself may have lost one call alone: then there is no need to wait.
        """
        while session.is_open and session.separate is None and self.reconnects:
            await self.history.change()
        return self.reconnects

    async def close(self, *, within: float) -> None:
        """Close the session; none follows. Handlers are asked to finish before."""
        served, task = self._served, asyncio.current_task()
        if served is not None and served.is_served_by(task):
            raise UsageError(
                "close(): a handler cannot wait for the end of its own connection; start a task that closes it"
            )
        if self._living is not None and self._living.is_run_by(task):
            raise UsageError(
                "close(): a lifespan cannot wait for the end of its own connection; start a task that closes it"
            )
        self.history.append("closed")
        try:
            if self._connecting is not None:
                self._connecting.cancel()
                await asyncio.wait([self._connecting])
            if self._living is not None:
                await self._living.left(within=within)
            if served is not None:
                await served.stop(within=within)
        finally:
            await self.session.close(within=within)
            self.observers.log.flush()

    async def _wait(self, procedure: Procedure, due: float | None, connector: Connector) -> None:
        try:
            async with asyncio.timeout(None if due is None else left(due)):
                while self.history.state == "connecting":
                    await self.history.change()
        except TimeoutError:
            raise timed_out(procedure) from connector.failure
        if self.history.state == "closed":
            raise ConnectionLost(
                f"{procedure.name}: this side closed the connection ({self.session.info.peer})"
            )
        if self.history.state == "failed":
            raise ConnectionLost(
                f"{procedure.name}: the connection was lost, and reconnecting failed: {self._end}"
            ) from self._end

    def _new_session(self, transport: Transport) -> ClientSession:
        limits, observers, signer = self._limits, self.observers, self._signer
        if self._served is None:
            return ClientSession(transport, limits, observers, self._on_lost, signer=signer)
        return ServingSession(
            transport, limits, observers, self._on_lost, self._served, self._connect_peer, signer
        )

    def _on_lost(self, session: ClientSession) -> None:
        if self._living is not None:
            self._living.leave()
        if self._only is not None:
            self._only.history.append("failed")
        if self.history.final or session is not self.session:
            return  # or the session is new, and its lifespan fails
        if self._connector is None:
            self.history.append("failed")
            return
        self.history.append("connecting")
        connecting = self._connect(session, session.info.duration, self._connector)
        self._connecting = asyncio.get_running_loop().create_task(connecting)

    async def _connect(self, lost: ClientSession, lasted: float, connector: Connector) -> None:
        try:
            await lost.close(within=0)  # unsent messages are of calls that have ended
            self.session = await self._connect_next(lasted, connector)
        except Exception as error:  # noqa: BLE001 # whatever it is, no call may wait without end
            logger.warning(
                "%s: the connection was lost, and reconnecting failed: %s", lost.info.peer, error
            )
            self._end = error
            self.history.append("failed")
        else:
            self.history.append("open")

    async def _connect_next(self, lasted: float, connector: Connector) -> ClientSession:
        """Return the next session, once its lifespan was entered.

        A login or lifespan that fails is a failed attempt. But a login that the server rejects would be rejected again.
        """
        failure: Exception | None = None
        while True:
            if self._living is not None:
                await self._living.left()
            transport = await connector.reconnect(lasted=lasted, failure=failure)
            session = self._new_session(transport)
            try:
                await self.enter_lifespan(session)
            except Exception as error:  # whatever a lifespan raises
                await session.close(within=0)
                if is_rejected(error):
                    raise
                step = "the lifespan" if self._living is None else self._living.step
                text = "%s: connected, but %s of the connection failed"
                log, peer = self.observers.log, transport.peer
                log.log(logger, logging.WARNING, text % ("", step), text, peer, step, error=error)
                failure = error
            except BaseException:
                await session.close(within=0)
                raise
            else:
                return session


class _OneSession(Sessions):
    """One session of a connection, for its lifespan."""

    def __init__(self, session: ClientSession, limits: Limits, observers: Observers) -> None:
        super().__init__(None, limits, observers)
        self.session = session

    async def close(self, *, within: float) -> None:
        """Reject this: the connection belongs to the block that has opened it.

        Raises:
            UsageError: Always.
        """
        del within
        raise UsageError(
            "close(): the connection of a lifespan is closed by leaving the block that opened it"
        )
