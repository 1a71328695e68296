"""Broadcast benchmark: the cost of one value for many subscribers, and of a subscriber that never reads for the others.

    make bench-broadcast

Two processes: a server that sends as fast as it can, or one value per event-loop iteration, and subscribers with
Unix sockets that only count lines. Every figure is the median of several rounds.
"""

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Final, Literal

import enkaku

Policy = Literal["wait", "latest", "drop_oldest", "disconnect"]


class Figures(enkaku.Model):
    """The value that is sent: about 250 bytes of JSON."""

    timestamp: float
    values: list[float]
    host: str


class Round(enkaku.Model):
    """The measurements of one round."""

    sent: int
    seconds: float
    cpu: float
    dropped: int


WATCH: Final = enkaku.Stream[Policy, Figures, int](
    "watch", param=Policy, receive=Figures, result=int
)
SEND: Final = enkaku.Request[list[str], Round]("send", param=list[str], result=Round)
FIGURES: Final = Figures(timestamp=1.7e12, values=[each / 7 for each in range(12)], host="db-1")
LARGE: Final = Figures(timestamp=1.7e12, values=[0.5] * 4000, host="db-1")


class Sending(enkaku.Handler):
    """Sends by a broadcast, or to each stream."""

    def __init__(self) -> None:
        self._broadcast = enkaku.Broadcast(WATCH)
        self._streams: set[enkaku.ServerStream[Figures]] = set()

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return enkaku.Route.stream(WATCH, self.watch), enkaku.Route.request(SEND, self.send)

    async def watch(self, policy: Policy, stream: enkaku.ServerStream[Figures]) -> int:
        """Subscribe."""
        self._streams.add(stream)
        try:
            return await self._broadcast.serve(stream, when_full=policy)
        finally:
            self._streams.discard(stream)

    async def send(self, param: list[str]) -> Round:
        """Send for a number of seconds."""
        how, pace, seconds = param[0], param[1], float(param[2])
        dropped, sent = self._broadcast.dropped, 0
        for _ in range(50 if how == "fill" else 0):  # more than a socket buffers
            await self._broadcast.send(LARGE)
        start = last = time.perf_counter()
        cpu = time.process_time()
        while last < start + seconds:
            if how == "each":
                for stream in tuple(self._streams):
                    await stream.send(FIGURES)
            else:
                await self._broadcast.send(FIGURES)
            if pace == "iteration":
                await asyncio.sleep(0)
            last = time.perf_counter()
            sent += 1
        dropped = self._broadcast.dropped - dropped
        return Round(
            sent=sent, seconds=last - start, cpu=time.process_time() - cpu, dropped=dropped
        )


class Subscriber(asyncio.Protocol):
    """Counts lines."""

    def __init__(self, policy: str, calls: int = 1) -> None:
        self.lines = 0
        self.calls = calls
        self._policy = policy

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Subscribe."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 # for the type checker
        self.transport = transport
        for number in range(self.calls):
            payload = {"typ": "stream", "rid": f"{number}", "prc": "watch", "prm": self._policy}
            message = {"header": {"typ": "JWT", "alg": "none"}, "payload": payload}
            transport.write(json.dumps(message).encode() + b"\n")

    def data_received(self, data: bytes) -> None:
        """Count."""
        self.lines += data.count(b"\n")


async def subscribe(path: str, policy: str, calls: int = 1) -> Subscriber:
    """Connect a client with a number of calls."""
    loop = asyncio.get_running_loop()
    return (await loop.create_unix_connection(lambda: Subscriber(policy, calls), path))[1]


async def caught_up(subscribers: list[Subscriber]) -> None:
    """Wait until all subscribers have read the same number of lines for 0.2 s."""
    lines, since = set[float](), time.monotonic()
    while len(lines) != 1 or time.monotonic() < since + 0.2:
        if (now := {each.lines / each.calls for each in subscribers}) != lines:
            lines, since = now, time.monotonic()
        await asyncio.sleep(0.02)


class Measurement:
    """Rounds of sending, each of which waits until all values have arrived.

    Args:
        connection: Starts the server's sending.
        others: The subscribers that read.
        options: The number of rounds and their length.
    """

    def __init__(
        self, connection: enkaku.Connection, others: list[Subscriber], options: argparse.Namespace
    ) -> None:
        self._connection = connection
        self._others = others
        self._options = options

    async def row(self, name: str, how: str, pace: str = "full") -> float:
        """Measure and print one way to send, and return its CPU seconds per value."""
        rounds: list[Round] = []
        rates: list[float] = []
        for _ in range(self._options.rounds):
            before = [each.lines for each in self._others]
            param = [how, pace, f"{self._options.round}"]
            done = await self._connection.request(SEND, param, timeout=None)
            rounds.append(done)
            pairs = zip(before, self._others, strict=True)
            goal = [lines + done.sent * each.calls for lines, each in pairs]
            start = time.monotonic()
            while [each.lines for each in self._others] != goal:  # noqa: ASYNC110 # others count
                await asyncio.sleep(0.01)
            rates.append(done.sent / (done.seconds + time.monotonic() - start))
        cpu = statistics.median(each.cpu / each.sent for each in rounds)
        dropped = sum(each.dropped for each in rounds)
        print(
            f"  {name:<52}{cpu * 1e3:7.2f} ms of CPU per value,{statistics.median(rates):7,.0f} values/s for each,"
            f" {dropped:,} dropped",
            flush=True,
        )
        return cpu

    async def pair(self, name: str, pace: str) -> None:
        """Compare sending to each stream with a broadcast."""
        each = await self.row(f"stream.send for each, {name}", "each", pace)
        all_ = await self.row(f"broadcast.send, {name}", "broadcast", pace)
        print(f"  {'':<52}{each / all_:7.1f} x")

    async def with_stalled(self, path: str, policy: Policy) -> None:
        """Broadcast while one subscriber never reads."""
        never = await subscribe(path, policy)
        never.transport.pause_reading()
        await self._connection.request(SEND, ["fill", "full", "0"], timeout=None)
        await caught_up(self._others)
        await self.row(f"broadcast.send, one never reads: {policy}", "broadcast")
        never.transport.abort()


async def measure(path: str, options: argparse.Namespace) -> None:
    """Print the tables."""
    for connections in (options.subscribers, options.subscribers // 50):
        calls = options.subscribers // connections
        print(
            f"{options.subscribers:,} subscribers on {connections:,} connections,"
            f" items of {len(WATCH.receive.encode(FIGURES))} bytes"
        )
        others = [await subscribe(path, "wait", calls) for _ in range(connections)]
        async with enkaku.connect_unix(path) as connection:
            measurement = Measurement(connection, others, options)
            await measurement.pair("as fast as it can", "full")
            await measurement.pair("one value per iteration", "iteration")
            if calls == 1:
                for policy in ("latest", "drop_oldest", "disconnect"):
                    await measurement.with_stalled(path, policy)
        for each in others:
            each.transport.abort()


async def serve(path: str) -> None:
    """Run the server."""
    limits = enkaku.Limits(request_time=None)
    async with enkaku.serve_unix(Sending(), path, limits=limits) as server:
        print("ready", flush=True)
        await server.serve_forever()


def main() -> None:
    """Start the server, measure, and stop the server."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--round", type=float, default=1.0, help="seconds of each round")
    parser.add_argument("--serve", metavar="PATH", help=argparse.SUPPRESS)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.serve:
        asyncio.run(serve(options.serve))
        return
    with tempfile.TemporaryDirectory(prefix="enk-") as directory:
        path = f"{directory}/s"
        command = [sys.executable, __file__, "--serve", path]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as server:  # noqa: S603 # ours
            try:
                if server.stdout is None or not server.stdout.readline():
                    raise SystemExit("the server did not start")
                asyncio.run(measure(path, options))
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
