"""The server of the benchmark: its handlers do nothing, and it measures what each callback of its event loop costs.

    python -m hostile.server LOOP ADDRESS LOG [signed]

ADDRESS is a path, a port of 127.0.0.1, or ``http:`` and a port. ``signed`` means a server with an identity and access rules. A line on stdin asks for the costs since the line before, which are a line of JSON on stdout.
"""

# ruff: noqa: ARG002, D102 # handlers that do nothing, as the protocol says
import asyncio
import gc
import json
import logging
import sys
import time
from asyncio import base_events, events
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, cast

import enkaku
import uvloop

from hostile.measuring import REFERENCE
from hostile.target_protocol import TargetHandler
from hostile.target_protocol.models import Item, Shape, Tree

_ITEM: Final = "x" * 1000
_TICK: Final = 0.001  # seconds
_LONG: Final = 0.005  # seconds of a callback that the reference is compared with
_REFERENCE: Final = json.dumps(
    [{"id": number, "name": f"name {number}", "size": number / 8} for number in range(2_100)]
)  # 100 KB


class Target(TargetHandler):
    """Replies at once, or never."""

    async def any(self, param: object) -> int:
        return 1

    async def contains(self, param: list[object]) -> int:
        return 1

    async def feed(self, stream: enkaku.ServerStream[str]) -> None:
        while True:
            await stream.send(_ITEM)

    async def items(self, param: list[Item]) -> int:
        return 1

    async def note(self, data: object) -> None:
        pass

    async def numbers(self, param: list[float]) -> int:
        return 1

    async def pattern(self, param: str) -> int:
        return 1

    async def ping(self, param: int) -> int:
        return param + 1

    async def shapes(self, param: list[Shape]) -> int:
        return 1

    async def sink(self, channel: enkaku.ServerChannel[object, int]) -> None:
        await asyncio.Event().wait()

    async def tenths(self, param: list[float]) -> int:
        return 1

    async def text(self, param: str) -> int:
        return 1

    async def trees(self, param: Tree) -> int:
        return 1

    async def unique(self, param: list[object]) -> int:
        return 1

    async def wait(self, param: object) -> int:
        await asyncio.Event().wait()
        return 1


class Longest:
    """The most CPU time that one callback, and one event-loop iteration, has used.

    Attributes:
        callback: Seconds of a callback, without those of the garbage collector, as a machine would take that needs
            ``REFERENCE`` seconds for ``reference()``.
        what: The callback.
        iteration: Seconds of an iteration.
        collection: Seconds of a garbage collection.
        own: Seconds of the measurement itself.
    """

    def __init__(self) -> None:
        self._collecting = 0.0
        self._began = 0.0
        self._longest = 0.0
        self.reset()

    def reset(self) -> None:
        """Begin again."""
        self.callback = 0.0
        self.what = ""
        self.iteration = 0.0
        self.collection = 0.0
        self.own = 0.0
        self._longest = 0.0

    def on_collection(self, phase: str, _: object) -> None:
        """Measure a garbage collection."""
        now = time.thread_time()
        if phase == "start":
            self._began = now
        else:
            self._collecting += now - self._began
            self.collection = max(self.collection, now - self._began)

    def add(self, seconds: float, what: object) -> None:
        """Record a callback."""
        seconds, self._collecting = seconds - self._collecting, 0.0
        if seconds <= self._longest:
            return
        self._longest = seconds
        if seconds > _LONG:  # at once: a shared core may be half as fast a second later
            took = reference()
            self.own += took
            seconds *= REFERENCE / took
        if seconds > self.callback:
            self.callback, self.what = seconds, repr(what)[:300]

    def watch_asyncio(self) -> None:
        """Measure each callback of asyncio's own event loop."""
        handle, loop = cast(Any, events.Handle), cast(Any, base_events.BaseEventLoop)
        run: Callable[[Any], None] = handle._run  # noqa: SLF001 # there is no public hook
        run_once: Callable[[Any], None] = loop._run_once  # noqa: SLF001 # as above

        def measured(each: Any) -> None:  # noqa: ANN401 # a Handle
            callback = each._callback  # noqa: SLF001 # as above
            began = time.thread_time()
            run(each)
            self.add(time.thread_time() - began, callback)

        def measured_once(each: Any) -> None:  # noqa: ANN401 # an event loop
            began = time.thread_time() - self.own
            run_once(each)
            self.iteration = max(self.iteration, time.thread_time() - self.own - began)

        handle._run = measured  # noqa: SLF001 # as above
        loop._run_once = measured_once  # noqa: SLF001 # as above

    def watch_uvloop(self) -> None:
        """Measure the iterations of uvloop, whose callbacks cannot be wrapped: the CPU time between two timers.

        Up to a millisecond of it belongs to other iterations.
        """
        loop = asyncio.get_running_loop()
        before = time.thread_time()

        def tick() -> None:
            nonlocal before
            now = time.thread_time()
            self.iteration = max(self.iteration, now - before)
            self.add(now - before, "an iteration")
            before = time.thread_time()
            loop.call_later(_TICK, tick)

        tick()


def reference() -> float:
    """Return the CPU seconds that this machine takes now to decode 1 MB of JSON, in ten parts."""
    collects = gc.isenabled()
    gc.disable()
    began = time.thread_time()
    for _ in range(10):
        json.loads(_REFERENCE)
    took = time.thread_time() - began
    if collects:
        gc.enable()
    return took


class Guarded(Target):
    """Counts what reaches handlers that only messages call which are to be refused.

    Attributes:
        reached: How many did.
    """

    reached = 0

    async def any(self, param: object) -> int:
        if param == 1:  # see signed.refused
            self.reached += 1
        return 1

    async def sink(self, channel: enkaku.ServerChannel[object, int]) -> None:
        async for _ in channel:
            self.reached += 1


def _serving_signed(handler: Guarded, address: str) -> AbstractAsyncContextManager[enkaku.Server]:
    from hostile.identities import (  # noqa: PLC0415 # a server without an identity does not load it
        CALLER,
        CALLER_P256,
        INNOCENT,
        SERVER,
        key_named,
    )

    callers = {CALLER.did, CALLER_P256.did, INNOCENT.did, key_named("link 0").did}
    return enkaku.serve_unix(handler, address, identity=SERVER, access={"*": callers})


def _serving(address: str) -> AbstractAsyncContextManager[enkaku.Server]:
    if address.startswith("http:"):
        return enkaku.serve_http(Target(), port=int(address.removeprefix("http:")))
    if address.isdigit():
        return enkaku.serve_tcp(Target(), "127.0.0.1", int(address))
    return enkaku.serve_unix(Target(), address)


async def serve(loop: str, address: str, log: str, *options: str) -> None:
    """Serve, and report the costs when asked."""
    logging.basicConfig(filename=log, level=logging.INFO)
    longest = Longest()
    gc.callbacks.append(longest.on_collection)
    if loop == "asyncio":
        longest.watch_asyncio()
    else:
        longest.watch_uvloop()
    began = time.process_time()
    guarded = Guarded()

    def report() -> None:
        nonlocal began
        if not sys.stdin.readline():
            asyncio.get_running_loop().remove_reader(sys.stdin)
            return
        now = time.process_time()
        costs: dict[str, object] = {
            name: value for name, value in vars(longest).items() if not name.startswith("_")
        }
        costs |= {"cpu": now - began - longest.own, "garbage": gc.collect()}
        costs["reached"] = guarded.reached
        longest.reset()
        began = time.process_time()
        print(json.dumps(costs), flush=True)

    asyncio.get_running_loop().add_reader(sys.stdin, report)
    serving = _serving_signed(guarded, address) if "signed" in options else _serving(address)
    async with serving as server:
        print("ready", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    _, _loop, *_rest = sys.argv
    with asyncio.Runner(
        loop_factory=uvloop.new_event_loop if _loop == "uvloop" else None
    ) as _runner:
        _runner.run(serve(_loop, *_rest))
