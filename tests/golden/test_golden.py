"""Generated packages are what they were."""

import ast
import inspect
from pathlib import Path

import pytest
from enkaku_codegen.fingerprint import LANGUAGES, Language
from enkaku_codegen.reading.definition import read_protocol
from generated.packages import unformatted
from golden.refresh import (
    CLIENTS,
    IMPORTING,
    IMPORTS,
    PACKAGES,
    PROTOCOLS,
    WITH_CLIENTS,
    WITH_SYNC,
    client,
    generated,
    trading,
)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda path: path.stem)
def test_golden_package_is_unchanged(protocol: Path) -> None:
    directory = PACKAGES / protocol.stem
    there = {
        path.name: path.read_text(encoding="utf-8")
        for path in directory.iterdir()
        if path.is_file()
    }
    assert generated(protocol) == there, "if that is right: python tests/golden/refresh.py"


@pytest.mark.parametrize("name", WITH_CLIENTS)
def test_golden_client_is_unchanged(name: str) -> None:
    there = {path.name: path.read_text(encoding="utf-8") for path in (CLIENTS / name).iterdir()}
    assert client(WITH_CLIENTS[name]) == there, "if that is right: python tests/golden/refresh.py"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", IMPORTING)
def test_golden_package_with_imports_is_unchanged(name: str, language: Language) -> None:
    directory = IMPORTS / language / "trade" / name
    there = {
        path.name: path.read_text(encoding="utf-8")
        for path in directory.iterdir()
        if path.is_file()
    }
    assert trading(name, language) == there, "if that is right: python tests/golden/refresh.py"


def test_golden_clients_match_protocols() -> None:
    assert {path.name for path in CLIENTS.iterdir()} == WITH_CLIENTS.keys()


def test_golden_packages_match_protocols() -> None:
    assert {path.name for path in PACKAGES.iterdir()} == {path.stem for path in PROTOCOLS}


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda path: path.stem)
def test_formatting_preserves_program(protocol: Path) -> None:
    files = unformatted(
        read_protocol(protocol), source=protocol.name, sync=protocol.stem in WITH_SYNC
    )
    for name in files.keys() - {"py.typed"}:
        formatted = (PACKAGES / protocol.stem / name).read_text(encoding="utf-8")
        assert program(files[name]) == program(formatted)


def program(source: str) -> str:
    """Return what a source says to Python, but for the space around docstrings and before their lines."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text)) as docstring):
                docstring.value = inspect.cleandoc(text).rstrip()
    return ast.dump(tree)
