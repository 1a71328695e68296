"""Credits on the wire: what each side grants, and what it does with a peer that grants nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import enkaku
import pytest
from support import (
    FILL,
    POUR,
    VOID,
    WATCH,
    WITHIN,
    Connect,
    Lifetime,
    Raw,
    Serving,
    collect,
    facing,
    line,
    raw_client,
    soon,
    turns,
    until,
)
from watching import Recorder

ITEM = "x" * 1000
SIZE = len(line(typ="receive", rid="a", val=ITEM))
WINDOW = 10_000
LARGE = "x" * 60_000
HUGE = "x" * 400_000
MANY = 40  # calls
KEPT_AT_MOST = 4  # calls of these limits that may keep a huge item
FEW_AT_ONCE = enkaku.Limits(message_size=500_000, window=64 * 1024, buffered=1024 * 1024)


def open_with(peer: Raw, win: int, typ: str = "stream", prc: str = "pour", prm: int = 1000) -> None:
    header = {"typ": "JWT", "alg": "none", "win": win}
    peer.send_line(header, {"typ": typ, "rid": "a", "prc": prc, "prm": prm})


async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
    for _ in range(number):
        await stream.send(ITEM)
    return number


async def items_until_quiet(peer: Raw) -> int:
    """Count the items that come until a round trip brings none."""
    count = 0
    while True:
        seen = await peer.settle()
        count += sum(message["typ"] == "receive" for message in seen)
        if not seen:
            return count


async def test_handler_send_stays_within_granted_credit(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(pour=pour), socket_path):
        async with raw_client(socket_path) as peer:
            open_with(peer, WINDOW)
            assert await items_until_quiet(peer) == WINDOW // SIZE
            for granted in (SIZE, 5 * SIZE):
                peer.send(typ="credit", rid="a", n=granted)
                assert await items_until_quiet(peer) == granted // SIZE
            peer.send(
                typ="credit", rid="a", n=SIZE - 50
            )  # with what is left of the window, one more
            assert await items_until_quiet(peer) == 1


async def test_broadcast_send_stays_within_granted_credit(socket_path: Path) -> None:
    broadcast = enkaku.Broadcast(POUR)

    async def serve(_: int, stream: enkaku.ServerStream[str]) -> int:
        return await broadcast.serve(stream, when_full="wait")

    async with enkaku.serve_unix(Serving(pour=serve), socket_path):
        async with raw_client(socket_path) as peer:
            open_with(peer, WINDOW)
            await until(lambda: broadcast.subscribers == 1)
            assert await items_until_quiet(peer) == 0
            for _ in range(30):
                broadcast.send_nowait(ITEM)
            assert await items_until_quiet(peer) == WINDOW // SIZE
            peer.send(typ="credit", rid="a", n=5 * SIZE)
            assert await items_until_quiet(peer) == 5


async def test_credit_item_larger_than_window_is_sent_alone(
    socket_path: Path,
) -> None:
    async def large(_: int, stream: enkaku.ServerStream[str]) -> int:
        await stream.send("small")
        for _ in range(2):
            await stream.send("x" * 5000)
        return 3

    async with enkaku.serve_unix(Serving(pour=large), socket_path):
        async with raw_client(socket_path) as peer:
            open_with(peer, 500)
            assert (await peer.read())["typ"] == "credit"
            small = await peer.read()
            assert small["val"] == "small"
            assert await items_until_quiet(peer) == 0
            peer.send(typ="credit", rid="a", n=len(line(**small)))
            assert await items_until_quiet(peer) == 1
            peer.send(typ="credit", rid="a", n=5100)
            assert len((await peer.read())["val"]) == 5000
            assert (await peer.read())["typ"] == "result"


async def test_credit_window_of_zero_sends_items_one_by_one(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(pour=pour), socket_path):
        async with raw_client(socket_path) as peer:
            open_with(peer, 0, prm=4)
            for _ in range(3):
                assert await items_until_quiet(peer) == 1
                peer.send(typ="credit", rid="a", n=SIZE)
            assert [(await peer.read())["typ"] for _ in range(2)] == ["receive", "result"]


async def test_credit_wait_of_handler_ends_with_abort_and_close(
    socket_path: Path,
) -> None:
    life = Lifetime()

    async def endless(number: int, stream: enkaku.ServerStream[str]) -> int:
        with life:
            async with stream.until_closed():
                while True:
                    await stream.send(ITEM)
        return number

    async with enkaku.serve_unix(Serving(pour=endless), socket_path):
        for reason in (None, "Close"):
            async with raw_client(socket_path) as peer:
                open_with(peer, WINDOW, prm=7)
                await items_until_quiet(peer)
                peer.send(typ="abort", rid="a", **({} if reason is None else {"rsn": reason}))
                if reason is None:
                    await soon(life.cancelled)
                else:
                    assert await peer.read() == {"typ": "result", "rid": "a", "val": 7}


async def test_credit_never_granted_limits_nothing_but_socket(
    socket_path: Path,
) -> None:
    async with enkaku.serve_unix(Serving(pour=pour), socket_path):
        async with raw_client(socket_path) as peer:
            peer.send(typ="stream", rid="a", prc="pour", prm=1000)
            typs = [(await peer.read())["typ"] for _ in range(1001)]
            assert typs == ["receive"] * 1000 + ["result"]


async def test_credit_for_unknown_call_is_ignored_on_both_sides(
    socket_path: Path,
) -> None:
    async with enkaku.serve_unix(Serving(pour=pour), socket_path.with_name("other")):
        async with raw_client(socket_path.with_name("other")) as peer:
            peer.send(typ="credit", rid="nobody", n=5)
            assert await peer.settle() == []
    async with facing(socket_path) as (connection, server):
        server.send(typ="credit", rid="nobody", n=5)
        asking = asyncio.create_task(connection.request(VOID, None))
        rid = (await server.read())["rid"]
        server.send(typ="credit", rid=rid, n=5)  # a request has no items
        server.send(typ="result", rid=rid)
        await asking


async def test_client_exceeding_credit_by_a_window_loses_call(
    socket_path: Path,
) -> None:
    life, seen = Lifetime(), Recorder()
    limits = enkaku.Limits(window=100_000)
    async with enkaku.serve_unix(
        Serving(fill=life.forever), socket_path, limits=limits, observers=[seen]
    ):
        async with raw_client(socket_path) as peer:
            open_with(peer, WINDOW, "channel", "fill")
            assert await peer.read() == {"typ": "credit", "rid": "a", "n": 100_000}
            await soon(life.began)
            item = line(typ="send", prc="fill", rid="a", val=ITEM)
            for _ in range(150_000 // len(item)):
                peer.send_bytes(item)
            assert await peer.settle() == []
            for _ in range(100_000 // len(item)):
                peer.send_bytes(item)
            error = await peer.read()
            assert (error["rid"], error["code"]) == ("a", "EKP02")
            await soon(life.cancelled)
            assert await peer.settle() == []
    assert "granted" in seen.overloads[0]


async def test_server_exceeding_credit_by_a_window_loses_call(
    socket_path: Path,
) -> None:
    limits = enkaku.Limits(window=100_000)
    async with facing(socket_path, limits=limits) as (connection, peer):
        async with connection.stream(POUR, 1) as stream:
            rid = (await peer.read())["rid"]
            peer.send(typ="credit", rid=rid, n=0)
            for _ in range(250):
                peer.send(typ="receive", rid=rid, val=ITEM)
            assert (await peer.read())["typ"] == "abort"
            with pytest.raises(enkaku.InboxOverflow, match="granted"):
                while True:
                    await anext(stream)


async def test_client_sends_window_and_returns_credit(
    socket_path: Path,
) -> None:
    async with facing(socket_path, limits=enkaku.Limits(window=WINDOW)) as (connection, peer):
        async with connection.stream(POUR, 1) as stream:
            opened = await peer.read_line()
            assert opened["header"]["win"] == WINDOW
            rid = opened["payload"]["rid"]
            peer.send(typ="credit", rid=rid, n=0)
            granted = 0
            for _ in range(100):
                peer.send(typ="receive", rid=rid, val=ITEM)
                await anext(stream)
            while granted < 95 * SIZE:
                credit = await peer.read()
                assert credit["typ"] == "credit"
                assert credit["n"] >= WINDOW // 2
                granted += credit["n"]
            assert granted <= 100 * SIZE


async def test_client_returns_no_credit_to_server_without_flow_control(
    socket_path: Path,
) -> None:
    async with facing(socket_path, limits=enkaku.Limits(window=WINDOW)) as (connection, peer):
        async with connection.stream(POUR, 1) as stream:
            rid = (await peer.read())["rid"]
            for _ in range(100):
                peer.send(typ="receive", rid=rid, val=ITEM)
            for _ in range(100):
                await anext(stream)
        assert [message["typ"] for message in await peer.outlive(connection)] == ["abort"]


async def test_channel_send_stays_within_servers_credit(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        async with connection.channel(FILL, 1) as channel:
            rid = (await peer.read())["rid"]
            peer.send(typ="credit", rid=rid, n=WINDOW)
            asking = asyncio.create_task(connection.request(VOID, None))
            peer.send(typ="result", rid=(await peer.read())["rid"])
            await asking
            sent = 0

            async def flood() -> None:
                nonlocal sent
                while True:
                    await channel.send(ITEM)
                    sent += 1

            flooding = asyncio.create_task(flood())
            item = len(line(typ="send", prc="fill", rid=rid, val=ITEM))
            seen = [await peer.read() for _ in range(WINDOW // item)]
            await turns(50)
            assert sent == len(seen)
            peer.send(typ="credit", rid=rid, n=3 * item)
            seen += [await peer.read() for _ in range(3)]
            await turns(50)
            assert sent == len(seen)
            flooding.cancel()


@pytest.mark.parametrize("shown_by", ["item", "answer", "time", "another channel"])
async def test_channel_to_server_without_flow_control_is_not_delayed(
    socket_path: Path, shown_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shown_by == "time":
        monkeypatch.setattr("enkaku.client.streams._GRANT_WITHIN", 0.05)
    async with facing(socket_path) as (connection, peer):
        async with connection.channel(FILL, 1) as first:
            rid = (await peer.read())["rid"]
            if shown_by in {"item", "another channel"}:
                peer.send(typ="receive", rid=rid, val="first")
                assert await anext(first) == "first"
            channel: Any = first
            if shown_by == "another channel":
                channel = connection.channel(FILL, 2)
                await channel.__aenter__()
                await peer.read()
            reading = asyncio.create_task(read_items(peer, 300, answers=shown_by == "answer"))
            for _ in range(300):
                await channel.send(ITEM)
            await reading
            if channel is not first:
                await channel.__aexit__(None, None, None)


async def read_items(peer: Raw, count: int, *, answers: bool) -> None:
    """Read items; answer what no procedure is there for, as any server does, or do not."""
    items = 0
    while items < count:
        message = await peer.read()
        items += message["typ"] == "send"
        if message["typ"] == "request" and answers:
            peer.send(typ="error", rid=message["rid"], code="EK08", msg="Invalid", data={})


async def test_channel_slow_first_grant_keeps_flow_control(
    socket_path: Path,
) -> None:
    async with enkaku.serve_unix(Serving(fill=fill_slowly), socket_path):
        async with enkaku.connect_unix(socket_path) as connection:
            async with connection.channel(FILL, 1) as channel:
                for _ in range(1000):
                    await channel.send(ITEM)
                await channel.end()
                assert await channel.result() == 1000


async def fill_slowly(_: int, channel: enkaku.ServerChannel[str, str]) -> int:
    await turns(100)
    return len([item async for item in channel])


async def test_channel_before_first_grant_sends_at_most_64_kib(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        async with connection.channel(FILL, 1) as channel:
            rid = (await peer.read())["rid"]
            flooding = asyncio.create_task(_flood(channel))
            await until(lambda: channel.call.bytes_sent > 60_000)
            await turns(50)
            assert channel.call.bytes_sent < 70_000
            peer.send(typ="credit", rid=rid, n=200_000)
            await until(lambda: channel.call.bytes_sent > 190_000)
            flooding.cancel()


async def _flood(channel: enkaku.ClientChannel[str, str, int]) -> None:
    while True:
        await channel.send(ITEM)


async def test_stream_result_without_iteration_is_returned(connect: Connect) -> None:
    limits = enkaku.Limits(window=WINDOW)
    async with connect(Serving(pour=pour), limits=limits) as connection:
        async with connection.stream(POUR, 5000) as stream:
            assert await stream.result() == 5000
            assert stream.dropped > 4900


async def test_stream_items_of_every_size_pass_small_window(connect: Connect) -> None:
    """Also those that fit only an empty window, behind others that leave less than half of it free."""
    sizes = [10, 3000, 700, 9000, 1, 9999, 4000, 4000, 20_000, 5, 60_000, 4999]

    async def each(_: int, stream: enkaku.ServerStream[str]) -> int:
        for size in sizes * 3:
            await stream.send("x" * size)
        return len(sizes)

    async with connect(Serving(pour=each), limits=enkaku.Limits(window=WINDOW)) as connection:
        async with connection.stream(POUR, 1) as stream:
            assert [len(item) async for item in stream] == sizes * 3


async def test_connection_buffer_shared_by_many_calls_rejects_none(
    connect: Connect,
) -> None:
    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        for item in range(200):
            await stream.send(item)
        return number

    limits = enkaku.Limits(window=50_000, buffered=100_000)
    async with connect(Serving(watch=watch), limits=limits) as connection:
        streams = [connection.stream(WATCH, number) for number in range(30)]
        for stream in streams:
            await stream.__aenter__()
        await turns(300)
        for number, stream in enumerate(streams):
            assert [item async for item in stream] == list(range(200))
            assert await stream.result() == number
            await stream.__aexit__(None, None, None)


async def test_channel_refused_leaves_flow_control_unknown(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        async with connection.channel(FILL, 1) as refused:
            opening = await peer.read()
            peer.send(typ="error", rid=opening["rid"], code="EK03", data={}, msg="Too many")
            with pytest.raises(enkaku.CallError):
                await refused.result()
        async with connection.channel(FILL, 1) as channel:
            sending = asyncio.create_task(_send_large(channel, 20))
            while (payload := await peer.read())["typ"] in {"channel", "send"}:
                pass
            assert payload["typ"] == "request"  # it asks whether this server counts
            assert channel.call.items_sent <= 2
            channel.abort()
            with pytest.raises(enkaku.CallClosed):
                await sending


async def test_large_item_is_sent_beside_many_small_ones(connect: Connect) -> None:
    async def pour(count: int, stream: enkaku.ServerStream[str]) -> int:
        await _send_beside_small_ones(stream.send, count)
        return count

    async def fill(_: int, channel: enkaku.ServerChannel[str, str]) -> int:
        return len([item async for item in channel if item == LARGE])

    limits = enkaku.Limits(window=64 * 1024)
    async with connect(Serving(pour=pour, fill=fill), limits=limits) as connection:
        async with connection.stream(POUR, 5) as stream:
            assert len([item async for item in stream if item == LARGE]) == 5
        async with connection.channel(FILL, 1) as channel:
            await _send_beside_small_ones(channel.send, 5)
            assert await channel.close() == 5


async def test_senders_waiting_for_credit_all_end_with_call(connect: Connect) -> None:
    ends: list[object] = []

    async def pour(_: int, stream: enkaku.ServerStream[str]) -> int:
        ends.extend(await collect(_send_for_ever(stream.send) for _ in range(50)))
        return 0

    limits = enkaku.Limits(window=64 * 1024)
    handler = Serving(pour=pour, fill=Lifetime().forever)
    async with connect(handler, limits=limits, close_timeout=0.1) as connection:
        async with connection.stream(POUR, 1) as stream:
            await anext(stream)
            assert await stream.close() == 0
        async with connection.channel(FILL, 1) as channel:
            senders = [asyncio.create_task(_send_for_ever(channel.send)) for _ in range(50)]
            await turns(100)
            with pytest.raises(enkaku.CallError):
                await channel.close()
        ends.extend(await collect(senders))
    assert len(ends) == 100
    assert all(isinstance(end, enkaku.CallClosed) for end in ends)


async def _send_for_ever(send: Callable[[str], Awaitable[None]]) -> None:
    while True:
        await send(LARGE)


async def _send_beside_small_ones(send: Callable[[str], Awaitable[None]], count: int) -> None:
    async def send_small_ones() -> None:
        while True:
            await send("small")

    small = asyncio.create_task(send_small_ones())
    try:
        await turns()  # in which all the room is taken
        async with asyncio.timeout(WITHIN):
            for _ in range(count):
                await send(LARGE)
    finally:
        small.cancel()
        await asyncio.wait({small})


async def _send_large(channel: enkaku.ClientChannel[str, str, int], count: int) -> None:
    for _ in range(count):
        await channel.send(LARGE)


async def test_channel_items_over_connection_limit_overflow(socket_path: Path) -> None:
    handler = Serving(fill=Lifetime().forever)
    async with (
        enkaku.serve_unix(handler, socket_path, limits=FEW_AT_ONCE),
        raw_client(socket_path) as peer,
    ):
        for number in range(MANY):
            header = {"typ": "JWT", "alg": "none", "win": 1000}
            peer.send_line(header, {"typ": "channel", "rid": f"{number}", "prc": "fill", "prm": 1})
            peer.send(typ="send", rid=f"{number}", prc="fill", val=HUGE)
        seen = await peer.settle()
        overflowed = [payload for payload in seen if payload.get("code") == "EKP02"]
        assert len(overflowed) >= MANY - KEPT_AT_MOST


async def test_stream_items_over_connection_limit_overflow(socket_path: Path) -> None:
    async with (
        facing(socket_path, limits=FEW_AT_ONCE) as (connection, peer),
        AsyncExitStack() as stack,
    ):
        streams = [await stack.enter_async_context(connection.stream(POUR, 1)) for _ in range(MANY)]
        for rid in [(await peer.read())["rid"] for _ in streams]:
            peer.send(typ="credit", rid=rid, n=0)
            peer.send(typ="receive", rid=rid, val=HUGE)
            peer.send(typ="result", rid=rid, val=1)
        asking = asyncio.create_task(connection.request(VOID, None))
        while (payload := await peer.read())["typ"] != "request":
            pass  # what the client does about what it was sent
        peer.send(typ="result", rid=payload["rid"])
        await asking
        ends = await collect(_read_all(stream) for stream in streams)
        overflowed = [end for end in ends if isinstance(end, enkaku.InboxOverflow)]
        assert len(overflowed) >= MANY - KEPT_AT_MOST


async def _read_all(stream: enkaku.ClientStream[str, int]) -> int:
    return len([item async for item in stream])


async def test_channel_window_is_granted_at_once_and_as_items_are_read(socket_path: Path) -> None:
    take = asyncio.Event()

    async def fill(number: int, channel: enkaku.ServerChannel[str, str]) -> int:
        await take.wait()
        return len([item async for item in channel])

    limits = enkaku.Limits(window=10_000)
    async with enkaku.serve_unix(Serving(fill=fill), socket_path, limits=limits):
        async with raw_client(socket_path) as peer:
            opening = {"typ": "channel", "rid": "a", "prc": FILL.name, "prm": 1}
            peer.send_line({"typ": "JWT", "alg": "none", "win": 5000}, opening)
            assert await peer.read() == {"typ": "credit", "rid": "a", "n": 10_000}
            items = [line(typ="send", prc="fill", rid="a", val="x" * 900) for _ in range(8)]
            peer.send_bytes(b"".join(items))
            assert await peer.settle() == []
            take.set()
            granted = [await peer.read() for _ in range(1)]
            assert granted[0]["typ"] == "credit"
            assert granted[0]["n"] >= 5000
            peer.send(typ="abort", rid="a", rsn="Close")
            last = await peer.read()
            if last["typ"] == "credit":
                last = await peer.read()
            assert last == {"typ": "result", "rid": "a", "val": 8}
