"""A web site for tests in a browser: a blank page, the files of the tests, and an app below ``/rpc/``.

As a program, it serves at the port of its first argument, until it is killed.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import enkaku
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from support import WITHIN
from web.handler import handler
from webserver import serving_app

__all__ = ["running", "site", "website"]

_TESTS: Final = Path(__file__).parents[1]
_BLANK: Final = Path(__file__).with_name("blank.html")


async def _blank(_: Request) -> Response:
    return Response(_BLANK.read_bytes(), media_type="text/html")


async def _file(request: Request) -> Response:
    path = _TESTS / request.path_params["path"]
    if path.suffix != ".mjs" or ".." in path.parts:
        raise HTTPException(404)
    return Response(path.read_bytes(), media_type="text/javascript")


def website(rpc: Any) -> Starlette:
    """Return the site with an ASGI app below ``/rpc/``."""
    routes = [Route("/", _blank), Route("/tests/{path:path}", _file), Mount("/rpc", rpc)]
    return Starlette(routes=routes)


@asynccontextmanager
async def site(serving: enkaku.Handler | None = None, **options: Any) -> AsyncGenerator[str, None]:
    """Serve the site with a handler, in this process; return its origin."""
    options = {"origins": "same", "script": True} | options
    rpc = enkaku.asgi(serving or handler(), **options)
    async with serving_app(website(rpc)) as port:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            await rpc.stop(grace=0)  # the server would wait for feeds


@asynccontextmanager
async def running(*arguments: str | Path) -> AsyncGenerator[asyncio.subprocess.Process, None]:
    """Run a Python program, from its first line of output on; the block kills it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=_TESTS,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(WITHIN):
            assert await process.stdout.readline()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def main(port: int) -> None:
    """Serve at a port until the process is killed."""
    rpc = enkaku.asgi(handler(), origins="same", script=True)
    async with serving_app(website(rpc), port=port) as opened:
        print(opened, flush=True)  # noqa: T201 # for the test that has started it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
