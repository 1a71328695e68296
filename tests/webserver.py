"""A uvicorn server in the test's own event loop."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn


@asynccontextmanager
async def serving_app(app: Any, *, port: int = 0, **options: Any) -> AsyncGenerator[int, None]:
    """Serve an ASGI app at a port of this machine, by default a free one, which is returned; stop it as a signal would."""
    config = uvicorn.Config(
        app, lifespan="on", log_level="warning", ws="websockets-sansio", access_log=False, **options
    )
    server = uvicorn.Server(config)
    # With a protocol of 0, asyncio would leave Nagle's algorithm on, which delays each response by 40 ms.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[sock])
    ticking = asyncio.create_task(server.main_loop())
    try:
        yield sock.getsockname()[1]
    finally:
        server.should_exit = True
        await ticking
        await server.shutdown(sockets=[sock])
