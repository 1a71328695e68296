"""Keys and signatures of JSON Web Tokens (RFC 7515, 7517, 7518), by the library ``joserfc``, which only this module imports.

The library reads one key, and verifies one signature with one algorithm. Everything else is decided here and in ``jwt``: which key,
which algorithms, and what a token must say. A key has a shape, such as its curve, and each algorithm needs one shape: a token cannot
choose how its key is used, such as a public key as a shared secret.
"""

import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, TypeAlias, cast

from joserfc.errors import InvalidKeyTypeError, JoseError, SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

__all__ = ["VerifyingKey", "read_jwk", "read_public_pem"]

_Key: TypeAlias = RSAKey | ECKey | OKPKey | OctKey

# What of a key is read, by its type: nothing private, and nothing that tells the library how to use it.
_KINDS: Final[Mapping[str, tuple[type[_Key], tuple[str, ...]]]] = {
    "RSA": (RSAKey, ("kty", "n", "e")),
    "EC": (ECKey, ("kty", "crv", "x", "y")),
    "OKP": (OKPKey, ("kty", "crv", "x")),
    "oct": (OctKey, ("kty", "k")),
}
_SHAPES: Final[Mapping[str, str]] = {
    "HS256": "oct",
    "HS384": "oct",
    "HS512": "oct",
    "RS256": "RSA",
    "RS384": "RSA",
    "RS512": "RSA",
    "PS256": "RSA",
    "PS384": "RSA",
    "PS512": "RSA",
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    "EdDSA": "Ed25519",
    "Ed25519": "Ed25519",
}


class VerifyingKey:
    """A key that verifies signatures of tokens.

    Args:
        key: The key of the library.
        kid: Its id; None if it has none.
        alg: The only algorithm that it may be used with; None for each that fits it.
    """

    def __init__(self, key: _Key, kid: str | None = None, alg: str | None = None) -> None:
        self.kid: Final = kid
        self._key: Final = key
        self._alg: Final = alg
        self._shape: Final = key.curve_name if isinstance(key, ECKey | OKPKey) else key.key_type
        self._size: Final = 8 * len(key.raw_value) if isinstance(key, OctKey) else None

    def fits(self, alg: str) -> bool:
        """Return whether it may verify signatures of an algorithm. A shared secret must be as long as the hash (RFC 7518, 3.2)."""
        return (
            self._alg in (None, alg)
            and _SHAPES.get(alg) == self._shape
            and (self._size is None or self._size >= int(alg.removeprefix("HS")))
        )

    def verifies(self, alg: str, signature: bytes, data: bytes) -> bool:
        """Return whether a signature of an algorithm that it fits was made of ``data``."""
        # EdDSA means Ed25519 or Ed448; a key that fits is of the first.
        model = JWSRegistry.algorithms["Ed25519" if alg == "EdDSA" else alg]
        try:
            model.check_key(self._key)
            return model.verify(data, signature, self._key)
        except (JoseError, ValueError):
            return False


def read_jwk(value: object) -> VerifyingKey | None:
    """Return a key of a set (RFC 7517); None for one that does not verify signatures, or is of another kind.

    Raises:
        ValueError: It is not a key, or too weak: RSA of less than 2,048 bits.
    """
    if not isinstance(value, Mapping):
        raise ValueError("a key is not an object")  # noqa: TRY004 # what an issuer has published
    jwk = cast(Mapping[str, object], value)
    kty, use, operations = jwk.get("kty"), jwk.get("use", "sig"), jwk.get("key_ops", ["verify"])
    if not isinstance(kty, str) or kty not in _KINDS or use != "sig":
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    kind, names = _KINDS[kty]
    if kty == "OKP" and jwk.get("crv") != "Ed25519":
        return None
    kid, alg = jwk.get("kid"), jwk.get("alg")
    if not isinstance(kid, str | None) or not isinstance(alg, str | None):
        raise ValueError("the kid or alg of a key is not a string")  # noqa: TRY004 # as above
    return VerifyingKey(
        _imported(kind, {name: jwk[name] for name in names if name in jwk}), kid, alg
    )


def read_public_pem(pem: bytes) -> VerifyingKey:
    """Return a public key.

    Raises:
        ValueError: It is no public key in PEM, or too weak.
    """
    if b"PUBLIC KEY-----" not in pem:
        raise ValueError("not a public key in PEM")
    for kind in (RSAKey, ECKey, OKPKey):
        with suppress(InvalidKeyTypeError):
            return VerifyingKey(_imported(kind, pem))
    raise ValueError("the public key must be of RSA, P-256, P-384, P-521 or Ed25519")


def _imported(kind: type[_Key], value: Mapping[str, object] | bytes) -> _Key:
    """Return a key of a kind.

    Raises:
        InvalidKeyTypeError: It is of another kind.
        ValueError: It cannot be read, or is too weak.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SecurityWarning)  # the library only warns of weak keys
            return kind.import_key(cast("dict[str, str | list[str]] | bytes", value))
    except InvalidKeyTypeError:
        raise
    except SecurityWarning as error:
        raise ValueError(str(error)) from None
    except (
        Exception
    ) as error:  # the libraries have errors of their own for what they do not support
        raise ValueError("a key cannot be read") from error
