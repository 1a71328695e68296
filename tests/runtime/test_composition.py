"""Composition: several handlers on one server, and prefixes at both ends."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku.procedures import with_prefix
from enkaku.pytest_plugin import Connect as PluginConnect
from support import (
    ASK,
    ECHO,
    POUR,
    TALK,
    TELL,
    WATCH,
    Connect,
    OutOfStock,
    Serving,
    Shortage,
    until,
)

EVEN = enkaku.Request[int, str](
    "even",
    param=enkaku.Checked(int, {"type": "integer", "multipleOf": 2}),
    result=str,
)


class Orders(Serving):
    """Serves ``ask`` and more, under their own names."""


class Billing(Serving):
    """Serves the same procedures, under a prefix."""


async def double(number: int) -> int:
    return 2 * number


async def triple(number: int) -> int:
    return 3 * number


class Even(enkaku.Handler):
    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (enkaku.Route.request(EVEN, self.even),)

    async def even(self, param: int) -> str:
        return f"{param} is even"


async def test_composed_handlers_share_one_connection(connect_anyhow: Connect) -> None:
    heard: list[int] = []

    async def watch(count: int, stream: enkaku.ServerStream[int]) -> int:
        for number in range(count):
            await stream.send(number)
        return count

    async def talk(extra: int, channel: enkaku.ServerChannel[int, int]) -> int:
        async for number in channel:
            await channel.send(number + extra)
        return extra

    async def tell(number: int) -> None:
        heard.append(number)

    handler = enkaku.compose(
        Orders(ask=double), enkaku.prefixed("billing/", Billing(ask=triple, watch=watch, talk=talk, tell=tell))
    )  # fmt: skip
    async with connect_anyhow(handler) as connection:
        billing = enkaku.prefixed("billing/", connection)
        assert await connection.request(ASK, 7) == 14
        assert await billing.request(ASK, 7) == 21
        async with billing.stream(WATCH, 3) as stream:
            assert [number async for number in stream] == [0, 1, 2]
            assert await stream.result() == 3
        async with billing.channel(TALK, 10) as channel:
            await channel.send(1)
            assert await anext(channel) == 11
            assert await channel.close() == 10
        await billing.event(TELL, 5)
        await until(lambda: heard == [5])


async def test_prefixes_nest_on_both_sides_alike(connect: Connect) -> None:
    inner = enkaku.prefixed("a/", Serving(ask=double))
    handler = enkaku.prefixed("b/", enkaku.compose(inner, Even()))
    async with connect(handler) as connection:
        both = enkaku.prefixed("a/", enkaku.prefixed("b/", connection))
        assert await both.request(ASK, 1) == 2
        assert await enkaku.prefixed("b/a/", connection).request(ASK, 1) == 2
        assert await enkaku.prefixed("b/", connection).request(EVEN, 4) == "4 is even"


async def test_unprefixed_call_of_prefixed_handler_is_rejected(connect: Connect) -> None:
    async with connect(enkaku.prefixed("billing/", Serving(ask=double))) as connection:
        with pytest.raises(enkaku.CallError) as caught:
            await connection.request(ASK, 1)
        assert caught.value.code == "EK08"


async def test_declared_error_keeps_class_and_has_full_name(connect: Connect) -> None:
    async def ask(missing: int) -> int:
        raise OutOfStock("none left", Shortage(missing=missing))

    async with connect(enkaku.prefixed("billing/", Serving(ask=ask))) as connection:
        with pytest.raises(OutOfStock) as caught:
            await enkaku.prefixed("billing/", connection).request(ASK, 3)
    assert caught.value.data == Shortage(missing=3)
    assert caught.value.procedure == "billing/ask"


async def test_rejected_value_is_explained_with_full_name(connect: Connect) -> None:
    handler = enkaku.prefixed("v2/", Even())
    async with connect(handler, explain_refusals=True) as connection:
        with pytest.raises(enkaku.EncodeError, match="v2/even param"):
            await enkaku.prefixed("v2/", connection).request(EVEN, 3)
        unchecked = enkaku.Request[int, str]("v2/even", param=int, result=str)
        with pytest.raises(enkaku.CallError, match="v2/even") as caught:
            await connection.request(unchecked, 3)
        assert "multiple" in str(caught.value)


async def test_observers_and_interceptors_see_full_name(connect: Connect) -> None:
    seen: list[str] = []

    class Names(enkaku.Observer):
        def call_ended(self, call: enkaku.Call) -> None:
            seen.append(call.procedure.name)

    @asynccontextmanager
    async def only_ask(call: enkaku.Call) -> AsyncGenerator[None, None]:
        seen.append(f"{call.procedure.name} {call.procedure.original is ASK}")
        yield

    handler = enkaku.compose(Serving(echo=_echo), enkaku.prefixed("billing/", Serving(ask=double)))
    options: dict[str, Any] = {"observers": [Names()], "interceptors": [only_ask]}
    async with connect(handler, **options, client_observers=[Names()]) as connection:
        await connection.request(ECHO, "x")
        await enkaku.prefixed("billing/", connection).request(ASK, 1)
    assert sorted(seen) == sorted(
        ["echo False", "echo", "echo", "billing/ask True", "billing/ask", "billing/ask"]
    )


async def _echo(text: str) -> str:
    return text


async def test_broadcast_serves_streams_under_a_prefix(connect: Connect) -> None:
    broadcast = enkaku.Broadcast(POUR)

    async def pour(_: int, stream: enkaku.ServerStream[str]) -> int:
        return await broadcast.serve(stream, when_full="wait")

    handler = enkaku.compose(Serving(pour=pour), enkaku.prefixed("v2/", Serving(pour=pour)))
    async with connect(handler) as connection:
        async with connection.stream(POUR, 1) as first:
            async with enkaku.prefixed("v2/", connection).stream(POUR, 1) as second:
                await first.opened()
                await second.opened()
                await until(lambda: broadcast.subscribers == 2)
                await broadcast.send("tea")
                assert (await anext(first), await anext(second)) == ("tea", "tea")


async def test_lifespans_in_a_list_are_entered_in_order(connect: Connect) -> None:
    order: list[str] = []

    def lifespan(name: str) -> enkaku.Lifespan:
        @asynccontextmanager
        async def entered(_: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
            order.append(f"{name} begins")
            yield
            order.append(f"{name} ends")

        return entered

    lifespans = [lifespan("orders"), lifespan("billing")]
    async with connect(Serving(ask=double), lifespan=lifespans) as connection:
        await connection.request(ASK, 1)
    assert order == ["orders begins", "billing begins", "billing ends", "orders ends"]


async def test_rejecting_lifespan_in_a_list_leaves_the_outer_one(connect: Connect) -> None:
    order: list[str] = []

    @asynccontextmanager
    async def outer(_: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        order.append("begins")
        try:
            yield
        except enkaku.RejectConnection as error:
            order.append(error.reason)
            raise

    @asynccontextmanager
    async def inner(_: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        raise enkaku.RejectConnection("not today")
        yield

    async with connect(Serving(ask=double), lifespan=[outer, inner]) as connection:
        with pytest.raises(enkaku.ConnectionLost):
            await connection.request(ASK, 1)
    assert order == ["begins", "not today"]


async def test_composed_handler_is_served_and_prepared(
    enkaku_connect: PluginConnect, socket_path: Path
) -> None:
    handler = enkaku.compose(enkaku.prefixed("billing/", Serving(ask=double)))
    await enkaku.prepare(handler)
    connection = await enkaku_connect(handler)
    assert await enkaku.prefixed("billing/", connection).request(ASK, 1) == 2
    async with (
        enkaku.serve_unix(handler, socket_path),
        enkaku.connect_unix(socket_path) as other,
    ):
        assert await enkaku.prefixed("billing/", other).request(ASK, 2) == 4


def test_duplicate_procedure_names_both_handlers_and_procedure() -> None:
    orders, billing = Orders(ask=double), Billing(ask=triple)
    with pytest.raises(enkaku.UsageError) as caught:
        enkaku.compose(enkaku.prefixed("a/", orders), enkaku.prefixed("a/", billing))
    assert str(caught.value) == (
        "compose: prefixed('a/', Orders()) and prefixed('a/', Billing()) both serve 'a/ask'; "
        "serve one under another prefix, such as prefixed('v2/', ...)"
    )


def test_duplicate_routes_of_one_part_raise_when_made() -> None:
    class Twice(enkaku.Handler):
        def __routes__(self) -> tuple[enkaku.Route, ...]:
            return (enkaku.Route.request(ASK, double), enkaku.Route.request(ASK, triple))

    with pytest.raises(enkaku.UsageError, match="ask has two routes"):
        enkaku.prefixed("a/", Twice())
    with pytest.raises(enkaku.UsageError, match="ask has two routes"):
        enkaku.compose(Twice())


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (enkaku.compose, "compose: expected one or more handlers; got none"),
        (lambda: enkaku.compose(Serving), r"a part must be an instance, Serving\(\); got the class"),
        (lambda: enkaku.compose(3), "compose: a part must be an instance of Handler; got 3"),
        (lambda: enkaku.prefixed(Serving(), "a/"), "the prefix must be a string; got <"),
        (lambda: enkaku.prefixed("a/", Serving), "expected a handler or a connection; got <class"),
        (lambda: enkaku.prefixed("a/", 3), "prefixed: expected a handler or a connection; got 3"),
    ],
)  # fmt: skip
def test_wrong_part_raises_usage_error(make: Any, told: str) -> None:
    with pytest.raises(enkaku.UsageError, match=told):
        make()


async def test_empty_prefix_returns_the_part_itself(connect: Connect) -> None:
    handler = Serving(ask=double)
    assert enkaku.prefixed("", handler) is handler
    async with connect(handler) as connection:
        assert enkaku.prefixed("", connection) is connection


async def test_prefixed_connection_is_otherwise_the_connection(connect: Connect) -> None:
    async with connect(Serving(ask=double)) as connection:
        billing = enkaku.prefixed("billing/", connection)
        assert await connection.request(ASK, 4) == 8
        assert billing.is_open
        assert billing.peer == connection.peer
        assert repr(billing) == f"prefixed('billing/', {connection!r})"
        await billing.close()
        assert not connection.is_open


def test_prefixed_procedure_is_made_once_and_keeps_the_original() -> None:
    prefixed = with_prefix(ASK, "a/")
    assert with_prefix(ASK, "a/") is prefixed
    assert (prefixed.name, prefixed.kind) == ("a/ask", "request")
    assert prefixed.param.label == "a/ask param"
    assert prefixed.original is ASK is ASK.original
    assert with_prefix(prefixed, "b/").original is ASK
    assert [slot.label for slot in prefixed.error_slots.values()] == [
        "a/ask error OutOfStock",
        "a/ask error Tired",
    ]
    assert ASK.name == "ask"
    assert repr(enkaku.compose(enkaku.prefixed("a/", Even()), Orders())) == (
        "compose(prefixed('a/', Even()), Orders())"
    )
