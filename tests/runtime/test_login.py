"""Logins: who makes the calls of a connection, until when, and how a client stays logged in."""

import asyncio
import json
import os
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import enkaku
import enkaku.sync
import pytest
from enkaku.identity.signing import make_signer
from support import (
    ASK,
    VOID,
    WATCH,
    WITHIN,
    Connect,
    Raw,
    Serving,
    raw_client,
    raw_server,
    soon,
    until,
)
from webserver import serving_app

LOGIN = "enkaku:login"
QUICK = enkaku.Reconnect(first=0.001, longest=0.01)
ALICE = {"ask": {"key:alice"}, "watch": {"key:alice"}, "void": "everybody", "echo": "everybody"}


class Tokens:
    """Recognizes tokens such as ``alice``, ``alice 5`` (for so many seconds); ``slow ...`` waits for ``decide``."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.asked, self.decide = asyncio.Event(), asyncio.Event()

    async def authenticate(self, proof: enkaku.Proof) -> enkaku.Identity | None:
        token = proof.metadata.get("token")
        if token is None:
            return None
        self.seen.append(token)
        if token.startswith("slow "):
            self.asked.set()
            await self.decide.wait()
        name, _, seconds = token.removeprefix("slow ").partition(" ")
        if name == "wrong":
            raise enkaku.AuthenticationFailed("guessed", "Wrong token")
        expires = time.time() + float(seconds) if seconds else None
        return enkaku.Identity(f"key:{name}", "key", expires=expires)


class Denials(enkaku.Observer):
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def access_denied(self, connection: enkaku.ConnectionInfo, procedure: str, reason: str) -> None:
        self.seen.append((procedure, reason))


class Source:
    """The function of a login: returns one token after the other, and the last again and again; raises errors."""

    def __init__(self, *tokens: str | Exception) -> None:
        self.tokens = list(tokens)
        self.calls = 0

    async def __call__(self) -> Mapping[str, str]:
        token = self.tokens[min(self.calls, len(self.tokens) - 1)]
        self.calls += 1
        if isinstance(token, Exception):
            raise token
        return {"token": token}


async def who(_: int) -> int:
    """Return 1 if the caller is Alice, by a login."""
    call = enkaku.current_call()
    assert call.connection.identity is not None
    return int(call.connection.identity.id == "key:alice")


async def count(number: int, stream: enkaku.ServerStream[int]) -> int:
    await stream.send(number)
    await asyncio.Event().wait()
    return number


def guarded(**options: Any) -> dict[str, Any]:
    return {"access": ALICE, "authenticators": {"key": Tokens()}, **options}


async def log_in(peer: Raw, token: str | None, rid: str = "login") -> dict[str, Any]:
    send_login(peer, token, rid)
    return await peer.read()


def send_login(peer: Raw, token: str | None, rid: str = "login", **header: Any) -> None:
    meta = {} if token is None else {"meta": {"token": token}}
    payload = {"typ": "request", "rid": rid, "prc": LOGIN}
    peer.send_line({"typ": "JWT", "alg": "none", **meta, **header}, payload)


async def ask(peer: Raw, rid: str = "ask", prc: str = "ask") -> dict[str, Any]:
    peer.send(typ="request", rid=rid, prc=prc, **({"prm": 1} if prc == "ask" else {}))
    return await peer.read()


def error(rid: str, msg: str, code: str = "EK02") -> dict[str, Any]:
    return {"typ": "error", "rid": rid, "code": code, "data": {}, "msg": msg}


# The server


async def test_login_identifies_later_calls(socket_path: Path) -> None:
    async with (
        enkaku.serve_unix(Serving(ask=who), socket_path, **guarded()) as server,
        raw_client(socket_path) as peer,
    ):
        assert await ask(peer) == error("ask", "Access denied")
        assert await log_in(peer, "alice") == {
            "typ": "result",
            "rid": "login",
            "val": {"id": "key:alice"},
        }
        assert await ask(peer) == {"typ": "result", "rid": "ask", "val": 1}
        identities = server.connections[0].identities
        assert [each.id for each in identities] == ["key:alice", f"unix:{os.getuid()}"]


async def test_login_reply_says_when_it_expires(socket_path: Path) -> None:
    async with (
        enkaku.serve_unix(Serving(), socket_path, **guarded()),
        raw_client(socket_path) as peer,
    ):
        reply = await log_in(peer, "alice 100")
        assert reply["val"]["id"] == "key:alice"
        assert 90 < reply["val"]["expires_in"] <= 100


@pytest.mark.parametrize(
    ("token", "text"),
    [("wrong", "Wrong token"), (None, "Access denied"), ("alice -5", "Token expired")],
)
async def test_login_without_valid_proof_is_rejected(
    socket_path: Path, token: str | None, text: str
) -> None:
    denials = Denials()
    async with (
        enkaku.serve_unix(Serving(ask=who), socket_path, **guarded(observers=[denials])) as server,
        raw_client(socket_path) as peer,
    ):
        assert await log_in(peer, token) == error("login", text)
        assert await ask(peer) == error("ask", "Access denied")
        assert [each.method for each in server.connections[0].identities] == ["unix"]
    reason = "guessed" if token == "wrong" else text
    denied = f"the rule of 'ask' does not allow unix:{os.getuid()}"
    assert denials.seen == [(LOGIN, reason), ("ask", denied)]


async def test_login_as_somebody_else_is_rejected(socket_path: Path) -> None:
    async with (
        enkaku.serve_unix(Serving(ask=who), socket_path, **guarded()) as server,
        raw_client(socket_path) as peer,
    ):
        await log_in(peer, "alice 100")
        assert await log_in(peer, "bob") == error("login", "Logged in as another identity")
        assert await ask(peer) == {"typ": "result", "rid": "ask", "val": 1}
        reply = await log_in(peer, "alice 1000")
        assert reply["val"]["expires_in"] > 900
        identity = server.connections[0].identity
        assert identity is not None
        assert identity.expires is not None
        assert identity.expires > time.time() + 900


async def test_expired_login_ends_its_calls_and_rejects_new_ones(socket_path: Path) -> None:
    options = guarded(access={**ALICE, "watch": "identified"})
    async with (
        enkaku.serve_unix(Serving(ask=who, watch=count), socket_path, **options) as server,
        raw_client(socket_path) as peer,
    ):
        peer.send(typ="stream", rid="before", prc="watch", prm=1)
        assert (await peer.read())["val"] == 1
        await log_in(peer, "alice 0.2")
        peer.send(typ="stream", rid="by-login", prc="watch", prm=2)
        assert (await peer.read())["val"] == 2
        header = {"typ": "JWT", "alg": "none", "meta": {"token": "alice"}}
        peer.send_line(header, {"typ": "stream", "rid": "own", "prc": "watch", "prm": 3})
        assert (await peer.read())["val"] == 3
        assert await peer.read() == error("by-login", "Token expired")
        await until(lambda: len(server.connections[0].calls) == 2)
        assert [each.method for each in server.connections[0].identities] == ["unix"]
        assert await ask(peer, "void", "void") == error("void", "Token expired")
        peer.send_line(header, {"typ": "request", "rid": "own2", "prc": "void"})
        assert await peer.read() == {"typ": "result", "rid": "own2"}
        assert await log_in(peer, "bob") == error("login", "Logged in as another identity")
        await log_in(peer, "alice")
        assert await ask(peer) == {"typ": "result", "rid": "ask", "val": 1}
        assert {call.rid for call in server.connections[0].calls} == {"before", "own"}


async def test_expired_login_leaves_events_alone(socket_path: Path) -> None:
    began, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def tell(_: int) -> None:
        began.set()
        await go_on.wait()
        ended.set()

    options = guarded(access={"tell": {"key:alice"}})
    async with (
        enkaku.serve_unix(Serving(tell=tell), socket_path, **options) as server,
        raw_client(socket_path) as peer,
    ):
        await log_in(peer, "alice 0.1")
        peer.send(typ="event", prc="tell", data=1)
        await soon(began)
        await until(lambda: len(server.connections[0].identities) == 1)
        go_on.set()
        await soon(ended)


async def test_renewed_login_goes_on(socket_path: Path) -> None:
    async with (
        enkaku.serve_unix(Serving(ask=who, watch=count), socket_path, **guarded()) as server,
        raw_client(socket_path) as peer,
    ):
        await log_in(peer, "alice 0.1")
        first = server.connections[0].identity
        peer.send(typ="stream", rid="watch", prc="watch", prm=1)
        await peer.read()
        await log_in(peer, "alice 100")
        assert first is not None
        assert first.expires is not None
        expires = first.expires
        async with asyncio.timeout(WITHIN):
            while time.time() < expires + 0.05:
                assert await ask(peer) == {"typ": "result", "rid": "ask", "val": 1}
        assert [call.rid for call in server.connections[0].calls] == ["watch"]


async def test_pending_call_is_rejected_at_expiry(socket_path: Path) -> None:
    asked, decide = asyncio.Event(), asyncio.Event()

    async def slowly(_: enkaku.Call) -> bool:
        asked.set()
        await decide.wait()
        return True

    async with (
        enkaku.serve_unix(
            Serving(ask=who), socket_path, **guarded(access={"ask": slowly})
        ) as server,
        raw_client(socket_path) as peer,
    ):
        await log_in(peer, "alice 0.1")
        peer.send(typ="request", rid="ask", prc="ask", prm=1)
        await soon(asked)
        await until(lambda: len(server.connections[0].identities) == 1)
        decide.set()
        assert await peer.read() == error("ask", "Token expired")


async def test_slow_login_holds_up_nothing_else(socket_path: Path) -> None:
    tokens = Tokens()
    async with (
        enkaku.serve_unix(Serving(ask=who), socket_path, **guarded(authenticators={"key": tokens})),
        raw_client(socket_path) as peer,
    ):
        send_login(peer, "slow alice")
        await soon(tokens.asked)
        assert await ask(peer, "void", "void") == {"typ": "result", "rid": "void"}
        tokens.decide.set()
        assert (await peer.read())["rid"] == "login"


@pytest.mark.parametrize("how", ["abort", "ttl"])
async def test_slow_login_ends_as_any_request(socket_path: Path, how: str) -> None:
    tokens = Tokens()
    async with (
        enkaku.serve_unix(
            Serving(ask=who), socket_path, **guarded(authenticators={"key": tokens})
        ) as server,
        raw_client(socket_path) as peer,
    ):
        header: dict[str, Any] = {"ttl": 50} if how == "ttl" else {}
        send_login(peer, "slow alice", **header)
        await soon(tokens.asked)
        if how == "ttl":
            assert await peer.read() == error("login", "The call took too long", "EK05")
        else:
            peer.send(typ="abort", rid="login")
            assert await peer.settle() == []
        await until(lambda: not server.connections[0].calls)
        tokens.decide.set()
        assert await ask(peer) == error("ask", "Access denied")


async def test_login_counts_against_limits(socket_path: Path) -> None:
    options = guarded(
        limits=enkaku.Limits(calls=2), rate_limits=enkaku.RateLimits(per_identity=(0.001, 1))
    )
    tokens = options["authenticators"]["key"]
    async with (
        enkaku.serve_unix(Serving(watch=count), socket_path, **options),
        raw_client(socket_path) as peer,
    ):
        send_login(peer, "slow alice", "1")
        send_login(peer, "slow alice", "1")
        assert await peer.read() == error("1", "Invalid protocol message", "EK08")
        send_login(peer, "slow alice", "2")
        send_login(peer, "slow alice", "3")
        assert await peer.read() == error("3", "Too many open calls", "EK03")
        tokens.decide.set()
        replies = {(reply := await peer.read())["rid"]: reply for _ in range(2)}
        assert replies["1"]["typ"] == "result"
        assert replies["2"]["code"] == "EKP03"


@pytest.mark.parametrize("typ", ["stream", "channel"])
async def test_login_of_another_kind_is_invalid(socket_path: Path, typ: str) -> None:
    async with (
        enkaku.serve_unix(Serving(), socket_path, **guarded()),
        raw_client(socket_path) as peer,
    ):
        peer.send(typ=typ, rid="a", prc=LOGIN)
        assert await peer.read() == error("a", "Invalid protocol message", "EK08")


@pytest.mark.parametrize(
    ("access", "reply"),
    [(None, ("EK08", "Invalid protocol message")), ({"*": "everybody"}, ("EK02", "Access denied"))],
)
async def test_server_without_authenticators_has_no_logins(
    socket_path: Path, access: Any, reply: tuple[str, str]
) -> None:
    async with enkaku.serve_unix(Serving(), socket_path, access=access):
        async with raw_client(socket_path) as peer:
            assert await log_in(peer, "alice") == error("login", reply[1], reply[0])
        with pytest.raises(enkaku.CallError) as caught:
            async with enkaku.connect_unix(socket_path, login=Source("alice")):
                pytest.fail("connected")
    assert (caught.value.code, caught.value.procedure) == (reply[0], LOGIN)
    assert ("has no logins" in str(caught.value)) is (reply[0] == "EK08")


async def test_interceptors_do_not_wrap_logins(socket_path: Path) -> None:
    entered: list[str] = []

    class Intercept:
        def __init__(self, call: enkaku.Call) -> None:
            entered.append(call.procedure.name)

        async def __aenter__(self) -> None: ...
        async def __aexit__(self, *_: object) -> None: ...

    async with (
        enkaku.serve_unix(Serving(ask=who), socket_path, **guarded(interceptors=[Intercept])),
        enkaku.connect_unix(
            socket_path, login=Source("alice"), interceptors=[Intercept]
        ) as connection,
    ):
        await connection.request(ASK, 1)
    assert entered == ["ask", "ask"]


# The client


async def test_client_logs_in_before_other_calls(connect: Connect) -> None:
    source = Source("alice 1000")
    options = guarded(access={"ask": {"key:alice"}})
    async with connect(Serving(ask=who), client_login=source, **options) as connection:
        assert await connection.request(ASK, 1) == 1
    assert source.calls == 1


async def test_client_logs_in_before_its_lifespan(socket_path: Path) -> None:
    asked: list[int] = []

    class Lifespan:
        def __init__(self, connection: enkaku.Connection) -> None:
            self.connection = connection

        async def __aenter__(self) -> None:
            asked.append(await self.connection.request(ASK, 1))

        async def __aexit__(self, *_: object) -> None:
            asked.append(await self.connection.request(ASK, 1))

    async with enkaku.serve_unix(Serving(ask=who), socket_path, **guarded()):
        async with enkaku.connect_unix(socket_path, login=Source("alice"), lifespan=Lifespan):
            assert asked == [1]
    assert asked == [1, 1]


async def test_client_logs_in_again_after_reconnect(socket_path: Path) -> None:
    source = Source("alice", OSError("no token now"), "alice")
    async with AsyncExitStack() as stack:
        async with enkaku.serve_unix(Serving(ask=who), socket_path, **guarded()):
            connection = await stack.enter_async_context(
                enkaku.connect_unix(socket_path, reconnect=QUICK, login=source)
            )
        async with enkaku.serve_unix(Serving(ask=who), socket_path, **guarded()):
            assert await connection.request(ASK, 1) == 1
    assert source.calls == 3


async def test_login_rejected_after_reconnect_ends_the_connection(socket_path: Path) -> None:
    source = Source("alice", "wrong")
    async with AsyncExitStack() as stack:
        async with enkaku.serve_unix(Serving(ask=who), socket_path, **guarded()):
            connection = await stack.enter_async_context(
                enkaku.connect_unix(socket_path, reconnect=QUICK, login=source)
            )
        async with enkaku.serve_unix(Serving(ask=who), socket_path, **guarded()):
            with pytest.raises(enkaku.ConnectionLost, match="enkaku:login: Wrong token") as caught:
                await connection.request(ASK, 1)
            assert connection.state == "failed"
    assert isinstance(caught.value.__cause__, enkaku.CallError)
    assert source.calls == 2


@pytest.mark.parametrize(
    ("token", "expected"),
    [("wrong", enkaku.CallError), (OSError("no token"), OSError), ("bob", None)],
)
async def test_login_failing_at_first_fails_the_connection(
    connect: Connect, token: str | Exception, expected: type[Exception] | None
) -> None:
    source = Source(token)
    if expected is None:
        async with connect(Serving(ask=who), client_login=source, **guarded()) as connection:
            with pytest.raises(enkaku.CallError, match="Access denied"):
                await connection.request(ASK, 1)
        return
    with pytest.raises(expected) as caught:
        async with connect(Serving(ask=who), client_login=source, **guarded()):
            pytest.fail("connected")
    assert str(caught.value) in {"enkaku:login: Wrong token (EK02)", "no token"}


@pytest.mark.parametrize("what", ["the function", "the server"])
async def test_login_that_takes_too_long_fails(socket_path: Path, what: str) -> None:
    async def never() -> Mapping[str, str]:
        await asyncio.Event().wait()
        return {}

    login = never if what == "the function" else Source("alice")
    async with raw_server(socket_path):
        with pytest.raises(enkaku.DeadlineExceeded, match=LOGIN):
            async with enkaku.connect_unix(socket_path, login=login, timeout=0.05):
                pytest.fail("connected")


async def test_connection_lost_during_login_fails(socket_path: Path) -> None:
    async def connect() -> None:
        async with enkaku.connect_unix(socket_path, login=Source("alice")):
            pytest.fail("connected")

    async with raw_server(socket_path) as server:
        connecting = asyncio.create_task(connect())
        peer = await server.accept()
        assert (await peer.read())["prc"] == LOGIN
        peer.writer.transport.abort()
        with pytest.raises(enkaku.ConnectionLost):
            async with asyncio.timeout(WITHIN):
                await connecting


async def answer_login(peer: Raw, **val: object) -> None:
    login = await peer.read_line()
    assert login["payload"]["prc"] == LOGIN
    peer.send(typ="result", rid=login["payload"]["rid"], val={"id": "key:alice", **val})


@pytest.mark.parametrize("left", [10.0, 3600.0])
async def test_client_renews_its_login(
    socket_path: Path, monkeypatch: pytest.MonkeyPatch, left: float
) -> None:
    slept: list[float] = []
    go_on: asyncio.Queue[None] = asyncio.Queue()

    yield_once = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if seconds:
            slept.append(seconds)
            await go_on.get()
        else:
            await yield_once(0)

    async def connected() -> None:
        async with enkaku.connect_unix(socket_path, login=source) as connection:
            await connection.request(VOID, None)

    source = Source("one", "two", OSError("no token"), "wrong", "three")
    async with raw_server(socket_path) as server:
        connecting = asyncio.create_task(connected())
        peer = await server.accept()
        monkeypatch.setattr("asyncio.sleep", sleep)
        await answer_login(peer, expires_in=left)
        call = await peer.read()
        assert call["prc"] == "void"
        go_on.put_nowait(None)
        await answer_login(peer, expires_in=left)
        go_on.put_nowait(None)  # the function fails
        await until(lambda: len(slept) == 3)
        go_on.put_nowait(None)  # the server rejects it
        login = await peer.read()
        peer.send(**error(login["rid"], "Wrong token"))
        await until(lambda: len(slept) == 4)
        go_on.put_nowait(None)
        await answer_login(peer)
        peer.send(typ="result", rid=call["rid"])
        async with asyncio.timeout(WITHIN):
            await connecting
    delay = left - min(30, left / 5)
    assert slept == [delay, delay, 1.0, 2.0]
    assert source.calls == 5


async def test_client_that_renews_closes_at_once(socket_path: Path) -> None:
    renewing = asyncio.Event()

    async def login() -> Mapping[str, str]:
        if peer_logged_in:
            renewing.set()
            await asyncio.Event().wait()
        return {"token": "alice"}

    peer_logged_in = False
    async with raw_server(socket_path) as server:
        connecting = enkaku.connect_unix(socket_path, login=login)
        entering = asyncio.create_task(connecting.__aenter__())
        peer = await server.accept()
        peer_logged_in = True
        await answer_login(peer, expires_in=0)
        await entering
        await soon(renewing)
        peer.writer.close()
        async with asyncio.timeout(WITHIN):
            await connecting.__aexit__(None, None, None)


async def test_login_stays_across_its_expiry(socket_path: Path) -> None:
    source = Source("alice 1.3")
    async with (
        enkaku.serve_unix(Serving(ask=who, watch=count), socket_path, **guarded()) as server,
        enkaku.connect_unix(socket_path, login=source) as connection,
    ):
        async with connection.stream(WATCH, 1) as stream:
            assert await anext(aiter(stream)) == 1
            await until(lambda: source.calls == 3)
            assert await connection.request(ASK, 1) == 1
            assert len(server.connections[0].calls) == 1


@pytest.mark.parametrize("login", ["token", {"token": "alice"}, 5])
async def test_login_that_is_no_function_is_refused(socket_path: Path, login: Any) -> None:
    with pytest.raises(enkaku.UsageError, match="login: it must be an async function"):
        async with enkaku.connect_unix(socket_path, login=login):
            pytest.fail("connected")


@pytest.mark.parametrize(
    ("login", "problem"),
    [
        (lambda: {"token": "alice"}, "login: the function must be async"),
        (lambda: asyncio.sleep(0, {"enkaku-x": "y"}), "login: what the function returned"),
        (lambda: asyncio.sleep(0, {"token": "x" * 5000}), "4096 bytes"),
        (lambda: asyncio.sleep(0, None), "login: what the function returned"),
    ],
)
async def test_login_function_must_return_metadata(
    socket_path: Path, login: Any, problem: str
) -> None:
    async with enkaku.serve_unix(Serving(), socket_path, **guarded()):
        with pytest.raises(enkaku.UsageError, match=problem):
            async with enkaku.connect_unix(socket_path, login=login):
                pytest.fail("connected")


async def test_login_is_shown_nowhere(socket_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shown: list[str] = []

    class Shows(enkaku.Observer):
        def call_started(self, call: enkaku.Call) -> None:
            shown.append(repr(call))

        def call_ended(self, call: enkaku.Call) -> None:
            shown.append(repr(call))
            kept.append(call)

    kept: list[enkaku.Call] = []
    caplog.set_level("DEBUG")
    shows = [Shows()]
    async with enkaku.serve_unix(Serving(), socket_path, **guarded(observers=shows)):
        async with enkaku.connect_unix(
            socket_path, login=Source("alice"), observers=shows
        ) as connection:
            shown.append(repr(connection.info))
        with pytest.raises(enkaku.CallError):
            async with enkaku.connect_unix(socket_path, login=Source("wrong"), observers=shows):
                pytest.fail("connected")
    text = " ".join(shown) + caplog.text
    assert LOGIN in text
    assert "'alice'" not in text
    assert not any(call.metadata for call in kept)


# Over HTTP


async def test_client_over_http_sends_its_login_with_each_call() -> None:
    tokens = Tokens()
    metadata: list[Mapping[str, str]] = []

    async def own(_: int) -> int:
        call = enkaku.current_call()
        metadata.append(call.metadata)
        assert call.identity is not None
        assert call.connection.identity is None
        return int(call.identity.id == "key:alice")

    options = guarded(authenticators={"key": tokens})
    async with (
        serving_app(enkaku.asgi(Serving(ask=own, watch=count), **options)) as port,
        enkaku.connect_http(
            f"http://127.0.0.1:{port}", login=Source("alice 1000"), metadata={"a": "b"}
        ) as connection,
    ):
        assert tokens.seen == ["alice 1000"]
        assert await connection.request(ASK, 1) == 1
        async with connection.stream(WATCH, 1) as stream:
            assert await anext(aiter(stream)) == 1
        with pytest.raises(enkaku.CallError, match="Wrong token"):
            await connection.request(ASK, 1, metadata={"token": "wrong"})
    assert metadata == [{"token": "alice 1000", "a": "b"}]


async def test_login_over_websocket_lasts_for_the_connection() -> None:
    tokens = Tokens()
    options = guarded(authenticators={"key": tokens})
    async with (
        serving_app(enkaku.asgi(Serving(ask=who), **options)) as port,
        enkaku.connect_ws(f"ws://127.0.0.1:{port}", login=Source("alice")) as connection,
    ):
        assert await connection.request(ASK, 1) == 1
    assert tokens.seen == ["alice"]


# With signatures


async def test_signed_client_logs_in(socket_path: Path) -> None:
    server_key, client_key, other = (enkaku.KeyPair.generate() for _ in range(3))
    token = enkaku.delegate(
        other, to=client_key.did, act="math/*", res=server_key.did, expires_in=600
    )
    async with enkaku.serve_unix(
        Serving(ask=who, watch=count), socket_path, **guarded(identity=server_key)
    ):
        with pytest.raises(enkaku.CallError, match="not signed"):
            async with enkaku.connect_unix(socket_path, login=Source("alice")):
                pytest.fail("connected")
        for capabilities in ((), (token,)):
            async with enkaku.connect_unix(
                socket_path,
                login=Source("alice 0.3"),
                identity=client_key,
                audience=server_key.did,
                capabilities=capabilities,
            ) as connection:
                if capabilities:
                    continue
                assert await connection.request(ASK, 1) == 1
                async with connection.stream(WATCH, 1) as stream:
                    with pytest.raises(enkaku.CallError, match="Token expired"):
                        async for item in stream:
                            assert item == 1


async def test_signed_call_that_needs_no_login_goes_on(socket_path: Path) -> None:
    server_key, client_key = enkaku.KeyPair.generate(), enkaku.KeyPair.generate()
    access = {"watch": {client_key.did}, "ask": {"key:alice"}}
    async with (
        enkaku.serve_unix(
            Serving(ask=who, watch=count),
            socket_path,
            **guarded(identity=server_key, access=access),
        ) as server,
        enkaku.connect_unix(
            socket_path,
            login=Source("alice 0.3", OSError("no token")),
            identity=client_key,
            audience=server_key.did,
        ) as connection,
        connection.stream(WATCH, 1) as stream,
    ):
        assert await anext(aiter(stream)) == 1
        assert await connection.request(ASK, 1) == 1
        await until(lambda: len(server.connections[0].identities) == 1)
        with pytest.raises(enkaku.CallError, match="Access denied"):
            await connection.request(ASK, 1)
        assert len(server.connections[0].calls) == 1


async def test_signed_login_is_of_no_use_to_another_key(socket_path: Path) -> None:
    server_key, client_key, other = (enkaku.KeyPair.generate() for _ in range(3))

    def sign(key: enkaku.KeyPair, header: dict[str, Any], payload: dict[str, Any]) -> bytes:
        message = json.dumps({"header": header, "payload": payload}, separators=(",", ":"))
        return make_signer(key, server_key.did, None, ()).sign(message.encode()) + b"\n"

    options = guarded(identity=server_key, unsigned="if identified")
    async with (
        enkaku.serve_unix(Serving(ask=who), socket_path, **options),
        raw_client(socket_path) as peer,
    ):
        header: dict[str, Any] = {"typ": "JWT", "alg": "none"}
        login = {"typ": "request", "rid": "login", "prc": LOGIN}
        call = {"typ": "request", "rid": "ask", "prc": "ask", "prm": 1}
        meta = {**header, "meta": {"token": "alice"}}
        peer.send_bytes(sign(client_key, meta, login))
        assert (await peer.read())["val"] == {"id": "key:alice"}
        peer.send_bytes(sign(other, header, call))
        assert await peer.read() == error("ask", "Access denied")
        assert await ask(peer) == error("ask", "Access denied")
        peer.send_bytes(sign(client_key, header, call))
        assert (await peer.read())["val"] == 1


def test_synchronous_client_logs_in(socket_path: Path) -> None:
    async def main() -> None:
        async with enkaku.serve_unix(Serving(ask=who), socket_path, **guarded()):
            assert await asyncio.to_thread(call) == 1

    def call() -> int:
        with enkaku.sync.connect(f"unix:{socket_path}", login=Source("alice")) as connection:
            return connection.request(ASK, 1)

    asyncio.run(main())
