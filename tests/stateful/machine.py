"""Interpreter of programs: opens, uses and ends calls on both sides, delivers bytes, and advances time."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import enkaku
from enkaku import WhenFull

from .calling import Caller
from .calls import CLIENT_OPEN
from .protocol import Declared
from .serving import Served
from .steps import Step
from .world import World

__all__ = ["Machine"]

T = TypeVar("T")

_MAX_OPEN: Final = 5
_SIZES: Final = (0, 30, 120, 500)  # of items, in characters: the last is more than a window
_PIECES: Final = (1, 30, 90, 150, 400, 1 << 20, 1 << 20, 1 << 20)  # bytes per delivery
_WHEN_FULL: Final[tuple[WhenFull, ...]] = ("wait", "wait", "wait", "latest", "drop_oldest")
_TIMES: Final = (0.05, 0.05, 1.5, 4.0, 7.0, 30.0)


class Machine:
    """Runs the steps of a program; a step that is impossible in the current state does nothing.

    Args:
        fate: Selects how the connection may be lost, and how the server may stop, if at all.
    """

    def __init__(self, world: World, fate: int) -> None:
        self.world = world
        self._fate = fate
        self._client_busy = False
        self._batched = 0
        self._done = 0

    async def do(self, step: Step) -> bool:
        """Run a step and one event-loop iteration, and return whether the step did anything."""
        done = getattr(self, f"_{step.name}")(step.pick)
        if asyncio.iscoroutine(done):
            done = await done
        if self._batched:
            self._batched -= 1
        elif done:
            await self.world.run_ready(1)
        self._done += bool(done)
        return bool(done)

    def _choose(self, among: Sequence[T], pick: int) -> T:
        """Choose one; the number of past steps varies the choice, since a step may have few bytes."""
        return among[(pick + self._done) % len(among)]

    # Client steps.

    def _request(self, pick: int) -> bool:
        return self._open("request", pick)

    def _event(self, pick: int) -> bool:
        return self._open("event", pick)

    def _stream(self, pick: int) -> bool:
        return self._open("stream", pick)

    def _channel(self, pick: int) -> bool:
        return self._open("channel", pick)

    def _open(self, kind: str, pick: int) -> bool:
        if len(self._callers(lambda caller: caller.busy("own"))) >= _MAX_OPEN:
            return False
        timeout = (None, 5.0, None, None, None, 12.0, None)[pick % 7]
        when_full = _WHEN_FULL[pick % len(_WHEN_FULL)]
        self.world.open(kind, timeout, when_full=when_full, graceful=pick % 3 == 0)
        return True

    def _take(self, pick: int) -> bool:
        return self._use("take", pick)

    def _send(self, pick: int) -> bool:
        return self._use("send", pick // 4, _SIZES[pick % 4])

    def _end(self, pick: int) -> bool:
        return self._use("end", pick)

    def _close(self, pick: int) -> bool:
        return self._use("close", pick)

    def _result(self, pick: int) -> bool:
        return self._use("result", pick)

    def _use(self, name: str, pick: int, size: int = 0) -> bool:
        callers = self._callers(lambda caller: caller.usable and caller.call.client in CLIENT_OPEN)
        return bool(callers) and self._choose(callers, pick).do(name, size)

    def _abort(self, pick: int) -> bool:
        callers = self._callers(lambda caller: caller.usable and caller.call.client in CLIENT_OPEN)
        if callers:
            self._choose(callers, pick).abort()
        return bool(callers)

    def _leave(self, pick: int) -> bool:
        callers = self._callers(lambda caller: caller.usable and caller.busy("own"))
        if callers:
            self._choose(callers, pick).leave()
        return bool(callers)

    def _cancel(self, pick: int) -> bool:
        callers = self._callers(lambda caller: caller.busy("own"))
        if callers:
            self._choose(callers, pick).cancel()
        return bool(callers)

    def _cancel_use(self, pick: int) -> bool:
        tasks = [
            task
            for caller in self.world.callers
            for name, task in caller.tasks.items()
            if name != "own" and not task.done()
        ]
        if tasks:
            self._choose(tasks, pick).cancel()
        return bool(tasks)

    def _callers(self, condition: Callable[[Caller], bool]) -> list[Caller]:
        return [caller for caller in self.world.callers if condition(caller)]

    # Server steps.

    def _h_send(self, pick: int) -> bool:
        served = self._served(lambda served: served.stream is not None, pick // 4)
        return served is not None and served.send(_SIZES[pick % 4])

    def _h_take(self, pick: int) -> bool:
        served = self._served(lambda served: served.call.kind == "channel", pick)
        return served is not None and served.take()

    def _h_policy(self, pick: int) -> bool:
        served = self._served(lambda served: served.stream is not None, pick // 3)
        if served is None or served.stream is None:
            return False
        served.stream.when_full = ("latest", "drop_oldest", "wait")[pick % 3]
        return True

    def _h_return(self, pick: int) -> bool:
        return self._decide(pick, None)

    def _h_raise(self, pick: int) -> bool:
        errors = (
            Declared("declared"),
            enkaku.HandlerError("MINE", "by the program"),
            RuntimeError("undeclared"),
        )
        return self._decide(pick, self._choose(errors, pick))

    def _h_stubborn(self, pick: int) -> bool:
        served = self._served(lambda served: not served.stubborn, pick)
        if served is not None:
            served.stubborn = True
        return served is not None

    def _h_yield(self, pick: int) -> bool:
        served = self._served(lambda served: served.stubborn and served.call.cancelled, pick)
        if served is not None:
            served.decide()
        return served is not None

    def _decide(self, pick: int, error: Exception | None) -> bool:
        served = self._served(lambda served: not served.stubborn, pick)
        if served is not None:
            served.decide(error)
        return served is not None

    def _served(self, condition: Callable[[Served], bool], pick: int) -> Served | None:
        running = [
            served
            for served in self.world.serving.served.values()
            if not served.call.finished and condition(served)
        ]
        return self._choose(running, pick) if running else None

    # Steps of the wire, the clock, and the ends.

    def _nothing(self, pick: int) -> bool:
        return False  # the target of shrinking for unneeded steps

    def _batch(self, pick: int) -> bool:
        """Run the next steps in one event-loop iteration."""
        self._batched = 2 + pick % 3
        return True

    def _to_server(self, pick: int) -> bool:
        return self.world.deliver("server", _PIECES[pick % len(_PIECES)])

    def _to_client(self, pick: int) -> bool:
        return self.world.deliver("client", _PIECES[pick % len(_PIECES)])

    async def _time(self, pick: int) -> bool:
        await self.world.advance(_TIMES[pick % len(_TIMES)])
        return True

    def _lose(self, pick: int) -> bool:
        """End the connection: by either side or by the network, gracefully or not."""
        world, keep = self.world, (0, 100)[self._fate >> 2 & 1]
        if self._fate & 0x20:
            return False
        match self._fate & 3:
            case 0:
                if self._client_busy:
                    return False
                self._client_busy = True
                world.others.append(world.loop.create_task(world.close_client()))
            case 1:
                world.client_end.abort(keep)
            case 2:
                world.server_end.abort(keep)
            case _:
                world.client_end.incoming.cut(keep)
                world.client_end.outgoing.cut(keep)
        return True

    async def _stop(self, pick: int) -> bool:
        world = self.world
        if world.stop_wanted is not None or world.model.stopping or self._fate & 0x40:
            return False
        match self._fate >> 3 & 3:
            case 0:
                await world.stop_server(0.0)
            case 3:
                world.abort_server()
            case _:
                await world.stop_server(3.0)
        return True
