"""Items in both directions, then one result from the server."""

import asyncio
from typing import Any

import enkaku
import pytest
from support import (
    FILL,
    HUM,
    TALK,
    WITHIN,
    Connect,
    Lifetime,
    OutOfStock,
    Serving,
    Shortage,
    facing,
    line,
    raw_client,
    soon,
    turns,
)

Channel = enkaku.ServerChannel[int, int]


async def echo_all(_: int, channel: Channel) -> int:
    count = 0
    async for item in channel:
        await channel.send(item)
        count += 1
    return count


async def sum_up(_: int, channel: Channel) -> int:
    total = 0
    async for item in channel:
        total += item
    return total


async def test_channel_items_arrive_in_order_both_ways(connect_anyhow: Connect) -> None:
    async with connect_anyhow(Serving(talk=echo_all)) as connection:
        async with connection.channel(TALK, 0) as channel:
            for item in range(10):
                await channel.send(item)
            assert [await anext(channel) for _ in range(10)] == list(range(10))
            await channel.send(99)
            assert await anext(channel) == 99
            assert await channel.close() == 11


async def test_channel_items_sent_before_close_reach_handler(connect: Connect) -> None:
    async with connect(Serving(talk=sum_up)) as connection:
        async with connection.channel(TALK, 0) as channel:
            for _ in range(1000):
                await channel.send(1)
            async with asyncio.timeout(WITHIN):
                assert await channel.close() == 1000


async def test_channel_handler_return_ends_call(connect: Connect) -> None:
    async def talk(number: int, channel: Channel) -> int:
        await channel.send(number)
        return await anext(aiter(channel))

    async with connect(Serving(talk=talk)) as connection:
        async with connection.channel(TALK, 7) as channel:
            assert await anext(channel) == 7
            await channel.send(8)
            assert [item async for item in channel] == []
            assert await channel.result() == 8
            with pytest.raises(enkaku.CallClosed):
                await channel.send(9)


async def test_channel_without_param_and_result(connect: Connect) -> None:
    async def hum(channel: Channel) -> None:
        async for item in channel:
            await channel.send(-item)

    async with connect(Serving(hum=hum)) as connection:
        async with connection.channel(HUM, None) as channel:
            await channel.send(4)
            assert await anext(channel) == -4
            assert await channel.close() is None


async def test_channel_invalid_item_is_not_sent(connect: Connect) -> None:
    async with connect(Serving(talk=echo_all)) as connection:
        async with connection.channel(TALK, 0) as channel:
            with pytest.raises(enkaku.EncodeError, match="talk send"):
                await channel.send("one")  # type: ignore[arg-type] # on purpose
            await channel.send(1)
            assert await anext(channel) == 1


async def test_channel_send_after_close_raises_call_closed(connect: Connect) -> None:
    gate = asyncio.Event()

    async def talk(number: int, channel: Channel) -> int:
        async for _ in channel:
            pass
        await gate.wait()
        return number

    async with connect(Serving(talk=talk)) as connection:
        async with connection.channel(TALK, 1) as channel:
            closing = asyncio.create_task(channel.close())
            await turns()
            with pytest.raises(enkaku.CallClosed):
                await channel.send(1)
            gate.set()
            assert await closing == 1


async def test_channel_items_after_close_are_ignored(socket_path: Any) -> None:
    seen: list[int] = []
    ending = asyncio.Event()

    async def talk(number: int, channel: Channel) -> int:
        seen.extend([item async for item in channel])
        await ending.wait()
        return number

    async with enkaku.serve_unix(Serving(talk=talk), socket_path), raw_client(socket_path) as peer:
        peer.send(typ="channel", rid="a", prc="talk", prm=5)
        peer.send(typ="send", prc="talk", rid="a", val=1)
        peer.send(typ="abort", rid="a", rsn="Close")
        peer.send(typ="send", prc="talk", rid="a", val=2)
        assert await peer.settle() == []
        ending.set()
        assert await peer.read() == {"typ": "result", "rid": "a", "val": 5}
        peer.send(typ="send", prc="talk", rid="a", val=3)
        assert await peer.settle() == []
    assert seen == [1]


async def test_channel_invalid_item_is_answered_and_handler_continues(socket_path: Any) -> None:
    async with enkaku.serve_unix(Serving(talk=echo_all), socket_path):
        async with raw_client(socket_path) as peer:
            peer.send(typ="channel", rid="a", prc="talk", prm=5)
            peer.send(typ="send", prc="talk", rid="a", val="no")
            peer.send(typ="send", prc="talk", rid="a", val=2)
            refused = {
                "typ": "error",
                "rid": "a",
                "code": "EK08",
                "data": {},
                "msg": "Invalid protocol message",
            }
            assert await peer.settle() == [refused, {"typ": "receive", "rid": "a", "val": 2}]
            peer.send(typ="abort", rid="a", rsn="Close")
            assert await peer.read() == {"typ": "result", "rid": "a", "val": 1}


async def test_channel_invalid_item_ends_call_and_cancels_handler(
    connect: Connect,
) -> None:
    life = Lifetime()
    loose = enkaku.Channel[int, str, int, int]("talk", param=int, send=str, receive=int, result=int)
    async with connect(Serving(talk=life.forever)) as connection:
        async with connection.channel(loose, 1) as channel:
            await channel.send("no number")
            async with asyncio.timeout(WITHIN):
                with pytest.raises(enkaku.CallError, match="EK08"):
                    await channel.result()
            await soon(life.cancelled)


async def test_channel_item_without_prc_is_accepted(socket_path: Any) -> None:
    async with enkaku.serve_unix(Serving(talk=echo_all), socket_path):
        async with raw_client(socket_path) as peer:
            peer.send(typ="channel", rid="a", prc="talk", prm=5)
            peer.send(typ="send", rid="a", val=2)
            assert await peer.settle() == [{"typ": "receive", "rid": "a", "val": 2}]


async def test_channel_messages_right_after_opening_find_call(socket_path: Any) -> None:
    async with (
        enkaku.serve_unix(Serving(talk=sum_up), socket_path),
        raw_client(socket_path) as peer,
    ):
        peer.send_bytes(
            line(typ="channel", rid="a", prc="talk", prm=0)
            + line(typ="send", prc="talk", rid="a", val=20)
            + line(typ="send", prc="talk", rid="a", val=22)
            + line(typ="abort", rid="a", rsn="Close")
        )
        assert await peer.read() == {"typ": "result", "rid": "a", "val": 42}


async def test_channel_abort_right_after_opening_leaves_nothing(socket_path: Any) -> None:
    life = Lifetime()
    async with enkaku.serve_unix(Serving(talk=life.forever), socket_path):
        async with raw_client(socket_path) as peer:
            peer.send_bytes(
                line(typ="channel", rid="a", prc="talk", prm=0) + line(typ="abort", rid="a")
            )
            assert await peer.settle() == []
            assert life.began_count == life.ended_count
            peer.send(typ="channel", rid="a", prc="talk", prm=0)
            await soon(life.began)


async def test_channel_handler_second_reader_is_rejected(connect: Connect) -> None:
    outcomes: list[object] = []
    refused = asyncio.Event()

    async def talk(number: int, channel: Channel) -> int:
        first = asyncio.ensure_future(anext(aiter(channel)))
        await turns()
        try:
            await anext(aiter(channel))
        except enkaku.UsageError as error:
            outcomes.append(error)
        refused.set()
        outcomes.append(await first)
        return number

    async with connect(Serving(talk=talk)) as connection:
        async with connection.channel(TALK, 1) as channel:
            await soon(refused)
            await channel.send(5)
            assert await channel.result() == 1
    assert isinstance(outcomes[0], enkaku.UsageError)
    assert outcomes[1] == 5


async def test_channel_two_tasks_may_send_concurrently(connect: Connect) -> None:
    async with connect(Serving(talk=echo_all)) as connection:
        async with connection.channel(TALK, 0) as channel:

            async def send_all(start: int) -> None:
                for item in range(start, 400, 2):
                    await channel.send(item)

            await asyncio.gather(send_all(0), send_all(1))
            got = [await anext(channel) for _ in range(400)]
            assert await channel.close() == 400
    assert [item for item in got if item % 2 == 0] == list(range(0, 400, 2))
    assert sorted(got) == list(range(400))


async def test_channel_item_names_its_procedure(socket_path: Any) -> None:
    async with facing(socket_path) as (connection, peer):
        async with connection.channel(TALK, 1) as channel:
            rid = (await peer.read())["rid"]
            await channel.send(3)
            assert await peer.read() == {"typ": "send", "prc": "talk", "rid": rid, "val": 3}


async def test_send_after_declared_error_raises_that_error(connect: Connect) -> None:
    async def talk(number: int, channel: enkaku.ServerChannel[int, int]) -> int:
        raise OutOfStock("none left", Shortage(missing=number))

    async with connect(Serving(talk=talk)) as connection, connection.channel(TALK, 3) as channel:
        with pytest.raises(OutOfStock) as caught:
            while True:
                await channel.send(1)
        assert caught.value.data == Shortage(missing=3)


async def test_send_after_oversized_item_raises_its_error(connect: Connect) -> None:
    life = Lifetime()

    async def fill(number: int, channel: enkaku.ServerChannel[str, str]) -> int:
        with life:
            async for _ in channel:
                pass
        return number

    limits = enkaku.Limits(message_size=10_000)
    async with connect(Serving(fill=fill), limits=limits) as connection:
        async with connection.channel(FILL, 1) as channel:
            with pytest.raises(enkaku.CallError, match="EK06"):
                while True:
                    await channel.send("x" * 20_000)
            await soon(life.cancelled)
