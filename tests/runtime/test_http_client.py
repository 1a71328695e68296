"""The requests and events of a client over HTTP, in front of a server that answers as each test says."""

import asyncio
from collections.abc import Callable

import enkaku
import pytest
from httpcalls import (
    LOSSES,
    NO_MESSAGES,
    STATUSES,
    ask,
    ended,
    next_request_works,
    redirect,
)
from httpserver import (
    JSON,
    Post,
    event,
    facing_http,
    foreign,
    message,
    ours,
)
from support import ASK, ECHO, TALK, TELL, WATCH, soon, turns

pytestmark = pytest.mark.usefixtures("no_pause")


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


WORDS = {
    409: "status 409 (Conflict): a call with this id is open",
    413: ": the message is larger than the server accepts",
    429: "status 429 (Too Many Requests): too many requests",
    503: "status 503 (Service Unavailable): the server is stopping, or has too much to do",
    504: "status 504 (Gateway Timeout): the server did not answer in time",
}


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
