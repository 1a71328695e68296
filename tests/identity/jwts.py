"""Tokens, made by hand with ``cryptography`` and ``hmac``, and the key sets that verify them."""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER: Final = "https://issuer.example"
AUDIENCE: Final = "api"
NOW: Final = 1_800_000_000.0
CLAIMS: Final[Mapping[str, object]] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "alice",
    "exp": NOW + 60,
    "roles": ["cook"],
}

_HASHES: Final = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
_CURVES: Final = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8))


class Rsa:
    """A key of RSA."""

    def __init__(self, size: int = 2048) -> None:
        self.key = rsa.generate_private_key(65537, size)
        public = self.key.public_key()
        numbers = public.public_numbers()
        self.jwk = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
        self.pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, alg: str, data: bytes) -> bytes:
        digest = _HASHES[alg[2:]]()
        if alg.startswith("PS"):
            pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
            return self.key.sign(data, pss, digest)
        return self.key.sign(data, padding.PKCS1v15(), digest)


class Ec:
    """A key of an elliptic curve."""

    def __init__(self, crv: str = "P-256") -> None:
        self.key = ec.generate_private_key(_CURVES[crv])
        public = self.key.public_key()
        self.size = (self.key.key_size + 7) // 8
        numbers = public.public_numbers()
        x, y = (b64(each.to_bytes(self.size)) for each in (numbers.x, numbers.y))
        self.jwk = {"kty": "EC", "crv": crv, "x": x, "y": y}
        self.pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, alg: str, data: bytes) -> bytes:
        r, s = decode_dss_signature(self.key.sign(data, ec.ECDSA(_HASHES[alg[2:]]())))
        return r.to_bytes(self.size) + s.to_bytes(self.size)


class Ed:
    """A key of Ed25519."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        public = self.key.public_key()
        raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
        self.pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, alg: str, data: bytes) -> bytes:
        return self.key.sign(data)


class Secret:
    """A shared secret."""

    def __init__(self, secret: bytes = bytes(range(64))) -> None:
        self.secret = secret
        self.jwk = {"kty": "oct", "k": b64(secret)}

    def sign(self, alg: str, data: bytes) -> bytes:
        return hmac.digest(self.secret, data, f"sha{alg[2:]}")


Key = Rsa | Ec | Ed | Secret

RSA: Final = Rsa()
P256: Final = Ec()
ED: Final = Ed()
SECRET: Final = Secret()


def jwks(*keys: Mapping[str, object]) -> dict[str, object]:
    return {"keys": list(keys)}


def raw_token(key: Key, alg: str, header: bytes, payload: bytes) -> str:
    """Sign texts that may be no JSON."""
    data = f"{b64(header)}.{b64(payload)}"
    return f"{data}.{b64(key.sign(alg, data.encode()))}"


def token(key: Key, alg: str, claims: Mapping[str, object] = CLAIMS, **header: Any) -> str:
    values = {"alg": alg, "typ": "JWT", **header}
    return raw_token(key, alg, json.dumps(values).encode(), json.dumps(claims).encode())
