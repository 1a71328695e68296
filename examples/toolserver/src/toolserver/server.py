"""The server's side: the tools, and the handler that runs them."""

import asyncio
import os
import shlex
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import enkaku

from .protocol import (
    Denied,
    Progress,
    Tool,
    ToolRunParam,
    ToolsCallbacksClient,
    ToolsHandler,
    UnknownTool,
)

Stream: TypeAlias = enkaku.ServerStream[Progress]
Run: TypeAlias = Callable[[list[str], Stream, ToolsCallbacksClient], Awaitable[str]]

PATIENCE = 60.0
"""Seconds in which the user may answer; no answer is a no."""


class Tools(ToolsHandler):
    """Lists tools, and runs them."""

    async def tool_list(self) -> list[Tool]:
        """Describe each tool by the docstring of its function."""
        return [Tool(name=name, description=run.__doc__ or "") for name, run in TOOLS.items()]

    async def tool_run(self, param: ToolRunParam, stream: Stream) -> str:
        """Run a tool, with a client that calls the program that has called this one."""
        run = TOOLS.get(param.tool)
        if run is None:
            raise UnknownTool(f"there is no tool {param.tool!r}")
        return await run(
            param.arguments, stream, enkaku.current_call().connection.client(ToolsCallbacksClient)
        )


async def count(arguments: list[str], stream: Stream, client: ToolsCallbacksClient) -> str:
    """Count the words of files."""
    words = 0
    for done, path in enumerate(arguments):
        await stream.send(Progress(done=done, total=len(arguments), note=path))
        words += len((await client.file_read(path)).split())
    return f"{words} words"


async def run(arguments: list[str], stream: Stream, client: ToolsCallbacksClient) -> str:
    """Run a command, if the user permits it."""
    command = shlex.join(arguments)
    await stream.send(Progress(done=0, total=2, note="asking"))
    try:
        permitted = await client.permission_ask(f"run the command: {command}", timeout=PATIENCE)
    except enkaku.DeadlineExceeded:  # the question is cancelled at the client, too
        permitted = False
    if not permitted:
        raise Denied(f"not permitted: {command}")
    await stream.send(Progress(done=1, total=2, note="running"))
    process = await asyncio.create_subprocess_exec(
        *arguments, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, start_new_session=True
    )
    try:
        output, _ = await process.communicate()
    finally:
        if (
            process.returncode is None
        ):  # cancelled, since the client has aborted the call or is gone
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return output.decode(errors="replace")


TOOLS: dict[str, Run] = {"count": count, "run": run}
