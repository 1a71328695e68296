"""What reads and writes a type is built at its first use, whatever the type is made of, wherever that is."""

import asyncio
import sys
import threading
from types import ModuleType
from typing import Annotated, Any

import enkaku
import pytest
from enkaku import Slot, UsageError
from pydantic import Field, create_model


def chain(length: int, member: str = "C{}") -> list[type[Any]]:
    """Make classes, each of which is that of a member of the one before."""
    module = ModuleType(f"chain_of_{length}")
    sys.modules[module.__name__] = module
    classes = [
        f"class C{index}(enkaku.Model):\n    c: {member.format(index + 1)} | None = None\n"
        for index in range(length)
    ]
    source = "from __future__ import annotations\nimport enkaku\n" + "".join(classes)
    source += f"\nclass C{length}(enkaku.Model):\n    n: int\n"
    exec(source, vars(module))  # noqa: S102 # our own text
    return [vars(module)[f"C{index}"] for index in range(length + 1)]


@pytest.mark.parametrize("member", ["C{}", "list[C{}]", "dict[str, C{}]", "C{} | int"])
def test_slot_of_deeply_nested_classes_is_built(member: str) -> None:
    limits = sys.getrecursionlimit(), threading.stack_size()
    classes = chain(120, member)
    assert Slot[Any]("list", list[classes[0]]).decode(b"[{}]") == [classes[0]()]  # type: ignore[valid-type] # made here
    slot = Slot[Any]("slot", classes[0])
    assert slot.encode(slot.decode(b"{}")) == b"{}"
    assert (sys.getrecursionlimit(), threading.stack_size()) == limits


def test_model_of_deeply_nested_classes_is_created_before_slot() -> None:
    classes = chain(150)
    assert Slot[Any]("slot", classes[0]).encode(classes[0](c=classes[1]())) == b'{"c":{}}'


def test_slot_type_nested_too_deep_raises_usage_error() -> None:
    def make(depth: int) -> Any:
        form: Any = int
        for _ in range(depth):
            form = list[form]  # type: ignore[valid-type] # made here
        return form

    assert Slot[Any]("slot", make(150)).decode(b"[[]]") == [[]]
    with pytest.raises(UsageError, match="slot: the type is nested too deep"):
        Slot[Any]("slot", make(30_000)).decode(b"1")


async def test_slot_built_from_several_threads_works() -> None:
    for _ in range(20):
        fields: dict[str, Any] = {f"f{index}": (int, ...) for index in range(20)}
        inner = create_model("Inner", __base__=enkaku.Model, **fields)
        outer = create_model("Outer", __base__=enkaku.Model, inner=(inner, ...))
        slots = [Slot[Any]("outer", outer), Slot[Any]("inner", inner)]
        text = b"{%s}" % b",".join(b'"f%d":1' % index for index in range(20))

        async def read(slots: list[Slot[Any]] = slots, text: bytes = text) -> list[object]:
            values = [slots[0].decode(b'{"inner":%s}' % text), slots[1].decode(text)]
            return [type(value) for value in (*values, values[0].inner)]

        ran = await asyncio.gather(*(asyncio.to_thread(asyncio.run, read()) for _ in range(4)))
        assert ran == [[outer, inner, inner]] * 4


def test_local_classes_resolve_each_other() -> None:
    class Leaf(enkaku.Model):
        n: int

    class Branch(enkaku.Model):
        leaf: "Leaf | Branch"

    slot = Slot("slot", Branch)  # the classes are found in the frame of the test
    assert slot.decode(b'{"leaf":{"leaf":{"n":1}}}') == Branch(leaf=Branch(leaf=Leaf(n=1)))


def test_slot_pattern_too_large_raises_usage_error() -> None:
    slot = Slot("slot", Annotated[str, Field(pattern="^(a{1000}){1000}$")])
    for _ in range(2):
        with pytest.raises(
            UsageError, match=r"slot: pydantic cannot build the type: (?s:.*)size limit"
        ):
            slot.decode(b'"a"')
