"""The whole dashboard in one go: a server with its web page, and a client, over a Unix socket and then over TCP.

Run it::

    python examples/dashboard/demo.py
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

HERE = Path(__file__).parent
PATIENCE = 15.0  # seconds that a process may take to start, or to end


class DemoFailed(Exception):
    """A part of the demo went wrong; the text says which, and what its log says."""

    def __init__(self, reason: str, log: Path | None = None) -> None:
        super().__init__(reason if log is None else f"{reason}:\n{log.read_text()}")


async def main(seconds: float) -> int:
    """Show the dashboard in a terminal, twice, and as a page meanwhile; return the exit code."""
    interrupted = watch_signals()
    with tempfile.TemporaryDirectory(prefix="enkaku-") as folder:
        options = ("--unix", f"{folder}/demo.sock", "--tcp", "127.0.0.1:0", "--http", "127.0.0.1:0")
        async with running_server(*options, log=Path(folder, "server.log")) as addresses:
            *sockets, page = addresses
            print(f"\nIn a browser, for {len(sockets) * seconds:g} seconds: {page}", flush=True)
            for address in sockets:
                if interrupted.is_set():
                    return 130
                code = await run_client(address, "--seconds", f"{seconds:g}")
                if code and not interrupted.is_set():
                    raise DemoFailed(f"the client ended with exit code {code}")
    return 130 if interrupted.is_set() else 0


def watch_signals() -> asyncio.Event:
    """Leave nothing behind, whatever ends the demo.

    Returns:
        What Ctrl-C sets: the terminal tells the client as well, which then ends by itself.
    """
    interrupted = asyncio.Event()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    loop.add_signal_handler(signal.SIGINT, interrupted.set)
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, lambda: task and task.cancel())
    return interrupted


@asynccontextmanager
async def running_server(*options: str, log: Path) -> AsyncGenerator[list[str], None]:
    """Run a server, and stop it with the block; give its addresses."""
    announce("server.py", *options)
    with log.open("w") as file:
        server = await asyncio.create_subprocess_exec(
            sys.executable,
            HERE / "server.py",
            *options,
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
            process_group=0,  # Ctrl-C is for the client
        )
    try:
        yield await read_addresses(server, log)
    finally:
        code = await end(server)
    if code:
        raise DemoFailed(f"the server ended with exit code {code}", log)


async def read_addresses(server: asyncio.subprocess.Process, log: Path) -> list[str]:
    """Wait until the server says where it listens, which is when it does."""
    if server.stdout is None:
        raise DemoFailed("the server's output is not to be had")
    try:
        async with asyncio.timeout(PATIENCE):
            line = await server.stdout.readline()
    except TimeoutError:
        raise DemoFailed("the server does not say where it listens", log) from None
    if not line:
        raise DemoFailed("the server did not start", log)
    return line.decode().split()[2:]


async def run_client(*options: str) -> int:
    """Run a client in this terminal to its end, and return its exit code."""
    announce("client.py", *options)
    client = await asyncio.create_subprocess_exec(sys.executable, HERE / "client.py", *options)
    try:
        await client.wait()
    finally:
        code = await end(client)
    return code


async def end(process: asyncio.subprocess.Process) -> int:
    """End a process, if it has not ended: gracefully, by force if that takes too long."""
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
    return await process.wait()


def announce(script: str, *options: str) -> None:
    """Show the command, as one would type it."""
    print(f"\n$ python {script}", *options, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A server and a client, over both sockets.")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each part takes")
    try:
        sys.exit(asyncio.run(main(parser.parse_args().seconds)))
    except DemoFailed as error:
        sys.exit(f"{error}")
    except asyncio.CancelledError:
        sys.exit(143)  # as a shell tells SIGTERM
