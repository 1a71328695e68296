"""The HTTP request by which a client has reached a server: over HTTP, or for a WebSocket's handshake."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import cast

from enkaku.errors import UsageError

__all__ = ["HttpRequest"]


class HttpRequest:
    """The HTTP request of a client, as the ASGI server got it. It cannot be changed.

    Over WebSocket it is the handshake. Its headers can hold secrets, which its ``repr`` leaves out.

    Args:
        scope: The scope of ASGI.
        proof_headers: The headers that may prove who calls, in lower case; None means all.
    """

    __slots__ = ("_headers", "_proof_headers", "_scope")

    def __init__(
        self, scope: Mapping[str, object], proof_headers: Collection[str] | None = None
    ) -> None:
        self._scope = scope
        self._headers: Mapping[str, str] | None = None
        self._proof_headers = proof_headers

    @property
    def client(self) -> tuple[str, int] | None:
        """The address and the port of the client, or of the proxy before this server; None if they are not known."""
        match self._scope.get("client"):
            case [str(host), int(port)]:
                return host, port
            case _:
                return None

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers. Names are case-insensitive; the values of a repeated one are joined by ``", "``."""
        if self._headers is None:
            pairs = self._scope.get("headers", ())
            self._headers = _Headers(cast(Iterable[tuple[bytes, bytes]], pairs))
        return self._headers

    @property
    def proofs(self) -> Mapping[str, str]:
        """The headers that may prove who calls, as the app allows them. To look up another one raises UsageError."""
        allowed = self._proof_headers
        return self.headers if allowed is None else _Proofs(self.headers, allowed)

    @property
    def path(self) -> str:
        """The path of the URL, decoded, such as ``"/rpc"``."""
        path = self._scope.get("path")
        return path if isinstance(path, str) else ""

    @property
    def scope(self) -> Mapping[str, object]:
        """The scope of ASGI, as the server made it."""
        return self._scope

    def __repr__(self) -> str:
        return f"<HTTP request for {self.path!r} from {self.client}>"


class _Proofs(Mapping[str, str]):
    """The allowed ones of some headers."""

    __slots__ = ("_allowed", "_headers")

    def __init__(self, headers: Mapping[str, str], allowed: Collection[str]) -> None:
        self._headers = headers
        self._allowed = allowed

    def __getitem__(self, name: str) -> str:
        if name.lower() not in self._allowed:
            raise UsageError(
                f"proof_headers: {name!r} is not among the headers that may prove who calls "
                f"({', '.join(sorted(self._allowed)) or 'none'}); name it in this option of the app"
            )
        return self._headers[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._headers if name in self._allowed)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<headers {', '.join(self)}>"


class _Headers(Mapping[str, str]):
    """Headers with case-insensitive names, which iterate in lower case."""

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        values: dict[str, str] = {}
        for raw_name, raw_value in pairs:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            if name in values:
                # HTTP/2 may split the cookies, which are no list with commas.
                value = f"{values[name]}{'; ' if name == 'cookie' else ', '}{value}"
            values[name] = value
        self._values = values

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<headers {', '.join(self._values)}>"
