"""A slow reader slows its own call down: memory stays bounded, nothing is lost, nothing hangs."""

import asyncio
from pathlib import Path

import enkaku
import pytest
from enkaku.testing.memory import Faults, connect_memory
from support import (
    ASK,
    FILL,
    POUR,
    TALK,
    VOID,
    WATCH,
    WITHIN,
    Connect,
    Lifetime,
    Raw,
    Serving,
    collect,
    facing,
    raw_client,
    soon,
    turns,
    until,
)

LARGE = "x" * 4_000_000  # more than a socket takes
SMALL = enkaku.Limits(window=50_000, inbox_limit=1_000_000)
STALLED_SOON = enkaku.Limits(window=50_000, inbox_limit=1_000_000, stall=0.05)


class Progress:
    """Counts what a producer has sent, and says when it no longer gets on."""

    def __init__(self) -> None:
        self.sent = 0

    async def stalls(self) -> int:
        """Wait until nothing more is sent; return how much was."""
        async with asyncio.timeout(WITHIN * 2):
            while True:
                before = self.sent
                for _ in range(400):
                    await asyncio.sleep(0)
                if before == self.sent > 0:
                    return before


def pouring(progress: Progress, text: str = "x" * 100) -> Serving:
    async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
        for _ in range(number):
            await stream.send(text)
            progress.sent += 1
        return number

    return Serving(pour=pour)


async def test_stream_of_many_windows_waits_for_reader_in_order(
    connect_anyhow: Connect,
) -> None:
    count = 30_000  # five windows
    progress = Progress()

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        for item in range(number):
            await stream.send(item)
            progress.sent += 1
        return number

    async with connect_anyhow(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, count) as stream:
            assert await anext(stream) == 0
            assert await progress.stalls() < count / 3, "nothing held the handler up"
            assert [item async for item in stream] == list(range(1, count))
            assert await stream.result() == count


async def test_stream_with_pausing_reader_loses_nothing(connect_anyhow: Connect) -> None:
    progress = Progress()
    async with connect_anyhow(pouring(progress), limits=SMALL) as connection:
        async with connection.stream(POUR, 5_000) as stream:
            count = 0
            async for _ in stream:
                count += 1
                if count % 1000 == 0:
                    await progress.stalls() if progress.sent < 5_000 else None
            assert count == 5_000


async def test_unread_stream_aborted_leaves_connection_usable(
    connect: Connect,
) -> None:
    progress = Progress()
    async with connect(pouring(progress), limits=SMALL) as connection:
        for _ in range(2):
            async with connection.stream(POUR, 10**9):
                await progress.stalls()
            async with asyncio.timeout(WITHIN):
                await connection.request(VOID, None)


async def test_request_while_reading_flooding_stream_is_answered(connect: Connect) -> None:
    progress = Progress()
    async with connect(pouring(progress)) as connection:
        async with connection.stream(POUR, 5000) as stream:
            count = 0
            async for _ in stream:
                count += 1
                if count % 10 == 0:
                    async with asyncio.timeout(WITHIN):
                        await connection.request(VOID, None)
            assert count == 5000


async def test_request_beside_unread_flood_is_answered(
    connect: Connect,
) -> None:
    progress = Progress()
    async with connect(pouring(progress), limits=SMALL) as connection:
        async with connection.stream(POUR, 10**9) as stream:
            await progress.stalls()
            async with asyncio.timeout(WITHIN):
                for _ in range(3):
                    await connection.request(VOID, None)
            async with asyncio.timeout(WITHIN):
                outcomes = await collect([_read(stream, 20_000)])
                assert outcomes == [None] or "1000000 bytes" in str(outcomes[0])
                await connection.request(VOID, None)


async def _read(stream: enkaku.ClientStream[str, int], count: int) -> None:
    for _ in range(count):
        await anext(stream)


async def test_inbox_overflow_ends_only_its_call_and_cancels_handler(socket_path: Path) -> None:
    async with facing(socket_path, limits=SMALL) as (connection, peer):
        asking = asyncio.create_task(connection.request(VOID, None))  # somebody waits all the time
        void_rid = (await peer.read())["rid"]
        async with connection.stream(POUR, 1) as stream:
            rid = (await peer.read())["rid"]
            for _ in range(1200):
                peer.send(typ="receive", rid=rid, val="x" * 1000)
            await peer.writer.drain()
            assert await peer.read() == {"typ": "abort", "rid": rid}
            items = 0
            with pytest.raises(enkaku.InboxOverflow):
                async for _ in stream:
                    items += 1
            assert 900 < items < 1000
            peer.send(typ="result", rid=void_rid)
            assert await asking is None


async def test_close_beside_unread_flood_returns_result(connect: Connect) -> None:
    progress = Progress()

    async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
        async with stream.until_closed():
            while True:
                await stream.send("x" * 100)
                progress.sent += 1
        return number

    async with connect(Serving(pour=pour), limits=SMALL) as connection:
        async with connection.stream(POUR, 5) as stream:
            await progress.stalls()
            async with asyncio.timeout(WITHIN):
                assert await stream.close() == 5
            kept = [item async for item in stream]
            assert len(kept) < 2000


async def test_channel_slow_handler_throttles_client_and_loses_nothing(
    connect_anyhow: Connect,
) -> None:
    gate = asyncio.Event()
    progress = Progress()

    async def fill(_: int, channel: enkaku.ServerChannel[str, str]) -> int:
        await gate.wait()
        count = 0
        async for item in channel:
            assert item == f"{count:0100}"
            count += 1
        return count

    async with connect_anyhow(Serving(fill=fill), limits=SMALL) as connection:
        async with connection.channel(FILL, 0) as channel:

            async def send_all() -> None:
                for number in range(6_000):
                    await channel.send(f"{number:0100}")
                    progress.sent += 1

            sending = asyncio.create_task(send_all())
            assert await progress.stalls() < 6_000, "nothing held the client up"
            gate.set()
            async with asyncio.timeout(WITHIN * 2):
                await sending
                assert await channel.close() == 6_000


async def test_channel_unread_items_over_limit_end_call_on_server(
    socket_path: Path,
) -> None:
    lives = [Lifetime(), Lifetime()]

    async def talk(_: int, channel: enkaku.ServerChannel[int, int]) -> int:
        with lives[1]:
            return await anext(aiter(channel))  # waits all the time, so that reading goes on

    handler = Serving(fill=lives[0].forever, talk=talk)
    async with enkaku.serve_unix(handler, socket_path, limits=SMALL):
        async with raw_client(socket_path) as peer:
            peer.send(typ="channel", rid="a", prc="talk", prm=1)
            peer.send(typ="channel", rid="b", prc="fill", prm=1)
            for _ in range(1200):
                peer.send(typ="send", prc="fill", rid="b", val="x" * 1000)
            assert await peer.settle() == [
                {
                    "typ": "error",
                    "rid": "b",
                    "code": "EKP02",
                    "data": {},
                    "msg": "Too many items wait to be handled",
                }
            ]
            await soon(lives[0].cancelled)
            assert not lives[1].ended.is_set()


async def test_channel_end_with_unread_items_keeps_connection_usable(
    socket_path: Path,
) -> None:
    async def fill(number: int, _: enkaku.ServerChannel[str, str]) -> int:
        await gates[number].wait()
        return number

    gates = [asyncio.Event() for _ in range(3)]
    async with enkaku.serve_unix(Serving(fill=fill), socket_path, limits=SMALL):
        async with raw_client(socket_path) as peer:
            for number, gate in enumerate(gates):
                peer.send(typ="channel", rid="a", prc="fill", prm=number)
                for _ in range(60):
                    peer.send(typ="send", prc="fill", rid="a", val="x" * 1000)
                await turns(20)
                gate.set()
                assert await peer.read() == {"typ": "result", "rid": "a", "val": number}
            assert await peer.settle() == []


async def test_requests_with_unread_replies_do_not_grow_server(
    socket_path: Path,
) -> None:
    served = Progress()

    async def echo(text: str) -> str:
        served.sent += 1
        return text

    limits = enkaku.Limits(handlers=5000)
    async with enkaku.serve_unix(Serving(echo=echo), socket_path, limits=limits):
        async with raw_client(socket_path, limit=1024) as peer:

            async def flood() -> None:
                for number in range(5000):
                    peer.send(typ="request", rid=str(number), prc="echo", prm="x" * 5000)
                    await peer.writer.drain()

            flooding = asyncio.create_task(flood())
            stalled_at = await served.stalls()
            assert stalled_at * 5000 < 10_000_000
            got = await _count_lines(peer, 5000)
            await flooding
            assert got == served.sent == 5000


async def _count_lines(peer: Raw, count: int) -> int:
    seen = 0
    async with asyncio.timeout(WITHIN * 2):
        while seen < count:
            data = await peer.reader.read(2**20)
            assert data
            seen += data.count(b"\n")
    return seen


async def test_slow_reader_does_not_delay_other_connection(socket_path: Path) -> None:
    progress = Progress()
    async with enkaku.serve_unix(pouring(progress), socket_path):
        async with raw_client(socket_path, limit=1024) as slow:
            slow.send(typ="stream", rid="a", prc="pour", prm=10**9)
            await progress.stalls()
            async with enkaku.connect_unix(socket_path) as connection:
                async with asyncio.timeout(WITHIN):
                    for _ in range(100):
                        await connection.request(VOID, None)


async def test_stalled_peer_that_recovers_receives_everything(socket_path: Path) -> None:
    progress = Progress()
    async with enkaku.serve_unix(pouring(progress), socket_path):
        async with raw_client(socket_path, limit=1024) as slow:
            slow.send(typ="stream", rid="a", prc="pour", prm=50_000)
            assert await progress.stalls() < 50_000
            assert await _count_lines(slow, 50_001) == 50_001


async def test_channel_flooded_both_ways_while_both_read_completes(connect_anyhow: Connect) -> None:
    async def talk(number: int, channel: enkaku.ServerChannel[int, int]) -> int:
        async def pour() -> None:
            for item in range(number):
                await channel.send(item)

        async with asyncio.TaskGroup() as group:
            group.create_task(pour())
            count = 0
            async for _ in channel:
                count += 1
                if count == number:
                    break
        return count

    async with connect_anyhow(Serving(talk=talk), limits=SMALL) as connection:
        async with connection.channel(TALK, 5_000) as channel:

            async def send_all() -> None:
                for item in range(5_000):
                    await channel.send(item)

            async with asyncio.timeout(WITHIN * 2), asyncio.TaskGroup() as group:
                group.create_task(send_all())
                assert [item async for item in channel] == list(range(5_000))
            assert await channel.result() == 5_000


async def test_channel_send_does_not_deadlock_if_server_writes_first(
    socket_path: Path,
) -> None:
    """It counts no credits, and answers each item with two: the client has to read while it waits to send."""
    item = "x" * 700

    async def answer(peer: Raw, rid: str, count: int) -> None:
        for _ in range(count):
            while (await peer.read())["typ"] != "send":
                continue
            for _ in range(2):
                peer.send(typ="receive", rid=rid, val=item)
                await peer.writer.drain()
        peer.send(typ="result", rid=rid, val=count)

    limits = enkaku.Limits(window=50_000, inbox_limit=10_000_000)
    async with facing(socket_path, limits=limits) as (connection, peer):
        async with connection.channel(FILL, 1) as channel:
            rid = (await peer.read())["rid"]
            peer.stall()  # it reads no further than it is asked to
            answering = asyncio.create_task(answer(peer, rid, 3000))
            for _ in range(3000):
                await channel.send(item)
            async with asyncio.timeout(WITHIN):
                assert len([item async for item in channel]) == 6000
                assert await channel.result() == 3000
            await answering


async def test_client_that_dies_while_reading_is_paused_is_detected(
    socket_path: Path,
) -> None:
    life = Lifetime()
    async with enkaku.serve_unix(Serving(fill=life.forever), socket_path, limits=STALLED_SOON):
        async with raw_client(socket_path) as peer:
            peer.send(typ="channel", rid="a", prc="fill", prm=1)
            await soon(life.began)
            for _ in range(60):
                peer.send(typ="send", prc="fill", rid="a", val="x" * 1000)
            await turns(50)
        await soon(life.cancelled)


async def test_close_after_unread_items_is_received(socket_path: Path) -> None:
    life = Lifetime()

    async def fill(number: int, channel: enkaku.ServerChannel[str, str]) -> int:
        async with channel.until_closed():
            await life.forever()
        return number

    async with enkaku.serve_unix(Serving(fill=fill), socket_path, limits=STALLED_SOON):
        async with raw_client(socket_path) as peer:
            peer.send(typ="channel", rid="a", prc="fill", prm=3)
            for _ in range(100):
                peer.send(typ="send", prc="fill", rid="a", val="x" * 1000)
            peer.send(typ="abort", rid="a", rsn="Close")
            assert await peer.read() == {"typ": "result", "rid": "a", "val": 3}


async def test_call_after_unread_items_is_answered(socket_path: Path) -> None:
    life = Lifetime()
    async with enkaku.serve_unix(Serving(fill=life.forever), socket_path, limits=STALLED_SOON):
        async with raw_client(socket_path) as peer:
            peer.send(typ="channel", rid="a", prc="fill", prm=3)
            for _ in range(100):
                peer.send(typ="send", prc="fill", rid="a", val="x" * 1000)
            assert await peer.settle() == []


async def test_channel_flooded_both_ways_unread_blocks_until_abort(
    connect_anyhow: Connect,
) -> None:
    life = Lifetime()
    there, here = Progress(), Progress()

    async def fill(_: int, channel: enkaku.ServerChannel[str, str]) -> int:
        with life:
            while True:
                await channel.send("x" * 1000)
                there.sent += 1

    async def flood(channel: enkaku.ClientChannel[str, str, int]) -> None:
        while True:
            await channel.send("x" * 1000)
            here.sent += 1

    async with connect_anyhow(Serving(fill=fill), limits=SMALL) as connection:
        async with connection.channel(FILL, 3) as channel:
            flooding = asyncio.create_task(flood(channel))
            assert await there.stalls() < 50
            assert await here.stalls() < 150  # what goes before the first grant is known
            await connection.request(VOID, None)
        await soon(life.cancelled)
        with pytest.raises(enkaku.CallClosed):
            await flooding


async def test_sender_to_many_streams_yields_to_other_tasks(connect: Connect) -> None:
    streams: list[enkaku.ServerStream[int]] = []
    everybody, done = asyncio.Event(), asyncio.Event()
    sent, most, before = 0, 0, 0

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        streams.append(stream)
        if len(streams) == number:
            everybody.set()
        async with stream.until_closed():
            await done.wait()
        return number

    async def ask(number: int) -> int:
        nonlocal sent
        for _ in range(number):
            for stream in streams:
                await stream.send(1)
                sent += 1
        return number

    def look() -> None:
        nonlocal most, before
        most, before = max(most, sent - before), sent
        if not done.is_set():
            asyncio.get_running_loop().call_soon(look)

    async with connect(Serving(watch=watch, ask=ask)) as connection:
        opening = [connection.stream(WATCH, 100) for _ in range(100)]
        for stream in opening:
            await stream.__aenter__()
        await soon(everybody)
        look()
        assert await connection.request(ASK, 20) == 20
        done.set()
        for stream in opening:
            assert await stream.result() == 100
            await stream.__aexit__(None, None, None)
    assert sent == 2000
    assert 0 < most <= 64


async def test_send_waiting_for_socket_ends_with_call() -> None:
    finish = asyncio.Event()

    async def fill(_: int, channel: enkaku.ServerChannel[str, str]) -> int:
        await finish.wait()
        return 0

    faults = Faults()
    async with connect_memory(Serving(fill=fill), faults=faults) as connection:
        async with connection.channel(FILL, 0) as channel:
            await turns()
            faults.to_server.stall()
            await channel.send(LARGE)
            sending = asyncio.create_task(channel.send("there is no credit for this"))
            await turns()
            finish.set()
            assert await channel.result() == 0
            faults.to_server.resume()
            with pytest.raises(enkaku.CallClosed):
                await asyncio.wait_for(sending, WITHIN)


async def test_handler_send_waiting_ends_with_close(
    socket_path: Path,
) -> None:
    waiting: list[enkaku.ServerStream[str]] = []

    async def pour(_: int, stream: enkaku.ServerStream[str]) -> int:
        await stream.send(LARGE)
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
