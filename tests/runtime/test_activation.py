"""Socket activation: a program that systemd starts, or something else does."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku.transports.sockets.systemd import NotActivated, systemd_sockets
from support import ECHO, WITHIN

# As systemd does it: the sockets become descriptors 3 and up, the variables are set for this process, and the
# program takes the process over.
STARTER = """
import os, sys
sockets = [int(number) for number in sys.argv[1].split(",")] if sys.argv[1] else []
copies = [os.dup(number) for number in sockets]  # so that none is overwritten
high = [os.dup2(copy, 100 + index, False) for index, copy in enumerate(copies)]
for index, number in enumerate(high):
    os.dup2(number, 3 + index)
os.environ.update(arg.split("=", 1) for arg in sys.argv[3:])
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.environ.setdefault("LISTEN_FDS", str(len(sockets)))
os.execv(sys.executable, [sys.executable, "-c", sys.argv[2]])
"""

TELL = """
import json, os, subprocess, sys
from enkaku.transports.sockets.systemd import systemd_sockets
from enkaku import EnkakuError
try:
    said = [[name, sock.getsockname(), sock.fileno(), sock.get_inheritable()] for name, sock in systemd_sockets()]
except EnkakuError as error:
    said = [type(error).__name__, str(error)]
child = subprocess.run(
    [sys.executable, "-c", "import os; print([n for n in os.environ if n.startswith('LISTEN')], os.path.exists('/proc/self/fd/3'))"],
    capture_output=True, text=True, close_fds=False)
try:
    again = len(systemd_sockets())
except EnkakuError as error:
    again = type(error).__name__
print(json.dumps([said, child.stdout.strip(), again]))
"""

SERVE = """
import asyncio
from enkaku.transports.sockets.systemd import systemd_sockets
from enkaku.serve import serve_socket
from support import Serving

async def main():
    async def echo(text): return text + "!"
    (passed,) = systemd_sockets()
    async with serve_socket(Serving(echo=echo), passed.socket) as server:
        print(*server.addresses, flush=True)
        await server.serve_forever()

asyncio.run(main())
"""


def arguments(program: str, sockets: list[Any], *variables: str) -> dict[str, Any]:
    numbers = [sock.fileno() for sock in sockets]
    environment = {
        name: text for name, text in os.environ.items() if not name.startswith("LISTEN_")
    }
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    joined = ",".join(map(str, numbers))
    return {
        "args": [sys.executable, "-c", STARTER, joined, program, *variables],
        "pass_fds": numbers,
        "env": environment,
    }


def tell(sockets: list[Any], *variables: str) -> Any:
    options = arguments(TELL, sockets, *variables)
    done = subprocess.run(
        **options, text=True, stdout=subprocess.PIPE, timeout=WITHIN * 3, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture
def sockets(socket_path: Path) -> Any:
    with socket.socket(socket.AF_UNIX) as unix, socket.create_server(("127.0.0.1", 0)) as tcp:
        unix.bind(str(socket_path))
        unix.listen()
        yield [unix, tcp]


def test_systemd_sockets_have_names_and_are_not_inherited(
    sockets: list[socket.socket],
) -> None:
    said, child, again = tell(sockets, "LISTEN_FDNAMES=main:metrics")
    assert said == [
        ["main", sockets[0].getsockname(), 3, False],
        ["metrics", list(sockets[1].getsockname()), 4, False],
    ]
    assert child == "[] False"
    assert again == "NotActivated"


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ([], ["unknown", "unknown"]),
        (["LISTEN_FDNAMES=:b"], ["unknown", "b"]),
        *(
            pytest.param([f"LISTEN_FDNAMES={names}"], expected, marks=pytest.mark.slow)
            for names, expected in [
                ("main", ["main", "unknown"]),
                ("a:b:c", ["a", "b"]),
                ("same:same", ["same", "same"]),
            ]
        ),
    ],
)
def test_systemd_sockets_unnamed_are_unknown(
    sockets: list[socket.socket], variables: list[str], names: list[str]
) -> None:
    said, _, _ = tell(sockets, *variables)
    assert [name for name, *_ in said] == names


@pytest.mark.parametrize(
    ("variables", "error", "words"),
    [
        (["LISTEN_PID=1"], "NotActivated", "to process 1, but this process is"),
        (["LISTEN_FDS=3"], "UsageError", "descriptor 5 (unknown)"),
        (["LISTEN_FDS=99999999999999"], "UsageError", "descriptor 5 (unknown)"),
    ],
)
def test_systemd_sockets_unusable_raise_and_clear_variables(
    sockets: list[socket.socket], variables: list[str], error: str, words: str
) -> None:
    said, child, again = tell(sockets, *variables)
    assert said[0] == error
    assert words in said[1]
    assert child.startswith("[]")
    assert again == "NotActivated"


# These are told before a descriptor is looked at, so that the process of the tests can ask.
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("LISTEN_PID", "", r"\.socket unit"),
        ("LISTEN_FDS", "", r"\.socket unit"),
        ("LISTEN_PID", "no", "exec"),
        ("LISTEN_FDS", "0", "got '0'"),
        ("LISTEN_FDS", "-1", "got '-1'"),
        ("LISTEN_FDS", "two", "got 'two'"),
    ],
)
def test_systemd_sockets_invalid_variables_raise_not_activated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        monkeypatch.setenv(variable, str(os.getpid()) if variable == "LISTEN_PID" else "1")
    monkeypatch.setenv(name, value)
    with pytest.raises(NotActivated, match=words):
        systemd_sockets()
    assert not [variable for variable in os.environ if variable.startswith("LISTEN_")]
    with pytest.raises(NotActivated, match=r"\.socket unit"):
        systemd_sockets()


def test_systemd_sockets_pipe_raises_usage_error(sockets: list[socket.socket]) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as pipe, os.fdopen(writing):
        said, _, _ = tell([sockets[0], pipe], "LISTEN_FDNAMES=main:fifo")
    assert said[0] == "UsageError"
    assert "descriptor 4 (fifo)" in said[1]


def test_systemd_sockets_without_variables_raises_not_activated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NotActivated, match="LISTEN_PID and LISTEN_FDS are not set"):
        systemd_sockets()
    assert issubclass(NotActivated, enkaku.UsageError)


async def test_systemd_sockets_activated_program_serves(socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(socket_path))
        sock.listen()
        options = arguments(SERVE, [sock])
        child = await asyncio.create_subprocess_exec(*options.pop("args"), **options, stdout=PIPE)
        try:
            # The socket is open already: whoever connects before the program runs waits for it.
            async with asyncio.timeout(WITHIN * 3):
                async with enkaku.connect_unix(socket_path) as connection:
                    assert await connection.request(ECHO, "x") == "x!"
                child.terminate()
                said, _ = await child.communicate()
            assert said.decode() == f"unix:{socket_path}\n"
            assert child.returncode == 0
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        assert socket_path.is_socket()
