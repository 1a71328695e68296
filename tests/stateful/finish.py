"""End of a run: finishes all calls, and checks that nothing hangs or leaks, and that new calls are served."""

import asyncio
from typing import Final

from .calls import CLIENT_OPEN, SERVER_OPEN, CallModel
from .serving import Served
from .world import BOUNDS, World

__all__ = ["finish"]

_A_WHILE: Final = 0.05  # seconds, after which pending credit is granted


async def finish(world: World) -> None:
    """Bring a run to its end, and check that everything ends.

    Raises:
        Broken: The client or the server differs from the model.
    """
    await world.run_ready()
    _record_reached(world)
    await world.flush()
    _require_sends_end(world)
    ending = world.client_end.incoming.end or world.client_end.outgoing.end
    over = world.client_end.ended or world.server_end.ended or world.model.stopping
    if not over and not ending:
        world.model.reached["all calls had to succeed"] += 1
        await _finish_all(world)
        await _require_calls_served(world)
    await _end(world)
    _require_nothing_left(world)


def _record_reached(world: World) -> None:
    reached = world.model.reached
    for caller in world.callers:
        reached["a client's send waited"] += caller.busy("send")
        reached["a client's take waited"] += caller.busy("take")
        reached["items that a client took"] += len(caller.call.down.taken)
        reached["items that a handler took"] += len(caller.call.up.taken)
        reached["items that were dropped"] += caller.dropped
    for served in world.serving.served.values():
        if served.sender is not None and not served.sender.done():
            reached["a handler's send waited"] += 1


def _require_sends_end(world: World) -> None:
    """While the transport is writable, no send waits on a call that has ended."""
    for caller in world.callers:
        hangs = caller.busy("send") and caller.call.client != "OPEN"
        if hangs and world.client_end.writable:
            world.model.fault("its send waits, though it has ended", caller.call)
    for served in world.serving.served.values():
        call = served.call
        ended = call.server in ("ENDED", "RELEASED") or (
            call.server == "CLOSING" and call.kind == "stream"
        )
        hangs = ended and served.sender is not None and not served.sender.done()
        if hangs and world.server_end.writable:
            world.model.fault("its handler's send waits, though it has ended", call)
    world.check()


async def _finish_all(world: World) -> None:
    """Read all items and let all handlers return; then every call must have its result, and no task may wait."""
    await _return(world, "request", "event")  # otherwise the server may have paused reading
    await _take_everything(world)
    _require_credit_returned(world)
    await _return(world, "request", "event", "stream", "channel")
    if any(call.server in (*SERVER_OPEN, "ENDED") for call in world.model.calls):
        # A client cannot abort a call that it has closed: it only stops reading, and the close timeout ends it.
        await world.advance(BOUNDS.close_timeout)
        await world.flush()
    for served in _unfinished(world):
        world.model.fault("its handler hangs", served.call)
    for caller in world.callers:
        busy = [name for name in caller.tasks if name != "own" and caller.busy(name)]
        world.model.require(not busy, f"its tasks hang: {busy}", caller.call)
        over = caller.call.client not in CLIENT_OPEN
        world.model.require(over, "it has not ended", caller.call)
        caller.leave()
    await world.run_ready()
    for caller in world.callers:
        world.model.require(not caller.busy("own"), "its caller hangs", caller.call)
    timers = world.loop.live_timers()
    # At most the idle timer of the client, and the deadline timer of each side.
    world.model.require(len(timers) <= 3, f"timers outlive their calls: {timers}")
    world.check()


async def _take_everything(world: World) -> None:
    for _ in range(4):  # credit may need several round trips
        for caller in world.callers:
            if caller.call.client in CLIENT_OPEN:
                caller.do("take all")
        for served in world.serving.served.values():
            served.take(all_of_them=True)
        await world.run_ready()
        await world.flush()
        await world.advance(_A_WHILE)
        world.check()
    for caller in world.callers:
        hangs = caller.busy("send") and caller.call.client in CLIENT_OPEN
        world.model.require(not hangs, "its send hangs, though all items were read", caller.call)
    for served in world.serving.served.values():
        hangs = served.sender is not None and not served.sender.done()
        hangs = hangs and served.call.client in CLIENT_OPEN
        world.model.require(
            not hangs, "its handler's send hangs, though all items were read", served.call
        )
    world.check()


def _require_credit_returned(world: World) -> None:
    """All credit of read items must be granted again, and no more."""
    for call in world.model.calls:
        if call.client in CLIENT_OPEN and call.server == "RUNNING" and call.kind != "request":
            _require_balance(world, call)
    world.check()


def _require_balance(world: World, call: CallModel) -> None:
    down = call.down
    eager = call.lossy or call.when_full != "wait"
    if not eager:
        right = down.size == down.arrived_size == down.taken_size == down.granted == down.returned
        world.model.require(right, f"credit to the server is missing: {down}", call)
    up = call.up
    if call.kind == "channel" and call.client == "OPEN":
        right = up.size == up.arrived_size == up.taken_size == up.granted == up.returned
        world.model.require(right, f"credit to the client is missing: {up}", call)


def _decide(world: World, *kinds: str) -> None:
    for served in _unfinished(world, *kinds):
        served.decide(served.error)


async def _return(world: World, *kinds: str) -> None:
    """Let handlers return, including those of calls that waited for them."""
    ended = -1
    while _unfinished(world, *kinds) and ended < _ended(world):
        ended = _ended(world)
        _decide(world, *kinds)
        await world.run_ready()
        await world.flush()


def _ended(world: World) -> int:
    return sum(call.finished for call in world.model.calls)


def _unfinished(world: World, *kinds: str) -> list[Served]:
    return [
        served
        for served in world.serving.served.values()
        if not served.call.finished and (not kinds or served.call.kind in kinds)
    ]


async def _require_calls_served(world: World) -> None:
    """The server must accept calls up to its limits, and reject more with the right code."""
    model = world.model
    for kind in ("request",) * (BOUNDS.handlers + 1) + ("stream",) * (
        BOUNDS.calls - BOUNDS.handlers + 1
    ):
        world.open(kind, None)
    await world.run_ready()
    await world.flush()
    calls = model.calls[-BOUNDS.calls - 2 :]
    refused = [call.refusal for call in calls]
    expected = [""] * BOUNDS.calls + ["EK03"] * 2
    model.require(refused == expected, f"rejected with {refused} after all calls have ended")
    await _return(world, "request", "stream")
    for caller in world.callers[-len(calls) :]:
        served = caller.call.client_end == ("result", "") or caller.call.refusal
        model.require(bool(served), "a call is not served after all others have ended", caller.call)
        caller.leave()
    await world.run_ready()
    world.check()


async def _end(world: World) -> None:
    """End both sides, and advance time until they have ended."""
    loop = world.loop
    closing = loop.create_task(world.connection.close(within=2.0))
    world.model.lose_client()
    world.others.append(closing)
    await world.run_ready()
    await world.flush()
    _decide(world, "request", "event", "stream", "channel")
    if world.stop_wanted is None and not world.model.stopping:
        await world.stop_server(3.0)
    for seconds in (0.05, 3.5, 3.0, 3.0, 30.0):
        await world.run_ready()
        await world.flush()
        await world.advance(seconds)
    for caller in world.callers:
        caller.leave()
    # As leaving the server's context manager does: it waits for the stop.
    world.others.append(loop.create_task(world.server.stop(grace=0)))
    for seconds in (1.5, 6.0):
        await world.run_ready()
        await world.flush()
        await world.advance(seconds)
    world.check()


def _require_nothing_left(world: World) -> None:
    model = world.model
    for call in model.calls:
        model.require(call.client not in CLIENT_OPEN, "it never ends at the client", call)
        model.require(
            call.client_started == call.client_ended,
            "observers of the client were not notified of its end",
            call,
        )
        model.require(
            call.server_started == call.server_ended,
            "observers of the server were not notified of its end",
            call,
        )
        released = call.server in ("ABSENT", "REFUSED", "RELEASED")
        model.require(released, f"it stays {call.server} at the server", call)
        if call.begun and call.must_cancel and call.returned is None and not call.raised:
            model.require(call.cancelled, "its handler was not cancelled", call)
    for connection in world.server.connections:
        model.fault(f"the server still has {connection}")
    model.require(not world.connection.calls, "the client still has calls")
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    model.require(not tasks, f"tasks are left: {tasks}")
    for task in world.others:
        if task.done() and not task.cancelled() and task.exception() is not None:
            model.fault(f"{task.exception()!r} of {task}")
    timers = world.loop.live_timers()
    model.require(not timers, f"timers are left: {timers}")
    for served in world.serving.served.values():
        if served.stream is not None and served.call.server_end == ("result", ""):
            sent = len(served.call.down.written) + served.stream.dropped
            right = sent == served.sent
            model.require(right, f"{served.sent} items were to be sent, {sent} were", served.call)
    world.check()
