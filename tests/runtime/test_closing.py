"""Close asks a handler to finish: what ``until_closed()``, sends and returns do then."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku.calls.states import Step
from support import (
    TALK,
    WATCH,
    WITHIN,
    Connect,
    Lifetime,
    Serving,
    facing,
    raw_client,
    soon,
    turns,
)

Stream = enkaku.ServerStream[int]
Channel = enkaku.ServerChannel[int, int]


async def closing_result(
    connect: Connect, watch: Callable[[int, Stream], Awaitable[int]], began: asyncio.Event
) -> int:
    """Open a stream, close it once its handler has begun, and return its result."""
    async with connect(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, 0) as stream:
            await soon(began)
            async with asyncio.timeout(WITHIN):
                return await stream.close()


async def test_until_closed_block_ends_at_pending_await(connect: Connect) -> None:
    life = Lifetime()

    async def watch(_: int, stream: Stream) -> int:
        async with stream.until_closed():
            await life.forever()
        return 1 if stream.closed else 0

    assert await closing_result(connect, watch, life.began) == 1
    assert life.cancelled.is_set()


async def test_until_closed_leaves_task_uncancelled(connect: Connect) -> None:
    life = Lifetime()
    cancelling: list[int] = []

    async def watch(_: int, stream: Stream) -> int:
        task = asyncio.current_task()
        assert task is not None
        async with stream.until_closed():
            await life.forever()
        cancelling.append(task.cancelling())
        async with asyncio.timeout(WITHIN):
            await turns()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(turns())
        cancelling.append(task.cancelling())
        return 1

    assert await closing_result(connect, watch, life.began) == 1
    assert cancelling == [0, 0]


async def test_until_closed_entered_after_close_ends_at_first_await(connect: Connect) -> None:
    life, reached = Lifetime(), asyncio.Event()

    async def watch(_: int, stream: Stream) -> int:
        with life:
            async with stream.until_closed():
                await asyncio.Event().wait()
        async with stream.until_closed():
            reached.set()
            await asyncio.Event().wait()
        return 2

    assert await closing_result(connect, watch, life.began) == 2
    assert reached.is_set()


async def test_until_closed_block_without_await_ends_normally(connect: Connect) -> None:
    life = Lifetime()

    async def watch(_: int, stream: Stream) -> int:
        with life:
            async with stream.until_closed():
                await asyncio.Event().wait()
        async with stream.until_closed():
            pass
        await turns()
        return 3

    assert await closing_result(connect, watch, life.began) == 3


async def test_until_closed_nested_blocks_all_end(connect: Connect) -> None:
    life = Lifetime()
    passed: list[str] = []

    async def watch(_: int, stream: Stream) -> int:
        async with stream.until_closed():
            async with stream.until_closed():
                await life.forever()
            passed.append("between")
            await asyncio.Event().wait()
            passed.append("never")
        await turns()
        return 4

    assert await closing_result(connect, watch, life.began) == 4
    assert "never" not in passed


async def test_until_closed_inside_timeout_leaves_timeout_alone(connect: Connect) -> None:
    life = Lifetime()

    async def watch(_: int, stream: Stream) -> int:
        async with asyncio.timeout(100) as timeout:
            async with stream.until_closed():
                await life.forever()
            await turns()
        return 5 if not timeout.expired() else 0

    assert await closing_result(connect, watch, life.began) == 5


async def test_until_closed_inner_timeout_is_not_close(connect: Connect) -> None:
    outcomes: list[object] = []
    ready = asyncio.Event()

    async def watch(_: int, stream: Stream) -> int:
        async with stream.until_closed():
            try:
                async with asyncio.timeout(0):
                    await asyncio.Event().wait()
            except TimeoutError as error:
                outcomes.append(error)
            ready.set()
            await asyncio.Event().wait()
        return 6

    assert await closing_result(connect, watch, ready) == 6
    assert len(outcomes) == 1


async def test_until_closed_outer_timeout_raises_timeout_error(connect: Connect) -> None:
    life = Lifetime()

    async def watch(_: int, stream: Stream) -> int:
        with life:
            try:
                async with asyncio.timeout(0), stream.until_closed():
                    await asyncio.Event().wait()
            except TimeoutError:
                return 7
        return 0

    async with connect(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, 0) as stream:
            assert await stream.result() == 7


@pytest.mark.parametrize("close_first", [True, False])
async def test_until_closed_outer_timeout_with_close_raises_timeout(
    socket_path: Any, close_first: bool
) -> None:
    """Both cancel the same task in the same turn of the loop: the outer one wins, and nothing is left over."""
    outcomes: list[object] = []
    timeouts: list[asyncio.Timeout] = []
    entered = asyncio.Event()

    async def watch(_: int, stream: Stream) -> int:
        call = enkaku.current_call()
        task = asyncio.current_task()
        assert task is not None
        try:
            async with asyncio.timeout(None) as timeout, stream.until_closed():
                timeouts.append(timeout)
                loop = asyncio.get_running_loop()

                def fire() -> None:
                    if close_first:
                        call.step(Step.CLOSE)
                    timeout.reschedule(0)
                    if not close_first:
                        loop.call_soon(call.step, Step.CLOSE)

                loop.call_soon(fire)
                entered.set()
                await asyncio.Event().wait()
        except TimeoutError as error:
            outcomes.append(error)
        outcomes.append(task.cancelling())
        await turns()
        return 8

    async with enkaku.serve_unix(Serving(watch=watch), socket_path):
        async with raw_client(socket_path) as peer:
            peer.send(typ="stream", rid="a", prc="watch", prm=0)
            assert await peer.read() == {"typ": "result", "rid": "a", "val": 8}
    assert outcomes[-1] == 0


async def test_until_closed_outer_cancellation_is_not_swallowed(
    connect: Connect,
) -> None:
    life = Lifetime()
    tasks: list[asyncio.Task[Any]] = []
    after: list[str] = []

    async def part(stream: Stream) -> None:
        async with stream.until_closed():
            with life:
                await asyncio.Event().wait()
        after.append("block")

    async def watch(_: int, stream: Stream) -> int:
        tasks.append(asyncio.create_task(part(stream)))
        await asyncio.wait(tasks)
        return int(tasks[0].cancelled())

    async def both(call_tasks: list[asyncio.Task[Any]], stream: Any) -> int:
        call_tasks[0].cancel()
        result: int = await stream.close()
        return result

    async with connect(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, 0) as stream:
            await soon(life.began)
            assert await both(tasks, stream) == 1
    assert after == []


async def test_until_closed_close_with_cancel_raises_cancelled(
    connect: Connect,
) -> None:
    life = Lifetime()
    outcomes: list[object] = []

    async def watch(_: int, stream: Stream) -> int:
        call = enkaku.current_call()

        async def part() -> None:
            async with stream.until_closed():
                with life:
                    await asyncio.Event().wait()
            outcomes.append("went on")

        task = asyncio.create_task(part())
        await life.began.wait()
        call.step(Step.CLOSE)
        task.cancel()
        await asyncio.wait([task])
        return int(task.cancelled())

    async with connect(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, 0) as stream:
            assert await stream.result() == 1
    assert outcomes == []


async def test_until_closed_in_child_task_ends(connect: Connect) -> None:
    life = Lifetime()

    async def watch(_: int, stream: Stream) -> int:
        async def child() -> int:
            async with stream.until_closed():
                await life.forever()
            return 9

        async with asyncio.TaskGroup() as group:
            task = group.create_task(child())
        return task.result()

    assert await closing_result(connect, watch, life.began) == 9


async def test_until_closed_call_closed_ends_block_without_exception(connect: Connect) -> None:
    life = Lifetime()
    swallowed: list[object] = []

    async def watch(_: int, stream: Stream) -> int:
        async with stream.until_closed():
            try:
                await life.forever()
            except asyncio.CancelledError as error:
                swallowed.append(error)
            await stream.send(1)
        await turns()
        return 10

    assert await closing_result(connect, watch, life.began) == 10
    assert swallowed


async def test_until_closed_send_after_close_ends_block(connect: Connect) -> None:
    started = asyncio.Event()

    async def watch(_: int, stream: Stream) -> int:
        sent = 0
        async with stream.until_closed():
            while True:
                await stream.send(sent)
                sent += 1
                started.set()
        return 11

    assert await closing_result(connect, watch, started) == 11


async def test_until_closed_exception_during_close_is_raised(connect: Connect) -> None:
    life = Lifetime()
    cancelling: list[int] = []

    async def watch(_: int, stream: Stream) -> int:
        task = asyncio.current_task()
        assert task is not None
        try:
            async with stream.until_closed():
                try:
                    await life.forever()
                finally:
                    raise KeyError("mine")
        except KeyError:
            cancelling.append(task.cancelling())
            await turns()
            return 12
        return 0

    assert await closing_result(connect, watch, life.began) == 12
    assert cancelling == [0]


async def test_until_closed_exception_before_interrupt_is_raised(connect: Connect) -> None:
    """The close comes while the block is on its way out: nothing interrupts what follows."""

    async def watch(_: int, stream: Stream) -> int:
        try:
            async with stream.until_closed():
                enkaku.current_call().step(Step.CLOSE)
                raise KeyError("mine")  # noqa: TRY301 # that is the test
        except KeyError:
            await turns()
            return 13
        return 0

    async with connect(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, 0) as stream:
            assert await stream.result() == 13


async def test_until_closed_return_during_close_counts(connect: Connect) -> None:
    async def watch(_: int, stream: Stream) -> int:
        async with stream.until_closed():
            enkaku.current_call().step(Step.CLOSE)
            return 14
        return 0

    async with connect(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, 0) as stream:
            assert await stream.result() == 14


async def test_until_closed_second_entry_raises_usage_error(connect: Connect) -> None:
    outcomes: list[object] = []

    async def watch(number: int, stream: Stream) -> int:
        block = stream.until_closed()
        async with block:
            try:
                async with block:
                    pass
            except enkaku.UsageError as error:
                outcomes.append(error)
        try:
            async with block:
                pass
        except enkaku.UsageError as error:
            outcomes.append(error)
        return number

    async with connect(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, 15) as stream:
            assert await stream.result() == 15
    assert len(outcomes) == 2


async def test_until_closed_call_closed_of_other_call_is_raised(connect: Connect) -> None:
    outcomes: list[object] = []

    async def watch(number: int, stream: Stream) -> int:
        try:
            async with stream.until_closed():
                raise enkaku.CallClosed("another call")  # noqa: TRY301 # that is the test
        except enkaku.CallClosed as error:
            outcomes.append(error)
        return number

    async with connect(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, 16) as stream:
            assert await stream.result() == 16
    assert len(outcomes) == 1


async def test_close_ignored_by_handler_is_cancelled_after_timeout(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    life = Lifetime()
    async with connect(Serving(watch=life.forever), close_timeout=0.05) as connection:
        async with connection.stream(WATCH, 0) as stream:
            await soon(life.began)
            with pytest.raises(enkaku.CallError) as caught:
                await stream.close()
            assert caught.value.code == "EK05"
            await soon(life.cancelled)
    assert "watch: the handler is cancelled" in caplog.text


async def test_close_handler_ignoring_cancellation_answers_caller(
    connect: Connect,
) -> None:
    began, release = asyncio.Event(), asyncio.Event()

    async def watch(_: int, stream: Stream) -> int:
        began.set()
        for _ in range(3):
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return 1

    async with connect(Serving(watch=watch), close_timeout=0.05) as connection:
        async with connection.stream(WATCH, 0) as stream:
            await soon(began)
            async with asyncio.timeout(WITHIN):
                with pytest.raises(enkaku.CallError, match="EK05"):
                    await stream.close()
        release.set()


async def test_close_in_time_is_not_cut_by_timeout(socket_path: Any) -> None:
    life = Lifetime()

    async def watch(number: int, stream: Stream) -> int:
        with life:
            async with stream.until_closed():
                await asyncio.Event().wait()
        return number

    async with enkaku.serve_unix(Serving(watch=watch), socket_path, close_timeout=0.01):
        async with raw_client(socket_path) as peer:
            for rid in ("a", "b", "c"):
                peer.send(typ="stream", rid=rid, prc="watch", prm=1)
                peer.send(typ="abort", rid=rid, rsn="Close")
                assert await peer.read() == {"typ": "result", "rid": rid, "val": 1}
    assert life.began_count == life.ended_count


async def test_abort_first_of_several_counts(socket_path: Any) -> None:
    gate, life = asyncio.Event(), Lifetime()

    async def watch(number: int, stream: Stream) -> int:
        with life:
            await gate.wait()
        return number

    async with enkaku.serve_unix(Serving(watch=watch), socket_path):
        async with raw_client(socket_path) as peer:
            peer.send(typ="stream", rid="a", prc="watch", prm=1)
            peer.send(typ="abort", rid="a", rsn="Close")
            peer.send(typ="abort", rid="a", rsn="no, at once")
            peer.send(typ="abort", rid="a")
            assert await peer.settle() == []
            gate.set()
            assert await peer.read() == {"typ": "result", "rid": "a", "val": 1}
            assert not life.cancelled.is_set()
            gate.clear()
            peer.send(typ="stream", rid="b", prc="watch", prm=1)
            peer.send(typ="abort", rid="b", rsn="at once")
            peer.send(typ="abort", rid="b", rsn="Close")
            assert await peer.settle() == []


async def test_close_ends_iteration_of_channel(connect: Connect) -> None:
    async def talk(_: int, channel: Channel) -> int:
        items = [item async for item in channel]
        assert channel.closed
        with pytest.raises(StopAsyncIteration):
            await anext(channel)
        with pytest.raises(enkaku.CallClosed):
            await channel.send(1)
        return sum(items)

    async with connect(Serving(talk=talk)) as connection:
        async with connection.channel(TALK, 0) as channel:
            await channel.send(1)
            await channel.send(2)
            assert await channel.close() == 3


async def test_close_after_end_returns_result_and_sends_nothing(
    socket_path: Any,
) -> None:
    async with facing(socket_path) as (connection, peer):
        async with connection.stream(WATCH, 0) as stream:
            peer.send(typ="result", rid=(await peer.read())["rid"], val=3)
            assert await stream.result() == 3
            assert await stream.close() == 3
        assert await peer.outlive(connection) == []


async def test_close_and_abort_of_unknown_call_are_ignored(socket_path: Any) -> None:
    async with enkaku.serve_unix(Serving(), socket_path), raw_client(socket_path) as peer:
        peer.send(typ="abort", rid="nobody", rsn="Close")
        peer.send(typ="abort", rid="nobody")
        peer.send(typ="send", prc="talk", rid="nobody", val=1)
        assert await peer.settle() == []


async def test_close_timers_do_not_keep_process_alive(socket_path: Path) -> None:
    program = (
        "import asyncio, enkaku\n"
        "from support import WATCH, Serving\n"
        "async def watch(number, stream):\n"
        "    async with stream.until_closed():\n"
        "        await asyncio.Event().wait()\n"
        "    return number\n"
        "async def main():\n"
        "    async with enkaku.connect_memory(Serving(watch=watch), close_timeout=1000) as connection:\n"
        "        async with connection.stream(WATCH, 5) as stream:\n"
        "            print(await stream.close())\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", program),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    async with asyncio.timeout(WITHIN):
        assert await process.communicate() == (b"5\n", b"")


async def test_call_ending_in_several_ways_is_answered_once(socket_path: Path) -> None:
    """Whichever of return, error, close, abort and disconnect come together."""

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        await turns(number % 5)
        if number % 3 == 0:
            raise enkaku.HandlerError("NO", "no")
        async with stream.until_closed():
            await turns(number % 7)
        return number

    async with enkaku.serve_unix(Serving(watch=watch), socket_path):
        async with raw_client(socket_path) as peer:
            for number in range(300):
                peer.send(typ="stream", rid=str(number), prc="watch", prm=number)
                if number % 4 == 0:
                    peer.send(typ="abort", rid=str(number), rsn="Close")
                if number % 6 == 1:
                    await turns(number % 4)
                    peer.send(typ="abort", rid=str(number))
            seen = await peer.settle()
            while True:
                more = await peer.settle()
                seen += more
                if len(asyncio.all_tasks()) < 3 and not more:
                    break
            ends = [payload["rid"] for payload in seen if payload["typ"] in {"result", "error"}]
            assert len(ends) == len(set(ends))
            unanswered = {str(number) for number in range(300)} - set(ends)
            assert all(int(rid) % 6 == 1 for rid in unanswered)
