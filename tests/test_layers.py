"""The folders' drawing: a folder or module imports only what is drawn below it. ``docs/architecture.md`` explains it."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUNTIME = ROOT / "runtime" / "enkaku"
CODEGEN = ROOT / "codegen" / "enkaku_codegen"

# From top to bottom. What stands in one row knows nothing of the others in it.
DRAWN = {
    RUNTIME: """
        pytest_plugin
        testing sync
        addresses
        connections serve
        asgi_app
        http_app
        both_ways
        preparation composition
        client server
        options
        calls
        procedures limits generated
        values flow transports event_loop identity
        wire
        _json _checks _version _log_limit web
        errors _lazy
    """,
    CODEGEN: """
        __main__
        commands
        calling
        prepare
        generate output comparing
        writing containment linting
        proving
        planning formatting
        reading project settings
        errors exit_codes fingerprint json_values
        inputs
    """,
}
NETWORK = {"socket", "ssl", "socketserver", "selectors", "http", "urllib"}


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    """Yield each imported module of a file, wherever it is imported, as the parts of its absolute name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (tuple(name.name.split(".")) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.parents[node.level - 1] if node.level else path.parent
            base = package.relative_to(ROOT).parts[1:] if node.level else ()
            module = (*base, *(node.module or "").split(".")) if node.module else base
            yield from ((*module, name.name) for name in node.names)


@pytest.mark.parametrize("package", DRAWN)
def test_folder_imports_only_what_is_drawn_below_it(package: Path) -> None:
    rows = DRAWN[package].split("\n")
    depth = {name: number for number, row in enumerate(rows) for name in row.split()}
    drawn = {path.stem for path in package.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert depth.keys() == drawn - {"__init__", "__pycache__"}
    for path in package.rglob("*.py"):
        here = path.relative_to(package).with_suffix("").parts[0]
        for module in imports(path):
            if here != "__init__" and module[0] == package.name and module[1] != here:
                assert depth[module[1]] > depth[here], f"{path} imports {'.'.join(module)}"


def test_only_sockets_folder_uses_network() -> None:
    for path in RUNTIME.rglob("*.py"):
        used = {module[0] for module in imports(path)} & NETWORK
        public = {
            "addresses.py",
            "connections.py",
            "serve.py",
        }  # whose arguments are sockets and contexts of TLS
        assert (
            not used
            or path.parent.name in {"sockets", "websocket", "http"}
            or path.name
            in {
                *public,
                "faulty_proxy.py",
                "service_manager.py",
            }
        ), f"{path} imports {used}"


def test_client_and_server_import_only_transport_interface() -> None:
    for folder in ("client", "server"):
        for path in (RUNTIME / folder).rglob("*.py"):
            for module in imports(path):
                if module[:2] == ("enkaku", "transports"):
                    assert module[2] in {
                        "base",
                        "lines",
                        "request",
                    }, f"{path} imports {'.'.join(module)}"


@pytest.mark.parametrize(
    ("library", "user"),
    [
        ("uvloop", "event_loop"),
        ("uvicorn", "uvicorn_server"),
        ("websockets", "dial"),
        ("aiohttp", "pool"),
        ("cryptography", "algorithms"),
        ("joserfc", "jose"),
        ("pytest", "pytest_plugin"),
        ("datamodel_code_generator", "models"),
    ],
)
def test_optional_library_has_one_user(library: str, user: str) -> None:
    files = [path for package in DRAWN for path in package.rglob("*.py")]
    users = [path.stem for path in files if library in {module[0] for module in imports(path)}]
    assert users == [user]


def test_only_one_module_uses_private_pydantic_names() -> None:
    # A class may say what its schema is by a method that pydantic documents.
    private = re.compile(r"__pydantic_|pydantic\._|_use_prebuilt|_namespace\b|_namespace_depth")
    users: set[str] = set()
    for package in DRAWN:
        for path in package.rglob("*.py"):
            source = path.read_text()
            shown = ast.get_docstring(ast.parse(source), clean=False) or ""
            code = source.replace(shown, "").replace("__get_pydantic_core_schema__", "")
            users |= {path.stem} if private.search(code) else set()
    assert users == {"pydantic_internals"}


def test_packages_declare_what_they_import() -> None:
    foreign = {
        package: {module[0] for path in package.rglob("*.py") for module in imports(path)}
        - sys.stdlib_module_names
        - {package.name}
        for package in DRAWN
    }
    optional = {
        *("aiohttp", "cryptography", "joserfc", "yarl"),
        *("jsonschema_rs", "pytest", "pytest_asyncio", "uvicorn", "uvloop", "websockets"),
    }
    assert foreign[RUNTIME] - optional == {
        "aiohappyeyeballs",
        "msgspec",
        "pydantic",
        "pydantic_core",
        "typing_extensions",
    }


def test_only_commands_and_calling_import_runtime() -> None:
    for path in CODEGEN.rglob("*.py"):
        used = {module[0] for module in imports(path)} & {"enkaku"}
        folder = path.parent.name
        assert not used or folder in {"calling", "commands"}, f"{path} imports the runtime"


def test_test_names_have_at_most_60_characters() -> None:
    names = [
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]
    assert [name for name in names if len(name) > 60] == []
