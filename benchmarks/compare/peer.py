"""What a peer's module holds, and how one is loaded.

``peers/<name>.py`` has these at its top level::

    REQUIREMENTS: tuple[str, ...]       # what pip installs beside pydantic and msgspec; pinned
    async def serve(path: str, ready: Callable[[], None]) -> None       # at a Unix socket, until cancelled
    def connect(path: str) -> AbstractAsyncContextManager[Client]
    def make(number: int, label_size: int = 0) -> ...                   # where its records are no Record

Both sides validate every record, in the way in which a user of the peer would: with ``Record``, where it is JSON.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Protocol

from typing_extensions import TypeVar

from compare import record
from compare.record import Figures, Record

__all__ = ["MODULES", "Channel", "Client", "Peer", "load_peer"]

R = TypeVar("R", bound=Figures, default=Record)

MODULES: Final = {
    "floor": "floor",
    "enkaku": "enkaku_peer",
    "streams": "streams",
    "websockets": "websockets",
    "grpc.aio": "grpc_aio",
    "connect-py": "connect_py",
    "socketio": "socketio",
    "pyzmq": "zmq",
}
"""The module of each peer, by the name that the table gives it."""


class Channel(Protocol[R]):
    """An open channel, both of whose sides send."""

    async def round_trip(self, record: R, /) -> R:
        """Send a record, and wait until it comes back."""
        ...


class Client(Protocol[R]):
    """One connection to a server."""

    async def request(self, record: R, /) -> R:
        """Have a record given back; any number of requests run at once."""
        ...

    def stream(self, count: int, label_size: int) -> AbstractAsyncContextManager[AsyncIterator[R]]:
        """Open a stream of so many records, numbered from 0, whose labels are so much longer."""
        ...

    def channel(self) -> AbstractAsyncContextManager[Channel[R]]:
        """Open a channel that gives back what is sent into it."""
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer; its records are its own affair, so that they have no type here."""

    name: str
    requirements: tuple[str, ...]
    serve: Callable[[str, Callable[[], None]], Coroutine[Any, Any, None]]
    connect: Callable[[str], AbstractAsyncContextManager[Client[Any]]]
    make: Callable[[int, int], Any]


def load_peer(name: str) -> Peer:
    """Import a peer's module; what it requires must be installed."""
    module = import_module(f"compare.peers.{MODULES[name]}")
    return Peer(
        name=name,
        requirements=module.REQUIREMENTS,
        serve=module.serve,
        connect=module.connect,
        make=getattr(module, "make", record.make),
    )
