"""The peer ``websockets``, code by hand with that library, over TCP: the baseline of the web suite."""

# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# (its imports are installed in another environment)

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from websockets.asyncio.client import connect as connect_to
from websockets.asyncio.server import serve as serve_at

from compare.peers.by_hand import Calls
from compare.peers.websockets import open_calls, serve_one

REQUIREMENTS = ("websockets==17.4",)


async def serve(path: str, ready: Callable[[], None]) -> None:
    """Serve until cancelled."""
    async with serve_at(serve_one, "127.0.0.1", 0, compression=None, backlog=1000) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        Path(path).write_text(f"ws://127.0.0.1:{port}/")  # noqa: ASYNC240 # at the start
        ready()
        await server.serve_forever()


@asynccontextmanager
async def connect(path: str) -> AsyncGenerator[Calls, None]:
    """Connect."""
    url = Path(path).read_text()  # noqa: ASYNC240 # before the measurement
    async with connect_to(url, compression=None) as socket, open_calls(socket) as calls:
        yield calls
