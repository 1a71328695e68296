"""A channel whose client has ended its side, and still receives."""

import asyncio
from pathlib import Path

import enkaku
import pytest
from support import (
    TALK,
    Connect,
    Lifetime,
    Serving,
    facing,
    raw_client,
    soon,
    until,
)


async def sum_up(number: int, channel: enkaku.ServerChannel[int, int]) -> int:
    """Answer only when everything has come, which a close would not allow."""
    items = [item async for item in channel]
    assert not channel.closed
    for item in items:
        await channel.send(item)
    return sum(items)


async def test_half_close_client_still_receives(connect: Connect) -> None:
    async with connect(Serving(talk=sum_up)) as connection:
        async with connection.channel(TALK, 0) as channel:
            for item in range(100):
                await channel.send(item)
            await channel.end()
            await channel.end()
            with pytest.raises(enkaku.CallClosed):
                await channel.send(1)
            assert [item async for item in channel] == list(range(100))
            assert await channel.result() == 4950
            await channel.end()


async def test_half_close_call_can_be_closed_and_aborted(connect: Connect) -> None:
    life = Lifetime()

    async def talk(number: int, channel: enkaku.ServerChannel[int, int]) -> int:
        async for _ in channel:
            pass
        with life:
            async with channel.until_closed():
                await asyncio.Event().wait()
        return number

    async with connect(Serving(talk=talk)) as connection:
        async with connection.channel(TALK, 7) as channel:
            await channel.end()
            await soon(life.began)
            assert await channel.close() == 7
        async with connection.channel(TALK, 7) as channel:
            await channel.end()
            await until(lambda: life.began_count == 2)
        await soon(life.cancelled)


async def test_half_close_ends_send_waiting_for_credit(connect: Connect) -> None:
    life = Lifetime()
    async with connect(Serving(talk=life.forever), limits=enkaku.Limits(window=1000)) as connection:
        async with connection.channel(TALK, 0) as channel:

            async def flood() -> None:
                while True:
                    await channel.send(1)

            flooding = asyncio.create_task(flood())
            await soon(life.began)
            await until(lambda: channel.call.items_sent > 5)
            await channel.end()
            with pytest.raises(enkaku.CallClosed):
                await flooding


async def test_half_close_unsupported_by_server_raises(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        async with connection.channel(TALK, 0) as channel:
            with pytest.raises(enkaku.NotSupported, match="talk"):
                await channel.end(within=0.05)
            await channel.send(1)
        typs = [payload["typ"] for payload in await peer.outlive(connection)]
        assert typs == ["channel", "request", "send", "abort"]


async def test_half_close_ignores_later_items_and_streams(
    socket_path: Path,
) -> None:
    life = Lifetime()
    async with enkaku.serve_unix(Serving(talk=sum_up, watch=life.forever), socket_path):
        async with raw_client(socket_path) as peer:
            peer.send(typ="channel", rid="a", prc="talk", prm=0)
            peer.send(typ="send", prc="talk", rid="a", val=1)
            peer.send(typ="end", rid="a")
            peer.send(typ="send", prc="talk", rid="a", val=2)
            assert await peer.read() == {"typ": "receive", "rid": "a", "val": 1}
            assert await peer.read() == {"typ": "result", "rid": "a", "val": 1}
            peer.send(typ="stream", rid="b", prc="watch", prm=0)
            peer.send(typ="end", rid="b")
            peer.send(typ="end", rid="nobody")
            await soon(life.began)
            assert await peer.settle() == []
            assert not life.ended.is_set()


async def test_half_close_waits_for_first_credit(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        async with connection.channel(TALK, 0) as channel:
            rid = (await peer.read())["rid"]
            ending = asyncio.create_task(channel.end())
            assert (await peer.read())["typ"] == "request"  # asks for any sign of life
            peer.send(typ="credit", rid=rid, n=1000)
            await ending
            assert await peer.read() == {"typ": "end", "rid": rid}
            peer.send(typ="result", rid=rid, val=3)
            assert await channel.result() == 3
