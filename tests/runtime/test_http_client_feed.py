"""The feed of a client over HTTP: how it is opened, shared by streams, and lost."""

from collections.abc import Callable

import enkaku
import pytest
from enkaku.transports.http import client, client_feed
from enkaku.transports.http.pool import ConnectionPool, PoolOptions
from httpcalls import (
    LOSSES,
    NO_MESSAGES,
    STATUSES,
    ask,
    ended,
    goes_on,
    stream_works,
    with_feed,
)
from httpserver import (
    FEED,
    Post,
    event,
    facing_http,
    foreign,
    message,
)
from support import POUR, WATCH, soon, turns

pytestmark = pytest.mark.usefixtures("no_pause")


# The opening of the feed


@pytest.mark.parametrize("status", STATUSES)
async def test_http_status_fails_opening_of_feed_alone(status: int) -> None:
    async with facing_http() as (connection, server):
        async with connection.stream(WATCH, 1) as stream:
            (await server.next()).answer(status)
            with pytest.raises(enkaku.CallError) as caught:
                await stream.result()
            assert caught.value.data == {"status": status}
            assert caught.value.procedure == "watch"
        await stream_works(connection, server)


def no_session_id(post: Post) -> None:
    post.head(200, FEED)
    post.chunk(b":\n\n")


@pytest.mark.parametrize("name", [*NO_MESSAGES, "no session id"])
async def test_http_opening_without_feed_fails_alone(name: str) -> None:
    async with facing_http() as (connection, server):
        asking = ask(connection)
        request = await server.next()
        async with connection.stream(WATCH, 1) as stream:
            post = await server.next()
            (NO_MESSAGES | {"no session id": no_session_id})[name](post)
            with pytest.raises(enkaku.InvalidMessage):
                await stream.result()
        await stream_works(connection, server)
        request.result(1)
        assert await asking == 1


@pytest.mark.parametrize("name", LOSSES)
async def test_http_opening_without_answer_is_lost_alone(name: str) -> None:
    async with facing_http() as (connection, server):
        async with connection.stream(WATCH, 1) as stream:
            LOSSES[name](await server.next())
            with pytest.raises(enkaku.ConnectionLost, match="watch: the connection was lost"):
                await stream.result()
        await stream_works(connection, server)


async def test_http_opening_answered_by_error_message() -> None:
    async with facing_http() as (connection, server):
        async with connection.stream(WATCH, 1) as stream:
            post = await server.next()
            post.answer(200, message(typ="error", rid=post.rid, code="EK02", msg="No", data={}))
            with pytest.raises(enkaku.CallError, match="EK02"):
                await stream.result()
        await stream_works(connection, server)


async def test_http_concurrent_first_streams_open_one_feed() -> None:
    async with facing_http() as (connection, server):
        async with connection.stream(WATCH, 1) as first, connection.stream(WATCH, 2) as second:
            opening = await server.next()
            await turns(50)
            assert server.posts.empty()
            opening.feed("s7")
            later = await server.next()
            assert later.headers["enkaku-session-id"] == "s7"
            assert later.headers["accept"] == "application/json"
            # Items may come before the answer to the opening.
            opening.chunk(event(typ="receive", rid=later.rid, val=20))
            assert await anext(second) == 20
            later.answer(204)
            opening.chunk(event(typ="result", rid=opening.rid, val=1))
            opening.chunk(event(typ="result", rid=later.rid, val=2))
            assert (await first.result(), await second.result()) == (1, 2)


async def test_http_next_stream_opens_feed_if_first_was_rejected() -> None:
    async with facing_http() as (connection, server):
        async with connection.stream(WATCH, 1) as first, connection.stream(WATCH, 2) as second:
            (await server.next()).answer(500)
            with pytest.raises(enkaku.CallError):
                await first.result()
            opening = await server.next()
            assert "enkaku-session-id" not in opening.headers
            opening.feed()
            opening.chunk(event(typ="result", rid=opening.rid, val=2))
            assert await second.result() == 2


@pytest.mark.parametrize("status", STATUSES)
async def test_http_status_fails_later_stream_alone(status: int) -> None:
    async with with_feed() as (connection, server, opening, first):
        async with connection.stream(WATCH, 2) as stream:
            (await server.next()).answer(status)
            with pytest.raises(enkaku.CallError) as caught:
                await stream.result()
            assert caught.value.data == {"status": status}
        await goes_on(opening, first)


@pytest.mark.parametrize("name", LOSSES)
async def test_http_later_stream_without_answer_is_lost_alone(name: str) -> None:
    async with with_feed() as (connection, server, opening, first):
        async with connection.stream(WATCH, 2) as stream:
            LOSSES[name](await server.next())
            with pytest.raises(enkaku.ConnectionLost, match="watch: the connection was lost"):
                await stream.result()
            abort = await server.next()  # it may have been executed
            assert abort.payload["typ"] == "abort"
            abort.answer(204)
        await goes_on(opening, first)


@pytest.mark.parametrize("name", ["html", "null", "another rid"])
async def test_http_later_stream_with_strange_answer_fails_alone(name: str) -> None:
    async with with_feed() as (connection, server, opening, first):
        async with connection.stream(WATCH, 2) as stream:
            NO_MESSAGES[name](await server.next())
            with pytest.raises(enkaku.InvalidMessage):
                await stream.result()
        await goes_on(opening, first)


async def test_http_second_feed_fails_later_stream_alone() -> None:
    async with with_feed() as (connection, server, opening, first):
        async with connection.stream(WATCH, 2) as stream:
            post = await server.next()
            post.feed("another")
            with pytest.raises(enkaku.InvalidMessage, match="second feed"):
                await stream.result()
            await soon(post.lost)
        await goes_on(opening, first)


async def test_http_unknown_session_opens_another_feed() -> None:
    async with with_feed() as (connection, server, opening, first):
        async with connection.stream(WATCH, 2) as second, connection.stream(WATCH, 3) as third:
            posts = [await server.next(), await server.next()]
            for post in posts:
                post.answer(400, b'{"error":"Invalid session ID"}')
            with pytest.raises(enkaku.ConnectionLost, match="does not know the feed"):
                await first.result()
            again = await server.next()
            assert "enkaku-session-id" not in again.headers
            again.feed("s2")
            later = await server.next()
            assert later.headers["enkaku-session-id"] == "s2"
            later.answer(204)
            assert {again.rid, later.rid} == {post.rid for post in posts}
            for post in (again, later):
                again.chunk(event(typ="result", rid=post.rid, val=post.payload["prm"]))
            assert (await second.result(), await third.result()) == (2, 3)
            await soon(opening.lost)


@pytest.mark.parametrize("end", [Post.end, Post.cut, Post.reset])
async def test_http_end_of_feed_loses_its_streams_alone(end: Callable[[Post], None]) -> None:
    async with with_feed() as (connection, server, opening, first):
        asking = ask(connection)
        request = await server.next()
        async with connection.stream(WATCH, 2) as second:
            (await server.next()).answer(204)
            end(opening)
            for stream in (first, second):
                with pytest.raises(enkaku.ConnectionLost, match=r"watch: the .* \(http://"):
                    await stream.result()
        request.result(1)
        assert await asking == 1
        assert connection.is_open
        await stream_works(connection, server)


@pytest.mark.parametrize("end", [Post.end, Post.cut])
async def test_http_feed_ends_at_each_byte(end: Callable[[Post], None]) -> None:
    data = event(typ="receive", rid="", val=7)
    async with facing_http() as (connection, server):
        for size in range(len(data) + 20):
            async with connection.stream(WATCH, 1) as stream:
                post = await server.next()
                post.feed()
                whole = event(typ="receive", rid=post.rid, val=7)
                if size > len(whole):
                    break
                if size:
                    post.chunk(whole[:size])
                end(post)
                items: list[int] = []
                with pytest.raises(enkaku.ConnectionLost):
                    async for item in stream:
                        items.append(item)  # noqa: PERF401 # those before the error count
                assert items == ([7] if size == len(whole) else [])


async def test_http_feed_with_result_and_end_in_one_read() -> None:
    async with facing_http() as (connection, server):
        async with connection.stream(WATCH, 1) as stream:
            post = await server.next()
            post.feed()
            post.chunk(event(typ="receive", rid=post.rid, val=1))
            post.chunk(event(typ="result", rid=post.rid, val=2))
            post.end()
            assert [item async for item in stream] == [1]
            assert await stream.result() == 2


async def test_http_feed_takes_item_of_2_mib() -> None:
    async with facing_http() as (connection, server):
        async with connection.stream(POUR, 1) as stream:
            post = await server.next()
            post.feed()
            post.chunk(event(typ="receive", rid=post.rid, val="x" * 2**21))
            assert await anext(stream) == "x" * 2**21


async def test_http_event_over_limit_ends_its_call_alone() -> None:
    limits = enkaku.Limits(message_size=10_000)
    async with with_feed(limits=limits) as (connection, server, opening, first):
        async with connection.stream(POUR, 2) as stream:
            post = await server.next()
            post.answer(204)
            opening.chunk(event(typ="receive", rid=post.rid, val="x" * 30_000))
            with pytest.raises(enkaku.MessageTooLarge):
                await anext(stream)
            abort = await server.next()
            assert abort.payload == {"typ": "abort", "rid": post.rid}
            abort.answer(204)
        await goes_on(opening, first)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"data: " + b"x" * 50_000, "more than four times the size limit"),
        (b"\n" * 5_000, "too short to be messages"),
    ],
    ids=["endless", "short"],
)
async def test_http_feed_beyond_limits_is_ended(data: bytes, reason: str) -> None:
    limits = enkaku.Limits(message_size=10_000)
    async with with_feed(limits=limits) as (connection, server, opening, first):
        opening.chunk(data)
        with pytest.raises(enkaku.ConnectionLost, match=reason):
            await first.result()
        await soon(opening.lost)
        await stream_works(connection, server)


async def test_http_feed_ignores_what_is_no_message() -> None:
    async with with_feed() as (_, _, opening, first):
        for data in (b"data:\n\n", b"data: {\n\n", b'data: {"hello":1}\n\n', b"data: null\n\n"):
            opening.chunk(data)
        opening.chunk(event(typ="receive", rid="unknown", val=1))
        opening.chunk(event(typ="strange", rid=opening.rid, val=1))
        opening.chunk(b"id: 1\nretry: 5\nevent: x\nfoo: bar\n: hi\n\n")
        await goes_on(opening, first)


# Time


async def test_http_has_no_timeout_for_answers() -> None:
    options = PoolOptions("http://x/", {}, {}, ssl=None, proxy=None, connect_timeout=3.0)
    pool = ConnectionPool(options, 1)
    timeout = pool._session.timeout
    await pool.close()
    assert timeout.total is timeout.sock_read is timeout.connect is None
    assert timeout.sock_connect == 3.0


async def test_http_silent_feed_of_ours_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SILENCE", 0.05)
    async with with_feed() as (connection, server, opening, first):
        with pytest.raises(enkaku.ConnectionLost, match=r"sent nothing for 0\.05 s"):
            await first.result()
        await soon(opening.lost)
        await stream_works(connection, server)


async def test_http_silent_feed_of_others_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SILENCE", 0.0)
    async with with_feed(foreign) as (_, _, opening, first):
        await turns(100)
        await goes_on(opening, first)


async def test_http_feed_without_call_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_feed, "REST", 0.01)
    async with facing_http() as (connection, server):
        await soon((await stream_works(connection, server)).lost)
        await soon((await stream_works(connection, server)).lost)


async def test_http_feed_is_kept_between_streams() -> None:
    async with facing_http() as (connection, server):
        opening = await stream_works(connection, server)
        async with connection.stream(WATCH, 2) as stream:
            post = await server.next()
            assert post.headers["enkaku-session-id"] == "s1"
            post.answer(204)
            opening.chunk(event(typ="result", rid=post.rid, val=4))
            assert await stream.result() == 4


async def test_http_slow_message_of_feed_ends_it() -> None:
    limits = enkaku.Limits(message_time=0.05)
    async with with_feed(limits=limits) as (_, _, opening, first):
        opening.chunk(b"data: " + b"x" * 5_000)
        with pytest.raises(enkaku.ConnectionLost, match=r"more than 0\.05 s"):
            await first.result()


async def test_http_silent_server_loses_calls_alone() -> None:
    limits = enkaku.Limits(silence=0.05)
    async with facing_http(limits=limits) as (connection, server):
        asking = ask(connection)
        post = await server.next()
        ping = await server.next()
        assert ping.payload["prc"] == "enkaku:alive?"
        error = await ended(asking)
        assert isinstance(error, enkaku.ConnectionLost)
        assert "sent nothing" in str(error)
        await soon(post.lost)
        assert connection.is_open
        asking = ask(connection)
        while (post := await server.next()).payload["prc"] != "ask":
            pass
        post.result(1)
        assert await asking == 1
