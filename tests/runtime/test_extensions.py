"""What each side shows of the extensions that it supports, and what the other side makes of it."""

import asyncio
from pathlib import Path
from typing import Any

import enkaku
import pytest
from support import (
    ASK,
    TALK,
    TELL,
    VOID,
    WATCH,
    WITHIN,
    Connect,
    Lifetime,
    Serving,
    facing,
    line,
    raw_client,
    raw_server,
    soon,
    turns,
    until,
)

EXT = ["credit", "leaving"]
HEADER = {"typ": "JWT", "alg": "none"}
SHOWN = {**HEADER, "ext": EXT}


async def test_first_message_of_client_shows_extensions(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        await connection.event(TELL, 1)
        asking = asyncio.create_task(connection.request(VOID, None))
        assert (await peer.read_line())["header"] == SHOWN
        assert "ext" not in (await peer.read_line())["header"]
        asking.cancel()


async def test_first_request_of_client_shows_extensions(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(VOID, None))
        opening = await peer.read_line()
        assert opening["header"]["ext"] == EXT
        peer.send(typ="result", rid=opening["payload"]["rid"])
        await asking


async def test_server_answers_extensions_in_kind_once(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path), raw_client(socket_path) as peer:
        for rid in "ab":
            peer.send_line(SHOWN, {"typ": "request", "rid": rid, "prc": "void"})
        first = await peer.read_line()
        assert first == {"header": SHOWN, "payload": {"typ": "credit", "rid": "", "n": 0}}
        assert await peer.read() == {"typ": "result", "rid": "a"}
        assert await peer.read() == {"typ": "result", "rid": "b"}


@pytest.mark.parametrize("ext", [None, 1, "credit", [1], {"credit": True}, [["x"] * 50], ["later"]])
async def test_extensions_that_are_unknown_are_ignored(socket_path: Path, ext: object) -> None:
    async with enkaku.serve_unix(Serving(), socket_path), raw_client(socket_path) as peer:
        peer.send_line({**HEADER, "ext": ext}, {"typ": "request", "rid": "a", "prc": "void"})
        messages = [await peer.read(), await peer.read()]
        assert messages[1] == {"typ": "result", "rid": "a"}
        assert await peer.settle() == []


async def test_client_without_extensions_gets_none(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path), raw_client(socket_path) as peer:
        peer.send(typ="request", rid="a", prc="void")
        assert await peer.read_line() == {
            "header": HEADER,
            "payload": {"typ": "result", "rid": "a"},
        }


async def test_silence_ends_connection_with_requests_alone(socket_path: Path) -> None:
    limits = enkaku.Limits(silence=0.05)
    async with facing(socket_path, limits=limits) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK, 1, timeout=None))
        await peer.read()
        peer.send_line(SHOWN, {"typ": "credit", "rid": "", "n": 0})
        with pytest.raises(enkaku.ConnectionLost, match="nothing"):
            async with asyncio.timeout(WITHIN):
                await asking


async def test_silence_of_server_without_extensions_proves_nothing(socket_path: Path) -> None:
    limits = enkaku.Limits(silence=0.01)
    async with facing(socket_path, limits=limits) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK, 1, timeout=None))
        rid = (await peer.read())["rid"]
        await asyncio.wait({asking}, timeout=0.2)
        peer.send(typ="result", rid=rid, val=5)
        assert await asking == 5


async def test_opened_returns_when_server_accepts(connect_anyhow: Connect) -> None:
    life = Lifetime()
    async with connect_anyhow(Serving(watch=life.forever, talk=life.forever)) as connection:
        async with asyncio.timeout(WITHIN):
            async with connection.stream(WATCH, 1) as stream:
                await stream.opened()
                await stream.opened()
            async with connection.channel(TALK, 1) as channel:
                await channel.opened()


async def test_opened_raises_when_call_is_rejected(connect: Connect) -> None:
    async with connect(Serving()) as connection, connection.stream(WATCH, 1) as stream:
        with pytest.raises(enkaku.CallError, match="EK08"):
            await stream.opened()


async def test_opened_returns_at_first_item_of_other_server(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        async with connection.stream(WATCH, 1) as stream:
            rid = (await peer.read())["rid"]
            opening = asyncio.create_task(stream.opened(within=WITHIN))
            await peer.read()  # the ping, which this server does not answer
            peer.send(typ="receive", rid=rid, val=1)
            await opening
            assert await anext(stream) == 1


@pytest.mark.parametrize("answers", [True, False])
async def test_opened_raises_where_server_does_not_show_it(
    socket_path: Path, answers: bool
) -> None:
    async with facing(socket_path) as (connection, peer):
        async with connection.stream(WATCH, 1) as stream:
            await peer.read()
            opening = asyncio.create_task(stream.opened(within=WITHIN if answers else 0.05))
            ping = await peer.read()
            if answers:
                peer.send(typ="error", rid=ping["rid"], code="EK08", msg="", data={})
            with pytest.raises(enkaku.NotSupported, match="watch"):
                await opening


async def test_stop_delivers_items_that_were_sent_before(socket_path: Path) -> None:
    received: list[int] = []
    calls: list[enkaku.ServerCall] = []

    async def talk(number: int, channel: enkaku.ServerChannel[int, int]) -> int:
        calls.append(channel.call)
        async for item in channel:
            received.append(item)
            await asyncio.sleep(0)
        return len(received)

    async with enkaku.serve_unix(Serving(talk=talk), socket_path) as server:
        async with (
            enkaku.connect_unix(socket_path) as connection,
            connection.channel(TALK, 1) as channel,
        ):
            await channel.opened()
            sent = 0
            stopping = asyncio.create_task(server.stop())
            with pytest.raises(enkaku.CallClosed, match="stopping"):
                while True:
                    await channel.send(sent)
                    sent += 1
            assert await channel.result() == sent
            await stopping
    assert received == list(range(sent))
    assert calls[0].stopping


async def test_leaving_is_sent_only_to_client_that_shows_it(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        async with raw_client(socket_path) as knows, raw_client(socket_path) as other:
            knows.send_line(SHOWN, {"typ": "request", "rid": "a", "prc": "void"})
            other.send(typ="request", rid="a", prc="void")
            assert (await knows.read())["typ"] == "credit"
            assert (await knows.read())["typ"] == (await other.read())["typ"] == "result"
            stopping = asyncio.create_task(server.stop())
            assert await knows.read_all() == [{"typ": "leaving"}]
            assert await other.read_all() == []
        await stopping


async def test_events_during_stop_are_handled(socket_path: Path) -> None:
    heard: list[int] = []
    life, release = Lifetime(), asyncio.Event()

    async def tell(number: int) -> None:
        heard.append(number)

    async def ask(number: int) -> int:
        with life:
            await release.wait()
        return number

    async with enkaku.serve_unix(Serving(tell=tell, ask=ask), socket_path) as server:
        async with enkaku.connect_unix(socket_path) as connection:
            asking = asyncio.create_task(connection.request(ASK, 1))
            await soon(life.began)
            stopping = asyncio.create_task(server.stop())
            await turns()
            await connection.event(TELL, 5)
            await until(lambda: heard == [5])
            release.set()
            assert await asking == 1
            await stopping


async def test_client_of_two_servers_introduces_itself_to_each(socket_path: Path) -> None:
    reconnect = enkaku.Reconnect(first=0.01)
    async with raw_server(socket_path) as server:
        async with enkaku.connect_unix(socket_path, reconnect=reconnect) as connection:
            for number in range(2):
                peer = await server.accept()
                asking: asyncio.Task[Any] = asyncio.create_task(connection.request(VOID, None))
                opening = await peer.read_line()
                assert opening["header"]["ext"] == EXT
                peer.send(typ="result", rid=opening["payload"]["rid"])
                await asking
                assert connection.is_open
                peer.writer.transport.abort()
                await until(lambda number=number: connection.state == "connecting" or number == 1)


BOM = b"\xef\xbb\xbf"


async def test_byte_order_mark_is_ignored_before_first_message_only(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path), raw_client(socket_path) as peer:
        for rid in "ab":
            peer.send_bytes(BOM + line(typ="request", rid=rid, prc="void"))
        replies = {reply["rid"]: reply for reply in (await peer.read(), await peer.read())}
        assert replies["a"] == {"typ": "result", "rid": "a"}
        assert replies["b"]["code"] == "EK08"
        assert await peer.settle() == []


async def test_byte_order_mark_before_first_reply_is_ignored(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(VOID, None))
        rid = (await peer.read())["rid"]
        peer.send_bytes(BOM + line(typ="result", rid=rid))
        await asking
