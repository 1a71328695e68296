"""A server: a handler, and the sessions of those who are connected to it.

Above it: ``sockets`` and ``testing``, which bring connections. Below it: sessions. It does not know where its
connections come from.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from .errors import UsageError
from .handler import Handler, Route
from .limits import Limits
from .session import Session
from .signals import on_stop_signal
from .transport import Transport

__all__ = ["Server"]

_AT_ONCE: Final = 1.0  # seconds that handlers may still clean up when the server shall end at once
_CLEANUP: Final = 5.0  # seconds that cancelled handlers, and then the flushing, may take


class Server:
    """Serves a handler to any number of connections; ``serve_unix`` and ``serve_tcp`` make servers."""

    def __init__(
        self,
        handler: Handler,
        *,
        limits: Limits | None = None,
        close_timeout: float = 30.0,
        explain_refusals: bool = False,
    ) -> None:
        self._routes: Mapping[str, Route] = {
            route.procedure.name: route for route in handler.__routes__()
        }
        self._limits = limits if limits is not None else Limits()
        self._close_timeout = close_timeout
        self._explain_refusals = explain_refusals
        self._sessions: set[Session] = set()
        self._listener: asyncio.Server | None = None
        self._addresses: tuple[str, ...] = ()
        self._stop_wanted = asyncio.Event()
        self._aborted = asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the server listens, such as ``"unix:/run/app.sock"`` or ``"tcp:127.0.0.1:8000"``."""
        return self._addresses

    @property
    def port(self) -> int:
        """The TCP port that the server listens at.

        Raises:
            UsageError: It listens at no TCP port.
        """
        for address in self._addresses:
            if address.startswith("tcp:"):
                return int(address.rpartition(":")[2])
        raise UsageError(f"the server listens at {', '.join(self._addresses)}, not at a TCP port")

    async def serve_forever(self, *, grace: float = 10.0) -> None:
        """Serve until SIGINT, SIGTERM or ``stop()``, then stop gracefully; a second signal ends it at once.

        Signals reach the main thread only; elsewhere, call ``stop()``.

        Args:
            grace: How long running handlers may go on after the signal, in seconds.
        """
        with on_stop_signal(self._take_signal):
            await self._stop_wanted.wait()
            await self.stop(grace=grace)

    async def stop(self, *, grace: float = 10.0) -> None:
        """Take no new connections and calls, let running handlers finish, answer every call, then end.

        Handlers are asked to finish as if their clients had closed the calls; those that go on after
        ``grace`` are cancelled, and their callers get ``EKP01``. If the task that waits here is cancelled,
        the handlers are cancelled at once. A handler that wants to stop its own server starts a task for
        it: it would wait for itself here.

        Args:
            grace: How long running handlers may go on, in seconds.
        """
        self._stop_wanted.set()
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop(grace))
        try:
            await asyncio.shield(self._stopping)
        except asyncio.CancelledError:
            self.abort()
            await self._stopping
            raise

    def abort(self) -> None:
        """Cancel every handler and drop every connection, without waiting."""
        self._stop_wanted.set()
        self._aborted.set()
        for session in tuple(self._sessions):
            session.abort()

    def connected(self, transport: Transport) -> None:
        """Serve a new connection. Called by what listens."""
        if self._stop_wanted.is_set():
            transport.abort()
            return
        session = Session(
            transport,
            self._routes,
            limits=self._limits,
            close_timeout=self._close_timeout,
            explain_refusals=self._explain_refusals,
        )
        self._sessions.add(session)
        session.ended.add_done_callback(lambda _: self._sessions.discard(session))
        transport.start(session)

    @asynccontextmanager
    async def running(
        self, listener: asyncio.Server | None, addresses: tuple[str, ...]
    ) -> AsyncGenerator[None, None]:
        """Own what listens; stop with the block, at once if it is left by an exception."""
        self._listener, self._addresses = listener, addresses
        try:
            yield
        except BaseException:
            await self.stop(grace=0)
            raise
        await self.stop()

    async def _stop(self, grace: float) -> None:
        if self._listener is not None:
            self._listener.close()
        loop = asyncio.get_running_loop()
        ending = loop.create_task(self._end_sessions(grace))
        aborted = loop.create_task(self._aborted.wait())
        try:
            await asyncio.wait({ending, aborted}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({ending}, timeout=_AT_ONCE)
        finally:
            ending.cancel()
            aborted.cancel()
            await asyncio.wait({ending, aborted})

    async def _end_sessions(self, grace: float) -> None:
        sessions = tuple(self._sessions)
        await asyncio.gather(*(session.stop(grace=grace, cleanup=_CLEANUP) for session in sessions))
        if sessions:
            await asyncio.wait([session.ended for session in sessions], timeout=_CLEANUP)

    def _take_signal(self) -> None:
        if self._stop_wanted.is_set():
            self.abort()
        self._stop_wanted.set()
