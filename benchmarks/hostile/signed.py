"""The attacks on a server with an identity: by those who may not call, and by those who may."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache
from itertools import count, cycle
from typing import Final

from enkaku import KeyPair, delegate
from enkaku.identity.messages import Signer
from enkaku.identity.tokens import sign, signing_input

from hostile.attacks import (
    LONE,
    SLOW,
    Aim,
    Attack,
    Run,
    array,
    batch,
    connect,
    flood,
    request,
    wide_object,
)
from hostile.identities import CALLER, CALLER_P256, INNOCENT, SERVER, STRANGER, key_named

__all__ = ["SIGNED_ATTACKS", "allowed", "opening", "refused"]

_MIB: Final = 1024 * 1024
_KEPT: Final = 64 * _MIB  # as attacks._KEPT
_MESSAGES: Final = 100_000
_FEW_MESSAGES: Final = 2_000  # for the test suite
_ON_EACH: Final = (
    200  # a connection ends after 100 messages that prove nothing, which is half of them
)
_PAYLOAD: Final = 4_390_000  # bytes of a value whose signed message has almost 10 MiB
_caller: Final = Signer(CALLER, SERVER.did)
_caller_p256: Final = Signer(CALLER_P256, SERVER.did)


def _signed(message: bytes, signer: Signer = _caller) -> bytes:
    """Sign a line."""
    return signer.sign(message[:-1]) + b"\n"


def _respelled(line: bytes) -> bytes:
    """Return a signed line as other writers may spell it, so that it has to be compared with what was signed."""
    return line.replace(b'{"header"', b'{ "header"', 1)


def _by_hand(number: int, key: KeyPair, **claims: object) -> dict[str, object]:
    """Return a signed request with other claims."""
    header = {"typ": "JWT", "alg": key.alg}
    payload: dict[str, object] = {
        "typ": "request",
        "rid": str(number),
        "prc": "any",
        "prm": 1,
        "aud": SERVER.did,
        "iat": int(time.time()),
        "jti": f"by hand {number}",
        "iss": key.did,
        **claims,
    }
    data = signing_input(*(json.dumps(each).encode() for each in (header, payload)))
    return {"header": header, "payload": payload, "signature": sign(key, data), "data": data}


def _line(message: dict[str, object]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _forged(number: int) -> bytes:
    message = _by_hand(number, INNOCENT)
    return _line({**message, "signature": _by_hand(number, STRANGER)["signature"]})


def _mutated(number: int) -> bytes:
    return _line(_by_hand(number, CALLER)).replace(b'"prm": 1', b'"prm": 2', 1)


def _foreign(number: int) -> bytes:
    """Return an item, or an abort, for the channel that ``opening`` opens, by somebody else."""
    payload = (
        '"typ":"send","prc":"sink","rid":"open","val":1'
        if number % 16 < 8
        else '"typ":"abort","rid":"open","rsn":"Close"'
    )
    line = b'{"header":{"typ":"JWT","alg":"none"},"payload":{%b}}\n' % payload.encode()
    return _signed(line, Signer(STRANGER, SERVER.did))


_REFUSED: Final[Sequence[Callable[[int], bytes]]] = (
    lambda number: request("any", "1", str(number)),
    _forged,
    lambda number: _line(_by_hand(number, CALLER, exp=1_000_000_000)),
    _mutated,
    lambda number: _line(_by_hand(number, CALLER, iat=int(time.time()) - 3_600)),
    lambda number: _line(_by_hand(number, CALLER, aud=STRANGER.did)),
    lambda number: _line(_by_hand(number, STRANGER)),
    _foreign,
)


def allowed(number: int) -> bytes:
    """Return a message that may reach a handler, once."""
    return _line(_by_hand(number, CALLER))


def refused(number: int) -> bytes:
    """Return a message that must not reach a handler: of eight kinds, of which the first four prove nothing."""
    return _REFUSED[number % len(_REFUSED)](number)


def opening() -> bytes:
    """Return a message that opens the channel ``"open"``, and may."""
    line = b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"channel","rid":"open","prc":"sink"}}\n'
    return _signed(line)


def _send_refused() -> Run:
    """Send messages that must not reach a handler, on connections that last as long as they can."""
    lines = [refused(number) for number in range(_FEW_MESSAGES)]
    groups = [b"".join(lines[at : at + _ON_EACH]) for at in range(0, len(lines), _ON_EACH)]

    def run(aim: Aim) -> None:
        messages = _MESSAGES if aim.seconds > 1 else _FEW_MESSAGES
        for _, group in zip(range(0, messages, _ON_EACH), cycle(groups), strict=False):
            with connect(aim.address) as client, suppress(ConnectionError):
                client.settimeout(10)
                client.sendall(opening() + group)
                aim.sent += len(group)
                client.shutdown(1)
                while client.recv(_MIB):
                    pass

    return run


@cache
def _keys() -> Sequence[KeyPair]:
    return [key_named(f"link {number}") for number in range(4)]


def _delegated() -> bytes:
    """Return requests in the name of a key, each with another chain of 4 capabilities, more than are remembered."""
    root, *others = _keys()
    links: dict[str, object] = {"act": "ping", "res": SERVER.did}
    parents = list[str]()
    for key, to in zip((root, *others[:-1]), others, strict=True):
        parent = parents[0] if parents else None
        made = delegate(key, to=to.did, **links, expires_in=86_400, parent=parent)  # type: ignore[arg-type] # str
        parents.insert(0, made)
    numbers = count()

    def make(number: int) -> bytes:
        last = delegate(
            others[-1],
            to=CALLER.did,
            act="ping",
            res=SERVER.did,
            expires_in=3_600 + next(numbers),
            parent=parents[0],
        )
        signer = Signer(CALLER, SERVER.did, subject=root.did, capabilities=[last, *parents])
        return _signed(request("ping", "1", str(number)), signer)

    return b"".join(make(number) for number in range(1_200))


def _attack(name: str, payload: Callable[[], bytes], *, keeps: int = 32 * _MIB) -> Attack:
    return Attack(f"signed: {name}", lambda: flood(payload()), signed=True, keeps=keeps)


def _attacks() -> Iterable[Attack]:
    yield Attack("signed: 100,000 messages that are refused", _send_refused, signed=True)
    yield _attack(
        "small requests", lambda: batch(lambda n: _signed(request("ping", "1", str(n))), 256 * 1024)
    )
    yield _attack(
        "small requests, ES256",
        lambda: batch(lambda n: _signed(request("ping", "1", str(n)), _caller_p256), 256 * 1024),
    )
    yield _attack("forged requests", lambda: batch(_forged, 256 * 1024))
    yield _attack("chains of 4 capabilities", _delegated)
    yield _attack("10 MiB", lambda: _signed(request("text", f'"{"a" * _PAYLOAD}"')), keeps=_KEPT)
    yield _attack(
        "10 MiB of wide characters in another spelling",
        lambda: _respelled(_signed(request("text", f'"{chr(0x1F600) * (_PAYLOAD // 4)}"'))),
        keeps=_KEPT,
    )
    yield _attack(
        "one object in another spelling",
        lambda: _respelled(_signed(request("any", wide_object()))),
    )
    yield _attack(
        "numbers, one lone surrogate",
        lambda: _signed(request("any", f'["{LONE}",{array("1.10", most=SLOW)[1:]}')),
    )


SIGNED_ATTACKS: Final[Sequence[Attack]] = tuple(_attacks())
