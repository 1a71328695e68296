"""Microbenchmark of each step of processing a message, in nanoseconds of CPU time.

    make bench-steps

The steps are those of docs/performance.md. A step that is measured alone finds its code and data in the processor's caches.
In a single request it does not, and takes two to three times as long. The figures show the cost of a step relative to the
others.
"""

import asyncio
import itertools
import socket
import sys
import time
from collections.abc import Callable
from typing import Final

import enkaku
from compare.bench_protocol import Sample
from compare.bench_protocol.procedures import ECHO
from enkaku.calls.deadlines import Deadlines
from enkaku.calls.info import Call, ConnectionInfo
from enkaku.calls.observers import Observers
from enkaku.calls.states import ServerState, Step
from enkaku.flow.fairness import Fairness
from enkaku.flow.inbox import Inbox, ReadControl
from enkaku.flow.send_window import Window
from enkaku.identity.messages import Signer, verify_message
from enkaku.limits import Limits
from enkaku.server.call import Context, ServerCall
from enkaku.server.capacity import Capacity, ServerCapacity
from enkaku.transports.lines import Lines
from enkaku.transports.memory import memory_pair
from enkaku.wire.messages import (
    decode_client_message,
    decode_server_message,
    encode_item,
    encode_open,
    encode_result,
    receive_head,
)

WATCH: Final = enkaku.Stream[int, Sample, None]("watch", param=int, receive=Sample)
ROUNDS: Final = 7
CLIENT_KEY: Final = enkaku.KeyPair.generate()
SERVER_KEY: Final = enkaku.KeyPair.generate()
SAMPLE: Final = Sample(
    cpu=12.5, memory=123456789, timestamp=1764000000.123, label="host-0001 production eu-west"
)


def measure(step: Callable[[], object], times: int = 20_000) -> float:
    """Return the nanoseconds of CPU time of a step in the best round, without those of an empty function."""

    def run(step: Callable[[], object]) -> float:
        began = time.process_time_ns()
        for _ in itertools.repeat(None, times):
            step()
        return (time.process_time_ns() - began) / times

    def nothing() -> None:
        pass

    empty = min(run(nothing) for _ in range(ROUNDS))
    return max(0.0, min(run(step) for _ in range(ROUNDS)) - empty)


def line_steps() -> dict[str, Callable[[], object]]:
    """Return the steps of encoding and decoding."""
    text = ECHO.param.encode(SAMPLE)
    head = receive_head("1")
    opening = encode_open("request", "1", "echo", text, ttl=60_000)
    item = encode_item(head, text)
    lines = Lines(10 * 1024 * 1024)
    signer = Signer(CLIENT_KEY, SERVER_KEY.did)
    signed, now = signer.sign(opening), time.time()
    block = (item + lines.terminator) * 64
    return {
        "encode the value: slot.encode": lambda: ECHO.param.encode(SAMPLE),
        "decode the value: slot.decode": lambda: ECHO.param.decode(text),
        "encode the message of a request": lambda: encode_open(
            "request", "1", "echo", text, ttl=60000
        ),
        "encode the message of a result": lambda: encode_result("1", text),
        "encode the message of an item": lambda: encode_item(head, text),
        "split 64 lines (for all)": lambda: lines.split(block),
        "decode the envelope of a request": lambda: decode_client_message(opening),
        "decode the envelope of an item": lambda: decode_server_message(item),
        "sign the message of a request": lambda: signer.sign(opening),
        "verify and decode a signed request": lambda: verify_message(signed, now, values=1000),
    }


class _Runner:
    """Ends no calls."""

    def end_at_deadline(self, call: ServerCall) -> None: ...

    def give_up_place(self, call: ServerCall) -> None: ...

    def update_reading(self) -> None: ...


def call_steps() -> dict[str, Callable[[], object]]:
    """Return the steps of a call."""
    transport, _ = memory_pair()
    connection = ConnectionInfo("a client", None)
    loop = asyncio.get_running_loop()
    whole = ServerCapacity(Limits(), lambda: None)
    capacity = Capacity(whole, calls=10)
    observers, fairness = Observers(), Fairness()
    context = Context(connection, transport, capacity, observers, fairness, 1024, loop, _Runner())
    now = time.monotonic()
    deadlines = Deadlines(list)
    deadlines.wake_at(now + 60)
    observers = Observers([_Counting()])
    call = Call(ECHO, connection, now, None)
    gate = ReadControl(_Runner(), buffered=1024 * 1024)
    gate.enable_flow_control()
    window = Window(None)

    def count() -> None:
        capacity.claim()
        capacity.release()

    def live() -> None:
        live = ServerCall(ECHO, context, now, None, "1")
        live.step(Step.FINISH)
        live.step(Step.RELEASE)
        assert live.phase is ServerState.RELEASED  # noqa: S101 # a measured step must work

    def expect() -> None:
        due = now + 61
        if due < deadlines.wakes:
            deadlines.wake_at(due)

    def send() -> None:
        if not (window.reserving or window.free < 100):
            window.free -= 100

    def pass_on() -> None:
        inbox = Inbox[bytes](
            gate, window=1024 * 1024, limit=1024, grant=lambda _: None, on_drop=lambda _: None
        )
        for _ in range(60):
            inbox.put(((b"", 100),), 100)
            inbox.get_nowait()
        inbox.release()

    return {
        "create the Call at the client": lambda: Call(ECHO, connection, now, None),
        "create a ServerCall, and its two last transitions": live,
        "count a call towards the limits, and release it": count,
        "schedule a deadline": expect,
        "notify one observer": lambda: observers.call_ended(call),
        "60 items through an inbox, with credit (for all)": pass_on,
        "an item through a send window": send,
    }


async def loop_steps() -> dict[str, float]:
    """Measure the parts of asyncio and of the kernel."""
    loop = asyncio.get_running_loop()

    async def nothing() -> None:
        pass

    async def tasks(count: int) -> None:
        for _ in range(count):
            await loop.create_task(nothing())

    async def turns(count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def timed(count: int, work: Callable[[int], "asyncio.Future[None]"]) -> float:
        best = float("inf")
        for _ in range(ROUNDS):
            began = time.process_time_ns()
            await work(count)
            best = min(best, (time.process_time_ns() - began) / count)
        return best

    one, other = socket.socketpair()
    line, buffer = encode_item(receive_head("1"), ECHO.param.encode(SAMPLE)), bytearray(256 * 1024)

    def cross() -> None:
        one.send(line)
        other.recv_into(buffer)

    def cross_as_asyncio_does() -> None:
        one.send(line)
        other.recv(256 * 1024)

    try:
        return {
            "an iteration of the event loop": await timed(
                5_000, lambda count: asyncio.ensure_future(turns(count))
            ),
            "a task that ends at once, awaited (2 iterations)": await timed(
                5_000, lambda count: asyncio.ensure_future(tasks(count))
            ),
            "send a message, and read it into a buffer": measure(cross, 5_000),
            "send a message, and read it as asyncio.Protocol does": measure(
                cross_as_asyncio_does, 5_000
            ),
        }
    finally:
        one.close()
        other.close()


class _Echo(enkaku.Handler):
    async def echo(self, param: Sample) -> Sample:
        """Return the value."""
        return param

    async def watch(self, param: int, stream: enkaku.ServerStream[Sample]) -> None:
        """Send so many values."""
        for _ in range(param):
            await stream.send(SAMPLE)

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (enkaku.Route.request(ECHO, self.echo), enkaku.Route.stream(WATCH, self.watch))


def whole_calls() -> dict[str, float]:
    """Measure calls in memory, of both sides together, with an asynchronous and with a synchronous client."""

    async def asynchronous(count: int) -> tuple[float, float]:
        async with enkaku.connect_memory(_Echo()) as connection:
            began = time.process_time_ns()
            for _ in range(count):
                await connection.request(ECHO, SAMPLE)
            requests = time.process_time_ns()
            async with connection.stream(WATCH, count) as stream:
                async for _ in stream:
                    pass
            return (requests - began) / count, (time.process_time_ns() - requests) / count

    def synchronous(count: int) -> tuple[float, float]:
        with enkaku.sync.connect(enkaku.connect_memory(_Echo())) as connection:
            began = time.process_time_ns()
            for _ in range(count):
                connection.request(ECHO, SAMPLE)
            requests = time.process_time_ns()
            with connection.stream(WATCH, count) as stream:
                for _ in stream:
                    pass
            return (requests - began) / count, (time.process_time_ns() - requests) / count

    async def signed(count: int) -> float:
        async with enkaku.connect_memory(
            _Echo(),
            identity=SERVER_KEY,
            access={"*": {CLIENT_KEY.did}},
            replays=enkaku.ReplayGuard(per_issuer=ROUNDS * count, total=ROUNDS * count),
            connection_options={"identity": CLIENT_KEY, "audience": SERVER_KEY.did},
        ) as connection:
            began = time.process_time_ns()
            for _ in range(count):
                await connection.request(ECHO, SAMPLE)
            return (time.process_time_ns() - began) / count

    rounds = [(enkaku.run(asynchronous(2000)), synchronous(2000)) for _ in range(ROUNDS)]
    names = ("a request in memory", "an item of a stream in memory")
    figures = {
        f"{name}, {kind}": min(each[side][number] for each in rounds)
        for number, name in enumerate(names)
        for side, kind in enumerate(("asynchronous", "synchronous"))
    }
    figures["a signed request in memory, asynchronous"] = min(
        enkaku.run(signed(2000)) for _ in range(ROUNDS)
    )
    return figures


class _Counting(enkaku.Observer):
    """Counts the calls that ended."""

    ended = 0

    def call_ended(self, call: enkaku.Call) -> None:  # noqa: ARG002 # only the number counts
        """Count."""
        self.ended += 1


async def single_steps() -> dict[str, float]:
    """Measure all single steps."""
    steps = {**line_steps(), **call_steps()}
    return {name: measure(step) for name, step in steps.items()} | await loop_steps()


def main() -> None:
    """Measure, and print the figures."""
    figures = asyncio.run(single_steps()) | whole_calls()
    version = sys.version.partition(" ")[0]
    print(f"nanoseconds of CPU time, Python {version}, best of {ROUNDS} rounds")
    for name, nanoseconds in figures.items():
        print(f"  {name:<56}{nanoseconds:>9,.0f}")


if __name__ == "__main__":
    main()
