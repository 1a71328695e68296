"""What a program loads at its start, and what only when it asks for it."""

import ast
import subprocess
import sys
from pathlib import Path

import enkaku
import pytest

SOURCE = Path(enkaku.__file__)


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.strip()


def test_import_loads_only_what_generated_code_needs() -> None:
    loaded = run("import sys, enkaku; print(*sys.modules)").split()
    late = {
        f"enkaku.{name}"
        for name in (
            "addresses",
            "connections",
            "serve",
            "server.broadcast",
            "server.server",
            "server.session",
            "sync",
            "testing",
            "transports.sockets",
        )
    }
    foreign = {"enkaku_codegen", "jsonschema_rs", "uvloop", "pytest", "yaml", "jinja2", "black"}
    assert not (late | foreign) & set(loaded)


@pytest.mark.parametrize("name", enkaku.__all__)
def test_public_name_is_loaded_in_any_order(name: str) -> None:
    # Its module may be loaded already, by another test, and must not stand in its place.
    assert getattr(enkaku, name) is vars(enkaku)[name]


def test_public_names_are_listed_in_fresh_process() -> None:
    assert run("import enkaku; print(set(enkaku.__all__) - set(dir(enkaku)))") == "set()"
    assert run("from enkaku import *; print(serve_unix.__module__)") == "enkaku.serve"
    assert run("import enkaku; print(enkaku.Broadcast.__module__)") == "enkaku.server.broadcast"


def test_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'enkaku' has no attribute 'serve_pigeon'"):
        enkaku.serve_pigeon  # type: ignore[attr-defined] # noqa: B018 # that is the point


def test_lazy_names_match_type_checking_imports() -> None:
    branch = next(each for each in ast.parse(SOURCE.read_text()).body if isinstance(each, ast.If))
    told = {
        (each.module or each.names[0].name).removeprefix("enkaku."): tuple(
            name.name for name in each.names
        )
        for each in branch.body
        if isinstance(each, ast.ImportFrom)
    }
    calls = [each for each in ast.walk(branch) if isinstance(each, ast.Call)]
    assert len(calls) == 1
    assert told == ast.literal_eval(calls[0].args[1])


def test_command_help_loads_no_generator_dependencies() -> None:
    loaded = run(
        "import sys, contextlib, io\n"
        "from enkaku_codegen.commands.main import run\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): run(['--help'])\n"
        "print(*sys.modules)"
    ).split()
    assert "enkaku_codegen.commands.main" in loaded
    assert not {
        "datamodel_code_generator",
        "jsonschema",
        "jinja2",
        "black",
        "yaml",
        "pydantic",
        "enkaku",
    } & set(loaded)
