"""Where a client finds the link for its next call.

Above it: the client. Below it: the link.
"""

from typing import Final, Protocol

from .link import Link
from .procedures import Procedure

__all__ = ["Links", "OneLink"]


class Links(Protocol):
    """Gives each call a link; over a lifetime there may be several, one at a time."""

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

    async def close(self, *, within: float) -> None:
        """End the link, and let none follow."""


class OneLink:
    """A link that none follows."""

    def __init__(self, link: Link) -> None:
        self.link: Final = link
        self.comes_back: Final = False

    async def ready(
        self, procedure: Procedure, due: float | None
    ) -> Link:  # noqa: ARG002 # there is no waiting
        """Return the link, if it is open."""
        self.link.require_open(procedure)
        return self.link

    async def close(self, *, within: float) -> None:
        """End the link."""
        await self.link.close(within=within)
