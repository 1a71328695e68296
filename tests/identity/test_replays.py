"""Replay protection: it fails closed, per issuer, within bounds."""

import math
from typing import Any

import pytest
from enkaku.errors import Rejected
from enkaku.identity.messages import Claims, SignedMessage
from enkaku.identity.numbering import numbered_ids, read_id
from enkaku.identity.replays import ReplayGuard
from enkaku.wire.messages import ClientEnvelope, decode_client_message
from hypothesis import given
from hypothesis import strategies as st
from identity.peers import Clock

NOW = 1_800_000_000.0
EVENT: ClientEnvelope = decode_client_message(
    b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"event","prc":"p"}}'
)
SEEN = "EK09 Replay detected"
FULL = "EK04 Too many signed messages"


def message(
    jti: str | None = "j", *, iss: str = "alice", digest: bytes = b"d", **times: float
) -> SignedMessage:
    ids = {} if jti is None else {"jti": jti}
    return SignedMessage(Claims(iss=iss, **ids, **times), digest, EVENT)


def fresh(jti: str | None = "j", **options: Any) -> SignedMessage:
    return message(jti, **{"iat": NOW, **options})


class Guarded:
    """A guard with a clock, and its decisions as text."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock(NOW)
        self.guard = ReplayGuard(clock=self.clock, **options)

    def admit(self, message: SignedMessage, connection: str = "one", *, known: bool = True) -> str:
        try:
            self.guard.admit_here(message, connection, known=known)
        except Rejected as error:
            return f"{error.code} {error.message}"
        return "admitted"


@pytest.mark.parametrize("times", [{"iat": NOW}, {"exp": NOW + 10}, {"iat": NOW, "exp": NOW + 10}])
@pytest.mark.parametrize("jti", ["j", None])
def test_admit_message_again_is_replay(jti: str | None, times: dict[str, float]) -> None:
    guarded = Guarded()
    assert guarded.admit(message(jti, **times)) == "admitted"
    assert guarded.admit(message(jti, **times)) == SEEN
    assert guarded.admit(message(jti, **times), "other connection") == SEEN


def test_admit_id_is_that_of_its_issuer() -> None:
    guarded = Guarded()
    assert guarded.admit(fresh("j")) == guarded.admit(fresh("k")) == "admitted"
    assert guarded.admit(fresh("j", iss="bob")) == "admitted"
    assert guarded.admit(fresh("j", digest=b"other")) == SEEN
    assert guarded.admit(fresh(None)) == guarded.admit(fresh(None, digest=b"other")) == "admitted"
    # An id that looks like a digest is no digest.
    assert guarded.admit(fresh(f"signature:{b'd'.hex()}")) == "admitted"
    assert guarded.admit(fresh(b"d".hex())) == "admitted"


def test_admit_id_may_have_any_characters() -> None:
    guarded = Guarded()
    for jti in ("", "\ud800", "\udfff", "é" * 128):
        assert guarded.admit(fresh(jti)) == "admitted"
        assert guarded.admit(fresh(jti)) == SEEN


def test_admit_old_message_is_stale() -> None:
    guarded = Guarded()
    guarded.clock.now = NOW + 65
    assert guarded.admit(fresh("a")) == "admitted"
    guarded.clock.now = NOW + 65.1
    assert guarded.admit(fresh("b")) == SEEN
    assert guarded.admit(message("c", iat=NOW, exp=NOW + 100)) == "admitted"


def test_admit_message_from_the_future_is_rejected() -> None:
    guarded = Guarded()
    assert guarded.admit(fresh("a", iat=NOW + 5)) == "admitted"
    for times in ({"iat": NOW + 5.1}, {"iat": NOW + 6, "exp": NOW + 10}, {"iat": math.inf}):
        assert guarded.admit(fresh("b", **times)) == "EK02 Token not yet valid"


def test_admit_message_before_start_is_rejected() -> None:
    guarded = Guarded()
    assert guarded.admit(fresh("a", iat=NOW - 5)) == "admitted"
    assert guarded.admit(fresh("b", iat=NOW - 5.1)) == SEEN
    assert guarded.admit(fresh("c", iat=NOW - 6, exp=NOW + 100)) == SEEN


@pytest.mark.parametrize("leeway", [0.0, 5.0])
@pytest.mark.parametrize("times", [{"iat": NOW}, {"exp": NOW + 3}, {"exp": NOW + 3, "iat": NOW}])
def test_admit_replay_is_rejected_until_it_is_invalid(
    times: dict[str, float], leeway: float
) -> None:
    guarded = Guarded(leeway=leeway)
    assert guarded.admit(message(**times)) == "admitted"
    for tenths in range(1, 900):
        guarded.clock.now = NOW + tenths / 10
        expired = "exp" in times and times["exp"] < int(guarded.clock.now)  # then it is not asked
        assert expired or guarded.admit(message(**times)) == SEEN


def test_admit_forgets_what_has_expired() -> None:
    guarded = Guarded()
    for number in range(10):
        assert guarded.admit(fresh(str(number), iss=f"issuer {number}")) == "admitted"
    assert guarded.guard.remembered == 10
    guarded.clock.now = NOW + 66
    assert guarded.admit(fresh("new", iat=NOW + 66)) == "admitted"
    assert guarded.guard.remembered == 1
    assert len(guarded.guard._issuers) == 1


def test_admit_clock_that_goes_back_admits_no_replay() -> None:
    guarded = Guarded()
    assert guarded.admit(fresh("a")) == "admitted"
    guarded.clock.now = NOW + 66
    assert guarded.admit(fresh("b", iat=NOW + 66)) == "admitted"  # "a" is forgotten
    guarded.clock.now = NOW + 10
    assert guarded.admit(fresh("a")) == SEEN


def test_admit_full_issuer_is_rejected_alone() -> None:
    guarded = Guarded(per_issuer=3)
    for number in range(3):
        assert guarded.admit(fresh(str(number))) == "admitted"
    assert guarded.admit(fresh("3")) == FULL
    assert guarded.admit(fresh("3", iss="bob")) == "admitted"
    # No entry was given up, and a replay is still one.
    assert [guarded.admit(fresh(str(number))) for number in range(3)] == [SEEN] * 3
    guarded.clock.now = NOW + 66
    assert guarded.admit(fresh("3", iat=NOW + 66)) == "admitted"


def test_admit_full_guard_is_rejected() -> None:
    guarded = Guarded(total=3)
    for number in range(3):
        assert guarded.admit(fresh("j", iss=f"issuer {number}")) == "admitted"
    assert guarded.admit(fresh("j", iss="issuer 3")) == FULL
    assert guarded.admit(fresh("k", iss="issuer 0")) == FULL
    assert guarded.admit(fresh("j", iss="issuer 0")) == SEEN
    assert guarded.guard.remembered == 3
    assert len(guarded.guard._issuers) == 3


def test_admit_strangers_leave_room_to_others() -> None:
    guarded = Guarded(total=10)
    strangers = [fresh("j", iss=f"stranger {number}") for number in range(10)]
    outcomes = [guarded.admit(each, known=False) for each in strangers]
    assert outcomes == ["admitted"] * 9 + [FULL]
    assert guarded.admit(fresh("j", iss="alice")) == "admitted"
    assert guarded.admit(fresh("k", iss="alice")) == FULL
    guarded.clock.now = NOW + 66
    assert guarded.admit(fresh("k", iss="stranger", iat=NOW + 66), known=False) == "admitted"


@pytest.mark.parametrize("times", [{"exp": math.inf}, {"iat": NOW, "exp": NOW + 71}, {}])
def test_admit_strangers_cannot_fill_the_room_for_ever(times: dict[str, float]) -> None:
    guarded = Guarded(total=10, old_clients=True)
    outcomes = [
        guarded.admit(message("j", iss=f"stranger {number}", **times), known=False)
        for number in range(6)
    ]
    assert outcomes == ["admitted"] * 5 + [FULL]
    usual = [{"iat": NOW + 5}, {"exp": NOW + 60}, {"iat": NOW}]
    for number, other in enumerate(usual):
        assert (
            guarded.admit(message("j", iss=f"other {number}", **other), known=False) == "admitted"
        )


def test_admit_stranger_cannot_prolong_a_series_without_room() -> None:
    guarded = Guarded(total=4)
    numbers = [f"enkaku:{'s' * 15}{series}:{number:012}" for series in "ab" for number in (0, 1)]
    assert guarded.admit(fresh(numbers[0]), known=False) == "admitted"
    assert guarded.admit(fresh(numbers[2]), known=False) == "admitted"
    assert guarded.admit(message("far", iss="bob", exp=math.inf), known=False) == "admitted"
    assert guarded.admit(message(numbers[1], exp=math.inf), known=False) == "admitted"
    assert guarded.admit(message(numbers[3], exp=math.inf), known=False) == FULL
    guarded.clock.now = NOW + 66
    assert guarded.admit(fresh("new", iat=NOW + 66)) == "admitted"
    assert guarded.guard.remembered == 3  # the second series is forgotten


def test_admit_distant_expiry_takes_room_of_its_issuer() -> None:
    guarded = Guarded(per_issuer=1)
    assert guarded.admit(message(exp=math.inf)) == "admitted"
    guarded.clock.now = NOW + 1e9
    assert guarded.admit(message("other", exp=NOW + 2e9)) == FULL
    assert guarded.admit(message(exp=math.inf)) == SEEN


def test_admit_message_without_times_is_rejected() -> None:
    assert Guarded().admit(message()) == "EK09 Message has no time"


@pytest.mark.parametrize("jti", ["j", None])
def test_admit_old_client_may_repeat_on_its_connection(jti: str | None) -> None:
    guarded = Guarded(old_clients=True)
    for _ in range(3):
        assert guarded.admit(message(jti), "one") == "admitted"
        assert guarded.admit(message(jti), "other") == SEEN
    guarded.clock.now = NOW + 1e9
    assert guarded.admit(message(jti), "other") == SEEN
    assert guarded.guard.remembered == 1


def test_admit_old_client_gives_up_its_own_oldest() -> None:
    guarded = Guarded(old_clients=True, per_issuer=2)
    for jti in "abc":
        assert guarded.admit(message(jti), "one") == "admitted"
    assert guarded.admit(message("b"), "other") == SEEN
    assert guarded.admit(message("c"), "other") == SEEN
    assert guarded.admit(message("a"), "other") == "admitted"  # it had no room any more
    assert guarded.admit(fresh("d")) == "admitted"
    assert guarded.admit(fresh("d")) == SEEN
    assert guarded.admit(fresh("e")) == "admitted"
    assert guarded.admit(fresh("f")) == FULL
    assert guarded.guard.remembered == 2


def test_admit_old_client_takes_no_room_of_others() -> None:
    guarded = Guarded(old_clients=True, total=2)
    assert (
        guarded.admit(message("a", iss="old"))
        == guarded.admit(message("b", iss="old"))
        == "admitted"
    )
    assert guarded.admit(fresh("a")) == FULL
    assert guarded.admit(message("c", iss="old")) == "admitted"


def test_admit_times_do_not_change_the_id() -> None:
    guarded = Guarded(old_clients=True)
    assert guarded.admit(message("a")) == "admitted"
    assert guarded.admit(fresh("a")) == SEEN
    assert guarded.admit(fresh("b")) == "admitted"
    assert guarded.admit(message("b")) == SEEN


class Shared:
    """A store of several processes; it fails if it is told to."""

    def __init__(self) -> None:
        self.ids: dict[tuple[str, str], float] = {}
        self.fails = False

    async def add(self, issuer: str, message_id: str, until: float) -> bool:
        if self.fails:
            raise OSError("no answer")
        is_new = (issuer, message_id) not in self.ids
        self.ids.setdefault((issuer, message_id), until)
        return is_new


async def test_admit_shared_store_rejects_replay_elsewhere() -> None:
    shared = Shared()
    here, there = (ReplayGuard(clock=Clock(NOW), store=shared) for _ in range(2))
    await here.admit(fresh(), "one")
    assert [*shared.ids.values()] == [NOW + 65]
    with pytest.raises(Rejected, match="Replay detected"):
        await there.admit(fresh(), "one")
    with pytest.raises(Rejected, match="Replay detected"):
        await here.admit(fresh(), "one")


async def test_admit_failing_store_rejects_message() -> None:
    shared = Shared()
    shared.fails = True
    guard = ReplayGuard(clock=Clock(NOW), store=shared)
    with pytest.raises(Rejected, match="Too many signed messages") as raised:
        await guard.admit(fresh(), "one")
    assert isinstance(raised.value.__cause__, OSError)


async def test_admit_store_is_asked_once_for_old_client() -> None:
    shared = Shared()
    guard = ReplayGuard(clock=Clock(NOW), store=shared, old_clients=True)
    await guard.admit(message(), "one")
    await guard.admit(message(), "one")
    assert [*shared.ids.values()] == [math.inf]


def numbered(number: int, *, series: str = "s" * 16, **options: Any) -> SignedMessage:
    return fresh(f"enkaku:{series}:{number:012}", **options)


@given(
    st.lists(
        st.one_of(st.integers(0, 9000), st.sampled_from([4095, 4096, 4097, 10**12 - 1])),
        max_size=60,
    )
)
def test_admit_numbered_messages_once_and_not_late(numbers: list[int]) -> None:
    guarded, seen = Guarded(per_issuer=1), set[int]()
    for number in numbers:
        is_new = number not in seen and number > max(seen, default=0) - 4096
        assert guarded.admit(numbered(number)) == ("admitted" if is_new else SEEN)
        seen |= {number} if is_new else set()
    assert guarded.guard.remembered == bool(numbers)


def test_admit_any_number_of_numbered_messages() -> None:
    guarded, ids = Guarded(per_issuer=3), numbered_ids()
    assert all(guarded.admit(fresh(next(ids))) == "admitted" for _ in range(20_000))
    assert guarded.guard.remembered == 1


def test_admit_series_is_remembered_while_its_last_is_valid() -> None:
    guarded = Guarded()
    for second in range(0, 300, 10):
        guarded.clock.now = NOW + second
        assert guarded.admit(numbered(second, iat=NOW + second)) == "admitted"
    assert guarded.admit(numbered(290, iat=NOW + 290)) == SEEN
    assert len(guarded.guard._expiries) == guarded.guard.remembered == 1
    guarded.clock.now = NOW + 290 + 66
    assert guarded.admit(fresh("x", iat=NOW + 356)) == "admitted"
    assert guarded.guard.remembered == 1
    assert guarded.admit(numbered(290, iat=NOW + 290)) == SEEN  # it is too old


def test_admit_full_issuer_begins_no_further_series() -> None:
    guarded = Guarded(per_issuer=2)
    assert guarded.admit(numbered(0, series="a" * 16)) == "admitted"
    assert guarded.admit(numbered(0, series="b" * 16)) == "admitted"
    assert guarded.admit(numbered(0, series="c" * 16)) == FULL
    assert guarded.admit(numbered(1, series="a" * 16)) == "admitted"
    assert guarded.admit(numbered(0, series="c" * 16, iss="bob")) == "admitted"


def test_ids_of_two_series_differ() -> None:
    one, other = numbered_ids(), numbered_ids()
    ids = [next(each) for each in (one, one, other, other)]
    assert len(set(ids)) == 4
    assert {len(each) for each in ids} == {36}
    assert [read_id(each).number for each in ids if read_id(each)] == [0, 1, 0, 1]
    assert read_id("enkaku:x:1") is None
