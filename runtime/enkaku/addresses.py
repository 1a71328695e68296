"""Addresses: one syntax for every transport, and ``connect``, which takes them.

``_SCHEMES`` is the table of schemes. Each entry has the form of its addresses, the function ``connect_*`` that opens them, and a
function that parses what follows the scheme into the arguments of the former. An option that another scheme takes is an error.
"""

import os
import re
import shlex
import ssl as tls
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import signature
from typing import Final, Literal, Unpack

from enkaku.client.connection import Connection, ConnectionOptions
from enkaku.transports.stdio.process import Stderr

from ._checks import async_block, require_known, require_text
from .connections import connect_http, connect_process, connect_tcp, connect_unix, connect_ws
from .errors import UsageError

__all__ = ["ConnectOptions", "connect"]


class ConnectOptions(ConnectionOptions, total=False):
    """Options of ``connect``: those of every connection, and those of its transport.

    Attributes:
        connect_timeout: Time limit of connecting, in seconds; 10 by default. Not for ``stdio:``.
        keepalive: ``tcp:``, ``tls:``: as for ``connect_tcp``.
        ssl: ``tls:``, ``https:``, ``wss:``: how to verify the server; by default, as browsers do. With ``tcp:``, TLS.
        server_hostname: ``tls:``: the name that the server's certificate must have; the host by default.
        headers: ``http:``, ``ws:``: further headers.
        cookies: ``http:``: cookies, until the server sets others.
        origin: ``http:``, ``ws:``: the header ``Origin``; none by default.
        proxy: ``http:``, ``ws:``: the URL of a proxy; True takes that of the environment.
        max_connections: ``http:``: as for ``connect_http``.
        cwd: ``stdio:``: the working directory of the process.
        env: ``stdio:``: its environment.
        stderr: ``stdio:``: where it writes its stderr.
        exit_timeout: ``stdio:``: how long it may take to exit at the end, in seconds.
        terminate_timeout: ``stdio:``: how long it may take to exit after SIGTERM, in seconds.
    """

    connect_timeout: float
    keepalive: float | None
    ssl: tls.SSLContext | None
    server_hostname: str | None
    headers: Mapping[str, str] | None
    cookies: Mapping[str, str] | None
    origin: str | None
    proxy: str | Literal[True] | None
    max_connections: int
    cwd: str | os.PathLike[str] | None
    env: Mapping[str, str] | None
    stderr: Stderr
    exit_timeout: float
    terminate_timeout: float


@async_block
async def connect(
    address: str, **options: Unpack[ConnectOptions]
) -> AsyncGenerator[Connection, None]:
    """Connect to a server at an address; leaving the ``async with`` block closes the connection.

    The forms of an address::

        unix:/path, /path                  a Unix socket
        tcp:host:port                      TCP; an IPv6 address is in brackets: tcp:[::1]:8000
        tls:host:port                      TLS over TCP
        http://host/path, https://...      HTTP
        ws://host/path, wss://...          WebSocket
        stdio:command                      the stdin and stdout of a program, which this starts, without a shell

    Args:
        address: The address.
        options: See ``ConnectOptions``; only those that fit the address.

    Raises:
        ConnectFailed: No server answers at the address within the timeout.
        MissingExtra: A library is not installed that HTTP or WebSocket needs.
        UsageError: The address or an option is not valid, or the option does not fit the address.
    """
    name, rest = _split(address)
    scheme = _SCHEMES[name]
    arguments = scheme.parse(name, rest)
    require_known(f"connect: {name}:", options, _OPTIONS[f"{name}:"], _OPTIONS)
    if name == "tls" and options.get("ssl") is None:
        options["ssl"] = tls.create_default_context()
    async with scheme.connect(*arguments, **options) as connection:
        yield connection


@dataclass(frozen=True, slots=True)
class _Scheme:
    """How the addresses of a scheme are written and opened.

    Attributes:
        form: The form of an address, for errors.
        parse: Returns the positional arguments of ``connect``, from the scheme and what follows its colon.
        connect: Opens a connection.
    """

    form: str
    parse: Callable[[str, str], tuple[object, ...]]
    connect: Callable[..., AbstractAsyncContextManager[Connection]]


def _parse_path(_: str, rest: str) -> tuple[str]:
    if not rest:
        raise UsageError("connect: 'unix:' has no path: write unix:/path")
    return (rest,)


def _parse_host_and_port(scheme: str, rest: str) -> tuple[str, int]:
    match = _HOST_AND_PORT.fullmatch(rest)
    if rest.startswith("//"):
        reason = "write it without slashes"
    elif match is None:
        bare = rest.count(":") > 1 and "[" not in rest
        address = f"an IPv6 address is in brackets, as in {scheme}:[::1]:8000"
        reason = address if bare else "it has no host, or no port"
    elif not (_PORT.fullmatch(match["port"]) and 0 < int(match["port"]) <= _LAST_PORT):
        reason = f"the port must be from 1 to {_LAST_PORT}"
    else:
        return match["ip"] or match["host"], int(match["port"])
    address = f"{scheme}:{rest}"
    raise UsageError(f"connect: {address!r:.200} is not of the form {scheme}:host:port: {reason}")


def _parse_url(scheme: str, rest: str) -> tuple[str]:
    return (f"{scheme}:{rest}",)


def _parse_command(_: str, rest: str) -> tuple[list[str]]:
    try:
        command = shlex.split(rest)
    except ValueError as error:  # the command itself may have secrets
        raise UsageError(f"connect: the command of 'stdio:' is not valid: {error}") from error
    if not command:
        raise UsageError("connect: 'stdio:' has no command: write stdio:command")
    return (command,)


_HOST_AND_PORT: Final = re.compile(r"(?:\[(?P<ip>[^][]+)]|(?P<host>[^][:]+)):(?P<port>[^:]*)")
_PORT: Final = re.compile("[0-9]{1,5}")
_LAST_PORT: Final = 65535

_SCHEMES: Final[Mapping[str, _Scheme]] = {
    "unix": _Scheme("unix:/path", _parse_path, connect_unix),
    "tcp": _Scheme("tcp:host:port", _parse_host_and_port, connect_tcp),
    "tls": _Scheme("tls:host:port", _parse_host_and_port, connect_tcp),
    "http": _Scheme("http://host/path", _parse_url, connect_http),
    "https": _Scheme("https://host/path", _parse_url, connect_http),
    "ws": _Scheme("ws://host/path", _parse_url, connect_ws),
    "wss": _Scheme("wss://host/path", _parse_url, connect_ws),
    "stdio": _Scheme("stdio:command", _parse_command, connect_process),
}


def _options(function: Callable[..., object]) -> Collection[str]:
    parameters = signature(function).parameters.values()
    own = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
    return own | ConnectionOptions.__annotations__.keys()


_OPTIONS: Final = {f"{name}:": _options(each.connect) for name, each in _SCHEMES.items()}


def _split(address: str) -> tuple[str, str]:
    """Return the scheme of an address, and the rest of it."""
    require_text("connect: address", address)
    if address.startswith("/"):
        return "unix", address
    name, colon, rest = address.partition(":")
    name = name.lower()
    if colon and name in _SCHEMES:
        return name, rest
    # The rest of an unknown address may have secrets, as a URL does.
    wrong = f"no address begins with {name + colon!r:.100}"
    near = get_close_matches(name, _SCHEMES, 1) if colon else []
    hint = f"; did you mean '{near[0]}:'?" if near else "."
    forms = ", ".join(each.form for each in _SCHEMES.values())
    raise UsageError(f"connect: {wrong}{hint} The forms are /path, {forms}")
