"""The signature algorithms, by the library ``cryptography``, which only this module imports.

EdDSA is Ed25519 (RFC 8032). ES256 is ECDSA over P-256 with SHA-256; its signatures are ``r`` and ``s``, 32 bytes each. For any
``s``, the order of the curve minus ``s`` is valid, too: only the smaller is made and accepted, so that nobody can make a second
signature of a message from the first one.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Final, Literal, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

__all__ = ["P256", "Algorithm", "Ed25519", "PrivateKey", "PublicKey", "generate", "read_pem"]

Algorithm: TypeAlias = Literal["EdDSA", "ES256"]

_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_HALF: Final = 32  # bytes of r, and of s
_ES256: Final = ec.ECDSA(SHA256(), deterministic_signing=True)  # RFC 6979


class PublicKey(ABC):
    """A key that verifies signatures."""

    alg: ClassVar[Algorithm]

    @abstractmethod
    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Return whether a signature of 64 bytes was made of ``data`` with the private key."""


class PrivateKey(ABC):
    """A key that signs."""

    alg: ClassVar[Algorithm]

    @property
    @abstractmethod
    def public_bytes(self) -> bytes:
        """The public key: 32 bytes, or the 33 of a compressed point."""

    @abstractmethod
    def sign(self, data: bytes) -> bytes:
        """Return the signature of ``data``: 64 bytes."""

    @abstractmethod
    def pem(self) -> bytes:
        """Return the key as PEM, in the format PKCS 8, unencrypted."""


class Ed25519(PublicKey):
    """A public key of Ed25519.

    Raises:
        ValueError: The bytes are no such key.
    """

    alg: ClassVar[Algorithm] = "EdDSA"

    def __init__(self, public_bytes: bytes) -> None:
        self._key: Final = Ed25519PublicKey.from_public_bytes(public_bytes)

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Return whether a signature was made of ``data`` with the private key."""
        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


class P256(PublicKey):
    """A public key of P-256.

    Raises:
        ValueError: The bytes are not a compressed point of the curve.
    """

    alg: ClassVar[Algorithm] = "ES256"

    def __init__(self, public_bytes: bytes) -> None:
        if len(public_bytes) != _HALF + 1:
            raise ValueError("not a compressed point")
        curve = ec.SECP256R1()
        self._key: Final = ec.EllipticCurvePublicKey.from_encoded_point(curve, public_bytes)

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Return whether a signature was made of ``data`` with the private key, and has the smaller ``s``."""
        r, s = int.from_bytes(signature[:_HALF]), int.from_bytes(signature[_HALF:])
        if s > _ORDER // 2:
            return False
        try:
            self._key.verify(encode_dss_signature(r, s), data, _ES256)
        except InvalidSignature:
            return False
        return True


class _Ed25519Private(PrivateKey):
    alg: ClassVar[Algorithm] = "EdDSA"

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key: Final = key

    @property
    def public_bytes(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)

    def pem(self) -> bytes:
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class _P256Private(PrivateKey):
    alg: ClassVar[Algorithm] = "ES256"

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key: Final = key

    @property
    def public_bytes(self) -> bytes:
        public = self._key.public_key()
        return public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    def sign(self, data: bytes) -> bytes:
        r, s = decode_dss_signature(self._key.sign(data, _ES256))
        return r.to_bytes(_HALF) + min(s, _ORDER - s).to_bytes(_HALF)

    def pem(self) -> bytes:
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def generate(alg: Algorithm) -> PrivateKey:
    """Make a new key."""
    if alg == "ES256":
        return _P256Private(ec.generate_private_key(ec.SECP256R1()))
    return _Ed25519Private(Ed25519PrivateKey.generate())


def read_pem(pem: bytes) -> PrivateKey:
    """Read a private key.

    Raises:
        ValueError: It is encrypted, is not PEM, or is a key of another algorithm; the text says which.
    """
    try:
        key: PrivateKeyTypes = load_pem_private_key(pem, None)
    except TypeError:
        raise ValueError("the private key is encrypted: decrypt it first") from None
    except Exception as error:  # the library has errors of its own for what it does not support
        raise ValueError("not a private key in PEM") from error
    if isinstance(key, Ed25519PrivateKey):
        return _Ed25519Private(key)
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return _P256Private(key)
    raise ValueError("the private key must be of Ed25519 or P-256")
