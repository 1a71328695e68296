"""Sessions of a server over HTTP: feeds, and the messages that name them."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import enkaku
import pytest
from enkaku import http_app
from enkaku.transports.http import feed as feeds
from httpserving import ASK, connections, error, serving, talk
from rawhttp import Site, message, site
from support import Lifetime, Serving, soon, turns, until
from webserver import serving_app


@pytest.mark.parametrize("typ", ["event", "send", "abort"])
@pytest.mark.parametrize(
    "fields",
    [{"rid": "9", "prc": "none"}, {"prc": "tell", "data": "x"}, {"rid": 5}, {}],
    ids=["unknown", "bad value", "odd rid", "nothing"],
)
async def test_event_send_and_abort_are_answered_204(typ: str, fields: dict[str, Any]) -> None:
    async with serving() as (_, made):
        response = await made.post(message(typ=typ, **fields))
        assert (response.status, response.body) == (204, b"")


async def test_feed_carries_items_and_results_of_its_session() -> None:
    async with serving() as (app, made):
        feed = await made.feed(message(typ="stream", rid="s1", prc="watch", prm=2))
        assert feed.headers["content-type"] == "text/event-stream"
        assert feed.headers["cache-control"] == "no-store"
        assert feed.headers["x-accel-buffering"] == "no"
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f-]{21}", feed.id)
        assert [await feed.message() for _ in range(3)] == [
            {"typ": "receive", "rid": "s1", "val": 0},
            {"typ": "receive", "rid": "s1", "val": 1},
            {"typ": "result", "rid": "s1", "val": 2},
        ]
        later = message(typ="channel", rid="c1", prc="talk", prm=10)
        response = await made.post(later, enkaku_session_id=feed.id)
        assert (response.status, response.body) == (204, b"")
        for item in (1, 2):
            send = message(typ="send", prc="talk", rid="c1", val=item)
            assert (await made.post(send)).status == 204
            assert await feed.message() == {"typ": "receive", "rid": "c1", "val": 10 * item}
        assert (await made.post(message(typ="abort", rid="c1", rsn="Close"))).status == 204
        assert await feed.message() == {"typ": "result", "rid": "c1", "val": 2}
        await feed.close()
        await until(lambda: connections(app) == 0)


async def test_feed_begins_with_comment() -> None:
    life = Lifetime()
    async with serving(Serving(watch=life.forever)) as (_, made):
        feed = await made.feed(message(typ="stream", rid="s1", prc="watch", prm=2))
        event = await feed.exchange.event()
        assert bytes(event.data) == b":\n\n"


async def test_refused_opening_is_error_on_feed() -> None:
    async with serving() as (_, made):
        feed = await made.feed(message(typ="stream", rid="s1", prc="none"))
        assert (await feed.message())["code"] == "EK08"
        again = message(typ="stream", rid="s2", prc="watch", prm=0)
        assert (await made.post(again, enkaku_session_id=feed.id)).status == 204
        assert await feed.message() == {"typ": "result", "rid": "s2", "val": 0}


@pytest.mark.parametrize("name", ["", "unknown"])
async def test_unknown_session_is_answered_400(name: str) -> None:
    async with serving() as (_, made):
        opening = message(typ="stream", rid="s1", prc="watch", prm=1)
        response = await made.post(opening, enkaku_session_id=name)
        assert error(response) == (400, "Invalid session ID")


async def test_rid_in_use_within_session_is_answered_409() -> None:
    life = Lifetime()
    async with serving(Serving(watch=life.forever)) as (_, made):
        opening = message(typ="stream", rid="s1", prc="watch", prm=1)
        feed = await made.feed(opening)
        response = await made.post(opening, enkaku_session_id=feed.id)
        assert error(response) == (409, "Duplicate request ID")
        other = await made.feed(opening)  # of another session
        assert other.id != feed.id


async def test_requests_with_one_rid_do_not_meet() -> None:
    wait = asyncio.Event()

    async def ask(number: int) -> int:
        if number == 1:
            await wait.wait()
        return number

    async with serving(Serving(ask=ask)) as (_, made):
        first = await made.connect()
        first.start(message(typ="request", rid="r", prc="ask", prm=1))
        second = await made.post(message(typ="request", rid="r", prc="ask", prm=2))
        assert second.payload["val"] == 2
        wait.set()
        assert (await first.response()).payload["val"] == 1


async def test_silent_feed_carries_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_SILENCE", 0.01)
    life = Lifetime()
    async with serving(Serving(watch=life.forever)) as (_, made):
        feed = await made.feed(message(typ="stream", rid="s1", prc="watch", prm=1))
        for _ in range(4):
            assert bytes((await feed.exchange.event()).data) == b":\n\n"


async def test_send_for_request_stops_nobody() -> None:
    wait, began = asyncio.Event(), asyncio.Event()

    async def ask(number: int) -> int:
        began.set()
        await wait.wait()
        return number

    async with serving(Serving(ask=ask)) as (_, made):
        exchange = await made.connect()
        exchange.start(ASK)
        await soon(began)
        for payload in ({"prc": "ask", "val": 1}, {"val": 1}, {}):
            assert (await made.post(message(typ="send", rid="1", **payload))).status == 204
        wait.set()
        assert (await exchange.response()).payload["val"] == 4
        assert (await made.post(ASK)).status == 200


async def test_foreign_send_is_answered_403() -> None:
    async with serving() as (_, made):
        opening = message(typ="channel", rid="c1", prc="talk", prm=10)
        own = await made.feed(opening, enkaku_ext="1")
        other = await made.feed(message(typ="channel", rid="c2", prc="talk", prm=10))
        send = message(typ="send", prc="talk", rid="c1", val=1)
        assert (await made.post(send, enkaku_session_id=own.id)).status == 204
        assert (await own.message())["val"] == 10
        for session in ({}, {"enkaku_session_id": other.id}):
            for body in (send, message(typ="abort", rid="c1")):
                response = await made.post(body, **session)
                assert error(response) == (403, "The call belongs to another session")
        assert (await made.post(send, enkaku_session_id=own.id)).status == 204
        assert (await own.message())["val"] == 10


async def test_send_that_fits_two_sessions_is_answered_409() -> None:
    async with serving() as (_, made):
        opening = message(typ="channel", rid="c1", prc="talk", prm=10)
        await made.feed(opening)
        await made.feed(opening)
        response = await made.post(message(typ="send", prc="talk", rid="c1", val=1))
        assert response.status == 409


async def test_send_without_session_finds_call_among_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_app, "_INDEX_MIN", 4)
    async with serving() as (app, made):
        first = await made.feed(message(typ="channel", rid="c1", prc="talk", prm=10))
        for number in range(20):
            opening = message(typ="stream", rid=f"s{number}", prc="watch", prm=0)
            assert (await made.post(opening, enkaku_session_id=first.id)).status == 204
            assert (await first.message())["rid"] == f"s{number}"
        dropped = await made.feed(message(typ="channel", rid="c1", prc="talk", prm=1000))
        await dropped.close()
        await until(lambda: connections(app) == 1)
        send = message(typ="send", prc="talk", rid="c1", val=1)
        assert (await made.post(send)).status == 204
        assert (await first.message())["val"] == 10
        send = message(typ="send", prc="talk", rid="s1", val=1)
        assert (await made.post(send)).status == 204  # an unknown call


async def test_batch_is_delivered_in_order() -> None:
    got: list[int] = []

    async def tell(number: int) -> None:
        got.append(number)

    async with serving(Serving(talk=talk, tell=tell)) as (_, made):
        opening = message(typ="channel", rid="c1", prc="talk", prm=10)
        feed = await made.feed(opening, enkaku_ext="1")
        ours = {"content_type": "application/x-ndjson", "enkaku_ext": "1"}
        lines = [message(typ="send", prc="talk", rid="c1", val=item) for item in range(20)]
        lines += [message(typ="event", prc="tell", data=5), message(typ="end", rid="c1")]
        batch = b"\n".join(lines)
        response = await made.post(batch, enkaku_session_id=feed.id, **ours)
        assert response.status == 204
        got_items = [(await feed.message()).get("val") for _ in range(21)]
        assert got_items == [*range(0, 200, 10), 20]
        assert got == [5]
        assert (await made.post(batch, **ours)).status == 400
        refused = await made.post(ASK, enkaku_session_id=feed.id, **ours)
        assert error(refused) == (400, "Invalid message type")
        large = b"\n".join([message(typ="end", rid="x")] * 10_001)
        response = await made.post(large, enkaku_session_id=feed.id, **ours)
        assert response.status == 413


async def test_client_with_flow_control_gets_credit_on_feed() -> None:
    sent: list[int] = []

    async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
        for item in range(number):
            await stream.send("x" * 100)
            sent.append(item)
        return number

    async with serving(Serving(pour=pour, talk=talk)) as (_, made):
        opening = message(typ="stream", rid="s1", prc="pour", prm=100).replace(
            b'"none"', b'"none","win":1000', 1
        )
        feed = await made.feed(opening, enkaku_ext="1")
        assert await feed.message() == {"typ": "credit", "rid": "s1", "n": 0}
        taken = 0
        while taken < 3:
            taken += (await feed.message())["typ"] == "receive"
        assert len(sent) < 10
        credit = message(typ="credit", rid="s1", n=100_000)
        response = await made.post(credit, enkaku_session_id=feed.id, enkaku_ext="1")
        assert response.status == 204
        while (await feed.message())["typ"] != "result":
            pass
        assert len(sent) == 100


async def test_send_right_behind_opening_finds_its_channel() -> None:
    async with serving_slowly(enkaku.asgi(Serving(talk=talk))) as made:
        for _ in range(10):
            feed = await made.feed(message(typ="channel", rid="c1", prc="talk", prm=10))
            send = message(typ="send", prc="talk", rid="c1", val=1)
            assert (await made.post(send)).status == 204
            assert (await feed.message())["val"] == 10
            await feed.close()


@asynccontextmanager
async def serving_slowly(app: enkaku.AsgiApp) -> AsyncGenerator[Site, None]:
    """Serve an app; whatever it sends takes a while, after which the client has it."""

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        async def send_slowly(event: Any) -> None:
            await send(event)
            await turns(50)  # in which the client has it, and sends more

        await app(scope, receive, send_slowly if scope["type"] == "http" else send)

    async with serving_app(slow) as port, site(port) as made:
        yield made


async def test_batch_of_many_lines_is_not_split() -> None:
    async with serving() as (_, made):
        feed = await made.feed(message(typ="stream", rid="1", prc="watch", prm=0))
        headers = {"content_type": "application/x-ndjson", "enkaku_ext": "1"}
        response = await made.post(b"\n" * 20_001 + b"{", enkaku_session_id=feed.id, **headers)
        assert response.status == 204  # without lines there are no messages
        response = await made.post(b"\n{" * 10_001, enkaku_session_id=feed.id, **headers)
        assert error(response) == (413, "More than 10000 messages in a request")
