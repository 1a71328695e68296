"""``enkaku call``, as a process: every exit code, each kind of procedure, pipes, terminals and signals."""

import asyncio
import json
import os
import pty
import select
import shlex
import signal
import subprocess
import termios
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import enkaku
import pytest
import trustme
from commands import enkaku as in_process
from support import WITHIN, Raw, raw_server

from .lab_client import COMMAND, PATIENCE, PROTOCOL, call, lab_server, run, started

pytestmark = pytest.mark.xdist_group("call")

TRANSPORTS = ("unix", "tcp", "tls", "http", "ws")


@pytest.fixture(scope="module")
def lab(
    tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA
) -> Iterator[Mapping[str, str]]:
    directory = tmp_path_factory.mktemp("lab")
    with lab_server(directory, authority) as addresses:
        yield {**addresses, "directory": str(directory)}


def ask(lab: Mapping[str, str], procedure: enkaku.Request[Any, Any], param: object = None) -> Any:
    async def main() -> Any:
        async with enkaku.connect(lab["unix"]) as connection:
            return await connection.request(procedure, param, timeout=PATIENCE)

    return asyncio.run(main())


def wait_for_end(lab: Mapping[str, str], how: str) -> None:
    """Wait until a handler has ended so."""
    ask(lab, enkaku.Request("ended", param=str), how)


def tls(lab: Mapping[str, str], transport: str) -> tuple[str, ...]:
    return ("--ca", f"{lab['directory']}/ca.pem") if transport == "tls" else ()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_call_of_request_prints_result(lab: Mapping[str, str], transport: str) -> None:
    options = ("-p", "a=1", "-p", "b=4", *tls(lab, transport))
    done = call(lab[transport], "math/divide", *options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0.25\n", "")


@pytest.mark.parametrize("transport", ["unix", "http", "ws"])
def test_call_of_stream_prints_items_apart(lab: Mapping[str, str], transport: str) -> None:
    done = call(lab[transport], "count", "-p", "n=3", *tls(lab, transport))
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n1\n2\n", '"3 items"\n')
    wait_for_end(lab, "count finished")


@pytest.mark.parametrize("transport", ["unix", "tls", "http"])
def test_call_of_channel_sends_input_lines(lab: Mapping[str, str], transport: str) -> None:
    done = call(lab[transport], "sum", *tls(lab, transport), stdin="1\n\n 2.5 \n-3")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1.0\n3.5\n0.5\n", "0.5\n")


@pytest.mark.parametrize("transport", ["unix", "http"])
def test_call_of_event_exits_when_it_is_sent(lab: Mapping[str, str], transport: str) -> None:
    done = call(lab[transport], "note", "--param", '"to do"')
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert ask(lab, enkaku.Request("noted", result=str)) == "to do"


def test_call_without_protocol_needs_kind(lab: Mapping[str, str], tmp_path: Path) -> None:
    arguments = ("call", lab["unix"], "echo", "--param", "[1, null]")
    done = run(*arguments, "--kind", "request", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "[1,null]\n")
    done = run(*arguments, "--kind", "request", "--protocol", PROTOCOL, cwd=tmp_path)
    assert done.returncode == 2
    done = run("call", lab["unix"], "crash", "--kind", "event", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_call_sends_metadata(lab: Mapping[str, str]) -> None:
    done = call(lab["unix"], "metadata", "--metadata", "user=ada", "--metadata", "x=a=b")
    assert {"user": "ada", "x": "a=b"}.items() <= json.loads(done.stdout).items()
    done = call(lab["unix"], "metadata", "--metadata", "user")
    assert done.returncode == 2
    assert "expected NAME=VALUE" in done.stderr


def test_call_with_identity_signs(lab: Mapping[str, str], tmp_path: Path) -> None:
    key = tmp_path / "alice.key"
    name = in_process("key", "make", key, cwd=tmp_path).stdout.strip()
    arguments = ("call", lab["signed"], "metadata", "--protocol", PROTOCOL)
    signed = ("--identity", key, "--audience", lab["key"])
    done = run(*arguments, *signed, cwd=Path("/"))
    assert json.loads(done.stdout) == {"identity": name}
    done = run(*arguments, cwd=Path("/"))
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
        (("crash", "--deadline", "soon"), "expected a time, such as 2.5 (seconds), 500ms"),
        (("crash", "--connect-timeout", "0"), "expected a time"),
        (("crash", "--deadline", "1e3"), "expected a time"),
        (("crash", "--ca", "/missing.pem"), "--ca is for tls:, https: and wss:; got unix:"),
        (("crash", "--key", "/missing.pem"), "--key is for tls:, https: and wss:; got unix:"),
        (("crash", "--identity", "/missing.key"), "No such file"),
        (("crash", "--header", "a: b"), "headers"),
    ],
)
def test_call_with_wrong_arguments_exits_2(arguments: tuple[str, ...], message: str) -> None:
    options = ("--protocol", PROTOCOL, *arguments)
    done = in_process("call", "unix:/missing", *options, cwd=Path("/"))
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_call_with_wrong_address_exits_2() -> None:
    done = call("unik:/s", "crash", "--errors", "json")
    assert (done.returncode, failure(done)["code"]) == (2, "USAGE")


def test_call_without_server_exits_3(lab: Mapping[str, str]) -> None:
    done = call("unix:/missing", "crash", "--errors", "json")
    assert (done.returncode, failure(done)["code"]) == (3, "UNREACHABLE")
    done = call(lab["tls"], "crash")
    assert (done.returncode, "CERTIFICATE_VERIFY_FAILED" in done.stderr) == (3, True)


def test_call_after_deadline_exits_4_and_aborts(lab: Mapping[str, str]) -> None:
    done = call(lab["unix"], "wait", "--deadline", "200ms", "--errors", "json")
    assert (done.returncode, failure(done)["code"]) == (4, "EK05")
    wait_for_end(lab, "wait cancelled")
    done = call(lab["unix"], "count", "-p", "pause=true", "--deadline", "0.2s")
    assert (done.returncode, done.stdout) == (4, "0\n")
    wait_for_end(lab, "count cancelled")


def test_call_of_unknown_procedure_exits_5(lab: Mapping[str, str], tmp_path: Path) -> None:
    done = run(
        "call", lab["unix"], "nothing", "--kind", "request", "--errors", "json", cwd=tmp_path
    )
    assert (done.returncode, failure(done)["code"]) == (5, "EK08")


def test_call_with_invalid_answer_exits_6(lab: Mapping[str, str], tmp_path: Path) -> None:
    text = PROTOCOL.read_text().replace('"param": {}, "result": {}', '"param": {}, "result": false')
    (tmp_path / "other.json").write_text(text)
    arguments = ("call", lab["unix"], "echo", "--protocol", "other.json", "-p", "=a")
    done = run(*arguments, "--errors", "json", cwd=tmp_path)
    assert (done.returncode, failure(done)["code"]) == (6, "INVALID_ANSWER")
    (tmp_path / "other.json").write_text(
        PROTOCOL.read_text().replace(
            '"receive": { "type": "integer" }', '"receive": { "maximum": 1 }'
        )
    )
    done = run("call", lab["unix"], "count", "--protocol", "other.json", "-p", "n=9", cwd=tmp_path)
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


ANSWERS: list[tuple[list[dict[str, Any]], int, str]] = [
    ([{"typ": "error", "code": "EKP01", "msg": "stopping", "data": {}}], 7, "EKP01"),
    ([{"typ": "error", "code": "EK09", "msg": "replayed", "data": {}}], 5, "EK09"),
    ([{"typ": "error", "code": "EK05", "msg": "late", "data": {}}], 4, "EK05"),
    ([{"typ": "error", "code": "MINE", "msg": "\x9b1m", "data": {}}], 1, "\\u009b1m (MINE)"),
    ([], 5, "the server ended the connection"),
]


@pytest.mark.parametrize(("answers", "code", "text"), ANSWERS)
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
            returned, out, err = await finished(process)
    assert (returned, out) == (code, "")
    assert text in err
    assert "Traceback" not in err


async def test_call_keeps_digits_of_numbers(socket_path: Path) -> None:
    numbers = b'{"big":1' + b"0" * 30 + b',"exact":1.10}'
    async with raw_server(socket_path) as server:
        param = ("--param", numbers.decode(), "-p", "more=2.50", "--kind", "request")
        async with calling(socket_path, "ask", *param) as process:
            peer = await server.accept()
            async with asyncio.timeout(PATIENCE):
                line = await peer.reader.readline()
            assert numbers[:-1] + b',"more":"2.50"}' in line
            rid = json.loads(line)["payload"]["rid"].encode()
            head = b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"result","rid":"%s","val":%s}}'
            peer.send_bytes(head % (rid, numbers) + b"\n")
            returned, out, err = await finished(process)
    assert (returned, out.encode(), err) == (0, numbers + b"\n", "")


@pytest.mark.parametrize(("idempotent", "code"), [(True, 0), (False, 5)])
async def test_retry_repeats_idempotent_call(
    socket_path: Path, tmp_path: Path, idempotent: bool, code: int
) -> None:
    protocol = tmp_path / "p.json"
    protocol.write_text(json.dumps({"ask": {"type": "request", "idempotent": idempotent}}))
    async with raw_server(socket_path) as server:
        arguments = ("ask", "--protocol", protocol, "--retry", "3")
        async with calling(socket_path, *arguments) as process:
            peer = await server.accept()
            await opening(peer)
            peer.writer.close()
            if idempotent:
                peer = await server.accept()
                peer.send(typ="result", rid=(await opening(peer))["rid"])
            returned, out, _ = await finished(process)
    assert (returned, out) == (code, "")


def test_take_closes_stream_and_succeeds(lab: Mapping[str, str], tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    result.write_text("a result of before")
    arguments = ("--param", "{}", "--take", "2", "--result", result)
    done = call(lab["unix"], "count", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n1\n", "")
    wait_for_end(lab, "count finished")
    assert json.loads(result.read_text()).endswith(" items")


def test_result_is_written_to_pipe_or_device(lab: Mapping[str, str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    done = call(lab["unix"], "echo", "--param", "1", "--result", tmp_path / "pipe")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert os.read(reader, 100) == b"1\n"
    os.close(reader)
    done = call(lab["unix"], "echo", "--param", "1", "--result", "/dev/full")
    assert (done.returncode, "No space left on device" in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr


def test_failed_call_keeps_result_file(lab: Mapping[str, str], tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    result.write_text("before")
    assert call(lab["unix"], "crash", "--result", result).returncode == 1
    assert result.read_text() == "before"


def read_lines(process: subprocess.Popen[bytes], count: int) -> list[bytes]:
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(count)]


@pytest.mark.parametrize("transport", ["unix", "http"])
def test_first_item_comes_before_second_is_sent(lab: Mapping[str, str], transport: str) -> None:
    """The handler sends one item and waits; when the reader of the output is gone, it is cancelled."""
    arguments = ("call", lab[transport], "count", "--protocol", PROTOCOL, "-p", "pause=true")
    with started(*arguments) as process:
        assert read_lines(process, 1) == [b"0\n"]
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(PATIENCE) == 141
        assert process.stderr is not None
        assert process.stderr.read() == b""
    wait_for_end(lab, "count cancelled")


def test_head_cancels_call_of_busy_stream(lab: Mapping[str, str]) -> None:
    arguments = ("call", lab["unix"], "count", "--protocol", PROTOCOL, "--param", "{}")
    with started(*arguments) as process:
        assert read_lines(process, 1) == [b"0\n"]
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(PATIENCE) == 141
        assert process.stderr is not None
        assert process.stderr.read() == b""
    wait_for_end(lab, "count cancelled")


def most_memory(lab: Mapping[str, str], count: int) -> int:
    """Return the peak memory of a command that prints so many items, in KiB."""
    arguments = ("call", lab["unix"], "count", "--protocol", PROTOCOL, "-p", f"n={count}")
    with started(*arguments) as process:
        assert process.stdout is not None
        assert sum(1 for _ in process.stdout) == count
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
    return usage.ru_maxrss


def test_many_items_take_no_more_memory_than_few(lab: Mapping[str, str]) -> None:
    few, many = most_memory(lab, 1_000), most_memory(lab, 100_000)
    assert many < few + 8 * 1024


def test_slow_server_slows_input_down(lab: Mapping[str, str]) -> None:
    arguments = ("call", lab["unix"], "hold", "--protocol", PROTOCOL)
    with started(*arguments) as process:
        assert read_lines(process, 1) == [b'"held"\n']
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)
        line, written = b'"%s"\n' % (b"x" * 4000), 0
        # The handler reads nothing: the server's buffers become full, then those of the pipe.
        while select.select([], [process.stdin], [], 1.0)[1]:
            written += os.write(process.stdin.fileno(), line)
            assert written < 8_000_000, "the input is read on and on"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    wait_for_end(lab, "hold cancelled")


def test_invalid_line_ends_channel_with_2(lab: Mapping[str, str]) -> None:
    done = call(lab["unix"], "sum", "--errors", "json", stdin='1\n\n"x"\n2\n')
    assert (done.returncode, done.stdout) == (2, "1.0\n")
    found = json.loads(done.stderr.splitlines()[-1])
    assert (found["code"], found["data"]["line"]) == ("INVALID_VALUE", 3)
    assert found["message"] == 'expected number, got "x"'
    assert call(lab["unix"], "sum", stdin="1\n{").stderr.startswith("1.0\nenkaku call: line 2: ")


def test_end_of_channel_does_not_wait_for_input(lab: Mapping[str, str]) -> None:
    with started("call", lab["unix"], "brief", "--protocol", PROTOCOL) as process:
        assert process.wait(PATIENCE) == 0  # the input is still open
        assert process.stderr is not None
        assert process.stderr.read() == b'"done"\n'


def test_channel_reads_items_from_file(lab: Mapping[str, str], tmp_path: Path) -> None:
    items = tmp_path / "items"
    items.write_text("1\n" * 3)
    with items.open() as file:
        with started(
            "call", lab["unix"], "sum", "--protocol", PROTOCOL, stdin=file.fileno()
        ) as process:
            assert read_lines(process, 3) == [b"1.0\n", b"2.0\n", b"3.0\n"]
            assert process.wait(PATIENCE) == 0


def test_sigint_aborts_call_and_exits_130(lab: Mapping[str, str]) -> None:
    arguments = ("call", lab["unix"], "count", "--protocol", PROTOCOL, "-p", "pause=true")
    with started(*arguments) as process:
        read_lines(process, 1)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""
    wait_for_end(lab, "count cancelled")


async def test_second_sigint_ends_call_that_cannot_close(socket_path: Path) -> None:
    async with raw_server(socket_path) as server:
        async with calling(socket_path, "ask", "--kind", "request") as process:
            peer = await server.accept()
            await opening(peer)
            process.send_signal(signal.SIGINT)  # the server neither answers nor ends its side
            async with asyncio.timeout(WITHIN):
                assert (await peer.read())["typ"] == "abort"
            process.send_signal(signal.SIGINT)
            returned, out, err = await finished(process)
    assert (returned, out) == (130, "")
    assert "Traceback" not in err


@contextmanager
def terminal() -> Generator[tuple[int, int]]:
    """Both ends of a pseudo terminal that changes nothing: first that of the person."""
    person, program = pty.openpty()
    attributes = termios.tcgetattr(program)
    attributes[1] &= ~termios.OPOST
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(program, termios.TCSANOW, attributes)
    try:
        yield person, program
    finally:
        os.close(person)
        os.close(program)


def test_terminal_gets_escaped_texts(lab: Mapping[str, str]) -> None:
    arguments = ("call", lab["unix"], "echo", "--protocol", PROTOCOL, "-p", "=\u009b31mä\U000e0001")
    with started(*arguments) as process:
        assert process.stdout is not None
        assert process.stdout.read().decode() == '"\u009b31mä\U000e0001"\n'
    with terminal() as (person, program):
        with started(*arguments, stdout=program) as process:
            assert process.wait(PATIENCE) == 0
        assert os.read(person, 1000).decode() == '"\\u009b31mä\\udb40\\udc01"\n'


def test_terminal_gives_items_until_its_end(lab: Mapping[str, str]) -> None:
    with terminal() as (person, program):
        arguments = ("call", lab["unix"], "sum", "--protocol", PROTOCOL)
        with started(*arguments, stdin=program) as process:
            os.write(person, b"1\n2\n\x04")
            assert read_lines(process, 2) == [b"1.0\n", b"3.0\n"]
            assert process.wait(PATIENCE) == 0


def test_template_prints_command_that_works(lab: Mapping[str, str]) -> None:
    done = call(lab["unix"], "math/divide", "--template")
    assert done.stdout == (
        f"enkaku call {lab['unix']} math/divide --protocol {PROTOCOL} --param '{{\"a\": 6, \"b\": 2}}'\n"
    )
    assert run(*shlex.split(done.stdout)[1:], cwd=Path("/")).stdout == "3.0\n"
    done = call("unix:/missing", "sum", "--template")
    assert done.stdout.startswith("printf '%s\\n' 1 | enkaku call unix:/missing sum ")


def test_call_takes_protocol_of_project(lab: Mapping[str, str], tmp_path: Path) -> None:
    table = '[[tool.enkaku.protocol]]\nfile = "{}"\n'.format
    other = tmp_path / "other.json"
    other.write_text('{"other": {"type": "event"}}')
    project = tmp_path / "pyproject.toml"
    project.write_text(table(other) + table(PROTOCOL))
    arguments = ("call", lab["tcp"], "math/divide", "-p", "a=1", "-p", "b=2")
    assert run(*arguments, cwd=tmp_path).stdout == "0.5\n"
    other.write_text(PROTOCOL.read_text())
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "other.json" in done.stderr
    assert 'lab.json have "math/divide": choose one by --protocol' in done.stderr


def test_call_takes_protocol_of_package(lab: Mapping[str, str]) -> None:
    arguments = ("call", lab["tcp"], "math/divide", "-p", "a=1")
    done = run(*arguments, "--package", "lab_package", cwd=Path(lab["directory"]))
    assert (done.returncode, 'expected property "b"' in done.stderr) == (2, True)
    done = run(*arguments, "--package", "lab_package.none", cwd=Path(lab["directory"]))
    assert (done.returncode, "no module lab_package.none" in done.stderr) == (2, True)


def test_call_takes_description_of_server(lab: Mapping[str, str], tmp_path: Path) -> None:
    arguments = ("math/divide", "-p", "a=1", "-p", "b=2")
    assert run("call", lab["unix"], *arguments, cwd=tmp_path).stdout == "0.5\n"
    done = run("call", lab["unix"], "math/divide", "-p", "a=1", cwd=tmp_path)
    assert (done.returncode, 'expected property "b"' in done.stderr) == (2, True)
    done = run("call", lab["tcp"], *arguments, "--errors", "json", cwd=tmp_path)
    assert done.returncode == 2
    assert "give --protocol or --package, or --kind" in failure(done)["message"]


def doubling(count: int, inside: Callable[[object], object]) -> dict[str, Any]:
    """Return definitions, of which each refers twice to the next."""
    found = {f"D{n}": {"allOf": [inside({"$ref": f"#/$defs/D{n + 1}"})] * 2} for n in range(count)}
    return {**found, f"D{count}": {"type": "string"}}


def description(name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of a server that describes one request, with a schema for its result."""
    ask = {"type": "request", "result": {"$ref": f"#/$defs/{name}"}}
    protocol = {"procedures": {"ask": ask}, "$defs": definitions}
    return {"protocol": protocol, "digest": "", "digests": {"procedures": {}}, "enkaku": "1"}


@pytest.mark.parametrize("place", ["value", "items"])
async def test_description_whose_references_multiply_exits_5(socket_path: Path, place: str) -> None:
    definitions = doubling(40, lambda each: each if place == "value" else {"items": each})
    async with raw_server(socket_path) as server:
        async with calling(socket_path, "ask", "--errors", "json") as process:
            peer = await server.accept()
            rid = (await opening(peer))["rid"]
            peer.send(typ="result", rid=rid, val=description("D0", definitions))
            code, out, err = await finished(process)
    assert (code, out) == (5, "")
    assert json.loads(err)["code"] == "PROTOCOL_ERROR"
    assert "more than 100000 schemas" in err


async def test_value_that_takes_too_long_ends_the_process(socket_path: Path) -> None:
    definitions = {**doubling(14, lambda each: each), "L": {"items": {"$ref": "#/$defs/D0"}}}
    async with raw_server(socket_path) as server:
        async with calling(socket_path, "ask") as process:
            peer = await server.accept()
            rid = (await opening(peer))["rid"]
            peer.send(typ="result", rid=rid, val=description("L", definitions))
            peer.send(typ="result", rid=(await opening(peer))["rid"], val=["a"] * 100_000)
            code, out, _ = await finished(process)
    assert (code, out) == (-signal.SIGPROF, "")
