"""An ASGI app that serves a handler over HTTP and WebSockets: mounted in any framework, run by any ASGI server."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal, Unpack, cast

from enkaku._checks import require_instances, require_list, require_loop, require_text
from enkaku.errors import UsageError
from enkaku.server.handler import Handler, routes_of
from enkaku.server.server import Server
from enkaku.transports.asgi import AsgiReceive, AsgiSend, Scope, peer_of
from enkaku.transports.http.origins import Access
from enkaku.transports.request import HttpRequest
from enkaku.transports.websocket.asgi import AsgiFrames
from enkaku.transports.websocket.transport import (
    GOING_AWAY,
    SUBPROTOCOL,
    WebSocketTransport,
)

from .both_ways import make_server
from .http_app import HttpApp
from .options import ServerOptions, check_server
from .preparation import prepare_large
from .web.files import SCRIPTS

__all__ = ["PROOF_HEADERS", "AsgiApp", "asgi"]

PROOF_HEADERS: Final = ("authorization",)
"""The headers that authenticators may read by default."""

_RESPONSE: Final = (
    "websocket.http.response"  # an extension of ASGI: a response in place of the handshake
)


class AsgiApp:
    """An ASGI 3.0 app; made by ``asgi``.

    Args:
        handler: Serves the calls of every connection.
        origins: See ``asgi``.
        hosts: See ``asgi``.
        script: See ``asgi``.
        proof_headers: See ``asgi``.
        options: See ``ServerOptions``.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        origins: Sequence[str] | Literal["*", "same"] | None = (),
        hosts: Sequence[str] | None = None,
        script: bool = False,
        proof_headers: Collection[str] = PROOF_HEADERS,
        **options: Unpack[ServerOptions],
    ) -> None:
        require_instances("handler", [handler], Handler)
        check_server(options)
        routes_of(handler)
        self._handler: Final = handler
        self._access: Final = Access(origins, hosts)
        self._proof_headers: Final = _lower_names(proof_headers)
        if origins == "*" and "cookie" in self._proof_headers:
            raise UsageError(
                "proof_headers: with origins='*', every page could call with the cookies of its visitor; name the origins"
            )
        self._scripts: Final = {each.name: each.read_bytes() for each in SCRIPTS if script}
        self._options: Final = options
        self._server: Server | None = None
        self._http: HttpApp | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._prepared: asyncio.Task[None] | None = None

    @property
    def server(self) -> Server | None:
        """The server, with its connections; None before the first event."""
        return self._server

    async def __call__(self, scope: Scope, receive: AsgiReceive, send: AsgiSend) -> None:
        """Serve one connection, or the lifespan. Called by the ASGI server."""
        kind = scope["type"]
        if kind == "websocket":
            frames = AsgiFrames(receive, send)
            transport = await self._accept(scope, receive, send, frames)
            if transport is not None:
                try:
                    await transport.run()
                finally:
                    await frames.end()
        elif kind == "lifespan":
            await self._live(receive, send)
        elif kind == "http":
            await self._ready()
            assert self._http is not None  # noqa: S101 # made with the server
            feed = await self._http.answer(scope, receive, send)
            if feed is not None:
                await feed.run(send)
        else:
            raise UsageError(f"the ASGI scope {kind!r} is not supported")

    async def start(self) -> Server:
        """Return the server, made for the running event loop; large types are built before. ASGI's lifespan does that."""
        return await self._ready()

    async def stop(self, *, grace: float = 10.0) -> None:
        """Take no new connections and calls, let running handlers finish, answer every call, then end all connections.

        A server that is stopped by a signal closes WebSockets, and waits for HTTP responses to end, before it tells the
        app. So call this before, while it still serves; see docs/web.md.

        Args:
            grace: How long running handlers may go on, in seconds.
        """
        if self._server is not None:
            require_loop(cast(asyncio.AbstractEventLoop, self._loop), "the app")
            await self._server.stop(grace=grace)

    async def _ready(self) -> Server:
        loop = asyncio.get_running_loop()
        if self._server is None or self._loop is not loop:
            self._server, self._loop = make_server(self._handler, self._options), loop
            self._http = HttpApp(self._server, self._access, self._scripts, self._proof_headers)
            self._prepared = loop.create_task(prepare_large(self._handler))
        if self._prepared is not None and not self._prepared.done():
            await asyncio.shield(self._prepared)
        if self._server.health.state == "starting":
            self._server.health.started()
        return self._server

    async def _live(self, receive: AsgiReceive, send: AsgiSend) -> None:
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                await self._ready()
                await send({"type": "lifespan.startup.complete"})
            elif event["type"] == "lifespan.shutdown":
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _accept(
        self, scope: Scope, receive: AsgiReceive, send: AsgiSend, frames: AsgiFrames
    ) -> WebSocketTransport | None:
        """Return the transport of a WebSocket, which the caller runs; None if it is rejected."""
        server = await self._ready()
        await receive()  # websocket.connect
        if server.stopping and _RESPONSE in cast(
            Mapping[str, object], scope.get("extensions") or {}
        ):
            headers = [(b"retry-after", b"1")]
            await send({"type": f"{_RESPONSE}.start", "status": 503, "headers": headers})
            await send({"type": f"{_RESPONSE}.body", "body": b""})
            return None
        if SUBPROTOCOL not in cast(
            Sequence[str], scope.get("subprotocols", ())
        ) or not self._allows(scope):
            await send({"type": "websocket.close", "code": 1008})  # before the handshake: HTTP 403
            return None
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
        transport = WebSocketTransport(
            frames,
            peer=peer_of(scope, "ws"),
            end_code=GOING_AWAY,
            request=HttpRequest(scope, self._proof_headers),
            hosted=True,
        )
        server.connected(transport)
        return transport

    def _allows(self, scope: Scope) -> bool:
        """Return whether a client may connect: by its host name, and by its origin if it is a web page."""
        headers = dict(cast(Sequence[tuple[bytes, bytes]], scope.get("headers", ())))
        host = headers.get(b"host")
        secure = scope.get("scheme") == "wss"
        return self._access.allows_host(host) and self._access.allows_origin(
            headers.get(b"origin"), host, secure=secure
        )


def asgi(
    handler: Handler,
    *,
    origins: Sequence[str] | Literal["*", "same"] | None = (),
    hosts: Sequence[str] | None = None,
    script: bool = False,
    proof_headers: Collection[str] = PROOF_HEADERS,
    **options: Unpack[ServerOptions],
) -> AsgiApp:
    """Return an ASGI app that serves a handler over WebSockets (``connect_ws``) and HTTP (``connect_http``), at any path.

    Run it by an ASGI server (``uvicorn module:app``), or mount it in a framework (``app.mount("/rpc", enkaku.asgi(...))``).

    Args:
        handler: Serves the calls of every connection.
        origins: The origins of web pages that may connect, such as ``"https://example.com"``; ``"same"`` is that of the
            app's own host, ``"*"`` any. None by default. Clients that are no browsers are not restricted.
        hosts: The host names by which clients may reach the app, such as ``"example.com"`` for any port, or
            ``"localhost:8000"``; None is any. It protects an app of this machine against pages of other names that point to
            it (DNS rebinding).
        script: Whether a GET of ``/enkaku.js``, ``/login.js`` or ``/callbacks.js``, below the app's mount, returns that module of
            the runtime of clients in a browser.
        proof_headers: The headers of a request that may prove who calls, as ``Proof.headers`` of authenticators has them; by
            default ``"authorization"``. Name a header that a proxy sets only if the proxy removes it from what clients send.
        options: See ``ServerOptions``.

    Raises:
        UsageError: The handler, ``origins``, ``hosts``, ``proof_headers`` or an option is not valid.
    """
    return AsgiApp(
        handler,
        origins=origins,
        hosts=hosts,
        script=script,
        proof_headers=proof_headers,
        **options,
    )


def _lower_names(names: Collection[str]) -> frozenset[str]:
    require_list("proof_headers", names)
    for name in names:
        require_text("proof_headers: a name", name)
    return frozenset(name.lower() for name in names)
