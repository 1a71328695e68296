"""A graceful stop: no new calls, running handlers finish or are cancelled, every caller is answered."""

import asyncio
from pathlib import Path
from typing import Any

import enkaku
import pytest
from silence.timing import SLACK, Stopwatch
from support import (
    ASK,
    ON_ASYNCIO,
    TALK,
    VOID,
    WATCH,
    WITHIN,
    Lifetime,
    Serving,
    collect,
    line,
    raw_client,
    soon,
    tcp_port,
    turns,
    until,
)
from watching import Recorder

STOPPING = {"code": "EKP01", "data": {}, "msg": "The server is stopping"}


async def test_stop_lets_running_handlers_finish(socket_path: Path) -> None:
    gate, life = asyncio.Event(), Lifetime()

    async def ask(number: int) -> int:
        with life:
            await gate.wait()
        return number

    async with enkaku.serve_unix(Serving(ask=ask), socket_path) as server:
        async with enkaku.connect_unix(socket_path) as connection:
            asking = asyncio.create_task(connection.request(ASK, 4))
            await soon(life.began)
            stopping = asyncio.create_task(server.stop())
            await turns()
            assert not stopping.done()
            gate.set()
            assert await asking == 4
            await asyncio.wait_for(stopping, WITHIN)


async def test_stop_closes_streams_and_channels(socket_path: Path) -> None:
    lives = [Lifetime(), Lifetime()]

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        async with stream.until_closed():
            await lives[0].forever()
        return number

    async def talk(_: int, channel: enkaku.ServerChannel[int, int]) -> int:
        with lives[1]:
            return sum([item async for item in channel])

    async with enkaku.serve_unix(Serving(watch=watch, talk=talk), socket_path) as server:
        async with enkaku.connect_unix(socket_path) as connection:
            async with (
                connection.stream(WATCH, 5) as stream,
                connection.channel(TALK, 0) as channel,
            ):
                await channel.send(6)
                await soon(*(life.began for life in lives))
                await connection.request(VOID, None)
                async with asyncio.timeout(WITHIN):
                    await server.stop()
                assert await stream.result() == 5
                assert await channel.result() == 6


async def test_stop_cancels_handlers_after_grace_and_answers_callers(socket_path: Path) -> None:
    lives = {name: Lifetime() for name in ("ask", "watch", "talk")}
    handler = Serving(**{name: life.forever for name, life in lives.items()})
    async with enkaku.serve_unix(handler, socket_path) as server, raw_client(socket_path) as peer:
        peer.send(typ="request", rid="a", prc="ask", prm=1)
        peer.send(typ="stream", rid="b", prc="watch", prm=1)
        peer.send(typ="channel", rid="c", prc="talk", prm=1)
        await soon(*(life.began for life in lives.values()))
        stopping = asyncio.create_task(server.stop(grace=0.02))
        answers = await peer.read_all()
        peer.writer.close()
        await asyncio.wait_for(stopping, WITHIN)
    await soon(*(life.cancelled for life in lives.values()))
    assert sorted(answers, key=lambda answer: answer["rid"]) == [
        {"typ": "error", "rid": rid, **STOPPING} for rid in ("a", "b", "c")
    ]


async def test_stop_answers_call_whose_handler_has_not_started(socket_path: Path) -> None:
    life = Lifetime()
    async with enkaku.serve_unix(Serving(ask=life.forever), socket_path) as server:
        async with raw_client(socket_path) as peer:
            await peer.settle()
            peer.send(typ="request", rid="a", prc="ask", prm=1)
            await asyncio.sleep(0)
            stopping = asyncio.create_task(server.stop(grace=0))
            answers = await peer.read_all()
            peer.writer.close()
            await stopping
            assert answers in ([], [{"typ": "error", "rid": "a", **STOPPING}])
            assert life.began_count == life.ended_count


async def test_stop_rejects_new_calls_not_events(socket_path: Path) -> None:
    gate, life = asyncio.Event(), Lifetime()

    async def ask(number: int) -> int:
        with life:
            await gate.wait()
        return number

    heard: list[int] = []

    async def tell(number: int) -> None:
        heard.append(number)

    async with enkaku.serve_unix(Serving(ask=ask, tell=tell), socket_path) as server:
        async with raw_client(socket_path) as peer:
            peer.send(typ="request", rid="a", prc="ask", prm=1)
            await soon(life.began)
            stopping = asyncio.create_task(server.stop())
            await turns()
            peer.send(typ="event", prc="tell", data=1)
            peer.send(typ="request", rid="b", prc="ask", prm=1)
            assert await peer.read() == {"typ": "error", "rid": "b", **STOPPING}
            with pytest.raises(enkaku.ConnectFailed):
                async with enkaku.connect_unix(socket_path):
                    pass
            gate.set()
            assert await peer.read() == {"typ": "result", "rid": "a", "val": 1}
            peer.writer.close()
            await asyncio.wait_for(stopping, WITHIN)
    assert heard == [1]
    assert life.began_count == 1


async def test_stop_ignores_messages_after_last_reply(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        async with raw_client(socket_path) as peer:
            await peer.settle()
            stopping = asyncio.create_task(server.stop())
            assert await peer.read_all() == []
            for _ in range(20):
                peer.send(typ="request", rid="a", prc="void")
                peer.send_bytes(b'{"payload":{"typ":"request","rid":"b"}}\n')
                await turns(5)
            peer.writer.close()
            await asyncio.wait_for(stopping, WITHIN)


@ON_ASYNCIO  # whose streams are the client here: uvloop's lose the end of what TLS has sent them
@pytest.mark.parametrize("secure", [False, True])
async def test_stop_flushes_replies_before_socket_closes(
    server_tls: Any, client_tls: Any, secure: bool
) -> None:
    """Also when bytes of the client have not been read: closing then would reset the connection."""
    gate, life = asyncio.Event(), Lifetime()

    async def echo(text: str) -> str:
        with life:
            await gate.wait()
        return text * 3_000_000

    server_side, client_side = (server_tls, client_tls) if secure else (None, None)
    async with enkaku.serve_tcp(Serving(echo=echo), ssl=server_side) as server:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", tcp_port(server), limit=1024, ssl=client_side
        )
        writer.write(line(typ="request", rid="a", prc="echo", prm="x"))
        await soon(life.began)
        stopping = asyncio.create_task(server.stop())
        await turns()
        gate.set()
        if not secure:  # asyncio drops what TLS has not sent yet, if the peer goes on sending
            for _ in range(200):
                writer.write(line(typ="event", prc="nobody", data="y" * 10_000))
                await asyncio.sleep(0)
        async with asyncio.timeout(WITHIN):
            answer = await reader.read()
        assert len(answer) > 3_000_000
        assert answer.endswith(b"\n")
        writer.close()
        await asyncio.wait_for(stopping, WITHIN)


async def test_stop_twice_or_concurrently_is_harmless(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        async with enkaku.connect_unix(socket_path) as connection:
            await connection.request(VOID, None)
            stops = [asyncio.create_task(server.stop()) for _ in range(3)]
            assert await collect(stops) == [None] * 3
            await server.stop()
            with pytest.raises(enkaku.ConnectionLost):
                await connection.request(VOID, None)


async def test_stop_cancelled_ends_at_once(socket_path: Path) -> None:
    life = Lifetime()
    async with enkaku.serve_unix(Serving(ask=life.forever), socket_path) as server:
        async with enkaku.connect_unix(socket_path) as connection:
            asking = asyncio.create_task(connection.request(ASK, 1))
            await soon(life.began)
            other = asyncio.create_task(server.stop(grace=1000))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await server.stop(grace=1000)
            await soon(life.cancelled)
            async with asyncio.timeout(WITHIN):
                with pytest.raises((enkaku.ConnectionLost, enkaku.CallError)):
                    await asking
                await other


async def test_serve_block_exception_does_not_wait_for_handlers(
    socket_path: Path,
) -> None:
    life = Lifetime()
    async with asyncio.timeout(WITHIN):
        with pytest.raises(KeyError):
            async with enkaku.serve_unix(Serving(ask=life.forever), socket_path):
                async with raw_client(socket_path) as peer:
                    peer.send(typ="request", rid="a", prc="ask", prm=1)
                    await soon(life.began)
                    raise KeyError
    assert life.cancelled.is_set()
    assert not socket_path.exists()


async def test_stop_without_connections_is_immediate(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        async with asyncio.timeout(WITHIN):
            await server.stop(grace=1000)


async def test_stop_ends_idle_connection_at_once(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        async with enkaku.connect_unix(socket_path) as connection:
            await connection.request(VOID, None)
            async with asyncio.timeout(1):
                await server.stop(grace=1000)
            await until(lambda: not connection.is_open)


async def test_stop_drops_connection_opened_meanwhile(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        reader, writer = await asyncio.open_unix_connection(socket_path)
        async with asyncio.timeout(WITHIN):
            stopping = asyncio.create_task(server.stop())
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
            await stopping


async def test_stop_from_own_handler_raises_usage_error(
    socket_path: Path,
) -> None:
    servers: list[enkaku.Server] = []
    problems: list[str] = []
    stopping: list[asyncio.Task[None]] = []

    async def ask(number: int) -> int:
        try:
            await servers[0].stop()
        except enkaku.UsageError as error:
            problems.append(str(error))
        stopping.append(asyncio.create_task(servers[0].stop()))
        return number

    async with enkaku.serve_unix(Serving(ask=ask), socket_path) as server:
        servers.append(server)
        async with enkaku.connect_unix(socket_path) as connection:
            assert await connection.request(ASK, 3) == 3
            async with asyncio.timeout(WITHIN):
                await stopping[0]
    assert "start a task" in problems[0]


async def test_serve_forever_ends_with_stop(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        serving = asyncio.create_task(server.serve_forever())
        await turns()
        await server.stop()
        await asyncio.wait_for(serving, WITHIN)


async def test_serve_forever_can_be_cancelled(socket_path: Path) -> None:
    life = Lifetime()
    async with enkaku.serve_unix(Serving(ask=life.forever), socket_path) as server:
        serving = asyncio.create_task(server.serve_forever())
        async with enkaku.connect_unix(socket_path) as connection:
            asking = asyncio.create_task(connection.request(ASK, 1))
            await soon(life.began)
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            await server.stop(grace=0)
            with pytest.raises(enkaku.CallError, match="EKP01"):
                await asking


async def test_stop_drops_client_that_reads_nothing(socket_path: Path) -> None:
    """It reads nothing, and its call has much to send."""
    told, life = Recorder(), Lifetime()

    async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
        with life:
            while True:
                await stream.send("x" * 100_000)

    seconds = 0.2
    limits = enkaku.Limits(cleanup=seconds)
    async with enkaku.serve_unix(
        Serving(pour=pour), socket_path, limits=limits, observers=[told]
    ) as server:
        async with raw_client(socket_path, limit=1024) as raw:
            raw.stall()
            raw.send(typ="stream", rid="a", prc="pour", prm=1)
            await soon(life.began)
            await turns(100)
            watch = Stopwatch()
            await server.stop(grace=seconds)
            assert watch.passed <= 3 * seconds + SLACK
            assert server.connections == ()
            assert len(told.started) == len(told.ended) == 1


async def test_server_abort_does_not_wait_for_stuck_handler(
    socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enkaku.server.server._AT_ONCE", 0.05)
    began, release, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def ask(number: int) -> int:
        began.set()
        for _ in range(3):
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        ended.set()
        return number

    async with enkaku.serve_unix(Serving(ask=ask), socket_path) as server:
        async with raw_client(socket_path) as peer:
            peer.send(typ="request", rid="a", prc="ask", prm=1)
            await soon(began)
            stopping = asyncio.create_task(server.stop(grace=1000))
            await turns()
            server.abort()
            async with asyncio.timeout(2):
                await stopping
            assert not ended.is_set()
            release.set()
            await soon(ended)


async def test_stop_leaves_other_servers_running(
    socket_path: Path,
) -> None:
    other_path = socket_path.with_name("t")
    async with enkaku.serve_unix(Serving(), socket_path) as first:
        async with enkaku.serve_unix(Serving(), other_path):
            async with enkaku.connect_unix(other_path) as connection:
                await first.stop()
                await connection.request(VOID, None)
