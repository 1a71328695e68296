"""JSON Web Tokens: the examples of the standards, what is rejected, and mutations."""

import builtins
import json
import string
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku import AuthenticationFailed, ConnectionInfo, HttpRequest, JwtAuthenticator, Proof
from enkaku.identity.jwt import ALGORITHMS, KeySet, read_token, require_token_signature
from hypothesis import given, settings
from hypothesis import strategies as st
from identity.jwts import (
    AUDIENCE,
    CLAIMS,
    ED,
    ISSUER,
    NOW,
    P256,
    RSA,
    SECRET,
    Ec,
    Key,
    Rsa,
    Secret,
    b64,
    jwks,
    raw_token,
    token,
)
from identity.peers import Clock

CONNECTION = ConnectionInfo("a client", None)


def authenticator(keys: Any = None, **options: Any) -> JwtAuthenticator:
    given_keys = jwks(RSA.jwk) if keys is None else keys
    options = {"issuer": ISSUER, "audience": AUDIENCE, "clock": lambda: NOW, **options}
    return JwtAuthenticator(keys=given_keys, **options)


def bearer(text: str) -> Proof:
    return Proof({"authorization": f"Bearer {text}"}, CONNECTION)


async def accepted(verifier: JwtAuthenticator, text: str) -> enkaku.Identity:
    identity = await verifier.authenticate(bearer(text))
    assert identity is not None
    return identity


async def rejected(verifier: JwtAuthenticator, text: str) -> AuthenticationFailed:
    with pytest.raises(AuthenticationFailed) as caught:
        await verifier.authenticate(bearer(text))
    assert len(text) < 20 or text not in repr(caught.value)
    return caught.value


def without(name: str) -> dict[str, object]:
    return {key: value for key, value in CLAIMS.items() if key != name}


EXAMPLES = json.loads((Path(__file__).parent / "jwt_examples.json").read_text())


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_of_standard_is_verified(example: str) -> None:
    text: str = EXAMPLES[example]["token"]
    keys = KeySet.from_jwks(jwks(EXAMPLES[example]["key"]))
    require_token_signature(read_token(text, ALGORITHMS), keys)
    head, signature = text.rsplit(".", 1)
    other = f"{head}.{'AB'[signature[0] == 'A']}{signature[1:]}"
    with pytest.raises(AuthenticationFailed, match="signature is not valid"):
        require_token_signature(read_token(other, ALGORITHMS), keys)


P384, P521 = Ec("P-384"), Ec("P-521")
SIGNERS: dict[str, Key] = {
    alg: (
        SECRET
        if alg.startswith("HS")
        else (
            RSA
            if alg[1] == "S" and alg[0] in "RP"
            else {"ES256": P256, "ES384": P384, "ES512": P521}.get(alg, ED)
        )
    )
    for alg in ALGORITHMS
}
TOKENS = {alg: token(key, alg) for alg, key in SIGNERS.items()}


@pytest.mark.parametrize("alg", ALGORITHMS)
async def test_token_valid_gives_identity(alg: str) -> None:
    verifier = authenticator(jwks(SIGNERS[alg].jwk), algorithms=[alg], leeway=5)
    identity = await accepted(verifier, TOKENS[alg])
    assert identity == enkaku.Identity(
        "jwt:https://issuer.example#alice", "jwt", CLAIMS, expires=NOW + 65
    )
    assert identity.subject == identity.id
    assert await accepted(verifier, TOKENS[alg]) is identity


@pytest.mark.parametrize("key", [RSA, P256, ED])
async def test_token_key_may_be_pem(key: Rsa | Ec) -> None:
    alg = {RSA: "RS256", P256: "ES256"}.get(key, "EdDSA")
    for pem in (key.pem, key.pem.decode()):
        assert await accepted(authenticator(pem), token(key, alg, kid="any"))


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("key", [RSA, P256, P384, P521, ED, SECRET])
async def test_token_algorithm_must_fit_key(alg: str, key: Key) -> None:
    if SIGNERS[alg] is key:
        return
    verifier = authenticator(jwks(key.jwk), algorithms=ALGORITHMS)
    assert "no key" in (await rejected(verifier, TOKENS[alg])).reason


async def test_token_public_key_is_no_shared_secret() -> None:
    for public in (RSA.pem, RSA.pem.strip(), json.dumps(RSA.jwk).encode()):
        forged = token(Secret(public), "HS256")
        for keys in (jwks(RSA.jwk), RSA.pem):
            verifier = authenticator(keys, algorithms=["RS256", "HS256"])
            assert "no key" in (await rejected(verifier, forged)).reason


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "", "HS256", "RS384", "ES256K", "dir"])
async def test_token_algorithm_not_allowed_is_rejected(alg: str) -> None:
    verifier = authenticator(jwks(RSA.jwk, SECRET.jwk))
    data = f"{b64(json.dumps({'alg': alg}).encode())}.{b64(json.dumps(CLAIMS).encode())}"
    signature = b64(SECRET.sign("HS256", data.encode()))
    for text in (f"{data}.", f"{data}.{signature}"):
        assert "algorithm" in (await rejected(verifier, text)).reason


def test_token_algorithm_none_cannot_be_allowed() -> None:
    with pytest.raises(enkaku.UsageError, match="algorithm"):
        authenticator(algorithms=["RS256", "none"])


@pytest.mark.parametrize(
    "header",
    [
        {"kid": 1},
        {"kid": ["a"]},
        {"kid": None},
        {"typ": "logout+jwt"},
        {"typ": "dpop+jwt"},
        {"typ": 1},
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"b64": True},
        {"alg": ["RS256"]},
    ],
)
async def test_token_header_unsupported_is_rejected(header: dict[str, object]) -> None:
    values = {"alg": "RS256", **header}
    payload = json.dumps(CLAIMS).encode()
    text = raw_token(RSA, "RS256", json.dumps(values).encode(), payload)
    if header == {"kid": None}:
        assert await accepted(authenticator(), text)  # as if it had none
    else:
        await rejected(authenticator(), text)


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT"])
async def test_token_type_of_access_is_accepted(typ: str) -> None:
    assert await accepted(authenticator(), token(RSA, "RS256", typ=typ))


@pytest.mark.parametrize("name", ["jwk", "jku", "x5c", "x5u"])
async def test_token_own_key_is_not_used(name: str) -> None:
    stranger = Ec()
    text = token(stranger, "ES256", **{name: stranger.jwk if name == "jwk" else ["a"]})
    failed = await rejected(authenticator(jwks(P256.jwk)), text)
    assert "signature is not valid" in failed.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"iss": "https://issuer.example/"}, "issuer"),
        ({"iss": ["https://issuer.example"]}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"aud": "API"}, "audience"),
        ({"aud": "api "}, "audience"),
        ({"aud": ["other", "apis"]}, "audience"),
        ({"aud": {"api": "api"}}, "audience"),
        ({"aud": [["api"]]}, "audience"),
        ({"aud": []}, "audience"),
        ({"sub": ""}, "sub"),
        ({"sub": 1}, "sub"),
        ({"sub": "a\nb"}, "sub"),
        ({"sub": "a\x00"}, "sub"),
        ({"sub": "a\u202eb"}, "sub"),
        ({"sub": "\ud800"}, "sub"),
        ({"exp": str(NOW + 60)}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": None}, "exp"),
        ({"exp": 10**400}, "exp"),
        ({"exp": -(10**400)}, "exp"),
        ({"nbf": "0"}, "nbf"),
        ({"iat": [0]}, "iat"),
    ],
)
async def test_token_claim_invalid_is_rejected(change: dict[str, object], reason: str) -> None:
    failed = await rejected(authenticator(), token(RSA, "RS256", {**CLAIMS, **change}))
    assert reason in failed.reason
    assert failed.public == "Access denied"


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "exp"])
async def test_token_claim_missing_is_rejected(name: str) -> None:
    assert (await rejected(authenticator(), token(RSA, "RS256", without(name)))).reason


async def test_token_without_exp_can_be_allowed() -> None:
    identity = await accepted(authenticator(require_exp=False), token(RSA, "RS256", without("exp")))
    assert identity.expires is None


@pytest.mark.parametrize("audience", [AUDIENCE, ["other", AUDIENCE]])
async def test_token_audience_may_be_one_of_several(audience: str | list[str]) -> None:
    text = token(RSA, "RS256", {**CLAIMS, "aud": audience})
    assert await accepted(authenticator(audience={"api", "web"}), text)


@pytest.mark.parametrize(
    ("claims", "public"),
    [
        ({"exp": NOW - 9.5}, None),
        ({"exp": NOW - 10}, "Token expired"),
        ({"exp": NOW - 1000}, "Token expired"),
        ({"exp": 0}, "Token expired"),
        ({"nbf": NOW + 10}, None),
        ({"nbf": NOW + 10.5}, "Token not yet valid"),
        ({"iat": NOW + 10}, None),
        ({"iat": NOW + 11}, "Token not yet valid"),
        ({"iat": 0, "nbf": 0}, None),
    ],
)
async def test_token_times_have_leeway(claims: dict[str, object], public: str | None) -> None:
    text = token(RSA, "RS256", {**CLAIMS, **claims})
    if public is None:
        assert await accepted(authenticator(leeway=10), text)
    else:
        assert (await rejected(authenticator(leeway=10), text)).public == public


async def test_token_expired_with_bad_signature_says_nothing() -> None:
    text = token(Rsa(), "RS256", {**CLAIMS, "exp": 0})
    assert (await rejected(authenticator(), text)).public == "Access denied"


async def test_token_remembered_expires() -> None:
    clock = Clock(NOW)
    verifier = authenticator(clock=clock, leeway=0)
    text = token(RSA, "RS256")
    assert await accepted(verifier, text)
    clock.now += 59.9
    assert await accepted(verifier, text)
    clock.now += 0.1
    assert (await rejected(verifier, text)).public == "Token expired"
    assert not verifier._remembered


async def test_tokens_remembered_are_bounded() -> None:
    verifier = authenticator(jwks(SECRET.jwk), algorithms=["HS256"])
    for count in range(1010):
        await accepted(verifier, token(SECRET, "HS256", {**CLAIMS, "sub": str(count)}))
    assert len(verifier._remembered) == 1000


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        (b'{"alg":"RS256","alg":"RS256"}', None),
        (b'{"alg":"none","alg":"RS256"}', None),
        (b'{"alg":"RS256"', None),
        (b'["RS256"]', None),
        (b'{"alg":"RS256"}\xff', None),
        (b"[" * 3000, None),
        (None, b"{}"),
        (None, b"null"),
        (None, b'{"iss":NaN}'),
        (None, json.dumps(CLAIMS).encode()[:-1] + b',"sub":"bob"}'),
        (None, json.dumps(CLAIMS).encode()[:-1] + b',"a":{"b":1,"b":2}}'),
        (None, json.dumps(CLAIMS).encode()[:-1] + b',"\\u0073ub":"bob"}'),
        (None, b"[" * 5000),
    ],
)
async def test_token_json_invalid_is_rejected(header: bytes | None, payload: bytes | None) -> None:
    text = raw_token(
        RSA,
        "RS256",
        b'{"alg":"RS256"}' if header is None else header,
        json.dumps(CLAIMS).encode() if payload is None else payload,
    )
    await rejected(authenticator(), text)


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", "a.b", "a.b.c.d", "a.b.c.d.e", "é.é.é", "\ud800"),
        *("=.=.=", "a b c", ", Bearer x", "\x00", "[]", "null.null.null"),
    ],
)
async def test_token_malformed_is_rejected(text: str) -> None:
    await rejected(authenticator(), text)


async def test_token_base64_in_other_spelling_is_rejected() -> None:
    header, payload, signature = TOKENS["ES256"].split(".")
    verifier = authenticator(jwks(P256.jwk))
    unused = signature[:-1] + chr(ord(signature[-1]) + 1)  # 86 characters have 4 unused bits
    for text in (
        f"{header}.{payload}.{signature}==",
        f"{header}.{payload}.{signature}\n",
        f"{header}.{payload}.{unused}",
        f"{header}..{payload}.{signature}",
    ):
        await rejected(verifier, text)


async def test_token_size_is_bounded() -> None:
    small, big = token(RSA, "RS256"), token(RSA, "RS256", {**CLAIMS, "a": "x" * 10_000})
    assert await accepted(authenticator(token_size=len(small)), small)
    for verifier, text in (
        (authenticator(token_size=len(small) - 1), small),
        (authenticator(), big),
    ):
        assert "too long" in (await rejected(verifier, text)).reason
    assert await accepted(authenticator(token_size=20_000), big)
    await rejected(authenticator(), "x" * 5_000_000)


async def test_token_kid_selects_key() -> None:
    other = Ec()
    verifier = authenticator(jwks({**P256.jwk, "kid": "a"}, {**other.jwk, "kid": "b"}))
    assert await accepted(verifier, token(P256, "ES256", kid="a"))
    assert await accepted(verifier, token(other, "ES256", kid="b"))
    assert "signature" in (await rejected(verifier, token(P256, "ES256", kid="b"))).reason
    for kid in ("c", "", "A", "../../dev/null", "a' or '1'='1", "a\x00"):
        assert "no key" in (await rejected(verifier, token(P256, "ES256", kid=kid))).reason
    assert "several keys" in (await rejected(verifier, token(P256, "ES256"))).reason


async def test_token_without_kid_finds_only_fitting_key() -> None:
    verifier = authenticator(jwks({**P256.jwk, "kid": "a"}, {**RSA.jwk, "kid": "b"}))
    assert await accepted(verifier, token(P256, "ES256"))
    assert await accepted(verifier, token(RSA, "RS256"))


async def test_key_alg_is_the_only_one() -> None:
    verifier = authenticator(jwks({**RSA.jwk, "alg": "PS256"}))
    assert await accepted(verifier, token(RSA, "PS256"))
    assert "no key" in (await rejected(verifier, token(RSA, "RS256"))).reason


@pytest.mark.parametrize(
    "jwk",
    [
        {**RSA.jwk, "use": "enc"},
        {**RSA.jwk, "use": ["sig"]},
        {**RSA.jwk, "key_ops": ["encrypt"]},
        {**RSA.jwk, "key_ops": "verify"},
        {**RSA.jwk, "kid": 1},
        {**RSA.jwk, "n": 1},
        {**RSA.jwk, "n": "!"},
        {"kty": "RSA"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "secp999", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": ED.jwk["x"]},
        {"kty": "AKP"},
        {"kty": ["RSA"]},
        {},
        "a",
        None,
    ],
)
async def test_key_unusable_is_left_out(jwk: Any) -> None:
    with pytest.raises(enkaku.UsageError, match="no key of the set can verify tokens"):
        authenticator(jwks(jwk))
    assert await accepted(authenticator(jwks(jwk, P256.jwk)), TOKENS["ES256"])


def test_key_too_weak_is_rejected() -> None:
    weak = Rsa(1024)
    for keys in (jwks(weak.jwk), weak.pem):
        with pytest.raises(enkaku.UsageError, match="2048"):
            authenticator(keys)


async def test_secret_shorter_than_hash_is_rejected() -> None:
    short = Secret(bytes(range(40)))
    verifier = authenticator(jwks(short.jwk), algorithms=["HS256", "HS384"])
    assert await accepted(verifier, token(short, "HS256"))
    assert "no key" in (await rejected(verifier, token(short, "HS384"))).reason


def test_private_parts_of_keys_are_not_read() -> None:
    assert authenticator(jwks({**ED.jwk, "d": "not even a key"}))


@pytest.mark.parametrize("keys", [b"", "", "secret", b"\x00\xff", "-----BEGIN PRIVATE KEY-----"])
def test_key_not_public_pem_is_usage_error(keys: str | bytes) -> None:
    with pytest.raises(enkaku.UsageError, match="not a public key in PEM"):
        authenticator(keys)


def test_keys_url_is_usage_error() -> None:
    with pytest.raises(
        enkaku.UsageError, match="an async function that fetches a JWK Set; got a URL"
    ):
        authenticator("https://login.example/jwks.json")


def test_audience_none_is_usage_error() -> None:
    with pytest.raises(enkaku.UsageError, match="must be a string, or a list of strings; got None"):
        authenticator(audience=None)


@pytest.mark.parametrize("keys", [{}, {"keys": {}}, {"keys": []}, {"keys": "abc"}, 5, []])
def test_key_set_malformed_is_usage_error(keys: Any) -> None:
    with pytest.raises(enkaku.UsageError, match="JwtAuthenticator: keys"):
        authenticator(keys)


@pytest.mark.parametrize(
    "options",
    [
        {"issuer": ""},
        {"issuer": "https://a.example#b"},
        {"issuer": "a\nb"},
        {"issuer": None},
        {"audience": ""},
        {"audience": []},
        {"audience": [1]},
        {"audience": None},
        {"algorithms": []},
        {"algorithms": "RS256"},
        {"algorithms": ["RS128"]},
        {"leeway": -1},
        {"leeway": "1"},
        {"timeout": None},
        {"token_size": 1.5},
        {"metadata": None, "header": None},
        {"metadata": 1},
    ],
)
def test_option_invalid_is_usage_error(options: dict[str, Any]) -> None:
    with pytest.raises(enkaku.UsageError, match="JwtAuthenticator"):
        authenticator(**options)


@given(
    st.text(st.characters(exclude_characters="#"), min_size=1),
    st.text(min_size=1),
    st.text(st.characters(exclude_characters="#"), min_size=1),
    st.text(min_size=1),
)
def test_id_of_another_subject_differs(issuer: str, sub: str, issuer2: str, sub2: str) -> None:
    ids = {f"jwt:{issuer}#{sub}", f"jwt:{issuer2}#{sub2}"}
    assert len(ids) == len({(issuer, sub), (issuer2, sub2)})


async def test_sub_with_separator_stays_itself() -> None:
    identity = await accepted(authenticator(), token(RSA, "RS256", {**CLAIMS, "sub": "a#b c|é"}))
    assert identity.id == "jwt:https://issuer.example#a#b c|é"


def request(*headers: tuple[bytes, bytes]) -> ConnectionInfo:
    return ConnectionInfo("web", None, request=HttpRequest({"headers": headers}))


async def test_token_in_header_is_found() -> None:
    web = request((b"authorization", b"bearer  " + TOKENS["ES256"].encode()))
    assert await authenticator(jwks(P256.jwk)).authenticate(Proof({}, web))
    ignoring = authenticator(jwks(P256.jwk), header=None)
    assert await ignoring.authenticate(Proof({}, web)) is None


async def test_token_in_metadata_precedes_header() -> None:
    web = request((b"authorization", b"Bearer " + TOKENS["ES256"].encode()))
    with pytest.raises(AuthenticationFailed):
        await authenticator(jwks(P256.jwk)).authenticate(
            Proof({"authorization": "Bearer bad"}, web)
        )


async def test_token_in_two_headers_is_rejected() -> None:
    header = (b"authorization", b"Bearer " + TOKENS["ES256"].encode())
    with pytest.raises(AuthenticationFailed):
        await authenticator(jwks(P256.jwk)).authenticate(Proof({}, request(header, header)))


async def test_names_of_metadata_and_header_can_be_others() -> None:
    verifier = authenticator(jwks(P256.jwk), metadata="access", header="X-Access")
    value = f"Bearer {TOKENS['ES256']}"
    assert await verifier.authenticate(Proof({"access": value}, CONNECTION))
    assert await verifier.authenticate(Proof({}, request((b"x-access", value.encode()))))
    assert await verifier.authenticate(Proof({"authorization": value}, CONNECTION)) is None


@pytest.mark.parametrize("value", [None, "", "Basic YTpi", "DPoP a.b.c", "BearerX a.b.c"])
async def test_call_without_token_has_no_identity(value: str | None) -> None:
    metadata = {} if value is None else {"authorization": value}
    assert await authenticator().authenticate(Proof(metadata, CONNECTION)) is None


async def test_claims_cannot_be_changed() -> None:
    identity = await accepted(authenticator(), TOKENS["RS256"])
    with pytest.raises(TypeError):
        identity.claims["sub"] = "bob"  # type: ignore[index] # that is what is tested
    assert "cook" not in repr(identity)


def test_representation_shows_issuer_only() -> None:
    assert repr(authenticator()) == "<JwtAuthenticator of 'https://issuer.example'>"
    assert isinstance(authenticator(), enkaku.Authenticator)


def test_missing_library_names_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "enkaku.identity.jose", raising=False)
    monkeypatch.delattr("enkaku.identity.jose", raising=False)
    real = builtins.__import__

    def missing(name: str, *arguments: Any) -> Any:
        if name.partition(".")[0] == "joserfc":
            raise ModuleNotFoundError(name)
        return real(name, *arguments)

    async def fetch() -> Mapping[str, object]:
        return jwks(RSA.jwk)

    monkeypatch.setattr(builtins, "__import__", missing)
    for keys in (jwks(RSA.jwk), RSA.pem, fetch):
        with pytest.raises(enkaku.MissingExtra, match=r"enkaku\[jwt\]"):
            authenticator(keys)


_ALPHABET = string.ascii_letters + string.digits + "-_.=+/ \n\x00é"
_KEYS = jwks(
    *({**key.jwk, "kid": name} for name, key in {"r": RSA, "p": P256, "e": ED, "s": SECRET}.items())
)
_STARTS = [
    *(TOKENS[alg] for alg in ("RS256", "ES256", "EdDSA", "HS256")),
    token(RSA, "PS256", kid="r"),
    token(P256, "ES256", kid="p"),
]


@settings(max_examples=400)
@given(
    st.sampled_from(_STARTS),
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 3), st.sampled_from(_ALPHABET)),
        min_size=1,
        max_size=3,
    ),
)
async def test_mutated_token_has_no_other_claims(
    start: str, changes: list[tuple[float, int, str]]
) -> None:
    text = start
    for where, removed, inserted in changes:
        at = int(where * len(text))
        text = text[:at] + inserted + text[at + removed :]
    await has_no_other_claims(text)


@settings(max_examples=200)
@given(
    st.sampled_from(_STARTS),
    st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x"]),
        st.sampled_from([*ALGORITHMS, "none", "r", "p", "e", "s", None, 1, True, [], {}]),
    ),
    st.dictionaries(
        st.sampled_from(["iss", "sub", "aud", "exp", "roles"]),
        st.sampled_from([ISSUER, "bob", AUDIENCE, NOW + 1e6, None, ["admin"]]),
    ),
)
async def test_rewritten_token_has_no_other_claims(
    start: str, header: dict[str, object], claims: dict[str, object]
) -> None:
    parts = start.split(".")
    kept = read_token(start, ALGORITHMS)
    old = {"alg": kept.alg, "typ": "JWT"}
    parts[0] = b64(json.dumps({**old, **header}).encode())
    parts[1] = b64(json.dumps({**CLAIMS, **claims}).encode())
    await has_no_other_claims(".".join(parts))


async def has_no_other_claims(text: str) -> None:
    for keys in (_KEYS, jwks(P256.jwk), RSA.pem):
        verifier = authenticator(keys, algorithms=ALGORITHMS)
        try:
            identity = await verifier.authenticate(bearer(text))
        except AuthenticationFailed:
            continue
        assert identity is not None
        assert identity.claims == CLAIMS
