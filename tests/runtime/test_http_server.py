"""The HTTP side of an ASGI app, as any client sees it: each answer, the feed, sessions, limits, ends."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import enkaku
import h11
import pytest
from enkaku import http_app
from enkaku.transports.http import feed as feeds
from rawhttp import Feed, Response, Site, message, site
from support import ASK as ASK_OTHER
from support import WITHIN, Lifetime, Serving, Tired, soon, turns, until
from webserver import serving_app

FEW = enkaku.Limits(message_size=2000)


async def double(number: int) -> int:
    return 2 * number


async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
    for item in range(number):
        await stream.send(item)
    return number


async def talk(param: int, channel: enkaku.ServerChannel[int, int]) -> int:
    count = 0
    async for item in channel:
        await channel.send(item * param)
        count += 1
    return count


@asynccontextmanager
async def serving(
    handler: enkaku.Handler | None = None, **options: Any
) -> AsyncGenerator[tuple[enkaku.AsgiApp, Site], None]:
    app = enkaku.asgi(handler or Serving(ask=double, watch=watch, talk=talk), **options)
    async with serving_app(app) as port, site(port) as made:
        yield app, made


def connections(app: enkaku.AsgiApp) -> int:
    assert app.server is not None
    return len(app.server.connections)


def error(response: Response) -> tuple[int, str]:
    return response.status, response.json["error"]


ASK = message(typ="request", rid="1", prc="ask", prm=4)
RESULT = b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"result","rid":"1","val":8}}'


async def test_request_is_answered_in_its_response() -> None:
    async with serving() as (app, made):
        response = await made.post(ASK)
        assert (response.status, response.body) == (200, RESULT)
        assert response.headers["content-type"] == "application/json"
        assert response.headers["content-length"] == str(len(RESULT))
        assert response.headers["enkaku-ext"] == "1"
        await until(lambda: connections(app) == 0)


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


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "Invalid request"),
        (b"{", "Invalid request"),
        (b"NaN", "Invalid request"),
        (b'{"payload":{"typ":NaN}}', "Invalid request"),
        (b"[" * 100_000, "Invalid request"),
        (b"null", "Invalid message type"),
        (b"[]", "Invalid message type"),
        (message(), "Invalid message type"),
        (message(typ=None, rid="1"), "Invalid message type"),
        (message(typ=42), "Invalid message type"),
        (message(typ=[]), "Invalid message type"),
        (message(typ={}), "Invalid message type"),
        (message(typ="credit", rid="1", n=4), "Invalid message type"),
        (message(typ="end", rid="1"), "Invalid message type"),
        (message(typ="receive", rid="1", val=4), "Invalid message type"),
        (message(typ="request", prc="ask", prm=4), "Invalid request"),
        (message(typ="stream", rid=4, prc="watch", prm=4), "Invalid request"),
    ],
)
async def test_body_that_is_no_message_is_answered_400(body: bytes, text: str) -> None:
    async with serving() as (_, made):
        assert error(await made.post(body)) == (400, text)
        assert (await made.post(ASK)).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_other_method_is_answered_405(method: str) -> None:
    async with serving(origins="*") as (_, made):
        exchange = await made.connect()
        exchange.start(b"", method, origin="https://a.example")
        status, headers = await exchange.head()
        assert (status, headers["allow"], headers["enkaku-ext"]) == (405, "POST, OPTIONS", "1")
        assert "access-control-allow-origin" not in headers


async def test_options_without_origins_is_answered_204() -> None:
    async with serving() as (_, made):
        response = await made.post(b"", "OPTIONS")
        assert response.status == 204
        assert not [name for name in response.headers if name.startswith("access")]
        assert (await made.post(b"", "OPTIONS", origin="https://a.example")).status == 403


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ((), None, ""),
        ((), "https://a.example", None),
        ("*", None, "*"),
        ("*", "https://a.example", "https://a.example"),
        ("*", "null", None),
        (["https://a.example"], "https://a.example", "https://a.example"),
        (["https://a.example"], "https://b.example", None),
        (["https://a.example"], None, ""),
        ("same", "http://127.0.0.1", "http://127.0.0.1"),
        ("same", "http://localhost", None),
    ],
)
async def test_origin_is_allowed_or_answered_403(
    origins: Any, origin: str | None, allowed: str | None
) -> None:
    given = {"content_type": "application/json", **({} if origin is None else {"origin": origin})}
    async with serving(origins=origins) as (_, made):
        for response in (await made.post(b"", "OPTIONS", **given), await made.post(ASK, **given)):
            if allowed is None:
                assert error(response) == (403, "Origin not allowed")
                assert "access-control-allow-origin" not in response.headers
                continue
            assert response.status in (200, 204)
            assert response.headers.get("access-control-allow-origin", "") == allowed
            if allowed:
                expose = response.headers["access-control-expose-headers"]
                assert "enkaku-session-id" in expose
                assert response.headers["vary"] == "Origin"


async def test_page_cannot_post_without_asking_first() -> None:
    async with serving(origins="*") as (_, made):
        for kind in ({}, {"content_type": "text/plain"}):
            response = await made.post(ASK, origin="https://a.example", **kind)
            assert error(response) == (415, "Content-Type must be application/json")
        assert (await made.post(ASK, content_type="text/plain")).status == 200


async def test_unknown_host_name_is_answered_403() -> None:
    async with serving(hosts=["localhost"]) as (_, made):
        for method in ("POST", "GET", "OPTIONS"):
            assert error(await made.post(ASK, method)) == (403, "Host not allowed")
        assert (await made.post(ASK, host="localhost:80")).status == 200


async def test_large_body_is_answered_413() -> None:
    async with serving(limits=FEW) as (_, made):
        large = message(typ="request", rid="1", prc="echo", prm="x" * 2000)
        assert error(await made.post(large)) == (413, "Request body too large")
        exchange = await made.connect()
        # Without a length, as it is read.
        exchange.writer.write(
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
            b"5dc\r\n" + b"x" * 1500 + b"\r\n"
        )
        exchange.writer.write(b"5dc\r\n" + b"x" * 1500 + b"\r\n")
        assert b"413" in await exchange.reader.readline()


async def test_slow_body_is_answered_408() -> None:
    async with serving(limits=enkaku.Limits(message_time=0.05)) as (app, made):
        exchange = await made.connect()
        exchange.writer.write(b'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{"header')
        assert b"408" in await exchange.reader.readline()
        await until(lambda: connections(app) == 0)


async def test_invalid_text_in_body_is_replaced_and_bom_dropped() -> None:
    async with serving(Serving(echo=echo)) as (_, made):
        body = message(typ="request", rid="1", prc="echo", prm="ab")
        response = await made.post(b"\xef\xbb\xbf" + body.replace(b"ab", b"a\xffb"))
        assert response.payload["val"] == "a\ufffdb"


async def echo(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"typ": "request", "rid": "1", "prc": "none"}, "EK08"),
        ({"typ": "request", "rid": "1", "prc": "watch", "prm": 1}, "EK08"),
        ({"typ": "request", "rid": "1", "prc": "ask", "prm": "x"}, "EK08"),
        ({"typ": "request", "rid": "1", "prc": "ask", "prm": 4, "more": 1}, "EK08"),
        ({"typ": "request", "rid": "1", "prc": "void"}, ""),
        ({"typ": "request", "rid": "1", "prc": "tired", "prm": 1}, "EK08"),
    ],
)
async def test_error_of_request_is_200(payload: dict[str, Any], code: str) -> None:
    async with serving() as (_, made):
        response = await made.post(message(**payload))
        assert response.status == 200
        assert response.payload.get("code", "") == code


async def test_errors_of_handler_are_200() -> None:
    async def ask(number: int) -> int:
        if number:
            raise Tired("too late")
        raise RuntimeError("secret")

    async with serving(Serving(ask=ask)) as (_, made):
        payload = (await made.post(ASK)).payload
        assert (payload["code"], payload["msg"]) == ("TIRED", "too late")
        response = await made.post(message(typ="request", rid="1", prc="ask", prm=0))
        assert (response.status, response.payload["code"]) == (200, "EK01")


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


async def test_slow_request_gets_its_headers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_app, "_SILENCE", 0.01)
    wait = asyncio.Event()

    async def ask(number: int) -> int:
        await wait.wait()
        return number

    async with serving(Serving(ask=ask)) as (_, made):
        exchange = await made.connect()
        exchange.start(ASK)
        status, headers = await exchange.head()
        assert (status, headers["transfer-encoding"]) == (200, "chunked")
        for _ in range(3):
            assert bytes((await exchange.event()).data) == b" "
        wait.set()
        assert json.loads(await exchange.rest())["payload"]["val"] == 4
        # The connection goes on.
        assert (await exchange.post(ASK)).payload["val"] == 4


async def test_silent_feed_carries_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_SILENCE", 0.01)
    life = Lifetime()
    async with serving(Serving(watch=life.forever)) as (_, made):
        feed = await made.feed(message(typ="stream", rid="s1", prc="watch", prm=1))
        for _ in range(4):
            assert bytes((await feed.exchange.event()).data) == b":\n\n"


async def test_aborted_request_is_answered_at_once() -> None:
    life = Lifetime()
    async with serving(Serving(ask=life.forever)) as (_, made):
        exchange = await made.connect()
        exchange.start(ASK)
        await soon(life.began)
        assert (await made.post(message(typ="abort", rid="1", rsn="Timeout"))).status == 204
        response = await exchange.response()
        assert (response.status, response.payload["code"]) == (200, "EK05")
        assert response.payload["msg"] == "Aborted"
        await soon(life.cancelled)


async def test_closed_request_is_answered_with_its_result() -> None:
    began, wait = asyncio.Event(), asyncio.Event()

    async def ask(number: int) -> int:
        began.set()
        await wait.wait()
        return number

    async with serving(Serving(ask=ask)) as (_, made):
        exchange = await made.connect()
        exchange.start(ASK)
        await soon(began)
        await made.post(message(typ="abort", rid="1", rsn="Close"))
        wait.set()
        assert (await exchange.response()).payload["val"] == 4


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


async def test_deadline_in_header_is_answered_200() -> None:
    life = Lifetime()
    async with serving(Serving(ask=life.forever)) as (_, made):
        body = ASK.replace(b'"none"', b'"none","ttl":30', 1)
        response = await made.post(body)
        assert (response.status, response.payload["code"]) == (200, "EK05")
        await soon(life.cancelled)


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


async def test_event_is_answered_when_it_is_taken_up() -> None:
    wait, told = asyncio.Event(), list[int]()

    async def tell(number: int) -> None:
        told.append(number)
        await wait.wait()

    limits = enkaku.Limits(server_handlers=1, stall=0.05)
    async with serving(Serving(tell=tell, ask=double), limits=limits) as (app, made):
        assert (await made.post(message(typ="event", prc="tell", data=1))).status == 204
        response = await made.post(message(typ="event", prc="tell", data=2))
        assert error(response) == (503, "Too many events wait for a handler")
        waiting = await made.connect()
        waiting.start(message(typ="event", prc="tell", data=3))
        wait.set()
        assert (await waiting.response()).status == 204
        await until(lambda: connections(app) == 0)
        assert told == [1, 3]


async def test_lifespan_sees_request_and_may_reject_it() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(info: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        assert info.request is not None
        seen.append(info.request.headers["X-Name"])
        await asyncio.sleep(0)
        if seen[-1] == "bad":
            raise enkaku.RejectConnection("not you")
        if seen[-1] == "broken":
            raise RuntimeError("secret")
        yield

    async with serving(lifespan=lifespan) as (app, made):
        assert (await made.post(ASK, x_name="good")).status == 200
        for typ, prc in (("request", "ask"), ("stream", "watch"), ("event", "tell")):
            body = message(typ=typ, rid="1", prc=prc, prm=1)
            assert error(await made.post(body, x_name="bad")) == (403, "Rejected")
            response = await made.post(body, x_name="broken")
            assert error(response) == (500, "Internal server error")
        feed = await made.feed(message(typ="stream", rid="1", prc="watch", prm=0), x_name="good")
        assert (await feed.message())["typ"] == "result"
        assert seen == ["good", *(["bad", "broken"] * 3), "good"]
        await feed.close()
        await until(lambda: connections(app) == 0)


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


async def test_invalid_message_is_reported() -> None:
    reports: list[str] = []

    class Watcher(enkaku.Observer):
        def invalid_message(self, connection: enkaku.ConnectionInfo, problem: str) -> None:
            assert connection.request is not None
            reports.append(problem)

    async with serving(observers=[Watcher()]) as (app, made):
        await made.post(b"{")
        await made.post(message(typ="odd"))
        await until(lambda: connections(app) == 0)
        assert len(reports) == 2


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


@pytest.mark.parametrize("late", [False, True])
async def test_large_reply_arrives_whole(late: bool) -> None:
    release = asyncio.Event()

    async def delayed(text: str) -> str:
        if late:
            await release.wait()
        return text

    async with serving(Serving(echo=delayed)) as (app, made):
        text = "x" * 3_000_000
        exchange = await made.connect()
        exchange.start(message(typ="request", rid="1", prc="echo", prm=text))
        _, headers = await exchange.head()  # early, if the reply is late
        release.set()
        assert json.loads(await exchange.rest())["payload"]["val"] == text
        assert ("content-length" in headers) is not late
        await until(lambda: connections(app) == 0)


async def test_large_body_of_invalid_text_is_answered_400() -> None:
    async with serving() as (_, made):
        assert error(await made.post(b'"%b"' % (b"\xff" * 2_000_000))) == (400, "Invalid request")


async def test_batch_of_many_lines_is_not_split() -> None:
    async with serving() as (_, made):
        feed = await made.feed(message(typ="stream", rid="1", prc="watch", prm=0))
        headers = {"content_type": "application/x-ndjson", "enkaku_ext": "1"}
        response = await made.post(b"\n" * 20_001 + b"{", enkaku_session_id=feed.id, **headers)
        assert response.status == 204  # without lines there are no messages
        response = await made.post(b"\n{" * 10_001, enkaku_session_id=feed.id, **headers)
        assert error(response) == (413, "More than 10000 messages in a request")


async def test_client_that_left_ends_app_without_error() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": ASK}

    async def send(_: Any) -> None:
        raise OSError("the client has left")  # as ASGI 2.4 says

    await enkaku.asgi(Serving(ask=double))({"type": "http", "method": "POST"}, receive, send)


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
