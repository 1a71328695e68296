"""``enkaku call``, as a process: every exit code, each kind of procedure, pipes, terminals and signals."""

import asyncio
import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from support import WITHIN, Raw, raw_server

from .lab_client import COMMAND, PATIENCE, PROTOCOL, call, enkaku, lab_server, started

pytestmark = pytest.mark.xdist_group("call")

TRANSPORTS = ("unix", "tcp", "tls", "http", "ws")


@pytest.fixture(scope="module")
def lab(
    tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA
) -> Iterator[Mapping[str, str]]:
    directory = tmp_path_factory.mktemp("lab")
    with lab_server(directory, authority) as addresses:
        yield {**addresses, "directory": str(directory)}


def ended(lab: Mapping[str, str]) -> str:
    """How the next handler ends that ends."""
    done = call(lab["unix"], "ended")
    assert done.returncode == 0, done.stderr
    how: str = json.loads(done.stdout)
    return how


def tls(lab: Mapping[str, str], transport: str) -> tuple[str, ...]:
    return ("--ca", f"{lab['directory']}/ca.pem") if transport == "tls" else ()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_call_of_request_prints_result(lab: Mapping[str, str], transport: str) -> None:
    options = ("-p", "a=1", "-p", "b=4", *tls(lab, transport))
    done = call(lab[transport], "math/divide", *options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0.25\n", "")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_call_of_stream_prints_items_apart(lab: Mapping[str, str], transport: str) -> None:
    done = call(lab[transport], "count", "-p", "n=3", *tls(lab, transport))
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n1\n2\n", '"3 items"\n')
    assert ended(lab) == "count finished"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_call_of_channel_sends_input_lines(lab: Mapping[str, str], transport: str) -> None:
    done = call(lab[transport], "sum", *tls(lab, transport), stdin="1\n\n 2.5 \n-3")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1.0\n3.5\n0.5\n", "0.5\n")


@pytest.mark.parametrize("transport", ["unix", "http"])
def test_call_of_event_exits_when_it_is_sent(lab: Mapping[str, str], transport: str) -> None:
    done = call(lab[transport], "note", "--param", '"to do"')
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert call(lab["unix"], "noted").stdout == '"to do"\n'


def test_call_without_protocol_needs_kind(lab: Mapping[str, str], tmp_path: Path) -> None:
    arguments = ("call", lab["unix"], "echo", "--param", "[1, null]")
    done = enkaku(*arguments, "--kind", "request", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "[1,null]\n")
    done = enkaku(*arguments, "--kind", "request", "--protocol", PROTOCOL, cwd=tmp_path)
    assert done.returncode == 2
    done = enkaku("call", lab["unix"], "crash", "--kind", "event", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_call_sends_metadata(lab: Mapping[str, str]) -> None:
    done = call(lab["unix"], "metadata", "--metadata", "user=ada", "--metadata", "x=a=b")
    assert json.loads(done.stdout) == {"user": "ada", "x": "a=b"}
    done = call(lab["unix"], "metadata", "--metadata", "user")
    assert done.returncode == 2
    assert "expected NAME=VALUE" in done.stderr


@pytest.mark.parametrize("options", [("--kind", "request"), ()])
def test_call_with_identity_signs(lab: Mapping[str, str], options: tuple[str, ...]) -> None:
    key = Path(lab["directory"], "alice.key")
    if not key.exists():
        enkaku("key", "make", key, cwd=Path("/"))
    name = enkaku("key", "show", key, cwd=Path("/")).stdout.strip()
    source = options or ("--protocol", PROTOCOL)
    arguments = ("call", lab["signed"], "metadata", *source)
    signed = ("--identity", key, "--audience", lab["key"])
    done = enkaku(*arguments, *signed, cwd=Path("/"))
    assert json.loads(done.stdout) == {"identity": name}
    done = enkaku(*arguments, cwd=Path("/"))
    assert (done.returncode, "EK02" in done.stderr) == (5, True)


def test_call_with_client_certificate_is_accepted(lab: Mapping[str, str]) -> None:
    certificate = ("--cert", f"{lab['directory']}/client.pem")
    name = ("--server-name", "localhost")
    done = call(lab["mutual"], "echo", "-p", "=a", *tls(lab, "tls"), *certificate, *name)
    assert (done.returncode, done.stdout) == (0, '"a"\n')
    done = call(lab["mutual"], "echo", "-p", "=a", *tls(lab, "tls"), "--cert", "/missing.pem")
    assert (done.returncode, "No such file" in done.stderr) == (2, True)


def failure(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the error, which is one JSON object; nothing else was printed."""
    assert done.stdout == ""
    found: dict[str, Any] = json.loads(done.stderr)
    assert list(found) == ["code", "message", "data", "procedure"]
    assert done.stderr.isascii()
    return found


def test_call_with_declared_error_exits_1(lab: Mapping[str, str]) -> None:
    arguments = (lab["unix"], "math/divide", "-p", "a=6", "-p", "b=0")
    done = call(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "enkaku call: math/divide: \\u001b[31mno\\u001b[0m (DIVISION_BY_ZERO)",
        'data: {"dividend":6}',
    ]
    done = call(*arguments, "--errors", "json")
    assert done.returncode == 1
    assert failure(done) == {
        "code": "DIVISION_BY_ZERO",
        "message": "\x1b[31mno\x1b[0m",
        "data": {"dividend": 6},
        "procedure": "math/divide",
    }


def test_call_of_failing_handler_exits_1(lab: Mapping[str, str]) -> None:
    done = call(lab["unix"], "crash", "--errors", "json")
    assert (done.returncode, failure(done)["code"]) == (1, "EK01")


def test_call_with_invalid_param_exits_2_without_dialling() -> None:
    arguments = ("unix:/missing", "math/divide", "-p", "a=1", "-p", "b=x")
    done = call(*arguments, "--errors", "json")
    assert done.returncode == 2
    assert failure(done) == {
        "code": "INVALID_VALUE",
        "message": '/b: expected number, got "x"',
        "data": {
            "slot": "param",
            "problems": [{"pointer": "/b", "expected": "number", "actual": '"x"'}],
        },
        "procedure": "math/divide",
    }
    done = call(*arguments)
    assert done.stderr == 'enkaku call: math/divide param: /b: expected number, got "x"\n'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("math/divide",), "math/divide needs a param"),
        (("crash", "--param", "1"), "crash takes no param"),
        (("math/divid",), 'lab has no procedure "math/divid": did you mean math/divide?'),
        (("crash", "--take", "1"), "--take is for streams and channels"),
        (("note", "--param", '"a"', "--result", "x"), "an event has no result"),
        (("echo", "--param", "{"), "--param: not JSON"),
        (("echo", "-p", "a"), "expected NAME=TEXT or NAME:=JSON"),
        (("sum", "--param", "@-"), "the standard input of a channel has its items"),
        (("crash", "--deadline", "soon"), "expected a number of seconds"),
        (("crash", "--ca", "/missing.pem"), "No such file"),
        (("crash", "--key", "/missing.pem"), "--key needs --cert"),
        (("crash", "--identity", "/missing.key"), "No such file"),
        (("crash", "--header", "a: b"), "headers"),
    ],
)
def test_call_with_wrong_arguments_exits_2(arguments: tuple[str, ...], message: str) -> None:
    done = call("unix:/missing", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_call_with_wrong_address_exits_2() -> None:
    done = call("unik:/s", "crash", "--errors", "json")
    assert (done.returncode, failure(done)["code"]) == (2, "USAGE")


def test_call_without_server_exits_3(lab: Mapping[str, str]) -> None:
    done = call("unix:/missing", "crash", "--errors", "json")
    assert (done.returncode, failure(done)["code"]) == (3, "UNREACHABLE")
    done = call(lab["tls"], "crash")
    assert (done.returncode, "CERTIFICATE_VERIFY_FAILED" in done.stderr) == (3, True)


def test_call_after_deadline_exits_4_and_aborts(lab: Mapping[str, str]) -> None:
    done = call(lab["unix"], "wait", "--deadline", "0.2", "--errors", "json")
    assert (done.returncode, failure(done)["code"]) == (4, "EK05")
    assert ended(lab) == "wait cancelled"
    done = call(lab["unix"], "count", "-p", "pause=true", "--deadline", "0.2s")
    assert (done.returncode, done.stdout) == (4, "0\n")
    assert ended(lab) == "count cancelled"


def test_call_of_unknown_procedure_exits_5(lab: Mapping[str, str], tmp_path: Path) -> None:
    done = enkaku(
        "call", lab["unix"], "nothing", "--kind", "request", "--errors", "json", cwd=tmp_path
    )
    assert (done.returncode, failure(done)["code"]) == (5, "EK08")


@pytest.fixture
def other_protocol(tmp_path: Path) -> Path:
    """A protocol in which results and items are other than those of the lab."""
    path = tmp_path / "other.json"
    path.write_text(PROTOCOL.read_text().replace("number", "null").replace("integer", "string"))
    return path


def test_call_with_invalid_answer_exits_6(lab: Mapping[str, str], tmp_path: Path) -> None:
    text = PROTOCOL.read_text().replace('"param": {}, "result": {}', '"param": {}, "result": false')
    (tmp_path / "other.json").write_text(text)
    arguments = ("call", lab["unix"], "echo", "--protocol", "other.json", "-p", "=a")
    done = enkaku(*arguments, "--errors", "json", cwd=tmp_path)
    assert (done.returncode, failure(done)["code"]) == (6, "INVALID_ANSWER")
    (tmp_path / "other.json").write_text(
        PROTOCOL.read_text().replace('"receive": { "type": "integer" }', '"receive": { "maximum": 1 }')
    )
    done = enkaku(
        "call", lab["unix"], "count", "--protocol", "other.json", "-p", "n=9", cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (6, "0\n1\n")
    assert "count receive: expected 1 or less, got 2" in done.stderr


@asynccontextmanager
async def calling(
    path: Path, *arguments: object, **streams: Any
) -> AsyncGenerator[asyncio.subprocess.Process, None]:
    """Run ``enkaku call`` at a Unix socket beside a server that the test is."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("call", f"unix:{path}"),
        *map(str, arguments),
        stdin=streams.get("stdin", subprocess.DEVNULL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def finished(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def opening(peer: Raw) -> dict[str, Any]:
    """Return the message that opens the call."""
    async with asyncio.timeout(PATIENCE):
        return await peer.read()


@pytest.mark.parametrize(
    ("answers", "code", "text"),
    [
        ([{"typ": "error", "code": "EKP01", "msg": "stopping", "data": {}}], 7, "EKP01"),
        ([{"typ": "error", "code": "EK09", "msg": "replayed", "data": {}}], 5, "EK09"),
        ([{"typ": "error", "code": "EK05", "msg": "late", "data": {}}], 4, "EK05"),
        ([{"typ": "error", "code": "MINE", "msg": "\x9b1m", "data": {}}], 1, "\\u009b1m (MINE)"),
        ([], 5, "the server ended the connection"),
    ],
)
async def test_call_maps_answer_to_exit_code(
    socket_path: Path, answers: list[dict[str, Any]], code: int, text: str
) -> None:
    async with raw_server(socket_path) as server:
        async with calling(socket_path, "ask", "--kind", "request") as process:
            peer = await server.accept()
            rid = (await opening(peer))["rid"]
            for answer in answers:
                peer.send(rid=rid, **answer)
            if not answers:
                peer.writer.close()
            assert await finished(process) == (code, "", process_error("ask", text, process))


def process_error(*_: object) -> Any:
    class Containing(str):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, str) and str(self) in other and "Traceback" not in other

        __hash__ = str.__hash__

    return Containing(_[1])
