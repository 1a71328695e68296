"""What becomes of calls when their connection ends, on whichever side."""

import asyncio
from pathlib import Path
from typing import Any

import enkaku
import pytest
from support import (
    ASK,
    ECHO,
    FILL,
    POUR,
    TALK,
    TELL,
    VOID,
    WATCH,
    WITHIN,
    Connect,
    Lifetime,
    Serving,
    collect,
    facing,
    line,
    open_sockets,
    raw_client,
    raw_server,
    soon,
    turns,
    until,
)


async def test_disconnect_cancels_handlers_of_calls_not_of_events(socket_path: Path) -> None:
    lives = {name: Lifetime() for name in ("ask", "watch", "talk", "tell")}
    handler = Serving(**{name: life.forever for name, life in lives.items()})
    async with enkaku.serve_unix(handler, socket_path) as server:
        async with raw_client(socket_path) as peer:
            peer.send(typ="request", rid="a", prc="ask", prm=1)
            peer.send(typ="stream", rid="b", prc="watch", prm=1)
            peer.send(typ="channel", rid="c", prc="talk", prm=1)
            peer.send(typ="event", prc="tell", data=1)
            await soon(*(life.began for life in lives.values()))
        told = lives.pop("tell")
        await soon(*(life.cancelled for life in lives.values()))
        assert not told.ended.is_set()
        await server.stop(grace=0)
    assert told.cancelled.is_set()  # by the stop


@pytest.mark.parametrize("how", ["end", "half", "reset"])
async def test_disconnect_of_each_kind_cancels_handler(socket_path: Path, how: str) -> None:
    life = Lifetime()
    async with enkaku.serve_unix(Serving(ask=life.forever), socket_path):
        async with raw_client(socket_path) as peer:
            peer.send(typ="request", rid="a", prc="ask", prm=1)
            await soon(life.began)
            match how:
                case "end":
                    peer.writer.close()
                case "half":
                    peer.writer.write_eof()
                case _:
                    peer.writer.transport.abort()
            await soon(life.cancelled)


async def test_disconnect_cancels_handler_waiting_for_items(socket_path: Path) -> None:
    life = Lifetime()

    async def talk(_: int, channel: enkaku.ServerChannel[int, int]) -> int:
        with life:
            async for _ in channel:
                pass
            await asyncio.sleep(0)
        return 1

    async with enkaku.serve_unix(Serving(talk=talk), socket_path):
        async with raw_client(socket_path) as peer:
            peer.send(typ="channel", rid="a", prc="talk", prm=1)
            await soon(life.began)
        await soon(life.cancelled)


async def test_disconnect_cancels_handler_asked_to_close(
    socket_path: Path,
) -> None:
    life = Lifetime()
    async with enkaku.serve_unix(Serving(watch=life.forever), socket_path):
        async with raw_client(socket_path) as peer:
            peer.send(typ="stream", rid="a", prc="watch", prm=1)
            peer.send(typ="abort", rid="a", rsn="Close")
            await soon(life.began)
        await soon(life.cancelled)


async def test_request_sent_before_end_of_stream_is_answered(socket_path: Path) -> None:
    async def echo(text: str) -> str:
        return text

    async with enkaku.serve_unix(Serving(echo=echo), socket_path):
        async with raw_client(socket_path) as peer:
            peer.send(typ="request", rid="a", prc="echo", prm="x" * 3_000_000)
            await until(lambda: not peer.writer.transport.get_write_buffer_size())
            answer = asyncio.create_task(peer.read())
            await answer
            assert len(answer.result()["val"]) == 3_000_000


async def test_message_without_final_newline_is_not_executed(socket_path: Path) -> None:
    life = Lifetime()
    async with enkaku.serve_unix(Serving(ask=life.forever), socket_path):
        async with raw_client(socket_path) as peer:
            peer.send_bytes(line(typ="request", rid="a", prc="ask", prm=1).rstrip())
            peer.writer.write_eof()
            assert await peer.read_all() == []
    assert not life.began.is_set()


async def test_half_closed_peer_that_never_reads_is_dropped(
    socket_path: Path,
) -> None:
    """Its answers wait in memory, and its socket stays open, only for a bounded time."""
    limits = enkaku.Limits(linger=0.2, cleanup=0.2)
    before = open_sockets()

    async def echo(text: str) -> str:
        return text

    async with enkaku.serve_unix(Serving(echo=echo), socket_path, limits=limits) as server:
        async with raw_client(socket_path, limit=1024) as peer:
            for rid in range(15):
                peer.send(typ="request", rid=str(rid), prc="echo", prm="x" * 50_000)
            await until(lambda: not peer.writer.transport.get_write_buffer_size())
            peer.writer.write_eof()
            await turns(50)
            async with asyncio.timeout(WITHIN):
                await server.stop(grace=0)
                await until(lambda: open_sockets() <= before + 1)


@pytest.mark.parametrize("how", ["end", "reset"])
async def test_connection_end_ends_every_client_call(socket_path: Path, how: str) -> None:
    async with (
        facing(socket_path) as (connection, peer),
        connection.stream(WATCH, 1) as stream,
        connection.stream(WATCH, 1) as closing,
        connection.channel(TALK, 1) as channel,
    ):
        waiting = [
            asyncio.create_task(_fails(connection.request(ASK, 1), "ask")),
            asyncio.create_task(_fails(anext(stream), "watch")),
            asyncio.create_task(_fails(stream.result(), "watch")),
            asyncio.create_task(_fails(closing.close(), "watch")),
            asyncio.create_task(_fails(channel.result(), "talk")),
        ]
        await turns()
        if how == "end":
            peer.writer.close()
        else:
            peer.writer.transport.abort()
        assert await collect(waiting) == [None] * len(waiting)
        assert not connection.is_open
        await _fails(channel.send(1), "talk")
        await _fails(connection.request(ASK, 1), "ask")
        await _fails(connection.event(TELL, 1), "tell")
        with pytest.raises(enkaku.ConnectionLost):
            async with connection.stream(WATCH, 1):
                pass


async def _fails(awaitable: Any, name: str) -> None:
    async with asyncio.timeout(WITHIN):
        with pytest.raises(enkaku.ConnectionLost, match=name):
            await awaitable


async def test_connection_loss_keeps_received_items_readable(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer), connection.stream(WATCH, 1) as stream:
        rid = (await peer.read())["rid"]
        peer.send(typ="receive", rid=rid, val=1)
        peer.send(typ="receive", rid=rid, val=2)
        peer.writer.close()
        await _fails(stream.result(), "watch")
        assert await anext(stream) == 1
        assert await anext(stream) == 2
        await _fails(anext(stream), "watch")


async def test_connection_loss_keeps_received_result(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK, 1))
        peer.send(typ="result", rid=(await peer.read())["rid"], val=5)
        peer.writer.close()
        assert await asking == 5


async def test_connection_close_ends_its_calls(connect_anyhow: Connect) -> None:
    lives = [Lifetime(), Lifetime()]

    async def ask(number: int) -> int:
        return await lives[number].forever()

    async def watch(number: int, _: enkaku.ServerStream[int]) -> int:
        return await lives[number].forever()

    async with connect_anyhow(Serving(ask=ask, watch=watch)) as connection:
        asking = asyncio.create_task(_fails(connection.request(ASK, 0), "this side closed"))
        async with connection.stream(WATCH, 1) as stream:
            await soon(*(life.began for life in lives))
            await connection.close()
            await asking
            await _fails(stream.result(), "this side closed")
        await soon(*(life.cancelled for life in lives))


async def test_connection_close_twice_or_concurrently_is_harmless(
    connect_anyhow: Connect,
) -> None:
    async with connect_anyhow(Serving()) as connection:
        closing = [asyncio.create_task(connection.close()) for _ in range(3)]
        assert await collect(closing) == [None] * 3
        await connection.close()
        with pytest.raises(enkaku.ConnectionLost):
            await connection.request(VOID, None)


async def test_connection_close_from_other_task(
    connect_anyhow: Connect,
) -> None:
    life = Lifetime()
    async with connect_anyhow(Serving(ask=life.forever)) as connection:

        async def close_later() -> None:
            await soon(life.began)
            await connection.close()

        closing = asyncio.create_task(close_later())
        await _fails(connection.request(ASK, 1), "ask")
        await closing


async def test_connection_close_with_silent_server_times_out(socket_path: Path) -> None:
    async with raw_server(socket_path) as server:
        async with enkaku.connect_unix(socket_path) as connection:
            peer = await server.accept()
            peer.stall()
            async with asyncio.timeout(WITHIN):
                await connection.close(within=0.05)
            assert not connection.is_open


async def test_connection_close_cancelled_leaves_nothing_open(socket_path: Path) -> None:
    async with raw_server(socket_path) as server:
        async with enkaku.connect_unix(socket_path) as connection:
            peer = await server.accept()
            peer.stall()
            closing = [asyncio.create_task(connection.close(within=5)) for _ in range(2)]
            await turns()
            for task in closing:
                task.cancel()
            outcomes = await collect(closing)
            assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)


async def test_connection_close_cancelled_at_timeout_is_harmless(
    socket_path: Path,
) -> None:
    async with raw_server(socket_path) as server:
        for count in range(1, 13):  # with 0, it would not have begun
            async with enkaku.connect_unix(socket_path) as connection:
                peer = await server.accept()
                peer.stall()
                closing = asyncio.create_task(connection.close(within=0))
                await turns(count)
                closing.cancel()
                await asyncio.wait([closing])


async def test_events_sent_before_close_arrive(socket_path: Path) -> None:
    heard: list[int] = []

    async def tell(number: int) -> None:
        heard.append(number)

    async with enkaku.serve_unix(Serving(tell=tell), socket_path):
        for _ in range(20):
            async with enkaku.connect_unix(socket_path) as connection:
                for number in range(20):
                    await connection.event(TELL, number)
    assert len(heard) == 400


async def test_large_event_sent_before_close_arrives(socket_path: Path) -> None:
    heard: list[int] = []
    big = enkaku.Event[str]("big", data=str)

    class Listening(enkaku.Handler):
        async def big(self, text: str) -> None:
            heard.append(len(text))

        def __routes__(self) -> tuple[enkaku.Route, ...]:
            return (enkaku.Route.event(big, self.big),)

    async with enkaku.serve_unix(Listening(), socket_path):
        async with enkaku.connect_unix(socket_path) as connection:
            sending = asyncio.create_task(connection.event(big, "x" * 9_000_000))
            await asyncio.sleep(0)
            await connection.close()
            await asyncio.wait([sending])
    assert heard == [9_000_000]


async def test_send_waiting_for_buffer_raises_connection_lost(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        peer.stall()
        async with connection.channel(FILL, 1) as channel:

            async def send_for_ever() -> None:
                while True:
                    await channel.send("x" * 100_000)

            sending = asyncio.create_task(send_for_ever())
            await asyncio.wait([sending], timeout=0.05)
            assert not sending.done()
            peer.writer.transport.abort()
            async with asyncio.timeout(WITHIN):
                with pytest.raises(enkaku.ConnectionLost):
                    await sending


async def test_handler_waiting_for_buffer_is_cancelled_on_disconnect(
    socket_path: Path,
) -> None:
    life = Lifetime()

    async def pour(_: int, stream: enkaku.ServerStream[str]) -> int:
        with life:
            while True:
                await stream.send("x" * 100_000)

    async with enkaku.serve_unix(Serving(pour=pour), socket_path):
        async with raw_client(socket_path, limit=1024) as peer:
            peer.send(typ="stream", rid="a", prc="pour", prm=1)
            await soon(life.began)
            await turns(200)
            peer.writer.transport.abort()
            await soon(life.cancelled)


async def test_connect_refused_raises_connect_failed(socket_path: Path) -> None:
    with pytest.raises(enkaku.ConnectFailed, match="is the server running"):
        async with enkaku.connect_unix(socket_path):
            pass
    socket_path.touch()
    with pytest.raises(enkaku.ConnectFailed):
        async with enkaku.connect_unix(socket_path):
            pass


@pytest.mark.parametrize("path", ["/" + "x" * 200, "a\0b", ""])
async def test_connect_unix_impossible_path_raises(path: str) -> None:
    with pytest.raises(enkaku.EnkakuError):
        async with enkaku.connect_unix(path):
            pass


async def test_requests_ended_together_by_close_do_not_warn(
    connect_anyhow: Connect,
) -> None:
    life = Lifetime()
    async with connect_anyhow(Serving(ask=life.forever, echo=_same)) as connection:
        tasks = [asyncio.create_task(connection.request(ASK, number)) for number in range(50)]
        await soon(life.began)
        assert await connection.request(ECHO, "x") == "x"
        async with connection.stream(POUR, 1) as stream:
            with pytest.raises(enkaku.CallError):
                await stream.result()
        await connection.close()
        outcomes = await collect(tasks)
    assert all(isinstance(outcome, enkaku.ConnectionLost) for outcome in outcomes)


async def _same(text: str) -> str:
    return text


async def test_connection_loss_leaves_other_connection_alone(socket_path: Path) -> None:
    async with raw_server(socket_path) as server:
        async with enkaku.connect_unix(socket_path) as old:
            old_peer = await server.accept()
            async with enkaku.connect_unix(socket_path) as new:
                new_peer = await server.accept()
                asking = asyncio.create_task(new.request(ASK, 1))
                rid = (await new_peer.read())["rid"]
                old_peer.writer.transport.abort()
                await until(lambda: not old.is_open)
                new_peer.send(typ="result", rid=rid, val=2)
                assert await asking == 2
                new_peer.writer.close()


async def test_abort_after_connection_close_does_nothing(connect_anyhow: Connect) -> None:
    async with connect_anyhow(Serving(watch=Lifetime().forever)) as connection:
        async with connection.stream(WATCH, 1) as stream:
            await connection.close()
            stream.abort("late")
            stream.abort("later")
