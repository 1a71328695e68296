"""Signed messages whose outcome at servers of the TypeScript implementation is known, in both directions.

A private key is SHA-256 of ``enkaku test key NAME``. Where this server decides otherwise, ``why`` has the reason.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from enkaku.identity.canonical import canonical
from enkaku.identity.keys import KeyPair
from enkaku.identity.tokens import sign, signing_input
from identity.peers import ALICE, BOB, KEYS, PAT, SERVER, Clock, Seen, Served, serving

FAR = 4102444800
IAT = 1767225600
RULES = {"echo": {ALICE.did, PAT.did}, "math/*": {ALICE.did}, "note": {ALICE.did}}
BASE = {
    "aud": "SERVER",
    "exp": FAR,
    "iat": IAT,
    "iss": "ALICE",
    "jti": "j1",
    "prc": "echo",
    "prm": {"a": 1},
    "rid": "v1",
    "typ": "request",
}
DIVIDE = {"prc": "math/divide", "prm": {"denominator": 2, "numerator": 1}}
WIRE = (
    '{"header":{"typ":"JWT","alg":"EdDSA"},"payload":{"jti":"j1","iat":1767225600,"aud":"did:key:z6MkoQDzpmtKxr4AVp'
    'Yxm3434cAF5dZ2cynjY49SWKN9tbjo","typ":"request","rid":"v1","prc":"echo","prm":{"a":1},"exp":4102444800,"iss":"'
    'did:key:z6MkphsyqqMDhCCGVediNhSqrsFqBAiJJerzs3Ly3XKg735N"},"signature":"fX9ysuidHCGejBwPaXOjDrdFWMT4rnAq-vtL-U'
    'T-GkIQn_duU_E-wlNX_MeoyAtFIGrAXRRMzrG3cyBLwbt5Bw","data":"eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJhdWQiOiJkaWQ'
    "6a2V5Ono2TWtvUUR6cG10S3hyNEFWcFl4bTM0MzRjQUY1ZFoyY3lualk0OVNXS045dGJqbyIsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzY3M"
    "jI1NjAwLCJpc3MiOiJkaWQ6a2V5Ono2TWtwaHN5cXFNRGhDQ0dWZWRpTmhTcXJzRnFCQWlKSmVyenMzTHkzWEtnNzM1TiIsImp0aSI6ImoxIiw"
    'icHJjIjoiZWNobyIsInBybSI6eyJhIjoxfSwicmlkIjoidjEiLCJ0eXAiOiJyZXF1ZXN0In0"}'
)

CAPABILITIES = {
    "ROOT": (
        {"act": "math/*", "aud": "BOB", "exp": FAR, "iss": "ALICE", "res": "SERVER", "sub": "ALICE"},
        "HC1EsPUx8rv-agKnsp_oPgiy0VUKFGJo4gsrLaa9Ozb4wQfP5hBwZtzUN_wbYVJDgm6azDCXCaGQmCPwDDnZDw",
    ),
    "LEAF": (
        {"act": "math/divide", "aud": "CAROL", "exp": FAR, "iss": "BOB", "res": "SERVER", "sub": "ALICE"},
        "Ie6LQLqd3kXCAbOoWI54qzZmmT9Opy7ewaMnu8Ll24tvZDmhRuKFCpgxoy4YWh5kh9hyzWIkyj8rN-4Iz_xoBQ",
    ),
    "WIDE": (
        {"act": "*", "aud": "CAROL", "exp": FAR, "iss": "BOB", "res": "SERVER", "sub": "ALICE"},
        "COxADNuqj4dpsLEtGLHoSV_ih8wAb8Yy_-Tz1h9XcQ7Ubi7khvsIzbQhpc5n0t9j2MJ7gZ8qrsgiaWYU1ZCwDw",
    ),
    "OLD": (
        {"act": "math/*", "aud": "BOB", "exp": 1767225601, "iss": "ALICE", "res": "SERVER", "sub": "ALICE"},
        "abzdVaN2UNK3UtI1_Blo0cYJMyy1xQPghfctiMQ5k0JOkMG-N6l4VE6AiZauUU1HXdJMq38H3ZPXteSGHTy8Ag",
    ),
    "SRV": (
        {"act": "echo", "aud": "BOB", "exp": FAR, "iss": "SERVER", "res": "SERVER", "sub": "SERVER"},
        "wq6XNjkWvoj9lYJfn9QLDyr9kFza9wLbmgCdE7abW2azcJJBVc6Ey4wLKhhipS3i_wQv7MYmXyEzTCYmPb69DA",
    ),
}  # fmt: skip


class Vector(NamedTuple):
    change: dict[str, Any]
    signature: str
    outcome: str
    why: str = ""


DENIED = "EK02 Access denied"
VECTORS = {
    "valid": Vector(
        {}, "fX9ysuidHCGejBwPaXOjDrdFWMT4rnAq-vtL-UT-GkIQn_duU_E-wlNX_MeoyAtFIGrAXRRMzrG3cyBLwbt5Bw", "accepted"
    ),
    "no times": Vector(
        {"jti": None, "iat": None, "exp": None},
        "MxYmD3w-D0IGg_FDc28xrXEXsrh-8NIAb5DlOBEdFmlmVTSptivgECZAeK7kVI7scC50u5EEfSo4DpKsdU6cCw",
        "EK09 Message has no time",
        "it could be replayed for ever; a server may allow old clients",
    ),
    "expired": Vector(
        {"exp": 1767225601},
        "g6AUGB4E-9Ni2PjaEsfxXeDR8Web8sFSobonLhs5A0Ne4an6n11hSijAByjZGLS97nC24TNEPNbiokzkQkOUCA",
        "EK02 Token expired",
    ),
    "not before": Vector(
        {"nbf": FAR},
        "osvDTBmblZUQeknqmhhyGVdE9OuWfUegYlvZcC3GACMir3l61eFSALRrwKVURWzKFR1lAMrLogJBcFSG3nFyBA",
        "EK02 Token not yet valid",
    ),
    "stale": Vector(
        {"exp": None},
        "cwVK4JQpGDFS1md0a01QuVCPplCc9C1GnIjOU0_Wr5rKHoTls5PasFm7rEz83dNNbTLF_YzTwK-U0Co5kFuKDA",
        "EK09 Replay detected",
    ),
    "wrong audience": Vector(
        {"aud": "BOB"},
        "I_lXpkMaH5QTLm_0EG43MYXdVqzLc-QdEx7G5wGmDHKoMDCZXXHeb_rrnHNWhcg-vjAcQbfZwR_P8Gav5A_nBQ",
        "EK02 Invalid audience",
    ),
    "no audience": Vector(
        {"aud": None},
        "bqTOyoZ0_Yg9ZRq937qSppwEHsUqrghDVm4fk4OuomzQS0I38O8AkAIyUW_ODmzb9ghHBUzKmNc3R52mTrTWBQ",
        "EK02 Invalid audience",
    ),
    "not allowed": Vector(
        {"iss": "BOB"}, "Zr49zOgjUXiulvVjQs7pmvI2Bu9NwWblzcf_KbGmd_MA7Tcsjen_ovezQbVDpHjvkHf7tgLSypIgcva-QVt8AA", DENIED
    ),
    "server's key": Vector(
        {"iss": "SERVER", "aud": None},
        "MhRsLWpny7qkEI7gVUfgxQSoW9w5Xm-_07OG6et5ehXsUR3zQPPlzO_cJ3gTH3r-TLI31rNt9L_VXIQ1IVwODw",
        "accepted",
    ),
    "ES256": Vector(
        {"iss": "PAT"},
        "715xLrfyK7PbLOhYVcYEKseTOjINl78HrJtZJmaoVDVfQD00v9OacbdXLFIa4qErDhlryG6yfhFStkR70ByMWw",
        "accepted",
    ),
    "delegated": Vector(
        {**DIVIDE, "iss": "BOB", "sub": "ALICE", "cap": "ROOT"},
        "Uf75covqiEvYOvqjcW25EBAwF9y65ujLsouDtEnZ3I0FGSFfFObCRWzVK4BkLWW2f6wjC4PT9qgJ8Gk6MdI3CA",
        "accepted",
    ),
    "chain": Vector(
        {**DIVIDE, "iss": "CAROL", "sub": "ALICE", "cap": ["LEAF", "ROOT"]},
        "AC5BtVg-feCz1911NgIQyki7A2zcHMW5JVDY6EHzzZJ4J57yx14MohIwhv4T30ZNRGVNpmQ8mD0Doxm_kedlAw",
        "accepted",
    ),
    "too wide": Vector(
        {**DIVIDE, "iss": "CAROL", "sub": "ALICE", "cap": ["WIDE", "ROOT"]},
        "fmE7L9Bjzq2zltQ2DYwBPYXLdhjgMVjkc_tOM3CojQYT0orG7Pqakh_-XlNT2MPzG23uKc5XFgNT2tbJy2a_Aw",
        DENIED,
    ),
    "outside": Vector(
        {"iss": "BOB", "sub": "ALICE", "cap": "ROOT"},
        "qo0PlaAUv7MObW9XmWm__MMVhcxGpsTm4uT-P1RIzR-lD2BgrsAeukkBddIzVE553It6XcgpAVh0zjHFkJh3DA",
        DENIED,
    ),
    "stolen": Vector(
        {**DIVIDE, "iss": "CAROL", "sub": "ALICE", "cap": "ROOT"},
        "9E4Z0qANYWZEVDQJGFwbPxv6k8kGbH0zEbbGGO6EVpxb1UI8OYpdbX69uuDmLdvnUSgI1xGY30BFfxoR9mFsDw",
        DENIED,
    ),
    "expired capability": Vector(
        {**DIVIDE, "iss": "BOB", "sub": "ALICE", "cap": "OLD"},
        "RQg-KzUM8Md2m7KmrYmDgt-LG9h3ZDC7p2vBz8RtgzuM48jMvzEIL70y-RvthdcuRtyBnWN6GYwAPE3P4ebgDw",
        "EK02 Token expired",
    ),
    "by the server": Vector(
        {"aud": None, "iss": "BOB", "sub": "SERVER", "cap": "SRV"},
        "lpb5HrlVIUxQymkjrA4tcgld9-jUx21hgsvybWjf0Evr-508VwAN1fWOKKG8SwsrxSFVBzy2O84hJM0K3FNhBg",
        "accepted",
    ),
    "by the server, outside": Vector(
        {**DIVIDE, "aud": None, "iss": "BOB", "sub": "SERVER", "cap": "SRV"},
        "sWQIa_9i-kAvnlS3agJp0hTFSaysQu1eL4r3qv34nJoIXkSVlMfTq5TaJsmSy1WUPPbZL0Y6CSAJkEehTvsLDw",
        "EK02 Invalid capability: permission mismatch",
    ),
    "by the server, wrong audience": Vector(
        {"aud": "CAROL", "iss": "BOB", "sub": "SERVER", "cap": "SRV"},
        "FyUpO_dmsrDSriv3qJR9ery_5tXzbXI9TSSf4GLW2hM8EXI2wM08Q_38QrX7s2EyHc0AKAzzvEirCjmcE3wwDw",
        "EK02 Invalid audience",
        "a message for another server is for no other, whoever has delegated",
    ),
    "event": Vector(
        {"typ": "event", "prc": "note", "data": {"t": "hi"}, "rid": None, "prm": None},
        "m3sSS09koCid6vDX8Y_82zei-vVjIlfv28XwaxDBLks-139F1TIsoNB49kxDjHJHpWRViy3Rs1sQLBOyTURkCQ",
        "accepted",
    ),
}  # fmt: skip
REFUSED = "EK02 Invalid token: data does not match header and payload"
HIGH_S = "715xLrfyK7PbLOhYVcYEKseTOjINl78HrJtZJmaoVDWgv8LKQCxlj0io063lHV7Urs2O5ThlIHOhA4ZHLEaY9g"
WIRE_ORDER = (
    "deedkOxlMegGIUmN0_c-dPiayu9kUSdBEkOs5L-yxUDhbOn54_zMwtFsrSGJqVlbbjQfzYHMaBVCyacHMyTECQ"
)


def named(members: dict[str, Any]) -> dict[str, Any]:
    """Put the keys' names, and the texts of capabilities, in place of the words that stand for them."""
    found = {name: value for name, value in members.items() if value is not None}
    for claim in ("iss", "aud", "sub", "res"):
        if claim in found:
            found[claim] = KEYS[found[claim]].did
    if "cap" in found:
        cap = found["cap"]
        found["cap"] = capability(cap) if isinstance(cap, str) else [*map(capability, cap)]
    return found


def header_of(key: KeyPair) -> dict[str, str]:
    return {"alg": key.alg, "typ": "JWT"}


def capability(name: str) -> str:
    members, signature = CAPABILITIES[name]
    data = signing_input(canonical(header_of(ALICE)), canonical(named(members)))
    return f"{data}.{signature}"


def envelope(vector: Vector, **change: Any) -> dict[str, Any]:
    """Return the message of a vector, with changes of its top level."""
    members = {**BASE, **vector.change}
    header, payload = header_of(KEYS[members["iss"]]), named(members)
    message = {
        "header": header,
        "payload": payload,
        "signature": vector.signature,
        "data": signing_input(canonical(header), canonical(payload)),
        **change,
    }
    return {name: value for name, value in message.items() if value is not None}


@asynccontextmanager
async def started(*, old_clients: bool = False) -> AsyncGenerator[Served, None]:
    """Start a server, and let its clock go on until after the messages were signed."""
    clock = Clock(IAT)
    async with serving(RULES, clock, old_clients=old_clients) as server:
        clock.now = IAT + 120
        yield server


async def decide(message: dict[str, Any]) -> str:
    async with started() as server, server.peer() as peer:
        return await peer.decide(json.dumps(message).encode())


def meaning(message: dict[str, Any]) -> Seen:
    """Return what a handler must receive of a message."""
    payload = message["payload"]
    value = payload.get("prm", payload.get("data"))
    return Seen(payload["prc"], value, payload["iss"], payload.get("sub", payload["iss"]))


@pytest.mark.parametrize("name", VECTORS)
async def test_vector_has_known_outcome(name: str) -> None:
    message, outcome = envelope(VECTORS[name]), VECTORS[name].outcome
    async with started() as server, server.peer() as peer:
        assert await peer.decide(json.dumps(message).encode()) == outcome
        assert server.seen == ([meaning(message)] if outcome == "accepted" else [])
        results = [reply["val"] for reply in peer.replies if reply["typ"] == "result"]
        rid, prm = message["payload"].get("rid"), message["payload"].get("prm")
        expected = {"quotient": 0.5} if "math" in message["payload"]["prc"] else prm
        assert results == ([expected] if rid and outcome == "accepted" else [])


@pytest.mark.parametrize("name", VECTORS)
def test_sign_makes_signature_of_vector(name: str) -> None:
    message = envelope(VECTORS[name])
    key = next(key for key in KEYS.values() if key.did == message["payload"]["iss"])
    assert sign(key, message["data"]) == message["signature"]


@pytest.mark.parametrize("name", CAPABILITIES)
def test_sign_makes_signature_of_capability(name: str) -> None:
    members, signature = CAPABILITIES[name]
    assert sign(KEYS[members["iss"]], capability(name).rpartition(".")[0]) == signature


async def test_vector_as_on_the_wire_is_accepted() -> None:
    assert json.loads(WIRE) == envelope(VECTORS["valid"])
    async with started() as server, server.peer() as peer:
        assert await peer.decide(WIRE.encode()) == "accepted"


@pytest.mark.parametrize("padding", ["", "=="])
async def test_vector_again_is_replay_however_padded(padding: str) -> None:
    message = envelope(VECTORS["valid"])
    padded = {**message, "signature": message["signature"] + padding}
    async with started() as server, server.peer() as peer:
        assert await peer.decide(json.dumps(padded).encode()) == "accepted"
        assert await peer.decide(json.dumps(message).encode()) == "EK09 Replay detected"


async def test_vector_of_event_again_is_not_taken() -> None:
    raw = json.dumps(envelope(VECTORS["event"])).encode()
    async with started() as server, server.peer() as peer:
        assert await peer.decide(raw) == "accepted"
        assert await peer.decide(raw) == "no reply: Replay detected"
        assert not peer.replies


async def test_vector_without_times_of_old_client_stays_on_connection() -> None:
    message = envelope(VECTORS["no times"])
    async with started(old_clients=True) as server, server.peer() as one, server.peer() as other:
        for signature in (message["signature"], message["signature"] + "=="):
            raw = json.dumps({**message, "signature": signature}).encode()
            assert await one.decide(raw) == "accepted"
            assert await other.decide(raw) == "EK09 Replay detected"


async def test_vector_without_data_is_accepted() -> None:
    assert await decide(envelope(VECTORS["valid"], data=None)) == "accepted"


async def test_vector_tampered_is_rejected() -> None:
    payload = {**envelope(VECTORS["valid"])["payload"], "prm": {"a": 2}}
    assert await decide(envelope(VECTORS["valid"], payload=payload)) == REFUSED
    without = envelope(VECTORS["valid"], payload=payload, data=None)
    assert await decide(without) == "EK02 Invalid signature"


async def test_vector_forged_is_rejected() -> None:
    signature = VECTORS["not allowed"].signature
    assert await decide(envelope(VECTORS["valid"], data="x.y", signature=signature)) == REFUSED
    data = envelope(VECTORS["valid"])["data"]
    forged = envelope(VECTORS["valid"], data=data, signature=signature)
    assert await decide(forged) == "EK02 Invalid signature"


async def test_vector_with_high_s_is_rejected() -> None:
    assert await decide(envelope(VECTORS["ES256"], signature=HIGH_S)) == "EK02 Invalid signature"


async def test_vector_not_canonical_is_accepted() -> None:
    wire = json.loads(WIRE)
    parts = (json.dumps(wire[name], separators=(",", ":")) for name in ("header", "payload"))
    data = signing_input(*(part.encode() for part in parts))
    assert sign(ALICE, data) == WIRE_ORDER
    assert await decide({**wire, "data": data, "signature": WIRE_ORDER}) == "accepted"


async def test_vector_unsigned_is_rejected() -> None:
    payload = {name: BASE[name] for name in ("prc", "prm", "rid", "typ")}
    message = {"header": {"typ": "JWT", "alg": "none"}, "payload": payload}
    assert await decide(message) == "EK02 Message is not signed"


def test_vector_names_are_those_of_test_keys() -> None:
    assert [key.did for key in (SERVER, ALICE, BOB, KEYS["CAROL"], PAT)] == [
        "did:key:z6MkoQDzpmtKxr4AVpYxm3434cAF5dZ2cynjY49SWKN9tbjo",
        "did:key:z6MkphsyqqMDhCCGVediNhSqrsFqBAiJJerzs3Ly3XKg735N",
        "did:key:z6MkrXZLhmrd8XxLQx44Bzb4L5CsgDuU85MRDa8BSdJ4VbTC",
        "did:key:z6MkumDYhZPPdv5tj2VyWoHoCGZXcK9kMs4c294yB58Yk3Ui",
        "did:key:zDnaeeSWPbh8Gvva44XGzf4JcwiDLPVctAazdvTsAkgksvUuf",
    ]
