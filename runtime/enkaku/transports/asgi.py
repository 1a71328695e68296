"""The types of ASGI 3.0, the interface between Python web servers and apps, and what a scope says of a client."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import TypeAlias, cast

__all__ = ["AsgiReceive", "AsgiSend", "Event", "Header", "Scope", "peer_of"]

Scope: TypeAlias = MutableMapping[str, object]
"""What an ASGI server says of a connection or a request."""
Event: TypeAlias = MutableMapping[str, object]
"""An event of a connection or a request."""
AsgiReceive: TypeAlias = Callable[[], Awaitable[Event]]
"""Waits for the next event of the client."""
AsgiSend: TypeAlias = Callable[[Event], Awaitable[None]]
"""Sends an event to the client."""
Header: TypeAlias = tuple[bytes, bytes]
"""A header: its name in lower case, and its value."""


def peer_of(scope: Scope, transport: str) -> str:
    """Return the name of a client, such as ``"http:127.0.0.1:53122"``, for log lines and error messages."""
    match cast(Sequence[object] | None, scope.get("client")):
        case [host, port, *_]:
            return f"{transport}:{host}:{port}"
        case _:
            return f"a client over {transport}"
