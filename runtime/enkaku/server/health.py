"""Health of a server: whether clients should send it calls, as a whole and by parts that the program names.

As in gRPC's health checking, the server and its parts are independent: a part that does not serve changes neither the others nor
the server. While the server starts or stops, nothing serves, whatever the program has set. Unlike there, a part that was never set
does not serve, where gRPC has an error: so nobody can find out which parts there are. There is no ``Watch``: probes ask again.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from enkaku._checks import require_text
from enkaku.errors import UsageError

__all__ = ["HEALTH", "PROBE_MAX", "Health", "HealthState", "part_of"]

HEALTH: Final = "enkaku:health"
"""The reserved request that every server answers."""

PROBE_MAX: Final = 1024
"""Bytes that a request for the health, or its param, may have."""

HealthState: TypeAlias = Literal["starting", "serving", "not serving", "stopping"]

_PARTS_MAX: Final = 100
_NAME_MAX: Final = 128
_REASON_MAX: Final = 500
_UNKNOWN: Final = "the server has no part of this name"


class _Set(NamedTuple):
    """What the program has set."""

    serving: bool
    reason: str

    def describe(self) -> dict[str, object]:
        return {"serving": self.serving, **({"reason": self.reason} if self.reason else {})}


class Health:
    """Whether a server serves; ``server.health``.

    It serves from its start to its stop, unless the program has set something else.

    Args:
        is_stopping: Returns whether the server stops, or drains.
    """

    def __init__(self, is_stopping: Callable[[], bool]) -> None:
        self._is_stopping: Final = is_stopping
        self._is_started = False
        self._whole = _Set(serving=True, reason="")
        self._parts: dict[str, _Set] = {}
        self._on_change: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<health: {self.state}>"

    @property
    def state(self) -> HealthState:
        """``"starting"``, ``"serving"``, ``"not serving"`` (the program has set that) or ``"stopping"``; of the whole server."""
        if self._is_stopping():
            return "stopping"
        if not self._is_started:
            return "starting"
        return "serving" if self._whole.serving else "not serving"

    @property
    def reason(self) -> str:
        """Why the server does not serve, as the program has set it, or ``""``."""
        return self._whole.reason

    def is_serving(self, part: str = "") -> bool:
        """Return whether the server serves; or whether a part does, while the server neither starts nor stops."""
        return self._check(part).serving

    def set(self, part: str = "", *, serving: bool, reason: str = "") -> None:
        """Set whether the server, or a part of it, serves.

        Args:
            part: A name, such as ``"database"``, of at most 128 characters; ``""`` is the whole server. A server has at most
                100 parts.
            serving: Whether it serves.
            reason: Why not; only those see it who may call ``enkaku:health``. At most 500 characters are kept.

        Raises:
            UsageError: An argument is not valid, or there are too many parts.
        """
        require_text("health.set: part", part)
        require_text("health.set: reason", reason)
        if type(serving) is not bool:
            raise UsageError(f"health.set: serving must be True or False; got {serving!r}")
        state = _Set(serving, reason[:_REASON_MAX])
        if not part:
            self._whole = state
        elif len(part) > _NAME_MAX:
            raise UsageError(
                f"health.set: part must be a name of at most {_NAME_MAX} characters; got {len(part)}"
            )
        elif part not in self._parts and len(self._parts) >= _PARTS_MAX:
            raise UsageError(f"health.set: a server has at most {_PARTS_MAX} parts")
        else:
            self._parts[part] = state
        self.changed()

    def started(self) -> None:
        """Handle that the server has started. Called by who runs it."""
        self._is_started = True
        self.changed()

    def changed(self) -> None:
        """Handle that the state may have changed."""
        if self._on_change is not None:
            self._on_change()

    def watch(self, on_change: Callable[[], None] | None) -> None:
        """Call a function whenever the state may have changed; None ends that. Called by the server."""
        self._on_change = on_change

    def describe(self, part: str, *, detailed: bool) -> dict[str, object]:
        """Return the answer to a request.

        Args:
            part: The name of a part; ``""`` is the whole server.
            detailed: Whether the caller may know more than whether it serves.
        """
        found = self._check(part)
        if not detailed:
            return {"serving": found.serving}
        if part:
            return found.describe()
        parts = {name: self._check(name).describe() for name in self._parts}
        return {**found.describe(), "state": self.state, **({"parts": parts} if parts else {})}

    def _check(self, part: str) -> _Set:
        state = self.state
        if state in ("starting", "stopping"):
            return _Set(serving=False, reason=f"the server is {state}")
        return self._parts.get(part, _Set(serving=False, reason=_UNKNOWN)) if part else self._whole


class _Param(msgspec.Struct):
    part: str = ""


_param: Final = msgspec.json.Decoder(_Param)


def part_of(param: bytes) -> str | None:
    """Return which part a request asks for, by its param; ``""`` is the whole server, None if the param is not valid."""
    if not param:
        return ""
    if len(param) > PROBE_MAX:
        return None
    try:
        return _param.decode(param).part
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
