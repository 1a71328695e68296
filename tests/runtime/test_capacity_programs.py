"""After any use of a server, it counts no memory, call or event; and while it runs, no connection is paused without end."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import enkaku
import pytest
from enkaku.transports.lines import Lines
from enkaku.transports.memory import MemoryTransport, memory_pair
from hypothesis import given, settings
from hypothesis import strategies as st
from stateful.loop import Clock, SteppedLoop
from support import MESSAGE_SIZE, Log, Serving, line

STALL = 3.0
LIMITS = enkaku.Limits(
    memory=400_000,
    message_size=200_000,
    window=20_000,
    inbox_limit=60_000,
    buffered=150_000,
    handlers=2,
    server_handlers=3,
    calls=40,
    backlog=30_000,
    stall=STALL,
    unread_time=5.0,
    request_time=60.0,
    cleanup=1.0,
    linger=1.0,
)
_SIZES = (10, 2_000, 20_000, 60_000)  # of values, in characters: some are large messages
_PEERS = 4
_WAIT = 100 * STALL


@dataclass
class Peer:
    """A client that sends whatever bytes."""

    transport: MemoryTransport
    server_end: MemoryTransport
    log: Log
    rids: int = 0

    def is_served(self) -> bool:
        """Return whether its last request was replied to, or its connection has ended."""
        return bool(self.log.ends) or any(b'"rid":"last"' in each for each in self.log.pieces)


class World:
    """A server and its clients, on a clock that only the test advances."""

    def __init__(self, loop: SteppedLoop) -> None:
        self.loop = loop
        self.gate = asyncio.Event()
        handler = Serving(echo=self._wait, tell=self._wait, fill=self._fill, pour=self._pour)
        self.server = enkaku.Server(handler, limits=LIMITS, close_timeout=2.0)
        self.everyone: list[Peer] = []
        self.peers = [self.connect() for _ in range(_PEERS)]
        self.stopping: asyncio.Task[None] | None = None

    async def _wait(self, param: Any) -> Any:
        if param != "at once":
            await self.gate.wait()
        return param

    async def _fill(self, param: int, channel: enkaku.ServerChannel[str, str]) -> int:
        await self.gate.wait()
        return len([item async for item in channel])

    async def _pour(self, param: int, stream: enkaku.ServerStream[str]) -> int:
        for _ in range(20):
            await stream.send("x" * 10_000)
        await self.gate.wait()
        return 0

    def connect(self) -> Peer:
        client, server = memory_pair(server=Lines)
        peer = Peer(client, server, Log())
        client.start(peer.log, message_size=MESSAGE_SIZE)
        self.server.connected(server)
        self.everyone.append(peer)
        return peer

    async def turns(self, count: int = 30) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        self.loop.clock.now += seconds
        await self.turns()

    async def until(self, condition: Callable[[], bool]) -> bool:
        """Let time pass, within a bound; return whether the condition holds."""
        for _ in range(int(_WAIT)):
            await self.turns()
            if condition():
                return True
            await self.advance(1.0)
        return False


def _open(typ: str, prc: str, param: object) -> Callable[[World, Peer, int], bytes]:
    def encode(_: World, peer: Peer, size: int) -> bytes:
        peer.rids += 1
        value = "x" * size if param is None else param
        return line(typ=typ, rid=str(peer.rids), prc=prc, prm=value)

    return encode


def _burst(_: World, peer: Peer, size: int) -> bytes:
    """Send more messages in one read than are handled at once."""
    peer.rids += 1
    items = [line(typ="send", rid=str(peer.rids), prc="fill", val="x" * 200) for _ in range(150)]
    return line(typ="channel", rid=str(peer.rids), prc="fill", prm=1) + b"".join(items)


def _item(_: World, peer: Peer, size: int) -> bytes:
    return line(typ="send", rid=str(peer.rids), prc="fill", val="x" * size)


ACTIONS: dict[str, Callable[[World, Peer, int], bytes]] = {
    "request": _open("request", "echo", None),
    "quick": _open("request", "echo", "at once"),
    "invalid param": _open("request", "echo", 1),
    "channel": _open("channel", "fill", 1),
    "stream": _open("stream", "pour", 1),
    "burst": _burst,
    "item": _item,
    "invalid item": lambda _, peer, __: line(typ="send", rid=str(peer.rids), prc="fill", val=1),
    "event": lambda _, __, size: line(typ="event", prc="tell", data=size),
    "events": lambda _, __, size: line(typ="event", prc="tell", data=size) * 100,
    "half-close": lambda _, peer, __: line(typ="end", rid=str(peer.rids)),
    "close": lambda _, peer, __: line(typ="abort", rid=str(peer.rids), rsn="Close"),
    "abort": lambda _, peer, __: line(typ="abort", rid=str(peer.rids)),
    "incomplete": lambda _, __, size: b"x" * size,
    "newline": lambda *_: b"\n",
    "oversized": lambda *_: b"x" * 250_000,
    "no message": lambda *_: b"?\n",
}
STEPS = st.tuples(
    st.sampled_from(
        [*ACTIONS, "disconnect", "lose", "abandon", "reconnect", "open gate", "wait", "run"]
    ),
    st.integers(0, _PEERS - 1),
    st.sampled_from(_SIZES),
    st.booleans(),  # whether the event loop runs after it
)


async def _do(world: World, name: str, number: int, size: int) -> None:
    peer = world.peers[number]
    if name in ACTIONS:
        peer.transport.write(ACTIONS[name](world, peer, size))
    elif name == "disconnect":
        peer.transport.abort()
    elif name == "lose":
        peer.server_end.abort()
    elif name == "abandon":
        peer.transport.pause_reading()
    elif name == "reconnect":
        world.peers[number] = world.connect()
    elif name == "open gate":
        world.gate.set()
        await world.turns()
        world.gate.clear()
    else:
        await world.advance(1.0 if name == "wait" else 0.0)


async def _run(loop: SteppedLoop, steps: list[tuple[str, int, int, bool]], end: str) -> None:
    world = World(loop)
    for name, number, size, runs in steps:
        await _do(world, name, number, size)
        if runs:
            await world.turns(3)
    if end == "stop":
        world.stopping = loop.create_task(world.server.stop(grace=1.0))
        assert await world.until(world.stopping.done)
        await world.stopping
    elif end == "serve":
        await _require_served(world)
        world.stopping = loop.create_task(world.server.stop(grace=1.0))
        assert await world.until(world.stopping.done)
    for peer in world.everyone:
        peer.transport.abort()
    assert await world.until(lambda: not world.server.connections)
    _require_nothing_counted(world)
    if end == "leave":
        world.stopping = loop.create_task(world.server.stop(grace=1.0))
        assert await world.until(world.stopping.done)
    await world.advance(100.0)
    assert loop.unhandled == []
    assert len(asyncio.all_tasks()) == 1


async def _require_served(world: World) -> None:
    """A new client is served, and then those that were not disconnected."""
    world.gate.set()
    await world.turns()
    for peer in (world.connect(), *world.everyone):
        if peer.log.ends:
            continue
        peer.transport.resume_reading()
        peer.transport.write(b"\n" + line(typ="request", rid="last", prc="echo", prm="at once"))
        served = await world.until(peer.is_served)
        assert served, f"paused: {world.server._policy.capacity.held} bytes"


def _require_nothing_counted(world: World) -> None:
    policy = world.server._policy
    capacity = policy.capacity
    counted = {
        "held": capacity.held,
        "open": capacity.open,
        "events": capacity.events,
        "paused": len(capacity.paused),
    }
    for name, pool in (("requests", policy.requests), ("events", policy.events)):
        counted[name] = pool.running + len(pool.starved) + len(pool.waiting)
    assert not any(counted.values()), counted


@pytest.mark.parametrize("end", ["leave", "stop", "serve"])
@settings(max_examples=60)
@given(steps=st.lists(STEPS, min_size=5, max_size=30))
def test_program_leaves_nothing_counted(end: str, steps: list[tuple[str, int, int, bool]]) -> None:
    clock = Clock()
    with (
        pytest.MonkeyPatch.context() as patch,
        asyncio.Runner(loop_factory=lambda: SteppedLoop(clock)) as runner,
    ):
        patch.setattr("time.monotonic", clock.monotonic)
        patch.setattr("enkaku.flow.fairness.monotonic", clock.monotonic)
        loop = runner.get_loop()
        assert isinstance(loop, SteppedLoop)
        runner.run(_run(loop, steps, end))
