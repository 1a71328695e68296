"""Access rules, authenticators and rate limits: who may call, over a socket."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial, partialmethod
from pathlib import Path
from typing import Annotated, Any

import enkaku
import pydantic
import pytest
from support import (
    ASK,
    ECHO,
    FILL,
    PING,
    VOID,
    WITHIN,
    Raw,
    Serving,
    line,
    raw_client,
    soon,
    until,
)

ME = f"unix:{os.getuid()}"
DENIED = {"typ": "error", "code": "EK02", "data": {}, "msg": "Access denied"}
INVALID = {"typ": "error", "code": "EK08", "data": {}, "msg": "Invalid protocol message"}


async def double(number: int) -> int:
    return 2 * number


async def count(number: int, stream: enkaku.ServerStream[int]) -> str:
    await stream.send(number)
    return "counted"


class Denials(enkaku.Observer):
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.started: list[str] = []

    def access_denied(self, connection: enkaku.ConnectionInfo, procedure: str, reason: str) -> None:
        self.seen.append((procedure, reason))

    def call_started(self, call: enkaku.Call) -> None:
        self.started.append(call.procedure.name)


def denied(rid: str) -> dict[str, Any]:
    return {**DENIED, "rid": rid}


async def ask(peer: Raw, prc: str, rid: str = "a", **payload: object) -> dict[str, Any]:
    peer.send(typ="request", rid=rid, prc=prc, **payload)
    return await peer.read()


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ({"ask": "everybody"}, True),
        ({"*": "everybody"}, True),
        ({"ask": "identified"}, True),
        ({"ask": {ME}}, True),
        ({"ask": {"unix:12345678"}}, False),
        ({"*": "everybody", "ask": {"unix:12345678"}}, False),
        ({"*": {"unix:12345678"}, "ask": "identified"}, True),
        ({"other": "everybody"}, False),
        ({"enkaku:*": "everybody"}, False),
        ({"ask": lambda _: True}, True),
        ({"ask": lambda _: False}, False),
        ({"ask": lambda _: "yes"}, False),
        ({"ask": lambda call: call.identity.id == ME}, True),
        ({"ask": lambda call: call.param == 3}, True),
        ({"ask": lambda call: call.param == 4}, False),
    ],
)
async def test_access_rule_decides(socket_path: Path, rules: dict[str, Any], allowed: bool) -> None:
    async with enkaku.serve_unix(Serving(ask=double), socket_path, access=rules):
        async with enkaku.connect_unix(socket_path) as connection:
            if allowed:
                assert await connection.request(ASK, 3) == 6
                return
            with pytest.raises(enkaku.CallError) as caught:
                await connection.request(ASK, 3)
            assert (caught.value.code, caught.value.message) == ("EK02", "Access denied")


async def test_handler_learns_who_calls(socket_path: Path) -> None:
    seen: list[enkaku.Identity | None] = []

    async def method(number: int) -> int:
        seen.append(enkaku.current_call().identity)
        return number

    async with enkaku.serve_unix(Serving(ask=method), socket_path) as server:
        async with enkaku.connect_unix(socket_path) as connection:
            await connection.request(ASK, 1)
            assert server.connections[0].identity == seen[0]
    assert seen[0] is not None
    assert (seen[0].id, seen[0].method, seen[0].subject) == (ME, "unix", ME)
    assert seen[0].claims["gid"] == os.getgid()


@pytest.mark.parametrize("explain", [False, True])
async def test_denied_caller_does_not_learn_what_exists(socket_path: Path, explain: bool) -> None:
    rules = {
        "open": "everybody",
        "tick": lambda _: False,
        "gone": lambda _: False,
        "ask": lambda _: False,
    }
    serving = Serving(ask=double, watch=count)
    async with (
        enkaku.serve_unix(serving, socket_path, access=rules, explain_refusals=explain),
        raw_client(socket_path) as peer,
    ):
        assert await ask(peer, "ask", "1", prm=1) == denied("1")
        assert await ask(peer, "ask", "2", prm="wrong") == denied("2")
        assert await ask(peer, "gone", "3", prm=1) == denied("3")
        assert await ask(peer, "watch", "4", prm=1) == denied(
            "4"
        )  # of another kind, without a rule
        assert await ask(peer, "no/such", "5") == denied("5")
        peer.send(typ="stream", rid="6", prc="ask", prm=1)
        assert await peer.read() == denied("6")
        assert await ask(peer, "open", "7") == {**INVALID, "rid": "7"} | (
            {"msg": "Invalid protocol message: there is no request 'open'"} if explain else {}
        )


async def test_allowed_caller_learns_what_is_wrong(socket_path: Path) -> None:
    rules = {"*": lambda _: True}
    async with (
        enkaku.serve_unix(Serving(ask=double), socket_path, access=rules, explain_refusals=True),
        raw_client(socket_path) as peer,
    ):
        assert "there is no request 'gone'" in (await ask(peer, "gone", "1"))["msg"]
        assert "expected integer" in (await ask(peer, "ask", "2", prm="wrong"))["msg"]
        peer.send(typ="stream", rid="3", prc="ask", prm=1)
        assert "it is a request" in (await peer.read())["msg"]
        assert await ask(peer, "ask", "4", prm=1) == {"typ": "result", "rid": "4", "val": 2}


@pytest.mark.parametrize("header", [{"ttl": 0}, {"ttl": 1000}])
async def test_rule_that_waits_hides_what_exists(socket_path: Path, header: dict[str, Any]) -> None:
    async with (
        enkaku.serve_unix(Serving(ask=double), socket_path, access={"*": lambda _: False}),
        raw_client(socket_path) as peer,
    ):
        replies: list[dict[str, Any]] = []
        for typ, prc in (("request", "ask"), ("request", "gone"), ("stream", "ask")):
            payload = {"typ": typ, "rid": "a", "prc": prc, "prm": 1}
            peer.send_line({"typ": "JWT", "alg": "none", **header}, payload)
            replies.append(await peer.read())
        assert replies[0] == replies[1] == replies[2]


async def test_rule_of_invalid_call_sees_the_call(socket_path: Path) -> None:
    calls: list[tuple[str, dict[str, str]]] = []

    def remember(call: enkaku.Call) -> bool:
        calls.append((call.procedure.name, dict(call.metadata)))
        return True

    async with (
        enkaku.serve_unix(Serving(ask=double), socket_path, access={"*": remember}),
        raw_client(socket_path) as peer,
    ):
        header = {"typ": "JWT", "alg": "none", "meta": {"a": "b"}}
        for prc in ("ask", "gone"):
            payload = {"typ": "request", "rid": "a", "prc": prc, "prm": "wrong"}
            peer.send_line(header, payload)
            assert await peer.read() == {**INVALID, "rid": "a"}
    assert calls == [("ask", {"a": "b"}), ("(unknown)", {"a": "b"})]


async def test_denied_event_does_not_reach_its_handler(socket_path: Path) -> None:
    told: list[None] = []

    async def ping() -> None:
        told.append(None)

    rules: dict[str, Any]
    for rules, reason in (
        ({"void": "everybody"}, f"no access rule allows {ME}"),
        (
            {"void": "everybody", "ping": lambda _: False},
            f"the rule of 'ping' does not allow {ME}",
        ),
    ):
        denials = Denials()
        async with (
            enkaku.serve_unix(Serving(ping=ping), socket_path, access=rules, observers=[denials]),
            enkaku.connect_unix(socket_path) as connection,
        ):
            await connection.event(PING, None)
            await connection.request(VOID, None)
            await until(partial(any, denials.seen))
        assert denials.seen == [("ping", reason)]
    assert not told


async def test_denied_event_logs_no_traceback(
    socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def ping() -> None: ...

    async with (
        enkaku.serve_unix(
            Serving(ping=ping), socket_path, access={"ping": lambda _: False, "void": "identified"}
        ),
        enkaku.connect_unix(socket_path) as connection,
    ):
        await connection.event(PING, None)
        await connection.request(VOID, None)
    assert all(record.levelno < logging.WARNING for record in caplog.records)


def fails_to_read(_: object) -> int:
    raise RuntimeError("a defect of the program's own type")


ODD = enkaku.Request[Any, int](
    "odd", param=Annotated[int, pydantic.BeforeValidator(fails_to_read)], result=int
)


class Odd(enkaku.Handler):
    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (enkaku.Route.request(ODD, double),)


@pytest.mark.parametrize("allowed", [False, True])
async def test_denied_caller_does_not_learn_what_cannot_be_read(
    socket_path: Path, allowed: bool
) -> None:
    async with (
        enkaku.serve_unix(Odd(), socket_path, access={"*": lambda _: allowed}),
        raw_client(socket_path) as peer,
    ):
        assert (await ask(peer, "odd", prm=1))["code"] == ("EK01" if allowed else "EK02")


async def fill(_: int, channel: enkaku.ServerChannel[str, str]) -> int:
    return len([item async for item in channel])


@pytest.mark.parametrize("prc", ["fill", "no/such"])
async def test_denied_caller_does_not_learn_which_items_fit(socket_path: Path, prc: str) -> None:
    rules: dict[str, Any] = {"*": lambda _: False, "void": "everybody"}
    async with (
        enkaku.serve_unix(Serving(fill=fill), socket_path, access=rules),
        raw_client(socket_path) as peer,
    ):
        opening = line(typ="channel", rid="c", prc=prc, prm=1)
        peer.send_bytes(opening + line(typ="send", rid="c", prc=prc, val=5))
        assert await peer.settle() == [denied("c")]


@pytest.mark.parametrize("prc", ["fill", "no/such"])
async def test_denied_caller_does_not_learn_how_many_items_fit(socket_path: Path, prc: str) -> None:
    async def slowly(_: enkaku.Call) -> bool:
        await decide.wait()
        return False

    decide = asyncio.Event()
    rules: dict[str, Any] = {"*": slowly, "void": "everybody"}
    limits = enkaku.Limits(inbox_limit=2048, window=1024)
    async with (
        enkaku.serve_unix(Serving(fill=fill), socket_path, access=rules, limits=limits),
        raw_client(socket_path) as peer,
    ):
        item = line(typ="send", rid="c", prc=prc, val="x" * 900)
        peer.send_bytes(line(typ="channel", rid="c", prc=prc, prm=1) + 5 * item)
        assert await peer.settle() == []
        decide.set()
        assert await peer.read() == denied("c")


async def test_allowed_caller_learns_which_items_do_not_fit(socket_path: Path) -> None:
    async with (
        enkaku.serve_unix(Serving(fill=fill), socket_path, access={"*": lambda _: True}),
        raw_client(socket_path) as peer,
    ):
        opening = line(typ="channel", rid="c", prc="fill", prm=1)
        peer.send_bytes(opening + line(typ="send", rid="c", prc="fill", val=5))
        assert await peer.read() == {**INVALID, "rid": "c"}


async def test_busy_server_does_not_show_which_streams_exist(socket_path: Path) -> None:
    async def wait(number: int) -> int:
        begun.set()
        return await asyncio.Event().wait() and number

    begun = asyncio.Event()
    rules: dict[str, Any] = {"ask": "everybody", "*": lambda _: False}
    limits = enkaku.Limits(handlers=1)
    async with (
        enkaku.serve_unix(Serving(ask=wait, watch=count), socket_path, access=rules, limits=limits),
        raw_client(socket_path) as peer,
    ):
        peer.send(typ="request", rid="a", prc="ask", prm=1)
        await soon(begun)
        for prc in ("watch", "no/such"):
            peer.send(typ="stream", rid=prc, prc=prc, prm=1)
            assert await peer.read() == denied(prc)


async def test_rule_that_ignores_its_cancellation_admits_nothing(socket_path: Path) -> None:
    asked, handled = asyncio.Event(), list[int]()

    async def stubborn(_: enkaku.Call) -> bool:
        asked.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return True

    async def method(number: int) -> int:
        handled.append(number)
        return number

    async with (
        enkaku.serve_unix(Serving(ask=method), socket_path, access={"ask": stubborn}) as server,
        raw_client(socket_path) as peer,
    ):
        peer.send(typ="request", rid="a", prc="ask", prm=1)
        await soon(asked)
        peer.send(typ="abort", rid="a", rsn="no more")
        await until(lambda: not server.connections[0].calls)
    assert not handled


async def test_slow_rule_holds_up_its_own_call_alone(socket_path: Path) -> None:
    decide = asyncio.Event()

    async def slowly(_: enkaku.Call) -> bool:
        await decide.wait()
        return True

    async def fill(number: int, channel: enkaku.ServerChannel[str, str]) -> int:
        return number + len([item async for item in channel])

    rules = {"fill": slowly, "echo": "everybody"}

    async def echo(text: str) -> str:
        return text

    async with (
        enkaku.serve_unix(Serving(fill=fill, echo=echo), socket_path, access=rules),
        enkaku.connect_unix(socket_path) as connection,
    ):
        async with connection.channel(FILL, 10) as channel:
            await channel.send("one")
            await channel.send("two")
            assert await connection.request(ECHO, "meanwhile") == "meanwhile"
            opened = asyncio.create_task(channel.opened())
            await connection.request(ECHO, "again")
            assert not opened.done()
            decide.set()
            async with asyncio.timeout(WITHIN):
                await opened
            await channel.end()
            assert await channel.result() == 12


@pytest.mark.parametrize("begun", [False, True])
async def test_abort_ends_a_call_that_waits(socket_path: Path, begun: bool) -> None:
    asked = asyncio.Event()
    handled: list[int] = []

    async def slowly(_: enkaku.Call) -> bool:
        asked.set()
        await asyncio.Event().wait()
        return True

    async def method(number: int) -> int:
        handled.append(number)
        return number

    rules: dict[str, Any] = {"ask": slowly, "void": "everybody"}
    async with (
        enkaku.serve_unix(Serving(ask=method), socket_path, access=rules) as server,
        raw_client(socket_path) as peer,
    ):
        peer.send(typ="request", rid="a", prc="ask", prm=1)
        if begun:
            await soon(asked)
        peer.send(typ="abort", rid="a", rsn="no more")
        assert await peer.settle() == []
        await until(lambda: not server.connections[0].calls)
    assert not handled


async def test_slow_rule_is_bound_by_the_deadline(socket_path: Path) -> None:
    async def never(_: enkaku.Call) -> bool:
        await asyncio.Event().wait()
        return True

    async with (
        enkaku.serve_unix(Serving(ask=double), socket_path, access={"ask": never}),
        enkaku.connect_unix(socket_path) as connection,
    ):
        with pytest.raises(enkaku.DeadlineExceeded):
            await connection.request(ASK, 1, timeout=0.05)


@pytest.mark.parametrize(
    "error", [ValueError("secret db error"), asyncio.CancelledError(), enkaku.CallClosed("x")]
)
async def test_failing_rule_denies_and_is_logged(
    socket_path: Path, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    def fails(_: enkaku.Call) -> bool:
        raise error

    async with (
        enkaku.serve_unix(Serving(ask=double), socket_path, access={"*": fails}),
        raw_client(socket_path) as peer,
    ):
        assert await ask(peer, "ask", prm=1) == denied("a")
    assert "the rule of 'ask' failed" in caplog.text


async def test_interceptors_run_after_the_rules(socket_path: Path) -> None:
    entered: list[enkaku.Call] = []

    @asynccontextmanager
    async def intercept(call: enkaku.Call) -> AsyncGenerator[None, None]:
        entered.append(call)
        yield

    async with (
        enkaku.serve_unix(
            Serving(ask=double),
            socket_path,
            access={"*": lambda _: False},
            interceptors=[intercept],
        ),
        raw_client(socket_path) as peer,
    ):
        assert await ask(peer, "ask", prm=1) == denied("a")
    assert not entered


class Guarded(enkaku.Handler):
    """A handler whose methods say who may call them."""

    @enkaku.allow("everybody")
    async def ask(self, number: int) -> int:
        return number

    @enkaku.allow({"unix:12345678"})
    async def echo(self, text: str) -> str:
        return text

    async def void(self) -> None: ...

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (
            enkaku.Route.request(ASK, self.ask),
            enkaku.Route.request(ECHO, self.echo),
            enkaku.Route.request(VOID, self.void),
        )


class Overriding(Guarded):
    async def echo(self, text: str) -> str:
        return text * 2

    @enkaku.allow("everybody")
    async def void(self) -> None: ...


@pytest.mark.parametrize(
    ("handler", "options", "allowed"),
    [
        (Guarded(), {}, {"ask"}),
        (Guarded(), {"access": {"*": "everybody"}}, {"ask", "void"}),
        (Guarded(), {"access": {"echo": "everybody"}}, set[str]()),
        (Overriding(), {}, {"ask", "void"}),
    ],
)
async def test_rules_of_methods_and_names_both_decide(
    socket_path: Path, handler: enkaku.Handler, options: dict[str, Any], allowed: set[str]
) -> None:
    found = set[str]()
    async with enkaku.serve_unix(handler, socket_path, **options), raw_client(socket_path) as peer:
        for name, payload in (("ask", {"prm": 1}), ("echo", {"prm": "x"}), ("void", {})):
            reply = await ask(peer, name, name, **payload)
            assert reply["typ"] == "result" or reply == denied(name)
            if reply["typ"] == "result":
                found.add(name)
    assert found == allowed


async def of_method(_: object, number: int) -> int:
    return number


def fresh() -> Any:
    """Return a function that nothing else has, since a rule marks it."""

    async def method(number: int) -> int:
        return number

    return method


def plainly(method: Any) -> Any:
    """Decorate without functools.wraps, so that nothing of the method is left."""

    async def wrapper(*arguments: Any) -> Any:
        return await method(*arguments)

    return wrapper


class Nobody(Guarded):
    """Its rule is empty, and that of the method which it overrides is not."""

    @enkaku.allow(frozenset[str]())
    async def ask(self, number: int) -> int:
        return number


class Inheriting(Nobody):
    async def ask(self, number: int) -> int:
        return number


class Partial(Nobody):
    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (enkaku.Route.request(ASK, partial(self.ask)),)


class Delegating(enkaku.Handler):
    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (enkaku.Route.request(ASK, partial(Inheriting().ask)),)


class OfInstance(Nobody):
    def __init__(self) -> None:
        vars(self)["ask"] = double


def overriding(base: type[enkaku.Handler], **methods: object) -> type[enkaku.Handler]:
    return type("Overriding", (base,), methods)


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(Nobody, id="itself"),
        pytest.param(Inheriting, id="overridden"),
        pytest.param(Partial, id="partial"),
        pytest.param(Delegating, id="of another object"),
        pytest.param(OfInstance, id="of the instance"),
        pytest.param(overriding(Nobody, ask=of_method), id="renamed"),
        pytest.param(overriding(Nobody, ask=plainly(of_method)), id="decorated"),
        pytest.param(overriding(Nobody, ask=staticmethod(double)), id="static"),
        pytest.param(overriding(Nobody, ask=classmethod(of_method)), id="of the class"),
        pytest.param(overriding(Nobody, ask=partialmethod(of_method)), id="partial method"),
        pytest.param(
            overriding(Guarded, ask=enkaku.allow(frozenset[str]())(staticmethod(fresh()))),
            id="static with a rule",
        ),
    ],
)
async def test_rule_of_method_holds_however_it_is_overridden(
    socket_path: Path, handler: type[enkaku.Handler]
) -> None:
    served = enkaku.prefixed("a/", enkaku.compose(handler()))
    async with (
        enkaku.serve_unix(served, socket_path, access={"*": "everybody"}),
        raw_client(socket_path) as peer,
    ):
        assert await ask(peer, "a/ask", prm=1) == denied("a")


class Bypassing(Guarded):
    def __routes__(self) -> tuple[enkaku.Route, ...]:
        async def method(text: str) -> str:
            return await self.echo(text)

        return (enkaku.Route.request(ECHO, method),)


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        (overriding(Guarded, ask=of_method, echo=of_method), "different rules"),
        (Bypassing, "serves no procedure"),
    ],
)
async def test_rule_of_method_that_would_be_lost_is_refused(
    socket_path: Path, handler: type[enkaku.Handler], problem: str
) -> None:
    with pytest.raises(enkaku.UsageError, match=problem):
        async with enkaku.serve_unix(handler(), socket_path):
            pass


@pytest.mark.parametrize("target", [Guarded, Guarded().void])
def test_allow_rejects_what_is_no_method_of_a_class(target: Any) -> None:
    with pytest.raises(enkaku.UsageError, match="at a method in the class"):
        enkaku.allow("everybody")(target)


class Tokens:
    """Knows one token."""

    def __init__(self) -> None:
        self.proofs: list[enkaku.Proof] = []

    async def authenticate(self, proof: enkaku.Proof) -> enkaku.Identity | None:
        self.proofs.append(proof)
        token = proof.metadata.get("token")
        if token is None:
            return None
        if token != "secret":
            raise enkaku.AuthenticationFailed(
                f"a token of {len(token)} characters is wrong", "Wrong token"
            )
        return enkaku.Identity("key:alice", "key", {"name": "Alice"})


async def test_authenticator_identifies_by_metadata(socket_path: Path) -> None:
    denials = Denials()
    async with (
        enkaku.serve_unix(
            Serving(ask=double),
            socket_path,
            access={"ask": {"key:alice"}},
            authenticators={"key": Tokens()},
            observers=[denials],
        ),
        enkaku.connect_unix(socket_path) as connection,
    ):
        assert await connection.request(ASK, 2, metadata={"token": "secret"}) == 4
        with pytest.raises(enkaku.CallError, match="Wrong token"):
            await connection.request(ASK, 2, metadata={"token": "guess"})
        with pytest.raises(enkaku.CallError, match="Access denied"):
            await connection.request(ASK, 2)
    assert denials.seen == [
        ("ask", "a token of 5 characters is wrong"),
        ("ask", f"the rule of 'ask' does not allow {ME}"),
    ]


@pytest.mark.parametrize(
    "identity", ["unix:0", "did:key:z6Mk", "keyalice", "other:alice", "jwt:x#y"]
)
async def test_authenticator_gives_ids_of_its_own_form(
    socket_path: Path, identity: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Forging:
        async def authenticate(self, proof: enkaku.Proof) -> enkaku.Identity | None:
            return enkaku.Identity(identity, "key")

    async with (
        enkaku.serve_unix(Serving(ask=double), socket_path, authenticators={"key": Forging()}),
        raw_client(socket_path) as peer,
    ):
        assert await ask(peer, "ask", prm=1) == denied("a")
    assert "must begin with 'key:'" in caplog.text


@pytest.mark.parametrize(
    "found", [5, True, "key:alice", enkaku.Identity("key:alice", "key", expires=float("nan"))]
)
async def test_authenticator_that_returns_no_valid_identity_denies(
    socket_path: Path, found: Any
) -> None:
    class Wrong:
        async def authenticate(self, proof: enkaku.Proof) -> enkaku.Identity | None:
            return found  # type: ignore[no-any-return] # that is what is tried

    authenticators: Any = {"key": Wrong()}
    async with (
        enkaku.serve_unix(Serving(ask=double), socket_path, authenticators=authenticators),
        raw_client(socket_path) as peer,
    ):
        assert (await ask(peer, "ask", prm=1))["code"] == "EK02"


@pytest.mark.parametrize("subject", ["unix:0", "did:key:z6Mk", "alice", "keyalice"])
async def test_authenticator_gives_subjects_of_its_own_form(
    socket_path: Path, subject: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Forging:
        async def authenticate(self, proof: enkaku.Proof) -> enkaku.Identity | None:
            return enkaku.Identity("key:alice", "key", subject=subject)

    async with (
        enkaku.serve_unix(
            Serving(ask=double),
            socket_path,
            authenticators={"key": Forging()},
            access={"ask": "identified"},
        ),
        raw_client(socket_path) as peer,
    ):
        assert await ask(peer, "ask", prm=1) == denied("a")
    assert "must begin with 'key:'" in caplog.text


async def test_authenticator_returning_other_value_denies(
    socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Careless:
        async def authenticate(self, proof: enkaku.Proof) -> Any:
            return "key:alice"

    async with (
        enkaku.serve_unix(Serving(ask=double), socket_path, authenticators={"key": Careless()}),
        raw_client(socket_path) as peer,
    ):
        assert await ask(peer, "ask", prm=1) == denied("a")
    assert "must return an Identity or None; got a str" in caplog.text
    assert "alice" not in caplog.text


@pytest.mark.parametrize("name", ["unix", "tls", "did", "", "Key", "a:b", "a b"])
async def test_authenticator_with_reserved_name_is_refused(socket_path: Path, name: str) -> None:
    with pytest.raises(enkaku.UsageError, match="authenticators"):
        async with enkaku.serve_unix(Serving(), socket_path, authenticators={name: Tokens()}):
            pass


@pytest.mark.parametrize("kind", ["per_identity", "per_connection"])
async def test_rate_limit_rejects_with_time_to_wait(socket_path: Path, kind: str) -> None:
    limits = enkaku.RateLimits(**{kind: (1.0, 3)})
    async with (
        enkaku.serve_unix(Serving(ask=double), socket_path, rate_limits=limits),
        enkaku.connect_unix(socket_path) as connection,
    ):
        for _ in range(3):
            await connection.request(ASK, 1)
        with pytest.raises(enkaku.CallError) as caught:
            await connection.request(ASK, 1)
        assert caught.value.code == "EKP03"
        data = caught.value.data
        assert isinstance(data, dict)
        assert 0 < data["retry_after"] <= 1
        async with enkaku.connect_unix(socket_path) as other:
            if kind == "per_connection":
                await other.request(ASK, 1)
            else:
                with pytest.raises(enkaku.CallError, match="EKP03"):
                    await other.request(ASK, 1)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"access": {"a*": "everybody"}}, "whole last part"),
        ({"access": {"a": "someone"}}, "must be 'everybody'"),
        ({"access": {"a": 5}}, "must be 'everybody'"),
        ({"access": {}}, "no rule"),
        ({"identity": "did:key:z6Mk"}, "identity"),
        ({"unsigned": "if identified"}, "identity"),
        ({"rate_limits": (1, 2)}, "rate_limits"),
        ({"authenticators": {"key": object()}}, "authenticate"),
        (
            {"authenticators": [object()]},
            "authenticators must map names to authenticators; got a list",
        ),
        ({"access": ["a"]}, "access must map patterns of procedures to rules; got a list"),
        ({"access": {"a": {"root"}}}, "must begin with its proof.*; got 'root'"),
        ({"access": {"a": {"unix:root"}}}, "must be the number of a user.*; got 'unix:root'"),
        ({"access": {"a": {"tls:sha256:AB:CD"}}}, "in lower case and without colons; got"),
        ({"access": {"a": {"tls:" + "a" * 64}}}, "must be 'tls:sha256:' and 64"),
        ({"access": {"a": {"did:web:a.example"}}}, "must be the name of a key"),
    ],
)
async def test_server_rejects_invalid_options(
    socket_path: Path, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(enkaku.UsageError, match=problem):
        async with enkaku.serve_unix(Serving(), socket_path, **options):
            pass


@pytest.mark.parametrize("limit", [(0, 1), (1, 0), (float("inf"), 1), (1,), 5])
def test_rate_limits_reject_other_values(limit: Any) -> None:
    with pytest.raises(enkaku.UsageError, match=r"^RateLimits: per_identity"):
        enkaku.RateLimits(per_identity=limit)


@pytest.mark.parametrize(
    ("access", "warned"), [({"*": "everybody"}, True), ({"*": "identified"}, False)]
)
async def test_server_says_that_everybody_may_call(
    socket_path: Path, access: Any, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with enkaku.serve_unix(Serving(), socket_path, access=access):
        assert ("everybody may call *" in caplog.text) is warned


@pytest.mark.parametrize(
    ("pattern", "warning"),
    [
        ("asc", "the handler serves no procedure 'asc': did you mean 'ask'?"),
        ("zzz/*", "the handler serves no procedure 'zzz/*'"),
        ("ask", None),
        ("ask/*", None),
        ("*", None),
        ("enkaku:*", None),
    ],
)
async def test_server_warns_of_pattern_without_procedure(
    socket_path: Path, pattern: str, warning: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with enkaku.serve_unix(Serving(ask=double), socket_path, access={pattern: {ME}}):
        messages = [record.getMessage() for record in caplog.records]
    assert messages == ([] if warning is None else [f"access: {warning}"])


@pytest.mark.parametrize(
    ("identity", "option"),
    [
        ("did:key:z6Mk", "identity"),
        ("jwt:https://login.example#alice", "authenticators={'jwt': ...}"),
        ("key:alice", None),
        (ME, None),
    ],
)
async def test_server_warns_of_identity_without_proof(
    socket_path: Path, identity: str, option: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with enkaku.serve_unix(
        Serving(ask=double),
        socket_path,
        access={"ask": {identity}},
        authenticators={"key": Tokens()},
    ):
        messages = [record.getMessage() for record in caplog.records]
    warning = f"access: no caller can be {identity} without the option {option}"
    assert messages == ([] if option is None else [warning])


async def test_pattern_of_method_that_denies_is_reported(socket_path: Path) -> None:
    denials = Denials()
    async with (
        enkaku.serve_unix(Guarded(), socket_path, observers=[denials]),
        raw_client(socket_path) as peer,
    ):
        assert await ask(peer, "echo", prm="x") == denied("a")
    assert denials.seen == [("echo", f"the rule at its method does not allow {ME}")]


def test_allow_without_rule_raises_usage_error() -> None:
    async def ask(self: object, number: int) -> int:
        return number

    allow: Any = enkaku.allow
    with pytest.raises(enkaku.UsageError, match=r"@allow needs a rule, .* got the method ask"):
        allow(ask)
    with pytest.raises(enkaku.UsageError, match=r"@allow: the rule must be .*; got 'admins'"):
        allow("admins")


async def test_rule_of_method_with_wrong_identity_is_refused(socket_path: Path) -> None:
    class Wrong(Guarded):
        @enkaku.allow({"unix:root"})
        async def void(self) -> None: ...

    with pytest.raises(enkaku.UsageError, match="the number of a user"):
        async with enkaku.serve_unix(Wrong(), socket_path):
            pass


async def test_ping_needs_no_right(socket_path: Path) -> None:
    async with (
        enkaku.serve_unix(Serving(ask=double), socket_path, access={"ask": "everybody"}),
        raw_client(socket_path) as peer,
    ):
        assert await ask(peer, "enkaku:alive?") == {**INVALID, "rid": "a"}
