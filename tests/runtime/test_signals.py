"""SIGINT and SIGTERM, in processes of their own."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import enkaku
import pytest
from support import ASK, VOID, WITHIN

PROGRAM = """
import asyncio, signal, sys
import enkaku
from support import Serving

MODE, PATH = sys.argv[1:]

async def ask(number):
    print("began", flush=True)
    try:
        async with enkaku.current_call().until_closed():
            await asyncio.Event().wait()
        if number == 2:
            await asyncio.Event().wait()
    finally:
        print("ended", flush=True)
    return number

async def main():
    async with enkaku.serve_unix(Serving(ask=ask), PATH) as server:
        loop = asyncio.get_running_loop()
        # Said when the signals are waited for, which is a turn of the loop later.
        loop.call_soon(loop.call_soon, lambda: print("ready", flush=True))
        if MODE == "two":
            async with enkaku.serve_unix(Serving(ask=ask), PATH + "2") as other:
                loop.call_soon(loop.call_soon, lambda: print("both", flush=True))
                await asyncio.gather(server.serve_forever(), other.serve_forever())
        else:
            await server.serve_forever(grace=30)
    print("stopped", flush=True)
    if MODE == "after":
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        await asyncio.Event().wait()

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""


class Running:
    def __init__(self, process: Process) -> None:
        self.process = process

    async def says(self, text: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(WITHIN * 2):
            assert (await self.process.stdout.readline()).decode().strip() == text

    async def ends(self, *rest: str) -> None:
        """The process prints these lines, and nothing on its error output, and succeeds."""
        async with asyncio.timeout(WITHIN):
            output, errors = await self.process.communicate()
        assert output.decode().split() == list(rest)
        assert errors.decode() == ""
        assert self.process.returncode == 0


@asynccontextmanager
async def running(path: Path, mode: str = "plain") -> AsyncGenerator[Running, None]:
    here = str(Path(__file__).parent.parent)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", PROGRAM, mode, str(path)),
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "PYTHONPATH": here},
    )
    try:
        program = Running(process)
        await program.says("ready")
        yield program
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_sigterm_stops_idle_server(socket_path: Path) -> None:
    async with running(socket_path) as program:
        program.process.send_signal(signal.SIGTERM)
        await program.ends("stopped")
    assert not socket_path.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_lets_running_handlers_finish(
    socket_path: Path, number: signal.Signals
) -> None:
    async with running(socket_path) as program:
        async with enkaku.connect_unix(socket_path) as connection:
            asking = asyncio.create_task(connection.request(ASK, 1))
            await program.says("began")
            program.process.send_signal(number)
            async with asyncio.timeout(WITHIN):
                assert await asking == 1
        await program.ends("ended", "stopped")


async def test_second_signal_ends_server_at_once(socket_path: Path) -> None:
    async with running(socket_path) as program:
        async with enkaku.connect_unix(socket_path) as connection:
            asking = asyncio.create_task(connection.request(ASK, 2))
            await program.says("began")
            program.process.send_signal(signal.SIGTERM)
            with pytest.raises(enkaku.CallError, match="EKP01"):  # the first has arrived
                while True:
                    await connection.request(VOID, None)
            program.process.send_signal(signal.SIGTERM)
            with pytest.raises(enkaku.TransportError):
                await asyncio.wait_for(asking, WITHIN)
        await program.ends("ended", "stopped")


async def test_sigint_stops_every_idle_server_of_event_loop(socket_path: Path) -> None:
    async with running(socket_path, "two") as program:
        await program.says("both")
        program.process.send_signal(signal.SIGINT)
        await program.ends("stopped")
    assert not socket_path.exists()
    assert not Path(f"{socket_path}2").exists()


async def test_sigint_after_serving_interrupts_program(socket_path: Path) -> None:
    async with running(socket_path, "after") as program:
        program.process.send_signal(signal.SIGINT)
        await program.says("stopped")
        program.process.send_signal(signal.SIGINT)
        await program.ends("interrupted")
