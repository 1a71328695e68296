"""What a protocol may ask of its types, and what attributes say of absent members: in a package that ran."""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import enkaku
import pytest
from enkaku import ABSENT
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.generate import generate_with_checks
from enkaku_codegen.planning.names import constant_name
from enkaku_codegen.planning.plan import ObjectPlan, Plan
from enkaku_codegen.planning.planner import make_plan
from enkaku_codegen.reading.options import ENCODINGS, FORMATS
from generated.options import NULLABLE, TEXT, defaults_protocol, formats_protocol, imports_protocol
from generated.packages import accepts, imported, make_protocol, one_param

pytestmark = pytest.mark.xdist_group("options")  # one package for many


@pytest.fixture(scope="module")
def formats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    with imported(formats_protocol(), tmp_path_factory.mktemp("formats")) as package:
        yield package


UPPER = "6F9619FF-8B86-D011-B42D-00C04FC964FF"

VALUES: dict[str, tuple[object, Any]] = {
    "date_time": (dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC), "2020-01-02T03:04:05Z"),
    "date": (dt.date(2020, 1, 2), "2020-01-02"),
    "time": (dt.time(3, 4, 5, tzinfo=dt.UTC), "03:04:05Z"),
    "duration": (dt.timedelta(hours=36), "P1DT12H"),
    "uuid": (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    "ipv4": (IPv4Address("1.2.3.4"), "1.2.3.4"),
    "ipv6": (IPv6Address("::1"), "::1"),
    "nullable": (dt.date(2020, 1, 2), "2020-01-02"),
    "listed": ([UUID(int=6)], ["00000000-0000-0000-0000-000000000006"]),
    "plain": ("nobody", "nobody"),
}


@pytest.mark.parametrize("name", VALUES)
def test_format_option_converts_to_python_type(formats: ModuleType, name: str) -> None:
    value, text = VALUES[name]
    key = {"date_time": "date-time"}.get(name, name)
    slot = formats.ECHO.param
    read = slot.decode(json.dumps({key: text}).encode())
    assert getattr(read, name) == value
    assert json.loads(slot.encode(read)) == {key: text}
    assert slot.encode(formats.EchoParam(**{name: value})) == slot.encode(read)


@pytest.mark.parametrize("name", [name for name in VALUES if name != "plain"])
def test_format_option_invalid_text_is_rejected(formats: ModuleType, name: str) -> None:
    key = {"date_time": "date-time"}.get(name, name)
    for wrong in ("nothing of that kind", 5, {}):
        with pytest.raises(enkaku.DecodeError, match=f"/{key}"):
            formats.ECHO.param.decode(json.dumps({key: wrong}).encode())


@pytest.mark.parametrize(
    ("schema", "valid", "invalid", "type_"),
    [
        ({"format": "date"}, ["2020-01-02", 1, 0.5, None, True, [1], {"a": 1}], ["0", "no"], dt.date),
        ({"format": "date", "minLength": 10}, ["2020-01-02", 1], ["no"], dt.date),
        ({"$ref": "#/$defs/Text", "format": "uuid"}, [UPPER], ["no", 1], UUID),
        ({**TEXT, "anyOf": [{"format": "date"}, {"format": "uuid"}]}, [UPPER, "2020-01-02"], ["no"], UUID),
        ({"anyOf": [TEXT, {"type": "null"}], "format": "uuid"}, [UPPER, None], ["no", 1], UUID),
        ({"anyOf": [{"$ref": "#/$defs/Text"}, {"type": "integer"}], "format": "uuid"}, [UPPER, 1], ["no"], UUID),
        ({"allOf": [{"$ref": "#/$defs/Text"}, {"format": "uuid"}]}, [UPPER], ["no", 1], UUID),
        ({**TEXT, "format": "uuid", "pattern": "^[0-9A-F-]*$"}, [UPPER], [UPPER.lower(), "A"], UUID),
        ({**TEXT, "format": "date-time", "minLength": 24}, ["2020-01-02T03:04:05.000Z"], ["2020-01-02T03:04:05Z"], dt.datetime),
        ({**TEXT, "format": "uuid", "enum": [UPPER, "no"]}, [UPPER, "no"], ["x"], str),
        ({"type": ["string", "integer"], "format": "uuid"}, [UPPER, 1], ["no", None], UUID),
        ({**TEXT, "format": "email"}, ["no"], [1], str),
        ({"format": "email"}, ["no", 1], [], str),
    ],
)  # fmt: skip
def test_format_option_applies_with_other_keywords(
    schema: Any, valid: list[Any], invalid: list[Any], type_: type, tmp_path: Path
) -> None:
    protocol = replace(one_param(schema, {"Text": {**TEXT, "minLength": 1}}), formats=FORMATS)
    with imported(protocol, tmp_path) as package:
        slot = package.ECHO.param
        assert [each for each in valid if not accepts(slot, each)] == []
        assert [each for each in invalid if accepts(slot, each)] == []
        assert isinstance(slot.decode(json.dumps(valid[0]).encode()), type_)


def test_format_of_types_that_hold_less_is_listed_by_slot() -> None:
    properties = {
        "when": {**TEXT, "format": "date-time"},
        "often": {"type": "array", "items": {"$ref": "#/$defs/Often"}},
        "key": {**TEXT, "format": "uuid"},
    }
    definitions = {"Often": {"type": "object", "properties": {"every": {"format": "duration"}}}}
    protocol = replace(
        one_param({"type": "object", "properties": properties}, definitions), formats=FORMATS
    )
    _, checks = generate_with_checks(protocol, source="p.json")
    assert checks.formats == {
        "echo param": (
            "a datetime has no leap second, no year 0000, and at most 6 digits after the second",
            "a timedelta has no years and months, and at most 999999999 days",
        )
    }
    _, checks = generate_with_checks(replace(protocol, formats={"uuid": "UUID"}), source="p.json")
    assert checks.formats == {}


def test_format_without_option_stays_string(tmp_path: Path) -> None:
    texts = ["2020-01-01T00:00:00.000Z", "PT36H", "6F9619FF-8B86-D011-B42D-00C04FC964FF", "no date"]
    procedures = {name: {"type": "request", "param": {**TEXT, "format": name}} for name in FORMATS}
    with imported(make_protocol(procedures), tmp_path) as package:
        for name in FORMATS:
            slot = getattr(package, constant_name(name)).param
            assert all(accepts(slot, text) for text in texts)


def attributes(plan: Plan) -> list[str]:
    (type_,) = plan.types
    assert isinstance(type_, ObjectPlan)
    return [each.attribute for each in type_.fields]


def test_property_named_like_module_of_formats_is_read(tmp_path: Path) -> None:
    property_ = {**TEXT, "format": "date"}
    schema = {"type": "object", "properties": {"dt": property_, "day": property_}}
    protocol = replace(one_param(schema), formats={"date": "date"})
    with imported(protocol, tmp_path) as package:
        data = b'{"dt":"2020-01-02","day":"2020-01-03"}'
        value = package.ECHO.param.decode(data)
        assert (value.dt_, value.day) == (dt.date(2020, 1, 2), dt.date(2020, 1, 3))
        assert package.ECHO.param.encode(value) == data


def test_format_option_reserves_type_names() -> None:
    schema = {"type": "object", "properties": {"dt": TEXT, "day": {**TEXT, "format": "date"}}}
    plan = make_plan(replace(one_param(schema), formats={"date": "date"}))
    assert attributes(plan) == ["dt_", "day"]
    plan = make_plan(replace(one_param(schema), formats={"uuid": "UUID"}))
    assert attributes(plan) == ["dt", "day"]
    plan = make_plan(replace(one_param(True, {"UUID": TEXT}), formats={"uuid": "UUID"}))
    assert [each.name for each in plan.types] == ["UUID_"]


BASE64: dict[str, Any] = {**TEXT, "contentEncoding": "base64"}


@pytest.mark.parametrize(
    ("schema", "valid", "invalid", "type_"),
    [
        (BASE64, ["AP8=", ""], ["AP8", "AP9=", "AP8=\n", "\ud800", 1, None], bytes),
        ({"contentEncoding": "base64"}, ["AP8=", 1, 0.5, None, True, [1], {"a": 1}], ["AP8"], bytes),
        ({**BASE64, "minLength": 5}, ["AP8AAP8="], ["AP8=", "AP8AAP8"], bytes),
        ({**BASE64, "maxLength": 4}, ["AP8="], ["AP8AAP8="], bytes),
        ({**BASE64, "pattern": "^A"}, ["AP8="], ["BP8=", "AP8"], bytes),
        ({**BASE64, "not": {"const": "AP8="}}, ["BP8="], ["AP8="], bytes),
        ({**BASE64, "enum": ["AP8=", "no"]}, ["AP8=", "no"], ["BP8="], str),
        ({**BASE64, "const": "AP8="}, ["AP8="], ["BP8="], str),
        ({"$ref": "#/$defs/Text", "contentEncoding": "base64"}, ["AP8="], ["AP8", "", 1], bytes),
        ({"allOf": [{"$ref": "#/$defs/Text"}, BASE64]}, ["AP8="], ["AP8", "", 1], bytes),
        ({"anyOf": [TEXT, {"type": "null"}], "contentEncoding": "base64"}, ["AP8=", None], ["AP8", 1], bytes),
        ({"oneOf": [BASE64, {**TEXT, "maxLength": 2}]}, ["AP8="], ["", "AP8"], bytes),
        ({"oneOf": [BASE64, {"type": "integer"}]}, ["AP8=", 1], ["AP8", None], bytes),
        ({"type": ["string", "integer"], "contentEncoding": "base64"}, ["AP8=", 1], ["AP8", None], bytes),
        ({**BASE64, "format": "uuid"}, [UPPER], ["AP8="], UUID),
        ({**BASE64, "format": "email"}, ["AP8="], ["AP8"], bytes),
        ({**TEXT, "contentEncoding": "base64url"}, ["no-", "AP8="], [1], str),
        ({**TEXT, "contentEncoding": "BASE64"}, ["no"], [1], str),
        ({**TEXT, "contentMediaType": "text/html"}, ["no"], [1], str),
        ({"type": "object", "additionalProperties": BASE64}, [{"a": "AP8="}], [{"a": "AP8"}], dict),
        ({"type": "object", "propertyNames": BASE64}, [{"no": 1}], [1], dict),
    ],
)  # fmt: skip
def test_encoding_option_applies_with_other_keywords(
    schema: Any, valid: list[Any], invalid: list[Any], type_: type, tmp_path: Path
) -> None:
    protocol = replace(
        one_param(schema, {"Text": {**TEXT, "minLength": 1}}), formats=FORMATS, encodings=ENCODINGS
    )
    with imported(protocol, tmp_path, formatted=False) as package:
        slot = package.ECHO.param
        assert [each for each in valid if not accepts(slot, each)] == []
        assert [each for each in invalid if accepts(slot, each)] == []
        assert isinstance(slot.decode(json.dumps(valid[0]).encode()), type_)


def test_encoding_option_proves_slot_without_other_keywords() -> None:
    for schema, unproved in ((BASE64, 0), ({**BASE64, "minLength": 1}, 1)):
        protocol = replace(one_param(schema), encodings=ENCODINGS)
        _, checks = generate_with_checks(protocol, source="p.json")
        assert (len(checks.slots), checks.formats) == (unproved, {})


def test_encoding_without_option_changes_nothing(tmp_path: Path) -> None:
    properties = {"bytes": BASE64, "other": {"contentEncoding": "base64"}}
    schema = {"type": "object", "properties": properties}
    plain = {"type": "object", "properties": {"bytes": TEXT, "other": True}}
    with_encoding, _ = generate_with_checks(one_param(schema), source="p.json")
    without, _ = generate_with_checks(one_param(plain), source="p.json")
    # The description has the schemas as they are.
    assert with_encoding.pop("description.py") != without.pop("description.py")
    assert with_encoding == without
    with imported(replace(one_param(BASE64), formats=FORMATS), tmp_path) as package:
        assert all(accepts(package.ECHO.param, text) for text in ("AP8=", "no", "AP9="))


def test_encoding_option_keeps_name_of_type_free() -> None:
    schema = {"type": "object", "properties": {"bytes": BASE64, "b": TEXT}}
    procedures = {"bytes": {"type": "request", "param": schema}}
    protocol = make_protocol(procedures)
    for each, name in ((protocol, "bytes"), (replace(protocol, encodings=ENCODINGS), "bytes_")):
        plan = make_plan(each)
        (type_,) = plan.types
        assert isinstance(type_, ObjectPlan)
        assert (type_.fields[0].attribute, plan.procedures[0].method) == (name, name)
    schema = {"type": "object", "properties": {"b": {**BASE64, "x-python-name": "bytes"}}}
    make_plan(one_param(schema))
    with pytest.raises(ProtocolError, match=r'an attribute, such as "bytes_", got "bytes"'):
        make_plan(replace(one_param(schema), encodings=ENCODINGS))


def test_encoding_option_default_is_not_filled_in(tmp_path: Path) -> None:
    properties = {"data": {**BASE64, "default": "AP8="}, "text": {**TEXT, "default": "a"}}
    protocol = one_param({"type": "object", "properties": properties})
    with imported(replace(protocol, defaults=True, encodings=ENCODINGS), tmp_path) as package:
        read = package.ECHO.param.decode(b"{}")
    assert (read.data, read.text) == (None, "a")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    with imported(defaults_protocol(), tmp_path_factory.mktemp("filled")) as package:
        yield package


def test_default_is_filled_in_when_absent_and_not_encoded(filled: ModuleType) -> None:
    read = filled.ECHO.param.decode(b'{"required":7}')
    assert (read.retries, read.share, read.mode, read.loud, read.maybe) == (
        *(3, 0.5, "slow", False),
        "yes",
    )
    assert (read.nothing, read.several) == (ABSENT, None)
    assert json.loads(filled.ECHO.param.encode(read)) == {"required": 7}


def test_default_given_explicitly_is_encoded(filled: ModuleType) -> None:
    given = {"required": 1, "retries": 3, "mode": "slow", "loud": False, "maybe": None}
    assert accepts(filled.ECHO.param, given)
    made = filled.EchoParam(required=1, retries=3, loud=False, maybe="yes")
    assert json.loads(filled.ECHO.param.encode(made)) == {
        "required": 1,
        "retries": 3,
        "loud": False,
        "maybe": "yes",
    }


def test_required_property_has_no_default(filled: ModuleType) -> None:
    with pytest.raises(enkaku.DecodeError):
        filled.ECHO.param.decode(b"{}")


def test_default_not_matching_schema_is_rejected_if_filled_in() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", "default": "no"}}}
    make_plan(one_param(schema))
    with pytest.raises(ProtocolError, match='the default "no" does not match its schema'):
        make_plan(replace(one_param(schema), defaults=True))


def test_default_has_python_type_of_property(tmp_path: Path) -> None:
    properties: dict[str, Any] = {
        "whole": {"type": "integer", "default": 2.0},
        "listed": {"enum": [1, 2], "default": 1.0},
        "share": {"type": "number", "default": 1e300},
        "far": {"$ref": "#/$defs/Day", "default": "2020-01-02"},
        "either": {
            "anyOf": [{"type": "integer"}, {"$ref": "#/$defs/Day"}],
            "default": "2020-01-02",
        },
        "number": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/Day"}], "default": 5},
    }
    schema = {"type": "object", "properties": properties}
    protocol = one_param(schema, {"Day": {**TEXT, "format": "date"}})
    with imported(replace(protocol, defaults=True, formats={"date": "date"}), tmp_path) as package:
        read = package.ECHO.param.decode(b"{}")
    found = {name: getattr(read, name) for name in properties}
    assert {name: repr(value) for name, value in found.items()} == {
        "whole": "2",
        "listed": "1",
        "share": "1e+300",
        "far": "None",
        "either": "None",
        "number": "5",
    }


JOINED = {
    "Base": {
        "type": "object",
        "properties": {
            "size": {
                "type": "integer",
                "description": "How large.",
                "default": 3,
                "deprecated": True,
            },
            "kind": {"type": "string", "default": "base", "examples": ["a"]},
        },
    },
    "More": {
        "allOf": [{"$ref": "#/$defs/Base"}],
        "properties": {"size": {"minimum": 1}, "kind": {"const": "more", "readOnly": True}},
    },
}


def test_property_annotations_are_kept_when_all_of_refines(tmp_path: Path) -> None:
    protocol = replace(one_param({"$ref": "#/$defs/More"}, JOINED), defaults=True)
    with imported(protocol, tmp_path) as package:
        size, kind = (package.More.model_fields[name] for name in ("size", "kind"))
        source = Path(package.__file__ or "").with_name("models.py").read_text()
    assert (size.default, size.deprecated) == (3, True)
    assert kind.default is None  # what it was does not fit any more
    assert '"""How large.\n\n    Deprecated.\n    """' in source.partition("class More")[2]
    assert '"""Read-only.\n\n    Default: `"base"`\n\n    Example: `"a"`' in source


OPTIONAL = {
    "type": "object",
    "properties": {"text": TEXT, "nullable": NULLABLE, "any": {}, "both": NULLABLE, "has": TEXT},
    "required": ["both", "has"],
}


@pytest.fixture(scope="module")
def optional(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    with imported(one_param(OPTIONAL), tmp_path_factory.mktemp("optional")) as package:
        yield package


@pytest.mark.parametrize(
    ("absent", "given"),
    [
        ({}, {"text": None, "nullable": ABSENT, "any": ABSENT}),
        ({"text": "a"}, {"text": "a", "nullable": ABSENT, "any": ABSENT}),
        ({"nullable": None, "any": None}, {"text": None, "nullable": None, "any": None}),
    ],
    ids=["nothing", "a string", "nulls"],
)
def test_absent_and_null_are_distinct(
    absent: dict[str, Any], given: dict[str, Any], optional: ModuleType
) -> None:
    whole = {"both": None, "has": "x", **absent}
    read = optional.ECHO.param.decode(json.dumps(whole).encode())
    assert {name: getattr(read, name) for name in given} == given
    assert json.loads(optional.ECHO.param.encode(read)) == whole
    made = optional.EchoParam(both=None, has="x", **given)
    assert json.loads(optional.ECHO.param.encode(made)) == whole


@pytest.mark.parametrize("wrong", [{"text": None}, {"has": None}, {"nullable": 1}], ids=json.dumps)
def test_null_is_rejected_unless_schema_accepts_it(
    wrong: dict[str, Any], optional: ModuleType
) -> None:
    assert not accepts(optional.ECHO.param, {"both": "a", "has": "b", **wrong})


def test_names_of_imports_are_free_for_definitions(tmp_path: Path) -> None:
    with imported(imports_protocol(), tmp_path) as package:
        for procedure in imports_protocol().procedures:
            slot = getattr(package, constant_name(procedure.name)).param
            assert accepts(slot, {"a": None, "date": "2020-01-02", "b": "x"})
            assert accepts(slot, {})
            assert not accepts(slot, {"c": 1})
            assert not accepts(slot, {"b": "z"})
