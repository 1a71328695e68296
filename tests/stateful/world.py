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
_PLAIN_TURNS: Final = 6  # in which everything happens that nobody waits for


class Broken(AssertionError):
    """Something is not as it must be."""


class _Watching(enkaku.Observer):
    """Tells the model which calls start and end on one side."""

    def __init__(self, model: Model, side: str) -> None:
        self._model = model
        self._side = side

    def call_started(self, call: enkaku.Call) -> None:
        modelled = self._find(call)
        if self._side == "client":
            modelled.client_started += 1
        else:
            modelled.server_started += 1
            # The line that ends it may have come right behind the one that opens it.
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


class _Ear:
    """Tells the model what crosses the wire at one end."""

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
    """What a program acts on.

    Args:
        mistake: What one side does wrong on the wire; None for nothing.

    Attributes:
        transitions: The steps that the tables of the runtime were asked for, and have taken, on each side.
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
        self.others: list[asyncio.Task[None]] = []  # that close the connection, and stop the server
        self.stop_wanted: float | None = None  # the grace of a stop that has not begun
        self.client_end, self.server_end = wire(lambda side: _Ear(self.model, side), mistake)
        self.model.is_server_over = lambda: self.server_end.over
        limits = enkaku.Limits(
            window=BOUNDS.window,
            calls=BOUNDS.calls,
            handlers=BOUNDS.handlers,
            request_time=BOUNDS.request_time,
            cleanup=BOUNDS.cleanup,
            silence=BOUNDS.silence,
            backlog=1000,
            linger=1.0,
            stall=None,  # the model lets events wait for their turn for ever
        )
        self.server = enkaku.Server(
            self.serving,
            limits=limits,
            close_timeout=BOUNDS.close_timeout,
            observers=[_Watching(self.model, "server")],
        )
        self.server.connected(self.server_end)
        self.connection = enkaku.Connection(
            self.client_end, limits=limits, observers=[_Watching(self.model, "client")]
        )

    # What happens.

    def open(
        self,
        kind: str,
        timeout: float | None,
        *,
        when_full: WhenFull = "wait",
        graceful: bool = False,
    ) -> Caller:
        """Begin a call."""
        number = len(self.model.calls)
        call = CallModel(number, kind, when_full=when_full, graceful=graceful)
        self.model.calls.append(call)
        self.callers.append(Caller(self.model, self.connection, call, timeout))
        return self.callers[-1]

    async def turns(self, count: int = _PLAIN_TURNS) -> None:
        """Let everything run that can."""
        for _ in range(count):
            await asyncio.sleep(0)

    def deliver(self, side: str, count: int) -> bool:
        """Let so many bytes arrive at one side."""
        self.model.burst += 1
        end = self.client_end if side == "client" else self.server_end
        return end.deliver(count)

    async def flush(self, *, to: tuple[str, ...] = ("client", "server")) -> None:
        """Deliver all that is under way, and what follows from it."""
        moved = True
        while moved:
            moved = False
            for side in to:
                while self.deliver(side, 1 << 20):
                    moved = True
            await self.turns()
            self.check()

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, timer by timer."""
        self.loop.clock.now += seconds
        await self.turns()
        self._check_deadlines()

    async def close_client(self) -> None:
        """Let the client end the connection."""
        self.model.lose_client()
        await self.connection.close(within=2.0)

    async def stop_server(self, grace: float) -> None:
        """Let the server stop."""
        self.stop_wanted = grace
        self.others.append(self.loop.create_task(self.server.stop(grace=grace)))
        await self.turns()
        self.take_stop()

    def take_stop(self) -> None:
        """The server has begun to ask its handlers to finish."""
        if self.stop_wanted is not None:
            if not self.model.stopping:
                self.model.answers_stop = self.loop.time() + self.stop_wanted
            self.stop_wanted = None
            self.model.close_all()

    def abort_server(self) -> None:
        """Let the server drop everything."""
        self.model.stopping = True
        self.model.answers_stop = self.loop.time()
        for call in self.model.calls:
            call.must_cancel = call.must_cancel or call.server in SERVER_OPEN
        self.server.abort()

    # What must hold.

    def check(self) -> None:
        """Compare both sides with the model, as they are now."""
        model = self.model
        for call in model.calls:
            self._check_call(call)
        listed = {seen.param for seen in self.connection.calls}
        open_ = {call.number for call in model.calls if call.client in CLIENT_OPEN}
        if listed != open_:
            model.fault(f"the client lists {listed}, and {open_} are open")
        for connection in self.server.connections:
            for seen in connection.calls:
                self._check_server_state(seen)
        # As plain dicts: a Counter compares itself in many more steps.
        if any(not dict.__eq__(self.transitions[side], model.transitions[side]) for side in SIDES):
            model.fault(f"the states went {self.transitions}, and not {model.transitions}")
        model.faults += self.loop.upset
        if model.faults:
            raise Broken("\n".join(model.faults))

    def _check_server_state(self, seen: enkaku.Call) -> None:
        assert isinstance(seen, enkaku.ServerCall)
        assert isinstance(seen.param, int)
        call = self.model.calls[seen.param]
        if call.kind == "event" and seen.outcome == "error" and self.model.stopping:
            self.model.step_server(call, "FINISH", ("error", seen.code))  # no answer says so
        if seen.state.name != call.server:
            self.model.fault(f"it is {seen.state.name}, and not {call.server}", call)

    def _check_call(self, call: CallModel) -> None:
        model = self.model
        if call.client in CLIENT_OPEN:
            model.require(not model.client_lost, "it outlives its connection", call)
            closing = call.client == "CLOSING"
            model.require(not call.wants_close or closing, "its close was not sent", call)
            if call.kind != "request":
                self._check_down(call)
        if call.server == "RUNNING" and call.kind == "channel":
            # What was taken is granted again: all of it, but for less than half a window.
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
        # The handlers are cancelled by then: the time that they may clean up counts now.
        return self.model.answers_stop is not None and self.model.answers_stop <= now
