"""Fixtures of all tests: nothing may be left behind, and every transport is as good as another."""

import asyncio
import inspect
import os
import shutil
import signal
import ssl
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import enkaku
import pytest
import trustme
import uvloop
from hypothesis import settings
from identity.peers import ALICE, SERVER
from support import LONG, Connect, Serving, open_sockets, over_pipes, tcp_port
from webserver import serving_app

pytest_plugins = ["xdist_groups"]

_SPARE_TURNS = 200

# The event loop of all tests where ENKAKU_TEST_LOOP names it; else some tests run on each, and all others on asyncio's.
_LOOPS: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
# What asks the loop itself for sockets, and for their ends. Other modules send and receive by what these have tested;
# their tests of the fixture connect_anyhow run on each loop as well.
_ON_EACH_LOOP = {
    "test_client_certificates",
    "test_connecting",
    "test_dialing",
    "test_disconnect",
    "test_given_sockets",
    "test_resets",
    "test_stdio",
    "test_stop",
    "test_tcp",
    "test_tls",
    "test_unix_path",
    "test_websocket",
}

# A shell that starts the tests in the background has them ignore SIGINT, and whatever they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says something of the machine, and nothing of the code.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the event loops that a test runs on. Called by pytest-asyncio."""
    wanted = os.environ.get("ENKAKU_TEST_LOOP")
    if wanted is None:
        on_each = item.path.stem in _ON_EACH_LOOP or "connect_anyhow" in item.fixturenames  # type: ignore[attr-defined] # of functions
        return _LOOPS if on_each else {"asyncio": asyncio.new_event_loop}
    return {wanted: _LOOPS[wanted]}


@pytest.fixture(autouse=True)
def clean_loop(request: pytest.FixtureRequest) -> None:
    """Fail an asynchronous test that leaves a task or a socket behind, or that upsets its event loop."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("nothing_left")


@pytest.fixture
async def nothing_left() -> AsyncGenerator[None, None]:
    upset: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: upset.append(context))
    before = open_sockets()
    yield
    for _ in range(_SPARE_TURNS):  # what was closed at the very end still needs a turn or two
        if not _other_tasks() and open_sockets() <= before:
            break
        await asyncio.sleep(0)
    assert not _other_tasks(), "tasks are left"
    assert open_sockets() <= before, "sockets are left"
    assert not upset, "the event loop was given exceptions to handle"


def _other_tasks() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type] # there is one


@pytest.fixture
def socket_path() -> Generator[Path, None, None]:
    """A path that is short enough for a Unix socket."""
    directory = tempfile.mkdtemp(prefix="enk-")
    yield Path(directory) / "s"
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def _dial(request: pytest.FixtureRequest) -> Connect:
    transport: str = request.param.removesuffix(BACK).removesuffix(SIGNED)

    def connect(
        handler: enkaku.Handler, **options: Any
    ) -> AbstractAsyncContextManager[enkaku.Connection]:
        client = {"limits": options.get("limits")}
        for name in [name for name in options if name.startswith("client_")]:
            client[name.removeprefix("client_")] = options.pop(name)
        if request.param.endswith(SIGNED):
            client |= {"identity": ALICE, "audience": SERVER.did}
            options = {"identity": SERVER, "access": {"*": {ALICE.did}}} | options
        if request.param.endswith(BACK):
            return _bounded(_from_server(request, transport, handler, options, client))
        return _bounded(_over_any(request, transport, handler, options, client))

    return connect


@asynccontextmanager
async def _from_server(
    request: pytest.FixtureRequest,
    transport: str,
    handler: enkaku.Handler,
    options: dict[str, Any],
    client: dict[str, Any],
) -> AsyncGenerator[enkaku.Connection, None]:
    """Connect the other way round: a server calls its client, whose handler this is. The options change sides, too."""
    other = client.pop("handler", None) or Serving()
    if not (options.keys() <= _BOTH_SIDES and client.keys() <= _BOTH_SIDES):
        pytest.skip("the other side has no such option")
    opened: asyncio.Queue[enkaku.ConnectionInfo] = asyncio.Queue()

    @asynccontextmanager
    async def lifespan(connection: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        opened.put_nowait(connection)
        yield

    mine: dict[str, Any] = {**options, "handler": handler}
    async with _over_any(request, transport, other, client | {"lifespan": lifespan}, mine):
        yield (await opened.get()).client(lambda connection: connection)


_BOTH_SIDES = {"limits", "observers", "interceptors"}


def _over_any(
    request: pytest.FixtureRequest,
    transport: str,
    handler: enkaku.Handler,
    options: dict[str, Any],
    client: dict[str, Any],
) -> AbstractAsyncContextManager[enkaku.Connection]:
    if transport == "memory":
        return enkaku.connect_memory(handler, connection_options=client, **options)
    return _over_socket(request, transport, handler, options, client)


@asynccontextmanager
async def _bounded(
    connecting: AbstractAsyncContextManager[enkaku.Connection],
) -> AsyncGenerator[enkaku.Connection, None]:
    async with connecting as connection, asyncio.timeout(LONG):
        yield connection


@asynccontextmanager
async def _over_socket(
    request: pytest.FixtureRequest,
    transport: str,
    handler: enkaku.Handler,
    options: dict[str, Any],
    client: dict[str, Any],
) -> AsyncGenerator[enkaku.Connection, None]:
    if transport == "unix":
        path = request.getfixturevalue("socket_path")
        async with enkaku.serve_unix(handler, path, **options):
            async with enkaku.connect_unix(path, **client) as connection:
                yield connection
        return
    if transport in {"ws", "http"}:
        dial = enkaku.connect_ws if transport == "ws" else enkaku.connect_http
        async with serving_app(enkaku.asgi(handler, **options)) as port:
            async with dial(f"{transport}://127.0.0.1:{port}/", **client) as connection:
                yield connection
        return
    if transport == "pipes":
        async with over_pipes(handler, options, client) as connection:
            yield connection
        return
    host = "127.0.0.1"
    secure = transport == "tls"
    server_side = request.getfixturevalue("server_tls") if secure else None
    client_side = request.getfixturevalue("client_tls") if secure else None
    async with enkaku.serve_tcp(handler, host, ssl=server_side, **options) as server:
        async with enkaku.connect_tcp(
            host, tcp_port(server), ssl=client_side, **client
        ) as connection:
            yield connection


BACK = "-back"  # of a fixture's parameter: the calls come from the server
SIGNED = "-signed"  # client and server have identities


@pytest.fixture(params=["memory", "unix", "memory-back", "unix-back", "memory-signed"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Connect to a handler, without a socket and with one: for what calls do, whatever carries their messages."""
    return _dial(request)


_TRANSPORTS = ("memory", "unix", "tcp", "tls", "pipes", "ws", "http")


_SIGNED_HTTP = pytest.param("http" + SIGNED, marks=pytest.mark.slow)


@pytest.fixture(params=[*_TRANSPORTS, *(each + BACK for each in _TRANSPORTS), _SIGNED_HTTP])
def connect_anyhow(request: pytest.FixtureRequest) -> Connect:
    """Connect to a handler over every transport, on every event loop: for ends, and for buffers that are full.

    IPv6 is another address alone, which ``test_tcp`` serves at.
    """
    return _dial(request)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open a feed at once where the last one has ended early."""
    monkeypatch.setattr("enkaku.transports.http.client._FIRST_PAUSE", 0.0)
