"""Hooks of a client: around whole calls, and on the items and results of streams and channels."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import enkaku
import pytest
from enkaku.procedures import with_prefix
from support import ASK, ECHO, TALK, TELL, WATCH, WITHIN, Connect, Serving, soon, turns, until

R = TypeVar("R")
T = TypeVar("T")
QUICK = enkaku.Reconnect(first=0.001, longest=0.01)
REPEATED = enkaku.Request[int, int]("ask", param=int, result=int, idempotent=True)


async def double(number: int) -> int:
    return 2 * number


async def never(number: int) -> int:
    await asyncio.get_running_loop().create_future()
    return number


async def count_up(number: int, stream: enkaku.ServerStream[int]) -> int:
    for item in range(number):
        await stream.send(item)
    return number


async def talk(number: int, channel: enkaku.ServerChannel[int, int]) -> int:
    async for item in channel:
        await channel.send(item)
    return number


class Named(enkaku.Hook):
    """Appends what it sees to a list, with its name."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self.name = name
        self.seen = seen

    async def wrap(self, call: enkaku.OutgoingCall[object], proceed: enkaku.Proceed[R]) -> R:
        self.seen.append(f"{self.name} {call.procedure.name} {call.param}")
        try:
            result = await proceed()
        except BaseException as error:
            self.seen.append(f"{self.name} {type(error).__name__}")
            raise
        self.seen.append(f"{self.name} got {result}")
        return result

    @asynccontextmanager
    async def wrap_stream(self, call: enkaku.OutgoingCall[object]) -> AsyncGenerator[None, None]:
        self.seen.append(f"{self.name} opens {call.procedure.name} {call.param}")
        try:
            yield
        finally:
            self.seen.append(f"{self.name} closes")

    def send(self, call: enkaku.OutgoingCall[object], item: T) -> T:
        self.seen.append(f"{self.name} sends {item}")
        return item

    def receive(self, call: enkaku.OutgoingCall[object], item: T) -> T:
        self.seen.append(f"{self.name} receives {item}")
        return item

    def result(self, call: enkaku.OutgoingCall[object], result: T) -> T:
        self.seen.append(f"{self.name} result {result}")
        return result


def hooks(*hooks: enkaku.Hook) -> dict[str, Any]:
    return {"client_hooks": list(hooks)}


async def test_hooks_wrap_a_request_in_order(connect_anyhow: Connect) -> None:
    seen: list[str] = []
    both = hooks(Named("a", seen), Named("b", seen))
    async with connect_anyhow(Serving(ask=double), **both) as connection:
        assert await connection.request(ASK, 4) == 8
    assert seen == ["a ask 4", "b ask 4", "b got 8", "a got 8"]


async def test_hooks_wrap_an_event(connect_anyhow: Connect) -> None:
    seen: list[str] = []
    heard: asyncio.Queue[int] = asyncio.Queue()

    async def tell(number: int) -> None:
        heard.put_nowait(number)

    async def increase(call: enkaku.OutgoingCall[int], proceed: enkaku.Proceed[None]) -> None:
        call.param += 1
        await proceed()

    both = hooks(Named("a", seen), enkaku.hook_for(TELL, increase))
    async with connect_anyhow(Serving(tell=tell), **both) as connection:
        await connection.event(TELL, 4)
        assert await heard.get() == 5
    assert seen == ["a tell 4", "a got None"]


async def test_hooks_wrap_a_channel_in_order(connect_anyhow: Connect) -> None:
    seen: list[str] = []
    both = hooks(Named("a", seen), Named("b", seen))
    async with connect_anyhow(Serving(talk=talk), **both) as connection:
        async with connection.channel(TALK, 7) as channel:
            await channel.send(1)
            assert await anext(channel) == 1
            assert await channel.close() == 7
            assert await channel.result() == 7
    assert seen == [
        "a opens talk 7",
        "b opens talk 7",
        "a sends 1",
        "b sends 1",
        "b receives 1",
        "a receives 1",
        "b result 7",
        "a result 7",
        "b closes",
        "a closes",
    ]


async def test_hook_changes_param_items_and_result(connect_anyhow: Connect) -> None:
    @asynccontextmanager
    async def wrap(call: enkaku.OutgoingCall[int]) -> AsyncGenerator[None, None]:
        call.param = 10
        yield

    hook = enkaku.hook_for(
        TALK,
        wrap,
        send=lambda _, item: item + 1,
        receive=lambda _, item: item * 10,
        result=lambda _, result: -result,
    )
    async with connect_anyhow(Serving(talk=talk), **hooks(hook)) as connection:
        async with connection.channel(TALK, 7) as channel:
            await channel.send(1)
            assert await anext(channel) == 20
            assert await channel.close() == -10


async def test_hook_changes_param_and_result_of_request(connect: Connect) -> None:
    async def wrap(call: enkaku.OutgoingCall[int], proceed: enkaku.Proceed[int]) -> int:
        call.param += 1
        return -await proceed()

    async with connect(Serving(ask=double), **hooks(enkaku.hook_for(ASK, wrap))) as connection:
        assert await connection.request(ASK, 4) == -10


async def test_hook_may_answer_without_sending(connect: Connect) -> None:
    asked = 0

    async def ask(number: int) -> int:
        nonlocal asked
        asked += 1
        return 2 * number

    kept: dict[int, int] = {}

    async def cache(call: enkaku.OutgoingCall[int], proceed: enkaku.Proceed[int]) -> int:
        if call.param not in kept:
            kept[call.param] = await proceed()
        return kept[call.param]

    async with connect(Serving(ask=ask), **hooks(enkaku.hook_for(ASK, cache))) as connection:
        assert [await connection.request(ASK, 4) for _ in range(3)] == [8, 8, 8]
    assert asked == 1


async def test_hook_for_procedure_ignores_other_calls(connect: Connect) -> None:
    async def fail(call: enkaku.OutgoingCall[int], proceed: enkaku.Proceed[int]) -> int:
        raise AssertionError

    async def echo(text: str) -> str:
        return text

    hook = enkaku.hook_for(ASK, fail)
    async with connect(Serving(echo=echo, watch=count_up), **hooks(hook)) as connection:
        assert await connection.request(ECHO, "tea") == "tea"
        async with connection.stream(WATCH, 2) as stream:
            assert [item async for item in stream] == [0, 1]
            assert await stream.result() == 2


async def test_hook_sends_again_after_chosen_error(connect: Connect) -> None:
    calls: list[enkaku.OutgoingCall[int]] = []
    numbers: list[int] = []

    async def ask(number: int) -> int:
        if len(numbers) < 3:
            raise enkaku.HandlerError("BUSY", "later")
        return number

    async def retry(call: enkaku.OutgoingCall[int], proceed: enkaku.Proceed[int]) -> int:
        calls.append(call)
        while True:
            try:
                return await proceed()
            except enkaku.CallError as error:
                if error.code != "BUSY":
                    raise

    @asynccontextmanager
    async def attempt(call: enkaku.Call) -> AsyncGenerator[None, None]:
        numbers.append(call.attempt)
        yield

    options = hooks(enkaku.hook_for(ASK, retry)) | {"client_interceptors": [attempt]}
    async with connect(Serving(ask=ask), **options) as connection:
        assert await connection.request(ASK, 4) == 4
    assert numbers == [1, 2, 3]
    assert calls[0].attempts == 3


async def test_interceptors_wrap_attempts_without_hooks(socket_path: Path) -> None:
    numbers: list[int] = []
    began = asyncio.Event()

    @asynccontextmanager
    async def attempt(call: enkaku.Call) -> AsyncGenerator[None, None]:
        numbers.append(call.attempt)
        yield

    await _restarted(socket_path, began, interceptors=[attempt])
    assert numbers == [1, 2]


class Ended(enkaku.Observer):
    def __init__(self) -> None:
        self.attempts: list[int] = []

    def call_ended(self, call: enkaku.Call) -> None:
        self.attempts.append(call.attempt)


async def test_observers_see_the_number_of_the_attempt(socket_path: Path) -> None:
    ended = Ended()
    await _restarted(socket_path, asyncio.Event(), observers=[ended])
    assert ended.attempts == [1, 2]


async def test_hook_wraps_reconnect_and_all_attempts(socket_path: Path) -> None:
    seen: list[str] = []
    calls: list[enkaku.OutgoingCall[int]] = []

    async def wrap(call: enkaku.OutgoingCall[int], proceed: enkaku.Proceed[int]) -> int:
        calls.append(call)
        return await proceed()

    some = [Named("a", seen), enkaku.hook_for(REPEATED, wrap)]
    await _restarted(socket_path, asyncio.Event(), hooks=some)
    assert seen == ["a ask 4", "a got 8"]
    assert calls[0].attempts == 2


async def _restarted(path: Path, began: asyncio.Event, **options: Any) -> None:
    """Make an idempotent request whose first attempt is lost with the server."""

    async def ask(number: int) -> int:
        began.set()
        return await never(number)

    async with enkaku.serve_unix(Serving(ask=ask), path) as server:
        connecting = enkaku.connect_unix(path, reconnect=QUICK, **options)
        connection = await connecting.__aenter__()
        asking = asyncio.create_task(connection.request(REPEATED, 4))
        await soon(began)
        server.abort()
    async with enkaku.serve_unix(Serving(ask=double), path) as server:
        async with asyncio.timeout(WITHIN):
            assert await asking == 8
        await connecting.__aexit__(None, None, None)


async def test_stream_hook_wraps_the_wait_for_a_reconnect(socket_path: Path) -> None:
    seen: list[str] = []
    async with enkaku.serve_unix(Serving(), socket_path):
        connecting = enkaku.connect_unix(socket_path, reconnect=QUICK, hooks=[Named("a", seen)])
        connection = await connecting.__aenter__()
    await until(lambda: connection.state == "connecting")

    async def read() -> list[int]:
        async with connection.stream(WATCH, 2) as stream:
            return [item async for item in stream]

    reading = asyncio.create_task(read())
    await until(lambda: seen == ["a opens watch 2"])
    async with enkaku.serve_unix(Serving(watch=count_up), socket_path):
        async with asyncio.timeout(WITHIN):
            assert await reading == [0, 1]
        await connecting.__aexit__(None, None, None)
    assert seen[-1] == "a closes"


async def test_deadline_ends_a_hook_that_waits(connect: Connect) -> None:
    async def wait(call: enkaku.OutgoingCall[int], proceed: enkaku.Proceed[int]) -> int:
        await asyncio.get_running_loop().create_future()
        return await proceed()

    async with connect(Serving(ask=double), **hooks(enkaku.hook_for(ASK, wait))) as connection:
        with pytest.raises(enkaku.DeadlineExceeded, match="ask"):
            await connection.request(ASK, 4, timeout=0.02)


async def test_deadline_bounds_all_attempts_of_a_retry(connect_anyhow: Connect) -> None:
    attempts = 0

    async def ask(number: int) -> int:
        raise enkaku.HandlerError("BUSY", "later")

    async def retry(call: enkaku.OutgoingCall[int], proceed: enkaku.Proceed[int]) -> int:
        nonlocal attempts
        while True:
            try:
                return await proceed()
            except enkaku.CallError as error:
                if error.code != "BUSY":
                    raise
                attempts = call.attempts
            await asyncio.sleep(0)

    async with connect_anyhow(Serving(ask=ask), **hooks(enkaku.hook_for(ASK, retry))) as connection:
        with pytest.raises(enkaku.DeadlineExceeded):
            await connection.request(ASK, 4, timeout=0.2)
    assert attempts >= 2


async def test_hook_sees_the_deadline_of_an_attempt_as_error(connect_anyhow: Connect) -> None:
    ended: list[str] = []

    class Codes(enkaku.Observer):
        def call_ended(self, call: enkaku.Call) -> None:
            ended.append(call.code)

    async def stale(call: enkaku.OutgoingCall[int], proceed: enkaku.Proceed[int]) -> int:
        try:
            return await proceed()
        except enkaku.DeadlineExceeded:
            assert call.remaining == 0
            with pytest.raises(enkaku.DeadlineExceeded):
                await proceed()
            return -1

    options = hooks(enkaku.hook_for(ASK, stale)) | {"client_observers": [Codes()]}
    async with connect_anyhow(Serving(ask=never), **options) as connection:
        assert await connection.request(ASK, 4, timeout=0.05) == -1
    assert ended == ["EK05"]


async def test_deadline_bounds_the_hook_of_a_stream(connect: Connect) -> None:
    @asynccontextmanager
    async def wait(call: enkaku.OutgoingCall[int]) -> AsyncGenerator[None, None]:
        await asyncio.get_running_loop().create_future()
        yield

    hook = enkaku.hook_for(WATCH, wait)
    async with connect(Serving(watch=count_up), **hooks(hook)) as connection:
        with pytest.raises(enkaku.DeadlineExceeded):
            async with connection.stream(WATCH, 2, timeout=0.02):
                pytest.fail("the block was entered")


async def test_timeout_of_the_hook_itself_stays_its_own(connect: Connect) -> None:
    async def hasty(call: enkaku.OutgoingCall[int], proceed: enkaku.Proceed[int]) -> int:
        async with asyncio.timeout(0.01):
            return await proceed()

    async with connect(Serving(ask=never), **hooks(enkaku.hook_for(ASK, hasty))) as connection:
        with pytest.raises(TimeoutError) as caught:
            await connection.request(ASK, 4)
        assert not isinstance(caught.value, enkaku.DeadlineExceeded)


async def test_cancelling_the_caller_reaches_handler_and_hooks(connect_anyhow: Connect) -> None:
    seen: list[str] = []
    began, ended = asyncio.Event(), asyncio.Event()

    async def ask(number: int) -> int:
        began.set()
        try:
            return await never(number)
        finally:
            ended.set()

    async with connect_anyhow(Serving(ask=ask), **hooks(Named("a", seen))) as connection:
        asking = asyncio.create_task(connection.request(ASK, 4))
        await soon(began)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await soon(ended)
        assert seen == ["a ask 4", "a CancelledError"]
        assert connection.calls == ()


async def test_hedged_attempts_may_be_concurrent(connect: Connect) -> None:
    asked = 0

    async def ask(number: int) -> int:
        nonlocal asked
        asked += 1
        return await (never(number) if asked == 1 else double(number))

    async def hedge(call: enkaku.OutgoingCall[int], proceed: enkaku.Proceed[int]) -> int:
        async def attempt() -> int:
            return await proceed()

        tasks = [asyncio.create_task(attempt()) for _ in range(2)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async with connect(Serving(ask=ask), **hooks(enkaku.hook_for(ASK, hedge))) as connection:
        assert await connection.request(ASK, 4) == 8


async def test_attempt_left_behind_by_a_hook_ends_quietly(connect: Connect) -> None:
    left: list[asyncio.Task[int]] = []

    async def leave(call: enkaku.OutgoingCall[int], proceed: enkaku.Proceed[int]) -> int:
        async def attempt() -> int:
            return await proceed()

        left.append(asyncio.create_task(attempt()))
        await turns(1)
        return -1

    async with connect(Serving(ask=double), **hooks(enkaku.hook_for(ASK, leave))) as connection:
        assert await connection.request(ASK, 4) == -1
        assert await left[0] == 8


async def test_exception_of_hook_reaches_the_caller(connect: Connect) -> None:
    async def refuse(call: enkaku.OutgoingCall[int], proceed: enkaku.Proceed[int]) -> int:
        raise PermissionError("not you")

    async with connect(Serving(ask=double), **hooks(enkaku.hook_for(ASK, refuse))) as connection:
        with pytest.raises(PermissionError, match="not you"):
            await connection.request(ASK, 4)
        assert connection.calls == ()


async def test_stream_hook_raising_on_entry_exits_outer_hooks(connect: Connect) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def refuse(call: enkaku.OutgoingCall[int]) -> AsyncGenerator[None, None]:
        raise PermissionError("not you")
        yield

    both = hooks(Named("a", seen), enkaku.hook_for(WATCH, refuse))
    async with connect(Serving(watch=count_up), **both) as connection:
        with pytest.raises(PermissionError, match="not you"):
            async with connection.stream(WATCH, 2):
                pytest.fail("the block was entered")
        assert seen == ["a opens watch 2", "a closes"]
        assert connection.calls == ()


async def test_lost_connection_exits_the_hook_of_a_stream(connect: Connect) -> None:
    seen: list[str] = []
    async with connect(Serving(watch=count_up), **hooks(Named("a", seen))) as connection:
        await connection.close()
        with pytest.raises(enkaku.ConnectionLost):
            async with connection.stream(WATCH, 2):
                pytest.fail("the block was entered")
    assert seen == ["a opens watch 2", "a closes"]


async def test_stream_with_hooks_is_opened_once(connect: Connect) -> None:
    seen: list[str] = []
    async with connect(Serving(watch=count_up), **hooks(Named("a", seen))) as connection:
        async with connection.stream(WATCH, 2) as stream:
            with pytest.raises(enkaku.UsageError, match="opened once"):
                await stream.__aenter__()
            assert seen == ["a opens watch 2"]
            assert [item async for item in stream] == [0, 1]


async def test_hook_raising_for_an_item_leaves_the_call_open(connect: Connect) -> None:
    def check(call: enkaku.OutgoingCall[int], item: int) -> int:
        if item == 1:
            raise ValueError("odd")
        return item

    hook = enkaku.hook_for(WATCH, receive=check)
    async with connect(Serving(watch=count_up), **hooks(hook)) as connection:
        async with connection.stream(WATCH, 3) as stream:
            assert await anext(stream) == 0
            with pytest.raises(ValueError, match="odd"):
                await anext(stream)
            assert await anext(stream) == 2
            assert await stream.result() == 3


async def test_hook_raising_for_an_item_sends_nothing(connect: Connect) -> None:
    def check(call: enkaku.OutgoingCall[int], item: int) -> int:
        if item == 1:
            raise ValueError("odd")
        return item

    hook = enkaku.hook_for(TALK, send=check)
    async with connect(Serving(talk=talk), **hooks(hook)) as connection:
        async with connection.channel(TALK, 7) as channel:
            with pytest.raises(ValueError, match="odd"):
                await channel.send(1)
            await channel.send(2)
            assert await anext(channel) == 2
            assert channel.call.items_sent == 1


async def test_param_of_hook_that_schema_rejects_is_not_sent(connect: Connect) -> None:
    async def spoil(call: enkaku.OutgoingCall[Any], proceed: enkaku.Proceed[int]) -> int:
        call.param = "four"
        return await proceed()

    @asynccontextmanager
    async def spoil_stream(call: enkaku.OutgoingCall[Any]) -> AsyncGenerator[None, None]:
        call.param = "four"
        yield

    some = hooks(enkaku.hook_for(ASK, spoil), enkaku.hook_for(WATCH, spoil_stream))
    async with connect(Serving(ask=double, watch=count_up), **some) as connection:
        with pytest.raises(enkaku.EncodeError, match="ask param"):
            await connection.request(ASK, 4)
        with pytest.raises(enkaku.EncodeError, match="watch param"):
            async with connection.stream(WATCH, 4):
                pytest.fail("the block was entered")


async def test_context_of_hook_reaches_the_interceptors(connect: Connect) -> None:
    span: ContextVar[str] = ContextVar("span")
    events: list[str] = []

    async def trace(call: enkaku.OutgoingCall[int], proceed: enkaku.Proceed[int]) -> int:
        span.set(call.procedure.name)
        return await proceed()

    @asynccontextmanager
    async def attempt(call: enkaku.Call) -> AsyncGenerator[None, None]:
        events.append(f"{span.get()} {call.attempt}")
        yield

    options = hooks(enkaku.hook_for(ASK, trace)) | {"client_interceptors": [attempt]}
    async with connect(Serving(ask=double), **options) as connection:
        await connection.request(ASK, 4)
    assert events == ["ask 1"]


async def test_hook_applies_to_procedures_under_a_prefix() -> None:
    async def negate(call: enkaku.OutgoingCall[int], proceed: enkaku.Proceed[int]) -> int:
        return -await proceed()

    handler = enkaku.prefixed("shop/", Serving(ask=double))
    options = {"hooks": [enkaku.hook_for(ASK, negate)]}
    async with enkaku.connect_memory(handler, connection_options=options) as connection:
        assert await connection.request(with_prefix(ASK, "shop/"), 4) == -8


async def test_calls_of_a_lifespan_pass_the_hooks(connect: Connect) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def greet(connection: enkaku.Connection) -> AsyncGenerator[None, None]:
        await connection.request(ASK, 1)
        yield

    options = hooks(Named("a", seen)) | {"client_lifespan": greet}
    async with connect(Serving(ask=double), **options):
        assert seen == ["a ask 1", "a got 2"]


async def test_reopened_streams_pass_the_hooks(connect: Connect) -> None:
    hook = enkaku.hook_for(WATCH, receive=lambda _, item: -item, result=lambda _, result: -result)
    async with connect(Serving(watch=count_up), **hooks(hook)) as connection:
        async with enkaku.reopening(lambda: connection.stream(WATCH, 3)) as items:
            assert [item async for item in items] == [0, -1, -2]
            assert items.result == -3


def _only(_: enkaku.OutgoingCall[Any], item: Any) -> Any:
    return item


async def _async(_: enkaku.OutgoingCall[Any], item: Any) -> Any:
    return item


async def _undecorated(_: enkaku.OutgoingCall[Any]) -> AsyncGenerator[None, None]:
    yield


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda hook_for: hook_for(ASK), "pass a function for Request"),
        (lambda hook_for: hook_for("ask", _only), "must be a procedure"),
        (lambda hook_for: hook_for(ASK, receive=_only), "has no option 'receive'"),
        (lambda hook_for: hook_for(WATCH, send=_only), "has no option 'send'"),
        (lambda hook_for: hook_for(WATCH, receive=_async), "receive must not be async"),
        (lambda hook_for: hook_for(WATCH, _undecorated), "@asynccontextmanager"),
        (lambda hook_for: hook_for(WATCH, result=3), "result must be a function"),
    ],
)
def test_invalid_hook_is_rejected(make: Any, problem: str) -> None:
    with pytest.raises(enkaku.UsageError, match=problem):
        make(enkaku.hook_for)


@pytest.mark.parametrize("given", [[enkaku.Hook], [_async], enkaku.Hook()])
async def test_option_that_is_no_list_of_hooks_is_rejected(given: Any) -> None:
    with pytest.raises(enkaku.UsageError, match="hooks"):
        async with enkaku.connect_memory(Serving(), connection_options={"hooks": given}):
            pytest.fail("connected")


def test_synchronous_clients_pass_the_hooks() -> None:
    def check(call: enkaku.OutgoingCall[int], item: int) -> int:
        if item == 2:
            raise ValueError("two")
        return -item

    async def negate(call: enkaku.OutgoingCall[int], proceed: enkaku.Proceed[int]) -> int:
        return -await proceed()

    some: list[enkaku.Hook] = [enkaku.hook_for(WATCH, receive=check), enkaku.hook_for(ASK, negate)]
    block = enkaku.connect_memory(
        Serving(ask=double, watch=count_up), connection_options={"hooks": some}
    )
    with enkaku.sync.connect(block) as connection:
        assert connection.request(ASK, 4) == -8
        with connection.stream(WATCH, 4) as stream:
            assert [next(stream), next(stream)] == [0, -1]
            with pytest.raises(ValueError, match="two"):
                next(stream)
            assert next(stream) == -3
            assert stream.result() == 4
