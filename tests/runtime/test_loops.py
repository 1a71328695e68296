"""``enkaku.run``: uvloop where it is installed, asyncio's own event loop where it is not."""

import asyncio
import gc
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import enkaku
import pytest
import uvloop
from enkaku.transports.sockets.transport import SocketTransport

ECHO = enkaku.Request[int, int]("echo", param=int, result=int)


class Echo(enkaku.Handler):
    async def echo(self, param: int) -> int:
        return param

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (enkaku.Route.request(ECHO, self.echo),)


async def loop_type() -> type[asyncio.AbstractEventLoop]:
    return type(asyncio.get_running_loop())


def test_run_uses_uvloop() -> None:
    assert enkaku.run(loop_type()) is uvloop.Loop


def test_run_without_uvloop_uses_asyncio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert enkaku.run(loop_type()) is asyncio.SelectorEventLoop


def test_run_raises_exception_of_program() -> None:
    async def fail() -> None:
        raise KeyError("it")

    with pytest.raises(KeyError, match="it"):
        enkaku.run(fail())


@pytest.mark.parametrize("debug", [True, False])
def test_run_debug_sets_debug_mode(debug: bool) -> None:
    async def checks() -> bool:
        return asyncio.get_running_loop().get_debug()

    assert enkaku.run(checks(), debug=debug) is debug


def test_run_first_interrupt_cancels_program() -> None:
    code = (
        "import asyncio, enkaku, os, signal\n"
        "async def main():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        await asyncio.sleep(30)\n"
        "    finally:\n"
        "        print('cleaned up')\n"
        "enkaku.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr.splitlines()[-1]) == ("cleaned up\n", "KeyboardInterrupt")


@pytest.mark.parametrize(
    ("loop", "way"),
    [(asyncio.new_event_loop, "buffer_updated"), (uvloop.new_event_loop, "data_received")],
    ids=["asyncio", "uvloop"],
)
def test_run_loop_determines_how_sockets_are_read(
    loop: Callable[[], asyncio.AbstractEventLoop],
    way: str,
    socket_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ways: list[str] = []

    def note(name: str) -> None:
        once = getattr(SocketTransport, name)

        def noting(self: SocketTransport, data: object) -> None:
            # The buffered way ends in the other one, from within.
            ways.append(name)
            once(self, data)

        monkeypatch.setattr(SocketTransport, name, noting)

    for name in ("data_received", "buffer_updated"):
        note(name)

    async def call() -> None:
        async with (
            enkaku.serve_unix(Echo(), socket_path),
            enkaku.connect_unix(socket_path) as connection,
        ):
            assert await connection.request(ECHO, 1) == 1

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(call())
    assert ways[0] == way


async def test_run_in_running_loop_raises_usage_error() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(enkaku.UsageError, match="an event loop runs in this thread already"):
            enkaku.run(loop_type())
        gc.collect()
