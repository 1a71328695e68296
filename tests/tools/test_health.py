"""``enkaku health``, as a process: every exit code, over every transport, against servers that are none."""

import base64
import hashlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme
from commands import enkaku
from support import WITHIN

pytestmark = pytest.mark.xdist_group("health")

SERVER = """
import asyncio, json, ssl, sys
import enkaku
from support import Serving

async def main(scheme, where, serving, certificate):
    tls = None
    if certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
    serve = {
        "unix": lambda: enkaku.serve_unix(Serving(), where),
        "tcp": lambda: enkaku.serve_tcp(Serving()),
        "tls": lambda: enkaku.serve_tcp(Serving(), "localhost", ssl=tls),
        "http": lambda: enkaku.serve_http(Serving()),
        "https": lambda: enkaku.serve_http(Serving(), "localhost", ssl=tls),
    }[scheme]
    async with serve() as server:
        server.health.set(serving=serving == "True", reason="warms\\x1bup")
        server.health.set("database", serving=False)
        print(server.addresses[0], flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        server.health.set(serving=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main(*sys.argv[1:]))
"""


def health(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, which takes a second less."""
    return enkaku("health", *arguments, cwd=Path())


def process(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "enkaku_codegen", "health", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=WITHIN * 3,
        check=False,
    )


@contextmanager
def serving(
    scheme: str, where: object = "", *, serves: bool = True, certificate: object = ""
) -> Generator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-c", SERVER, scheme, str(where), str(serves), str(certificate)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def certificates(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The authority's certificate, and a file with the server's and its key."""
    directory = tmp_path_factory.mktemp("tls")
    ca, server = directory / "ca.pem", directory / "server.pem"
    authority.cert_pem.write_to_path(ca)
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(server)
    return ca, server


@contextmanager
def peer(
    answer: Callable[[socket.socket], None], count: int = 1
) -> Generator[tuple[str, list[bytes]]]:
    """A server of any kind: what it does with each connection is a function's."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(count):
                connected, _ = listener.accept()
                with connected:
                    connected.settimeout(WITHIN)
                    received.append(connected.recv(4096))
                    with suppress(OSError):
                        answer(connected)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", received


def reply(payload: object) -> bytes:
    return json.dumps({"header": {"typ": "JWT", "alg": "none"}, "payload": payload}).encode()


def answered(content: bytes) -> Callable[[socket.socket], None]:
    return lambda connected: connected.sendall(content)


def silent(connected: socket.socket) -> None:
    connected.recv(1)


RESULT = {"typ": "result", "rid": "1", "val": {"serving": True}}


@pytest.mark.parametrize("scheme", ["unix", "tcp", "http", "ws"])
def test_health_of_server_is_serving(scheme: str, socket_path: Path) -> None:
    with serving("http" if scheme == "ws" else scheme, socket_path) as (served, server):
        address = served.replace("http", scheme)
        done = process(address)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["serving"] is True
        part = process(address, "--part", "database")
        assert (part.returncode, json.loads(part.stdout)["serving"]) == (7, False)
        assert part.stderr == "enkaku health: not serving\n"
        server.kill()
        server.wait()
        assert process(address).returncode == 3


@pytest.mark.parametrize("scheme", ["tls", "https", "wss"])
def test_health_over_tls_verifies_the_server(scheme: str, certificates: tuple[Path, Path]) -> None:
    ca, certificate = certificates
    served = "tls" if scheme == "tls" else "https"
    with serving(served, certificate=certificate) as (found, _):
        port = found.rpartition(":")[2]
        address = f"tls:localhost:{port}" if scheme == "tls" else f"{scheme}://localhost:{port}"
        done = health(address, "--ca", ca)
        assert (done.returncode, done.stdout) == (0, '{"serving": true}\n')
        unknown = health(address)
        assert (unknown.returncode, unknown.stdout) == (3, "")
        assert "CERTIFICATE_VERIFY_FAILED" in unknown.stderr
        other = health(address, "--ca", ca, "--server-name", "example.com")
        assert (other.returncode, other.stdout) == (3, "")


def test_health_of_server_that_does_not_serve(socket_path: Path) -> None:
    with serving("unix", socket_path, serves=False) as (address, _):
        done = health(address)
        assert done.returncode == 7
        assert "\x1b" not in done.stdout + done.stderr
        assert json.loads(done.stdout)["reason"] == "warms\x1bup"
        assert done.stderr == "enkaku health: not serving: warms\\x1bup\n"
        error = json.loads(health(address, "--errors", "json").stderr)
        assert error.keys() == {"code", "message", "data", "procedure"}
        assert (error["code"], error["procedure"]) == ("NOT_SERVING", "enkaku:health")
        assert error["data"]["state"] == "not serving"


def test_health_waits_until_the_server_serves(socket_path: Path) -> None:
    command = [sys.executable, "-m", "enkaku_codegen", "health", f"unix:{socket_path}"]
    with subprocess.Popen(
        [*command, "--wait", "60s"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as waiting:
        with serving("unix", socket_path, serves=False) as (_, server):
            assert health(f"unix:{socket_path}").returncode == 7
            assert waiting.poll() is None
            assert server.stdin is not None
            server.stdin.write("\n")
            server.stdin.flush()
            output, errors = waiting.communicate(timeout=WITHIN)
    assert (waiting.returncode, errors) == (0, "")
    assert json.loads(output)["serving"] is True


def test_health_gives_up_waiting_with_the_last_failure(tmp_path: Path) -> None:
    done = health(f"unix:{tmp_path}/none", "--wait", "200ms")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "enkaku health: cannot connect: No such file or directory\n"


def test_health_interrupted_exits_with_130(tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, f"unix:{tmp_path}/none", "--wait", "60s"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN, check=False)
    assert (done.returncode, done.stderr) == (130, "")


INTERRUPTED = f"""
import os, sys, time
time.sleep = lambda _: os.kill(os.getpid(), {int(signal.SIGINT)})
from enkaku_codegen.commands.main import run
sys.exit(run(["health", *sys.argv[1:]]))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["tcp:localhost"],
        ["tcp:localhost:0"],
        ["tcp:::1:80"],
        ["stdio:python server.py"],
        ["pigeon:loft"],
        ["unix:"],
        ["http:localhost"],
        ["http://user:secret@localhost/"],
        ["http://localhost/a b"],
        ["http://[::1/"],
        ["unix:/x", "--wait", "soon"],
        ["unix:/x", "--deadline", "-1"],
        ["unix:/x", "--deadline", "0s"],
        ["unix:/x", "--ca", "ca.pem"],
        ["tls:localhost:1", "--key", "key.pem"],
        ["tls:localhost:1", "--ca", "no such file"],
        ["unix:/x", "--errors", "xml"],
    ],
)
def test_health_with_wrong_arguments_is_a_usage_error(arguments: list[str]) -> None:
    done = health(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: enkaku health" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("scheme", ["tcp:", "http://", "ws://", "tls:"])
def test_health_of_silent_server_ends_at_the_deadline(scheme: str) -> None:
    with peer(silent) as (where, _):
        done = process(f"{scheme}{where}", "--deadline", "300ms", "--errors", "json")
    assert (done.returncode, done.stdout) == (4, "")
    assert json.loads(done.stderr)["code"] == "EK05"


def test_health_of_something_else_exits_with_5() -> None:
    with peer(answered(b"SSH-2.0-OpenSSH_9.2\r\n")) as (where, _):
        assert process(f"tcp:{where}").returncode == 5


def test_health_of_dripping_server_ends_at_the_deadline() -> None:
    def drip(connected: socket.socket) -> None:
        while True:
            connected.sendall(b" ")
            threading.Event().wait(0.05)

    with peer(drip) as (where, _):
        assert health(f"tcp:{where}", "--deadline", "400ms").returncode == 4


HTTP = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b"


@pytest.mark.parametrize(
    ("scheme", "content"),
    [
        ("tcp:", b""),
        ("tcp:", b"SSH-2.0-OpenSSH_9.2\r\n"),
        ("tcp:", b"\x1b[31mred\n"),
        ("tcp:", b"null\n"),
        ("tcp:", b"[" * 5000 + b"\n"),
        ("tcp:", b"x" * 70_000),
        ("tcp:", b"x" * 70_000 + b"\n"),
        ("tcp:", reply({"typ": "result", "rid": "1"}) + b"\n"),
        ("tcp:", reply({"typ": "result", "rid": "1", "val": {"serving": 1}}) + b"\n"),
        ("tcp:", reply({"typ": "result", "rid": "other", "val": {"serving": True}}) + b"\n"),
        ("tcp:", reply({"typ": "error", "rid": "1", "code": "EK08", "msg": "\x1b[1m"}) + b"\n"),
        ("tcp:", b'{"payload":{"typ":"result","rid":"1","val":{"serving":true,"x":NaN}}}\n'),
        ("http://", b"SSH-2.0-OpenSSH_9.2\r\n"),
        ("http://", b"HTTP/1.1 404 Not Found\r\n\r\n"),
        ("http://", b"HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n"),
        ("http://", b"HTTP/1.1 200 OK\r\n\r\n<html>"),
        ("http://", b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n"),
        ("http://", b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"),
        ("http://", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
        ("http://", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 70_000),
        ("http://", b"HTTP/1.1 200 OK\r\n" + b"".join(b"a%d: b\r\n" % i for i in range(200))),
        ("http://", HTTP % (4, b"null")),
        ("ws://", b"HTTP/1.1 200 OK\r\n\r\n"),
        ("ws://", b"HTTP/1.1 403 Forbidden\r\n\r\n"),
        ("ws://", b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: x\r\n\r\n"),
    ],
)
def test_health_of_something_else_is_a_protocol_error(scheme: str, content: bytes) -> None:
    with peer(answered(content)) as (where, _):
        done = health(f"{scheme}{where}")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("enkaku health: ")
    assert "\x1b" not in done.stderr
    assert "Traceback" not in done.stderr


def test_health_error_of_the_server_has_its_code() -> None:
    error = {"typ": "error", "rid": "1", "code": "EK08", "data": {"a": 1}, "msg": "Invalid"}
    with peer(answered(reply(error) + b"\n")) as (where, _):
        done = health(f"tcp:{where}", "--errors", "json")
    assert done.returncode == 5
    assert json.loads(done.stderr) == {
        "code": "EK08",
        "message": "the server rejected enkaku:health: EK08: Invalid",
        "data": {"a": 1},
        "procedure": "enkaku:health",
    }


def test_health_rejected_by_stopping_server_exits_with_7() -> None:
    error = {"typ": "error", "rid": "1", "code": "EKP01", "data": {}, "msg": "Stopping"}
    with peer(answered(reply(error) + b"\n")) as (where, _):
        done = health(f"tcp:{where}", "--errors", "json")
    assert (done.returncode, json.loads(done.stderr)["code"]) == (7, "EKP01")


def test_health_of_lost_connection_has_the_code_of_a_call() -> None:
    with peer(answered(b'{"header":')) as (where, _):
        done = health(f"tcp:{where}", "--errors", "json")
    assert (done.returncode, json.loads(done.stderr)["code"]) == (5, "CONNECTION_LOST")


def test_health_usage_error_is_json_with_errors_json() -> None:
    done = health("unix:/x", "--ca", "ca.pem", "--errors", "json")
    error = json.loads(done.stderr)
    assert (done.returncode, error["code"], error["procedure"]) == (2, "USAGE", None)


def test_health_skips_blank_lines_and_other_replies() -> None:
    content = b"\r\n" + reply({"typ": "credit", "rid": "", "n": 0}) + b"\n" + reply(RESULT) + b"\n"
    with peer(answered(content)) as (where, received):
        assert health(f"tcp:{where}", "--part", 'a"b').returncode == 0
    sent = json.loads(received[0])
    assert sent["payload"] == {
        "typ": "request",
        "rid": "1",
        "prc": "enkaku:health",
        "prm": {"part": 'a"b'},
    }


@pytest.mark.parametrize(
    "content",
    [
        HTTP % (len(reply(RESULT)), reply(RESULT)),
        b"HTTP/1.0 200 OK\r\n\r\n" + reply(RESULT),
        b"HTTP/1.1 100 Continue\r\n\r\n" + HTTP % (len(reply(RESULT)), reply(RESULT)),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\n  \r\n%x\r\n%b\r\n0\r\n\r\n"
        % (len(reply(RESULT)), reply(RESULT)),
    ],
)
def test_health_reads_every_form_of_a_response(content: bytes) -> None:
    with peer(answered(content)) as (where, received):
        assert health(f"http://{where}/rpc?a=b").returncode == 0
    assert received[0].startswith(b"POST /rpc?a=b HTTP/1.1\r\nHost: 127.0.0.1:")


def test_health_of_http_server_that_stops_is_not_serving() -> None:
    body = b'{"error":"The server is stopping"}'
    head = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: %d\r\n\r\n" % len(body)
    with peer(answered(head + body)) as (where, _):
        done = health(f"http://{where}")
    assert done.returncode == 7
    assert done.stderr == "enkaku health: not serving: The server is stopping\n"


def frames(*parts: bytes) -> Callable[[socket.socket], None]:
    def answer(connected: socket.socket) -> None:
        connected.sendall(b"".join(parts))
        connected.recv(4096)
        connected.recv(4096)

    return answer


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([b"\x89\x01x", b"\x01\x02  ", b"\x80" + bytes([len(reply(RESULT))]), reply(RESULT)], 0),
        ([b"\x88\x02\x03\xf5"], 5),
        ([b"\x82\x01x"], 5),
        ([b"\x81\x81xxxxx"], 5),
        ([b"\xc1\x01x"], 5),
        ([b"\x81\x7f" + b"\xff" * 8], 5),
    ],
)
def test_health_over_websocket_checks_every_frame(parts: list[bytes], code: int) -> None:
    received: list[bytes]

    def answer(connected: socket.socket) -> None:
        key = received[0].partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r")[0]
        accepted = base64.b64encode(
            hashlib.sha1(
                key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False
            ).digest()
        )
        head = b"HTTP/1.1 101 x\r\nsec-websocket-accept: %b\r\nsec-websocket-protocol: enkaku.v1\r\n\r\n"
        frames(head % accepted, *parts)(connected)

    with peer(answer) as (where, received):
        assert health(f"ws://{where}", "--deadline", "2s").returncode == code


def test_health_loads_no_runtime_and_no_pydantic(socket_path: Path) -> None:
    program = (
        "import sys\n"
        "from enkaku_codegen.commands.main import run\n"
        "assert run(['health', sys.argv[1]]) == 0\n"
        "print(*{each.partition('.')[0] for each in sys.modules})"
    )
    with serving("unix", socket_path) as (address, _):
        command = [sys.executable, "-c", program, address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"enkaku", "pydantic", "msgspec", "asyncio", "ssl", "black", "jinja2"}


def cpu_seconds(command: list[str]) -> float:
    """Return the CPU time of the cheapest of several runs."""
    found: list[float] = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=False, capture_output=True, timeout=30)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def test_health_takes_little_cpu_time(
    socket_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with serving("unix", socket_path) as (address, _):
        seconds = cpu_seconds([sys.executable, "-m", "enkaku_codegen", "health", address])
    record_property("cpu_seconds", seconds)
    assert seconds < 0.15
