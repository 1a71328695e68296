"""What the model generator's wrapper does with what comes back."""

import pytest
from enkaku_codegen.errors import CodegenError
from enkaku_codegen.planning.planner import make_plan
from enkaku_codegen.writing import models
from enkaku_codegen.writing.models import make_types
from generated.packages import one_param

OBJECT = {
    "type": "object",
    "properties": {
        "some key": {"enum": ["a", "b", "c", "d"]},
        "plain": {"type": "string", "minLength": 1},
    },
    "required": ["plain"],
}


def test_make_types_gives_planned_names_and_literals() -> None:
    alias, model = make_types(make_plan(one_param(OBJECT))).named
    assert (alias.name, alias.kind, alias.annotation) == (
        "EchoParamSomeKey",
        "alias",
        "Literal['a', 'b', 'c', 'd']",
    )
    assert model.kind == "model"
    assert [(each.name, each.annotation, each.default) for each in model.fields] == [
        ("some_key", "Annotated[EchoParamSomeKey | None, Field(alias='some key')]", "None"),
        ("plain", "Annotated[str, Field(min_length=1)]", None),
    ]


def test_make_types_required_constant_has_default_of_constructor() -> None:
    constants = {"a": {"const": "x'\""}, "b": {"enum": [1]}, "c": {"$ref": "#/$defs/C"}, "d": {}}
    properties = {**constants, "e": {"enum": [1, 2]}, "f": {"const": None}, "g": {"const": 1.5}}
    required = {"type": "object", "properties": properties, "required": [*"abcefg"]}
    *_, model = make_types(make_plan(one_param(required, {"C": {"const": True}}))).named
    assert model.kind == "model"
    assert {each.name: each.default for each in model.fields} == {
        "a": "Field(default='x\\'\"', frozen=True)",
        "b": "Field(default=1, frozen=True)",
        "c": "Field(default=True, frozen=True)",
        "d": "ABSENT",
        "e": None,
        "f": "Field(default=None, frozen=True)",
        "g": None,
    }


def test_make_types_duplicate_values_keep_first_position() -> None:
    schema = {"anyOf": [{"enum": ["a", "b", "a"]}, {"type": "integer"}, {"const": "a"}]}
    (alias,) = make_types(make_plan(one_param(schema))).named
    assert alias.kind == "alias"
    assert alias.annotation == "Literal['a', 'b'] | int"


def test_make_types_ignores_names_of_model_generator() -> None:
    # It makes Type1Model, Type11 and so on of what it is shown.
    bounded = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "array", "maxItems": 1}]}
    definitions = {f"D{index:02}": bounded for index in range(25)}
    named = make_types(make_plan(one_param(True, definitions))).named
    expected = "Annotated[int, Field(ge=1)] | Annotated[list[object], Field(max_length=1)]"
    assert {each.annotation for each in named if each.kind == "alias"} == {expected}


def test_make_types_hides_protocol_text_from_model_generator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []
    original = models.generate

    def spy(document: str, **options: object) -> object:
        seen.append(document)
        return original(document, **options)

    monkeypatch.setattr(models, "generate", spy)
    secret = {
        **OBJECT,
        "description": "SECRET",
        "properties": {"SECRET": {"const": "SECRET", "title": "SECRET"}},
    }
    make_types(make_plan(one_param(secret, {"SECRET": {"type": "string", "pattern": "SECRET"}})))
    (document,) = seen
    assert "SECRET" not in document


@pytest.mark.parametrize(
    "annotation",
    [
        "print",
        "__import__('os')",
        "Annotated[str, (lambda: 1)]",
        "[str for str in x]",
        "str.x",
        "'literal9'",
        "Literal['literal0', 1]",
        "Literal[str]",
    ],
)
def test_make_types_unexpected_generator_output_is_rejected(
    annotation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"class Carrier:\n    f0: {annotation}\n"
    monkeypatch.setattr(models, "generate", lambda *_, **__: source)
    with pytest.raises((CodegenError, IndexError)):
        make_types(make_plan(one_param({"type": "string"})))


def test_make_types_missing_generator_output_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "generate", lambda *_, **__: "")
    with pytest.raises(CodegenError, match="did not write"):
        make_types(make_plan(one_param({"type": "string"})))


def test_make_types_alias_follows_types_it_uses() -> None:
    definitions = {
        "A": {"type": "array", "items": {"$ref": "#/$defs/B"}},
        "B": {"anyOf": [{"$ref": "#/$defs/C"}, {"type": "null"}]},
        "C": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}},
        "J": {"type": "array", "items": {"$ref": "#/$defs/J"}},
    }
    named = make_types(make_plan(one_param(True, definitions))).named
    assert [each.name for each in named] == ["C", "B", "A", "J"]
    assert [each.name for each in named if each.kind == "alias" and each.late] == ["J"]
