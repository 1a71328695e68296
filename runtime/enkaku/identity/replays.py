"""Replay protection: a signed message is accepted once.

A message has an id (``jti``, or the digest of its signature) and a time after which it is not accepted anyway: ``exp``, or a window
after ``iat``. Until then its id is remembered, for each issuer. If there is no room for an id, the message is rejected: an id is
never forgotten early, and an issuer fills only its own room.

Clients of this implementation number their messages: a ``jti`` is that of a *series* and a number. Of a series, the greatest number
and those shortly before it are remembered, whose order may have changed on the way. So a client may send any number of messages.

Anybody can make keys. So *strangers*, issuers that no access rule names, leave a tenth of all room to others. Of that room, ids that
must be remembered for longer than the window take half at most, so that strangers cannot fill it for ever.

Messages of old clients of the TypeScript implementation have no times. They are rejected, unless ``old_clients`` is set. Then such
a message may come again on the connection on which it was first seen, since two equal events of an old client are equal messages,
and on no other. Their ids are remembered without end; the oldest of an issuer make room for its newer ones.
"""

import time
from collections.abc import Callable, Hashable
from enum import IntEnum, auto
from hashlib import sha256
from heapq import heappop, heappush
from typing import Final, Protocol

from msgspec import UNSET

from enkaku._json import dump_json
from enkaku.errors import Rejected
from enkaku.wire.error_codes import ErrorCode

from .messages import Claims, SignedClaims
from .numbering import read_id
from .tokens import NOT_YET_VALID, denied

__all__ = ["ReplayGuard", "ReplayStore"]

_WINDOW: Final = 60.0
_LEEWAY: Final = 5.0
_SECOND: Final = 1.0
_PER_ISSUER: Final = 10_000
_TOTAL: Final = 100_000
_IN_ORDER: Final = 4096  # numbers by which a message may come late


class ReplayStore(Protocol):
    """Ids that several processes share, such as in a database."""

    async def add(self, issuer: str, message_id: str, until: float) -> bool:
        """Remember an id, and return whether it is new: as one step, atomically.

        Args:
            issuer: Who signed the message.
            message_id: Its id, which is unique for the issuer: 64 hexadecimal digits.
            until: The second until which it must be remembered; infinity means without end.
        """
        ...


class _Kind(IntEnum):
    """Of an id, or of a series."""

    KNOWN = auto()
    STRANGE = auto()
    LONG = auto()  # of a stranger, and to be remembered for longer than the window


class _Series:
    """The numbers of one series of an issuer.

    Attributes:
        kind: Its kind.
        until: The second until which it must be remembered.
    """

    __slots__ = ("_greatest", "_seen", "kind", "until")

    def __init__(self, number: int, until: float, kind: _Kind) -> None:
        self.kind = kind
        self._greatest = number
        self._seen = 1  # bit n: whether the number that is n less than the greatest was received
        self.until = until

    def add(self, number: int, until: float) -> bool:
        """Remember a number, and return whether it is new; one that is too old to tell is not."""
        behind = self._greatest - number
        if behind >= _IN_ORDER or (behind >= 0 and self._seen >> behind & 1):
            return False
        if behind < 0:
            self._greatest = number
            self._seen = self._seen << -behind if -behind < _IN_ORDER else 0
            self._seen &= (1 << _IN_ORDER) - 1
            behind = 0
        self._seen |= 1 << behind
        self.until = max(self.until, until)
        return True


class _Issuer:
    """The ids of one issuer."""

    __slots__ = ("name", "seen", "series", "timeless")

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self.seen: Final[dict[str, _Kind]] = {}
        self.series: Final[dict[str, _Series]] = {}
        # The connections on which messages without times came first, and their kinds, by their ids; the oldest first.
        self.timeless: Final[dict[str, tuple[Hashable, _Kind]]] = {}

    def __len__(self) -> int:
        return len(self.seen) + len(self.series) + len(self.timeless)


class ReplayGuard:
    """Rejects messages that were received before.

    Args:
        window: How old a message without ``exp`` may be, in seconds.
        leeway: How much the clocks of client and server may differ, in seconds.
        per_issuer: How many ids, and series of ids, of one issuer are remembered; the messages beyond that are rejected with ``EK04``.
        total: The same of all issuers together; 100,000 ids take about 30 MiB. A tenth is kept for issuers that access rules name.
        old_clients: Whether messages without times are accepted.
        store: Ids that are shared with other processes. If it fails, the message is rejected with ``EK04``.
        clock: Returns the time in seconds.
    """

    def __init__(
        self,
        *,
        window: float = _WINDOW,
        leeway: float = _LEEWAY,
        per_issuer: int = _PER_ISSUER,
        total: int = _TOTAL,
        old_clients: bool = False,
        store: ReplayStore | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._window: Final = window
        self._leeway: Final = leeway
        self._per_issuer: Final = per_issuer
        self._total: Final = total
        self._old_clients: Final = old_clients
        self._store: Final = store
        self._clock: Final = clock
        self._started: Final = clock()
        self._now = self._started
        self._issuers: Final[dict[str, _Issuer]] = {}
        self._expiries: Final[list[tuple[float, str, str]]] = []  # a heap
        self._counts: Final = dict.fromkeys(_Kind, 0)

    def now(self) -> float:
        """Return the time in seconds, by its clock."""
        return self._clock()

    @property
    def shared(self) -> bool:
        """Whether ids are shared with other processes, so that to admit a message may take a while."""
        return self._store is not None

    @property
    def remembered(self) -> int:
        """How many ids are remembered."""
        return sum(self._counts.values())

    async def admit(
        self, message: SignedClaims, connection: Hashable, *, known: bool = True
    ) -> None:
        """Remember a message; to be called last, so that a message that is rejected uses nothing up.

        Args:
            message: The message.
            connection: Tells connections apart, for messages of old clients.
            known: Whether its issuer is no stranger.

        Raises:
            Rejected: It was received before, is too old or from the future, or there is no room for its id.
        """
        added = self.admit_here(message, connection, known=known)
        if self._store is None or added is None:
            return
        try:
            is_new = await self._store.add(message.claims.iss, *added)
        except Exception as error:
            raise _full() from error
        if not is_new:
            raise _replayed()

    def admit_here(
        self, message: SignedClaims, connection: Hashable, *, known: bool = True
    ) -> tuple[str, float] | None:
        """Remember a message in this process alone.

        Returns:
            Its id, and the second until which it is remembered; None for a message without times that came before.

        Raises:
            Rejected: As ``admit``.
        """
        # What has expired is forgotten. If the clock is set back, it must not be valid again, so time only goes on.
        now = self._now = max(self._now, self._clock())
        claims = message.claims
        message_id = _id(message)
        until = self._until(claims, now)
        self._drop_expired(now)
        issuer = self._issuers.get(claims.iss)
        if issuer is not None and message_id in issuer.seen:
            raise _replayed()
        if issuer is not None and message_id in issuer.timeless:
            if until is not None or issuer.timeless[message_id][0] != connection:
                raise _replayed()
            return None
        kind = _Kind.KNOWN if known else self._kind(until, now)
        if until is not None and self._add_numbered(claims, until, kind):
            return message_id, until
        issuer = self._make_room(claims.iss, kind)
        self._counts[kind] += 1
        if until is None:
            issuer.timeless[message_id] = connection, kind
            return message_id, float("inf")
        issuer.seen[message_id] = kind
        heappush(self._expiries, (until, issuer.name, message_id))
        return message_id, until

    def _add_numbered(self, claims: Claims, until: float, kind: _Kind) -> bool:
        """Remember the id of a message that is one of a series, and return whether it is.

        Raises:
            Rejected: It was received before, or there is no room for its series.
        """
        found = None if claims.jti is UNSET else read_id(claims.jti)
        if found is None:
            return False
        name, number = found
        issuer = self._issuers.get(claims.iss)
        series = None if issuer is None else issuer.series.get(name)
        if series is None:
            issuer = self._make_room(claims.iss, kind)
            issuer.series[name] = _Series(number, until, kind)
            heappush(self._expiries, (until, issuer.name, name))
            self._counts[kind] += 1
            return True
        if kind is _Kind.LONG and series.kind is _Kind.STRANGE:
            if self._is_full(kind):
                raise _full()
            self._counts[series.kind] -= 1
            self._counts[kind] += 1
            series.kind = kind
        if not series.add(number, until):
            raise _replayed()
        return True

    def _kind(self, until: float | None, now: float) -> _Kind:
        """Return the kind of a stranger's id."""
        longest = now + self._window + 2 * self._leeway  # of a message that has ``iat`` alone
        return _Kind.LONG if until is None or until > longest else _Kind.STRANGE

    def _is_full(self, kind: _Kind) -> bool:
        most = self._total if kind is _Kind.KNOWN else self._total - self._total // 10
        is_long = kind is _Kind.LONG and self._counts[kind] >= self._total // 2
        return is_long or self.remembered >= most

    def _until(self, claims: Claims, now: float) -> float | None:
        """Return until when a message has to be remembered; None for one without times.

        Raises:
            Rejected: It is too old, from the future, or without times where that is not allowed.
        """
        exp, iat = claims.exp, claims.iat
        if exp is not UNSET:
            until = exp + _SECOND + self._leeway  # it is valid until the end of that second
        elif iat is not UNSET:
            until = iat + self._window + self._leeway
        elif self._old_clients:
            return None
        else:
            raise Rejected(ErrorCode.REPLAYED.value, "Message has no time")
        if iat is not UNSET and iat > now + self._leeway:
            raise denied(NOT_YET_VALID)
        # What an earlier process has remembered is lost, so this one rejects what may have been received by it.
        before = iat is not UNSET and iat < self._started - self._leeway
        if before or until < now:
            raise _replayed()
        return until

    def _make_room(self, name: str, kind: _Kind) -> _Issuer:
        """Return the ids of an issuer, with room for one more.

        Raises:
            Rejected: There is none.
        """
        issuer = self._issuers.get(name)
        if self._is_full(kind) or (issuer is not None and len(issuer) >= self._per_issuer):
            if issuer is None or not issuer.timeless:
                raise _full()
            _, oldest = issuer.timeless.pop(next(iter(issuer.timeless)))
            self._counts[oldest] -= 1
        if issuer is None:
            issuer = self._issuers[name] = _Issuer(name)
        return issuer

    def _drop_expired(self, now: float) -> None:
        while self._expiries and self._expiries[0][0] < now:
            _, name, message_id = heappop(self._expiries)
            issuer = self._issuers[name]
            series = issuer.series.get(message_id)  # which no other id can be called
            if series is not None and series.until >= now:
                heappush(self._expiries, (series.until, name, message_id))
                continue
            if series is None:
                kind = issuer.seen.pop(message_id)
            else:
                kind = issuer.series.pop(message_id).kind
            self._counts[kind] -= 1
            if not issuer:
                del self._issuers[name]


def _id(message: SignedClaims) -> str:
    """Return an id of the message, as unique as its ``jti``, and short."""
    jti = message.claims.jti
    name = b"signature:" + message.digest if jti is UNSET else b"jti:" + dump_json(jti)
    return sha256(name).hexdigest()


def _replayed() -> Rejected:
    return Rejected(ErrorCode.REPLAYED.value, "Replay detected")


def _full() -> Rejected:
    return Rejected(ErrorCode.TOO_MANY_HANDLERS.value, "Too many signed messages")
