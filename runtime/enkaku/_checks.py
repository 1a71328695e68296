"""Checks of arguments at the API boundary, so that a wrong one raises ``UsageError`` in the caller's line.

Type checkers find most of these mistakes earlier; these checks are for programs that are not type-checked.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from difflib import get_close_matches
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Final, TypeVar, cast

from .errors import UsageError

__all__ = [
    "enter_block",
    "require_block_maker",
    "require_instances",
    "require_known",
    "require_list",
    "require_loop",
    "require_one_of",
    "require_seconds",
    "require_text",
    "require_whole",
]

Facts = TypeVar("Facts")

_LONGEST: Final = 1e9  # seconds, some thirty years: what is longer is for ever


def require_known(
    whose: str, given: Iterable[str], known: Collection[str], others: Mapping[str, Collection[str]]
) -> None:
    """Raise UsageError for an option that does not exist.

    Args:
        whose: Who takes the options, such as ``"a server"``.
        given: The names that the program gave.
        known: The names that there are.
        others: The names that there are elsewhere.
    """
    for name in given:
        if name in known:
            continue
        elsewhere = [other for other, theirs in others.items() if name in theirs]
        near = get_close_matches(name, known, 1)
        if elsewhere:
            hint = f": that is one of {elsewhere[0]}"
        elif near:
            hint = f": did you mean {near[0]!r}?"
        else:
            hint = f": there are {', '.join(sorted(known))}"
        raise UsageError(f"{whose} has no option {name!r}{hint}")


def require_seconds(
    name: str, value: object, *, optional: bool = False, least: float | None = 0.0
) -> None:
    """Raise UsageError unless a value is a time in seconds.

    Args:
        name: What the time is called.
        value: The value.
        optional: Whether it may be None, which is for ever.
        least: How long it is at least; None is any number, as the difference of two points in time may be.
    """
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not value <= _LONGEST:
        more = ", or None for ever" if optional else ""
        raise UsageError(f"{name} is a number of seconds{more}, and not {value!r}")
    if least is not None and value < least:
        raise UsageError(f"{name} is {least:g} seconds or more, and not {value!r}")


def require_whole(name: str, value: object) -> None:
    """Raise UsageError unless a value is a whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name} is a whole number, and not {value!r}")


def require_text(name: str, value: object) -> None:
    """Raise UsageError unless a value is a text."""
    if not isinstance(value, str):
        raise UsageError(f"{name} is a text, and not {value!r}")


def require_one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    """Raise UsageError unless a value is one of several words."""
    if value not in known:
        words = ", ".join(f'"{word}"' for word in known)
        raise UsageError(f"{name} is one of {words}, and not {value!r}")


def require_list(name: str, values: object) -> None:
    """Raise UsageError unless a value is a list, or something like it."""
    if isinstance(values, str | bytes) or not isinstance(values, Collection):
        raise UsageError(f"{name} is a list, and not {values!r}")


def require_instances(name: str, values: object, kind: type) -> None:
    """Raise UsageError unless a value is a list of instances of a class."""
    require_list(name, values)
    what = kind.__name__
    for value in cast(Collection[object], values):
        if isinstance(value, type) and issubclass(value, kind):
            raise UsageError(
                f"{name}: an instance is wanted, {value.__name__}(), and not the class"
            )
        if not isinstance(value, kind):
            raise UsageError(f"{name}: {value!r} is no instance of {what}; {what}() makes one")


def require_block_maker(what: str, value: object) -> None:
    """Raise UsageError unless a value may be a function that makes async context managers."""
    if not callable(value):
        raise UsageError(f"{what} is a function that makes an async context manager, not {value!r}")
    if any(
        test(value) or test(value.__call__) for test in (iscoroutinefunction, isasyncgenfunction)
    ):
        raise UsageError(_decorate(what, value))


async def enter_block(
    stack: AsyncExitStack,
    make: Callable[[Facts], AbstractAsyncContextManager[None]],
    facts: Facts,
    what: str,
) -> None:
    """Enter what a program's function makes; a function that makes no block is told so.

    Args:
        stack: Leaves the block.
        make: The function.
        facts: What it is given.
        what: What it is called.
    """
    block = make(facts)
    if not _is_block(block):
        raise UsageError(_decorate(what, make))
    try:
        await stack.enter_async_context(block)
    except (RuntimeError, TypeError) as error:
        if _is_of_contextlib(error):
            raise UsageError(f"{_decorate(what, make)} ({error})") from error
        raise


def require_loop(loop: asyncio.AbstractEventLoop, what: str) -> None:
    """Raise UsageError unless the running event loop is the one that something belongs to."""
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if running is not loop:
        raise UsageError(
            f"{what} belongs to another event loop, the one it was made in; from another thread, "
            "asyncio.run_coroutine_threadsafe() reaches that"
        )


def _decorate(what: str, function: object) -> str:
    name = getattr(function, "__qualname__", repr(function))
    return f"{what} {name} makes no async context manager: it wants @asynccontextmanager above it, and one yield in it"


def _is_block(value: object) -> bool:
    return isinstance(value, AbstractAsyncContextManager)


def _is_of_contextlib(error: Exception) -> bool:
    """Whether it was raised for want of a yield, and not by the program."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and traceback.tb_frame.f_globals["__name__"] == "contextlib"
