"""What a caller is told of a handler's exception.

Above it: the calls of a session. Below it: declared errors, messages.
"""

import logging
from typing import Final

from .call import ServerCall
from .declared import DeclaredError
from .encoding import encode_error
from .errors import CallClosed, EncodeError, HandlerError
from .problems import problem
from .slots import Slot

__all__ = ["FAILED", "describe"]

logger: Final = logging.getLogger("enkaku.server")

FAILED: Final = ("EK01", "Handler execution failed")
_ANY_DATA: Final = Slot[dict[str, object]]("error data", dict[str, object])
_CODE_MAX: Final = 128
_DATA_MAX: Final = 64


def describe(call: ServerCall, error: Exception) -> tuple[str, bytes]:
    """Write the answer to a handler that raised, and log what its caller is not told.

    Returns:
        The error's code, and the line.
    """
    told = None
    try:
        told = _describe_declared(call, error) if call.answered else None
    except EncodeError as unfit:
        error.add_note(f"The caller was told {FAILED[0]} instead: {unfit}")
    if told is not None:
        return told
    _log_failure(call, error)
    return FAILED[0], encode_error(call.rid, *FAILED)


def _log_failure(call: ServerCall, error: Exception) -> None:
    if isinstance(error, CallClosed) and call.closed:
        logger.warning(
            "%s: its call was closed, and the handler let CallClosed escape: so there is no result. "
            "Send inside of 'async with stream.until_closed()', and return the result behind it.",
            call.procedure.name,
        )
    else:
        logger.error("%s: the handler failed", call.procedure.name, exc_info=error)


def _describe_declared(call: ServerCall, error: Exception) -> tuple[str, bytes] | None:
    if isinstance(error, DeclaredError):
        data = call.procedure.encode_error(error)
        if data is None:
            return None
        code, message = error.code, error.message
    elif isinstance(error, HandlerError):
        code, message, members = error.code, error.message, dict(error.data)
        if len(members) > _DATA_MAX:
            raise EncodeError(
                _ANY_DATA.label, (problem((), f"at most {_DATA_MAX} members", members),)
            )
        data = _ANY_DATA.encode(members)
    else:
        return None
    if len(code) > _CODE_MAX:
        raise EncodeError(
            "error code", (problem((), f"text of at most {_CODE_MAX} characters", code),)
        )
    return code, encode_error(call.rid, code, message, data)
