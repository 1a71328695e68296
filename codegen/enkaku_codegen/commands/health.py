"""``enkaku health``: asks a server whether it serves; for probes of containers and services."""

import argparse
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from enkaku_codegen.calling import tls
from enkaku_codegen.calling.durations import duration
from enkaku_codegen.calling.failures import Failed, Failure, add_errors
from enkaku_codegen.calling.json_texts import escape_all
from enkaku_codegen.calling.probe import PROCEDURE, Address, AddressError, ask, parse_address
from enkaku_codegen.json_values import Json

from .command import Command, ExitCode

if TYPE_CHECKING:
    import ssl

__all__ = ["COMMAND"]

_DEADLINE: Final = 5.0
_PAUSE: Final = 0.1  # seconds between two tries of --wait, at first
_LONGEST: Final = 1.0
_REASON_MAX: Final = 500  # characters


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "address",
        metavar="ADDRESS",
        type=_address,
        help="such as unix:/run/app.sock, tcp:localhost:8000, https://example.com/rpc",
    )
    parser.add_argument(
        "--part", metavar="NAME", help="a part of the server, as the program names it"
    )
    parser.add_argument(
        "--wait",
        metavar="TIME",
        type=duration,
        help="try again until the server serves, for at most this time, such as 30s",
    )
    parser.add_argument(
        "--deadline",
        metavar="TIME",
        type=duration,
        default=_DEADLINE,
        help="how long one try may take; by default 5s",
    )
    add_errors(parser)
    tls.add_arguments(parser)


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except AddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _run(options: argparse.Namespace) -> int:
    try:
        context = tls.context(options, options.address.scheme)
    except argparse.ArgumentError as error:
        if options.errors == "text":
            raise
        return _fail(options, Failure(ExitCode.USAGE, "USAGE", str(error)))
    ends = time.monotonic() + (options.wait or 0.0)
    pause, within = _PAUSE, options.deadline
    while True:
        found = _try(options, context, within)
        left = ends - time.monotonic() - pause
        if left <= 0 or (not isinstance(found, Failure) and found["serving"]):
            return _report(options, found)
        time.sleep(pause)
        pause, within = min(2 * pause, _LONGEST), min(options.deadline, left)


def _try(
    options: argparse.Namespace, context: "ssl.SSLContext | None", within: float
) -> Mapping[str, Json] | Failure:
    name = options.server_name
    try:
        return ask(options.address, options.part, within=within, tls=context, server_name=name)
    except Failed as error:
        return error.failure


def _report(options: argparse.Namespace, found: Mapping[str, Json] | Failure) -> ExitCode:
    """Print the answer, or what is wrong; return the exit code."""
    if isinstance(found, Failure):
        return _fail(options, found)
    answer = escape_all(json.dumps(found))
    print(answer)
    if found["serving"]:
        return ExitCode.SUCCESS
    reason = found.get("reason")
    message = f"not serving: {reason[:_REASON_MAX]}" if isinstance(reason, str) else "not serving"
    code = ExitCode.NOT_SERVING
    return _fail(
        options, Failure(code, code.name, message, answer.encode(), PROCEDURE, explained=True)
    )


def _fail(options: argparse.Namespace, failure: Failure) -> ExitCode:
    failure.print("enkaku health", options.errors)
    return failure.exit_code


COMMAND: Final = Command(
    description=(
        "Ask a server whether it serves, and print its answer as JSON. The exit code is 0 if it serves, 7 if not, 3 if "
        "there is no connection, 4 after the deadline, 5 if something else answers, and 2 for wrong arguments."
    ),
    examples=(
        "enkaku health unix:/run/app.sock",
        "enkaku health tcp:localhost:8000 --wait 30s",
        "enkaku health https://example.com/rpc --part database",
    ),
    add_arguments=_add_arguments,
    run=_run,
)
