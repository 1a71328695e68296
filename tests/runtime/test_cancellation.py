"""Cancelling a caller cancels its handler, ``asyncio.timeout()`` composes, and no cancellation is swallowed."""

import asyncio
import logging
from typing import Any

import enkaku
import pytest
from support import (
    ASK,
    TALK,
    VOID,
    WATCH,
    WITHIN,
    Connect,
    Lifetime,
    Serving,
    collect,
    facing,
    raw_client,
    soon,
    turns,
)

Stream = enkaku.ServerStream[int]


async def test_cancelling_a_request_cancels_its_handler(connect_anyhow: Connect) -> None:
    life = Lifetime()
    async with connect_anyhow(Serving(ask=life.forever)) as connection:
        asking = asyncio.create_task(connection.request(ASK, 1))
        await soon(life.began)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await soon(life.cancelled)
        await connection.request(VOID, None)


async def test_a_timeout_around_a_request_cancels_its_handler(connect: Connect) -> None:
    life = Lifetime()
    async with connect(Serving(ask=life.forever)) as connection:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.request(ASK, 1)
        await soon(life.cancelled)


async def test_a_timeout_around_a_stream_cancels_its_handler(connect: Connect) -> None:
    life = Lifetime()
    async with connect(Serving(watch=life.forever)) as connection:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), connection.stream(WATCH, 1) as stream:
                async for _ in stream:
                    pass
        await soon(life.cancelled)


async def test_a_timeout_around_a_close_cancels_the_caller_alone(socket_path: Any) -> None:
    async with facing(socket_path) as (connection, peer), connection.stream(WATCH, 1) as stream:
        rid = (await peer.read())["rid"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await stream.close()
        assert (await peer.read())["rsn"] == "Close"
        peer.send(typ="result", rid=rid, val=4)
        assert await stream.result() == 4


async def test_cancelling_one_waiter_for_a_result_leaves_the_other(connect: Connect) -> None:
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


async def test_a_request_that_is_cancelled_before_it_begins_sends_nothing(socket_path: Any) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK, 1))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await peer.outlive(connection) == []


async def test_the_abort_of_a_cancelled_request_names_it(socket_path: Any) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK, 1))
        rid = (await peer.read())["rid"]
        asking.cancel()
        assert await peer.read() == {"typ": "abort", "rid": rid, "rsn": "Cancelled"}
        peer.send(typ="result", rid=rid, val=1)
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_a_request_that_is_cancelled_after_its_answer_came_sends_no_abort(
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


async def test_a_request_with_a_closed_scope_is_not_sent(socket_path: Any) -> None:
    async with facing(socket_path) as (connection, peer):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(-1):
                await asyncio.sleep(0)
                await connection.request(ASK, 1)
        assert await peer.outlive(connection) == []


async def test_cancelling_a_reader_loses_no_item(connect: Connect) -> None:
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


async def test_a_handler_that_cancels_itself_has_failed(
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


async def test_a_handler_that_raises_cancelled_error_by_hand_has_failed(connect: Connect) -> None:
    async def ask(_: int) -> int:
        raise asyncio.CancelledError

    async with connect(Serving(ask=ask)) as connection:
        with pytest.raises(enkaku.CallError, match="EK01"):
            await connection.request(ASK, 1)


async def test_a_handler_that_raises_after_the_abort_is_logged_and_not_answered(
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


async def test_a_handler_that_swallows_its_abort_is_not_heard_any_more(socket_path: Any) -> None:
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


async def test_an_abort_inside_until_closed_is_no_close(socket_path: Any) -> None:
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


async def test_a_handler_in_an_endless_send_loop_sees_its_abort(connect: Connect) -> None:
    life = Lifetime()

    async def watch(_: int, stream: Stream) -> int:
        with life:
            while True:
                await stream.send(1)

    async with connect(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, 1) as stream:
            assert await anext(stream) == 1
        await soon(life.cancelled)


async def test_a_busy_handler_does_not_starve_another_call(connect: Connect) -> None:
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


async def test_a_busy_sender_does_not_starve_another_task(connect: Connect) -> None:
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


async def test_cancelling_an_event_that_waits_for_room_is_not_swallowed(socket_path: Any) -> None:
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


async def test_a_task_group_of_requests_cancels_the_others_when_one_fails(connect: Connect) -> None:
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
