"""Who calls over HTTP: each POST proves it by itself, and a session belongs to who has opened it."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import enkaku
import pytest
from enkaku.identity.messages import Signer
from enkaku.identity.tokens import sign, signing_input
from httpserving import error, serving
from identity.peers import ALICE, BOB, SERVER
from rawhttp import Feed, Site, message
from support import ASK, FILL, Lifetime, Serving, line, soon, turns, until

BOTH: Final = {"*": {ALICE.did, BOB.did}}
DENIED: Final = (403, "Access denied")


class Names(enkaku.Authenticator):
    """Believes what a header, or the metadata, says: the name, and a claim behind a slash."""

    def __init__(self) -> None:
        self.wait: dict[str, asyncio.Event] = {}
        self.asked = 0

    async def authenticate(self, proof: enkaku.Proof) -> enkaku.Identity | None:
        self.asked += 1
        token = proof.metadata.get("token") or proof.headers.get("Authorization")
        if token is None:
            return None
        name, _, claim = token.partition("/")
        if name in self.wait:
            await self.wait[name].wait()
        if name == "bad":
            raise enkaku.AuthenticationFailed("it is bad")
        return enkaku.Identity(f"test:{name}", "test", {"claim": claim})


class Seen:
    """A handler's channel and what it has got."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.callers: list[str] = []
        self.ended = asyncio.Event()
        self.life = Lifetime()
        self.events = 0

    async def fill(self, number: int, channel: enkaku.ServerChannel[str, str]) -> int:
        self._note()
        await channel.send("open")
        try:
            async for item in channel:
                self.items.append(item)
        finally:
            self.ended.set()
        return number

    async def ask(self, number: int) -> int:
        self._note()
        return await self.life.forever() if number == 0 else 2 * number

    async def watch(self, number: int, stream: enkaku.ServerStream[int]) -> int:
        self._note()
        await stream.send(number)
        return number

    async def ping(self) -> None:
        self.events += 1

    def _note(self) -> None:
        identity = enkaku.current_call().identity
        claim = "" if identity is None else identity.claims.get("claim", "")
        self.callers.append("nobody" if identity is None else f"{identity.id}/{claim}")

    def serving(self) -> Serving:
        return Serving(fill=self.fill, ask=self.ask, watch=self.watch, ping=self.ping)


@asynccontextmanager
async def signed_server(**options: Any) -> AsyncGenerator[tuple[Seen, Site], None]:
    seen = Seen()
    chosen: dict[str, Any] = {"identity": SERVER, "access": BOTH, **options}
    async with serving(seen.serving(), **chosen) as (_, made):
        yield seen, made


@asynccontextmanager
async def token_server(**options: Any) -> AsyncGenerator[tuple[Seen, Names, Site], None]:
    seen, names = Seen(), Names()
    chosen: dict[str, Any] = {"authenticators": {"test": names}, **options}
    async with serving(seen.serving(), **chosen) as (_, made):
        yield seen, names, made


def by(signer: enkaku.KeyPair, **payload: object) -> bytes:
    return Signer(signer, SERVER.did).sign(message(**payload))


def opening(rid: str, prc: str = "fill", typ: str = "channel") -> dict[str, object]:
    return {"typ": typ, "rid": rid, "prc": prc, "prm": 1}


def item(rid: str, value: str) -> dict[str, object]:
    return {"typ": "send", "rid": rid, "prc": "fill", "val": value}


def dumped(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def with_meta(token: str, **payload: object) -> bytes:
    said = json.loads(line(**payload))
    said["header"]["meta"] = {"token": token}
    return json.dumps(said).encode()


async def open_feed(made: Site, body: bytes, **headers: str) -> Feed:
    feed = await made.feed(body, **headers)
    first = await feed.message()
    assert (first["typ"], first["val"]) == ("receive", "open")
    return feed


async def test_request_without_signature_gets_error_message() -> None:
    async with signed_server() as (seen, made):
        response = await made.post(message(**opening("1", "ask", "request")))
        assert response.status == 200
        assert (response.payload["code"], response.payload["msg"]) == (
            "EK02",
            "Message is not signed",
        )
        response = await made.post(by(ALICE, **opening("1", "ask", "request")))
        assert response.payload == {"typ": "result", "rid": "1", "val": 2}
        assert seen.callers == [f"{ALICE.did}/"]


async def test_first_opening_without_signature_is_error_on_feed() -> None:
    async with signed_server() as (_, made):
        feed = await made.feed(message(**opening("1")))
        assert (await feed.message())["code"] == "EK02"


async def test_refused_event_is_answered_403() -> None:
    async with signed_server(access={"*": {ALICE.did}}) as (seen, made):
        ping = {"typ": "event", "prc": "ping"}
        assert error(await made.post(message(**ping))) == (403, "Message is not signed")
        assert error(await made.post(by(BOB, **ping))) == DENIED
        own = by(ALICE, **ping)
        assert (await made.post(own)).status == 204
        assert error(await made.post(own)) == (403, "Replay detected")
        assert seen.events == 1


async def test_event_beyond_rate_limit_is_answered_429() -> None:
    limits = enkaku.RateLimits(per_identity=(0.5, 1))
    async with signed_server(rate_limits=limits) as (seen, made):
        assert (await made.post(by(ALICE, typ="event", prc="ping"))).status == 204
        response = await made.post(by(ALICE, typ="event", prc="ping"))
        assert error(response) == (429, "Too many calls")
        assert response.headers["retry-after"] == "2"
        response = await made.post(by(ALICE, **opening("1", "ask", "request")))
        assert (response.status, response.payload["code"]) == (200, "EKP03")
        assert seen.events == 1


@pytest.mark.parametrize("named", [False, True], ids=["by rid", "by session"])
async def test_foreign_message_to_call_is_answered_403(named: bool) -> None:
    async with signed_server() as (seen, made):
        feed = await open_feed(made, by(ALICE, **opening("c")))
        headers = {"enkaku_session_id": feed.id} if named else {}
        abort = {"typ": "abort", "rid": "c", "rsn": "forged"}
        for body in (
            by(BOB, **item("c", "forged")),
            message(**item("c", "unsigned")),
            by(BOB, **abort),
            message(**abort),
            by(BOB, typ="abort", rid="c", rsn="Close"),
        ):
            response = await made.post(body, **headers)
            assert response.status == 403
        credit = by(BOB, typ="credit", rid="c", n=1)
        assert (await made.post(credit, enkaku_ext="1", **headers)).status == 403
        own = by(ALICE, **item("c", "own"))
        assert (await made.post(own, **headers)).status == 204
        assert (await made.post(own, **headers)).status == 403  # replayed
        await until(lambda: bool(seen.items))
        assert seen.items == ["own"]
        assert not seen.ended.is_set()
        assert (await made.post(by(ALICE, **abort), **headers)).status == 204
        await soon(seen.ended)


async def test_foreign_batch_is_answered_403() -> None:
    async with signed_server() as (seen, made):
        feed = await open_feed(made, by(ALICE, **opening("c")))
        batch = {"enkaku_ext": "1", "content_type": "application/x-ndjson"}
        forged = b"\n".join(by(BOB, **item("c", "forged")) for _ in range(3))
        assert (await made.post(forged, enkaku_session_id=feed.id, **batch)).status == 403
        own = b"\n".join(by(ALICE, **item("c", each)) for each in "xyz")
        assert (await made.post(own, enkaku_session_id=feed.id, **batch)).status == 204
        await until(lambda: len(seen.items) == 3)
        assert seen.items == ["x", "y", "z"]


async def test_foreign_opening_on_feed_is_answered_403() -> None:
    async with signed_server() as (seen, made):
        feed = await open_feed(made, by(ALICE, **opening("c")))
        for body in (by(BOB, **opening("d")), message(**opening("d"))):
            assert (await made.post(body, enkaku_session_id=feed.id)).status == 403
        later = by(ALICE, **opening("e", "watch", "stream"))
        assert (await made.post(later, enkaku_session_id=feed.id)).status == 204
        assert await feed.message() == {"typ": "receive", "rid": "e", "val": 1}
        assert seen.callers == [f"{ALICE.did}/", f"{ALICE.did}/"]


async def test_foreign_messages_never_end_the_feed() -> None:
    async with signed_server() as (seen, made):
        feed = await open_feed(made, by(ALICE, **opening("c")))
        other = await made.connect()
        for number in range(300):
            broken = message(typ="send", rid="c", prc="fill", val="x", more=number % 2)
            body = broken if number % 3 else message(**item("c", "unsigned"))
            response = await other.post(body, enkaku_session_id=feed.id)
            assert response.status in (400, 403)
        assert (await made.post(by(ALICE, **item("c", "own")))).status == 204
        await until(lambda: bool(seen.items))


async def test_clients_with_one_rid_have_their_own_calls() -> None:
    async with signed_server() as (seen, made):
        feeds = [await open_feed(made, by(each, **opening("c"))) for each in (ALICE, BOB)]
        assert (await made.post(by(BOB, typ="abort", rid="c", rsn="Close"))).status == 204
        assert await feeds[1].message() == {"typ": "result", "rid": "c", "val": 1}
        assert (await made.post(by(ALICE, **item("c", "own")))).status == 204
        await until(lambda: bool(seen.items))
        both = [await open_feed(made, by(each, **opening("d"))) for each in (ALICE, BOB)]
        assert (await made.post(by(ALICE, **item("d", "hers")))).status == 204
        assert (await made.post(by(BOB, **item("d", "his")))).status == 204
        await until(lambda: len(seen.items) == 3)
        assert len({feed.id for feed in (*feeds, *both)}) == 4


async def test_foreign_abort_of_request_is_answered_403() -> None:
    async with signed_server() as (seen, made):
        exchange = await made.connect()
        exchange.start(by(ALICE, typ="request", rid="r", prc="ask", prm=0))
        await soon(seen.life.began)
        abort = {"typ": "abort", "rid": "r", "rsn": "no more"}
        assert error(await made.post(by(BOB, **abort))) == DENIED
        assert (await made.post(message(**abort))).status == 403
        await turns()
        assert not seen.life.ended.is_set()
        assert (await made.post(by(ALICE, **abort))).status == 204
        assert (await exchange.response()).payload["code"] == "EK05"
        await soon(seen.life.ended)


def peer() -> enkaku.Connection:
    """The connection to the peer of the handler that runs."""
    return enkaku.current_call().connection.client(lambda connection: connection)


async def test_foreign_request_naming_session_is_answered_403() -> None:
    callers: list[str] = []

    async def ask(_: int) -> int:
        identity = enkaku.current_call().identity
        assert identity is not None
        callers.append(identity.id)
        return await peer().request(ASK, 5)

    async with serving(Serving(ask=ask), identity=SERVER, access=BOTH) as (_, made):
        alive = json.loads(line(typ="stream", rid="1", prc="enkaku:alive?"))
        alive["header"]["ext"] = ["credit", "call"]
        feed = await made.feed(Signer(ALICE, SERVER.did).sign(dumped(alive)))
        assert (await feed.message())["code"] == "EK08"  # as the answer of every server
        named = {"enkaku_session_id": feed.id, "enkaku_ext": "1"}
        request: dict[str, object] = {"typ": "request", "rid": "r", "prc": "ask", "prm": 1}
        assert error(await made.post(by(BOB, **request), **named)) == DENIED
        assert (await made.post(message(**request), **named)).status == 403
        exchange = await made.connect()
        exchange.start(by(ALICE, **request), **named)
        call = await feed.message()
        assert (call["typ"], call["prm"]) == ("request", 5)
        reply = message(typ="result", rid=call["rid"], val=10)
        batch = {"content_type": "application/x-ndjson", **named}
        assert (await made.post(reply, **batch)).status == 204
        assert (await exchange.response()).payload["val"] == 10
    assert callers == [ALICE.did]


async def test_message_without_times_comes_once_over_http() -> None:
    """Nothing proves that two POSTs are of one client, so that a repeated one may be a replay."""
    said = json.loads(line(typ="event", prc="ping"))
    said["header"] = {"typ": "JWT", "alg": "EdDSA"}
    said["payload"] |= {"iss": ALICE.did, "aud": SERVER.did}
    data = signing_input(json.dumps(said["header"]).encode(), json.dumps(said["payload"]).encode())
    old = json.dumps(said | {"signature": sign(ALICE, data), "data": data}).encode()
    guard = enkaku.ReplayGuard(old_clients=True)
    async with signed_server(replays=guard) as (seen, made):
        exchange = await made.connect()
        assert (await exchange.post(old)).status == 204
        assert error(await exchange.post(old)) == (403, "Replay detected")
        assert seen.events == 1
    async with signed_server() as (seen, made):
        assert error(await made.post(old)) == (403, "Message has no time")


async def test_headers_belong_to_the_call_of_their_post() -> None:
    async with token_server() as (seen, _, made):
        feed = await open_feed(made, message(**opening("c")), authorization="alice/1")
        later = message(**opening("d", "watch", "stream"))
        headers = {"enkaku_session_id": feed.id, "authorization": "alice/2"}
        assert (await made.post(later, **headers)).status == 204
        assert (await feed.message())["rid"] == "d"
        await made.post(message(**opening("r", "ask", "request")), authorization="alice/3")
        assert seen.callers == ["test:alice/1", "test:alice/2", "test:alice/3"]


@pytest.mark.parametrize("foreign", ["bob", "bad", None])
async def test_session_of_other_headers_is_answered_403(foreign: str | None) -> None:
    headers = {} if foreign is None else {"authorization": foreign}
    async with token_server() as (seen, _, made):
        feed = await open_feed(made, message(**opening("c")), authorization="alice")
        named = {"enkaku_session_id": feed.id, "enkaku_ext": "1", **headers}
        for body in (
            message(**opening("c")),  # it does not learn that there is this call
            message(**opening("d")),
            message(**item("c", "forged")),
            message(**item("unknown", "forged")),
            message(typ="abort", rid="c", rsn="forged"),
            message(typ="credit", rid="c", n=1),
            message(typ="end", rid="c"),
            message(**opening("r", "ask", "request")),
            message(typ="event", prc="ping"),
        ):
            assert (await made.post(body, **named)).status == 403
        batch = message(typ="result", rid="s:1", val=1)
        response = await made.post(batch, content_type="application/x-ndjson", **named)
        assert response.status == 403
        assert (await made.post(message(**item("c", "forged")), **headers)).status == 403
        assert (await made.post(message(typ="abort", rid="c"), **headers)).status == 403
        own = await made.post(message(**item("c", "own")), authorization="alice/later")
        assert own.status == 204
        await until(lambda: bool(seen.items))
        assert seen.items == ["own"]
        assert (seen.events, len(seen.callers)) == (0, 1)
        assert not seen.ended.is_set()


async def test_request_is_aborted_only_by_its_own_headers() -> None:
    async with token_server() as (seen, _, made):
        exchange = await made.connect()
        exchange.start(message(typ="request", rid="r", prc="ask", prm=0), authorization="alice")
        await soon(seen.life.began)
        abort = message(typ="abort", rid="r", rsn="no more")
        assert (await made.post(abort, authorization="bob")).status == 403
        assert (await made.post(abort)).status == 403
        assert not seen.life.ended.is_set()
        assert (await made.post(abort, authorization="alice/2")).status == 204
        assert (await exchange.response()).payload["code"] == "EK05"


async def test_session_without_proof_belongs_to_who_knows_its_id() -> None:
    async with token_server() as (seen, _, made):
        feed = await open_feed(made, message(**opening("c")))
        later = message(**opening("d", "watch", "stream"))
        headers = {"enkaku_session_id": feed.id, "authorization": "bob"}
        assert (await made.post(later, **headers)).status == 204
        assert (await feed.message())["rid"] == "d"
        assert seen.callers == ["nobody", "test:bob/"]


async def test_metadata_proves_the_call_and_not_the_session() -> None:
    async with token_server() as (seen, _, made):
        feed = await open_feed(made, with_meta("alice", **opening("c")))
        later = with_meta("bob", **opening("d", "watch", "stream"))
        assert (await made.post(later, enkaku_session_id=feed.id)).status == 204
        assert (await feed.message())["rid"] == "d"
        assert (await made.post(message(**item("c", "own")))).status == 204
        await until(lambda: bool(seen.items))
        assert seen.callers == ["test:alice/", "test:bob/"]


async def test_bad_headers_of_first_opening_are_error_on_feed() -> None:
    async with token_server(access={"*": "identified"}) as (_, _, made):
        feed = await made.feed(message(**opening("c")), authorization="bad")
        assert (await feed.message())["code"] == "EK02"


async def test_slow_authenticator_delays_its_own_post_only() -> None:
    async with token_server() as (seen, names, made):
        gate = names.wait["slow"] = asyncio.Event()
        exchange = await made.connect()
        exchange.start(message(**opening("r", "ask", "request")), authorization="slow")
        ping = await made.connect()
        ping.start(message(typ="event", prc="ping"), authorization="slow")
        feed = await open_feed(made, message(**opening("c")), authorization="alice")
        waiting = await made.connect()
        headers = {"enkaku_session_id": feed.id, "authorization": "slow"}
        waiting.start(message(**item("c", "forged")), **headers)
        own = message(**item("c", "own"))
        assert (await made.post(own, authorization="alice")).status == 204
        response = await made.post(message(**opening("r", "ask", "request")), authorization="bob")
        assert response.payload["val"] == 2
        await until(lambda: names.asked >= 6)
        assert seen.events == 0
        gate.set()
        assert (await exchange.response()).payload["val"] == 2
        assert (await ping.response()).status == 204
        assert (await waiting.response()).status == 403
        assert seen.items == ["own"]


async def test_event_that_waits_for_refusal_is_answered_403() -> None:
    async with token_server(access={"*": {"test:alice"}}) as (seen, _, made):
        ping = message(typ="event", prc="ping")
        assert error(await made.post(ping, authorization="bob")) == DENIED
        assert (await made.post(ping, authorization="bad")).status == 403
        assert (await made.post(ping)).status == 403
        assert (await made.post(ping, authorization="alice")).status == 204
        assert seen.events == 1


async def test_event_that_rule_denies_is_answered_403() -> None:
    async def never(_: enkaku.Call) -> bool:
        await asyncio.sleep(0)
        return False

    async with token_server(access={"*": never}) as (seen, _, made):
        response = await made.post(message(typ="event", prc="ping"), authorization="alice")
        assert error(response) == DENIED
        assert seen.events == 0


async def test_denied_caller_over_http_does_not_learn_what_exists() -> None:
    rules = {"*": {"test:alice"}}
    async with token_server(access=rules, explain_refusals=True) as (_, _, made):

        async def ask(prc: str, caller: str) -> dict[str, Any]:
            body = message(typ="request", rid="1", prc=prc, prm="wrong")
            return (await made.post(body, authorization=caller)).payload

        for prc in ("ask", "fill", "none"):
            reply = await ask(prc, "bob")
            assert (reply["code"], reply["msg"]) == ("EK02", "Access denied")
        assert "there is no request 'none'" in (await ask("none", "alice"))["msg"]
        assert "expected integer" in (await ask("ask", "alice"))["msg"]


async def test_header_that_is_not_listed_proves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with token_server(proof_headers=["x-token"]) as (seen, _, made):
        response = await made.post(message(**opening("r", "ask", "request")), authorization="alice")
        assert response.payload["code"] == "EK02"
        assert seen.callers == []
    assert "'Authorization' is not among the headers that may prove who calls (x-token)" in str(
        [record.exc_info for record in caplog.records]
    )


async def test_cookies_need_named_origins() -> None:
    with pytest.raises(enkaku.UsageError, match="every page could call"):
        enkaku.asgi(Serving(), origins="*", proof_headers=["Cookie"])
    with pytest.raises(enkaku.UsageError, match="must be a list"):
        enkaku.asgi(Serving(), proof_headers="cookie")
    enkaku.asgi(Serving(), origins=["https://a.example"], proof_headers=["Cookie"])


async def test_client_with_headers_uses_its_session() -> None:
    async with token_server() as (seen, _, made):
        async with enkaku.connect_http(
            f"http://127.0.0.1:{made.port}/", headers={"authorization": "alice"}
        ) as connection:
            async with connection.channel(FILL, 1) as channel:
                await channel.send("one")
                assert await anext(channel) == "open"
                await channel.end()
                assert await channel.result() == 1
        assert (seen.items, seen.callers) == (["one"], ["test:alice/"])


async def test_headers_of_websocket_handshake_prove_each_call() -> None:
    async with token_server(access={"*": "identified"}) as (seen, _, made):
        async with enkaku.connect_ws(
            f"ws://127.0.0.1:{made.port}/", headers={"authorization": "alice"}
        ) as connection:
            assert await connection.request(ASK, 2) == 4
        assert seen.callers == ["test:alice/"]
