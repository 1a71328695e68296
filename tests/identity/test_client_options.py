"""The options of a client's identity: what is rejected before anything is sent."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku import delegate
from enkaku.transports.memory import memory_pair
from identity.peers import ALICE, BOB, CAROL, SERVER
from support import VOID, Serving

BOBS = delegate(ALICE, to=BOB.did, act="math/*", res=SERVER.did, expires_in=7200)
CAROLS = delegate(BOB, to=CAROL.did, act="math/*", res=SERVER.did, expires_in=3600, parent=BOBS)
ANYWHERE = delegate(ALICE, to=BOB.did, act="*", res="*", expires_in=7200)
ELSEWHERE = delegate(ALICE, to=BOB.did, act="*", res=CAROL.did, expires_in=7200)

INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "audience alone": ({"audience": SERVER.did}, "audience: pass identity, too"),
    "subject alone": ({"subject": ALICE.did}, "subject: pass identity, too"),
    "capabilities alone": ({"capabilities": [BOBS]}, "capabilities: pass identity, too"),
    "no audience": ({"identity": BOB}, "identity: pass audience, too"),
    "text as key": ({"identity": "secret", "audience": SERVER.did}, "KeyPair.*; got a str$"),
    "name as key": ({"identity": BOB.did, "audience": SERVER.did}, "KeyPair.*; got a str$"),
    "no name": ({"identity": BOB, "audience": "server"}, "audience must be the name of a key"),
    "broken name": (
        {"identity": BOB, "audience": SERVER.did[:-1]},
        "audience: (Invalid DID|Unsup)",
    ),
    "key as name": ({"identity": BOB, "audience": SERVER}, "audience must be a string"),
    "other method": ({"identity": BOB, "audience": "did:web:a.b"}, "audience must be the name"),
    "no capabilities": ({"subject": ALICE.did}, "subject: pass capabilities, too"),
    "subject": ({"subject": "alice", "capabilities": [BOBS]}, "subject must be the name of a key"),
    "another subject": (
        {"subject": CAROL.did, "capabilities": [BOBS]},
        f"in the name of {ALICE.did}, not of {CAROL.did}",
    ),
    "one string": ({"capabilities": BOBS}, "capabilities must be a list, such as Path"),
    "no strings": ({"capabilities": [1]}, "capabilities must be a string; got 1"),
    "no capability": ({"capabilities": ["a.b.c"]}, "capabilities: Invalid token: not a capability"),
    "wrong order": ({"capabilities": [BOBS, CAROLS]}, "capabilities: Invalid .*mismatch"),
    "not granted": (
        {"capabilities": [CAROLS, BOBS]},
        f"granted to {CAROL.did}, not to .*{BOB.did}",
    ),
    "elsewhere": ({"capabilities": [ELSEWHERE]}, f"nothing at the server {SERVER.did}"),
    "too many": ({"capabilities": [BOBS] * 5}, "capabilities: .*more than 4 links"),
}
WHOLE = {
    "no capabilities",
    "subject",
    "another subject",
    "one string",
    "no strings",
    "no capability",
    "wrong order",
    "not granted",
    "elsewhere",
    "too many",
}


@pytest.mark.parametrize("name", INVALID)
async def test_invalid_identity_option_raises_usage_error(name: str) -> None:
    options, reason = INVALID[name]
    if name in WHOLE:
        options = {"identity": BOB, "audience": SERVER.did, **options}
    with pytest.raises(enkaku.UsageError, match=reason):
        async with enkaku.connect_unix("/nowhere", **options):
            raise AssertionError("connected")
    with pytest.raises(enkaku.UsageError, match=reason):
        enkaku.sync.connect("/nowhere", **options)


def in_memory(**options: Any) -> AbstractAsyncContextManager[enkaku.Connection]:
    return enkaku.connect_memory(Serving(), connection_options=options)  # type: ignore[arg-type] # of a test


CONNECT: dict[str, Callable[..., AbstractAsyncContextManager[enkaku.Connection]]] = {
    "address": partial(enkaku.connect, "unix:/nowhere"),
    "http": partial(enkaku.connect_http, "http://127.0.0.1:1/"),
    "memory": in_memory,
    "process": partial(enkaku.connect_process, ["/nothing"]),
    "tcp": partial(enkaku.connect_tcp, "127.0.0.1", 1),
    "unix": partial(enkaku.connect_unix, "/nowhere"),
    "ws": partial(enkaku.connect_ws, "ws://127.0.0.1:1/"),
}


@pytest.mark.parametrize("name", CONNECT)
async def test_each_connect_checks_identity_at_once(name: str) -> None:
    with pytest.raises(enkaku.UsageError, match="identity: pass audience, too"):
        async with CONNECT[name](identity=ALICE):
            raise AssertionError("connected")


async def test_connection_of_transport_checks_identity() -> None:
    with pytest.raises(enkaku.UsageError, match="identity: pass audience, too"):
        enkaku.Connection(memory_pair()[0], identity=ALICE)


@pytest.mark.parametrize(
    ("key", "tokens", "more"),
    [
        (BOB, [BOBS], {}),
        (BOB, [ANYWHERE], {"subject": ALICE.did}),
        (CAROL, [CAROLS, BOBS], {}),
        (ALICE, [], {}),
    ],
    ids=["one", "any server", "chain", "none"],
)
async def test_capabilities_of_file_are_taken(
    key: enkaku.KeyPair, tokens: list[str], more: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("".join(f"{token}\n" for token in tokens))
    options: Any = {
        "identity": key,
        "audience": SERVER.did,
        "capabilities": file.read_text().split(),
        **more,
    }
    async with enkaku.connect_memory(Serving(), connection_options=options) as connection:
        await connection.request(VOID, None)
