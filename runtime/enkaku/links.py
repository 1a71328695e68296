"""Where a client finds the link for its next call.

Above it: the client. Below it: the link.
"""

from typing import Final, Protocol

from .lifecycle import Lifecycle
from .limits import Limits
from .link import Link
from .observer import Observers
from .procedures import Procedure
from .transport import Transport

__all__ = ["Links", "OneLink"]


class Links(Protocol):
    """Gives each call a link; over a lifetime there may be several, one at a time."""

    @property
    def life(self) -> Lifecycle:
        """Whether there is one now, or may be one later."""
        ...

    @property
    def link(self) -> Link:
        """The last one that there was."""
        ...

    @property
    def comes_back(self) -> bool:
        """Whether another link may follow one that is lost."""
        ...

    async def ready(self, procedure: Procedure, due: float | None) -> Link:
        """Return an open link; wait for it, if one may come, no longer than until ``due``.

        Raises:
            ConnectionLost: There is none, and none will come.
            DeadlineExceeded: None has come in time.
        """
        ...

    async def follows(self, link: Link) -> bool:
        """Wait until a link is lost, if another may follow it; return whether one may."""
        ...

    async def close(self, *, within: float) -> None:
        """End the link, and let none follow."""


class OneLink:
    """A link that none follows."""

    def __init__(self, transport: Transport, limits: Limits, observers: Observers) -> None:
        self.life: Final = Lifecycle()
        self.comes_back: Final = False
        self.link: Final = Link(transport, limits, observers, self._take_loss)

    async def ready(
        self,
        procedure: Procedure,
        due: float | None,  # noqa: ARG002 # there is no waiting
    ) -> Link:
        """Return the link, if it is open."""
        self.link.require_open(procedure)
        return self.link

    async def follows(self, link: Link) -> bool:  # noqa: ARG002 # none ever does
        """Return False."""
        return False

    async def close(self, *, within: float) -> None:
        """End the link."""
        self.life.become("closed")
        await self.link.close(within=within)

    def _take_loss(self, _: Link) -> None:
        self.life.become("failed")
