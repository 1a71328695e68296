"""Types are prepared before their first use, in a thread, one slot at a time."""

import asyncio
import gc
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import enkaku
import pytest
from enkaku import Request, Route, Slot, UsageError, preparation
from enkaku.values import slot as slots
from enkaku.values.type_sizes import TypeSizes


def cycle(length: int) -> type[Any]:
    """Return the first of so many classes, each of which refers to the next two, around a circle."""
    module = ModuleType(f"cycle_of_{length}")
    sys.modules[module.__name__] = module
    source = "from __future__ import annotations\nimport enkaku\n" + "".join(
        f"class C{index}(enkaku.Model):\n"
        f"    a: C{(index + 1) % length} | None = None\n    b: list[C{(index + 2) % length}] | None = None\n"
        for index in range(length)
    )
    exec(source, vars(module))  # noqa: S102 # our own text
    return vars(module)["C0"]


class Serving(enkaku.Handler):
    def __init__(self, *procedures: Request[Any, Any]) -> None:
        self.procedures = procedures

    async def echo(self, param: Any) -> Any:
        return param

    def __routes__(self) -> tuple[Route, ...]:
        return tuple(Route.request(each, self.echo) for each in self.procedures)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Record the label of each codec that is built, and whether the event loop's thread builds it."""
    builds: list[tuple[str, bool]] = []
    real, main = slots.build, threading.current_thread()

    def record(label: str, make: Any) -> Any:
        builds.append((label, threading.current_thread() is main))
        return real(label, make)

    monkeypatch.setattr(slots, "build", record)
    return builds


@pytest.fixture(autouse=True)
def frozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def request(form: Any, name: str = "echo") -> Request[Any, Any]:
    return Request(name, param=form, result=form)


async def test_prepare_leaves_nothing_to_first_use(built: list[tuple[str, bool]]) -> None:
    form = cycle(20)
    echo = request(form)
    await enkaku.prepare(echo)
    assert built
    assert not any(in_loop for _, in_loop in built)
    built.clear()
    value = echo.param.decode(b'{"a":{"b":[{}]}}')
    assert echo.result.encode(value) == b'{"a":{"b":[{}]}}'
    assert form(a=value.a) == value
    assert built == []


async def test_prepare_builds_type_of_two_slots_once(built: list[tuple[str, bool]]) -> None:
    form: Any = list[cycle(5)]  # type: ignore[misc] # made here
    echo = request(form)
    await enkaku.prepare(echo)
    assert echo.param._codec is echo.result._codec
    assert echo.param._codec is not Slot[Any]("other", list[form])._codec


async def test_prepare_lets_event_loop_run_between_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    started: asyncio.Queue[str] = asyncio.Queue()
    go_on = threading.Event()
    loop = asyncio.get_running_loop()

    def block(slot: Slot[Any]) -> None:
        loop.call_soon_threadsafe(started.put_nowait, slot.label)
        assert go_on.wait(10)

    monkeypatch.setattr(Slot, "prepare", block)
    task = asyncio.create_task(enkaku.prepare(request(int)))
    # This runs while the thread is blocked, with a single slot in it.
    assert await asyncio.wait_for(started.get(), 10) == "echo param"
    assert started.empty()
    go_on.set()
    await asyncio.wait_for(task, 10)
    assert await asyncio.wait_for(started.get(), 10) == "echo result"


async def test_prepare_of_handler_and_package_builds_all_slots(
    built: list[tuple[str, bool]],
) -> None:
    package = ModuleType("package")
    vars(package).update(ONE=request(int, "one"), OTHER=3)
    await enkaku.prepare(package, Serving(request(str, "two")))
    labels = {label for label, _ in built}
    assert labels == {"one param", "one result", "two param", "two result"}


async def test_prepare_of_anything_else_raises_usage_error() -> None:
    wrong: Any = "echo"
    with pytest.raises(
        UsageError, match="expected a handler, a procedure or a generated package; got 'echo'"
    ):
        await enkaku.prepare(wrong)


async def test_prepare_compiles_schema_of_checked_slot(built: list[tuple[str, bool]]) -> None:
    wrong = request(enkaku.Checked(int, {"$ref": "#/nowhere"}))
    with pytest.raises(UsageError, match="echo param: jsonschema-rs rejects the schema"):
        await enkaku.prepare(wrong)
    assert gc.isenabled()


async def test_server_prepares_large_types_only(
    tmp_path: Path, built: list[tuple[str, bool]]
) -> None:
    large, small = request(cycle(60), "large"), request(cycle(10), "small")
    async with enkaku.serve_unix(Serving(large, small), tmp_path / "s"):
        assert {label.split()[0] for label, _ in built} == {"large"}
        assert not any(in_loop for _, in_loop in built)
        built.clear()
        large.result.encode(large.param.decode(b"{}"))
        assert built == []


async def test_server_prepares_its_first_type(
    tmp_path: Path, built: list[tuple[str, bool]]
) -> None:
    first, second = request(cycle(3), "first"), request(cycle(4), "second")
    async with enkaku.serve_unix(Serving(first, second), tmp_path / "s"):
        assert {label.split()[0] for label, _ in built} == {"first"}


async def test_server_starts_with_type_that_cannot_be_built(tmp_path: Path) -> None:
    form: Any = cycle(60)
    for _ in range(30_000):
        form = list[form]
    deep = request(form, "deep")
    async with enkaku.serve_unix(Serving(deep), tmp_path / "s"):
        with pytest.raises(UsageError, match="deep param: the type is nested too deep"):
            deep.param.decode(b"[]")


async def test_prepare_freezes_large_types_only() -> None:
    before = gc.get_freeze_count()
    await enkaku.prepare(request(cycle(10)))
    assert gc.get_freeze_count() == before
    # Several cycles: Python 3.12 builds none of 501 classes.
    await enkaku.prepare(request(tuple[cycle(201), cycle(202), cycle(203)]))
    assert gc.get_freeze_count() > before
    assert gc.isenabled()


def test_type_sizes_counts_each_class_once() -> None:
    form = cycle(7)
    sizes = TypeSizes()
    assert sizes.count(form) == sizes.count(list[form]) == sizes.count(form | None) == 7
    assert sizes.count(int) == sizes.count(dict[str, object]) == 0


def test_type_sizes_chooses_class_each_fifty_of_a_cycle() -> None:
    form = cycle(400)
    chosen = TypeSizes().inner_classes(list[form], 50)
    assert 1 <= len(chosen) <= 400 / 50 + 1
    assert len(set(chosen)) == len(chosen)
    assert TypeSizes().inner_classes(cycle(40), 50) == []


async def test_prepare_builds_class_of_each_large_cycle(tmp_path: Path) -> None:
    form = cycle(120)
    inner = [each for each in vars(sys.modules["cycle_of_120"]).values() if isinstance(each, type)]
    await enkaku.prepare(request(form))
    built = [each for each in inner if each.__pydantic_complete__]
    assert 2 <= len(built) <= 4  # the type itself, and one for each fifty others
    assert form in built


@pytest.mark.parametrize("wrong", [ModuleType("empty"), Serving()], ids=["module", "handler"])
async def test_prepare_without_procedures_raises_usage_error(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"^prepare: expected .*; got .*, which has no procedures"):
        await enkaku.prepare(wrong)


async def test_prepare_of_nothing_raises_usage_error() -> None:
    with pytest.raises(UsageError, match=r"^prepare: expected a handler, .*; got nothing$"):
        await enkaku.prepare()


async def test_server_logs_types_that_are_too_large(
    tmp_path: Path,
    built: list[tuple[str, bool]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(preparation, "_MOST", 100)
    first, second = request(cycle(70), "first"), request(cycle(60), "second")
    async with enkaku.serve_unix(Serving(first, second), tmp_path / "s"):
        assert {label.split()[0] for label, _ in built} == {"first"}
    assert "1, such as second param with 60 classes; a server prepares 100 classes" in caplog.text
