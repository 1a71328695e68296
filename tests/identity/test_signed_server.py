"""A server with a key, over a socket: who has not signed does not get in, and what was signed is used once."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku.identity.messages import Signer
from identity.peers import ALICE, BOB, SERVER
from support import FILL, Raw, Serving, line, raw_client, soon, until

READERS = {"*": {ALICE.did}}


async def double(number: int) -> int:
    return 2 * number


def signed(signer: Signer, **payload: object) -> bytes:
    return signer.sign(line(**payload).removesuffix(b"\n")) + b"\n"


def error(rid: str, code: str, text: str) -> dict[str, Any]:
    return {"typ": "error", "rid": rid, "code": code, "data": {}, "msg": text}


class Peer:
    def __init__(self, raw: Raw, signer: Signer) -> None:
        self.raw = raw
        self.signer = signer

    async def send(self, data: bytes) -> dict[str, Any]:
        self.raw.send_bytes(data)
        return await self.raw.read()

    def say(self, **payload: object) -> None:
        self.raw.send_bytes(signed(self.signer, **payload))

    async def ask(self, prc: str, rid: str = "a", **payload: object) -> dict[str, Any]:
        self.say(typ="request", rid=rid, prc=prc, **payload)
        return await self.raw.read()


@asynccontextmanager
async def serving(
    path: Path, /, options: dict[str, Any] | None = None, **methods: Any
) -> AsyncGenerator[Peer, None]:
    chosen = {"access": READERS, **(options or {})}
    async with (
        enkaku.serve_unix(Serving(**methods), path, identity=SERVER, **chosen),
        raw_client(path) as raw,
    ):
        yield Peer(raw, Signer(ALICE, SERVER.did))


async def test_signed_call_is_served_with_its_identity(socket_path: Path) -> None:
    seen: list[enkaku.Identity | None] = []

    async def method(number: int) -> int:
        seen.append(enkaku.current_call().identity)
        return number

    async with serving(socket_path, ask=method) as peer:
        assert await peer.ask("ask", prm=3) == {"typ": "result", "rid": "a", "val": 3}
    assert seen[0] is not None
    assert (seen[0].id, seen[0].method, seen[0].subject) == (ALICE.did, "did:key", ALICE.did)
    assert seen[0].claims["aud"] == SERVER.did


async def test_unsigned_message_is_refused(socket_path: Path) -> None:
    async with serving(socket_path, ask=double) as peer:
        reply = await peer.send(line(typ="request", rid="a", prc="ask", prm=1))
        assert reply == error("a", "EK02", "Message is not signed")
        assert (await peer.ask("ask", "b", prm=1))["typ"] == "result"


async def test_unsigned_message_of_identified_peer_may_be_allowed(socket_path: Path) -> None:
    seen: list[str] = []

    async def method(number: int) -> int:
        seen.extend(each.method for each in enkaku.current_call().identities)
        return number

    options = {"unsigned": "if identified", "access": {"*": "identified"}}
    async with serving(socket_path, options, ask=method) as peer:
        reply = await peer.send(line(typ="request", rid="a", prc="ask", prm=1))
        assert reply["typ"] == "result"
        assert (await peer.ask("ask", "b", prm=1))["typ"] == "result"
        forged = signed(Signer(BOB, SERVER.did), typ="request", rid="c", prc="ask", prm=1)
        forged = forged.replace(BOB.did.encode(), ALICE.did.encode())
        assert (await peer.send(forged))["code"] == "EK02"  # a bad proof is no missing one
    assert seen == ["unix", "did:key", "unix"]


async def test_replayed_message_is_refused_on_every_connection(socket_path: Path) -> None:
    async with serving(socket_path, ask=double) as peer, raw_client(socket_path) as other:
        message = signed(peer.signer, typ="request", rid="a", prc="ask", prm=1)
        assert (await peer.send(message))["typ"] == "result"
        replayed = error("a", "EK09", "Replay detected")
        assert await peer.send(message) == replayed
        other.send_bytes(message)
        assert await other.read() == replayed


async def test_refused_message_is_not_remembered(socket_path: Path) -> None:
    options = {"access": {"ask": lambda call: call.param == 2}}
    guard = enkaku.ReplayGuard()
    async with serving(socket_path, {**options, "replays": guard}, ask=double) as peer:
        assert (await peer.ask("ask", prm=1))["code"] == "EK02"
        assert guard.remembered == 0
        assert (await peer.ask("ask", prm=2))["typ"] == "result"
        assert guard.remembered == 1


async def test_only_the_opener_may_send_and_abort(socket_path: Path) -> None:
    taken: list[str] = []
    ended = asyncio.Event()

    async def fill(_: int, channel: enkaku.ServerChannel[str, str]) -> int:
        try:
            while True:
                taken.append(await anext(channel))
        finally:
            ended.set()
        return len(taken)

    rules = {"*": {ALICE.did, BOB.did}}
    async with serving(socket_path, {"access": rules}, fill=fill, ask=double) as peer:
        peer.say(typ="channel", rid="c", prc="fill", prm=1)
        bob = Signer(BOB, SERVER.did)
        peer.raw.send_bytes(signed(bob, typ="send", rid="c", prc="fill", val="forged"))
        peer.raw.send_bytes(line(typ="send", rid="c", prc="fill", val="unsigned"))
        peer.raw.send_bytes(signed(bob, typ="abort", rid="c", rsn="forged"))
        peer.raw.send_bytes(line(typ="abort", rid="c", rsn="unsigned"))
        own = signed(peer.signer, typ="send", rid="c", prc="fill", val="own")
        peer.raw.send_bytes(own + own)
        assert (await peer.ask("ask", "a", prm=1))["typ"] == "result"
        await until(lambda: bool(taken))
        assert not ended.is_set()
        peer.say(typ="abort", rid="c", rsn="no more")
        await soon(ended)
    assert taken == ["own"]


async def test_subject_reaches_the_handler_only_if_proven(socket_path: Path) -> None:
    subjects: list[str] = []

    async def method(number: int) -> int:
        identity = enkaku.current_call().identity
        assert identity is not None
        subjects.append(identity.subject)
        return number

    token = enkaku.delegate(ALICE, to=BOB.did, act="ask", res=SERVER.did, expires_in=60)
    async with serving(socket_path, ask=method) as peer:
        peer.signer = Signer(BOB, SERVER.did, subject=ALICE.did)
        assert (await peer.ask("ask", "a", prm=1))["code"] == "EK02"
        peer.signer = Signer(BOB, SERVER.did, subject=ALICE.did, capabilities=[token])
        assert (await peer.ask("ask", "b", prm=1))["typ"] == "result"
    assert subjects == [ALICE.did]


async def test_server_without_key_takes_no_identity_from_a_signature(socket_path: Path) -> None:
    seen: list[enkaku.Identity | None] = []

    async def method(number: int) -> int:
        seen.append(enkaku.current_call().identity)
        return number

    async with (
        enkaku.serve_unix(Serving(ask=method), socket_path, access={"*": "everybody"}),
        raw_client(socket_path) as raw,
    ):
        raw.send_bytes(signed(Signer(ALICE, SERVER.did), typ="request", rid="a", prc="ask", prm=1))
        assert (await raw.read())["typ"] == "result"
    assert seen[0] is not None
    assert seen[0].method == "unix"


async def test_connection_ends_after_100_invalid_signatures(socket_path: Path) -> None:
    async with serving(socket_path, ask=double) as peer:
        message = json.loads(signed(peer.signer, typ="request", rid="a", prc="ask", prm=1))
        message["signature"] = "A" * 86
        peer.raw.send_bytes((json.dumps(message).encode() + b"\n") * 200)
        replies = await peer.raw.read_all()
    assert 0 < len(replies) <= 101  # the last ones are dropped with the connection
    assert all(reply == error("a", "EK02", "Invalid signature") for reply in replies)


async def test_event_is_taken_once(socket_path: Path) -> None:
    told: list[None] = []

    async def ping() -> None:
        told.append(None)

    async with serving(socket_path, ping=ping, ask=double) as peer:
        event = signed(peer.signer, typ="event", prc="ping")
        peer.raw.send_bytes(event + event + line(typ="event", prc="ping"))
        assert (await peer.ask("ask", prm=1))["typ"] == "result"
        await until(lambda: bool(told))
    assert len(told) == 1


class Store:
    def __init__(self) -> None:
        self.ids = set[tuple[str, str]]()
        self.fails = False

    async def add(self, issuer: str, message_id: str, until: float) -> bool:
        await asyncio.sleep(0)
        if self.fails:
            raise OSError("no connection to the store")
        new = (issuer, message_id) not in self.ids
        self.ids.add((issuer, message_id))
        return new


async def test_processes_may_share_what_was_received(socket_path: Path, tmp_path: Path) -> None:
    store = Store()
    options = {"replays": enkaku.ReplayGuard(store=store)}
    others = {"replays": enkaku.ReplayGuard(store=store)}
    async with (
        serving(socket_path, options, ask=double) as peer,
        serving(tmp_path / "s", others, ask=double) as other,
    ):
        message = signed(peer.signer, typ="request", rid="a", prc="ask", prm=1)
        assert (await peer.send(message))["typ"] == "result"
        assert await other.send(message) == error("a", "EK09", "Replay detected")
        store.fails = True
        assert (await other.ask("ask", "b", prm=1))["code"] == "EK04"


async def test_strangers_leave_room_to_callers_that_a_rule_names(socket_path: Path) -> None:
    rules = {"tell": {ALICE.did}, "*": "identified"}
    options = {"access": rules, "replays": enkaku.ReplayGuard(total=10)}
    async with serving(socket_path, options, ask=double) as peer:
        alice, replies = peer.signer, list[dict[str, Any]]()
        for _ in range(10):
            peer.signer = Signer(BOB, SERVER.did)  # each with a series of its own
            replies.append(await peer.ask("ask", prm=1))
        assert [reply["typ"] for reply in replies] == ["result"] * 9 + ["error"]
        peer.signer = alice
        assert (await peer.ask("ask", prm=1))["typ"] == "result"


@pytest.mark.parametrize("slow", [False, True])
async def test_replays_do_not_use_up_the_rate_of_the_signer(socket_path: Path, slow: bool) -> None:
    async def alice(call: enkaku.Call) -> bool:
        return call.identity is not None and call.identity.id == ALICE.did

    limits = enkaku.RateLimits(per_identity=(0.001, 3))
    options = {"rate_limits": limits, "access": {"*": alice if slow else {ALICE.did}}}
    async with serving(socket_path, options, ask=double) as peer:
        captured = signed(peer.signer, typ="request", rid="a", prc="ask", prm=1)
        assert (await peer.send(captured))["typ"] == "result"
        for _ in range(5):
            assert (await peer.send(captured))["code"] == "EK09"
        assert (await peer.ask("ask", "b", prm=1))["typ"] == "result"
        assert (await peer.ask("ask", "c", prm=1))["typ"] == "result"
        assert (await peer.ask("ask", "d", prm=1))["code"] == "EKP03"


async def test_call_counts_once_where_processes_share_ids(socket_path: Path) -> None:
    options = {
        "rate_limits": enkaku.RateLimits(per_identity=(0.001, 2)),
        "replays": enkaku.ReplayGuard(store=Store()),
    }
    async with serving(socket_path, options, ask=double) as peer:
        assert (await peer.ask("ask", "a", prm=1))["typ"] == "result"
        assert (await peer.ask("ask", "b", prm=1))["typ"] == "result"
        assert (await peer.ask("ask", "c", prm=1))["code"] == "EKP03"


async def test_servers_of_a_process_share_what_was_received(
    socket_path: Path, tmp_path: Path
) -> None:
    async with (
        serving(socket_path, ask=double) as peer,
        serving(tmp_path / "s", ask=double) as other,
    ):
        message = signed(peer.signer, typ="request", rid="a", prc="ask", prm=1)
        assert (await peer.send(message))["typ"] == "result"
        assert await other.send(message) == error("a", "EK09", "Replay detected")


async def test_server_without_rules_says_so(
    socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(socket_path, {"access": None}, ask=double) as peer:
        assert (await peer.ask("ask", prm=1))["msg"] == "Access denied"
        peer.signer = Signer(SERVER)
        assert (await peer.ask("ask", "b", prm=1))["typ"] == "result"
    assert "nobody but its own key" in caplog.text


async def test_item_that_is_not_admitted_ends_the_call_of_its_opener(socket_path: Path) -> None:
    async def fill(_: int, channel: enkaku.ServerChannel[str, str]) -> int:
        return len([item async for item in channel])

    ids = map(str, count())
    options = {"replays": enkaku.ReplayGuard(per_issuer=2)}
    async with serving(socket_path, options, fill=fill) as peer:
        peer.signer = Signer(ALICE, SERVER.did, new_id=lambda: next(ids))
        peer.say(typ="channel", rid="c", prc="fill", prm=1)
        peer.say(typ="send", rid="c", prc="fill", val="one")
        peer.say(typ="send", rid="c", prc="fill", val="two")
        assert await peer.raw.read() == error("c", "EK04", "Too many signed messages")


async def test_channel_may_send_any_number_of_signed_items(socket_path: Path) -> None:
    async def fill(_: int, channel: enkaku.ServerChannel[str, str]) -> int:
        return len([item async for item in channel])

    options = {"replays": enkaku.ReplayGuard(per_issuer=20)}
    async with (
        serving(socket_path, options, fill=fill),
        enkaku.connect_unix(socket_path, identity=ALICE, audience=SERVER.did) as connection,
        connection.channel(FILL, 1) as channel,
    ):
        for _ in range(1_000):
            await channel.send("item")
        await channel.end()
        assert await channel.result() == 1_000
