"""Key sets of issuers: given once, or fetched by the program and renewed.

A set is fetched again when it is five minutes old, so that a key that the issuer has withdrawn is not trusted for long, and when a
token names a key that is not in it, at most every ten seconds. All callers that need a set wait for one fetch. If it fails, the old
set serves for up to an hour.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from typing import Final, Protocol

from enkaku.errors import AuthenticationFailed
from enkaku.identity.jwt import KeySet

__all__ = ["FetchKeys", "FetchedKeys", "FixedKeys", "Keys"]

logger: Final = logging.getLogger("enkaku.server")

FetchKeys = Callable[[], Awaitable[Mapping[str, object]]]
"""Returns the key set of an issuer (a JWK Set), such as from its URL."""

_RENEWED: Final = 300.0  # seconds, the age at which a set is fetched again
_KEPT: Final = 3600.0  # seconds, the age up to which it serves if that fails
_PAUSE: Final = 10.0  # seconds between two fetches


class Keys(Protocol):
    """The key set of an issuer."""

    @property
    def current(self) -> KeySet | None:
        """The set; None if it has to be fetched."""
        ...

    async def find(self, kid: str | None) -> KeySet:
        """Return the set, after it was fetched if that is due, or if it has no key of this id.

        Raises:
            AuthenticationFailed: It could not be fetched.
        """
        ...


class FixedKeys:
    """A key set that does not change."""

    def __init__(self, keys: KeySet) -> None:
        self.current: Final[KeySet | None] = keys
        self._keys: Final = keys

    async def find(self, kid: str | None) -> KeySet:  # noqa: ARG002 # as Keys
        """Return the set."""
        return self._keys


class FetchedKeys:
    """A key set that the program fetches.

    Args:
        fetch: Returns the set.
        timeout: How long that may take, in seconds.
        clock: Returns the time in seconds; it only goes on.
    """

    def __init__(
        self, fetch: FetchKeys, timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch: Final = fetch
        self._timeout: Final = timeout
        self._clock: Final = clock
        self._keys: KeySet | None = None
        self._fetched = -_KEPT  # when that succeeded last
        self._tried = -_PAUSE  # when it was tried last
        self._task: asyncio.Task[None] | None = None

    @property
    def current(self) -> KeySet | None:
        """The set; None if it has to be fetched."""
        return self._younger_than(_RENEWED)

    async def find(self, kid: str | None) -> KeySet:
        """Return the set, after it was fetched if that is due, or if it has no key of this id.

        Raises:
            AuthenticationFailed: It could not be fetched.
        """
        keys = self.current
        if keys is None or not keys.of(kid):
            await self._renewal(kid)
            keys = self._younger_than(_KEPT)
        if keys is None:
            raise AuthenticationFailed("JWT: the keys of the issuer could not be fetched")
        return keys

    def _younger_than(self, age: float) -> KeySet | None:
        return self._keys if self._clock() - self._fetched < age else None

    async def _renewal(self, kid: str | None) -> None:
        """Wait for the fetch that is running, or for a new one, unless one was tried just now."""
        task = self._task
        if task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop():
            keys = self._younger_than(_KEPT)
            if keys is not None and keys.of(kid):
                return  # the caller that began it waits
        elif self._clock() - self._tried < _PAUSE:
            return
        else:
            self._tried = self._clock()
            # Not in the context of this caller, nor cancelled with it: it is for all, and ends in time by itself.
            task = self._task = asyncio.create_task(self._fetch_keys(), context=Context())
        # A function of the program may ignore its cancellation: then its callers go on without it.
        await asyncio.wait({task}, timeout=2 * self._timeout)

    async def _fetch_keys(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                self._keys = KeySet.from_jwks(await self._fetch())
        except Exception as error:
            logger.exception("could not fetch the keys of tokens: %s", type(error).__name__)
        else:
            self._fetched = self._clock()
