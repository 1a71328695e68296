"""pytest plugin: fixtures that connect to a handler or serve one, and leak detection.

The fixtures ``enkaku_connect`` and ``enkaku_server`` share one ``_Keeper`` per test, an async fixture of the plugin that
runs the test: pytest-asyncio, in either mode, or anyio's. When the test ends, the keeper waits briefly for calls, handlers,
connections and tasks to end, closes what it opened, and fails the test if any were left.
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

from enkaku.client.connection import Connection, ConnectionOptions
from enkaku.server.handler import Handler
from enkaku.server.server import Server
from enkaku.testing.faults import Faults
from enkaku.testing.memory import connect_and_serve, faulty_unix

from .errors import UsageError
from .options import ServerOptions
from .serve import serve_unix

__all__ = ["Connect", "Serve", "Served"]

_ITERATIONS: Final = 100  # of the event loop, for calls that the test has just ended
_PAUSES: Final = 50  # then so many pauses, for handlers that clean up
_PAUSE: Final = 0.01  # seconds
_OWNERS: Final = {"anyio", "enkaku", "pytest_asyncio"}  # packages whose tasks are not the test's
_PASSED: Final = pytest.StashKey[bool]()


@dataclass(frozen=True, slots=True)
class Served:
    """A server that a test has started.

    Attributes:
        path: The path of its Unix socket.
        server: The server.
    """

    path: Path
    server: Server


class Connect:
    """Fixture ``enkaku_connect``: connects to a handler in this process; the connection is closed after the test."""

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
            faults: Injects faults into the connection.
            connection_options: For the client; see ``ConnectionOptions``.
            options: For the server; see ``ServerOptions``.
        """
        return await self._keeper.connect(
            connect_and_serve(handler, faults, connection_options, options)
        )


class Serve:
    """Fixture ``enkaku_server``: serves a handler at a Unix socket; the server stops after the test."""

    def __init__(self, keeper: "_Keeper") -> None:
        self._keeper = keeper

    async def __call__(
        self, handler: Handler, *, faults: Faults | None = None, **options: Unpack[ServerOptions]
    ) -> Served:
        """Serve at a new path in the temporary directory, which keeps within the length limit of socket paths.

        Args:
            handler: Serves the calls.
            faults: Injects faults into the connections.
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
                server.abort()  # without a grace period for handlers and clients: the test is over


class _Keeper:
    """Owns the connections and servers of one test, and finds what the test has left open."""

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
        """Enter a context manager, which is left after the test."""
        self._require_loop()
        connection, server = await self._stack.enter_async_context(block)
        self._connections.append(connection)
        self._servers.append(server)
        return connection

    async def serve(self, block: AbstractAsyncContextManager[Served]) -> Served:
        """Enter a context manager, which is left after the test."""
        self._require_loop()
        served = await self._stack.enter_async_context(block)
        self._servers.append(served.server)
        self._served.append(served)
        return served

    async def finish(self) -> list[str]:
        """Close everything, and return a description of each leak."""
        left = self._left()
        for pause in (*[0.0] * _ITERATIONS, *[_PAUSE] * _PAUSES):
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
                "the test and its fixtures must run in the same event loop: set one scope for both, by "
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
    """Return the package of the task's outermost coroutine."""
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
        pytest.fail(
            "Enkaku runs on asyncio only: the fixture anyio_backend must return 'asyncio'",
            pytrace=False,
        )
    yield keeper
    left = await keeper.finish()
    # A failed test usually leaves calls open: a second failure would hide the first one.
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
    # The fixture must be closed in the event loop of the plugin that runs the test.
    plugin = "anyio" if "anyio_backend" in request.fixturenames else "asyncio"
    if not request.config.pluginmanager.hasplugin(plugin):
        pytest.fail(
            f"{request.fixturename}: needs pytest-asyncio or anyio's pytest plugin; found neither",
            pytrace=False,
        )
    keeper: _Keeper = request.getfixturevalue(f"_enkaku_keeper_{plugin}")
    return keeper


@pytest.fixture
def enkaku_connect(request: pytest.FixtureRequest) -> Connect:
    """Connect to a handler in this process.

    ``connection = await enkaku_connect(handler)``: it is closed after the test, which fails if a call or task is left.
    """
    return Connect(_keeper_of(request))


@pytest.fixture
def enkaku_server(request: pytest.FixtureRequest) -> Serve:
    """Serve a handler at a Unix socket.

    ``served = await enkaku_server(handler)``; connect to ``served.path``. The server stops after the test, which fails
    if a connection, call or task is left.
    """
    return Serve(_keeper_of(request))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record whether the test itself has passed; a hook of pytest."""
    report = yield
    if call.when == "call":
        item.stash[_PASSED] = report.passed
    return report
