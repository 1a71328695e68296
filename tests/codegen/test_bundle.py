"""Bundles: a protocol as one document, which reads as the protocol; and digests of its procedures."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.fingerprint import Import
from enkaku_codegen.json_values import Json, as_readable_json, tokens
from enkaku_codegen.reading.definition import Procedure, Protocol, read_document, read_protocol
from enkaku_codegen.reading.digests import digests
from enkaku_codegen.reading.metaschema import faults
from enkaku_codegen.reading.protocol_document import bundle
from golden.refresh import IMPORTS, PROTOCOLS

ROOT = Path(__file__).parent.parent.parent
REAL = sorted((ROOT / "tests" / "real" / "protocols").iterdir())
EXAMPLES = sorted([*ROOT.glob("examples/*/protocol.*"), *ROOT.glob("benchmarks/*/protocol.*")])


def _write(directory: Path, content: object, name: str = "main") -> Path:
    path = directory / f"{name}.json"
    path.write_text(json.dumps(content))
    return path


def _read(directory: Path, content: object, **files: object) -> Protocol:
    for name, each in files.items():
        _write(directory, each, name)
    return read_protocol(_write(directory, content))


def _without_locations(protocol: Protocol) -> Protocol:
    def stripped(procedure: Procedure) -> Procedure:
        errors = tuple(replace(each, pointer="", package=None) for each in procedure.errors)
        return replace(procedure, pointer="", errors=errors)

    return replace(
        protocol,
        procedures=tuple(map(stripped, protocol.procedures)),
        callbacks=tuple(map(stripped, protocol.callbacks)),
        referred=frozenset(),
        imported={},
    )


def _references(value: Json) -> set[str]:
    match value:
        case dict():
            own = value.get("$ref")
            found = {own} if isinstance(own, str) else set[str]()
            return found.union(*map(_references, value.values()))
        case list():
            return set[str]().union(*map(_references, value))
        case _:
            return set()


def _require_same(protocol: Protocol, directory: Path) -> dict[str, Json]:
    """Check that the bundle of a protocol is a protocol file, and reads as the protocol; return it."""
    document = bundle(protocol)
    path = directory / "bundle.json"
    path.write_text(as_readable_json(document), encoding="utf-8")
    again = read_protocol(path)
    assert faults(document) == []
    assert _without_locations(again) == _without_locations(protocol)
    assert bundle(again) == document
    return document


@pytest.mark.parametrize(
    "path", [*PROTOCOLS, *EXAMPLES, *REAL], ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_bundle_reads_as_protocol(path: Path, tmp_path: Path) -> None:
    document = _require_same(read_protocol(path), tmp_path)
    for reference in _references(document):
        first, name = tokens(reference.removeprefix("#"))
        assert first == "$defs"
        assert name in document["$defs"]  # type: ignore[operator] # a dict


def test_bundle_has_everything_of_protocol(tmp_path: Path) -> None:
    content = {
        "name": "Shop",
        "description": "Sells.",
        "formats": {"date": "date"},
        "encodings": {"base64": "bytes"},
        "defaults": "fill",
        "names": 1,
        "errors": {"anyOf": [{"$ref": "far.json#/$defs/Gone"}, {"$ref": "#/$defs/Open"}]},
        "procedures": {
            "buy": {
                "type": "request",
                "x-python-name": "purchase",
                "idempotent": True,
                "description": "Buys.",
                "param": {"$ref": "far.json#/$defs/Item", "description": "What."},
                "error": {"$ref": "#/$defs/Sold", "description": "Too late."},
            },
            "seen": {"type": "event", "data": {"type": "string", "x-secret": True}},
            "watch": {
                "type": "stream",
                "receive": {"$ref": "far.json#/$defs/Item/properties/price"},
            },
        },
        "callbacks": {
            "ask": {
                "type": "channel",
                "send": True,
                "receive": False,
                "error": {"$ref": "#/$defs/Sold"},
            }
        },
        "$defs": {
            "Open": _error(),
            "Sold": _error(
                "SOLD",
                "SOLD_OUT",
                data={"type": "object", "properties": {"left": {"type": "integer"}}},
            ),
            "a/b~c": {"$comment": "Kept.", "type": "number", "maximum": 1e23},
        },
    }
    far = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "procedures": {},
        "$defs": {
            "Gone": _error("GONE"),
            "Item": {
                "type": "object",
                "properties": {
                    "price": {"type": "number"},
                    "tags": {"items": [{"type": "string"}], "type": "array"},
                },
                "dependencies": {"price": ["tags"]},
            },
        },
    }
    document = _require_same(_read(tmp_path, content, far=far), tmp_path)
    assert list(document) == [
        "name", "description", "formats", "encodings", "defaults", "names", "errors", "procedures", "callbacks", "$defs",
    ]  # fmt: skip
    assert document["errors"] == {"anyOf": [{"$ref": "#/$defs/Gone"}, {"$ref": "#/$defs/Open"}]}
    procedures: Any = document["procedures"]
    assert procedures["buy"]["error"] == {"$ref": "#/$defs/Sold", "description": "Too late."}
    assert procedures["seen"]["data"] == {"type": "string", "x-secret": True}
    assert sorted(document["$defs"]) == ["Gone", "Item", "Item/price", "Open", "Sold", "a/b~c"]  # type: ignore[arg-type] # a dict


def _error(*codes: str, data: object = None) -> dict[str, Any]:
    code = {"const": codes[0]} if len(codes) == 1 else {"enum": [*codes]} if codes else {}
    properties = {"code": {"type": "string", **code}, "message": {"type": "string"}}
    if data is not None:
        properties["data"] = data  # type: ignore[assignment] # a schema
    return {
        "type": "object",
        "properties": properties,
        "required": ["code", "message"],
        "additionalProperties": False,
    }


def test_bundle_keeps_dynamic_references(tmp_path: Path) -> None:
    lists = {
        "$id": "list",
        "type": "array",
        "items": {"$dynamicRef": "#item"},
        "$defs": {"any": {"$dynamicAnchor": "item"}},
    }
    number = {"$dynamicAnchor": "item", "type": "number"}
    alone = {
        "$id": "https://example.com/numbers",
        "$ref": "list",
        "$defs": {"list": lists, "number": number},
    }
    content = {
        "$defs": {
            "List": lists,
            "Named": {"properties": {"numbers": {"$ref": "#/$defs/List"}}},
            "Number": number,
            "Pattern": {"type": "string", "pattern": "^[^\\w]\\s$"},
        },
        "procedures": {
            "alone": {"type": "request", "param": alone},
            "shared": {
                "type": "request",
                "param": {"$ref": "#/$defs/Named"},
                "result": {"$ref": "#/$defs/Pattern"},
            },
        },
    }
    document = _require_same(_read(tmp_path, content), tmp_path)
    assert document["$defs"] == content["$defs"]


def test_bundle_of_imported_types_has_their_own_names(tmp_path: Path) -> None:
    files = IMPORTS / "protocols"
    imports = [
        Import(files / "money.yaml", "trade.money"),
        Import(files / "orders.yaml", "..orders"),
    ]
    importing = bundle(read_protocol(files / "shop.yaml", None, imports))
    whole = bundle(read_protocol(files / "shop.yaml"))
    assert digests(importing) == digests(whole)
    read_document(as_readable_json(importing), "shop")


def test_bundle_of_imported_types_with_one_name_keeps_both(tmp_path: Path) -> None:
    for name, kind in (("one", "string"), ("two", "integer")):
        _write(
            tmp_path, {"$defs": {"Same": {"type": kind}, "Other": {"$ref": "#/$defs/Same"}}}, name
        )
    content = {
        "procedures": {
            "ask": {
                "type": "request",
                "param": {"$ref": "one.json#/$defs/Same"},
                "result": {"$ref": "two.json#/$defs/Other"},
            }
        }
    }
    imports = [Import(tmp_path / f"{each}.json", f"app.{each}") for each in ("one", "two")]
    document = bundle(read_protocol(_write(tmp_path, content), None, imports))
    assert document["$defs"] == {
        "Other": {"$ref": "#/$defs/app.two.Same"},
        "app.one.Same": {"type": "string"},
        "app.two.Same": {"type": "integer"},
    }
    read_document(as_readable_json(document), "main")


def test_read_document_reads_no_file(tmp_path: Path) -> None:
    path = _write(tmp_path, {"type": "string"}, "secret")
    for reference in (str(path), path.as_uri(), "secret.json", "/\n"):
        content = {"ask": {"type": "request", "param": {"$ref": reference}}}
        with pytest.raises(ProtocolError, match=r"peer:1: /ask/param/\$ref"):
            read_document(json.dumps(content), "peer")


@pytest.mark.parametrize("text", ["", "[", '{"a":1,"a":2}', '{"procedures": {}}'])
def test_read_document_rejects_what_is_no_protocol(text: str) -> None:
    with pytest.raises(ProtocolError, match="peer"):
        read_document(text, "peer")


def test_procedure_names_of_enkaku_are_rejected(tmp_path: Path) -> None:
    procedure = {"type": "request"}
    for content in ({"enkaku:ping": procedure}, {"procedures": {"enkaku:": procedure}}):
        with pytest.raises(ProtocolError, match='the prefix "enkaku:" is reserved'):
            _read(tmp_path, content)
    _read(tmp_path, {"enkaku": procedure, "not/enkaku:": procedure})


BASE: Mapping[str, Any] = {
    "name": "Base",
    "procedures": {
        "a": {
            "type": "request",
            "param": {"$ref": "#/$defs/A"},
            "result": {"type": "string", "default": "x"},
            "error": _error("GONE"),
        },
        "b": {"type": "request", "param": {"type": "integer"}},
        "e": {"type": "event", "data": {"type": "integer"}},
    },
    "callbacks": {"c": {"type": "request", "result": {"$ref": "#/$defs/B"}}},
    "$defs": {
        "A": {"properties": {"b": {"$ref": "#/$defs/B"}}},
        "B": {"type": "number"},
        "C": {"type": "null"},
    },
}


def _changed(path: str, value: object) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(BASE))
    place: Any = content
    *steps, last = tokens(path)
    for step in steps:
        place = place.setdefault(step, {})
    place[last] = value
    return content


@pytest.mark.parametrize(
    "change",
    [
        ("/name", "Other"),
        ("/description", "About it"),
        ("/x-tool", 1),
        ("/names", 1),
        ("/procedures/a/description", "About it"),
        ("/procedures/a/x-python-name", "other"),
        ("/procedures/a/param/title", "A title"),
        ("/procedures/a/result/default", "y"),
        ("/procedures/a/error/description", "About it"),
        ("/procedures/a/error/properties/code/title", "About it"),
        ("/$defs/A/properties/b/$comment", "About it"),
        ("/$defs/B/examples", [1]),
        ("/$defs/B/x-secret", True),
        ("/$defs/C", {"type": "string"}),
    ],
    ids=str,
)
def test_digests_ignore_documentation(change: tuple[str, object], tmp_path: Path) -> None:
    before = digests(bundle(_read(tmp_path, BASE)))
    assert digests(bundle(_read(tmp_path, _changed(*change)))) == before


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (("/procedures/a/idempotent", True), "a"),
        (("/procedures/b/type", "stream"), None),
        (("/procedures/b/param/type", "string"), "b"),
        (("/procedures/b/param/default", 1), ""),
        (("/procedures/a/error/properties/code/const", "LOST"), "a"),
        (("/procedures/e/data", {"type": "number"}), "e"),
        (("/$defs/A/properties/b/maximum", 3), "a"),
        (("/$defs/B/maximum", 3), "ac"),
        (("/$defs/A/properties/description", {"type": "string"}), "a"),
        (("/$defs/A/properties/x-y", False), "a"),
        (("/errors", _error("BUSY")), "ab"),
        (("/callbacks/c/result", False), "c"),
    ],
    ids=str,
)
def test_digests_change_with_messages(
    change: tuple[str, object], changed: str | None, tmp_path: Path
) -> None:
    content = _changed(*change)
    if changed is None:
        content["procedures"]["b"]["receive"], changed = True, "b"
    before, after = digests(bundle(_read(tmp_path, BASE))), digests(
        bundle(_read(tmp_path, content))
    )
    both = ((before.procedures, after.procedures), (before.callbacks, after.callbacks))
    assert "".join(name for old, new in both for name in old if old[name] != new[name]) == changed
    assert (before.protocol != after.protocol) is bool(changed)


def test_digests_with_filled_defaults_have_these(tmp_path: Path) -> None:
    filled = _changed("/defaults", "fill")
    before = digests(bundle(_read(tmp_path, filled)))
    filled["procedures"]["a"]["result"]["default"] = "y"
    assert digests(bundle(_read(tmp_path, filled))).procedures != before.procedures


def test_digests_depend_on_no_order_and_no_notation(tmp_path: Path) -> None:
    first = {"ask": {"type": "request", "param": {"type": "number", "maximum": 1, "minimum": 1e-7}}}
    path = tmp_path / "other.json"
    path.write_text(
        '{"ask": {"param": {"minimum": 0.0000001, "maximum": 1.0, "type": "number"}, "type": "request"}}'
    )
    assert digests(bundle(_read(tmp_path, first))) == digests(bundle(read_protocol(path)))
