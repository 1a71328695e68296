"""What the tests of the server over HTTP have in common."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import enkaku
from rawhttp import Response, Site, message, site
from support import Serving
from webserver import serving_app


async def double(number: int) -> int:
    return 2 * number


async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
    for item in range(number):
        await stream.send(item)
    return number


async def talk(param: int, channel: enkaku.ServerChannel[int, int]) -> int:
    count = 0
    async for item in channel:
        await channel.send(item * param)
        count += 1
    return count


@asynccontextmanager
async def serving(
    handler: enkaku.Handler | None = None, **options: Any
) -> AsyncGenerator[tuple[enkaku.AsgiApp, Site], None]:
    app = enkaku.asgi(handler or Serving(ask=double, watch=watch, talk=talk), **options)
    async with serving_app(app) as port, site(port) as made:
        yield app, made


def connections(app: enkaku.AsgiApp) -> int:
    assert app.server is not None
    return len(app.server.connections)


def error(response: Response) -> tuple[int, str]:
    return response.status, response.json["error"]


ASK = message(typ="request", rid="1", prc="ask", prm=4)


async def echo(text: str) -> str:
    return text
