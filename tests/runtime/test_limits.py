"""Limits: what a peer can make this side keep, and what it is told where it wants more."""

import asyncio
from pathlib import Path
from typing import Any

import enkaku
import pytest
from support import (
    ASK,
    ECHO,
    TALK,
    TELL,
    VOID,
    WATCH,
    WITH_EACH_TASK_FACTORY,
    WITHIN,
    Connect,
    Lifetime,
    Serving,
    facing,
    line,
    raw_client,
    soon,
    turns,
    until,
)
from watching import Recorder


def refused(rid: str, code: str, message: str) -> dict[str, Any]:
    return {"typ": "error", "rid": rid, "code": code, "msg": message, "data": {}}


async def began(life: Lifetime, count: int) -> None:
    await until(lambda: life.began_count == count)


async def ended(life: Lifetime, count: int) -> None:
    await until(lambda: life.ended_count == count)


EVENT = line(typ="event", prc="tell", data=1)
TOO_MANY_CALLS = ("EK03", "Too many open calls")


async def test_limit_handlers_lets_request_wait_until_one_ends(connect: Connect) -> None:
    life = Lifetime()
    async with connect(Serving(ask=life.forever), limits=enkaku.Limits(handlers=2)) as connection:
        first = asyncio.create_task(connection.request(ASK, 1))
        second = asyncio.create_task(connection.request(ASK, 2))
        await until(lambda: life.began_count == 2)
        waiting = asyncio.create_task(connection.request(VOID, None))
        await turns(50)
        assert not waiting.done()
        first.cancel()
        await waiting
        second.cancel()


async def test_limit_handlers_excludes_streams_and_calls_includes_them(connect: Connect) -> None:
    life = Lifetime()
    limits = enkaku.Limits(handlers=1, calls=3)
    async with connect(Serving(watch=life.forever), limits=limits) as connection:
        async with connection.stream(WATCH, 1), connection.stream(WATCH, 2):
            await until(lambda: life.began_count == 2)
            await connection.request(VOID, None)
            async with connection.stream(WATCH, 3) as third, connection.stream(WATCH, 4) as fourth:
                with pytest.raises(enkaku.CallError) as caught:
                    await fourth.result()
                assert (caught.value.code, caught.value.message) == TOO_MANY_CALLS
                with pytest.raises(enkaku.CallError, match="EK03"):
                    await connection.request(VOID, None)
                assert third.call.outcome is None


@pytest.mark.parametrize("end", ["result", "error", "abort", "deadline", "close", "lost"])
async def test_limit_calls_counts_down_after_every_end(socket_path: Path, end: str) -> None:
    life = Lifetime()

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        with life:
            if end == "error":
                raise enkaku.HandlerError("X", "x")
            if end != "result":
                async with stream.until_closed():
                    await asyncio.Event().wait()
        return number

    limits = enkaku.Limits(calls=1, server_calls=1)
    handler = Serving(watch=watch)
    async with enkaku.serve_unix(handler, socket_path, limits=limits) as server:
        for count in range(1, 4):
            async with raw_client(socket_path) as peer:
                header: dict[str, Any] = {"typ": "JWT", "alg": "none"}
                if end == "deadline":
                    header["ttl"] = 20
                opening = {"typ": "stream", "rid": "a", "prc": "watch", "prm": 5}
                peer.send_line(header, opening)
                await began(life, count)
                if end == "abort":
                    peer.send(typ="abort", rid="a")
                if end == "close":
                    peer.send(typ="abort", rid="a", rsn="Close")
                if end != "lost":
                    await ended(life, count)
                    last = await peer.settle()
                    assert [message["typ"] for message in last] == {
                        "result": ["result"],
                        "close": ["result"],
                        "error": ["error"],
                        "deadline": ["error"],
                        "abort": [],
                    }[end]
            await until(lambda: not server.connections)
        assert life.ended_count == 3


async def test_limit_server_handlers_holds_for_all_connections(socket_path: Path) -> None:
    life = Lifetime()
    limits = enkaku.Limits(server_handlers=1)
    async with enkaku.serve_unix(Serving(ask=life.forever), socket_path, limits=limits):
        async with raw_client(socket_path) as one, raw_client(socket_path) as other:
            one.send(typ="request", rid="a", prc="ask", prm=1)
            await soon(life.began)
            other.send(typ="request", rid="b", prc="void")
            await turns(50)
            assert not life.ended.is_set()
            one.send(typ="abort", rid="a")
            assert await other.read() == {"typ": "result", "rid": "b"}
            assert life.ended.is_set()


async def test_limit_handlers_queues_events(connect: Connect) -> None:
    told: list[int] = []
    release, most, running = asyncio.Event(), 0, 0

    async def tell(number: int) -> None:
        nonlocal most, running
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1
        told.append(number)

    async with connect(Serving(tell=tell), limits=enkaku.Limits(handlers=3)) as connection:
        for number in range(50):
            await connection.event(TELL, number)
        await until(lambda: running == 3)
        release.set()
        await until(lambda: len(told) == 50)
        assert most == 3
        assert sorted(told) == list(range(50))
        await connection.request(VOID, None)


async def test_limit_connections_ends_one_too_many(socket_path: Path) -> None:
    seen, life = Recorder(), Lifetime()
    limits = enkaku.Limits(connections=2)
    handler = Serving(ask=life.forever)
    async with enkaku.serve_unix(handler, socket_path, limits=limits, observers=[seen]) as server:
        async with raw_client(socket_path) as first, raw_client(socket_path) as second:
            for peer in (first, second):
                peer.send(typ="request", rid="1", prc="ask", prm=1)
                assert await peer.settle() == []
            async with raw_client(socket_path) as third:
                assert await third.reader.read() == b""
            assert len(server.connections) == 2
            assert "2 connections" in seen.overloads[0]
        await until(lambda: not server.connections)
        async with raw_client(socket_path) as again:
            assert await again.settle() == []


async def test_limit_connections_ends_longest_silent_without_call(socket_path: Path) -> None:
    life = Lifetime()
    limits = enkaku.Limits(connections=4)
    handler = Serving(ask=life.forever)
    async with (
        enkaku.serve_unix(handler, socket_path, limits=limits) as server,
        raw_client(socket_path) as busy,
        raw_client(socket_path) as first,
        raw_client(socket_path) as second,
        raw_client(socket_path) as third,
    ):
        busy.send(typ="request", rid="1", prc="ask", prm=1)
        for peer in (busy, second, third, first):
            assert await peer.settle() == []
        async with raw_client(socket_path) as new:
            assert await new.settle() == []
            assert await second.reader.read() == b""
            assert await first.settle() == await third.settle() == await busy.settle() == []
            assert len(server.connections) == 4


async def test_limit_request_time_cancels_request_not_stream(
    connect: Connect,
) -> None:
    asked, watched = Lifetime(), Lifetime()
    limits = enkaku.Limits(request_time=0.05)
    handler = Serving(ask=asked.forever, watch=watched.forever)
    async with connect(handler, limits=limits) as connection:
        async with connection.stream(WATCH, 1):
            await soon(watched.began)
            with pytest.raises(enkaku.DeadlineExceeded) as caught:
                await connection.request(ASK, 1, timeout=None)
            assert caught.value.code == "EK05"
            await soon(asked.cancelled)
            assert not watched.ended.is_set()


async def test_limit_first_byte_drops_silent_client(socket_path: Path) -> None:
    seen = Recorder()
    limits = enkaku.Limits(first_byte=0.05)
    async with enkaku.serve_unix(Serving(), socket_path, limits=limits, observers=[seen]):
        async with raw_client(socket_path) as talks, raw_client(socket_path) as silent:
            assert await talks.settle() == []
            async with asyncio.timeout(WITHIN):
                assert await silent.reader.read() == b""
            assert await talks.settle() == []
        await until(lambda: len(seen.lost) == 2)
    assert "silent" in seen.lost[0]


async def test_limit_idle_drops_client_without_open_call(
    socket_path: Path,
) -> None:
    life = Lifetime()
    limits = enkaku.Limits(idle=0.05)
    async with enkaku.serve_unix(Serving(watch=life.forever), socket_path, limits=limits):
        async with raw_client(socket_path) as idle, raw_client(socket_path) as busy:
            busy.send(typ="stream", rid="a", prc="watch", prm=1)
            assert await idle.settle() == []
            async with asyncio.timeout(WITHIN):
                assert await idle.reader.read() == b""
            assert await busy.settle() == []
            busy.send(typ="abort", rid="a")
            async with asyncio.timeout(WITHIN):
                assert await busy.reader.read() == b""


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize("levels", [5, 6, 50])
async def test_limit_depth_rejects_before_parsing(socket_path: Path, levels: int) -> None:
    limits = enkaku.Limits(depth=5)
    echo = enkaku.Request[object, object]("echo", param=object, result=object)

    class Any(enkaku.Handler):
        def __routes__(self) -> tuple[enkaku.Route, ...]:
            return (enkaku.Route.request(echo, self._echo), *Serving().__routes__())

        async def _echo(self, value: object) -> object:
            return value

    async with enkaku.serve_unix(Any(), socket_path, limits=limits):
        async with raw_client(socket_path) as peer:
            brackets = b'["' + b"[" * 50 + b'"]'  # those in a text do not count
            answers: list[dict[str, object]] = []
            for rid, value in (("a", nested(levels)), ("b", brackets)):
                opening = line(typ="request", rid=rid, prc="echo", prm=0)
                peer.send_bytes(opening.replace(b'"prm":0', b'"prm":' + value))
                answers.append(await peer.read())
            first, second = answers
            if levels > 5:
                assert first == refused("a", "EK08", "Invalid protocol message")
            else:
                assert first["typ"] == "result"
            assert second["typ"] == "result"
            assert await peer.settle() == []


async def test_limit_depth_applies_to_client(socket_path: Path) -> None:
    echo = enkaku.Request[None, object]("void", result=object)
    async with facing(socket_path, limits=enkaku.Limits(depth=3)) as (connection, peer):
        asking = asyncio.create_task(connection.request(echo, None))
        rid = (await peer.read())["rid"]
        reply = line(typ="result", rid=rid, val=0).replace(b'"val":0', b'"val":' + nested(30))
        peer.send_bytes(reply)
        with pytest.raises(enkaku.InvalidMessage, match="3 levels"):
            await asking


async def test_limit_buffered_bounds_unread_items_of_all_calls(socket_path: Path) -> None:
    seen, life = Recorder(), Lifetime()
    limits = enkaku.Limits(window=1_000_000, inbox_limit=2_000_000, buffered=100_000, stall=0.05)
    async with enkaku.serve_unix(
        Serving(fill=life.forever), socket_path, limits=limits, observers=[seen]
    ):
        async with raw_client(socket_path) as peer:
            for rid in ("a", "b"):
                peer.send(typ="channel", rid=rid, prc="fill", prm=1)
            for _ in range(60):
                for rid in ("a", "b"):
                    peer.send(typ="send", prc="fill", rid=rid, val="x" * 1000)
            first = await peer.read()
            assert (first["typ"], first["code"]) == ("error", "EKP02")
            await until(lambda: len(seen.overloads) == 1)
            assert "all calls" in seen.overloads[0]
            assert await peer.settle() == []


async def test_limit_handlers_open_channel_leaves_requests_free(connect: Connect) -> None:
    limits = enkaku.Limits(handlers=1)

    async def talk(number: int, channel: enkaku.ServerChannel[int, int]) -> int:
        async for item in channel:
            await channel.send(item)
        return number

    async def echo(text: str) -> str:
        return text

    async with connect(Serving(talk=talk, echo=echo), limits=limits) as connection:
        async with connection.channel(TALK, 1) as channel:
            for item in range(10):
                await channel.send(item)
                assert await anext(channel) == item
                assert await connection.request(ECHO, "x") == "x"
            assert await channel.close() == 1


@WITH_EACH_TASK_FACTORY
async def test_limit_backlog_small_answers_all_requests(connect: Connect, factory: Any) -> None:
    asyncio.get_running_loop().set_task_factory(factory)
    text = "x" * 5000

    async def echo(text: str) -> str:
        return text

    limits = enkaku.Limits(backlog=10)
    async with connect(Serving(echo=echo), limits=limits) as connection:
        for _ in range(5):
            asking = [connection.request(ECHO, text, timeout=WITHIN) for _ in range(10)]
            assert await asyncio.gather(*asking) == [text] * 10


async def test_limit_handlers_disconnect_after_queued_events_is_seen(
    socket_path: Path,
) -> None:
    telling = Lifetime()
    limits = enkaku.Limits(handlers=1, stall=0.1, request_time=0.2)
    async with enkaku.serve_unix(
        Serving(tell=telling.forever), socket_path, limits=limits
    ) as server:
        async with raw_client(socket_path) as peer:
            peer.send_bytes(EVENT * 100)
            await soon(telling.began)
        await soon(telling.cancelled)
        await until(lambda: not server.connections)
    assert telling.ended_count == telling.began_count


async def test_limit_values_bounds_small_messages(socket_path: Path) -> None:
    limits = enkaku.Limits(values=60)
    async with (
        enkaku.serve_unix(Serving(), socket_path, limits=limits),
        raw_client(socket_path) as peer,
    ):
        peer.send(typ="request", rid="a", prc="ask", prm=[1] * 100)
        assert await peer.read() == refused("a", "EK06", "Message has too many values")
