"""What signed messages cost a server: large ones are verified in steps, and none is kept longer than an unsigned one."""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku.errors import InvalidMessage, Rejected
from enkaku.identity.capabilities import delegate
from enkaku.identity.messages import Signer, Verification, verify_message
from enkaku.wire.messages import encode_open
from identity.peers import ALICE, BOB, SERVER
from support import Raw, Serving, raw_client, until

NOW = 1_800_000_000.0
SIZE = 1_500_000
STEPS = 5


def signed(value: bytes) -> bytes:
    signer = Signer(ALICE, SERVER.did, clock=lambda: NOW)
    return signer.sign(encode_open("request", "1", "echo", value))


def respelled(raw: bytes) -> bytes:
    return raw.replace(b'{"header"', b'{ "header"', 1)


def small() -> bytes:
    return Signer(ALICE, SERVER.did).sign(encode_open("request", "2", "echo", b'"xyz"'))


def large(end: bytes, prc: str = "echo") -> bytes:
    value = b'"%b%b"' % (b"a" * SIZE, end)
    return Signer(ALICE, SERVER.did).sign(encode_open("request", "1", prc, value)) + b"\n"


@asynccontextmanager
async def serving(
    path: Path, access: dict[str, Any] | None = None, **methods: Any
) -> AsyncGenerator[Raw, None]:
    rules = access or {"*": {ALICE.did}}
    async with (
        enkaku.serve_unix(Serving(**methods), path, identity=SERVER, access=rules),
        raw_client(path) as peer,
    ):
        yield peer


@contextmanager
def traced(*, collects: bool = True) -> Generator[Callable[[], int], None, None]:
    """Provide a function that returns the bytes which were allocated and not freed."""

    def size() -> int:
        if collects:
            gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        yield size
    finally:
        tracemalloc.stop()


def held(server: enkaku.Server) -> int:
    return server._policy.capacity.held  # no public figure: only its effects are


def steps_of(verification: Verification) -> int:
    steps = 1
    while not verification.advance():
        steps += 1
    return steps


@pytest.mark.parametrize("spell", [bytes, respelled], ids=["as-written", "respelled"])
def test_verification_in_steps_finds_the_same(spell: Callable[[bytes], bytes]) -> None:
    raw = spell(signed(b'{"a":"x:\\"y\\\\","b":[1,true]}'))
    verification = Verification(raw, NOW, values=1000)
    assert steps_of(verification) >= STEPS
    assert verification.finish() == verify_message(raw, NOW, values=1000)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (signed(b"1").replace(b'"prm":1', b'"prm":2'), Rejected),
        (b'{"signature":1}', InvalidMessage),
    ],
    ids=["mutated", "no-message"],
)
def test_verification_in_steps_fails_the_same(raw: bytes, error: type[Exception]) -> None:
    verification = Verification(raw, NOW, values=1000)
    steps_of(verification)
    with pytest.raises(error):
        verification.finish()


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order-mark"])
async def test_large_message_is_verified_in_iterations(
    socket_path: Path, monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    iteration, at = 0, list[int]()
    advance = Verification.advance

    async def count_iterations() -> None:
        nonlocal iteration
        while True:
            await asyncio.sleep(0)
            iteration += 1

    def record(verification: Verification) -> bool:
        at.append(iteration)
        return advance(verification)

    async def echo(text: str) -> str:
        return text[-3:]

    monkeypatch.setattr(Verification, "advance", record)
    counting = asyncio.create_task(count_iterations())
    async with serving(socket_path, echo=echo) as peer:
        raw = large(b"abc")
        peer.send_bytes(start + raw + small() + b"\n")
        assert [(await peer.read())["val"] for _ in range(2)] == ["abc", "xyz"]
    counting.cancel()
    steps = steps_of(Verification(raw.removesuffix(b"\n"), NOW, values=1000))
    assert steps >= STEPS
    assert len(set(at[:steps])) == steps


async def test_large_message_is_not_kept(socket_path: Path) -> None:
    async def echo(text: str) -> str:
        return text[-3:]

    async with serving(socket_path, echo=echo) as peer:
        peer.send_bytes(small() + b"\n")
        await peer.read()
        with traced() as size:
            peer.send_bytes(large(b"abc"))
            await peer.read()
            await until(lambda: size() < SIZE)


async def test_large_message_that_proves_nothing_is_not_kept(socket_path: Path) -> None:
    async with serving(socket_path) as peer:
        peer.send_bytes(small() + b"\n")
        await peer.read()
        gc.disable()
        try:
            with traced(collects=False) as size:
                peer.send_bytes(large(b"abc").replace(b"aabc", b"abbc", 1))
                assert (await peer.read())["code"] == "EK02"
                await until(lambda: size() < SIZE)
        finally:
            gc.enable()


async def test_message_of_waiting_call_is_not_kept(socket_path: Path) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def rule(_: enkaku.Call) -> bool:
        asked.set()
        await answered.wait()
        return True

    async def ask(number: int) -> int:
        return number

    async with serving(socket_path, access={"*": rule}, ask=ask) as peer:
        with traced() as size:
            peer.send_bytes(large(b"abc", prc="ask"))  # its value is no number
            await asked.wait()
            await until(lambda: size() < SIZE)
        answered.set()
        assert (await peer.read())["code"] == "EK08"


async def test_capabilities_of_a_call_count_as_memory(socket_path: Path) -> None:
    async def echo(text: str) -> str:
        await asyncio.Event().wait()
        return text

    value = b'"%b"' % (b"a" * 1000)  # whose message is not so small that its bytes alone count

    def ask(rid: str, **options: Any) -> bytes:
        signer = Signer(ALICE, SERVER.did, **options)
        return signer.sign(encode_open("request", rid, "echo", value)) + b"\n"

    async def used(peer: Raw, server: enkaku.Server, data: bytes) -> int:
        before = held(server)
        peer.send_bytes(data)
        await until(lambda: held(server) > before)
        return held(server) - before

    links = {"act": [f"echo/{number}" for number in range(100)] + ["echo"], "res": SERVER.did}
    token = delegate(BOB, to=ALICE.did, **links, expires_in=60)  # type: ignore[arg-type] # a list and a string
    handler = Serving(echo=echo)
    access = {"*": {ALICE.did, BOB.did}}
    async with (
        enkaku.serve_unix(handler, socket_path, identity=SERVER, access=access) as server,
        raw_client(socket_path) as peer,
    ):
        without = await used(peer, server, ask("1"))
        with_token = await used(peer, server, ask("2", subject=BOB.did, capabilities=[token]))
    assert with_token >= without + len(token)
