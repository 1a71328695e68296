"""What a client makes of a server's credits, whatever comes first."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import enkaku
import pytest
from support import FILL, POUR, WITHIN, Connect, Lifetime, Serving, collect, facing, turns

_ITEM = "x" * 60_000


async def test_a_channel_that_is_refused_says_nothing_about_credits(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        async with connection.channel(FILL, 1) as refused:
            opening = await peer.read()
            peer.send(typ="error", rid=opening["rid"], code="EK03", data={}, msg="Too many")
            with pytest.raises(enkaku.CallError):
                await refused.result()
        async with connection.channel(FILL, 1) as channel:
            sending = asyncio.create_task(_send_on(channel, 20))
            while (payload := await peer.read())["typ"] in {"channel", "send"}:
                pass
            assert payload["typ"] == "request"  # it asks whether this server counts
            assert channel.call.items_sent <= 2
            channel.abort()
            with pytest.raises(enkaku.CallClosed):
                await sending


async def test_a_large_item_is_not_kept_waiting_by_small_ones(connect: Connect) -> None:
    async def pour(count: int, stream: enkaku.ServerStream[str]) -> int:
        await _send_beside_small_ones(stream.send, count)
        return count

    async def fill(_: int, channel: enkaku.ServerChannel[str, str]) -> int:
        return len([item async for item in channel if item == _ITEM])

    limits = enkaku.Limits(window=64 * 1024)
    async with connect(Serving(pour=pour, fill=fill), limits=limits) as connection:
        async with connection.stream(POUR, 5) as stream:
            assert len([item async for item in stream if item == _ITEM]) == 5
        async with connection.channel(FILL, 1) as channel:
            await _send_beside_small_ones(channel.send, 5)
            assert await channel.close() == 5


async def test_many_senders_of_one_call_all_end_with_it(connect: Connect) -> None:
    ends: list[object] = []

    async def pour(_: int, stream: enkaku.ServerStream[str]) -> int:
        ends.extend(await collect(_send_for_ever(stream.send) for _ in range(50)))
        return 0

    limits = enkaku.Limits(window=64 * 1024)
    handler = Serving(pour=pour, fill=Lifetime().forever)
    async with connect(handler, limits=limits, close_timeout=0.1) as connection:
        async with connection.stream(POUR, 1) as stream:
            await anext(stream)
            assert await stream.close() == 0
        async with connection.channel(FILL, 1) as channel:
            senders = [asyncio.create_task(_send_for_ever(channel.send)) for _ in range(50)]
            await turns(100)
            with pytest.raises(enkaku.CallError):
                await channel.close()
        ends.extend(await collect(senders))
    assert len(ends) == 100
    assert all(isinstance(end, enkaku.CallClosed) for end in ends)


async def _send_for_ever(send: Callable[[str], Awaitable[None]]) -> None:
    while True:
        await send(_ITEM)


async def _send_beside_small_ones(send: Callable[[str], Awaitable[None]], count: int) -> None:
    async def send_small_ones() -> None:
        while True:
            await send("small")

    small = asyncio.create_task(send_small_ones())
    try:
        await turns()  # in which all the room is taken
        async with asyncio.timeout(WITHIN):
            for _ in range(count):
                await send(_ITEM)
    finally:
        small.cancel()
        await asyncio.wait({small})


async def _send_on(channel: enkaku.ClientChannel[str, str, int], count: int) -> None:
    for _ in range(count):
        await channel.send(_ITEM)
