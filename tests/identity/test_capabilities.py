"""Delegation: making capabilities, checking chains of them, and what a caller has proven."""

import json
import time
from itertools import pairwise
from typing import Any

import pytest
from enkaku import KeyPair, UsageError, delegate
from enkaku.errors import Rejected
from enkaku.identity import capabilities
from enkaku.identity.capabilities import Capability, Delegations, read_capability
from enkaku.identity.messages import Claims
from enkaku.identity.patterns import covers
from enkaku.identity.proofs import Caller, prove, require_opener
from enkaku.identity.tokens import sign, signing_input
from hypothesis import given, settings
from hypothesis import strategies as st
from identity.peers import ALICE, BOB, CAROL, PAT, SERVER, Clock

NOW = 1_800_000_000.0


def token(key: KeyPair, **members: Any) -> str:
    """Return a token that is signed as it is, valid or not; members that are None are left out."""
    payload = {
        "iss": key.did,
        "sub": ALICE.did,
        "aud": BOB.did,
        "act": "math/*",
        "res": SERVER.did,
        "exp": NOW + 100,
        **members,
    }
    payload = {name: value for name, value in payload.items() if value is not None}
    header = {"typ": payload.pop("typ", "JWT"), "alg": payload.pop("alg", key.alg)}
    data = signing_input(json.dumps(header).encode(), json.dumps(payload).encode())
    return f"{data}.{sign(key, data)}"


ROOT = token(ALICE)
LEAF = token(BOB, aud=CAROL.did, act="math/divide")


def check(*chain: str, iss: str = BOB.did, act: str = "math/divide", **options: Any) -> str:
    """Return ``"granted"``, or why a chain is rejected."""
    delegations = options.pop("delegations", None) or Delegations(clock=Clock(NOW))
    try:
        delegations.check(chain, iss=iss, sub=ALICE.did, act=act, res=SERVER.did, **options)
    except Rejected as error:
        return error.message if error.code == "EK02" else str(error)
    return "granted"


def test_check_chain_is_granted() -> None:
    assert check(ROOT) == check(LEAF, ROOT, iss=CAROL.did) == "granted"
    assert check(token(PAT, sub=PAT.did), iss=BOB.did) == "Invalid capability: subject mismatch"


@pytest.mark.parametrize(
    ("chain", "options", "text"),
    [
        ([], {}, "Invalid payload: no capability"),
        (["x.y"], {}, "Invalid token format: expected 3 parts separated by dots"),
        ([ROOT + ".x"], {}, "Invalid token format: expected 3 parts separated by dots"),
        (["x.y.z"], {}, "Invalid token: not a capability"),
        ([ROOT], {"iss": CAROL.did}, "Invalid capability: audience mismatch"),
        ([ROOT, LEAF], {}, "Invalid capability: audience mismatch"),
        ([LEAF, token(ALICE, aud=CAROL.did)], {"iss": CAROL.did}, "Invalid capability: audience mismatch"),
        ([LEAF], {"iss": CAROL.did}, "Invalid capability: issuer should be subject"),
        ([ROOT], {"act": "echo"}, "Invalid capability: permission mismatch"),
        ([token(ALICE, res=BOB.did)], {}, "Invalid capability: permission mismatch"),
        ([token(BOB, aud=CAROL.did, act="*"), ROOT], {"iss": CAROL.did}, "Invalid capability: permission mismatch"),
        ([token(BOB, aud=CAROL.did, res="*"), ROOT], {"iss": CAROL.did}, "Invalid capability: permission mismatch"),
        ([token(BOB, sub=BOB.did)], {}, "Invalid capability: subject mismatch"),
        ([token(BOB, aud=CAROL.did, sub=BOB.did), ROOT], {"iss": CAROL.did}, "Invalid capability: subject mismatch"),
        ([token(ALICE, exp=NOW - 1)], {}, "Token expired"),
        ([token(ALICE, nbf=NOW + 1)], {}, "Token not yet valid"),
        ([token(ALICE, iat=NOW + 6)], {}, "Invalid token: issued in the future"),
        ([token(ALICE, exp=None)], {}, "Invalid capability: it never expires"),
        ([token(BOB, aud=CAROL.did, exp=NOW + 101), ROOT], {"iss": CAROL.did}, "Invalid capability: it outlives its parent"),
        ([token(BOB, iss=ALICE.did)], {}, "Invalid signature"),
        ([token(ALICE, alg="ES256")], {}, "Invalid signature"),
        ([token(ALICE, typ="x")], {}, "Invalid token: not a capability"),
        ([token(ALICE, act=None)], {}, "Invalid token: not a capability"),
        ([token(ALICE, act=1)], {}, "Invalid token: not a capability"),
        ([token(ALICE, aud=["x"])], {}, "Invalid token: not a capability"),
        ([token(ALICE, res=[1])], {}, "Invalid token: not a capability"),
        ([token(ALICE, act=[])], {}, "Invalid capability: permission mismatch"),
        ([token(ALICE, iss="did:web:a")], {}, "Unknown DID: did:web:a"),
        ([ROOT] * 5, {}, "Invalid capability: more than 4 links"),
        ([ROOT + "A" * 8192], {}, "Invalid capability: more than 8192 bytes"),
    ],
)  # fmt: skip
def test_check_other_chain_is_rejected(
    chain: list[str], options: dict[str, str], text: str
) -> None:
    assert check(*chain, **options) == text


def test_check_chain_of_four_links_is_granted() -> None:
    keys = [ALICE, BOB, CAROL, PAT, SERVER]
    chain = [token(issuer, aud=audience.did) for issuer, audience in pairwise(keys)]
    assert check(*reversed(chain), iss=SERVER.did) == "granted"


def test_check_combines_actions_and_resources() -> None:
    several = token(ALICE, act=["echo", "math/add"], res=["did:x", SERVER.did])
    assert check(several, act="math/add") == "granted"
    assert check(several, act="math/sub") == "Invalid capability: permission mismatch"
    part = token(BOB, aud=CAROL.did, act=["echo"], res=[SERVER.did])
    assert check(part, several, iss=CAROL.did, act="echo") == "granted"


def test_check_within_leeway_is_granted() -> None:
    assert check(token(ALICE, iat=NOW + 5)) == check(token(ALICE, exp=NOW)) == "granted"


def test_check_without_expiry_is_granted_if_allowed() -> None:
    delegations = Delegations(clock=Clock(NOW), unlimited=True)
    assert check(token(ALICE, exp=None), delegations=delegations) == "granted"
    endless = token(BOB, aud=CAROL.did, exp=None)
    outlives = "Invalid capability: it outlives its parent"
    assert check(endless, ROOT, iss=CAROL.did, delegations=delegations) == outlives


def test_check_again_verifies_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    delegations = Delegations(clock=Clock(NOW))
    assert check(LEAF, ROOT, iss=CAROL.did, delegations=delegations) == "granted"
    monkeypatch.setattr(capabilities, "read_capability", lambda *_: pytest.fail("verified again"))
    assert check(LEAF, ROOT, iss=CAROL.did, delegations=delegations) == "granted"
    # What the caller asks is compared each time.
    assert check(LEAF, ROOT, iss=CAROL.did, act="math/add", delegations=delegations) == (
        "Invalid capability: permission mismatch"
    )
    assert check(LEAF, ROOT, delegations=delegations) == "Invalid capability: audience mismatch"


def test_check_remembered_chain_expires() -> None:
    clock = Clock(NOW)
    delegations = Delegations(clock=clock)
    assert check(ROOT, delegations=delegations) == "granted"
    clock.now = NOW + 101
    assert check(ROOT, delegations=delegations) == "Token expired"
    assert delegations.remembered == 0


def test_check_remembers_a_bounded_number_of_chains() -> None:
    delegations = Delegations(clock=Clock(NOW), remembered=3)
    for number in range(5):
        assert check(token(ALICE, jti=str(number)), delegations=delegations) == "granted"
        assert check(token(BOB, jti=str(number)), delegations=delegations) != "granted"
        assert delegations.remembered <= 3


def test_check_revoked_capability_is_rejected() -> None:
    revoked: set[str] = set()
    delegations = Delegations(clock=Clock(NOW), revoked=lambda each: each.iss in revoked)
    assert check(LEAF, ROOT, iss=CAROL.did, delegations=delegations) == "granted"
    revoked.add(ALICE.did)  # that of a parent counts as well, and at once
    assert (
        check(LEAF, ROOT, iss=CAROL.did, delegations=delegations) == "Invalid capability: revoked"
    )


@pytest.mark.parametrize("key", [ALICE, PAT], ids=["EdDSA", "ES256"])
def test_delegate_makes_capability_that_is_granted(key: KeyPair) -> None:
    text = delegate(key, to=BOB.did, act="math/*", res=SERVER.did, expires_in=60)
    found = read_capability(text, time.time())
    assert (found.iss, found.sub, found.aud) == (key.did, key.did, BOB.did)
    assert (found.act, found.res, found.actions) == ("math/*", SERVER.did, ("math/*",))
    assert 58 <= found.ends - time.time() <= 60
    assert isinstance(found.iat, float)
    Delegations().check([text], iss=BOB.did, sub=key.did, act="math/add", res=SERVER.did)


def test_delegate_with_parent_keeps_subject() -> None:
    root = delegate(ALICE, to=BOB.did, act=["math/*", "echo"], res="*", expires_in=60)
    leaf = delegate(BOB, to=CAROL.did, act="echo", res=SERVER.did, expires_in=30, parent=root)
    assert read_capability(leaf, time.time()).sub == ALICE.did
    Delegations().check([leaf, root], iss=CAROL.did, sub=ALICE.did, act="echo", res=SERVER.did)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"act": "x"}, "the parent does not grant that: Invalid capability: permission mismatch"),
        ({"res": "*"}, "the parent does not grant that: Invalid capability: permission mismatch"),
        ({"expires_in": 1000}, "does not grant that: Invalid capability: it outlives its parent"),
        ({"key": CAROL}, "the parent does not grant that: Invalid capability: audience mismatch"),
        ({"parent": "x"}, "the parent does not grant that: Invalid token format"),
        ({"act": "math*"}, r"act: 'math\*': '\*' must be the whole last part, as in 'math/\*'"),
        ({"act": "*/math"}, r"act: '\*/math': '\*' must be the whole last part"),
        ({"act": ""}, "act: ''"),
        ({"act": "a//b"}, "act: 'a//b': the parts between '/' must have"),
        ({"act": "/a"}, "act: '/a'"),
        ({"act": "a/"}, "act: 'a/'"),
        ({"act": "a./b"}, "act: 'a./b'"),
        ({"act": "a b"}, "act: 'a b'"),
        ({"act": []}, "act must have at least one string"),
        ({"act": [1]}, "act must be a string; got 1"),
        ({"res": "server"}, "res must be the name of a key"),
        ({"to": "bob"}, "to must be the name of a key, such as 'did:key:z6Mk...'; got 'bob'"),
        ({"to": BOB.did + "x"}, "to: Unsupported DID signature codec|to: Invalid DID format"),
        ({"expires_in": "60"}, "expires_in must be a number of seconds"),
        ({"expires_in": -1}, "expires_in must be 0 seconds or more"),
    ],
)  # fmt: skip
def test_delegate_other_arguments_raise_usage_error(change: dict[str, Any], problem: str) -> None:
    parent = delegate(ALICE, to=BOB.did, act="math/*", res=SERVER.did, expires_in=100)
    arguments = {
        "key": BOB,
        "to": CAROL.did,
        "act": "math/add",
        "res": SERVER.did,
        "expires_in": 50,
        "parent": parent,
    } | change
    with pytest.raises(UsageError, match=problem):
        delegate(arguments.pop("key"), **arguments)


@pytest.mark.parametrize(
    ("granted", "wanted", "expected"),
    [
        ("*", "math/add", True),
        ("*", "math/*", True),
        ("*", "*", True),
        ("math/*", "math/add", True),
        ("math/*", "math/a/b", True),
        ("math/*", "math", True),
        ("math/*", "math/*", True),
        ("math/*", "math/a/*", True),
        ("math/*", "*", False),
        ("math/*", "maths/add", False),
        ("math", "math", True),
        ("math", "math/add", False),
        ("math", "math/*", False),
        ("math/add/x", "math", False),
        ("math/add/x", "math/add", False),
        ("a*", "a*", True),
        ("a*", "ab", False),
        ("a:*", "a:b", False),
        ("*", "enkaku:login", False),
        ("*", "enkaku:*", False),
        ("enkaku:*", "enkaku:login", True),
        ("enkaku:*", "login", False),
        ("enkaku:login", "enkaku:login", True),
        ("enkaku:a/*", "enkaku:a/b", True),
        ("enkaku:a", "enkaku:b", False),
    ],
)
def test_pattern_covers(granted: str, wanted: str, *, expected: bool) -> None:
    assert covers(granted, wanted) is expected


def proven(claims: Claims, procedure: str = "math/divide") -> Caller | str:
    try:
        return prove(
            claims,
            procedure=procedure,
            server=SERVER.did,
            delegations=Delegations(clock=Clock(NOW)),
        )
    except Rejected as error:
        return error.message


def test_prove_subject_needs_delegation() -> None:
    claims = {"iss": BOB.did, "aud": SERVER.did}
    assert proven(Claims(**claims)) == Caller(BOB.did, BOB.did)
    assert proven(Claims(**claims, sub=BOB.did)) == Caller(BOB.did, BOB.did)
    assert proven(Claims(**claims, sub=ALICE.did, cap=ROOT)) == Caller(BOB.did, ALICE.did)
    assert proven(Claims(**claims, cap=ROOT)) == Caller(BOB.did, BOB.did)
    # The TypeScript implementation lets the last ones pass where a rule names BOB or everybody.
    assert proven(Claims(**claims, sub=ALICE.did)) == "Access denied"
    assert proven(Claims(**claims, sub=ALICE.did, cap=ROOT), "echo") == "Access denied"


def test_prove_expired_delegation_says_so() -> None:
    old = token(ALICE, exp=NOW - 1)
    claims = Claims(iss=BOB.did, aud=SERVER.did, sub=ALICE.did, cap=old)
    assert proven(claims) == "Token expired"


def test_prove_audience_may_be_missing_for_server_alone() -> None:
    own = token(SERVER, sub=SERVER.did)
    unrestricted = Caller(BOB.did, SERVER.did, unrestricted=True)
    assert proven(Claims(iss=SERVER.did)) == Caller(SERVER.did, SERVER.did, unrestricted=True)
    assert proven(Claims(iss=BOB.did, sub=SERVER.did, cap=own)) == unrestricted
    assert proven(Claims(iss=BOB.did, sub=ALICE.did, cap=ROOT)) == "Invalid audience"
    assert proven(Claims(iss=BOB.did)) == "Invalid audience"
    for claims in (
        Claims(iss=SERVER.did, aud=BOB.did),
        Claims(iss=BOB.did, sub=SERVER.did, cap=own, aud=BOB.did),
        Claims(iss=BOB.did, sub=BOB.did, aud=BOB.did),
    ):
        assert proven(claims) == "Invalid audience"


def test_prove_delegation_of_server_says_what_is_wrong() -> None:
    assert proven(Claims(iss=BOB.did, sub=SERVER.did)) == "Invalid payload: no capability"
    own = token(SERVER, sub=SERVER.did)
    found = proven(Claims(iss=BOB.did, sub=SERVER.did, cap=own), "echo")
    assert found == "Invalid capability: permission mismatch"


@pytest.mark.parametrize(
    ("claims", "typ", "text"),
    [
        (Claims(iss=ALICE.did, aud=SERVER.did), "send", None),
        (Claims(iss=ALICE.did), "abort", None),
        (Claims(iss=BOB.did, aud=SERVER.did), "send", "Send issuer does not match channel owner"),
        (Claims(iss=BOB.did, aud=SERVER.did), "abort", "Abort issuer does not match owner"),
        (Claims(iss=BOB.did, aud=SERVER.did), "end", "Access denied"),
        (Claims(iss=ALICE.did, aud=BOB.did), "send", "Invalid audience"),
        (Claims(iss=ALICE.did, aud=BOB.did), "abort", "Invalid audience"),
    ],
)
def test_require_opener_rejects_other_senders(claims: Claims, typ: str, text: str | None) -> None:
    if text is None:
        require_opener(claims, typ, opener=ALICE.did, server=SERVER.did)
        return
    with pytest.raises(Rejected) as raised:
        require_opener(claims, typ, opener=ALICE.did, server=SERVER.did)
    assert raised.value.message == text


def test_capability_of_any_shape_has_lists() -> None:
    found = Capability("a", "b", "c", act=["x", "y"], res="z")
    assert (found.actions, found.resources, found.ends) == (("x", "y"), ("z",), float("inf"))


def _reading(pattern: str, procedure: str) -> bool:
    """Read a pattern plainly, part by part."""
    parts, names = pattern.split("/"), procedure.split("/")
    if parts[-1] != "*":
        return parts == names
    return names[: len(parts) - 1] == parts[:-1]


names = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=3).map("/".join)
acts = st.lists(names | names.map("{}/*".format) | st.just("*"), min_size=1, max_size=2)


@given(st.lists(acts, min_size=1, max_size=4), names)
@settings(max_examples=300)
def test_chain_grants_what_each_link_grants(links: list[list[str]], procedure: str) -> None:
    keys = [ALICE, BOB, CAROL, SERVER, BOB]
    chain = [
        token(issuer, aud=audience.did, act=act)
        for act, (issuer, audience) in zip(links, pairwise(keys), strict=False)
    ]
    outcome = check(*reversed(chain), iss=keys[len(links)].did, act=procedure)
    if outcome == "granted":
        assert all(any(_reading(act, procedure) for act in link) for link in links)
    else:
        assert outcome == "Invalid capability: permission mismatch"
