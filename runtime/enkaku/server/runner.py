"""Runs handlers: one task for each call, and the reply that ends the call.

A call ends once: by the handler's result, by its error, by an abort, at its deadline, or with the connection. *Close* asks
the handler to finish within ``close_timeout`` and sends its result; *abort* cancels the handler and sends nothing more.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Protocol, cast

from enkaku.calls.deadlines import left, scope
from enkaku.calls.info import Outcome
from enkaku.calls.observers import run_inside
from enkaku.calls.states import SERVER, ServerState, Step
from enkaku.flow.fairness import SLICE
from enkaku.transports.base import Transport
from enkaku.wire.error_codes import DEADLINE_PASSED, FAILED, STOPPING, ErrorReply
from enkaku.wire.messages import NEWLINE_SIZE, encode_error, encode_result

from .call import Absence, ServerCall, StreamCall
from .capacity import Capacity
from .handler import Route
from .handler_pool import HandlerQueue
from .posts import Posts
from .replies import describe, log_failure
from .shared import Policy

__all__ = ["Runner", "RunsHandlers"]

logger: Final = logging.getLogger("enkaku.server")

# Looking up the members of an enum is slow before Python 3.12.
_FINISH: Final = Step.FINISH
_RELEASE: Final = Step.RELEASE
_RUNNING: Final = ServerState.RUNNING
_RELEASED: Final = ServerState.RELEASED
_AFTER_SUCCESS: Final = SERVER[_RUNNING, Step.SUCCEED]


class _Pause:
    """Stops a coroutine until the next ``send``, which is the first step of its task."""

    __await__ = staticmethod(
        partial(iter, (None,))
    )  # no function of Python, which would be entered twice


_PAUSE: Final = cast(Awaitable[None], _Pause())


class RunsHandlers(Protocol):
    """The session of a runner."""

    def on_handler_end(self) -> None:
        """Handle that a handler has ended."""

    def on_event_start(self) -> None:
        """Handle that the handler of an event begins that had to wait."""


class Runner:
    """Runs the handlers of a session, each in a task of its own, and sends what ends their calls.

    Args:
        transport: Sends the replies.
        policy: The options and limits of the server.
        capacity: What the connection uses.
        session: The session.
        posts: What the session has in common with others, if it is one POST.

    Attributes:
        by_rid: The calls that were not replied to yet.
        running: The calls whose handlers have not ended, including events; oldest first.
        capacity: What the connection uses.
        requests: Requests that wait for a free handler.
        events: Events that wait for a free handler.
        draining: Whether new calls are rejected.
        stopping: Whether, besides, the handlers were asked to finish.
        cancelled: Whether every handler was cancelled, so that events are dropped, too.
    """

    __slots__ = (
        "_cleanup",
        "_close_timeout",
        "_deadlines",
        "_emptied",
        "_has_factory",
        "_interceptors",
        "_loop",
        "_observers",
        "_session",
        "_timers",
        "_transport",
        "by_rid",
        "cancelled",
        "capacity",
        "draining",
        "events",
        "requests",
        "running",
        "stopping",
    )

    def __init__(
        self,
        transport: Transport,
        policy: Policy,
        capacity: Capacity,
        *,
        session: RunsHandlers,
        posts: Posts | None = None,
    ) -> None:
        limits = policy.limits
        self._loop = asyncio.get_running_loop()
        # Task() itself is what create_task() calls without a factory, for half of the cost.
        self._has_factory = self._loop.get_task_factory() is not None
        self._transport = transport
        self.by_rid: dict[str, ServerCall] = {}
        self.capacity: Final = capacity
        most, waiting = limits.handlers, limits.buffered
        self.requests: Final = (
            HandlerQueue(policy.requests, most, capacity=waiting)
            if posts is None
            else posts.requests
        )
        self.events: Final = (
            HandlerQueue(policy.events, most, capacity=waiting) if posts is None else posts.events
        )
        self._emptied: asyncio.Future[None] | None = None  # done when no handler runs
        self._close_timeout = policy.close_timeout
        self._cleanup = limits.cleanup
        self._observers = policy.observers
        self._deadlines = policy.deadlines
        self._interceptors = policy.interceptors
        self._session = session
        self.running: dict[ServerCall, None] = {}
        self._timers: dict[ServerCall, asyncio.TimerHandle] | None = None  # until there is one
        self.draining = False
        self.stopping = False
        self.cancelled = False

    def runs_in(self, task: asyncio.Task[object] | None) -> bool:
        """Return whether a handler runs in a task."""
        return task is not None and any(call.task is task for call in self.running)

    def has_waiting_event(self) -> bool:
        """Return whether an event waits for a free handler."""
        return any(call.task is None and not call.answered for call in self.running)

    def start(self, call: ServerCall, route: Route, arguments: tuple[object, ...]) -> None:
        """Run the handler of a call, or of an event, which ``capacity`` has counted; let it wait where none is free."""
        if arguments:
            call.param = arguments[0]
        if call.answered:
            self.by_rid[call.rid] = call
        self.running[call] = None
        if call.due is not None and call.due < self._deadlines.wakes:
            self._deadlines.wake_at(call.due)
        if self._observers.started:
            self._observers.call_started(call)
        if type(call) is ServerCall:  # streams and channels run for long: they need no free handler
            queue = self.requests if call.answered else self.events
            if not queue.claim():
                queue.wait(call, partial(self._begin_late, call, route, arguments))
                return
        self._begin(call, route, arguments)

    def _begin_late(self, call: ServerCall, route: Route, arguments: tuple[object, ...]) -> None:
        self._begin(call, route, arguments)
        if not call.answered:
            self._session.on_event_start()

    def _begin(self, call: ServerCall, route: Route, arguments: tuple[object, ...]) -> None:
        serving = self._serve(call, route, arguments)
        serving.send(None)  # as far as its pause
        loop = self._loop
        task = loop.create_task(serving) if self._has_factory else asyncio.Task(serving, loop=loop)
        if call.phase is not _RELEASED:  # as it is if the task is eager, and has ended
            call.task = task

    def give_up_place(self, call: ServerCall) -> Callable[[object], None] | None:
        """Free the place of a handler while it waits for a call to its own peer.

        Returns:
            What takes the place back, with any argument; None if the handler has none.
        """
        if type(call) is not ServerCall or call not in self.running:
            return None
        absence = call.absence
        if absence is None:
            absence = call.absence = Absence()
            call.blocks = set() if call.blocks is None else call.blocks
            call.blocks.add(absence)
        absence.calls += 1
        if absence.calls == 1:
            self._queue_of(call).release()
        return partial(self._take_place_back, call, absence)

    def _take_place_back(self, call: ServerCall, absence: Absence, _: object) -> None:
        absence.calls -= 1
        if not absence.calls and call in self.running:
            self._queue_of(call).take()

    def _queue_of(self, call: ServerCall) -> HandlerQueue:
        return self.requests if call.answered else self.events

    def close(self, call: ServerCall) -> None:
        """Ask the handler to finish, for a bounded time."""
        due_first = call.due is not None and left(call.due) < self._close_timeout
        if call.step(Step.CLOSE) and not due_first:
            self._set_timer(call, self._close_timeout, self._on_close_timeout)

    def end_at_deadline(self, call: ServerCall) -> None:
        """End a call whose deadline has passed."""
        self._end_early(call, DEADLINE_PASSED)

    def end_all(self, calls: list[ServerCall], reply: ErrorReply) -> None:
        """End calls early, the last first: some in each iteration of the event loop."""
        ends = time.monotonic() + SLICE
        while calls:
            self._end_early(calls.pop(), reply)
            if time.monotonic() > ends:
                self._loop.call_soon(self.end_all, calls, reply)
                return

    def _end_early(self, call: ServerCall, reply: ErrorReply) -> None:
        # Answered here, and not when the handler ends: it may ignore its cancellation.
        self._reply_error(call, reply)
        self._remove(call)
        self._cancel(call)

    def abort(self, call: ServerCall, outcome: Outcome = "aborted", code: str = "") -> None:
        """Cancel the handler; nothing more is sent."""
        if call.step(_FINISH):
            call.record_end(outcome, code)
        self._cancel(call)

    def abort_all(self) -> None:
        """Cancel the handlers of calls, since the connection is lost; those of events go on, and those that wait."""
        lost = [call for call in self.running if call.answered]
        for call in lost:  # all of them now: a handler that ends with ConnectionLost is no failure
            if call.step(_FINISH):
                call.record_end("lost")
            if call.task is None:  # it must not begin when a handler becomes free
                self.requests.discard(call)
        self._end_lost(lost)

    def _end_lost(self, calls: list[ServerCall]) -> None:
        """End calls, the last first: some in each iteration of the event loop, since to free their values takes long."""
        ends = time.monotonic() + SLICE
        while calls:
            self._end_one(calls.pop())
            if time.monotonic() > ends:
                self._loop.call_soon(self._end_lost, calls)
                return

    def _end_one(self, call: ServerCall) -> None:
        if call.task is not None:
            self._cancel(call)
        elif call in self.running:
            self._end(call)
            self._session.on_handler_end()

    def cancel_all(self) -> None:
        """Cancel every handler, and start no more; each caller gets the error that the server stops."""
        self.draining = self.stopping = self.cancelled = True
        for call in tuple(self.running):
            self._cancel(call)

    async def stop(self, *, grace: float, leaving: bool) -> None:
        """Ask every handler to finish; cancel those that run after ``grace`` seconds; reply to every call.

        Args:
            grace: How long handlers may go on, in seconds.
            leaving: Whether the client knows that the server stops. It will say when it has sent its last item.
        """
        self.draining = self.stopping = True
        for call in tuple(self.running):
            call.stopping = True
            call.step(Step.STOP)
            if not leaving and isinstance(call, StreamCall) and call.inbox is not None:
                call.inbox.put_end()
        await self._wait(grace)
        self.cancel_all()
        await self._wait(self._cleanup)
        for call in tuple(self.running):
            self._reply_error(call, STOPPING)
            self._remove(call)
            self._report_stuck(call)

    async def _wait(self, within: float) -> None:
        """Wait until no handler runs, nor waits."""
        if self.running:
            self._emptied = self._loop.create_future()
            await asyncio.wait([self._emptied], timeout=within)

    async def _serve(self, call: ServerCall, route: Route, arguments: tuple[object, ...]) -> None:
        """Run the handler of a call, and reply; this is all that its task does.

        asyncio throws a cancellation into a task's coroutine where that has stopped. A coroutine that has not begun then
        ends without running any code. So this begins before there is a task, and stops at its pause: however early the
        task is cancelled, the call is replied to and no longer counted.
        """
        try:
            await _PAUSE
            if call.task is None:
                call.task = asyncio.current_task()  # an eager task, which runs while it is made
            scope.set(call)
            if self._interceptors and not call.reserved:
                run = partial(route.run, call, arguments)
                val = await run_inside(self._interceptors, call, run)
            elif type(call) is ServerCall:  # a request or an event, as Route.run() serves it
                value = await route.method(*arguments)
                val = None if route.result is None else route.result.encode(value)
            else:
                val = await route.run(call, arguments)
        except Exception as error:  # noqa: BLE001 # whatever a handler raises becomes a reply
            self._reply_failure(call, error)
        except asyncio.CancelledError:
            self._reply_unfinished(call, None)
            raise
        except (
            GeneratorExit
        ) as error:  # of the handler; or the event loop is closed, and this coroutine with it
            self._reply_unfinished(call, error)
        except BaseException as error:  # such as a test framework's own
            self._reply_unfinished(call, error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        else:
            self._reply_result(call, val)
        finally:
            if call.phase is not _RELEASED:
                self._end(call)
                if type(call) is ServerCall and not (call.absence and call.absence.calls):
                    self._queue_of(call).release()
                self._session.on_handler_end()

    def _reply_result(self, call: ServerCall, val: bytes | None) -> None:
        message = encode_result(call.rid, val)
        is_request = type(call) is ServerCall and call.answered
        if not is_request or call.phase is not _RUNNING or call.blocks:
            self._reply(call, message, "result")
            return
        # The usual end of a request: _reply() and _end() in one, without the steps that only other calls need.
        call.phase = _AFTER_SUCCESS
        call.task = None
        call.bytes_sent = len(message) + NEWLINE_SIZE
        self._transport.write(message)
        call.outcome, call.ended = "result", time.monotonic()
        del self.by_rid[call.rid], self.running[call]
        if self._timers:
            self._drop_timer(call)
        self.capacity.release(call.memory)
        if self._observers.ended:
            self._observers.call_ended(call)
        if self.stopping:
            self._check_emptied()
        self.requests.release()
        self._session.on_handler_end()

    def _reply_failure(self, call: ServerCall, error: Exception) -> None:
        try:
            code, message = describe(call, error)
        except Exception as worse:  # noqa: BLE001 # what it says of itself cannot be encoded
            self._reply_unfinished(call, worse)
        else:
            self._reply(call, message, "error", code)

    def _reply_unfinished(self, call: ServerCall, error: BaseException | None) -> None:
        """Reply to a call whose task ends without having done so."""
        if call.phase >= ServerState.ENDED:
            return
        if error is not None:
            log_failure(call, error)
        elif not self.stopping:
            self._log_error("%s: the handler cancelled itself", call)
        stopped = self.stopping and error is None
        self._reply_error(call, STOPPING if stopped else FAILED)

    def _reply_error(self, call: ServerCall, error: ErrorReply) -> None:
        self._reply(call, encode_error(call.rid, *error), "error", error.code)

    def _reply(self, call: ServerCall, message: bytes, outcome: Outcome, code: str = "") -> None:
        """Send the last message of a call, unless the call has ended."""
        if call.step(_FINISH):
            if call.answered:
                call.bytes_sent += len(message) + NEWLINE_SIZE
                self._transport.write(message)
            call.record_end(outcome, code)

    def _remove(self, call: ServerCall) -> None:
        """Free a call's id and stop its timer: it was replied to."""
        if self.by_rid.get(call.rid) is call:
            del self.by_rid[call.rid]
        if self._timers:
            self._drop_timer(call)

    def _end(self, call: ServerCall) -> None:
        """Uncount a call: its handler has ended, or will not begin."""
        call.task = None  # else the two would form a cycle, which only the garbage collector frees
        del self.running[call]
        self._remove(call)
        if call.step(_RELEASE):
            if call.answered:
                self.capacity.release(call.memory)
            else:
                self.capacity.release_event(call.memory)
        call.release()
        self._observers.call_ended(call)
        if self.stopping:
            self._check_emptied()

    def _check_emptied(self) -> None:
        emptied = self._emptied
        if emptied is not None and not self.running and not emptied.done():
            emptied.set_result(None)

    def _cancel(self, call: ServerCall) -> None:
        task = call.task
        if task is None:
            self._discard(call)
            return
        if call.cancelled and not call.stuck:
            return  # it has Limits.cleanup seconds to clean up
        if task.cancel():
            call.cancelled = True
            self._set_timer(call, self._cleanup, self._report_stuck)

    def _discard(self, call: ServerCall) -> None:
        """End a call that waits for a free handler, if it does."""
        if self._queue_of(call).discard(call):
            if call.phase < ServerState.ENDED:
                self._reply_unfinished(call, None)
            self._end(call)
            self._session.on_handler_end()

    def _on_close_timeout(self, call: ServerCall) -> None:
        if call.task is not None:  # else it still waits for a free handler
            text = (
                "%s: the handler is cancelled, since it went on for %g s after its call was closed"
            )
            self._log_error(text, call, self._close_timeout)
        self.end_at_deadline(call)

    def _report_stuck(self, call: ServerCall) -> None:
        if call.stuck:
            return
        call.stuck = True
        text = "%s: the handler ignores its cancellation; its call still counts against the limits"
        self._log_error(text, call)
        self._observers.handler_stuck(call)

    def _log_error(self, text: str, call: ServerCall, *arguments: object) -> None:
        name = call.procedure.name
        kind = text % (name, *arguments)
        self._observers.log.log(logger, logging.ERROR, kind, text, name, *arguments)

    def _set_timer(
        self, call: ServerCall, seconds: float, on_timeout: Callable[[ServerCall], None]
    ) -> None:
        self._drop_timer(call)
        if self._timers is None:
            self._timers = {}
        self._timers[call] = self._loop.call_later(seconds, partial(on_timeout, call))

    def _drop_timer(self, call: ServerCall) -> None:
        timer = None if self._timers is None else self._timers.pop(call, None)
        if timer is not None:
            timer.cancel()
