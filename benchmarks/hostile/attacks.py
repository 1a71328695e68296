"""The attacks: what the hostile client sends, and how."""

import selectors
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Final

from enkaku.wire.tally import tally

__all__ = [
    "ATTACKS",
    "LONE",
    "SLOW",
    "Aim",
    "Attack",
    "Run",
    "array",
    "batch",
    "connect",
    "flood",
    "request",
    "wide_object",
]

_MIB: Final = 1024 * 1024
_WRITE: Final = 256 * 1024  # bytes
_FINISH: Final = 10.0  # seconds that the first payload may take, however short the attack is
_KEPT: Final = (
    64 * _MIB
)  # what the C library keeps of the blocks of 10 MiB, or of the many small ones, that were freed
_PIPELINED: Final = (
    256 * _MIB
)  # after thousands of requests that were sent ahead; see docs/security.md
VALUES: Final = 49_900  # just less than Limits.values
SLOW: Final = 11_900  # the same for messages with lone surrogates
ESCAPES: Final = 295_000


@dataclass
class Aim:
    """What is attacked.

    Attributes:
        address: A path, or a port of 127.0.0.1.
        seconds: How long.
        sent: How many bytes the server's operating system has taken.
    """

    address: str
    seconds: float
    sent: int = 0
    until: float = field(init=False)

    def __post_init__(self) -> None:
        self.until = time.monotonic() + self.seconds


Run = Callable[[Aim], None]


@dataclass(frozen=True)
class Attack:
    """One row of the table.

    Attributes:
        name: The row.
        make: Makes what attacks.
        over_tcp: Whether it is run over TCP, too.
        over_http: Whether it is run over HTTP and WebSocket, and not over sockets.
        signed: Whether the server asks for signatures.
        settles: How many seconds the server may take to return memory.
        keeps: By how many bytes memory may have grown afterwards.
    """

    name: str
    make: Callable[[], Run]
    over_tcp: bool = False
    over_http: bool = False
    signed: bool = False
    settles: float = 8.0
    keeps: int = 32 * _MIB


def connect(address: str) -> socket.socket:
    """Connect to a path, or to a port, which may have ``http:`` in front."""
    port = address.removeprefix("http:")
    if port.isdigit():
        return socket.create_connection(("127.0.0.1", int(port)), timeout=5)
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(0)
    for _ in range(500):
        with suppress(BlockingIOError):  # the server's accept queue is full
            client.connect(address)
            break
        time.sleep(0.01)
    client.settimeout(5)
    return client


class _Sender:
    """Sends a payload over one connection, again and again; connects again when it is closed."""

    def __init__(self, aim: Aim, payload: bytes, piece: int, opening: bytes) -> None:
        self._aim = aim
        self._opening = opening
        self._payload = memoryview(payload)
        self._piece = piece
        self._at = 0
        self.rounds = 0
        self.client = self._connect()

    def _connect(self) -> socket.socket:
        client = connect(self._aim.address)
        if self._opening:
            client.sendall(self._opening)
            client.recv(_MIB)
        client.settimeout(0)
        self._at = 0
        return client

    def send(self) -> None:
        sent = self.client.send(self._payload[self._at : self._at + self._piece])
        self._aim.sent += sent
        self._at += sent
        if self._at == len(self._payload):
            self._at = 0
            self.rounds += 1

    def step(self, events: int, *, reads: bool) -> bool:
        """Send and read what is possible; return whether it has connected again."""
        try:
            if reads and events & selectors.EVENT_READ and not self.client.recv(_MIB):
                raise ConnectionResetError
            if events & selectors.EVENT_WRITE:
                self.send()
        except BlockingIOError:
            pass
        except OSError:
            self.rounds += 1  # the server has taken enough
            self.client.close()
            self.client = self._connect()
            return True
        return False


def flood(
    payload: bytes,
    *,
    connections: int = 1,
    reads: bool = True,
    piece: int = _WRITE,
    pause: float = 0,
    opening: bytes = b"",
) -> Run:
    """Send a payload again and again, on each connection after an opening that is answered."""

    def run(aim: Aim) -> None:
        senders = [_Sender(aim, payload, piece, opening) for _ in range(connections)]
        latest = aim.until + _FINISH
        mask = selectors.EVENT_READ | selectors.EVENT_WRITE if reads else selectors.EVENT_WRITE
        with selectors.DefaultSelector() as selector:
            for each in senders:
                selector.register(each.client, mask, each)
            while (now := time.monotonic()) < aim.until or (
                now < latest and not any(each.rounds for each in senders)
            ):
                for key, events in selector.select(0.1):
                    sender: _Sender = key.data
                    before = sender.client
                    with suppress(KeyError):
                        if sender.step(events, reads=reads):
                            selector.unregister(before)
                            selector.register(sender.client, mask, sender)
                if pause:
                    time.sleep(pause)
            for each in senders:
                each.client.close()

    return run


def send_all(client: socket.socket, data: bytes, aim: Aim) -> None:
    """Send what the server takes within a second."""
    client.settimeout(1)
    rest = memoryview(data)
    with suppress(OSError):
        while rest:
            sent = client.send(rest[:_WRITE])
            aim.sent += sent
            rest = rest[sent:]


def hold(messages: Callable[[int], bytes], *, connections: int = 1) -> Run:
    """Send messages on each of some connections, hold what they opened, and close; again and again."""

    def run(aim: Aim) -> None:
        while True:
            with ExitStack() as stack:
                clients = [stack.enter_context(connect(aim.address)) for _ in range(connections)]
                for number, client in enumerate(clients):
                    send_all(client, messages(number), aim)
                time.sleep(0.2)
            if time.monotonic() >= aim.until:
                return

    return run


def knock(aim: Aim) -> None:
    """Open and close connections."""
    while time.monotonic() < aim.until:
        for client in [connect(aim.address) for _ in range(50)]:
            client.close()
            aim.sent += 1


def line(payload: str, header: str = "") -> bytes:
    """Return a message with a payload."""
    return b'{"header":{"typ":"JWT","alg":"none"%b},"payload":{%b}}\n' % (
        header.encode(),
        payload.encode("utf-8", "surrogatepass"),
    )


def request(prc: str, param: str, rid: str = "r", header: str = "") -> bytes:
    """Return a request."""
    return line(f'"typ":"request","rid":"{rid}","prc":"{prc}","prm":{param}', header)


def batch(make: Callable[[int], bytes], size: int = 64 * 1024) -> bytes:
    """Return messages of so many bytes together."""
    made, total, number = list[bytes](), 0, 0
    while total < size:
        made.append(make(number))
        total += len(made[-1])
        number += 1
    return b"".join(made)


def _count(value: str, most: int, size: int) -> int:
    counted = tally(f"{value},".encode(), 10**9)
    each = 1 if counted is None else counted.values
    return min((most - 60) // each, size // (len(value) + 6))


def array(value: str, *, most: int = VALUES, size: int = 10 * _MIB - 200) -> str:
    """Return an array of as many equal values as a server accepts."""
    return f"[{','.join([value] * _count(value, most, size))}]"


def numbered(value: str, *, most: int = VALUES, size: int = 10 * _MIB - 200) -> str:
    """Return an array of as many different values; ``#`` stands for a number."""
    count = _count(value.replace("#", "10000"), most, size)
    return f"[{','.join(value.replace('#', str(10_000 + n)) for n in range(count))}]"


def tree(depth: int, width: int) -> str:
    """Return an ambiguous value."""
    value = "1"
    for _ in range(depth):
        value = f'{{"a":{value}}}'
    return f"[{','.join([value] * width)}]"


def group(depth: int) -> str:
    """Return nested values of a tagged union."""
    value = '{"kind":"circle","radius":1}'
    for _ in range(depth):
        value = f'{{"kind":"group","shapes":[{value},{{"kind":"circle","radius":2}}]}}'
    return value


def nested(depth: int) -> str:
    """Return nested arrays."""
    return "[" * depth + "]" * depth


def wide_object() -> str:
    """Return an object of many properties."""
    return "{" + ",".join(f'"p{n}":1' for n in range(VALUES - 100)) + "}"


def values(name: str, prc: str, param: Callable[[], str], *, keeps: int = 32 * _MIB) -> Attack:
    """Return the attack with a request of a large value."""
    run = lambda: flood(request(prc, param()))  # noqa: E731 # a function for one line
    return Attack(f"{prc}: {name}", run, keeps=keeps)


LONE: Final = "\\ud800"
_ITEM: Final = '{"id":1,"name":"a","tags":["b"]}'
_DIGITS: Final = "1." + "7" * 30
_LONG: Final = "9" * 4_300


def _values() -> Iterable[Attack]:
    yield values("empty arrays", "any", lambda: array("[]"))
    yield values("empty objects", "any", lambda: array("{}"))
    yield values("numbers", "any", lambda: array("1"))
    yield values("strings", "any", lambda: array('"a"'))
    yield values("one object", "any", wide_object)
    yield values("numbers of 31 digits", "any", lambda: array(_DIGITS))
    yield values("integers of 4,300 digits", "any", lambda: array(_LONG))
    yield values("exponents", "any", lambda: array("1.5e300"))
    yield values("nested arrays", "any", lambda: array(nested(150)))
    yield values("numbers of 31 digits", "numbers", lambda: array(_DIGITS))
    yield values("integers", "numbers", lambda: array("12345678901234567890123"))
    yield values("wrong types", "numbers", lambda: array('"a"'))
    yield values("multiples of a tenth", "tenths", lambda: numbered("#.1"))
    yield values("integers", "tenths", lambda: numbered("#"))
    yield values(
        "multiples of many digits", "tenths", lambda: numbered("#.10000000000000000000000000000001")
    )
    yield values("objects", "items", lambda: array(_ITEM))
    yield values("empty objects", "items", lambda: array("{}"))
    yield values("unknown properties", "items", lambda: array('{"id":1,"a":1,"b":2,"c":3}'))
    yield values("wrong tags", "items", lambda: f'[{{"id":1,"tags":{array("1")}}}]')
    yield values("tagged union", "shapes", lambda: array('{"kind":"circle","radius":1}'))
    yield values("nested tagged union", "shapes", lambda: array(group(60)))
    yield values("wrong tags", "shapes", lambda: array('{"kind":"x","radius":1}'))
    yield values("deep and ambiguous", "trees", lambda: tree(150, 36))
    yield values("wide and ambiguous", "trees", lambda: tree(1, 4_500))
    yield values("ambiguous and wrong", "trees", lambda: tree(20, 270).replace("1", '"x"'))
    yield values("nested arrays", "trees", lambda: array(nested(29)))
    yield values("integers", "trees", lambda: array("1"))
    yield values("objects that are told apart", "trees", lambda: array('{"a":1,"k":1}'))
    yield values(
        "a long string, then ambiguous",
        "trees",
        lambda: f'[{{"z":"{"x" * 9_000_000}","a":1}},{tree(20, 200)[1:]}',
    )
    yield values("small and ambiguous", "trees", lambda: tree(12, 1))
    yield values("numbers", "unique", lambda: numbered("#"))
    yield values("large numbers", "unique", lambda: numbered("#000000000000000000000001"))
    yield values("fractions", "unique", lambda: numbered("1.#7777777777777777777777"))
    yield values("arrays", "unique", lambda: numbered("[#]"))
    yield values("objects", "unique", lambda: numbered('{"b":#,"a":1}'))
    yield values("equal strings", "unique", lambda: array('"a"'))
    yield values("no match", "contains", lambda: array('"aaaaaaaaaaaaaaaaaaaaaaac"'))
    yield values("numbers", "contains", lambda: numbered("#"))
    yield values("backtracking", "pattern", lambda: f'"{"a" * 40}!"')
    yield values("1 MiB", "pattern", lambda: f'"{"a" * _MIB}!"')


def _texts() -> Iterable[Attack]:
    size = 10 * _MIB - 200
    yield values("10 MiB", "text", lambda: f'"{"a" * size}"')
    yield values(
        "10 MiB of escapes",
        "text",
        lambda: f'"{(chr(92) + "n") * ESCAPES}{"a" * (size - 2 * ESCAPES)}"',
        keeps=_KEPT,
    )
    commas = "," * (VALUES + 200)
    yield values(
        "10 MiB of escapes and commas", "text", lambda: f'"{(chr(92) * 2) * ESCAPES}{commas * 100}"'
    )
    yield values("10 MiB of wide characters", "text", lambda: f'"{chr(0x1F600) * (size // 4)}"')
    yield values("10 MiB, one lone surrogate", "text", lambda: f'"{LONE}{"a" * (size - 10)}"')
    yield values(
        "1 MiB, 1,480 lone surrogates", "text", lambda: f'"{LONE * 1_480}{"a" * (_MIB - 10_000)}"'
    )
    yield values(
        "numbers, one lone surrogate", "any", lambda: f'["{LONE}",{array("1.10", most=SLOW)[1:]}'
    )
    yield values(
        "numbers of 31 digits, one lone surrogate",
        "any",
        lambda: f'["{LONE}",{array(_DIGITS, most=SLOW)[1:]}',
    )
    yield values(
        "integers of 4,300 digits, one lone surrogate",
        "any",
        lambda: f'["{LONE}",{array(_LONG, most=SLOW)[1:]}',
    )
    yield values(
        "objects, one lone surrogate",
        "items",
        lambda: f'[{{"id":1,"name":"{LONE}"}},{array(_ITEM, most=SLOW - 20)[1:]}',
    )
    yield values(
        "objects, one lone surrogate",
        "unique",
        lambda: f'["{LONE}",{numbered(_ITEM.replace("1", "#"), most=SLOW)[1:]}',
    )
    yield Attack("a name of 10 MiB", lambda: flood(request("p" * size, "1")))
    yield Attack("a type of 10 MiB", lambda: flood(line(f'"typ":"{"t" * size}","rid":"r"')))
    yield Attack(
        "an unknown property of 10 MiB",
        lambda: flood(line(f'"typ":"abort","rid":"r","{"x" * size}":1')),
    )
    yield Attack(
        "1 MiB that end too soon",
        lambda: flood(request("any", "[" + '"a",' * 11_800 + '"' + "b" * 950_000)[:-4] + b"\n"),
    )
    yield Attack("10 MiB of spaces", lambda: flood(b'{"header":' + b" " * size + b"\n"))
    yield Attack("300 KiB nested too deep", lambda: flood(b"[" * 12_000 + b"\n"))


def _lines() -> Iterable[Attack]:
    yield Attack("lines of 2 bytes", lambda: flood(b"1\n" * 32_768), over_tcp=True)
    yield Attack("blank lines", lambda: flood(b"\n" * 65_536))
    yield Attack("lines of 33 bytes", lambda: flood((b"x" * 32 + b"\n") * 2_000), over_tcp=True)
    yield Attack("lines of 60 bytes", lambda: flood((b"x" * 59 + b"\n") * 1_000))
    yield Attack("lines of 4 KiB", lambda: flood((b"[" + b"1," * 2_000 + b"x\n") * 50))
    yield Attack(
        "lines of 4,095 bytes with few numbers",
        lambda: flood((b"[" + b"1.10," * 800 + b"x\n") * 50),
    )
    yield Attack("invalid params", lambda: flood(batch(lambda n: request("ping", '"x"', str(n)))))
    yield Attack(
        "invalid small models",
        lambda: flood(batch(lambda n: request("items", '[{"id":"x","tags":[1]}]', str(n)))),
    )
    yield Attack("unknown procedures", lambda: flood(batch(lambda n: request("p", "1", str(n)))))
    yield Attack(
        "small requests",
        lambda: flood(batch(lambda n: request("ping", "1", str(n)))),
        over_tcp=True,
    )
    yield Attack(
        "small requests, 100 connections",
        lambda: flood(batch(lambda n: request("ping", "1", str(n))), connections=100),
    )
    yield Attack(
        "small ambiguous values",
        lambda: flood(batch(lambda n: request("trees", tree(4, 1), str(n)))),
    )
    yield Attack(
        "signed requests",
        lambda: flood(
            batch(
                lambda n: request("ping", "1", str(n))
                .replace(b'"none"', b'"ES256"')
                .replace(b"}}\n", b'},"signature":"s"}\n')
            )
        ),
    )
    yield Attack(
        "lone surrogates in small requests",
        lambda: flood(batch(lambda n: request("any", f'"{LONE}"', str(n)))),
    )
    yield Attack(
        "events", lambda: flood(batch(lambda _: line('"typ":"event","prc":"note","data":1')))
    )
    yield Attack(
        "events of 30 KiB",
        lambda: flood(
            batch(lambda _: line(f'"typ":"event","prc":"note","data":{array("1", size=60_000)}'))
        ),
    )
    yield Attack("aborts", lambda: flood(batch(lambda n: line(f'"typ":"abort","rid":"{n}"'))))
    yield Attack(
        "opened and aborted",
        lambda: flood(
            batch(lambda n: request("wait", "1", str(n)) + line(f'"typ":"abort","rid":"{n}"'))
        ),
    )
    yield Attack(
        "expired requests", lambda: flood(batch(lambda n: request("wait", "1", str(n), ',"ttl":1')))
    )
    yield Attack(
        "unread replies",
        lambda: flood(batch(lambda n: request("ping", "1", str(n))), connections=20, reads=False),
    )
    yield Attack(
        "unread streams",
        lambda: hold(
            lambda _: batch(lambda n: line(f'"typ":"stream","rid":"{n}","prc":"feed"')),
            connections=20,
        ),
        over_tcp=True,
        keeps=_KEPT,  # malloc_trim() returns all but 14 MiB of it
    )
    item = line(f'"typ":"send","prc":"sink","rid":"r","val":{array("[]", size=3_000)}')
    opening = line('"typ":"channel","prc":"sink","rid":"r"')
    yield Attack("items that are not taken", lambda: hold(lambda _: opening + item * 8_000))


def _connections() -> Iterable[Attack]:
    def open_calls(count: int, param: str = "1", header: str = "") -> Callable[[int], bytes]:
        data = b"".join(request("wait", param, str(n), header) for n in range(count))
        return lambda _: data

    half = b"a" * (10 * _MIB - 10)
    yield Attack("half messages, 50 connections", lambda: hold(lambda _: half, connections=50))
    yield Attack(
        "slow half messages, 50 connections",
        lambda: flood(half, connections=50, piece=20_000, pause=0.002),
        settles=40,
    )
    yield Attack(
        "1,000 open calls",
        lambda: hold(open_calls(1_000, array("[]", size=10_000))),
        settles=40,
        keeps=_KEPT,
    )
    yield Attack("10,000 open calls", lambda: hold(open_calls(10_000)), over_tcp=True)
    yield Attack(
        "10,000 open streams",
        lambda: hold(
            lambda _: b"".join(
                line(f'"typ":"channel","rid":"{n}","prc":"sink"') for n in range(10_000)
            )
        ),
        keeps=_KEPT,
    )
    yield Attack("10,000 deadlines at once", lambda: hold(open_calls(10_000, header=',"ttl":300')))
    yield Attack(
        "large deadlines at once",
        lambda: hold(open_calls(1_000, array("[]", size=10_000), ',"ttl":300')),
        settles=40,
        keeps=_KEPT,
    )
    yield Attack("connections opened and closed", lambda: knock, over_tcp=True)
    yield Attack(
        "an invalid message on each of 1,000 connections",
        lambda: hold(lambda n: request("ping", f'"{n}"'), connections=1_000),
    )


_HANDSHAKE: Final = (
    b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-protocol: enkaku.v1\r\n\r\n"
)
_TEXT: Final = 0x81  # the first byte of a frame with a whole text
_PING: Final = 0x89


def frame(data: bytes, first: int = _TEXT) -> bytes:
    """Return a frame of a WebSocket."""
    size = len(data)
    if size < 126:
        head = bytes((first, 0x80 + size))
    elif size < 2**16:
        head = bytes((first, 0xFE)) + size.to_bytes(2)
    else:
        head = bytes((first, 0xFF)) + size.to_bytes(8)
    return head + bytes(4) + data  # a mask of zeros changes nothing


def post(body: bytes, headers: bytes = b"") -> bytes:
    """Return a POST."""
    head = b"POST / HTTP/1.1\r\nhost: a\r\n%bcontent-length: %d\r\n\r\n" % (headers, len(body))
    return head + body


def web(name: str, payload: Callable[[], bytes], *, connections: int = 1) -> Attack:
    """Return an attack by POSTs."""
    run = lambda: flood(payload(), connections=connections)  # noqa: E731 # a function for one line
    keeps = _KEPT if connections == 1 else _PIPELINED
    return Attack(f"HTTP: {name}", run, over_http=True, keeps=keeps)


def frames(name: str, payload: Callable[[], bytes], *, reads: bool = True) -> Attack:
    """Return an attack over a WebSocket."""
    run = lambda: flood(payload(), opening=_HANDSHAKE, reads=reads)  # noqa: E731 # as above
    return Attack(f"WebSocket: {name}", run, over_http=True, keeps=_KEPT)


def _web() -> Iterable[Attack]:
    size = 10 * _MIB - 200
    ping = request("ping", "1")[:-1]
    note = line('"typ":"event","prc":"note","data":1')[:-1]
    big = lambda: request("text", f'"{"a" * size}"')[:-1]  # noqa: E731 # as above
    yield web("small requests", lambda: post(ping) * 500)
    yield web("small requests, 100 connections", lambda: post(ping) * 50, connections=100)
    yield web("events", lambda: post(note) * 500)
    yield web("bodies that are no messages", lambda: post(b"1") * 500)
    yield web("bodies of 10 MiB", lambda: post(big()))
    yield web("10 MiB of invalid UTF-8", lambda: post(b'"' + b"\xff" * size + b'"'))
    yield web("numbers", lambda: post(request("any", array("1"))[:-1]))
    yield web("10 MiB of short chunks", lambda: _CHUNKED + b"1\r\n1\r\n" * 100_000 + b"0\r\n\r\n")
    yield web("headers", lambda: post(ping, b"".join(b"a%d: 1\r\n" % n for n in range(4_000))) * 10)
    yield web("1,000 open requests", lambda: post(request("wait", "1")[:-1]), connections=1_000)
    yield frames("frames of 1 byte", lambda: frame(b"1") * 20_000)
    yield frames("small requests", lambda: frame(ping) * 1_000)
    yield frames("events", lambda: frame(note) * 1_000)
    yield frames("pings", lambda: frame(b"", _PING) * 20_000)
    yield frames("unread pings", lambda: frame(b"a" * 100, _PING) * 5_000, reads=False)
    yield frames(
        "a message of empty frames", lambda: frame(b'"', 0x01) + frame(b"", 0x00) * 100_000
    )
    yield frames(
        "a message of short frames", lambda: frame(b'"', 0x01) + frame(b"a", 0x00) * 100_000
    )
    yield frames("10 MiB", lambda: frame(big()))
    yield frames("10 MiB in frames of 1 KiB", lambda: _in_frames(big()))
    yield frames("numbers", lambda: frame(request("any", array("1"))[:-1]))


_CHUNKED: Final = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"


def _in_frames(message: bytes) -> bytes:
    pieces = [message[at : at + 1024] for at in range(0, len(message), 1024)]
    first, *others, last = pieces
    return b"".join(
        (frame(first, 0x01), *(frame(each, 0x00) for each in others), frame(last, 0x80))
    )


ATTACKS: Final[Sequence[Attack]] = (
    *_lines(),
    *_values(),
    *_texts(),
    *_connections(),
    *_web(),
)
