"""Metadata of calls: what a client sends along with a call, and the handler reads; and what a program keeps with a call."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku.testing import Faults
from enkaku.wire.metadata import METADATA_MAX
from hypothesis import example, given
from hypothesis import strategies as st
from support import ASK, TALK, TELL, VOID, WATCH, WITHIN, Connect, Serving, facing, raw_client, soon

SECRET = "a-secret-token"
QUICK = enkaku.Reconnect(first=0.001, longest=0.01)
REPEATED = enkaku.Request[int, int]("ask", param=int, result=int, idempotent=True)
Seen = list[tuple[str, Mapping[str, str]]]


def recording(seen: Seen, told: asyncio.Event | None = None) -> Serving:
    """Return a handler that records the metadata of each call."""

    def record() -> None:
        call = enkaku.current_call()
        seen.append((call.procedure.name, call.metadata))

    async def ask(number: int) -> int:
        record()
        return number

    async def tell(number: int) -> None:
        record()
        if told is not None:
            told.set()

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        record()
        return number

    async def talk(number: int, channel: enkaku.ServerChannel[int, int]) -> int:
        record()
        async for item in channel:
            await channel.send(item)
        return number

    return Serving(ask=ask, tell=tell, watch=watch, talk=talk)


async def call_all(connection: enkaku.Connection, told: asyncio.Event, **options: Any) -> None:
    """Make a call of each kind."""
    assert await connection.request(ASK, 1, **options) == 1
    await connection.event(TELL, 1, **options)
    await soon(told)
    async with connection.stream(WATCH, 1, **options) as stream:
        assert await stream.result() == 1
    async with connection.channel(TALK, 1, **options) as channel:
        await channel.send(5)
        assert await anext(channel) == 5
        assert await channel.close() == 1


ALL = ("ask", "tell", "watch", "talk")


async def test_call_metadata_reaches_handlers_of_all_kinds(connect_anyhow: Connect) -> None:
    seen: Seen = []
    told = asyncio.Event()
    async with connect_anyhow(recording(seen, told)) as connection:
        await call_all(connection, told, metadata={"tenant": "é", "token": SECRET})
        assert await connection.request(ASK, 2) == 2
    sent = {"tenant": "é", "token": SECRET}
    assert seen == [*((name, sent) for name in ALL), ("ask", {})]
    with pytest.raises(TypeError):
        seen[0][1]["tenant"] = "other"  # type: ignore[index] # what is tested


async def test_connection_metadata_precedes_that_of_call(connect_anyhow: Connect) -> None:
    seen: Seen = []
    told = asyncio.Event()
    mine = {"tenant": "a", "lang": "en"}
    async with connect_anyhow(recording(seen, told), client_metadata=mine) as connection:
        mine["tenant"] = "changed"
        await call_all(connection, told, metadata={"lang": "de"})
        assert await connection.request(ASK, 2, metadata=None) == 2
    expected = {"tenant": "a", "lang": "de"}
    assert seen == [*((name, expected) for name in ALL), ("ask", {"tenant": "a", "lang": "en"})]


async def test_metadata_function_is_called_for_each_call(connect_anyhow: Connect) -> None:
    seen: Seen = []
    told = asyncio.Event()
    count = 0

    async def metadata() -> Mapping[str, str]:
        nonlocal count
        count += 1
        await asyncio.sleep(0)
        return {"token": f"t{count}", "lang": "en"}

    async with connect_anyhow(recording(seen, told), client_metadata=metadata) as connection:
        await call_all(connection, told, metadata={"lang": "de"})
    assert seen == [
        (name, {"token": f"t{number}", "lang": "de"}) for number, name in enumerate(ALL, 1)
    ]


async def test_hook_sets_metadata_after_all_others(connect: Connect) -> None:
    seen: Seen = []
    told = asyncio.Event()

    class Tracing(enkaku.Hook):
        async def wrap(self, call: enkaku.OutgoingCall[object], proceed: Any) -> Any:
            self.change(call)
            return await proceed()

        @asynccontextmanager
        async def wrap_stream(
            self, call: enkaku.OutgoingCall[object]
        ) -> AsyncGenerator[None, None]:
            self.change(call)
            yield

        def change(self, call: enkaku.OutgoingCall[object]) -> None:
            assert call.metadata == {"b": "call", "c": "call"}
            assert SECRET not in repr(call)
            call.metadata = {**call.metadata, "c": "hook", "d": SECRET}

    mine = {"a": "connection", "b": "connection"}
    own = {"b": "call", "c": "call"}
    options = {"client_hooks": [Tracing()], "client_metadata": mine}
    async with connect(recording(seen, told), **options) as connection:
        await call_all(connection, told, metadata=own)
    assert own == {"b": "call", "c": "call"}
    expected = {"a": "connection", "b": "call", "c": "hook", "d": SECRET}
    assert seen == [(name, expected) for name in ALL]


async def test_observers_and_interceptors_see_metadata_as_sent(connect: Connect) -> None:
    client: Seen = []
    server: Seen = []

    def observer(seen: Seen) -> enkaku.Observer:
        class Observing(enkaku.Observer):
            def call_started(self, call: enkaku.Call) -> None:
                seen.append((call.kind, call.metadata))

        return Observing()

    @asynccontextmanager
    async def inside(call: enkaku.Call) -> AsyncGenerator[None, None]:
        client.append(("interceptor", call.metadata))
        yield

    told = asyncio.Event()
    options = {
        "observers": [observer(server)],
        "client_observers": [observer(client)],
        "client_interceptors": [inside],
    }
    async with connect(recording([], told), **options) as connection:
        await call_all(connection, told, metadata={"a": "b"})
    kinds = ("request", "event", "stream", "channel")
    assert server == [(kind, {"a": "b"}) for kind in kinds]
    assert client == [(each, {"a": "b"}) for kind in kinds for each in ("interceptor", kind)]


async def test_state_of_call_passes_values_to_handler(connect_anyhow: Connect) -> None:
    user, count = enkaku.StateKey[str]("user"), enkaku.StateKey[int]("count")
    seen: list[object] = []

    @asynccontextmanager
    async def log_in(call: enkaku.Call) -> AsyncGenerator[None, None]:
        call.state[user] = call.metadata.get("user", "nobody")
        yield
        seen.append(call.state.get(count))

    async def ask(number: int) -> int:
        state = enkaku.current_call().state
        seen.append(state[user])
        state[count] = number
        return number

    async with connect_anyhow(Serving(ask=ask), interceptors=[log_in]) as connection:
        await connection.request(ASK, 1, metadata={"user": "ada"})
        await connection.request(ASK, 2)
    assert seen == ["ada", 1, "nobody", 2]


async def test_state_of_call_is_shared_by_interceptors_of_client(connect: Connect) -> None:
    key = enkaku.StateKey[int]("key")
    seen: list[int | None] = []

    @asynccontextmanager
    async def outer(call: enkaku.Call) -> AsyncGenerator[None, None]:
        call.state[key] = 1
        yield

    @asynccontextmanager
    async def inner(call: enkaku.Call) -> AsyncGenerator[None, None]:
        seen.append(call.state.get(key))
        yield

    async with connect(recording([]), client_interceptors=[outer, inner]) as connection:
        await connection.request(ASK, 1)
        await connection.request(ASK, 1)
    assert seen == [1, 1]


class Unavailable(Exception):
    """Of the program."""


@pytest.mark.parametrize(
    "error", [Unavailable("no token"), enkaku.ConnectionLost("another"), TimeoutError("own")]
)
async def test_metadata_function_error_is_that_of_call(connect: Connect, error: Exception) -> None:
    async def metadata() -> Mapping[str, str]:
        raise error

    seen: Seen = []
    options = {"client_metadata": metadata, "client_reconnect": QUICK}
    async with connect(recording(seen), **options) as connection:
        with pytest.raises(type(error)) as caught:
            await connection.request(REPEATED, 1)
        assert caught.value is error
        with pytest.raises(type(error)):
            await connection.event(TELL, 1)
        with pytest.raises(type(error)):
            async with connection.stream(WATCH, 1):
                pytest.fail("was opened")
        assert connection.calls == ()
    assert seen == []


async def test_metadata_function_ends_at_deadline_and_abort(connect: Connect) -> None:
    began = asyncio.Event()

    async def metadata() -> Mapping[str, str]:
        began.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError("unreachable")

    seen: Seen = []
    async with connect(recording(seen), client_metadata=metadata) as connection:
        with pytest.raises(enkaku.DeadlineExceeded):
            await connection.request(ASK, 1, timeout=0.01)
        with pytest.raises(enkaku.DeadlineExceeded):
            await connection.event(TELL, 1, timeout=0.01)
        with pytest.raises(enkaku.DeadlineExceeded):
            async with connection.stream(WATCH, 1, timeout=0.01):
                pytest.fail("was opened")
        began.clear()
        task = asyncio.create_task(connection.request(ASK, 1))
        await soon(began)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert seen == []


async def test_metadata_function_is_called_for_each_attempt() -> None:
    faults = Faults()
    seen: list[str] = []
    count = 0

    async def metadata() -> Mapping[str, str]:
        nonlocal count
        count += 1
        return {"attempt": str(count)}

    async def ask(number: int) -> int:
        seen.append(enkaku.current_call().metadata["attempt"])
        if count < 3:
            faults.cut()
        return number

    options: enkaku.ConnectionOptions = {"metadata": metadata, "reconnect": QUICK}
    async with asyncio.timeout(WITHIN):
        async with enkaku.connect_memory(
            Serving(ask=ask), faults=faults, connection_options=options
        ) as connection:
            assert await connection.request(REPEATED, 1) == 1
    assert seen == ["1", "2", "3"]


async def test_metadata_waits_for_next_connection_if_lost_meanwhile() -> None:
    faults = Faults()
    lost = asyncio.Event()
    seen: Seen = []

    class Losing(enkaku.Observer):
        def connection_lost(self, connection: enkaku.ConnectionInfo, reason: str) -> None:
            lost.set()

    async def metadata() -> Mapping[str, str]:
        if not lost.is_set():
            faults.cut()
            await soon(lost)
        return {"a": "b"}

    options: enkaku.ConnectionOptions = {
        "metadata": metadata,
        "reconnect": QUICK,
        "observers": [Losing()],
    }
    async with enkaku.connect_memory(
        recording(seen), faults=faults, connection_options=options
    ) as connection:
        assert await connection.request(ASK, 1) == 1  # though it is not idempotent
        lost.clear()
        async with connection.stream(WATCH, 1) as stream:
            assert await stream.result() == 1
    assert seen == [("ask", {"a": "b"}), ("watch", {"a": "b"})]


class Odd(str):  # noqa: SLOT000 # of a test
    """Is another string than its representation."""

    def __str__(self) -> str:
        return "odd"


INVALID: list[tuple[object, str]] = [
    ("text", "must map names to values; got a str"),
    ([("a", "b")], "must map names to values; got a list"),
    ({"a": 1}, "names and values must be strings; got str and int"),
    ({1: "a"}, "names and values must be strings; got int and str"),
    ({"a": None}, "got str and NoneType"),
    ({"a": "\ud800"}, "no lone surrogates"),
    ({"\ud800": SECRET}, "no lone surrogates"),
    ({"a": SECRET * 300}, "at most 4096 bytes as JSON; got"),
    ({"traceparent": SECRET}, "'traceparent' is reserved for trace context"),
    ({"TraceState": SECRET}, "'TraceState' is reserved for trace context"),
    ({"baggage": SECRET}, "choose another one, such as 'x-baggage'"),
    ({"enkaku-login": SECRET}, "'enkaku-login' is reserved for Enkaku"),
    ({"Enkaku": SECRET}, "'Enkaku' is reserved for Enkaku"),
]


@pytest.mark.parametrize(("metadata", "reason"), INVALID, ids=[reason for _, reason in INVALID])
async def test_metadata_invalid_raises_usage_error(metadata: Any, reason: str) -> None:
    seen: Seen = []

    async def returned() -> Any:
        return metadata

    class Setting(enkaku.Hook):
        async def wrap(self, call: enkaku.OutgoingCall[object], proceed: Any) -> Any:
            call.metadata = metadata
            return await proceed()

    async def attempt(connection: enkaku.Connection, **options: Any) -> None:
        for make in (
            lambda: connection.request(ASK, 1, **options),
            lambda: connection.event(TELL, 1, **options),
        ):
            with pytest.raises(enkaku.UsageError) as caught:
                await make()
            assert reason in str(caught.value)
            assert SECRET not in str(caught.value)

    handler = recording(seen)
    async with enkaku.connect_memory(handler) as connection:
        await attempt(connection, metadata=metadata)
        with pytest.raises(enkaku.UsageError) as caught:
            connection.stream(WATCH, 1, metadata=metadata)
        assert reason in str(caught.value)
        assert "watch: metadata" in str(caught.value)
    for option in ({"metadata": returned}, {"hooks": [Setting()]}):
        options: Any = option
        async with enkaku.connect_memory(handler, connection_options=options) as connection:
            await attempt(connection)
    with pytest.raises(enkaku.UsageError) as caught:
        async with enkaku.connect_memory(handler, connection_options={"metadata": metadata}):
            pytest.fail("was connected")
    assert reason in str(caught.value)
    assert seen == []


async def test_metadata_too_large_together_raises_usage_error() -> None:
    options: enkaku.ConnectionOptions = {"metadata": {"a": "x" * 3000}}
    seen: Seen = []
    async with enkaku.connect_memory(recording(seen), connection_options=options) as connection:
        with pytest.raises(enkaku.UsageError, match="at most 4096 bytes"):
            await connection.request(ASK, 1, metadata={"b": "x" * 3000})
        with pytest.raises(enkaku.UsageError, match="at most 4096 bytes"):
            async with connection.stream(WATCH, 1, metadata={"b": "x" * 3000}):
                pytest.fail("was opened")
        assert connection.calls == ()
        assert await connection.request(ASK, 1) == 1


async def test_metadata_function_not_async_raises_usage_error() -> None:
    options: Any = {"metadata": lambda: {"a": "b"}}
    async with enkaku.connect_memory(recording([]), connection_options=options) as connection:
        with pytest.raises(
            enkaku.UsageError, match="the function must be async; it returned a dict"
        ):
            await connection.request(ASK, 1)


async def test_metadata_of_string_subclasses_is_their_text() -> None:
    seen: Seen = []
    async with enkaku.connect_memory(recording(seen)) as connection:
        await connection.request(ASK, 1, metadata={Odd("colour"): Odd("red")})
    assert seen == [("ask", {"colour": "red"})]


async def test_event_too_large_with_metadata_raises_encode_error() -> None:
    limits = enkaku.Limits(message_size=1000)
    async with enkaku.connect_memory(recording([]), limits=limits) as connection:
        with pytest.raises(enkaku.EncodeError, match="at most 1000 bytes"):
            await connection.event(TELL, 1, metadata={"a": "x" * 1000})


_names = st.text(max_size=20).filter(
    lambda name: not name.lower().startswith(("enkaku", "traceparent", "tracestate", "baggage"))
)


@given(metadata=st.dictionaries(_names, st.text(max_size=40), max_size=12))
@example(metadata={"": "", '"': "\\", "}": '"},"payload":{', "__proto__": "\0\x7f\u2028\U0001f600"})
async def test_metadata_arbitrary_strings_arrive(metadata: dict[str, str]) -> None:
    seen: Seen = []
    told = asyncio.Event()

    async def current() -> Mapping[str, str]:
        return metadata

    options: enkaku.ConnectionOptions = {"metadata": current, "handler": recording([])}
    async with enkaku.connect_memory(recording(seen, told), connection_options=options) as both:
        await call_all(both, told)
    assert seen == [(name, metadata) for name in ALL]


def message(
    header: str, typ: str = "request", rid: str = "a", prc: str = "ask", more: str = ',"prm":1'
) -> bytes:
    named = "" if typ == "event" else f',"rid":"{rid}"'
    payload = f'{{"typ":"{typ}"{named},"prc":"{prc}"{more}}}'
    return f'{{"header":{{"typ":"JWT","alg":"none"{header}}},"payload":{payload}}}\n'.encode()


def many(count: int) -> str:
    return "{" + ",".join(f'"{number}":""' for number in range(count)) + "}"


TEXT = METADATA_MAX - len('{"a":""}')
HOSTILE = {
    "too large": f'{{"a":"{"x" * (TEXT + 1)}"}}',
    "1,000 names": many(1_000),
    "nested": '{"a":{"b":"c"}}',
    "deep": '{"a":' * 150 + '""' + "}" * 150,
    "number": '{"a":1}',
    "null value": '{"a":null}',
    "null": "null",
    "array": '["a","b"]',
    "text": '"a"',
    "lone surrogate": '{"a":"\\ud800"}',
    "lone surrogate name": '{"\\udc00":"a"}',
    "twice": '{"a":"b","a":"b"}',
    "twice, escaped": '{"a":"b","\\u0061":"c"}',
    "spaces": f'{{"a":{" " * METADATA_MAX}""}}',
}


@pytest.mark.parametrize("meta", HOSTILE.values(), ids=HOSTILE)
async def test_metadata_invalid_is_rejected_alone(
    meta: str, socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: Seen = []
    caplog.set_level(logging.DEBUG, "enkaku")
    async with enkaku.serve_unix(recording(seen), socket_path, explain_refusals=True):
        async with raw_client(socket_path) as client:
            client.send_bytes(message("", typ="channel", rid="open", prc="talk"))
            client.send_bytes(message(f',"meta":{meta}'))
            error = await client.read()
            assert (error["typ"], error["rid"], error["code"]) == ("error", "a", "EK08")
            client.send_bytes(message(f',"meta":{meta}', typ="stream", rid="b", prc="watch"))
            assert (await client.read())["rid"] == "b"
            client.send_bytes(message(f',"meta":{meta}', typ="event", prc="tell", more=',"data":1'))
            client.send(typ="send", prc="talk", rid="open", val=7)
            assert (await client.read())["val"] == 7
            assert await client.settle() == []
    assert [name for name, _ in seen] == ["talk"]
    assert "xxx" not in caplog.text


async def test_metadata_of_100_000_names_costs_no_other_call(socket_path: Path) -> None:
    seen: Seen = []
    async with enkaku.serve_unix(recording(seen), socket_path):
        async with raw_client(socket_path) as client:
            client.send_bytes(message("", typ="channel", rid="open", prc="talk"))
            client.send_bytes(message(f',"meta":{many(100_000)}'))
            client.send(typ="send", prc="talk", rid="open", val=7)
            assert (await client.read())["val"] == 7
    assert [name for name, _ in seen] == ["talk"]


ACCEPTED: dict[str, tuple[str, dict[str, str]]] = {
    "empty": ("{}", {}),
    "largest": (f'{{"a":"{"x" * TEXT}"}}', {"a": "x" * TEXT}),
    "spaces": (' { "a" : "b" } ', {"a": "b"}),
    "reserved": (
        '{"traceparent":"00","enkaku-x":"y","Baggage":"z","a":"b"}',
        {"a": "b"},
    ),
    "braces": ('{"}{":"\\"}}{\\\\"}', {"}{": '"}}{\\'}),
    "pair": ('{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
}


@pytest.mark.parametrize("meta", ACCEPTED.values(), ids=ACCEPTED)
async def test_metadata_of_other_clients_is_read(
    meta: tuple[str, dict[str, str]], socket_path: Path
) -> None:
    seen: Seen = []
    written, expected = meta
    trace = ',"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","tracestate":"a=b"'
    async with enkaku.serve_unix(recording(seen), socket_path):
        async with raw_client(socket_path) as client:
            client.send_bytes(message(f'{trace},"meta":{written}'))
            assert await client.read() == {"typ": "result", "rid": "a", "val": 1}
            client.send_bytes(message(trace, rid="b"))
            assert await client.read() == {"typ": "result", "rid": "b", "val": 1}
    assert seen == [("ask", expected), ("ask", {})]


async def test_metadata_beside_lone_surrogates_in_param_is_read(socket_path: Path) -> None:
    seen: Seen = []
    async with enkaku.serve_unix(recording(seen), socket_path):
        async with raw_client(socket_path) as client:
            client.send_bytes(message(',"meta":{"a":"b"}', more=',"prm":1,"jti":"\\ud800"'))
            assert (await client.read())["typ"] == "result"
            client.send_bytes(message(',"meta":{"a":1}', rid="b", more=',"prm":1,"jti":"\\ud800"'))
            assert (await client.read())["code"] == "EK08"
    assert seen == [("ask", {"a": "b"})]


async def test_message_too_large_with_metadata_names_its_call(socket_path: Path) -> None:
    limits = enkaku.Limits(message_size=10_000)
    async with enkaku.serve_unix(recording([]), socket_path, limits=limits):
        async with raw_client(socket_path) as client:
            meta = f'{{"a":"{"}" * TEXT}"}}'
            client.send_bytes(message(f',"meta":{meta}', more=f',"prm":"{"x" * 10_000}"'))
            error = await client.read()
            assert (error["rid"], error["code"]) == ("a", "EK06")


async def test_metadata_leaves_only_with_openings_and_events(socket_path: Path) -> None:
    async with facing(socket_path, metadata={"a": "b"}) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK, 1, timeout=None))
        opening = await peer.read_line()
        assert opening["header"]["meta"] == {"a": "b"}
        peer.send(typ="result", rid=opening["payload"]["rid"], val=1)
        await asking
        await connection.event(TELL, 1)
        assert (await peer.read_line())["header"]["meta"] == {"a": "b"}
        async with connection.channel(TALK, 1) as channel:
            assert (await peer.read_line())["header"]["meta"] == {"a": "b"}
            await channel.send(1)
            assert "meta" not in (await peer.read_line())["header"]
        assert "meta" not in (await peer.read_line())["header"]


async def test_call_without_metadata_has_no_meta(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(VOID, None, metadata={}))
        opening = await peer.read_line()
        assert "meta" not in opening["header"]
        peer.send(typ="result", rid=opening["payload"]["rid"])
        await asking


async def test_metadata_stands_in_no_representation_or_log(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []

    async def ask(number: int) -> int:
        call = enkaku.current_call()
        shown.extend((repr(call), repr(call.connection)))
        raise ValueError("no")

    async with connect(Serving(ask=ask), explain_refusals=True) as connection:
        with pytest.raises(enkaku.CallError) as caught:
            await connection.request(ASK, 1, metadata={"token": SECRET})
        async with connection.stream(WATCH, 1, metadata={"token": SECRET}) as stream:
            shown.extend((repr(stream), repr(stream.call)))
    assert shown
    assert SECRET not in "\n".join([*shown, str(caught.value), caplog.text])


async def test_lifespan_calls_carry_metadata_of_connection() -> None:
    seen: Seen = []

    @asynccontextmanager
    async def lifespan(connection: enkaku.Connection) -> AsyncGenerator[None, None]:
        await connection.request(ASK, 1)
        yield

    options: enkaku.ConnectionOptions = {"metadata": {"a": "b"}, "lifespan": lifespan}
    async with enkaku.connect_memory(recording(seen), connection_options=options):
        assert seen == [("ask", {"a": "b"})]


def test_metadata_of_synchronous_connection_reaches_handlers() -> None:
    seen: Seen = []

    async def metadata() -> dict[str, str]:
        return {"token": "t", "lang": "en"}

    connecting = enkaku.connect_memory(recording(seen), connection_options={"metadata": metadata})
    with enkaku.sync.connect(connecting) as connection:
        assert connection.request(ASK, 1, metadata={"lang": "de"}) == 1
        with connection.stream(WATCH, 1, metadata={"a": "b"}) as stream:
            assert stream.result() == 1
        with pytest.raises(enkaku.UsageError):
            connection.request(ASK, 1, metadata={"enkaku": ""})
    assert seen == [
        ("ask", {"token": "t", "lang": "de"}),
        ("watch", {"token": "t", "lang": "en", "a": "b"}),
    ]
