"""Calls both ways: a server calls its client's handler, and each handler calls its own peer.

What calls do, whatever way they go, the tests of the fixtures ``connect`` and ``connect_anyhow`` show. Here are the rules of both
ways at once, and peers that break them.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku.transports.memory import memory_pair
from support import (
    ASK,
    ECHO,
    FILL,
    TELL,
    VOID,
    WATCH,
    WITHIN,
    Connect,
    Lifetime,
    Raw,
    Serving,
    collect,
    facing,
    raw_client,
    soon,
    turns,
    until,
)

ONE = enkaku.Limits(handlers=1)


def peer() -> enkaku.Connection:
    """The connection to the peer of the handler that runs."""
    return enkaku.current_call().connection.client(lambda connection: connection)


async def count_down(number: int) -> int:
    """Let the peer go on counting, and return how often both did."""
    return 0 if number == 0 else 1 + await peer().request(ASK, number - 1)


async def double(number: int) -> int:
    return 2 * number


async def test_handlers_that_call_each_other_50_deep_end(connect_anyhow: Connect) -> None:
    both = {"client_handler": Serving(ask=count_down), "limits": ONE}
    async with connect_anyhow(Serving(ask=count_down), **both) as connection:
        assert await connection.request(ASK, 50) == 50


async def test_100_handlers_that_call_each_other_end(connect_anyhow: Connect) -> None:
    both = {"client_handler": Serving(ask=count_down), "limits": ONE}
    async with connect_anyhow(Serving(ask=count_down), **both) as connection:
        assert await collect(connection.request(ASK, 2) for _ in range(100)) == [2] * 100


async def test_100_calls_each_way_at_once_end(connect_anyhow: Connect) -> None:
    started = asyncio.Event()

    async def start(number: int) -> int:
        started.set()
        return sum(await collect(peer().request(ASK, -number) for _ in range(100)))

    async def ask(number: int) -> int:
        return await start(number) if number < 0 else await double(number)

    both = {"client_handler": Serving(ask=ask), "limits": ONE}
    async with connect_anyhow(Serving(ask=ask), **both) as connection:
        asking = asyncio.create_task(collect([connection.request(ASK, -1)]))
        await soon(started)
        assert await collect(connection.request(ASK, 1) for _ in range(100)) == [2] * 100
        assert await asking == [200]


async def test_calls_in_a_circle_are_bounded_by_open_calls(connect: Connect) -> None:
    limits = enkaku.Limits(handlers=1, calls=5)
    both = {"client_handler": Serving(ask=count_down), "limits": limits}
    async with connect(Serving(ask=count_down), **both) as connection:
        assert await connection.request(ASK, 9) == 9
        with pytest.raises(enkaku.CallError, match="EK01"):
            await connection.request(ASK, 20)  # the deepest gets EK03, which no protocol declares
        assert await connection.request(ASK, 9) == 9


async def test_stream_of_handler_gives_up_its_place(connect: Connect) -> None:
    async def ask(number: int) -> int:
        async with peer().stream(WATCH, number) as stream:
            return sum([item async for item in stream])

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        for _ in range(number):
            await stream.send(len(await peer().request(ECHO, "one")))
        return number

    async def echo(text: str) -> str:
        return text

    both = {"client_handler": Serving(watch=watch), "limits": ONE}
    async with connect(Serving(ask=ask, echo=echo), **both) as connection:
        assert await connection.request(ASK, 4) == 12


async def test_handler_of_event_gives_up_its_place(connect: Connect) -> None:
    told: list[int] = []
    done = asyncio.Event()

    async def tell(number: int) -> None:
        told.append(await peer().request(ASK, number))
        if len(told) == 3:
            done.set()

    async def ask(number: int) -> int:
        if number:
            await peer().event(TELL, number - 1)
        return number

    both = {"client_handler": Serving(ask=ask), "limits": ONE}
    async with connect(Serving(tell=tell), **both) as connection:
        await connection.event(TELL, 2)
        await soon(done)
    assert sorted(told) == [0, 1, 2]


async def test_handler_that_comes_back_waits_for_no_place(connect: Connect) -> None:
    lock = asyncio.Lock()

    async def ask(number: int) -> int:
        async with lock:  # the second handler waits for it, with the only place
            return await peer().request(ASK, number)

    both = {"client_handler": Serving(ask=double), "limits": ONE}
    async with connect(Serving(ask=ask), **both) as connection:
        assert await collect(connection.request(ASK, 1) for _ in range(5)) == [2] * 5


async def test_places_are_free_again_after_calls_to_the_peer(connect: Connect) -> None:
    running = most = 0
    left: list[asyncio.Task[int]] = []

    async def ask(number: int) -> int:
        nonlocal running, most
        if number == 0:  # a task that outlives the handler waits on
            left.append(asyncio.create_task(peer().request(ASK, number)))
        elif number == 1:
            await peer().request(ASK, number)
        running += 1
        most = max(most, running)
        await turns()
        running -= 1
        return number

    both = {"client_handler": Serving(ask=double), "limits": enkaku.Limits(handlers=2)}
    async with connect(Serving(ask=ask), **both) as connection:
        await collect(connection.request(ASK, number) for number in (0, 1) for _ in range(9))
        await collect(left)
        most = 0
        await collect(connection.request(ASK, 2) for _ in range(20))
    assert most == 2


async def test_handler_passes_its_deadline_on(connect_anyhow: Connect) -> None:
    async def ask(number: int) -> int:
        return await peer().request(ASK, number)

    async def answer(_: int) -> int:
        return int(enkaku.current_call().remaining or 1000)

    both = {"client_handler": Serving(ask=answer)}
    async with connect_anyhow(Serving(ask=ask), **both) as connection:
        assert await connection.request(ASK, 1, timeout=40) < 40


async def test_deadline_of_server_ends_its_call(socket_path: Path) -> None:
    async with called_by(Serving(), socket_path) as (connection, raw):
        asking = asyncio.create_task(connection.request(ASK, 1, timeout=0.1))
        line = await raw.read_line()
        assert line["header"]["ttl"] == 100
        with pytest.raises(enkaku.DeadlineExceeded):
            await asking
        assert (await raw.read()) == {"typ": "abort", "rid": "s:1", "rsn": "Timeout"}


async def test_client_has_state_of_its_own_connection(connect: Connect) -> None:
    name = enkaku.StateKey[str]("name")
    seen: list[str] = []

    class Watching(enkaku.Observer):
        def call_started(self, call: enkaku.Call) -> None:
            seen.append(f"{type(call).__name__} {call.connection.state.get(name)}")

    async def ask(number: int) -> int:
        connection = enkaku.current_call().connection
        connection.state[name] = "me"
        return await connection.client(lambda each: each).request(ASK, number)

    both = {"client_handler": Serving(ask=double), "observers": [Watching()]}
    async with connect(Serving(ask=ask), **both) as connection:
        assert await connection.request(ASK, 1) == 2
    assert seen == ["ServerCall None", "RequestCall me"]


async def test_interceptors_wrap_calls_both_ways(connect: Connect) -> None:
    seen: list[str] = []

    def around(side: str) -> enkaku.Interceptor:
        @asynccontextmanager
        async def interceptor(call: enkaku.Call) -> AsyncGenerator[None, None]:
            seen.append(f"{side} {'serves' if isinstance(call, enkaku.ServerCall) else 'calls'}")
            yield

        return interceptor

    async def ask(number: int) -> int:
        return await peer().request(ASK, number)

    async with connect(
        Serving(ask=ask),
        interceptors=[around("server")],
        client_handler=Serving(ask=double),
        client_interceptors=[around("client")],
    ) as connection:
        assert await connection.request(ASK, 1) == 2
    assert seen == ["client calls", "server serves", "server calls", "client serves"]


async def test_connections_of_server_make_clients(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        async with enkaku.connect_unix(socket_path, handler=Serving(ask=double)):
            await until(lambda: bool(server.connections))
            (info,) = server.connections
            connection = info.client(lambda each: each)
            assert await connection.request(ASK, 4) == 8
            assert info.client(lambda each: each) is connection
        await until(lambda: not server.connections)
        with pytest.raises(enkaku.ConnectionLost):
            await connection.request(ASK, 4)


async def test_client_of_lost_connection_raises_connection_lost(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        async with enkaku.connect_unix(socket_path, handler=Serving(ask=double)) as connection:
            await connection.request(VOID, None)
            (info,) = server.connections
        await until(lambda: not server.connections)
        with pytest.raises(enkaku.ConnectionLost):
            await info.client(lambda each: each).request(ASK, 4)


# Who can be called


async def test_client_without_handler_is_not_supported(socket_path: Path) -> None:
    async def ask(number: int) -> int:
        with pytest.raises(enkaku.NotSupported, match="has no handler"):
            await peer().request(ASK, number)
        with pytest.raises(enkaku.NotSupported, match="has no handler"):
            async with peer().stream(WATCH, number):
                pass
        return number

    async with enkaku.serve_unix(Serving(ask=ask), socket_path):
        async with enkaku.connect_unix(socket_path) as connection:
            assert await connection.request(ASK, 1) == 1


async def test_call_waits_for_first_message_of_client(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server, raw_client(socket_path) as raw:
        await until(lambda: bool(server.connections))
        connection = server.connections[0].client(lambda each: each)
        with pytest.raises(enkaku.DeadlineExceeded):
            await connection.request(ASK, 1, timeout=0.05)
        asking = asyncio.create_task(connection.request(ASK, 1))
        await turns()
        assert not asking.done()
        raw.send_line(header(["credit", "call"]), {"typ": "request", "rid": "1", "prc": "void"})
        assert (await raw.read())["typ"] == "credit"
        assert await raw.read() == {"typ": "result", "rid": "1"}
        assert await raw.read() == {"typ": "request", "rid": "s:1", "prc": "ask", "prm": 1}
        raw.send(typ="result", rid="s:1", val=2)
        assert await asking == 2


@pytest.mark.parametrize("extensions", [None, [], ["credit"], ["call"], ["credit", "leaving"]])
async def test_client_that_shows_no_call_is_never_called(
    socket_path: Path, extensions: list[str] | None
) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server, raw_client(socket_path) as raw:
        await until(lambda: bool(server.connections))
        connection = server.connections[0].client(lambda each: each)
        asking = asyncio.create_task(connection.request(ASK, 1))
        raw.send_line(header(extensions), {"typ": "request", "rid": "s:1", "prc": "void"})
        with pytest.raises(enkaku.NotSupported, match="has no handler"):
            await asking
        seen = await raw.settle()
    assert {"typ": "result", "rid": "s:1"} in seen
    assert not [each for each in seen if each["typ"] == "request"]


async def test_lost_client_ends_call_that_waits_for_it(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        async with raw_client(socket_path):
            await until(lambda: bool(server.connections))
            connection = server.connections[0].client(lambda each: each)
            asking = asyncio.create_task(connection.request(ASK, 1))
            await turns()
        with pytest.raises(enkaku.ConnectionLost):
            await asking


async def test_lifespan_cannot_call_before_its_yield(socket_path: Path) -> None:
    raised: asyncio.Queue[enkaku.UsageError] = asyncio.Queue()

    @asynccontextmanager
    async def lifespan(connection: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        try:
            await connection.client(lambda each: each).request(ASK, 1)
        except enkaku.UsageError as error:
            raised.put_nowait(error)
        yield

    async with enkaku.serve_unix(Serving(), socket_path, lifespan=lifespan):
        async with enkaku.connect_unix(socket_path, handler=Serving(ask=double)) as connection:
            await connection.request(VOID, None)
    assert "before its yield" in str(raised.get_nowait())


async def test_client_with_handler_pings_at_once(socket_path: Path) -> None:
    async with facing(socket_path, handler=Serving()) as (_, raw):
        line = await raw.read_line()
    assert line == {
        "header": {"typ": "JWT", "alg": "none", "ext": ["credit", "leaving", "call"]},
        "payload": {"typ": "request", "rid": "alive?", "prc": "enkaku:alive?"},
    }


async def test_handler_is_only_for_functions_that_connect(socket_path: Path) -> None:
    with pytest.raises(enkaku.UsageError, match="handler"):
        async with enkaku.connect_unix(socket_path, handler=5):  # type: ignore[arg-type] # a mistake
            pass
    with pytest.raises(enkaku.UsageError, match="functions that connect"):
        enkaku.Connection(memory_pair()[0], handler=Serving())


# The end


async def test_lost_connection_ends_calls_of_both_ways(connect_anyhow: Connect) -> None:
    lives = [Lifetime(), Lifetime()]
    lost: list[BaseException] = []

    async def ask(number: int) -> int:
        with lives[0]:
            return await peer().request(ASK, number)

    both = {"client_handler": Serving(ask=lives[1].forever)}
    async with connect_anyhow(Serving(ask=ask), **both) as connection:
        asking = asyncio.create_task(collect([connection.request(ASK, 1)]))
        await soon(lives[1].began)
        await connection.close()
        lost += await asking
        await soon(lives[0].ended, lives[1].ended)
    assert isinstance(lost[0], enkaku.EnkakuError)


async def test_stop_ends_handlers_that_wait_for_callbacks(socket_path: Path) -> None:
    life = Lifetime()
    ends: list[str] = []

    async def ask(number: int) -> int:
        return await peer().request(ASK, number)

    async with enkaku.serve_unix(Serving(ask=ask), socket_path) as server:
        handler = Serving(ask=life.forever)
        async with enkaku.connect_unix(socket_path, handler=handler) as connection:
            asking = asyncio.create_task(collect([connection.request(ASK, 1)]))
            await soon(life.began)
            loose = server.connections[0].client(lambda each: each)
            other = asyncio.create_task(collect([loose.request(ASK, 2)]))
            await turns()
            async with asyncio.timeout(WITHIN):
                await server.stop(grace=0.05)
                ends += [f"{type(each).__name__}: {each}" for each in await asking + await other]
            await soon(life.cancelled)
    assert ends[0] == "CallError: ask: The server is stopping (EKP01)"
    assert ends[1].startswith("ConnectionLost: ask: this server has stopped")


async def test_close_lets_handlers_of_client_finish(socket_path: Path) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def ask(number: int) -> int:
        began.set()
        await go_on.wait()
        return number

    async with enkaku.serve_unix(Serving(), socket_path) as server:
        async with enkaku.connect_unix(socket_path, handler=Serving(ask=ask)) as connection:
            await connection.request(VOID, None)
            called = server.connections[0].client(lambda each: each)
            asking = asyncio.create_task(called.request(ASK, 3))
            await soon(began)
            closing = asyncio.create_task(connection.close(within=WITHIN))
            await turns()
            go_on.set()
            assert await asking == 3
            await closing


async def test_close_cancels_handlers_of_client_in_time(socket_path: Path) -> None:
    life = Lifetime()
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        async with enkaku.connect_unix(
            socket_path, handler=Serving(ask=life.forever)
        ) as connection:
            await connection.request(VOID, None)
            called = server.connections[0].client(lambda each: each)
            asking = asyncio.create_task(called.request(ASK, 3))
            await soon(life.began)
            await connection.close(within=0.1)
            await soon(life.cancelled)
            with pytest.raises((enkaku.CallError, enkaku.ConnectionLost)):
                await asking


async def test_close_in_handler_of_connection_is_refused(connect: Connect) -> None:
    async def ask(number: int) -> int:
        with pytest.raises(enkaku.UsageError, match="own connection"):
            await peer().close()
        return number

    async def start(number: int) -> int:
        return await peer().request(ASK, number)

    async with connect(Serving(ask=start), client_handler=Serving(ask=ask)) as connection:
        if connection.peer.startswith(("the server", "unix:")):
            assert await connection.request(ASK, 1) == 1


async def test_each_link_has_the_handler(socket_path: Path) -> None:
    again = enkaku.Reconnect(first=0.01)
    asked: list[int] = []

    async def ask(number: int) -> int:
        return await peer().request(ASK, number)

    async def answer(number: int) -> int:
        asked.append(number)
        return number

    handler = Serving(ask=answer)
    async with enkaku.serve_unix(Serving(ask=ask), socket_path):
        connecting = enkaku.connect_unix(socket_path, handler=handler, reconnect=again)
        connection = await connecting.__aenter__()
        assert await connection.request(ASK, 1) == 1
    async with enkaku.serve_unix(Serving(ask=ask), socket_path):
        assert await connection.request(ASK, 2) == 2
        await connecting.__aexit__(None, None, None)
    assert asked == [1, 2]


# One half that is full


async def test_paused_half_lets_replies_of_the_other_through(connect_anyhow: Connect) -> None:
    """The server's memory is used up by calls whose handlers wait for their client."""
    began, go_on = asyncio.Event(), asyncio.Event()

    async def echo(text: str) -> str:
        return str(await peer().request(ASK, len(text)))

    async def ask(number: int) -> int:
        began.set()
        await go_on.wait()
        return number

    limits = enkaku.Limits(memory=70_000, stall=None)
    both = {"client_handler": Serving(ask=ask), "limits": limits}
    async with connect_anyhow(Serving(echo=echo), **both) as connection:
        asking = collect(connection.request(ECHO, "x" * 20_000) for _ in range(9))
        echoes = asyncio.create_task(asking)
        await soon(began)
        await turns()
        go_on.set()
        async with asyncio.timeout(WITHIN):
            assert await echoes == ["20000"] * 9


@pytest.mark.parametrize("extensions", [["credit"], ["credit", "call"]])
async def test_backlog_of_called_client_is_bounded(
    socket_path: Path, extensions: list[str]
) -> None:
    handled = 0

    async def echo(text: str) -> str:
        nonlocal handled
        handled += 1
        return text

    limits = enkaku.Limits(backlog=100_000, window=200_000)
    async with enkaku.serve_unix(Serving(echo=echo), socket_path, limits=limits) as server:
        async with raw_client(socket_path) as raw:
            raw.stall()
            raw.send_line(header(extensions), {"typ": "request", "rid": "0", "prc": "void"})
            await until(lambda: bool(server.connections))
            called = server.connections[0].client(lambda each: each)
            telling = asyncio.create_task(called.request(ASK, 1, timeout=0.2))
            for number in range(100):
                raw.send(typ="request", rid=f"{number}.", prc="echo", prm="x" * 100_000)
            with pytest.raises((enkaku.NotSupported, enkaku.DeadlineExceeded)):
                await telling
            await turns(100)
            assert 0 < handled < 50
            raw.writer.transport.abort()


async def test_large_calls_both_ways_at_once_end(connect_anyhow: Connect) -> None:
    """More than all buffers hold goes each way: neither side may wait for the other to read."""
    text = "x" * 1_000_000

    async def echo(each: str) -> str:
        return each

    async def ask(number: int) -> int:
        results = await collect(peer().request(ECHO, text) for _ in range(number))
        return results.count(text)

    both = {"client_handler": Serving(echo=echo)}
    async with connect_anyhow(Serving(ask=ask, echo=echo), **both) as connection:
        asking = asyncio.create_task(connection.request(ASK, 20))
        results = await collect(connection.request(ECHO, text) for _ in range(20))
        assert results.count(text) == 20
        assert await asking == 20


async def test_unread_stream_stalls_no_call_of_other_way(connect_anyhow: Connect) -> None:
    async def fill(_: int, channel: enkaku.ServerChannel[str, str]) -> int:
        await channel.send("x")
        await asyncio.Event().wait()
        return 0

    async def ask(number: int) -> int:
        return await peer().request(ASK, number)

    limits = enkaku.Limits(window=10_000, inbox_limit=20_000)
    both = {"client_handler": Serving(ask=double), "limits": limits}
    async with connect_anyhow(Serving(fill=fill, ask=ask), **both) as connection:
        async with connection.channel(FILL, 0) as channel:
            await channel.__anext__()

            async def send() -> None:
                while True:
                    await channel.send("x" * 1000)

            sending = asyncio.create_task(send())
            try:
                assert await collect(connection.request(ASK, 1) for _ in range(20)) == [2] * 20
            finally:
                sending.cancel()
                await asyncio.wait([sending])


# Peers that break the rules


def header(extensions: list[str] | None) -> dict[str, Any]:
    made: dict[str, Any] = {"typ": "JWT", "alg": "none"}
    return made if extensions is None else made | {"ext": extensions}


@asynccontextmanager
async def called_by(
    handler: enkaku.Handler, path: Path, **options: Any
) -> AsyncGenerator[tuple[enkaku.Connection, Raw], None]:
    """A server's connection to a raw client that can be called."""
    async with enkaku.serve_unix(handler, path, **options) as server, raw_client(path) as raw:
        hello = {"typ": "request", "rid": "hello", "prc": "void"}
        raw.send_line(header(["credit", "leaving", "call"]), hello)
        assert (await raw.read())["typ"] == "credit"
        assert await raw.read() == {"typ": "result", "rid": "hello"}
        yield server.connections[0].client(lambda each: each), raw


async def test_client_that_uses_rids_of_server_gets_ek08(socket_path: Path) -> None:
    async with called_by(Serving(ask=double), socket_path) as (_, raw):
        raw.send(typ="request", rid="s:7", prc="ask", prm=1)
        raw.send(typ="stream", rid="s:8", prc="watch", prm=1)
        seen = await raw.settle()
        raw.send(typ="request", rid="7", prc="ask", prm=1)
        seen += await raw.settle()
    assert [(each["rid"], each.get("code")) for each in seen] == [
        ("s:7", "EK08"),
        ("s:8", "EK08"),
        ("7", None),
    ]


async def test_server_that_uses_rids_of_client_gets_ek08(socket_path: Path) -> None:
    async with facing(socket_path, handler=Serving(ask=double)) as (_, raw):
        await raw.read()
        raw.send(typ="request", rid="7", prc="ask", prm=1)
        assert (await raw.read())["code"] == "EK08"
        raw.send(typ="request", rid="s:7", prc="ask", prm=1)
        assert await raw.read() == {"typ": "result", "rid": "s:7", "val": 2}


_STRANGE: dict[str, Callable[[Raw], None]] = {
    "unknown rid": lambda raw: raw.send(typ="result", rid="s:99", val=1),
    "rid of its own": lambda raw: raw.send(typ="result", rid="1", val=1),
    "result twice": lambda raw: [raw.send(typ="result", rid="s:1", val=n) for n in (1, 2)] and None,
    "items for a request": lambda raw: raw.send(typ="receive", rid="s:1", val=1),
    "credit for a request": lambda raw: raw.send(typ="credit", rid="s:1", n=9),
    "credit for nothing": lambda raw: raw.send(typ="credit", rid="s:99", n=9),
    "abort of its own call": lambda raw: raw.send(typ="abort", rid="s:1"),
    "items into its own call": lambda raw: raw.send(typ="send", rid="s:1", val=1),
    "half-close of its own call": lambda raw: raw.send(typ="end", rid="s:1"),
    "leaving": lambda raw: raw.send(typ="leaving"),
    "no message": lambda raw: raw.send_bytes(b'{"payload":{"typ":"result"}}\nnull\n42\n{}\n'),
    "rid that is no string": lambda raw: raw.send(typ="result", rid=1, val=1),
    "odd order": lambda raw: raw.send_bytes(
        b'{"payload":{"val":5,"rid":"s:99","typ":"result"},"header":{"typ":"JWT","alg":"none"}}\n'
    ),
}


@pytest.mark.parametrize("strange", _STRANGE)
async def test_strange_reply_of_client_harms_nothing(socket_path: Path, strange: str) -> None:
    async with called_by(Serving(ask=double), socket_path) as (connection, raw):
        asking = asyncio.create_task(connection.request(ASK, 1))
        assert (await raw.read())["rid"] == "s:1"
        _STRANGE[strange](raw)
        raw.send(typ="result", rid="s:1", val=1)
        assert await asking == 1
        again = asyncio.create_task(connection.request(ASK, 2))
        assert (await raw.read())["rid"] == "s:2"
        raw.send(typ="result", rid="s:2", val=4)
        assert await again == 4
        raw.send(typ="request", rid="8", prc="ask", prm=8)
        seen = await raw.settle()
    assert {"typ": "result", "rid": "8", "val": 16} in seen


async def test_items_of_client_after_end_are_ignored(socket_path: Path) -> None:
    async with called_by(Serving(), socket_path) as (connection, raw):
        async with connection.stream(WATCH, 1) as stream:
            assert (await raw.read())["rid"] == "s:1"
            raw.send(typ="receive", rid="s:1", val=1)
            raw.send(typ="result", rid="s:1", val=5)
            for _ in range(1000):
                raw.send(typ="receive", rid="s:1", val=2)
            assert await stream.result() == 5
            await raw.settle()
            assert [item async for item in stream] == [1]


async def test_client_that_exceeds_its_window_loses_the_call(socket_path: Path) -> None:
    limits = enkaku.Limits(window=10_000, inbox_limit=20_000)
    async with called_by(Serving(), socket_path, limits=limits) as (connection, raw):
        async with connection.stream(WATCH, 1) as stream:
            line = await raw.read_line()
            assert line["header"]["win"] == 10_000
            for _ in range(3000):
                raw.send(typ="receive", rid="s:1", val=1)
            assert {"typ": "abort", "rid": "s:1"} in await raw.settle()
            with pytest.raises(enkaku.InboxOverflow):
                async for _ in stream:
                    pass


async def test_invalid_replies_of_client_end_connection(
    socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    async with called_by(Serving(), socket_path, limits=enkaku.Limits(invalid=50)) as (
        connection,
        raw,
    ):
        asking = asyncio.create_task(connection.request(ASK, 1))
        for _ in range(60):
            raw.send(typ="result")
        with pytest.raises(enkaku.ConnectionLost):
            await asking


async def test_result_with_too_many_values_ends_the_call(socket_path: Path) -> None:
    async with called_by(Serving(), socket_path) as (connection, raw):
        asking = asyncio.create_task(connection.request(ECHO, "x"))
        assert (await raw.read())["rid"] == "s:1"
        raw.send(typ="result", rid="s:1", val=[[]] * 100_000)
        with pytest.raises(enkaku.MessageTooLarge, match="values"):
            await asking
        assert await raw.settle() == [{"typ": "abort", "rid": "s:1"}]


async def test_silent_client_is_pinged_and_lost(socket_path: Path) -> None:
    limits = enkaku.Limits(silence=0.1)
    async with called_by(Serving(), socket_path, limits=limits) as (connection, raw):
        asking = asyncio.create_task(connection.request(ASK, 1))
        assert (await raw.read())["rid"] == "s:1"
        assert await raw.read() == {"typ": "request", "rid": "s:alive?", "prc": "enkaku:alive?"}
        with pytest.raises(enkaku.ConnectionLost, match="has sent nothing"):
            await asking


async def test_client_answers_ping_of_server(socket_path: Path) -> None:
    async with facing(socket_path, handler=Serving()) as (_, raw):
        await raw.read()
        raw.send(typ="request", rid="s:alive?", prc="enkaku:alive?")
        assert (await raw.read())["code"] == "EK08"
