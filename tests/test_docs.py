"""The documentation is executed: its files are written, its commands run, their output compared.

In README.md and docs/: a fence behind ``<!-- file: NAME -->`` is a file, a ``console`` fence holds commands
(``$ ...``) with the output that they give, all in one fresh directory for each document.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(
    r"(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<kind>\w*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
NOT_EXECUTED = {"text", "makefile", "toml"}


@dataclass(frozen=True)
class Fence:
    file: str | None
    kind: str
    body: str


def fences(document: Path) -> list[Fence]:
    return [Fence(**match.groupdict()) for match in FENCE.finditer(document.read_text())]


def run(commands: str, directory: Path) -> str:
    # A document shows what a person sees: pytest says more where it believes that a CI reads it.
    environment = {
        **{name: value for name, value in os.environ.items() if name not in {"CI", "BUILD_NUMBER"}},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONWARNINGS": "error",
    }
    done = subprocess.run(
        ["bash", "-c", commands],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=50,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_shows_is_what_happens(document: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "server.pem")
    )
    for fence in fences(document):
        if fence.file is not None:
            path = tmp_path / fence.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(fence.body)
        elif fence.kind == "console":
            commands = [line[2:] for line in fence.body.splitlines() if line.startswith("$ ")]
            expected = [line for line in fence.body.splitlines() if not line.startswith("$ ")]
            assert run("\n".join(commands), tmp_path).splitlines() == expected
        else:
            assert fence.kind in NOT_EXECUTED, f"nobody executes this: {fence.body[:80]}"


def test_every_document_in_the_folder_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for document in (ROOT / "docs").glob("*.md"):
        assert f"docs/{document.name}" in readme


def test_the_readme_shows_the_counter_example_as_it_is() -> None:
    shown = {fence.file: fence.body for fence in fences(ROOT / "README.md") if fence.file}
    folder = ROOT / "examples" / "counter"
    assert (folder / "main.py").read_text().partition('"""\n\n')[2] in shown.values()
    assert (folder / "protocol.json").read_text() in shown.values()
