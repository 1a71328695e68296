"""The answers of a server over HTTP to single requests, as any client sees them."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import enkaku
import pytest
from enkaku import http_app
from httpserving import ASK, connections, double, echo, error, serving
from rawhttp import message
from support import Lifetime, Serving, Tired, soon, until

FEW = enkaku.Limits(message_size=2000)


RESULT = b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"result","rid":"1","val":8}}'


async def test_request_is_answered_in_its_response() -> None:
    async with serving() as (app, made):
        response = await made.post(ASK)
        assert (response.status, response.body) == (200, RESULT)
        assert response.headers["content-type"] == "application/json"
        assert response.headers["content-length"] == str(len(RESULT))
        assert response.headers["enkaku-ext"] == "1"
        await until(lambda: connections(app) == 0)


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


async def test_deadline_in_header_is_answered_200() -> None:
    life = Lifetime()
    async with serving(Serving(ask=life.forever)) as (_, made):
        body = ASK.replace(b'"none"', b'"none","ttl":30', 1)
        response = await made.post(body)
        assert (response.status, response.payload["code"]) == (200, "EK05")
        await soon(life.cancelled)


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
