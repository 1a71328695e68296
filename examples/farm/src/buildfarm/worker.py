"""A worker: connects to the farm, which calls it to run the commands of builds."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import enkaku

from .protocol import FarmCallbacksHandler, FarmClient, Job, Progress


class Worker(FarmCallbacksHandler):
    """Serves the calls of the farm."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def job_run(self, param: Job, stream: enkaku.ServerStream[Progress]) -> bool:
        """Run commands and send what they print. If the farm aborts the call or is lost, this task is cancelled."""

        async def report(step: int, line: str) -> None:
            await stream.send(Progress(worker=self._name, step=step, line=line))

        for step, command in enumerate(param.commands, 1):
            await report(step, f"$ {command}")
            async with running(command) as process:
                async for line in lines_of(process):
                    await report(step, line)
                status = await process.wait()
            if status != 0:
                await report(step, f"exit status {status}")
                return False
        return True


@asynccontextmanager
async def running(command: str) -> AsyncGenerator[asyncio.subprocess.Process, None]:
    """Run a command; kill it, and what it has started, if it outlives the block."""
    process = await asyncio.create_subprocess_shell(
        command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def lines_of(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    """Iterate over the lines that a process prints, until it closes its output."""
    if process.stdout is not None:
        async for line in process.stdout:
            yield line.decode(errors="replace").rstrip("\n")


async def work(address: str, name: str) -> None:
    """Work for a farm, and connect again whenever the connection is lost."""

    @asynccontextmanager
    async def joined(connection: enkaku.Connection) -> AsyncGenerator[None, None]:
        await FarmClient(connection).worker_join(name)
        print(f"{name} has joined {connection.peer}", flush=True)
        yield

    async with enkaku.connect(
        address, handler=Worker(name), reconnect=enkaku.Reconnect(longest=5), lifespan=joined
    ) as connection:
        async for state in connection.states():
            if state != "open":
                print("the connection is", state, flush=True)
