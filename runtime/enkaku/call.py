"""A call as its handler sees it: who calls, how long it may take, and when it is to finish.

Above it: calls that send items, routes, and the calls of a session. Below it: the facts of a call, the inbox, the
transport.
"""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, NamedTuple

from .errors import UsageError
from .facts import Call, ConnectionInfo
from .observer import Observers
from .procedures import Procedure
from .states import SERVER, ServerState, Step, after
from .transport import Transport
from .turns import Turns
from .until_closed import UntilClosed

__all__ = ["TAKES_ITEMS", "Context", "ServerCall", "current_call", "set_current_call"]

TAKES_ITEMS: Final = frozenset({ServerState.RUNNING, ServerState.HALF_CLOSED})
"""Where a handler may send items, and is not asked to finish."""
_ENDS: Final = frozenset({Step.CLOSE, Step.FINISH})


class Context(NamedTuple):
    """What the calls of a session share.

    Attributes:
        connection: Whose they are.
        transport: Takes what they send.
        observers: Are told what happens to them.
        turns: Says when a sender lets others run.
        outbox_size: How many bytes of items each may put aside.
        loop: The event loop that they belong to.
        exceed: Ends one whose time is over.
    """

    connection: ConnectionInfo
    transport: Transport
    observers: Observers
    turns: Turns
    outbox_size: int
    loop: asyncio.AbstractEventLoop
    exceed: "Callable[[ServerCall], None]"


class ServerCall(Call):
    """A call that a handler is serving; ``current_call()`` returns it."""

    state: ServerState = ServerState.RUNNING
    task: asyncio.Task[None] | None = None
    cancelled: bool = False
    stuck: bool = False
    _watchers: set[UntilClosed] | None = None

    def __init__(
        self, procedure: Procedure, context: Context, due: float | None, rid: str = ""
    ) -> None:
        super().__init__(procedure, context.connection, due, rid)
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
        if self._watchers is None:
            self._watchers = set()
        return UntilClosed(lambda: self.closed, self._watchers)

    def step(self, step: Step) -> bool:
        """Go on in the life of the call, if the step means anything where it stands. Called by the session."""
        state = after(SERVER, self.state, step)
        if state is None:
            return False
        self.state = state
        if self._watchers and step in _ENDS:
            for watcher in tuple(self._watchers):
                watcher.leave()
        return True

    def expire(self) -> None:
        """End, since its time is over."""
        self.context.exceed(self)

    def release(self) -> None:
        """Need nothing of the connection any longer: the handler has ended. Called by the session."""

    def note_dropped(self, count: int) -> None:
        """Count items that were dropped. Called by the inbox and the outbox."""
        self.dropped += count
        self.context.observers.item_dropped(self, count)


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
