"""The memory that clients make a server hold is bounded, and some of every server-wide limit is left for other clients."""

import asyncio
import gc
import json
import tracemalloc
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import enkaku
import pytest
from support import (
    ASK,
    ECHO,
    TALK,
    VOID,
    WITHIN,
    Lifetime,
    Raw,
    Serving,
    raw_client,
    until,
)

MIB = 1024 * 1024


class Recorder(enkaku.Observer):
    """Records what it is told of limits."""

    def __init__(self) -> None:
        self.overloads: list[str] = []

    def overloaded(self, connection: enkaku.ConnectionInfo, procedure: str, problem: str) -> None:
        """Record."""
        self.overloads.append(problem)


async def double(number: int) -> int:
    return 2 * number


def held(server: enkaku.Server) -> int:
    """Return how many bytes of memory the server counts."""
    return server._policy.capacity.held  # no public figure: only its effects are


async def ended(peer: Raw) -> bool:
    """Wait until the server has ended the connection."""
    async with asyncio.timeout(WITHIN):
        with suppress(ConnectionError):
            assert await peer.reader.read() == b""
    return True


async def ask(peer: Raw, rid: str, text: str) -> None:
    peer.send(typ="request", rid=rid, prc="echo", prm=text)
    await peer.writer.drain()


async def test_memory_used_up_pauses_clients_that_hold_some(socket_path: Path) -> None:
    release = asyncio.Event()

    async def echo(text: str) -> str:
        await release.wait()
        return text

    limits = enkaku.Limits(memory=1 * MIB, buffered=32 * MIB)
    handler = Serving(echo=echo, ask=double)
    async with enkaku.serve_unix(handler, socket_path, limits=limits) as server:
        async with raw_client(socket_path) as peer, enkaku.connect_unix(socket_path) as other:
            asking = [asyncio.create_task(ask(peer, str(n), "x" * 100_000)) for n in range(40)]
            await until(lambda: held(server) > 900_000)
            assert await other.request(ASK, 2) == 4  # it holds nothing
            assert len(server.connections[0].calls) < 15
            release.set()
            async with asyncio.timeout(WITHIN):
                for _ in range(40):
                    assert (await peer.read())["typ"] == "result"
                await asyncio.gather(*asking)
        await until(lambda: not server.connections)
        assert held(server) == 0


async def test_memory_that_is_never_freed_ends_largest_connection(socket_path: Path) -> None:
    seen, life = Recorder(), Lifetime()
    limits = enkaku.Limits(memory=1 * MIB, stall=0.1)
    handler = Serving(echo=life.forever, ask=double)
    async with enkaku.serve_unix(handler, socket_path, limits=limits, observers=[seen]) as server:
        async with raw_client(socket_path) as small, raw_client(socket_path) as large:
            await ask(small, "1", "x" * 50_000)
            assert await small.settle() == []
            for number in range(20):
                large.send(typ="request", rid=str(number), prc="echo", prm="x" * 100_000)
            assert await ended(large)
            assert any("memory" in each for each in seen.overloads)
            await until(lambda: len(server.connections) == 1)
            assert await small.settle() == []


async def test_memory_that_others_free_does_not_delay_stall(socket_path: Path) -> None:
    life = Lifetime()
    limits = enkaku.Limits(memory=1 * MIB, stall=0.2)
    handler = Serving(echo=life.forever, ask=double)
    async with enkaku.serve_unix(handler, socket_path, limits=limits) as server:
        async with raw_client(socket_path) as other, raw_client(socket_path) as large:
            for number in range(20):
                large.send(typ="request", rid=str(number), prc="echo", prm="x" * 100_000)
            async with asyncio.timeout(WITHIN):
                number = 0
                while len(server.connections) != 1 or number == 0:  # it frees memory meanwhile
                    number += 1
                    other.send(typ="request", rid=f"r{number}", prc="ask", prm=1)
                    assert (await other.read())["rid"] == f"r{number}"
            assert await ended(large)


async def test_memory_of_incomplete_messages_counts_until_they_end(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        async with AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(raw_client(socket_path)) for _ in range(3)]
            for peer in peers:
                peer.send_bytes(b"x" * MIB)
                await peer.writer.drain()
            await until(lambda: held(server) == 3 * MIB)
            peers[0].send_bytes(b"\n")
            await until(lambda: held(server) == 2 * MIB)
        await until(lambda: held(server) == 0)


async def test_memory_of_items_counts_until_they_are_taken(socket_path: Path) -> None:
    take = asyncio.Event()

    async def talk(param: int, channel: enkaku.ServerChannel[int, int]) -> int:
        await take.wait()
        return sum([item async for item in channel])

    async with enkaku.serve_unix(Serving(talk=talk), socket_path) as server:
        async with enkaku.connect_unix(socket_path) as connection:
            async with connection.channel(TALK, 1) as channel:
                for _ in range(10):
                    await channel.send(1)
                await until(lambda: held(server) > 10 * 2_048)
                take.set()
                await until(lambda: held(server) < 10 * 2_048)
                await channel.end()
                assert await channel.result() == 10
            await until(lambda: held(server) == 0)


@pytest.mark.parametrize(
    "value", [[[]] * 3_000, [{}] * 3_000, ["x"] * 3_000, "x" * 9_000, "\U0001f600" * 3_000]
)
async def test_memory_estimate_exceeds_what_a_value_takes(socket_path: Path, value: object) -> None:
    life = Lifetime()
    any_ask = enkaku.Request[object, int]("ask", param=object, result=int)

    class Handler(enkaku.Handler):
        def __routes__(self) -> tuple[enkaku.Route, ...]:
            return (enkaku.Route.request(any_ask, life.forever),)

    async with enkaku.serve_unix(Handler(), socket_path) as server:
        async with raw_client(socket_path) as peer:
            peer.send(typ="request", rid="0", prc="ask", prm=1)
            await until(lambda: life.began_count == 1)
            before = held(server)
            payload = {"typ": "request", "rid": "1", "prc": "ask", "prm": value}
            text = json.dumps({"header": {"typ": "JWT", "alg": "none"}, "payload": payload})
            tracemalloc.start()
            try:
                peer.send_bytes(text.encode() + b"\n")
                await until(lambda: life.began_count == 2)
                taken, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert held(server) - before > taken * 0.8


async def test_calls_beyond_shared_part_are_left_for_others(socket_path: Path) -> None:
    life = Lifetime()
    limits = enkaku.Limits(server_calls=20, handlers=100)
    handler = Serving(echo=life.forever, ask=double)
    async with enkaku.serve_unix(handler, socket_path, limits=limits):
        async with raw_client(socket_path) as peer, enkaku.connect_unix(socket_path) as other:
            for number in range(30):
                peer.send(typ="request", rid=str(number), prc="echo", prm="x")
            replies = [await peer.read() for _ in range(12)]
            assert {each["code"] for each in replies} == {"EK03"}
            assert life.began_count == 18
            assert await other.request(ASK, 2) == 4


async def test_handlers_beyond_shared_part_are_left_for_others(socket_path: Path) -> None:
    life = Lifetime()
    limits = enkaku.Limits(server_handlers=20, handlers=100)
    handler = Serving(echo=life.forever, ask=double)
    async with enkaku.serve_unix(handler, socket_path, limits=limits):
        async with (
            enkaku.connect_unix(socket_path) as greedy,
            enkaku.connect_unix(socket_path) as other,
        ):
            async with asyncio.TaskGroup() as tasks:
                asking = [tasks.create_task(greedy.request(ECHO, "x")) for _ in range(30)]
                await until(lambda: life.began_count == 18)
                assert await other.request(ASK, 2) == 4
                await asyncio.sleep(0)
                assert life.began_count == 18
                for each in asking:
                    each.cancel()


async def test_invalid_messages_beyond_limit_end_the_connection(socket_path: Path) -> None:
    seen = Recorder()
    limits = enkaku.Limits(invalid=50)
    async with enkaku.serve_unix(Serving(), socket_path, limits=limits, observers=[seen]):
        async with raw_client(socket_path) as peer, enkaku.connect_unix(socket_path) as other:
            peer.send_bytes(b"no message\n" * 50)
            assert await peer.settle() == []
            peer.send_bytes(b"no message\n" * 200)
            assert await ended(peer)
            assert any("too many invalid" in each for each in seen.overloads)
            await other.request(VOID, None)


@pytest.mark.parametrize("line", [b"1\n", b"\n", b"{}\n"])
async def test_lines_too_short_for_messages_end_the_connection(
    socket_path: Path, line: bytes
) -> None:
    async with enkaku.serve_unix(Serving(), socket_path):
        async with raw_client(socket_path) as peer, enkaku.connect_unix(socket_path) as other:
            peer.send_bytes(line * 100_000)
            assert await ended(peer)
            await other.request(VOID, None)


async def test_message_that_takes_too_long_ends_the_connection(socket_path: Path) -> None:
    limits = enkaku.Limits(message_time=0.1)
    async with enkaku.serve_unix(Serving(), socket_path, limits=limits) as server:
        async with raw_client(socket_path) as peer, raw_client(socket_path) as small:
            small.send_bytes(b"x" * 100)
            peer.send_bytes(b"x" * 10_000)
            assert await ended(peer)
            assert len(server.connections) == 1
            small.send_bytes(b"\n")
            assert await small.settle() == []


@pytest.mark.parametrize(("count", "accepted"), [(5_500, True), (5_600, False), (2_000_000, False)])
async def test_message_with_too_many_values_gets_ek06(
    socket_path: Path, count: int, accepted: bool
) -> None:
    seen = Recorder()
    call = enkaku.Request[list[object], int]("ask", param=list[object], result=int)

    class Handler(enkaku.Handler):
        async def ask(self, param: list[object]) -> int:
            return len(param)

        def __routes__(self) -> tuple[enkaku.Route, ...]:
            return (enkaku.Route.request(call, self.ask),)

    async with enkaku.serve_unix(Handler(), socket_path, observers=[seen]):
        async with raw_client(socket_path) as peer:
            start = b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"request","rid":"1",'
            peer.send_bytes(start + b'"prc":"ask","prm":[%b]}}\n' % b",".join([b"{}"] * count))
            reply = await peer.read()
    if accepted:
        assert reply == {"typ": "result", "rid": "1", "val": count}
    else:
        assert (reply["rid"], reply["code"]) == ("1", "EK06")
        assert "values" in reply["msg"]


async def test_large_message_is_decoded_without_garbage_collection(socket_path: Path) -> None:
    call = enkaku.Request[list[object], int]("ask", param=list[object], result=int)
    collecting: list[bool] = []

    class Handler(enkaku.Handler):
        async def ask(self, param: list[object]) -> int:
            return len(param)

        def __routes__(self) -> tuple[enkaku.Route, ...]:
            return (enkaku.Route.request(call, self.ask),)

    class Watching(enkaku.Observer):
        def call_started(self, call: enkaku.Call) -> None:
            collecting.append(gc.isenabled())

    async with enkaku.serve_unix(Handler(), socket_path, observers=[Watching()]):
        async with enkaku.connect_unix(socket_path) as connection:
            assert await connection.request(call, [[]] * 9_000) == 9_000
            assert await connection.request(call, [[]] * 9) == 9
    assert collecting == [False, True]
    assert gc.isenabled()
