"""A server without a free file descriptor: accepting pauses, existing connections are served, and the log stays short."""

import asyncio
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import enkaku
import pytest
from support import ECHO, WITHIN

_SERVER = """
import asyncio, logging, resource, sys
import enkaku, uvloop

ECHO = enkaku.Request("echo", param=str, result=str)

class Serving(enkaku.Handler):
    def __routes__(self):
        return (enkaku.Route.request(ECHO, self.echo),)
    async def echo(self, text):
        return text

async def main():
    way, path = sys.argv[2:]
    serving = enkaku.serve_unix(Serving(), path) if way == "unix" else enkaku.serve_tcp(Serving())
    async with serving as server:
        print(server.addresses[0], flush=True)
        await server.serve_forever()

logging.basicConfig(level=logging.INFO, format="record: %(name)s %(message)s", stream=sys.stderr)
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
loop = uvloop.new_event_loop if sys.argv[1] == "uvloop" else asyncio.new_event_loop
with asyncio.Runner(loop_factory=loop) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("way", ["unix", "tcp"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_server_without_descriptors_serves_and_recovers(
    socket_path: Path, tmp_path: Path, loop: str, way: str
) -> None:
    errors = tmp_path / "errors"
    with errors.open("w") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _SERVER, loop, way, str(socket_path)),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=stderr,
        )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(3 * WITHIN):
            address = (await process.stdout.readline()).decode().strip()
            port = int(address.rpartition(":")[2]) if way == "tcp" else 0
            async with _connect(socket_path, port) as connection:
                assert await connection.request(ECHO, "before") == "before"
                flood = [_open(socket_path, port) for _ in range(100)]
                while "accepts no connection" not in errors.read_text():
                    await connection.request(ECHO, "filling")
                for number in range(500):
                    assert await connection.request(ECHO, str(number)) == str(number)
                for each in flood:
                    each.close()
                async with _connect(socket_path, port) as another:
                    assert await another.request(ECHO, "after") == "after"
        process.terminate()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
    records = errors.read_text().splitlines()
    assert 1 <= len(records) <= 10
    assert all("enkaku.server" in each and "accepts no connection" in each for each in records)


def _connect(path: Path, port: int) -> AbstractAsyncContextManager[enkaku.Connection]:
    return enkaku.connect_tcp("127.0.0.1", port) if port else enkaku.connect_unix(path)


def _open(path: Path, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET if port else socket.AF_UNIX)
    sock.connect(("127.0.0.1", port) if port else str(path))
    return sock
