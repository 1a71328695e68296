"""What all commands that dial a server share: the arguments of the connection, and what becomes of each error.

The standard output is for data alone. An error goes to the standard error, as text or as one JSON object (``--errors``).
"""

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from enkaku_codegen.errors import CodegenError
from enkaku_codegen.exit_codes import ExitCode

from . import tls
from .durations import duration
from .failures import Failed, Failure, add_errors

if TYPE_CHECKING:
    from enkaku import Connection
    from enkaku.addresses import ConnectOptions
    from enkaku.errors import CallError, DecodeError, EncodeError, EnkakuError

__all__ = ["add_arguments", "connected", "deadline", "failure_of", "run"]

_LONGEST_BACKOFF: Final = 2.0  # seconds


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise argparse.ArgumentTypeError("expected NAME=VALUE")
    return name, value


def _header(text: str) -> tuple[str, str]:
    name, separator, value = text.partition(":")
    if not name.strip() or not separator:
        raise argparse.ArgumentTypeError("expected 'NAME: VALUE'")
    return name.strip(), value.strip()


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise argparse.ArgumentTypeError(f"expected an integer, 0 or more; got {text!r}")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the connection, without the address; and ``--errors``."""
    group = parser.add_argument_group("connection")
    group.add_argument(
        "--connect-timeout",
        metavar="TIME",
        type=duration,
        help="time limit of connecting, such as 500ms or 30s; by default 10s",
    )
    group.add_argument(
        "--deadline",
        metavar="TIME",
        type=duration,
        help="time limit of what follows; by default 60s for requests and events, none for streams and channels",
    )
    group.add_argument(
        "--retry",
        metavar="N",
        type=_count,
        default=0,
        help="connect again up to N times, within --connect-timeout; a call is repeated only if its protocol calls it idempotent",
    )
    group.add_argument(
        "--metadata",
        metavar="NAME=VALUE",
        type=_pair,
        action="append",
        default=[],
        help="metadata of the call; may be repeated",
    )
    group.add_argument(
        "--header",
        metavar="'NAME: VALUE'",
        type=_header,
        action="append",
        default=[],
        help="a header, over HTTP and WebSocket; may be repeated",
    )
    group.add_argument(
        "--identity",
        metavar="KEY",
        type=Path,
        help="sign with the private key in a file, as 'enkaku key make' writes it; needs --audience",
    )
    group.add_argument(
        "--audience", metavar="DID", help="the name of the server's key: did:key:..."
    )
    tls.add_arguments(parser)
    add_errors(parser)


def run(command: str, format_: str, main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run the event loop of a command, and print the error with which it ends.

    Args:
        command: The name of the command.
        format_: The value of ``--errors``.
        main: Returns what to run, which returns the exit code.

    Returns:
        The exit code.

    Raises:
        argparse.ArgumentError: The arguments are wrong, and errors are printed as text.
    """
    try:
        return asyncio.run(main())
    except Failed as error:
        failure = error.failure
    except CodegenError as error:
        if format_ == "text":
            print(error, file=sys.stderr)  # its lines are without control characters
            return ExitCode.USAGE
        failure = Failure(ExitCode.USAGE, "INVALID_PROTOCOL", str(error))
    except argparse.ArgumentError as error:
        if format_ == "text":
            raise
        failure = Failure(ExitCode.USAGE, "USAGE", str(error))
    except Exception as error:
        # Without a connection, there are no errors of the runtime, which would take longer to import than all else.
        if "enkaku.errors" not in sys.modules:
            raise
        from enkaku.errors import EnkakuError  # noqa: PLC0415 # imported by now

        if not isinstance(error, EnkakuError):
            raise
        failure = failure_of(error)
    failure.print(f"enkaku {command}", format_)
    return failure.exit_code


def failure_of(error: "EnkakuError") -> Failure:
    """Return what an error of the runtime means for a command."""
    from enkaku import errors  # noqa: PLC0415 # imported by now

    match error:
        case errors.CallError():
            return _of_call(error)
        case errors.EncodeError():
            return _of_value(ExitCode.USAGE, "INVALID_VALUE", error)
        case errors.UsageError():
            return Failure(ExitCode.USAGE, "USAGE", str(error))
        case errors.ConnectFailed():
            return Failure(ExitCode.UNREACHABLE, "UNREACHABLE", str(error))
        case errors.DecodeError():
            return _of_value(ExitCode.INVALID_ANSWER, "INVALID_ANSWER", error)
        case errors.TransportError():
            return Failure(ExitCode.PROTOCOL_ERROR, "CONNECTION_LOST", str(error))
        case _:
            return Failure(ExitCode.PROTOCOL_ERROR, "PROTOCOL_ERROR", str(error))


def _of_call(error: "CallError") -> Failure:
    from enkaku._json import dump_json  # noqa: PLC0415 # imported by now
    from enkaku.errors import DeadlineExceeded  # noqa: PLC0415 # as above
    from enkaku.wire.error_codes import HTTP_REQUEST_FAILED, ErrorCode  # noqa: PLC0415 # as above

    from .untyped import RawCallError  # noqa: PLC0415 # as above

    rejections = {HTTP_REQUEST_FAILED, *ErrorCode} - {ErrorCode.HANDLER_FAILED}
    if isinstance(error, DeadlineExceeded) or error.code == ErrorCode.DEADLINE_PASSED:
        exit_code = ExitCode.DEADLINE
    elif error.code == ErrorCode.STOPPING:
        exit_code = ExitCode.NOT_SERVING
    else:
        exit_code = ExitCode.PROTOCOL_ERROR if error.code in rejections else ExitCode.HANDLER_ERROR
    data = error.raw if isinstance(error, RawCallError) else dump_json(error.data)
    name = error.procedure or None
    return Failure(exit_code, error.code, error.message, data, name, str(error))


def _of_value(exit_code: ExitCode, code: str, error: "EncodeError | DecodeError") -> Failure:
    problems = [
        {"pointer": each.pointer, "expected": each.expected, "actual": each.found}
        for each in error.problems
    ]
    name, _, slot = error.slot.rpartition(" ")
    data = json.dumps({"slot": slot, "problems": problems}).encode()
    return Failure(exit_code, code, error.reason, data, name or None, str(error), explained=True)


@asynccontextmanager
async def connected(options: argparse.Namespace) -> AsyncGenerator["Connection", None]:
    """Connect to the address of a command.

    Raises:
        ConnectFailed: No server answers.
        UsageError: The address is not valid, or an option does not fit it.
        argparse.ArgumentError: A file of the options can't be used.
    """
    from enkaku.addresses import connect  # noqa: PLC0415 # imported when it is needed

    with _without_logs():
        async with connect(options.address, **_connect_options(options)) as connection:
            yield connection


@contextmanager
def _without_logs() -> Generator[None, None, None]:
    """Keep the runtime from printing what it logs: each error is printed by the command."""
    logger, handler = logging.getLogger("enkaku"), logging.NullHandler()
    propagate = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def deadline(options: argparse.Namespace) -> AbstractContextManager[None]:
    """Return a block whose calls have the deadline of a command."""
    if options.deadline is None:
        return nullcontext()
    from enkaku.calls import deadlines  # noqa: PLC0415 # imported when it is needed

    return deadlines.deadline(options.deadline)


def _scheme(address: str) -> str:
    return "unix" if address.startswith("/") else address.partition(":")[0].lower()


def _connect_options(options: argparse.Namespace) -> "ConnectOptions":
    """Return the options of the connection.

    Raises:
        IdentityError: The private key can't be used.
        argparse.ArgumentError: The same for another file; or the address has no TLS.
    """
    found: ConnectOptions = {}
    context = tls.context(options, _scheme(options.address))
    if context is not None and (options.ca is not None or options.cert is not None):
        found["ssl"] = context
    if options.connect_timeout is not None:
        found["connect_timeout"] = options.connect_timeout
    if options.deadline is not None:
        found["timeout"] = options.deadline  # else that of the runtime might be shorter
    if options.metadata:
        found["metadata"] = dict(options.metadata)
    if options.header:
        found["headers"] = dict(options.header)
    if options.server_name is not None:
        found["server_hostname"] = options.server_name
    if options.retry:
        from enkaku.options import Reconnect  # noqa: PLC0415 # as above

        found["reconnect"] = Reconnect(attempts=options.retry + 1, longest=_LONGEST_BACKOFF)
    if options.identity is not None:
        from .keys import load_key  # noqa: PLC0415 # few clients sign

        found["identity"] = load_key(options.identity)
    if options.audience is not None:
        found["audience"] = options.audience
    return found
