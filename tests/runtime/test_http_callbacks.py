"""Calls from the server over HTTP: the feed that a client with a handler keeps open, and its replies."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import enkaku
import pytest
from enkaku.transports.http import client, client_feed
from httpserver import HttpServer, Post, event, facing_http, foreign
from rawhttp import Site, message
from support import ASK, TELL, VOID, Lifetime, Serving, soon, turns, until

pytestmark = pytest.mark.usefixtures("no_pause")


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open a feed at once where the last one has ended early."""
    monkeypatch.setattr(client, "_FIRST_PAUSE", 0.0)


def peer() -> enkaku.Connection:
    """The connection to the peer of the handler that runs."""
    return enkaku.current_call().connection.client(lambda connection: connection)


async def double(number: int) -> int:
    return 2 * number


def call(number: int, **payload: Any) -> bytes:
    """An event of the feed that opens a request of the server."""
    return event(typ="request", rid=f"s:{number}", **payload)


@asynccontextmanager
async def called_over_http(
    handler: enkaku.Handler, **options: Any
) -> AsyncGenerator[tuple[enkaku.Connection, HttpServer, Post], None]:
    """A client with a handler, the server that the test plays, and the feed."""
    async with facing_http(handler=handler, **options) as (connection, server):
        feed = await server.next()
        feed.feed("s1")
        yield connection, server, feed


async def test_http_client_with_handler_opens_feed_at_once() -> None:
    async with called_over_http(Serving()) as (_, _, feed):
        assert feed.headers["accept"] == "text/event-stream"
        assert feed.header["ext"] == ["credit", "leaving", "call"]
        assert (feed.typ, feed.payload["prc"]) == ("stream", "enkaku:alive?")
        assert not feed.rid.startswith("s:")


async def test_http_requests_and_events_name_the_session() -> None:
    async with called_over_http(Serving()) as (connection, server, _):
        asking = asyncio.create_task(connection.request(ASK, 1))
        post = await server.next()
        assert post.headers["enkaku-session-id"] == "s1"
        post.result(2)
        assert await asking == 2
        telling = asyncio.create_task(connection.event(TELL, 1))
        post = await server.next()
        assert post.headers["enkaku-session-id"] == "s1"
        post.answer(204)
        await telling


async def test_http_reply_to_server_is_batch() -> None:
    async with called_over_http(Serving(ask=double)) as (_, server, feed):
        feed.chunk(call(1, prc="ask", prm=4) + call(2, prc="void"))
        post = await server.next()
        assert post.headers["content-type"] == "application/x-ndjson"
        assert post.headers["enkaku-session-id"] == "s1"
        replies = post.payloads
        post.answer(204)
        if len(replies) == 1:
            post = await server.next()
            replies += post.payloads
            post.answer(204)
        assert {each["rid"]: each.get("val") for each in replies} == {"s:1": 8, "s:2": None}


async def test_http_client_calls_server_without_calls_as_before() -> None:
    async with facing_http(foreign, handler=Serving()) as (connection, server):
        asking = asyncio.create_task(connection.request(ASK, 1))
        post = await server.next()
        assert "enkaku-session-id" not in post.headers
        assert post.typ == "request"
        post.result(2)
        assert await asking == 2
        assert server.posts.empty()


async def test_http_lost_feed_cancels_handlers_and_is_opened_again() -> None:
    life = Lifetime()
    async with called_over_http(Serving(ask=life.forever)) as (_, server, feed):
        feed.chunk(call(1, prc="ask", prm=4))
        await soon(life.began)
        feed.reset()
        await soon(life.cancelled)
        again = await server.next()
        assert again.header["ext"] == ["credit", "leaving", "call"]
        again.feed("s2")
        again.chunk(call(1, prc="void"))
        post = await server.next()
        assert post.headers["enkaku-session-id"] == "s2"
        assert post.payload == {"typ": "result", "rid": "s:1"}
        post.answer(204)


async def test_http_feed_of_client_with_handler_does_not_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_feed, "REST", 0.0)
    async with called_over_http(Serving()) as (connection, server, feed):
        invalid = {"code": "EK08", "data": {}, "msg": "Invalid protocol message"}
        feed.chunk(event(typ="error", rid=feed.rid, **invalid))
        asking = asyncio.create_task(connection.request(ASK, 1))
        (await server.next()).result(2)
        assert await asking == 2
        await turns()
        assert not feed.lost.is_set()


async def test_http_stream_that_opens_feed_shows_handler() -> None:
    async with called_over_http(Serving()) as (connection, server, feed):
        async with connection.stream(enkaku.Stream[None, int, None]("tick", receive=int), None):
            post = await server.next()
            assert "ext" not in post.header
            post.answer(204)
            await turns()
            feed.reset()
            again = await server.next()
            assert again.header["ext"] == ["credit", "leaving", "call"]


async def test_http_reply_that_is_too_large_becomes_error() -> None:
    async def echo(text: str) -> str:
        return text * 100

    async with called_over_http(Serving(echo=echo)) as (_, server, feed):
        feed.chunk(call(1, prc="echo", prm="x"))
        (await server.next()).answer(413, b'{"error":"Request body too large"}')
        post = await server.next()
        assert (post.payload["rid"], post.payload["code"]) == ("s:1", "EK06")
        post.answer(204)


async def test_http_reply_that_is_rejected_ends_the_feed() -> None:
    async with called_over_http(Serving()) as (_, server, feed):
        feed.chunk(call(1, prc="void"))
        (await server.next()).answer(500, b"{}")
        await soon(feed.lost)
        (await server.next()).feed("s2")


async def test_http_strange_messages_of_feed_harm_nothing() -> None:
    async with called_over_http(Serving(ask=double)) as (connection, server, feed):
        for strange in (
            event(typ="request", rid="7", prc="ask", prm=1),  # not of the server
            event(typ="send", rid="s:9", prc="talk", val=1),
            event(typ="abort", rid="s:9"),
            event(typ="credit", rid="s:9", n=5),
            event(typ="unknown", rid="s:9"),
            event(typ="result", rid="s:9", val=1),
        ):
            feed.chunk(strange)
        asking = asyncio.create_task(connection.request(ASK, 1))
        posts = [await server.next(), await server.next()]
        for post in posts:
            if post.typ == "request":
                post.result(2)
            else:
                assert (post.rid, post.payload["code"]) == ("7", "EK08")
                post.answer(204)
        assert await asking == 2


# Both ends of this library


def url(server: enkaku.Server) -> str:
    return f"http://127.0.0.1:{server.port}/"


async def test_http_handlers_of_requests_and_events_call_back() -> None:
    told: asyncio.Queue[int] = asyncio.Queue()

    async def ask(number: int) -> int:
        return await peer().request(ASK, number) + 1

    async def tell(number: int) -> None:
        told.put_nowait(await peer().request(ASK, number))

    async with enkaku.serve_http(Serving(ask=ask, tell=tell)) as server:
        async with enkaku.connect_http(url(server), handler=Serving(ask=double)) as connection:
            assert await connection.request(ASK, 1) == 3
            await connection.event(TELL, 4)
            async with asyncio.timeout(10):
                assert await told.get() == 8


async def test_http_request_without_handler_is_not_supported() -> None:
    async def ask(number: int) -> int:
        with pytest.raises(enkaku.NotSupported):
            await peer().request(ASK, number)
        return number

    async with enkaku.serve_http(Serving(ask=ask)) as server:
        async with enkaku.connect_http(url(server)) as connection:
            assert await connection.request(ASK, 1) == 1


async def test_http_stopping_server_waits_for_callbacks_of_requests() -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def ask(number: int) -> int:
        return await peer().request(ASK, number)

    async def answer(number: int) -> int:
        began.set()
        await go_on.wait()
        return number

    async with enkaku.serve_http(Serving(ask=ask)) as server:
        async with enkaku.connect_http(url(server), handler=Serving(ask=answer)) as connection:
            asking = asyncio.create_task(connection.request(ASK, 5))
            await soon(began)
            stopping = asyncio.create_task(server.stop(grace=10))
            await turns(50)
            go_on.set()
            assert await asking == 5
            await stopping


async def test_http_lost_client_ends_calls_to_it() -> None:
    life = Lifetime()
    raised: asyncio.Queue[BaseException] = asyncio.Queue()

    async with enkaku.serve_http(Serving()) as server:
        async with enkaku.connect_http(
            url(server), handler=Serving(ask=life.forever)
        ) as connection:
            await connection.request(VOID, None)
            (info,) = server.connections
            called = info.client(lambda each: each)
            asking = asyncio.create_task(called.request(ASK, 1))
            asking.add_done_callback(lambda task: raised.put_nowait(task.exception() or OSError()))
            await soon(life.began)
            await connection.close(within=0.05)
        async with asyncio.timeout(10):
            error = await raised.get()
        await until(lambda: not server.connections)
    assert isinstance(error, enkaku.ConnectionLost | enkaku.CallError)


async def test_http_reply_needs_the_session_and_a_batch() -> None:
    async with enkaku.serve_http(Serving()) as server, Site(server.port) as web:
        opening = {"typ": "stream", "rid": "feed", "prc": "enkaku:alive?"}
        header = {"typ": "JWT", "alg": "none", "ext": ["credit", "call"]}
        ext = {"enkaku_ext": "1", "content_type": "application/json"}
        feed = await web.feed(json.dumps({"header": header, "payload": opening}).encode(), **ext)
        assert (await feed.message())["code"] == "EK08"
        called = server.connections[0].client(lambda each: each)
        asking = asyncio.create_task(called.request(ASK, 1))
        assert await feed.message() == {"typ": "request", "rid": "s:1", "prc": "ask", "prm": 1}
        reply = message(typ="result", rid="s:1", val=2)
        batch = ext | {"content_type": "application/x-ndjson"}
        assert (await web.post(reply, **batch)).status == 400
        assert (await web.post(reply, **batch, enkaku_session_id="x")).status == 400
        assert (await web.post(reply, **ext, enkaku_session_id=feed.id)).status == 400
        assert not asking.done()
        assert (await web.post(reply, **batch, enkaku_session_id=feed.id)).status == 204
        assert await asking == 2


async def test_http_post_alone_cannot_be_called() -> None:
    """A request that shows ``call`` has no feed, on which it could be called."""

    async def ask(number: int) -> int:
        with pytest.raises(enkaku.NotSupported):
            await peer().request(ASK, number)
        return number

    async with enkaku.serve_http(Serving(ask=ask)) as server, Site(server.port) as web:
        header = {"typ": "JWT", "alg": "none", "ext": ["credit", "call"]}
        payload = {"typ": "request", "rid": "1", "prc": "ask", "prm": 3}
        body = json.dumps({"header": header, "payload": payload}).encode()
        response = await web.post(body, enkaku_ext="1", content_type="application/json")
        assert response.payload == {"typ": "result", "rid": "1", "val": 3}


async def test_http_item_that_is_too_large_ends_its_handler() -> None:
    life = Lifetime()

    async def fill(_: int, channel: enkaku.ServerChannel[str, str]) -> int:
        with life:
            await channel.send("x" * 10_000)
            await asyncio.Event().wait()
        return 0

    async with called_over_http(Serving(fill=fill)) as (_, server, feed):
        feed.chunk(event(typ="channel", rid="s:1", prc="fill", prm=1))
        while True:
            post = await server.next()
            if any(each["typ"] == "receive" for each in post.payloads):
                break
            post.answer(204)
        post.answer(413, b'{"error":"Request body too large"}')
        post = await server.next()
        assert (post.payload["rid"], post.payload["code"]) == ("s:1", "EK06")
        await soon(life.cancelled)
        post.answer(204)
