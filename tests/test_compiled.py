"""The compiled core: that it is what runs where it should, and that nobody who uses it can tell."""

import ast
import gc
import inspect
import os
import re
import tomllib
import warnings
import weakref
from importlib import import_module
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Any

import enkaku
import pytest
from support import Connect

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HOOK = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
MODULES = sorted(path.stem for path in (ROOT / "runtime" / "enkaku").glob("[a-z]*.py"))

COUNT = enkaku.Stream[None, int, int]("count", param=None, receive=int, result=int)
ECHO = enkaku.Channel[None, int, int, None]("echo", param=None, send=int, receive=int, result=None)
ADD = enkaku.Request[int, int]("add", param=int, result=int)


class Counter(enkaku.Handler):
    """Serves a procedure of each kind that has a result."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    async def count(self, stream: enkaku.ServerStream[int]) -> int:
        self.calls.append(stream.call)
        await stream.send(1)
        with pytest.warns(RuntimeWarning, match=r"ServerStream\.send' was never awaited"):
            stream.send(2)  # type: ignore[unused-coroutine] # which is gone at once
        return 1

    async def echo(self, channel: enkaku.ServerChannel[int, int]) -> None:
        async for item in channel:
            await channel.send(item)

    async def add(self, param: int) -> int:
        self.calls.append(enkaku.current_call())
        return param + 1

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (
            enkaku.Route.stream(COUNT, self.count),
            enkaku.Route.channel(ECHO, self.echo),
            enkaku.Route.request(ADD, self.add),
        )


def test_it_is_compiled_where_it_should_be_and_nowhere_else() -> None:
    assert ("ENKAKU_TEST_COMPILED" in os.environ) is enkaku.COMPILED
    source = Path(enkaku.__file__).is_relative_to(ROOT / "runtime")
    assert source is not enkaku.COMPILED
    modules = {
        name
        for name in MODULES
        if isinstance(import_module(f"enkaku.{name}").__loader__, ExtensionFileLoader)
    }
    assert modules == (set(HOOK["modules"]) if enkaku.COMPILED else set())


def test_each_module_of_the_core_exists_once_and_the_compiler_is_the_one_that_checks_it() -> None:
    assert HOOK["modules"] == sorted(set(HOOK["modules"]) & set(MODULES))
    (mypy,) = [each for each in HOOK["dependencies"] if each.startswith("mypy")]
    assert mypy in PROJECT["dependency-groups"]["dev"]


@pytest.mark.parametrize("module", HOOK["modules"])
def test_nothing_is_awaited_while_an_exception_is_handled_in_the_core(module: str) -> None:
    """Where a coroutine that mypyc 2.4 has compiled does so, and another one awaits it, the process crashes."""
    source = (ROOT / "runtime" / "enkaku" / f"{module}.py").read_text()
    for node in ast.walk(ast.parse(source)):
        assert not isinstance(node, ast.AsyncWith), node.lineno
        if isinstance(node, ast.Try | ast.TryStar):
            while_handling = [
                each for part in (*node.handlers, *node.finalbody) for each in ast.walk(part)
            ]
            assert not any(isinstance(each, ast.Await) for each in while_handling), node.lineno


def test_what_programs_await_and_derive_from_is_not_in_the_core() -> None:
    public = {getattr(enkaku, name) for name in enkaku.__all__ if name != "Outcome"}
    classes = {each for each in public if isinstance(each, type)}
    tried = 0
    for path in (ROOT / "runtime" / "enkaku").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            cls = getattr(enkaku, getattr(node, "name", ""), None)
            if isinstance(node, ast.ClassDef) and cls in classes:
                for method in node.body:
                    if isinstance(method, ast.AsyncFunctionDef) and not method.decorator_list:
                        assert inspect.iscoroutinefunction(vars(cls)[method.name]), method.name
                        tried += 1
    assert tried > 20
    for cls in (enkaku.Handler, enkaku.Observer, enkaku.EnkakuError, enkaku.Model):
        assert type("Derived", (cls,), {})


async def test_who_forgets_to_await_is_told(connect: Connect) -> None:
    async with connect(Counter()) as connection:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            connection.request(ADD, 1)  # type: ignore[unused-coroutine]
            async with connection.channel(ECHO, None) as channel:
                channel.send(1)  # type: ignore[unused-coroutine]
            gc.collect()
        async with connection.stream(COUNT, None) as stream:
            assert await stream.result() == 1
    told = [str(each.message) for each in caught]
    assert told == [
        "coroutine 'Connection.request' was never awaited",
        "coroutine 'ClientChannel.send' was never awaited",
    ]


async def test_what_programs_keep_of_a_call_goes_with_it(connect: Connect) -> None:
    handler = Counter()
    notes: weakref.WeakKeyDictionary[object, str] = weakref.WeakKeyDictionary()
    async with connect(handler) as connection:
        assert await connection.request(ADD, 1) == 2
        async with connection.stream(COUNT, None) as stream:
            await stream.result()
            handler.calls.append(stream.call)
        notes |= dict.fromkeys(handler.calls, "a note")
        notes[connection.info] = "another"
        for call in handler.calls:
            call.mine = call  # a cycle
        assert [call.mine.outcome for call in handler.calls] == ["result"] * 3
        handler.calls.clear()
        del call, stream
    del connection
    gc.collect()
    assert not notes


async def test_a_traceback_names_the_handler_and_the_way_to_it(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Counter):
        async def add(self, param: int) -> int:
            raise KeyError(param)

    async with connect(Failing()) as connection:
        with pytest.raises(enkaku.CallError):
            await connection.request(ADD, 1)
    assert "raise KeyError(param)" in caplog.text
    assert re.search(r'enkaku/calls\.py", line \d+, in _serve\n', caplog.text)
