"""Identities: who is at the other end of a call or a connection, and how that was proven."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

__all__ = ["Identity", "ids_of"]

_NO_CLAIMS: Final[Mapping[str, object]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls, as a proof has shown: a signature, a token, a TLS certificate, or the operating system.

    Attributes:
        id: Names the proof and whom it proves: ``did:key:...``, ``unix:<uid>``, ``tls:sha256:<fingerprint>``,
            ``jwt:<issuer>#<sub>``, or ``<name>:...`` for an authenticator that is registered under a name.
        method: The kind of proof: ``"did:key"``, ``"unix"``, ``"tls"``, or the name of the authenticator, such as ``"jwt"``.
        claims: What the proof says in addition, such as the claims of a token, or the subject of a certificate.
        subject: In whose name a delegated call comes, as its capabilities prove; else the same as ``id``.
        expires: The second since the epoch after which it is not valid; None if it does not expire.
    """

    id: str
    method: str
    claims: Mapping[str, object] = field(default_factory=lambda: _NO_CLAIMS, repr=False, hash=False)
    subject: str = ""
    expires: float | None = None

    def __post_init__(self) -> None:
        if not self.subject:
            object.__setattr__(self, "subject", self.id)


def ids_of(identities: Sequence[Identity]) -> frozenset[str]:
    """Return the ids and the subjects of identities: what the sets of access rules are compared with."""
    return frozenset(name for each in identities for name in (each.id, each.subject))
