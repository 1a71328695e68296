"""Running the hooks of a client: around its requests and events, and on the items and results of its streams.

``run_wrapped`` nests the hooks of a request or event: each gets a function that runs the next one, and the innermost of these makes the
attempts. Streams and channels of a connection with hooks are subclasses, so that others do not look for hooks.

*The deadline* holds for a logical call as a whole. The attempts end by themselves when it passes, with an error that the hooks
see. When a hook waits for something else then, the wait is cancelled, and the call raises ``DeadlineExceeded``.
"""

import asyncio
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Generic, Self, TypeVar

from enkaku._checks import enter_block
from enkaku.calls.deadlines import due_within, left
from enkaku.calls.hooks import Hook, OutgoingCall, Proceed, overriding

from .metadata import within
from .session import require_time
from .streams import ClientChannel, ClientStream

__all__ = ["HookedChannel", "HookedStream", "run_wrapped"]

_Param = TypeVar("_Param")
_Send = TypeVar("_Send")
_Receive = TypeVar("_Receive")
_Result = TypeVar("_Result")


async def run_wrapped(
    hooks: Sequence[Hook], call: OutgoingCall[_Param], send: Proceed[_Result]
) -> _Result:
    """Run a request or event inside of its hooks, the first one outermost.

    Args:
        hooks: The hooks of the connection.
        call: The logical call.
        send: Makes the attempts.

    Raises:
        DeadlineExceeded: The deadline has passed.
    """
    wraps = overriding(hooks, "wrap", call.procedure)
    if not wraps:
        return await send()
    async with within(call.procedure, call.due) as timeout:
        limit = _Limit(call, timeout)

        async def attempt() -> _Result:
            require_time(call.procedure, call.due)
            with limit.paused():
                return await send()

        proceed: Proceed[_Result] = attempt
        for wrap in reversed(wraps):
            proceed = partial(wrap, call, proceed)
        try:
            return await proceed()
        finally:
            limit.end()


class _Limit:
    """The deadline of a call while its hooks wait. It is paused during attempts, which may be concurrent.

    Args:
        call: The logical call.
        timeout: Cancels the task of the hooks.
    """

    def __init__(self, call: OutgoingCall[_Param], timeout: asyncio.Timeout) -> None:
        self._due: Final = call.due
        self._timeout: Final = timeout
        self._attempts = 0
        self._ended = False

    @contextmanager
    def paused(self) -> Generator[None, None, None]:
        """Pause while an attempt runs."""
        self._attempts += 1
        self._update()
        try:
            yield
        finally:
            self._attempts -= 1
            self._update()

    def end(self) -> None:
        """Limit nothing any more: a task that a hook has left may still make an attempt."""
        self._ended = True

    def _update(self) -> None:
        if self._due is None or self._ended or self._timeout.expired():
            return
        loop = asyncio.get_running_loop()
        self._timeout.reschedule(None if self._attempts else loop.time() + left(self._due))


class HookedStream(ClientStream[_Receive, _Result]):
    """A stream of a connection with hooks."""

    _outgoing: OutgoingCall[object] | None = None
    _received: Sequence[Callable[..., Any]] = ()  # the functions for each item, the innermost first
    _results: Sequence[Callable[..., Any]] = ()  # the same for the result
    _kept: tuple[_Result] | None = None  # the result, once it has passed the hooks

    async def __aenter__(self) -> Self:
        if self._opened is not None:
            return await super().__aenter__()  # which raises
        prepared, now = self._prepared, time.monotonic()
        due = due_within(now, prepared.timeout)
        require_time(self.procedure, due)
        call = OutgoingCall(self.procedure, prepared.param, now, due)
        call.metadata = prepared.metadata
        self._use(prepared.hooks, call)
        try:
            async with within(self.procedure, due):
                for wrap in overriding(prepared.hooks, "wrap_stream", self.procedure):
                    await enter_block(self._stack, wrap, call, "the hook")
            self._prepared = prepared.changed(call)
            await super().__aenter__()
        except BaseException as error:
            await self._stack.__aexit__(type(error), error, error.__traceback__)
            raise
        call.attempts = 1
        return self

    def _use(self, hooks: Sequence[Hook], call: OutgoingCall[object]) -> None:
        self._outgoing = call
        self._received = overriding(hooks, "receive", self.procedure)[::-1]
        self._results = overriding(hooks, "result", self.procedure)[::-1]

    async def __anext__(self) -> _Receive:
        item = await super().__anext__()
        for receive in self._received:
            item = receive(self._outgoing, item)
        return item

    def ready(self) -> Iterator[_Receive]:
        """Iterate over items that need not be waited for."""
        for item in super().ready():
            for receive in self._received:
                item = receive(self._outgoing, item)  # noqa: PLW2901 # as each hook returns it
            yield item

    async def result(self) -> _Result:
        """Wait until the server ends the call by itself."""
        return self._pass_result(await super().result())

    async def close(self) -> _Result:
        """Ask the handler to finish, and wait for its result."""
        return self._pass_result(await super().close())

    def _pass_result(self, result: _Result) -> _Result:
        """Return what the hooks make of a result; they see it once, however often the program asks for it."""
        if self._kept is None:
            for change in self._results:
                result = change(self._outgoing, result)
            self._kept = (result,)
        return self._kept[0]


class HookedChannel(
    HookedStream[_Receive, _Result],
    ClientChannel[_Send, _Receive, _Result],
    Generic[_Send, _Receive, _Result],
):
    """A channel of a connection with hooks."""

    _sent: Sequence[Callable[..., Any]] = ()  # the functions for each item, the outermost first

    def _use(self, hooks: Sequence[Hook], call: OutgoingCall[object]) -> None:
        super()._use(hooks, call)
        self._sent = overriding(hooks, "send", self.procedure)

    async def send(self, item: _Send) -> None:
        """Wait until an item may be sent, and send it."""
        for send in self._sent:
            item = send(self._outgoing, item)
        await super().send(item)
