"""What becomes of a programmer's mistake: it is told at once, where it was made, with what to do instead.

Type checkers find most of these before; here they are made by programs that nobody has checked.
"""

import asyncio
import copy
import datetime as dt
import gc
import math
import pickle
import re
import socket
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import enkaku
import pytest
from support import ASK, ECHO, TALK, TELL, VOID, WATCH, WITHIN, Connect, Serving


async def echo(number: int) -> int:
    return number


async def count(number: int, stream: enkaku.ServerStream[int]) -> int:
    for item in range(number):
        await stream.send(item)
    return number


async def talk(number: int, channel: enkaku.ServerChannel[int, int]) -> int:
    async for item in channel:
        await channel.send(item)
    return number


async def tell(_: int) -> None:
    return None


def serving() -> Serving:
    return Serving(ask=echo, watch=count, talk=talk, tell=tell)


class Silent(enkaku.Observer):
    """An observer that does nothing."""


class Async(enkaku.Observer):
    async def call_ended(self, call: enkaku.Call) -> None:  # type: ignore[override] # the mistake
        """Do nothing."""


async def plain(_: object) -> None:
    """No block at all."""


async def undecorated(_: object) -> AsyncGenerator[None, None]:
    yield


def makes_nothing(_: object) -> None:
    """Nor here."""


class Model(enkaku.Model):
    number: int


class Other(enkaku.Model):
    numbers: "list[Model | Other]"


@asynccontextmanager  # type: ignore[arg-type] # the mistake
async def without_yield(_: object) -> None:
    """Nor here."""


@asynccontextmanager
async def with_return(_: object) -> AsyncGenerator[None, None]:
    if asyncio.current_task() is not None:
        return
    yield


@asynccontextmanager
async def failing(_: object) -> AsyncGenerator[None, None]:
    if asyncio.current_task() is not None:
        raise TypeError("of its own")
    yield


# Options.


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"timout": 5},
            r"ask: a request or event has no option 'timout': did you mean 'timeout'\?",
        ),
        (
            {"when_full": "latest"},
            "has no option 'when_full': it is an option of a stream or channel",
        ),
        ({"xyz": 1}, "has no option 'xyz': the options are metadata, timeout"),
        ({"timeout": "5"}, "timeout must be a number of seconds, such as 5.0, or None; got '5'"),
        ({"timeout": True}, "got True"),
        ({"timeout": math.nan}, "got nan"),
        ({"timeout": math.inf}, "got inf"),
        ({"timeout": dt.timedelta(seconds=5)}, "timeout must be a number of seconds"),
    ],
)
async def test_request_option_invalid_raises_usage_error(
    connect: Connect, options: dict[str, Any], told: str
) -> None:
    async with connect(serving()) as connection:
        with pytest.raises(enkaku.UsageError, match=told):
            await connection.request(ASK, 1, **options)
        assert await connection.request(ASK, 2) == 2
        assert connection.calls == ()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"when_ful": "latest"},
            r"a stream or channel has no option 'when_ful': did you mean 'when_full'\?",
        ),
        (
            {"when_full": "newest"},
            'when_full must be one of "wait", "latest", "drop_oldest"; got \'newest\'',
        ),
        ({"when_full": None}, "got None"),
        ({"timeout": "5"}, "timeout must be a number of seconds"),
    ],
)
async def test_stream_option_invalid_raises_usage_error(
    connect: Connect, options: dict[str, Any], told: str
) -> None:
    async with connect(serving()) as connection:
        with pytest.raises(enkaku.UsageError, match=told):
            connection.stream(WATCH, 1, **options)
        with pytest.raises(enkaku.UsageError, match=told):
            connection.channel(TALK, 1, **options)


async def test_event_option_unknown_raises_usage_error(connect: Connect) -> None:
    async with connect(serving()) as connection:
        with pytest.raises(enkaku.UsageError, match="tell: a request or event has no option"):
            await connection.event(TELL, 1, tmeout=1)


COMMON = [
    ({"limit": enkaku.Limits()}, r"has no option 'limit': did you mean 'limits'\?"),
    ({"limits": {"calls": 3}}, "limits must be an instance of Limits; got {'calls': 3}"),
    ({"observers": Silent()}, "observers must be a list; got"),
    ({"observers": [Silent]}, r"observers must be an instance, Silent\(\); got the class Silent"),
    ({"observers": [object()]}, "observers must be an instance of Observer; got <object"),
    ({"observers": [Async()]}, "Async.call_ended must not be async, since it is not awaited"),
    ({"observers": None}, "observers must be a list"),
    ({"interceptors": with_return}, "interceptors must be a list; got"),
    ({"interceptors": [None]}, "an interceptor must be a function that returns an async context manager; got None"),
    ({"interceptors": [plain]}, "an interceptor plain must return an async context manager: decorate it with @asynccontext"),
    ({"interceptors": [undecorated]}, "an interceptor undecorated must return an async context manager"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "told"),
    [
        *COMMON,
        ({"timout": 5}, r"a connection has no option 'timout': did you mean 'timeout'\?"),
        (
            {"close_timeout": 5},
            "a connection has no option 'close_timeout': it is an option of a server",
        ),
        ({"timeout": "5"}, "timeout must be a number of seconds, such as 5.0, or None; got"),
        ({"timeout": -1}, "timeout must be 0 seconds or more; got -1"),
        (
            {"reconnect": True},
            "reconnect must be an instance of Reconnect; got True",
        ),
        (
            {"reconnect": enkaku.Reconnect},
            r"reconnect must be an instance, Reconnect\(\); got the class",
        ),
        ({"connect_timeout": "1"}, "connect_timeout must be a number of seconds"),
    ],
)
async def test_connection_option_invalid_raises_usage_error(
    socket_path: Path, options: dict[str, Any], told: str
) -> None:
    # It is told before anything is tried: nobody serves there.
    with pytest.raises(enkaku.UsageError, match=told):
        async with enkaku.connect_unix(socket_path, **options):
            raise AssertionError("unreachable")
    if "connect_timeout" not in options:
        with pytest.raises(enkaku.UsageError, match=told):
            async with enkaku.connect_memory(serving(), connection_options=options):  # type: ignore[arg-type] # the mistake
                raise AssertionError("unreachable")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        *COMMON,
        ({"timeout": 5}, r"a server has no option 'timeout': it is an option of a connection \(connect_memory: conn"),
        ({"close_timeout": "5"}, "close_timeout must be a number of seconds, such as 5.0; got '5'"),
        ({"close_timeout": None}, "close_timeout must be a number of seconds, such as 5.0; got None"),
        ({"close_timeout": -1}, "close_timeout must be 0 seconds or more"),
        ({"lifespan": plain}, "a lifespan plain must return an async context manager"),
        ({"lifespan": 3}, "a lifespan must be a function"),
        ({"lifespan": [with_return, "x"]}, "a lifespan must be a function .* got 'x'"),
    ],
)  # fmt: skip
async def test_server_option_invalid_raises_usage_error(
    socket_path: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(enkaku.UsageError, match=told):
        async with enkaku.serve_unix(serving(), socket_path, **options):
            raise AssertionError("unreachable")
    assert not socket_path.exists()


async def test_option_of_function_misspelt_names_the_nearest(socket_path: Path) -> None:
    wrong: list[tuple[str, Callable[..., Any], tuple[object, ...]]] = [
        ("connect_timeout", enkaku.connect_unix, (socket_path,)),
        ("keepalive", enkaku.connect_tcp, ("127.0.0.1", 1)),
        ("mode", enkaku.serve_unix, (serving(), socket_path)),
        ("keepalive", enkaku.serve_tcp, (serving(),)),
    ]
    for name, make, arguments in wrong:
        misspelt = f"{name}s"
        told = f"has no option '{misspelt}': did you mean '{name}'"
        with pytest.raises(enkaku.UsageError, match=told):
            async with make(*arguments, **{misspelt: 1}):
                raise AssertionError("unreachable")


@pytest.mark.parametrize("mode", [600, -1])
async def test_socket_mode_invalid_raises_usage_error(socket_path: Path, mode: Any) -> None:
    with pytest.raises(enkaku.UsageError, match="mode must be from 0 to 0o777"):
        async with enkaku.serve_unix(serving(), socket_path, mode=mode):
            raise AssertionError("unreachable")
    assert not socket_path.exists()


async def test_ssl_option_invalid_raises_usage_error() -> None:
    wrong: Any = True
    with pytest.raises(enkaku.UsageError, match=r"ssl must be an ssl\.SSLContext.*got True"):
        async with enkaku.serve_tcp(serving(), ssl=wrong):
            raise AssertionError("unreachable")
    with pytest.raises(enkaku.UsageError, match=r"ssl must be an ssl\.SSLContext.*got True"):
        async with enkaku.connect_tcp("127.0.0.1", 1, ssl=wrong):
            raise AssertionError("unreachable")


async def test_serve_swapped_arguments_raise_usage_error(socket_path: Path) -> None:
    path: Any = socket_path
    handler: Any = serving()
    with pytest.raises(enkaku.UsageError, match="handler must be an instance of Handler; got"):
        async with enkaku.serve_unix(path, handler):
            raise AssertionError("unreachable")


@pytest.mark.parametrize(
    ("host", "port", "told"),
    [
        (8000, 0, "host must be a string; got 8000"),
        (None, 0, "host must be a string"),
        ("::1", None, "port must be an integer"),
    ],
)
async def test_tcp_address_invalid_raises_usage_error(host: Any, port: Any, told: str) -> None:
    with pytest.raises(enkaku.UsageError, match=told):
        async with enkaku.serve_tcp(serving(), host, port):
            raise AssertionError("unreachable")
    with pytest.raises(enkaku.UsageError, match=told):
        async with enkaku.connect_tcp(host, port):
            raise AssertionError("unreachable")


async def test_faults_option_invalid_raises_usage_error() -> None:
    wrong: Any = True
    with pytest.raises(enkaku.UsageError, match="faults must be an instance of Faults; got True"):
        async with enkaku.connect_memory(serving(), faults=wrong):
            raise AssertionError("unreachable")


async def test_serve_socket_not_a_socket_raises_usage_error() -> None:
    with socket.socket() as bare:
        wrong: Any = enkaku.PassedSocket("web", bare)
        with pytest.raises(
            enkaku.UsageError, match=r"must be an instance of socket; got PassedSocket"
        ):
            async with enkaku.serve_socket(serving(), wrong):
                raise AssertionError("unreachable")


async def test_handler_class_instead_of_instance_raises_usage_error(connect: Connect) -> None:
    wrong: Any = Serving
    with pytest.raises(enkaku.UsageError, match=r"handler must be an instance, Serving\(\)"):
        async with connect(wrong):
            raise AssertionError("unreachable")


class Orders(Serving):
    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (enkaku.Route.request(ECHO, str_of),)


class Billing(Serving):
    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (enkaku.Route.event(TELL, tell),)


async def str_of(value: str) -> str:
    return value


class First(Orders, Billing):
    pass


class Second(First, Billing):
    pass


class Cooperative(enkaku.Handler):
    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (*super().__routes__(), enkaku.Route.event(TELL, tell))  # type: ignore[safe-super] # in Mixed


class Mixed(Cooperative, Orders):
    pass


class Both(Orders, Billing):
    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (*Orders.__routes__(self), *Billing.__routes__(self))


class Twice(Orders):
    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (*super().__routes__(), enkaku.Route.request(ECHO, self.echo))

    async def echo(self, param: str) -> str:
        return param


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (
            First,
            "handler: First serves Orders, and not Billing with tell; define in First: def __rout",
        ),
        (
            Second,
            "handler: Second serves Orders, and not Billing with tell; define in Second: def __",
        ),
        (Twice, r"handler: echo has two routes, to str_of and Twice\.echo; expected one"),
    ],
)
async def test_handler_with_unused_routes_raises_usage_error(
    connect: Connect, handler: type[Serving], message: str
) -> None:
    with pytest.raises(enkaku.UsageError, match=message):
        async with connect(handler()):
            raise AssertionError("unreachable")


@pytest.mark.parametrize("handler", [Both, Mixed])
async def test_handler_that_joins_routes_serves_all(
    connect: Connect, handler: type[Serving]
) -> None:
    async with connect(handler()) as connection:
        assert await connection.request(ECHO, "a") == "a"
        await connection.event(TELL, 1)


@pytest.mark.parametrize("name", ["pour", "fill"])
async def test_handler_async_generator_raises_usage_error(connect: Connect, name: str) -> None:
    async def yields(*_: object) -> AsyncGenerator[str, None]:
        yield "item"

    wrong: Any = yields
    with pytest.raises(
        enkaku.UsageError, match=rf"{name}: the handler method is an async generator"
    ):
        async with connect(Serving(**{name: wrong})):
            raise AssertionError("unreachable")


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"calls": "10"}, "calls must be an integer; got '10'"),
        ({"calls": 1.5}, "calls must be an integer; got 1.5"),
        ({"calls": None}, "calls must be an integer; got None"),
        ({"calls": True}, "calls must be an integer; got True"),
        ({"idle": "10"}, "idle must be a number of seconds, such as 5.0, or None; got '10'"),
        ({"idle": math.inf}, "idle must be a number of seconds, such as 5.0, or None; got inf"),
        ({"cleanup": None}, "cleanup must be a number of seconds, such as 5.0; got None"),
        ({"idle": -1}, "idle must be 0 seconds or more"),
        ({"idle": 0}, "idle must be more than 0"),
        (
            {"silence": math.nan},
            "silence must be a number of seconds, such as 5.0, or None; got nan",
        ),
        ({"stall": -1.0}, "stall must be 0 seconds or more; got -1.0"),
        ({"calls": -1}, "calls must be more than 0"),
        ({"calls": 0}, "calls must be more than 0; got 0"),
        ({"message_size": 0}, "message_size must be more than 0"),
        ({"window": 0}, "window must be more than 0"),
        (
            {"window": 2**40},
            r"inbox_limit must be more than window \(1099511627776\).*got 16777216",
        ),
        ({"inbox_limit": 1}, r"inbox_limit must be more than window \(524288\).*got 1"),
        ({"depth": 201}, "depth must be at most 200; got 201"),
        ({"depth": 0}, "depth must be more than 0"),
    ],
)
def test_limits_invalid_raise_usage_error(limits: dict[str, Any], told: str) -> None:
    with pytest.raises(enkaku.UsageError, match=told):
        enkaku.Limits(**limits)


@pytest.mark.parametrize(
    "wrong",
    [{"first": "1"}, {"longest": None}, {"attempts": 2.5}, {"attempts": "3"}],
)
def test_reconnect_backoff_invalid_raises_usage_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(enkaku.UsageError, match=f"Reconnect: {next(iter(wrong))} "):
        enkaku.Reconnect(**wrong)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: enkaku.Limits(mesage_size=3),  # type: ignore[call-arg] # the mistake
            r"Limits has no option 'mesage_size': did you mean 'message_size'\?",
        ),
        (
            lambda: replace(enkaku.Limits(), xyz=3),  # type: ignore[call-arg] # the mistake
            "Limits has no option 'xyz': the options are backlog, buffered, ",
        ),
        (
            lambda: enkaku.Limits(3),  # type: ignore[misc] # the mistake
            r"Limits takes its options by name, such as Limits\(message_size=\.\.\.\); got 3",
        ),
        (
            lambda: enkaku.Reconnect(atempts=3),  # type: ignore[call-arg] # the mistake
            r"Reconnect has no option 'atempts': did you mean 'attempts'\?",
        ),
    ],
)
def test_dataclass_option_unknown_raises_usage_error(make: Callable[[], object], told: str) -> None:
    with pytest.raises(enkaku.UsageError, match=told):
        make()


def test_dataclass_options_copy_and_pickle() -> None:
    for options in (enkaku.Limits(calls=3), enkaku.Reconnect(attempts=3, random=Random(1))):
        assert pickle.loads(pickle.dumps(options)) == options  # noqa: S301 # made here
        assert copy.deepcopy(options) == replace(options) == options


@pytest.mark.parametrize("wrong", ["5", math.nan, math.inf, True])
def test_deadline_invalid_raises_usage_error(wrong: Any) -> None:
    with (
        pytest.raises(enkaku.UsageError, match="a deadline must be a number of seconds"),
        enkaku.deadline(wrong),
    ):
        raise AssertionError("unreachable")


# What stands around calls and connections.


@pytest.mark.parametrize("wrong", [makes_nothing, without_yield])
async def test_client_interceptor_not_a_context_manager_raises(
    connect: Connect, wrong: Any
) -> None:
    told = f"the interceptor {wrong.__qualname__} must return an async context manager"
    async with connect(serving(), client_interceptors=[wrong]) as connection:
        with pytest.raises(enkaku.UsageError, match=told):
            await connection.request(ASK, 1)
        with pytest.raises(enkaku.UsageError, match=told):
            async with connection.stream(WATCH, 1):
                raise AssertionError("unreachable")
        with pytest.raises(enkaku.UsageError, match=told):
            await connection.event(TELL, 1)
        assert connection.calls == ()


@pytest.mark.parametrize("wrong", [makes_nothing, without_yield])
async def test_server_interceptor_not_a_context_manager_fails_call(
    connect: Connect, wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(serving(), interceptors=[wrong]) as connection:
        with pytest.raises(enkaku.CallError, match="EK01"):
            await connection.request(ASK, 1)
    assert f"the interceptor {wrong.__qualname__} must return an async context" in caplog.text


@pytest.mark.parametrize("wrong", [makes_nothing, without_yield])
async def test_lifespan_not_a_context_manager_ends_connection(
    connect: Connect, wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(serving(), lifespan=wrong) as connection:
        with pytest.raises(enkaku.ConnectionLost):
            await connection.request(ASK, 1)
    assert f"the lifespan {wrong.__qualname__} must return an async context" in caplog.text


async def test_client_interceptor_without_yield_is_named_in_note(connect: Connect) -> None:
    async with connect(serving(), client_interceptors=[with_return]) as connection:
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"^generator didn't yield") as caught:
                await connection.request(ASK, 1)
            assert caught.value.__notes__ == ["raised on entering the interceptor with_return"]
        assert connection.calls == ()


async def test_server_interceptor_without_yield_is_named_in_log(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(serving(), interceptors=[with_return]) as connection:
        with pytest.raises(enkaku.CallError, match="EK01"):
            await connection.request(ASK, 1)
    assert "raised on entering the interceptor with_return" in caplog.text


async def test_lifespan_without_yield_is_named_in_log(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(serving(), lifespan=with_return) as connection:
        with pytest.raises(enkaku.ConnectionLost):
            await connection.request(ASK, 1)
    assert "raised on entering the lifespan with_return" in caplog.text


async def test_interceptor_own_exception_is_raised_unchanged(connect: Connect) -> None:
    async with connect(serving(), client_interceptors=[failing]) as connection:
        with pytest.raises(TypeError, match=r"^of its own$"):
            await connection.request(ASK, 1)


# Slots.


@pytest.mark.parametrize(
    "type_form",
    [int, str, object, Model, int | str, Model | Other, enkaku.Checked(int, {"minimum": 3})],
)
def test_slot_decode_of_other_than_bytes_raises_usage_error(type_form: Any) -> None:
    slot = enkaku.Slot[object]("ask param", type_form)
    texts: list[Any] = ["text", "[", "", r'"\ud800"']
    for wrong in texts:
        told = (
            rf"^ask param: decode\(\) takes bytes; got {re.escape(repr(wrong))}: use \.encode\(\)$"
        )
        with pytest.raises(enkaku.UsageError, match=told):
            slot.decode(wrong)
    others: list[Any] = [None, 3, memoryview(b"[")]
    for wrong in others:
        told = rf"^ask param: decode\(\) takes bytes; got {re.escape(repr(wrong))}$"
        with pytest.raises(enkaku.UsageError, match=told):
            slot.decode(wrong)


# Uses without async.


async def awaited(used: Any) -> None:
    await used


async def entered(used: Any) -> None:
    with used:
        raise AssertionError("unreachable")


async def iterated(used: Any) -> None:
    for _ in used:
        raise AssertionError("unreachable")


WITHOUT_ASYNC = [(awaited, "'async with', not 'await'"), (entered, "'async with', not 'with'")]


@pytest.mark.parametrize(("use", "told"), WITHOUT_ASYNC)
async def test_block_used_without_async_raises_usage_error(
    socket_path: Path, use: Callable[[object], Awaitable[None]], told: str
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        blocks: list[Any] = [
            enkaku.connect_unix(socket_path),
            enkaku.connect(f"unix:{socket_path}"),
            enkaku.connect_tcp("127.0.0.1", 1),
            enkaku.connect_process(["false"]),
            enkaku.connect_socket(ours),
            enkaku.connect_memory(serving()),
            enkaku.serve_unix(serving(), socket_path),
            enkaku.serve_tcp(serving()),
            enkaku.serve_socket(serving(), ours),
        ]
        for block in blocks:
            with pytest.raises(enkaku.UsageError, match=rf"^(connect|serve)\w*\(\): use {told}$"):
                await use(block)
    assert not socket_path.exists()


@pytest.mark.parametrize(("use", "told"), [*WITHOUT_ASYNC, (iterated, "'async for', not 'for'")])
async def test_call_used_without_async_raises_usage_error(
    connect: Connect, use: Callable[[object], Awaitable[None]], told: str
) -> None:
    async with connect(serving()) as connection:
        for call, name in (
            (connection.stream(WATCH, 1), "<stream watch: not open>"),
            (connection.channel(TALK, 1), "<channel talk: not open>"),
            (enkaku.reopening(lambda: connection.stream(WATCH, 1)), r"reopening\(\)"),
        ):
            with pytest.raises(enkaku.UsageError, match=f"^{name}: use {told}$"):
                await use(call)
        assert connection.calls == ()


async def test_server_channel_used_with_for_names_async_for(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    async def iterate(number: int, channel: Any) -> int:
        await iterated(channel)
        return number

    async with connect(Serving(talk=iterate)) as connection:
        async with connection.channel(TALK, 1) as channel:
            with pytest.raises(enkaku.CallError, match="EK01"):
                await channel.result()
    assert " s>: use 'async for', not 'for'" in caplog.text


async def test_block_used_before_async_with_names_it(socket_path: Path) -> None:
    connection: Any = enkaku.connect_unix(socket_path)
    told = (
        "connect_unix() has no 'request' before it is entered: write 'async with connect_unix(...) as opened:', "
        "and use opened.request"
    )
    with pytest.raises(AttributeError, match=f"^{re.escape(told)}$"):
        await connection.request(ASK, 1)
    assert not hasattr(copy.copy(connection), "request")


async def test_block_entered_twice_raises_usage_error(socket_path: Path) -> None:
    serves = enkaku.serve_unix(serving(), socket_path)
    async with serves:
        with pytest.raises(
            enkaku.UsageError, match=r"serve_unix\(\): the block can be entered once"
        ):
            await serves.__aenter__()


# Calls.


async def test_call_used_before_async_with_raises_usage_error(connect: Connect) -> None:
    async with connect(serving()) as connection:
        channel = connection.channel(TALK, 1)
        uses: list[Callable[[], Awaitable[object]]] = [
            lambda: channel.send(1),
            lambda: anext(channel),
            channel.result,
            channel.close,
            channel.end,
        ]
        for use in uses:
            with pytest.raises(enkaku.UsageError, match="talk: open the call first, with "):
                await use()
        for name in ("call", "dropped", "window"):
            with pytest.raises(enkaku.UsageError, match="talk: open the call first, with "):
                getattr(channel, name)


async def test_channel_send_after_end_raises_call_closed_with_reason(connect: Connect) -> None:
    async with connect(serving()) as connection:
        async with connection.channel(TALK, 1) as channel:
            await channel.end()
            with pytest.raises(enkaku.CallClosed, match=r"end\(\) was called"):
                await channel.send(1)
            assert await channel.result() == 1
            with pytest.raises(enkaku.CallClosed, match="it has ended"):
                await channel.send(1)


async def test_server_stream_when_full_invalid_raises_usage_error(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    async def newest(_: int, stream: Any) -> int:
        stream.when_full = "newest"
        raise AssertionError("unreachable")

    async with connect(Serving(watch=newest)) as connection:
        async with connection.stream(WATCH, 1) as stream:
            with pytest.raises(enkaku.CallError, match="EK01"):
                await stream.result()
    assert "when_full must be one of" in caplog.text
    assert "got 'newest'" in caplog.text


async def test_reopening_stream_instead_of_function_raises_usage_error(connect: Connect) -> None:
    async with connect(serving()) as connection:
        wrong: Any = connection.stream(WATCH, 1)
        with pytest.raises(enkaku.UsageError, match="pass a function that returns a new stream"):
            enkaku.reopening(wrong)
        makes_none: Any = lambda: 5  # noqa: E731 # as a program would write it there
        with pytest.raises(enkaku.UsageError, match="must return a new stream; got 5"):
            async with enkaku.reopening(makes_none):
                raise AssertionError("unreachable")


@pytest.mark.parametrize("wrong", [VOID, TELL, "watch", Serving])
def test_broadcast_of_request_or_event_raises_usage_error(wrong: Any) -> None:
    with pytest.raises(enkaku.UsageError, match="the procedure must be a stream or channel"):
        enkaku.Broadcast(wrong)


async def test_broadcast_option_invalid_raises_usage_error() -> None:
    wrong: Any = "1"
    with pytest.raises(enkaku.UsageError, match="patience must be a number of seconds"):
        enkaku.Broadcast(WATCH, patience=wrong)
    with pytest.raises(enkaku.UsageError, match=r'when_full must be one of .*"disconnect"'):
        await enkaku.Broadcast(WATCH).serve(wrong, when_full=wrong)


@pytest.mark.parametrize("grace", ["1", None, -1, math.nan])
async def test_stop_grace_invalid_raises_usage_error(socket_path: Path, grace: Any) -> None:
    async with enkaku.serve_unix(serving(), socket_path) as server:
        for end in (server.stop, server.serve_forever):
            with pytest.raises(enkaku.UsageError, match="grace must be"):
                await end(grace=grace)


# Event loops.


async def in_another_loop(use: Callable[[], Awaitable[object]]) -> None:
    """Do something in a thread that has an event loop of its own, where it is refused."""

    async def run() -> None:
        async with asyncio.timeout(WITHIN):
            with pytest.raises(enkaku.UsageError, match="belongs to another event loop"):
                await use()

    await asyncio.to_thread(asyncio.run, run())


async def test_connection_in_other_event_loop_raises_usage_error(connect: Connect) -> None:
    async with connect(serving()) as connection:

        async def opening() -> None:
            async with connection.stream(WATCH, 1):
                raise AssertionError("unreachable")

        await in_another_loop(lambda: connection.request(ASK, 1))
        await in_another_loop(lambda: connection.event(TELL, 1))
        await in_another_loop(opening)
        await in_another_loop(connection.close)
        assert await connection.request(ASK, 1) == 1


async def test_call_in_other_event_loop_raises_usage_error(connect: Connect) -> None:
    async with connect(serving()) as connection, connection.channel(TALK, 1) as channel:

        async def aborting() -> None:
            channel.abort()

        await in_another_loop(lambda: channel.send(1))
        await in_another_loop(lambda: anext(channel))
        await in_another_loop(channel.result)
        await in_another_loop(channel.close)
        await in_another_loop(channel.end)
        await in_another_loop(aborting)
        with pytest.raises(enkaku.UsageError, match="belongs to another event loop"):
            await asyncio.to_thread(channel.abort)  # where none runs at all
        await channel.send(1)
        assert await anext(channel) == 1


async def test_server_stream_in_other_event_loop_raises_usage_error(connect: Connect) -> None:
    async def threaded(number: int, stream: enkaku.ServerStream[int]) -> int:
        await in_another_loop(lambda: stream.send(1))
        await stream.send(2)
        return number

    async with connect(Serving(watch=threaded)) as connection:
        async with connection.stream(WATCH, 1) as stream:
            assert [item async for item in stream] == [2]


async def test_server_in_other_event_loop_raises_usage_error(socket_path: Path) -> None:
    async with enkaku.serve_unix(serving(), socket_path) as server:
        await in_another_loop(server.stop)
        await in_another_loop(server.serve_forever)
        async with enkaku.connect_unix(socket_path) as connection:
            assert await connection.request(ASK, 1) == 1


async def test_coroutine_never_awaited_warns_with_public_name(connect: Connect) -> None:
    async def watch(_: int, stream: enkaku.ServerStream[int]) -> int:
        with pytest.warns(RuntimeWarning, match=r"ServerStream\.send' was never awaited"):
            stream.send(1)  # type: ignore[unused-coroutine] # the mistake
        return 1

    async with connect(Serving(ask=echo, watch=watch, talk=talk)) as connection:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            connection.request(ASK, 1)  # type: ignore[unused-coroutine] # the mistake
            async with connection.channel(TALK, 0) as channel:
                channel.send(1)  # type: ignore[unused-coroutine] # the mistake
            gc.collect()
        async with connection.stream(WATCH, 0) as stream:
            assert await stream.result() == 1
    assert [str(each.message) for each in caught] == [
        "coroutine 'Connection.request' was never awaited",
        "coroutine 'ClientChannel.send' was never awaited",
    ]
