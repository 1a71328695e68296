"""Capabilities: tokens by which one key lets another call procedures in its name (delegation).

A capability says: ``iss`` grants to ``aud``, in the name of ``sub``, the actions ``act`` (patterns of procedures) on the resources
``res`` (names of servers). Who was granted something may grant a part of it to others. The caller sends the chain of all
capabilities in between: the one granted to it first, that of ``sub`` itself last.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from enkaku._checks import require_seconds, require_text
from enkaku._json import dump_json
from enkaku.errors import Rejected, UsageError

from .keys import KeyPair, require_name
from .patterns import covers, require_pattern
from .tokens import (
    EXPIRED,
    NAME_MAX,
    denied,
    read_parts,
    require_signature,
    require_times,
    sign,
    signing_input,
    strict_object,
)

__all__ = [
    "Capability",
    "Delegations",
    "delegate",
    "read_capability",
    "read_chain",
    "require_small",
]

_LINKS_MAX: Final = 4
_SIZE_MAX: Final = 8192
_REMEMBERED: Final = 1000
_LEEWAY: Final = 5.0
_NOT_THREE_PARTS: Final = "Invalid token format: expected 3 parts separated by dots"
_NO_CAPABILITY: Final = "Invalid token: not a capability"

_Name = Annotated[str, Meta(max_length=NAME_MAX)]


class Capability(Struct, frozen=True):
    """A capability whose signature was checked.

    Attributes:
        iss: Who grants.
        aud: To whom.
        sub: In whose name ``aud`` may call.
        act: The procedures: a pattern, or several.
        res: The servers: a name, several, or ``"*"``.
        exp: The second after which it is not valid.
        nbf: The second before which it is not valid.
        iat: The second in which it was made.
        jti: An id.
    """

    iss: _Name
    aud: _Name
    sub: _Name
    act: str | list[str]
    res: str | list[str]
    exp: float | UnsetType = UNSET
    nbf: float | UnsetType = UNSET
    iat: float | UnsetType = UNSET
    jti: str | UnsetType = UNSET

    @property
    def actions(self) -> tuple[str, ...]:
        """The patterns in ``act``."""
        return (self.act,) if isinstance(self.act, str) else tuple(self.act)

    @property
    def resources(self) -> tuple[str, ...]:
        """The names in ``res``."""
        return (self.res,) if isinstance(self.res, str) else tuple(self.res)

    @property
    def ends(self) -> float:
        """When it expires; never, that is infinity, without ``exp``."""
        return float("inf") if self.exp is UNSET else self.exp

    def grants(self, actions: Sequence[str], resources: Sequence[str]) -> bool:
        """Return whether it grants each of some actions on each of some resources."""
        return all(any(covers(own, wanted) for own in self.actions) for wanted in actions) and all(
            any(covers(own, wanted) for own in self.resources) for wanted in resources
        )


class _Header(Struct):
    typ: str
    alg: str


def require_small(capabilities: Sequence[str]) -> None:
    """Raise Rejected for a chain of more than 4 capabilities, or of more than 8 KiB: before any signature is checked."""
    if len(capabilities) > _LINKS_MAX:
        raise denied(f"Invalid capability: more than {_LINKS_MAX} links")
    if sum(map(len, capabilities)) > _SIZE_MAX:
        raise denied(f"Invalid capability: more than {_SIZE_MAX} bytes")


def read_capability(text: str, now: float) -> Capability:
    """Check the signature and the times of a capability, and return what it says.

    Args:
        text: The capability: three parts of base64url, separated by dots.
        now: The time, in seconds.

    Raises:
        Rejected: It is no capability, or not valid.
    """
    if text.count(".") != 2:
        raise denied(_NOT_THREE_PARTS)
    data, _, signature = text.rpartition(".")
    try:
        parts = read_parts(data)
        header = msgspec.convert(strict_object(parts.header), _Header)
        capability = msgspec.convert(strict_object(parts.payload), Capability)
    except (msgspec.MsgspecError, ValueError):
        raise denied(_NO_CAPABILITY) from None
    if header.typ != "JWT":
        raise denied(_NO_CAPABILITY)
    require_signature(capability.iss, header.alg, data, signature)
    nbf = None if capability.nbf is UNSET else capability.nbf
    require_times(capability.ends, nbf, now)
    if capability.iat is not UNSET and capability.iat > now + _LEEWAY:
        raise denied("Invalid token: issued in the future")
    return capability


def read_chain(texts: Sequence[str], now: float, *, unlimited: bool) -> tuple[Capability, ...]:
    """Check that each capability of a chain was granted by who could grant it, and return them.

    Args:
        texts: The capabilities: the one granted to the caller first, that of the subject itself last.
        now: The time, in seconds.
        unlimited: Whether capabilities without ``exp`` are accepted.

    Raises:
        Rejected: The chain is not valid; the text says why.
    """
    if not texts:
        raise denied("Invalid payload: no capability")
    require_small(texts)
    chain = tuple(read_capability(text, now) for text in texts)
    for link in chain:
        if link.exp is UNSET and not unlimited:
            raise denied("Invalid capability: it never expires")
    for link, parent in pairwise(chain):
        _require_within(link, parent)
    if chain[-1].iss != chain[-1].sub:
        raise denied("Invalid capability: issuer should be subject")
    return chain


class Delegations:
    """Checks chains of capabilities, and remembers those whose signatures it has checked.

    Args:
        unlimited: Whether capabilities without ``exp``, which never expire, are accepted.
        revoked: Is asked for each capability of each call whether it was revoked.
        clock: Returns the time in seconds.
        remembered: How many chains are remembered.
    """

    def __init__(
        self,
        *,
        unlimited: bool = False,
        revoked: Callable[[Capability], bool] | None = None,
        clock: Callable[[], float] = time.time,
        remembered: int = _REMEMBERED,
    ) -> None:
        self._unlimited: Final = unlimited
        self._revoked: Final = revoked
        self._clock: Final = clock
        self._most: Final = remembered
        self._chains: Final[OrderedDict[tuple[str, ...], tuple[Capability, ...]]] = OrderedDict()

    @property
    def remembered(self) -> int:
        """How many chains are remembered."""
        return len(self._chains)

    def check(self, capabilities: Sequence[str], *, iss: str, sub: str, act: str, res: str) -> None:
        """Check that a caller may call a procedure in another's name.

        Args:
            capabilities: The chain, as text: the capability granted to the caller first.
            iss: The caller.
            sub: In whose name it calls.
            act: The procedure.
            res: The server.

        Raises:
            Rejected: It may not; the text says why.
        """
        chain = self._verified(tuple(capabilities))
        if chain[0].aud != iss:
            raise denied("Invalid capability: audience mismatch")
        if chain[0].sub != sub:
            raise denied("Invalid capability: subject mismatch")
        if not chain[0].grants((act,), (res,)):
            raise denied("Invalid capability: permission mismatch")
        if self._revoked is not None and any(map(self._revoked, chain)):
            raise denied("Invalid capability: revoked")

    def _verified(self, texts: tuple[str, ...]) -> tuple[Capability, ...]:
        now = self._clock()
        chain = self._chains.get(texts)
        if chain is not None:
            if min(link.ends for link in chain) < int(now):
                del self._chains[texts]
                raise denied(EXPIRED)
            self._chains.move_to_end(texts)
            return chain
        chain = read_chain(texts, now, unlimited=self._unlimited)
        self._chains[texts] = chain
        if len(self._chains) > self._most:
            self._chains.popitem(last=False)
        return chain


def _require_within(link: Capability, parent: Capability) -> None:
    """Check that a capability grants no more than the one that it was made from, and no longer."""
    if parent.aud != link.iss:
        raise denied("Invalid capability: audience mismatch")
    if parent.sub != link.sub:
        raise denied("Invalid capability: subject mismatch")
    if not parent.grants(link.actions, link.resources):
        raise denied("Invalid capability: permission mismatch")
    if link.ends > parent.ends:
        raise denied("Invalid capability: it outlives its parent")


def delegate(
    key: KeyPair,
    *,
    to: str,
    act: str | Sequence[str],
    res: str | Sequence[str],
    expires_in: float,
    parent: str | None = None,
) -> str:
    """Make a capability: let another key call procedures in this key's name, or in that of the parent's subject.

    Args:
        key: Signs it.
        to: The name of the other key: ``"did:key:..."``.
        act: The procedures: a name or a pattern such as ``"math/*"``, or several.
        res: The servers: the name of a server's key, ``"*"`` for all, or several names.
        expires_in: How long it is valid, in seconds.
        parent: The capability by which ``key`` may itself call, as text. The new one may not grant more, and not for longer.

    Returns:
        The capability as text. The caller sends it, and then its parents, in ``cap``.

    Raises:
        UsageError: An argument is invalid, or the parent does not grant that.
    """
    _require_name("to", to)
    require_seconds("expires_in", expires_in)
    actions, resources = _strings("act", act), _strings("res", res)
    for each in resources:
        if each != "*":
            _require_name("res", each)
    for pattern in actions:
        try:
            require_pattern(pattern, strict=True)
        except ValueError as error:
            raise UsageError(f"act: {error}") from None
    now = time.time()
    capability = Capability(
        iss=key.did,
        aud=to,
        sub=key.did,
        act=actions[0] if len(actions) == 1 else actions,
        res=resources[0] if len(resources) == 1 else resources,
        exp=int(now + expires_in),
        iat=int(now),
    )
    if parent is not None:
        try:
            granted = read_capability(parent, now)
            capability = msgspec.structs.replace(capability, sub=granted.sub)
            _require_within(capability, granted)
        except Rejected as error:
            raise UsageError(f"delegate: the parent does not grant that: {error.message}") from None
    header = dump_json({"alg": key.alg, "typ": "JWT"})
    data = signing_input(header, msgspec.json.encode(capability))
    return f"{data}.{sign(key, data)}"


def _require_name(name: str, did: str) -> None:
    """Raise UsageError for what is no name; those of other methods than ``did:key`` are not read."""
    require_text(name, did)
    if did.startswith("did:key:") or not did.startswith("did:"):
        require_name(name, did)


def _strings(name: str, value: str | Sequence[str]) -> list[str]:
    values = [value] if isinstance(value, str) else list(value)
    if not values:
        raise UsageError(f"{name} must have at least one string")
    for each in values:
        require_text(name, each)
    return values
