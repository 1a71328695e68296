"""Hooks of a client: what they are given, and how they are made.

A hook wraps *logical calls*: what a program calls once. A logical call may need several *attempts*, since an idempotent request is sent
again after a reconnect, and a hook may send a request again. Interceptors wrap each attempt; hooks wrap all of them together,
with the waiting between them. Hooks also see the items and results of streams and channels, and may change them.
"""

# ruff: noqa: ARG002 # the arguments of the methods of Hook are for subclasses

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from inspect import iscoroutinefunction
from typing import Any, Final, Generic, TypeAlias, TypeVar, overload

from enkaku._checks import require_block_maker, require_instances, require_known
from enkaku.errors import UsageError
from enkaku.procedures import Channel, Event, Procedure, Request, Stream
from enkaku.wire.metadata import NO_METADATA

from .deadlines import left

__all__ = ["Hook", "OutgoingCall", "Proceed", "hook_for", "overriding", "require_hooks"]

_Param = TypeVar("_Param")
_Send = TypeVar("_Send")
_Receive = TypeVar("_Receive")
_Result = TypeVar("_Result")
_Item = TypeVar("_Item")

Proceed: TypeAlias = Callable[[], Awaitable[_Result]]
"""Sends a call, and waits for its result: what a hook awaits, once, more than once, or never."""


class OutgoingCall(Generic[_Param]):
    """A logical call of a client, as hooks see it; the same object for all hooks of the call.

    Attributes:
        procedure: The procedure that is called.
        param: Its param or data. A hook may set another one before the call is sent.
        metadata: Its metadata, as the program has passed it to the call. A hook may set another mapping before the call is
            sent. Each attempt also sends the metadata of the connection, except for names that are in this mapping, too.
        started: When it began, by ``time.monotonic()``.
        due: Its deadline, by ``time.monotonic()``; None without one. It holds for all attempts together.
        attempts: How many attempts have begun.
    """

    __slots__ = ("attempts", "due", "metadata", "param", "procedure", "started")

    def __init__(
        self, procedure: Procedure, param: _Param, started: float, due: float | None
    ) -> None:
        self.procedure: Final = procedure
        self.param = param
        self.metadata: Mapping[str, str] = NO_METADATA
        self.started: Final = started
        self.due: Final = due
        self.attempts = 0

    def __repr__(self) -> str:
        return f"<outgoing {self.kind} {self.procedure.name}, {self.attempts} attempts>"

    @property
    def kind(self) -> str:
        """``"event"``, ``"request"``, ``"stream"`` or ``"channel"``."""
        return self.procedure.kind

    @property
    def remaining(self) -> float | None:
        """How many seconds are left until the deadline, at least 0; None without a deadline."""
        return None if self.due is None else left(self.due)


class Hook:
    """Wraps the calls of a client. Override the methods that you need; the others cost nothing.

    Each method is for all procedures that ``applies_to`` accepts. ``hook_for`` makes a hook for one procedure, with its exact types.
    """

    def applies_to(self, procedure: Procedure) -> bool:
        """Return whether the hook is for the calls of a procedure; by default, for all."""
        return True

    async def wrap(self, call: OutgoingCall[object], proceed: Proceed[_Result]) -> _Result:
        """Wrap a request or event: return what the program gets, or raise.

        ``await proceed()`` sends the call, waits for its result and returns it. A hook may return without it, so that nothing is
        sent, and may await it again.
        """
        return await proceed()

    def wrap_stream(self, call: OutgoingCall[object]) -> AbstractAsyncContextManager[None]:
        """Wrap a stream or channel: return an async context manager, which the block of the call runs inside of."""
        return nullcontext()

    def send(self, call: OutgoingCall[object], item: _Item) -> _Item:
        """Return the item that a channel sends in place of this one."""
        return item

    def receive(self, call: OutgoingCall[object], item: _Item) -> _Item:
        """Return the item that the program gets from a stream or channel in place of this one."""
        return item

    def result(self, call: OutgoingCall[object], result: _Result) -> _Result:
        """Return the result that the program gets from a stream or channel in place of this one."""
        return result


class _ProcedureHook(Hook):
    """A hook for one procedure, whose methods are functions of the program."""

    def __init__(self, procedure: Procedure, functions: Mapping[str, object]) -> None:
        self._procedure: Final = procedure.original
        vars(self).update(functions)

    def __repr__(self) -> str:
        return f"hook_for({self._procedure!r}, ...)"

    def applies_to(self, procedure: Procedure) -> bool:
        """Return whether this is the procedure, under any prefix."""
        return procedure.original is self._procedure


@overload
def hook_for(
    procedure: Event[_Param],
    /,
    wrap: Callable[[OutgoingCall[_Param], Proceed[None]], Awaitable[None]],
) -> Hook: ...
@overload
def hook_for(
    procedure: Request[_Param, _Result],
    /,
    wrap: Callable[[OutgoingCall[_Param], Proceed[_Result]], Awaitable[_Result]],
) -> Hook: ...
@overload
def hook_for(
    procedure: Stream[_Param, _Receive, _Result],
    /,
    wrap: Callable[[OutgoingCall[_Param]], AbstractAsyncContextManager[None]] | None = None,
    *,
    receive: Callable[[OutgoingCall[_Param], _Receive], _Receive] | None = None,
    result: Callable[[OutgoingCall[_Param], _Result], _Result] | None = None,
) -> Hook: ...
@overload
def hook_for(
    procedure: Channel[_Param, _Send, _Receive, _Result],
    /,
    wrap: Callable[[OutgoingCall[_Param]], AbstractAsyncContextManager[None]] | None = None,
    *,
    send: Callable[[OutgoingCall[_Param], _Send], _Send] | None = None,
    receive: Callable[[OutgoingCall[_Param], _Receive], _Receive] | None = None,
    result: Callable[[OutgoingCall[_Param], _Result], _Result] | None = None,
) -> Hook: ...
def hook_for(procedure: Procedure, /, wrap: object = None, **functions: object) -> Hook:
    """Make a hook for one procedure, with its exact types.

    Args:
        procedure: The constant of the generated package.
        wrap: As ``Hook.wrap`` for requests and events, ``Hook.wrap_stream`` for streams and channels.
        functions: ``send``, ``receive`` and ``result``: as the methods of ``Hook``.

    Raises:
        UsageError: The procedure is none, or has no such items.
    """
    takes = _FUNCTIONS.get(getattr(procedure, "kind", ""))
    if takes is None:
        raise UsageError(f"hook_for: the first argument must be a procedure; got {procedure!r}")
    given = {name: each for name, each in {"wrap": wrap, **functions}.items() if each is not None}
    require_known(f"hook_for: a hook for {procedure!r}", given, takes, {})
    if not given:
        raise UsageError(
            f"hook_for: pass a function for {procedure!r}: {', '.join(takes)}; got none"
        )
    hook = _ProcedureHook(procedure, {takes[name]: each for name, each in given.items()})
    require_hooks([hook])
    return hook


_FUNCTIONS: Final[Mapping[str, Mapping[str, str]]] = {  # the name of each argument's method
    "event": {"wrap": "wrap"},
    "request": {"wrap": "wrap"},
    "stream": {"wrap": "wrap_stream", "receive": "receive", "result": "result"},
    "channel": {"wrap": "wrap_stream", "send": "send", "receive": "receive", "result": "result"},
}


def overriding(hooks: Sequence[Hook], name: str, procedure: Procedure) -> list[Callable[..., Any]]:
    """Return a method of the hooks that override it and apply to a procedure, the outermost first."""
    default = vars(Hook)[name]
    methods = [getattr(hook, name) for hook in hooks if hook.applies_to(procedure)]
    return [each for each in methods if getattr(each, "__func__", None) is not default]


def require_hooks(hooks: Sequence[Hook]) -> None:
    """Raise UsageError unless a value is a list of hooks, whose methods are asynchronous or not, as those of the class."""
    require_instances("hooks", hooks, Hook)
    for hook in hooks:
        for name in ("wrap", "send", "receive", "result"):
            method = getattr(hook, name)
            if not callable(method):
                raise UsageError(f"{hook!r}: {name} must be a function; got {method!r}")
            if name != "wrap" and iscoroutinefunction(method):
                raise UsageError(f"{hook!r}: {name} must not be async, since it is not awaited")
        require_block_maker(f"{hook!r}: wrap_stream", hook.wrap_stream)
