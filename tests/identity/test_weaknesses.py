"""What the TypeScript implementation gets wrong about signed messages, and this server must not: over its socket.

| weakness there | tests here |
|---|---|
| 1. calls dispatched on what was not signed | ``test_message_unlike_its_data_...``, ``test_message_equal_to_its_data_...``, ``test_repeated_member_...`` |
| 2. errors about a ``send`` or ``abort`` end the call | ``test_bad_later_message_...`` |
| 3. a wrong ``aud`` of a ``send`` or ``abort`` passes | ``test_later_message_for_other_server_...`` |
| 4. ``alg`` not bound to the key; ``sub`` a mere assertion | ``test_alg_of_other_key_...``, ``test_claimed_subject_...`` |
| 5. replay memory that forgets, or is crowded out | ``test_replay_memory_...`` |
| 6. silence about open servers; unchecked ``iss`` | ``test_server_open_to_all_...``, ``test_server_without_key_...`` |
| 7. a slow check holds up the reading of all calls | ``test_slow_check_...`` |
| 8. work before a signature without bound | ``test_bounds_...``, ``test_forged_messages_...`` |

The same of a server without rules is in ``test_signed_server``, and that of a rule that waits in ``test_access`` of the runtime.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku.identity.algorithms import Ed25519
from enkaku.identity.messages import Signer
from enkaku.identity.tokens import sign, signing_input
from identity.peers import (
    ALICE,
    BOB,
    PAT,
    SERVER,
    Clock,
    Peer,
    Served,
    changed,
    request,
    serving,
    signed,
)
from support import FILL, Serving, line, raw_client, soon

NOW = 1_800_000_000.0
CLOCK = Clock(NOW)
OPEN = {"*": "everybody"}
UNEQUAL = "EK02 Invalid token: data does not match header and payload"
INVALID = "EK08 Invalid protocol message"


def signer(key: enkaku.KeyPair = ALICE, audience: str = SERVER.did, **options: Any) -> Signer:
    return Signer(key, audience, clock=CLOCK, **options)


async def decide(raw: bytes, rules: dict[str, Any] | None = None) -> str:
    """Return what becomes of one message at a new server."""
    async with serving(rules or OPEN, CLOCK) as server, server.peer() as peer:
        outcome = await peer.decide(raw)
        assert bool(server.seen) == (outcome == "accepted")
        return outcome


def written(payload: str, header: str = '{"typ":"JWT","alg":"EdDSA"}') -> bytes:
    """Sign JSON texts as they are, and send them as ``data`` and as the message."""
    data = signing_input(header.encode(), payload.encode())
    return f'{{"header":{header},"payload":{payload},"signature":"{sign(ALICE, data)}","data":"{data}"}}'.encode()


def claiming(prm: str, **claims: object) -> str:
    """Return the JSON text of a request's payload."""
    more = {"iss": ALICE.did, "aud": SERVER.did, "iat": int(NOW), "jti": "j", **claims}
    return f'{{"typ":"request","rid":"a","prc":"echo","prm":{prm},{json.dumps(more)[1:]}'


@pytest.mark.parametrize(
    ("signed_value", "sent"),
    [("1", "2"), ("1", "true"), ("0", "false"), ("[1]", "[true]"), ('{"a":1}', '{"a":1,"b":1}'), ("1", "null")],
)  # fmt: skip
async def test_message_unlike_its_data_is_rejected(signed_value: str, sent: str) -> None:
    message = json.loads(written(claiming(signed_value)))
    message["payload"]["prm"] = json.loads(sent)
    assert await decide(json.dumps(message).encode()) == UNEQUAL


@pytest.mark.parametrize("member", ["rid", "prc", "iss", "aud", "jti"])
async def test_message_unlike_its_data_in_a_claim_is_rejected(member: str) -> None:
    message = json.loads(written(claiming("1")))
    message["payload"][member] = BOB.did
    assert await decide(json.dumps(message).encode()) == UNEQUAL
    del message["payload"][member]
    assert await decide(json.dumps(message).encode()) in {UNEQUAL, INVALID, "no reply"}


@pytest.mark.parametrize(("signed_value", "sent"), [("1.0", "1"), ("1", "1.0"), ("100", "1e2")])
async def test_message_equal_to_its_data_is_used_as_signed(signed_value: str, sent: str) -> None:
    raw = written(claiming(signed_value)).replace(
        b'"prm":%b' % signed_value.encode(), b'"prm":%b' % sent.encode()
    )
    async with serving(OPEN, CLOCK) as server, server.peer() as peer:
        assert await peer.decide(raw) == "accepted"
        assert repr(server.seen[0].value) == signed_value


@pytest.mark.parametrize(
    "payload",
    [
        claiming('1,"prm":1'),
        claiming('1,"prm":2'),
        claiming('{"a":1,"a":1}'),
        claiming(f'1,"iss":"{BOB.did}"'),
    ],
)
async def test_repeated_member_is_rejected(payload: str) -> None:
    assert await decide(written(payload)) in {INVALID, UNEQUAL}
    once = json.loads(written(payload))
    assert await decide(json.dumps(once).encode()) == UNEQUAL  # repeated in data alone
    raw = written(claiming("1")).replace(claiming("1").encode(), payload.encode())
    assert await decide(raw) in {INVALID, UNEQUAL}  # repeated in the message alone


@pytest.mark.parametrize("typ", ["send", "abort"])
@pytest.mark.parametrize("bad", ["foreign", "unsigned", "forged", "expired", "replayed"])
async def test_bad_later_message_ends_no_call(typ: str, bad: str) -> None:
    payload = {
        "typ": typ,
        "rid": "c",
        **({"prc": "chat", "val": 1} if typ == "send" else {"rsn": "x"}),
    }
    own, reasons = signed(signer(), **payload), {
        "foreign": "issuer does not match",
        "unsigned": "must be signed",
        "forged": "Invalid signature",
        "expired": "Token expired",
        "replayed": "Replay detected",
    }  # fmt: skip
    async with serving(OPEN, CLOCK) as server, server.peer() as peer:
        if bad == "replayed":
            # Of another call of this caller, which it ends or feeds.
            peer.say(signer(), typ="channel", rid="c", prc="chat", prm=1)
            peer.raw.send_bytes(own)
            await peer.settle()
            if typ == "send":
                peer.say(signer(), typ="abort", rid="c", rsn="x")
            await peer.settle()
        peer.say(signer(), typ="channel", rid="c", prc="chat", prm=2)
        await peer.settle()
        peer.replies.clear()
        later = {
            "foreign": signed(signer(BOB), **payload),
            "unsigned": line(**payload),
            "forged": changed(own, signature="A" * 86) + b"\n",
            "expired": signed(signer(), **payload, exp=NOW - 2),
            "replayed": own,
        }[bad]
        assert reasons[bad] in await peer.decide(later.rstrip())
        assert not peer.replies
        await require_goes_on(server, peer)


async def require_goes_on(server: Served, peer: Peer) -> None:
    """Check that the channel "c" is open, and takes items of who opened it."""
    peer.say(signer(), typ="send", rid="c", prc="chat", val={"end": True})
    assert await peer.raw.read() == {"typ": "result", "rid": "c", "val": {"received": 1}}
    assert server.seen[-1].value == {"end": True}


@pytest.mark.parametrize("typ", ["send", "abort"])
async def test_later_message_for_other_server_is_rejected(typ: str) -> None:
    payload = {
        "typ": typ,
        "rid": "c",
        **({"prc": "chat", "val": 1} if typ == "send" else {"rsn": "x"}),
    }
    async with serving(OPEN, CLOCK) as server, server.peer() as peer:
        peer.say(signer(), typ="channel", rid="c", prc="chat", prm=1)
        await peer.settle()
        elsewhere = signed(signer(audience=BOB.did), **payload).rstrip()
        assert await peer.decide(elsewhere) == "no reply: Invalid audience"
        await require_goes_on(server, peer)


@pytest.mark.parametrize("key", [ALICE, PAT])
async def test_alg_of_other_key_is_rejected(key: enkaku.KeyPair) -> None:
    header = {"typ": "JWT", "alg": {"EdDSA": "ES256", "ES256": "EdDSA"}[key.alg]}
    payload = {**json.loads(claiming("1")), "iss": key.did}
    data = signing_input(json.dumps(header).encode(), json.dumps(payload).encode())
    message = {"header": header, "payload": payload, "signature": sign(key, data), "data": data}
    assert await decide(json.dumps(message).encode()) == "EK02 Invalid signature"


@pytest.mark.parametrize("rule", ["everybody", "identified", {BOB.did}, {ALICE.did}, {SERVER.did}])
async def test_claimed_subject_is_no_proof(rule: Any) -> None:
    for subject in (ALICE, SERVER):
        raw = request(signer(BOB, subject=subject.did), prm=1)
        assert (await decide(raw, {"*": rule})).startswith("EK02 ")


async def ask(peer: Peer, raw: bytes) -> str:
    """Send a request, and return the code of its reply, or ``"result"``; without a message of the server's key."""
    peer.raw.send_bytes(raw + b"\n")
    reply = await peer.raw.read()
    return str(reply.get("code", reply["typ"]))


async def test_replay_memory_keeps_what_others_send() -> None:
    async with serving(OPEN, CLOCK, per_issuer=3) as server, server.peer() as peer:
        first = request(signer())
        assert await ask(peer, first) == "result"
        outcomes = [await ask(peer, request(signer(BOB))) for _ in range(10)]
        assert outcomes == ["result"] * 3 + ["EK04"] * 7
        assert await ask(peer, first) == "EK09"
        assert await ask(peer, request(signer())) == "result"


async def test_replay_memory_that_is_full_admits_nothing() -> None:
    async with serving(OPEN, CLOCK, total=3) as server, server.peer() as peer:
        first = request(signer())
        for raw in (first, request(signer(BOB)), request(signer(PAT))):
            assert await ask(peer, raw) == "result"
        assert await ask(peer, request(signer())) == "EK04"
        assert await ask(peer, first) == "EK09"
        assert len(server.seen) == 3


@pytest.mark.parametrize(
    "rules", [None, {"*": "everybody"}, {"chat": {"unix:1"}, "math/*": "everybody"}]
)
async def test_server_open_to_all_says_so(rules: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(rules, CLOCK):
        logged = [record.message for record in caplog.records if record.name == "enkaku.server"]
    (text,) = logged
    assert ("everybody may call" if rules else "no access rules") in text


async def test_server_without_key_hands_no_issuer_to_handlers(socket_path: Path) -> None:
    seen: list[Any] = []

    async def method(text: str) -> str:
        seen.append(enkaku.current_call().identities)
        return text

    async with enkaku.serve_unix(Serving(echo=method), socket_path), raw_client(socket_path) as raw:
        raw.send_bytes(request(signer(), prm="x") + b"\n")
        assert (await raw.read())["typ"] == "result"
    assert [[each.method for each in identities] for identities in seen] == [["unix"]]


@pytest.mark.parametrize("last", ["send", "abort"])
async def test_slow_check_holds_up_its_own_call_alone(last: str, socket_path: Path) -> None:
    asked, decided, taken = asyncio.Event(), asyncio.Event(), list[str]()

    async def slowly(_: enkaku.Call) -> bool:
        asked.set()
        await decided.wait()
        return True

    async def echo(text: str) -> str:
        return text

    async def fill(number: int, channel: enkaku.ServerChannel[str, str]) -> int:
        taken.extend([item async for item in channel])
        return number

    assert FILL.name == "fill"
    rules = {"fill": slowly, "echo": "everybody"}
    options: dict[str, Any] = {"identity": SERVER, "replays": enkaku.ReplayGuard(clock=CLOCK)}
    async with (
        enkaku.serve_unix(Serving(fill=fill, echo=echo), socket_path, access=rules, **options),
        raw_client(socket_path) as raw,
    ):
        raw.send_bytes(signed(signer(), typ="channel", rid="c", prc="fill", prm=1))
        raw.send_bytes(signed(signer(), typ="send", rid="c", prc="fill", val="right behind"))
        raw.send_bytes(request(signer(), rid="b", prm="meanwhile") + b"\n")
        assert await raw.read() == {"typ": "result", "rid": "b", "val": "meanwhile"}
        await soon(asked)
        if last == "abort":
            raw.send_bytes(signed(signer(), typ="abort", rid="c", rsn="no more"))
        else:
            raw.send_bytes(signed(signer(), typ="end", rid="c"))
            raw.send_bytes(request(signer(), rid="d", prm="again") + b"\n")
            assert (await raw.read())["rid"] == "d"
            decided.set()
            assert await raw.read() == {"typ": "result", "rid": "c", "val": 1}
        raw.send_bytes(request(signer(), rid="e", prm="at last") + b"\n")
        assert (await raw.read())["rid"] == "e"
    assert taken == (["right behind"] if last == "send" else [])


@pytest.mark.parametrize(
    "change",
    [
        {"signature": "A" * 89},
        {"payload": {"iss": "did:key:z" + "1" * 248}},
        {"payload": {"iss": "did:key:z6Mk" + "1" * 70}},
        {"payload": {"cap": ["a.b.c"] * 5, "sub": BOB.did}},
        {"payload": {"cap": "a" * 8193, "sub": BOB.did}},
        {"payload": {"aud": "a" * 257}},
        {"payload": {"jti": "a" * 129}},
        {"padding": 100_000},
    ],
    ids=lambda change: str(change)[:20],
)
async def test_bounds_are_checked_before_a_signature(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = {**json.loads(claiming("1")), **change.get("payload", {})}
    text = json.dumps(payload)
    data = signing_input(
        b'{"typ":"JWT","alg":"EdDSA"}', text.encode() + b" " * change.get("padding", 0)
    )
    signature = change.get("signature", sign(ALICE, data))
    message = {
        "header": {"typ": "JWT", "alg": "EdDSA"},
        "payload": payload,
        "signature": signature,
        "data": data,
    }
    checked: list[bytes] = []
    monkeypatch.setattr(Ed25519, "verifies", lambda _, signature, __: checked.append(signature))
    async with serving(OPEN, CLOCK) as server, server.peer() as peer:
        assert await ask(peer, json.dumps(message).encode()) in {"EK02", "EK08"}
        assert not checked
        assert await ask(peer, request(signer())) == "EK02"
        assert len(checked) == 1


@pytest.mark.parametrize("forged", ["message", "capability"])
async def test_forged_messages_end_the_connection(forged: str) -> None:
    token = enkaku.delegate(ALICE, to=BOB.did, act="*", res=SERVER.did, expires_in=1e9)
    data, _, _ = token.rpartition(".")
    sender = signer(BOB, subject=ALICE.did, capabilities=[f"{data}.{'A' * 86}"])
    raw = (
        request(sender)
        if forged == "capability"
        else changed(request(signer()), signature="A" * 86)
    )
    async with serving(OPEN, CLOCK) as server, server.peer() as peer:
        assert await peer.decide(request(signer(), prm=1)) == "accepted"
        peer.raw.send_bytes((raw + b"\n") * 101)
        replies = await peer.raw.read_all()
        assert all(reply["code"] == "EK02" for reply in replies)
        assert server.reasons == ["Invalid signature"] * 101
        async with server.peer() as other:
            assert await other.decide(request(signer(), prm=2)) == "accepted"
