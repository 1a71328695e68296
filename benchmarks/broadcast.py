"""What one value for many subscribers costs, and what one of them that never reads costs the others.

    python benchmarks/broadcast.py

Two processes: a server that sends as fast as it can, and subscribers, each at the end of a Unix socket of its own, who
count lines and do nothing else. Every figure is a median of several rounds.
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
    """What is sent: some 250 bytes of JSON."""

    timestamp: float
    values: list[float]
    host: str


class Round(enkaku.Model):
    """What a round measured."""

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
    """Sends to all at once, or to one after the other."""

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
        """Send for so many seconds."""
        how, seconds = param[0], float(param[1])
        dropped, sent = self._broadcast.dropped, 0
        for _ in range(50 if how == "fill" else 0):  # more than a socket takes
            await self._broadcast.send(LARGE)
        start = last = time.perf_counter()
        cpu = time.process_time()
        while last < start + seconds:
            if how == "each":
                for stream in tuple(self._streams):
                    await stream.send(FIGURES)
            else:
                await self._broadcast.send(FIGURES)
            last = time.perf_counter()
            sent += 1
        dropped = self._broadcast.dropped - dropped
        return Round(
            sent=sent, seconds=last - start, cpu=time.process_time() - cpu, dropped=dropped
        )


class Subscriber(asyncio.Protocol):
    """Counts lines."""

    def __init__(self, policy: str) -> None:
        self.lines = 0
        self._policy = policy

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Subscribe."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 # for the type checker
        self.transport = transport
        payload = {"typ": "stream", "rid": "s", "prc": "watch", "prm": self._policy}
        message = {"header": {"typ": "JWT", "alg": "none"}, "payload": payload}
        transport.write(json.dumps(message).encode() + b"\n")

    def data_received(self, data: bytes) -> None:
        """Count."""
        self.lines += data.count(b"\n")


async def subscribe(path: str, policy: str) -> Subscriber:
    """Connect a subscriber."""
    loop = asyncio.get_running_loop()
    return (await loop.create_unix_connection(lambda: Subscriber(policy), path))[1]


async def settled(subscribers: list[Subscriber]) -> None:
    """Wait until everybody has read as much as the others, for a while."""
    lines, since = set[int](), time.monotonic()
    while len(lines) != 1 or time.monotonic() < since + 0.2:
        if (now := {each.lines for each in subscribers}) != lines:
            lines, since = now, time.monotonic()
        await asyncio.sleep(0.02)


async def measure(path: str, options: argparse.Namespace) -> None:
    """Print the table."""
    print(
        f"{options.subscribers:,} subscribers, items of {len(WATCH.receive.encode(FIGURES))} bytes"
    )
    others = [await subscribe(path, "wait") for _ in range(options.subscribers)]
    async with enkaku.connect_unix(path) as connection:
        for name, how, stalled in (
            ("stream.send for each", "each", None),
            ("broadcast.send", "broadcast", None),
            ("  beside one that never reads: latest", "broadcast", "latest"),
            ("  beside one that never reads: drop_oldest", "broadcast", "drop_oldest"),
            ("  beside one that never reads: disconnect", "broadcast", "disconnect"),
        ):
            never = None if stalled is None else await subscribe(path, stalled)
            if never is not None:
                never.transport.pause_reading()
                await connection.request(SEND, ["fill", "0"], timeout=None)
                await settled(others)
            rounds: list[Round] = []
            rates: list[float] = []
            for _ in range(options.rounds):
                before = [each.lines for each in others]
                done = await connection.request(SEND, [how, f"{options.round}"], timeout=None)
                rounds.append(done)
                goal = [lines + done.sent for lines in before]
                start = time.monotonic()
                while [each.lines for each in others] != goal:  # noqa: ASYNC110 # others count
                    await asyncio.sleep(0.01)
                rates.append(done.sent / (done.seconds + time.monotonic() - start))
            took = statistics.median(each.seconds / each.sent for each in rounds)
            cpu = statistics.median(each.cpu / each.sent for each in rounds)
            print(
                f"  {name:<44}{took * 1e3:7.2f} ms a send ({cpu * 1e3:.2f} of cpu),"
                f"{statistics.median(rates):7,.0f} items/s for each,"
                f" {sum(each.dropped for each in rounds):,} dropped",
                flush=True,
            )
            if never is not None:
                never.transport.abort()
    for each in others:
        each.transport.abort()


async def serve(path: str) -> None:
    """Be the server."""
    limits = enkaku.Limits(request_time=None)
    async with enkaku.serve_unix(Sending(), path, limits=limits) as server:
        print("ready", flush=True)
        await server.serve_forever()


def main() -> None:
    """Start the server, measure, stop it."""
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
