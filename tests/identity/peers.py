"""Test keys, and a server's whole decision about a signed message: signature, access, replays."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from enkaku.errors import InvalidMessage, Rejected
from enkaku.identity.access import AccessRules
from enkaku.identity.capabilities import Delegations
from enkaku.identity.keys import KeyPair
from enkaku.identity.messages import SignedMessage, verify_message
from enkaku.identity.proofs import ACCESS_DENIED, prove, require_opener
from enkaku.identity.replays import ReplayGuard
from enkaku.wire.messages import Event, OpenChannel, OpenRequest, OpenStream


def key_of(secret: bytes, *, p256: bool = False) -> KeyPair:
    """Return the key pair of a private key's bytes."""
    private = (
        ec.derive_private_key(int.from_bytes(secret), ec.SECP256R1())
        if p256
        else Ed25519PrivateKey.from_private_bytes(secret)
    )
    return KeyPair.from_pem(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


def key_named(name: str) -> KeyPair:
    """Return a test key, which everybody knows."""
    return key_of(sha256(f"enkaku test key {name.lower()}".encode()).digest(), p256=name == "PAT")


SERVER, ALICE, BOB, CAROL, PAT = map(key_named, ("SERVER", "ALICE", "BOB", "CAROL", "PAT"))
KEYS: Final = {"SERVER": SERVER, "ALICE": ALICE, "BOB": BOB, "CAROL": CAROL, "PAT": PAT}


class Clock:
    """A clock that stands still."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Gate:
    """Decides about messages, as a server does."""

    def __init__(
        self, server: str, rules: Mapping[str, Any], clock: Clock, *, old_clients: bool = False
    ) -> None:
        self._server = server
        self._clock = clock
        self._rules: AccessRules[Any] = AccessRules(rules)
        self._delegations = Delegations(clock=clock)
        self._guard = ReplayGuard(clock=clock, old_clients=old_clients)
        self._openers: dict[str, str] = {}

    def decide(self, raw: bytes, connection: str = "one") -> str:
        """Return ``"accepted"``, or the code and the text of the error."""
        try:
            message = verify_message(raw, self._clock.now, values=50_000)
            self._admit(message)
            self._guard.admit_here(message, connection)
        except InvalidMessage:
            return "EK08 Invalid protocol message"
        except Rejected as error:
            return f"{error.code} {error.message}"
        return "accepted"

    def _admit(self, message: SignedMessage) -> None:
        payload, claims = message.envelope.payload, message.claims
        if isinstance(payload, Event | OpenRequest | OpenStream | OpenChannel):
            prc = payload.prc
            caller = prove(
                claims, procedure=prc, server=self._server, delegations=self._delegations
            )
            allowed = self._rules.allows(prc, {caller.id, caller.subject})
            if not caller.unrestricted and allowed is not True:
                raise Rejected("EK02", ACCESS_DENIED)
            if not isinstance(payload, Event):
                self._openers[payload.rid] = caller.id
        else:
            typ = type(payload).__name__.lower()
            require_opener(claims, typ, opener=self._openers[payload.rid], server=self._server)
