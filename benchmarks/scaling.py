"""Scaling benchmark: the cost of a message by number of procedures, calls in flight, connections, and item size.

    make bench-scaling

Two new processes for each point. The CPU time of both is measured after a warm-up, garbage collections included. Rounds
are interleaved, and the best one counts. Writes ``results/scaling.json`` and a plot.
"""

import argparse
import asyncio
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import enkaku
from scaling_plot import draw

RESULTS: Final = Path(__file__).parent / "results" / "scaling"
_MANY: Final = 1_000_000
_WARM: Final = 20  # calls of each procedure, until Python has specialised the code of its values
LIMITS: Final = enkaku.Limits(
    calls=_MANY, handlers=_MANY, server_calls=_MANY, server_handlers=_MANY, connections=_MANY
)


class Record(enkaku.Model, extra="forbid"):
    """The value that is sent: about 100 bytes of JSON and a label."""

    cpu: float
    memory: int
    timestamp: float
    label: str


SEND: Final = enkaku.Stream[int, Record, None]("send", param=int, receive=Record)
RECORD: Final = Record(cpu=12.5, memory=123_456_789, timestamp=1.764e9, label="host-0001 eu-west")


def echo(number: int) -> enkaku.Request[Record, Record]:
    """Return one of many procedures."""
    return enkaku.Request(f"echo/{number}", param=Record, result=Record)


class Echoing(enkaku.Handler):
    """Serves a number of echo procedures, and a stream of large items."""

    def __init__(self, procedures: int) -> None:
        self._procedures = procedures

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        echoes = [
            enkaku.Route.request(echo(number), self.echo) for number in range(self._procedures)
        ]
        return (*echoes, enkaku.Route.stream(SEND, self.send))

    async def echo(self, param: Record) -> Record:
        """Return the param one event-loop iteration later, so that concurrent calls have concurrent handlers."""
        await asyncio.sleep(0)
        return param

    async def send(self, param: int, stream: enkaku.ServerStream[Record]) -> None:
        """Send items of about the given size until the client closes the stream."""
        item = RECORD.model_copy(update={"label": "x" * max(0, param - 80)})
        async with stream.until_closed():
            while True:
                await stream.send(item)


class Measured(enkaku.Model):
    """CPU time of a message at one point, in microseconds."""

    x: int
    server: float
    client: float


class Driver:
    """A client of a server in another process.

    Args:
        path: The server's socket.
        pid: The server's process id.
        messages: The number of messages to send.
    """

    def __init__(self, path: str, pid: int, messages: int) -> None:
        self._path = path
        self._clock = (
            ~pid
        ) << 3 | 2  # the CPU clock of another process (clock_getcpuclockid of Linux)
        self._messages = messages

    async def procedures(self, count: int) -> tuple[float, float, int]:
        """Call a number of procedures in turn, 64 calls at a time."""
        async with enkaku.connect_unix(self._path, limits=LIMITS) as connection:
            targets = [(connection, echo(number)) for number in range(count)]
            return await self._requests(targets, 64)

    async def calls(self, count: int) -> tuple[float, float, int]:
        """Keep a number of calls in flight on one connection."""
        async with enkaku.connect_unix(self._path, limits=LIMITS) as connection:
            return await self._requests([(connection, echo(0))], count)

    async def connections(self, count: int) -> tuple[float, float, int]:
        """Keep one call in flight on each of a number of connections."""
        async with AsyncExitStack() as stack:
            procedure = echo(0)
            opening = (enkaku.connect_unix(self._path, limits=LIMITS) for _ in range(count))
            targets = [(await stack.enter_async_context(each), procedure) for each in opening]
            return await self._requests(targets, count)

    async def sizes(self, size: int) -> tuple[float, float, int]:
        """Receive items of about the given size."""
        count = max(20, min(self._messages, 50_000_000 // size))
        async with (
            enkaku.connect_unix(self._path, limits=LIMITS) as connection,
            connection.stream(SEND, size) as stream,
        ):
            await anext(stream)
            server, client = self._now()
            for _ in range(count):
                item = await anext(stream)
                if item.memory != RECORD.memory:
                    raise SystemExit("the received item differs from the sent one")
            return *self._since(server, client), count

    async def _requests(
        self,
        targets: list[tuple[enkaku.Connection, enkaku.Request[Record, Record]]],
        workers: int,
    ) -> tuple[float, float, int]:
        each = max(2, self._messages // workers)

        async def work(worker: int, count: int) -> None:
            for number in range(count):
                connection, procedure = targets[(worker + number * workers) % len(targets)]
                answer = await connection.request(procedure, RECORD, timeout=None)
                if answer != RECORD:
                    raise SystemExit("the reply differs from the request")

        warm = max(1, _WARM * len({procedure for _, procedure in targets}) // workers)
        await asyncio.gather(*(work(worker, warm) for worker in range(workers)))
        server, client = self._now()
        await asyncio.gather(*(work(worker, each) for worker in range(workers)))
        return *self._since(server, client), each * workers

    def _now(self) -> tuple[float, float]:
        return time.clock_gettime(self._clock), time.process_time()

    def _since(self, server: float, client: float) -> tuple[float, float]:
        now = self._now()
        return now[0] - server, now[1] - client


CURVES: Final[Mapping[str, tuple[int, ...]]] = {
    "procedures": (1, 5, 20, 50, 100, 200, 500),
    "calls": (1, 10, 100, 500, 1000, 2000, 5000, 10_000),
    "connections": (1, 10, 50, 100, 500, 1000, 2000),
    "sizes": (100, 1000, 10_000, 65_536, 262_144, 1_048_576, 4_194_304, 8_388_608),
}


def drive(path: str, pid: int, curve: str, x: int, messages: int) -> None:
    """Run the client of one point, and print the measurement."""
    driver = Driver(path, pid, messages)
    work: Callable[[int], Awaitable[tuple[float, float, int]]] = {
        "procedures": driver.procedures,
        "calls": driver.calls,
        "connections": driver.connections,
        "sizes": driver.sizes,
    }[curve]

    async def run() -> tuple[float, float, int]:
        return await work(x)

    server, client, count = asyncio.run(run())
    point = Measured(x=x, server=server / count * 1e6, client=client / count * 1e6)
    print(point.model_dump_json())


async def serve(path: str, procedures: int) -> None:
    """Run the server."""
    async with enkaku.serve_unix(Echoing(procedures), path, limits=LIMITS) as server:
        print("ready", flush=True)
        await server.serve_forever()


def point(curve: str, x: int, messages: int) -> Measured:
    """Measure one point in two new processes."""
    with tempfile.TemporaryDirectory(prefix="enk-") as directory:
        path = f"{directory}/s"
        this = [sys.executable, __file__]
        served = f"{x if curve == 'procedures' else 1}"
        with subprocess.Popen(  # noqa: S603 # ours
            [*this, "--serve", path, served], stdout=subprocess.PIPE
        ) as server:
            try:
                if server.stdout is None or not server.stdout.readline():
                    raise SystemExit("the server did not start")
                driving = [*this, "--drive", path, str(server.pid), curve, str(x), str(messages)]
                done = subprocess.run(  # noqa: S603 # ours
                    driving, check=True, stdout=subprocess.PIPE, text=True, timeout=300
                )
            finally:
                server.terminate()
        return Measured.model_validate_json(done.stdout)


def best(points: list[Measured]) -> Measured:
    """Return the best of several rounds."""
    return min(points, key=lambda each: each.server + each.client)


def show(curve: str, points: list[Measured]) -> None:
    """Print a curve: the cost of a message, and its ratio to the cheapest point."""
    print(f"{curve}: microseconds of CPU for each message, server and client")
    for each in points:
        more = (
            f", {(each.server + each.client) / each.x * 1000:,.2f} ns a byte"
            if curve == "sizes"
            else ""
        )
        print(f"  {each.x:>9,} {each.server:11,.1f} {each.client:11,.1f}{more}")


def main() -> None:
    """Measure, or run one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=20_000, help="of each point")
    parser.add_argument("--curve", action="append", choices=list(CURVES))
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--drive", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.serve:
        asyncio.run(serve(options.serve[0], int(options.serve[1])))
        return
    if options.drive:
        path, pid, curve, x, messages = options.drive
        drive(path, int(pid), curve, int(x), int(messages))
        return
    found: dict[str, list[Measured]] = {}
    for curve in options.curve or CURVES:
        rounds = [
            [point(curve, x, options.messages) for x in CURVES[curve]]
            for _ in range(options.rounds)
        ]
        found[curve] = [best(list(points)) for points in zip(*rounds, strict=True)]
        show(curve, found[curve])
    if options.curve is None:
        write(found)


def write(found: Mapping[str, list[Measured]]) -> None:
    """Write the results and their plot."""
    curves = {name: [each.model_dump() for each in points] for name, points in found.items()}
    said = {"python": platform.python_version(), "machine": platform.machine(), "curves": curves}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.with_suffix(".json").write_text(json.dumps(said, indent=1) + "\n")
    draw(
        {name: [(p.x, p.server, p.client) for p in points] for name, points in found.items()},
        RESULTS,
    )


if __name__ == "__main__":
    main()
