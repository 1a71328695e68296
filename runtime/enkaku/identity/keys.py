"""Key pairs, and the names of public keys: ``did:key``.

A name is the key itself: ``did:key:z`` and base58 of two bytes for the algorithm and the public key. So nobody has to look a key
up, and a name cannot change hands.
"""

import os
from functools import lru_cache
from pathlib import Path
from stat import S_IRWXG, S_IRWXO
from types import ModuleType
from typing import TYPE_CHECKING, Final, cast

from enkaku._checks import require_one_of, require_text
from enkaku.errors import MissingExtra, Rejected, UsageError
from enkaku.wire.error_codes import ErrorCode

from .encodings import from_base58, to_base58

if TYPE_CHECKING:
    from .algorithms import Algorithm, PrivateKey, PublicKey

__all__ = ["KeyPair", "public_key", "require_key_pair", "require_name"]

_PREFIX: Final = "did:key:z"
_CODECS: Final = {"EdDSA": b"\xed\x01", "ES256": b"\x80\x24"}
_MARK: Final = b"PRIVATE KEY-----"
_OTHERS_MAY: Final = S_IRWXG | S_IRWXO
_SECRET: Final = 0o600


def _algorithms() -> ModuleType:
    try:
        from . import algorithms  # noqa: PLC0415 # optional
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "keys and signatures need the library cryptography: pip install 'enkaku[identity]'"
        ) from error
    return algorithms


class KeyPair:
    """A private key, with which this program signs, and the name that others know it by.

    Make one with ``generate``, ``load`` or ``from_pem``. No representation and no error shows the private key.

    Attributes:
        did: The name: ``"did:key:z..."``, which has the public key.
        alg: The algorithm: ``"EdDSA"`` or ``"ES256"``.
    """

    __slots__ = ("_private", "alg", "did")

    def __init__(self, private: "PrivateKey") -> None:
        self._private: Final = private
        self.alg: Final[Algorithm] = private.alg
        self.did: Final = _PREFIX + to_base58(_CODECS[private.alg] + private.public_bytes)

    def __repr__(self) -> str:
        return f"<KeyPair {self.did}>"

    @classmethod
    def generate(cls, alg: "Algorithm" = "EdDSA") -> "KeyPair":
        """Make a new key pair.

        Args:
            alg: ``"EdDSA"``, which every release of the TypeScript implementation verifies, or ``"ES256"``.

        Raises:
            MissingExtra: cryptography is not installed; ``pip install 'enkaku[identity]'`` installs it.
        """
        require_one_of("alg", alg, tuple(_CODECS))
        return cls(cast("PrivateKey", _algorithms().generate(alg)))

    @classmethod
    def from_pem(cls, pem: str | bytes) -> "KeyPair":
        """Read a private key from PEM, as a secret manager or an environment variable has it.

        Raises:
            UsageError: It is no unencrypted private key of Ed25519 or P-256.
            MissingExtra: cryptography is not installed; ``pip install 'enkaku[identity]'`` installs it.
        """
        return cls._read(pem.encode() if isinstance(pem, str) else pem, "KeyPair.from_pem")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "KeyPair":
        """Read a private key from a file.

        As ssh does, this rejects a file of the current user that other users may read.

        Raises:
            OSError: The file cannot be read.
            UsageError: It is no unencrypted private key of Ed25519 or P-256, or other users may access it.
            MissingExtra: cryptography is not installed; ``pip install 'enkaku[identity]'`` installs it.
        """
        with Path(path).open("rb") as file:
            pem, status = file.read(), os.fstat(file.fileno())
            if _MARK in pem and status.st_uid == os.getuid() and status.st_mode & _OTHERS_MAY:
                raise UsageError(
                    f"{path}: other users may access the private key, its mode is {status.st_mode & 0o777:04o}: "
                    f"run chmod 600 {path}"
                )
            return cls._read(pem, str(path))

    @classmethod
    def _read(cls, pem: bytes, whose: str) -> "KeyPair":
        try:
            return cls(cast("PrivateKey", _algorithms().read_pem(pem)))
        except ValueError as error:
            raise UsageError(f"{whose}: {error}") from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the private key to a new file, as PEM (PKCS 8), which only the current user may read (mode 0600).

        Raises:
            FileExistsError: There is such a file; a key is never overwritten.
            OSError: The file cannot be written.
        """
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _SECRET), "wb") as file:
            try:
                file.write(self._private.pem())
                file.flush()
            except OSError:
                Path(path).unlink()
                raise

    def sign(self, data: bytes) -> bytes:
        """Return the signature of ``data``: 64 bytes."""
        return self._private.sign(data)


def require_key_pair(name: str, value: object) -> None:
    """Raise UsageError unless a value is a key pair. It may be the text of a private key, so no error shows it."""
    if not isinstance(value, KeyPair):
        raise UsageError(
            f"{name} must be a KeyPair, such as KeyPair.load('my.key'); got a {type(value).__name__}"
        )


def require_name(name: str, did: str) -> None:
    """Raise UsageError unless a value is the name of a key."""
    require_text(name, did)
    if not did.startswith("did:key:"):
        raise UsageError(
            f"{name} must be the name of a key, such as 'did:key:z6Mk...'; got {did!r:.200}"
        )
    try:
        public_key(did)
    except Rejected as error:
        raise UsageError(f"{name}: {error.message}: {did!r:.200}") from None


@lru_cache(maxsize=1024)
def public_key(did: str) -> "PublicKey":
    """Return the public key that a name has.

    Raises:
        Rejected: It is not the name of a key, or of a key of another algorithm.
        MissingExtra: cryptography is not installed.
    """
    if not did.startswith("did:key:"):
        raise Rejected(ErrorCode.ACCESS_DENIED.value, f"Unknown DID: {did}")
    try:
        decoded = from_base58(did.removeprefix(_PREFIX)) if did.startswith(_PREFIX) else b""
    except ValueError:
        decoded = b""
    if not decoded:
        raise Rejected(ErrorCode.ACCESS_DENIED.value, "Invalid DID format")
    algorithms = _algorithms()
    try:
        if decoded.startswith(_CODECS["EdDSA"]):
            return cast("PublicKey", algorithms.Ed25519(decoded[2:]))
        if decoded.startswith(_CODECS["ES256"]):
            return cast("PublicKey", algorithms.P256(decoded[2:]))
    except ValueError:
        raise Rejected(ErrorCode.ACCESS_DENIED.value, "Invalid DID format") from None
    raise Rejected(ErrorCode.ACCESS_DENIED.value, "Unsupported DID signature codec")
