"""For tests: a client of a handler, in one process and without sockets.

Above it: users' tests. Below it: connections, the server, the memory transport.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from .client import Connection
from .handler import Handler
from .limits import Limits
from .server import Server
from .transport import memory_pair

__all__ = ["connect_memory"]


@asynccontextmanager
async def connect_memory(
    handler: Handler,
    *,
    limits: Limits | None = None,
    close_timeout: float = 30.0,
    explain_refusals: bool = False,
) -> AsyncGenerator[Connection, None]:
    """Connect to a handler in this process: the same messages, validation and errors, without a socket.

    Args:
        handler: Serves the calls.
        limits: What each side keeps for the other at the most.
        close_timeout: How long a handler may go on after its call was closed, in seconds.
        explain_refusals: Whether a client is told why a value of its own was refused; by default it learns that
            it was, and the reason is logged.
    """
    server = Server(
        handler,
        limits=limits,
        close_timeout=close_timeout,
        explain_refusals=explain_refusals,
    )
    client_end, server_end = memory_pair()
    async with server.running(None, ("memory",)):
        server.connected(server_end)
        connection = Connection(client_end, limits=limits)
        try:
            yield connection
        finally:
            await connection.close()
