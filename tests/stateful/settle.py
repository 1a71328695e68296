"""End of a run: finishes all calls, and checks that nothing hangs or leaks, and that new calls are served."""

import asyncio
from typing import Final

from .calls import CLIENT_OPEN, SERVER_OPEN, CallModel
from .serving import Served
from .world import BOUNDS, World

__all__ = ["settle"]

_A_WHILE: Final = 0.05  # seconds, after which credit that is owed is granted


async def settle(world: World) -> None:
    """Bring a run to its end, and see that it has one.

    Raises:
        Broken: Something was not as it must be.
    """
    await world.turns()
    _note_what_was_reached(world)
    await world.flush()
    _require_sends_told(world)
    ending = world.client_end.incoming.end or world.client_end.outgoing.end
    over = world.client_end.over or world.server_end.over or world.model.stopping
    if not over and not ending:
        world.model.reached["all calls had to end well"] += 1
        await _finish_all(world)
        await _require_room_for_calls(world)
    await _end(world)
    _require_nothing_left(world)


def _note_what_was_reached(world: World) -> None:
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


def _require_sends_told(world: World) -> None:
    """Where there is room, nobody waits to send into a call that takes no more."""
    for caller in world.callers:
        hangs = caller.busy("send") and caller.call.client != "OPEN"
        if hangs and world.client_end.writable:
            world.model.fault("its send waits, though it is over", caller.call)
    for served in world.serving.served.values():
        call = served.call
        told = call.server in ("ENDED", "RELEASED") or (
            call.server == "CLOSING" and call.kind == "stream"
        )
        hangs = told and served.sender is not None and not served.sender.done()
        if hangs and world.server_end.writable:
            world.model.fault("its handler's send waits, though it is over", call)
    world.check()


async def _finish_all(world: World) -> None:
    """Let all items be taken and all handlers return; then every call has its result, and nobody waits."""
    await _return(world, "request", "event")  # else the server may read no further
    await _take_everything(world)
    _require_credit_returned(world)
    await _return(world, "request", "event", "stream", "channel")
    if any(call.server in (*SERVER_OPEN, "ENDED") for call in world.model.calls):
        # A client that has closed a call and then given it up cannot say so, and takes nothing any more.
        await world.pass_time(BOUNDS.close_timeout)
        await world.flush()
    for served in _unfinished(world):
        world.model.fault("its handler hangs", served.call)
    for caller in world.callers:
        busy = [name for name in caller.tasks if name != "own" and caller.busy(name)]
        world.model.require(not busy, f"it hangs in {busy}", caller.call)
        over = caller.call.client not in CLIENT_OPEN
        world.model.require(over, "it has no end", caller.call)
        caller.leave()
    await world.turns()
    for caller in world.callers:
        world.model.require(not caller.busy("own"), "its caller hangs", caller.call)
    timers = world.loop.live_timers()
    # The one that asks a silent server for a sign of life may look once more, and the one of the deadlines on each side.
    world.model.require(len(timers) <= 3, f"timers outlive their calls: {timers}")
    world.check()


async def _take_everything(world: World) -> None:
    for _ in range(4):  # credit may have to go back and forth
        for caller in world.callers:
            if caller.call.client in CLIENT_OPEN:
                caller.do("take all")
        for served in world.serving.served.values():
            served.take(all_of_them=True)
        await world.turns()
        await world.flush()
        await world.pass_time(_A_WHILE)
        world.check()
    for caller in world.callers:
        hangs = caller.busy("send") and caller.call.client in CLIENT_OPEN
        world.model.require(not hangs, "its send hangs, though all is taken", caller.call)
    for served in world.serving.served.values():
        hangs = served.sender is not None and not served.sender.done()
        hangs = hangs and served.call.client in CLIENT_OPEN
        world.model.require(not hangs, "its handler's send hangs, though all is taken", served.call)
    world.check()


def _require_credit_returned(world: World) -> None:
    """Where the readers wait for more, all that was taken is granted again, and nothing else."""
    for call in world.model.calls:
        if call.client in CLIENT_OPEN and call.server == "RUNNING" and call.kind != "request":
            _require_balance(world, call)
    world.check()


def _require_balance(world: World, call: CallModel) -> None:
    down = call.down
    eager = call.lossy or call.when_full != "wait"
    if not eager:
        right = down.size == down.arrived_size == down.taken_size == down.granted == down.returned
        world.model.require(right, f"credit is missing on the way down: {down}", call)
    up = call.up
    if call.kind == "channel" and call.client == "OPEN":
        right = up.size == up.arrived_size == up.taken_size == up.granted == up.returned
        world.model.require(right, f"credit is missing on the way up: {up}", call)


def _decide(world: World, *kinds: str) -> None:
    for served in _unfinished(world, *kinds):
        served.decide(served.error)


async def _return(world: World, *kinds: str) -> None:
    """Let handlers return, and those whose calls were held behind an event until then."""
    ended = -1
    while _unfinished(world, *kinds) and ended < _ended(world):
        ended = _ended(world)
        _decide(world, *kinds)
        await world.turns()
        await world.flush()


def _ended(world: World) -> int:
    return sum(call.finished for call in world.model.calls)


def _unfinished(world: World, *kinds: str) -> list[Served]:
    return [
        served
        for served in world.serving.served.values()
        if not served.call.finished and (not kinds or served.call.kind in kinds)
    ]


async def _require_room_for_calls(world: World) -> None:
    """As many calls are served as may be, and no more: the model knows which are refused."""
    model = world.model
    for kind in ("request",) * (BOUNDS.handlers + 1) + ("stream",) * (
        BOUNDS.calls - BOUNDS.handlers + 1
    ):
        world.open(kind, None)
    await world.turns()
    await world.flush()
    calls = model.calls[-BOUNDS.calls - 2 :]
    refused = [call.refusal for call in calls]
    expected = [""] * BOUNDS.handlers + ["EK04"] + [""] * (BOUNDS.calls - BOUNDS.handlers)
    model.require(refused == [*expected, "EK03"], f"{refused} when all is over")
    _decide(world, "request", "stream")
    await world.turns()
    await world.flush()
    for caller in world.callers[-len(calls) :]:
        served = caller.call.client_end == ("result", "") or caller.call.refusal
        model.require(bool(served), "a call is not served when all else is over", caller.call)
        caller.leave()
    await world.turns()
    world.check()


async def _end(world: World) -> None:
    """Let both sides end, however much time that takes."""
    loop = world.loop
    closing = loop.create_task(world.connection.close(within=2.0))
    world.model.lose_client()
    world.others.append(closing)
    await world.turns()
    await world.flush()
    _decide(world, "request", "event", "stream", "channel")
    if world.stop_wanted is None and not world.model.stopping:
        await world.stop_server(3.0)
    for seconds in (0.05, 3.5, 3.0, 3.0, 30.0):
        await world.turns()
        await world.flush()
        await world.pass_time(seconds)
    for caller in world.callers:
        caller.leave()
    # As the block around a server does: it waits for a stop that has begun.
    world.others.append(loop.create_task(world.server.stop(grace=0)))
    for seconds in (1.5, 6.0):
        await world.turns()
        await world.flush()
        await world.pass_time(seconds)
    world.check()


def _require_nothing_left(world: World) -> None:
    model = world.model
    for call in model.calls:
        model.require(call.client not in CLIENT_OPEN, "it is open for ever at the client", call)
        model.require(
            call.client_started == call.client_ended, "its end was not told at the client", call
        )
        model.require(
            call.server_started == call.server_ended, "its end was not told at the server", call
        )
        released = call.server in ("ABSENT", "REFUSED", "RELEASED")
        model.require(released, f"it is {call.server} for ever at the server", call)
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
