"""Where the dashboard's server listens: one pair of options for the server and the client."""

import argparse
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeAlias

import enkaku

Address: TypeAlias = Path | tuple[str, int]  # a Unix socket, or host and port

DEFAULT = Path("dashboard.sock")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--unix`` and ``--tcp``; the parsed ``address`` is an ``Address``."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--unix",
        dest="address",
        metavar="PATH",
        type=Path,
        default=DEFAULT,
        help=f"a Unix socket (default: {DEFAULT} in the current directory)",
    )
    either.add_argument(
        "--tcp", dest="address", metavar="HOST:PORT", type=_host_and_port, help="a TCP port"
    )


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (colon and port.isdecimal() and int(port) < 65536):
        raise argparse.ArgumentTypeError(f"HOST:PORT is wanted, such as 127.0.0.1:8000: {text!r}")
    return host.strip("[]"), int(port)  # an IPv6 address stands in brackets


def connect(address: Address) -> AbstractAsyncContextManager[enkaku.Connection]:
    """Connect to a server; the connection ends with the block."""
    if isinstance(address, Path):
        return enkaku.connect_unix(address)
    return enkaku.connect_tcp(*address)


def serve(handler: enkaku.Handler, address: Address) -> AbstractAsyncContextManager[enkaku.Server]:
    """Serve a handler; the server stops with the block."""
    if isinstance(address, Path):
        return enkaku.serve_unix(handler, address)
    return enkaku.serve_tcp(handler, *address)
