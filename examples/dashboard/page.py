"""The dashboard as a web page: a few lines of ASGI that serve its files, in front of the app that serves the handler.

One port has both: a GET of a file of the page returns it, and all else is for ``enkaku.asgi``, WebSockets and ``enkaku.js``
among it.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import enkaku
import uvicorn

Event: TypeAlias = MutableMapping[str, object]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]

WEB = Path(__file__).parent / "web"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
HEADERS = {
    "cache-control": "no-cache",
    # What the page loads and connects to comes from here, and no other page shows it in a frame.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Page:
    """An ASGI app that serves the page's files, and passes on all else to another app.

    Args:
        app: The other app.
    """

    def __init__(self, app: enkaku.AsgiApp) -> None:
        self._app = app
        self._files = {f"/{each.name}": each for each in WEB.iterdir() if each.suffix in TYPES}
        self._files["/"] = self._files["/index.html"]

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Serve a request, a WebSocket or the lifespan. Called by the web server."""
        file = self._files.get(str(scope.get("path")))
        if file is None or scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        body = file.read_bytes()
        headers = {
            **HEADERS,
            "content-type": TYPES[file.suffix],
            "content-length": str(len(body)),
        }
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": pairs})
        await send(
            {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body}
        )


class WebServer(uvicorn.Server):
    """A uvicorn that leaves signals to the program: Enkaku's server stops first, and answers every call."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Handle no signal."""
        yield


@asynccontextmanager
async def serve_page(
    handler: enkaku.Handler, host: str, port: int
) -> AsyncGenerator[tuple[enkaku.Server, str], None]:
    """Serve the page and the handler until the block ends; give the server, and the page's address.

    Raises:
        TransportError: The address is in use, or no address of this machine.
    """
    # Another name that points to this machine is that of a page which wants more than it may have.
    hosts = ["127.0.0.1", "localhost", "[::1]"] if host in LOOPBACK else None
    app = enkaku.asgi(handler, script=True, origins="same", hosts=hosts)
    with listen(host, port) as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            Page(app), log_config=None, log_level="warning", timeout_graceful_shutdown=1
        )
        web = WebServer(config)
        serving = asyncio.create_task(web.serve(sockets=[listener]))
        try:
            yield await app.start(), address_of(host, port)
        finally:
            await app.stop()
            web.should_exit = True
            await serving


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket."""
    try:
        # With the protocol's number, so that asyncio turns off Nagle's algorithm.
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        reason = error.strerror
        if error.errno == errno.EADDRINUSE:
            reason = "another program listens there; choose another port, or 0 for a free one"
        raise enkaku.TransportError(f"{address_of(host, port)}: {reason}") from error
    return listener


def address_of(host: str, port: int) -> str:
    """Write the URL of the page."""
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
