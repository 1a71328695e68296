"""How a connection is made again: how often, and after which waits.

Above it: options, the links of a connection, ``sockets``. Below it: transports. The waits are those of
"Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), with full jitter.
"""

import asyncio
import math
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Final

from .errors import ConnectFailed, TransportError, UsageError
from .transport import Dial, Transport
from .usage import require_seconds, require_whole

__all__ = ["Reconnect", "Redialer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnect:
    """How often a connection is tried again, and after which waits.

    Each wait is of random length, from nothing up to a bound: so the clients of a server that comes back do not all
    come at once. The bound grows with each attempt, and begins anew once a connection has lasted as long as the
    bound that it was waited for: one that is lost again at once counts as an attempt that failed.

    Attributes:
        first: The bound of the first wait, in seconds; 0.1 by default.
        factor: By how much the bound grows each time; 2 by default.
        longest: What the bound grows to at the most, in seconds; 30 by default.
        attempts: How many attempts in a row may fail before the connection is given up; None, the default, is any
            number. The waits up to the tenth take 26 s on average by default.
        random: Where the randomness comes from; by default, the system.

    Raises:
        UsageError: ``first`` is not positive, ``factor`` less than 1, ``longest`` less than ``first`` or without
            end, or ``attempts`` less than 1.
    """

    first: float = 0.1
    factor: float = 2.0
    longest: float = 30.0
    attempts: int | None = None
    random: Random = field(default_factory=SystemRandom, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_seconds("Reconnect: first", self.first)
        require_seconds("Reconnect: longest", self.longest)
        if not self.first > 0:
            raise UsageError(f"Reconnect: first must be more than 0 s, and is {self.first}")
        if not 1 <= self.factor < math.inf:
            raise UsageError(f"Reconnect: factor must be 1 or more, and is {self.factor}")
        if not self.first <= self.longest:
            raise UsageError(
                f"Reconnect: longest must be a time from first ({self.first:g} s) on, and is {self.longest}"
            )
        if self.attempts is None:
            return
        require_whole("Reconnect: attempts", self.attempts)
        if self.attempts < 1:
            raise UsageError(f"Reconnect: attempts must be 1 or more, and is {self.attempts}")


class Redialer:
    """Dials until somebody answers.

    Args:
        dial: Connects.
        reconnect: How often, and after which waits.
        where: The address, for messages to people.

    Attributes:
        failure: What the last attempt has failed with; None where it has not.
    """

    def __init__(self, dial: Dial, reconnect: Reconnect, where: str) -> None:
        self.failure: TransportError | None = None
        self._dial: Final = dial
        self._reconnect: Final = reconnect
        self._where: Final = where
        self._attempts = 0
        self._bound = 0.0

    async def first(self, *, within: float) -> Transport:
        """Connect, for the first time.

        Args:
            within: How long all attempts together may take, in seconds.

        Raises:
            ConnectFailed: Nobody answered in time, or as often as it was to be tried.
        """
        try:
            async with asyncio.timeout(within):
                return await self._dial_on()
        except TimeoutError:
            last = f", at last: {self.failure}" if self.failure else ""
            raise ConnectFailed(
                f"{self._where}: no connection within {within:g} s{last}"
            ) from self.failure

    async def again(self, *, lasted: float) -> Transport:
        """Wait, and connect again.

        Args:
            lasted: How long the last connection did, in seconds.

        Raises:
            ConnectFailed: Nobody answered as often as it was to be tried.
        """
        if lasted >= self._bound:
            self._attempts, self._bound = 0, 0.0
        else:
            self.failure = ConnectFailed(f"{self._where}: lost again after {lasted:.3f} s")
        await self._pause()
        return await self._dial_on()

    async def _dial_on(self) -> Transport:
        while True:
            self._attempts += 1
            try:
                transport = await self._dial()
            except ConnectFailed as error:
                self.failure = error
                await self._pause()
            else:
                self.failure = None
                return transport

    async def _pause(self) -> None:
        if self._attempts == self._reconnect.attempts:
            raise ConnectFailed(
                f"{self._attempts} attempts in a row have failed, at last: {self.failure}"
            ) from self.failure
        grown = self._bound * self._reconnect.factor
        self._bound = min(self._reconnect.longest, max(self._reconnect.first, grown))
        await asyncio.sleep(self._reconnect.random.uniform(0, self._bound))
