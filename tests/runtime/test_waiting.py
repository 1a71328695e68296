"""Requests and events that find no free handler wait for one, in order, and connections in turn."""

import asyncio
from pathlib import Path
from typing import Any

import enkaku
import pytest
from support import (
    ASK,
    ECHO,
    TELL,
    VOID,
    WITH_EACH_TASK_FACTORY,
    WITHIN,
    Connect,
    Lifetime,
    Serving,
    line,
    raw_client,
    soon,
    turns,
    until,
)
from watching import Recorder


class Steps:
    """A handler of requests and events that waits until it is released."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.ended: list[int] = []
        self.release = asyncio.Event()

    async def __call__(self, number: int) -> int:
        self.began.append(number)
        await self.release.wait()
        self.ended.append(number)
        return number

    async def tell(self, number: int) -> None:
        await self(number)


async def _burst(connect: Connect) -> None:
    async def ask(number: int) -> int:
        return number

    async with connect(Serving(ask=ask)) as connection:
        async with asyncio.timeout(3 * WITHIN):
            burst = [connection.request(ASK, number) for number in range(2000)]
            assert await asyncio.gather(*burst) == list(range(2000))


async def test_burst_of_requests_with_default_limits_succeeds(connect_anyhow: Connect) -> None:
    await _burst(connect_anyhow)


@WITH_EACH_TASK_FACTORY
async def test_burst_of_requests_succeeds_with_each_task_factory(
    connect: Connect, factory: Any
) -> None:
    asyncio.get_running_loop().set_task_factory(factory)
    await _burst(connect)


async def test_requests_wait_for_free_handler_in_order(connect: Connect) -> None:
    steps = Steps()
    async with connect(Serving(ask=steps), limits=enkaku.Limits(handlers=2)) as connection:
        asking = [asyncio.create_task(connection.request(ASK, number)) for number in range(6)]
        await until(lambda: len(steps.began) == 2)
        assert steps.began == [0, 1]
        steps.release.set()
        assert await asyncio.gather(*asking) == list(range(6))
        assert steps.began == list(range(6))


async def test_waiting_request_counts_as_open_call(connect: Connect) -> None:
    steps = Steps()
    limits = enkaku.Limits(handlers=1, calls=2)
    async with connect(Serving(ask=steps), limits=limits) as connection:
        asking = [asyncio.create_task(connection.request(ASK, number)) for number in range(2)]
        await until(lambda: steps.began == [0])
        with pytest.raises(enkaku.CallError, match="EK03"):
            await connection.request(VOID, None)
        steps.release.set()
        assert await asyncio.gather(*asking) == [0, 1]


async def test_waiting_requests_beyond_buffered_are_rejected(socket_path: Path) -> None:
    life, seen = Lifetime(), Recorder()
    limits = enkaku.Limits(handlers=1, buffered=10_000)
    handler = Serving(ask=life.forever, echo=life.forever)
    async with enkaku.serve_unix(handler, socket_path, limits=limits, observers=[seen]):
        async with raw_client(socket_path) as peer:
            peer.send(typ="request", rid="a", prc="ask", prm=1)
            for rid in "bcd":
                peer.send(typ="request", rid=rid, prc="echo", prm="x" * 6000)
            reply = await peer.read()
            assert (reply["rid"], reply["code"]) == ("d", "EK04")
            assert len(seen.overloads) == 1


async def test_waiting_request_is_answered_at_its_deadline(connect: Connect) -> None:
    life = Lifetime()
    limits = enkaku.Limits(handlers=1, request_time=0.2)
    async with connect(Serving(ask=life.forever, echo=life.forever), limits=limits) as connection:
        first = asyncio.create_task(connection.request(ASK, 1, timeout=None))
        await soon(life.began)
        with pytest.raises(enkaku.DeadlineExceeded):
            await connection.request(ECHO, "x", timeout=0.05)
        with pytest.raises(enkaku.DeadlineExceeded):
            await first
        await until(lambda: life.ended_count == 1)
        assert life.began_count == 1
        await connection.request(VOID, None)


async def test_abort_of_waiting_request_frees_its_place(connect: Connect) -> None:
    steps, seen = Steps(), Recorder()
    limits = enkaku.Limits(handlers=1, calls=2)
    async with connect(Serving(ask=steps), limits=limits, observers=[seen]) as connection:
        first = asyncio.create_task(connection.request(ASK, 0))
        await until(lambda: steps.began == [0])
        for number in range(1, 5):
            waiting = asyncio.create_task(connection.request(ASK, number))
            await turns()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await until(lambda number=number: len(seen.ended) == number)
        steps.release.set()
        assert await first == 0
        assert steps.began == [0]


async def test_free_handlers_go_round_connections_that_wait(socket_path: Path) -> None:
    order: list[int] = []
    release = asyncio.Event()

    async def ask(number: int) -> int:
        order.append(number)
        await release.wait()
        return number

    limits = enkaku.Limits(server_handlers=1)
    async with enkaku.serve_unix(Serving(ask=ask), socket_path, limits=limits) as server:
        async with enkaku.connect_unix(socket_path) as one, enkaku.connect_unix(socket_path) as two:
            asking = [asyncio.create_task(one.request(ASK, number)) for number in range(5)]
            await until(lambda: sum(len(each.calls) for each in server.connections) == 5)
            asking.append(asyncio.create_task(two.request(ASK, 100)))
            await until(lambda: sum(len(each.calls) for each in server.connections) == 6)
            release.set()
            await asyncio.gather(*asking)
    assert order.index(100) <= 2
    assert [number for number in order if number < 100] == list(range(5))


async def test_waiting_requests_of_lost_connection_never_run(socket_path: Path) -> None:
    steps = Steps()
    limits = enkaku.Limits(server_handlers=1)
    async with enkaku.serve_unix(Serving(ask=steps), socket_path, limits=limits) as server:
        async with raw_client(socket_path) as peer:
            for number in range(3):
                peer.send(typ="request", rid=str(number), prc="ask", prm=number)
            await until(lambda: steps.began == [0])
        await until(lambda: not server.connections)
        steps.release.set()
        async with enkaku.connect_unix(socket_path) as connection:
            assert await connection.request(ASK, 7) == 7
    assert steps.began == [0, 7]


async def test_stop_answers_waiting_requests(socket_path: Path) -> None:
    life = Lifetime()
    limits = enkaku.Limits(handlers=1)
    async with enkaku.serve_unix(Serving(ask=life.forever), socket_path, limits=limits) as server:
        async with raw_client(socket_path) as peer:
            for number in range(3):
                peer.send(typ="request", rid=str(number), prc="ask", prm=number)
            await soon(life.began)
            await until(lambda: len(server.connections[0].calls) == 3)
            stopping = asyncio.create_task(server.stop(grace=0.05))
            replies = await peer.read_all()
        await stopping
    assert sorted((reply["rid"], reply["code"]) for reply in replies) == [
        (rid, "EKP01") for rid in "012"
    ]
    assert life.began_count == 1


async def test_events_of_closed_connection_run_to_their_end(connect_anyhow: Connect) -> None:
    steps = Steps()
    async with connect_anyhow(Serving(tell=steps.tell)) as connection:
        for number in range(5):
            await connection.event(TELL, number)
        await connection.close()
        await until(lambda: len(steps.began) == 5)
        await turns(50)
        steps.release.set()
        await until(lambda: sorted(steps.ended) == list(range(5)))


async def test_waiting_events_of_closed_connection_are_handled(connect: Connect) -> None:
    steps = Steps()
    async with connect(Serving(tell=steps.tell), limits=enkaku.Limits(handlers=1)) as connection:
        for number in range(5):
            await connection.event(TELL, number)
        await connection.close()
        await until(lambda: steps.began == [0])
        steps.release.set()
        await until(lambda: steps.ended == list(range(5)))


async def test_event_of_closed_connection_is_bounded_by_request_time(connect: Connect) -> None:
    life = Lifetime()
    limits = enkaku.Limits(request_time=0.1)
    async with connect(Serving(tell=life.forever), limits=limits) as connection:
        await connection.event(TELL, 1)
        await soon(life.began)
        await connection.close()
        await soon(life.cancelled)


async def test_reading_goes_on_while_events_wait(socket_path: Path) -> None:
    life = Lifetime()
    limits = enkaku.Limits(handlers=1, stall=None)
    async with enkaku.serve_unix(Serving(tell=life.forever), socket_path, limits=limits) as server:
        async with raw_client(socket_path) as peer:
            for number in range(20):
                peer.send(typ="event", prc="tell", data=number)
            assert await peer.settle() == []
        await server.stop(grace=0)


async def test_events_beyond_buffered_pause_reading_then_are_dropped(socket_path: Path) -> None:
    life, seen = Lifetime(), Recorder()
    limits = enkaku.Limits(handlers=1, buffered=20_000, stall=0.05)
    async with enkaku.serve_unix(
        Serving(tell=life.forever), socket_path, limits=limits, observers=[seen]
    ) as server:
        async with raw_client(socket_path) as peer:
            for number in range(100):
                peer.send(typ="event", prc="tell", data=number)
                assert await peer.settle() == []
            peer.send_bytes(b"".join(line(typ="event", prc="tell", data=n) for n in range(50)))
            assert await peer.settle() == []
            assert len(seen.overloads) >= 50
        await server.stop(grace=0)
    assert life.began_count == 1
