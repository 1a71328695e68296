"""Public names: listed once, and the same in the package and in the reference documentation."""

import importlib
import re
from dataclasses import fields
from pathlib import Path
from textwrap import indent
from typing import get_origin

import enkaku

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference.md"
PACKAGE = ROOT / "runtime" / "enkaku"


def test_public_names_exist_and_have_docstrings() -> None:
    assert enkaku.__all__ == sorted(
        set(enkaku.__all__), key=lambda name: (not name.isupper(), name)
    )
    for name in enkaku.__all__:
        value = getattr(enkaku, name)
        is_alias = (
            get_origin(value) is not None
        )  # such as a Literal, which cannot hold its docstring
        assert name.isupper() or is_alias or (value.__doc__ or "").strip(), name


def modules() -> list[str]:
    paths = [path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")]
    return [
        ".".join(path.parts) for path in paths if path.stem not in {"__init__", "pytest_plugin"}
    ]


def test_public_names_are_public_in_their_modules() -> None:
    public = {
        name for each in modules() for name in importlib.import_module(f"enkaku.{each}").__all__
    }
    assert set(enkaku.__all__) - {"sync"} <= public  # which is a module


def test_other_names_have_underscores() -> None:
    names = {
        name for name in vars(enkaku) if not name.startswith(("_", "@"))
    }  # "@" is pytest's own
    folders = {each.partition(".")[0] for each in modules()} | {"pytest_plugin"}
    assert names - set(enkaku.__all__) <= folders


def test_reference_documents_exactly_the_public_names() -> None:
    documented = re.findall(r"^### `(\w+)", REFERENCE.read_text(), flags=re.MULTILINE)
    assert sorted(documented) == sorted(enkaku.__all__)


def test_reference_documents_exactly_the_names_of_sync() -> None:
    documented = re.findall(r"^#### `sync\.(\w+)", REFERENCE.read_text(), flags=re.MULTILINE)
    assert sorted(documented) == sorted(enkaku.sync.__all__)


def test_limits_table_names_every_limit() -> None:
    _, _, behind = (ROOT / "docs" / "serving.md").read_text().partition("| limit | default |")
    rows = behind.partition("\n\n")[0].splitlines()[2:]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(each.name for each in fields(enkaku.Limits))


def test_reference_shows_error_hierarchy() -> None:
    drawn = re.search(
        r"^EnkakuError\n.*?(?=^```$)", REFERENCE.read_text(), re.MULTILINE | re.DOTALL
    )
    assert drawn is not None
    told = importlib.import_module("enkaku.errors").__doc__ or ""
    assert indent(drawn.group(), "    ") in told
    classes = [getattr(enkaku, name) for name in enkaku.__all__]
    errors = {
        each.__name__
        for each in classes
        if isinstance(each, type) and issubclass(each, enkaku.EnkakuError)
    }
    assert set(re.findall(r"^[│├└─ ]*(\w+)", drawn.group(), re.MULTILINE)) == errors
