"""Cancelling a caller cancels its handler, ``asyncio.timeout()`` composes, and no cancellation is swallowed."""

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import enkaku
import pytest
from support import (
    ASK,
    FILL,
    POUR,
    TALK,
    TELL,
    VOID,
    WATCH,
    WITHIN,
    Connect,
    Lifetime,
    Serving,
    collect,
    facing,
    line,
    raw_client,
    soon,
    turns,
    until,
)

Stream = enkaku.ServerStream[int]
Use: TypeAlias = Callable[[enkaku.Connection], Awaitable[object]]


async def test_cancel_request_cancels_handler(connect_anyhow: Connect) -> None:
    life = Lifetime()
    async with connect_anyhow(Serving(ask=life.forever)) as connection:
        asking = asyncio.create_task(connection.request(ASK, 1))
        await soon(life.began)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await soon(life.cancelled)
        await connection.request(VOID, None)


async def test_timeout_around_request_cancels_handler(connect: Connect) -> None:
    life = Lifetime()
    async with connect(Serving(ask=life.forever)) as connection:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.request(ASK, 1)
        await soon(life.cancelled)


async def test_timeout_around_stream_cancels_handler(connect: Connect) -> None:
    life = Lifetime()
    async with connect(Serving(watch=life.forever)) as connection:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), connection.stream(WATCH, 1) as stream:
                async for _ in stream:
                    pass
        await soon(life.cancelled)


async def test_timeout_around_close_cancels_only_caller(socket_path: Any) -> None:
    async with facing(socket_path) as (connection, peer), connection.stream(WATCH, 1) as stream:
        rid = (await peer.read())["rid"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await stream.close()
        assert (await peer.read())["rsn"] == "Close"
        peer.send(typ="result", rid=rid, val=4)
        assert await stream.result() == 4


async def test_cancel_one_result_waiter_leaves_other(connect: Connect) -> None:
    gate = asyncio.Event()

    async def watch(number: int, stream: Stream) -> int:
        await gate.wait()
        return number

    async with connect(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, 5) as stream:
            first, second = (asyncio.create_task(stream.result()) for _ in range(2))
            await turns()
            first.cancel()
            await turns()
            gate.set()
            assert await second == 5
            assert first.cancelled()


async def test_cancel_request_before_start_sends_nothing(socket_path: Any) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK, 1))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await peer.outlive(connection) == []


async def test_cancel_request_sends_abort_with_its_id(socket_path: Any) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK, 1))
        rid = (await peer.read())["rid"]
        asking.cancel()
        assert await peer.read() == {"typ": "abort", "rid": rid, "rsn": "Cancelled"}
        peer.send(typ="result", rid=rid, val=1)
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_cancel_request_after_reply_sends_no_abort(
    socket_path: Any,
) -> None:
    async with facing(socket_path) as (connection, peer):
        waiting = asyncio.create_task(connection.request(ASK, 1))
        first = (await peer.read())["rid"]
        asking = asyncio.create_task(connection.request(ASK, 2))
        second = (await peer.read())["rid"]
        # One packet: when the first is told, the second has its answer too.
        peer.send(typ="result", rid=first, val=1)
        peer.send(typ="result", rid=second, val=2)
        waiting.add_done_callback(lambda _: asking.cancel())
        await waiting
        outcome = (await collect([asking]))[0]
        assert outcome == 2 or isinstance(outcome, asyncio.CancelledError)
        assert await peer.outlive(connection) == []


async def test_request_in_expired_timeout_is_not_sent(socket_path: Any) -> None:
    async with facing(socket_path) as (connection, peer):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(-1):
                await asyncio.sleep(0)
                await connection.request(ASK, 1)
        assert await peer.outlive(connection) == []


async def test_cancel_reader_loses_no_item(connect: Connect) -> None:
    step = asyncio.Event()

    async def watch(number: int, stream: Stream) -> int:
        for item in range(number):
            await step.wait()
            step.clear()
            await stream.send(item)
        return number

    async with connect(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, 20) as stream:
            got: list[int] = []
            while len(got) < 20:
                reading = asyncio.ensure_future(anext(stream))
                await turns(1)
                reading.cancel()
                step.set()
                done = (await collect([reading]))[0]
                if isinstance(done, int):
                    got.append(done)
                else:
                    async with asyncio.timeout(WITHIN):
                        got.append(await anext(stream))
            assert got == list(range(20))


async def test_handler_cancelling_itself_fails(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(number: int) -> int:
        task = asyncio.current_task()
        assert task is not None
        if number:
            task.cancel()
            await asyncio.sleep(0)
        return number

    async with connect(Serving(ask=ask)) as connection:
        with pytest.raises(enkaku.CallError) as caught:
            await connection.request(ASK, 1)
        assert caught.value.code == "EK01"
        assert await connection.request(ASK, 0) == 0
    assert "cancelled itself" in caplog.text


async def test_handler_raising_cancelled_error_fails(connect: Connect) -> None:
    async def ask(_: int) -> int:
        raise asyncio.CancelledError

    async with connect(Serving(ask=ask)) as connection:
        with pytest.raises(enkaku.CallError, match="EK01"):
            await connection.request(ASK, 1)


async def test_handler_raising_after_abort_is_logged_not_answered(
    socket_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    began = asyncio.Event()

    async def ask(_: int) -> int:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while cleaning up")
        return 1

    async with enkaku.serve_unix(Serving(ask=ask), socket_path), raw_client(socket_path) as peer:
        peer.send(typ="request", rid="a", prc="ask", prm=1)
        await soon(began)
        peer.send(typ="abort", rid="a")
        assert await peer.settle() == []
        assert await peer.settle() == []
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "while cleaning up" in caplog.text


async def test_handler_swallowing_abort_sends_nothing_more(socket_path: Any) -> None:
    life, release, outcomes = Lifetime(), asyncio.Event(), []

    async def watch(_: int, stream: Stream) -> int:
        with life:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await release.wait()
            try:
                await stream.send(1)
            except enkaku.CallClosed as error:
                outcomes.append(error)
        return 1

    async with enkaku.serve_unix(Serving(watch=watch), socket_path):
        async with raw_client(socket_path) as peer:
            peer.send(typ="stream", rid="a", prc="watch", prm=1)
            await soon(life.began)
            peer.send(typ="abort", rid="a")
            assert await peer.settle() == []
            release.set()
            await soon(life.ended)
            assert await peer.settle() == []
    assert len(outcomes) == 1


async def test_until_closed_abort_is_not_close(socket_path: Any) -> None:
    after: list[str] = []
    life = Lifetime()

    async def watch(_: int, stream: Stream) -> int:
        async with stream.until_closed():
            await life.forever()
        after.append("went on")
        return 1

    async with enkaku.serve_unix(Serving(watch=watch), socket_path):
        async with raw_client(socket_path) as peer:
            peer.send(typ="stream", rid="a", prc="watch", prm=1)
            await soon(life.began)
            peer.send(typ="abort", rid="a", rsn="close")
            assert await peer.settle() == []
            await soon(life.cancelled)
            assert await peer.settle() == []
    assert after == []


async def test_busy_handler_does_not_starve_other_call(connect: Connect) -> None:
    async def watch(_: int, stream: Stream) -> int:
        while True:
            await stream.send(1)

    async with connect(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, 1) as stream:
            reading = asyncio.create_task(_drain(stream))
            async with asyncio.timeout(WITHIN):
                for _ in range(20):
                    await connection.request(VOID, None)
            reading.cancel()
            await asyncio.wait([reading])


async def test_busy_sender_does_not_starve_other_task(connect: Connect) -> None:
    async def talk(_: int, channel: enkaku.ServerChannel[int, int]) -> int:
        return sum([item async for item in channel])

    async with connect(Serving(talk=talk)) as connection:
        async with connection.channel(TALK, 1) as channel:

            async def send_for_ever() -> None:
                while True:
                    await channel.send(1)

            sending = asyncio.create_task(send_for_ever())
            async with asyncio.timeout(WITHIN):
                for _ in range(20):
                    await connection.request(VOID, None)
            sending.cancel()
            await asyncio.wait([sending])
            assert await channel.close() > 0


async def test_cancel_event_waiting_for_buffer_is_not_swallowed(socket_path: Any) -> None:
    big = enkaku.Event[str]("big", data=str)
    async with facing(socket_path) as (connection, peer):
        peer.stall()

        async def send_for_ever() -> None:
            while True:
                await connection.event(big, "x" * 100_000)

        sending = asyncio.create_task(send_for_ever())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await asyncio.shield(sending)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        peer.writer.transport.abort()


async def test_task_group_of_requests_one_failure_cancels_others(connect: Connect) -> None:
    lives = [Lifetime() for _ in range(5)]

    async def ask(number: int) -> int:
        if number == 5:
            await soon(*(life.began for life in lives))
            raise enkaku.HandlerError("NO", "no")
        return await lives[number].forever()

    async with connect(Serving(ask=ask)) as connection:
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                for number in range(6):
                    group.create_task(connection.request(ASK, number))
        assert [type(error) for error in caught.value.exceptions] == [enkaku.CallError]
        await soon(*(life.cancelled for life in lives))


async def _drain(stream: enkaku.ClientStream[int, int]) -> None:
    async for _ in stream:
        pass


# At any of its awaits

ITEM = "x" * 24_000
WINDOW = 64 * 1024
LIMITS = enkaku.Limits(
    window=WINDOW, buffered=2 * WINDOW, calls=5, server_calls=5, handlers=2, server_handlers=2
)
"""Room for so little that a call that leaves something behind takes it away from the next one."""
HOLD = -1


async def _ask(number: int) -> int:
    await asyncio.sleep(0)
    if number == HOLD:
        async with enkaku.current_call().until_closed():  # by the server's stop, for an event
            await asyncio.Event().wait()
    return number


async def _tell(number: int) -> None:
    await _ask(number)


async def _pour(count: int, stream: enkaku.ServerStream[str]) -> int:
    async with stream.until_closed():
        for number in range(count):
            stream.when_full = "wait" if number % 3 else "drop_oldest"
            await stream.send(ITEM)
    return count


async def _talk(_: int, channel: enkaku.ServerChannel[int, int]) -> int:
    async for number in channel:
        await channel.send(number)
    return 0


async def _fill(_: int, channel: enkaku.ServerChannel[str, str]) -> int:
    return len([item async for item in channel])


HANDLER = Serving(ask=_ask, tell=_tell, pour=_pour, talk=_talk, fill=_fill)


class Remembering(enkaku.Observer):
    """Remembers connections, and calls without keeping them."""

    def __init__(self) -> None:
        self.connections: list[enkaku.ConnectionInfo] = []
        self.calls: list[weakref.ref[enkaku.Call]] = []

    def connection_opened(self, connection: enkaku.ConnectionInfo) -> None:
        self.connections.append(connection)

    def call_started(self, call: enkaku.Call) -> None:
        self.calls.append(weakref.ref(call))

    def open_calls(self) -> list[enkaku.Call]:
        return [call for connection in self.connections for call in connection.calls]


async def _request(connection: enkaku.Connection) -> None:
    await connection.request(ASK, 1)


async def _event(connection: enkaku.Connection) -> None:
    await connection.event(TELL, 1)


async def _read(connection: enkaku.Connection) -> None:
    async with connection.stream(POUR, 12) as stream:
        async for _ in stream:
            pass
        await stream.result()


async def _read_latest(connection: enkaku.Connection) -> None:
    async with connection.stream(POUR, 12, when_full="latest", timeout=WITHIN) as stream:
        async for _ in stream:
            await asyncio.sleep(0)


async def _close(connection: enkaku.Connection) -> None:
    async with connection.stream(POUR, 10_000) as stream:
        await anext(stream)
        await stream.close()


async def _exchange(connection: enkaku.Connection) -> None:
    async with connection.channel(TALK, 1) as channel:
        for number in range(3):
            await channel.send(number)
            await anext(channel)
        await channel.end()
        await channel.result()


async def _send_from_two_tasks(connection: enkaku.Connection) -> None:
    async def send() -> None:
        for _ in range(10):
            await channel.send(ITEM)

    async with connection.channel(FILL, 1) as channel:
        async with asyncio.TaskGroup() as senders:
            senders.create_task(send())
            senders.create_task(send())
        await channel.close()


async def _reopen(connection: enkaku.Connection) -> None:
    async with enkaku.reopening(lambda: connection.stream(POUR, 3)) as items:
        async for _ in items:
            pass


@asynccontextmanager
async def _around(_: enkaku.Call) -> AsyncGenerator[None, None]:
    await asyncio.sleep(0)
    try:
        yield
    finally:
        await asyncio.sleep(0)


@pytest.mark.parametrize("interceptors", [[], [_around]], ids=["alone", "in an interceptor"])
@pytest.mark.parametrize(
    "use",
    [_request, _event, _read, _read_latest, _close, _exchange, _send_from_two_tasks, _reopen],
)
async def test_cancel_call_after_any_iterations_leaves_nothing(
    use: Use, interceptors: list[enkaku.Interceptor]
) -> None:
    here, there = Remembering(), Remembering()
    client: enkaku.ConnectionOptions = {"interceptors": interceptors, "observers": [here]}
    async with enkaku.connect_memory(
        HANDLER,
        connection_options=client,
        interceptors=interceptors,
        observers=[there],
        limits=LIMITS,
    ) as connection:
        others = asyncio.all_tasks()
        count, done = 0, False
        while not done:
            task = asyncio.create_task(_start(use, connection))
            await turns(count)
            done = task.done()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait_for(task, WITHIN)
            await turns(60)
            assert asyncio.all_tasks() == others
            left = here.open_calls() + there.open_calls()
            assert left == [], f"cancelled after {count} turns"
            count += 1
        gc.collect()
        assert [call() for call in here.calls + there.calls if call() is not None] == []
        await _require_all_room(connection, there)


async def _start(use: Use, connection: enkaku.Connection) -> None:
    await use(connection)


async def _require_all_room(connection: enkaku.Connection, server: Remembering) -> None:
    """Open as many calls as may be open, of which the first ones get their whole windows."""
    async with (
        connection.stream(POUR, 12),
        connection.channel(FILL, 1) as channel,
        connection.stream(POUR, 12),
    ):
        await until(lambda: len(server.open_calls()) == 3)
        await turns(60)
        assert server.open_calls()[0].items_sent == 2, "what the client buffers is taken up"
        window = channel.window
        assert window is not None
        await until(lambda: window.certain)
        await channel.send("")
        assert window.fits(WINDOW - 1000), "what the server buffers is taken up"
        held = [asyncio.ensure_future(connection.request(ASK, HOLD)) for _ in range(2)]
        for _ in range(2):
            await connection.event(TELL, HOLD)
        await until(lambda: len(server.open_calls()) == 7)
        with pytest.raises(enkaku.CallError, match="EK03"):
            await connection.request(ASK, 1)
        for each in held:
            each.cancel()
        await collect(held)
    assert await connection.request(ASK, 7) == 7


async def test_requests_aborted_at_once_never_start_handlers(socket_path: Path) -> None:
    life = Lifetime()
    limits = enkaku.Limits(handlers=200)
    async with enkaku.serve_unix(Serving(ask=life.forever), socket_path, limits=limits):
        async with raw_client(socket_path) as peer:
            peer.send_bytes(
                b"".join(
                    line(typ="request", rid=str(number), prc="ask", prm=1)
                    + line(typ="abort", rid=str(number))
                    for number in range(100)
                )
            )
            assert await peer.settle() == []
    assert not life.began.is_set()


@pytest.mark.parametrize("procedure", ["ask", "watch"])
async def test_handler_task_cancelled_before_first_step_fails_call(
    connect: Connect, caplog: pytest.LogCaptureFixture, procedure: str
) -> None:
    class Cancelling(enkaku.Observer):
        def call_started(self, call: enkaku.Call) -> None:
            before = asyncio.all_tasks()

            def cancel() -> None:
                for task in asyncio.all_tasks() - before:
                    task.cancel()

            asyncio.get_running_loop().call_soon(cancel)

    life = Lifetime()
    handler = Serving(ask=life.forever, watch=life.forever)
    limits = enkaku.Limits(calls=1)
    async with connect(handler, observers=[Cancelling()], limits=limits) as connection:
        for _ in range(3):  # each is counted no longer when it has ended
            with pytest.raises(enkaku.CallError) as caught:
                if procedure == "ask":
                    await connection.request(ASK, 1)
                else:
                    async with connection.stream(WATCH, 1) as stream:
                        await stream.result()
            assert caught.value.code == "EK01"
    assert life.began_count == 0
    assert "cancelled itself" in caplog.text
