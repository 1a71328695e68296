"""Protocol files: what they mean, and what is said of those that are wrong."""

import json
import string
from pathlib import Path
from typing import Any

import pytest
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.planning.planner import make_plan
from enkaku_codegen.reading.definition import ErrorDefinition, Procedure, Protocol, read_protocol
from enkaku_codegen.reading.options import ENCODINGS, FORMATS
from enkaku_codegen.reading.protocol_schema import META_SCHEMA, read_meta_schema
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

BARE = """\
metrics/stream:
  type: stream
  description: Figures of this machine.
  param: {type: object, properties: {interval: {type: number}}}
  receive: {type: number}
ping: {type: event}
echo: {type: request, param: true, result: false}
"""
DOCUMENT = """\
$schema: ./protocol.schema.json
name: Dashboard
description: Shows a machine.
x-owner: {anything: 1}
$defs:
  Level: {enum: [low, high]}
procedures:
  logs/watch:
    type: channel
    x-note: 5
    param: {$ref: '#/$defs/Level'}
    send: {$ref: '#/$defs/Level'}
    receive: {type: array, items: {$ref: '#/$defs/Level'}}
    result: {type: 'null'}
  restarted:
    type: event
    data: {type: object}
"""


def _read(directory: Path, content: object, name: str = "main.json") -> Protocol:
    path = directory / name
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    return read_protocol(path)


def _issues(directory: Path, content: object, name: str = "main.yaml") -> list[str]:
    with pytest.raises(ProtocolError) as caught:
        _read(directory, content, name)
    return str(caught.value).replace(f"{directory}/{name}", "FILE").split("\n")


def _declaration(code: object, **data: object) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"code": code, "message": {"type": "string"}, **data},
        "required": ["code", "message"],
        "additionalProperties": False,
    }


def _errors(directory: Path, error: object, **definitions: object) -> tuple[ErrorDefinition, ...]:
    procedures = {"p": {"type": "request", "error": error}}
    return _read(directory, {"procedures": procedures, "$defs": definitions}).procedures[0].errors


def test_read_protocol_bare_mapping(tmp_path: Path) -> None:
    assert _read(tmp_path, BARE, "dash-board.yaml") == Protocol(
        name="dash-board",
        description="",
        procedures=(
            Procedure("echo", "request", "", {"param": True, "result": False}, (), "/echo"),
            Procedure(
                "metrics/stream",
                "stream",
                "Figures of this machine.",
                {
                    "param": {"type": "object", "properties": {"interval": {"type": "number"}}},
                    "receive": {"type": "number"},
                },
                (),
                "/metrics~1stream",
            ),
            Procedure("ping", "event", "", {}, (), "/ping"),
        ),
        definitions={},
    )


def test_read_protocol_full_document(tmp_path: Path) -> None:
    level = {"$ref": "#/$defs/Level"}
    assert _read(tmp_path, DOCUMENT, "main.yaml") == Protocol(
        name="Dashboard",
        description="Shows a machine.",
        procedures=(
            Procedure(
                "logs/watch",
                "channel",
                "",
                {
                    "param": level,
                    "send": level,
                    "receive": {"type": "array", "items": level},
                    "result": {"type": "null"},
                },
                (),
                "/procedures/logs~1watch",
            ),
            Procedure(
                "restarted", "event", "", {"data": {"type": "object"}}, (), "/procedures/restarted"
            ),
        ),
        definitions={"Level": {"enum": ["low", "high"]}},
    )


def test_procedure_slots_are_in_order_of_use(tmp_path: Path) -> None:
    kinds = {"type": "channel", "result": {}, "receive": {}, "send": {}, "param": {}}
    (procedure,) = _read(tmp_path, {"p": kinds}).procedures
    assert list(procedure.slots) == ["param", "send", "receive", "result"]


def test_request_idempotent_is_false_by_default(tmp_path: Path) -> None:
    said = {"no": False, "silent": None, "yes": True}
    procedures = {
        name: {"type": "request"} | ({} if value is None else {"idempotent": value})
        for name, value in said.items()
    }
    read = {each.name: each.idempotent for each in _read(tmp_path, procedures).procedures}
    assert read == {"no": False, "silent": False, "yes": True}


def test_read_protocol_given_name_overrides_file(tmp_path: Path) -> None:
    path = tmp_path / "main.yaml"
    path.write_text(DOCUMENT)
    assert read_protocol(path, "Other").name == "Other"


def test_procedure_names_may_be_document_keys(tmp_path: Path) -> None:
    names = ["$defs", "description", "name", "procedures", "x-ray"]
    protocol = _read(tmp_path, {"$schema": "x", **{name: {"type": "event"} for name in names}})
    assert [procedure.name for procedure in protocol.procedures] == names
    nested = {"procedures": {"type": {"type": "event"}, "procedures": {"type": "event"}}}
    assert [each.name for each in _read(tmp_path, nested).procedures] == ["procedures", "type"]


def test_procedure_names_of_up_to_128_characters_are_accepted(tmp_path: Path) -> None:
    names = sorted(["a b", "\n\0", "é/😀", "__proto__", "~1", "'\"\\", "{{ x }}", "x" * 128])
    protocol = _read(tmp_path, {name: {"type": "event"} for name in names})
    assert [procedure.name for procedure in protocol.procedures] == names


@pytest.mark.parametrize(
    ("text", "issues"),
    [
        ("[]", ["FILE:1: expected an object, got an empty array"]),
        ("~", ["FILE:1: expected an object, got null"]),
        ("just text", ['FILE:1: expected an object, got "just text"']),
        ("{}", ["FILE:1: no procedures: expected one or more"]),
        ("$schema: x", ["FILE:1: no procedures: expected one or more"]),
        ("procedures: {}", ["FILE:1: /procedures: expected at least 1 property, got an empty object"]),
        ("procedures:", ["FILE:1: /procedures: expected an object, got null"]),
        ("procedures: [a]", ["FILE:1: /procedures: expected an object, got an array"]),
        ("name: X", ['FILE:1: "procedures" is missing']),
        ("$defs: {}", ["FILE:1: /$defs: expected at least 1 property, got an empty object"]),
        ("name: X\n$defs: {A: 5}", [
            "FILE:2: /$defs/A: expected an object or a boolean, got 5",
        ]),
        ("definitions: {A: {}}\nprocedures: {p: {type: event}}", [
            'FILE:1: /definitions: unknown key "definitions" (did you mean "$defs"?)'
        ]),
        ("name: ''\nother: 1\nprocedures: {p: {type: event}}", [
            'FILE:1: /name: expected at least 1 character, got ""',
            ('FILE:2: /other: unknown key "other": expected one of "$defs", "$schema", "callbacks", "defaults", '
             '"description", "encodings", "errors", "foreign", "formats", "name", "names", "procedures"'),
        ]),
        ("p:\n  type: stream\n  parm: {}\n  recieve: {}\n  description: 5\n", [
            'FILE:1: /p: "receive" is missing, there is "recieve"',
            'FILE:3: /p/parm: unknown key "parm" (did you mean "param"?)',
            'FILE:4: /p/recieve: unknown key "recieve" (did you mean "receive"?)',
            "FILE:5: /p/description: expected a string, got 5",
        ]),
        ("a: {type: reqest}\nb: {typ: event}\nc: 5\nd: {type: channel}\ne: {type: [event]}", [
            ('FILE:1: /a/type: expected one of "event", "request", "stream", "channel" (did you mean '
            '"request"?), got "reqest"'),
            'FILE:2: /b: "type" is missing, there is "typ"',
            "FILE:3: /c: expected an object, got 5",
            'FILE:4: /d: "receive" is missing',
            'FILE:4: /d: "send" is missing',
            'FILE:5: /e/type: expected one of "event", "request", "stream", "channel", got an array',
        ]),
        ("p:\n  type: event\n  result: {}", [
            'FILE:3: /p/result: unknown key "result": expected one of "data", "description", "type"'
        ]),
        (("p:\n  type: request\n  idempotent: yes\nq: {type: request, idempotent: 1}\n"
        "r: {type: request, idempotent: }\ns: {type: request, idempotnt: true}"), [
            'FILE:3: /p/idempotent: expected a boolean, got "yes"',
            "FILE:4: /q/idempotent: expected a boolean, got 1",
            "FILE:5: /r/idempotent: expected a boolean, got null",
            'FILE:6: /s/idempotnt: unknown key "idempotnt" (did you mean "idempotent"?)',
        ]),
        (("p:\n  type: event\n  idempotent: true\nq: {type: stream, receive: true, idempotent: true}\n"
        "r: {type: channel, send: true, receive: true, idempotent: false}"), [
            (f'FILE:{line}: /{name}/idempotent: unknown key "idempotent": only a request can be idempotent')
            for line, name in ((3, "p"), (4, "q"), (5, "r"))
        ]),
        (f"'': {{type: event}}\n{'x' * 129}: {{type: event}}", [
            "FILE:1: /: expected at least 1 character as name",
            f"FILE:2: /{'x' * 129}: expected at most 128 characters as name",
        ]),
        ("a: { type: event, description: Now, later, or never }", [
            ('FILE:1: /a/later: unknown key "later" without a value: a string with a comma needs quotes, '
            '"Now, later"'),
            ('FILE:1: /a/or never: unknown key "or never" without a value: a string with a comma needs '
            'quotes, "Now, later, or never"'),
        ]),
        ("a: { type: event, data: { type: string, description: A level, or another } }", [
            ('FILE:1: /a/data/or another: unknown keyword "or another" without a value: a string with a '
            'comma needs quotes, "A level, or another"')
        ]),
        ("a: { type: event, data: { type: string, other } }", [
            ('FILE:1: /a/data/other: unknown keyword "other" without a value: a string with a comma needs '
            'quotes, "now, or later"')
        ]),
        ("a:\n  type: event\n  data:\n    type: object\n    propertes: {}\n    x-mine: 1\n    ref: 1\n", [
            'FILE:5: /a/data/propertes: unknown keyword "propertes" (did you mean "properties"?)',
            'FILE:7: /a/data/ref: unknown keyword "ref" (did you mean "$ref"?)',
        ]),
        ("a: { type: event, data: { name: { type: string } } }", [
            ('FILE:1: /a/data/name: unknown keyword "name": properties stand within, as in '
            '{type: object, properties: ...}')
        ]),
        ("$defs:\n  A: { type: object, require: [a] }\nprocedures: { p: { type: event } }", [
            'FILE:2: /$defs/A/require: unknown keyword "require" (did you mean "required"?)'
        ]),
        ("a:\n  type: event\na: 1", ["FILE:3: /a: duplicate key, first on line 1"]),
    ],
)  # fmt: skip
def test_read_protocol_malformed_file_reports_issues(
    tmp_path: Path, text: str, issues: list[str]
) -> None:
    assert _issues(tmp_path, text) == issues


def test_schema_containers_need_no_keyword(tmp_path: Path) -> None:
    (tmp_path / "shared.json").write_text(
        json.dumps({"Money": {"type": "integer"}, "units": {"Metre": {"type": "number"}}})
    )
    content = {
        "$defs": {"group": {"Name": {"type": "string"}}},
        "procedures": {
            "a": {"type": "event", "data": {"$ref": "shared.json#/Money"}},
            "b": {"type": "event", "data": {"$ref": "shared.json#/units/Metre"}},
            "c": {"type": "event", "data": {"$ref": "#/$defs/group/Name"}},
        },
    }
    assert len(_read(tmp_path, content).procedures) == 3


def test_read_protocol_many_mistakes_reports_all_at_once(tmp_path: Path) -> None:
    text = """\
procedures:
  a:
    type: request
    param:
      type: strng
      minimum: x
      items: [a]
      properties:
        b: 5
        c: {required: [1, x, x], enum: x, minLength: -1, multipleOf: 0}
        d: {examples: x, oneOf: [true, {}, 5]}
    result: {anyOf: [], pattern: 3, $ref: nope.json}
    error: {type: object}
  b: {type: reqest}
"""
    assert _issues(tmp_path, text) == [
        (
            'FILE:5: /procedures/a/param/type: expected one of "array", "boolean", "integer", "null", '
            '"number", "object", "string" (did you mean "string"?), got "strng"'
        ),
        'FILE:6: /procedures/a/param/minimum: expected a number, got "x"',
        (
            "FILE:7: /procedures/a/param/items: expected one schema: in draft 2020-12, prefixItems "
            "has the first ones"
        ),
        "FILE:9: /procedures/a/param/properties/b: expected an object or a boolean, got 5",
        'FILE:10: /procedures/a/param/properties/c/enum: expected an array, got "x"',
        "FILE:10: /procedures/a/param/properties/c/minLength: expected 0 or more, got -1",
        "FILE:10: /procedures/a/param/properties/c/multipleOf: expected more than 0, got 0",
        "FILE:10: /procedures/a/param/properties/c/required: expected no item twice, got an array",
        "FILE:10: /procedures/a/param/properties/c/required/0: expected a string, got 1",
        'FILE:11: /procedures/a/param/properties/d/examples: expected an array, got "x"',
        "FILE:11: /procedures/a/param/properties/d/oneOf/2: expected an object or a boolean, got 5",
        f"FILE:12: /procedures/a/result/$ref: {tmp_path}/nope.json: no such file",
        "FILE:12: /procedures/a/result/anyOf: expected at least 1 item, got an empty array",
        "FILE:12: /procedures/a/result/pattern: expected a string, got 3",
        'FILE:13: /procedures/a/error: in an error declaration, "additionalProperties" is missing: expected false',
        'FILE:13: /procedures/a/error: in an error declaration, "properties" is missing',
        'FILE:13: /procedures/a/error: in an error declaration, "required" is missing',
        (
            'FILE:14: /procedures/b/type: expected one of "event", "request", "stream", "channel" '
            '(did you mean "request"?), got "reqest"'
        ),
    ]


def test_protocol_options_are_read(tmp_path: Path) -> None:
    procedures = {"p": {"type": "event"}}
    plain = _read(tmp_path, {"procedures": procedures})
    assert (plain.formats, plain.defaults) == ({}, False)
    asked = {"uuid": "UUID", "date-time": "datetime"}
    protocol = _read(tmp_path, {"formats": asked, "defaults": "fill", "procedures": procedures})
    assert (protocol.formats, protocol.defaults) == (asked, True)
    assert list(protocol.formats) == ["date-time", "uuid"], "the order in the file changes nothing"
    everything = {"formats": dict(FORMATS), "procedures": procedures}
    assert _read(tmp_path, everything).formats == FORMATS
    formats = read_meta_schema()["$defs"]["formats"]["properties"]
    assert {name: each["const"] for name, each in formats.items()} == FORMATS


def test_encodings_option_is_read(tmp_path: Path) -> None:
    procedures = {"p": {"type": "event"}}
    assert _read(tmp_path, {"procedures": procedures}).encodings == {}
    everything = {"encodings": dict(ENCODINGS), "procedures": procedures}
    assert _read(tmp_path, everything).encodings == ENCODINGS
    encodings = read_meta_schema()["$defs"]["encodings"]["properties"]
    assert {name: each["const"] for name, each in encodings.items()} == ENCODINGS
    assert _read(tmp_path, {"encodings": {"type": "event"}}).encodings == {}


def test_procedure_names_may_be_option_names(tmp_path: Path) -> None:
    event = {"type": "event"}
    protocol = _read(tmp_path, {"formats": event, "defaults": event})
    assert [each.name for each in protocol.procedures] == ["defaults", "formats"]
    assert (protocol.formats, protocol.defaults) == ({}, False)


_FORMATS = (
    "date-time: datetime, date: date, time: time, duration: timedelta, uuid: UUID, "
    "ipv4: IPv4Address, ipv6: IPv6Address"
)


@pytest.mark.parametrize(
    ("text", "issues"),
    [
        ("formats: {datetime: datetime, email: Email, uuid: str, date: [date]}", [
            f"/formats/date: expected date, got an array; there are {_FORMATS}",
            ('/formats/datetime: unknown format (did you mean "date-time"?): '
            f"expected one of {_FORMATS}"),
            f"/formats/email: unknown format: expected one of {_FORMATS}",
            f'/formats/uuid: expected UUID, got "str"; there are {_FORMATS}',
        ]),
        ("formats:", [f"/formats: expected an object with some of {_FORMATS}; got null"]),
        ("encodings: {base64: str, base64url: bytes, utf8: bytes}", [
            '/encodings/base64: expected bytes, got "str"; there are base64: bytes',
            ('/encodings/base64url: unknown encoding (did you mean "base64"?): '
            "expected one of base64: bytes"),
            "/encodings/utf8: unknown encoding: expected one of base64: bytes",
        ]),
        ("encodings: bytes", ['/encodings: expected an object with some of base64: bytes; got "bytes"']),
        ("defaults: true", ['/defaults: expected "fill", got true']),
        ("defaults: fil", ['/defaults: expected "fill", got "fil"']),
    ],
)  # fmt: skip
def test_protocol_options_invalid_report_issues(
    tmp_path: Path, text: str, issues: list[str]
) -> None:
    content = f"{text}\nprocedures: {{p: {{type: event}}}}"
    assert _issues(tmp_path, content) == [f"FILE:1: {issue}" for issue in issues]


def test_bare_mapping_with_options_is_rejected(tmp_path: Path) -> None:
    message = 'this option needs the key "procedures": put the procedures in it'
    assert _issues(tmp_path, "p: {type: event}\nformats: {uuid: UUID}\ndefaults: fill") == [
        f"FILE:2: /formats: {message}",
        f"FILE:3: /defaults: {message}",
    ]


def test_declared_errors_by_code_are_read(tmp_path: Path) -> None:
    data = {"type": "object", "properties": {"level": {"$ref": "#/$defs/Level"}}}
    declared = {
        "anyOf": [
            _declaration({"type": "string", "const": "ONE"}, data=data),
            {**_declaration({"type": "string", "enum": ["TWO", "THREE"]}), "description": "Two."},
            _declaration({"type": "string"}),
        ]
    }
    place = "/procedures/p/error/anyOf"
    assert _errors(tmp_path, declared, Level={"type": "string"}) == (
        ErrorDefinition(None, "ONE", data, "", f"{place}/0"),
        ErrorDefinition(None, "TWO", None, "Two.", f"{place}/1"),
        ErrorDefinition(None, "THREE", None, "Two.", f"{place}/1"),
        ErrorDefinition(None, None, None, "", f"{place}/2"),
    )


def test_declared_errors_by_reference_are_read(tmp_path: Path) -> None:
    one = {**_declaration({"type": "string", "const": "ONE"}), "description": "The first."}
    two = _declaration({"type": "string", "const": "TWO"}, data={"$ref": "#/$defs/Data"})
    (tmp_path / "errors.json").write_text(
        json.dumps({"$defs": {"Two": two, "Data": {"type": "object"}}})
    )
    definitions = {
        "All": {"anyOf": [{"$ref": "#/$defs/One"}, {"$ref": "errors.json#/$defs/Two"}]},
        "One": one,
        "Unused": one,
    }
    procedures = {
        "p": {"type": "request", "error": {"$ref": "#/$defs/All"}},
        "q": {
            "type": "request",
            "error": {"anyOf": [{"$ref": "#/$defs/One", "description": "Mine."}]},
        },
    }
    protocol = _read(tmp_path, {"procedures": procedures, "$defs": definitions})
    assert [procedure.errors for procedure in protocol.procedures] == [
        (
            ErrorDefinition("One", "ONE", None, "The first.", "/procedures/p/error"),
            ErrorDefinition("Two", "TWO", {"$ref": "#/$defs/Data"}, "", "/procedures/p/error"),
        ),
        (ErrorDefinition("One", "ONE", None, "Mine.", "/procedures/q/error/anyOf/0"),),
    ]
    assert list(protocol.definitions) == ["Data", "Unused"], "what is only an error is no model"


def test_declared_error_used_by_slot_stays_definition(tmp_path: Path) -> None:
    error = _declaration({"type": "string", "const": "ONE"})
    reference = {"$ref": "#/$defs/One"}
    procedures = {"p": {"type": "request", "result": reference, "error": reference}}
    protocol = _read(tmp_path, {"procedures": procedures, "$defs": {"One": error}})
    assert protocol.procedures[0].slots == {"result": reference}
    assert protocol.definitions == {"One": error}


@pytest.mark.parametrize(
    ("error", "issues"),
    [
        (True, [": expected an object, got true"]),
        ("X", [': expected an object, got "X"']),
        ({"$ref": "#/$defs/None"}, ['/$ref: "#/$defs/None": there is no /$defs/None in']),
        ({"$ref": "#/$defs/Loop"}, [": declares the same error twice, or itself"]),
        (
            {"anyOf": [5]},
            ["/anyOf/0: expected an object or a boolean", "/anyOf/0: in an error decl"],
        ),
        (
            {"anyOf": [_declaration({"type": "string", "const": "A"})] * 2},
            ['/anyOf/1: the code "A" is declared twice'],
        ),
        (
            {"anyOf": [_declaration({"type": "string"})] * 2},
            ["/anyOf/1: an open code is declared twice"],
        ),
        (
            {
                **_declaration({"type": "integer"}, data={"type": "string"}, extra={}),
                "required": [],
            },
            [
                '/properties/code/type: in an error declaration, expected "string", got "integer"',
                '/properties/data/type: in an error declaration, expected "object", got "string"',
                '/properties/extra: in an error declaration, unknown key "extra": expected one of',
                '/required: in an error declaration, expected an array with "code" in it, got an',
                '/required: in an error declaration, expected an array with "message" in it, got an',
            ],
        ),
        (
            {**_declaration({"type": "string", "const": ""}), "minProperties": 2},
            [
                "/minProperties: in an error declaration, unknown key",
                "/properties/code/const: in an error declaration, expected at least 1 character",
            ],
        ),
    ],
)
def test_declared_error_malformed_reports_issues(
    tmp_path: Path, error: object, issues: list[str]
) -> None:
    content = {
        "procedures": {"p": {"type": "request", "error": error}},
        "$defs": {"Loop": {"anyOf": [{"$ref": "#/$defs/Loop"}]}},
    }
    found = _issues(tmp_path, content)
    texts = [issue.split(": ", 1)[1].removeprefix("/procedures/p/error") for issue in found]
    texts.sort()
    assert len(texts) == len(issues)
    for text, start in zip(texts, issues, strict=True):
        assert text.startswith(start)


def test_declared_errors_of_same_name_are_rejected(tmp_path: Path) -> None:
    for name, code in (("a.json", "A"), ("b.json", "B")):
        declared = _declaration({"type": "string", "const": code})
        (tmp_path / name).write_text(json.dumps({"$defs": {"Bad": declared}}))
    both = {"anyOf": [{"$ref": "a.json#/$defs/Bad"}, {"$ref": "b.json#/$defs/Bad"}]}
    assert _issues(tmp_path, {"p": {"type": "request", "error": both}}) == [
        (
            f'{tmp_path}/b.json:1: /$defs/Bad: another error is named "Bad", too: '
            f"{tmp_path}/a.json:1: /$defs/Bad; rename one"
        )
    ]


def test_meta_schema_agrees_with_reader(tmp_path: Path) -> None:
    schema = read_meta_schema()
    assert json.loads(META_SCHEMA.read_text()) == schema
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    error = _declaration({"type": "string"}, data={"type": "object"})
    draft_07 = {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{}]}
    contents: list[Any] = [
        {"p": {"type": "event"}},
        {"procedures": {"type": "event"}},
        {"name": "X", "procedures": {"p": {"type": "request", "param": {"type": "string"}}}},
        {"p": {"type": "request", "error": error}},
        {"p": {"type": "request", "error": {"anyOf": [error]}}},
        {"p": {"type": "event", "data": draft_07}},
        [],
        {"p": {"type": "event", "data": {"type": "strin"}}},
        {"p": {"type": "event", "data": {"items": [{}]}}},
        {"p": {"type": "request", "error": {**error, "required": ["code"]}}},
        {"name": "X"},
        {"procedures": {}},
        {"p": {"type": "stream"}},
        {"p": {"type": "event", "error": error}},
        {"": {"type": "event"}},
    ]
    assert [validator.is_valid(content) for content in contents] == [True] * 6 + [False] * 9
    for content in contents[:6]:
        assert _read(tmp_path, content).procedures
    for content in contents[6:]:
        assert _issues(tmp_path, content)


_TEXT = st.text(st.characters(codec="utf-8"), max_size=10)
_SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    st.booleans()
    | st.sampled_from(
        [{"type": "string"}, {"const": None}, {"enum": [1, "a"]}, {"$ref": "#/$defs/A"}]
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "description": _TEXT,
            "properties": st.dictionaries(_TEXT, inner, max_size=3),
            # Apart from the names of properties, or one might look like the misspelt name of another.
            "required": st.lists(_TEXT.map("required {}".format), unique=True, max_size=2),
            "items": inner,
            "additionalProperties": inner,
        },
    ),
    max_leaves=8,
)


@st.composite
def _procedures(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["event", "request", "stream", "channel"]))
    slots = {"event": ["data"], "request": ["param", "result"]}.get(kind, ["param", "result"])
    needed = {"stream": ["receive"], "channel": ["send", "receive"]}.get(kind, [])
    procedure = {slot: draw(_SCHEMAS) for slot in slots if draw(st.booleans())}
    return {"type": kind, **procedure, **{slot: draw(_SCHEMAS) for slot in needed}}


_NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@given(
    procedures=st.dictionaries(_NAMES, _procedures(), min_size=1, max_size=4),
    callbacks=st.dictionaries(_NAMES, _procedures(), min_size=1, max_size=2),
    shared=_SCHEMAS,
)
def test_read_protocol_valid_protocols_are_read(
    tmp_path_factory: pytest.TempPathFactory,
    procedures: dict[str, Any],
    callbacks: dict[str, Any],
    shared: Any,
) -> None:
    content = {
        "procedures": procedures,
        "callbacks": callbacks,
        "$defs": {"A": {"properties": {"a": shared}}},
    }
    protocol = _read(tmp_path_factory.getbasetemp(), content)
    for read, written in ((protocol.procedures, procedures), (protocol.callbacks, callbacks)):
        assert {each.name: {"type": each.kind, **each.slots} for each in read} == written
    assert list(protocol.definitions) == ["A"]


_SOUP = st.lists(
    st.sampled_from(
        [
            *DOCUMENT.splitlines(keepends=True),
            *BARE.splitlines(keepends=True),
            *string.punctuation,
            *(
                "&a ",
                "*a",
                "!!str ",
                "? ",
                ": ",
                "- ",
                "\n",
                "  ",
                "---\n",
                "...\n",
                "<<: ",
                "\\U99999999",
            ),
            *(
                "$ref: ",
                "'#/$defs/Level'",
                "'#'",
                "$id: ",
                "$anchor: ",
                "$schema: ",
                "type: ",
                "error: ",
            ),
            *(
                "properties: ",
                "anyOf: ",
                "$defs: ",
                "null",
                "1e999",
                '"',
                "\0",
                "\x85",
                "\ufeff",
                "😀",
            ),
        ]
    ),
    max_size=30,
).map(lambda parts: "".join(parts).encode())


@given(content=st.binary(max_size=200) | _SOUP, suffix=st.sampled_from([".json", ".yaml"]))
@example(content=b"%YAML 1.99999999999999999999\n--- a", suffix=".yaml")
@example(content=b"\xef\xbb\xbf", suffix=".yaml")
def test_read_protocol_any_bytes_give_protocol_or_protocol_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(content)
    issues: list[str] = []
    try:
        procedures = read_protocol(path).procedures
    except ProtocolError as error:
        procedures = ()
        issues = str(error).split("\n")
    assert bool(procedures) != bool(issues)
    assert all(issue.startswith(str(path)) for issue in issues)


NAMED = """
$defs:
  io.k8s.Pod: {type: object, x-python-name: Pod, properties: {a: {type: string}}}
  problem/gone:
    x-python-name: Gone
    type: object
    additionalProperties: false
    properties: {code: {type: string, const: GONE}, message: {type: string}}
    required: [code, message]
procedures:
  io.k8s.v1/list:
    type: request
    x-python-name: pods
    param: {type: object, properties: {a: {type: string}}}
    result: {$ref: "#/$defs/io.k8s.Pod"}
    error:
      anyOf:
        - {$ref: "#/$defs/problem~1gone"}
        - type: object
          additionalProperties: false
          properties: {code: {type: string, const: ODD}, message: {type: string}}
          required: [code, message]
"""


def test_python_name_names_definition_and_procedure(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(NAMED)
    plan = make_plan(read_protocol(tmp_path / "p.yaml"))
    assert [each.name for each in plan.types] == ["Pod", "PodsParam"]
    assert [each.name for each in plan.errors] == ["Gone", "PodsOdd"]
    (procedure,) = plan.procedures
    assert (procedure.method, procedure.constant) == ("pods", "PODS")
    assert procedure.procedure.name == "io.k8s.v1/list"
    assert procedure.slots["result"] == {"$ref": "Pod"}


@pytest.mark.parametrize(
    ("before", "after", "issue"),
    [
        ("x-python-name: Pod", "x-python-name: pod", '/$defs/io.k8s.Pod/x-python-name: expected a name for a class, such as "Order", got "pod"'),
        ("x-python-name: Pod", "x-python-name: 5", '/$defs/io.k8s.Pod/x-python-name: expected a name for a class, such as "Order", got 5'),
        ("x-python-name: pods", "x-python-name: Pods", '/procedures/io.k8s.v1~1list/x-python-name: expected a name for a method, such as "pods", got "Pods"'),
        ("x-python-name: pods", "x-python-name: 5", '/procedures/io.k8s.v1~1list/x-python-name: expected a name for a method, such as "io_k8_s_v1_list", got 5'),
        ("param: {type: object,", "param: {type: object, x-python-name: A,", "/procedures/io.k8s.v1~1list/param/x-python-name: belongs in the schema of a property, or in a definition"),
    ],
)  # fmt: skip
def test_python_name_of_wrong_kind_is_rejected(
    before: str, after: str, issue: str, tmp_path: Path
) -> None:
    (tmp_path / "p.yaml").write_text(NAMED.replace(before, after))
    with pytest.raises(ProtocolError) as caught:
        make_plan(read_protocol(tmp_path / "p.yaml"))
    assert str(caught.value).endswith(issue)


SHARED_ERRORS = """
$defs:
  Busy:
    type: object
    additionalProperties: false
    properties: {code: {type: string, const: BUSY}, message: {type: string}}
    required: [code, message]
errors:
  anyOf:
    - {$ref: "#/$defs/Busy"}
    - type: object
      description: Sign in first.
      additionalProperties: false
      properties:
        code: {type: string, const: NOT_SIGNED_IN}
        message: {type: string}
        data: {type: object, properties: {at: {type: string}}}
      required: [code, message, data]
procedures:
  a: {type: request}
  b: {type: stream, receive: {type: string}, error: {$ref: "#/$defs/Busy"}}
  c: {type: event}
"""


def test_errors_of_protocol_are_declared_by_all_that_reply(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(SHARED_ERRORS)
    plan = make_plan(read_protocol(tmp_path / "p.yaml"))
    assert [each.name for each in plan.errors] == ["Busy", "NotSignedIn"]
    assert {each.method: sorted(each.errors) for each in plan.procedures} == {
        "a": ["Busy", "NotSignedIn"],
        "b": ["Busy", "NotSignedIn"],
        "c": [],
    }
    assert [each.name for each in plan.types] == ["NotSignedInData"]


def test_error_code_of_protocol_declared_again_is_reported(tmp_path: Path) -> None:
    again = "error: {type: object, additionalProperties: false, required: [code, message], properties: {code: {type: string, const: BUSY}, message: {type: string}}}"
    text = SHARED_ERRORS.replace("a: {type: request}", f"a: {{type: request, {again}}}")
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ProtocolError) as caught:
        read_protocol(tmp_path / "p.yaml")
    (issue,) = caught.value.issues
    assert (issue.pointer, issue.message) == (
        "/procedures/a/error",
        'the code "BUSY" is declared for all procedures, too',
    )


def test_errors_of_protocol_malformed_are_reported(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("errors: 5\nprocedures: {a: {type: request}}")
    with pytest.raises(ProtocolError, match="/errors: expected an object, got 5"):
        read_protocol(tmp_path / "p.yaml")
    (tmp_path / "p.yaml").write_text("errors: {type: object}\nprocedures: {a: {type: request}}")
    with pytest.raises(ProtocolError, match="in an error declaration"):
        read_protocol(tmp_path / "p.yaml")


@pytest.mark.parametrize("code", ["EK01", "EKP02"])
def test_error_with_code_of_enkaku_is_an_error(tmp_path: Path, code: str) -> None:
    with pytest.raises(ProtocolError, match=f'the code "{code}" is one of Enkaku'):
        _errors(tmp_path, _declaration({"type": "string", "const": code}))
