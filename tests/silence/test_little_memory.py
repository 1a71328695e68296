"""A server with little memory and hostile clients: it survives, and serves others."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import enkaku
import pytest
from silence.limited_server import ECHO
from silence.process import running
from silence.timing import pass_time
from support import LONG, line

HEADROOM = 400 * 2**20
CONNECTIONS = 30
ATTACK = 3.0  # seconds
_PIECE = b"x" * 65536


def half_lines() -> Iterator[bytes]:
    """One message of nearly the size limit, without its end."""
    yield line(typ="request", rid="1", prc="hold", prm="").removesuffix(b'"}}\n')
    for _ in range(9 * 16):
        yield _PIECE


def many_values() -> Iterator[bytes]:
    """Calls that are never answered, each with as many values as a message may have."""
    values = [{"a": number} for number in range(5_000)]
    for rid in count():
        yield line(typ="request", rid=str(rid), prc="hold", prm=values)


def held_calls() -> Iterator[bytes]:
    """Calls that are never answered, with a string each."""
    for rid in count():
        yield line(typ="request", rid=str(rid), prc="hold", prm="x" * 5_000)


async def attack(path: Path, lines: Callable[[], Iterator[bytes]]) -> None:
    """Send as fast as the server reads, and read nothing; connect again where the server closes the connection."""
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_unix_connection(path, limit=1024)
            try:
                for each in lines():
                    writer.write(each)
                    await writer.drain()
                await writer.wait_closed()
            finally:
                writer.transport.abort()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="others do not bound the address space")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_server_with_little_memory_survives_hostile_clients(
    socket_path: Path, loop: str
) -> None:
    arguments = (loop, str(socket_path), str(HEADROOM))
    async with running("silence.limited_server", *arguments) as child, asyncio.timeout(2 * LONG):
        assert await child.says() == "ready"
        kinds = (half_lines, many_values, held_calls)
        attacks = [
            asyncio.create_task(attack(socket_path, kinds[number % 3]))
            for number in range(CONNECTIONS)
        ]
        async with enkaku.connect_unix(socket_path) as connection:
            await pass_time(ATTACK)
            assert await connection.request(ECHO, "small", timeout=LONG) == "small"
        for each in attacks:
            assert not each.done()
            each.cancel()
        await asyncio.wait(attacks)
        async with enkaku.connect_unix(socket_path) as connection:
            for text in ("a", "a" * 1_000_000):
                assert await connection.request(ECHO, text, timeout=LONG) == text
        child.terminate()
        assert await child.ended() == 0
