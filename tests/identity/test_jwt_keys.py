"""Key sets that a program fetches: when, how often, for whom, and what happens if that fails."""

import asyncio
import logging
from collections.abc import Mapping
from contextvars import ContextVar

import pytest
from enkaku import AuthenticationFailed, ConnectionInfo, JwtAuthenticator, Proof
from enkaku.calls import key_sets
from enkaku.calls.key_sets import FetchedKeys
from identity.jwts import AUDIENCE, ED, ISSUER, NOW, P256, jwks, token
from identity.peers import Clock
from support import WITHIN, turns

FIRST, SECOND = jwks({**P256.jwk, "kid": "a"}), jwks({**ED.jwk, "kid": "b"})


class Issuer:
    """Publishes a key set, and counts how often it is fetched."""

    def __init__(self, published: Mapping[str, object] | Exception = FIRST) -> None:
        self.published = published
        self.open = asyncio.Event()
        self.open.set()
        self.fetches = 0

    async def fetch(self) -> Mapping[str, object]:
        self.fetches += 1
        await self.open.wait()
        if isinstance(self.published, Exception):
            raise self.published
        return self.published


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def keys(issuer: Issuer, clock: Clock) -> FetchedKeys:
    return FetchedKeys(issuer.fetch, 5.0, clock)


async def finds(keys: FetchedKeys, kid: str) -> bool:
    async with asyncio.timeout(WITHIN):
        return bool((await keys.find(kid)).of(kid))


async def test_keys_are_fetched_once_for_all_callers(keys: FetchedKeys, issuer: Issuer) -> None:
    issuer.open.clear()
    callers = [asyncio.create_task(finds(keys, "a")) for _ in range(20)]
    await turns()
    issuer.open.set()
    assert all(await asyncio.gather(*callers))
    assert await finds(keys, "a")
    assert issuer.fetches == 1


async def test_keys_old_are_fetched_again(keys: FetchedKeys, issuer: Issuer, clock: Clock) -> None:
    assert await finds(keys, "a")
    clock.now += 299
    assert await finds(keys, "a")
    assert issuer.fetches == 1
    issuer.published = SECOND
    clock.now += 1
    assert not await finds(keys, "a")
    assert await finds(keys, "b")
    assert issuer.fetches == 2


async def test_key_unknown_is_fetched_at_limited_rate(
    keys: FetchedKeys, issuer: Issuer, clock: Clock
) -> None:
    assert await finds(keys, "a")
    issuer.published = SECOND
    clock.now += 10
    assert await finds(keys, "b")
    for kid in ("c", "d", "e"):
        assert not await finds(keys, kid)
    assert issuer.fetches == 2
    clock.now += 10
    assert not await finds(keys, "c")
    assert not await finds(keys, "c")
    assert issuer.fetches == 3


async def test_keys_renewed_hold_up_no_call_with_known_key(
    keys: FetchedKeys, issuer: Issuer, clock: Clock
) -> None:
    assert await finds(keys, "a")
    clock.now += 300
    issuer.open.clear()
    first, stranger = (asyncio.create_task(finds(keys, kid)) for kid in ("a", "x"))
    await turns()
    assert await finds(keys, "a")
    assert not first.done()
    assert not stranger.done()
    issuer.open.set()
    assert await asyncio.gather(first, stranger) == [True, False]
    assert issuer.fetches == 2


async def test_fetch_failed_rejects_calls_and_is_logged(
    keys: FetchedKeys, issuer: Issuer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.published = OSError("no route")
    for _ in range(5):
        with pytest.raises(AuthenticationFailed, match="could not be fetched") as caught:
            await finds(keys, "a")
        assert caught.value.public == "Access denied"
    assert issuer.fetches == 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "could not fetch the keys of tokens: OSError" in caplog.text
    assert "no route" in caplog.text
    issuer.published = FIRST
    clock.now += 10
    assert await finds(keys, "a")


async def test_fetch_failed_leaves_old_keys_for_an_hour(
    keys: FetchedKeys, issuer: Issuer, clock: Clock
) -> None:
    assert await finds(keys, "a")
    issuer.published = OSError("no route")
    for _ in range(11):
        clock.now += 300
        assert await finds(keys, "a")
    clock.now += 300
    with pytest.raises(AuthenticationFailed):
        await finds(keys, "a")
    assert issuer.fetches == 13


@pytest.mark.parametrize("published", [{}, {"keys": []}, {"keys": [{"kty": "AKP"}]}, None, "x"])
async def test_fetch_of_invalid_set_leaves_old_keys(
    keys: FetchedKeys, issuer: Issuer, clock: Clock, published: Mapping[str, object]
) -> None:
    assert await finds(keys, "a")
    issuer.published = published
    clock.now += 300
    assert await finds(keys, "a")
    assert issuer.fetches == 2


async def test_fetch_that_hangs_times_out(issuer: Issuer, clock: Clock) -> None:
    issuer.open.clear()
    keys = FetchedKeys(issuer.fetch, 0.01, clock)
    async with asyncio.timeout(WITHIN):
        with pytest.raises(AuthenticationFailed):
            await keys.find("a")
    issuer.open.set()
    clock.now += 10
    assert await finds(keys, "a")


async def test_fetch_that_ignores_cancellation_holds_up_no_call(clock: Clock) -> None:
    leave = asyncio.Event()

    async def stubborn() -> Mapping[str, object]:
        while not leave.is_set():
            try:
                await leave.wait()
            except asyncio.CancelledError:
                continue
        return FIRST

    keys = FetchedKeys(stubborn, 0.01, clock)
    for _ in range(2):
        async with asyncio.timeout(WITHIN):
            with pytest.raises(AuthenticationFailed):
                await keys.find("a")
    leave.set()
    await turns()


async def test_fetch_outlives_cancelled_caller(keys: FetchedKeys, issuer: Issuer) -> None:
    issuer.open.clear()
    first, second = (asyncio.create_task(finds(keys, "a")) for _ in range(2))
    await turns()
    first.cancel()
    await turns()
    issuer.open.set()
    assert await second
    assert first.cancelled()
    assert issuer.fetches == 1


async def test_fetch_of_cancelled_caller_serves_next(keys: FetchedKeys, issuer: Issuer) -> None:
    issuer.open.clear()
    only = asyncio.create_task(finds(keys, "a"))
    await turns()
    only.cancel()
    await turns()
    issuer.open.set()
    assert await finds(keys, "a")
    assert issuer.fetches == 1


async def test_fetch_does_not_run_in_context_of_caller(clock: Clock) -> None:
    caller: ContextVar[str] = ContextVar("caller", default="nobody")
    seen: list[str] = []

    async def fetch() -> Mapping[str, object]:
        seen.append(caller.get())
        return FIRST

    caller.set("alice")
    assert await finds(FetchedKeys(fetch, 5.0, clock), "a")
    assert seen == ["nobody"]


def test_fetch_of_ended_event_loop_is_left_alone(clock: Clock) -> None:
    hang = True

    async def fetch() -> Mapping[str, object]:
        if hang:
            await asyncio.get_running_loop().create_future()
        return FIRST

    keys = FetchedKeys(fetch, 5.0, clock)

    async def give_up() -> None:
        finding = asyncio.create_task(keys.find("a"))
        await turns()
        finding.cancel()

    asyncio.run(give_up())
    hang = False
    clock.now += 10
    assert asyncio.run(finds(keys, "a"))


async def test_token_of_withdrawn_key_is_rejected(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = JwtAuthenticator(
        keys=issuer.fetch, issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW
    )
    old = Proof(
        {"authorization": f"Bearer {token(P256, 'ES256', kid='a')}"}, ConnectionInfo("a", None)
    )
    new = Proof(
        {"authorization": f"Bearer {token(ED, 'EdDSA', kid='b')}"}, ConnectionInfo("b", None)
    )
    first = await verifier.authenticate(old)
    assert await verifier.authenticate(old) is first
    with pytest.raises(AuthenticationFailed, match="no key has its kid"):
        await verifier.authenticate(new)
    assert issuer.fetches == 1
    issuer.published = SECOND
    monkeypatch.setattr(key_sets, "_PAUSE", 0.0)
    assert await verifier.authenticate(new)
    with pytest.raises(AuthenticationFailed, match="no key has its kid"):
        await verifier.authenticate(old)
