"""What all commands share: the dispatch, standard streams that are closed or full, and SIGINT at any time."""

import os
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from commands import enkaku
from tools.processes import ENKAKU, process

PROTOCOL = '{"ping": {"type": "event"}}'


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("chekc", "unknown command chekc; did you mean check?"),
        ("Generate", "unknown command Generate; did you mean generate?"),
        ("xyzzy", "unknown command xyzzy; enkaku --help lists them"),
        ("\x1b[2Jx", "unknown command \\x1b[2Jx; enkaku --help lists them"),
        ("", "unknown command ; enkaku --help lists them"),
        ("--chekc", "unrecognized arguments: --chekc"),
    ],
)
def test_unknown_command_names_a_similar_one(given: str, hint: str, tmp_path: Path) -> None:
    ran = enkaku(given, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"usage: enkaku COMMAND ...\nenkaku: error: {hint}\n"


@pytest.fixture
def broken_pipe() -> int:
    """A pipe that nothing reads."""
    source, sink = os.pipe()
    os.close(source)
    return sink


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("--version",), ("check", "--help"), ("check", "p.json", "--out", "o")],
    ids=" ".join,
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_closed_pipe_ends_quietly_with_141(
    arguments: tuple[str, ...], unbuffered: str, broken_pipe: int, tmp_path: Path
) -> None:
    (tmp_path / "p.json").write_text(PROTOCOL)
    ran = subprocess.run(
        [*ENKAKU, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        stdout=broken_pipe,
        stderr=subprocess.PIPE,
        text=True,
        timeout=50,
        check=False,
    )
    os.close(broken_pipe)
    assert (ran.returncode, ran.stderr) == (141, "")


@pytest.mark.parametrize("arguments", [("check", "none.json", "--out", "o"), ("chekc",)])
def test_closed_pipe_for_errors_ends_quietly(
    arguments: tuple[str, ...], broken_pipe: int, tmp_path: Path
) -> None:
    ran = subprocess.run(
        [*ENKAKU, *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=broken_pipe,
        timeout=50,
        check=False,
    )
    os.close(broken_pipe)
    assert (ran.returncode, ran.stdout) == (2 if arguments == ("chekc",) else 141, b"")


@pytest.mark.parametrize(
    ("redirection", "code", "printed"),
    [
        (">&-", 0, ""),
        (">&- 2>&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        ("2>&-", 0, "made: 7 written\n"),
    ],
)
def test_closed_streams_are_as_good_as_none(
    redirection: str, code: int, printed: str, tmp_path: Path
) -> None:
    (tmp_path / "p.json").write_text(PROTOCOL)
    ran = shell(f"generate p.json --out made {redirection}", tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (code, printed, "")
    assert (tmp_path / "made" / "client.py").read_text().startswith("# Generated")
    assert shell(f"--help {redirection}", tmp_path).returncode == 0
    ran = shell(f"check none.json --out o {redirection}", tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")


def shell(command: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"'{sys.executable}' -m enkaku_codegen {command}"],
        cwd=directory,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has it")
@pytest.mark.parametrize(
    ("command", "unbuffered"),
    [
        ("--help", ""),
        ("--help", "1"),
        ("check --help", ""),
        ("key --help", "1"),
        ("check p.json --out made", ""),
        ("check p.json --out made", "1"),
    ],
)
def test_full_disk_for_output_is_named(command: str, unbuffered: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(PROTOCOL)
    ran = shell(f"{command} > /dev/full", tmp_path, PYTHONUNBUFFERED=unbuffered)
    assert ran.returncode == 1
    assert ran.stderr.endswith("enkaku: the output can't be written: No space left on device\n")
    assert "Traceback" not in ran.stderr
    assert "Exception ignored" not in ran.stderr


@pytest.mark.parametrize(
    "arguments",
    ["generate p.json --out made", "check /p.json --out made", "format p.json", "lint p.json"],
)
def test_deleted_current_directory_is_an_error(arguments: str, tmp_path: Path) -> None:
    script = f"mkdir gone; cd gone; rmdir ../gone; '{sys.executable}' -m enkaku_codegen {arguments}"
    ran = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "the current directory" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    "module",
    [
        "enkaku_codegen.commands.main",
        "argparse",
        "enkaku_codegen.commands.generate",
        "enkaku_codegen.reading.definition",
        "black",
        "datamodel_code_generator",
    ],
)
def test_interrupt_while_importing_prints_nothing(module: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(PROTOCOL)
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
    )
    arguments = ("generate", "p.json", "--out", "made")
    ran = process(*arguments, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert (ran.returncode, ran.stdout, ran.stderr) == (128 + signal.SIGINT, "", "")
    assert not (tmp_path / "made").exists()


def test_version_without_installation_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.Distribution.from_name", _missing)
    ran = enkaku("--version", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "enkaku (not installed: no version)\n")


def _missing(name: str) -> object:
    raise PackageNotFoundError(name)
