"""Draft 2020-12 and draft-07: which one is read, and what is said of keywords that it does not have."""

import json
from pathlib import Path
from typing import Any

import pytest
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.reading.definition import Protocol, read_protocol
from enkaku_codegen.reading.dialects import DRAFT_07, DRAFT_2020_12
from jsonschema import Draft7Validator
from jsonschema_specifications import REGISTRY

NEW = "https://json-schema.org/draft/2020-12/schema"
OLD = "http://json-schema.org/draft-07/schema#"
# Each means something in one of the two drafts alone.
PAIR = {"items": [{"type": "string"}], "additionalItems": False}
TUPLE = {"prefixItems": [{"type": "string"}], "items": False}


def _read(directory: Path, content: object, **files: object) -> Protocol:
    for name, each in {"main": content, **files}.items():
        (directory / f"{name}.json").write_text(json.dumps(each, indent=1))
    return read_protocol(directory / "main.json")


def _issues(directory: Path, content: object, **files: object) -> list[str]:
    with pytest.raises(ProtocolError) as caught:
        _read(directory, content, **files)
    return [issue.replace(f"{directory}/", "") for issue in str(caught.value).split("\n")]


def _data(schema: object) -> dict[str, Any]:
    return {"p": {"type": "event", "data": schema}}


def _said(directory: Path, schema: object) -> list[str]:
    return [issue.split(": ", 2)[2] for issue in _issues(directory, _data(schema))]


def test_dialects_know_each_keyword_of_their_meta_schemas() -> None:
    new = {key for uri in REGISTRY if "2020-12/meta/" in uri for key in _properties(uri)}
    assert DRAFT_2020_12.keywords == new | {"$defs", "definitions"}
    old = set(Draft7Validator.META_SCHEMA["properties"])
    # Not of that draft, but of many of its schemas, and it changes no meaning.
    assert DRAFT_07.keywords == old | {"$defs", "deprecated", "writeOnly"}


def _properties(uri: str) -> list[str]:
    return list(REGISTRY.contents(uri)["properties"])


@pytest.mark.parametrize("old", [OLD, OLD.removesuffix("#"), OLD.replace("http:", "https:")])
def test_dialect_of_slot_is_applied(old: str, tmp_path: Path) -> None:
    (procedure,) = _read(tmp_path, _data({"$schema": old, **PAIR})).procedures
    assert procedure.slots == {"data": TUPLE}


@pytest.mark.parametrize("bare", [True, False])
def test_dialect_of_protocol_file_applies_to_its_schemas(tmp_path: Path, *, bare: bool) -> None:
    procedures = {
        **_data(PAIR),
        "q": {"type": "event", "data": {"$schema": NEW, "items": PAIR["items"][0]}},
    }
    content = procedures if bare else {"procedures": procedures, "$defs": {"D": PAIR}}
    protocol = _read(tmp_path, {"$schema": OLD, **content})
    assert [each.slots["data"] for each in protocol.procedures] == [
        TUPLE,
        {"items": {"type": "string"}},
    ]
    assert bare or protocol.definitions == {"D": TUPLE}


def test_dialect_of_nested_schema_is_applied(tmp_path: Path) -> None:
    data = {
        "properties": {"old": {"$schema": OLD, **PAIR}, "new": TUPLE},
        "$defs": {"Old": {"$schema": OLD, "items": [{"$schema": NEW, **TUPLE}]}},
        "not": {"$ref": "#/$defs/Old"},
    }
    protocol = _read(tmp_path, _data(data))
    assert protocol.procedures[0].slots["data"] == {
        "properties": {"old": TUPLE, "new": TUPLE},
        "not": {"$ref": "#/$defs/Old"},
    }
    assert protocol.definitions == {"Old": {"prefixItems": [TUPLE]}}


def test_dialect_applies_per_file(tmp_path: Path) -> None:
    references = [{"$ref": name} for name in ("old.json", "new.json", "other.json#/$defs/D")]
    protocol = _read(
        tmp_path,
        {"$schema": OLD, **_data({"items": [PAIR, *references]})},
        old={"$schema": OLD, **PAIR},
        new=TUPLE,
        other={
            "$schema": OLD,
            "$defs": {"D": PAIR},
            "procedures": {"x": {"type": "event", "data": PAIR}},
        },
    )
    assert protocol.definitions == {"old": TUPLE, "new": TUPLE, "D": TUPLE}
    assert (
        _issues(tmp_path, _data({"$ref": "old.json"}), old=PAIR)
        == [
            (
                'old.json:7: /additionalItems: unknown keyword "additionalItems": in draft 2020-12 it is '
                "items, after prefixItems for the first ones"
            ),
            (
                "old.json:2: /items: expected one schema: in draft 2020-12, prefixItems has the first ones"
            ),
        ][::-1]
    )


def test_dialect_unsupported_is_reported_at_each_schema_key(tmp_path: Path) -> None:
    uri = "http://json-schema.org/draft-04/schema#"
    message = f'expected draft 2020-12 or draft-07 of JSON Schema, got "{uri}"'
    named = {"$schema": uri}
    assert _issues(tmp_path, {**named, **_data(True)}) == [f"main.json:2: /$schema: {message}"]
    assert _said(tmp_path, named) == [message]
    assert _issues(tmp_path, _data({"$ref": "a.json"}), a=named) == [
        f"a.json:2: /$schema: {message}"
    ]
    files = {"a": {**named, "procedures": _data(True), "$defs": {"D": True}}}
    assert _issues(tmp_path, _data({"$ref": "a.json#/$defs/D"}), **files) == [
        f"a.json:2: /$schema: {message}"
    ]


_CHOOSE = f'draft-07 does not know it; draft 2020-12 does: "$schema": "{NEW}"'


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"items": [{}]}, "expected one schema: in draft 2020-12, prefixItems has the first ones"),
        ({"additionalItems": 1}, "in draft 2020-12 it is items, after prefixItems for the first ones"),
        ({"dependencies": {}},
         "in draft 2020-12 it is dependentRequired with names, dependentSchemas with schemas"),
        ({"$recursiveRef": "#"}, "in draft 2020-12 it is $dynamicRef"),
        ({"$recursiveAnchor": True}, "in draft 2020-12 it is $dynamicAnchor"),
        ({"$schema": OLD, "prefixItems": []}, f"in draft-07 it is items with an array; {_CHOOSE}"),
        ({"$schema": OLD, "dependentRequired": {}}, f"in draft-07 it is dependencies; {_CHOOSE}"),
        ({"$schema": OLD, "dependentSchemas": {}}, f"in draft-07 it is dependencies; {_CHOOSE}"),
        ({"$schema": OLD, "$anchor": "a"}, f'in draft-07 it is "$id": "#name"; {_CHOOSE}'),
        ({"$schema": OLD, "$recursiveRef": "#"}, "neither draft-07 nor 2020-12 knows it"),
        *(({"$schema": OLD, key: value}, _CHOOSE) for key, value in {
            "unevaluatedProperties": False, "unevaluatedItems": False, "minContains": 1,
            "maxContains": 1, "contentSchema": {}, "$dynamicRef": "#",
            "$dynamicAnchor": "a", "$vocabulary": {}}.items()),
        ({"nullable": True},
         'from OpenAPI: JSON Schema has the type "null", as in {type: [string, "null"]}'),
        ({"$schema": OLD, "example": 1}, "from OpenAPI: JSON Schema has examples, with an array"),
        ({"discriminator": {"propertyName": "kind"}},
         "from OpenAPI: leave it out: a const in each schema of oneOf tells them apart"),
        ({"xml": {}}, "from OpenAPI: leave it out: values cross the wire as JSON"),
        ({"markdownDescription": "a"}, "a keyword of your own begins with x-"),
        ({"minLenght": 1}, '(did you mean "minLength"?)'),
        ({"Properties": {}}, '(did you mean "properties"?)'),
        ({"type": "object", "owner": {"type": "string"}},
         "properties stand within, as in {type: object, properties: ...}"),
    ],
)  # fmt: skip
def test_dialect_unknown_keywords_are_reported(
    schema: dict[str, Any], said: str, tmp_path: Path
) -> None:
    (found,) = _said(tmp_path, schema)
    assert found.endswith(said)
    assert found.startswith(("unknown keyword", "expected one schema"))


def test_dialect_extension_keywords_are_kept(tmp_path: Path) -> None:
    for uri in (NEW, OLD):
        schema = {"$schema": uri, "$defs": {}, "definitions": {}, "x-mine": {"nullable": 1}}
        assert _read(tmp_path, _data(schema)).procedures[0].slots == {
            "data": {"x-mine": {"nullable": 1}}
        }
    assert (
        _read(tmp_path, _data({"$vocabulary": {"urn:x": True}})).procedures[0].slots["data"] == {}
    )


CLOSED = {"properties": {"name": {}}, "additionalProperties": False}


def test_lint_required_misspelt_property_is_reported(tmp_path: Path) -> None:
    for uri in (NEW, OLD):
        schema = {"$schema": uri, **CLOSED, "required": ["id", "nmae"]}
        assert _said(tmp_path, schema) == [
            'required, but no property, and additionalProperties: false (did you mean "name"?)'
        ]
    for fine in (
        {"required": ["name", "names"]},
        {"required": ["id"]},
        {"required": ["nmae"], "patternProperties": {"^n": {}}},
        {"required": ["nmae"], "additionalProperties": {}},
    ):
        _read(tmp_path, _data({**CLOSED, **fine}))


def test_python_name_outside_property_is_rejected(tmp_path: Path) -> None:
    named = {"x-python-name": "kind"}
    _read(tmp_path, _data({"properties": {"class": named}}))
    for schema in (named, {"items": named}, {"allOf": [named]}):
        assert _said(tmp_path, schema) == [
            "belongs in the schema of a property, or in a definition"
        ]


def test_draft_07_keywords_next_to_ref_are_ignored(tmp_path: Path) -> None:
    data = {
        "$schema": OLD,
        "definitions": {"A": {"type": "string"}},
        "properties": {"a": {"$ref": "#/definitions/A", "maxLength": 2, "pattern": "("}},
    }
    assert _read(tmp_path, _data(data)).procedures[0].slots["data"] == {
        "properties": {"a": {"$ref": "#/$defs/A"}}
    }


def test_reference_to_schema_container_is_rejected(tmp_path: Path) -> None:
    group = {"$comment": "Units.", "Metre": {"type": "number"}}
    content = {"$defs": {"units": group}, "procedures": _data({"$ref": "#/$defs/units/Metre"})}
    assert "units/Metre" in _read(tmp_path, content).definitions
    foreign = {"openapi": "3.1.0", "components": {"schemas": group}}
    reference = {"$ref": "foreign.json#/components/schemas/Metre"}
    assert _read(tmp_path, _data(reference), foreign=foreign).definitions
    content["procedures"] = _data({"$ref": "#/$defs/units"})
    assert _issues(tmp_path, content) == [
        (
            'main.json:14: /procedures/p/data/$ref: "#/$defs/units": '
            "not a schema: only an object that holds other schemas"
        )
    ]
    content = {"$defs": {"A": {"nullable": True}}, "procedures": _data(True)}
    assert 'unknown keyword "nullable"' in _issues(tmp_path, content)[0]


def test_lint_reports_at_most_1001_issues(tmp_path: Path) -> None:
    wrong = {f"propert{index}": 1 for index in range(20_000)}
    assert len(_issues(tmp_path, _data(wrong))) == 1001
    assert len(_issues(tmp_path, _data({"$ref": "a.json"}), a={"type": "string", **wrong})) == 1001


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(?P<year>[0-9]{4})", "(?P...) is Python syntax; write (?<name>...)"),
        ("(?P=year)", "(?P...) is Python syntax; write (?<name>...)"),
        ("^a\\Z", "write $ for the end"),
        ("(?>a)", "atomic groups are not supported"),
        ("(?(1)a)", "conditions are not supported"),
        ("(a", "missing ), unterminated subpattern at position 0"),
        ("[a", "unterminated character set at position 0"),
        ("a**", "multiple repeat at position 2"),
        ("[z-a]", "bad character range z-a at position 1"),
        ("{id}", "a brace that is not a repetition needs a backslash, \\{"),
        ("\\p{Nonsense}", "\\p{Nonsense}: unknown property at position 0"),
        ("(a{1000}){10000}", "it is too large for the validator"),
        ("(?:" * 3000, "it is nested too deeply; at most 100 levels are supported"),
        ("a" * 10_001, "a pattern of 10001 characters; at most 10000 are supported"),
    ],
)
def test_lint_invalid_pattern_is_reported(pattern: str, said: str, tmp_path: Path) -> None:
    found = _issues(tmp_path, _data({"pattern": pattern, "patternProperties": {pattern: True}}))
    assert [issue.split(": ")[0] for issue in found] == ["main.json:5", "main.json:7"]
    assert "/p/data/pattern: " in found[0]
    assert "/p/data/patternProperties/" in found[1]
    assert all(said in issue for issue in found)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "^[a-z]+(-[0-9]{2,4})?$",
        "\\(?P<a>",
        "[(?P<a>]",
        "(?<year>a)",
        "^(?!x)\\p{L}{1,64}$",
        "\\\\Z",
    ],
)
def test_lint_valid_pattern_is_accepted(pattern: str, tmp_path: Path) -> None:
    for uri in (NEW, OLD):
        _read(tmp_path, _data({"$schema": uri, "pattern": pattern}))


def _document(schema: object) -> dict[str, Any]:
    return {"$defs": {"A": {}}, "procedures": _data(schema)}


OPEN = {"properties": {"max": {}, "unit": {}}}


@pytest.mark.parametrize("uri", [NEW, OLD])
@pytest.mark.parametrize(
    ("more", "messages"),
    [
        ({"required": ["maximum"]}, ['required, but no property (did you mean "max"?)']),
        ({"required": ["unti", "max"]}, ['required, but no property (did you mean "unit"?)']),
        ({"required": ["max", "unit", "maximum"]}, []),
        ({"required": ["else"]}, []),
        ({"required": ["maximum"], "patternProperties": {"^m": {}}}, []),
        ({"required": ["maximum"], "allOf": [{"properties": {"maximum": {}}}]}, []),
        ({"required": ["maximum"], "allOf": [{"$ref": "#/$defs/A"}]}, []),
        (
            {"required": ["maximum"], "oneOf": [{"required": ["unit"]}, {"$ref": "#/$defs/A"}]},
            ['required, but no property (did you mean "max"?)'],
        ),
    ],
)
def test_required_name_near_property_gives_warning(
    more: dict[str, Any], messages: list[str], uri: str, tmp_path: Path
) -> None:
    schema = {**OPEN, **more}
    for each in (schema, {"anyOf": [{"type": "null"}, schema]}):
        warnings = _read(tmp_path, _document({"$schema": uri, **each})).warnings
        assert [issue.message for issue in warnings] == messages


def test_warning_knows_properties_of_schemas_around(tmp_path: Path) -> None:
    branch = {"properties": {"ids": {}}, "required": ["id"]}
    for around in ({"properties": {"id": {}}}, {"$ref": "#/$defs/A"}):
        document = _document({**around, "oneOf": [branch]})
        assert _read(tmp_path, document).warnings == ()
    # As a property of its own, it is another value.
    (issue,) = _read(tmp_path, _data({"properties": {"id": branch}})).warnings
    assert (issue.line, issue.pointer) == (11, "/p/data/properties/id/required/0")


@pytest.mark.parametrize(("uri", "keyword"), [(NEW, "dependentRequired"), (OLD, "dependencies")])
def test_dependent_name_near_property_gives_warning(uri: str, keyword: str, tmp_path: Path) -> None:
    schema = {"$schema": uri, **OPEN, keyword: {"maxx": [], "unit": ["maxx"]}}
    issues = _read(tmp_path, _data(schema)).warnings
    assert [issue.message for issue in issues] == [
        f'in {keyword}, but no property (did you mean "max"?)'
    ] * 2


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("date-tiem", "date-time"),
        ("DateTime", "date-time"),
        ("UUID", "uuid"),
        ("uri-refrence", "uri-reference"),
        ("date", None),
        ("json-pointer", None),
        ("int64", None),
        ("color", None),
    ],
)
def test_format_near_known_one_gives_warning(name: str, hint: str | None, tmp_path: Path) -> None:
    procedures = _data({"items": {"$ref": "other.json"}})
    other = {"properties": {"format": {"type": "string", "format": name}}}
    protocol = {"formats": {"uuid": "UUID"}, "procedures": procedures}
    said = f'unknown format "{name}" (did you mean "{hint}"?): the string stays a string'
    expected = [("/properties/format/format", said)] if hint else []
    warnings = _read(tmp_path, protocol, other=other).warnings
    assert [(each.pointer, each.message) for each in warnings] == expected
    assert _read(tmp_path, {"procedures": procedures}, other=other).warnings == ()


def _lenient(data: object) -> dict[str, Any]:
    return {"foreign": "lenient", "procedures": _data(data)}


@pytest.mark.parametrize(
    ("schema", "converted"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": ["string", "null"], "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": False}, {"type": "string"}),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"maximum": 1, "exclusiveMaximum": False}, {"maximum": 1}),
        ({"exclusiveMaximum": True}, {}),
        ({"example": 1}, {"examples": [1]}),
        ({"markdownDescription": "*a*"}, {"description": "*a*"}),
        ({"markdownDescription": "*a*", "description": "a"}, {"description": "a"}),
        ({"deprecationMessage": "no"}, {"deprecated": True}),
        ({"properties": {"nullable": {}, "id": {}}}, {"properties": {"nullable": {}, "id": {}}}),
        ({"const": {"nullable": True}}, {"const": {"nullable": True}}),
    ],
)
def test_lenient_converts_keywords_with_equivalent(
    schema: dict[str, Any], converted: object, tmp_path: Path
) -> None:
    protocol = _read(tmp_path, _lenient({"$ref": "other.json"}), other={"anyOf": [schema]})
    assert protocol.definitions == {"other": {"anyOf": [converted]}}
    assert protocol.warnings == ()


def test_lenient_reads_old_drafts_as_draft_07(tmp_path: Path) -> None:
    for draft in ("04", "06"):
        other = {
            "$schema": f"http://json-schema.org/draft-{draft}/schema#",
            "id": "urn:root",
            "definitions": {"a": {"id": "#a", "type": "string"}},
            "items": [{"$ref": "#a"}, {"$ref": "urn:root#/definitions/a"}],
        }
        protocol = _read(tmp_path, _lenient({"$ref": "other.json"}), other=other)
        reference = {"$ref": "#/$defs/a"}
        assert protocol.definitions["other"] == {"prefixItems": [reference, reference]}
        assert _issues(tmp_path, _data({"$ref": "other.json"}), other=other)


def test_lenient_reads_draft_2019_09_as_2020_12(tmp_path: Path) -> None:
    part = {"$ref": "#/$defs/a", "title": "A"}
    other = {
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "$defs": {"a": {"type": "array", "items": {}, "additionalItems": False}},
        "items": [part],
        "additionalItems": False,
        "dependencies": {"a": ["b"], "c": {"required": ["d"]}},
        "dependentRequired": {"e": ["f"]},
    }
    protocol = _read(tmp_path, _lenient({"$ref": "other.json"}), other=other)
    assert protocol.definitions == {
        "a": {"type": "array", "items": {}},
        "other": {
            "prefixItems": [part],
            "items": False,
            "dependentRequired": {"a": ["b"], "e": ["f"]},
            "dependentSchemas": {"c": {"required": ["d"]}},
        },
    }
    assert protocol.warnings == ()
    (issue,) = _issues(tmp_path, _data({"$ref": "other.json"}), other={"$schema": other["$schema"]})
    assert issue.startswith("other.json:2: /$schema: expected draft 2020-12 or draft-07")


def test_lenient_recursive_ref_is_error(tmp_path: Path) -> None:
    other = {"items": {"$recursiveRef": "#"}}
    (issue,) = _issues(tmp_path, _lenient({"$ref": "other.json"}), other=other)
    assert "in draft 2020-12 it is $dynamicRef" in issue


def test_lenient_ignored_keyword_near_another_is_named(tmp_path: Path) -> None:
    other = {"items": {"paterns": "a"}}
    protocol = _read(tmp_path, _lenient({"$ref": "other.json"}), other=other)
    message = _ignored("paterns", ' (did you mean "pattern"?)')
    assert [each.message for each in protocol.warnings] == [message]


def test_lenient_reports_each_ignored_keyword_once(tmp_path: Path) -> None:
    nullable = {"nullable": True, "tsType": "A"}
    other = {"properties": {"a": nullable, "b": nullable, "c": {"existingJavaType": "A"}}}
    protocol = _read(tmp_path, _lenient({"$ref": "other.json"}), other=other)
    assert protocol.definitions == {"other": {"properties": {"a": {}, "b": {}, "c": {}}}}
    assert [(each.pointer, each.message) for each in protocol.warnings] == [
        ("/properties/a/nullable", _ignored("nullable", ", here and at 1 other location")),
        ("/properties/a/tsType", _ignored("tsType", ", here and at 1 other location")),
        ("/properties/c/existingJavaType", _ignored("existingJavaType", "")),
    ]


def _ignored(keyword: str, more: str) -> str:
    return f'ignored the unknown keyword "{keyword}"{more}'


def test_lenient_is_for_foreign_files_only(tmp_path: Path) -> None:
    schema = {"type": "string", "nullable": True}
    own = [
        (_lenient(schema), {}),
        (
            _lenient({"$ref": "other.json#/$defs/A"}),
            {"other": {"$defs": {"A": schema}, "procedures": {}}},
        ),
        (_data({"$ref": "other.json"}), {"other": schema}),
    ]
    for content, files in own:
        (issue,) = _issues(tmp_path, content, **files)
        assert 'unknown keyword "nullable"' in issue
    (issue,) = _issues(tmp_path, _lenient({"$ref": "other.json"}), other={"type": "strin"})
    assert "expected" in issue


def test_lenient_reads_schemas_of_open_api_document(tmp_path: Path) -> None:
    pet = {"type": "object", "properties": {"name": {"type": "string", "nullable": True}}}
    other = {"openapi": "3.0.3", "info": {"title": "Pets"}, "components": {"schemas": {"Pet": pet}}}
    data = {"$ref": "other.json#/components/schemas/Pet"}
    (schema,) = _read(tmp_path, _lenient(data), other=other).definitions.values()
    assert schema == {
        "type": "object",
        "properties": {"name": {"type": ["string", "null"]}},
    }
