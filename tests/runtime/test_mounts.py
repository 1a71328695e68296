"""The ASGI app in frameworks: mounted at any path, beside other routes, with and without the framework's lifespan."""

from collections.abc import Callable
from typing import Any

import enkaku
import pytest
from fastapi import FastAPI
from litestar import Litestar, get
from litestar.handlers import asgi as litestar_asgi
from rawhttp import Response, site
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from support import ASK, WATCH, Serving
from webserver import serving_app


async def double(number: int) -> int:
    return 2 * number


async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
    for item in range(number):
        await stream.send(item)
    return number


async def home(_: object) -> PlainTextResponse:
    return PlainTextResponse("home")


def in_starlette(app: enkaku.AsgiApp) -> Any:
    return Starlette(routes=[Route("/", home), Mount("/api/rpc", app=app)])


def in_fastapi(app: enkaku.AsgiApp) -> Any:
    framework = FastAPI()

    @framework.get("/")
    async def root() -> str:
        return "home"

    framework.mount("/api/rpc", app)
    return framework


def in_litestar(app: enkaku.AsgiApp) -> Any:
    @get("/")
    async def root() -> str:
        return "home"

    @litestar_asgi("/api/rpc", is_mount=True, copy_scope=True)
    async def rpc(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return Litestar([root, rpc])


def with_lifespan_of_framework(app: enkaku.AsgiApp) -> Any:
    """Pass the lifespan to the app, as a server does that runs it alone."""

    async def framework(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return framework


@pytest.mark.parametrize(
    "framework", [in_starlette, in_fastapi, in_litestar, with_lifespan_of_framework]
)
@pytest.mark.parametrize("path", ["/api/rpc/", "/api/rpc/deeper"])
async def test_app_mounted_in_framework_serves_every_way_in(
    framework: Callable[[enkaku.AsgiApp], Any], path: str
) -> None:
    app = enkaku.asgi(Serving(ask=double, watch=watch))
    async with serving_app(framework(app)) as port:
        for connecting in (
            enkaku.connect_http(f"http://127.0.0.1:{port}{path}"),
            enkaku.connect_ws(f"ws://127.0.0.1:{port}{path}"),
        ):
            async with connecting as connection:
                assert await connection.request(ASK, 4) == 8
                async with connection.stream(WATCH, 2) as stream:
                    assert [item async for item in stream] == [0, 1]
        async with site(port) as made:
            response: Response = await made.post(b"", "GET")
            assert b"home" in response.body or framework is with_lifespan_of_framework


@pytest.mark.parametrize("framework", [in_starlette, in_fastapi])
async def test_redirect_of_framework_is_named(
    framework: Callable[[enkaku.AsgiApp], Any],
) -> None:
    async with serving_app(framework(enkaku.asgi(Serving(ask=double)))) as port:
        with pytest.raises(enkaku.ConnectFailed, match=r"redirects to '.*/api/rpc/': connect to"):
            async with enkaku.connect_http(f"http://127.0.0.1:{port}/api/rpc"):
                pass
