"""JSON Web Tokens of other issuers: signature, issuer, audience and times (RFC 7519, with the advice of RFC 8725).

A token that one reader takes for another one is rejected: repeated names in an object, base64 in a second spelling, extensions that
must be understood (``crit``), and kinds of tokens that are not for access (``typ``). Reasons have no part of a token.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import ModuleType
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn, cast

from enkaku._json import EXACT_INTEGER_MAX, load_json
from enkaku.errors import AuthenticationFailed, MissingExtra

from .encodings import from_base64url
from .tokens import EXPIRED, NOT_YET_VALID, strict_object

if TYPE_CHECKING:
    from .jose import VerifyingKey

__all__ = [
    "ALGORITHMS",
    "Claims",
    "Expected",
    "KeySet",
    "UnverifiedToken",
    "read_claims",
    "read_token",
    "require_library",
    "require_token_signature",
    "token_id",
]

ALGORITHMS: Final = (
    *("EdDSA", "Ed25519", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"),
    *("RS256", "RS384", "RS512", "HS256", "HS384", "HS512"),
)
"""The algorithms that can be allowed."""

_TYPES: Final = frozenset({"jwt", "at+jwt"})  # RFC 9068: access tokens


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say.

    Attributes:
        issuer: The only ``iss``.
        audiences: Its ``aud`` must be, or have, one of them.
        leeway: How much the clocks of issuer and server may differ, in seconds.
        require_exp: Whether it must expire.
    """

    issuer: str
    audiences: frozenset[str]
    leeway: float
    require_exp: bool


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A token whose signature was not verified: nothing that it says is true."""

    alg: str
    kid: str | None
    signing_input: bytes
    payload: bytes
    signature: bytes


class Claims(NamedTuple):
    """What a verified token says.

    Attributes:
        values: All of its claims.
        sub: Whom it proves, for its issuer.
        expires: The second since the epoch at which it is no longer accepted; None if it does not expire.
    """

    values: Mapping[str, object]
    sub: str
    expires: float | None


class KeySet:
    """Keys of an issuer.

    Args:
        keys: The keys.
    """

    def __init__(self, keys: Collection["VerifyingKey"]) -> None:
        self._keys: Final = tuple(keys)
        self._only: Final = self._keys[0] if len(self._keys) == 1 else None

    @classmethod
    def from_jwks(cls, value: object) -> "KeySet":
        """Read a JWK Set (RFC 7517, 5). Keys that cannot verify, or cannot be read, are left out.

        Raises:
            ValueError: It is no such set, or it has no key that can verify.
            MissingExtra: joserfc is not installed.
        """
        listed = (
            cast(Mapping[str, object], value).get("keys") if isinstance(value, Mapping) else None
        )
        if not isinstance(listed, list | tuple):
            raise ValueError("not a JWK Set: it has no list of keys")  # noqa: TRY004 # of an issuer
        jose = _jose()
        keys: list[VerifyingKey] = []
        problem = "there is none of a known kind"
        for each in cast(list[object], listed):
            try:
                key = cast("VerifyingKey | None", jose.read_jwk(each))
            except ValueError as error:
                problem = str(error)
            else:
                keys += () if key is None else (key,)
        if not keys:
            raise ValueError(f"no key of the set can verify tokens: {problem}")
        return cls(keys)

    @classmethod
    def from_pem(cls, pem: str | bytes) -> "KeySet":
        """Read a public key in PEM, which has no id and so fits tokens with any.

        Raises:
            ValueError: It is no public key in PEM.
            MissingExtra: joserfc is not installed.
        """
        key: VerifyingKey = _jose().read_public_pem(pem.encode() if isinstance(pem, str) else pem)
        return cls([key])

    def of(self, kid: str | None) -> tuple["VerifyingKey", ...]:
        """Return the keys that a token may mean: those with its ``kid``; all if it has none, or an only key that has none."""
        if kid is None or (self._only is not None and self._only.kid is None):
            return self._keys
        return tuple(key for key in self._keys if key.kid == kid)


def require_library() -> None:
    """Raise MissingExtra if joserfc is not installed."""
    _jose()


def _jose() -> ModuleType:
    try:
        from . import jose  # noqa: PLC0415 # optional
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "JwtAuthenticator needs the library joserfc: pip install 'enkaku[jwt]'"
        ) from error
    return jose


def read_token(token: str, algorithms: Collection[str]) -> UnverifiedToken:
    """Read a token in the compact form, without verifying it.

    Args:
        token: The token.
        algorithms: The algorithms that are allowed.

    Raises:
        AuthenticationFailed: It is not such a token, or of another algorithm.
    """
    parts = token.split(".")
    if len(parts) != 3 or "=" in token:
        _reject("it is not three parts of base64url")
    try:
        header, payload, signature = map(from_base64url, parts)
        values = strict_object(header)
    except ValueError:
        _reject("its header or its base64url cannot be read")
    alg, kid, typ = values.get("alg"), values.get("kid"), values.get("typ", "JWT")
    if not isinstance(alg, str) or alg not in algorithms:
        _reject("its algorithm is not allowed")
    if not isinstance(kid, str | None):
        _reject("its kid is not a string")
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") not in _TYPES:
        _reject("it is of another type")
    if "crit" in values or "b64" in values:
        _reject("it has an extension that is not supported")
    return UnverifiedToken(alg, kid, f"{parts[0]}.{parts[1]}".encode(), payload, signature)


def require_token_signature(token: UnverifiedToken, keys: KeySet) -> None:
    """Verify the signature of a token.

    Raises:
        AuthenticationFailed: No key has made it, or several could have and the token does not say which.
    """
    fitting = [key for key in keys.of(token.kid) if key.fits(token.alg)]
    if not fitting:
        _reject("no key has its kid and fits its algorithm")
    if len(fitting) > 1:
        _reject("several keys fit, and it does not name one")
    if not fitting[0].verifies(token.alg, token.signature, token.signing_input):
        _reject("its signature is not valid")


def read_claims(payload: bytes, expected: Expected, now: float) -> Claims:
    """Return what a token says whose signature is valid.

    Raises:
        AuthenticationFailed: It is not for this server, is not valid now, or does not say whose it is.
    """
    try:
        strict_object(payload)
        claims = cast(dict[str, object], load_json(payload))  # with floats
    except ValueError:
        _reject("its claims cannot be read")
    if claims.get("iss") != expected.issuer:
        _reject("its issuer is another one")
    audience = claims.get("aud")
    audiences = cast(list[object], audience) if isinstance(audience, list) else [audience]
    if not any(isinstance(each, str) and each in expected.audiences for each in audiences):
        _reject("it is for another audience")
    sub = claims.get("sub")
    if not isinstance(sub, str) or not sub or not sub.isprintable():
        _reject("it has no sub, or one with characters that cannot be shown")
    exp, nbf, iat = (_time(claims, name) for name in ("exp", "nbf", "iat"))
    if exp is None and expected.require_exp:
        _reject("it does not expire")
    if exp is not None and now >= exp + expected.leeway:
        raise AuthenticationFailed("JWT: it has expired", EXPIRED)
    if any(each is not None and each > now + expected.leeway for each in (nbf, iat)):
        raise AuthenticationFailed("JWT: it is not valid yet", NOT_YET_VALID)
    return Claims(claims, sub, None if exp is None else exp + expected.leeway)


def token_id(issuer: str, sub: str) -> str:
    """Return the id of a token's subject. An issuer has no ``#``, so that no two issuers and subjects have one id."""
    return f"jwt:{issuer}#{sub}"


def _time(claims: Mapping[str, object], name: str) -> float | None:
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        _reject(f"its {name} is not a time")
    if not -EXACT_INTEGER_MAX <= value <= EXACT_INTEGER_MAX:
        _reject(f"its {name} is out of range")
    return float(value)


def _reject(reason: str) -> NoReturn:
    raise AuthenticationFailed(f"JWT: {reason}") from None
