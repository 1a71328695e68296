"""The connection of a server to one of its clients: makes calls that the client's handler serves.

A client can be called if its first message has shown that it has a handler. A call that is made before waits for that message.
"""

import asyncio
from collections.abc import Sequence

from enkaku.calls.deadlines import left
from enkaku.calls.halves import ServerEnd
from enkaku.calls.observers import Interceptor, Observers
from enkaku.errors import NotSupported
from enkaku.limits import Limits
from enkaku.procedures import Procedure

from .connection import Connection
from .paired import CalledSession
from .reconnect import Sessions
from .session import ClientSession, timed_out

__all__ = ["CalledConnection"]


class _CalledSessions(Sessions):
    """The one session of a server's connection to its client.

    Args:
        caller: The server's session.
        limits: Bound what is buffered.
        observers: Are notified of calls.
    """

    def __init__(self, caller: ServerEnd, limits: Limits, observers: Observers) -> None:
        super().__init__(None, limits, observers)
        self._caller = caller
        self._called = CalledSession(caller.share(), caller.info, limits, observers, self._on_lost)
        self.session = self._called
        if caller.callable:
            self._called.open()

    async def ready(self, procedure: Procedure, due: float | None) -> ClientSession:
        """Return the session, once the client has shown that it can be called.

        Raises:
            ConnectionLost: The connection was lost.
            DeadlineExceeded: The client has sent nothing in time.
            NotSupported: It has no handler.
        """
        caller, called = self._caller, self._called
        if caller.callable is None and not self.history.final:
            try:
                async with asyncio.timeout(None if due is None else left(due)):
                    await caller.first_message()
            except TimeoutError:
                raise timed_out(procedure) from None
        if caller.callable:
            called.open()
        elif not self.history.final:
            raise NotSupported(
                f"{procedure.name}: the client cannot be called, since it has no handler "
                f"(connect_unix(..., handler=...)): {caller.info.peer}"
            )
        called.require_open(procedure)
        return called

    async def close(self, *, within: float) -> None:
        """End every call, and make no more."""
        await super().close(within=within)
        self._caller.stop_waiting()


class CalledConnection(Connection):
    """The connection of a server to a client.

    Args:
        caller: The server's session.
        limits: Bound what is buffered.
        observers: Are notified of calls.
        interceptors: Each call runs inside of them.
    """

    def __init__(
        self,
        caller: ServerEnd,
        limits: Limits,
        observers: Observers,
        interceptors: Sequence[Interceptor],
    ) -> None:
        self._begin(_CalledSessions(caller, limits, observers), interceptors)
