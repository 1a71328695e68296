"""``enkaku health``: asks a server whether it serves; for probes of containers and services."""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from enkaku_codegen.calling.durations import duration
from enkaku_codegen.calling.probe import (
    PROCEDURE,
    SECURE,
    Address,
    AddressError,
    ProbeError,
    ask,
    parse_address,
)
from enkaku_codegen.errors import visible
from enkaku_codegen.json_values import Json

from .command import Command, ExitCode

if TYPE_CHECKING:
    import ssl

__all__ = ["COMMAND"]

_DEADLINE: Final = 5.0
_PAUSE: Final = 0.1  # seconds between two tries of --wait, at first
_LONGEST: Final = 1.0
_MESSAGE_MAX: Final = 500  # characters


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
    parser.add_argument(
        "--errors",
        choices=("text", "json"),
        default="text",
        help="how to print an error on the standard error; by default text",
    )
    tls = parser.add_argument_group("TLS, for tls:, https: and wss:")
    tls.add_argument("--ca", metavar="FILE", help="the certificates of the authorities")
    tls.add_argument("--cert", metavar="FILE", help="the client's certificate")
    tls.add_argument("--key", metavar="FILE", help="the private key of the client's certificate")
    tls.add_argument(
        "--server-name", metavar="HOST", help="the name that the certificate must have"
    )


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except AddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _tls(options: argparse.Namespace) -> "ssl.SSLContext | None":
    """Return how the server is verified; None without TLS."""
    if options.address.scheme not in SECURE:
        for name in ("ca", "cert", "key", "server_name"):
            if getattr(options, name) is not None:
                option, scheme = name.replace("_", "-"), options.address.scheme
                message = f"--{option} is for tls:, https: and wss:; got {scheme}:"
                raise argparse.ArgumentError(None, message)
        return None
    if options.key is not None and options.cert is None:
        raise argparse.ArgumentError(None, "--key needs --cert")
    import ssl  # noqa: PLC0415 # it takes as long as all others

    try:
        context = ssl.create_default_context(cafile=options.ca)
        if options.cert is not None:
            # An empty password: else OpenSSL would ask for that of an encrypted key on the terminal.
            context.load_cert_chain(options.cert, options.key, password="")  # see above
    except OSError as error:  # also of ssl
        message = f"--ca, --cert, --key: {error.strerror or error}"
        raise argparse.ArgumentError(None, message) from error
    return context


def _run(options: argparse.Namespace) -> int:
    tls = _tls(options)
    ends = time.monotonic() + (options.wait or 0.0)
    pause, within = _PAUSE, options.deadline
    while True:
        found = _try(options, tls, within)
        left = ends - time.monotonic() - pause
        if left <= 0 or (not isinstance(found, ProbeError) and found["serving"]):
            return _report(found, options.errors)
        time.sleep(pause)
        pause, within = min(2 * pause, _LONGEST), min(options.deadline, left)


def _try(
    options: argparse.Namespace, tls: "ssl.SSLContext | None", within: float
) -> Mapping[str, Json] | ProbeError:
    name = options.server_name
    try:
        return ask(options.address, options.part, within=within, tls=tls, server_name=name)
    except ProbeError as error:
        return error


def _report(found: Mapping[str, Json] | ProbeError, errors: str) -> ExitCode:
    """Print the answer, and what is wrong; return the exit code."""
    data: Mapping[str, Json]
    if isinstance(found, ProbeError):
        code, name, message, data = found.code, found.peer_code, found.message, found.data
    else:
        print(json.dumps(found))
        if found["serving"]:
            return ExitCode.SUCCESS
        code, name, data = ExitCode.NOT_SERVING, None, found
        reason = found.get("reason")
        message = f"not serving: {reason}" if isinstance(reason, str) else "not serving"
    message = message[:_MESSAGE_MAX]
    if errors == "json":
        error = {
            "code": name or code.name,
            "message": message,
            "data": data,
            "procedure": PROCEDURE,
        }
        print(json.dumps(error), file=sys.stderr)
    else:
        print(f"enkaku health: {visible(message)}", file=sys.stderr)
    return code


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
