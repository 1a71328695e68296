"""Comparison of two versions of a protocol: what breaks, for whom, and by which value."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from enkaku_codegen.comparing import slots
from enkaku_codegen.comparing.rules import RULES
from enkaku_codegen.comparing.source import compare_code
from enkaku_codegen.comparing.wire import Change, compare_messages
from enkaku_codegen.reading.definition import Protocol, read_protocol

Read = Callable[..., Protocol]

LOW, HIGH = {"type": "integer", "minimum": 0}, {"type": "integer", "minimum": 1}
TEXT = {"type": "string"}


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a protocol with some procedures, and other keys of its document."""
    count = 0

    def read(procedures: dict[str, Any], **others: Any) -> Protocol:
        nonlocal count
        count += 1
        path = tmp_path / f"version{count}.json"
        path.write_text(json.dumps({"name": "P", "procedures": procedures, **others}))
        return read_protocol(path)

    return read


def error(code: str | None, data: Any = None) -> dict[str, Any]:
    """Declare an error."""
    properties: dict[str, Any] = {
        "code": {"type": "string", **({} if code is None else {"const": code})},
        "message": {"type": "string"},
        **({} if data is None else {"data": {"type": "object", **data}}),
    }
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


def shown(changes: list[Change]) -> list[tuple[str, str, str]]:
    return [(each.rule, each.severity, each.pointer) for each in changes]


def request(**slots: Any) -> dict[str, Any]:
    return {"p": {"type": "request", **slots}}


@pytest.mark.parametrize(
    ("kind", "slot", "of_caller"),
    [
        ("event", "data", True),
        ("request", "param", True),
        ("channel", "send", True),
        ("stream", "receive", False),
        ("channel", "receive", False),
        ("request", "result", False),
    ],
)
def test_slot_must_widen_or_narrow_by_its_direction(
    kind: str, slot: str, of_caller: bool, read: Read
) -> None:
    needed = {"stream": {"receive": TEXT}, "channel": {"send": TEXT, "receive": TEXT}}

    def made(schema: Any) -> dict[str, Any]:
        return {"p": {"type": kind, **needed.get(kind, {}), slot: schema}}

    wide, narrow = read(made(LOW)), read(made(HIGH))
    narrowed, widened = compare_messages(wide, narrow), compare_messages(narrow, wide)
    worse, better = (narrowed, widened) if of_caller else (widened, narrowed)
    rule = f"{slot}-{'narrowed' if of_caller else 'widened'}"
    where = f"/procedures/p/{slot}"
    assert shown(worse) == [(rule, "error", where)]
    assert worse[0].value == (0,)
    assert shown(better) == [("slot-changed", "note", where)]


def test_callback_slots_go_the_other_way(read: Read) -> None:
    ping = {"ping": {"type": "event"}}
    wide = read(ping, callbacks=request(param=LOW, result=HIGH))
    narrow = read(ping, callbacks=request(param=HIGH, result=LOW))
    assert compare_messages(wide, wide) == []
    assert shown(compare_messages(wide, narrow)) == [
        ("slot-changed", "note", "/callbacks/p/param"),
        ("slot-changed", "note", "/callbacks/p/result"),
    ]
    assert [(each.rule, each.value) for each in compare_messages(narrow, wide)] == [
        ("param-widened", (0,)),
        ("result-narrowed", (0,)),
    ]


def test_procedure_added_or_removed_depends_on_who_is_first(read: Read) -> None:
    one = read({"a": {"type": "event"}, "b": {"type": "event"}})
    other = read({"a": {"type": "event"}})
    assert shown(compare_messages(one, other)) == [("procedure-removed", "error", "/procedures/b")]
    assert shown(compare_messages(other, one)) == [("procedure-added", "note", "/procedures/b")]
    assert shown(compare_messages(other, one, "client")) == [
        ("procedure-added", "error", "/procedures/b")
    ]
    assert shown(compare_messages(one, other, "client")) == [
        ("procedure-removed", "note", "/procedures/b")
    ]
    for pair in ((one, other), (other, one)):
        assert [each.severity for each in compare_messages(*pair, "either")] == ["error"]


def test_callback_added_breaks_old_clients(read: Read) -> None:
    ping = {"ping": {"type": "event"}}
    old, new = read(ping), read(ping, callbacks={"back": {"type": "event"}})
    (change,) = compare_messages(old, new)
    assert (change.rule, change.severity) == ("procedure-added", "error")
    assert change.message == "the new server calls back, which old clients reject with EK08"
    assert shown(compare_messages(new, old)) == [("procedure-removed", "note", "/callbacks/back")]


def test_kind_changed_is_the_only_finding(read: Read) -> None:
    old = read({"p": {"type": "stream", "receive": TEXT}})
    new = read(request(param=LOW, result=TEXT))
    assert shown(compare_messages(old, new)) == [("kind-changed", "error", "/procedures/p")]


@pytest.mark.parametrize(
    ("schema", "severity"),
    [(TEXT, "note"), (LOW, "note"), ({"type": ["integer", "null"]}, "error"), (HIGH, "error")],
)
def test_param_added_is_note_if_absence_means_a_value(
    schema: Any, severity: str, read: Read
) -> None:
    (change,) = compare_messages(read(request()), read(request(param=schema)))
    assert (change.rule, change.severity) == ("slot-added", severity)


def test_param_removed_shows_a_param_that_is_sent(read: Read) -> None:
    (change,) = compare_messages(read(request(param=HIGH)), read(request()))
    assert (change.rule, change.severity) == ("slot-removed", "error")
    assert isinstance(change.value[0], int)


def test_result_added_is_ignored_and_removed_is_missed(read: Read) -> None:
    without, with_ = read(request()), read(request(result=HIGH))
    assert [each.severity for each in compare_messages(without, with_)] == ["note"]
    assert [each.severity for each in compare_messages(with_, without)] == ["error"]


def test_idempotence_removed_breaks_clients_that_repeat(read: Read) -> None:
    plain, idempotent = read(request()), read(request(idempotent=True))
    assert shown(compare_messages(idempotent, plain)) == [
        ("idempotent-removed", "error", "/procedures/p")
    ]
    assert shown(compare_messages(plain, idempotent)) == [
        ("idempotent-added", "note", "/procedures/p")
    ]
    assert shown(compare_messages(plain, idempotent, "client")) == [
        ("idempotent-added", "error", "/procedures/p")
    ]


def test_error_code_added_is_a_warning_and_removed_a_note(read: Read) -> None:
    none, one = read(request()), read(request(error=error("FULL")))
    assert shown(compare_messages(none, one)) == [("error-added", "warning", "/procedures/p/error")]
    assert [each.severity for each in compare_messages(one, none)] == ["note"]
    open_ = read(request(error=error(None)))
    assert shown(compare_messages(open_, one)) == [("error-removed", "note", "/procedures/p")]


def test_error_data_must_narrow(read: Read) -> None:
    def made(**data: Any) -> Protocol:
        return read(request(error=error("FULL", data)))

    wide, narrow = made(properties={"n": LOW}), made(properties={"n": HIGH})
    (change,) = compare_messages(narrow, wide)
    assert (change.rule, change.severity) == ("error-data-widened", "error")
    assert change.value == ({"n": 0},)
    assert [each.severity for each in compare_messages(wide, narrow)] == ["note"]


def test_error_without_data_breaks_readers_that_need_some(read: Read) -> None:
    needed = read(request(error=error("FULL", {"required": ["n"]})))
    none = read(request(error=error("FULL")))
    (change,) = compare_messages(needed, none)
    assert (change.rule, change.value) == ("error-data-widened", ({},))
    assert compare_messages(none, needed) == []


def test_absent_param_that_becomes_ambiguous_is_a_warning(read: Read) -> None:
    old, new = read(request(param=TEXT)), read(request(param={"type": ["string", "null"]}))
    assert shown(compare_messages(old, new)) == [
        ("slot-changed", "note", "/procedures/p/param"),
        ("absent-ambiguous", "warning", "/procedures/p/param"),
    ]


def test_renamed_and_documented_definitions_are_no_change(read: Read) -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "n": LOW}}
    old = read(request(param={"$ref": "#/$defs/Node"}), **{"$defs": {"Node": tree}})
    renamed = json.loads(json.dumps({**tree, "description": "x"}).replace("Node", "Tree"))
    new = read(request(param={"$ref": "#/$defs/Tree"}), **{"$defs": {"Tree": renamed}})
    assert compare_messages(old, new) == []


def test_equal_in_python_is_not_equal_in_json(read: Read) -> None:
    old, new = read(request(param={"const": 1})), read(request(param={"const": True}))
    assert shown(compare_messages(old, new)) == [("param-narrowed", "error", "/procedures/p/param")]


def test_definition_that_many_slots_use_is_decided_once(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    decide = slots.contains
    monkeypatch.setattr(slots, "contains", lambda *a, **k: asked.append(a) or decide(*a, **k))

    def made(schema: Any) -> Protocol:
        names = [f"p{i}" for i in range(50)]
        one = {"type": "request", "param": {"$ref": "#/$defs/N"}}
        return read(dict.fromkeys(names, one), **{"$defs": {"N": schema}})

    assert len(compare_messages(made(LOW), made(HIGH))) == 50
    assert len(asked) == 1


def test_format_that_is_selected_breaks_strings_without_it(read: Read) -> None:
    at = request(param={"type": "string", "format": "date"})
    plain, typed = read(at), read(at, formats={"date": "date"})
    (change,) = compare_messages(plain, typed)
    assert (change.rule, change.severity) == ("param-narrowed", "error")
    assert compare_messages(typed, typed) == []
    assert [each.severity for each in compare_messages(typed, plain)] == ["note"]


def test_other_property_next_to_format_is_compatible(read: Read) -> None:
    def made(**more: Any) -> Protocol:
        properties = {"at": {"type": "string", "format": "date-time"}, **more}
        param = {"type": "object", "properties": properties, "additionalProperties": False}
        return read(request(param=param), formats={"date-time": "datetime"})

    assert [each.severity for each in compare_messages(made(), made(n=LOW))] == ["note"]


def test_listed_strings_that_may_lack_format_are_undecided(read: Read) -> None:
    def made(schema: Any) -> Protocol:
        return read(request(param=schema), formats={"date": "date"})

    old, new = made({"enum": ["2020-02-30"]}), made({"type": "string", "format": "date"})
    assert [each.rule for each in compare_messages(old, new)] == ["undecided"]


def test_dynamic_reference_that_changes_is_undecided(read: Read) -> None:
    def made(schema: Any) -> Protocol:
        tree = {
            "$id": "https://example.com/tree",
            "$dynamicAnchor": "node",
            "type": "object",
            "properties": {"below": {"$dynamicRef": "#node"}, "n": schema},
        }
        return read(request(param=tree))

    assert compare_messages(made(LOW), made(LOW)) == []
    (change,) = compare_messages(made(LOW), made(TEXT))
    assert (change.rule, change.severity) == ("undecided", "error")
    assert "counts as breaking" in change.message


def test_severities_are_those_of_the_table(read: Read) -> None:
    for rule in RULES.values():
        assert rule.level in {"wire", "source"}
        assert {rule.new_callee, rule.new_caller} & {"error", "warning", "note"}


# Generated code


def rules_of(old: Protocol, new: Protocol) -> list[str]:
    return [each.rule for each in compare_code(old, new)]


def order(**properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": ["id"]}
    return {"$defs": {"Order": schema}}


ORDER = request(result={"$ref": "#/$defs/Order"})


def test_class_renamed_is_one_finding(read: Read) -> None:
    old = read(ORDER, **order(id=TEXT))
    text = json.dumps({"procedures": ORDER, **order(id=TEXT)}).replace("Order", "Purchase")
    new = read(**json.loads(text))
    (change,) = compare_code(old, new)
    assert (change.rule, change.message) == ("name-renamed", "Purchase was Order")


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ({"id": TEXT, "n": LOW}, {"id": TEXT}, "field-removed"),
        ({"id": TEXT}, {"id": TEXT, "n": LOW}, "field-added"),
        ({"id": TEXT}, {"id": LOW}, "field-type-changed"),
        ({"id": {"enum": ["a"]}}, {"id": {"enum": ["a", "b"]}}, "field-type-changed"),
        ({"id": TEXT}, {"id": {**TEXT, "x-python-name": "key"}}, "field-renamed"),
    ],
)
def test_field_changed_is_a_finding(old: Any, new: Any, rule: str, read: Read) -> None:
    found = rules_of(read(ORDER, **order(**old)), read(ORDER, **order(**new)))
    assert rule in found


def test_bounds_are_no_change_of_code(read: Read) -> None:
    assert rules_of(read(ORDER, **order(id=LOW)), read(ORDER, **order(id=HIGH))) == []


def test_required_and_optional_change_constructors(read: Read) -> None:
    def made(*required: str) -> Protocol:
        schema = {"type": "object", "properties": {"n": LOW}, "required": [*required]}
        return read(ORDER, **{"$defs": {"Order": schema}})

    assert rules_of(made(), made("n")) == ["field-required"]
    assert rules_of(made("n"), made()) == ["field-optional"]


def test_method_renamed_by_python_name(read: Read) -> None:
    new = {"p": {"type": "request", "x-python-name": "pay"}}
    assert rules_of(read(request()), read(new)) == ["method-renamed"]


def test_method_of_procedure_is_removed_or_added(read: Read) -> None:
    one, two = read(request()), read({**request(), "q": {"type": "event"}})
    assert rules_of(two, one) == ["method-removed"]
    assert rules_of(one, two) == ["method-added"]


def test_param_added_changes_the_signature(read: Read) -> None:
    assert rules_of(read(request()), read(request(param=TEXT))) == ["signature-changed"]


def test_exception_renamed_by_its_definition(read: Read) -> None:
    def made(name: str) -> Protocol:
        declared = request(error={"$ref": f"#/$defs/{name}"})
        return read(declared, **{"$defs": {name: error("FULL", {"properties": {"n": LOW}})}})

    found = compare_code(made("Full"), made("NoSpace"))
    assert "the exception NoSpace was Full" in [each.message for each in found]
    assert all(each.rule == "name-renamed" for each in found)


def test_name_of_protocol_changes_its_classes(read: Read, tmp_path: Path) -> None:
    old = read(request())
    new = read_protocol(next(tmp_path.glob("*.json")), "Q")
    assert [each.message for each in compare_code(old, new)] == [
        "QClient was PClient",
        "QSyncClient was PSyncClient",
        "QHandler was PHandler",
    ]


def test_name_removed_and_added(read: Read) -> None:
    two = {"$defs": {"Order": {"type": "object", "properties": {"n": LOW}}}}
    assert rules_of(read(request(), **two), read(request())) == ["name-removed"]
    assert rules_of(read(request()), read(request(), **two)) == ["name-added"]


def test_reference_next_to_other_keywords_is_compared(read: Read) -> None:
    def made(schema: Any) -> Protocol:
        param = {"$ref": "#/$defs/A", "not": {"const": 7}}
        return read(
            request(param=param),
            **{"$defs": {"A": {"anyOf": [{"$ref": "#/$defs/B"}]}, "B": schema}},
        )

    (change,) = compare_messages(made(LOW), made(HIGH))
    assert (change.rule, change.value) == ("param-narrowed", (0,))
