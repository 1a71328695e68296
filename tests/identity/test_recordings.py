"""Recorded signed messages of the TypeScript implementation: a server takes them from its socket, and sends the recorded replies.

Where this server decides otherwise, ``OURS`` and ``UNANSWERED`` have the reason.
"""

import base64
import json
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import pytest
from enkaku.identity.canonical import canonical
from enkaku.identity.messages import verify_message
from enkaku.identity.tokens import sign, signing_input
from identity.peers import Clock, key_of, serving

FOLDER: Final = Path(__file__).parent / "recordings"
VECTORS: Final[dict[str, Any]] = json.loads((FOLDER / "signing-vectors.json").read_text())
KEYS: Final = {
    name: key_of(bytes.fromhex(key["privateKeyHex"])) for name, key in VECTORS["keys"].items()
}
NOW: Final = 1795394187.0
RULES: Final = {
    "auth-partial-other": {"echo": {KEYS["client"].did, KEYS["other"].did}, "*": {KEYS["client"].did}}
}  # fmt: skip
# Each reply that is not the recorded one. "Invalid signature" is the only text about a signature that a peer sees.
OURS: Final = {
    '"signature" expected Uint8Array of length 64, got length=3': "Invalid signature",
    "Invalid base64url encoding": "Invalid signature",
}
# An error for a later message of a call would end the call of whoever opened it. The observers of the server know of it.
UNANSWERED: Final = {
    "raw-signed-other-abort": "Abort issuer does not match owner",
    "raw-signed-other-send": "Send issuer does not match channel owner",
    "raw-signed-unsigned-abort": "Abort message must be signed",
    "raw-signed-unsigned-send": "Channel send message must be signed",
}
# How the handler "slow" ends that has begun.
ENDS: Final = {"raw-signed-own-abort": ["closed"]}


def messages_of(path: Path) -> list[tuple[str, str]]:
    """Return the messages of a recording, each with its direction."""
    found: list[tuple[str, str]] = []
    for line in path.read_text().split("\n"):
        entry = json.loads(line or "{}")
        text = next((entry[name] for name in ("line", "body", "data") if entry.get(name)), None)
        if text is not None and text.startswith("{"):
            found.append((entry["dir"], text))
    return found


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.jsonl")), ids=lambda path: path.stem)
async def test_recorded_message_gets_recorded_reply(path: Path) -> None:
    name = path.stem
    rules = RULES.get(name, {"*": {KEYS["client"].did}})
    recorded = messages_of(path)
    expected = [json.loads(text)["payload"] for side, text in recorded if side == "s2c"]
    expected = [_ours(each) for each in expected if each.get("msg") != UNANSWERED.get(name, "")]
    async with (
        serving(rules, Clock(NOW), key=KEYS["server"], old_clients=True) as server,
        server.peer() as peer,
    ):
        for side, messages in groupby(recorded, key=lambda each: each[0]):
            if side == "c2s":  # at once, as far as the client has not waited
                peer.raw.send_bytes(b"".join(text.encode() + b"\n" for _, text in messages))
                await peer.settle()
        while len(peer.replies) < len(expected):
            await peer.settle()
        assert peer.replies == expected
        denied = " does not allow did:key:"  # by a rule: observers learn which
        reasons = ["Access denied" if denied in each else each for each in server.reasons]
        assert reasons == _reasons(name, expected)
        assert server.ends == ENDS.get(name, [])
        open_calls = [call.procedure.name for call in server.server.connections[0].calls]
        goes_on = name in UNANSWERED
        assert open_calls == ([json.loads(recorded[0][1])["payload"]["prc"]] if goes_on else [])
        signers = {
            json.loads(text)["payload"].get("iss") for side, text in recorded if side == "c2s"
        }
        assert {seen.id for seen in server.seen} <= signers


async def test_items_right_behind_recorded_opening_arrive() -> None:
    # The recorded server lost them, since it was still checking the opening.
    recorded = messages_of(FOLDER / "auth-channel-send-immediately.jsonl")
    *sent, _abort = [text.encode() + b"\n" for _, text in recorded]
    rules = {"*": {KEYS["client"].did}}
    async with (
        serving(rules, Clock(NOW), key=KEYS["server"], old_clients=True) as server,
        server.peer() as peer,
    ):
        peer.raw.send_bytes(b"".join(sent))
        items = [await peer.raw.read(), await peer.raw.read()]
        assert [(each["typ"], each["val"]) for each in items] == [
            ("receive", {"n": 1}),
            ("receive", {"n": 2}),
        ]
        assert await peer.raw.read() == {"typ": "result", "rid": "c1", "val": {"received": 3}}


def _ours(payload: dict[str, Any]) -> dict[str, Any]:
    return (
        {**payload, "msg": OURS.get(payload["msg"], payload["msg"])}
        if "msg" in payload
        else payload
    )


def _reasons(name: str, replies: list[dict[str, Any]]) -> list[str]:
    """Return what the observers learn: also what the peer does not."""
    if name in UNANSWERED:
        return [UNANSWERED[name]]
    if name == "raw-signed-event-denied":
        return ["Access denied"]  # an event gets no reply
    return [each["msg"] for each in replies if each.get("code") == "EK02"]


@pytest.mark.parametrize(
    "token", VECTORS["tokens"], ids=lambda each: f"{each['era']}-{each['name']}"
)
def test_recorded_token_is_verified_and_made(token: dict[str, Any]) -> None:
    header, payload = token["canonicalHeader"].encode(), token["canonicalPayload"].encode()
    floats = json.loads(payload, parse_int=float)  # it has integers beyond 2^53
    assert canonical(floats) == payload
    key = KEYS[token["signer"]]
    data = token["data"]
    if token["era"] == "july":
        assert signing_input(header, payload) == data
    assert sign(key, data) == token["signature"].rstrip("=")
    assert base64.urlsafe_b64decode(data.partition(".")[2] + "==") == payload
    now = token["payload"].get("nbf", NOW)
    assert verify_message(token["wire"].encode(), now, values=50_000).claims.iss == key.did
