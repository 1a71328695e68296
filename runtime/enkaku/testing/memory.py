"""In-process connections: ``connect_memory`` connects a client to a handler without a socket.

A server runs in the same process, and both ends use the memory transport. With ``faults``, a wire between the two ends
carries bytes, and injects the faults.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Unpack

from enkaku._checks import async_block, require_instances
from enkaku.both_ways import make_server, serve_peer
from enkaku.client.connection import Connection, ConnectionOptions
from enkaku.client.reconnect import Connector
from enkaku.options import ServerOptions, check_connection
from enkaku.server.handler import Handler
from enkaku.server.server import Server
from enkaku.transports.base import Transport
from enkaku.transports.memory import memory_pair

from .faults import Faults, Flow, faulty_memory_pair
from .faulty_proxy import faulty_tcp, faulty_unix
from .faulty_wire import Wire

__all__ = ["Faults", "Flow", "connect_memory", "faulty_tcp", "faulty_unix"]


@async_block
async def connect_memory(
    handler: Handler,
    *,
    faults: Faults | None = None,
    connection_options: ConnectionOptions | None = None,
    **options: Unpack[ServerOptions],
) -> AsyncGenerator[Connection, None]:
    """Connect to a handler in this process: the same messages, validation and errors, without a socket.

    Args:
        handler: Serves the calls.
        faults: Injects faults into the connection; None, the default, injects none. Its faults are removed when the block
            ends.
        connection_options: For the client; its ``limits`` are the server's by default. With ``reconnect``, the client
            reconnects after ``faults.cut()``.
        options: For the server; see ``ServerOptions``.
    """
    async with connect_and_serve(handler, faults, connection_options, options) as (connection, _):
        yield connection


@asynccontextmanager
async def connect_and_serve(
    handler: Handler,
    faults: Faults | None,
    connection_options: ConnectionOptions | None,
    options: ServerOptions,
) -> AsyncGenerator[tuple[Connection, Server], None]:
    """Connect as ``connect_memory`` does, and return the server as well; for the pytest plugin."""
    if faults is not None:
        require_instances("faults", [faults], Faults)
    server = make_server(handler, options)
    client_options: ConnectionOptions = {"limits": options.get("limits")}
    client_options.update(connection_options or {})
    check_connection(client_options)
    async with AsyncExitStack() as stack:
        wires: list[Wire] = []

        async def dial() -> Transport:
            client_end: Transport
            server_end: Transport
            if faults is None:
                client_end, server_end = memory_pair()
            else:
                pair = faulty_memory_pair(faults)
                client_end, server_end, wire = await stack.enter_async_context(pair)
                wires.append(wire)
            server.connected(server_end)
            return client_end

        transport = await dial()
        await stack.enter_async_context(server.running(None, ("memory",)))
        served = await serve_peer(client_options)
        reconnect = client_options.get("reconnect")
        connector = None if reconnect is None else Connector(dial, reconnect, transport.peer)
        connection = Connection(transport, connector, served, **client_options)
        try:
            await connection.entered()
            yield connection, server
        finally:
            for wire in wires:
                wire.release()  # else the close would wait for a peer that cannot answer
            await connection.close()
