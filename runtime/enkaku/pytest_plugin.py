"""A pytest plugin: connects to a handler, or serves one, and fails a test that leaves something behind.

It works with pytest-asyncio, in either mode, and with anyio's plugin.
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Unpack

import pytest

from enkaku.client.connection import Connection
from enkaku.server.handler import Handler
from enkaku.server.server import Server
from enkaku.testing.faults import Faults
from enkaku.testing.memory import connect_and_serve, faulty_unix

from .errors import UsageError
from .options import ConnectionOptions, ServerOptions
from .serve import serve_unix

__all__ = ["Connect", "Serve", "Served"]

_TURNS: Final = 100  # of the event loop, in which what a test has just ended may really end
_WAITS: Final = 50  # then so many times
_PAUSE: Final = 0.01  # seconds; a handler may clean up that long
_OWNERS: Final = {"anyio", "enkaku", "pytest_asyncio"}  # whose tasks are not the test's
_PASSED: Final = pytest.StashKey[bool]()


@dataclass(frozen=True, slots=True)
class Served:
    """A server that a test has started.

    Attributes:
        path: The Unix socket to connect to.
        server: What serves there.
    """

    path: Path
    server: Server


class Connect:
    """The fixture ``enkaku_connect``: connects to a handler in this process; the connection ends with the test."""

    def __init__(self, keeper: "_Keeper") -> None:
        self._keeper = keeper

    async def __call__(
        self,
        handler: Handler,
        *,
        faults: Faults | None = None,
        connection_options: ConnectionOptions | None = None,
        **options: Unpack[ServerOptions],
    ) -> Connection:
        """Connect, as ``enkaku.connect_memory`` does.

        Args:
            handler: Serves the calls.
            faults: Disturbs the connection.
            connection_options: For the client's side.
            options: For the server's side.
        """
        return await self._keeper.connect(
            connect_and_serve(handler, faults, connection_options, options)
        )


class Serve:
    """The fixture ``enkaku_server``: serves a handler at a Unix socket; the server stops with the test."""

    def __init__(self, keeper: "_Keeper") -> None:
        self._keeper = keeper

    async def __call__(
        self, handler: Handler, *, faults: Faults | None = None, **options: Unpack[ServerOptions]
    ) -> Served:
        """Serve at a new path, which is short enough wherever the tests are.

        Args:
            handler: Serves the calls.
            faults: Disturbs the connections.
            options: See ``ServerOptions``.
        """
        return await self._keeper.serve(_serve(handler, faults, options))


@asynccontextmanager
async def _serve(
    handler: Handler, faults: Faults | None, options: ServerOptions
) -> AsyncGenerator[Served, None]:
    with tempfile.TemporaryDirectory(prefix="enk-") as directory:
        path = Path(directory, "s")
        async with serve_unix(handler, path, **options) as server:
            try:
                if faults is None:
                    yield Served(path, server)
                else:
                    async with faulty_unix(path, faults) as faulty:
                        yield Served(faulty, server)
            finally:
                server.abort()  # at the end of a test nobody waits for a handler, or for a client


class _Keeper:
    """What a test has made with the fixtures, and what it leaves."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._before = asyncio.all_tasks()
        self._stack = AsyncExitStack()
        self._connections: list[Connection] = []
        self._servers: list[Server] = []
        self._served: list[Served] = []

    async def connect(
        self, block: AbstractAsyncContextManager[tuple[Connection, Server]]
    ) -> Connection:
        """Enter a block, which is left when the test is over."""
        self._require_loop()
        connection, server = await self._stack.enter_async_context(block)
        self._connections.append(connection)
        self._servers.append(server)
        return connection

    async def serve(self, block: AbstractAsyncContextManager[Served]) -> Served:
        """Enter a block, which is left when the test is over."""
        self._require_loop()
        served = await self._stack.enter_async_context(block)
        self._servers.append(served.server)
        self._served.append(served)
        return served

    async def finish(self) -> list[str]:
        """End everything, and return what was left, in words."""
        left = self._left()
        for pause in (*[0.0] * _TURNS, *[_PAUSE] * _WAITS):
            if not left:
                break
            await asyncio.sleep(pause)
            left = self._left()
        await self._stack.aclose()
        own = (task for task in self._tasks() if _owner(task) == "enkaku")
        return left or [_describe_task(task) for task in own]

    def _require_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise UsageError(
                "this test runs in another event loop than its fixtures: give both the same scope, by "
                "asyncio_default_fixture_loop_scope in pytest's settings and loop_scope= in the test's mark"
            )

    def _left(self) -> list[str]:
        left = [
            f"an open call of the client: {call.kind} {call.procedure.name}"
            for connection in self._connections
            for call in connection.calls
        ]
        left += [
            f"a running handler: {call.kind} {call.procedure.name}"
            for server in self._servers
            for connection in server.connections
            for call in connection.calls
        ]
        left += [
            f"an open connection: {connection.peer}"
            for served in self._served
            for connection in served.server.connections
        ]
        others = (task for task in self._tasks() if _owner(task) not in _OWNERS)
        return left + [_describe_task(task) for task in others]

    def _tasks(self) -> set[asyncio.Task[object]]:
        tasks = asyncio.all_tasks() - self._before
        return {task for task in tasks if task is not asyncio.current_task()}


def _owner(task: asyncio.Task[object]) -> str:
    """The package whose code the task runs, outermost."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    module: str = "" if frame is None else frame.f_globals.get("__name__", "")
    return module.partition(".")[0]


def _describe_task(task: asyncio.Task[object]) -> str:
    frames = task.get_stack(limit=1)
    where = ""
    if frames:
        path, line = Path(frames[-1].f_code.co_filename), frames[-1].f_lineno
        where = f" at {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}:{line}"
    name = getattr(task.get_coro(), "__qualname__", "?")
    return f"a running task: {name} ({task.get_name()}){where}"


@asynccontextmanager
async def _keeping(request: pytest.FixtureRequest) -> AsyncGenerator[_Keeper, None]:
    try:
        keeper = _Keeper()
    except RuntimeError:
        pytest.fail("Enkaku runs on asyncio: have anyio_backend return 'asyncio'", pytrace=False)
    yield keeper
    left = await keeper.finish()
    # After a failure, what is left is its consequence, and would only hide it.
    if left and request.node.stash.get(_PASSED, False):
        pytest.fail(
            "the test has left behind:\n" + "\n".join(f"- {each}" for each in left), pytrace=False
        )


@pytest.fixture
async def _enkaku_keeper_anyio(request: pytest.FixtureRequest) -> AsyncGenerator[_Keeper, None]:
    async with _keeping(request) as keeper:
        yield keeper


if find_spec("pytest_asyncio") is not None:
    import pytest_asyncio

    @pytest_asyncio.fixture
    async def _enkaku_keeper_asyncio(
        request: pytest.FixtureRequest,
    ) -> AsyncGenerator[_Keeper, None]:
        async with _keeping(request) as keeper:
            yield keeper


def _keeper_of(request: pytest.FixtureRequest) -> _Keeper:
    # Which plugin runs the test decides in whose event loop the fixtures end.
    plugin = "anyio" if "anyio_backend" in request.fixturenames else "asyncio"
    if not request.config.pluginmanager.hasplugin(plugin):
        pytest.fail("this fixture needs pytest-asyncio, or anyio's plugin", pytrace=False)
    keeper: _Keeper = request.getfixturevalue(f"_enkaku_keeper_{plugin}")
    return keeper


@pytest.fixture
def enkaku_connect(request: pytest.FixtureRequest) -> Connect:
    """Connect to a handler in this process.

    ``connection = await enkaku_connect(handler)``: it ends with the test, which fails if it leaves a call or a task.
    """
    return Connect(_keeper_of(request))


@pytest.fixture
def enkaku_server(request: pytest.FixtureRequest) -> Serve:
    """Serve a handler at a Unix socket.

    ``served = await enkaku_server(handler)``; connect to ``served.path``. The server stops with the test, which fails
    if it leaves a connection, a call or a task.
    """
    return Serve(_keeper_of(request))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether the test itself has passed. Part of pytest's interface."""
    report = yield
    if call.when == "call":
        item.stash[_PASSED] = report.passed
    return report
