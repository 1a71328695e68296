"""Interface of a peer's module, and its import.

``peers/<name>.py`` has these at its top level::

    REQUIREMENTS: tuple[str, ...]       # pinned packages, in addition to pydantic and msgspec
    async def serve(path: str, ready: Callable[[], None]) -> None       # at a Unix socket, until cancelled
    def connect(path: str) -> AbstractAsyncContextManager[Client]
    def make(number: int, label_size: int = 0) -> ...                   # if it has its own record class
    def hold(path: str) -> AbstractAsyncContextManager[None]            # an idle session, if it is not an idle connection
    MISSING: dict[str, str]             # workloads that the peer cannot run, and why

Peers of the web suite listen at a TCP port of 127.0.0.1, and write their address into a file at the path.

Both sides validate every record as users of the library would: with ``Record`` if it is JSON.
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
    "baseline": "baseline",
    "enkaku": "enkaku_peer",
    "streams": "streams",
    "websockets": "websockets",
    "grpc.aio": "grpc_aio",
    "connect-py": "connect_py",
    "socketio": "socketio",
    "pyzmq": "zmq",
    "websockets-tcp": "websockets_tcp",
    "websockets-uvicorn": "websockets_uvicorn",
    "enkaku-ws": "enkaku_ws",
    "socketio-uvicorn": "socketio_uvicorn",
    "enkaku-http": "enkaku_http",
    "fastapi": "fastapi_sse",
    "connect-uvicorn": "connect_uvicorn",
}
"""The module of each peer, by its name in the tables."""


class Channel(Protocol[R]):
    """An open channel."""

    async def round_trip(self, record: R, /) -> R:
        """Send a record, and wait until it comes back."""
        ...


class Client(Protocol[R]):
    """One connection to a server."""

    async def request(self, record: R, /) -> R:
        """Send a record, and return the server's copy; requests may be concurrent."""
        ...

    def stream(self, count: int, label_size: int) -> AbstractAsyncContextManager[AsyncIterator[R]]:
        """Open a stream of a number of records, counted from 0, with labels longer by ``label_size``."""
        ...

    def channel(self) -> AbstractAsyncContextManager[Channel[R]]:
        """Open a channel that echoes each record."""
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer; each has its own record class, so that records have no type here."""

    name: str
    requirements: tuple[str, ...]
    serve: Callable[[str, Callable[[], None]], Coroutine[Any, Any, None]]
    connect: Callable[[str], AbstractAsyncContextManager[Client[Any]]]
    make: Callable[[int, int], Any]
    hold: Callable[[str], AbstractAsyncContextManager[Any]]


def load_peer(name: str) -> Peer:
    """Import a peer's module; its requirements must be installed."""
    module = import_module(f"compare.peers.{MODULES[name]}")
    return Peer(
        name=name,
        requirements=module.REQUIREMENTS,
        serve=module.serve,
        connect=module.connect,
        make=getattr(module, "make", record.make),
        hold=getattr(module, "hold", module.connect),
    )
