"""A package that is up to date is recognised without being generated, and no other is taken for one."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from enkaku_codegen import fingerprint as fingerprints
from enkaku_codegen.commands.main import run
from enkaku_codegen.fingerprint import ABOUT, FINGERPRINT_FILE, MARKER, Request, is_fresh
from enkaku_codegen.reading.definition import read_protocol

MAIN = """\
name: Shop
procedures:
  order:
    type: request
    param: {$ref: "parts/common.yaml#/$defs/Order"}
"""
COMMON = "$defs: {Order: {properties: {price: {$ref: ../money.json}}}}\n"
TEMPLATE = '{% include "header.jinja" %}\n{{ "mine" | pyrepr }}\n'


def write_protocol(path: Path, procedures: int) -> None:
    """Write a protocol of that many streams, each with three objects of three properties."""
    names = iter(range(procedures * 9))
    content = {
        f"area/stream{number}": {
            "type": "stream",
            **{
                slot: {
                    "type": "object",
                    "properties": {f"value{next(names)}": {"type": "string"} for _ in range(3)},
                    "additionalProperties": False,
                }
                for slot in ("param", "receive", "result")
            },
        }
        for number in range(procedures)
    }
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    (root / "src" / "parts").mkdir(parents=True)
    (root / "src" / "main.yaml").write_text(MAIN)
    (root / "src" / "parts" / "common.yaml").write_text(COMMON)
    (root / "src" / "money.json").write_text('{"type": "integer"}')
    (root / "templates").mkdir()
    (root / "templates" / "client.py.jinja").write_text(TEMPLATE)
    _generate(root)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    return copy


def _arguments(root: Path) -> list[str]:
    own = ["--templates", str(root / "templates")]
    return [str(root / "src" / "main.yaml"), "--out", str(root / "out"), *own]


def _generate(root: Path) -> None:
    assert run(["generate", *_arguments(root)]) == 0


def _is_fresh(root: Path, name: str | None = None) -> bool:
    request = Request(root / "src" / "main.yaml", name, root / "templates")
    return is_fresh(request, root / "out")


def test_fingerprint_is_independent_of_location(root: Path) -> None:
    assert _is_fresh(root)
    text = (root / "out" / FINGERPRINT_FILE).read_text()
    content = json.loads(text)
    assert list(content["sources"]) == ["main.yaml", "money.json", "parts/common.yaml"]
    assert list(content["templates"]) == ["client.py.jinja"]
    assert content["protocol"] == "main.yaml"
    assert str(root.parent.parent) not in text
    _generate(root)
    assert (root / "out" / FINGERPRINT_FILE).read_text() == text


def test_fingerprint_with_relative_paths_is_fresh(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root / "src")
    assert is_fresh(Request(Path("main.yaml"), None, Path("../templates")), Path("../out"))


def _append(path: str) -> Callable[[Path], object]:
    return lambda root: (root / path).write_text((root / path).read_text() + "\n")


CHANGES: dict[str, Callable[[Path], object]] = {
    "protocol": _append("src/main.yaml"),
    "file that it refers to": _append("src/parts/common.yaml"),
    "file that this one refers to": _append("src/money.json"),
    "missing file": lambda root: (root / "src" / "money.json").unlink(),
    "template": _append("templates/client.py.jinja"),
    "new template": lambda root: (root / "templates" / "new.jinja").write_text(""),
    "no templates": lambda root: shutil.rmtree(root / "templates"),
    "edited output": _append("out/client.py"),
    "removed output": lambda root: (root / "out" / "models.py").unlink(),
    "linked output": lambda root: _link(root / "out" / "models.py"),
    "output of an older version": lambda root: (root / "out" / "old.py").write_text(
        f"{MARKER}x.json: do not edit.\n"
    ),
    "no fingerprint": lambda root: (root / "out" / FINGERPRINT_FILE).unlink(),
    "edited fingerprint": _append(f"out/{FINGERPRINT_FILE}"),
}


def _link(path: Path) -> None:
    elsewhere = path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(elsewhere)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_fingerprint_any_change_is_detected(change: Callable[[Path], object], root: Path) -> None:
    change(root)
    assert not _is_fresh(root)


def test_fingerprint_other_name_or_version_is_detected(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not _is_fresh(root, "Other")
    monkeypatch.setattr(fingerprints.importlib.metadata, "version", lambda _: "99")
    assert not _is_fresh(root)


def test_fingerprint_generator_change_is_detected(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = fingerprints._read
    monkeypatch.setattr(
        fingerprints,
        "_read",
        lambda path, link=True: original(path, link=link) + b" " * (path.name == "planner.py"),
    )
    assert not _is_fresh(root)


def test_fingerprint_ignores_foreign_files_and_directories(root: Path) -> None:
    (root / "out" / "mine.py").write_text("x = 1\n")
    (root / "out" / "__pycache__").mkdir()
    assert _is_fresh(root)


HOSTILE = {
    "empty": "",
    "no json": "{",
    "deep": "[" * 100_000,
    "null": "null",
    "other": '{"sources": {}}',
    "types": f'{ABOUT}", "sources": [1], "files": null}}',
    "no files": f'{ABOUT}", "sources": {{"main.yaml": ""}}, "files": {{}}}}',
    "elsewhere": f'{ABOUT}", "sources": {{"main.yaml": ""}}, "files": {{"../src/main.yaml": ""}}}}',
    "parent": f'{ABOUT}", "sources": {{"main.yaml": ""}}, "files": {{"..": ""}}}}',
    "device": f'{ABOUT}", "sources": {{"main.yaml": "", "/dev/zero": ""}}, "files": {{"a": ""}}}}',
    "null byte": f'{ABOUT}", "sources": {{"main.yaml": "", "\\u0000": ""}}, "files": {{"a": ""}}}}',
    "half": f'{ABOUT}", "sources": {{"main.yaml": "", "\\ud800": ""}}, "files": {{"a": ""}}}}',
    "many": f'{ABOUT}", "sources": {json.dumps(dict.fromkeys(map(str, range(20_000))))}, "files": {{}}}}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_fingerprint_invalid_is_not_fresh(
    text: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "out" / FINGERPRINT_FILE).write_text(text)
    assert not _is_fresh(root)
    assert run(["check", *_arguments(root)]) == 0
    assert capsys.readouterr() == ("", "")


def test_fingerprint_not_a_regular_file_is_not_fresh(root: Path) -> None:
    fingerprint = root / "out" / FINGERPRINT_FILE
    fingerprint.unlink()
    os.mkfifo(fingerprint)
    assert not _is_fresh(root)
    assert run(["generate", *_arguments(root)]) == 0
    assert fingerprint.is_fifo(), "what is not ours is left alone"
    fingerprint.unlink()
    with fingerprint.open("wb") as file:
        file.truncate(2**40)
    assert not _is_fresh(root)


def test_fingerprint_stale_does_not_make_package_stale(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fingerprint = root / "out" / FINGERPRINT_FILE
    text = fingerprint.read_text()
    fingerprint.write_text(text.replace('"Shop"', '"Other"').replace("null", '"Old"'))
    assert run(["check", *_arguments(root)]) == 0
    assert run(["generate", *_arguments(root)]) == 0
    assert capsys.readouterr() == (f"{root}/out: up to date\n", "")
    assert fingerprint.read_text() == text
    fingerprint.write_text("mine")
    assert run(["generate", *_arguments(root)]) == 0
    assert fingerprint.read_text() == "mine", "what is not ours is left alone"


def test_fingerprint_unwritable_package_is_up_to_date(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "out" / FINGERPRINT_FILE).unlink()

    def fail(path: Path, _: bytes) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "write_bytes", fail)
    assert run(["generate", *_arguments(root)]) == 0
    assert capsys.readouterr().out == f"{root}/out: up to date\n"


def test_sources_include_every_path_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("true")
    (tmp_path / "link.json").symlink_to("a.json")
    (tmp_path / "far").mkdir()
    (tmp_path / "directory").symlink_to("far")
    both = {"anyOf": [{"$ref": "a.json"}, {"$ref": "link.json"}, {"$ref": "far/../a.json"}]}
    main = tmp_path / "main.json"
    main.write_text(json.dumps({"p": {"type": "event", "data": both}}))
    assert list(read_protocol(main).sources) == ["a.json", "link.json", "main.json"]


def test_fingerprint_path_through_symlink_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to("deep/er")
    (tmp_path / "deep" / "a.json").write_text("true")
    main = tmp_path / "main.json"
    main.write_text(json.dumps({"p": {"type": "event", "data": {"$ref": "link/../a.json"}}}))
    assert read_protocol(main).sources == {}
    for _ in range(2):
        assert run(["generate", str(main), "--out", str(tmp_path / "out")]) == 0
    assert not (tmp_path / "out" / FINGERPRINT_FILE).exists()


def test_fingerprint_check_of_many_procedures_is_fast(tmp_path: Path) -> None:
    protocol, out = tmp_path / "main.json", tmp_path / "out"
    write_protocol(protocol, 500)
    out.mkdir()
    files = {f"{name}.py": f"{MARKER}\n{'x = 1' * 50_000}\n" for name in ("models", "client")}
    for name, text in files.items():
        (out / name).write_text(text)
    text = fingerprints.fingerprint(
        Request(protocol, None, None),
        {"main.json": fingerprints.digest(protocol.read_bytes())},
        files,
    )
    (out / FINGERPRINT_FILE).write_text(text or "")
    code = (
        "import sys; from enkaku_codegen.__main__ import main; code = main(); "
        "heavy = {'black', 'jinja2', 'jsonschema', 'jsonschema_rs', 'pydantic', 'yaml'}; "
        "sys.exit(code or bool(heavy & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", code, "check", str(protocol), "--out", str(out)]
    start = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert (
        time.perf_counter() - start < 5
    ), "where generating takes many seconds, whatever the machine"
