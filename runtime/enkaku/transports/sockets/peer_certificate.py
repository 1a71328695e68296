"""The certificate of the other end of a TLS connection, read by the standard library."""

import ssl
from collections.abc import Mapping
from hashlib import sha256
from typing import Final, TypeAlias, cast

from enkaku.transports.base import Certificate

__all__ = ["peer_certificate"]

_Name: TypeAlias = tuple[
    tuple[tuple[str, str], ...], ...
]  # relative names, each of one or more attributes

# RFC 4514, 3; other attributes keep the name, or the number, that OpenSSL knows them by.
_SHORT: Final = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
_SPECIAL: Final = frozenset('"+,;<>\\')
_KINDS: Final = {"DNS": "DNS", "URI": "URI", "email": "email", "IP Address": "IP"}


def peer_certificate(tls: ssl.SSLObject) -> Certificate | None:
    """Return the certificate of the other end after the handshake; None if there is none, or it was not verified.

    Raises:
        ValueError: The certificate has a string or a time that cannot be read.
    """
    if tls.context.verify_mode is ssl.CERT_NONE:
        return None
    der = tls.getpeercert(binary_form=True)
    if der is None:
        return None
    found = cast(Mapping[str, object], tls.getpeercert())
    names = cast("tuple[tuple[str, object], ...]", found.get("subjectAltName", ()))
    return Certificate(
        subject=_join(cast(_Name, found["subject"])),
        issuer=_join(cast(_Name, found["issuer"])),
        sans=tuple(f"{_KINDS[kind]}:{name}" for kind, name in names if kind in _KINDS),
        fingerprint=sha256(der).hexdigest(),
        not_before=ssl.cert_time_to_seconds(cast(str, found["notBefore"])),
        not_after=ssl.cert_time_to_seconds(cast(str, found["notAfter"])),
    )


def _join(name: _Name) -> str:
    """Return a name as RFC 4514 writes it, the last part first, so that no two names give one string."""
    return ",".join(
        "+".join(f"{_SHORT.get(kind, kind)}={_escape(value)}" for kind, value in part)
        for part in reversed(name)
    )


def _escape(value: str) -> str:
    last = len(value) - 1
    return "".join(
        (
            "".join(f"\\{byte:02x}" for byte in char.encode())
            if not char.isprintable()
            else (
                f"\\{char}"
                if char in _SPECIAL
                or (char == " " and at in (0, last))
                or (char == "#" and at == 0)
                else char
            )
        )
        for at, char in enumerate(value)
    )
