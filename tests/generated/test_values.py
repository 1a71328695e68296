"""What the schema accepts, the generated types accept; and what they read, they write the same."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import enkaku
import pytest
from generated.packages import accepts, an_error, imported, make_protocol, one_param

pytestmark = pytest.mark.xdist_group("values")  # one package for most

TEXT = {"type": "string"}
POINT = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}
NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
JSON = {
    "anyOf": [
        {"type": ["null", "boolean", "number", "string"]},
        {"type": "array", "items": {"$ref": "#/$defs/Json"}},
        {"type": "object", "additionalProperties": {"$ref": "#/$defs/Json"}},
    ]
}


# For each schema: values that it accepts, and values that its type has to refuse.
CASES: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "string": (TEXT, ["", "a", "é", "2020-01-01"], [None, 1, []]),
    "format is no constraint": ({**TEXT, "format": "uuid"}, ["no uuid"], [1]),
    "number": ({"type": "number"}, [0, 1.5, -3], ["1", None, True]),
    "integer": ({"type": "integer"}, [0, -3], [1.5, "1", True]),
    "boolean": ({"type": "boolean"}, [True, False], [0, "true"]),
    "null": ({"type": "null"}, [None], [0, {}, ""]),
    "anything": (True, [None, 1, "a", [1], {"a": None}], []),
    "lengths": ({**TEXT, "minLength": 1, "maxLength": 2}, ["a", "éé"], ["", "abc"]),
    "pattern": ({**TEXT, "pattern": "^[a-z]+-\\d{2}$"}, ["a-01"], ["a-1", "A-01"]),
    "pattern anywhere": ({**TEXT, "pattern": "b"}, ["abc"], ["ac"]),
    "pattern beyond Rust": ({**TEXT, "pattern": "^(?!a)"}, ["b"], [1]),
    "pattern that Rust reads otherwise": ({**TEXT, "pattern": "^[^\\d]$"}, ["٣"], [1]),
    "bounds": ({"type": "integer", "minimum": 1, "exclusiveMaximum": 3}, [1, 2], [0, 3]),
    "bounds between integers": ({"type": "integer", "minimum": 0.5, "maximum": 1.5}, [1], [0, 2]),
    "bounds beyond a double": ({"type": "integer", "maximum": 10**30}, [10**20], ["1"]),
    "multiple": ({"type": "integer", "multipleOf": 3}, [0, 9], [4]),
    "multiple of a fraction": ({"type": "number", "multipleOf": 0.1}, [0.3], ["0.3"]),
    "enum": ({"enum": ["a", 1, None]}, ["a", 1, None], ["b", 2]),
    "enum of anything": ({"enum": [1.5, [1], {"a": 1}]}, [1.5, [1], {"a": 1}], ["a", None]),
    "enum within a type": ({**TEXT, "enum": ["a", 1]}, ["a"], [1]),
    "const": ({"const": "a"}, ["a"], ["b"]),
    "constants that Python takes for equal": (
        {"anyOf": [{"const": 1}, {"const": True}]},
        [1, True],
        [2],
    ),
    "several types": ({"type": ["string", "null"]}, ["a", None], [1]),
    "array": ({"type": "array", "items": TEXT, "minItems": 1}, [["a"], ["a", "b"]], [[], [1], "a"]),
    "array of anything": ({"type": "array"}, [[], [1, "a", None]], ["a", {}]),
    "array of bounded": ({"type": "array", "items": {**TEXT, "minLength": 1}}, [["a"]], [[""]]),
    "array of arrays": (
        {"type": "array", "items": {"type": "array", "items": TEXT}},
        [[["a"]]],
        [[[1]], ["a"]],
    ),
    "tuple": (
        {"type": "array", "prefixItems": [TEXT, {"type": "number"}], "minItems": 2, "items": False},
        [["a", 1]],
        [["a"], [1, "a"], ["a", 1, 2]],
    ),
    "open tuple": (
        {"type": "array", "prefixItems": [TEXT, {"type": "number"}]},
        [[], ["a"], ["a", 1], ["a", 1, None]],
        ["a"],
    ),
    "tuple of any length": (
        {"type": "array", "prefixItems": [TEXT], "items": {"type": "number"}},
        [[], ["a"], ["a", 1, 2]],
        [[None]],
    ),
    "map": (
        {"type": "object", "additionalProperties": {"type": "number"}},
        [{}, {"a": 1}],
        [{"a": "b"}, []],
    ),
    "map by pattern": (
        {
            "type": "object",
            "patternProperties": {"^a": TEXT},
            "additionalProperties": {"type": "number"},
        },
        [{"a": "b", "c": 1}],
        [{"a": None}],
    ),
    "open map": ({"type": "object"}, [{}, {"a": {"b": None}}], [[], None]),
    "object": (POINT, [{"x": 1.5}, {"x": 1, "y": [2]}], [{}, {"x": "1"}, [], None]),
    "closed object": ({**POINT, "additionalProperties": False}, [{"x": 1}], [{"x": 1, "y": 2}]),
    "required without a schema": (
        {"type": "object", "properties": {"a": {}}, "required": ["a", "b"]},
        [{"a": None, "b": 1}],
        [{"a": 1}],
    ),
    "optional": ({"type": "object", "properties": {"a": TEXT}}, [{}, {"a": "b"}], [{"a": 1}]),
    "a default is not filled in": (
        {"type": "object", "properties": {"a": {**TEXT, "default": "b"}, "c": {"const": 1}}},
        [{}, {"c": 1}],
        [{"c": 2}],
    ),
    "a required default": (
        {"type": "object", "properties": {"a": {**TEXT, "default": "b"}}, "required": ["a"]},
        [{"a": "c"}],
        [{}],
    ),
    "object without a type": (
        {"properties": {"x": TEXT}},
        [{"x": "a"}, 1, "a", None, True, [1]],
        [{"x": 1}],
    ),
    "union": ({"anyOf": [TEXT, POINT, {"type": "array"}]}, ["a", {"x": 1}, [1]], [1, None, {}]),
    "nullable object": ({"anyOf": [POINT, {"type": "null"}]}, [{"x": 1}, None], [1, {}]),
    "union beside properties": (
        {
            **POINT,
            "oneOf": [{"properties": {"k": {"const": "a"}}}, {"properties": {"k": {"const": "b"}}}],
        },
        [{"x": 1, "k": "a"}, {"x": 1, "k": "b"}],
        [{"x": 1, "k": "c"}, {"k": "a"}],
    ),
    "choices of what is required": (
        {
            "type": "object",
            "properties": {"a": TEXT, "b": TEXT},
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        [{"a": "x"}, {"b": "x"}],
        [{"a": 1}],
    ),
    "both": (
        {"allOf": [POINT, {"type": "object", "properties": {"y": TEXT}, "required": ["y"]}]},
        [{"x": 1, "y": "a"}],
        [{"x": 1}, {"y": "a"}, {"x": 1, "y": 2}],
    ),
    "both closed": (
        {"allOf": [POINT, {"properties": {"x": {}, "y": TEXT}, "additionalProperties": False}]},
        [{"x": 1}, {"x": 1, "y": "a"}],
        [{"x": 1, "z": 1}],
    ),
    "both enums": ({"allOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]}, ["b"], ["a", "c"]),
    "both types": (
        {"allOf": [{"type": ["string", "number"]}, {"type": "integer"}]},
        [1],
        ["a", 1.5],
    ),
    "reference and more": ({"$ref": "#/$defs/Point", "description": "A point."}, [{"x": 1}], [{}]),
    "reference and property": (
        {"$ref": "#/$defs/Point", "properties": {"y": TEXT}},
        [{"x": 1, "y": "a"}],
        [{"y": "a"}, {"x": 1, "y": 1}],
    ),
    "recursive object": (
        {"$ref": "#/$defs/Node"},
        [{}, {"next": {"next": {}}}],
        [{"next": {"next": 1}}],
    ),
    "recursive union": ({"$ref": "#/$defs/Json"}, [None, [1, {"a": ["b"]}]], []),
    "null by name": (
        {"anyOf": [{"$ref": "#/$defs/Nothing"}, {"$ref": "#/$defs/Nil"}]},
        [None],
        [0, "", False],
    ),
    "nothing but null by name": ({"$ref": "#/$defs/Nothing"}, [None], [0, {}]),
    "optional null by name": (
        {"type": "object", "properties": {"a b": {"$ref": "#/$defs/Nothing"}}},
        [{}, {"a b": None}],
        [{"a b": 1}],
    ),
    "enum of integers beyond 64 bits": ({"enum": [-(10**30), 1, True]}, [-(10**30), 1, True], []),
    "a type joined with itself": (
        {"$ref": "#/$defs/Joined"},
        [{}, {"next": {"next": {"more": 1, "next": {"more": 2}}, "more": 3}}],
        [{"next": {"more": "a"}}, {"next": 1}],
    ),
    "a type chosen beside itself": (
        {"$ref": "#/$defs/Chosen"},
        [{}, {"next": {"more": 1}}, {"next": {"next": {"next": {"more": 1}}, "more": 2}}],
        [{"next": 1}],
    ),
    "a type that is itself": ({"$ref": "#/$defs/Self"}, [1, "a", None], []),
    "not, if, contains": (
        {"not": {"type": "string"}, "if": TEXT, "then": False, "contains": TEXT},
        [1, ["a"]],
        [],
    ),
}
DEFINITIONS = {
    "Point": POINT,
    "Node": NODE,
    "Json": JSON,
    "Nothing": {"type": "null"},
    "Nil": {"const": None},
    "Joined": {
        "type": "object",
        "properties": {
            "next": {
                "allOf": [{"$ref": "#/$defs/Joined"}, {"properties": {"more": {"type": "number"}}}]
            }
        },
    },
    "Chosen": {
        "type": "object",
        "properties": {
            "next": {
                "type": "object",
                "properties": {"more": {"type": "number"}},
                "anyOf": [{"$ref": "#/$defs/Chosen"}, {"required": ["more"]}],
            }
        },
    },
    "Self": {"anyOf": [{"$ref": "#/$defs/Self"}, TEXT]},
}


@pytest.fixture(scope="module")
def slots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    procedures = {label: {"type": "request", "param": case[0]} for label, case in CASES.items()}
    with imported(
        make_protocol(procedures, DEFINITIONS), tmp_path_factory.mktemp("values")
    ) as package:
        constants = [value for value in vars(package).values() if isinstance(value, enkaku.Request)]
        yield {constant.name: constant.param for constant in constants}


@pytest.mark.parametrize("label", CASES)
def test_slot_accepts_values_of_its_schema(slots: dict[str, Any], label: str) -> None:
    _, good, _ = CASES[label]
    assert [value for value in good if not accepts(slots[label], value)] == []


@pytest.mark.parametrize("label", [label for label, case in CASES.items() if case[2]])
def test_slot_rejects_values_its_type_excludes(slots: dict[str, Any], label: str) -> None:
    _, _, bad = CASES[label]
    assert [value for value in bad if accepts(slots[label], value)] == []


def test_awkward_property_names_round_trip(tmp_path: Path) -> None:
    keys = [
        *(
            "class",
            "from",
            "match",
            "type",
            "None",
            "self",
            "cls",
            "$id",
            "__module__",
            "2nd",
            "+1",
            "-1",
        ),
        *(
            "",
            "*",
            "größe",
            "日本",
            "content-type",
            "model_config",
            "model_fields",
            "model_post_init",
        ),
        *(
            "copy",
            "json",
            "schema",
            "dict",
            "validate",
            "construct",
            "register",
            "mro",
            "root",
            "fields",
        ),
        *(
            "str",
            "int",
            "float",
            "bool",
            "list",
            "tuple",
            "object",
            "Field",
            "Model",
            "Annotated",
            "Any",
        ),
        *(
            "Literal",
            "ConfigDict",
            "print",
            "property",
            "super",
            "hash",
            "HTTPServer",
            "a" * 300,
            "{{x}}",
        ),
    ]
    properties = {key: {"type": "array", "items": {"type": "integer"}} for key in keys}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    with imported(one_param(schema), tmp_path) as package:
        assert accepts(package.ECHO.param, {key: [1] for key in keys})
        assert len(package.EchoParam.model_fields) == len(keys)
        assert package.EchoParam(class_=[1], json_=[2]).json_ == [2]


def test_discriminated_union_decodes_to_matching_class(tmp_path: Path) -> None:
    kinds = [
        {
            "type": "object",
            "title": kind,
            "properties": {"kind": {"const": kind}},
            "required": ["kind"],
        }
        for kind in ("circle", "square")
    ]
    schema = {"type": "object", "properties": {"shape": {"oneOf": kinds}}}
    with imported(one_param(schema), tmp_path) as package:
        for kind in ("circle", "square"):
            read = package.ECHO.param.decode(json.dumps({"shape": {"kind": kind}}).encode()).shape
            assert (read.kind, kind in type(read).__name__.lower()) == (kind, True)


def test_model_docstring_is_schema_description(tmp_path: Path) -> None:
    inner = {
        "type": "object",
        "title": "What is inside",
        "properties": {"a": {**TEXT, "description": "An a."}},
    }
    schema = {"type": "object", "description": "Two\n\nparagraphs.", "properties": {"inner": inner}}
    with imported(one_param(schema), tmp_path) as package:
        assert package.EchoParam.__doc__.split() == ["Two", "paragraphs."]
        assert package.EchoParamInner.__doc__ == "What is inside"


def test_declared_error_carries_data(tmp_path: Path) -> None:
    data = {
        "type": "object",
        "properties": {"leftOver": {"type": "number"}},
        "required": ["leftOver"],
    }
    errors = [an_error("LEFT_OVER", data=data, description="Something is left."), an_error("BARE")]
    with imported(
        make_protocol({"divide": {"type": "request", "errors": errors}}), tmp_path
    ) as package:
        error = package.DivideLeftOver("2 is left", package.DivideLeftOverData(left_over=2))
        assert (error.code, error.data.left_over) == ("LEFT_OVER", 2)
        assert json.loads(package.DIVIDE.encode_error(error)) == {"leftOver": 2}
        assert package.DIVIDE.errors == (package.DivideLeftOver, package.DivideBare)
        assert isinstance(package.DIVIDE.decode_error("BARE", "bare", b"{}"), package.DivideBare)
