"""One HTTP request and its response, in an ASGI server (ASGI 3.0, section "HTTP")."""

import json
from collections.abc import Iterable, Sequence
from typing import Final, cast

from enkaku.transports.asgi import AsgiReceive, AsgiSend, Header, Scope

__all__ = ["Exchange", "json_headers"]

_DIGITS: Final = 20  # more than any size has
_JSON: Final = (b"content-type", b"application/json")


class Exchange:
    """A request, and the response to it.

    Args:
        scope: The ASGI scope.
        receive: Waits for the next event.
        send: Sends an event.

    Attributes:
        receive: Waits for the next event.
        method: The method of the request.
        headers: Its headers, by names in lower case.
        answer_headers: Headers of every response, whatever it is.
        secure: Whether the ASGI server speaks TLS.
        started: Whether the response has begun.
    """

    __slots__ = ("_send", "answer_headers", "headers", "method", "receive", "secure", "started")

    def __init__(self, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        self.method: Final = cast(str, scope["method"])
        self.headers: Final[dict[bytes, bytes]] = dict(
            cast(Iterable[Header], scope.get("headers", ()))
        )
        self.secure: Final = scope.get("scheme") == "https"
        self.answer_headers: Sequence[Header] = ()
        self.started = False
        self.receive: Final = receive
        self._send: Final = send

    def announced_size(self) -> int:
        """Return the size of the body that the request announces; 0 where it announces none, or no number."""
        size = self.headers.get(b"content-length", b"")
        return int(size) if size.isdigit() and len(size) < _DIGITS else 0

    async def part(self) -> tuple[bytes, bool]:
        """Wait for the next part of the body.

        Returns:
            The part, and whether more follow.

        Raises:
            ConnectionResetError: The client has left.
        """
        event = await self.receive()
        if event["type"] != "http.request":
            raise ConnectionResetError("the client has left before its request was complete")
        return cast(bytes, event.get("body", b"")), bool(event.get("more_body", False))

    async def disconnected(self) -> None:
        """Wait until the client has left."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def start(self, status: int, headers: Iterable[Header] = ()) -> None:
        """Send the status and the headers."""
        self.started = True
        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*headers, *self.answer_headers],
            }
        )

    async def write(self, data: bytes) -> None:
        """Send a part of the response's body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes = b"") -> None:
        """Send the last part of the response's body."""
        await self._send({"type": "http.response.body", "body": data})

    async def answer(self, status: int, body: bytes = b"", headers: Iterable[Header] = ()) -> None:
        """Send a whole response; a body is JSON."""
        if body:
            headers = (*json_headers(body), *headers)
        await self.start(status, headers)
        await self.finish(body)

    async def refuse(self, status: int, error: str, headers: Iterable[Header] = ()) -> None:
        """Send an error, ``{"error": ...}``."""
        await self.answer(
            status, json.dumps({"error": error}, separators=(",", ":")).encode(), headers
        )


def json_headers(body: bytes) -> tuple[Header, Header]:
    """Return the headers of a response whose body is JSON."""
    return _JSON, (b"content-length", b"%d" % len(body))
