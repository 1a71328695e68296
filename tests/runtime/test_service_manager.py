"""systemd as the service manager: what a server process sends to its socket."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import enkaku
import pytest
from enkaku.server.service_manager import ServiceManager
from support import WITHIN, Serving

PROGRAM = """
import asyncio, os, subprocess, sys, time
import enkaku
from support import Serving

async def main(path, mode):
    async with enkaku.serve_unix(Serving(), path) as server:
        if mode == "late":
            server.health.set(serving=False, reason="warms\\nup")
            asyncio.get_running_loop().call_later(0, lambda: server.health.set(serving=True))
        if mode == "blocked":
            asyncio.get_running_loop().call_later(0.3, lambda: time.sleep(60))
        if mode == "child":
            asyncio.get_running_loop().call_later(0, child)
        if mode == "none":
            return
        await server.serve_forever()

def child():
    print(subprocess.run(["env"], capture_output=True, text=True).stdout, end="", flush=True)
    os.kill(os.getpid(), 15)

enkaku.run(main(*sys.argv[1:]))
"""


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, socket_path: Path) -> Generator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        name = f"{socket_path}.notify"
        receiver.bind(f"\0{name}" if request.param == "abstract" else name)
        receiver.settimeout(WITHIN)
        yield receiver


def address(receiver: socket.socket) -> str:
    name: str | bytes = receiver.getsockname()
    return f"@{name[1:].decode()}" if isinstance(name, bytes) else name


@contextmanager
def program(
    path: Path, mode: str, receiver: socket.socket, **variables: str
) -> Generator[subprocess.Popen[str]]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "NOTIFY_SOCKET": address(receiver),
        **variables,
    }
    command = [sys.executable, "-c", PROGRAM, str(path), mode]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(receiver: socket.socket) -> list[str]:
    return receiver.recv(4096).decode().split("\n")


def test_server_notifies_ready_and_stopping(manager: socket.socket, socket_path: Path) -> None:
    with program(socket_path, "plain", manager) as process:
        assert lines(manager) == ["STATUS=serving", "READY=1"]
        process.send_signal(signal.SIGTERM)
        assert lines(manager) == ["STATUS=stopping"]
        assert lines(manager) == ["STOPPING=1"]
        assert process.wait(WITHIN) == 0
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(1)


def test_server_is_ready_once_it_serves(manager: socket.socket, socket_path: Path) -> None:
    with program(socket_path, "late", manager):
        assert lines(manager) == [r"STATUS=not serving: warms\u000aup"]
        assert lines(manager) == ["STATUS=serving", "READY=1"]


def test_watchdog_is_fed_until_the_loop_is_blocked(
    manager: socket.socket, socket_path: Path
) -> None:
    with program(socket_path, "blocked", manager, WATCHDOG_USEC="100000"):
        assert lines(manager) == ["STATUS=serving", "READY=1"]
        for _ in range(4):  # every 50 ms
            assert lines(manager) == ["WATCHDOG=1"]
        manager.settimeout(2)
        with pytest.raises(TimeoutError):
            for _ in range(20):
                lines(manager)


def test_watchdog_of_another_process_is_not_fed(manager: socket.socket, socket_path: Path) -> None:
    watched = {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    with program(socket_path, "plain", manager, **watched) as process:
        assert lines(manager) == ["STATUS=serving", "READY=1"]
        process.send_signal(signal.SIGTERM)
        assert lines(manager) == ["STATUS=stopping"]


def test_child_process_inherits_no_variables(manager: socket.socket, socket_path: Path) -> None:
    with program(socket_path, "child", manager, WATCHDOG_USEC="1000000") as process:
        output, _ = process.communicate(timeout=WITHIN)
    assert "PATH=" in output
    assert "NOTIFY_SOCKET" not in output
    assert "WATCHDOG" not in output


def test_server_without_serve_forever_notifies_nobody(
    manager: socket.socket, socket_path: Path
) -> None:
    with program(socket_path, "none", manager) as process:
        assert process.wait(WITHIN * 2) == 0
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(1)


@pytest.mark.parametrize("where", ["/nonexistent/socket", "@nobody listens", "/" + "x" * 300])
def test_notification_that_cannot_be_sent_is_logged_once(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    manager = ServiceManager(where, None)
    manager.send("READY=1")
    manager.send("READY=1")
    assert [each.levelname for each in caplog.records if each.levelname == "WARNING"] == ["WARNING"]


def test_notification_to_full_socket_does_not_block(socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(socket_path))
        manager = ServiceManager(str(socket_path), None)
        for _ in range(2000):  # far more than the kernel keeps
            manager.send("WATCHDOG=1")


@pytest.mark.parametrize("where", ["", "vsock:2:1234", "relative"])
async def test_server_ignores_other_addresses(
    where: str, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", where)
    monkeypatch.setenv("WATCHDOG_USEC", "9" * 5000)
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        server.abort()
        await server.serve_forever()
    assert "NOTIFY_SOCKET" not in os.environ
