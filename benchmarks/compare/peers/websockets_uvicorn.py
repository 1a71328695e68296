"""The peer ``websockets-tcp`` with another server: code by hand as an ASGI app in uvicorn, which shows what uvicorn takes."""

# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# (its imports are installed in another environment)

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from websockets.asyncio.client import connect as connect_to

from compare.peers.by_hand import ASK, Answer, Calls, answer_one
from compare.peers.uvicorn_server import address_of, serve_app
from compare.peers.websockets import open_calls

REQUIREMENTS: Final = ("uvicorn==0.54.0", "httptools==0.9.0", "websockets==17.4")


async def _app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 # of ASGI
    async def answer(answer: Answer) -> None:
        await send({"type": "websocket.send", "text": answer.model_dump_json()})

    if scope["type"] != "websocket":
        raise ValueError(scope["type"])
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    async with asyncio.TaskGroup() as tasks:
        while (event := await receive())["type"] == "websocket.receive":
            await answer_one(ASK.validate_json(event["text"]), answer, tasks)


async def serve(path: str, ready: Callable[[], None]) -> None:
    """Serve until cancelled."""
    await serve_app(_app, path, ready)


@asynccontextmanager
async def connect(path: str) -> AsyncGenerator[Calls, None]:
    """Connect."""
    url = f"ws://{address_of(path)}/"
    async with connect_to(url, compression=None) as socket, open_calls(socket) as calls:
        yield calls
