"""No rules let in a call that a plain reading of them forbids, nor keep out one that it allows: a model against a server.

The model reads the documentation: it knows nothing of the procedures that exist.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import enkaku
import pytest
from enkaku.identity.messages import Signer
from hypothesis import event, given, settings
from hypothesis import strategies as st
from identity.peers import ALICE, BOB, CAROL, SERVER
from support import line, raw_client

UNIX: Final = f"unix:{os.getuid()}"
TOKEN: Final = "key:token"
REQUESTS: Final = ("math", "math/add", "math/add/x", "echo")
STREAMS: Final = ("math/sub",)
EXISTING: Final = {"request": REQUESTS, "stream": STREAMS}
GONE: Final = ("gone", "math/gone", "enkaku:gone", "enkaku:a/b", "mathematics")
PATTERNS: Final = (
    *("*", "math/*", "math", "math/add", "math/add/*", "echo", "gone", "math/sub", "math/gone"),
    *("enkaku:*", "enkaku:gone", "enkaku:a/*", "nothing/*"),
)


def raises(_: enkaku.Call) -> bool:
    raise ValueError("secret")


async def slowly(_: enkaku.Call) -> bool:
    return True


async def never(_: enkaku.Call) -> bool:
    return False


def says_yes(_: enkaku.Call) -> str:
    return "yes"  # which is not True


def is_alice(call: enkaku.Call) -> bool:
    return any(each.subject == ALICE.did for each in call.identities)


# Functions as rules, and whom they let in, by the ids and subjects of the caller.
FUNCTIONS: Final[Mapping[Callable[[enkaku.Call], object], Callable[[set[str]], bool]]] = {
    raises: lambda _: False,
    slowly: lambda _: True,
    never: lambda _: False,
    says_yes: lambda _: False,
    is_alice: lambda ids: ALICE.did in ids,
}
rules = st.one_of(
    st.sampled_from(["everybody", "identified", *FUNCTIONS]),
    st.frozensets(
        st.sampled_from([ALICE.did, BOB.did, CAROL.did, SERVER.did, UNIX, TOKEN]), max_size=3
    ),
)


@dataclass(frozen=True)
class Setup:
    """The options of a server."""

    by_name: dict[str, Any]
    at_method: dict[str, Any]
    has_key: bool
    takes_unsigned: bool
    takes_tokens: bool


@dataclass(frozen=True)
class Message:
    """Who calls what, and by which proofs."""

    procedure: str
    typ: str
    signer: str | None  # the name of its key; None if it is not signed
    audience: str
    subject: str | None
    granted: tuple[str, ...]  # patterns that the subject has granted to the signer, if anything
    has_token: bool


NAMES: Final = {"ALICE": ALICE, "BOB": BOB, "CAROL": CAROL, "SERVER": SERVER}
setups = st.builds(
    Setup,
    by_name=st.dictionaries(st.sampled_from(PATTERNS), rules, max_size=5),
    at_method=st.dictionaries(st.sampled_from([*REQUESTS, *STREAMS]), rules, max_size=3),
    has_key=st.booleans(),
    takes_unsigned=st.booleans(),
    takes_tokens=st.booleans(),
)
messages = st.builds(
    Message,
    procedure=st.sampled_from([*REQUESTS, *STREAMS, *GONE]),
    typ=st.sampled_from(["request", "request", "stream", "channel"]),
    signer=st.sampled_from([None, "ALICE", "BOB", "CAROL", "SERVER"]),
    audience=st.sampled_from(["SERVER", "SERVER", "SERVER", "CAROL"]),
    subject=st.sampled_from([None, None, "ALICE", "BOB", "SERVER"]),
    granted=st.lists(
        st.sampled_from(["*", "math/*", "math", "echo", "enkaku:*", "gone"]), max_size=2
    ).map(tuple),
    has_token=st.booleans(),
)


def matches(pattern: str, procedure: str) -> bool:
    """Compare part by part; procedures of Enkaku are a world of their own."""
    if pattern.startswith("enkaku:") != procedure.startswith("enkaku:"):
        return False
    wanted = pattern.removeprefix("enkaku:").split("/")
    parts = procedure.removeprefix("enkaku:").split("/")
    if wanted[-1] == "*":
        return parts[: len(wanted) - 1] == wanted[:-1]
    return parts == wanted


def most_specific(patterns: Any, procedure: str) -> str | None:
    """Of those that match: the most parts; of two with equally many, the one without ``*``."""
    found = [pattern for pattern in patterns if matches(pattern, procedure)]
    return max(
        found,
        key=lambda each: (len(each.replace("*", "").strip("/")), each[-1:] != "*"),
        default=None,
    )


def lets_in(rule: Any, ids: set[str]) -> bool:
    if rule == "everybody":
        return True
    if rule == "identified":
        return bool(ids)
    if callable(rule):
        return bool(FUNCTIONS[rule](ids))
    return bool(ids & rule)


def proven(setup: Setup, message: Message) -> set[str] | None:
    """Return the ids and subjects that a caller has proven; None if it has to be rejected."""
    ids = {UNIX}
    if setup.takes_tokens and message.has_token:
        ids.add(TOKEN)
    if not setup.has_key:
        return ids
    if message.signer is None:
        return ids if setup.takes_unsigned else None
    if message.audience != "SERVER":
        return None
    subject = message.subject or message.signer
    granted = any(matches(pattern, message.procedure) for pattern in message.granted)
    needed = subject != message.signer != "SERVER"
    return None if needed and not granted else ids | {NAMES[message.signer].did, NAMES[subject].did}


def may_call(setup: Setup, message: Message) -> bool:
    """Return whether a call is allowed, by a plain reading of the documentation."""
    ids = proven(setup, message)
    if ids is None:
        return False
    if setup.has_key and message.signer and "SERVER" in {message.signer, message.subject}:
        return True  # the server's own key, or what it delegates
    at_method = setup.at_method.get(message.procedure)
    if not setup.by_name and not setup.at_method:
        return not setup.has_key
    by_name = setup.by_name.get(most_specific(setup.by_name, message.procedure) or "")
    if by_name is None and (setup.by_name or at_method is None):
        return False
    return all(lets_in(rule, ids) for rule in (by_name, at_method) if rule is not None)


class Tokens:
    """Takes one token."""

    async def authenticate(self, proof: enkaku.Proof) -> enkaku.Identity | None:
        return enkaku.Identity(TOKEN, "key") if proof.metadata.get("token") else None


class Model(enkaku.Handler):
    """Serves the procedures that exist; counts calls."""

    def __init__(self, rules: Mapping[str, Any]) -> None:
        self.served: list[str] = []
        self._rules = rules

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        made = [
            enkaku.Route.request(enkaku.Request[int, None](name, param=int), self._method(name))
            for name in REQUESTS
        ]
        streams = [
            enkaku.Route.stream(
                enkaku.Stream[int, int, None](name, param=int, receive=int), self._method(name)
            )
            for name in STREAMS
        ]
        return (*made, *streams)

    def _method(self, name: str) -> Any:
        async def method(_: int, *_stream: object) -> None:
            self.served.append(name)

        return enkaku.allow(self._rules[name])(method) if name in self._rules else method


class Nothing(enkaku.Handler):
    """Serves nothing."""

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return ()


def written(message: Message, rid: str) -> bytes:
    """Return a message as its sender writes it."""
    raw = line(typ=message.typ, rid=rid, prc=message.procedure, prm=1)
    if message.has_token:
        raw = raw.replace(b'"alg":"none"', b'"alg":"none","meta":{"token":"x"}')
    if message.signer is None:
        return raw
    key, audience = NAMES[message.signer], NAMES[message.audience]
    if message.subject is None:
        return Signer(key, audience.did).sign(raw.rstrip()) + b"\n"
    subject, capabilities = NAMES[message.subject], list[str]()
    if message.granted:
        patterns = sorted(set(message.granted))
        made = enkaku.delegate(subject, to=key.did, act=patterns, res=SERVER.did, expires_in=3600)
        capabilities.append(made)
    signer = Signer(key, audience.did, subject=subject.did, capabilities=capabilities)
    return signer.sign(raw.rstrip()) + b"\n"


@given(setups, st.lists(messages, min_size=1, max_size=12))
@settings(max_examples=150)
async def test_rules_let_in_what_a_plain_reading_allows(setup: Setup, sent: list[Message]) -> None:
    options: dict[str, Any] = {"access": setup.by_name or None}
    if setup.has_key:
        options["identity"] = SERVER
        options["unsigned"] = "if identified" if setup.takes_unsigned else "refused"
    if setup.takes_tokens:
        options["authenticators"] = {"key": Tokens()}
    handler = Model(setup.at_method)
    with TemporaryDirectory(prefix="enk-") as folder:
        path = Path(folder) / "s"
        async with enkaku.serve_unix(handler, path, **options), raw_client(path) as raw:
            for number, message in enumerate(sent):
                before = len(handler.served)
                raw.send_bytes(written(message, str(number)))
                reply = await raw.read()
                exists = message.procedure in EXISTING.get(message.typ, ())
                allowed = may_call(setup, message)
                event(f"allowed: {allowed}, exists: {exists}")
                assert (len(handler.served) > before) == (allowed and exists)
                if not allowed:
                    assert (reply["typ"], reply["code"]) == ("error", "EK02")
                elif exists:
                    assert reply["typ"] == "result"
                else:
                    assert reply["code"] == "EK08"


@pytest.mark.parametrize("explain", [False, True])
@given(setup=setups, message=messages)
@settings(max_examples=60)
async def test_reply_without_right_is_that_of_unknown_names(
    explain: bool, setup: Setup, message: Message
) -> None:
    """Compare a server that serves everything with one that serves nothing."""
    replies: list[dict[str, Any]] = []
    for handler in (Model({}), Nothing()):
        options: dict[str, Any] = {"access": {"nothing": "everybody", **setup.by_name}}
        if setup.has_key:
            options["identity"] = SERVER
        if setup.takes_tokens:
            options["authenticators"] = {"key": Tokens()}
        with TemporaryDirectory(prefix="enk-") as folder:
            path = Path(folder) / "s"
            async with (
                enkaku.serve_unix(handler, path, explain_refusals=explain, **options),
                raw_client(path) as raw,
            ):
                raw.send_bytes(written(message, "a"))
                replies.append(await raw.read())
    if "EK02" in {reply.get("code") for reply in replies}:
        assert replies[0] == replies[1]
