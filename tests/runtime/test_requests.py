"""One question, one answer."""

import asyncio
from typing import Any

import enkaku
import pytest
from support import (
    ASK,
    ECHO,
    NULL,
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
)


async def double(number: int) -> int:
    return 2 * number


async def same(text: str) -> str:
    return text


async def test_request_returns_result(connect_anyhow: Connect) -> None:
    async with connect_anyhow(Serving(ask=double)) as connection:
        assert await connection.request(ASK, 21) == 42


@pytest.mark.parametrize(
    "text", ["", "é", "𝄞" * 1000, "\n\r\0", '"\\', "line\u2028separator", "x" * 300_000]
)
async def test_request_any_string_round_trips(connect_anyhow: Connect, text: str) -> None:
    async with connect_anyhow(Serving(echo=same)) as connection:
        assert await connection.request(ECHO, text) == text


async def test_request_without_param_and_result(connect: Connect) -> None:
    async with connect(Serving()) as connection:
        assert await connection.request(VOID, None) is None


async def test_request_null_result_differs_from_missing_result(socket_path: Any) -> None:
    async def null() -> None:
        return None

    async with enkaku.serve_unix(Serving(null=null), socket_path), raw_client(socket_path) as peer:
        peer.send(typ="request", rid="a", prc="null")
        peer.send(typ="request", rid="b", prc="void")
        assert await peer.read() == {"typ": "result", "rid": "a", "val": None}
        assert await peer.read() == {"typ": "result", "rid": "b"}


async def test_request_null_result_is_none(connect: Connect) -> None:
    async def null() -> None:
        return None

    async with connect(Serving(null=null)) as connection:
        assert await connection.request(NULL, None) is None


async def test_request_without_param_rejects_value(connect: Connect) -> None:
    async with connect(Serving()) as connection:
        with pytest.raises(enkaku.UsageError, match="void"):
            await connection.request(VOID, 1)  # type: ignore[arg-type] # the mistake


async def test_request_invalid_param_is_not_sent(connect: Connect) -> None:
    calls: list[int] = []

    async def note(number: int) -> int:
        calls.append(number)
        return number

    async with connect(Serving(ask=note)) as connection:
        with pytest.raises(enkaku.EncodeError, match="ask param"):
            await connection.request(ASK, "1")  # type: ignore[arg-type] # the mistake
        assert await connection.request(ASK, 7) == 7
    assert calls == [7]


async def test_request_replies_may_arrive_in_any_order(connect: Connect) -> None:
    gates = [asyncio.Event() for _ in range(3)]

    async def wait(number: int) -> int:
        await gates[number].wait()
        return number

    async with connect(Serving(ask=wait)) as connection:
        tasks = [asyncio.create_task(connection.request(ASK, number)) for number in range(3)]
        done: list[int] = []
        for number in (2, 0, 1):
            gates[number].set()
            async with asyncio.timeout(WITHIN):
                done.append(await tasks[number])
        assert done == [2, 0, 1]


async def test_request_thousand_at_once_get_own_replies(connect: Connect) -> None:
    began = 0
    all_began = asyncio.Event()

    async def together(number: int) -> int:
        nonlocal began
        began += 1
        if began == 1000:
            all_began.set()
        await all_began.wait()
        return 2 * number

    async with connect(Serving(ask=together), limits=enkaku.Limits(handlers=1000)) as connection:
        answers = await collect(connection.request(ASK, number) for number in range(1000))
    assert answers == [2 * number for number in range(1000)]


async def test_server_serves_hundred_connections_at_once(socket_path: Any) -> None:
    async def ask_once(number: int) -> int:
        async with enkaku.connect_unix(socket_path) as connection:
            return await connection.request(ASK, number)

    began = 0
    all_began = asyncio.Event()

    async def together(number: int) -> int:
        nonlocal began
        began += 1
        if began == 100:
            all_began.set()
        await all_began.wait()
        return -number

    async with enkaku.serve_unix(Serving(ask=together), socket_path):
        answers = await collect(ask_once(number) for number in range(100))
    assert answers == [-number for number in range(100)]


async def test_request_during_stream_is_answered(connect: Connect) -> None:
    life = Lifetime()

    async def watch(_: int, stream: enkaku.ServerStream[int]) -> int:
        with life:
            async with stream.until_closed():
                await asyncio.Event().wait()
        return 1

    async with connect(Serving(ask=double, watch=watch)) as connection:
        async with connection.stream(WATCH, 0) as stream:
            assert await connection.request(ASK, 1) == 2
            assert await stream.close() == 1


async def test_request_unknown_procedure_raises_ek08(connect: Connect) -> None:
    async with connect(Serving()) as connection:
        with pytest.raises(enkaku.CallError) as caught:
            await connection.request(ASK, 1)
    assert (caught.value.code, caught.value.message) == ("EK08", "Invalid protocol message")


async def test_request_ignores_items(socket_path: Any) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK, 1))
        rid = (await peer.read())["rid"]
        peer.send(typ="receive", rid=rid, val=5)
        peer.send(typ="result", rid=rid, val=6)
        assert await asking == 6


async def test_call_ids_are_unique_per_connection(socket_path: Any) -> None:
    async with facing(socket_path) as (connection, peer):
        rids: list[str] = []
        for number in range(5):
            asking = asyncio.create_task(connection.request(ASK, number))
            rids.append((await peer.read())["rid"])
            peer.send(typ="result", rid=rids[-1], val=number)
            assert await asking == number
        assert len(set(rids)) == 5


async def test_server_missing_param_is_read_as_falsy_value(
    socket_path: Any,
) -> None:
    async with enkaku.serve_unix(Serving(ask=double, echo=same), socket_path):
        async with raw_client(socket_path) as peer:
            peer.send(typ="request", rid="a", prc="ask")
            peer.send(typ="request", rid="b", prc="echo")
            assert await peer.read() == {"typ": "result", "rid": "a", "val": 0}
            assert await peer.read() == {"typ": "result", "rid": "b", "val": ""}


async def test_request_reply_before_request_is_sent_is_read(socket_path: Any) -> None:
    """A server may refuse a large request before it has read all of it."""
    async with facing(socket_path) as (connection, peer):
        peer.stall()
        asking = asyncio.create_task(connection.request(ECHO, "x" * 8_000_000))
        head = await peer.reader.readexactly(150)
        assert b'"prc":"echo"' in head
        peer.send(typ="error", rid="1", code="EK06", data={}, msg="Message exceeds maximum size")
        async with asyncio.timeout(WITHIN):
            with pytest.raises(enkaku.CallError, match="EK06"):
                await asking


async def test_request_handler_may_wait_for_close(
    socket_path: Any,
) -> None:
    life = Lifetime()

    async def ask(number: int) -> int:
        with life:
            async with enkaku.current_call().until_closed():
                await asyncio.Event().wait()
        return number

    async with enkaku.serve_unix(Serving(ask=ask), socket_path), raw_client(socket_path) as peer:
        peer.send(typ="request", rid="a", prc="ask", prm=3)
        await soon(life.began)
        peer.send(typ="abort", rid="a", rsn="Close")
        assert await peer.read() == {"typ": "result", "rid": "a", "val": 3}


async def test_current_call_is_set_in_handler_and_child_tasks(connect: Connect) -> None:
    seen: list[enkaku.ServerCall] = []

    async def ask(number: int) -> int:
        seen.append(enkaku.current_call())
        seen.append(await asyncio.create_task(in_child()))
        return number

    async def in_child() -> enkaku.ServerCall:
        return enkaku.current_call()

    async with connect(Serving(ask=ask)) as connection:
        await connection.request(ASK, 1)
    assert seen[0] is seen[1]
    assert seen[0].procedure is ASK
    assert not seen[0].peer.startswith("nobody")


async def test_current_call_outside_handler_raises_usage_error() -> None:
    with pytest.raises(enkaku.UsageError):
        enkaku.current_call()


async def test_request_task_never_awaited_ends_silently(
    connect: Connect,
) -> None:
    async with connect(Serving(ask=double)) as connection:
        task = asyncio.create_task(connection.request(ASK, 1))
        await turns()
        while not task.done():  # noqa: ASYNC110 # nobody awaits it
            await asyncio.sleep(0)
    del task


async def test_server_serves_all_messages_of_one_packet(socket_path: Any) -> None:
    limits = enkaku.Limits(handlers=500)
    async with (
        enkaku.serve_unix(Serving(ask=double), socket_path, limits=limits),
        raw_client(socket_path) as peer,
    ):
        packet = b"".join(
            b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"request","rid":"%d",'
            b'"prc":"ask","prm":%d}}\n' % (number, number)
            for number in range(500)
        )
        peer.send_bytes(packet)
        answers = await _read(peer, 500)
    assert sorted(int(answer["rid"]) for answer in answers) == list(range(500))
    assert all(answer["val"] == 2 * int(answer["rid"]) for answer in answers)


async def test_server_reads_message_byte_by_byte(socket_path: Any) -> None:
    text = "é𝄞"
    async with enkaku.serve_unix(Serving(echo=same), socket_path), raw_client(socket_path) as peer:
        data = (
            '{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"request","rid":"1",'
            f'"prc":"echo","prm":"{text}"}}}}\r\n'
        ).encode()
        for position in range(len(data)):
            peer.send_bytes(data[position : position + 1])
            await turns(2)
        assert (await peer.read())["val"] == text


async def _read(peer: Raw, count: int) -> list[dict[str, Any]]:
    return [await peer.read() for _ in range(count)]
