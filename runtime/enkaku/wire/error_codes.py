"""The error codes of the wire, in one place.

``EK01`` to ``EK09`` are those of the TypeScript implementation; codes that begin with ``EKP`` are this implementation's own.
Codes of declared errors come from the protocol.
"""

from enum import StrEnum
from typing import Final, NamedTuple

__all__ = [
    "DEADLINE_PASSED",
    "FAILED",
    "HTTP_REQUEST_FAILED",
    "INVALID",
    "STOPPING",
    "ErrorCode",
    "ErrorReply",
]


class ErrorCode(StrEnum):
    """A code in an ``error`` message; each says what the caller should do."""

    HANDLER_FAILED = "EK01"
    """The handler raised an error that the protocol does not declare. The server's log has the reason."""

    ACCESS_DENIED = "EK02"
    """The caller may not call this procedure."""

    TOO_MANY_CALLS = "EK03"
    """The connection, or the server, has as many open calls as it may. Retry when some have ended."""

    TOO_MANY_HANDLERS = "EK04"
    """Too many bytes of requests wait for a free handler. Retry later."""

    DEADLINE_PASSED = "EK05"
    """The call took longer than its deadline, or than the server allows."""

    MESSAGE_TOO_LARGE = "EK06"
    """The message was larger than the server accepts, and was discarded."""

    ENCRYPTION_REQUIRED = "EK07"
    """The server accepts encrypted messages only."""

    INVALID_MESSAGE = "EK08"
    """The message, or a value in it, is not what the protocol says: correct the call."""

    REPLAYED = "EK09"
    """The signed message was received before."""

    STOPPING = "EKP01"
    """The server is stopping. Connect again, or to another one."""

    TOO_SLOW = "EKP02"
    """Too many items were buffered: the handler, or a subscriber of a broadcast, takes them too slowly."""

    TOO_OFTEN = "EKP03"
    """The caller has made more calls than its rate limit allows. ``data`` says in how many seconds the next may come."""


HTTP_REQUEST_FAILED: Final = "EK_HTTP_REQUEST_FAILED"
"""The code of a client's error over HTTP: a status answered the call, and no message. No ``error`` message has it."""


class ErrorReply(NamedTuple):
    """What an ``error`` message of the runtime itself says.

    Attributes:
        code: See ``ErrorCode``.
        message: For people.
        data: A JSON object, encoded.
    """

    code: str
    message: str
    data: bytes = b"{}"


FAILED: Final = ErrorReply(ErrorCode.HANDLER_FAILED.value, "Handler execution failed")
DEADLINE_PASSED: Final = ErrorReply(ErrorCode.DEADLINE_PASSED.value, "The call took too long")
INVALID: Final = ErrorReply(ErrorCode.INVALID_MESSAGE.value, "Invalid protocol message")
STOPPING: Final = ErrorReply(ErrorCode.STOPPING.value, "The server is stopping")
