"""The system under test and its model: one client and one server on a simulated connection, with their invariants."""

import asyncio
from collections import Counter
from typing import Final

import enkaku
from enkaku import WhenFull

from .calling import Caller
from .calls import CLIENT_OPEN, SERVER_OPEN, Bounds, CallModel
from .loop import SteppedLoop
from .model import Model
from .serving import Serving
from .wire import Line, Mistake, wire

__all__ = ["BOUNDS", "Broken", "World"]

BOUNDS: Final = Bounds()
SIDES: Final = ("client", "server")
_ITERATIONS: Final = 6  # of the event loop, enough for all ready callbacks


class Broken(AssertionError):
    """The client or the server differs from the model."""


class _ModelObserver(enkaku.Observer):
    """Notifies the model of the calls that start and end on one side."""

    def __init__(self, model: Model, side: str) -> None:
        self._model = model
        self._side = side

    def call_started(self, call: enkaku.Call) -> None:
        modelled = self._find(call)
        if self._side == "client":
            modelled.client_started += 1
        else:
            modelled.server_started += 1
            if modelled.kind == "event":
                self._model.server_accepted(modelled)
            # The message that ends it may have arrived together with the one that opens it.
            open_ = modelled.server in SERVER_OPEN or modelled.server_burst == self._model.burst
            right = open_ and modelled.server_started == 1
            self._model.require(right, f"started while {modelled.server}", modelled)

    def call_ended(self, call: enkaku.Call) -> None:
        modelled, end = self._find(call), (str(call.outcome), call.code)
        if self._side == "client":
            self._model.client_call_ended(modelled, end)
        else:
            self._model.server_call_ended(modelled, end)

    def handler_stuck(self, call: enkaku.Call) -> None:
        self._model.reached["reported as stuck"] += 1

    def invalid_message(self, connection: enkaku.ConnectionInfo, problem: str) -> None:
        self._model.fault(f"an invalid message: {problem}")

    def _find(self, call: enkaku.Call) -> CallModel:
        assert isinstance(call.param, int)
        return self._model.calls[call.param]


class _WireObserver:
    """Notifies the model of the messages at one end."""

    def __init__(self, model: Model, side: str) -> None:
        client = side == "client"
        self._model = model
        self._wrote = model.client_wrote if client else model.server_wrote
        self._got = model.client_got if client else model.server_got
        self.lost = model.lose_client if client else model.lose_server

    def wrote(self, line: Line, size: int) -> None:
        self._wrote(line, size)

    def got(self, line: Line, size: int) -> None:
        self._got(line, size)


class World:
    """The system under test: both ends, the model, and the callers and handlers.

    Args:
        mistake: A mutation of one side's messages; None for none.

    Attributes:
        transitions: The state transitions of the runtime, by side.
    """

    def __init__(self, loop: SteppedLoop, mistake: Mistake | None = None) -> None:
        self.loop = loop
        self.model = Model(loop.time, BOUNDS)
        self.callers: list[Caller] = []
        self.serving = Serving(self.model)
        self.transitions: dict[str, Counter[tuple[str, str]]] = {
            "client": Counter(),
            "server": Counter(),
        }
        self.others: list[asyncio.Task[None]] = []  # that close the connection or stop the server
        self.stop_wanted: float | None = None  # the grace period of a stop that has not begun
        self.client_end, self.server_end = wire(
            lambda side: _WireObserver(self.model, side), mistake
        )
        self.model.is_server_ended = lambda: self.server_end.ended
        self.model.is_stop_wanted = lambda: self.stop_wanted is not None
        limits = enkaku.Limits(
            window=BOUNDS.window,
            calls=BOUNDS.calls,
            handlers=BOUNDS.handlers,
            request_time=BOUNDS.request_time,
            cleanup=BOUNDS.cleanup,
            silence=BOUNDS.silence,
            backlog=1000,
            linger=1.0,
            stall=None,  # the model queues events without a timeout
        )
        self.server = enkaku.Server(
            self.serving,
            limits=limits,
            close_timeout=BOUNDS.close_timeout,
            observers=[_ModelObserver(self.model, "server")],
        )
        self.server.connected(self.server_end)
        self.connection = enkaku.Connection(
            self.client_end, limits=limits, observers=[_ModelObserver(self.model, "client")]
        )

    # Actions.

    def open(
        self,
        kind: str,
        timeout: float | None,
        *,
        when_full: WhenFull = "wait",
        graceful: bool = False,
    ) -> Caller:
        """Start a call."""
        number = len(self.model.calls)
        call = CallModel(number, kind, when_full=when_full, graceful=graceful)
        self.model.calls.append(call)
        self.callers.append(Caller(self.model, self.connection, call, timeout))
        return self.callers[-1]

    async def run_ready(self, count: int = _ITERATIONS) -> None:
        """Run all ready callbacks and tasks."""
        for _ in range(count):
            await asyncio.sleep(0)

    def deliver(self, side: str, count: int) -> bool:
        """Deliver a number of bytes to one side, and return whether anything was delivered."""
        self.model.burst += 1
        end = self.client_end if side == "client" else self.server_end
        return end.deliver(count)

    async def flush(self, *, to: tuple[str, ...] = ("client", "server")) -> None:
        """Deliver all bytes in transit, and those sent in reply."""
        moved = True
        while moved:
            moved = False
            for side in to:
                while self.deliver(side, 1 << 20):
                    moved = True
            await self.run_ready()
            self.check()

    async def advance(self, seconds: float) -> None:
        """Advance the clock, and run the timers that are due."""
        self.loop.clock.now += seconds
        await self.run_ready()
        self._check_deadlines()

    async def close_client(self) -> None:
        """Close the client's connection."""
        self.model.lose_client()
        await self.connection.close(within=2.0)

    async def stop_server(self, grace: float) -> None:
        """Stop the server."""
        self.stop_wanted = grace
        self.others.append(self.loop.create_task(self.server.stop(grace=grace)))
        await self.run_ready()
        self.begin_stop()

    def begin_stop(self) -> None:
        """Record in the model that the server closes its calls."""
        if self.stop_wanted is not None:
            if not self.model.stopping:
                self.model.stop_reported_from = self.loop.time() + self.stop_wanted
            self.stop_wanted = None
            self.model.close_all()

    def abort_server(self) -> None:
        """Abort the server."""
        self.model.stopping = True
        self.model.stop_reported_from = self.loop.time()
        for call in self.model.calls:
            call.must_cancel = call.must_cancel or call.server in SERVER_OPEN
        self.server.abort()

    # Invariants.

    def check(self) -> None:
        """Compare the present state of both sides with the model."""
        model = self.model
        for call in model.calls:
            self._check_call(call)
        listed = {seen.param for seen in self.connection.calls}
        open_ = {call.number for call in model.calls if call.client in CLIENT_OPEN}
        if listed != open_:
            model.fault(f"the client lists the calls {listed}, but {open_} are open")
        for connection in self.server.connections:
            for seen in connection.calls:
                self._check_server_state(seen)
        # As plain dicts: comparing Counters is much slower.
        if any(not dict.__eq__(self.transitions[side], model.transitions[side]) for side in SIDES):
            model.fault(f"expected the transitions {model.transitions}, got {self.transitions}")
        model.faults += self.loop.unhandled
        if model.faults:
            raise Broken("\n".join(model.faults))

    def _check_server_state(self, seen: enkaku.Call) -> None:
        assert isinstance(seen, enkaku.ServerCall)
        assert isinstance(seen.param, int)
        call = self.model.calls[seen.param]
        if call.kind == "event" and seen.outcome == "error" and self.model.stopping:
            # Without a message on the wire.
            self.model.step_server(call, "FINISH", ("error", seen.code))
        if seen.phase.name != call.server:
            self.model.fault(f"expected state {call.server}, got {seen.phase.name}", call)

    def _check_call(self, call: CallModel) -> None:
        model = self.model
        if call.client in CLIENT_OPEN:
            model.require(not model.client_lost, "it outlives its connection", call)
            closing = call.client == "CLOSING"
            model.require(not call.wants_close or closing, "its close was not sent", call)
            if call.kind != "request":
                self._check_down(call)
        if call.server == "RUNNING" and call.kind == "channel":
            # Credit of read items is granted again once it reaches half a window.
            owed = call.up.taken_size - call.up.granted
            if not 0 <= owed * 2 < model.limits.window:
                model.fault(f"{owed} bytes of credit are owed to the client", call)

    def _check_down(self, call: CallModel) -> None:
        way = call.down
        eager = call.lossy or call.when_full != "wait"
        owed = (way.arrived_size if eager else way.taken_size) - way.granted
        if not 0 <= owed * 2 < (way.window or 0):
            self.model.fault(f"{owed} bytes of credit are owed to the server", call)

    def _check_deadlines(self) -> None:
        now = self.loop.time()
        for call in self.model.calls:
            due = call.due is not None and call.due <= now
            if due and call.client in CLIENT_OPEN:
                self.model.fault("it outlives its deadline at the client", call)
            late = call.server_due is not None and call.server_due <= now
            if late and call.kind == "event":
                self.model.may_cancel(call)
            elif late and call.server in SERVER_OPEN and not self._is_stopped(now):
                self.model.fault("it outlives its deadline at the server", call)

    def _is_stopped(self, now: float) -> bool:
        # The handlers are cancelled by then, and the cleanup time applies instead.
        return self.model.stop_reported_from is not None and self.model.stop_reported_from <= now
