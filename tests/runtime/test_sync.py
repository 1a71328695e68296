"""Synchronous clients: calls that block their thread, with a server in another process."""

import asyncio
import gc
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku.sync.background import background
from enkaku.testing import Faults
from support import (
    ASK,
    ECHO,
    FILL,
    POUR,
    TALK,
    TELL,
    VOID,
    WATCH,
    WITHIN,
    OutOfStock,
    Serving,
)
from syncserver import ENVIRONMENT, KINDS, running_server


@pytest.fixture(scope="module")
def addresses() -> Generator[dict[str, str], None, None]:
    with running_server() as found:
        yield found


@pytest.fixture
def address(addresses: dict[str, str]) -> str:
    return addresses["unix"]


@pytest.fixture
def connection(address: str) -> Generator[enkaku.sync.Connection, None, None]:
    with enkaku.sync.connect(address, timeout=WITHIN) as connection:
        yield connection
        until(lambda: connection.request(ASK, 0) == 0)  # no handler is left
        assert connection.calls == ()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what has no event, but not for ever."""
    end = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < end


def waiting(connection: enkaku.sync.Connection, count: int = 1) -> None:
    """Wait until so many handlers of the server wait."""
    until(lambda: connection.request(ASK, 0) == count)


def in_threads(count: int, function: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(function, range(count), timeout=3 * WITHIN))


# Calls.


@pytest.mark.parametrize("kind", KINDS)
def test_sync_calls_work_over_every_transport(addresses: dict[str, str], kind: str) -> None:
    options: dict[str, Any] = {"env": ENVIRONMENT} if kind == "stdio" else {}
    with enkaku.sync.connect(addresses[kind], timeout=WITHIN, **options) as connection:
        assert connection.is_open
        assert connection.state == "open"
        assert connection.request(ECHO, "text") == "text"
        connection.event(TELL, 1)
        with connection.stream(WATCH, 1000) as stream:
            assert list(stream) == list(range(1000))
            assert stream.result() == 1000
            assert stream.dropped == 0
        with connection.stream(WATCH, -3) as stream:
            stream.opened()
            assert [stream.receive(), next(stream)] == [0, 1]
            assert stream.close() == -3
            assert list(stream) == [2]
        with connection.channel(TALK, 1) as channel:
            channel.send(4)
            assert channel.receive(timeout=WITHIN) == 8
            channel.send(5)
            channel.end()
            assert list(channel) == [10]
            assert channel.result() == 2
        with connection.stream(WATCH, -1) as stream:
            stream.abort("enough")
            with pytest.raises(enkaku.CallClosed, match="this side aborted the call"):
                next(stream)
    assert not connection.is_open
    with pytest.raises(enkaku.ConnectionLost, match="this side closed the connection"):
        connection.request(ECHO, "text")


def test_sync_connect_takes_block_of_any_connection() -> None:
    async def same(text: str) -> str:
        return text

    with enkaku.sync.connect(enkaku.connect_memory(Serving(echo=same))) as connection:
        assert connection.peer == "the server in memory"
        assert connection.request(ECHO, "text") == "text"
        told = "<synchronous connection to the server in memory: open, 0 open calls>"
        assert repr(connection) == told


def test_sync_connection_is_prefixed_as_asynchronous_one() -> None:
    async def same(text: str) -> str:
        return text

    async def count(number: int, stream: enkaku.ServerStream[int]) -> int:
        for item in range(number):
            await stream.send(item)
        return number

    handler = enkaku.prefixed("v2/", Serving(echo=same, watch=count))
    with enkaku.sync.connect(enkaku.connect_memory(handler)) as connection:
        under = enkaku.prefixed("v2/", connection)
        assert under.request(ECHO, "text") == "text"
        with under.stream(WATCH, 3) as stream:
            assert list(stream) == [0, 1, 2]
        assert under.peer == connection.peer
        with pytest.raises(enkaku.CallError, match="EK08"):
            connection.request(ECHO, "text")


def test_sync_connect_block_with_options_raises_usage_error() -> None:
    block: Any = enkaku.connect_memory(Serving())
    with pytest.raises(enkaku.UsageError, match=r"the function that made the block; got timeout"):
        enkaku.sync.connect(block, timeout=5)


def test_sync_connection_under_a_prefix_calls_full_names() -> None:
    async def double(number: int) -> int:
        return 2 * number

    async def watch(count: int, stream: enkaku.ServerStream[int]) -> int:
        await stream.send(count)
        return count

    handler = enkaku.prefixed("v2/", Serving(ask=double, watch=watch))
    with enkaku.sync.connect(enkaku.connect_memory(handler)) as connection:
        prefixed = enkaku.prefixed("v2/", connection)
        assert prefixed.request(ASK, 2) == 4
        with prefixed.stream(WATCH, 3) as stream:
            assert [*stream] == [3]
        with pytest.raises(enkaku.CallError, match="ask"):
            connection.request(ASK, 2)


def test_sync_connect_without_server_raises_connect_failed(tmp_path: Path) -> None:
    with pytest.raises(enkaku.ConnectFailed, match="is the server running") as caught:
        enkaku.sync.connect(f"unix:{tmp_path}/none")
    assert_raised_here(caught.value)
    with pytest.raises(enkaku.UsageError, match="no address begins with"):
        enkaku.sync.connect("none")


def test_sync_connection_states_are_iterated(address: str) -> None:
    with enkaku.sync.connect(address) as connection:
        states = connection.states()
        assert next(states) == "open"
    assert list(states) == ["closed"]


@pytest.mark.parametrize("kind", KINDS)
def test_sync_connection_handles_calls_of_server(addresses: dict[str, str], kind: str) -> None:
    threads: list[str] = []

    async def echo(text: str) -> str:
        threads.append(threading.current_thread().name)
        with pytest.raises(enkaku.UsageError, match="runs in its own event loop"):
            connection.request(ASK, 1)
        # In another thread, it may call the server that has called it.
        return text * await asyncio.to_thread(connection.request, ASK, 3)

    options: dict[str, Any] = {"env": ENVIRONMENT} if kind == "stdio" else {}
    options["handler"] = Serving(echo=echo)
    with enkaku.sync.connect(addresses[kind], timeout=WITHIN, **options) as connection:
        assert connection.request(ASK, 77) == 3 * len("called")
    assert threads == ["enkaku.sync"]


def test_sync_observers_are_notified_in_background_loop(address: str) -> None:
    names: list[str] = []

    class Observer(enkaku.Observer):
        def call_ended(self, call: enkaku.Call) -> None:
            names.append(f"{call.procedure.name} {threading.current_thread().name}")

    with enkaku.sync.connect(address, observers=[Observer()]) as connection:
        connection.request(ECHO, "text")
    assert names == ["echo enkaku.sync"]


# Streams.


def test_sync_stream_keeps_order_of_many_items(connection: enkaku.sync.Connection) -> None:
    with connection.stream(POUR, 20_000) as stream:
        assert list(stream) == [str(number) for number in range(20_000)]
        assert stream.call.items_received == 20_000


def test_sync_stream_latest_yields_newest_item() -> None:
    sent = threading.Event()

    async def count(number: int, stream: enkaku.ServerStream[int]) -> int:
        for item in range(number):
            await stream.send(item)
        sent.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def same(text: str) -> str:
        return text

    handler = Serving(watch=count, echo=same)
    with enkaku.sync.connect(enkaku.connect_memory(handler)) as connection:
        with connection.stream(WATCH, 100, when_full="latest") as stream:
            assert sent.wait(WITHIN)
            connection.request(ECHO, "")  # the reply comes after the items
            assert stream.receive(timeout=WITHIN) == 99
            assert stream.dropped == 99


def test_sync_stream_decode_error_comes_after_earlier_items() -> None:
    mixed = enkaku.Stream[int, object, int]("watch", param=int, receive=object, result=int)

    async def send(number: int, stream: enkaku.ServerStream[object]) -> int:
        for item in (1, 2, "three", 4):
            await stream.send(item)
        return number

    class Mixed(enkaku.Handler):
        def __routes__(self) -> tuple[enkaku.Route, ...]:
            return (enkaku.Route.stream(mixed, send),)

    with enkaku.sync.connect(enkaku.connect_memory(Mixed())) as connection:
        with connection.stream(WATCH, 1) as stream:
            assert [next(stream), next(stream)] == [1, 2]
            with pytest.raises(enkaku.DecodeError, match="expected integer") as caught:
                next(stream)
            assert_raised_here(caught.value)


def test_sync_generator_left_early_aborts_call(connection: enkaku.sync.Connection) -> None:
    def items() -> Iterator[int]:
        with connection.stream(WATCH, -5) as stream:
            yield from stream

    for item in items():
        if item == 3:
            waiting(connection)
            break
    gc.collect()
    waiting(connection, 0)


def test_sync_generator_closed_in_background_loop_aborts_call(
    connection: enkaku.sync.Connection,
) -> None:
    def items() -> Iterator[int]:
        with connection.stream(WATCH, -5) as stream:
            yield from stream

    generator: Any = items()
    assert next(generator) == 0

    async def close() -> None:
        generator.close()

    background().run(close())
    waiting(connection, 0)


def test_sync_stream_left_by_exception_aborts_call(connection: enkaku.sync.Connection) -> None:
    with pytest.raises(KeyError), connection.stream(WATCH, -5) as stream:
        waiting(connection)
        raise KeyError(next(stream))
    waiting(connection, 0)


def test_sync_stream_not_opened_raises_usage_error(connection: enkaku.sync.Connection) -> None:
    channel = connection.channel(TALK, 1)
    told = "^talk: open the call first, with 'with'$"
    uses: list[Callable[[], object]] = [
        lambda: next(channel),
        lambda: list(channel),
        channel.receive,
        channel.result,
        channel.close,
        channel.opened,
        channel.end,
        lambda: channel.send(1),
        lambda: channel.call,
    ]
    for use in uses:
        with pytest.raises(enkaku.UsageError, match=told):
            use()
    channel.abort()
    assert repr(channel) == "<synchronous channel talk: not open>"
    with channel:
        assert repr(channel).startswith("<synchronous channel talk")
        with pytest.raises(enkaku.UsageError, match="talk: a call can be opened once"):
            channel.__enter__()
        channel.send(1)
        assert channel.receive() == 2


# Timeouts.


def test_sync_request_timeout_raises_deadline_exceeded(connection: enkaku.sync.Connection) -> None:
    with pytest.raises(enkaku.DeadlineExceeded, match=r"^ask: ") as caught:
        connection.request(ASK, -1, timeout=0.05)
    assert_raised_here(caught.value)
    with enkaku.deadline(0.05), pytest.raises(enkaku.DeadlineExceeded):
        connection.request(ASK, -1)
    with connection.stream(WATCH, -1, timeout=0.05) as stream:
        assert next(stream) == 0
        with pytest.raises(enkaku.DeadlineExceeded):
            stream.receive(timeout=WITHIN)


def test_sync_receive_timeout_loses_no_item() -> None:
    go = threading.Event()

    async def count(number: int, stream: enkaku.ServerStream[int]) -> int:
        for item in range(number):
            await asyncio.to_thread(go.wait, WITHIN)
            await stream.send(item)
        return number

    with enkaku.sync.connect(enkaku.connect_memory(Serving(watch=count))) as connection:
        with connection.stream(WATCH, 3) as stream:
            for _ in range(3):
                with pytest.raises(TimeoutError, match=r"^watch: no item within the timeout$"):
                    stream.receive(timeout=0.01)
            with pytest.raises(TimeoutError, match=r"^watch: no result within the timeout$"):
                stream.result(timeout=0.01)
            go.set()
            assert [stream.receive(timeout=WITHIN) for _ in range(3)] == [0, 1, 2]
            with pytest.raises(
                enkaku.CallClosed, match=r"^watch: the items of the call have ended"
            ):
                stream.receive(timeout=WITHIN)
            assert stream.result(timeout=WITHIN) == 3


def test_sync_receive_timeout_ends_wait_for_other_thread(
    connection: enkaku.sync.Connection,
) -> None:
    with connection.stream(WATCH, -1) as stream, ThreadPoolExecutor(1) as pool:
        assert next(stream) == 0
        other = pool.submit(stream.receive)
        until(stream._receiving.locked)
        with pytest.raises(TimeoutError, match="no item within the timeout"):
            stream.receive(timeout=0.01)
        assert stream.close() == -1
        with pytest.raises(enkaku.CallClosed):
            other.result(WITHIN)


def test_sync_send_timeout_sends_nothing(connection: enkaku.sync.Connection) -> None:
    large = "x" * 100_000
    with connection.channel(FILL, 1) as channel:
        with pytest.raises(TimeoutError, match=r"^fill: no space for the item within the timeout$"):
            for _ in range(1000):
                channel.send(large, timeout=0.05)
        sent = channel.call.items_sent
        assert 0 < sent < 1000
        with pytest.raises(TimeoutError):
            channel.send(large, timeout=0)
        assert channel.call.items_sent == sent


@pytest.mark.parametrize("wrong", ["5", -1, True])
def test_sync_timeout_invalid_raises_usage_error(
    connection: enkaku.sync.Connection, wrong: Any
) -> None:
    with connection.channel(TALK, 1) as channel:
        uses: list[Callable[[], object]] = [
            lambda: channel.receive(timeout=wrong),
            lambda: channel.result(timeout=wrong),
            lambda: channel.close(timeout=wrong),
            lambda: channel.send(1, timeout=wrong),
            lambda: channel.opened(within=wrong),
            lambda: channel.end(within=wrong),
        ]
        for use in uses:
            with pytest.raises(enkaku.UsageError, match=r"(timeout|within) must be"):
                use()
        channel.close()


# Errors.


def assert_raised_here(error: BaseException) -> None:
    """Check that the traceback begins in this file, at the line of the call, and ends in the library."""
    frames = traceback.extract_tb(error.__traceback__)
    assert frames[0].filename == __file__
    assert "enkaku/sync" in frames[1].filename
    assert len(frames) < 20


def test_sync_errors_keep_type_and_line_of_caller(connection: enkaku.sync.Connection) -> None:
    for _ in range(3):
        with pytest.raises(OutOfStock, match="none left") as caught:
            connection.request(ASK, 13)
        assert caught.value.data.missing == 13
        assert_raised_here(caught.value)
    wrong: Any = "text"
    with pytest.raises(enkaku.EncodeError) as encoding:
        connection.request(ASK, wrong)
    assert_raised_here(encoding.value)
    with pytest.raises(enkaku.EncodeError):
        connection.stream(WATCH, wrong)
    misspelt: dict[str, Any] = {"timout": 5}
    with pytest.raises(enkaku.UsageError, match="did you mean 'timeout'"):
        connection.request(ASK, 1, **misspelt)
    with connection.stream(WATCH, -1) as stream:
        with pytest.raises(enkaku.UsageError, match=r"^abort: reason must not be 'Close'"):
            stream.abort("Close")


def test_sync_error_leaves_no_reference_cycle(connection: enkaku.sync.Connection) -> None:
    def fail() -> None:
        wrong: Any = "text"
        with pytest.raises(enkaku.EncodeError):
            connection.request(ASK, wrong)

    fail()
    gc.collect()
    gc.disable()
    try:
        fail()
        found = [each for each in gc.get_objects() if isinstance(each, enkaku.EncodeError)]
        assert found == []
    finally:
        gc.enable()


# Threads.


def test_sync_connection_is_shared_by_100_threads(connection: enkaku.sync.Connection) -> None:
    def use(number: int) -> None:
        for turn in range(5):
            text = f"{number} {turn}"
            assert connection.request(ECHO, text) == text
        with connection.stream(POUR, 50) as stream:
            assert list(stream) == [str(item) for item in range(50)]
        with connection.channel(TALK, 1) as channel:
            channel.send(number)
            assert channel.receive() == 2 * number
            assert channel.close() == 1
        with pytest.raises(OutOfStock):
            connection.request(ASK, 13)

    in_threads(100, use)


def test_sync_stream_is_shared_by_threads(connection: enkaku.sync.Connection) -> None:
    with connection.stream(POUR, 2000) as stream:
        parts = in_threads(4, lambda _: list(stream))
        assert stream.result() == 2000
    assert sorted(int(item) for part in parts for item in part) == list(range(2000))


def test_sync_channel_sends_while_other_thread_receives(
    connection: enkaku.sync.Connection,
) -> None:
    with connection.channel(TALK, 1) as channel, ThreadPoolExecutor(1) as pool:
        received = pool.submit(lambda: list(channel))
        for number in range(500):
            channel.send(number)
        channel.end()
        assert received.result(WITHIN) == [2 * number for number in range(500)]


def test_sync_close_ends_calls_of_all_threads(
    address: str, connection: enkaku.sync.Connection
) -> None:
    with enkaku.sync.connect(address) as other, ThreadPoolExecutor(30) as pool:
        with other.stream(WATCH, -1) as stream:
            assert next(stream) == 0
            calls = [pool.submit(other.request, ASK, -1) for _ in range(20)]
            calls.append(pool.submit(next, stream))  # type: ignore[arg-type] # overloads
            waiting(connection, 21)
            closing = [pool.submit(other.close) for _ in range(5)]
            for each in closing:
                assert each.result(WITHIN) is None
            errors = {each.exception(WITHIN) for each in calls}
            assert {type(error) for error in errors} == {enkaku.ConnectionLost}
            assert len(errors) == 21  # each has its own
        other.close()


def test_sync_call_in_background_loop_raises_usage_error(address: str) -> None:
    told: list[str] = []

    class Observer(enkaku.Observer):
        def call_ended(self, call: enkaku.Call) -> None:
            for use in (lambda: connection.request(VOID, None), stream.receive):
                with pytest.raises(enkaku.UsageError, match="runs in its own event loop") as caught:
                    use()
                told.append(str(caught.value))
            connection.close()  # does not wait

    with (
        enkaku.sync.connect(address, observers=[Observer()]) as connection,
        connection.stream(WATCH, -1) as stream,
        ThreadPoolExecutor(1) as pool,
    ):
        assert next(stream) == 0
        other = pool.submit(stream.receive)
        until(stream._receiving.locked)
        connection.request(ECHO, "text")
        assert isinstance(other.exception(WITHIN), enkaku.ConnectionLost)
        assert len(told) == 4
        until(lambda: not connection.is_open)


async def test_sync_calls_work_while_event_loop_runs(address: str) -> None:
    background()  # its sockets stay
    with enkaku.sync.connect(address) as connection:
        assert connection.request(ECHO, "text") == "text"


def test_sync_connection_not_closed_warns_and_is_closed(
    address: str, connection: enkaku.sync.Connection
) -> None:
    other = enkaku.sync.connect(address)
    stream = other.stream(WATCH, -1).__enter__()
    waiting(connection)
    with pytest.warns(ResourceWarning, match="<synchronous connection to unix:.* was not closed"):
        del other
    waiting(connection, 0)
    with pytest.raises(enkaku.ConnectionLost):
        list(stream)


# Reconnecting.


def test_sync_reopening_yields_gap_after_loss() -> None:
    faults = Faults()
    opened = 0

    async def count(number: int, stream: enkaku.ServerStream[int]) -> int:
        nonlocal opened
        opened += 1
        await stream.send(opened)
        if opened == 1:
            await stream.send(opened)
            faults.cut()
            await asyncio.Event().wait()
        return number

    block = enkaku.connect_memory(
        Serving(watch=count),
        faults=faults,
        connection_options={"reconnect": enkaku.Reconnect(first=0.01)},
    )
    with enkaku.sync.connect(block) as connection:
        with enkaku.sync.reopening(lambda: connection.stream(WATCH, 7)) as items:
            with pytest.raises(enkaku.UsageError, match="no result before"):
                items.result  # noqa: B018 # it raises
            seen = list(items)
        assert items.result == 7
    assert isinstance(seen[-2], enkaku.Gap)
    assert seen[-1] == 2
    assert repr(items) == "synchronous reopening()"


def test_sync_reopening_of_stream_raises_usage_error(connection: enkaku.sync.Connection) -> None:
    wrong: Any = connection.stream(WATCH, 1)
    with pytest.raises(enkaku.UsageError, match="pass a function that returns a new stream"):
        enkaku.sync.reopening(wrong)
    with pytest.raises(enkaku.UsageError, match="must return a new stream; got None"):
        with enkaku.sync.reopening(lambda: None):  # type: ignore[arg-type, return-value] # the mistake
            raise AssertionError("unreachable")
