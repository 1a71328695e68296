"""No change of a signed message is accepted with another meaning: of any bit, any member, any spelling.

What is accepted has the same message, the same claims, and the same digest, so that it counts as the same message for replays.
The same goes for a whole server: its handlers receive what was signed, and once.
"""

import json
import random
from collections.abc import Hashable
from typing import Any

import pytest
from enkaku import ReplayGuard, delegate
from enkaku.errors import InvalidMessage, Rejected
from enkaku.identity.canonical import canonical
from enkaku.identity.messages import SignedClaims, SignedMessage, Signer, verify_message
from enkaku.identity.tokens import sign, signing_input
from enkaku.wire.messages import encode_event, encode_open
from hypothesis import given, settings
from hypothesis import strategies as st
from identity.peers import ALICE, BOB, CAROL, PAT, SERVER, Clock, Seen, serving

NOW = 1_800_000_000.0
VALUE = b'{"a":[1,2.50,true,null,"x\\u0041\\ud83d\\ude00"],"b":{"c":-1e3,"":"/"},"d":12345678901234567890}'


def without_data(raw: bytes) -> bytes:
    """Sign a message again, in the canonical form, and leave ``data`` out."""
    message = json.loads(raw)
    message.pop("data")
    key = next(key for key in (ALICE, PAT) if key.did == message["payload"]["iss"])
    data = signing_input(canonical(message["header"]), canonical(message["payload"]))
    return json.dumps({**message, "signature": sign(key, data)}).encode()


def _originals() -> list[bytes]:
    options: dict[str, Any] = {"clock": lambda: NOW, "new_id": lambda: "an-id"}
    alice = Signer(ALICE, SERVER.did, subject=BOB.did, capabilities=["a.b.c"], **options)
    pat = Signer(PAT, SERVER.did, **options)
    small = VALUE.replace(b"12345678901234567890", b"1234567890")
    return [
        alice.sign(encode_open("request", "1", "math/add", VALUE, ttl=1000)),
        pat.sign(encode_event("note", VALUE)),
        without_data(alice.sign(encode_open("channel", "1", "math/add", small, ttl=1000))),
        without_data(pat.sign(encode_event("note", small))),
    ]


ORIGINALS = _originals()
originals = st.sampled_from(ORIGINALS)


def verified(raw: bytes) -> SignedMessage | None:
    """Return the message; None if it is rejected, in one of the two ways that there are."""
    try:
        return verify_message(raw, NOW, values=50_000)
    except (Rejected, InvalidMessage):
        return None


def require_harmless(original: bytes, mutated: bytes) -> bool:
    """Check a mutation, and return whether it is accepted."""
    found = verified(mutated)
    assert found is None or found == verified(original)
    return found is not None


def test_originals_are_accepted() -> None:
    assert None not in [verified(raw) for raw in ORIGINALS]


@pytest.mark.parametrize(
    "original", ORIGINALS, ids=["data", "data-ES256", "canonical", "canonical-ES256"]
)
def test_mutation_of_any_bit_is_harmless(original: bytes) -> None:
    accepted = 0
    generator = random.Random(1)
    bits = generator.sample(range(len(original) * 8), 1500)
    for bit in bits:
        accepted += require_harmless(original, _flip(original, bit))
    assert accepted < len(bits) / 100  # such as an "e" that becomes an "E"


@st.composite
def with_other_bytes(draw: st.DrawFn, original: bytes) -> bytes:
    start = draw(st.integers(0, len(original)))
    end = draw(st.integers(start, min(len(original), start + 40)))
    piece = draw(
        st.binary(max_size=6)
        | st.sampled_from([b'"', b"}", b",", b"=", b"==", b" ", b"\\", b".0", b"-", b"1", b"\n"])
        | st.just(original[end : end + 20])
    )
    return original[:start] + piece + original[end:]


@given(originals, st.data())
@settings(max_examples=150)
def test_mutation_of_bytes_is_harmless(original: bytes, data: st.DataObject) -> None:
    require_harmless(original, data.draw(with_other_bytes(original)))


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value) if isinstance(value, list) else ()
    )
    return [path, *(each for key, item in items for each in _paths(item, (*path, key)))]


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from([1e21, 2**53 + 1, 0.1, "", "x", "a.b.c", ALICE.did, BOB.did, PAT.did])
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from(["a", "typ", "iss", "kid", "prc"]), inner, max_size=2),
    max_leaves=3,
)


@st.composite
def with_other_member(draw: st.DrawFn, original: bytes) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(original)
    path = draw(st.sampled_from(_paths(message)[1:]))
    holder: Any = message
    for key in path[:-1]:
        holder = holder[key]
    match draw(st.sampled_from(["set", "delete", "add"])):
        case "set":
            holder[path[-1]] = draw(anything)
        case "delete":
            del holder[path[-1]]
        case _ if isinstance(holder, dict):
            holder[draw(st.sampled_from(["sub", "cap", "exp", "jti", "kid", "x", ""]))] = draw(
                anything
            )
        case _:
            holder.append(draw(anything))
    return message


@given(originals, st.data())
@settings(max_examples=300)
def test_mutation_of_any_member_is_harmless(original: bytes, data: st.DataObject) -> None:
    mutated = data.draw(with_other_member(original))
    accepted = require_harmless(original, json.dumps(mutated).encode())
    message = json.loads(original)
    if (
        "data" in mutated or "data" not in message
    ):  # else it depends on whether the original is canonical
        assert accepted == (mutated == message and _types(mutated) == _types(message))


def _types(value: Any) -> Any:
    """Return a value in which no boolean is equal to a number."""
    if isinstance(value, dict):
        return {name: _types(each) for name, each in value.items()}
    if isinstance(value, list):
        return [*map(_types, value)]
    return (isinstance(value, bool), value)


@st.composite
def spelled_otherwise(draw: st.DrawFn, text: str) -> str:
    at = draw(st.integers(0, len(text)))
    return draw(
        st.sampled_from(
            [text + "=", text + "==", text + "===", text + "\n", " " + text, text + ".", text[:-1]]
        )
        | st.just(text.replace("-", "+").replace("_", "/"))
        | st.sampled_from("ABQRgwxyz09-_=+/").map(lambda char: text[:at] + char + text[at + 1 :])
        | st.sampled_from("ABQRgwxyz09-_").map(lambda char: text[:-1] + char)
    )


@given(originals, st.sampled_from(["signature", "data"]), st.data())
@settings(max_examples=200)
def test_mutation_of_base64_is_harmless(original: bytes, name: str, data: st.DataObject) -> None:
    message = json.loads(original)
    text = message.get(name, message["signature"])
    spelled = data.draw(spelled_otherwise(text))
    accepted = require_harmless(original, json.dumps({**message, name: spelled}).encode())
    padded = {text, text + "=="} if name == "signature" or name not in message else {text}
    assert accepted == (spelled in padded) or name not in message


def _spell(value: Any, choose: random.Random) -> str:
    """Write JSON with other spaces, another order, other escapes and other numbers."""
    space = choose.choice(["", "", " ", "\t", "\r\n"])
    if isinstance(value, dict):
        items = [*value.items()]
        choose.shuffle(items)
        body = ",".join(
            f"{space}{_spell(key, choose)}{space}:{_spell(item, choose)}" for key, item in items
        )
        return f"{{{body}{space}}}"
    if isinstance(value, list):
        return f"[{','.join(_spell(item, choose) for item in value)}{space}]"
    if isinstance(value, str):
        units = value.encode("utf-16-be")
        escaped = "".join(f"\\u{units[i]:02x}{units[i + 1]:02X}" for i in range(0, len(units), 2))
        return (
            f'"{escaped}"'
            if choose.random() < 0.3
            else json.dumps(value, ensure_ascii=choose.random() < 0.5)
        )
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53:
        return choose.choice(
            [
                repr(value),
                f"{value * 10}e-1",
                f"{value}e0",
                f"{value}.0" if isinstance(value, int) else repr(value),
            ]
        )
    return json.dumps(value)


@given(originals, st.integers(0, 2**32))
@settings(max_examples=150)
def test_other_spelling_of_json_has_the_same_meaning(original: bytes, seed: int) -> None:
    spelled = _spell(json.loads(original), random.Random(seed))
    assert require_harmless(original, spelled.encode())


def _served() -> dict[str, tuple[bytes, Seen]]:
    """Return signed messages that the handlers of a server take, and what these must receive."""
    options: dict[str, Any] = {"clock": lambda: NOW, "new_id": lambda: "an-id"}
    token = delegate(ALICE, to=BOB.did, act="*", res=SERVER.did, expires_in=1e9)
    alice, pat = Signer(ALICE, SERVER.did, **options), Signer(PAT, SERVER.did, **options)
    bob = Signer(BOB, SERVER.did, subject=ALICE.did, capabilities=[token], **options)
    value, small = json.loads(VALUE), VALUE.replace(b"12345678901234567890", b"1234567890")
    return {
        "request": (
            alice.sign(encode_open("request", "1", "echo", VALUE, ttl=10**9)),
            Seen("echo", value, ALICE.did, ALICE.did),
        ),
        "event": (
            bob.sign(encode_event("note", VALUE)),
            Seen("note", value, BOB.did, ALICE.did),
        ),
        "canonical": (
            without_data(pat.sign(encode_event("note", small))),
            Seen("note", json.loads(small), PAT.did, PAT.did),
        ),
    }


SERVED = _served()


class Forgetful(ReplayGuard):
    """Takes each message again and again, so that a handler sees all that is accepted."""

    def admit_here(
        self, message: SignedClaims, connection: Hashable, *, known: bool = True
    ) -> None:
        return None


@pytest.mark.parametrize("name", SERVED)
@given(data=st.data())
@settings(max_examples=12)
async def test_mutations_reach_handler_as_what_was_signed(name: str, data: st.DataObject) -> None:
    original, meaning = SERVED[name]
    message = json.loads(original)
    part = data.draw(st.sampled_from(["signature", "data"]))
    mutations = st.one_of(
        st.integers(0, len(original) * 8 - 1).map(lambda bit: _flip(original, bit)),
        with_other_bytes(original),
        with_other_member(original).map(lambda mutated: json.dumps(mutated).encode()),
        spelled_otherwise(message.get(part, message["signature"])).map(
            lambda text: json.dumps({**message, part: text}).encode()
        ),
        st.integers(0, 2**32).map(lambda seed: _spell(message, random.Random(seed)).encode()),
    )
    mutated = data.draw(st.lists(mutations, min_size=40, max_size=40))
    rules = {"*": {ALICE.did, BOB.did, PAT.did}, "math/*": {CAROL.did}}
    async with serving(rules, Clock(NOW), replays=Forgetful(clock=Clock(NOW))) as server:
        # A request whose rid is in use would not reach its handler.
        await server.send_all([original, *mutated], apart=name == "request")
        assert server.seen
        for seen in server.seen:
            assert _types([*seen]) == _types([*meaning])
    async with serving(rules, Clock(NOW)) as server:
        await server.send_all([original, *mutated])
        assert server.seen == [meaning]


def _flip(original: bytes, bit: int) -> bytes:
    mutated = bytearray(original)
    mutated[bit // 8] ^= 1 << bit % 8
    return bytes(mutated)
