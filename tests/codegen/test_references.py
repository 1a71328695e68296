"""References: every way to write one ends as ``#/$defs/NAME``, or as an error at the place of the ``$ref``."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.reading.definition import Protocol, read_protocol
from jsonschema import Draft202012Validator

Files = dict[str, Any]


def _read(directory: Path, files: Files) -> Protocol:
    """Write files, JSON by value or any text, and read the one named main.json or main.yaml."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    return read_protocol(next(directory.glob("main.*")))


def _issues(directory: Path, files: Files) -> list[str]:
    with pytest.raises(ProtocolError) as caught:
        _read(directory, files)
    return str(caught.value).replace(f"{directory}/", "").split("\n")


def _bare(data: object) -> Files:
    return {"main.json": {"p": {"type": "event", "data": data}}}


def _document(data: object, **definitions: object) -> Files:
    procedures = {"p": {"type": "event", "data": data}}
    return {"main.json": {"procedures": procedures, "$defs": definitions}}


def _data(protocol: Protocol) -> object:
    return protocol.procedures[0].slots["data"]


def test_document_definitions_are_kept_used_or_unused(tmp_path: Path) -> None:
    protocol = _read(
        tmp_path, _document({"$ref": "#/$defs/B"}, B={"type": "string"}, A={"$ref": "#/$defs/B"})
    )
    assert _data(protocol) == {"$ref": "#/$defs/B"}
    assert list(protocol.definitions.items()) == [
        ("A", {"$ref": "#/$defs/B"}),
        ("B", {"type": "string"}),
    ]


def test_slot_definitions_take_precedence_over_document(tmp_path: Path) -> None:
    data = {
        "$defs": {"Own": {"type": "string"}, "Unused": {"type": "null"}},
        "anyOf": [{"$ref": "#/$defs/Own"}, {"$ref": "#/$defs/Shared"}],
    }
    protocol = _read(tmp_path, _document(data, Shared={"type": "number"}))
    assert _data(protocol) == {"anyOf": [{"$ref": "#/$defs/Own"}, {"$ref": "#/$defs/Shared"}]}
    assert protocol.definitions == {"Own": {"type": "string"}, "Shared": {"type": "number"}}


def test_slot_of_bare_mapping_is_its_own_root(tmp_path: Path) -> None:
    slot = {"$defs": {"Level": {"enum": ["a"]}}, "items": {"$ref": "#/$defs/Level"}}
    procedures = {name: {"type": "event", "data": slot} for name in ("p", "q")}
    protocol = _read(tmp_path, {"main.json": procedures})
    assert [procedure.slots["data"] for procedure in protocol.procedures] == [
        {"items": {"$ref": "#/$defs/Level"}}
    ] * 2
    assert protocol.definitions == {"Level": {"enum": ["a"]}}


def test_references_between_files_are_resolved(tmp_path: Path) -> None:
    protocol = _read(
        tmp_path,
        {
            **_document({"$ref": "parts/common.yaml#/$defs/A"}, Own={"type": "null"}),
            "parts/common.yaml": (
                "$defs:\n  A: {properties: {b: {$ref: '#/$defs/B'}, o: {$ref: ../other.json}}}\n"
                "  B: {type: string}\n  Unused: {}\n"
            ),
            "other.json": {"items": {"$ref": "main.json#/$defs/Own"}},
        },
    )
    assert _data(protocol) == {"$ref": "#/$defs/A"}
    assert protocol.definitions == {
        "A": {"properties": {"b": {"$ref": "#/$defs/B"}, "o": {"$ref": "#/$defs/other"}}},
        "B": {"type": "string"},
        "Own": {"type": "null"},
        "other": {"items": {"$ref": "#/$defs/Own"}},
    }


def test_references_to_one_file_by_several_paths_are_merged(tmp_path: Path) -> None:
    data = {"anyOf": [{"$ref": "a.json"}, {"$ref": "./x/../a.json"}, {"$ref": "link.json"}]}
    (tmp_path / "x").mkdir()
    (tmp_path / "link.json").symlink_to("a.json")
    protocol = _read(tmp_path, {**_bare(data), "a.json": {"type": "string"}})
    assert _data(protocol) == {"anyOf": [{"$ref": "#/$defs/a"}] * 3}


@pytest.mark.parametrize(
    ("name", "reference", "written"),
    [
        ("a/b", "#/$defs/a~1b", "#/$defs/a~1b"),
        ("a~b", "#/$defs/a~0b", "#/$defs/a~0b"),
        ("~1", "#/$defs/~01", "#/$defs/~01"),
        ("50%", "#/$defs/50%25", "#/$defs/50%"),
        ("a b", "#/$defs/a%20b", "#/$defs/a b"),
        ("é", "#/$defs/%C3%A9", "#/$defs/é"),
        ("é", "#/$defs/é", "#/$defs/é"),
        ("x/y", "#%2F$defs%2Fx~1y", "#/$defs/x~1y"),
    ],
)
def test_reference_escapes_are_decoded(
    tmp_path: Path, name: str, reference: str, written: str
) -> None:
    protocol = _read(tmp_path, _document({"$ref": reference}, **{name: {"type": "string"}}))
    assert _data(protocol) == {"$ref": written}
    assert list(protocol.definitions) == [name]


def test_reference_by_path_creates_definition(tmp_path: Path) -> None:
    data = {
        "properties": {
            "tree": {"$ref": "#"},
            "first": {"type": "object"},
            "second": {"$ref": "#/properties/first"},
            "foreign": {"$ref": "types.json#/components/Thing"},
        }
    }
    types = {"components": {"Thing": {"items": {"$ref": "#/components/Other"}}, "Other": True}}
    protocol = _read(tmp_path, {**_bare(data), "types.json": types})
    assert _data(protocol) == {"$ref": "#/$defs/p~1data"}
    assert protocol.definitions == {
        "p/data": {
            "properties": {
                "tree": {"$ref": "#/$defs/p~1data"},
                "first": {"$ref": "#/$defs/p~1data~1first"},
                "second": {"$ref": "#/$defs/p~1data~1first"},
                "foreign": {"$ref": "#/$defs/types~1components~1Thing"},
            }
        },
        "p/data/first": {"type": "object"},
        "types/components/Other": True,
        "types/components/Thing": {"items": {"$ref": "#/$defs/types~1components~1Other"}},
    }


def test_references_by_anchor_and_id_are_resolved(tmp_path: Path) -> None:
    data = {
        "$id": "https://example.com/root.json",
        "anyOf": [
            {"$ref": "#plain"},
            {"$ref": "inner.json"},
            {"$ref": "https://example.com/inner.json#there"},
            {"$ref": "file.json#far"},
        ],
        "$defs": {
            "A": {"$anchor": "plain", "type": "string"},
            "B": {
                "$id": "inner.json",
                "items": {"$ref": "#/$defs/C"},
                "$defs": {"C": {"$anchor": "there", "type": "null"}},
            },
        },
    }
    foreign = {"$defs": {"F": {"$anchor": "far", "type": "number"}}}
    protocol = _read(tmp_path, {**_bare(data), "file.json": foreign})
    names = [f"#/$defs/{name}" for name in ("A", "B", "B~1C", "F")]
    assert _data(protocol) == {"anyOf": [{"$ref": name} for name in names]}
    assert protocol.definitions == {
        "A": {"type": "string"},
        "B": {"items": {"$ref": "#/$defs/B~1C"}},
        "B/C": {"type": "null"},
        "F": {"type": "number"},
    }


def test_reference_in_data_is_kept_as_data(tmp_path: Path) -> None:
    data = {
        "const": {"$ref": "x"},
        "enum": [{"$ref": "x"}],
        "default": {"$ref": "x"},
        "examples": [{"$ref": "x"}],
        "x-mine": {"$ref": "x"},
        "properties": {"$ref": {"type": "string"}, "enum": {"$ref": "#/$defs/A"}},
    }
    protocol = _read(tmp_path, _document(data, A={"type": "null"}))
    assert _data(protocol) == data


def test_reference_keeps_adjacent_keywords(tmp_path: Path) -> None:
    data = {"$ref": "#/$defs/A", "description": "first", "maxLength": 3}
    assert _data(_read(tmp_path, _document(data, A={"type": "string"}))) == data


def test_recursion_through_nested_value_is_accepted(tmp_path: Path) -> None:
    tree = {"properties": {"left": {"$ref": "#/$defs/Tree"}, "more": {"items": {"$ref": "t.json"}}}}
    files = {**_document({"$ref": "#/$defs/Tree"}, Tree=tree), "t.json": {"items": {"$ref": "#"}}}
    assert list(_read(tmp_path, files).definitions) == ["Tree", "t"]


def test_draft_07_schema_is_rewritten_as_draft_2020_12(tmp_path: Path) -> None:
    data = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "items": [{"$ref": "#/definitions/A", "maxLength": 3}, {"$ref": "#named"}],
        "additionalItems": {"items": {"type": "null"}},
        "dependencies": {"a": ["b"], "c": {"minProperties": 2}},
        "definitions": {"A": {"type": "string"}, "B": {"$id": "#named", "additionalItems": False}},
    }
    protocol = _read(tmp_path, _bare(data))
    assert _data(protocol) == {
        "prefixItems": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}],
        "items": {"items": {"type": "null"}},
        "dependentRequired": {"a": ["b"]},
        "dependentSchemas": {"c": {"minProperties": 2}},
    }
    assert protocol.definitions == {"A": {"type": "string"}, "B": {}}


def test_schemas_of_same_name_report_both_locations(tmp_path: Path) -> None:
    data = {"anyOf": [{"$ref": "a.json#/$defs/L"}, {"$ref": "b.json#/$defs/L"}]}
    level = {"$defs": {"L": {"properties": {"n": {"const": 1}}}}}
    assert _issues(
        tmp_path, {**_bare(data), "a.json": level, "b.json": {"$defs": {"L": True}}}
    ) == ['b.json:3: /$defs/L: another schema is named "L", too: a.json:3: /$defs/L; rename one']


def test_files_of_same_name_report_both_locations(tmp_path: Path) -> None:
    data = {"anyOf": [{"$ref": "x/common.json"}, {"$ref": "y/common.json"}]}
    files = {**_bare(data), "x/common.json": {"type": "string"}, "y/common.json": {"type": "null"}}
    assert _issues(tmp_path, files) == [
        'y/common.json:1: another schema is named "common", too: x/common.json:1; rename one'
    ]


@pytest.mark.parametrize(
    ("one", "other", "merge"),
    [
        ({"type": "string"}, {"type": "string"}, True),
        ({"x-a": 1, "x-b": [{}]}, {"x-b": [{}], "x-a": 1}, True),
        ({"items": {"$ref": "#"}}, {"items": {"$ref": "#/$defs/L"}}, None),
        ({"const": 1}, {"const": True}, False),
        ({"const": 1}, {"const": 1.0}, True),
        ({"enum": [1, 2]}, {"enum": [2, 1]}, False),
    ],
)
def test_schemas_of_same_name_are_merged_only_if_equal(
    tmp_path: Path, one: object, other: object, *, merge: bool | None
) -> None:
    data = {"anyOf": [{"$ref": "a.json#/$defs/L"}, {"$ref": "b.json#/$defs/L"}]}
    files = {**_bare(data), "a.json": {"$defs": {"L": one}}, "b.json": {"$defs": {"L": other}}}
    if merge:
        protocol = _read(tmp_path, files)
        assert _data(protocol) == {"anyOf": [{"$ref": "#/$defs/L"}] * 2}
        assert protocol.definitions == {"L": one}
    else:
        assert "another schema is named" in _issues(tmp_path, files)[0]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("#/$defs/B", '"#/$defs/B": there is no /$defs/B in main.json'),
        ("#/$defs/A/properties/x/y", '"#/$defs/A/properties/x/y": there is no'),
        ("#/$defs/A/allOf/01", '"#/$defs/A/allOf/01": there is no /$defs/A/allOf/01'),
        ("#/$defs/A/allOf/²", '"#/$defs/A/allOf/²": there is no /$defs/A/allOf/²'),
        ("#/$defs/A/type", '"#/$defs/A/type": expected a schema there, got "object"'),
        ("#/$defs/A/properties", "not a schema: put a shared schema into $defs"),
        ("#/$defs/A/enum/0", "not a schema: put a shared schema into $defs"),
        ("#/procedures/p", "not a schema: put a shared schema into $defs"),
        ("#/x-shared/S", "not a schema: put a shared schema into $defs"),
        ("main.json", '"main.json": not a schema: put a shared schema into $defs'),
        ("#nope", '"#nope": there is no anchor "nope"'),
        ("missing.json#/$defs/A", "missing.json: no such file"),
        ("../missing.yaml", "missing.yaml: no such file"),
        (".", ": expected a file named *.json, *.yaml or *.yml"),
        ("list.json", '"list.json": expected a schema there, got an array'),
        ("http://example.com/a.json", "nothing is fetched from elsewhere"),
        ("//example.com/a.json", "nothing is fetched from elsewhere"),
        ("file:///etc/hosts.json", "nothing is fetched from elsewhere"),
        ("a.json?x", "nothing is fetched from elsewhere"),
        ("http://[x", '"http://[x" is not a reference: '),
        ("%ff.json", '"%ff.json" is not a reference: '),
        ("#%ff", '"#%ff" is not a reference: '),
        ("a%00.json", '"a%00.json" is not a reference: '),
    ],
)
def test_reference_to_missing_target_is_reported_at_ref(
    tmp_path: Path, reference: str, message: str
) -> None:
    main = f"""\
procedures:
  p:
    type: event
    data:
      items:
        $ref: {json.dumps(reference)}
x-shared: {{S: {{}}}}
$defs: {{A: {{type: object, properties: {{x: true}}, allOf: [true], enum: [{{}}]}}}}
"""
    files = {"main.yaml": main.replace("main.json", "main.yaml"), "list.json": [1]}
    found = _issues(tmp_path, files)
    at_reference = [issue for issue in found if issue.startswith("main.yaml:6: ")]
    assert len(at_reference) == 1
    assert at_reference[0].startswith("main.yaml:6: /procedures/p/data/items/$ref: ")
    assert message.replace("main.json", "main.yaml") in at_reference[0]


def test_issues_in_referenced_file_name_that_file(tmp_path: Path) -> None:
    files = {
        **_bare({"anyOf": [{"$ref": "a.yaml"}, {"$ref": "a.yaml#/$defs/X"}, {"$ref": "b.yaml"}]}),
        "a.yaml": "type: objet\n$defs:\n  X:\n    $ref: nope.yaml\n",
        "b.yaml": "a: [\n",
    }
    *found, not_yaml = _issues(tmp_path, files)
    assert found == [
        (
            'a.yaml:1: /type: expected one of "array", "boolean", "integer", "null", "number", "object", '
            '"string" (did you mean "object"?), got "objet"'
        ),
        "a.yaml:4: /$defs/X/$ref: nope.yaml: no such file",
    ]
    assert not_yaml.startswith("b.yaml:2: /a/0: not YAML: ")


@pytest.mark.parametrize(
    ("files", "issues"),
    [
        (
            _document(True, A={"$ref": "#/$defs/B"}, B={"$ref": "#/$defs/A"}),
            ["main.json:9: /$defs/A: refers to itself without end: A -> B -> A"],
        ),
        (
            _document(True, A={"allOf": [True, {"not": {"$ref": "#/$defs/A"}}]}),
            ["main.json:9: /$defs/A: refers to itself without end: A -> A"],
        ),
        (
            _bare({"$ref": "#"}),
            ["main.json:4: /p/data: refers to itself without end: p/data -> p/data"],
        ),
        (
            {
                **_bare({"$ref": "a.json"}),
                "a.json": {"$ref": "b.json"},
                "b.json": {"$ref": "a.json"},
            },
            ["a.json:1: refers to itself without end: a -> b -> a"],
        ),
    ],
)
def test_schema_referring_only_to_itself_is_rejected(
    tmp_path: Path, files: Files, issues: list[str]
) -> None:
    assert _issues(tmp_path, files) == issues


def test_definition_that_is_another_of_its_name_is_one(tmp_path: Path) -> None:
    file = {"$ref": "#/$defs/b", "$defs": {"b": {"$ref": "c.json#/$defs/b"}}}
    files = {
        **_bare({"items": {"$ref": "a.json#/$defs/b"}, "contains": {"$ref": "b.json"}}),
        "a.json": {"$defs": {"b": {"$ref": "b.json#/$defs/b"}}},
        "b.json": file,
        "c.json": {"$defs": {"b": {"type": "string"}}},
    }
    assert _read(tmp_path, files).definitions == {"b": {"type": "string"}}


def test_definitions_that_are_only_each_other_are_reported(tmp_path: Path) -> None:
    files = {
        **_bare({"$ref": "a.json#/$defs/b"}),
        "a.json": {"$defs": {"b": {"$ref": "b.json#/$defs/b"}}},
        "b.json": {"$defs": {"b": {"$ref": "a.json#/$defs/b"}}},
    }
    assert _issues(tmp_path, files) == ["a.json:3: /$defs/b: refers to itself without end: b -> b"]


def test_references_and_ids_unsupported_are_reported(tmp_path: Path) -> None:
    data = {
        "$dynamicRef": "#a",
        "$recursiveRef": "#",
        "$ref": 5,
        "allOf": [{"$anchor": "x"}, {"$anchor": "x"}, {"$id": "http://[x"}, {"$schema": "urn:x"}],
    }
    found = [issue.split(": ", 1)[1] for issue in _issues(tmp_path, _bare(data))]
    assert found == [
        '/p/data/$dynamicRef: "#a": there is no anchor "a"',
        '/p/data/$recursiveRef: unknown keyword "$recursiveRef": in draft 2020-12 it is $dynamicRef',
        "/p/data/$ref: expected a string, got 5",
        '/p/data/allOf/1: duplicate anchor "x", also at main.json:9: /p/data/allOf/0',
        "/p/data/allOf/2/$id: not a URI: Invalid IPv6 URL",
        (
            "/p/data/allOf/3/$schema: expected draft 2020-12 or draft-07 of JSON Schema, got "
            '"urn:x"'
        ),
    ]


def test_reference_long_chains_and_deep_schemas_are_read(tmp_path: Path) -> None:
    chain: dict[str, Any] = {f"A{n}": {"$ref": f"#/$defs/A{n + 1}"} for n in range(3000)}
    deep: Any = {"type": "string"}
    for _ in range(45):
        deep = {"properties": {"a": deep}}
    protocol = _read(tmp_path, _document({"$ref": "#/$defs/A0"}, **chain, A3000=deep))
    assert len(protocol.definitions) == 3001
    assert protocol.definitions["A3000"] == deep


def test_references_rewritten_schema_accepts_same_values(tmp_path: Path) -> None:
    """The rewritten schemas mean to a validator what the original means to it."""
    schema = {
        "$id": "https://example.com/list",
        "type": "object",
        "required": ["value"],
        "properties": {
            "value": {"$ref": "#/$defs/positive"},
            "next": {"$ref": "list"},
            "kind": {"$ref": "#/$defs/kinds/prefixItems/1"},
        },
        "unevaluatedProperties": False,
        "$defs": {
            "positive": {"$anchor": "p", "type": "integer", "minimum": 1},
            "kinds": {"prefixItems": [{"$ref": "#p"}, {"enum": ["a", "b"]}]},
        },
    }
    protocol = _read(tmp_path, _bare(schema))
    rewritten = {"$defs": dict(protocol.definitions), "allOf": [_data(protocol)]}
    values: list[Any] = [
        {"value": 1},
        {"value": 0},
        {"value": 1, "next": {"value": 2, "kind": "a"}},
        {"value": 1, "next": {"value": "2"}},
        {"value": 1, "kind": "c"},
        {"value": 1, "other": None},
    ]
    expected = [True, False, True, False, False, False]
    for each in (schema, rewritten):
        assert [Draft202012Validator(each).is_valid(value) for value in values] == expected


OLD = "http://json-schema.org/draft-07/schema#"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Give the sockets that were asked for, though none was given."""
    asked: list[object] = []

    def refuse(*arguments: object, **_: object) -> None:
        asked.append(arguments)
        raise OSError("there is no network")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    return asked


def test_references_across_directories_formats_and_drafts(
    tmp_path: Path, offline: list[object]
) -> None:
    files: Files = {
        "main.yaml": "p:\n  type: event\n  data: {$ref: 'a/b/first.json#/properties/next'}\n",
        "a/b/first.json": {"properties": {"next": {"$ref": "../second.yml#/$defs/S"}}},
        "a/second.yml": (
            "$defs:\n"
            "  S: {properties: {up: {$ref: ../old.JSON}, back: {$ref: b/first.json}}}\n"
            "  T: {$ref: '#/$defs/S/properties/up'}\n"
        ),
        "old.JSON": {
            "$schema": OLD,
            "items": [
                {"$ref": "#/definitions/D", "maxLength": 1},
                {"$ref": "a/second.yml#/$defs/T"},
            ],
            "definitions": {"D": {"type": "string"}},
        },
    }
    protocol = _read(tmp_path, files)
    assert _data(protocol) == {"$ref": "#/$defs/first~1next"}
    assert protocol.definitions == {
        "D": {"type": "string"},
        "S": {
            "properties": {
                "up": {"$ref": "#/$defs/S~1up"},
                "back": {"$ref": "#/$defs/first"},
            }
        },
        "S/up": {"$ref": "#/$defs/old"},
        "T": {"$ref": "#/$defs/S~1up"},
        "first": {"properties": {"next": {"$ref": "#/$defs/first~1next"}}},
        "first/next": {"$ref": "#/$defs/S"},
        "old": {"prefixItems": [{"$ref": "#/$defs/D"}, {"$ref": "#/$defs/T"}]},
    }
    assert list(protocol.sources) == ["a/b/first.json", "a/second.yml", "main.yaml", "old.JSON"]
    assert offline == []


def test_reference_by_id_resolves_only_in_same_document(
    tmp_path: Path, offline: list[object]
) -> None:
    data = {
        "$id": "https://example.com/schemas/order.json",
        "properties": {
            "price": {"$ref": "money.json"},
            "total": {"$ref": "https://example.com/schemas/money.json"},
            "rest": {"$ref": "/schemas/money.json#/$defs/Cents"},
            "note": {"$ref": "note.json"},
        },
        "$defs": {
            "Money": {
                "$id": "money.json",
                "type": "integer",
                "$defs": {"Cents": {"type": "integer", "maximum": 99}},
            }
        },
    }
    files = {**_bare(data), "note.json": {"$id": "https://example.com/note.json", "type": "string"}}
    assert _data(_read(tmp_path, files)) == {
        "properties": {
            "price": {"$ref": "#/$defs/Money"},
            "total": {"$ref": "#/$defs/Money"},
            "rest": {"$ref": "#/$defs/Money~1Cents"},
            "note": {"$ref": "#/$defs/note"},
        }
    }
    # The file is there, and has that address; but nobody knows before it is read.
    data["properties"]["note"] = {"$ref": "https://example.com/note.json"}
    (found,) = _issues(tmp_path, {**files, **_bare(data)})
    assert found.endswith("a relative path: nothing is fetched from elsewhere")
    for uri in ("https://json-schema.org/draft/2020-12/schema", OLD, "ftp://example.com/a.json"):
        (found,) = _issues(tmp_path, _bare({"$ref": uri}))
        assert found.endswith("nothing is fetched from elsewhere")
    assert offline == []
