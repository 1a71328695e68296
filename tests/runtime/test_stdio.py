"""Serving over stdin and stdout, and the process that a client starts: with real processes."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku.transports.stdio.pipes import Pipes
from enkaku.transports.stdio.transport import StdioTransport
from support import (
    DESCRIPTORS,
    ECHO,
    FILL,
    POUR,
    TELL,
    WITHIN,
    Lifetime,
    Serving,
    line,
    soon,
    until,
)

TESTS = Path(__file__).parent.parent
SERVER = """
import asyncio, os, subprocess, sys
import enkaku
from support import Serving, turns

async def echo(text):
    if text == "print":
        print("printed")
        os.write(1, b"written\\n")
        subprocess.run(["echo", "of a child"], check=True)
        try:
            return input()
        except (EOFError, RuntimeError):  # which it raises without stderr
            return "no input"
    if text == "sleep":
        await turns()
    if text == "for ever":
        await asyncio.Event().wait()
    if text.startswith("exit"):
        os._exit(int(text[4:]))
    if text.startswith("kill"):
        os.kill(os.getpid(), int(text[4:]))
    return text

async def tell(number):
    await turns()
    print("told", number)

async def pour(size, stream):
    for _ in range(50):
        await stream.send("x" * size)
    return size

async def fill(size, channel):
    total = 0
    async for item in channel:
        total += len(item)
        await channel.send(item)
    return total

async def main():
    handler = Serving(echo=echo, tell=tell, pour=pour, fill=fill)
    async with enkaku.serve_stdio(handler) as server:
        await server.serve_forever()
    print("left")

enkaku.run(main())
"""

CLIENT = """
import asyncio, os, signal, sys
import enkaku
from support import VOID

async def main():
    async with enkaku.connect_process(sys.argv[1:]) as connection:
        await connection.request(VOID, None)
        child = os.fork()
        if not child:
            os.close(1)
            signal.pause()  # until it is killed
        with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:
            print(child, *(set(file.read().split()) - {str(child)}), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    before = children()
    yield
    assert children() == before


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    """Checked around the event loop, which has descriptors of its own."""
    before = descriptors()
    yield
    assert descriptors() <= before


@pytest.fixture
def server(tmp_path: Path) -> list[str]:
    """The command of a server."""
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    return [sys.executable, str(script)]


def children() -> list[str]:
    """The processes that this one has started, zombies included."""
    task = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return task.read_text().split() if task.exists() else []


def descriptors() -> int:
    """How many pipes are open, and descriptors of processes."""
    if not DESCRIPTORS.exists():
        return 0
    count = 0
    for path in DESCRIPTORS.iterdir():
        try:
            count += str(path.readlink()).startswith(("pipe:", "anon_inode:[pidfd]"))
        except OSError:
            continue
    return count


def environment() -> Mapping[str, str]:
    return {**os.environ, "PYTHONPATH": str(TESTS)}


def process(argv: list[str], **options: Any) -> Any:
    return enkaku.connect_process(argv, **{"env": environment(), **options})


def shell(script: str, **options: Any) -> Any:
    return process(["sh", "-c", script], **options)


def answers(
    server: list[str], given: bytes | None = None, **options: Any
) -> "subprocess.CompletedProcess[bytes]":
    """Run a server as any other program does."""
    return subprocess.run(
        server,
        input=given,
        env=environment(),
        check=False,
        timeout=WITHIN * 3,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def replies(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(each)["payload"] for each in output.splitlines()]


def is_gone(pid: int) -> bool:
    """Return whether a process has ended; a zombie, which waits for its parent, has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


async def pid_in(path: Path) -> int:
    await until(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


async def test_connect_process_calls(server: list[str]) -> None:
    async with process(server) as connection:
        assert connection.peer == f"process:{sys.executable}"
        assert connection.info.credentials is None
        assert await connection.request(ECHO, "é\n") == "é\n"
        async with connection.stream(POUR, 100_000) as stream:
            assert [len(item) async for item in stream] == [100_000] * 50
        async with connection.channel(FILL, 0) as channel:
            for _ in range(50):
                await channel.send("y" * 100_000)
                assert len(await anext(channel)) == 100_000
            await channel.end()
            assert await channel.result() == 5_000_000


async def test_server_prints_go_to_stderr(server: list[str], tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("w+") as stderr:
        async with process(server, stderr=stderr) as connection:
            assert await connection.request(ECHO, "print") == "no input"
            assert await connection.request(ECHO, "again") == "again"
            await connection.event(TELL, 7)
        stderr.seek(0)
        printed = stderr.read().splitlines()
    assert sorted(printed) == ["of a child", "printed", "told 7", "written"]


async def test_connect_process_passes_cwd_and_env(tmp_path: Path) -> None:
    script = 'pwd > seen; echo "$GREETING" >> seen; cat > /dev/null'
    async with shell(script, cwd=tmp_path, env={"GREETING": "hi", "PATH": os.environ["PATH"]}):
        await until((tmp_path / "seen").exists)
    assert (tmp_path / "seen").read_text().splitlines() == [str(tmp_path), "hi"]


def test_server_answers_all_of_its_input(server: list[str]) -> None:
    count = 3000
    lines = [line(typ="request", rid=str(n), prc="echo", prm=str(n)) for n in range(count)]
    slow = line(typ="request", rid="slow", prc="echo", prm="sleep")
    done = answers(server, b"".join([*lines, slow]).rstrip(b"\n"))
    *payloads, last = done.stdout.splitlines()
    assert last == b"left"  # what is printed after the block goes to stdout again
    results = {each["rid"]: each["val"] for each in replies(b"\n".join(payloads))}
    assert results == {**{str(n): str(n) for n in range(count)}, "slow": "sleep"}
    assert (done.returncode, done.stderr) == (0, b"")


def test_server_reads_and_writes_files(server: list[str], tmp_path: Path) -> None:
    given, taken = tmp_path / "in", tmp_path / "out"
    given.write_bytes(line(typ="request", rid="1", prc="echo", prm="x" * 1_000_000) * 3)
    with given.open("rb") as stdin, taken.open("wb") as stdout:
        assert answers(server, stdin=stdin, stdout=stdout).returncode == 0
    *payloads, last = taken.read_bytes().splitlines()
    assert [len(each["val"]) for each in replies(b"\n".join(payloads))] == [1_000_000] * 3
    assert last == b"left"


def test_server_with_empty_input_stops(server: list[str]) -> None:
    done = answers(server, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"left\n", b"")


def test_server_without_stdin_raises(server: list[str]) -> None:
    path = Path(server[1])
    path.write_text(SERVER.replace("enkaku.run(", "asyncio.run("))  # uvloop aborts the process
    done = answers(["sh", "-c", '"$@" <&-', "sh", *server])
    assert b"TransportError: stdio: [Errno 9]" in done.stderr


def test_serve_stdio_twice_raises_and_restores_pipes() -> None:
    script = """
import asyncio, enkaku, os
from support import Serving

async def main():
    async with enkaku.serve_stdio(Serving()):
        try:
            async with enkaku.serve_stdio(Serving()):
                pass
        except enkaku.UsageError:
            pass
    async with enkaku.serve_stdio(Serving()) as server:
        await server.serve_forever()
    print("blocking", os.get_blocking(0), os.get_blocking(1))

asyncio.run(main())
"""
    done = answers([sys.executable, "-c", script], line(typ="request", rid="1", prc="void"))
    *payloads, last = done.stdout.splitlines()
    assert replies(b"\n".join(payloads)) == [{"typ": "result", "rid": "1"}]
    assert (last, done.stderr) == (b"blocking True True", b"")


def test_server_without_stderr_serves(server: list[str]) -> None:
    path = Path(server[1])
    path.write_text(SERVER.replace("enkaku.run(", "asyncio.run("))  # uvloop aborts the process
    given = line(typ="request", rid="1", prc="echo", prm="print")
    done = answers(["sh", "-c", '"$@" 2>&-', "sh", *server], given)
    *payloads, _ = done.stdout.splitlines()
    assert replies(b"\n".join(payloads)) == [{"typ": "result", "rid": "1", "val": "no input"}]


def test_server_at_terminal_answers(server: list[str]) -> None:
    own, terminal = os.openpty()
    with subprocess.Popen(server, stdin=terminal, stdout=terminal, env=environment()) as running:
        os.close(terminal)
        os.write(own, line(typ="request", rid="1", prc="echo", prm="x"))
        os.write(own, b"\x04")  # the end of the input
        seen = b""
        while b"left" not in seen:
            seen += os.read(own, 1000)
        assert running.wait(timeout=WITHIN) == 0
    os.close(own)
    assert json.loads(seen.splitlines()[-2])["payload"] == {"typ": "result", "rid": "1", "val": "x"}


async def test_server_at_socket_answers(server: list[str]) -> None:
    own, given = socket.socketpair()
    with given:
        running = await asyncio.create_subprocess_exec(
            *server, stdin=given, stdout=given, env=environment()
        )
    async with enkaku.connect_socket(own) as connection:
        assert await connection.request(ECHO, "x") == "x"
    assert await asyncio.wait_for(running.wait(), WITHIN) == 0


@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="reads /proc")
async def test_forked_child_of_client_does_not_keep_server(server: list[str]) -> None:
    killed = await asyncio.to_thread(
        answers, [sys.executable, "-c", CLIENT, *server], stdin=subprocess.DEVNULL, stderr=None
    )
    child, process_id = map(int, killed.stdout.split())
    try:
        await until(lambda: is_gone(process_id))
        assert not is_gone(child)
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["/no/such/program"], "process:/no/such/program: .*No such file or directory"),
        (["/etc/passwd"], "process:/etc/passwd: .*Permission denied"),
    ],
)
async def test_program_that_cannot_be_started_raises(argv: list[str], reason: str) -> None:
    for options in ({}, {"reconnect": enkaku.Reconnect()}):
        with pytest.raises(enkaku.ConnectFailed, match=reason):
            async with process(argv, **options):
                pass


async def test_missing_working_directory_raises() -> None:
    with pytest.raises(enkaku.ConnectFailed, match="No such file or directory: '/no/such'"):
        async with process(["cat"], cwd="/no/such"):
            pass


@pytest.mark.parametrize(
    ("argv", "options", "reason"),
    [
        ("cat", {}, "argv must be a list; got 'cat'"),
        ([], {}, "argv must have at least"),
        (["cat", 1], {}, "argv must be a list of strings and paths; got 1 in it"),
        (["cat\0"], {}, "not a valid command: embedded null byte"),
        (["cat"], {"stderr": subprocess.PIPE}, "stderr must be"),
        (["cat"], {"stderr": subprocess.STDOUT}, "stderr must be"),
        (["cat"], {"exit_timeout": None}, "exit_timeout must be a number of seconds"),
        (["cat"], {"terminate_timeout": -1}, "terminate_timeout must be 0 seconds or more"),
        (["cat"], {"reconect": None}, "did you mean 'reconnect'"),
    ],
)
async def test_invalid_argument_raises(argv: Any, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(enkaku.UsageError, match=reason):
        async with process(argv, **options):
            pass


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 3", "echo: the process exited with status 3 (process:sh)"),
        ("exit 0", "echo: the process exited with status 0 (process:sh)"),
        ("kill -SEGV $$", "echo: the process was killed by SIGSEGV (process:sh)"),
        (
            "echo Listening; sleep 1000",
            "echo: the process wrote a line to its stdout that is not a message: 'Listening' (process:sh)",
        ),
        (
            "exec >&-; sleep 1000",
            "echo: the process closed its stdout (process:sh)",
        ),
        (
            "exec <&-; sleep 1000",
            "echo: the process closed its stdin (process:sh)",
        ),
    ],
)
async def test_process_that_is_no_server_fails_calls(script: str, reason: str) -> None:
    async with shell(script, exit_timeout=0) as connection:
        for _ in range(2):
            with pytest.raises(enkaku.ConnectionLost) as caught:
                await connection.request(ECHO, "x")
            assert str(caught.value) == reason
        assert connection.state == "failed"


@pytest.mark.parametrize(
    ("text", "end"),
    [("exit3", "exited with status 3"), (f"kill{signal.SIGKILL:d}", "was killed by SIGKILL")],
)
async def test_exit_of_server_ends_open_calls(server: list[str], text: str, end: str) -> None:
    async with process(server) as connection:
        waiting = asyncio.create_task(connection.request(ECHO, "for ever"))
        with pytest.raises(enkaku.ConnectionLost, match=f"the process {end}"):
            await connection.request(ECHO, text)
        with pytest.raises(enkaku.ConnectionLost, match=f"the process {end}"):
            await waiting


async def test_server_stopped_by_signal_answers_and_exits(server: list[str]) -> None:
    async with process(server) as connection:
        text = f"kill{signal.SIGTERM:d}"
        assert await connection.request(ECHO, text) == text
        with pytest.raises(enkaku.ConnectionLost, match="the process exited with status 0"):
            while True:
                with suppress(enkaku.CallError):  # it is stopping
                    await connection.request(ECHO, "x")


async def test_reply_before_exit_is_delivered() -> None:
    reply = json.dumps({"payload": {"typ": "result", "rid": "1", "val": "last words"}})
    script = f"read request; echo '{reply}'; exit 3"
    async with shell(script) as connection:
        assert await connection.request(ECHO, "x") == "last words"
        with pytest.raises(enkaku.ConnectionLost, match="exited with status 3"):
            await connection.request(ECHO, "x")


async def test_reconnect_starts_process_again(server: list[str]) -> None:
    reconnect = enkaku.Reconnect(first=0.001)
    async with process(server, reconnect=reconnect) as connection:
        for _ in range(2):
            with pytest.raises(enkaku.ConnectionLost, match="exited with status 3"):
                await connection.request(ECHO, "exit3")
        assert await connection.request(ECHO, "x") == "x"


async def test_close_ends_running_handlers(server: list[str]) -> None:
    async with process(server, exit_timeout=0.1) as connection:
        waiting = asyncio.create_task(connection.request(ECHO, "for ever"))
        assert await connection.request(ECHO, "x") == "x"
    with pytest.raises(enkaku.ConnectionLost, match="this side closed"):
        await waiting


@pytest.mark.parametrize(
    "stubborn",
    [
        "cat > /dev/null",  # ends at the end of its input
        "exec sleep 1000",  # ends by SIGTERM
        "trap '' TERM; sleep 1000",  # ends by SIGKILL
        "kill -STOP $$",
    ],
)
async def test_block_end_ends_process_and_its_children(tmp_path: Path, stubborn: str) -> None:
    child = tmp_path / "child"
    script = f"(trap '' TERM; exec sleep 1000) & echo $! > {child}; {stubborn}"
    async with shell(script, exit_timeout=0.05, terminate_timeout=0.05) as connection:
        pid = await pid_in(child)
        assert connection.is_open
    await until(lambda: is_gone(pid))


async def test_exit_inside_block_ends_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    async with shell(f"sleep 1000 & echo $! > {child}; exit 3") as connection:
        with pytest.raises(enkaku.ConnectionLost, match="exited with status 3"):
            await connection.request(ECHO, "x")
        pid = await pid_in(child)
        await until(lambda: is_gone(pid))


async def test_child_that_left_group_does_not_keep_connection(tmp_path: Path) -> None:
    child = tmp_path / "child"
    script = f"setsid sleep 1000 & echo $! > {child}; exit 3"
    async with shell(script) as connection:
        pid = await pid_in(child)
        try:
            with pytest.raises(enkaku.ConnectionLost, match="exited with status 3"):
                await connection.request(ECHO, "x")
        finally:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("turns", range(8))
async def test_cancel_at_every_await_leaves_nothing(tmp_path: Path, turns: int) -> None:
    child = tmp_path / "child"

    async def use() -> None:
        script = f"trap '' TERM; sleep 1000 & echo $! > {child}; while true; do sleep 1000; done"
        async with shell(script, exit_timeout=0.001, terminate_timeout=1000):
            await pid_in(child)

    using = asyncio.create_task(use())
    pid = await pid_in(child)
    for _ in range(turns):
        await asyncio.sleep(0)
    using.cancel()
    async with asyncio.timeout(WITHIN):
        with pytest.raises(asyncio.CancelledError):
            await using
    await until(lambda: is_gone(pid))


async def test_cancel_while_process_ignores_sigterm_kills_it(tmp_path: Path) -> None:
    ready, asked = tmp_path / "ready", tmp_path / "asked"

    async def use() -> None:
        script = f"trap 'echo > {asked}' TERM; echo > {ready}; while true; do sleep 0.01; done"
        async with shell(script, exit_timeout=0, terminate_timeout=1000):
            await until(ready.exists)

    using = asyncio.create_task(use())
    await until(asked.exists)
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(using, WITHIN)


async def test_exception_in_block_ends_process() -> None:
    with pytest.raises(ZeroDivisionError):
        async with shell("exec sleep 1000", exit_timeout=0):
            raise ZeroDivisionError


async def test_process_is_reaped_without_pidfd(
    monkeypatch: pytest.MonkeyPatch, server: list[str]
) -> None:
    def forbidden(_: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "pidfd_open", forbidden, raising=False)
    async with process(server) as connection:
        assert await connection.request(ECHO, "x") == "x"
        with pytest.raises(enkaku.ConnectionLost, match="exited with status 3"):
            await connection.request(ECHO, "exit3")


@pytest.mark.parametrize("function", ["pidfd_open", "set_blocking"])
async def test_failed_start_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    before = children()
    monkeypatch.setattr(os, function, fail, raising=False)
    with pytest.raises(MemoryError):
        async with shell("exec sleep 1000"):
            pass
    await until(lambda: children() == before)


class Ends:
    """A server at two pipes, and their other ends."""

    def __init__(self, handler: enkaku.Handler, **options: Any) -> None:
        reading, self.writing = os.pipe()
        self.reading, writing = os.pipe()
        self.server = enkaku.Server(handler, **options)
        self.input_ended = asyncio.Event()
        self.transport = StdioTransport("stdio", self.input_ended.set)
        Pipes(self.transport, reading, writing)
        self.server.connected_alone(self.transport)

    def send(self, data: bytes) -> None:
        os.write(self.writing, data)

    def close_reading(self) -> None:
        os.close(self.reading)
        self.reading = -1

    def close_writing(self) -> None:
        os.close(self.writing)
        self.writing = -1

    def close(self) -> None:
        for each in (self.reading, self.writing):
            if each >= 0:
                os.close(each)


@asynccontextmanager
async def serving(handler: enkaku.Handler, **options: Any) -> AsyncGenerator[Ends, None]:
    ends = Ends(handler, **options)
    try:
        async with ends.server.running(None, ("stdio",)):
            yield ends
    finally:
        ends.close()


async def test_handlers_of_client_that_reads_no_more_are_cancelled() -> None:
    life = Lifetime()
    async with serving(Serving(ask=life.forever)) as ends:
        ends.send(line(typ="request", rid="1", prc="ask", prm=1))
        await soon(life.began)
        ends.close_reading()
        await soon(life.cancelled)
        await until(lambda: ends.server.connections == ())


async def test_handlers_of_client_that_is_gone_are_cancelled() -> None:
    life = Lifetime()
    async with serving(Serving(ask=life.forever)) as ends:
        ends.send(line(typ="request", rid="1", prc="ask", prm=1))
        await soon(life.began)
        ends.close_reading()
        ends.close_writing()
        await soon(life.cancelled)


async def test_client_that_reads_nothing_is_given_up() -> None:
    life = Lifetime()

    async def watch(_: int, stream: enkaku.ServerStream[int]) -> int:
        with life:
            while True:
                await stream.send(1)

    limits = enkaku.Limits(unread_time=0.1)
    async with serving(Serving(watch=watch), limits=limits) as ends:
        ends.send(line(typ="stream", rid="1", prc="watch", prm=1))
        await soon(life.cancelled)
        assert ends.transport.buffered == 0


async def test_message_that_takes_too_long_ends_connection() -> None:
    limits = enkaku.Limits(message_time=0.05)
    async with serving(Serving(), limits=limits) as ends:
        ends.send(b"{" + b" " * 8000)
        await until(lambda: ends.server.connections == ())


async def test_handlers_end_of_input_lets_them_finish() -> None:
    life, release = Lifetime(), asyncio.Event()

    async def echo(text: str) -> str:
        with life:
            await release.wait()
        return text

    async with serving(Serving(echo=echo)) as ends:
        ends.send(line(typ="request", rid="1", prc="echo", prm="x"))
        await soon(life.began)
        ends.close_writing()
        await soon(ends.input_ended)
        release.set()
        await ends.server.stop()
        assert replies(os.read(ends.reading, 1000)) == [{"typ": "result", "rid": "1", "val": "x"}]
