"""The client over HTTP, in front of a server that answers as each test says."""

import asyncio
import ssl
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import enkaku
import pytest
from enkaku.transports.http import client, client_feed
from enkaku.transports.http.pool import ConnectionPool, PoolOptions
from httpserver import (
    FEED,
    JSON,
    HttpServer,
    Post,
    event,
    facing_http,
    foreign,
    http_server,
    message,
    ours,
)
from support import ASK, ECHO, FILL, POUR, TALK, TELL, WATCH, soon, turns, until

pytestmark = pytest.mark.usefixtures("no_pause")


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open a feed at once where the last one has ended early."""
    monkeypatch.setattr(client, "_FIRST_PAUSE", 0.0)


def ask(connection: enkaku.Connection, number: int = 1) -> asyncio.Task[int]:
    return asyncio.create_task(connection.request(ASK, number))


async def ended(task: "asyncio.Task[Any]") -> BaseException | None:
    """Return the error of a task."""
    await asyncio.wait((task,), timeout=10)
    return task.exception()


# Each kind of call


async def test_http_request_is_post_and_its_answer() -> None:
    async with facing_http(timeout=None) as (connection, server):
        asking = ask(connection, 4)
        post = await server.next()
        assert post.method == "POST"
        assert post.headers["content-type"] == post.headers["accept"] == "application/json"
        assert post.headers["enkaku-ext"] == "1"
        assert "enkaku-session-id" not in post.headers
        assert post.header == {"typ": "JWT", "alg": "none"}
        assert post.payload == {"typ": "request", "rid": post.rid, "prc": "ask", "prm": 4}
        post.result(8)
        assert await asking == 8


async def test_http_event_waits_for_its_answer() -> None:
    async with facing_http() as (connection, server):
        telling = asyncio.create_task(connection.event(TELL, 5))
        post = await server.next()
        assert post.payload == {"typ": "event", "prc": "tell", "data": 5}
        assert not telling.done()
        post.answer(204)
        await telling


async def test_http_stream_opens_feed() -> None:
    async with facing_http() as (connection, server):
        async with connection.stream(WATCH, 3) as stream:
            post = await server.next()
            assert post.headers["accept"] == "text/event-stream"
            assert post.header["win"] == 512 * 1024
            post.feed()
            post.chunk(event(typ="receive", rid=post.rid, val=1))
            assert await anext(stream) == 1
            post.chunk(event(typ="result", rid=post.rid, val=3))
            assert await stream.result() == 3


@pytest.mark.parametrize("probe", [ours, foreign])
async def test_http_channel_sends_in_order(probe: Callable[[Post], None]) -> None:
    async with facing_http(probe) as (connection, server):
        async with connection.channel(TALK, 1) as channel:
            opening = await server.next()
            opening.feed()
            if probe is ours:
                opening.chunk(event(typ="credit", rid=opening.rid, n=10_000))
            got: list[object] = []
            for item in range(20):
                await channel.send(item)
            while len(got) < 20:
                post = await server.next()
                assert ("enkaku-session-id" in post.headers) is (probe is ours)
                assert len(post.payloads) == 1 or probe is ours
                got += [payload["val"] for payload in post.payloads]
                post.answer(204)
            assert got == list(range(20))
            opening.chunk(event(typ="result", rid=opening.rid, val=0))
            assert await channel.result() == 0


# What answers a request, and how its call ends. The next request is answered as ever.


def body(text: bytes, status: int = 200) -> Callable[[Post], None]:
    return lambda post: post.answer(status, text)


def cut_after(size: int) -> Callable[[Post], None]:
    def answer(post: Post) -> None:
        whole = message(typ="result", rid=post.rid, val=1)
        post.head(200, {**JSON, "content-length": str(len(whole))})
        post.raw(whole[:size])
        post.cut()

    return answer


def another_rid(post: Post) -> None:
    post.answer(200, message(typ="result", rid="another", val=1))


def broken_tail(post: Post) -> None:
    post.answer(200, message(typ="result", rid=post.rid, val=1)[:-2])


def receives(post: Post) -> None:
    post.answer(200, message(typ="receive", rid=post.rid, val=1))


def redirect(post: Post) -> None:
    post.answer(307, b"", {"location": "/elsewhere"})


NO_MESSAGES = {
    "204": lambda post: post.answer(204),
    "another rid": another_rid,
    "empty": body(b""),
    "blank": body(b"  \n"),
    "broken": body(b"{"),
    "broken tail": broken_tail,
    "object": body(b'{"hello":1}'),
    "null": body(b"null"),
    "html": body(b"<html>"),
    "invalid utf-8": body(b"\xff"),
    "receive": receives,
}
LOSSES = {
    "closed before head": Post.cut,
    "reset": Post.reset,
    "closed after head": cut_after(0),
    "closed inside body": cut_after(20),
    "not http": lambda post: (post.raw(b"SSH-2.0\r\n\r\n"), post.cut()),
}
STATUSES = [300, 304, 400, 401, 403, 404, 405, 409, 410, 413, 418, 429, 500, 502, 503, 504, 599]
WORDS = {
    409: "status 409 (Conflict): a call with this id is open",
    413: ": the message is larger than the server accepts",
    429: "status 429 (Too Many Requests): too many requests",
    503: "status 503 (Service Unavailable): the server is stopping, or has too much to do",
    504: "status 504 (Gateway Timeout): the server did not answer in time",
}


async def next_request_works(connection: enkaku.Connection, server: HttpServer) -> None:
    asking = ask(connection)
    (await server.next()).result(2)
    assert await asking == 2


@pytest.mark.parametrize("name", NO_MESSAGES)
async def test_http_request_without_message_fails_alone(name: str) -> None:
    async with facing_http() as (connection, server):
        other = ask(connection)
        open_post = await server.next()
        asking = ask(connection)
        NO_MESSAGES[name](await server.next())
        assert isinstance(await ended(asking), enkaku.InvalidMessage)
        await next_request_works(connection, server)
        open_post.result(5)
        assert await other == 5


@pytest.mark.parametrize("name", LOSSES)
async def test_http_request_without_answer_is_lost_alone(name: str) -> None:
    async with facing_http() as (connection, server):
        asking = ask(connection)
        LOSSES[name](await server.next())
        error = await ended(asking)
        assert isinstance(error, enkaku.ConnectionLost)
        assert str(error).startswith("ask: the connection was lost: ")
        assert server.url in str(error)
        await next_request_works(connection, server)


@pytest.mark.parametrize("status", STATUSES)
async def test_http_status_fails_request_alone(status: int) -> None:
    async with facing_http() as (connection, server):
        asking = ask(connection)
        (await server.next()).answer(status, b'{"error":"Because"}' if status == 400 else b"no")
        error = await ended(asking)
        assert type(error) is enkaku.CallError
        assert error.code == "EK_HTTP_REQUEST_FAILED"
        assert error.data == {"status": status}
        assert error.procedure == "ask"
        assert error.message.startswith(f"Transport request failed with status {status}")
        assert WORDS.get(status, "") in error.message
        assert error.message.endswith(": Because") is (status == 400)
        await next_request_works(connection, server)


async def test_http_redirect_is_not_followed() -> None:
    async with facing_http() as (connection, server):
        asking = ask(connection)
        redirect(await server.next())
        assert "status 307 (Temporary Redirect)" in str(await ended(asking))
        assert server.posts.empty()


@pytest.mark.parametrize("status", [200, 400, 503])
async def test_http_error_message_is_taken_with_any_status(status: int) -> None:
    async with facing_http() as (connection, server):
        asking = ask(connection)
        post = await server.next()
        post.answer(status, message(typ="error", rid=post.rid, code="EK04", msg="Full", data={}))
        error = await ended(asking)
        assert isinstance(error, enkaku.CallError)
        assert (error.code, error.message) == ("EK04", "Full")


async def test_http_reply_with_byte_order_mark_and_blanks() -> None:
    async with facing_http() as (connection, server):
        asking = ask(connection)
        post = await server.next()
        post.head(200, {**JSON, "transfer-encoding": "chunked"})
        for part in (b" ", b" ", message(typ="result", rid=post.rid, val=6)):
            post.chunk(part)
        post.end()
        assert await asking == 6
        asking = ask(connection)
        post = await server.next()
        post.answer(200, b"\xef\xbb\xbf" + message(typ="result", rid=post.rid, val=7))
        assert await asking == 7


@pytest.mark.parametrize("chunked", [False, True])
async def test_http_reply_over_limit_fails_request_alone(chunked: bool) -> None:
    limits = enkaku.Limits(message_size=10_000)
    async with facing_http(limits=limits) as (connection, server):
        asking = asyncio.create_task(connection.request(ECHO, "x"))
        post = await server.next()
        large = message(typ="result", rid=post.rid, val="x" * 200_000)
        if chunked:
            post.head(200, {**JSON, "transfer-encoding": "chunked"})
            post.chunk(large)
        else:
            post.answer(200, large)
        assert isinstance(await ended(asking), enkaku.MessageTooLarge)
        await next_request_works(connection, server)


async def test_http_reply_of_2_mib() -> None:
    async with facing_http() as (connection, server):
        asking = asyncio.create_task(connection.request(ECHO, "x"))
        (await server.next()).result("y" * 2**21)
        assert await asking == "y" * 2**21


async def test_http_request_deadline_closes_its_response() -> None:
    async with facing_http() as (connection, server):
        asking = asyncio.create_task(connection.request(ASK, 1, timeout=0.05))
        post = await server.next()
        assert post.header["ttl"] == 50
        assert isinstance(await ended(asking), enkaku.DeadlineExceeded)
        await soon(post.lost)


@pytest.mark.parametrize("probe", [ours, foreign])
async def test_http_cancelled_request_closes_its_response(probe: Callable[[Post], None]) -> None:
    async with facing_http(probe) as (connection, server):
        asking = ask(connection)
        post = await server.next()
        asking.cancel()
        await soon(post.lost)
        if probe is foreign:
            abort = await server.next()
            assert abort.payload == {"typ": "abort", "rid": post.rid, "rsn": "Cancelled"}
            abort.answer(204)
        await next_request_works(connection, server)


async def test_http_requests_beyond_max_connections_wait() -> None:
    async with facing_http(max_connections=2) as (connection, server):
        asking = [ask(connection, number) for number in range(4)]
        first, second = await server.next(), await server.next()
        await turns(50)
        assert server.posts.empty()
        # What is written to streams does not wait for requests.
        async with connection.channel(TALK, 1) as channel:
            opening = await server.next()
            opening.feed()
            opening.chunk(event(typ="credit", rid=opening.rid, n=1000))
            await channel.send(1)
            sent = await server.next()
            assert sent.typ == "send"
            sent.answer(204)
            for post in (first, second):
                post.result(0)
            for _ in range(2):
                (await server.next()).result(0)
            await asyncio.gather(*asking)


async def test_http_connection_is_used_again() -> None:
    async with facing_http() as (connection, server):
        for _ in range(5):
            await next_request_works(connection, server)
        assert server.opened == 1


async def test_http_ids_of_two_clients_differ() -> None:
    async with facing_http(foreign) as (first, server):
        async with enkaku.connect_http(server.url) as second:
            asking = [ask(first), ask(second)]
            posts = [await server.next(), await server.next()]
            assert posts[0].rid != posts[1].rid
            assert min(len(post.rid) for post in posts) > 16
            for post in posts:
                post.result(1)
            await asyncio.gather(*asking)


# Events


@pytest.mark.parametrize("status", STATUSES)
async def test_http_status_fails_event(status: int) -> None:
    async with facing_http() as (connection, server):
        telling = asyncio.create_task(connection.event(TELL, 5))
        (await server.next()).answer(status)
        error = await ended(telling)
        assert isinstance(error, enkaku.CallError)
        assert error.data == {"status": status}
        assert error.procedure == "tell"
        await next_request_works(connection, server)


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_http_event_is_sent_by_any_success(status: int) -> None:
    async with facing_http() as (connection, server):
        telling = asyncio.create_task(connection.event(TELL, 5))
        (await server.next()).answer(status, b"" if status == 204 else b"thanks")
        await telling


@pytest.mark.parametrize("name", LOSSES)
async def test_http_event_without_answer_is_lost(name: str) -> None:
    async with facing_http() as (connection, server):
        telling = asyncio.create_task(connection.event(TELL, 5))
        if name.endswith(("head", "body")) and name != "closed before head":
            post = await server.next()
            post.head(200, {"content-length": "10"})
            post.cut()
        else:
            LOSSES[name](await server.next())
        error = await ended(telling)
        assert isinstance(error, enkaku.ConnectionLost)
        assert str(error).startswith("tell: ")
        await next_request_works(connection, server)


async def test_http_event_deadline_raises() -> None:
    async with facing_http() as (connection, server):
        telling = asyncio.create_task(connection.event(TELL, 5, timeout=0.05))
        post = await server.next()
        assert isinstance(await ended(telling), enkaku.DeadlineExceeded)
        await soon(post.lost)


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


async def stream_works(connection: enkaku.Connection, server: HttpServer) -> Post:
    """Read a stream, which opens the feed; return its POST."""
    async with connection.stream(WATCH, 1) as stream:
        post = await server.next()
        post.feed()
        post.chunk(event(typ="receive", rid=post.rid, val=1))
        post.chunk(event(typ="result", rid=post.rid, val=2))
        assert [item async for item in stream] == [1]
        assert await stream.result() == 2
    return post


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


# Later streams


@asynccontextmanager
async def with_feed(
    probe: Callable[[Post], None] = ours, **options: Any
) -> AsyncGenerator[tuple[enkaku.Connection, HttpServer, Post, Any], None]:
    """A connection with a feed, and the stream that has opened it."""
    async with facing_http(probe, **options) as (connection, server):
        async with connection.stream(WATCH, 1) as stream:
            opening = await server.next()
            opening.feed()
            opening.chunk(event(typ="receive", rid=opening.rid, val=1))
            assert await anext(stream) == 1
            yield connection, server, opening, stream


async def goes_on(opening: Post, stream: Any) -> None:
    """End the stream that has opened the feed."""
    opening.chunk(event(typ="result", rid=opening.rid, val=9))
    assert await stream.result() == 9


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


# The end of the feed


def feed_ends(post: Post) -> None:
    post.end()


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


# What is written to streams and channels


@asynccontextmanager
async def with_channel(
    probe: Callable[[Post], None] = ours, **options: Any
) -> AsyncGenerator[tuple[enkaku.Connection, HttpServer, Post, Any], None]:
    async with facing_http(probe, **options) as (connection, server):
        async with connection.channel(FILL, 1) as channel:
            opening = await server.next()
            opening.feed()
            if probe is ours:
                opening.chunk(event(typ="credit", rid=opening.rid, n=10**9))
                await channel.opened()
            yield connection, server, opening, channel


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


# Connecting


def too_old(get: Post) -> None:
    get.answer(200, b'{"id":"0d9f6a52-6f0e-4b51-9a43-3f1c9c0e7a11"}')


def older_than_that(get: Post) -> None:
    get.answer(500, b'{"error":"Missing session ID header for stateful request"}')


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        (too_old, "older than 0.14.1"),
        (older_than_that, "older than 0.14.1"),
        (body(b"", 502), r"not available .* 502"),
        (body(b"", 503), r"stopping.* 503"),
        (body(b"<html>"), "no Enkaku server: a GET was answered with status 200 .OK., instead"),
        (body(b"", 404), "status 404 .Not Found."),
        (redirect, "redirects to"),
        (body(b"x" * 100_000), "more than 65536 bytes"),
        (Post.cut, "http://"),
        (Post.reset, "http://"),
    ],
)
async def test_http_connect_fails_unless_405(probe: Callable[[Post], None], reason: str) -> None:
    async with http_server(probe) as server:
        with pytest.raises(enkaku.ConnectFailed, match=reason):
            async with enkaku.connect_http(server.url):
                pass


async def test_http_connect_to_silent_server_times_out() -> None:
    async with http_server(lambda _: None) as server:
        with pytest.raises(enkaku.ConnectFailed, match=r"within 0\.05 s"):
            async with enkaku.connect_http(server.url, connect_timeout=0.05):
                pass


async def test_http_connect_refused_raises() -> None:
    with pytest.raises(enkaku.ConnectFailed, match=r"http://127\.0\.0\.1:1/"):
        async with enkaku.connect_http("http://127.0.0.1:1/"):
            pass


@pytest.mark.parametrize("url", ["ws://127.0.0.1/", "nonsense", "http://", "http://x:99999/", ""])
async def test_connect_http_rejects_url(url: str) -> None:
    with pytest.raises(enkaku.UsageError, match="is not a URL"):
        async with enkaku.connect_http(url):
            pass


@pytest.mark.parametrize("proxy", ["nonsense", "socks5://127.0.0.1", "http://"])
async def test_connect_http_rejects_proxy(proxy: str) -> None:
    with pytest.raises(enkaku.UsageError, match=r"proxy: .* is not a URL"):
        async with enkaku.connect_http("http://127.0.0.1:1/", proxy=proxy):
            pass


@pytest.mark.parametrize("count", [0, -1, 1.5, "3"])
async def test_connect_http_rejects_max_connections(count: Any) -> None:
    with pytest.raises(enkaku.UsageError, match="max_connections"):
        async with enkaku.connect_http("http://127.0.0.1:1/", max_connections=count):
            pass


async def test_http_headers_cookies_and_origin_are_sent() -> None:
    seen: list[Post] = []

    def probe(get: Post) -> None:
        seen.append(get)
        get.answer(405, b"", {"set-cookie": "worker=7"})

    options = {
        "headers": {"authorization": "Bearer x"},
        "cookies": {"session": "abc"},
        "origin": "https://a.example",
    }
    async with facing_http(probe, **options) as (connection, server):
        async with connection.stream(WATCH, 1):
            seen.append(await server.next())  # by the other pool
            assert "worker=7" in seen[1].headers["cookie"]
        for post in seen:
            assert post.headers["authorization"] == "Bearer x"
            assert post.headers["origin"] == "https://a.example"
            assert "session=abc" in post.headers["cookie"]


async def test_http_peer_hides_password() -> None:
    async with http_server() as server:
        url = server.url.replace("127", "me:secret@127")
        async with enkaku.connect_http(url) as connection:
            assert connection.peer == server.url


async def test_http_errors_hide_query() -> None:
    async with http_server() as server:
        async with enkaku.connect_http(f"{server.url}?token=secret") as connection:
            assert connection.peer == server.url
            asking = ask(connection)
            post = await server.next()
            post.raw(b"HTTP/1.1 200 OK\r\na: " + b"a" * 10_000 + b"\r\n\r\n")
            assert "secret" not in str(await ended(asking))
    with pytest.raises(enkaku.ConnectFailed) as refused:
        async with enkaku.connect_http("http://127.0.0.1:1/?token=secret"):
            pass
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("connect", [enkaku.connect_http, enkaku.connect_ws])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"url": 5}, "url must be a string; got 5"),
        ({"url": None}, "url must be a string; got None"),
        ({"proxy": 5}, "proxy must be a string; got 5"),
        ({"ssl": 5}, "ssl must be an instance of SSLContext; got 5"),
        ({"cookies": 5}, "cookies must map names to values; got a int"),
        ({"cookies": {"a": 5}}, "cookies: names and values must be strings; got str and int"),
    ],
)
async def test_connect_rejects_argument_of_other_type(
    connect: Any, arguments: dict[str, Any], text: str
) -> None:
    if connect is enkaku.connect_ws and "cookies" in arguments:
        text = "no option 'cookies'"
    with pytest.raises(enkaku.UsageError, match=text):
        async with connect(**{"url": "http://127.0.0.1:1/"} | arguments):
            pass


@pytest.mark.parametrize("connect", [enkaku.connect_http, enkaku.connect_ws])
@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer secret\n"},
        {"x": "secret\r\nevil: 1"},
        {"x": "secret\0"},
        {"x\r\nevil": "secret"},
        {"x y": "secret"},
        {"": "secret"},
        {"x": 1},
        {"Content-Length": "3"},
        "secret",
    ],
)
async def test_connect_rejects_headers(connect: Any, headers: Any) -> None:
    url = "ws://127.0.0.1:1/" if connect is enkaku.connect_ws else "http://127.0.0.1:1/"
    with pytest.raises(enkaku.UsageError, match="headers") as rejected:
        async with connect(url, headers=headers):
            pass
    assert "secret" not in str(rejected.value)
    if isinstance(headers, dict) and "secret\r" in str(headers):
        with pytest.raises(enkaku.UsageError, match="origin"):
            async with connect(url, origin=headers["x"]):
                pass


async def test_http_over_tls(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    async with http_server(tls=server_tls) as server:
        async with enkaku.connect_http(server.url, ssl=client_tls) as connection:
            await next_request_works(connection, server)
            await stream_works(connection, server)
        with pytest.raises(enkaku.ConnectFailed, match="certificate"):
            async with enkaku.connect_http(server.url):
                pass


async def test_http_through_proxy() -> None:
    async with http_server() as proxy:
        url = "http://elsewhere.invalid/rpc"
        proxy_url = f"http://127.0.0.1:{proxy.port}"
        async with enkaku.connect_http(url, proxy=proxy_url) as connection:
            asking = ask(connection)
            post = await proxy.next()
            assert post.target == url
            post.result(1)
            assert await asking == 1


@pytest.mark.parametrize("proxy", [True, None])
async def test_http_takes_proxy_of_environment_if_asked(
    proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with http_server() as other:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{other.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with http_server() as server:
            async with enkaku.connect_http(server.url, proxy=proxy):
                assert (other.probes, server.probes) == ((1, 0) if proxy else (0, 1))


async def test_http_without_library_raises_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    for name in ("dial", "pool"):
        monkeypatch.delitem(sys.modules, f"enkaku.transports.http.{name}")
    with pytest.raises(enkaku.MissingExtra, match=r"pip install 'enkaku\[http\]'"):
        async with enkaku.connect_http("http://127.0.0.1:1/"):
            pass


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
