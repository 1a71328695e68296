"""Clients that reset their connections: neither event loop logs anything about them."""

import asyncio
import gc
import logging
import socket
import struct
from pathlib import Path

import enkaku
import pytest
from support import WITHIN, Serving, line, until

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a reset
_BIG = "x" * 100_000
_WATCH = line(typ="stream", rid="1", prc="pour", prm=1)
_ECHOES = b"".join(line(typ="request", rid=str(i), prc="echo", prm=_BIG) for i in range(20))


async def _pour(_: int, stream: enkaku.ServerStream[str]) -> int:
    while True:
        await stream.send(_BIG)


async def _echo(text: str) -> str:
    return text


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="at once"),
        pytest.param(_ECHOES[: len(_BIG)], id="while a message is read"),
        pytest.param(_ECHOES, id="while results are sent"),
        pytest.param(_WATCH, id="while a stream is sent"),
    ],
)
@pytest.mark.parametrize("waits", [False, True])
async def test_client_resetting_causes_no_record(
    socket_path: Path,
    caplog: pytest.LogCaptureFixture,
    family: socket.AddressFamily,
    sent: bytes,
    waits: bool,
) -> None:
    caplog.set_level(logging.INFO)
    unhandled: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    handler = Serving(pour=_pour, echo=_echo)
    serving = (
        enkaku.serve_unix(handler, socket_path)
        if family == socket.AF_UNIX
        else enkaku.serve_tcp(handler)
    )
    async with serving as server:
        for _ in range(30):
            with socket.socket(family) as sock:
                sock.connect(
                    str(socket_path) if family == socket.AF_UNIX else ("127.0.0.1", server.port)
                )
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                rest = sent
                async with asyncio.timeout(WITHIN):
                    while rest:
                        try:
                            rest = rest[sock.send(rest) :]
                        except BlockingIOError:
                            break
                        await asyncio.sleep(0)
                if waits:
                    await until(lambda: len(server.connections) == 1)
                    for _ in range(20):
                        await asyncio.sleep(0)
            await until(lambda: not server.connections)
        assert [record.getMessage() for record in caplog.records] == []
    gc.collect()  # a task reports its exception when it is freed
    assert unhandled == []


async def test_client_resetting_at_a_stop_causes_no_record(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    unhandled: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    async with enkaku.serve_tcp(Serving(pour=_pour)) as server:
        clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
        for each in clients:
            each.sendall(_WATCH)
        await until(lambda: sum(len(each.calls) for each in server.connections) == 20)
        for each in clients:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            each.close()
        await server.stop(grace=0)
    gc.collect()
    assert [record.getMessage() for record in caplog.records] == []
    assert unhandled == []
