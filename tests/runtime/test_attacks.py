"""What an attack on waiting calls, slices of time and forks has found."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku.flow import fairness
from enkaku.server import runner
from support import (
    ASK,
    VOID,
    WATCH,
    WITHIN,
    Lifetime,
    Serving,
    Sliced,
    facing,
    line,
    raw_client,
    until,
)


async def test_slices_keep_reading_paused_after_first_credit(socket_path: Path) -> None:
    limits = enkaku.Limits(window=5000, silence=None)
    async with facing(socket_path, limits=limits) as (connection, peer):
        async with connection.stream(WATCH, 1):
            rid = (await peer.read())["rid"]
            session = connection._sessions.session
            items = b"".join(line(typ="receive", rid=rid, val=n) for n in range(100))
            junk = b"{}\n" * 10_000
            peer.send_bytes(items + junk + line(typ="credit", rid=rid, n=0) + junk)
            most = 0
            async with asyncio.timeout(2 * WITHIN):
                for _ in range(400):
                    if peer.writer.transport.get_write_buffer_size() < 1_000_000:
                        peer.send_bytes(junk)
                    await asyncio.sleep(0)
                    most = max(most, sum(map(len, session._slices._batches)))
            assert most < 200_000


async def test_slices_of_connections_share_one_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    now, handled = 0.0, list[str]()

    def handler(name: str) -> Callable[[Sequence[int]], None]:
        def handle(_: Sequence[int]) -> None:
            nonlocal now
            now += fairness.SLICE
            handled.append(name)

        return handle

    monkeypatch.setattr(fairness, "monotonic", lambda: now)
    connections = [fairness.TimeSlices[int](Sliced(handler(name))) for name in "abc"]
    for each in connections:
        each.add(range(2 * fairness.CHUNK))
    counts = list[int]()
    while any(each.waiting for each in connections):
        counts.append(len(handled))
        await asyncio.sleep(0)
    assert counts == [1, 2, 3, 4, 5]
    assert sorted(handled[:4]) == ["a", "a", "b", "c"]


async def test_lost_connection_begins_no_waiting_request(socket_path: Path) -> None:
    life = Lifetime()
    limits = enkaku.Limits(handlers=1)
    async with enkaku.serve_unix(Serving(ask=life.forever), socket_path, limits=limits) as server:
        async with raw_client(socket_path) as peer:
            requests = (line(typ="request", rid=str(n), prc="ask", prm=n) for n in range(2_500))
            peer.send_bytes(b"".join(requests))
            await until(
                lambda: len(server.connections) == 1 and len(server.connections[0].calls) == 2_500
            )
        await until(lambda: not server.connections)
    assert life.began_count == 1


async def test_lost_connection_ends_its_calls_in_slices(
    socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "SLICE", -1.0)  # time for one call
    life = Lifetime()
    limits = enkaku.Limits(handlers=1)
    async with enkaku.serve_unix(Serving(ask=life.forever), socket_path, limits=limits) as server:
        async with raw_client(socket_path) as peer:
            requests = (line(typ="request", rid=str(n), prc="ask", prm=n) for n in range(20))
            peer.send_bytes(b"".join(requests))
            await until(
                lambda: len(server.connections) == 1 and len(server.connections[0].calls) == 20
            )
            (connection,) = server.connections
        counts = [20]
        async with asyncio.timeout(WITHIN):
            while counts[-1]:
                await asyncio.sleep(0)
                counts.append(len(connection.calls))
        await until(lambda: not server.connections)
    assert max(before - after for before, after in pairwise(counts)) == 1
    assert life.began_count == 1


async def test_slices_precede_loss_by_broken_pipe(socket_path: Path) -> None:
    told: list[int] = []

    async def tell(number: int) -> None:
        told.append(number)

    limits = enkaku.Limits(handlers=10_000)
    async with enkaku.serve_unix(Serving(tell=tell), socket_path, limits=limits) as server:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(socket_path))
            await until(lambda: len(server.connections) == 1)
            data = line(typ="request", rid="r", prc="void")
            data += b"".join(line(typ="event", prc="tell", data=n) for n in range(1500))
            assert client.send(data) == len(data)  # one read of the server
        await until(lambda: not server.connections)
    assert told == list(range(1500))


async def test_waiting_events_that_move_are_not_dropped(
    socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled: list[int] = []
    gate = asyncio.Semaphore(0)
    stall = 3_600.0
    stalls: list[asyncio.TimerHandle] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def call_later_and_record(delay: float, *rest: Any) -> asyncio.TimerHandle:
        timer = call_later(delay, *rest)
        if delay == stall:
            stalls.append(timer)
        return timer

    async def tell(number: int) -> None:
        await gate.acquire()
        handled.append(number)

    monkeypatch.setattr(loop, "call_later", call_later_and_record)
    limits = enkaku.Limits(handlers=1, buffered=20_000, stall=stall)
    async with enkaku.serve_unix(Serving(tell=tell), socket_path, limits=limits):
        async with raw_client(socket_path) as peer:
            events = (line(typ="event", prc="tell", data=number) for number in range(60))
            peer.send_bytes(b"".join(events))
            await until(lambda: len(stalls) == 1)  # too many wait
            for number in range(1, 10):
                gate.release()
                await until(lambda number=number: len(stalls) > number)
                assert [timer.cancelled() for timer in stalls[-2:]] == [True, False]
            for _ in range(60):
                gate.release()
            await until(lambda: len(handled) == 60)
    assert handled == list(range(60))


async def test_reading_resumes_when_other_connection_frees_handler(socket_path: Path) -> None:
    began: list[int] = []
    gates: dict[int, asyncio.Event] = {}

    async def tell(number: int) -> None:
        began.append(number)
        gates[number] = asyncio.Event()
        await gates[number].wait()

    async def ask(number: int) -> int:
        return number

    limits = enkaku.Limits(server_handlers=1, buffered=3_000, stall=None)
    async with enkaku.serve_unix(Serving(tell=tell, ask=ask), socket_path, limits=limits):
        async with raw_client(socket_path) as one, raw_client(socket_path) as two:
            one.send(typ="event", prc="tell", data=1)
            await until(lambda: began == [1])
            for number in (2, 3, 4):  # more than may wait
                two.send(typ="event", prc="tell", data=number)
            for _ in range(100):
                await asyncio.sleep(0)
            gates[1].set()
            await until(lambda: began == [1, 2])
            two.send(typ="request", rid="x", prc="ask", prm=1)
            assert (await two.read())["rid"] == "x"
            for number in (2, 3, 4):
                await until(lambda number=number: number in gates)
                gates[number].set()


_FORKS = r"""
import asyncio, os, resource, stat, sys, tempfile
sys.path.insert(0, sys.argv[1])
import enkaku
from support import VOID, Serving

def sockets():
    found = 0
    for number in range(64):
        try:
            found += stat.S_ISSOCK(os.fstat(number).st_mode)
        except OSError:
            pass
    return found

async def main():
    own = sockets()  # of the event loop
    path = tempfile.mkdtemp() + "/s"
    async with enkaku.serve_unix(Serving(), path), enkaku.connect_unix(path) as connection:
        await connection.request(VOID, None)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        held = []
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        if (pid := os.fork()) == 0:
            os._exit(sockets() - own)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), "sockets")
        for number in held:
            os.close(number)

asyncio.run(main())
"""


def test_forked_child_without_free_descriptor_keeps_no_socket() -> None:
    tests = str(Path(__file__).parents[1])
    ran = subprocess.run(
        [sys.executable, "-c", _FORKS, tests],
        capture_output=True,
        text=True,
        timeout=3 * WITHIN,
        check=False,
    )
    assert ran.stdout == "0 sockets\n", ran.stdout + ran.stderr


async def test_oversized_first_message_with_bom_is_answered(socket_path: Path) -> None:
    async def echo(text: str) -> str:
        return text

    limits = enkaku.Limits(message_size=1000)
    opening = line(typ="request", rid="a", prc="echo", prm="x" * 2000)
    async with enkaku.serve_unix(Serving(echo=echo), socket_path, limits=limits):
        async with raw_client(socket_path) as peer:
            peer.send_bytes(b"\xef\xbb\xbf" + opening)
            assert [reply["code"] for reply in await peer.settle()] == ["EK06"]


async def test_oversized_first_reply_with_bom_ends_its_call(socket_path: Path) -> None:
    limits = enkaku.Limits(message_size=1000, silence=None)
    async with facing(socket_path, limits=limits) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK, 1))
        rid = (await peer.read())["rid"]
        reply = line(typ="error", rid=rid, code="X", msg="y" * 2000)
        peer.send_bytes(b"\xef\xbb\xbf" + reply)
        with pytest.raises(enkaku.MessageTooLarge):
            async with asyncio.timeout(WITHIN):
                await asking


async def test_deadline_around_serve_does_not_bind_lifespans(socket_path: Path) -> None:
    got: list[str] = []
    other = socket_path.with_name("o")
    passed = asyncio.Event()
    async with enkaku.serve_unix(Serving(), other), enkaku.connect_unix(other) as backend:

        @asynccontextmanager
        async def lifespan(_: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
            await backend.request(VOID, None)
            got.append("ok")
            yield

        async with AsyncExitStack() as stack:
            with enkaku.deadline(0.1):
                await stack.enter_async_context(
                    enkaku.serve_unix(Serving(), socket_path, lifespan=lifespan)
                )
            asyncio.get_running_loop().call_later(0.2, passed.set)
            await passed.wait()
            async with enkaku.connect_unix(socket_path) as connection:
                await connection.request(VOID, None)
    assert got == ["ok"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks")
async def test_waiting_eager_calls_run_in_several_iterations(socket_path: Path) -> None:
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore] # of 3.12
    release = asyncio.Event()
    handled: list[int] = []

    async def ask(number: int) -> int:
        if number == 0:
            await release.wait()
        handled.append(number)
        return number

    count = 2000
    limits = enkaku.Limits(handlers=1)
    async with enkaku.serve_unix(Serving(ask=ask), socket_path, limits=limits) as server:
        async with raw_client(socket_path) as peer:
            requests = (line(typ="request", rid=str(n), prc="ask", prm=n) for n in range(count))
            peer.send_bytes(b"".join(requests))
            await until(
                lambda: bool(server.connections) and len(server.connections[0].calls) == count
            )
            release.set()
            most, before = 0, 0
            async with asyncio.timeout(WITHIN):
                while len(handled) < count:
                    await asyncio.sleep(0)
                    most, before = max(most, len(handled) - before), len(handled)
    assert most <= fairness.STREAK + 1
    assert handled == list(range(count))


async def test_close_of_waiting_request_blames_no_handler(
    socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    life = Lifetime()
    serving = enkaku.serve_unix(
        Serving(ask=life.forever), socket_path, limits=enkaku.Limits(handlers=1), close_timeout=0.1
    )
    async with serving, raw_client(socket_path) as peer:
        peer.send(typ="request", rid="a", prc="ask", prm=1)
        peer.send(typ="request", rid="b", prc="ask", prm=1)
        peer.send(typ="abort", rid="b", rsn="Close")
        assert (await peer.read())["code"] == "EK05"
    assert life.began_count == 1
    assert "the handler is cancelled" not in caplog.text
