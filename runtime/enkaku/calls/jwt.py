"""JWT authenticator: finds out who calls by a JSON Web Token of an issuer that the server trusts."""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Final, NamedTuple, cast

from enkaku._checks import (
    require_list,
    require_one_of,
    require_seconds,
    require_text,
    require_whole,
)
from enkaku.errors import AuthenticationFailed, UsageError
from enkaku.identity.jwt import (
    ALGORITHMS,
    Expected,
    KeySet,
    read_claims,
    read_token,
    require_library,
    require_token_signature,
    token_id,
)

from .authenticators import Proof
from .callers import Identity
from .key_sets import FetchedKeys, FetchKeys, FixedKeys, Keys

__all__ = ["JwtAuthenticator"]

_REMEMBERED: Final = 1000  # tokens
_SCHEME: Final = "bearer"


class _Remembered(NamedTuple):
    """A verified token.

    Attributes:
        identity: Whom it proves.
        keys: With which keys it was verified.
    """

    identity: Identity
    keys: KeySet


class JwtAuthenticator:
    """Finds out who calls by a JSON Web Token: ``Bearer <token>``, in the metadata of a call, or in a header of its HTTP request.

    Register it under the name ``"jwt"``. The identity is ``jwt:<issuer>#<sub>``, its claims are those of the token.

    A token is rejected unless its issuer has signed it with an allowed algorithm, it is for this audience, valid now, and has a
    ``sub``. Verified tokens are remembered, at most 1,000, until they expire or the keys change.

    Args:
        keys: The keys of the issuer: a JWK Set (RFC 7517), a public key in PEM, or an async function that returns a JWK Set, such as
            from the URL that the issuer publishes. The function is called when a key is needed, again after five minutes, and when
            a token names an unknown key, at most every 10 seconds. If it fails, an old set serves for up to an hour.
        issuer: The ``iss`` of the tokens.
        audience: The ``aud`` that tokens for this server have; or several, of which a token must have one.
        algorithms: The algorithms that are allowed, of "EdDSA", "Ed25519", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512",
            "RS256", "RS384", "RS512", and "HS256", "HS384", "HS512", which need a shared secret (``kty`` ``"oct"``). A key is used
            only with an algorithm of its own kind.
        leeway: How much the clocks of issuer and server may differ, in seconds.
        require_exp: Whether tokens must have an ``exp``.
        metadata: The name in the metadata of a call that has the token; None for none. It is asked before the header.
        header: The header of an HTTP request, or of a WebSocket's handshake, that has the token; None for none.
        token_size: How many characters a token may have.
        timeout: How long the function for the keys may take, in seconds.
        clock: Returns the seconds since the epoch.

    Raises:
        UsageError: An argument is not valid, or the keys cannot be read.
        MissingExtra: joserfc is not installed; ``pip install 'enkaku[jwt]'`` installs it.
    """

    def __init__(  # noqa: PLR0913 # the options of what is checked
        self,
        *,
        keys: Mapping[str, object] | str | bytes | FetchKeys,
        issuer: str,
        audience: str | Collection[str],
        algorithms: Collection[str] = ("EdDSA", "ES256", "PS256", "RS256"),
        leeway: float = 10.0,
        require_exp: bool = True,
        metadata: str | None = "authorization",
        header: str | None = "authorization",
        token_size: int = 8192,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        _require_issuer(issuer)
        require_list("JwtAuthenticator: algorithms", algorithms)
        if not algorithms:
            raise UsageError("JwtAuthenticator: algorithms must name one or more; got none")
        for each in algorithms:
            require_one_of("JwtAuthenticator: an algorithm", each, ALGORITHMS)
        require_seconds("JwtAuthenticator: leeway", leeway)
        require_seconds("JwtAuthenticator: timeout", timeout)
        require_whole("JwtAuthenticator: token_size", token_size)
        for name, value in (("metadata", metadata), ("header", header)):
            if value is not None:
                require_text(f"JwtAuthenticator: {name}", value)
        if metadata is None and header is None:
            raise UsageError("JwtAuthenticator: metadata or header must name where tokens are")
        self._keys: Final = _keys(keys, timeout)
        self._expected: Final = Expected(issuer, _audiences(audience), leeway, require_exp)
        self._algorithms: Final = frozenset(algorithms)
        self._metadata: Final = metadata
        self._header: Final = header
        self._token_size: Final = token_size
        self._clock: Final = clock
        self._remembered: Final[OrderedDict[bytes, _Remembered]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<JwtAuthenticator of {self._expected.issuer!r}>"

    async def authenticate(self, proof: Proof) -> Identity | None:
        """Return whom the token of a call proves; None if the call has no token.

        Raises:
            AuthenticationFailed: The token is not valid, or the keys could not be fetched.
        """
        token = self._token_of(proof)
        if token is None:
            return None
        if len(token) > self._token_size or not token.isascii():
            raise AuthenticationFailed("JWT: it is too long, or not ASCII")
        digest = sha256(token.encode()).digest()
        return self._recall(digest) or await self._verify(token, digest)

    def _token_of(self, proof: Proof) -> str | None:
        value = None if self._metadata is None else proof.metadata.get(self._metadata)
        if value is None and self._header is not None:
            value = proof.headers.get(self._header)
        scheme, _, token = (value or "").partition(" ")
        return token.strip(" ") if scheme.lower() == _SCHEME else None

    def _recall(self, digest: bytes) -> Identity | None:
        """Return whom a token proves that was verified with the present keys, if it has not expired."""
        known = self._remembered.get(digest)
        if known is None or known.keys is not self._keys.current:
            return None
        expires = known.identity.expires
        if expires is not None and self._clock() >= expires:
            del self._remembered[digest]
            return None
        self._remembered.move_to_end(digest)
        return known.identity

    async def _verify(self, token: str, digest: bytes) -> Identity:
        unverified = read_token(token, self._algorithms)
        keys = await self._keys.find(unverified.kid)
        require_token_signature(unverified, keys)
        expected = self._expected
        claims = read_claims(unverified.payload, expected, self._clock())
        name = token_id(expected.issuer, claims.sub)
        identity = Identity(name, "jwt", MappingProxyType(claims.values), expires=claims.expires)
        self._remembered[digest] = _Remembered(identity, keys)
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)
        return identity


def _require_issuer(issuer: object) -> None:
    require_text("JwtAuthenticator: issuer", issuer)
    text = cast(str, issuer)
    if not text or "#" in text or not text.isprintable():
        raise UsageError(
            'JwtAuthenticator: issuer must be a text without "#", which separates it from the subject in an id; '
            f"got {issuer!r}"
        )


def _audiences(audience: str | Collection[str]) -> frozenset[str]:
    audiences = (audience,) if isinstance(audience, str) else audience
    if not isinstance(cast(object, audiences), Collection):
        raise UsageError(
            f"JwtAuthenticator: audience must be a string, or a list of strings; got {audience!r}"
        )
    for each in audiences:
        require_text("JwtAuthenticator: an audience", each)
    if not audiences or "" in audiences:
        raise UsageError("JwtAuthenticator: audience must name this server; got nothing")
    return frozenset(audiences)


def _keys(keys: object, timeout: float) -> Keys:
    if callable(keys):
        require_library()
        return FetchedKeys(cast(FetchKeys, keys), timeout)
    if isinstance(keys, str) and "://" in keys:
        raise UsageError(
            "JwtAuthenticator: keys must be a JWK Set, a public key in PEM, or an async function that fetches a JWK Set; "
            "got a URL"
        )
    try:
        if isinstance(keys, str | bytes):
            return FixedKeys(KeySet.from_pem(keys))
        return FixedKeys(KeySet.from_jwks(keys))
    except ValueError as error:
        raise UsageError(f"JwtAuthenticator: keys: {error}") from None
