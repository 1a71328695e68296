"""Signing and verifying messages: what is refused, before and after a signature is checked."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from enkaku.errors import InvalidMessage, Rejected
from enkaku.identity import messages as signed_messages
from enkaku.identity.canonical import canonical
from enkaku.identity.encodings import to_base64url
from enkaku.identity.keys import KeyPair
from enkaku.identity.messages import Claims, SignedMessage, Signer, verify_message
from enkaku.identity.tokens import sign, signing_input
from enkaku.wire.messages import (
    Abort,
    ClientEnvelope,
    Event,
    OpenRequest,
    Send,
    add_metadata,
    decode_client_message,
    encode_abort,
    encode_event,
    encode_item,
    encode_open,
    introduce,
    send_head,
)
from identity.peers import ALICE, BOB, PAT, SERVER
from msgspec import UNSET

NOW = 1_800_000_000.0
BROKEN = "Invalid token: data does not match header and payload"
ODD_METADATA = rb'{"},\"payload\":{":"\"alg\":\"none\""}'
REQUEST = encode_open("request", "7", "math/add", b'{"a":1,"b":[1.5,true,"x"]}', ttl=5000)


def signer(key: KeyPair = ALICE, **options: Any) -> Signer:
    return Signer(key, SERVER.did, clock=lambda: NOW + 0.9, **options)


def signed(
    payload: dict[str, Any], header: dict[str, Any] | None = None, key: KeyPair = ALICE
) -> dict[str, Any]:
    """Return a message that is signed as it is, valid or not."""
    header = header or {"typ": "JWT", "alg": key.alg}
    data = signing_input(json.dumps(header).encode(), json.dumps(payload).encode())
    return {"header": header, "payload": payload, "signature": sign(key, data), "data": data}


def request(**claims: Any) -> dict[str, Any]:
    members = {"typ": "request", "rid": "7", "prc": "p", "iss": ALICE.did, **claims}
    return {name: value for name, value in members.items() if value is not UNSET}


def verify(message: dict[str, Any] | bytes) -> SignedMessage:
    raw = message if isinstance(message, bytes) else json.dumps(message).encode()
    return verify_message(raw, NOW, values=50_000)


def refusal(message: dict[str, Any] | bytes) -> str:
    with pytest.raises(Rejected) as raised:
        verify(message)
    assert raised.value.code == "EK02"
    return raised.value.message


@pytest.mark.parametrize("key", [ALICE, PAT], ids=["EdDSA", "ES256"])
@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (REQUEST, OpenRequest),
        (introduce(REQUEST), OpenRequest),
        (encode_item(send_head("chat", "7"), b"1e400"), Send),
        (encode_abort("7", "Close"), Abort),
        (encode_event("note", rb'{"lone":"\ud800","big":123456789012345678901234567890}'), Event),
        (encode_event('odd "},"payload":{', None), Event),
        (add_metadata(introduce(REQUEST), ODD_METADATA), OpenRequest),
    ],
    ids=["request", "first", "send", "abort", "event", "odd", "metadata"],
)
def test_signed_message_is_verified(key: KeyPair, message: bytes, kind: type) -> None:
    raw = signer(key, new_id=lambda: "id").sign(message)
    verified = verify(raw)
    assert type(verified.envelope.payload) is kind
    expected = Claims(iss=key.did, aud=SERVER.did, iat=int(NOW), jti="id")
    assert verified.claims == expected
    assert verified.envelope.header.alg == key.alg


def test_sign_keeps_header_and_payload_in_order() -> None:
    message = json.loads(signer().sign(introduce(REQUEST)))
    assert [*message] == ["header", "payload", "signature", "data"]
    assert [*message["header"]] == ["typ", "alg", "ext", "ttl"]
    assert [*message["payload"]] == ["typ", "rid", "prc", "prm", "jti", "iat", "iss", "aud"]


def test_sign_each_message_has_another_id() -> None:
    one, other = (json.loads(signer().sign(REQUEST))["payload"]["jti"] for _ in range(2))
    assert one != other
    assert len(one) == 36


@pytest.mark.parametrize("key", [ALICE, PAT], ids=["EdDSA", "ES256"])
@pytest.mark.parametrize("more", [{}, {"subject": BOB.did, "capabilities": ["a.b.c", "d.e"]}])
def test_signed_size_is_known_before(key: KeyPair, more: dict[str, Any]) -> None:
    signs = Signer(key, SERVER.did, **more)
    for length in range(8):  # the sizes of base64 repeat after three
        for message in (
            encode_open("channel", "7", "p" * length, b'"x"', win=10**length, ttl=5),
            introduce(encode_event("note", b"1" * length)),
            encode_item(send_head("chat", "7"), b"1" * (length + 1)),
            add_metadata(REQUEST, ODD_METADATA),
        ):
            assert signs.size(message) == len(signs.sign(message))


def test_sign_writes_subject_and_capabilities() -> None:
    raw = signer(subject=BOB.did, capabilities=["a.b.c", "d.e.f"]).sign(REQUEST)
    claims = verify(raw).claims
    assert (claims.sub, claims.capabilities) == (BOB.did, ("a.b.c", "d.e.f"))
    raw = Signer(ALICE, capabilities=["a.b.c"]).sign(REQUEST)
    assert json.loads(raw)["payload"]["cap"] == "a.b.c"
    assert "aud" not in json.loads(raw)["payload"]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (REQUEST, "Message is not signed"),
        (encode_item(send_head("chat", "7"), b"1"), "Channel send message must be signed"),
        (encode_abort("7", None), "Abort message must be signed"),
        (signed(request(iss=UNSET)), "Message is not signed"),
    ],
)
def test_verify_unsigned_message_is_rejected(message: Any, text: str) -> None:
    assert refusal(message) == text


@pytest.mark.parametrize(
    "message",
    [
        b"{",
        b"[]",
        b'{"header":{"typ":"JWT","alg":"HS256"},"payload":{"typ":"event","prc":"p"}}',
        signed(request(act="*")),
        signed(request(jwe="x")),
        signed(request(iss="x" * 257)),
        signed(request(aud="x" * 257)),
        signed(request(sub="x" * 257)),
        signed(request(jti="x" * 129)),
        signed(request(iss=1)),
        signed(request(aud=None)),
        signed(request(cap=[1])),
        signed(request(cap={})),
        signed(request(exp="1")),
        signed(request(exp=True)),
        signed(request(iat=None)),
        signed(request(nbf=[1])),
        signed(request(exp=10**400)),
        signed(request(), {"typ": "JWT", "alg": "none"}),
        signed(request(), {"typ": "JWS", "alg": "EdDSA"}),
        signed(request(), {"typ": "JWT", "alg": "EdDSA", "kid": 1}),
        {**signed(request()), "more": 1},
        {**signed(request()), "signature": 1},
        {**signed(request()), "data": None},
    ],
    ids=lambda message: json.dumps(message)[-80:] if isinstance(message, dict) else str(message),
)
def test_verify_invalid_message_is_invalid(message: Any) -> None:
    with pytest.raises(InvalidMessage):
        verify(message)


def test_verify_invalid_message_names_its_call() -> None:
    with pytest.raises(InvalidMessage) as raised:
        verify(signed(request(exp="1")))
    assert (raised.value.typ, raised.value.rid) == ("request", "7")


def test_verify_alg_of_another_key_is_rejected() -> None:
    assert refusal(signed(request(), {"typ": "JWT", "alg": "ES256"})) == "Invalid signature"
    header = {"typ": "JWT", "alg": "EdDSA"}
    assert refusal(signed(request(iss=PAT.did), header, PAT)) == "Invalid signature"


def test_verify_signature_of_another_key_is_rejected() -> None:
    assert refusal(signed(request(iss=BOB.did))) == "Invalid signature"


@pytest.mark.parametrize(
    "signature", ["", "AAAA", "!!", "A" * 86, "A" * 88, "A" * 89, "A" * 512, "é" * 86]
)
def test_verify_other_signature_is_rejected(signature: str) -> None:
    assert refusal({**signed(request()), "signature": signature}) == "Invalid signature"
    assert refusal({**signed(request()), "signature": signature, "data": "x"}) == BROKEN


@pytest.mark.parametrize(
    ("iss", "text"),
    [
        ("did:peer:4zabc", "Unknown DID: did:peer:4zabc"),
        ("did:kokuin:abc", "Unknown DID: did:kokuin:abc"),
        ("did:key:zabc", "Unsupported DID signature codec"),
        ("did:key:z0", "Invalid DID format"),
    ],
)
def test_verify_issuer_without_key_is_rejected(iss: str, text: str) -> None:
    assert refusal(signed(request(iss=iss))) == text


@pytest.mark.parametrize(
    ("claims", "text"),
    [
        ({"exp": NOW - 1}, "Token expired"),
        ({"exp": NOW - 0.5}, "Token expired"),
        ({"nbf": NOW + 1}, "Token not yet valid"),
        ({"exp": -1}, "Token expired"),
    ],
)
def test_verify_message_at_another_time_is_rejected(claims: dict[str, Any], text: str) -> None:
    assert refusal(signed(request(**claims))) == text


@pytest.mark.parametrize("claims", [{"exp": NOW}, {"nbf": NOW}, {"exp": NOW + 1, "nbf": NOW - 1}])
def test_verify_message_within_its_times_is_accepted(claims: dict[str, Any]) -> None:
    assert verify(signed(request(**claims))).claims.iss == ALICE.did
    assert verify_message(json.dumps(signed(request(exp=NOW))).encode(), NOW + 0.99, values=50_000)


def test_verify_dispatches_on_signed_bytes() -> None:
    message = signed(request(prm=1.5))
    message["payload"]["prm"] = 1.5
    raw = json.dumps(message).replace('"prm": 1.5', '"prm": 15e-1').encode()
    payload = verify(raw).envelope.payload
    assert isinstance(payload, OpenRequest)
    assert bytes(payload.prm) == b"1.5"  # type: ignore[arg-type] # it is set


def test_verify_own_message_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []

    def decode(raw: bytes) -> ClientEnvelope:
        decoded.append(raw)
        return decode_client_message(raw)

    monkeypatch.setattr(signed_messages, "decode_client_message", decode)
    raw = signer().sign(REQUEST)
    verify(raw)
    assert decoded == [raw]


@pytest.mark.parametrize(
    ("written", "received", "equal"),
    [
        ("1", "1.0", True),
        ("1", "10e-1", True),
        ("0", "-0.0", True),
        ('"a"', r'"\u0061"', True),
        (r'"\ud83d\ude00"', '"😀"', True),
        ('{"a":1,"b":2}', '{"b":2, "a":1}', True),
        ("1", "true", False),
        ("0", "false", False),
        ("1", '"1"', False),
        ("null", "false", False),
        ("[1]", "[1,1]", False),
        ("{}", "[]", False),
        ('{"a":1}', '{"a":1,"b":null}', False),
        ('{"a":1}', '{"A":1}', False),
        ("9007199254740993", "9007199254740992", False),
        ("0.1", "0.1000000000000000055511151231257827", False),
        ("1e400", "1e401", False),
        ("[1,[true]]", "[1,[1]]", False),
        ('{"a":{"b":0}}', '{"a":{"b":false}}', False),
        ("1e999999999", "10e999999998", True),
        ("1e99999999999999999999", "1e99999999999999999998", False),
        ('{"a":1}', '{"a":1,"a":1}', False),
        ('{"a":1}', '{"a":2,"a":1}', False),
    ],
)
def test_verify_envelope_must_equal_signed(written: str, received: str, *, equal: bool) -> None:
    payload = f'{{"typ":"request","rid":"7","prc":"p","prm":%s,"iss":"{ALICE.did}"}}'
    header = '{"typ":"JWT","alg":"EdDSA"}'
    data = signing_input(header.encode(), (payload % written).encode())
    raw = (
        f'{{"header":{header},"payload":{payload % received},"signature":"{sign(ALICE, data)}","data":"{data}"}}'
    ).encode()
    if equal:
        found = verify(raw).envelope.payload
        assert isinstance(found, OpenRequest)
        assert json.loads(bytes(found.prm)) == json.loads(written)  # type: ignore[arg-type] # it is set
    else:
        with pytest.raises((Rejected, InvalidMessage)):
            verify(raw)


@pytest.mark.parametrize(
    "payload",
    [
        '{"typ":"request","rid":"7","prc":"p","prc":"q","iss":"%s"}',
        '{"typ":"request","rid":"7","prc":"p","iss":"did:key:z","iss":"%s"}',
        '{"typ":"request","rid":"7","prc":"p","prm":{"a":1,"a":2},"iss":"%s"}',
    ],
)
def test_verify_repeated_name_that_was_signed_is_rejected(payload: str) -> None:
    header = b'{"typ":"JWT","alg":"EdDSA"}'
    text = (payload % ALICE.did).encode()
    data = signing_input(header, text)
    template = b'{"header":%b,"payload":%b,"signature":"%b","data":"%b"}'
    assert refusal(template % (header, text, sign(ALICE, data).encode(), data.encode())) == BROKEN
    without = b'{"header":%b,"payload":%b,"signature":"%b"}' % (
        header,
        text,
        sign(ALICE, data).encode(),
    )
    with pytest.raises(InvalidMessage):
        verify(without)


@pytest.mark.parametrize("name", ["header", "payload", "signature", "data"])
def test_verify_repeated_name_of_envelope_is_rejected(name: str) -> None:
    message = signed(request())
    raw = json.dumps(message)
    again = f"{raw[:-1]}, {json.dumps(name)}: {json.dumps(message[name])}}}"
    with pytest.raises(InvalidMessage):
        verify(again.encode())


def canonically(payload: dict[str, Any]) -> dict[str, Any]:
    """Return a message that is signed in the canonical form, without ``data``."""
    message = signed(payload)
    data = signing_input(canonical(message["header"]), canonical(payload))
    return {"header": message["header"], "payload": payload, "signature": sign(ALICE, data)}


def test_verify_without_data_computes_canonical_form() -> None:
    message = canonically(request(prm={"b": [1, 2.5, "é"], "a": -0.0}))
    assert verify(message).claims.iss == ALICE.did
    raw = json.dumps(message, indent=2).replace("2.5", "25e-1").replace(" 1,", " 1.0,")
    found = verify(raw.encode()).envelope.payload
    assert isinstance(found, OpenRequest)
    assert bytes(found.prm) == '{"a":0,"b":[1,2.5,"é"]}'.encode()  # type: ignore[arg-type] # it is set


@pytest.mark.parametrize(
    "prm", ["9007199254740993", "0.10000000000000000001", r'"\ud800"', "1e400"]
)
def test_verify_without_data_rejects_what_has_no_form(prm: str) -> None:
    raw = json.dumps(canonically(request(prm=1))).replace('"prm": 1', f'"prm": {prm}')
    assert refusal(raw.encode()) == "Invalid signature"


UNCHECKED: dict[str, Callable[[], dict[str, Any]]] = {
    "issuer": lambda: signed(request(iss="did:key:z" + "1" * 248)),
    "signature": lambda: {**signed(request()), "signature": "A" * 89},
    "capabilities": lambda: signed(request(cap=["x"] * 5)),
    "large capability": lambda: signed(request(cap="x" * 8193)),
    "data": lambda: {
        **signed(request()),
        "data": f"{to_base64url(b'{}')}.{to_base64url(b' ' * 3000 + b'{}')}",
    },
}


@pytest.mark.parametrize("name", UNCHECKED)
def test_verify_bounds_work_before_a_signature(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    message = UNCHECKED[name]()

    def verified(*_: object) -> bool:
        raise AssertionError("a signature was checked")

    for key in (ALICE, PAT):
        public = signed_messages.require_signature.__globals__["public_key"](key.did)
        monkeypatch.setattr(type(public), "verifies", verified)
    with pytest.raises((Rejected, InvalidMessage)):
        verify(message)


def test_verify_values_in_data_are_counted() -> None:
    many = {**signed(request(prm=[0] * 50_000)), "payload": request(prm="x" * 100_000)}
    for message in (many, signed(request(prm=[0] * 50_000)), canonically(request(prm=[0] * 5000))):
        with pytest.raises(Rejected) as raised:
            verify(message)
        assert (raised.value.code, raised.value.message) == ("EK06", "Message has too many values")
    assert verify(signed(request(prm=[0] * 49_000)))
    assert verify(canonically(request(prm=[0] * 4900)))


@pytest.mark.parametrize(
    "nested", ["[" * 400 + "]" * 400, '{"a":' * 600 + "1" + "}" * 600, "[" * 5000 + "]" * 5000]
)
def test_verify_deep_value_ends_in_an_error_or_not(nested: str) -> None:
    text = f'{{"typ":"request","rid":"7","prc":"p","prm":{nested},"iss":"{ALICE.did}"}}'
    header = '{"typ":"JWT","alg":"EdDSA"}'
    data = signing_input(header.encode(), text.encode())
    for space in ("", " "):  # written as the sender writes, and otherwise
        raw = f'{{"header":{header},{space}"payload":{text},"signature":"{sign(ALICE, data)}","data":"{data}"}}'
        with contextlib.suppress(InvalidMessage, Rejected):
            assert verify(raw.encode()).claims.iss == ALICE.did


def test_verify_capabilities_have_at_most_four_links() -> None:
    assert len(verify(signed(request(cap=["x"] * 4))).claims.capabilities) == 4
    assert refusal(signed(request(cap=["x"] * 5))) == "Invalid capability: more than 4 links"
    assert verify(signed(request(cap=["x" * 4096] * 2)))
    assert (
        refusal(signed(request(cap=["x" * 4096, "x" * 4097])))
        == "Invalid capability: more than 8192 bytes"
    )
