"""The calls of one session: the tasks in which handlers run, and the answer that ends each call.

Above it: the session, which reads what the client sends. Below it: what a handler sees of its call.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from .answers import FAILED, describe
from .call import ServerCall, set_current_call
from .capacity import Capacity, Refusal
from .deadline import left, set_due
from .facts import ConnectionInfo, Outcome
from .handler import Run
from .messages import encode_error, encode_result
from .observer import enter_all
from .policy import Policy
from .procedures import TOO_LONG
from .states import ServerState, Step
from .transport import Transport

__all__ = ["STOPPING", "Calls"]

logger: Final = logging.getLogger("enkaku.server")

STOPPING: Final = ("EKP01", "The server is stopping")
_TOO_LONG: Final = (TOO_LONG, "The call took too long")


class Calls:
    """Runs handlers, each in a task of its own, and sends what ends their calls.

    Args:
        transport: Takes the answers.
        connection: Lists the calls that are open.
        policy: What holds for all connections of the server.
        on_end: Called whenever a handler has ended.
    """

    def __init__(
        self,
        transport: Transport,
        connection: ConnectionInfo,
        policy: Policy,
        *,
        on_end: Callable[[], None],
    ) -> None:
        limits = policy.limits
        self._transport = transport
        self._connection = connection
        self._capacity = Capacity(
            calls=limits.calls, handlers=limits.handlers, whole=policy.capacity
        )
        self._close_timeout = policy.close_timeout
        self._cleanup = limits.cleanup
        self._observers = policy.observers
        self._interceptors = policy.interceptors
        self._on_end = on_end
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

    def runs_in(self, task: asyncio.Task[object] | None) -> bool:
        """Tell whether a handler runs in a task."""
        return task in self._running

    def refuse(self, kind: str) -> Refusal | None:
        """Say why one more call is not wanted, or None if it is."""
        return self._capacity.refuse(kind)

    def start(self, call: ServerCall, run: Run) -> None:
        """Run the handler of a call, or of an event."""
        if call.answered:
            self._by_rid[call.rid] = call
        self._capacity.take(call.kind)
        self._connection.add_call(call)
        self._observers.call_started(call)
        task = asyncio.get_running_loop().create_task(self._serve(call, run))
        call.task = task
        self._running[task] = call
        task.add_done_callback(self._done)
        if call.due is not None:
            self._set_timer(call, left(call.due), self._exceed)

    def close(self, call: ServerCall) -> None:
        """Ask the handler to finish, for a bounded time."""
        due_first = call.due is not None and left(call.due) < self._close_timeout
        if call.step(Step.CLOSE) and not due_first:
            self._set_timer(call, self._close_timeout, self._overstay)

    def give_up(self, call: ServerCall, outcome: Outcome = "aborted", code: str = "") -> None:
        """Cancel the handler; nothing more is sent."""
        if call.step(Step.FINISH):
            call.note_end(outcome, code)
        self._cancel(call)

    def give_up_all(self) -> None:
        """The connection is lost: cancel every handler; nothing more is sent."""
        for call in tuple(self._running.values()):
            self.give_up(call, "lost")

    def cancel_all(self) -> None:
        """Cancel every handler; each caller is told that the server stops."""
        self._stopping = True
        for call in tuple(self._running.values()):
            self._cancel(call)

    async def stop(self, *, grace: float) -> None:
        """Ask every handler to finish; cancel those that run after ``grace`` seconds; answer every call."""
        self._stopping = True
        for call in self._running.values():
            call.step(Step.CLOSE)
        await self._wait(grace)
        self.cancel_all()
        await self._wait(self._cleanup)
        for call in self._running.values():
            self._answer_error(call, STOPPING)
            self._report_stuck(call)

    async def _wait(self, within: float) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=within)

    async def _serve(self, call: ServerCall, run: Run) -> None:
        set_current_call(call)
        set_due(call.due)
        try:
            val = await self._run(call, run)
        except Exception as error:  # noqa: BLE001 # whatever a handler raises becomes an answer
            code, line = describe(call, error)
            self._answer(call, line, "error", code)
        else:
            self._answer(call, encode_result(call.rid, val), "result")

    async def _run(self, call: ServerCall, run: Run) -> bytes | None:
        if not self._interceptors:
            return await self._run_handler(call, run)
        async with AsyncExitStack() as stack:
            await enter_all(stack, self._interceptors, call)
            return await self._run_handler(call, run)
        raise RuntimeError("an interceptor has swallowed the exception, and there is no result")

    async def _run_handler(self, call: ServerCall, run: Run) -> bytes | None:
        try:
            val = await run(call)
            if call.outbox is not None:
                await call.outbox.flush()
            return val
        finally:
            if call.outbox is not None:
                await call.outbox.close()

    def _answer_unfinished(self, call: ServerCall, error: BaseException | None) -> None:
        """Answer a call whose task is done, and did not."""
        if error is not None:
            logger.error("%s: the handler failed", call.procedure.name, exc_info=error)
        elif not self._stopping:
            logger.error("%s: the handler cancelled itself", call.procedure.name)
        stopped = self._stopping and error is None
        self._answer_error(call, STOPPING if stopped else FAILED)

    def _answer_error(self, call: ServerCall, error: Refusal) -> None:
        self._answer(call, encode_error(call.rid, *error), "error", error[0])

    def _answer(self, call: ServerCall, line: bytes, outcome: Outcome, code: str = "") -> None:
        """Send the last message of a call, if it is still wanted, and forget the call."""
        if call.step(Step.FINISH):
            if call.answered:
                call.note_sent(len(line))
                self._transport.write(line)
            call.note_end(outcome, code)
        self._forget(call)

    def _forget(self, call: ServerCall) -> None:
        if self._by_rid.get(call.rid) is call:
            del self._by_rid[call.rid]
        self._drop_timer(call)

    def _done(self, task: asyncio.Task[None]) -> None:
        # Here, and not in the task: one that is cancelled before its first step runs none of its code.
        call = self._running.pop(task)
        if call.state is not ServerState.ENDED:
            self._answer_unfinished(call, None if task.cancelled() else task.exception())
        self._forget(call)
        if call.step(Step.RELEASE):
            self._capacity.release(call.kind)
        if call.inbox is not None:
            call.inbox.clear()
            call.inbox.release()
        self._connection.remove_call(call)
        self._observers.call_ended(call)
        self._on_end()

    def _cancel(self, call: ServerCall) -> None:
        if call.cancelled and not call.stuck:
            return  # what it does now is cleaning up, for which it has its time
        if call.task is not None and call.task.cancel():
            call.cancelled = True
            self._set_timer(call, self._cleanup, self._report_stuck)

    def _exceed(self, call: ServerCall) -> None:
        # Answered here, and not when the handler ends: it may ignore its cancellation.
        self._answer_error(call, _TOO_LONG)
        self._cancel(call)

    def _overstay(self, call: ServerCall) -> None:
        logger.error(
            "%s: the handler went on for %g s after its call was closed: it is cancelled",
            call.procedure.name,
            self._close_timeout,
        )
        self._exceed(call)

    def _report_stuck(self, call: ServerCall) -> None:
        if call.stuck:
            return
        call.stuck = True
        logger.error(
            "%s: the handler ignores its cancellation; its call still counts against the limits",
            call.procedure.name,
        )
        self._observers.handler_stuck(call)

    def _set_timer(
        self, call: ServerCall, seconds: float, expire: Callable[[ServerCall], None]
    ) -> None:
        self._drop_timer(call)
        loop = asyncio.get_running_loop()
        self._timers[call] = loop.call_later(seconds, partial(expire, call))

    def _drop_timer(self, call: ServerCall) -> None:
        timer = self._timers.pop(call, None)
        if timer is not None:
            timer.cancel()
