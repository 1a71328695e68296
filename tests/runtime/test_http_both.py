"""HTTP between this library's client and server: what the tests of every transport do not show."""

import asyncio

import enkaku
import pytest
from support import ASK, FILL, POUR, WATCH, Lifetime, Serving, soon, until

RECONNECT = enkaku.Reconnect(first=0.001, longest=0.05)


async def double(number: int) -> int:
    return 2 * number


async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
    for item in range(number):
        await stream.send(item)
    await asyncio.Event().wait()
    return number


def url(server: enkaku.Server) -> str:
    return f"http://127.0.0.1:{server.port}/"


async def test_http_stopping_server_answers_every_call() -> None:
    life = Lifetime()
    async with enkaku.serve_http(Serving(ask=life.forever, watch=watch)) as server:
        async with enkaku.connect_http(url(server)) as connection:
            asking = asyncio.create_task(connection.request(ASK, 1))
            await soon(life.began)
            async with connection.stream(WATCH, 1) as stream:
                assert await anext(stream) == 0
                await server.stop(grace=0)
                for waiting in (asking, stream.result()):
                    with pytest.raises(enkaku.CallError, match="EKP01"):
                        await waiting
            with pytest.raises((enkaku.CallError, enkaku.ConnectionLost)):
                await connection.request(ASK, 1)


async def test_http_stream_is_reopened_at_restarted_server() -> None:
    async with enkaku.serve_http(Serving(ask=double, watch=watch)) as server:
        port = server.port
        connecting = enkaku.connect_http(url(server), reconnect=RECONNECT)
        connection = await connecting.__aenter__()
        reopening = enkaku.reopening(lambda: connection.stream(WATCH, 2))
        items = await reopening.__aenter__()
        assert [await anext(items), await anext(items)] == [0, 1]
        await server.stop(grace=0)
    try:
        asking = asyncio.create_task(connection.request(ASK, 4, timeout=20))
        following = asyncio.create_task(next_item(items))
        with pytest.raises((enkaku.ConnectionLost, enkaku.CallError)):
            await asking
        async with enkaku.serve_http(Serving(ask=double, watch=watch), port=port):
            assert await connection.request(ASK, 4) == 8
            assert await following == 0
            await reopening.__aexit__(None, None, None)
            await connecting.__aexit__(None, None, None)
    finally:
        await connection.close()


async def next_item(items: enkaku.Reopening[int, int]) -> int:
    async for item in items:
        if not isinstance(item, enkaku.Gap):
            return item
    raise AssertionError("the stream has ended")


async def test_http_large_volume_in_both_directions() -> None:
    async def fill(_: int, channel: enkaku.ServerChannel[str, str]) -> int:
        count = 0
        async for item in channel:
            count += len(item)
            await channel.send(item)
        return count

    async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
        for _ in range(number):
            await stream.send("y" * 10_000)
        return number

    async with enkaku.serve_http(Serving(fill=fill, pour=pour, ask=double)) as server:
        async with enkaku.connect_http(url(server)) as connection:
            async with (
                connection.channel(FILL, 1) as channel,
                connection.stream(POUR, 300) as stream,
            ):
                sending = asyncio.create_task(send_all(channel))
                echoes = 0
                while echoes < 500:
                    assert await anext(channel) == f"{echoes:04}" + "x" * 10_000
                    echoes += 1
                    if echoes % 100 == 0:
                        assert await connection.request(ASK, echoes) == 2 * echoes
                await sending
                assert await channel.result() == 500 * 10_004
                assert len([item async for item in stream]) == 300


async def send_all(channel: enkaku.ClientChannel[str, str, int]) -> None:
    for number in range(500):
        await channel.send(f"{number:04}" + "x" * 10_000)
    await channel.end()


async def test_http_client_is_one_connection_for_all_its_streams() -> None:
    async with enkaku.serve_http(Serving(watch=watch)) as server:
        async with enkaku.connect_http(url(server)) as connection:
            async with connection.stream(WATCH, 1) as first, connection.stream(WATCH, 1) as second:
                await first.opened()
                await second.opened()
                assert len(server.connections) == 1
                assert connection.calls[0].connection.request is None
        await until(lambda: not server.connections)
