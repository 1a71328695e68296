"""The links of a connection that comes back: one after the other.

Above it: the client. Below it: the link, and who dials.
"""

import asyncio
import logging
from typing import Final

from .deadline import left
from .errors import ConnectionLost
from .lifecycle import Lifecycle
from .limits import Limits
from .link import Link
from .observer import Observers
from .procedures import Procedure
from .reconnect import Redialer
from .requests import exceeded
from .transport import Transport

__all__ = ["SuccessiveLinks"]

logger: Final = logging.getLogger("enkaku.client")


class SuccessiveLinks:
    """A link, and the next one when it is lost.

    Args:
        transport: Carries the first one.
        redialer: Makes the transports of the others.
        limits: Hold for each link.
        observers: Are told of each link.
    """

    def __init__(
        self, transport: Transport, redialer: Redialer, limits: Limits, observers: Observers
    ) -> None:
        self.life: Final = Lifecycle()
        self._redialer = redialer
        self._limits = limits
        self._observers = observers
        self._connecting: asyncio.Task[None] | None = None
        self._end: Exception | None = None
        self.link = self._new_link(transport)

    @property
    def comes_back(self) -> bool:
        """Whether another link may still follow."""
        return not self.life.over

    async def ready(self, procedure: Procedure, due: float | None) -> Link:
        """Return the link, or wait for the next one."""
        if not self.link.is_open:
            await self._wait(procedure, due)
        return self.link

    async def follows(self, link: Link) -> bool:
        """Wait until a link is lost; return whether another may follow it."""
        while link.is_open and self.comes_back:
            await self.life.change()
        return self.comes_back

    async def close(self, *, within: float) -> None:
        """End the link, or give the next one up."""
        self.life.become("closed")
        try:
            if self._connecting is not None:
                self._connecting.cancel()
                await asyncio.wait([self._connecting])
        finally:
            await self.link.close(within=within)

    async def _wait(self, procedure: Procedure, due: float | None) -> None:
        try:
            async with asyncio.timeout(None if due is None else left(due)):
                while self.life.state == "connecting":
                    await self.life.change()
        except TimeoutError:
            raise exceeded(procedure) from self._redialer.failure
        if self.life.state == "closed":
            raise ConnectionLost(
                f"{procedure.name}: this side closed the connection ({self.link.info.peer})"
            )
        if self.life.state == "failed":
            raise ConnectionLost(
                f"{procedure.name}: the connection was lost, and not made again: {self._end}"
            ) from self._end

    def _new_link(self, transport: Transport) -> Link:
        return Link(transport, self._limits, self._observers, self._take_loss)

    def _take_loss(self, link: Link) -> None:
        if not self.life.over:
            self.life.become("connecting")
            connecting = self._connect(link, link.info.duration)
            self._connecting = asyncio.get_running_loop().create_task(connecting)

    async def _connect(self, lost: Link, lasted: float) -> None:
        try:
            await lost.close(within=0)  # what it has not sent yet is for calls that are over
            self.link = self._new_link(await self._redialer.again(lasted=lasted))
        except Exception as error:  # noqa: BLE001 # whatever it is, nobody may wait for ever
            logger.warning("the connection to %s is given up: %s", lost.info.peer, error)
            self._end = error
            self.life.become("failed")
        else:
            self.life.become("open")
