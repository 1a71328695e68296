"""The house's layers: a module imports from the layers below its own, and never from beside or above."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUNTIME = ROOT / "runtime" / "enkaku"
CODEGEN = ROOT / "codegen" / "enkaku_codegen"

RUNTIME_LAYERS = (
    {"absent", "errors", "json_text", "quiet", "words"},
    {
        "anything",
        "building",
        "framing",
        "inbox",
        "limits",
        "messages",
        "signals",
        "surrogates",
        "transport",
        "unix_path",
        "version",
    },
    {"number"},
    {"unique"},
    {"checked"},
    {"declared"},
    {"exact"},
    {"alternatives", "model", "problems"},
    {"pydantic_problems", "schema_problems"},
    {"slots"},
    {"procedures"},
    {"call", "link", "socket_transport"},
    {"client", "handler"},
    {"calls"},
    {"session"},
    {"server"},
    {"sockets", "testing"},
)
CODEGEN_LAYERS = (
    {"annotations", "errors", "jsontree", "pattern", "regexes", "stamp", "stdlib"},
    {"constants", "text"},
    {"names"},
    # reading: files become a definition
    {"json_source", "nodes", "notes", "words", "yaml_source"},
    {"dialects", "load", "merge", "options", "variants"},
    {"forms", "mistakes", "schemas", "spots"},
    {"bundle", "library", "shape", "widen"},
    {"references"},
    {"declared", "verbatim"},
    {"definition"},
    # planning: a definition becomes names and shapes
    {"defaults", "plan"},
    {"atoms", "schema_planner", "shapes"},
    {"planner"},
    # proving: which shapes are as narrow as their schemas
    {"apart", "restore", "tags"},
    {"case", "models"},
    {"rules_arrays", "rules_logic", "rules_objects", "rules_values"},
    {"prove"},
    {"checks"},
    # writing: a plan becomes text
    {"views"},
    {"imports"},
    {"format", "render"},
    {"generate", "output"},
    {"prepare"},
    {"cli"},
    {"__main__"},
)
CLIENT_SIDE = {"client", "link"}
SERVER_SIDE = {"call", "calls", "handler", "server", "session"}
NETWORK = {"socket", "ssl", "socketserver", "selectors", "http", "urllib"}
MAY_USE_NETWORK = {"sockets", "unix_path"}


def modules(package: Path) -> list[str]:
    return sorted(path.stem for path in package.glob("*.py") if path.stem != "__init__")


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Each imported module with whether it is of the same package, wherever in the file it is imported."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((name.name.split(".")[0], False) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0], False
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0], True
        elif isinstance(node, ast.ImportFrom):
            yield from ((name.name, True) for name in node.names)


def siblings(path: Path) -> set[str]:
    return {name for name, inside in imports(path) if inside}


@pytest.mark.parametrize(
    ("package", "layers"), [(RUNTIME, RUNTIME_LAYERS), (CODEGEN, CODEGEN_LAYERS)]
)
def test_every_module_has_a_layer_and_imports_only_from_below(
    package: Path, layers: tuple[set[str], ...]
) -> None:
    level = {name: number for number, names in enumerate(layers) for name in names}
    assert sorted(level) == modules(package)
    for module in modules(package):
        upward = {
            name for name in siblings(package / f"{module}.py") if level[name] >= level[module]
        }
        assert not upward, f"{module} imports {upward}, which are not below it"


def test_the_client_and_the_server_do_not_know_each_other() -> None:
    for module in CLIENT_SIDE:
        assert not siblings(RUNTIME / f"{module}.py") & SERVER_SIDE
    for module in SERVER_SIDE:
        assert not siblings(RUNTIME / f"{module}.py") & CLIENT_SIDE


def test_only_the_sockets_touch_the_network() -> None:
    users = {
        module
        for module in modules(RUNTIME)
        if {name for name, inside in imports(RUNTIME / f"{module}.py") if not inside} & NETWORK
    }
    assert users == MAY_USE_NETWORK


def test_the_runtime_needs_little_and_nothing_of_the_generator() -> None:
    foreign = {
        name
        for path in RUNTIME.glob("*.py")
        for name, inside in imports(path)
        if not inside and name not in sys.stdlib_module_names
    }
    assert foreign == {"jsonschema_rs", "msgspec", "pydantic", "pydantic_core", "typing_extensions"}


def test_one_module_alone_loads_the_validator_which_is_an_extra() -> None:
    users = {
        path.stem
        for path in RUNTIME.glob("*.py")
        if any(
            isinstance(node, ast.ImportFrom) and node.module == "jsonschema_rs"
            for function in ast.walk(ast.parse(path.read_text()))
            if isinstance(function, ast.FunctionDef)
            for node in ast.walk(function)
        )
    }
    assert users == {"checked"}


def test_the_generator_does_not_import_the_runtime() -> None:
    for path in CODEGEN.glob("*.py"):
        assert "enkaku" not in {name for name, inside in imports(path) if not inside}, path.name


def test_one_module_alone_knows_the_model_generator() -> None:
    users = {
        path.stem
        for path in CODEGEN.glob("*.py")
        if "datamodel_code_generator" in {name for name, _ in imports(path)}
    }
    assert len(users) == 1
