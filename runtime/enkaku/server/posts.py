"""What the requests and events of one address have in common that come over HTTP, each with a connection of its own.

Without this, each of them would be a client that uses nothing, for which a tenth of the server is kept. Many clients may share
an address, that of a proxy: so ``Limits.handlers`` does not bound what one address may run.
"""

from typing import Final

from .capacity import Capacity, Holder
from .handler_pool import HandlerQueue
from .shared import Policy

__all__ = ["POST_SIZE", "PostCapacity", "Posts"]

POST_SIZE: Final = 9 * 1024
"""Bytes of memory of a POST, besides its call: its connection, its tasks, its request and response."""


class Posts:
    """The POSTs of one address.

    Args:
        host: The address.
        policy: The options and limits of the server.

    Attributes:
        host: The address.
        connections: How many POSTs are being handled.
        open: How many calls are open.
        requests: The requests that wait for a free handler.
        events: The events that wait for a free handler.
    """

    __slots__ = ("connections", "events", "host", "open", "requests")

    def __init__(self, host: str, policy: Policy) -> None:
        most, waiting = policy.limits.server_handlers, policy.limits.buffered
        self.host: Final = host
        self.connections = 0
        self.open = 0
        self.requests = HandlerQueue(policy.requests, most, capacity=waiting)
        self.events = HandlerQueue(policy.events, most, capacity=waiting)


class PostCapacity(Capacity):
    """What one POST uses.

    Args:
        posts: Those of its address.
        policy: The options and limits of the server.
        holder: The session of the POST.
    """

    __slots__ = ("_posts",)

    def __init__(self, posts: Posts, policy: Policy, *, holder: Holder) -> None:
        super().__init__(policy.capacity, calls=policy.limits.calls, holder=holder)
        self._posts: Final = posts

    def claim(self) -> bool:
        """Count one more open call; return whether it may be opened."""
        whole, posts = self.whole, self._posts
        if whole.open >= (whole.calls_shared if posts.open else whole.calls):
            return False
        self.open += 1
        whole.open += 1
        posts.open += 1
        return True

    def release(self, size: int = 0) -> None:
        """Count one open call less, and the memory that was held for it."""
        self._posts.open -= 1
        super().release(size)
