"""Calls both ways: where the client's half and the server's half of an end meet, since neither knows the other.

A client with a handler has a server of its own, which serves the calls of its peer on each connection of the client. A server has
a connection to each client that it calls.
"""

import asyncio
from dataclasses import replace
from sys import maxsize
from typing import Final, cast

from enkaku.calls.halves import ServerEnd
from enkaku.calls.info import ConnectionInfo
from enkaku.calls.observers import Observers
from enkaku.client.called import CalledConnection
from enkaku.client.connection import ConnectionOptions
from enkaku.server.handler import Handler
from enkaku.server.server import Server
from enkaku.transports.base import Transport

from .limits import Limits
from .options import ServerOptions
from .preparation import prepare_large

__all__ = ["ClientHandler", "make_server", "serve_peer"]


def make_server(handler: Handler, options: ServerOptions) -> Server:
    """Return a server whose handlers can call their clients."""

    def call_client(end: ServerEnd) -> CalledConnection:
        limits = options.get("limits") or Limits()
        observers = Observers(options.get("observers", ()), of_connections=False)
        return CalledConnection(end, limits, observers, options.get("interceptors", ()))

    return Server(handler, call_client, **options)


async def serve_peer(options: ConnectionOptions) -> "ClientHandler | None":
    """Return what serves the calls of a client's server; None if the client has no handler."""
    handler = options.get("handler")
    if handler is None:
        return None
    served = ClientHandler(cast(Handler, handler), options)
    await prepare_large(cast(Handler, handler))
    return served


class ClientHandler:
    """Serves the calls of a client's server, on each connection of the client.

    Args:
        handler: Serves the calls.
        options: Those of the connection; its limits, observers and interceptors are also for these calls.
    """

    def __init__(self, handler: Handler, options: ConnectionOptions) -> None:
        observers = options.get("observers", ())
        self._observers: Final = Observers(observers, of_connections=False)
        # The client may be idle, and must read on while its replies are not read; see calls/halves.
        limits = replace(
            options.get("limits") or Limits(),
            backlog=maxsize,
            connections=maxsize,
            first_byte=None,
            idle=None,
        )
        self._server: Final = Server(
            handler,
            limits=limits,
            observers=[self._observers] if observers else (),
            interceptors=options.get("interceptors", ()),
        )
        self._server.health.started()

    def connected(self, transport: Transport, info: ConnectionInfo) -> None:
        """Serve the calls of a new connection; none any more once this has stopped."""
        if not self._server.stopping:
            self._server.connected(transport, info)

    def is_served_by(self, task: asyncio.Task[object] | None) -> bool:
        """Return whether one of its handlers runs in a task."""
        return self._server.is_served_by(task)

    async def stop(self, *, within: float) -> None:
        """Let the handlers finish for half of the time, and then cancel them."""
        try:
            async with asyncio.timeout(within):
                await self._server.stop(grace=within / 2)
        except TimeoutError:
            pass  # what is left was aborted
        self._observers.log.flush()
