"""The keys of the processes of the benchmark, which everybody knows."""

from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from enkaku import KeyPair

__all__ = ["CALLER", "CALLER_P256", "INNOCENT", "SERVER", "STRANGER", "key_named"]


def key_named(name: str, *, p256: bool = False) -> KeyPair:
    """Return the key pair of a name."""
    secret = sha256(f"enkaku hostile key {name}".encode()).digest()
    private = (
        ec.derive_private_key(int.from_bytes(secret), ec.SECP256R1())
        if p256
        else Ed25519PrivateKey.from_private_bytes(secret)
    )
    return KeyPair.from_pem(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


SERVER: Final = key_named("server")
INNOCENT: Final = key_named("innocent")
CALLER: Final = key_named("caller")
"""May call everything, and is hostile."""
CALLER_P256: Final = key_named("caller", p256=True)
"""The same, with signatures that take longer to verify."""
STRANGER: Final = key_named("stranger")
"""May call nothing."""
