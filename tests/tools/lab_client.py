"""The commands that dial, as processes, and the server that they dial."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import trustme
from enkaku_codegen.json_values import as_json
from enkaku_codegen.reading.definition import read_protocol
from enkaku_codegen.reading.digests import digests
from enkaku_codegen.reading.protocol_document import bundle

__all__ = ["COMMAND", "PATIENCE", "PROTOCOL", "Done", "call", "lab_server", "run", "started"]

PROTOCOL = Path(__file__).parent / "lab.json"
PATIENCE = 30.0
"""Seconds that a process may take before a test calls it hung."""
# A shell lets what it starts in the background ignore SIGINT, and so would this process.
COMMAND = [
    sys.executable,
    "-c",
    """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from enkaku_codegen.__main__ import main
sys.exit(main())
""",
]
Done = subprocess.CompletedProcess[str]


def run(*arguments: object, cwd: Path, stdin: str = "") -> Done:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def call(address: str, procedure: str, *arguments: object, stdin: str = "") -> Done:
    """Run ``enkaku call`` with the protocol of the lab."""
    return run(
        *("call", address, procedure, "--protocol", PROTOCOL, *arguments),
        cwd=Path("/"),
        stdin=stdin,
    )


@contextmanager
def started(*arguments: object, **streams: int) -> Generator[subprocess.Popen[bytes]]:
    """Run a command during a block; with pipes for the streams that are not given."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | streams
    with subprocess.Popen([*COMMAND, *map(str, arguments)], cwd="/", **pipes) as process:  # type: ignore[call-overload] # of a test
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def lab_server(directory: Path, authority: trustme.CA) -> Generator[Mapping[str, str]]:
    """Serve the lab in a process of its own, and return its addresses by transport."""
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    for name, host in (("server", "localhost"), ("client", "client.example")):
        issued = authority.issue_cert(host, "127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(str(directory / f"{name}.pem"))
    write_package(directory)
    command = [sys.executable, Path(__file__).with_name("lab.py"), directory]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(directory)},
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            addresses: dict[str, str] = json.loads((directory / "addresses.json").read_text())
            yield {**addresses, "pid": str(process.pid)}
        finally:
            os.kill(process.pid, signal.SIGKILL)


def write_package(directory: Path) -> None:
    """Write what a generated package of the lab says of itself; generating all of it would take seconds."""
    document = bundle(read_protocol(PROTOCOL))
    found = digests(document)
    package = directory / "lab_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "description.py").write_text(
        f"PROCEDURES, CALLBACKS = {dict(found.procedures)}, {dict(found.callbacks)}\n"
        f"PROTOCOL = {as_json(document)!r}\n"
    )
