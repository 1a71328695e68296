"""Probe: asks one server for its health, by the sockets of the standard library alone.

A probe runs every few seconds, in a container that has little of a processor: so neither the runtime nor a library for HTTP or
WebSocket is imported. Each operation ends by the deadline, and no more of an answer is read than a bound.
"""

import json
import os
import re
import socket
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from enkaku_codegen.exit_codes import ExitCode
from enkaku_codegen.json_values import Json

from .failures import Failed, Failure

if TYPE_CHECKING:
    import ssl

__all__ = ["PROCEDURE", "Address", "AddressError", "ask", "parse_address"]

PROCEDURE: Final = "enkaku:health"
"""The request that every server answers."""

_RID: Final = "1"
_MOST: Final = 64 * 1024  # bytes of an answer, with its headers
_LINES: Final = 100  # headers
_SHOWN: Final = 60  # bytes of what is no answer
_FORMS: Final = (
    "unix:/path, /path, tcp:host:port, tls:host:port, http(s)://host/path, ws(s)://host/path"
)
_HOST_AND_PORT: Final = re.compile(r"(?:\[(?P<ip>[^][]+)]|(?P<host>[^][:]+)):(?P<port>[0-9]{1,5})")
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: .*)?")
_VISIBLE: Final = re.compile("[!-~]+")
_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_LAST_PORT: Final = 65535
_NOT_SERVING: Final = 503
_DEADLINE_PASSED, _STOPPING = "EK05", "EKP01"  # of the wire
_MESSAGE_MAX: Final = 500  # characters
_SUBPROTOCOL: Final = "enkaku.v1"
_ACCEPTANCE: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # of RFC 6455
_CONTINUED, _TEXT, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x8, 0x9, 0xA


class AddressError(ValueError):
    """The address cannot be probed; its text says what is expected."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address of a server.

    Attributes:
        scheme: Such as ``"tcp"``.
        host: The name or the number of the host; the path of a Unix socket.
        port: The port; 0 for a Unix socket.
        target: What is requested of a server over HTTP or WebSocket: the path and the query.
        authority: The header ``Host`` of such a request.
    """

    scheme: str
    host: str
    port: int = 0
    target: str = "/"
    authority: str = ""


def parse_address(text: str) -> Address:
    """Read an address, as ``enkaku.connect`` has it.

    Raises:
        AddressError: It has none of the forms, or a probe does not support it.
    """
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if text.startswith("/"):
        return Address("unix", text)
    if colon and scheme == "unix" and rest:
        return Address("unix", rest)
    if colon and scheme in ("tcp", "tls"):
        match = _HOST_AND_PORT.fullmatch(rest)
        if match is None or not 0 < int(match["port"]) <= _LAST_PORT:
            raise AddressError(f"expected {scheme}:host:port, such as {scheme}:localhost:8000")
        return Address(scheme, match["ip"] or match["host"], int(match["port"]))
    if colon and scheme in _PORTS and rest.startswith("//"):
        return _parse_url(scheme, text)
    if colon and scheme == "stdio":
        raise AddressError("stdio: has no server to ask: it would start a new one")
    raise AddressError(f"expected {_FORMS}")


def _parse_url(scheme: str, text: str) -> Address:
    from urllib.parse import urlsplit  # noqa: PLC0415 # other addresses do not need it

    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise AddressError(f"not a URL: {error}") from error
    if not host or url.username is not None or url.password is not None:
        raise AddressError(f"expected {scheme}://host/path, without a user or a password")
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    if not (_VISIBLE.fullmatch(target) and _VISIBLE.fullmatch(url.netloc)):
        raise AddressError("expected a URL of ASCII characters: percent-encode the others")
    return Address(scheme, host, _PORTS[scheme] if port is None else port, target, url.netloc)


@dataclass(slots=True)
class _Wire:
    """A connected socket.

    Attributes:
        connected: The socket, with or without TLS.
        due: The deadline, by ``time.monotonic()``.
    """

    connected: socket.socket
    due: float
    _read: int = 0
    _buffer: bytearray = field(default_factory=bytearray)

    def send(self, content: bytes) -> None:
        self.connected.settimeout(_left(self.due))
        self.connected.sendall(content)

    def line(self) -> bytes:
        """Read a line, and return it without its end."""
        while (end := self._buffer.find(b"\n")) < 0:
            if not self._fill():
                raise _ended(bytes(self._buffer))
        return self._take(end + 1).removesuffix(b"\n").removesuffix(b"\r")

    def exactly(self, size: int) -> bytes:
        """Read so many bytes."""
        if size > _MOST:
            raise _too_large()
        while len(self._buffer) < size:
            if not self._fill():
                raise _ended(bytes(self._buffer))
        return self._take(size)

    def rest(self) -> bytes:
        """Read to the end of the connection."""
        while self._fill():
            pass
        return self._take(len(self._buffer))

    def _fill(self) -> bool:
        """Read more; return whether there was more."""
        self.connected.settimeout(_left(self.due))
        content = self.connected.recv(4096)
        self._read += len(content)
        if self._read > _MOST:
            raise _too_large()
        self._buffer += content
        return bool(content)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


def ask(
    address: Address,
    part: str | None,
    *,
    within: float,
    tls: "ssl.SSLContext | None" = None,
    server_name: str | None = None,
) -> Mapping[str, Json]:
    """Ask a server for its health.

    Args:
        address: Where it listens.
        part: The name of the part that is asked for; None is the whole server.
        within: How long connecting and the answer may take, in seconds.
        tls: How the server is verified, for a scheme with TLS.
        server_name: The name that its certificate must have; None is the host.

    Returns:
        The answer: an object with a boolean ``serving``.

    Raises:
        Failed: There is no answer.
    """
    due = time.monotonic() + within
    try:
        connected = _connect(address, due, tls, server_name or address.host)
    except TimeoutError as error:
        raise _late("connecting") from error
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _failed(ExitCode.UNREACHABLE, "UNREACHABLE", f"cannot connect: {reason}") from error
    with closing(connected):
        try:
            return _EXCHANGES[address.scheme](_Wire(connected, due), address, _request(part))
        except TimeoutError as error:
            raise _late("the answer") from error
        except OSError as error:
            raise _lost(f"the connection was lost: {error.strerror or error}") from error


def _request(part: str | None) -> bytes:
    param = {} if part is None else {"prm": {"part": part}}
    payload = {"typ": "request", "rid": _RID, "prc": PROCEDURE, **param}
    message = {"header": {"typ": "JWT", "alg": "none"}, "payload": payload}
    return json.dumps(message, separators=(",", ":")).encode()


def _left(due: float) -> float:
    left = due - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _failed(exit_code: ExitCode, code: str, message: str, data: bytes = b"{}") -> Failed:
    return Failed(Failure(exit_code, code, message[:_MESSAGE_MAX], data, PROCEDURE))


def _late(what: str) -> Failed:
    return _failed(ExitCode.DEADLINE, _DEADLINE_PASSED, f"{what} took too long")


def _broken(reason: str) -> Failed:
    return _failed(ExitCode.PROTOCOL_ERROR, "PROTOCOL_ERROR", reason)


def _lost(reason: str) -> Failed:
    return _failed(ExitCode.PROTOCOL_ERROR, "CONNECTION_LOST", reason)


def _ended(read: bytes) -> Failed:
    got = f": got {_shown(read)}" if read else ""
    return _lost(f"the server ended the connection without an answer{got}")


def _too_large() -> Failed:
    return _broken(f"the answer is larger than {_MOST} bytes: is it an Enkaku server?")


def _shown(content: bytes) -> str:
    return repr(content[:_SHOWN].decode("utf-8", "replace"))


def _connect(
    address: Address, due: float, tls: "ssl.SSLContext | None", server_name: str
) -> socket.socket:
    if address.scheme == "unix":
        connected = socket.socket(socket.AF_UNIX)
        return _connected(connected, address.host, due)
    error: Exception = OSError("the host has no address")
    found = _resolve(address, due)
    for index, (family, where) in enumerate(found):
        # An address that does not answer leaves time for the others.
        until = time.monotonic() + _left(due) / (len(found) - index)
        try:
            connected = _connected(socket.socket(family), where, until)
        except OSError as failed:
            error = failed
        else:
            return connected if tls is None else _secured(connected, tls, server_name, due)
    raise error


def _connected(
    unconnected: socket.socket, where: str | tuple[object, ...], due: float
) -> socket.socket:
    try:
        unconnected.settimeout(_left(due))
        unconnected.connect(where)
    except BaseException:
        unconnected.close()
        raise
    return unconnected


def _secured(
    connected: socket.socket, tls: "ssl.SSLContext", server_name: str, due: float
) -> socket.socket:
    try:
        connected.settimeout(_left(due))
        return tls.wrap_socket(connected, server_hostname=server_name)
    except BaseException:
        connected.close()
        raise


def _resolve(address: Address, due: float) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
    """Return the addresses of a host. Looking up a name cannot be interrupted: a thread waits for it, and may be left behind."""
    from threading import Thread  # noqa: PLC0415 # a Unix socket does not need it

    found: list[tuple[socket.AddressFamily, tuple[object, ...]]] = []
    failed: list[Exception] = []

    def look_up() -> None:
        try:
            infos = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
            found.extend((family, where) for family, _, _, _, where in infos)
        except (OSError, UnicodeError) as error:
            failed.append(error)

    thread = Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(_left(due))
    if failed:
        raise failed[0]
    if thread.is_alive():
        raise TimeoutError
    return found


def _ask_by_line(wire: _Wire, _: Address, request: bytes) -> Mapping[str, Json]:
    wire.send(request + b"\n")
    while True:
        line = wire.line().strip()
        answer = _answer(line) if line else None
        if answer is not None:
            return answer


def _ask_by_http(wire: _Wire, address: Address, request: bytes) -> Mapping[str, Json]:
    head = (
        f"POST {address.target} HTTP/1.1\r\nHost: {address.authority}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(request)}\r\nEnkaku-Ext: 1\r\nConnection: close\r\n\r\n"
    )
    wire.send(head.encode() + request)
    status, headers = _read_head(wire)
    while status // 100 == 1:  # an interim response
        status, headers = _read_head(wire)
    body = _read_body(wire, headers)
    if status == _NOT_SERVING:
        return _refused(body)
    if status != 200:  # OK
        raise _broken(f"the server answered HTTP status {status}")
    answer = _answer(body.strip())
    if answer is None:
        raise _broken("the server answered another request")
    return answer


def _refused(body: bytes) -> Mapping[str, Json]:
    """Return what status 503 stands for: the server stops, or a proxy has none to ask."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    text = _object(found).get("error")
    return {"serving": False, "reason": text if isinstance(text, str) else "HTTP status 503"}


def _read_head(wire: _Wire) -> tuple[int, Mapping[bytes, bytes]]:
    """Read the head of a response: its status, and its headers by their names in lower case."""
    line = wire.line()
    match = _STATUS.fullmatch(line)
    if match is None:
        raise _broken(f"not a response of HTTP/1.1: {_shown(line)}")
    headers: dict[bytes, bytes] = {}
    while line := wire.line():
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip()
        if len(headers) > _LINES:
            raise _too_large()
    return int(match[1]), headers


def _read_body(wire: _Wire, headers: Mapping[bytes, bytes]) -> bytes:
    length = headers.get(b"content-length", b"")
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        body = b""
        while size := _size(wire.line().partition(b";")[0].strip(), 16):
            body += wire.exactly(size)
            wire.line()
        return body
    return wire.exactly(_size(length, 10)) if length else wire.rest()


def _size(text: bytes, base: int) -> int:
    if re.fullmatch(rb"[0-9a-fA-F]{1,8}", text) is None:
        raise _broken(f"not a size: {_shown(text)}")
    try:
        return int(text, base)
    except ValueError as error:
        raise _broken(f"not a size: {_shown(text)}") from error


def _ask_by_websocket(wire: _Wire, address: Address, request: bytes) -> Mapping[str, Json]:
    from hashlib import sha1  # noqa: PLC0415 # other transports do not need it

    key = b64encode(os.urandom(16))
    head = (
        f"GET {address.target} HTTP/1.1\r\nHost: {address.authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key.decode()}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {_SUBPROTOCOL}\r\n\r\n"
    )
    wire.send(head.encode())
    status, headers = _read_head(wire)
    if status == _NOT_SERVING:
        return _refused(b"")
    expected = b64encode(sha1(key + _ACCEPTANCE, usedforsecurity=False).digest())
    if status != 101 or headers.get(b"sec-websocket-accept") != expected:  # Switching Protocols
        raise _broken(f"the server opened no WebSocket: HTTP status {status}")
    if headers.get(b"sec-websocket-protocol") != _SUBPROTOCOL.encode():
        raise _broken(f"the server does not support the subprotocol {_SUBPROTOCOL}")
    wire.send(_frame(_TEXT, request))
    while True:
        answer = _answer(_read_text(wire))
        if answer is not None:
            wire.send(_frame(_CLOSE, b"\x03\xe8"))  # 1000
            return answer


def _frame(opcode: int, content: bytes) -> bytes:
    """Return a frame of a client, which is masked."""
    mask, size = os.urandom(4), len(content)
    length = (
        bytes([0x80 | size])
        if size < 126  # of RFC 6455
        else bytes([0xFE]) + size.to_bytes(2, "big")
    )
    masked = bytes(each ^ mask[index % 4] for index, each in enumerate(content))
    return bytes([0x80 | opcode]) + length + mask + masked


def _read_text(wire: _Wire) -> bytes:
    """Read a text message, which may come in several frames, and others between them."""
    text, expected = b"", _TEXT
    while True:
        first, second = wire.exactly(2)
        opcode, size = first & 0x0F, second
        if size in (126, 127):
            size = int.from_bytes(wire.exactly(2 if size == 126 else 8), "big")  # of RFC 6455
        if second & 0x80 or first & 0x70:
            raise _broken("the server sent a frame that a WebSocket must not have")
        content = wire.exactly(size)
        if opcode == _CLOSE:
            code = int.from_bytes(content[:2], "big") if content else 1005
            raise _broken(f"the server closed the WebSocket with code {code}")
        if opcode in (_PING, _PONG):
            continue
        if opcode != expected:
            raise _broken("the server sent a message that is no text")
        text, expected = text + content, _CONTINUED
        if first & 0x80:
            return text


_EXCHANGES: Final[Mapping[str, Callable[[_Wire, Address, bytes], Mapping[str, Json]]]] = {
    "unix": _ask_by_line,
    "tcp": _ask_by_line,
    "tls": _ask_by_line,
    "http": _ask_by_http,
    "https": _ask_by_http,
    "ws": _ask_by_websocket,
    "wss": _ask_by_websocket,
}


def _answer(message: bytes) -> Mapping[str, Json] | None:
    """Return the answer of a message; None if it is of another call.

    Raises:
        Failed: It is an error, or it is no message of Enkaku.
    """
    try:
        found = json.loads(message, parse_constant=_reject)
    except (ValueError, RecursionError) as error:
        raise _broken(f"not a message of Enkaku: {_shown(message)}") from error
    payload = _object(_object(found).get("payload"))
    typ, value = payload.get("typ"), payload.get("val")
    if not isinstance(typ, str):
        raise _broken(f"not a message of Enkaku: {_shown(message)}")
    if payload.get("rid") != _RID:
        return None
    if typ == "error":
        code, text = str(payload.get("code")), str(payload.get("msg"))
        exit_code = ExitCode.NOT_SERVING if code == _STOPPING else ExitCode.PROTOCOL_ERROR
        reason = f"the server rejected {PROCEDURE}: {code}: {text}"
        raise _failed(exit_code, code, reason, json.dumps(_object(payload.get("data"))).encode())
    answer = _object(value)
    if typ != "result" or not isinstance(answer.get("serving"), bool):
        raise _broken(f"not an answer to {PROCEDURE}: {_shown(message)}")
    return answer


def _reject(constant: str) -> Json:
    raise ValueError(f"{constant} is no JSON")


def _object(value: object) -> Mapping[str, Json]:
    return cast("Mapping[str, Json]", value) if isinstance(value, dict) else {}
