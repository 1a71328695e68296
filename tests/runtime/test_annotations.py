"""Annotations of models are evaluated once, and mean what they would mean to pydantic."""

import builtins
import sys
from types import ModuleType
from typing import Any

import pytest
from enkaku.values import annotations as evaluated

HEAD = "from __future__ import annotations\nfrom typing import Annotated\nimport enkaku\nfrom pydantic import Field\n"


def run(source: str, name: str = "annotated") -> dict[str, Any]:
    module = sys.modules[name] = ModuleType(name)
    exec(HEAD + source, vars(module))  # noqa: S102 # our own text
    return vars(module)


def test_model_with_equal_annotations_evaluates_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []

    def record(text: str, names: dict[str, Any]) -> object:
        texts.append(text)
        return builtins.eval(text, names)  # noqa: S307 # our own text

    monkeypatch.setattr(evaluated, "eval", record, raising=False)
    field = "Annotated[int | None, Field(alias='X', ge=0)]"
    made = run(
        "".join(f"class C{index}(enkaku.Model):\n    x: {field} = None\n" for index in range(50))
    )
    assert texts == [field]
    for index in range(50):
        assert made[f"C{index}"](X=index).model_dump_json(exclude_unset=True) == f'{{"X":{index}}}'
    with pytest.raises(ValueError, match="greater"):
        made["C7"](X=-1)


def test_model_after_redefinition_uses_new_class() -> None:
    made = run(
        "class A(enkaku.Model):\n    x: int\n"
        "class B(enkaku.Model):\n    a: A\n"
        "class A(enkaku.Model):\n    y: int\n"
        "class C(enkaku.Model):\n    a: A\n"
    )
    assert made["B"].model_fields["a"].annotation is not made["A"]
    assert made["C"].model_fields["a"].annotation is made["A"]


def test_model_in_other_module_of_same_name_uses_its_classes() -> None:
    source = "class A(enkaku.Model):\n    x: int\nclass B(enkaku.Model):\n    a: A\n"
    first, second = run(source), run(source)
    assert second["B"].model_fields["a"].annotation is second["A"] is not first["A"]


def test_model_with_later_class_is_built() -> None:
    made = run("class A(enkaku.Model):\n    b: B | None = None\nclass B(enkaku.Model):\n    a: A\n")
    assert made["A"](b=made["B"](a=made["A"]())).b is not None


def test_model_whose_field_shadows_type_is_built() -> None:
    made = run(
        "x = int\nclass A(enkaku.Model):\n    y: x\nclass B(enkaku.Model):\n    x: str = 'a'\n    z: int\n"
    )
    assert made["A"](y=1).y == 1
    assert made["B"](z=1).x == "a"


def test_model_with_invalid_annotation_raises_as_before() -> None:
    with pytest.raises(SyntaxError):
        run("class A(enkaku.Model):\n    x: 'int or'\n")
