"""Checks of arguments at the API boundary, so that a wrong one raises ``UsageError`` in the caller's line.

Type checkers find most of these mistakes earlier; these checks are for programs that are not type-checked. Each message names
the argument, what it must be, and what was given.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import fields
from difflib import get_close_matches
from functools import wraps
from inspect import isasyncgenfunction, iscoroutine, iscoroutinefunction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, ParamSpec, Self, TypeVar, cast

from .errors import UsageError

__all__ = [
    "AsyncBlock",
    "AsyncItems",
    "KeywordOptions",
    "async_block",
    "enter_block",
    "require_block_maker",
    "require_bytes",
    "require_headers",
    "require_instances",
    "require_known",
    "require_list",
    "require_loop",
    "require_one_of",
    "require_seconds",
    "require_strings",
    "require_text",
    "require_whole",
]

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING: Final = frozenset({"connection", "content-length", "transfer-encoding"})
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

Info = TypeVar("Info")
_P = ParamSpec("_P")
_T = TypeVar("_T")

_SECONDS_MAX: Final = 1e9  # about thirty years; longer than any timer


class KeywordOptions:
    """Base of dataclasses that take options by name: an unknown option raises UsageError, with the nearest name."""

    __slots__ = ()

    def __new__(cls, *values: object, **options: object) -> Self:
        names = [each.name for each in fields(cast(Any, cls))]  # each subclass is a dataclass
        if values:
            raise UsageError(
                f"{cls.__name__} takes its options by name, such as {cls.__name__}({names[0]}=...); got {values[0]!r}"
            )
        require_known(cls.__name__, options, names, {})
        return super().__new__(cls)


class AsyncBlock:
    """Base of async context managers: ``await`` and ``with`` raise UsageError, which names ``async with``.

    Type checkers report these uses because they do not see the methods.
    """

    __slots__ = ()

    if not TYPE_CHECKING:

        def __await__(self) -> NoReturn:
            _reject_use(self, "async with", "await")

        def __enter__(self) -> NoReturn:
            _reject_use(self, "async with", "with")

        def __exit__(self, *_: object) -> None:
            """Part of the protocol, without which Python does not call ``__enter__``."""


class AsyncItems:
    """Base of async iterators: ``for`` raises UsageError, which names ``async for``. Type checkers do not see the method."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __iter__(self) -> NoReturn:
            _reject_use(self, "async for", "for")


def _reject_use(used: object, expected: str, found: str) -> NoReturn:
    raise UsageError(f"{used!r}: use {expected!r}, not {found!r}")


class _Block(AsyncBlock, AbstractAsyncContextManager[_T]):
    _name = "a block"

    def __init__(self, name: str, manager: AbstractAsyncContextManager[_T]) -> None:
        self._name = f"{name}()"
        self._manager = manager
        self._entered = False

    def __repr__(self) -> str:
        return self._name

    def __getattr__(self, name: str) -> NoReturn:
        block = self._name.replace("()", "(...)")
        raise AttributeError(
            f"{self._name} has no {name!r} before it is entered: write 'async with {block} as opened:', "
            f"and use opened.{name}"
        )

    async def __aenter__(self) -> _T:
        if self._entered:
            raise UsageError(f"{self._name}: the block can be entered once")
        self._entered = True
        return await self._manager.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._manager.__aexit__(kind, error, traceback)


def async_block(
    function: Callable[_P, AsyncGenerator[_T, None]],
) -> Callable[_P, AbstractAsyncContextManager[_T]]:
    """Decorate as ``asynccontextmanager`` does; a use without ``async with`` raises UsageError."""
    make = asynccontextmanager(function)

    @wraps(function)
    def start(*args: _P.args, **kwargs: _P.kwargs) -> AbstractAsyncContextManager[_T]:
        return _Block(function.__name__, make(*args, **kwargs))

    return start


def require_known(
    whose: str, given: Iterable[str], known: Collection[str], others: Mapping[str, Collection[str]]
) -> None:
    """Raise UsageError for an option that does not exist.

    Args:
        whose: What has the options, such as ``"a server"``.
        given: The names that the program gave.
        known: The names of the options.
        others: The names of the options of other things, for a hint.
    """
    for name in given:
        if name in known:
            continue
        elsewhere = [other for other, names in others.items() if name in names]
        near = get_close_matches(name, known, 1)
        if elsewhere:
            hint = f"it is an option of {elsewhere[0]}"
        elif near:
            hint = f"did you mean {near[0]!r}?"
        else:
            hint = f"the options are {', '.join(sorted(known))}"
        raise UsageError(f"{whose} has no option {name!r}: {hint}")


def require_seconds(
    name: str, value: object, *, optional: bool = False, least: float | None = 0.0
) -> None:
    """Raise UsageError unless a value is a time in seconds.

    Args:
        name: The name of the argument.
        value: The value.
        optional: Whether it may be None, which means without timeout.
        least: The minimum; None allows any number, such as the difference of two points in time.
    """
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not value <= _SECONDS_MAX:
        other = ", or None" if optional else ""
        raise UsageError(f"{name} must be a number of seconds, such as 5.0{other}; got {value!r}")
    if least is not None and value < least:
        raise UsageError(f"{name} must be {least:g} seconds or more; got {value!r}")


def require_whole(name: str, value: object) -> None:
    """Raise UsageError unless a value is an integer."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name} must be an integer; got {value!r}")


def require_text(name: str, value: object) -> None:
    """Raise UsageError unless a value is a string."""
    if not isinstance(value, str):
        raise UsageError(f"{name} must be a string; got {value!r}")


def require_headers(headers: object) -> None:
    """Raise UsageError unless a value maps names of HTTP headers to strings. Values may be secrets, so no error shows them."""
    if not isinstance(headers, Mapping):
        raise UsageError(f"headers must map names to values; got a {type(headers).__name__}")
    for name, value in cast(Mapping[object, object], headers).items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise UsageError(f"headers: {name!r} is not the name of a header")
        if name.lower() in _FRAMING:
            raise UsageError(f"headers: {name!r} is not yours to set: it belongs to the connection")
        if not isinstance(value, str) or _CONTROL.search(value):
            raise UsageError(
                f"headers: the value of {name!r} must be a string without newlines and other control characters"
            )


def require_strings(name: str, values: object) -> None:
    """Raise UsageError unless a value maps strings to strings. They may be secrets, so no error shows them."""
    if not isinstance(values, Mapping):
        raise UsageError(f"{name} must map names to values; got a {type(values).__name__}")
    for key, value in cast(Mapping[object, object], values).items():
        if not isinstance(key, str) or not isinstance(value, str):
            kinds = f"{type(key).__name__} and {type(value).__name__}"
            raise UsageError(f"{name}: names and values must be strings; got {kinds}")


def require_mapping(name: str, value: object, what: str) -> None:
    """Raise UsageError unless a value is a mapping; ``what`` says of what."""
    if not isinstance(value, Mapping):
        raise UsageError(f"{name} must map {what}; got a {type(value).__name__}")


def require_bytes(name: str, value: object) -> None:
    """Raise UsageError unless a value is ``bytes``, or a ``bytearray``."""
    if not isinstance(value, bytes | bytearray):
        hint = ": use .encode()" if isinstance(value, str) else ""
        raise UsageError(f"{name} takes bytes; got {value!r:.100}{hint}")


def require_one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    """Raise UsageError unless a value is one of several strings."""
    if value not in known:
        alternatives = ", ".join(f'"{each}"' for each in known)
        raise UsageError(f"{name} must be one of {alternatives}; got {value!r}")


def require_list(name: str, values: object) -> None:
    """Raise UsageError unless a value is a list or another collection."""
    if isinstance(values, str | bytes) or not isinstance(values, Collection):
        raise UsageError(f"{name} must be a list; got {values!r}")


def require_instances(name: str, values: object, kind: type) -> None:
    """Raise UsageError unless a value is a list of instances of a class."""
    require_list(name, values)
    for value in cast(Collection[object], values):
        if isinstance(value, type) and issubclass(value, kind):
            raise UsageError(
                f"{name} must be an instance, {value.__name__}(); got the class {value.__name__}"
            )
        if not isinstance(value, kind):
            raise UsageError(f"{name} must be an instance of {kind.__name__}; got {value!r}")


def require_block_maker(what: str, value: object) -> None:
    """Raise UsageError unless a value may be a function that returns async context managers."""
    if not callable(value):
        raise UsageError(
            f"{what} must be a function that returns an async context manager; got {value!r}"
        )
    if any(
        test(value) or test(value.__call__) for test in (iscoroutinefunction, isasyncgenfunction)
    ):
        raise UsageError(_undecorated(what, value))


async def enter_block(
    stack: AsyncExitStack,
    make: Callable[[Info], AbstractAsyncContextManager[None]],
    info: Info,
    what: str,
) -> None:
    """Enter the async context manager that a function of the program returns.

    What the context manager raises is raised as it is; a RuntimeError gets a note that names the function.

    Args:
        stack: Exits the context manager.
        make: The function.
        info: Its argument.
        what: What the function is, for errors, such as ``"the lifespan"``.

    Raises:
        UsageError: The function does not return an async context manager.
    """
    manager = make(info)
    if not _is_context_manager(manager):
        raise UsageError(_undecorated(what, make))
    # @asynccontextmanager accepts any function: one without a yield makes a coroutine in place of the generator.
    generator: object = getattr(manager, "gen", None)
    if iscoroutine(generator):
        generator.close()
        raise UsageError(_undecorated(what, make))
    try:
        await stack.enter_async_context(manager)
    except RuntimeError as error:
        # For a generator without a yield, contextlib raises one that does not name the function.
        note = f"raised on entering {what} {_name(make)}"
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        raise


def require_loop(loop: asyncio.AbstractEventLoop, what: str) -> None:
    """Raise UsageError unless the running event loop is the one that something belongs to."""
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if running is not loop:
        raise UsageError(
            f"{what} belongs to another event loop: use it in the loop in which it was made; from another "
            "thread, call asyncio.run_coroutine_threadsafe()"
        )


def _is_context_manager(value: object) -> bool:
    return isinstance(value, AbstractAsyncContextManager)


def _undecorated(what: str, function: object) -> str:
    return (
        f"{what} {_name(function)} must return an async context manager: decorate it with @asynccontextmanager, "
        "and write one yield in it"
    )


def _name(function: object) -> str:
    name: object = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else repr(function)
