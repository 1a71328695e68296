"""Text in a protocol never becomes code, and never breaks it."""

import ast
import importlib
import json
import re
import tokenize
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.fingerprint import Request
from enkaku_codegen.generate import generate
from enkaku_codegen.planning import schema_planner
from enkaku_codegen.planning.planner import make_plan
from enkaku_codegen.planning.schema_planner import MAX_SCHEMAS
from enkaku_codegen.prepare import prepare
from enkaku_codegen.reading.definition import read_document, read_protocol
from generated.packages import (
    accepts,
    an_error,
    imported,
    importing,
    make_protocol,
    one_param,
    put,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from slow import slow_but

CODE = 'import pathlib; pathlib.Path("PWNED").touch()'
TEXTS = {
    "quote": '"',
    "apostrophe": "'",
    "triple": '"""',
    "single triple": "'''",
    "code behind a docstring": f'"""\n{CODE}\n"""',
    "code behind a string": f'"\n{CODE}\n#',
    "code behind a bracket": f'")]\n{CODE}\n#',
    "code behind a comment": f"x\n{CODE}",
    "code behind a return": f"x\r{CODE}",
    "code behind a form feed": f"x\f{CODE}",
    "code behind a separator": f"x\u2028{CODE}\u2029{CODE}\x85{CODE}",
    "code in an f-string": "{__import__('pathlib').Path('PWNED').touch()}",
    "backslash": "\\",
    "ends in a backslash": "a\\",
    "backslash and quote": '\\"',
    "backslash and triple": '\\"""',
    "name escape": "\\N{DASH} \\x41 \\u0041",
    "newline": "\n",
    "continuation": "a\\\nb",
    "null": "\x00",
    "controls": "\x1b[31m\x7f\x08",
    "direction": "\u202e\u2066 \u2069",
    "byte order mark": "\ufeff",
    "expression": "{{ 1 / 0 }}",
    "statement": "{% include 'header.jinja' %}",
    "comment": "{# x #}",
    "raw": "{% raw %}",
    "format": "%s {} {0} $x",
    "empty": "",
    "blank": " \t ",
    "tokens": "literal0 Type0 Carrier f0",
    "emoji": "💩",
    "long": "word " * 500 + "x" * 500,
    "indented": "a\n    b\n\n\n  c",
    "quotes at both ends": '"a"',
    "many quotes": '"' * 7,
}


def escaped(text: str) -> str:
    """Return a pattern of ECMA 262 that matches the text."""
    return re.sub(r"[\^$\\.*+?()\[\]{}|/]", r"\\\g<0>", text)


def all_over(text: str) -> dict:
    """Write a protocol that has the text wherever text may be."""
    schema = {
        "type": "object",
        "title": text,
        "description": text,
        "properties": {
            "enum": {"enum": [text, "other"], "description": text},
            "const": {"const": text},
            "default": {"type": "string", "default": text, "description": text, "examples": [text]},
            "pattern": {"type": "string", "pattern": escaped(text)},
            f"key{text}": {"type": "object", "properties": {f"key{text}": {"type": "string"}}},
        },
    }
    return {
        "name": f"name{text}",
        "description": text,
        "$defs": {
            f"def{text}": {"enum": [text, "other"], "description": text},
            "Failed": {
                "type": "object",
                "description": text,
                "properties": {
                    "code": {"type": "string", "const": f"code{text}"[:128]},
                    "message": {"type": "string"},
                    "data": schema,
                },
                "required": ["code", "message"],
                "additionalProperties": False,
            },
        },
        "procedures": {
            "echo": {
                "type": "request",
                "description": text,
                "param": schema,
                "result": {"enum": [text, "other"]},
                "error": {"$ref": "#/$defs/Failed"},
            },
            f"path{text}"[:128]: {
                "type": "stream",
                "description": text,
                "receive": {"const": text},
            },
        },
        "callbacks": {
            f"back{text}"[:128]: {
                "type": "stream",
                "description": text,
                "param": {"type": "object", "properties": {f"key{text}": {"const": text}}},
                "receive": {"enum": [text, "other"]},
            }
        },
    }


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "PWNED").exists()


DECLARATIONS = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.Assign, ast.AnnAssign)
CALLS = {
    "Field",
    "enkaku.Checked",
    "enkaku.prefixed",
    "enkaku.Request[EchoParam, EchoResult]",
    "enkaku.Route.request",
    "enkaku.Route.stream",
    "enkaku.require_runtime",
    "self._connection.request",
    "self._connection.stream",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_hostile_text_stays_data_everywhere(text: str, tmp_path: Path) -> None:
    path = tmp_path / "protocol.json"
    path.write_text(json.dumps(all_over(text)))
    files = generate(read_protocol(path), source=f"file{text}.json")
    modules = {
        "__init__.py",
        "models.py",
        "procedures.py",
        "client.py",
        "description.py",
        "server.py",
        "callbacks.py",
    }
    assert files.keys() - {"schemas.py"} == modules | {"py.typed"}
    for name in files.keys() - {"py.typed"}:
        check_declarations(files[name])
    put(files, tmp_path / "hostile_text")
    with importing("hostile_text", tmp_path) as package:
        check_values(package, text)


def check_declarations(source: str) -> None:
    """Check that a module declares things, and does nothing else."""
    tree = ast.parse(source)
    others = [
        node
        for node in tree.body
        if not isinstance(node, DECLARATIONS) and not _is_docstring_or_check(node)
    ]
    assert others == []
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert {each for each in calls - CALLS if not each.startswith("enkaku.Stream[")} == set()
    assert [each for each in source if each != "\n" and not each.isprintable()] == []
    tokens = tokenize.generate_tokens(StringIO(source).readline)
    assert [each.start for each in tokens if each.type == tokenize.COMMENT] == [(1, 0)]


def check_values(package: ModuleType, text: str) -> None:
    """Check that the text is what it was wherever the package has it as a value."""
    value = {"enum": text, "const": text, "pattern": text, f"key{text}": {f"key{text}": "x"}}
    assert accepts(package.ECHO.param, value)
    assert not accepts(package.ECHO.param, {"const": f"{text}?"})
    assert accepts(package.ECHO.result, text)
    assert package.Failed.declared_code == f"code{text}"[:128]
    procedures = {each.name for each in vars(package).values() if hasattr(each, "kind")}
    assert {f"path{text}"[:128], f"back{text}"[:128]} <= procedures
    described = importlib.import_module(f"{package.__name__}.description")
    read_document(described.PROTOCOL, "description")
    assert f"path{text}"[:128] in described.PROCEDURES


def _is_docstring_or_check(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and (
        isinstance(node.value, ast.Constant)
        or ast.unparse(node.value) == "enkaku.require_runtime('0.1')"
    )


def test_hostile_lone_surrogates_are_harmless(tmp_path: Path) -> None:
    half = "\ud800"
    procedures = {
        f"a{half}": {
            "type": "request",
            "description": half,
            "param": {"enum": [half, "a"], "description": half},
            "errors": [an_error(half, description=half)],
        }
    }
    protocol = make_protocol(procedures, {half: {"const": half}}, name=half, description=half)
    with imported(protocol, tmp_path) as package:
        (procedure,) = [each for each in vars(package).values() if hasattr(each, "kind")]
        assert accepts(procedure.param, "a")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(), min_size=1, max_size=5, unique=True))
def test_enum_any_values_are_accepted(
    tmp_path_factory: pytest.TempPathFactory, values: list[str]
) -> None:
    schema = {"enum": [*values, 1, True], "description": values[0]}
    with imported(one_param(schema), tmp_path_factory.mktemp("any")) as package:
        assert all(accepts(package.ECHO.param, each) for each in (*values, 1, True))


def joined(name: str, **properties: Any) -> dict:
    return {"allOf": [{"$ref": f"#/$defs/{name}"}, {"properties": properties}]}


@pytest.mark.parametrize("limit", slow_but([2_000], [2_000, MAX_SCHEMAS]))
def test_all_of_exponential_merge_is_rejected(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_planner, "MAX_SCHEMAS", limit)
    text = {"type": "string"}
    definitions: dict[str, Any] = {"E40": {"type": "object", "properties": {"z": text}}}
    for index in range(40):
        below = {key: joined(f"E{index + 1}", p=text, q=text) for key in ("p", "q")}
        definitions[f"E{index}"] = {"type": "object", "properties": below}
    with pytest.raises(ProtocolError, match=f"more than {limit} schemas of one"):
        make_plan(one_param({"$ref": "#/$defs/E0"}, definitions))


def test_all_of_unchanged_properties_are_planned_once() -> None:
    definitions: dict[str, Any] = {"E40": {"type": "object", "properties": {"z": True}}}
    for index in range(40):
        below = {key: joined(f"E{index + 1}", **{key: True}) for key in ("p", "q")}
        definitions[f"E{index}"] = {"type": "object", "properties": below}
    assert len(make_plan(one_param({"$ref": "#/$defs/E0"}, definitions)).types) < 5_000


def test_all_of_many_schemas_of_one_property_are_merged() -> None:
    numbers = range(1500)
    parts = [
        {"type": "object", "properties": {"p": {"properties": {f"q{index}": {"type": "string"}}}}}
        for index in numbers
    ]
    plan = make_plan(one_param({"allOf": parts}))
    (inner,) = [each for each in plan.types if each.name.endswith("ParamP")]
    assert len(inner.fields) == len(numbers)


def test_definitions_chain_of_thousands_is_rejected(tmp_path: Path) -> None:
    chain = {
        f"E{index}": {"type": "array", "items": {"$ref": f"#/$defs/E{index + 1}"}}
        for index in range(1200)
    }
    definitions = {**chain, "E1200": {"type": "string"}}
    path = tmp_path / "protocol.json"
    path.write_text(json.dumps({"$defs": definitions, "procedures": {"p": {"type": "event"}}}))
    with pytest.raises(ProtocolError, match="nested too deeply through their references"):
        prepare(Request(path, None, None), tmp_path / "out")


def test_enum_intersection_of_large_enums_is_fast() -> None:
    one, other = ([f"{kind}{index}" for index in range(50_000)] for kind in "ab")
    schema = {"allOf": [{"enum": [*one, "c"]}, {"enum": [*other, "c"]}]}
    (alias,) = make_plan(one_param(schema)).types
    assert (alias.name, alias.schema) == ("EchoParam", {"enum": ["c"]})


def test_constructs_at_depth_limit_are_generated(tmp_path: Path) -> None:
    text = {"type": "string"}
    arrays, maps, objects, unions, merges = text, {**text, "minLength": 1}, text, text, text
    for _ in range(48):
        arrays = {"type": "array", "items": arrays}
        maps = {"type": "object", "additionalProperties": maps}
        objects = {"type": "object", "properties": {"a": objects}}
        unions = {"anyOf": [unions, {"type": "null"}]}
        merges = {"allOf": [merges]}
    wide = {"anyOf": [{"$ref": f"#/$defs/D{index}"} for index in range(250)]}
    schemas = {
        "arrays": arrays,
        "maps": maps,
        "objects": objects,
        "unions": unions,
        "merges": merges,
        "wide": wide,
        "wider": {"anyOf": [{"const": str(index)} for index in range(2000)]},
        "enum": {"enum": [str(index) for index in range(2000)]},
        "sizes": {**text, "minLength": 10**30, "maxLength": 1.0},
        "numbers": {"type": "integer", "minimum": -(10**400), "maximum": 1e308, "multipleOf": 7},
        "impossible": {"allOf": [text, {"type": "number"}], "enum": []},
        "refused": False,
        "doubling": {"$ref": "#/$defs/E0"},
    }
    definitions = {f"D{index}": {"const": str(index)} for index in range(250)}
    for index in range(40):
        twice = [{"$ref": f"#/$defs/E{index + 1}"}] * 2
        definitions[f"E{index}"] = {"properties": {f"p{index}": {}}, "anyOf": twice, "allOf": twice}
    definitions["E40"] = text
    procedures = {name: {"type": "request", "param": each} for name, each in schemas.items()}
    with imported(make_protocol(procedures, definitions), tmp_path) as package:
        assert accepts(package.WIDE.param, "249")
        assert accepts(package.ENUM.param, "1999")
        assert not accepts(package.SIZES.param, "a")
        assert accepts(package.NUMBERS.param, 7)
        assert accepts(package.UNIONS.param, None)
        assert accepts(package.MERGES.param, "a")
