"""What the client's transport needs of an HTTP library, and what an answer without a message means."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Final, Protocol

import msgspec

from enkaku.errors import CallError
from enkaku.wire.error_codes import HTTP_REQUEST_FAILED

__all__ = ["Answer", "BodyTooLarge", "HttpClient", "HttpFailure", "read_body", "status_error"]

_SHOWN: Final = 200  # characters of a server's explanation
_MEANINGS: Final = {
    409: "a call with this id is open",
    413: "the message is larger than the server accepts",
    429: "too many requests",
    503: "the server is stopping, or has too much to do",
    504: "the server did not answer in time",
}


class HttpFailure(Exception):
    """No answer came, or not all of it.

    Attributes:
        unreachable: Whether no connection could be opened, so that nothing was sent.
    """

    def __init__(self, reason: str, *, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.unreachable = unreachable


class BodyTooLarge(HttpFailure):
    """The body of an answer exceeds the limit; the rest was not read."""


class Answer(Protocol):
    """An answer, whose head has come."""

    @property
    def status(self) -> int:
        """The status code."""
        ...

    def header(self, name: str) -> str:
        """Return the value of a header; ``""`` if there is none."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Read the body, as it comes.

        Raises:
            HttpFailure: The connection was lost before the body was complete.
        """
        ...

    async def close(self) -> None:
        """End the answer; the server is notified if it is not complete."""


class HttpClient(Protocol):
    """A pool of connections to one URL."""

    async def send(
        self,
        method: str,
        headers: Mapping[str, str],
        body: Callable[[], bytes] | None = None,
        *,
        ordered: bool = False,
    ) -> Answer:
        """Send a request; wait for the head of the answer, however long that takes.

        Args:
            method: The method.
            headers: The headers.
            body: Returns the body, when it is about to be sent; None for none.
            ordered: Whether it is one of those that wait for no others: a feed, and what is written to its calls.

        Raises:
            HttpFailure: None came.
        """
        ...

    def is_unsent(self, task: asyncio.Task[object]) -> bool:
        """Return whether a task waits for a connection, so that nothing of its request was sent."""
        ...

    async def close(self) -> None:
        """Close all connections."""


async def read_body(answer: Answer, limit: int) -> bytes:
    """Return the body of an answer, and end it.

    Raises:
        BodyTooLarge: It has more than ``limit`` bytes.
        HttpFailure: The connection was lost first.
    """
    try:
        body = b""
        rest: bytearray | None = None
        async for chunk in answer.chunks():
            if not body:
                body = chunk  # usually all of it
                continue
            if rest is None:
                rest = bytearray(body)
            rest += chunk
            if len(rest) > limit:
                break
        if rest is not None:
            body = bytes(rest)
    finally:
        await answer.close()
    if len(body) > limit:
        raise BodyTooLarge(f"an answer of more than {limit} bytes was discarded")
    return body


class _Explanation(msgspec.Struct):
    error: str


_explanation: Final = msgspec.json.Decoder(_Explanation)


def status_error(status: int, body: bytes) -> CallError:
    """Return the error of a call that was answered by a status, and by no message."""
    try:
        phrase = f" ({HTTPStatus(status).phrase})"
    except ValueError:
        phrase = ""
    text = f"Transport request failed with status {status}{phrase}"
    why = [_MEANINGS[status]] if status in _MEANINGS else []
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        why.append(_explanation.decode(body).error[:_SHOWN])
    return CallError(HTTP_REQUEST_FAILED, ": ".join([text, *why]), {"status": status})
