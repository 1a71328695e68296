"""Access of web pages: which origins and host names may use an app, over HTTP and over WebSocket.

A browser sends the header ``Origin`` with what a page does, and lets the page read the answer if CORS headers allow it. The
header ``Host`` is the name by which the client has reached the server: a page that made its own name point to this
machine (DNS rebinding) cannot hide that name. Programs that are no browsers send no ``Origin``, and are not restricted.
"""

import re
from collections.abc import Collection
from ipaddress import AddressValueError, IPv6Address
from typing import Final, Literal, TypeAlias

from enkaku._checks import require_list, require_text
from enkaku.errors import UsageError
from enkaku.transports.asgi import Header

__all__ = ["Access", "Origins", "needs_preflight"]

Origins: TypeAlias = Collection[str] | Literal["*", "same"] | None
"""Origins of web pages, such as ``["https://example.com"]``; ``"same"`` is that of the app's own host, ``"*"`` any."""

_VARY: Final[Header] = (b"vary", b"Origin")
_CORS: Final[tuple[Header, ...]] = (
    (b"access-control-allow-methods", b"POST, OPTIONS"),
    (
        b"access-control-allow-headers",
        (
            b"Authorization, Content-Type, enkaku-session-id, enkaku-ext, enkaku-resume, "
            b"traceparent, tracestate"
        ),
    ),
    (b"access-control-expose-headers", b"enkaku-session-id, enkaku-ext, enkaku-resume"),
    (b"access-control-max-age", b"86400"),
    _VARY,
)
_TYPES: Final = frozenset({b"application/json", b"application/x-ndjson"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PORT_MAX: Final = 65_535
_EXAMPLE: Final = "'https://example.com'"

_URL: Final = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*)://)?(?:[^/?#]*@)?([^/?#@]*)(?:[/?#].*)?")
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+)(?::([0-9]*))?")
_NAME: Final = re.compile(r"[a-z0-9._~!$&'()+,;=-]+")


class Access:
    """Which web pages and host names may use an app.

    Args:
        origins: The origins of web pages that may; None and an empty list are none.
        hosts: The host names by which clients may reach the app, such as ``"example.com"`` for any port, or
            ``"example.com:8000"``; None is any.

    Attributes:
        refusal_headers: The headers of an answer to a page that may not.

    Raises:
        UsageError: An origin is one that no browser sends, or a host name is not valid.
    """

    __slots__ = ("_any_origin", "_hosts", "_listed", "_same", "refusal_headers")

    def __init__(self, origins: Origins = None, hosts: Collection[str] | None = None) -> None:
        if isinstance(origins, str) and origins not in ("*", "same"):
            raise UsageError(f"origins must be a list, '*' or 'same'; got {origins!r}")
        self._any_origin: Final = origins == "*"
        self._same: Final = origins == "same"
        self._listed: Final[frozenset[str]] = (
            frozenset() if isinstance(origins, str) else _listed(origins or ())
        )
        self._hosts: Final = None if hosts is None else _hosts(hosts)
        configured = self._any_origin or self._same or bool(self._listed)
        self.refusal_headers: Final[tuple[Header, ...]] = (_VARY,) if configured else ()

    def allows_host(self, host: bytes | None) -> bool:
        """Return whether clients may reach the app by a host name.

        Args:
            host: The header ``Host``; None if there is none.
        """
        if self._hosts is None:
            return True
        named = None if host is None else _split(host.decode("latin-1"))
        if named is None:
            return False
        name, port = named
        if (name, None) in self._hosts or named in self._hosts:
            return True
        return port is None and any((name, each) in self._hosts for each in _DEFAULT_PORTS.values())

    def allows_origin(
        self, origin: bytes | None, host: bytes | None, *, secure: bool = False
    ) -> bool:
        """Return whether a page of an origin may use the app; True for clients that are no browsers.

        Args:
            origin: The header ``Origin``; None if there is none.
            host: The header ``Host``; None if there is none.
            secure: Whether the connection is known to use TLS. Behind a proxy it is not.
        """
        if origin is None:
            return True
        text = origin.decode("latin-1")
        if not self._any_origin and not self._same:
            return text in self._listed
        scheme, _, authority = text.partition("://")
        page = _split(authority) if scheme in _DEFAULT_PORTS else None
        if page is None or self._any_origin:
            return page is not None
        return not (secure and scheme == "http") and _is_same(scheme, page, host)

    def cors_headers(self, origin: bytes | None) -> list[Header]:
        """Return the headers of an answer that let a page read it, for an origin that is allowed.

        Args:
            origin: The header ``Origin``; None if there is none.
        """
        if origin is None:
            if not self._any_origin:
                return list(self.refusal_headers)
            origin = b"*"
        return [(b"access-control-allow-origin", origin), *_CORS]


def needs_preflight(content_type: bytes | None) -> bool:
    """Return whether a browser asks before a page of another origin sends a body of a type: one of Enkaku's.

    Without this check, a page could send a message as ``text/plain``, which browsers allow without asking.
    """
    if content_type is None:
        return False
    return content_type.partition(b";")[0].strip().lower() in _TYPES


def _is_same(scheme: str, page: tuple[str, int | None], host: bytes | None) -> bool:
    """Return whether an origin is that of the host; without a port, each is at the default port of the scheme."""
    own = None if host is None else _split(host.decode("latin-1"))
    if own is None or own[0] != page[0]:
        return False
    default = _DEFAULT_PORTS[scheme]
    return (default if own[1] is None else own[1]) == (default if page[1] is None else page[1])


def _listed(origins: Collection[str]) -> frozenset[str]:
    require_list("origins", origins)
    for origin in origins:
        require_text("origins", origin)
        if origin == "null":  # of sandboxed frames and local files
            continue
        if origin in ("*", "same"):
            raise UsageError(f"origins: {origin!r} is not one of a list: write origins={origin!r}")
        written = _as_browsers_write(origin)
        if written is None:
            raise UsageError(
                f"origins: {origin!r} is not an origin: write scheme and host, such as {_EXAMPLE}"
            )
        if written != origin:
            raise UsageError(f"origins: no browser sends {origin!r}: write {written!r}")
    return frozenset(origins)


def _hosts(hosts: Collection[str]) -> frozenset[tuple[str, int | None]]:
    require_list("hosts", hosts)
    if not hosts:
        raise UsageError("hosts is empty, which allows no client: None allows any host name")
    split: set[tuple[str, int | None]] = set()
    for host in hosts:
        require_text("hosts", host)
        named = _split(_punycode(host))
        if named is None:
            raise UsageError(
                f"hosts: {host!r} is not a host name: write it without scheme and path, such as "
                "'example.com', 'example.com:8000' or '[::1]'"
            )
        split.add(named)
    return frozenset(split)


def _as_browsers_write(url: str) -> str | None:
    """Return the origin of a URL as browsers write it; None if it has none. Without a scheme, it is https."""
    parts = _URL.fullmatch(url)
    named = None if parts is None else _split(_punycode(parts[2]))
    if parts is None or named is None:
        return None
    scheme = (parts[1] or "https").lower()
    name, port = named
    default = port is None or port == _DEFAULT_PORTS.get(scheme)
    return f"{scheme}://{name}" if default else f"{scheme}://{name}:{port}"


def _split(authority: str) -> tuple[str, int | None] | None:
    """Return the name of a host as browsers write it, and its port; None if it is not valid."""
    parts = _HOST.fullmatch(authority)
    if parts is None:
        return None
    name = _address(parts[1]) if parts[1].startswith("[") else _name(parts[1])
    port = int(parts[2][-9:]) if parts[2] else None
    if name is None or (port is not None and port > _PORT_MAX):
        return None
    return name, port


def _address(bracketed: str) -> str | None:
    try:
        address = IPv6Address(bracketed[1:-1])
    except AddressValueError:
        return None
    mapped = address.ipv4_mapped
    if mapped is not None:  # browsers write it in hexadecimal, and Python since 3.13 does not
        return f"[::ffff:{int(mapped) >> 16:x}:{int(mapped) & 0xFFFF:x}]"
    return f"[{address.compressed}]"


def _name(name: str) -> str | None:
    lower = name.lower()
    return lower if _NAME.fullmatch(lower) else None


def _punycode(authority: str) -> str:
    """Return a host of the program as browsers write it; those of clients have no other characters than ASCII."""
    try:
        return authority if authority.isascii() else authority.encode("idna").decode("ascii")
    except UnicodeError:
        return ""
