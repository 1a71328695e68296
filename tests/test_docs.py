"""The documentation is executed: its files are written, its commands run, their output compared.

In README.md and docs/: a fence behind ``<!-- file: NAME -->`` is a file, a ``console`` fence holds commands
(``$ ...``) with the output that they give, all in one fresh directory for each document. What a plain ``enkaku``
command does is asked within this process, for it would spend most of its time on imports; all else is asked of a shell.
"""

import itertools
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import trustme
from commands import enkaku

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
LINKING = [*DOCUMENTS, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
FENCE = re.compile(
    r"(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<kind>\w*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
NOT_EXECUTED = {"text", "makefile", "toml"}
PLAIN = re.compile(r"enkaku(?: [\w./-]+)+")


@dataclass(frozen=True)
class Fence:
    file: str | None
    kind: str
    body: str


def fences(document: Path) -> list[Fence]:
    return [Fence(**match.groupdict()) for match in FENCE.finditer(document.read_text())]


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
        **{name: value for name, value in os.environ.items() if name not in {"CI", "BUILD_NUMBER"}},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
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
            assert run(commands, tmp_path).splitlines() == expected
        else:
            assert fence.kind in NOT_EXECUTED, f"nobody executes this: {fence.body[:80]}"


def test_every_document_in_the_folder_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for document in (ROOT / "docs").glob("*.md"):
        assert f"docs/{document.name}" in readme


def test_readme_has_at_most_100_lines() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100


LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#]*)(?:#(?P<heading>[^)]*))?\)")


def anchors(document: Path) -> set[str]:
    """Return what GitHub makes of the headings of a document, for links to them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("document", LINKING, ids=lambda path: path.name)
def test_links_lead_to_existing_files_and_headings(document: Path) -> None:
    for match in LINK.finditer(FENCE.sub("", document.read_text())):
        target = (document.parent / match["path"]).resolve() if match["path"] else document
        assert target.exists(), match[0]
        assert match["heading"] is None or match["heading"] in anchors(target), match[0]
