"""Client process of the soak: many concurrent connections, each with a simulated user, until SIGTERM.

It prints a line when it has started, and a report of its calls, as JSON, when it has ended.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections import Counter
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import Final

import enkaku

from .actions import ACTIONS, Wrong, warm_up
from .counting import Counting
from .process import Faults, allocated, descriptors, memory

_STUCK: Final = 120.0  # seconds after which a call counts as hung, even on a busy machine
_OPENING: Final = (
    b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"stream","rid":"1","prc":"endless",'
    b'"prm":{"items":50,"size":1000}}}\n{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"requ'
)
_STOP: Final = 10.0  # seconds, the time limit for the end of a connection to a stopping server


class Users:
    """The simulated users of one process."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._path: str = options.path
        self._port: int = options.port
        self._think: float = options.think
        self._seed: str = options.seed
        self._compare: bool = options.compare
        self._stop = asyncio.Event()
        self.faults = Faults()
        self.counts: Counter[str] = Counter()
        self.counting = Counting()
        self.warm: tuple[int, int] | None = None

    async def run(self, connections: int) -> None:
        """Run a number of users until SIGTERM."""
        self.faults.watch()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop.set)
        if self._compare:
            async with self._dial(Random(self._seed)) as connection:
                await warm_up(connection)
            self.warm = allocated()
        _print("begun")
        async with asyncio.TaskGroup() as group:
            for number in range(connections):
                group.create_task(self._use(Random(f"{self._seed}.{number}")))

    async def _use(self, random: Random) -> None:
        await self._pause(random)
        while not self._stop.is_set():
            try:
                if random.random() < 0.05:
                    await self._be_rude()
                else:
                    await self._connect(random)
            except (enkaku.ConnectFailed, OSError):
                self.counts["not connected"] += 1
            await self._pause(random)

    async def _pause(self, random: Random) -> None:
        try:
            async with asyncio.timeout(random.expovariate(1 / self._think)):
                await self._stop.wait()
        except TimeoutError:
            return

    def _dial(self, random: Random) -> AbstractAsyncContextManager[enkaku.Connection]:
        if random.random() < 0.5:
            return enkaku.connect_unix(self._path, observers=[self.counting])
        return enkaku.connect_tcp("127.0.0.1", self._port, observers=[self.counting])

    async def _connect(self, random: Random) -> None:
        async with self._dial(random) as connection:
            self.counts["connections"] += 1
            for _ in range(random.randrange(1, 12)):
                names = random.choices(tuple(ACTIONS), k=random.choice((1, 1, 1, 2, 3)))
                calls = [asyncio.create_task(self._act(connection, name, random)) for name in names]
                if random.random() < 0.05:  # the connection is closed while calls are open
                    await asyncio.sleep(random.random() * 0.1)
                    await connection.close()
                await asyncio.wait(calls)
                if self._stop.is_set() or not connection.is_open:
                    return
                await self._pause(random)

    async def _act(self, connection: enkaku.Connection, name: str, random: Random) -> None:
        try:
            async with asyncio.timeout(_STUCK) as bound:
                await ACTIONS[name](connection, random)
            self.counts[name] += 1
        except* enkaku.ConnectionLost:
            self.counts["connection lost"] += 1
        except* enkaku.NotSupported:
            # A server that is too busy to grant credit for five seconds looks like one without flow control.
            self.counts["channel, flow control not known in time"] += 1
        except* (Wrong, enkaku.CallError, enkaku.CallClosed) as errors:
            # A stopping server closes its calls, whose handlers finish early, and then ends the connection.
            if await _ends_soon(connection):
                self.counts["cut short by the server's stop"] += 1
            else:
                self.faults.add(f"{name}: {errors.exceptions!r}")
        except* Exception as errors:  # noqa: BLE001 # any other exception is a fault
            hung = "hung: " if bound.expired() else ""
            self.faults.add(f"{name}: {hung}{errors.exceptions!r}")

    async def _be_rude(self) -> None:
        """Open a call, and abort the connection in the middle of a message."""
        reader, writer = await asyncio.open_unix_connection(self._path)
        writer.write(_OPENING)
        await reader.read(1)
        writer.transport.abort()
        self.counts["gone without goodbye"] += 1


async def _ends_soon(connection: enkaku.Connection) -> bool:
    deadline = time.monotonic() + _STOP
    # Polling: only calls are notified of the connection's end.
    while connection.is_open and time.monotonic() < deadline:  # noqa: ASYNC110 # see above
        await asyncio.sleep(0.05)
    return not connection.is_open


async def _main(options: argparse.Namespace) -> None:
    users = Users(options)
    before = descriptors()
    await users.run(options.connections)
    await asyncio.sleep(0)
    report = {
        "counts": users.counts,
        "started": users.counting.started,
        "ended": users.counting.ended,
        "faults": users.faults.texts,
        "tasks": len(asyncio.all_tasks()) - 1,
        "descriptors": descriptors() - before,
        "memory": memory(),
        "warm": users.warm,
        "allocated": allocated(),
    }
    _print(json.dumps(report))


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m soak.client", description=__doc__)
    parser.add_argument("path", help="of the server's Unix socket")
    parser.add_argument("port", type=int, help="the server's TCP port")
    parser.add_argument("--connections", type=int, default=250)
    parser.add_argument("--think", type=float, default=1.0, help="seconds between two actions")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--compare", action="store_true", help="memory with that before the users")
    asyncio.run(_main(parser.parse_args()))
