"""Models of generated code are completed at their first use; until then, pydantic has not seen them."""

import copy
import inspect
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, get_type_hints

import enkaku
import pytest
from enkaku.generated import Model
from enkaku.values import deferred
from enkaku.values.type_sizes import TypeSizes

SOURCE = """
from __future__ import annotations
from typing import Annotated, Literal
from pydantic import Field
from enkaku.generated import Model

class Point(Model, extra="forbid"):
    '''A point.'''
    x_position: Annotated[float, Field(alias="xPosition")]
    label: str | None = None
    '''Its label.'''

class Circle(Model):
    kind: Literal["circle"] = Field(default="circle", frozen=True)
    center: Point

class Tree(Model):
    children: list[Tree] | None = None
    later: Later | None = None

class Later(Model):
    pass
"""


def is_deferred(model: type) -> bool:
    return type(model) is deferred._Deferred


@pytest.fixture
def module() -> Iterator[Any]:
    made = ModuleType("deferred_models")
    sys.modules[made.__name__] = made
    exec(SOURCE, vars(made))  # noqa: S102 # our own text
    yield made
    del sys.modules[made.__name__]


def test_class_statement_defers_completion(module: Any) -> None:
    assert all(map(is_deferred, (module.Point, module.Circle, module.Tree, module.Later)))


def test_types_and_checks_do_not_complete_a_class(module: Any) -> None:
    echo = enkaku.Request[module.Point, module.Circle](  # type: ignore[name-defined] # made here
        "echo", param=module.Point | None, result=list[module.Circle]
    )
    assert issubclass(module.Point, enkaku.Model)
    assert not isinstance(3, module.Point)
    assert "Point" in repr(module.Point)
    assert echo.param.declared
    assert is_deferred(module.Point)


USES: dict[str, Callable[[Any], object]] = {
    "call": lambda point: point(x_position=1),
    "validate": lambda point: point.model_validate({"xPosition": 1}),
    "fields": lambda point: point.model_fields["x_position"].alias == "xPosition",
    "signature": lambda point: "data" in inspect.signature(point).parameters,
    "rebuild": lambda point: point.model_rebuild(),
    "new": lambda point: point.__new__(point),
    "pattern": lambda point: getattr(point, "__match_args__", None),
    "slot": lambda point: enkaku.Slot("a", point).decode(b'{"xPosition":1}'),
    "union": lambda point: enkaku.Slot("a", list[point] | None).decode(b'[{"xPosition":1}]'),
    "annotations": lambda point: vars(point)["__annotations__"]["label"] == str | None,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_first_use_completes_class(module: Any, use: Callable[[Any], object]) -> None:
    point = module.Point
    if isinstance(value := use(point), bool):
        assert value
    assert not is_deferred(point)
    assert type(point) is type(enkaku.Model)


def test_complete_class_is_like_any_other_model(module: Any) -> None:
    value = module.Point(x_position=1, label="a")
    assert value == module.Point.model_validate({"xPosition": 1, "label": "a"}, by_alias=True)
    assert hash(value) == hash(module.Point(x_position=1, label="a"))
    assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == value  # noqa: S301 # ours
    assert pickle.loads(pickle.dumps(module.Point)) is module.Point  # noqa: S301 # ours
    assert module.Point.__doc__ == "A point."
    with pytest.raises(ValueError, match="Extra inputs"):
        module.Point(x_position=1, other=2)
    with pytest.raises(ValueError, match="frozen"):
        value.label = "b"


def test_constant_is_filled_in(module: Any) -> None:
    circle = module.Circle(center=module.Point(x_position=1))
    assert enkaku.Slot("a", module.Circle).encode(circle) == (
        b'{"kind":"circle","center":{"xPosition":1}}'
    )


def test_class_refers_to_itself_and_to_later_ones(module: Any) -> None:
    tree = enkaku.Slot("a", module.Tree).decode(b'{"children":[{"later":{}}]}')
    assert isinstance(tree.children[0].later, module.Later)
    assert get_type_hints(module.Tree)["later"] == module.Later | None


def test_subclass_of_deferred_class_is_complete(module: Any) -> None:
    Local = int  # noqa: N806 # a name that only this function has

    class Mine(module.Point):  # type: ignore[misc] # made here
        mine: "Local"

        def double(self) -> int:
            return self.mine * 2

    class Both(module.Circle, module.Tree):  # type: ignore[misc] # made here
        pass

    assert not is_deferred(Mine)
    assert not is_deferred(module.Point)
    assert Mine(x_position=1, mine=2).double() == 4
    assert Both(center=module.Point(x_position=1), children=None).kind == "circle"


def test_class_that_does_more_than_declare_is_not_deferred() -> None:
    namespace: dict[str, Any] = {"Model": Model, "__name__": __name__}
    source = "class A(Model):\n    x: int\n    def f(self) -> int:\n        return self.x + 1\n"
    exec(source, namespace)  # noqa: S102 # our own text
    assert not is_deferred(namespace["A"])
    assert namespace["A"](x=1).f() == 2

    class Local(Model):
        x: int

    assert not is_deferred(Local)
    assert Local(x=1).x == 1


def test_error_of_completion_is_raised_at_each_use() -> None:
    made = ModuleType("deferred_errors")
    sys.modules[made.__name__] = made
    source = "from enkaku.generated import Model\nclass A(Model):\n    x: 'int or'\n"
    exec(source, vars(made))  # noqa: S102 # our own text
    for _ in range(2):
        with pytest.raises(SyntaxError):
            made.A(x=1)
    del sys.modules[made.__name__]


def test_threads_that_use_a_class_first_wait_for_each_other(module: Any) -> None:
    barrier = threading.Barrier(8)
    fields: list[list[str]] = []

    def use() -> None:
        barrier.wait(10)
        fields.append(list(module.Point.model_fields))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(10)
    assert fields == [["x_position", "label"]] * 8


def test_without_reuse_pydantic_creates_classes_as_usual() -> None:
    code = (
        "from __future__ import annotations\nfrom enkaku.values import model\n"
        "real = model.ModelMetaclass.__new__\n"
        # A metaclass that does not ask the next one for the class.
        "def new(cls, *a, **k):\n"
        "    if cls.__name__ == '_Completing': raise TypeError\n"
        "    return real(cls, *a, **k)\n"
        "model.ModelMetaclass.__new__ = new\n"
        f"{SOURCE.strip().partition(chr(10))[2]}\n"
        "assert type(Point) is not type(None) and 'label' in vars(Point)['__pydantic_fields__']\n"
        "assert Point(x_position=1).x_position == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_counting_classes_of_a_type_completes_none(module: Any) -> None:
    sizes = TypeSizes()
    assert sizes.count(module.Tree) == 2
    assert sizes.inner_classes(list[module.Circle], 2) == []
    assert is_deferred(module.Tree)
    assert is_deferred(module.Later)
