"""Text of a protocol stays text in JavaScript and TypeScript, and schemas say the same there."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.generate import generate
from enkaku_codegen.planning.planner import make_plan
from enkaku_codegen.planning.typescript import method_names
from enkaku_codegen.reading.definition import Protocol
from enkaku_codegen.writing.escaping import Text, jsdoc, tskey, tsrepr
from generated.packages import an_error, make_protocol, one_param
from typescript.compiling import compiled, put_client, run_module, transpiled

pytestmark = pytest.mark.timeout(300)
HOSTILE = {
    "quotes": "\"'`",
    "code": '");\nthrow 1; //',
    "code behind a return": "x\rthrow 1;",
    "code behind a form feed": "x\fthrow 1;",
    "backslash": "\\",
    "ends in a backslash": "a\\",
    "backslash and quote": '\\"',
    "escapes": "\\x41 \\u0041 \\u{41}",
    "newline": "\n",
    "continuation": "a\\\nb",
    "null": "\x00",
    "controls": "\x1b[31m\x7f\x08\x85",
    "direction": "\u202e\u2066 \u2069",
    "byte order mark": "\ufeff",
    "template": "{{ 1 / 0 }}{% raw %}${1}",
    "empty": "",
    "blank": " \t ",
    "long": "word " * 60,
    "end of a comment": "*/ throw 1; /*",
    "end of a comment in lines": "a\n/\n*/\n**/ throw 1;",
    "end of a script": "</script><!--<script>",
    "backticks": "`${process.exit(1)}`",
    "separators": "a\u2028b\u2029c",
    "lone surrogates": "\udc00\ud800",
    "astral": "\U0001f600\U000e0001",
    "prototype": "__proto__",
    "constructor": "constructor",
    "reserved": "class",
    "directive": "@ts-expect-error",
    "directive at the end": "x\n@ts-ignore",
    "tag": "@deprecated\n@type {import('x').y}\n{@link x}",
}
CALLS = """
import * as client from "./client.js";
const calls = [];
const connection = new Proxy({}, { get: (_, kind) => (procedure, given) => calls.push([kind, procedure, given]) });
const made = new client[NAME](connection);
for (const method of METHODS) made[method]({ options: 1 });
console.log(JSON.stringify(calls.map(([kind, { name, errors }, given]) => {
  const codes = Object.keys(errors).map((code) => [code, errors[code].code]);
  return [kind, name, codes, Object.getPrototypeOf(errors) === Object.prototype, given ?? null];
})));
"""
SCHEMAS = """
import { protocol } from "./protocol.js";
console.log(JSON.stringify(protocol));
"""


def client_of(protocol: Protocol, **options: Any) -> dict[str, str]:
    return generate(protocol, source="protocol.json", language="typescript", **options)


def calls(protocol: Protocol, methods: list[str], directory: Path) -> Any:
    put_client(client_of(protocol), directory)
    return run_module(
        CALLS.replace("NAME", '"TestClient"').replace("METHODS", json.dumps(methods)), directory
    )


def definition(protocol: Protocol, directory: Path) -> Any:
    return run_module(SCHEMAS, transpiled(put_client(client_of(protocol), directory)))


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    texts = [*HOSTILE.values()]
    properties = {text: {"type": "string", "description": text, "enum": [text]} for text in texts}
    errors = [an_error(text, description=text) for text in texts if text.strip()]
    slot = {"type": "object", "properties": properties, "required": texts, "description": texts[0]}
    for index, each in enumerate(properties.values()):
        each["x-python-name"] = f"text_{index}"
    for index, error in enumerate(errors):
        object.__setattr__(error, "definition", f"Error{index}")
    procedure = {
        "type": "request",
        "param": slot,
        "errors": errors,
        "description": "\n".join(texts),
    }
    protocol = make_protocol({"echo": procedure}, name="Test", description="\n".join(texts))
    put_client(client_of(protocol), tmp_path / "declared")
    assert compiled(tmp_path / "declared") == ""
    ((kind, name, codes, plain, given),) = calls(protocol, ["echo"], tmp_path / "run")
    assert (kind, name, plain, given) == ("request", "echo", True, {"options": 1})
    assert codes == [[error.code, error.code] for error in errors]
    made = definition(protocol, tmp_path / "schemas")["echo"]
    assert [*made["param"]["properties"]] == texts
    assert [each["enum"] for each in made["param"]["properties"].values()] == [
        [text] for text in texts
    ]
    assert made["description"] == "\n".join(texts)


def test_hostile_procedure_names_are_called(tmp_path: Path) -> None:
    names = {
        "__proto__": "proto",
        "constructor": "constructor_",
        "then": "then_",
        "to/string": "toString_",
        "value-of": "valueOf_",
        "class": "class",
        "delete": "delete",
        "3d/*/": "x3d",
        "v/1": "v_1",
        "v1": "v1",
        "a\u2028</script>": "aScript",
    }
    protocol = make_protocol({name: {"type": "event"} for name in names})
    found = calls(protocol, [*names.values()], tmp_path)
    assert [name for _, name, *_ in found] == [*names]
    assert compiled(put_client({}, tmp_path)) == ""


def test_procedures_with_one_name_are_reported() -> None:
    protocol = make_protocol({"get/user": {"type": "event"}, "getUser": {"type": "event"}})
    with pytest.raises(ProtocolError, match="the client would have two things named get_user"):
        client_of(protocol)


def test_methods_with_one_name_are_reported() -> None:
    plan = make_plan(make_protocol({"get/user": {"type": "event"}}))
    (one,) = plan.procedures
    both = replace(plan, procedures=(one, replace(one, constant="OTHER")))
    with pytest.raises(ProtocolError, match="the client would have two things named getUser"):
        method_names(both)


def test_callbacks_with_one_name_are_reported() -> None:
    plan = make_plan(make_protocol({"get/user": {"type": "event"}}))
    (one,) = plan.procedures
    assert method_names(replace(plan, callbacks=(replace(one, constant="OTHER"),)))
    both = replace(plan, procedures=(), callbacks=(one, replace(one, constant="OTHER")))
    with pytest.raises(ProtocolError, match="callbacks would have two things named getUser"):
        method_names(both)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_jsdoc_has_one_end_and_no_tag(text: str) -> None:
    written = jsdoc(Text(f"{text} {text}\n{text}"))
    if not text.strip():
        assert written == ""
        return
    assert written.index("*/") == len(written) - 2
    assert written.isascii() or all(each.isprintable() or each == "\n" for each in written)
    assert not re.search(r"</|<!|(^|[\s*{/])@", written)
    written.encode()


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_tsrepr_is_printable_and_ends_no_script(text: str) -> None:
    written = tsrepr(text)
    assert written.isprintable()
    assert not re.search("</|<!", written)


def test_tskey_quotes_where_needed() -> None:
    keys = {"a": "a", "class": "class", "$a_1": "$a_1", "": '""', "1a": '"1a"', "a-b": '"a-b"'}
    assert {key: tskey(key) for key in keys} == keys
    assert tskey("größe") == '"größe"'
    assert tskey("__proto__") == '["__proto__"]'


@pytest.mark.parametrize(
    ("schema", "type_"),
    [
        (True, "unknown"),
        ({}, "unknown"),
        ({"type": "string", "minLength": 1, "pattern": "a"}, "string"),
        ({"type": "string", "format": "date-time"}, "string"),
        ({"type": "integer", "minimum": 1}, "number"),
        ({"type": "number", "multipleOf": 0.5}, "number"),
        ({"type": "boolean"}, "boolean"),
        ({"type": "null"}, "null"),
        ({"const": "a"}, '"a"'),
        ({"const": True}, "true"),
        ({"enum": [1, -2, False, None]}, "null | 1 | -2 | false"),
        ({"const": 2**53 + 1}, "number"),
        ({"const": 1.5}, "number"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"anyOf": [{"type": "string"}, {}]}, "unknown"),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, "string | number"),
        ({"type": "array", "items": {"type": "string"}}, "readonly string[]"),
        ({"type": "array"}, "readonly unknown[]"),
        ({"type": "array", "maxItems": 0}, "readonly []"),
        (
            {"type": "array", "items": {"type": ["string", "null"]}, "minItems": 1},
            "readonly (string | null)[]",
        ),
        (
            {"type": "array", "items": {"type": "array", "items": {"type": "null"}}},
            "readonly (readonly null[])[]",
        ),
        (
            {
                "type": "array",
                "prefixItems": [{"type": "string"}, {"type": "integer"}],
                "items": False,
                "minItems": 2,
            },
            "readonly [string, number]",
        ),
        ({"type": "object"}, "{ readonly [key: string]: unknown }"),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            "{ readonly [key: string]: number }",
        ),
        (
            {
                "type": "object",
                "propertyNames": {"enum": ["a", "b"]},
                "additionalProperties": {"type": "integer"},
            },
            '{ readonly [key in "a" | "b"]?: number }',
        ),
        (
            {
                "type": "object",
                "patternProperties": {"^x": {"type": "string"}},
                "additionalProperties": False,
            },
            "{ readonly [key: string]: string }",
        ),
        ({"allOf": [{"type": ["string", "integer"]}, {"type": "string"}]}, "string"),
        ({"$ref": "#/$defs/Node"}, "Node"),
        ({"type": "string", "not": {"const": "a"}}, "string"),
    ],
    ids=str,
)
def test_type_of_schema(schema: Any, type_: str) -> None:
    protocol = one_param(
        {"type": "object", "properties": {"value": schema}, "required": ["value"]},
        {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}},
    )
    assert f"  readonly value: {type_};\n" in client_of(protocol)["client.d.ts"].replace(
        "\n    | ", " | "
    )


def test_properties_are_optional_documented_and_deprecated() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "description": "First."},
            "b": {"type": "integer", "deprecated": True},
        },
        "required": ["a"],
    }
    assert (
        "export interface EchoParam {\n  /** First. */\n  readonly a: string;\n"
        "  /**\n   * Deprecated.\n   *\n   * @deprecated\n   */\n  readonly b?: number;\n}\n"
    ) in client_of(one_param(schema))["client.d.ts"]


def test_definition_named_promise_does_not_hide_promise(tmp_path: Path) -> None:
    node = {"type": "object", "properties": {"a": {"type": "string"}}}
    names = (
        "Promise",
        "Array",
        "Connection",
        "Stream",
        "Protocol",
        "ProtocolDefinition",
        "DeclaredError",
    )
    protocol = make_protocol(
        {name: {"type": "request", "param": {"$ref": f"#/$defs/{name}"}} for name in names},
        dict.fromkeys(names, node),
    )
    files = client_of(protocol)
    assert ": globalThis.Promise<void>;" in files["client.d.ts"]
    assert compiled(put_client(files, tmp_path)) == ""


def test_protocol_definition_says_types_and_stands_alone(tmp_path: Path) -> None:
    tree = {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}},
    }
    definitions = {
        "Colour": {"enum": ["red", "green"]},
        "Again": {"$ref": "#/$defs/Colour"},
        "Tree": tree,
        "Either": {"oneOf": [{"$ref": "#/$defs/Colour"}, {"type": "integer"}]},
    }
    slots = {
        "colour": {"$ref": "#/$defs/Again", "description": "Which."},
        "tree": {"$ref": "#/$defs/Tree"},
        "either": {"$ref": "#/$defs/Either"},
        "types": {"type": ["string", "null"], "x-secret": True},
        "any": True,
        "nothing": False,
        "choice": {"anyOf": [{"enum": ["a"]}, {"$ref": "#/$defs/Tree"}]},
        "joined": {"allOf": [{"$ref": "#/$defs/Tree"}], "minProperties": 1},
    }
    protocol = make_protocol(
        {name: {"type": "request", "param": each} for name, each in slots.items()}, definitions
    )
    made = {name: each["param"] for name, each in definition(protocol, tmp_path).items()}
    colour = {"enum": ["red", "green"]}
    whole = {
        "$id": "urn:enkaku:Test:Tree",
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}},
        "$defs": {"Tree": tree},
    }
    assert made == {
        "colour": {"type": "string", "description": "Which.", "allOf": [colour]},
        "tree": whole,
        "either": {
            "anyOf": [
                {"type": kind, "allOf": [{"oneOf": [colour, {"type": "integer"}]}]}
                for kind in ("string", "integer")
            ]
        },
        "types": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "any": {
            "anyOf": [
                {"type": kind}
                for kind in ("array", "boolean", "null", "number", "object", "string")
            ]
        },
        "nothing": made["nothing"],
        "choice": {"anyOf": [{"type": "string", "enum": ["a"]}, whole]},
        "joined": {"type": "object", "allOf": [whole], "minProperties": 1},
    }
    assert made["nothing"]["anyOf"][0]["not"] == {}


def test_protocol_name_with_surrogate_gives_uri() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    procedures = {"echo": {"type": "request", "param": {"$ref": "#/$defs/Node"}}}
    protocol = make_protocol(procedures, {"Node": node}, name="a \ud800/")
    assert '$id: "urn:enkaku:a%20%5Cud800%2F:Node"' in client_of(protocol)["protocol.ts"]


def test_types_without_procedures_are_accepted(tmp_path: Path) -> None:
    closed = {"type": "object", "additionalProperties": False}
    files = client_of(make_protocol({}, {"Nothing": closed, "Any": True}))
    assert [*files] == ["client.d.ts"]
    assert "export type Nothing = { readonly [key: string]: never };" in files["client.d.ts"]
    assert compiled(put_client(files, tmp_path)) == ""


def test_two_definitions_that_refer_to_each_other_stand_alone(tmp_path: Path) -> None:
    leaf = {"type": "string"}
    definitions = {
        "A": {"type": "object", "properties": {"b": {"$ref": "#/$defs/B"}}},
        "B": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/C"}]}},
        "C": leaf,
    }
    procedures = {"get": {"type": "request", "param": {"$ref": "#/$defs/A"}}}
    made = definition(make_protocol(procedures, definitions), tmp_path)["get"]["param"]
    assert made == {
        "$id": "urn:enkaku:Test:A",
        **definitions["A"],
        "$defs": {
            "A": definitions["A"],
            "B": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/A"}, leaf]}},
        },
    }
