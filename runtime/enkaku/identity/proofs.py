"""Who calls, by what a signed message proves; and whether a later message of a call comes from who opened it."""

from typing import Final, NamedTuple

from msgspec import UNSET

from enkaku.errors import Rejected

from .capabilities import Delegations
from .messages import Claims
from .tokens import EXPIRED, NOT_YET_VALID, denied

__all__ = ["ACCESS_DENIED", "Caller", "prove", "require_opener"]

ACCESS_DENIED: Final = "Access denied"
_WRONG_AUDIENCE: Final = "Invalid audience"
_NOT_OPENER: Final = {
    "send": "Send issuer does not match channel owner",
    "abort": "Abort issuer does not match owner",
}


class Caller(NamedTuple):
    """Who calls.

    Attributes:
        id: The name of the key that signed.
        subject: In whose name: proven by delegation; else the same as ``id``.
        unrestricted: Whether access rules do not apply: to the server's own key, and to whom it has delegated the procedure.
    """

    id: str
    subject: str
    unrestricted: bool = False


def prove(claims: Claims, *, procedure: str, server: str, delegations: Delegations) -> Caller:
    """Return who sends a message that opens a call, or an event.

    Args:
        claims: The claims of the message, whose signature was checked.
        procedure: The procedure that it names.
        server: The name of the server's own key.
        delegations: Checks capabilities.

    Raises:
        Rejected: The message is for another server, or claims a subject without a proof.
    """
    own = server in {claims.iss, claims.sub}
    if claims.aud != server and not (own and claims.aud is UNSET):
        raise denied(_WRONG_AUDIENCE)
    if claims.iss == server:
        return Caller(server, server, unrestricted=True)
    if claims.sub is UNSET or claims.sub == claims.iss:
        return Caller(claims.iss, claims.iss)
    try:
        delegations.check(
            claims.capabilities, iss=claims.iss, sub=claims.sub, act=procedure, res=server
        )
    except Rejected as error:
        # As the TypeScript implementation: what is wrong with a chain is only said about those of the server itself.
        if own or error.message in {EXPIRED, NOT_YET_VALID}:
            raise
        raise denied(ACCESS_DENIED) from error
    return Caller(claims.iss, claims.sub, unrestricted=own)


def require_opener(claims: Claims, typ: str, *, opener: str, server: str) -> None:
    """Check that a later message of a call comes from who opened it, and is for this server.

    Args:
        claims: The claims of the message, whose signature was checked.
        typ: Its type: ``"send"``, ``"abort"``, or an extension's.
        opener: ``Caller.id`` of the call.
        server: The name of the server's own key.

    Raises:
        Rejected: It does not. The error is for the sender; it must not end the call.
    """
    if claims.iss != opener:
        raise denied(_NOT_OPENER.get(typ, ACCESS_DENIED))
    if claims.aud != server and claims.aud is not UNSET:
        raise denied(_WRONG_AUDIENCE)
