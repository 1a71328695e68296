"""Stops, clients that leave, and limits of a server over HTTP."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import enkaku
import h11
import pytest
from httpserving import ASK, connections, double, echo, error, serving, talk, watch
from rawhttp import Feed, Site, message
from support import ASK as ASK_OTHER
from support import WITHIN, Lifetime, Serving, soon, turns, until


@pytest.mark.parametrize("typ", ["request", "stream"])
async def test_client_that_leaves_cancels_its_handlers(typ: str) -> None:
    life = Lifetime()
    async with serving(Serving(ask=life.forever, watch=life.forever)) as (app, made):
        exchange = await made.connect()
        exchange.start(
            message(typ=typ, rid="1", prc={"request": "ask", "stream": "watch"}[typ], prm=1)
        )
        await soon(life.began)
        await exchange.close()
        await soon(life.cancelled)
        await until(lambda: connections(app) == 0)


@pytest.mark.parametrize("typ", ["request", "stream"])
async def test_limits_of_calls_are_answered_200(typ: str) -> None:
    life = Lifetime()
    limits = enkaku.Limits(server_calls=1)
    async with serving(Serving(ask=life.forever, watch=life.forever), limits=limits) as (_, made):
        exchange = await made.connect()
        exchange.start(ASK)
        await soon(life.began)
        prc = {"request": "ask", "stream": "watch"}[typ]
        body = message(typ=typ, rid="2", prc=prc, prm=1)
        if typ == "request":
            assert (await made.post(body)).payload["code"] == "EK03"
        else:
            assert (await (await made.feed(body)).message())["code"] == "EK03"


async def test_sessions_beyond_limit_are_answered_503() -> None:
    life = Lifetime()
    handler = Serving(watch=life.forever, ask=double)
    async with serving(handler, limits=enkaku.Limits(connections=2)) as (app, made):
        opening = message(typ="stream", rid="s", prc="watch", prm=1)
        first = await made.feed(opening)
        await made.feed(opening)
        response = await made.post(opening)
        assert error(response) == (503, "Session limit reached")
        assert response.headers["retry-after"] == "1"
        # Requests are no sessions.
        assert (await made.post(ASK)).status == 200
        await first.close()
        await until(lambda: connections(app) == 1)
        await made.feed(opening)


@pytest.mark.parametrize(
    "body",
    [
        message(typ="event", prc="tell", data="x"),
        message(typ="request", rid="1", prc="ask", prm=1),
        message(typ="stream", rid="1", prc="watch", prm=1),
        message(typ="none"),
        b"{",
    ],
    ids=["event", "request", "stream", "unknown type", "no JSON"],
)
async def test_client_that_leaves_ends_slow_lifespan(body: bytes) -> None:
    entered, left = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def lifespan(info: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        yield

    async with serving(lifespan=lifespan) as (app, made):
        exchange = await made.connect()
        exchange.start(body)
        await soon(entered)
        await exchange.close()
        await soon(left)
        await until(lambda: connections(app) == 0)


async def test_stop_answers_every_call_then_feeds_end() -> None:
    life = Lifetime()
    wait, began = asyncio.Event(), asyncio.Event()

    async def ask(number: int) -> int:
        began.set()
        await wait.wait()
        return number

    async with serving(Serving(ask=ask, watch=life.forever, talk=talk)) as (app, made):
        opening = message(typ="stream", rid="s1", prc="watch", prm=1)
        feed = await made.feed(opening)
        slow = await made.connect()
        slow.start(ASK)
        await soon(began, life.began)
        stopping = asyncio.create_task(app.stop(grace=0.1))
        await until(lambda: app.server is not None and app.server.stopping)
        for refused in (
            await made.post(ASK),
            await made.post(b"", "GET"),
            await made.post(opening),
            await made.post(message(typ="event", prc="tell", data=1)),
        ):
            assert error(refused) == (503, "The server is stopping")
            assert refused.headers["retry-after"] == "1"
        later = message(typ="stream", rid="s2", prc="watch", prm=1)
        assert (await made.post(later, enkaku_session_id=feed.id)).status == 204
        replies = {(await feed.message())["rid"] for _ in range(2)}
        assert replies == {"s1", "s2"}
        # The end of a feed is the last of all: some clients take it for the end of the server.
        ended = asyncio.create_task(feed.exchange.event())
        assert (await slow.response()).payload["code"] == "EKP01"
        assert not ended.done()
        assert isinstance(await ended, h11.EndOfMessage)
        await stopping
        assert connections(app) == 0


async def test_feed_ends_after_request_that_goes_on_during_grace() -> None:
    life = Lifetime()
    wait, began = asyncio.Event(), asyncio.Event()

    async def ask(number: int) -> int:
        began.set()
        await wait.wait()
        return number

    async with serving(Serving(ask=ask, watch=life.forever)) as (app, made):
        feed = await made.feed(message(typ="stream", rid="s1", prc="watch", prm=1))
        slow = await made.connect()
        slow.start(ASK)
        await soon(began, life.began)
        stopping = asyncio.create_task(app.stop(grace=10))
        ended = asyncio.create_task(feed.message())
        await made.post(message(typ="abort", rid="s1"))  # the feed has no call now
        await soon(life.cancelled)
        await turns(100)
        assert not ended.done()
        wait.set()
        assert (await slow.response()).payload["val"] == 4
        with pytest.raises(AssertionError):  # the end of the feed
            await ended
        await stopping


async def test_client_that_leaves_is_no_failure_of_handler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
        for _ in range(number):
            await stream.send("x" * 1000)
        return number

    async with serving(Serving(pour=pour)) as (app, made):
        opening = message(typ="stream", rid="s1", prc="pour", prm=100_000)
        for _ in range(30):
            feed = await made.feed(opening)
            await feed.message()
            await feed.close()
        await until(lambda: connections(app) == 0)
    assert not [record for record in caplog.records if record.name.startswith("enkaku")]


async def test_reader_that_never_reads_holds_up_nobody() -> None:
    sent = 0

    async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
        nonlocal sent
        for _ in range(number):
            await stream.send("x" * 1000)
            sent += 1
        return number

    limits = enkaku.Limits(unread_time=0.3)
    async with serving(Serving(pour=pour, ask=double), limits=limits) as (app, made):
        feed = await made.feed(message(typ="stream", rid="s1", prc="pour", prm=200_000))
        feed.exchange.reader._limit = 1  # it stops reading
        for _ in range(20):
            assert (await made.post(ASK)).status == 200
        await until(lambda: connections(app) == 0)
        assert sent < 100_000


async def test_unfinished_bodies_are_counted_and_freed() -> None:
    handler = Serving(ask=double, echo=echo)
    limits = enkaku.Limits(memory=100_000, message_size=90_000, stall=None)
    async with serving(handler, limits=limits) as (app, made):
        exchanges = [await made.connect() for _ in range(4)]
        for each in exchanges:
            each.writer.write(
                b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 80000\r\n\r\n" + b" " * 60_000
            )
        # There is no memory for all of them: the last are refused, and others go on.
        refused = [asyncio.create_task(each.reader.readline()) for each in exchanges]
        await until(lambda: sum(task.done() for task in refused) == 2)
        assert all(b"503" in task.result() for task in refused if task.done())
        assert (await made.post(ASK)).status == 200
        for each in exchanges:
            await each.close()
        await asyncio.gather(*refused, return_exceptions=True)
        await until(lambda: app.server is not None and app.server._policy.capacity.held == 0)


async def test_many_sessions_opened_and_dropped_leave_nothing() -> None:
    life = Lifetime()
    async with serving(Serving(watch=life.forever, ask=double)) as (app, made):
        opening = message(typ="stream", rid="s1", prc="watch", prm=1)
        for _ in range(10):
            feeds = await asyncio.gather(*(made.feed(opening) for _ in range(20)))
            await asyncio.gather(*(feed.close() for feed in feeds))
        await until(lambda: connections(app) == 0)
        assert life.began_count == life.ended_count
        http = app._http
        assert http is not None
        assert not http._feeds
        assert not http._posts
        assert app.server is not None
        assert app.server._policy.capacity.held == 0


async def test_client_leaving_full_feed_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    life = Lifetime()

    async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
        with life:
            while True:
                await stream.send("x" * number)
        raise AssertionError

    async with serving(Serving(pour=pour, ask=double)) as (app, made):
        feed = await made.feed(message(typ="stream", rid="s1", prc="pour", prm=4_000_000))
        feed.exchange.reader._limit = 1  # it stops reading
        await soon(life.began)
        assert app.server is not None
        (session,) = app.server._sessions
        await until(lambda: not session._transport.writable)
        for _ in range(10):
            assert (await made.post(ASK)).status == 200
        await until(lambda: not session._transport.writable)
        await feed.close()
        await soon(life.cancelled)
        await until(lambda: connections(app) == 0)
    assert [record for record in caplog.records if record.levelno >= 40] == []


async def test_stop_does_not_wait_for_end_of_feed_to_be_read() -> None:
    opening = message(typ="stream", rid="s1", prc="watch", prm=0)
    never = asyncio.Event()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not sent:
            return {"type": "http.request", "body": opening}
        await never.wait()
        raise AssertionError

    async def send(event: Any) -> None:
        sent.append(event)
        if len(sent) > 1 and not event.get("more_body"):
            await never.wait()  # the client does not read

    app = enkaku.asgi(Serving(watch=watch), limits=enkaku.Limits(cleanup=0.1))
    serving = asyncio.create_task(
        app({"type": "http", "method": "POST", "headers": []}, receive, send)
    )
    await until(lambda: any(b'"result"' in event.get("body", b"") for event in sent))
    async with asyncio.timeout(WITHIN):
        await app.stop()
        await serving


async def full_channel(made: Site) -> Feed:
    """Open a channel whose handler takes nothing, and fill its inbox, so that its session is not read."""
    feed = await made.feed(message(typ="channel", rid="c1", prc="talk", prm=1))
    send = message(typ="send", rid="c1", prc="talk", val=1)
    assert (await made.post(send + b" " * 600_000, enkaku_session_id=feed.id)).status == 204
    return feed


async def test_post_to_paused_session_ends_when_client_leaves() -> None:
    async with serving(Serving(talk=Lifetime().forever)) as (_, made):
        feed = await full_channel(made)
        before = len(asyncio.all_tasks())
        send = message(typ="send", rid="c1", prc="talk", val=1)
        exchanges = [await made.connect() for _ in range(5)]
        for each in exchanges:
            each.start(send, enkaku_session_id=feed.id)
        await until(lambda: len(asyncio.all_tasks()) >= before + 5)
        for each in exchanges:
            await each.close()
        await until(lambda: len(asyncio.all_tasks()) <= before)


async def test_posts_that_wait_for_session_are_bounded() -> None:
    limits = enkaku.Limits(memory=4_000_000)
    async with serving(Serving(talk=Lifetime().forever, ask=double), limits=limits) as (_, made):
        feed = await full_channel(made)
        send = message(typ="send", rid="c1", prc="talk", val=1) + b" " * 900_000
        waiting = [
            asyncio.create_task(made.post(send, enkaku_session_id=feed.id)) for _ in range(8)
        ]
        await until(lambda: sum(task.done() for task in waiting) == 4)
        for task in waiting:
            if task.done():
                assert task.result().status == 503
            task.cancel()
        assert (await made.post(ASK)).status == 200


async def test_reply_that_nobody_reads_is_counted_then_dropped() -> None:
    size = 8_000_000
    limits = enkaku.Limits(unread_time=0.5)
    async with serving(Serving(echo=echo, ask=double), limits=limits) as (app, made):
        exchange = await made.connect()
        exchange.reader._limit = 1  # it stops reading
        exchange.start(message(typ="request", rid="1", prc="echo", prm="x" * size))
        await until(lambda: connections(app) == 1)
        assert app.server is not None
        (info,) = app.server.connections
        await until(lambda: bool(info.calls))
        await until(lambda: not info.calls)
        assert app.server._policy.capacity.held > size / 2
        assert (await made.post(ASK)).status == 200
        await until(lambda: connections(app) == 0)
        assert app.server._policy.capacity.held == 0


async def test_client_that_left_ends_app_without_error() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": ASK}

    async def send(_: Any) -> None:
        raise OSError("the client has left")  # as ASGI 2.4 says

    await enkaku.asgi(Serving(ask=double))({"type": "http", "method": "POST"}, receive, send)


async def test_posts_of_many_addresses_leave_few_behind() -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": ASK}

    async def send(event: Any) -> None:
        sent.append(event)

    app = enkaku.asgi(Serving(ask=double))
    for number in [*range(200), *range(200)]:
        client = (f"10.0.0.{number}", 50_000)
        await app({"type": "http", "method": "POST", "client": client}, receive, send)
    assert all(event.get("status", 200) == 200 for event in sent)
    await until(lambda: connections(app) == 0)
    assert app.server is not None
    assert app.server._brief == 0
    assert len(app.server._posts) <= 64
    assert all(posts.connections == 0 for posts in app.server._posts.values())
    await app.stop()


async def test_posts_of_address_leave_handlers_for_others() -> None:
    wait, began = asyncio.Event(), list[int]()

    async def ask(number: int) -> int:
        began.append(number)
        await wait.wait()
        return number

    limits = enkaku.Limits(server_handlers=10, server_calls=20)
    async with serving(Serving(ask=ask), limits=limits) as (app, made):
        exchanges = [await made.connect() for _ in range(12)]
        for number, each in enumerate(exchanges):
            each.start(message(typ="request", rid=str(number), prc="ask", prm=number))
        await until(lambda: connections(app) == 12)
        await turns(5)
        assert sorted(began) == [*range(9)]
        async with enkaku.connect_ws(f"ws://127.0.0.1:{made.port}/") as connection:
            other = asyncio.create_task(connection.request(ASK_OTHER, 100))
            await until(lambda: 100 in began)
            wait.set()
            assert await other == 100
        assert [(await each.response()).payload["val"] for each in exchanges] == [*range(12)]


async def test_post_counts_memory_of_its_connection() -> None:
    wait, began = asyncio.Event(), asyncio.Event()

    async def tell(number: int) -> None:
        began.set()
        await wait.wait()

    async with serving(Serving(tell=tell)) as (app, made):
        assert app.server is None or not app.server.connections
        exchange = await made.connect()
        exchange.start(message(typ="event", prc="tell", data=1))
        await soon(began)
        assert app.server is not None
        capacity = app.server._policy.capacity
        assert capacity.held > 11_000
        wait.set()
        assert (await exchange.response()).status == 204
        await until(lambda: capacity.held == 0)
