"""Connection benchmark: a server's memory per idle connection, and its CPU time to open, use and close one.

    make bench-connections

Two processes: a server, which reports its memory and CPU time, and clients, which are bare Unix sockets. Memory is the growth
of the server's resident set, without the kernel's socket buffers.
"""

import argparse
import asyncio
import gc
import json
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import enkaku

ECHO: Final = enkaku.Request[str, str]("echo", param=str, result=str)


class Costs(enkaku.Model):
    """The resources that the server has used."""

    memory: int
    objects: int
    cpu: float


COUNT: Final = enkaku.Request[None, int]("count", result=int)
ASK: Final = enkaku.Request[None, Costs]("ask", result=Costs)
HELLO: Final = (
    json.dumps(
        {
            "header": {"typ": "JWT", "alg": "none"},
            "payload": {"typ": "request", "rid": "r", "prc": "echo", "prm": "hello"},
        },
        separators=(",", ":"),
    ).encode()
    + b"\n"
)


class Accountant(enkaku.Handler):
    """Echoes, and reports the resources of its process."""

    server: enkaku.Server

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (
            enkaku.Route.request(ECHO, self.echo),
            enkaku.Route.request(COUNT, self.count),
            enkaku.Route.request(ASK, self.ask),
        )

    async def echo(self, param: str) -> str:
        """Return the param."""
        return param

    async def count(self) -> int:
        """Count the other connections."""
        return len(self.server.connections) - 1

    async def ask(self) -> Costs:
        """Return the resources in use."""
        cpu = time.process_time()
        gc.collect()
        return Costs(memory=resident(), objects=len(gc.get_objects()), cpu=cpu)


def resident() -> int:
    """Return the resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def serve(path: str) -> None:
    """Run the server."""
    handler = Accountant()
    limits = enkaku.Limits(connections=100_000)
    async with enkaku.serve_unix(handler, path, limits=limits) as server:
        handler.server = server
        print("ready", flush=True)
        await server.serve_forever()


def connect(path: str) -> socket.socket:
    """Connect a client; wait while the server's accept queue is full."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(path)
    return client


def use(client: socket.socket) -> None:
    """Make one request."""
    client.sendall(HELLO)
    answer = b""
    while not answer.endswith(b"\n"):
        answer += client.recv(4096)
    if b'"val":"hello"' not in answer:
        raise SystemExit(f'expected a reply with "val":"hello", got {answer!r}')


Use: TypeAlias = Callable[[socket.socket], None]
USES: Final[Mapping[str, Use]] = {"never used": lambda _: None, "used once": use}


class Server:
    """A client of the server that reads its resources."""

    def __init__(self, connection: enkaku.Connection, path: str) -> None:
        self._connection = connection
        self._path = path

    async def costs(self, connections: int) -> Costs:
        """Wait for a number of connected clients, and return the resources in use."""
        count = -1
        while count != connections:
            count = await self._connection.request(COUNT, None)
        return await self._connection.request(ASK, None)

    async def opened(self, count: int, use_it: Use) -> float:
        """Open, use and close connections, a hundred at a time; return the server's CPU seconds for each."""
        before = await self.costs(0)
        for _ in range(count // 100):
            clients = [connect(self._path) for _ in range(100)]
            for client in clients:
                use_it(client)
                client.close()
        after = await self.costs(0)
        return (after.cpu - before.cpu) / count

    async def idle(self, count: int, use_it: Use) -> tuple[float, float]:
        """Open connections and leave them idle; return bytes and Python objects for each."""
        before = await self.costs(0)
        clients = [connect(self._path) for _ in range(count)]
        for client in clients:
            use_it(client)
        after = await self.costs(count)
        for client in clients:
            client.close()
        return (after.memory - before.memory) / count, (after.objects - before.objects) / count


@contextmanager
def process(loop: str) -> Generator[str, None, None]:
    """Start a server process, and return its path."""
    with tempfile.TemporaryDirectory(prefix="enk-") as directory:
        path = f"{directory}/s"
        command = [sys.executable, __file__, "--serve", path, "--loop", loop]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as started:  # noqa: S603 # ours
            try:
                if started.stdout is None or not started.stdout.readline():
                    raise SystemExit("the server did not start")
                yield path
            finally:
                started.terminate()


@asynccontextmanager
async def fresh(loop: str) -> AsyncGenerator[Server, None]:
    """Start a server, and warm it up."""
    with process(loop) as path:
        async with enkaku.connect_unix(path) as connection:
            server = Server(connection, path)
            await server.opened(500, use)
            yield server


async def measure(options: argparse.Namespace) -> None:
    """Print the figures."""
    for loop in options.loop or ["asyncio", "uvloop"]:
        for name, use_it in USES.items():
            sizes: list[float] = []
            objects, seconds = 0.0, list[float]()
            for _ in range(options.rounds):
                async with fresh(loop) as server:
                    size, objects = await server.idle(options.connections, use_it)
                    sizes.append(size)
                async with fresh(loop) as server:
                    seconds.append(await server.opened(options.opens, use_it))
            rates = [1 / each for each in seconds]
            print(
                f"  {loop:<8} {name:<11}{statistics.median(sizes):7,.0f} bytes {spread(sizes)} and {objects:.1f} objects"
                f" while idle; {statistics.median(rates):6,.0f} opened and closed per CPU second {spread(rates)}",
                flush=True,
            )


def spread(values: Sequence[float]) -> str:
    """Format the range of values."""
    return f"({min(values):,.0f} to {max(values):,.0f})"


def main() -> None:
    """Measure, or run the server."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--connections", type=int, default=2000, help="that are idle")
    parser.add_argument("--opens", type=int, default=5000, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loop", action="append", choices=["asyncio", "uvloop"])
    parser.add_argument("--serve", metavar="PATH", help=argparse.SUPPRESS)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if not options.serve:
        asyncio.run(measure(options))
    elif options.loop == ["uvloop"]:
        enkaku.run(serve(options.serve))
    else:
        asyncio.run(serve(options.serve))


if __name__ == "__main__":
    main()
