"""A client over HTTP whose server is gone, and comes back; and the end of its connection."""

import asyncio

import enkaku
import pytest
from enkaku.transports.http import client
from httpcalls import (
    ask,
    body,
    ended,
    next_request_works,
    stream_works,
    with_channel,
    with_feed,
)
from httpserver import (
    Post,
    event,
    facing_http,
    foreign,
    ours,
)
from support import ASK, TALK, TELL, WATCH, soon, turns

pytestmark = pytest.mark.usefixtures("no_pause")


# A server that is gone, and comes back


async def test_http_without_reconnect_next_call_tries_again() -> None:
    async with facing_http() as (connection, server):
        asking = ask(connection)
        await server.next()
        await server.close()
        assert isinstance(await ended(asking), enkaku.ConnectionLost)
        error = await ended(ask(connection))
        assert isinstance(error, enkaku.ConnectionLost)
        assert "ask: " in str(error)
        assert isinstance(
            await ended(asyncio.create_task(connection.event(TELL, 1))), enkaku.ConnectionLost
        )
        async with connection.stream(WATCH, 1) as stream:
            with pytest.raises(enkaku.ConnectionLost):
                await stream.result()
        assert connection.is_open
        await server.open()
        await next_request_works(connection, server)
        await stream_works(connection, server)


RECONNECT = enkaku.Reconnect(first=0.001, longest=0.01)


REPEAT = enkaku.Request[int, int]("ask", param=int, result=int, idempotent=True)


async def test_http_unsent_calls_wait_until_server_is_back() -> None:
    async with facing_http(reconnect=RECONNECT) as (connection, server):
        await next_request_works(connection, server)
        await server.close()
        await turns(50)  # the pool sees that its connection is closed
        calls = [ask(connection) for _ in range(5)]
        calls.append(asyncio.create_task(connection.request(REPEAT, 1)))
        events = [asyncio.create_task(connection.event(TELL, 1)) for _ in range(3)]
        states = connection.states()
        assert [await anext(states), await anext(states)] == ["open", "connecting"]
        late = ask(connection)
        await turns(20)
        assert not any(task.done() for task in (*calls, *events, late))
        await server.open()
        for _ in range(10):
            post = await server.next()
            if post.typ == "event":
                post.answer(204)
            else:
                post.result(3)
        assert await asyncio.gather(*calls, late, *events) == [*[3] * 7, *[None] * 3]
        await stream_works(connection, server)


async def test_http_unsent_request_waits_until_its_deadline() -> None:
    async with facing_http(reconnect=RECONNECT) as (connection, server):
        await server.close()
        await turns(50)
        with pytest.raises(enkaku.DeadlineExceeded):
            await connection.request(ASK, 1, timeout=0.05)
        assert connection.state == "connecting"


async def test_http_unsent_request_fails_when_reconnecting_does() -> None:
    once = enkaku.Reconnect(first=0.001, longest=0.001, attempts=1)
    async with facing_http(reconnect=once) as (connection, server):
        await server.close()
        await turns(50)
        with pytest.raises(enkaku.ConnectionLost, match="reconnecting failed"):
            await connection.request(ASK, 1)


async def test_http_request_that_may_have_run_is_not_repeated() -> None:
    async with facing_http(reconnect=RECONNECT) as (connection, server):
        repeating = asyncio.create_task(connection.request(REPEAT, 1))
        asking = ask(connection)
        posts = [await server.next(), await server.next()]
        await server.close()
        assert type(await ended(asking)) is enkaku.ConnectionLost
        await server.open()
        again = await server.next()
        assert again.rid not in {post.rid for post in posts}
        again.result(5)
        assert await repeating == 5


@pytest.mark.parametrize("status", [502, 503])
async def test_http_unavailable_server_is_waited_for(status: int) -> None:
    probes = [ours, body(b"", status), body(b"", status), ours]

    def probe(get: Post) -> None:
        probes.pop(0)(get)

    async with facing_http(probe, reconnect=RECONNECT) as (connection, server):
        repeating = asyncio.create_task(connection.request(REPEAT, 1))
        once = ask(connection)
        posts = [await server.next(), await server.next()]
        posts[0].answer(status)
        assert isinstance(await ended(once), enkaku.ConnectionLost)
        again = await server.next()
        again.result(4)
        assert await repeating == 4
        assert probes == []
        assert connection.state == "open"


async def test_http_idempotent_request_is_repeated_once() -> None:
    async with facing_http(reconnect=RECONNECT) as (connection, server):
        asking = asyncio.create_task(connection.request(REPEAT, 1))
        (await server.next()).reset()
        (await server.next()).result(1)
        assert await asking == 1
        asking = asyncio.create_task(connection.request(REPEAT, 1))
        for _ in range(2):
            (await server.next()).reset()
        assert isinstance(await ended(asking), enkaku.ConnectionLost)
        assert connection.state == "open"


async def test_http_hook_wraps_the_attempts_of_a_lost_request() -> None:
    attempts: list[int] = []

    async def again(call: enkaku.OutgoingCall[int], proceed: enkaku.Proceed[int]) -> int:
        try:
            return await proceed()
        except enkaku.ConnectionLost:
            attempts.append(call.attempts)
            return await proceed()

    hooks = [enkaku.hook_for(REPEAT, again)]
    async with facing_http(reconnect=RECONNECT, hooks=hooks) as (connection, server):
        asking = asyncio.create_task(connection.request(REPEAT, 1))
        for _ in range(3):
            (await server.next()).reset()
        (await server.next()).result(1)
        assert await asking == 1
    assert attempts == [2]


async def test_http_reopening_goes_on_at_next_feed() -> None:
    async with facing_http(reconnect=RECONNECT) as (connection, server):
        async with enkaku.reopening(lambda: connection.stream(WATCH, 1)) as items:
            for number in range(3):
                post = await server.next()
                post.feed(f"s{number}")
                post.chunk(event(typ="receive", rid=post.rid, val=number))
                assert await anext(items) == number
                if number < 2:
                    post.reset()
                    assert isinstance(await anext(items), enkaku.Gap)
            post.chunk(event(typ="result", rid=post.rid, val=3))
            assert [item async for item in items] == []
            assert items.result == 3


async def test_http_feed_that_ends_at_once_is_opened_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    def uniform(_: float, most: float) -> float:
        pauses.append(most)
        return 0.0

    monkeypatch.setattr(client, "_FIRST_PAUSE", 0.1)
    monkeypatch.setattr(client.random, "uniform", uniform)
    async with facing_http() as (connection, server):
        for _ in range(10):
            async with connection.stream(WATCH, 1) as stream:
                post = await server.next()
                post.feed()
                post.end()
                with pytest.raises(enkaku.ConnectionLost, match="ended the feed"):
                    await stream.result()
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


# The end


async def test_http_close_leaves_nothing_of_calls() -> None:
    async with facing_http() as (connection, server):
        tasks = [ask(connection), asyncio.create_task(connection.event(TELL, 1))]
        posts = [await server.next(), await server.next()]
        stream = connection.stream(WATCH, 1)
        await stream.__aenter__()
        posts.append(await server.next())
        posts[-1].feed()
        channel = connection.channel(TALK, 1)
        await channel.__aenter__()
        posts.append(await server.next())
        await connection.close(within=0.01)
        for task in tasks:
            assert isinstance(await ended(task), enkaku.ConnectionLost)
        with pytest.raises(enkaku.ConnectionLost):
            await stream.result()
        with pytest.raises(enkaku.ConnectionLost):
            await channel.result()
        for post in posts:
            await soon(post.lost)
        with pytest.raises(enkaku.ConnectionLost):
            await connection.request(ASK, 1)
        with pytest.raises(enkaku.ConnectionLost):
            await connection.event(TELL, 1)


async def test_http_close_sends_what_was_written() -> None:
    async with with_channel() as (connection, server, _, channel):
        await channel.send("a")
        post = await server.next()
        await channel.send("b")
        closing = asyncio.create_task(connection.close())
        await turns(20)
        post.answer(204)
        post = await server.next()
        assert post.payload["val"] == "b"
        post.answer(204)
        await closing


async def test_http_paused_feed_is_not_read() -> None:
    async with with_feed(foreign) as (connection, _, opening, stream):
        transport = connection._sessions.session.transport
        transport.pause_reading()
        opening.chunk(event(typ="receive", rid=opening.rid, val=1))
        opening.chunk(event(typ="receive", rid=opening.rid, val=2))
        await turns(100)
        before = stream.call.items_received  # what a read that had begun has brought
        opening.chunk(event(typ="receive", rid=opening.rid, val=3))
        await turns(100)
        assert stream.call.items_received == before
        transport.resume_reading()
        assert [await anext(stream) for _ in range(3)] == [1, 2, 3]
