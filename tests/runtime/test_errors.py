"""What a caller is told when a call ends badly, and what it is never told."""

import asyncio
import copy
import gc
import logging
import pickle
import re
from typing import Annotated, Any

import enkaku
import pytest
from pydantic import AfterValidator
from support import (
    ASK,
    ECHO,
    TALK,
    TICK,
    VOID,
    WATCH,
    WITHIN,
    Connect,
    Foreign,
    OutOfStock,
    Raw,
    Serving,
    Shortage,
    Tired,
    facing,
    raw_client,
)

FAILED = ("EK01", "Handler execution failed")


class Odd(BaseException):
    """What a test framework, or a library, may raise past every ``except Exception``."""


def raising(error: BaseException) -> Serving:
    async def ask(number: int) -> int:
        if number:
            raise error
        return number

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        for item in range(number):
            await stream.send(item)
        raise error

    async def talk(number: int, channel: enkaku.ServerChannel[int, int]) -> int:
        async for item in channel:
            await channel.send(item)
            break
        raise error

    return Serving(ask=ask, watch=watch, talk=talk)


async def test_declared_error_is_raised_as_its_class_with_data(connect_anyhow: Connect) -> None:
    async with connect_anyhow(raising(OutOfStock("sold out", Shortage(missing=3)))) as connection:
        with pytest.raises(OutOfStock) as caught:
            await connection.request(ASK, 1)
    assert caught.value.code == "OUT_OF_STOCK"
    assert caught.value.message == "sold out"
    assert caught.value.data == Shortage(missing=3)
    assert caught.value.procedure == "ask"
    assert str(caught.value) == "ask: sold out (OUT_OF_STOCK)"


async def test_declared_error_without_data_has_empty_data(connect: Connect) -> None:
    async with connect(raising(Tired("tomorrow"))) as connection:
        with pytest.raises(Tired) as caught:
            await connection.request(ASK, 1)
    assert caught.value.data == {}


async def test_declared_error_is_raised_after_all_items(connect: Connect) -> None:
    async with connect(raising(OutOfStock("no", Shortage(missing=1)))) as connection:
        async with connection.stream(WATCH, 100) as stream:
            items: list[int] = []
            with pytest.raises(OutOfStock):
                async for item in stream:
                    items.append(item)  # noqa: PERF401 # the error comes in the middle
            assert items == list(range(100))
            with pytest.raises(OutOfStock):
                await stream.result()


async def in_task_group(*errors: Exception) -> None:
    """Raise the errors in tasks of a group, which raises them in an ExceptionGroup."""

    async def fail(error: Exception) -> None:
        raise error

    async with asyncio.TaskGroup() as group:
        for error in errors:
            group.create_task(fail(error))


@pytest.mark.parametrize("nested", [False, True])
async def test_declared_error_alone_in_group_counts_as_itself(
    connect: Connect, *, nested: bool
) -> None:
    async def ask(number: int) -> int:
        error: Exception = Tired("no") if number else enkaku.HandlerError("MINE", "no")
        await in_task_group(ExceptionGroup("inner", [error]) if nested else error)
        return number

    async with connect(Serving(ask=ask)) as connection:
        with pytest.raises(Tired):
            await connection.request(ASK, 1)
        with pytest.raises(enkaku.CallError) as caught:
            await connection.request(ASK, 0)
        assert caught.value.code == "MINE"


async def test_declared_error_among_others_fails_call(connect: Connect) -> None:
    async def ask(_: int) -> int:
        raise ExceptionGroup("two", [Tired("no"), ValueError("secret")])

    async with connect(Serving(ask=ask)) as connection:
        with pytest.raises(enkaku.CallError) as caught:
            await connection.request(ASK, 1)
    assert (caught.value.code, caught.value.message) == FAILED


async def test_call_closed_alone_in_group_ends_stream_without_result(connect: Connect) -> None:
    async def tick(stream: enkaku.ServerStream[int]) -> None:
        async def send() -> None:
            while True:
                await stream.send(1)

        async with asyncio.TaskGroup() as group:
            group.create_task(send())

    async with connect(Serving(tick=tick)) as connection:
        async with connection.stream(TICK, None) as stream:
            assert await anext(stream) == 1
            assert await stream.close() is None


async def test_declared_error_ends_channel(connect: Connect) -> None:
    async with connect(raising(Tired("no"))) as connection:
        async with connection.channel(TALK, 0) as channel:
            await channel.send(1)
            assert await anext(channel) == 1
            with pytest.raises(Tired):
                await anext(channel)
            with pytest.raises(Tired):
                await channel.send(2)


async def test_declared_error_after_close_reaches_caller(connect: Connect) -> None:
    async def watch(_: int, stream: enkaku.ServerStream[int]) -> int:
        async with stream.until_closed():
            await asyncio.Event().wait()
        raise Tired("late")

    async with connect(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, 0) as stream:
            with pytest.raises(Tired):
                await stream.close()


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret"),
        Foreign("secret"),
        OutOfStock("secret", Shortage.model_construct(missing="secret")),  # type: ignore[arg-type] # on purpose
        enkaku.CallError("secret", "secret"),
        enkaku.CallClosed("secret"),
        enkaku.ConnectionLost("secret"),
        enkaku.HandlerError("x" * 129, "secret"),
        enkaku.HandlerError("CODE", "secret", {"secret": float("nan")}),
        enkaku.HandlerError("CODE", "secret", {"secret": object()}),
        enkaku.HandlerError("CODE", "secret", dict.fromkeys(map(str, range(65)))),
        enkaku.HandlerError(404, "secret"),  # type: ignore[arg-type] # on purpose
        enkaku.HandlerError("CODE", 404),  # type: ignore[arg-type] # on purpose
        enkaku.HandlerError("CODE", "secret", ["secret"]),  # type: ignore[arg-type] # on purpose
        enkaku.HandlerError("CODE", "secret", {1: "secret"}),  # type: ignore[dict-item] # the mistake
        StopIteration("secret"),
        StopAsyncIteration("secret"),
        TimeoutError("secret"),
        asyncio.InvalidStateError("secret"),
        ExceptionGroup("secret", [ValueError("secret")]),
        RecursionError("secret"),
        Odd("secret"),
    ],
    ids=lambda error: f"{type(error).__name__}-{str(error)[:20]!a}",
)
async def test_undeclared_error_is_logged_and_not_sent(
    socket_path: Any, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    async with enkaku.serve_unix(raising(error), socket_path), raw_client(socket_path) as peer:
        peer.send(typ="request", rid="a", prc="ask", prm=1)
        answer = await peer.read()
        assert await peer.settle() == []
    assert answer == {"typ": "error", "rid": "a", "code": FAILED[0], "data": {}, "msg": FAILED[1]}
    logged = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert logged[0].name == "enkaku.server"
    assert "ask" in logged[0].getMessage()
    assert re.search(r"in ask\n[ |]+raise error", caplog.text)  # the traceback leads to the handler


async def test_handler_failure_leaves_other_calls_running(connect: Connect) -> None:
    async with connect(raising(ValueError("secret"))) as connection:
        with pytest.raises(enkaku.CallError) as caught:
            await connection.request(ASK, 1)
        assert (caught.value.code, caught.value.message) == FAILED
        assert caught.value.data == {}
        assert await connection.request(ASK, 0) == 0


async def test_handler_error_is_raised_as_call_error(connect: Connect) -> None:
    error = enkaku.HandlerError("LIMIT", "too many", {"most": 3, "why": ["é", None]})
    async with connect(raising(error)) as connection:
        with pytest.raises(enkaku.CallError) as caught:
            await connection.request(ASK, 1)
    assert type(caught.value) is enkaku.CallError
    assert (caught.value.code, caught.value.message) == ("LIMIT", "too many")
    assert caught.value.data == {"most": 3, "why": ["é", None]}
    assert caught.value.procedure == "ask"


async def test_handler_error_with_declared_code_is_raised_as_declared(
    connect: Connect,
) -> None:
    error = enkaku.HandlerError("OUT_OF_STOCK", "no", {"missing": 4})
    async with connect(raising(error)) as connection:
        with pytest.raises(OutOfStock) as caught:
            await connection.request(ASK, 1)
    assert caught.value.data == Shortage(missing=4)


async def test_declared_error_with_invalid_data_is_plain_call_error(connect: Connect) -> None:
    error = enkaku.HandlerError("OUT_OF_STOCK", "no", {"missing": "four"})
    async with connect(raising(error)) as connection:
        with pytest.raises(enkaku.CallError) as caught:
            await connection.request(ASK, 1)
    assert type(caught.value) is enkaku.CallError
    assert caught.value.data == {"missing": "four"}


async def test_handler_error_long_message_is_cut(socket_path: Any) -> None:
    handler = raising(enkaku.HandlerError("C", "é" * 5000))
    async with enkaku.serve_unix(handler, socket_path), raw_client(socket_path) as peer:
        peer.send(typ="request", rid="a", prc="ask", prm=1)
        assert (await peer.read())["msg"] == "é" * 4096


async def test_handler_error_message_keeps_lone_surrogate(connect: Connect) -> None:
    async with connect(raising(enkaku.HandlerError("C", "half \ud83d"))) as connection:
        with pytest.raises(enkaku.CallError) as caught:
            await connection.request(ASK, 1)
    assert caught.value.message == "half \ud83d"


async def test_handler_invalid_result_is_handler_failure(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(number: int) -> Any:
        return number or "no number"

    async with connect(Serving(ask=ask)) as connection:
        with pytest.raises(enkaku.CallError) as caught:
            await connection.request(ASK, 0)
        assert (caught.value.code, caught.value.message) == FAILED
        assert await connection.request(ASK, 1) == 1
    assert "ask: the handler failed" in caplog.text
    assert "ask result" in caplog.text


async def test_handler_invalid_item_is_handler_failure(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    async def watch(_: int, stream: enkaku.ServerStream[Any]) -> int:
        await stream.send(1)
        await stream.send("no number")
        return 1

    async with connect(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, 0) as stream:
            assert await anext(stream) == 1
            with pytest.raises(enkaku.CallError, match="EK01"):
                await anext(stream)
    assert "watch receive" in caplog.text


async def test_handler_may_catch_encode_error_and_continue(connect: Connect) -> None:
    async def watch(number: int, stream: enkaku.ServerStream[Any]) -> int:
        with pytest.raises(enkaku.EncodeError):
            await stream.send("no number")
        await stream.send(number)
        return number

    async with connect(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, 3) as stream:
            assert [item async for item in stream] == [3]
            assert await stream.result() == 3


async def test_procedure_without_result_sends_no_result(
    socket_path: Any,
) -> None:
    class Talkative(enkaku.Handler):
        async def void(self) -> Any:
            return "something"

        def __routes__(self) -> tuple[enkaku.Route, ...]:
            return (enkaku.Route.request(VOID, self.void),)

    async with enkaku.serve_unix(Talkative(), socket_path), raw_client(socket_path) as peer:
        peer.send(typ="request", rid="a", prc="void")
        assert await peer.read() == {"typ": "result", "rid": "a"}


@pytest.mark.parametrize("method", [lambda _: 5, lambda _: None, lambda: 5])
async def test_handler_not_a_coroutine_fails_only_its_call(connect: Connect, method: Any) -> None:
    async with connect(Serving(ask=method)) as connection:
        with pytest.raises(enkaku.CallError, match="EK01"):
            await connection.request(ASK, 1)
        await connection.request(VOID, None)


async def test_validator_raising_unexpectedly_fails_only_its_call(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(_: str) -> str:
        raise KeyError("secret")

    hostile = enkaku.Request[str, str]("echo", param=Annotated[str, AfterValidator(explode)])  # type: ignore[arg-type] # on purpose

    class Exploding(enkaku.Handler):
        async def echo(self, text: str) -> str:
            return text

        async def void(self) -> None:
            return None

        def __routes__(self) -> tuple[enkaku.Route, ...]:
            return (enkaku.Route.request(hostile, self.echo), enkaku.Route.request(VOID, self.void))

    async with connect(Exploding()) as connection:
        async with asyncio.timeout(WITHIN):
            with pytest.raises(enkaku.CallError) as caught:
                await connection.request(ECHO, "x")
        assert (caught.value.code, caught.value.message) == FAILED
        await connection.request(VOID, None)
    assert "secret" in caplog.text


async def test_client_invalid_result_raises_decode_error(socket_path: Any) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK, 1))
        peer.send(typ="result", rid=(await peer.read())["rid"], val="no number")
        with pytest.raises(enkaku.DecodeError, match="ask result") as caught:
            await asking
        assert isinstance(caught.value, enkaku.PeerError)
        assert caught.value.problems[0].pointer == ""


async def test_client_invalid_item_ends_call_on_both_sides(socket_path: Any) -> None:
    async with facing(socket_path) as (connection, peer):
        async with connection.stream(WATCH, 1) as stream:
            rid = (await peer.read())["rid"]
            peer.send(typ="receive", rid=rid, val=1)
            peer.send(typ="receive", rid=rid, val="no number")
            assert await anext(stream) == 1
            with pytest.raises(enkaku.DecodeError, match="watch receive"):
                await anext(stream)
            assert await peer.read() == {"typ": "abort", "rid": rid}
            with pytest.raises(enkaku.DecodeError):
                await stream.result()
        await _answer_ask(connection, peer)


async def _answer_ask(connection: enkaku.Connection, peer: Raw) -> None:
    asking = asyncio.create_task(connection.request(ASK, 1))
    peer.send(typ="result", rid=(await peer.read())["rid"], val=11)
    async with asyncio.timeout(WITHIN):
        assert await asking == 11


async def test_call_error_raised_repeatedly_keeps_traceback_short(connect: Connect) -> None:
    def depth(error: BaseException) -> int:
        count, trace = 0, error.__traceback__
        while trace is not None:
            count, trace = count + 1, trace.tb_next
        return count

    async with connect(raising(Tired("no"))) as connection:
        async with connection.stream(WATCH, 0) as stream:
            depths: set[int] = set()
            for _ in range(5):
                with pytest.raises(Tired) as caught:
                    await stream.result()
                depths.add(depth(caught.value))
                with pytest.raises(Tired) as caught:
                    await anext(stream)
            assert len(depths) == 1


def test_handler_error_can_be_copied_and_pickled() -> None:
    pickled = pickle.dumps(enkaku.HandlerError("A", "m", {"x": 1}))
    error = pickle.loads(pickled)  # noqa: S301 # of this test
    assert (error.code, error.message, error.data, str(error)) == ("A", "m", {"x": 1}, "m (A)")
    assert copy.copy(error).data == {"x": 1}


class Open(enkaku.DeclaredError):
    pass


@pytest.mark.parametrize(
    "error",
    [
        Tired("no"),
        Open("no", code="MINE"),
        OutOfStock("no", Shortage(missing=3)),
        enkaku.CallError("MINE", "no", {"a": 1}, procedure="ask"),
        enkaku.DeadlineExceeded("EK05", "no"),
    ],
)
def test_call_error_copy_and_pickle_keep_everything(error: enkaku.CallError) -> None:
    error.add_note("seen")
    assert error.args == (error.code, "no")
    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 # our own
        assert type(same) is type(error)
        assert (same.args, str(same), vars(same)) == (error.args, str(error), vars(error))


async def test_failed_call_never_awaited_does_not_warn(connect: Connect) -> None:
    async with connect(Serving()) as connection:
        async with connection.stream(WATCH, 1):
            await connection.request(VOID, None)
        async with connection.channel(enkaku.Channel("no", send=int, receive=int), None):
            await connection.request(VOID, None)
    gc.collect()


async def test_generator_exit_of_handler_is_logged_as_failure(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(number: int) -> int:
        raise GeneratorExit

    async with connect(Serving(ask=ask)) as connection:
        with pytest.raises(enkaku.CallError, match="EK01"):
            await connection.request(ASK, 1)
    gc.collect()
    assert [record.getMessage() for record in caplog.records] == ["ask: the handler failed"]
