"""Recorded signed messages of the TypeScript implementation: each is verified, and gets the recorded reply.

Where this server decides otherwise, ``OURS`` has its reply and the reason.
"""

import base64
import json
from pathlib import Path
from typing import Any, Final

import pytest
from enkaku.identity.canonical import canonical
from enkaku.identity.messages import verify_message
from enkaku.identity.tokens import sign, signing_input
from identity.peers import Clock, Gate, key_of

FOLDER: Final = Path(__file__).parent / "recordings"
VECTORS: Final[dict[str, Any]] = json.loads((FOLDER / "signing-vectors.json").read_text())
KEYS: Final = {
    name: key_of(bytes.fromhex(key["privateKeyHex"])) for name, key in VECTORS["keys"].items()
}
NOW: Final = 1795394187.0
ACCEPTED: Final = "accepted"
RULES: Final = {
    "auth-partial-other": {"echo": {KEYS["client"].did, KEYS["other"].did}, "*": {KEYS["client"].did}}
}  # fmt: skip
# Each reply that is not the recorded one. "Invalid signature" is the only text about a signature that a peer sees.
OURS: Final = {
    '"signature" expected Uint8Array of length 64, got length=3': "Invalid signature",
    "Invalid base64url encoding": "Invalid signature",
}


def messages_of(path: Path) -> list[tuple[str, str]]:
    """Return the messages of a recording, each with its direction."""
    found: list[tuple[str, str]] = []
    for line in path.read_text().split("\n"):
        entry = json.loads(line or "{}")
        text = next((entry[name] for name in ("line", "body", "data") if entry.get(name)), None)
        if text is not None and text.startswith('{"header"'):
            found.append((entry["dir"], text))
    return found


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.jsonl")), ids=lambda path: path.stem)
def test_recorded_message_gets_recorded_reply(path: Path) -> None:
    rules = RULES.get(path.stem, {"*": {KEYS["client"].did}})
    gate = Gate(KEYS["server"].did, rules, Clock(NOW), old_clients=True)
    recorded = messages_of(path)
    errors = [json.loads(text)["payload"] for side, text in recorded if side == "s2c"]
    expected = [f"{each['code']} {each['msg']}" for each in errors if each["typ"] == "error"]
    expected = [reply.replace(theirs, ours) for reply in expected for theirs, ours in _ours(reply)]
    if path.stem == "raw-signed-event-denied":
        expected = ["EK02 Access denied"]  # an event gets no reply
    decisions = [gate.decide(text.encode()) for side, text in recorded if side == "c2s"]
    assert [each for each in decisions if each != ACCEPTED] == expected
    assert ACCEPTED in decisions or "probe" not in path.read_text()


def _ours(reply: str) -> list[tuple[str, str]]:
    return [(theirs, ours) for theirs, ours in OURS.items() if theirs in reply] or [("", "")]


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
