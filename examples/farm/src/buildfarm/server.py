"""The farm's server: clients submit, watch and cancel builds, and the server calls its workers to run them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import enkaku

from .protocol import FarmCallbacksClient, FarmHandler, Job, Progress, State, UnknownBuild
from .store import Store

WORK = enkaku.StateKey[list[asyncio.Task[None]]]("work")
"""The tasks that give jobs to the worker at a connection."""


class Build:
    """A build and its log."""

    def __init__(self, job: Job, state: State) -> None:
        self.job = job
        self.state: State = state
        self.call: enkaku.ClientStream[Progress, bool] | None = None  # to the worker that runs it
        self._log: list[Progress] = []
        self._changed = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in {"waiting", "running"}

    def report(self, progress: Progress) -> None:
        """Add a line to the log."""
        self._log.append(progress)
        self._wake()

    def become(self, state: State) -> None:
        """Change the state."""
        self.state = state
        self._wake()

    async def follow(self) -> AsyncIterator[Progress]:
        """Iterate over all lines of the log, until the build has ended."""
        position = 0
        while True:
            while position < len(self._log):
                yield self._log[position]
                position += 1
            if self.ended:
                return
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Farm(FarmHandler):
    """Serves clients and workers. ``async with`` it around its server: the block owns its tasks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._builds = {job.build: Build(job, state) for job, state in store.all()}
        self._waiting = asyncio.PriorityQueue[int]()  # oldest first, also one that was interrupted
        for number, build in self._builds.items():
            if not build.ended:
                self._waiting.put_nowait(number)
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._tasks.__aexit__(kind, error, traceback)  # the tasks end with their connections

    async def build_submit(self, param: list[str]) -> int:
        """Store a build before its number is sent: so it survives the farm."""
        job = self._store.add(param)
        self._builds[job.build] = Build(job, "waiting")
        self._waiting.put_nowait(job.build)
        return job.build

    async def build_watch(self, param: int, stream: enkaku.ServerStream[Progress]) -> State:
        """Send the log, as fast as the client reads it."""
        build = self._find(param)
        async with stream.until_closed():  # left when the client closes, or the server stops
            async for progress in build.follow():
                await stream.send(progress)
        return build.state

    async def build_cancel(self, param: int) -> State:
        """Cancel a build. Aborting its call cancels the worker's handler."""
        build = self._find(param)
        self._end(build, "cancelled")
        if build.call is not None:
            build.call.abort()
        return build.state

    async def worker_join(self, param: str) -> None:
        """Give jobs to the client that calls, as long as it is connected."""
        connection = enkaku.current_call().connection
        worker = connection.client(FarmCallbacksClient)
        connection.state[WORK].append(self._tasks.create_task(self._employ(param, worker)))

    @asynccontextmanager
    async def lifespan(self, connection: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        """Forget a worker when its connection has ended."""
        connection.state[WORK] = []
        yield
        for task in connection.state[WORK]:
            task.cancel()

    async def _employ(self, name: str, worker: FarmCallbacksClient) -> None:
        """Give one build after the other to a worker."""
        while True:
            build = self._builds[await self._waiting.get()]
            if build.ended:  # cancelled while it waited
                continue
            build.become("running")
            try:
                await self._run(build, worker)
            except enkaku.CallClosed:  # cancelled: the call was aborted
                continue
            except enkaku.EnkakuError as error:
                build.report(Progress(worker=name, step=0, line=str(error)))
                if isinstance(error, enkaku.CallError) and error.code != "EKP01":
                    self._end(build, "failed")  # the worker's handler has failed
                    continue
                return  # the worker is lost or stops, has no handler, or sends invalid items
            finally:
                build.call = None
                if not build.ended:  # another worker does it
                    build.become("waiting")
                    self._waiting.put_nowait(build.job.build)

    async def _run(self, build: Build, worker: FarmCallbacksClient) -> None:
        async with worker.job_run(build.job) as build.call:
            if build.ended:  # cancelled while the call was opened: leaving the block aborts it
                return
            async for progress in build.call:
                build.report(progress)
            self._end(build, "passed" if await build.call.result() else "failed")

    def _end(self, build: Build, state: State) -> None:
        if not build.ended:
            self._store.end(build.job.build, state)
            build.become(state)

    def _find(self, number: int) -> Build:
        if number not in self._builds:
            raise UnknownBuild(f"there is no build {number}")
        return self._builds[number]


async def serve(path: Path, database: Path) -> None:
    """Serve the farm at a Unix socket until SIGTERM or Ctrl-C."""
    store = Store(database)
    try:
        async with (
            Farm(store) as farm,
            enkaku.serve_unix(farm, path, lifespan=farm.lifespan) as server,
        ):
            print("listening at", *server.addresses, flush=True)
            await server.serve_forever(grace=2)
    finally:
        store.close()
