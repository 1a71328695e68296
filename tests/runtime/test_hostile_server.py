"""Servers that do not keep to the protocol: every call of the client still ends, and the others go on."""

import asyncio
from pathlib import Path
from typing import Any

import enkaku
import pytest
from support import (
    ASK,
    ECHO,
    NULL,
    POUR,
    TALK,
    VOID,
    WATCH,
    WITHIN,
    OutOfStock,
    Raw,
    facing,
    line,
    raw_server,
    turns,
)

USELESS = [
    b"",
    b"null",
    b"42",
    b"{}",
    b"[]",
    b'"text"',
    b"{",
    b"nonsense",
    b"\xff\xfe",
    b'{"payload":null}',
    b'{"payload":{}}',
    b'{"header":{},"payload":{"typ":"result"}}',
    b'{"payload":{"typ":"result","rid":5,"val":1}}',
    b'{"payload":{"typ":"result","rid":null,"val":1}}',
    b'{"payload":{"typ":"result","rid":{},"val":1}}',
    b'{"payload":{"typ":"result","rid":"__proto__","val":1}}',
    b'{"payload":{"typ":"result","rid":"","val":1}}',
    b'{"payload":{"typ":"result","rid":"999","val":1}}',
    b'{"payload":{"typ":"receive","rid":"999","val":1}}',
    b'{"payload":{"typ":"error","rid":"999","code":"EK01","data":{},"msg":"x"}}',
    b'{"payload":{"typ":"nobody knows","rid":"999"}}',
    b'{"payload":{"typ":"credit"}}',
    b"[" * 100_000,
    b'{"payload":{"typ":"result","rid":"999","val":' + b"[" * 100_000,
]


@pytest.mark.parametrize("text", USELESS, ids=lambda text: repr(text[-50:])[2:-1])
async def test_client_ignores_meaningless_lines(socket_path: Path, text: bytes) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK, 1))
        rid = (await peer.read())["rid"]
        peer.send_bytes(text + b"\n")
        peer.send(typ="result", rid=rid, val=5)
        async with asyncio.timeout(WITHIN):
            assert await asking == 5
        await _works(connection, peer)


async def _works(connection: enkaku.Connection, peer: Raw) -> None:
    asking = asyncio.create_task(connection.request(ASK, 2))
    opening = await peer.read()
    while opening["typ"] == "abort":
        opening = await peer.read()
    peer.send(typ="result", rid=opening["rid"], val=6)
    async with asyncio.timeout(WITHIN):
        assert await asking == 6


UNREADABLE: list[tuple[dict[str, Any], type[enkaku.EnkakuError]]] = [
    ({"typ": "error"}, enkaku.InvalidMessage),
    ({"typ": "error", "code": 5, "data": {}, "msg": "x"}, enkaku.InvalidMessage),
    ({"typ": "error", "code": "X", "data": {}}, enkaku.InvalidMessage),
    ({"typ": "error", "code": "X", "data": 5, "msg": "x"}, enkaku.DecodeError),
    ({"typ": "error", "code": "X", "data": [], "msg": "x"}, enkaku.DecodeError),
    ({"typ": "error", "code": "X", "data": None, "msg": "x"}, enkaku.DecodeError),
    ({"typ": "error", "code": "X", "msg": "x"}, enkaku.CallError),
    ({"typ": "error", "code": "", "data": {}, "msg": ""}, enkaku.CallError),
    ({"typ": "error", "code": "x" * 9999, "data": {}, "msg": "x" * 99999}, enkaku.CallError),
    ({"typ": "error", "code": "OUT_OF_STOCK", "data": {}, "msg": "x"}, enkaku.CallError),
    ({"typ": "error", "code": "OUT_OF_STOCK", "data": 5, "msg": "x"}, enkaku.DecodeError),
    ({"typ": "error", "code": "OUT_OF_STOCK", "data": {"missing": 1}, "msg": "x"}, OutOfStock),
    ({"typ": "result", "val": "no number"}, enkaku.DecodeError),
    ({"typ": "result", "val": None}, enkaku.DecodeError),
    ({"typ": "result", "val": [[[[]]]]}, enkaku.DecodeError),
    ({"typ": "what"}, enkaku.InvalidMessage),
    ({"typ": "receive"}, enkaku.InvalidMessage),
]


@pytest.mark.parametrize(("payload", "kind"), UNREADABLE, ids=str)
async def test_client_unreadable_reply_ends_call_with_typed_error(
    socket_path: Path, payload: dict[str, Any], kind: type[enkaku.EnkakuError]
) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK, 1))
        peer.send(**payload, rid=(await peer.read())["rid"])
        async with asyncio.timeout(WITHIN):
            with pytest.raises(kind) as caught:
                await asking
        assert type(caught.value) is kind
        await _works(connection, peer)


async def test_client_missing_result_is_read_as_falsy_value(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        for procedure, param, expected in ((ASK, 1, 0), (ECHO, "x", ""), (NULL, None, None)):
            asking = asyncio.create_task(connection.request(procedure, param))  # type: ignore[arg-type] # of any procedure
            peer.send(typ="result", rid=(await peer.read())["rid"])
            assert await asking == expected


async def test_client_ignores_result_of_procedure_without_result(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(VOID, None))
        peer.send(typ="result", rid=(await peer.read())["rid"], val={"more": "than expected"})
        assert await asking is None


async def test_client_accepts_additional_properties_in_reply(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK, 1))
        peer.send(typ="result", rid=(await peer.read())["rid"], val=7, more=1)
        assert await asking == 7


async def test_client_accepts_properties_after_large_item(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer), connection.stream(POUR, 1) as stream:
        rid = (await peer.read())["rid"]
        head = b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"receive","rid":"%b","val":'
        text = "x" * 10_000
        for later in (b"", b',"more":1', b'},"more":{"val":2'):
            peer.send_bytes(head % rid.encode() + b'"%b"%b}}\n' % (text.encode(), later))
            assert await anext(stream) == text


async def test_client_large_item_that_is_no_json_ends_its_call(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        async with connection.stream(POUR, 1) as stream:
            rid = (await peer.read())["rid"]
            head = (
                b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"receive","rid":"%b","val":'
            )
            peer.send_bytes(head % rid.encode() + b'"%b"x}}\n' % (b"x" * 10_000))
            with pytest.raises(enkaku.DecodeError, match="JSON"):
                await anext(stream)
            assert (await peer.read())["typ"] == "abort"
        await _works(connection, peer)


async def test_client_ignores_messages_after_end_of_call(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        async with connection.stream(WATCH, 1) as stream:
            rid = (await peer.read())["rid"]
            peer.send(typ="receive", rid=rid, val=1)
            peer.send(typ="result", rid=rid, val=2)
            peer.send(typ="receive", rid=rid, val=3)
            peer.send(typ="result", rid=rid, val=4)
            peer.send(typ="error", rid=rid, code="X", data={}, msg="x")
            assert await stream.result() == 2
            assert [item async for item in stream] == [1]
            assert await stream.result() == 2
        await _works(connection, peer)


async def test_client_reply_cut_inside_line_raises_connection_lost(
    socket_path: Path,
) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK, 1))
        await peer.read()
        peer.send_bytes(b'{"header":{},"payload":{"typ":"result","rid":"1","val":1}}')
        peer.writer.close()
        async with asyncio.timeout(WITHIN):
            with pytest.raises(enkaku.ConnectionLost):
                await asking


async def test_client_reads_reply_byte_by_byte(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(ECHO, "x"))
        await peer.read()
        for byte in '{"payload":{"typ":"result","rid":"1","val":"é𝄞"}}\r\n\r\n'.encode():
            peer.send_bytes(bytes([byte]))
            await turns(2)
        assert await asking == "é𝄞"


async def test_client_silent_server_ends_by_asyncio_timeout(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.02):
                await connection.request(ASK, 1)
        assert not isinstance(caught.value, enkaku.DeadlineExceeded)
        rid = (await peer.read())["rid"]
        assert await peer.read() == {"typ": "abort", "rid": rid, "rsn": "Cancelled"}
        async with connection.stream(WATCH, 1) as stream:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await anext(stream)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await stream.result()
        await peer.read()
        assert (await peer.read())["typ"] == "abort"
        await _works(connection, peer)


async def test_client_oversized_reply_ends_only_its_call(socket_path: Path) -> None:
    limits = enkaku.Limits(message_size=1000)
    async with facing(socket_path, limits=limits) as (connection, peer):
        asking = asyncio.create_task(connection.request(ECHO, "x"))
        rid = (await peer.read())["rid"]
        peer.send(typ="result", rid=rid, val="x" * 3000)
        async with asyncio.timeout(WITHIN):
            with pytest.raises(enkaku.MessageTooLarge):
                await asking
        assert (await peer.read())["typ"] == "abort"
        await _works(connection, peer)


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        ({"typ": "error", "code": "X", "data": {}, "msg": "x"}, enkaku.CallError),
        ({"typ": "receive"}, enkaku.InvalidMessage),
        ({"typ": "receive", "val": "x" * 3000}, enkaku.MessageTooLarge),
    ],
    ids=["an error", "an unreadable line", "a line over the limit"],
)
async def test_client_receives_batched_items_before_end_of_call(
    socket_path: Path, ending: dict[str, Any], kind: type[enkaku.EnkakuError]
) -> None:
    limits = enkaku.Limits(message_size=1000)
    async with facing(socket_path, limits=limits) as (connection, peer):
        async with connection.stream(WATCH, 1) as first, connection.stream(WATCH, 2) as second:
            rids = [(await peer.read())["rid"] for _ in range(2)]
            sent = [(rids[0], 0), (rids[0], 1), (rids[1], 2), (rids[0], 3), (rids[1], 4)]
            lines = [line(typ="receive", rid=rid, val=item) for rid, item in sent]
            peer.send_bytes(b"".join([*lines, line(rid=rids[1], **ending)]))
            async with asyncio.timeout(WITHIN):
                assert [await anext(second) for _ in range(2)] == [2, 4]
                with pytest.raises(kind):
                    await anext(second)
                assert [await anext(first) for _ in range(3)] == [0, 1, 3]
        assert (first.call.items_received, second.call.items_received) == (3, 2)


async def test_client_endless_line_raises_connection_lost(socket_path: Path) -> None:
    limits = enkaku.Limits(message_size=1000)
    async with facing(socket_path, limits=limits) as (connection, peer):
        asking = asyncio.create_task(connection.request(ECHO, "x"))
        await peer.read()
        peer.send_bytes(b"x" * 100_000)
        async with asyncio.timeout(WITHIN):
            with pytest.raises(enkaku.ConnectionLost):
                await asking
        assert not connection.is_open


async def test_client_invalid_reply_leaves_other_calls_running(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = [asyncio.create_task(connection.request(ASK, number)) for number in range(100)]
        rids = [(await peer.read())["rid"] for _ in range(100)]
        peer.send(typ="result", rid=rids[50], val="no number")
        for number, rid in enumerate(rids):
            if number != 50:
                peer.send(typ="result", rid=rid, val=number)
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(outcomes.pop(50), enkaku.DecodeError)
        assert outcomes == [number for number in range(100) if number != 50]


async def test_client_rejected_opening_is_not_aborted(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        async with connection.channel(TALK, 1) as channel:
            rid = (await peer.read())["rid"]
            peer.send(typ="error", rid=rid, code="EK08", data={}, msg="Invalid protocol message")
            with pytest.raises(enkaku.CallError, match="EK08"):
                await channel.result()
        assert await peer.outlive(connection) == []


async def test_client_rejected_item_aborts_channel(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        async with connection.channel(TALK, 1) as channel:
            rid = (await peer.read())["rid"]
            await channel.send(1)
            await peer.read()
            peer.send(typ="error", rid=rid, code="EK08", data={}, msg="Invalid protocol message")
            with pytest.raises(enkaku.CallError, match="EK08"):
                await channel.result()
            assert await peer.read() == {"typ": "abort", "rid": rid}


async def test_client_immediate_hangup_raises_connection_lost(
    socket_path: Path,
) -> None:
    async with raw_server(socket_path) as server:
        async with enkaku.connect_unix(socket_path) as connection:
            (await server.accept()).writer.close()
            async with asyncio.timeout(WITHIN):
                with pytest.raises(enkaku.ConnectionLost):
                    await connection.request(ASK, 1)


@pytest.mark.slow  # the time that closing takes by default
async def test_client_block_ends_when_server_stops_reading(
    socket_path: Path,
) -> None:
    async with asyncio.timeout(WITHIN), raw_server(socket_path) as server:
        async with enkaku.connect_unix(socket_path) as connection:
            (await server.accept()).stall()
            event = enkaku.Event[str]("big", data=str)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    while True:
                        await connection.event(event, "x" * 100_000)
        assert not connection.is_open


async def test_client_connection_lost_in_block_is_raised_unchanged(socket_path: Path) -> None:
    async with raw_server(socket_path) as server:
        with pytest.raises(enkaku.ConnectionLost) as caught:
            async with enkaku.connect_unix(socket_path) as connection:
                (await server.accept()).writer.transport.abort()
                await connection.request(ASK, 1)
        assert "ask" in str(caught.value)
