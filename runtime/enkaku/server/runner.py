"""Runs handlers: one task for each call, and the reply that ends the call.

A call ends once: by the handler's result, by its error, by an abort, at its deadline, or with the connection. *Close* asks
the handler to finish within ``close_timeout`` and sends its result; *abort* cancels the handler and sends nothing more.
"""

import asyncio
import logging
from collections.abc import Callable, Generator
from functools import partial
from types import coroutine
from typing import Final

from enkaku.calls.deadlines import left, set_due
from enkaku.calls.info import Outcome
from enkaku.calls.observers import run_inside
from enkaku.calls.states import ServerState, Step
from enkaku.procedures import TOO_LONG
from enkaku.transports.base import Transport
from enkaku.wire.messages import encode_error, encode_result

from .call import ServerCall, set_current_call
from .handler import Route, Run
from .replies import FAILED, describe
from .shared import Capacity, Policy, Refusal

__all__ = ["STOPPING", "Calls"]

logger: Final = logging.getLogger("enkaku.server")

STOPPING: Final = ("EKP01", "The server is stopping")
# Looking up the members of an enum is slow before Python 3.12.
_FINISH: Final = Step.FINISH
_RELEASE: Final = Step.RELEASE
_TOO_LONG: Final = (TOO_LONG, "The call took too long")


class Calls:
    """Runs handlers, each in a task of its own, and sends what ends their calls.

    Args:
        transport: Takes the answers.
        policy: What holds for all connections of the server.
        on_end: Called whenever a handler has ended.

    Attributes:
        by_rid: The calls that have not been answered.
        running: The calls whose handlers have not ended, those of events among them; oldest first.
        capacity: Says whether one more call is wanted, and why not.
        stopping: Whether no new calls are wanted.
    """

    __slots__ = (
        "_cleanup",
        "_close_timeout",
        "_expiries",
        "_interceptors",
        "_loop",
        "_observers",
        "_on_end",
        "_timers",
        "_transport",
        "by_rid",
        "capacity",
        "running",
        "stopping",
    )

    def __init__(
        self,
        transport: Transport,
        policy: Policy,
        *,
        on_end: Callable[[], None],
    ) -> None:
        limits = policy.limits
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self.by_rid: dict[str, ServerCall] = {}
        self.capacity: Final = Capacity(
            calls=limits.calls, handlers=limits.handlers, whole=policy.capacity
        )
        self._close_timeout = policy.close_timeout
        self._cleanup = limits.cleanup
        self._observers = policy.observers
        self._expiries = policy.expiries
        self._interceptors = policy.interceptors
        self._on_end = on_end
        self.running: dict[ServerCall, None] = {}
        self._timers: dict[ServerCall, asyncio.TimerHandle] = {}
        self.stopping = False

    def runs_in(self, task: asyncio.Task[object] | None) -> bool:
        """Tell whether a handler runs in a task."""
        return task is not None and any(call.task is task for call in self.running)

    def start(self, call: ServerCall, route: Route, arguments: tuple[object, ...]) -> None:
        """Run the handler of a call, or of an event."""
        if arguments:
            call.param = arguments[0]
        if call.answered:
            self.by_rid[call.rid] = call
        self.capacity.take(call.procedure.kind)
        self.running[call] = None
        if call.due is not None:
            self._expiries.add(call.due, call)
        self._observers.call_started(call)
        serving = self._serve(call, route.run, arguments)
        serving.send(None)  # as far as its pause
        task = self._loop.create_task(serving)
        if call.task is None and call in self.running:
            call.task = task

    def close(self, call: ServerCall) -> None:
        """Ask the handler to finish, for a bounded time."""
        due_first = call.due is not None and left(call.due) < self._close_timeout
        if call.step(Step.CLOSE) and not due_first:
            self._set_timer(call, self._close_timeout, self._overstay)

    def exceed(self, call: ServerCall) -> None:
        """End a call whose time is over."""
        # Answered here, and not when the handler ends: it may ignore its cancellation.
        self._answer_error(call, _TOO_LONG)
        self._forget(call)
        self._cancel(call)

    def give_up(self, call: ServerCall, outcome: Outcome = "aborted", code: str = "") -> None:
        """Cancel the handler; nothing more is sent."""
        if call.step(_FINISH):
            call.note_end(outcome, code)
        self._cancel(call)

    def give_up_all(self) -> None:
        """The connection is lost: cancel every handler; nothing more is sent."""
        for call in tuple(self.running):
            self.give_up(call, "lost")

    def cancel_all(self) -> None:
        """Cancel every handler; each caller is told that the server stops."""
        self.stopping = True
        for call in tuple(self.running):
            self._cancel(call)

    async def stop(self, *, grace: float) -> None:
        """Ask every handler to finish; cancel those that run after ``grace`` seconds; answer every call."""
        self.stopping = True
        for call in tuple(self.running):
            call.step(Step.CLOSE)
        await self._wait(grace)
        self.cancel_all()
        await self._wait(self._cleanup)
        for call in tuple(self.running):
            self._answer_error(call, STOPPING)
            self._forget(call)
            self._report_stuck(call)

    async def _wait(self, within: float) -> None:
        tasks = [call.task for call in self.running if call.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=within)

    async def _serve(self, call: ServerCall, run: Run, arguments: tuple[object, ...]) -> None:
        """Run the handler of a call, and answer; this is all that its task does."""
        try:
            # A task that is cancelled before its first step would run none of this: so it begins before there is one.
            await _pause()
            if call.task is None:
                call.task = asyncio.current_task()  # an eager one, which runs while it is made
            set_current_call(call)
            set_due(call.due)
            if self._interceptors:
                val = await run_inside(self._interceptors, call, partial(run, call, *arguments))
            else:
                val = await run(call, *arguments)
        except Exception as error:  # noqa: BLE001 # whatever a handler raises becomes an answer
            self._answer_failure(call, error)
        except (asyncio.CancelledError, GeneratorExit):
            self._answer_unfinished(call, None)
            raise
        except BaseException as error:  # those that a test framework raises, above all
            self._answer_unfinished(call, error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        else:
            self._answer(call, encode_result(call.rid, val), "result")
        finally:
            self._end(call)

    def _answer_failure(self, call: ServerCall, error: Exception) -> None:
        try:
            code, line = describe(call, error)
        except Exception as worse:  # noqa: BLE001 # what it says of itself cannot be written
            self._answer_unfinished(call, worse)
        else:
            self._answer(call, line, "error", code)

    def _answer_unfinished(self, call: ServerCall, error: BaseException | None) -> None:
        """Answer a call whose task ends, and did not."""
        if call.state is ServerState.ENDED:
            return
        if error is not None:
            logger.error("%s: the handler failed", call.procedure.name, exc_info=error)
        elif not self.stopping:
            logger.error("%s: the handler cancelled itself", call.procedure.name)
        stopped = self.stopping and error is None
        self._answer_error(call, STOPPING if stopped else FAILED)

    def _answer_error(self, call: ServerCall, error: Refusal) -> None:
        self._answer(call, encode_error(call.rid, *error), "error", error[0])

    def _answer(self, call: ServerCall, line: bytes, outcome: Outcome, code: str = "") -> None:
        """Send the last message of a call, if it is still wanted."""
        if call.step(_FINISH):
            if call.answered:
                call.bytes_sent += len(line)
                self._transport.write(line)
            call.note_end(outcome, code)

    def _forget(self, call: ServerCall) -> None:
        if self.by_rid.get(call.rid) is call:
            del self.by_rid[call.rid]
        self._expiries.forget(call)
        if self._timers:
            self._drop_timer(call)

    def _end(self, call: ServerCall) -> None:
        """Count a call no longer: its handler has ended."""
        call.task = None  # or the two would keep each other until the garbage collector comes
        del self.running[call]
        self._forget(call)
        if call.step(_RELEASE):
            self.capacity.release(call.procedure.kind)
        call.release()
        self._observers.call_ended(call)
        self._on_end()

    def _cancel(self, call: ServerCall) -> None:
        if call.cancelled and not call.stuck:
            return  # what it does now is cleaning up, for which it has its time
        if call.task is not None and call.task.cancel():
            call.cancelled = True
            self._set_timer(call, self._cleanup, self._report_stuck)

    def _overstay(self, call: ServerCall) -> None:
        logger.error(
            "%s: the handler went on for %g s after its call was closed: it is cancelled",
            call.procedure.name,
            self._close_timeout,
        )
        self.exceed(call)

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
        self._expiries.forget(call)
        self._drop_timer(call)
        self._timers[call] = self._loop.call_later(seconds, partial(expire, call))

    def _drop_timer(self, call: ServerCall) -> None:
        timer = self._timers.pop(call, None)
        if timer is not None:
            timer.cancel()


@coroutine
def _pause() -> Generator[None, None, None]:
    """Wait for the next ``send``."""
    yield
