"""Clients that do not keep to the protocol: the server answers what can be answered, and goes on."""

import asyncio
import gc
import json
import logging
import random
import socket
import tracemalloc
from pathlib import Path
from typing import Any
from unittest import mock

import enkaku
import pytest
from enkaku.flow.fairness import CHUNK, SLICE
from support import (
    VOID,
    WATCH,
    WITHIN,
    Lifetime,
    Raw,
    Serving,
    facing,
    line,
    raw_client,
    soon,
    until,
)

INVALID = {"typ": "error", "code": "EK08", "data": {}, "msg": "Invalid protocol message"}
HEADER = '{"typ":"JWT","alg":"none"}'


async def double(number: int) -> int:
    return 2 * number


async def echo_all(number: int, channel: enkaku.ServerChannel[int, int]) -> int:
    async for item in channel:
        await channel.send(item)
    return number


def invalid(rid: str) -> dict[str, Any]:
    return {"typ": "error", "rid": rid, **{k: v for k, v in INVALID.items() if k != "typ"}}


SILENT = [
    b"",
    b"   \t",
    b"\r",
    b"null",
    b"42",
    b"{}",
    b"[]",
    b'"text"',
    b"true",
    b"{",
    b"}",
    b"nonsense",
    b"\xff\xfe\xfd",
    b"\0",
    b"GET / HTTP/1.1",
    b'{"header":{},"payload":{}}',
    b'{"header":{"typ":"JWT","alg":"none"}}',
    b'{"header":{"typ":"JWT","alg":"none"},"payload":null}',
    b'{"header":{"typ":"JWT","alg":"none"},"payload":[]}',
    b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"abort","rid":5}}',
    b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"abort","rid":"a","rsn":null}}',
    b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"event"}}',
    b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"request","rid":5,"prc":"void"}}',
    b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"result","rid":"a","val":1}}',
    b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"receive","rid":"a","val":1}}',
    b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"error","rid":"a"}}',
    b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"__proto__","rid":"a"}}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b"1" * 100_000,
    b'"' + b"\\u" * 1000,
    b'{"payload":{"typ":"request","rid":"' + b"x" * 5000 + b'","prc":"void"}}',
]


@pytest.mark.parametrize("text", SILENT, ids=lambda text: repr(text[-60:])[2:-1])
async def test_server_line_without_call_id_is_not_answered(socket_path: Path, text: bytes) -> None:
    async with enkaku.serve_unix(Serving(ask=double), socket_path), raw_client(socket_path) as peer:
        peer.send_bytes(text + b"\n")
        assert await peer.settle() == []
        peer.send(typ="request", rid="a", prc="ask", prm=4)
        assert await peer.read() == {"typ": "result", "rid": "a", "val": 8}


ANSWERED: list[dict[str, Any]] = [
    {"typ": "request", "prc": "nobody"},
    {"typ": "request", "prc": "__proto__"},
    {"typ": "request", "prc": ""},
    {"typ": "request"},
    {"typ": "request", "prc": 5},
    {"typ": "request", "prc": "watch", "prm": 1},
    {"typ": "stream", "prc": "ask", "prm": 1},
    {"typ": "channel", "prc": "watch", "prm": 1},
    {"typ": "request", "prc": "ask", "prm": "no number"},
    {"typ": "request", "prc": "ask", "prm": None},
    {"typ": "request", "prc": "ask", "prm": 1.5},
    {"typ": "request", "prc": "ask", "prm": [[]]},
    {"typ": "request", "prc": "ask", "prm": 1, "extra": 1},
    {"typ": "request", "prc": "void", "prm": 1},
    {"typ": "request", "prc": "void", "prm": None},
    {"typ": "request", "prc": "void", "jti": "x" * 129},
    {"typ": "request", "prc": "tell", "prm": 1},
    {"typ": "send", "prc": "talk"},
    {"typ": "send", "prc": 5, "val": 1},
]


@pytest.mark.parametrize("payload", ANSWERED, ids=json.dumps)
async def test_server_invalid_message_with_call_id_is_answered(
    socket_path: Path, payload: dict[str, Any]
) -> None:
    life = Lifetime()
    handler = Serving(**dict.fromkeys(("ask", "watch", "talk", "tell"), life.forever))
    async with enkaku.serve_unix(handler, socket_path), raw_client(socket_path) as peer:
        peer.send(**payload, rid="a")
        assert await peer.settle() == [invalid("a")]
    assert not life.began.is_set()


@pytest.mark.parametrize(
    "text",
    [
        '{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"request","rid":"a","prc":"void"},"x":1}',
        '{"header":{"typ":"JWT","alg":"HS256"},"payload":{"typ":"request","rid":"a","prc":"void"}}',
        '{"header":{},"payload":{"typ":"request","rid":"a","prc":"void"}}',
        '{"payload":{"typ":"request","rid":"a","prc":"void"}}',
        '{"header":null,"payload":{"typ":"request","rid":"a","prc":"void"}}',
    ],
)
async def test_server_invalid_envelope_with_call_id_is_answered(
    socket_path: Path, text: str
) -> None:
    async with enkaku.serve_unix(Serving(), socket_path), raw_client(socket_path) as peer:
        peer.send_bytes(text.encode() + b"\n")
        assert await peer.settle() == [invalid("a")]


@pytest.mark.parametrize("rid", ["", "__proto__", "constructor", "é𝄞", " ", "x" * 128, "\0", '"\\'])
async def test_server_accepts_unusual_call_ids(socket_path: Path, rid: str) -> None:
    async with enkaku.serve_unix(Serving(ask=double), socket_path), raw_client(socket_path) as peer:
        peer.send(typ="request", rid=rid, prc="ask", prm=1)
        assert await peer.read() == {"typ": "result", "rid": rid, "val": 2}


async def test_server_returns_call_id_with_lone_surrogate(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path), raw_client(socket_path) as peer:
        peer.send_bytes(
            b'{"header":%b,"payload":{"typ":"request","rid":"\\ud83d","prc":"void"}}\n'
            % HEADER.encode()
        )
        assert await peer.read() == {"typ": "result", "rid": "\ud83d"}


async def test_server_rejects_overlong_call_id(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path), raw_client(socket_path) as peer:
        peer.send(typ="request", rid="x" * 129, prc="void")
        assert await peer.settle() == [invalid("x" * 129)]


async def test_server_rejects_nested_param_of_any_depth(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(ask=double), socket_path), raw_client(socket_path) as peer:
        for depth in (100, 1000, 10_000, 100_000):
            peer.send_bytes(
                b'{"header":%b,"payload":{"typ":"request","rid":"a","prc":"ask","prm":%b}}\n'
                % (HEADER.encode(), b"[" * depth + b"]" * depth)
            )
            (reply,) = await peer.settle()
            # Beyond Limits.values, it is not decoded.
            assert (reply["rid"], reply["code"]) == ("a", "EK08" if depth < 100_000 else "EK06")


async def test_server_rejects_call_id_in_use_and_keeps_running_call(socket_path: Path) -> None:
    gate = asyncio.Event()

    async def ask(number: int) -> int:
        await gate.wait()
        return number

    async with enkaku.serve_unix(Serving(ask=ask, talk=echo_all), socket_path):
        async with raw_client(socket_path) as peer:
            peer.send(typ="request", rid="a", prc="ask", prm=1)
            peer.send(typ="request", rid="a", prc="ask", prm=2)
            peer.send(typ="stream", rid="a", prc="nobody")
            peer.send(typ="channel", rid="a", prc="talk", prm=3)
            assert await peer.settle() == [invalid("a")] * 3
            gate.set()
            assert await peer.read() == {"typ": "result", "rid": "a", "val": 1}
            peer.send(typ="request", rid="a", prc="ask", prm=4)
            assert await peer.read() == {"typ": "result", "rid": "a", "val": 4}


async def test_server_allows_same_call_id_on_two_connections(socket_path: Path) -> None:
    lives = [Lifetime(), Lifetime()]

    async def ask(number: int) -> int:
        return await lives[number].forever()

    async with enkaku.serve_unix(Serving(ask=ask), socket_path):
        async with raw_client(socket_path) as first, raw_client(socket_path) as second:
            first.send(typ="request", rid="a", prc="ask", prm=0)
            second.send(typ="request", rid="a", prc="ask", prm=1)
            await soon(*(life.began for life in lives))
            first.send(typ="abort", rid="a")
            await soon(lives[0].cancelled)
            assert await second.settle() == []
            assert not lives[1].cancelled.is_set()


async def test_server_ignores_items_for_request_or_stream(socket_path: Path) -> None:
    lives = [Lifetime(), Lifetime()]
    handler = Serving(ask=lives[0].forever, watch=lives[1].forever)
    async with enkaku.serve_unix(handler, socket_path), raw_client(socket_path) as peer:
        peer.send(typ="request", rid="a", prc="ask", prm=1)
        peer.send(typ="stream", rid="b", prc="watch", prm=1)
        await soon(*(life.began for life in lives))
        for rid in ("a", "b", "nobody"):
            peer.send(typ="send", prc="ask", rid=rid, val=1)
        assert await peer.settle() == []
        assert not any(life.ended.is_set() for life in lives)


async def test_server_oversized_message_with_readable_id_is_answered(
    socket_path: Path,
) -> None:
    limits = enkaku.Limits(message_size=2000)
    too_large = {
        "typ": "error",
        "rid": "a",
        "code": "EK06",
        "data": {},
        "msg": "Message exceeds maximum size",
    }
    async with enkaku.serve_unix(Serving(ask=double), socket_path, limits=limits):
        async with raw_client(socket_path) as peer:
            peer.send(typ="request", rid="a", prc="ask", prm="x" * 5000)
            assert await peer.settle() == [too_large]
            peer.send(typ="event", prc="tell", data="x" * 5000)
            peer.send(typ="abort", rid="a", rsn="x" * 5000)
            peer.send_bytes(b"x" * 5000 + b"\n")
            peer.send_bytes(b'{"payload":{"typ":"' + b'"' * 5000 + b"\n")
            peer.send_bytes(b'{"header":{},"payload":{"typ":"\x80","rid":"a' + b"x" * 5000 + b"\n")
            peer.send_bytes(
                b'{"header":{},"payload":{"typ":"\x80","rid":"a","x":' + b"5" * 5000 + b"\n"
            )
            assert await peer.settle() == []


async def test_server_accepts_message_of_exactly_maximum_size(socket_path: Path) -> None:
    text = line(typ="request", rid="a", prc="ask", prm=1)
    limits = enkaku.Limits(message_size=len(text) - 1)
    async with enkaku.serve_unix(Serving(ask=double), socket_path, limits=limits):
        async with raw_client(socket_path) as peer:
            peer.send_bytes(text)
            assert (await peer.read())["val"] == 2
            peer.send(typ="request", rid="a", prc="ask", prm=10)
            assert (await peer.read())["code"] == "EK06"


async def test_server_pauses_reading_while_error_replies_are_unread(
    socket_path: Path,
) -> None:
    """The server reads no further while its answers are not read, and goes on when they are."""
    async with enkaku.serve_unix(Serving(), socket_path):
        async with raw_client(socket_path, limit=1024) as peer:
            bad = line(typ="request", rid="a", prc="nobody")
            flood = asyncio.create_task(_send_all(peer, bad, 100_000))
            done, _ = await asyncio.wait([flood], timeout=0.4)
            assert not done, "the server took everything, and keeps the answers"
            async with raw_client(socket_path) as good:
                assert await good.settle() == []
            answers = 0
            async with asyncio.timeout(WITHIN * 3):
                while answers < 100_000:
                    data = await peer.reader.read(2**20)
                    assert data
                    answers += data.count(b"\n")
                await flood
            assert await peer.settle() == []


async def _send_all(peer: Raw, text: bytes, count: int) -> None:
    for _ in range(count // 100):
        peer.send_bytes(text * 100)
        await peer.writer.drain()


async def test_server_logs_flood_of_invalid_messages_once(
    socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with enkaku.serve_unix(Serving(), socket_path), raw_client(socket_path) as peer:
        peer.send_bytes(b"nonsense that is longer than 32 bytes\n" * 1000)
        assert await peer.settle() == []
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert all(len(record.getMessage()) < 1000 for record in caplog.records)


async def test_server_many_aborted_calls_leave_nothing(socket_path: Path) -> None:
    life = Lifetime()
    handler = Serving(**dict.fromkeys(("ask", "watch", "talk"), life.forever))
    async with enkaku.serve_unix(handler, socket_path), raw_client(socket_path) as peer:
        choose = random.Random(1)
        for number in range(3000):
            kind, name = choose.choice(
                [("request", "ask"), ("stream", "watch"), ("channel", "talk")]
            )
            peer.send(typ=kind, rid=str(number), prc=name, prm=1)
            peer.send(typ="abort", rid=str(number))
            if number % 100 == 0:
                await peer.settle()
        assert await peer.settle() == []
        assert life.began_count == life.ended_count
        assert len(asyncio.all_tasks()) < 10


async def test_server_without_signatures_serves_signed_message(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(ask=double), socket_path), raw_client(socket_path) as peer:
        signed = {
            "header": {"typ": "JWT", "alg": "EdDSA", "x": 1},
            "payload": {
                "iss": "did:key:z",
                "iat": 1,
                "cap": ["x"],
                "typ": "request",
                "rid": "a",
                "prc": "ask",
                "prm": 4,
            },
            "signature": "xxx",
            "data": "yyy",
        }
        peer.send_bytes(json.dumps(signed).encode() + b"\n")
        assert await peer.read() == {"typ": "result", "rid": "a", "val": 8}
        signed["payload"]["iss"] = 5  # type: ignore[index] # a dictionary of dictionaries
        peer.send_bytes(json.dumps(signed).encode() + b"\n")
        assert await peer.settle() == [invalid("a")]


async def test_server_random_bytes_leave_other_connection_unharmed(socket_path: Path) -> None:
    choose = random.Random(2)
    good_lines = [
        line(typ="request", rid="a", prc="ask", prm=1),
        line(typ="channel", rid="b", prc="talk", prm=1),
        line(typ="send", prc="talk", rid="b", val=2),
        line(typ="abort", rid="b", rsn="Close"),
        line(typ="event", prc="tell", data=1),
    ]

    async def tell(_: int) -> None:
        return None

    def mutate(text: bytes) -> bytes:
        data = bytearray(text)
        for _ in range(choose.randrange(4)):
            position = choose.randrange(len(data))
            match choose.randrange(3):
                case 0:
                    data[position] = choose.randrange(256)
                case 1:
                    del data[position:]
                    data += b"\n"
                case _:
                    data[position:position] = choose.choice(
                        [b'"', b"{", b"}", b"\\", b"\n", b"\xff", b"1e999", b"null", b"\\ud800"]
                    )
        return bytes(data) + b"\n"

    async with enkaku.serve_unix(Serving(ask=double, talk=echo_all, tell=tell), socket_path):
        async with raw_client(socket_path) as good:
            for _ in range(10):
                async with raw_client(socket_path) as peer:
                    for _ in range(200):
                        peer.send_bytes(mutate(choose.choice(good_lines)))
                    peer.send_bytes(b"\n")
                    peer.send(typ="request", rid="last", prc="void")
                    while (await peer.read()).get("rid") != "last":
                        pass
                assert await good.settle() == []


async def test_server_survives_peers_that_connect_and_disconnect(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path):
        for number in range(100):
            reader, writer = await asyncio.open_unix_connection(socket_path)
            if number % 2:
                writer.transport.abort()
            else:
                writer.close()
            del reader
        async with enkaku.connect_unix(socket_path) as connection:
            await connection.request(VOID, None)


async def test_invalid_message_begins_no_line_in_log(
    socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    forged = "x\n2026-11-29 CRITICAL all is lost \x1b[31m\u202e"
    async with enkaku.serve_unix(Serving(), socket_path), raw_client(socket_path) as peer:
        peer.send(typ=forged, rid="a", prc="void")
        assert await peer.settle() == []
    async with enkaku.serve_unix(Serving(), socket_path), raw_client(socket_path) as peer:
        peer.send(typ="request", rid="a", prc="void", **{forged: 1})
        assert (await peer.read())["code"] == "EK08"
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 2
    for text in warnings:
        assert text.isprintable()
        assert "CRITICAL" in text


async def test_error_of_server_begins_no_line_in_log(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(VOID, None))
        rid = (await peer.read())["rid"]
        peer.send(typ="error", rid=rid, code="X\n", msg="a\nCRITICAL b\x1b[31m", data={})
        with pytest.raises(enkaku.CallError) as caught:
            await asking
    assert caught.value.message == "a\nCRITICAL b\x1b[31m"
    assert str(caught.value).isprintable()


async def test_unfinished_message_is_freed_with_its_connection(socket_path: Path) -> None:
    size, count = 1024 * 1024, 8
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            for _ in range(2):
                before, _ = tracemalloc.get_traced_memory()
                for _ in range(count):
                    async with raw_client(socket_path) as peer:
                        peer.send_bytes(b"x" * size)
                        await peer.writer.drain()
                await until(lambda: not server.connections)
                after, _ = tracemalloc.get_traced_memory()
            assert after - before < size
        finally:
            tracemalloc.stop()
            gc.enable()


async def test_error_of_failed_write_keeps_no_traceback(socket_path: Path) -> None:
    """Its frames lead back to the transport that keeps the error, and only a garbage collection would free them."""
    began, closed, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def watch(_: int, stream: enkaku.ServerStream[int]) -> str:
        began.set()
        await closed.wait()
        try:
            while True:
                await stream.send(1)
        finally:
            ended.set()

    class Losses(enkaku.Observer):
        def connection_lost(self, connection: enkaku.ConnectionInfo, reason: str) -> None:
            reasons.append(reason)

    reasons: list[str] = []
    kept: list[OSError] = []
    serving, observers = Serving(watch=watch), [Losses()]
    async with enkaku.serve_unix(serving, socket_path, observers=observers) as server:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(socket_path))
            peer.send(line(typ="stream", rid="a", prc="watch", prm=1))
            await soon(began)
            gc.collect()
            gc.disable()
        closed.set()  # the handler writes before the loop learns that the peer has gone
        try:
            await soon(ended)
            await until(lambda: not server.connections)
            kept += [each for each in gc.get_objects() if isinstance(each, BrokenPipeError)]
        finally:
            gc.enable()
    assert "Broken pipe" in reasons[0]
    assert all(each.__traceback__ is None for each in kept)


@pytest.mark.parametrize("rubbish", [b"1" * 40 + b"\n", b'{"payload":{"typ":"request","rid":1}}\n'])
async def test_flood_of_invalid_lines_lets_other_clients_through(
    socket_path: Path, rubbish: bytes
) -> None:
    """Between two replies to another client, no more messages of the flood are handled than fit two slices."""
    invalid = 0

    class Counting(enkaku.Observer):
        def invalid_message(self, connection: enkaku.ConnectionInfo, problem: str) -> None:
            nonlocal invalid
            invalid += 1
            clock.passed += 0.0001  # as if each took so long

    clock = _Clock()
    flood = rubbish * (512 * 1024 // len(rubbish))
    with mock.patch("enkaku.flow.fairness.monotonic", clock):
        limits = enkaku.Limits(invalid=1_000_000)
        async with enkaku.serve_unix(Serving(), socket_path, observers=[Counting()], limits=limits):
            async with enkaku.connect_unix(socket_path) as other, raw_client(socket_path) as peer:
                await other.request(VOID, None)
                peer.send_bytes(flood)
                most, before = 0, 0
                async with asyncio.timeout(WITHIN):
                    while invalid < 10_000:
                        await other.request(VOID, None)
                        most, before = max(most, invalid - before), invalid
    slice_of_messages = SLICE / 0.0001 + CHUNK
    assert 0 < most <= 6 * slice_of_messages


class _Clock:
    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return self.passed


async def test_messages_that_wait_for_slice_precede_end(socket_path: Path) -> None:
    heard: list[int] = []

    async def tell(number: int) -> None:
        heard.append(number)

    count = 5_000
    clock = _Clock()

    def tick() -> float:
        clock.passed += 0.003
        return clock.passed

    with mock.patch("enkaku.flow.fairness.monotonic", tick):
        async with enkaku.serve_unix(Serving(tell=tell), socket_path) as server:
            async with raw_client(socket_path) as peer:
                peer.send_bytes(
                    b"".join(line(typ="event", prc="tell", data=n) for n in range(count))
                )
                await peer.writer.drain()
            await until(lambda: len(heard) == count)
            await until(lambda: not server.connections)
    assert heard == list(range(count))


async def test_items_that_wait_for_slice_precede_result(socket_path: Path) -> None:
    clock = _Clock()

    def tick() -> float:
        clock.passed += 0.003
        return clock.passed

    with mock.patch("enkaku.flow.fairness.monotonic", tick):
        async with facing(socket_path) as (connection, peer):
            async with connection.stream(WATCH, 1) as stream:
                rid = (await peer.read())["rid"]
                items = [line(typ="receive", rid=rid, val=n) for n in range(1000)]
                peer.send_bytes(b"".join(items) + line(typ="result", rid=rid, val=7))
                peer.writer.write_eof()
                async with asyncio.timeout(WITHIN):
                    assert [item async for item in stream] == list(range(1000))
                    assert await stream.result() == 7
