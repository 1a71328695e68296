"""A call ends while somebody waits for something else of it: he learns of it, and so does who watches."""

import asyncio
from pathlib import Path

import enkaku
import pytest
from enkaku.testing import Faults, connect_memory
from support import ASK, FILL, WITHIN, Lifetime, Serving, raw_client, soon, turns, until
from watching import Recorder

_LARGE = "x" * 4_000_000  # more than a socket takes


async def test_a_sender_that_waits_for_the_socket_learns_of_the_end_of_its_call() -> None:
    finish = asyncio.Event()

    async def fill(_: int, channel: enkaku.ServerChannel[str, str]) -> int:
        await finish.wait()
        return 0

    faults = Faults()
    async with connect_memory(Serving(fill=fill), faults=faults) as connection:
        async with connection.channel(FILL, 0) as channel:
            await turns()
            faults.to_server.stall()
            await channel.send(_LARGE)
            sending = asyncio.create_task(channel.send("there is no credit for this"))
            await turns()
            finish.set()
            assert await channel.result() == 0
            faults.to_server.resume()
            with pytest.raises(enkaku.CallClosed):
                await asyncio.wait_for(sending, WITHIN)


async def test_a_handler_that_waits_for_the_socket_learns_of_the_close_of_its_call(
    socket_path: Path,
) -> None:
    waiting: list[enkaku.ServerStream[str]] = []

    async def pour(_: int, stream: enkaku.ServerStream[str]) -> int:
        await stream.send(_LARGE)
        waiting.append(stream)
        try:
            await stream.send("there is no credit for this")
        except enkaku.CallClosed:
            return 7
        return 8

    async with enkaku.serve_unix(Serving(pour=pour), socket_path):
        async with raw_client(socket_path) as raw:
            reading = raw.writer.transport
            reading.pause_reading()
            header = {"typ": "JWT", "alg": "none", "win": 5_000}
            raw.send_line(header, {"typ": "stream", "rid": "1", "prc": "pour", "prm": 0})
            await until(lambda: bool(waiting))
            raw.send(typ="abort", rid="1", rsn="Close")
            await until(lambda: waiting[0].closed)
            reading.resume_reading()
            payloads = [await raw.read() for _ in range(3)]
    assert [payload["typ"] for payload in payloads] == ["credit", "receive", "result"]
    assert payloads[-1]["val"] == 7


async def test_who_watches_learns_of_the_end_of_a_request_that_is_cancelled() -> None:
    lifetime, recorder = Lifetime(), Recorder()
    async with connect_memory(
        Serving(ask=lifetime.forever), connection_options={"observers": [recorder]}
    ) as connection:
        asking = asyncio.create_task(connection.request(ASK, 1))
        await soon(lifetime.began)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert [(call.procedure, call.outcome) for call in recorder.ended] == [(ASK, "aborted")]
