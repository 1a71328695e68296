"""The calls of one session: the tasks in which handlers run, and the answer that ends each call.

Above it: the session, which reads what the client sends. Below it: what a handler sees of its call.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from .call import CallState, ServerCall, set_current_call
from .declared import DeclaredError
from .errors import CallClosed, ConnectionLost, EncodeError, HandlerError
from .handler import Run
from .messages import encode_error, encode_result
from .problems import problem
from .slots import Slot
from .transport import Transport

__all__ = ["FAILED", "STOPPING", "Calls"]

logger: Final = logging.getLogger("enkaku.server")

STOPPING: Final = ("EKP01", "The server is stopping")
FAILED: Final = ("EK01", "Handler execution failed")
_TOO_LONG: Final = ("EK05", "The handler did not finish in time")
_ANY_DATA: Final = Slot[dict[str, object]]("error data", dict[str, object])
_CODE_MAX: Final = 128
_DATA_MAX: Final = 64


class Calls:
    """Runs handlers, each in a task of its own, and sends what ends their calls.

    Args:
        transport: Takes the answers.
        close_timeout: How long a handler may go on after its call was closed, in seconds.
        on_idle: Called when the last handler has ended.
    """

    def __init__(
        self, transport: Transport, *, close_timeout: float, on_idle: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._close_timeout = close_timeout
        self._on_idle = on_idle
        self._by_rid: dict[str, ServerCall] = {}
        self._running: dict[asyncio.Task[None], ServerCall] = {}
        self._timers: dict[ServerCall, asyncio.TimerHandle] = {}
        self._stopping = False

    @property
    def running(self) -> int:
        """How many handlers have not ended, those of events among them."""
        return len(self._running)

    @property
    def stopping(self) -> bool:
        """Whether no new calls are wanted."""
        return self._stopping

    def get(self, rid: str) -> ServerCall | None:
        """Return the open call with this id."""
        return self._by_rid.get(rid)

    def start(self, call: ServerCall, run: Run) -> None:
        """Run the handler of a call, or of an event."""
        if call.answered:
            self._by_rid[call.rid] = call
        task = asyncio.get_running_loop().create_task(self._serve(call, run))
        call.task = task
        self._running[task] = call
        task.add_done_callback(self._done)

    def close(self, call: ServerCall) -> None:
        """Ask the handler to finish, for a bounded time."""
        call.close()
        loop = asyncio.get_running_loop()
        self._timers[call] = loop.call_later(self._close_timeout, partial(self._expire, call))

    def give_up(self, call: ServerCall) -> None:
        """Cancel the handler; nothing more is sent."""
        call.end()
        if call.task is not None:
            call.task.cancel()

    def give_up_all(self) -> None:
        """Cancel every handler; nothing more is sent."""
        for call in tuple(self._running.values()):
            self.give_up(call)

    def cancel_all(self) -> None:
        """Cancel every handler; each caller is told that the server stops."""
        self._stopping = True
        for task in self._running:
            task.cancel()

    async def stop(self, *, grace: float, cleanup: float) -> None:
        """Ask every handler to finish; cancel those that run after ``grace`` seconds; answer every call."""
        self._stopping = True
        for call in self._running.values():
            call.close()
        await self._wait(grace)
        self.cancel_all()
        await self._wait(cleanup)
        for call in self._running.values():
            logger.error("%s: the handler ignores its cancellation", call.procedure.name)
            self._answer(call, encode_error(call.rid, *STOPPING))

    async def _wait(self, within: float) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=within)

    async def _serve(self, call: ServerCall, run: Run) -> None:
        set_current_call(call)
        try:
            val = await run(call)
        except Exception as error:  # noqa: BLE001 # whatever a handler raises becomes an answer
            line = _describe(call, error)
        else:
            line = encode_result(call.rid, val)
        self._answer(call, line)
        try:
            await self._transport.drain()
        except ConnectionLost:
            return

    def _answer_unfinished(self, call: ServerCall, error: BaseException | None) -> None:
        """Answer a call whose task is done, and did not."""
        if error is not None:
            logger.error("%s: the handler failed", call.procedure.name, exc_info=error)
        elif not self._stopping:
            logger.error("%s: the handler cancelled itself", call.procedure.name)
        stopped = self._stopping and error is None
        self._answer(call, encode_error(call.rid, *(STOPPING if stopped else FAILED)))

    def _answer(self, call: ServerCall, line: bytes) -> None:
        """Send the last message of a call, if it is still wanted, and forget the call."""
        wanted = call.answered and call.state is not CallState.ENDED
        self._forget(call)
        if wanted:
            self._transport.write(line)

    def _forget(self, call: ServerCall) -> None:
        call.end()
        if self._by_rid.get(call.rid) is call:
            del self._by_rid[call.rid]
        timer = self._timers.pop(call, None)
        if timer is not None:
            timer.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        # Here, and not in the task: one that is cancelled before its first step runs none of its code.
        call = self._running.pop(task)
        if call.state is not CallState.ENDED:
            self._answer_unfinished(call, None if task.cancelled() else task.exception())
        self._forget(call)
        if call.inbox is not None:
            call.inbox.clear()
        if not self._running:
            self._on_idle()

    def _expire(self, call: ServerCall) -> None:
        logger.error(
            "%s: the handler went on for %g s after its call was closed: it is cancelled",
            call.procedure.name,
            self._close_timeout,
        )
        # Answered here, and not when the handler ends: it may ignore its cancellation, too.
        self._answer(call, encode_error(call.rid, *_TOO_LONG))
        if call.task is not None:
            call.task.cancel()


def _describe(call: ServerCall, error: Exception) -> bytes:
    """Write the answer to a handler that raised; nobody is there to be told about an event's."""
    try:
        line = _describe_declared(call, error) if call.answered else None
    except EncodeError as unfit:
        error.add_note(f"The caller was told {FAILED[0]} instead: {unfit}")
        line = None
    if line is None:
        _log_failure(call, error)
        line = encode_error(call.rid, *FAILED)
    return line


def _log_failure(call: ServerCall, error: Exception) -> None:
    if isinstance(error, CallClosed) and call.closed:
        logger.warning(
            "%s: its call was closed, and the handler let CallClosed escape: so there is no result. "
            "Send inside of 'async with stream.until_closed()', and return the result behind it.",
            call.procedure.name,
        )
    else:
        logger.error("%s: the handler failed", call.procedure.name, exc_info=error)


def _describe_declared(call: ServerCall, error: Exception) -> bytes | None:
    if isinstance(error, DeclaredError):
        data = call.procedure.encode_error(error)
        if data is None:
            return None
        code, message = error.code, error.message
    elif isinstance(error, HandlerError):
        code, message, members = error.code, error.message, dict(error.data)
        if len(members) > _DATA_MAX:
            raise EncodeError(
                _ANY_DATA.label, (problem((), f"at most {_DATA_MAX} members", members),)
            )
        data = _ANY_DATA.encode(members)
    else:
        return None
    if len(code) > _CODE_MAX:
        raise EncodeError(
            "error code", (problem((), f"text of at most {_CODE_MAX} characters", code),)
        )
    return encode_error(call.rid, code, message, data)
