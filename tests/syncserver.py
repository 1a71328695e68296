"""A server in a process of its own, for the tests of synchronous clients."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import enkaku
from support import ECHO, WITHIN, OutOfStock, Serving, Shortage

HERE = Path(__file__)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(HERE.parent), "PYTHONWARNINGS": "error"}
"""What programs need that import the modules of the tests."""
KINDS = ["unix", "tcp", "http", "ws", "stdio"]
"""The transports at which the server can be reached."""


@contextmanager
def running_server() -> Generator[dict[str, str], None, None]:
    """Run the server in a process of its own; yield its addresses, by kind."""
    directory = tempfile.mkdtemp(prefix="enk-")
    command = [sys.executable, str(HERE), f"{directory}/s"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        try:
            assert process.stdout is not None
            found = [*process.stdout.readline().split(), f"stdio:{sys.executable} {HERE} stdio"]
            yield dict(zip(KINDS, found, strict=True))
        finally:
            process.terminate()
            assert process.wait(WITHIN) == 0
    shutil.rmtree(directory)


class Client:
    def __init__(self, connection: enkaku.Connection) -> None:
        self.connection = connection


class Running:
    count = 0  # of handlers that wait


async def ask(number: int) -> int:
    """Return the number; 0 is how many handlers wait, 13 is a declared error, and a negative number waits.

    77 is the length of what the client's handler returns.
    """
    if number == 77:
        client = enkaku.current_call().connection.client(Client)
        return len(await client.connection.request(ECHO, "called"))
    if number == 0:
        return Running.count
    if number == 13:
        raise OutOfStock("none left", Shortage(missing=number))
    if number < 0:
        await wait()
    return number


async def wait() -> None:
    """Wait until the handler is cancelled."""
    Running.count += 1
    try:
        await asyncio.Event().wait()
    finally:
        Running.count -= 1


async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
    """Send so many items; then, after a negative number, wait."""
    for item in range(abs(number)):
        await stream.send(item)
    if number < 0:
        async with stream.until_closed():
            await wait()
    return number


async def talk(number: int, channel: enkaku.ServerChannel[int, int]) -> int:
    """Send back twice each item; a negative number waits."""
    if number < 0:
        await wait()
    count = 0
    async for item in channel:
        await channel.send(2 * item)
        count += 1
    return count


async def echo(text: str) -> str:
    return text


async def tell(_: int) -> None:
    return None


async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
    for item in range(number):
        await stream.send(str(item))
    return number


async def fill(number: int, channel: enkaku.ServerChannel[str, str]) -> int:
    await wait()
    return number


def serving() -> Serving:
    return Serving(ask=ask, watch=watch, talk=talk, tell=tell, echo=echo, pour=pour, fill=fill)


async def main(path: str) -> None:
    if path == "stdio":
        async with enkaku.serve_stdio(serving()) as server:
            await server.serve_forever()
        return
    async with (
        enkaku.serve_unix(serving(), path) as unix,
        enkaku.serve_tcp(serving()) as tcp,
        enkaku.serve_http(serving()) as http,
    ):
        (url,) = http.addresses
        found = (*unix.addresses, *tcp.addresses, url, url.replace("http", "ws"))
        print(*found, flush=True)  # noqa: T201 # for the tests
        await unix.serve_forever()


if __name__ == "__main__":
    enkaku.run(main(sys.argv[1]))
