"""Error replies: what a client is sent, and what is logged, when a call fails or a message is invalid."""

import logging
from typing import Final, NamedTuple

from enkaku.calls.info import ConnectionInfo
from enkaku.calls.invalid_messages import InvalidMessages
from enkaku.calls.states import ServerState
from enkaku.errors import (
    CallClosed,
    ConnectionLost,
    DecodeError,
    EncodeError,
    HandlerError,
    InvalidMessage,
    hide_values,
)
from enkaku.procedures import DeclaredError
from enkaku.transports.base import Oversized, Transport
from enkaku.values.problems import problem
from enkaku.values.slot import Slot
from enkaku.wire.error_codes import FAILED, INVALID, ErrorCode, ErrorReply
from enkaku.wire.messages import ANSWERED, encode_error, peek

from .call import ServerCall
from .handler import sole
from .shared import Policy

__all__ = ["CallRefused", "ErrorReplies", "Rejection", "describe", "log_failure"]

logger: Final = logging.getLogger("enkaku.server")


_ANY_DATA: Final = Slot[dict[str, object]]("error data", dict[str, object])
_CODE_MAX: Final = 128
_DATA_MAX: Final = 64


class CallRefused(HandlerError):
    """The call is not admitted: its caller gets this error, and there is nothing to log."""


def describe(call: ServerCall, error: Exception) -> tuple[str, bytes]:
    """Return the reply to a call whose handler raised, and log an error that the caller does not get.

    Returns:
        The error's code, and the encoded message.
    """
    reply = None
    try:
        reply = _describe_declared(call, sole(error)) if call.answered else None
    except EncodeError as unfit:
        error.add_note(f"The caller got {FAILED.code} instead: {unfit.slot}: {unfit.brief}")
    if reply is not None:
        return reply
    if isinstance(error, CallRefused):
        return error.code, b""  # of an event, which has no reply
    log_failure(call, error)
    return FAILED.code, encode_error(call.rid, *FAILED)


def log_failure(call: ServerCall, error: BaseException) -> None:
    """Log the exception of a handler, without values of messages; those are logged at debug level."""
    name, only = call.procedure.name, sole(error)
    log = call.context.observers.log
    if isinstance(only, CallClosed | ConnectionLost) and (
        call.stopping or call.phase >= ServerState.ENDED
    ):
        logger.debug("%s: the handler ended with %s: %s", name, type(only).__name__, only)
    elif isinstance(only, CallClosed) and call.closed:
        kind = f"{name}: CallClosed escaped the handler"
        log.log(logger, logging.WARNING, kind, _CALL_CLOSED, name)
    else:
        if isinstance(only, DecodeError | EncodeError):
            logger.debug("%s: the handler failed: %s", name, only)
        hide_values(error)
        text = "%s: the handler failed"
        log.log(logger, logging.ERROR, text % name, text, name, error=error)


_CALL_CLOSED: Final = (
    "%s: the handler returned no result, since CallClosed escaped after its call was closed. "
    "Send items inside of 'async with stream.until_closed()', and return the result after it."
)


def _describe_declared(call: ServerCall, error: BaseException) -> tuple[str, bytes] | None:
    if isinstance(error, DeclaredError):
        data = call.procedure.encode_error(error)
        if data is None:
            return None
        code, message = error.code, error.message
    elif isinstance(error, HandlerError):
        code, message, properties = error.code, error.message, dict(error.data)
        if len(properties) > _DATA_MAX:
            raise EncodeError(
                _ANY_DATA.label,
                (problem((), f"object with at most {_DATA_MAX} properties", properties),),
            )
        data = _ANY_DATA.encode(properties)
    else:
        return None
    if len(code) > _CODE_MAX:
        raise EncodeError(
            "error code", (problem((), f"string of at most {_CODE_MAX} characters", code),)
        )
    return code, encode_error(call.rid, code, message, data)


_TOO_MANY_VALUES: Final = ErrorReply(
    ErrorCode.MESSAGE_TOO_LARGE.value, "Message has too many values"
)
_TOO_LARGE: Final = ErrorReply(ErrorCode.MESSAGE_TOO_LARGE.value, "Message exceeds maximum size")

_RID_MAX: Final = 1024  # characters; an error for a longer rid is not sent
_EXPLANATION_MAX: Final = 1000  # characters of a validation error that a client gets


class Rejection(NamedTuple):
    """Why a call is not opened.

    Attributes:
        reply: The error that the client gets.
        invalid: What the client did wrong, for the log; ``""`` if nothing.
        overloaded: Whether a limit is the reason.
    """

    reply: ErrorReply
    invalid: str = ""
    overloaded: bool = False


class ErrorReplies:
    """Sends the errors of one connection that no handler has raised, logs them, and notifies the observers.

    Args:
        transport: Sends the replies.
        connection: The connection, for observers.
        policy: The options and limits of the server.

    Attributes:
        reports: How many messages were invalid; to find out why may take long.
    """

    __slots__ = (
        "_connection",
        "_invalid",
        "_policy",
        "_transport",
        "reports",
    )

    def __init__(self, transport: Transport, connection: ConnectionInfo, policy: Policy) -> None:
        self._transport = transport
        self._connection = connection
        self._policy = policy
        self._invalid: InvalidMessages | None = None  # until there is one
        self.reports = 0

    def send(self, rid: str, reply: ErrorReply) -> None:
        """Send an error."""
        if len(rid) <= _RID_MAX:
            self._transport.write(encode_error(rid, *reply))

    def reject(self, rid: str, procedure: str, rejection: Rejection) -> None:
        """Reply to a call that is not opened."""
        if rejection.invalid:
            self.invalid(rid, rejection.invalid)
            return
        if rejection.overloaded:
            self.overload(procedure, rejection.reply.message)
        self.send(rid, rejection.reply)

    def invalid(self, rid: str | None, reason: str) -> None:
        """Report an invalid message, and reply where it names a ``rid``."""
        self.report(reason)
        if rid is not None:
            self.send(rid, self.explain(reason))

    def undecodable(self, error: InvalidMessage) -> bool:
        """Report a message that could not be decoded; return whether there were too many."""
        self.invalid(error.rid, str(error))
        return self._list_invalid().exceed(self._policy.limits.invalid)

    def value(self, rid: str, error: DecodeError) -> None:
        """Reply that a value was rejected by its schema."""
        self.report_value(error)
        self.send(rid, self.explain(error.reason))

    def explain(self, reason: str) -> ErrorReply:
        """Return the reply to an invalid message; it has the reason if ``explain_refusals`` is set."""
        code, message, _ = INVALID
        if self._policy.explain_refusals:
            message = f"{message}: {reason}"[:_EXPLANATION_MAX]
        return ErrorReply(code, message)

    def oversized(self, message: Oversized) -> None:
        """Reply that a message was too large."""
        typ, rid = peek(message.head)
        self.report(f"a message of more than {self._policy.limits.message_size} bytes")
        if rid is not None and typ in ANSWERED:
            self.send(rid, _TOO_LARGE)

    def too_many_values(self, message: bytes) -> None:
        """Reply that a message has too many values."""
        typ, rid = peek(message)
        self.report(f"a message of more than {self._policy.limits.values} values")
        if rid is not None and typ in ANSWERED:
            self.send(rid, _TOO_MANY_VALUES)

    def report(self, reason: str) -> None:
        """Report what the client did wrong."""
        self.reports += 1
        self._list_invalid().report(reason)

    def report_value(self, error: DecodeError) -> None:
        """Report a value that its schema rejects."""
        self.reports += 1
        self._list_invalid().report(str(error), f"{error.slot}: {error.brief}")

    def _list_invalid(self) -> InvalidMessages:
        if self._invalid is None:
            self._invalid = InvalidMessages(self._connection, self._policy.observers, logger)
        return self._invalid

    def failure(self, procedure: str, what: str, error: Exception) -> None:
        """Log that reading a value failed, for which the client is not to blame."""
        kind = f"{procedure}: {what} failed"
        self._policy.observers.log.log(
            logger, logging.ERROR, kind, "%s: %s failed", procedure, what, error=error
        )

    def overload(self, procedure: str, problem: str) -> None:
        """Report that a limit was reached."""
        self._policy.observers.overloaded(self._connection, procedure, problem)
        logger.debug("%s: %s: %s", self._connection.peer, procedure, problem)
