"""The house's layers: a module imports from the layers below its own, and never from beside or above."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUNTIME = ROOT / "runtime" / "enkaku"
CODEGEN = ROOT / "codegen" / "enkaku_codegen"


def layer(*names: str) -> set[str]:
    """A layer, its modules written one behind the other."""
    return set(" ".join(names).split())


RUNTIME_LAYERS = (
    layer(
        "absent capacity conditions errors expiries framing full gate gathering json_text later lifecycle loops quiet",
        "read_buffer room signals silence socket_state states turns watched window words",
    ),
    layer("pydantic_internals"),
    layer(
        "activation anything building encoding inbox messages outbox problems surrogates tls transport",
        "until_closed usage version",
    ),
    layer(
        "deadline depth faulty_wire limits number reconnect schema_problems socket_options unix_path"
    ),
    # values: what a slot reads and writes
    layer("exact faults plain_scalars socket_transport unique"),
    layer("alternatives checked dialing faulty_proxy listening model plain pydantic_problems"),
    layer("declared slots"),
    layer("procedures"),
    # calls: what both sides know of one, and each side's own view
    layer("facts"),
    layer("observer"),
    layer("call life link options"),
    layer("answers links requests stream_call"),
    layer("client_events server_streams subscriber"),
    layer("handler"),
    layer("broadcast policy relinking streams"),
    layer("calls channels refusals reopen"),
    layer("client session"),
    layer("server"),
    # connections: what people use
    layer("sockets testing"),
    layer("pytest_plugin"),
)


def within(package: str, *layers: set[str]) -> tuple[set[str], ...]:
    return tuple({f"{package}.{name}" for name in layer} for layer in layers)


CODEGEN_LAYERS = (
    {"errors", "jsontree", "stamp"},
    *within(
        "reading",  # files become a definition
        {"json_source", "nodes", "regexes", "words", "yaml_source"},
        {"dialects", "load", "options"},
        {"mistakes", "schemas", "spots"},
        {"bundle", "library", "shape"},
        {"references"},
        {"declared", "verbatim"},
        {"definition"},
    ),
    *within(
        "planning",  # a definition becomes names and shapes
        {"merge", "names", "pattern", "plan", "stdlib"},
        {"forms", "notes", "variants"},
        {"defaults", "widen"},
        {"schema_planner"},
        {"planner"},
    ),
    *within(
        "proving",  # which shapes are as narrow as their schemas
        {"atoms", "constants"},
        {"apart"},
        {"case"},
        {"rules_arrays", "rules_logic", "rules_objects", "rules_values"},
        {"prove"},
        {"checks"},
    ),
    *within(
        "writing",  # a plan becomes text
        {"annotations", "format", "shapes", "tags", "text"},
        {"restore"},
        {"models"},
        {"imports", "views"},
        {"render"},
    ),
    {"generate", "output"},
    {"prepare"},
    {"cli"},
    {"__main__"},
)
CLIENT_SIDE = layer(
    "channels client client_events link links reconnect relinking reopen requests streams"
)
SERVER_SIDE = layer(
    "answers broadcast call calls capacity handler life outbox policy refusals server server_streams session subscriber until_closed"
)
NETWORK = {"socket", "ssl", "socketserver", "selectors", "http", "urllib"}
MAY_USE_NETWORK = layer(
    "activation dialing faulty_proxy listening socket_options socket_transport sockets tls unix_path"
)
PYTEST = {"pytest", "pytest_asyncio"}


def modules(package: Path) -> list[str]:
    """Each module by its name below the package, such as ``errors`` or ``reading.load``."""
    paths = (path.relative_to(package) for path in package.rglob("*.py"))
    return sorted(".".join(path.with_suffix("").parts) for path in paths if path.stem != "__init__")


def source(package: Path, module: str) -> Path:
    return package.joinpath(*module.split(".")).with_suffix(".py")


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Each imported module with whether it is of the same package, wherever in the file it is imported.

    One of the same package is told by its name below it.
    """
    package = next(each for each in (RUNTIME, CODEGEN) if path.is_relative_to(each))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((name.name.split(".")[0], False) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = (node.module or "").split(".") if node.module else []
            if node.level:
                place = path.parents[node.level - 1].relative_to(package.parent).parts
                parts = [*place, *parts]
            if parts[0] != package.name:
                yield parts[0], False
            elif source(package, ".".join(parts[1:])).exists():
                yield ".".join(parts[1:]), True
            else:
                yield from ((".".join([*parts[1:], name.name]), True) for name in node.names)


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
            name for name in siblings(source(package, module)) if level[name] >= level[module]
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
    assert foreign - PYTEST == {
        "jsonschema_rs",
        "msgspec",
        "pydantic",
        "pydantic_core",
        "typing_extensions",
        "uvloop",
    }


def test_one_module_alone_names_what_is_private_to_pydantic() -> None:
    # A class may say what its schema is by a method that pydantic documents.
    private = re.compile(r"__pydantic_|pydantic\._|_use_prebuilt|_namespace\b|_namespace_depth")
    users = {
        path.stem
        for path in [*RUNTIME.rglob("*.py"), *CODEGEN.rglob("*.py")]
        if private.search(path.read_text().replace("__get_pydantic_core_schema__", ""))
    }
    assert users == {"pydantic_internals"}


def test_one_module_alone_loads_uvloop_which_is_an_extra() -> None:
    users = {
        path.stem
        for path in RUNTIME.glob("*.py")
        if any(
            isinstance(node, ast.ImportFrom) and node.module == "uvloop"
            for node in ast.walk(ast.parse(path.read_text()))
        )
    }
    assert users == {"loops"}


def test_one_module_alone_knows_pytest_and_no_other_loads_it() -> None:
    users = {
        path.stem
        for path in RUNTIME.glob("*.py")
        if {name for name, _ in imports(path)} & (PYTEST | {"pytest_plugin"})
    }
    assert users == {"pytest_plugin"}


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
    for path in CODEGEN.rglob("*.py"):
        assert "enkaku" not in {name for name, inside in imports(path) if not inside}, path.name


def test_one_module_alone_knows_the_model_generator() -> None:
    users = {
        path.stem
        for path in CODEGEN.rglob("*.py")
        if "datamodel_code_generator" in {name for name, _ in imports(path)}
    }
    assert len(users) == 1
