"""The reserved request ``enkaku:login``, by which a client proves who it is, for all later calls of its connection.

Its metadata is the proof. The result has the ``id`` of the identity, and in how many seconds the login expires (``expires_in``), so that
the clocks of the two sides need not agree.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from enkaku.procedures import Request

from .callers import Identity

__all__ = ["LOGIN", "LOGIN_REQUEST", "LoginReply", "describe_login", "seconds_left"]

LoginReply: TypeAlias = dict[str, object]

LOGIN: Final = "enkaku:login"
LOGIN_REQUEST: Final = Request[None, LoginReply](LOGIN, result=LoginReply)

_LONGEST: Final = 1e9  # seconds: about thirty years


def describe_login(identity: Identity, now: float) -> LoginReply:
    """Return the result of a login: who has logged in, and for how long."""
    if identity.expires is None:
        return {"id": identity.id}
    return {"id": identity.id, "expires_in": min(max(0.0, identity.expires - now), _LONGEST)}


def seconds_left(reply: Mapping[str, object]) -> float | None:
    """Return in how many seconds a login expires, by its result; None if it does not."""
    seconds = reply.get("expires_in")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    return float(min(max(0, seconds), _LONGEST))
