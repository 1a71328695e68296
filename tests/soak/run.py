"""Run of a soak: one server process and several client processes, which are killed and restarted."""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import enkaku

from .actions import warm_up
from .children import Child
from .protocol import FIGURES, Figures

__all__ = ["Plan", "Record", "soak"]

_WARM: Final = 0.45  # of the time; the server is not restarted later
_RESTARTS: Final = {0.15: "killed", 0.3: "stopped"}  # when, of the time, and how
_CLIENT_KILLS: Final = 12  # in the whole time
_STOP: Final = 0.5  # when a client is stopped, of the time;
_STOPPED: Final = 90.0  # seconds until it is continued,
_STOPPED_SHARE: Final = 0.2  # and the share of the time that it is stopped at most
_SAMPLES: Final = 60
_CLEAN_WITHIN: Final = 30.0  # seconds, the time limit for the end of the clients' calls


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of a run.

    Attributes:
        seconds: Its duration.
        connections: The number of users, each with a connection.
        clients: The number of client processes.
        think: The average pause between two actions of a user, in seconds.
        seed: The seed of the users' random choices.
    """

    seconds: float
    connections: int
    clients: int
    think: float
    seed: str

    @property
    def stopped(self) -> float:
        """For how many seconds a client is stopped."""
        return min(_STOPPED, _STOPPED_SHARE * self.seconds)


@dataclass(slots=True)
class Record:
    """The observations of a run.

    Attributes:
        first: The server's figures before the first client, after a warm-up.
        last: The server's figures after the last client; None if it did not answer.
        stopped: The reports of the stopped servers; None for each that hung or failed.
        server_memory: After the warm-up, in bytes.
        client_memory: The same of a client that is never killed.
        clients: The reports of the clients that were not killed; None for each that hung or failed.
        kills: How many processes were killed, by kind.
        errors: The standard error of all processes.
    """

    first: Figures | None = None
    last: Figures | None = None
    stopped: list[Figures | None] = field(default_factory=list)
    server_memory: list[int] = field(default_factory=list)
    client_memory: list[int] = field(default_factory=list)
    clients: list[dict[str, Any] | None] = field(default_factory=list)
    kills: dict[str, int] = field(default_factory=dict)
    errors: str = ""


async def soak(plan: Plan) -> Record:
    """Run a soak."""
    with tempfile.TemporaryDirectory(prefix="enk-") as directory:
        running = _Running(plan, Path(directory))
        async with running.processes():
            await running.disturb()
        running.record.errors = running.errors.read_text()
        return running.record


class _Running:
    def __init__(self, plan: Plan, directory: Path) -> None:
        self.record = Record()
        self.errors = directory / "errors"
        self._plan = plan
        self._path = directory / "s"
        self._random = Random(plan.seed)
        self._port = "0"
        self._clients: list[Child] = []
        self._born = 0

    @asynccontextmanager
    async def processes(self) -> AsyncGenerator[None, None]:
        """Start all processes; at the end, stop them and collect their reports."""
        self._server = await self._start_server()
        try:
            async with enkaku.connect_unix(self._path) as connection:
                await warm_up(connection)
            async with enkaku.connect_tcp("127.0.0.1", int(self._port)) as connection:
                await warm_up(connection)
            self.record.first = await self._wait_clean()
            self._clients += [await self._start_client() for _ in range(self._plan.clients)]
            yield
            finished = await asyncio.gather(*(client.finish() for client in self._clients))
            self._clients = []
            self.record.clients = [None if text is None else json.loads(text) for text in finished]
            self.record.last = await self._wait_clean()
            self.record.stopped.append(_read_figures(await self._server.finish()))
        finally:
            await asyncio.gather(*(client.kill() for client in self._clients))

    async def disturb(self) -> None:
        """Kill processes and sample their memory, each at its time."""
        start, whole = time.monotonic(), self._plan.seconds
        steps = [(at, how) for at, how in _RESTARTS.items()]
        steps += [((place + 0.5) / _CLIENT_KILLS, "client") for place in range(_CLIENT_KILLS)]
        steps += [(_STOP, "stop"), (_STOP + self._plan.stopped / whole, "wake")]
        steps += [(place / _SAMPLES, "sample") for place in range(_SAMPLES)]
        for at, what in sorted(steps):
            await asyncio.sleep(max(0.0, start + at * whole - time.monotonic()))
            match what:
                case "sample" if at >= _WARM:
                    self.record.server_memory.append(self._server.memory)
                    self.record.client_memory.append(self._clients[0].memory)
                case "client" if at < 0.95:
                    await self._replace_client()
                case "stop":
                    self._clients[0].stop()
                case "wake":
                    self._clients[0].wake()
                    self._count_kill(f"clients stopped for {self._plan.stopped:g} s")
                case "killed" | "stopped":
                    await self._restart_server(how=what)
                case _:
                    pass
        await asyncio.sleep(max(0.0, start + whole - time.monotonic()))

    async def _replace_client(self) -> None:
        place = self._random.randrange(1, len(self._clients))
        await self._clients[place].kill()
        self._clients[place] = await self._start_client()
        self._count_kill("clients killed")

    async def _restart_server(self, *, how: str) -> None:
        if how == "killed":
            await self._server.kill()
        else:
            self.record.stopped.append(_read_figures(await self._server.finish()))
        self._count_kill(f"servers {how}")
        self._server = await self._start_server()

    def _count_kill(self, what: str) -> None:
        self.record.kills[what] = self.record.kills.get(what, 0) + 1

    async def _start_server(self) -> Child:
        server = await Child.start("server", str(self._path), self._port, errors=self.errors)
        self._port = server.ready
        return server

    async def _start_client(self) -> Child:
        self._born += 1
        return await Child.start(
            *("client", str(self._path), self._port),
            *("--connections", str(self._plan.connections // self._plan.clients)),
            *("--think", str(self._plan.think)),
            *("--seed", f"{self._plan.seed}.{self._born}"),
            *(["--compare"] if self._born == 1 else []),  # it is never killed
            errors=self.errors,
        )

    async def _figures(self) -> Figures:
        async with enkaku.connect_unix(self._path) as connection:
            return await connection.request(FIGURES, None)

    async def _wait_clean(self) -> Figures:
        """Wait until the clients' calls have ended, and return the figures; after a timeout, return them as they are."""
        deadline = time.monotonic() + _CLEAN_WITHIN
        first = self.record.first
        while True:
            figures = await self._figures()
            clean = (figures.calls, figures.connections, figures.running) == (0, 1, 0)
            if first is not None:
                same = (figures.tasks, figures.descriptors) == (first.tasks, first.descriptors)
                clean = clean and same
            if clean or time.monotonic() > deadline:
                return figures
            await asyncio.sleep(0.2)


def _read_figures(text: str | None) -> Figures | None:
    return None if text is None else Figures.model_validate_json(text)
