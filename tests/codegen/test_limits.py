"""Limits of the generator: what exceeds one is rejected, or becomes object and is reported."""

import re
from pathlib import Path
from typing import Any

import pytest
from commands import enkaku
from enkaku_codegen.json_values import MAX_DEPTH, MAX_DIGITS, MAX_VALUES
from enkaku_codegen.planning import simplify
from enkaku_codegen.planning.plan import ObjectPlan
from enkaku_codegen.planning.planner import make_plan
from enkaku_codegen.planning.schema_planner import MAX_NESTING, MAX_SCHEMAS
from enkaku_codegen.planning.simplify import MAX_ALTERNATIVES, MAX_JOINS, MAX_PROPERTIES
from enkaku_codegen.reading.load import MAX_BYTES
from enkaku_codegen.reading.regexes import MAX_PATTERN
from generated.packages import imported, one_param

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.md"


def tagged(count: int) -> dict[str, Any]:
    each = {"a": {"type": "string"}}
    return {
        "oneOf": [
            {
                "type": "object",
                "properties": {"type": {"const": f"kind{index}"}, **each},
                "required": ["type"],
            }
            for index in range(count)
        ]
    }


def arrays(count: int) -> dict[str, Any]:
    return {"anyOf": [{"type": "array", "items": {"const": index}} for index in range(count)]}


def test_union_of_300_tagged_objects_is_typed(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"either": tagged(300)}}
    with imported(one_param(schema), tmp_path, formatted=False) as package:
        read = package.ECHO.param.decode(b'{"either":{"type":"kind299","a":"x"}}')
        assert read.either == package.EchoParamEitherKind299(type="kind299", a="x")


@pytest.mark.parametrize("count", [1_000, MAX_ALTERNATIVES])
def test_union_of_many_tagged_objects_is_typed(count: int, tmp_path: Path) -> None:
    with imported(one_param(tagged(count)), tmp_path, formatted=False) as package:
        read = package.ECHO.param.decode(b'{"type":"kind%d","a":"x"}' % (count - 1))
        assert type(read).__name__ == f"EchoParamKind{count - 1}"
        assert package.ECHO.param.schema is None


@pytest.mark.parametrize("count", [MAX_ALTERNATIVES, MAX_ALTERNATIVES + 1])
def test_union_above_limit_is_object_and_reported(count: int) -> None:
    plan = make_plan(one_param(arrays(count)))
    above = count > MAX_ALTERNATIVES
    reason = f"EchoParam is object: more than {MAX_ALTERNATIVES} alternatives"
    assert plan.widened == ({"/echo/param": reason} if above else {})
    assert (plan.procedures[0].slots["param"] == {}) is above


def test_union_of_many_properties_is_object_and_reported() -> None:
    keys = [f"key{index}" for index in range(400)]
    schema = {
        "type": "object",
        "properties": {key: {"type": "string"} for key in keys},
        "anyOf": [{"type": "object", "required": [key]} for key in keys],
    }
    plan = make_plan(one_param(schema))
    assert plan.types == ()
    assert [f"{MAX_PROPERTIES} properties" in each for each in plan.widened.values()] == [True]


def test_class_of_many_properties_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simplify, "MAX_PROPERTIES", 2)
    keys = ("a", "b", "c")
    one = {"type": "object", "properties": dict.fromkeys(keys, True)}
    (type_,) = make_plan(one_param(one)).types
    assert isinstance(type_, ObjectPlan)
    other = {"type": "object", "properties": {"d": True}, "required": ["d"]}
    assert make_plan(one_param({"anyOf": [one, other]})).types == ()


def test_schema_nested_too_deeply_is_object_and_reported() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(MAX_NESTING + 1):
        schema = {"type": "array", "items": schema}
    (pointer,) = make_plan(one_param(schema)).widened
    assert pointer == "/echo/param" + "/items" * (MAX_NESTING + 1)
    for _ in range(MAX_JOINS + 2):
        schema = {"anyOf": [schema, {"type": "null"}]}
    (reason,) = make_plan(one_param(schema)).widened.values()
    assert f"more than {MAX_JOINS} levels" in reason


@pytest.mark.parametrize(
    ("arguments", "end"),
    [
        ([], ": /a/data (reasons: --verbose)\n"),
        (
            ["--verbose"],
            f"\n/a/data: AData is object: more than {MAX_ALTERNATIVES} alternatives\n",
        ),
    ],
)
def test_generate_reports_types_that_became_object(
    arguments: list[str], end: str, tmp_path: Path
) -> None:
    values = ",".join(
        f'{{"items":{{"const":{each}}},"type":"array"}}' for each in range(MAX_ALTERNATIVES + 1)
    )
    (tmp_path / "p.json").write_text(f'{{"a":{{"type":"event","data":{{"anyOf":[{values}]}}}}}}')
    done = enkaku("generate", "p.json", "--out", "out", *arguments, cwd=tmp_path)
    assert "1 schema exceeds a limit of the generator and became object" in done.stdout
    assert end in done.stdout


def test_limits_in_the_document_are_those_of_the_code() -> None:
    text = DOCUMENT.read_text(encoding="utf-8").partition("## Limits\n")[2]
    table = re.findall(r"^\| ([^|]+) \| ([\d,]+)( MiB)? \|", text, re.MULTILINE)
    limits = {name: int(number.replace(",", "")) for name, number, _ in table}
    assert limits == {
        "size of a file": MAX_BYTES // 2**20,
        "values in a file": MAX_VALUES,
        "nesting of a file": MAX_DEPTH,
        "digits of a number": MAX_DIGITS,
        "characters of a pattern": MAX_PATTERN,
        "schemas that are planned": MAX_SCHEMAS,
        "alternatives of a union": MAX_ALTERNATIVES,
        "properties of all classes of a union": MAX_PROPERTIES,
        "nesting of schemas": MAX_NESTING,
        "nesting of `allOf`, `anyOf` and `oneOf`": MAX_JOINS,
    }
