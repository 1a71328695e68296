"""Completion of command lines: what the scripts ask, and the scripts in real shells."""

import os
import pty
import resource
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import chdir
from pathlib import Path

import pytest
from commands import enkaku
from enkaku_codegen.commands.completing import complete
from enkaku_codegen.commands.main import COMMANDS, load_command
from support import WITHIN

PROTOCOL = """
name: Shop
$defs: { Order: { type: object } }
procedures:
  order/create: { type: request, param: { $ref: "#/$defs/Order" } }
  order/follow: { type: stream, receive: { type: integer } }
  "basket": { type: event }
"""
BARE = '{"time/now": {"type": "request"}, "$schema": "x", "time/ticks": {"type": "stream"}}'


def texts(*words: str) -> list[str] | None:
    found = complete(["enkaku", *words])
    return None if found is None else [each.text for each in found]


@pytest.fixture
def directory(tmp_path: Path) -> Generator[Path]:
    with chdir(tmp_path):
        yield tmp_path


def test_complete_lists_every_command() -> None:
    assert texts("") == [each.name for each in COMMANDS]
    assert texts("he") == ["health"]
    assert texts("--") == ["--help", "--version"]


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_complete_lists_every_option_of_a_command(entry: object) -> None:
    name: str = entry.name  # type: ignore[attr-defined] # an Entry
    _, parser = load_command(next(each for each in COMMANDS if each.name == name))
    shown = {
        text
        for action in parser._actions
        if action.help != "==SUPPRESS=="
        for text in action.option_strings
    }
    assert {*(texts(name, "-") or ())} == shown


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["generate", "--language", ""], ["python", "typescript"]),
        (["generate", "--language=t"], ["--language=typescript"]),
        (["generate", "--language", "python", "--lang"], []),
        (["generate", ""], None),
        (["generate", "--out", ""], None),
        (["generate", "--import=a"], None),
        (["health", "--wait", ""], []),
        (["health", "unix:/x", ""], []),
        (["health", "--ca", "x"], None),
        (["health", "--errors", "j"], ["json"]),
        (["health", "t"], ["tcp:", "tls:"]),
        (["health", "--", "--"], []),
        (["key", ""], ["make", "show"]),
        (["key", "make", "--alg", "E"], ["EdDSA", "ES256"]),
        (["key", "make", "--a"], ["--alg"]),
        (["key", "make", ""], None),
        (["key", "unknown", ""], []),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["unknown", ""], []),
    ],
)
def test_complete_follows_the_parser(words: list[str], expected: list[str] | None) -> None:
    assert texts(*words) == expected


def test_complete_address_lists_sockets_and_directories(directory: Path, socket_path: Path) -> None:
    parent = socket_path.parent
    (parent / "below").mkdir()
    (parent / "file").touch()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(socket_path))
        assert {*(texts("health", f"unix:{parent}/") or ())} == {
            f"unix:{parent}/below/",
            f"unix:{socket_path}",
        }
        assert texts("health", f"{parent}/s") == [str(socket_path)]
    assert texts("health", "unix:/no such directory/") == []


def test_complete_hides_names_with_control_characters(directory: Path) -> None:
    (directory / "a\x1b[31m").mkdir()
    (directory / "a b").mkdir()
    assert texts("health", "unix:a") == ["unix:a b/"]


def procedures(*words: str) -> set[str]:
    """What an argument called PROCEDURE is completed with; a command that has one."""
    return {*(texts(*words, "") or ())}


@pytest.fixture
def caller(monkeypatch: pytest.MonkeyPatch) -> str:
    """A command with the arguments of those that call procedures."""
    import argparse  # noqa: PLC0415 # of this fixture

    from enkaku_codegen.commands import completing  # noqa: PLC0415 # of this fixture

    def load(_: object) -> tuple[None, argparse.ArgumentParser]:
        parser = argparse.ArgumentParser()
        parser.add_argument("address", metavar="ADDRESS")
        parser.add_argument("procedure", metavar="PROCEDURE")
        parser.add_argument("--protocol", metavar="FILE")
        parser.add_argument("--package")
        return None, parser

    monkeypatch.setattr(completing, "load_command", load)
    return "health"


def test_complete_procedure_reads_the_protocol(directory: Path, caller: str) -> None:
    (directory / "shop.yaml").write_text(PROTOCOL)
    (directory / "time.json").write_text(BARE)
    shop, times = {"order/create", "order/follow", "basket"}, {"time/now", "time/ticks"}
    assert procedures(caller, "unix:/x", "--protocol", "shop.yaml") == shop
    assert procedures(caller, "--protocol=time.json", "unix:/x") == times
    assert procedures(caller, "--protocol", "none.yaml", "unix:/x") == set()
    assert procedures(caller, "unix:/x") == set()
    (directory / "enkaku.toml").write_text(
        '[[protocol]]\nfile = "shop.yaml"\n[[protocol]]\nfile = "time.json"\n'
    )
    assert procedures(caller, "unix:/x") == shop | times
    assert procedures(caller, "unix:/x", "order/create") == set()


def test_complete_procedure_reads_a_file_with_errors(directory: Path, caller: str) -> None:
    (directory / "broken.yaml").write_text(PROTOCOL + "  other: [\n")
    assert "order/follow" in procedures(caller, "unix:/x", "--protocol", "broken.yaml")
    (directory / "broken.json").write_text(BARE[:-1])
    assert procedures(caller, "unix:/x", "--protocol", "broken.json") == set()
    (directory / "enkaku.toml").write_text("[[protocol")
    assert procedures(caller, "unix:/x") == set()


def test_complete_procedure_reads_a_package_without_importing_it(
    directory: Path, caller: str
) -> None:
    package = directory / "src" / "app" / "times"
    package.mkdir(parents=True)
    for each in (package.parent, package):
        (each / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "procedures.py").write_text(
        'NOW: Final = enkaku.Request[None, str]("time/now", result=str)\nx = 1\n'
    )
    assert procedures(caller, "unix:/x", "--package", "app.times") == {"time/now"}
    assert procedures(caller, "unix:/x", "--package", "app.none") == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str, tmp_path: Path) -> None:
    done = enkaku("completion", shell, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"completion {shell}" in done.stdout


def test_completion_of_unknown_shell_is_a_usage_error(tmp_path: Path) -> None:
    assert enkaku("completion", "tcsh", cwd=tmp_path).returncode == 2
    assert enkaku("completion", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize(
    ("line", "breaks", "expected"),
    [
        ("enkaku hea", ":=", ["values", "health"]),
        ("enkaku health tc", ":=", ["values", "tcp:"]),
        ("enkaku health unix:di", ":=", ["values", r"dir\ one/"]),
        ("enkaku health unix:di", "", ["values", r"unix:dir\ one/"]),
        (r"enkaku health unix:dir\ o", ":=", ["values", r"dir\ one/"]),
        ("enkaku health 'unix:di", ":=", ["values", "unix:dir one/"]),
        ('enkaku health "unix:di', ":=", ["values", "unix:dir one/"]),
        ("enkaku generate --language=p", ":=", ["values", "python"]),
        ("enkaku health --ca ", ":=", ["files"]),
        ("enkaku health 'it", ":=", ["values"]),
    ],
)
def test_completion_answers_bash(
    line: str, breaks: str, expected: list[str], directory: Path
) -> None:
    (directory / "dir one").mkdir()
    assert enkaku("completion", "bash", line, breaks, cwd=directory).stdout.split("\n")[:-1] == (
        expected
    )


def test_completion_loads_neither_runtime_nor_generator(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(PROTOCOL)
    program = (
        "import sys\n"
        "from enkaku_codegen.commands.completing import _names_in, complete\n"
        "from enkaku_codegen.commands.main import COMMANDS\n"
        "from pathlib import Path\n"
        "for each in COMMANDS: complete(['enkaku', each.name, '-'])\n"
        "assert _names_in(Path('shop.yaml'))\n"
        "print(*{each.partition('.')[0] for each in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        cwd=tmp_path,
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"enkaku", "pydantic", "msgspec", "black", "jinja2", "jsonschema_rs"}


def test_completion_takes_little_cpu_time(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "enkaku_codegen", "completion", "zsh", "enkaku", "generate"]
    found: list[float] = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*command, "--"], check=True, capture_output=True, cwd=tmp_path, timeout=30)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(found) < 0.3


# In real shells


@pytest.fixture
def shell_directory(socket_path: Path) -> Generator[tuple[Path, dict[str, str]]]:
    """A directory with a socket, and an environment with the command."""
    directory = socket_path.parent
    script = directory / "bin" / "enkaku"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m enkaku_codegen "$@"\n')
    script.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{script.parent}:{os.environ['PATH']}",
        "HOME": str(directory),
        "XDG_CONFIG_HOME": str(directory),
        "TERM": "dumb",
        "PS1": "$ ",
    }
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(directory / "app.sock"))
        yield directory, environment


def typed(
    command: list[str], lines: list[str], expected: str, directory: Path, env: dict[str, str]
) -> str:
    """Type into a shell on a terminal, and return what it shows, once it shows what is expected."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        command,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        cwd=directory,
        env=env,
        start_new_session=True,
    ) as process:
        os.close(follower)
        shown = b""
        try:
            for line in lines:
                os.write(leader, line.encode())
            ends = time.monotonic() + WITHIN
            while expected.encode() not in shown and time.monotonic() < ends:
                if select.select([leader], [], [], 0.1)[0]:
                    shown += os.read(leader, 4096)
        finally:
            process.kill()
            os.close(leader)
    return shown.decode(errors="replace")


@pytest.mark.parametrize(
    ("typing", "expected"),
    [
        ("echo enkaku; enkaku healt\t--err\tj\t", "enkaku health --errors json"),
        ("enkaku health unix:ap\t", "enkaku health unix:app.sock"),
        ("enkaku generate --language=ty\t", "enkaku generate --language=typescript"),
    ],
)
def test_completion_in_bash(
    typing: str, expected: str, shell_directory: tuple[Path, dict[str, str]]
) -> None:
    directory, env = shell_directory
    bash = ["bash", "--noprofile", "--norc", "-i"]
    lines = ["source <(enkaku completion bash)\n", typing]
    assert expected in typed(bash, lines, expected, directory, env)


@pytest.mark.slow
def test_completion_in_zsh(shell_directory: tuple[Path, dict[str, str]]) -> None:
    zsh = shutil.which("zsh")
    assert zsh is not None, "zsh is not installed: make shells"
    directory, env = shell_directory
    start = "autoload -Uz compinit && compinit -u && source <(enkaku completion zsh)\n"
    for typing, expected in [
        ("enkaku healt\t", "enkaku health "),
        ("enkaku health unix:ap\t", "enkaku health unix:app.sock"),
        ("enkaku generate --language ty\t", "enkaku generate --language typescript"),
    ]:
        assert expected in typed([zsh, "-f", "-i"], [start, typing], expected, directory, env)


@pytest.mark.slow
def test_completion_in_fish(shell_directory: tuple[Path, dict[str, str]]) -> None:
    fish = shutil.which("fish")
    assert fish is not None, "fish is not installed: make shells"
    directory, env = shell_directory
    for line, expected in [
        ("enkaku healt", "health\task a server whether it serves\n"),
        ("enkaku health unix:ap", "unix:app.sock\n"),
        ("enkaku key make --alg E", "EdDSA\nES256\n"),
        ("enkaku generate ap", "app.sock\n"),
    ]:
        program = f"enkaku completion fish | source; complete -C '{line}'"
        done = subprocess.run(
            [fish, "--no-config", "-c", program],
            cwd=directory,
            env=env,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert done.stdout == expected
