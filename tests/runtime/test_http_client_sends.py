"""What a client over HTTP writes to open calls, and aborts before a call is open."""

import asyncio
from collections.abc import Callable
from typing import Any

import enkaku
import pytest
from httpcalls import (
    ended,
    goes_on,
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
    message,
    ours,
)
from support import ECHO, POUR, TALK, WATCH, soon, turns, until

pytestmark = pytest.mark.usefixtures("no_pause")


async def test_http_sends_gather_while_post_is_on_its_way() -> None:
    async with with_channel() as (_, server, _, channel):
        await channel.send("first")
        first = await server.next()
        for item in ("a", "b", "c"):
            await channel.send(item)
        await channel.end()
        await turns(20)
        assert server.posts.empty()
        first.answer(204)
        batch = await server.next()
        assert batch.headers["content-type"] == "application/x-ndjson"
        assert batch.headers["enkaku-session-id"] == "s1"
        assert [payload.get("val") for payload in batch.payloads] == ["a", "b", "c", None]
        assert batch.payloads[-1]["typ"] == "end"
        batch.answer(204)


async def test_http_batch_has_at_most_256_kib() -> None:
    async with with_channel() as (_, server, _, channel):
        sending = asyncio.create_task(send_all(channel, ["x" * 60_000] * 12))
        sizes: list[int] = []
        count = 0
        while count < 12:
            post = await server.next()
            sizes.append(len(post.body))
            count += len(post.payloads)
            post.answer(204)
        await sending
        assert max(sizes) <= 256 * 1024 + 10


async def send_all(channel: Any, items: list[str]) -> None:
    for item in items:
        await channel.send(item)


async def test_http_batch_that_is_too_large_is_sent_one_by_one() -> None:
    async with with_channel() as (_, server, opening, channel):
        await channel.send("first")
        first = await server.next()
        for item in ("a", "b", "c"):
            await channel.send(item)
        first.answer(204)
        batch = await server.next()
        assert len(batch.payloads) == 3
        batch.answer(413, b'{"error":"Request body too large"}')
        for item in ("a", "b", "c"):
            post = await server.next()
            assert post.payload["val"] == item
            post.answer(204)
        opening.chunk(event(typ="result", rid=opening.rid, val=3))
        assert await channel.result() == 3


async def test_http_full_outbox_suspends_sender() -> None:
    async with with_channel() as (_, server, _, channel):
        await channel.send("first")
        post = await server.next()
        sending = asyncio.create_task(send_all(channel, ["x" * 10_000] * 30))
        await turns(100)
        assert channel.call.items_sent < 12
        count = 0
        while count < 30:
            post.answer(204)
            post = await server.next()
            count += len(post.payloads)
        post.answer(204)
        await sending


async def test_http_messages_wait_for_opening_of_their_call() -> None:
    async with with_feed() as (connection, server, opening, _):
        async with connection.channel(TALK, 1) as channel:
            post = await server.next()
            await channel.send(1)  # as many bytes as are allowed before the server's credit
            await turns(20)
            assert server.posts.empty()
            async with connection.channel(TALK, 2) as other:
                (await server.next()).answer(204)
                await other.send(5)
                sent = await server.next()
                assert sent.payload["val"] == 5  # another call's do not wait
                sent.answer(204)
                post.answer(204)
                sent = await server.next()
                assert sent.payload["val"] == 1
                sent.answer(204)
            abort = await server.next()
            assert abort.typ == "abort"
            abort.answer(204)
        (await server.next()).answer(204)
        del opening


@pytest.mark.parametrize("probe", [ours, foreign])
@pytest.mark.parametrize("status", [400, 403, 413, 500])
async def test_http_status_fails_call_of_send_alone(
    status: int, probe: Callable[[Post], None]
) -> None:
    async with with_channel(probe) as (connection, server, opening, channel):
        async with connection.stream(WATCH, 2) as stream:
            later = await server.next()
            later.answer(204)
            await channel.send("x")
            (await server.next()).answer(status, b'{"error":"No"}')
            with pytest.raises(enkaku.CallError) as caught:
                await channel.result()
            assert caught.value.data == {"status": status}
            abort = await server.next()
            assert abort.payload == {"typ": "abort", "rid": opening.rid}  # its handler still runs
            abort.answer(204)
            opening.chunk(event(typ="result", rid=later.rid, val=3))
            assert await stream.result() == 3


async def test_http_lost_send_fails_its_call_alone() -> None:
    async with with_channel() as (connection, server, _, channel):
        await channel.send("x")
        (await server.next()).reset()
        with pytest.raises(enkaku.ConnectionLost, match="fill: the connection was lost"):
            await channel.result()
        abort = await server.next()
        assert abort.typ == "abort"
        abort.answer(204)
        await next_request_works(connection, server)


async def test_http_unknown_session_for_send_ends_feed() -> None:
    async with with_channel() as (connection, server, opening, channel):
        await channel.send("x")
        (await server.next()).answer(400, b'{"error":"Invalid session ID"}')
        with pytest.raises(enkaku.ConnectionLost, match="does not know the feed"):
            await channel.result()
        await soon(opening.lost)
        await stream_works(connection, server)


async def test_http_message_in_answer_to_send_is_taken() -> None:
    async with with_channel(foreign) as (_, server, opening, channel):
        await channel.send("x")
        (await server.next()).answer(200, message(typ="receive", rid=opening.rid, val="y"))
        assert await anext(channel) == "y"
        await channel.send("x")
        (await server.next()).answer(200, b"<html>")
        opening.chunk(event(typ="result", rid=opening.rid, val=1))
        assert await channel.result() == 1


async def test_http_errors_in_answer_to_batch_are_taken() -> None:
    async with with_channel() as (_, server, opening, channel):
        await channel.send("x")
        error = message(typ="error", rid=opening.rid, code="EK08", msg="Bad", data={})
        (await server.next()).answer(200, b"\n".join([error, b"nonsense"]))
        with pytest.raises(enkaku.CallError, match="EK08"):
            await channel.result()
        (await server.next()).answer(204)  # the abort


async def test_http_grants_follow_reading() -> None:
    async with facing_http(limits=enkaku.Limits(window=10_000)) as (connection, server):
        async with connection.stream(POUR, 1) as stream:
            opening = await server.next()
            opening.feed()
            opening.chunk(event(typ="receive", rid=opening.rid, val="x" * 8_000))
            await anext(stream)
            post = await server.next()
            assert post.payload["typ"] == "credit"
            assert post.headers["enkaku-session-id"] == "s1"
            post.answer(204)


async def test_http_answer_before_whole_message_is_taken() -> None:
    async with facing_http(foreign) as (connection, server):
        server.early = lambda post: post.answer(413, b'{"error":"Request body too large"}')
        asking = asyncio.create_task(connection.request(ECHO, "x" * 3_000_000))
        error = await ended(asking)
        assert isinstance(error, enkaku.CallError)
        assert error.data == {"status": 413}


async def test_http_comments_show_that_server_is_alive() -> None:
    limits = enkaku.Limits(silence=0.2)
    async with with_feed(limits=limits) as (connection, server, opening, first):
        session = connection._sessions.session
        before = session._idle.last
        opening.chunk(b":\n\n")
        await until(lambda: session._idle.last > before)
        await goes_on(opening, first)
        assert server.posts.empty()


async def test_http_other_server_gets_no_extension() -> None:
    async with with_channel(foreign) as (_, server, opening, channel):
        with pytest.raises(enkaku.NotSupported):
            await channel.end()
        opening.chunk(event(typ="receive", rid=opening.rid, val="x" * 600_000))
        await anext(channel)
        closing = asyncio.create_task(channel.close())
        abort = await server.next()
        assert abort.payload == {"typ": "abort", "rid": opening.rid, "rsn": "Close"}
        assert "enkaku-session-id" not in abort.headers
        abort.answer(204)
        opening.chunk(event(typ="result", rid=opening.rid, val=1))
        assert await closing == 1
        assert server.posts.empty()


# Aborts before the call is open


async def test_http_abort_before_feed_is_open_ends_its_post() -> None:
    async with facing_http(foreign) as (connection, server):
        async with connection.stream(WATCH, 1):
            post = await server.next()
        await soon(post.lost)
        abort = await server.next()
        assert abort.payload["typ"] == "abort"
        abort.answer(204)
        await stream_works(connection, server)


async def test_http_abort_while_others_wait_for_feed() -> None:
    async with facing_http() as (connection, server):
        async with connection.stream(WATCH, 1) as first, connection.stream(WATCH, 2) as second:
            opening = await server.next()
            await turns(20)
            first.abort()
            async with connection.stream(WATCH, 3) as third:
                await turns(20)
                third.abort()  # was never sent
            opening.feed()
            posts = {post.typ: post for post in (await server.next(), await server.next())}
            for post in posts.values():
                post.answer(204)
            assert posts["abort"].rid == opening.rid
            assert posts["stream"].payload["prm"] == 2
            opening.chunk(event(typ="result", rid=posts["stream"].rid, val=2))
            assert await second.result() == 2
        assert server.posts.empty()


async def test_http_abort_before_later_stream_is_open_follows_it() -> None:
    async with with_feed() as (connection, server, opening, first):
        async with connection.stream(WATCH, 2):
            post = await server.next()
        await turns(20)
        assert server.posts.empty()
        post.answer(204)
        abort = await server.next()
        assert abort.payload == {"typ": "abort", "rid": post.rid}
        abort.answer(204)
        await goes_on(opening, first)
