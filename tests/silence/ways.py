"""Failure modes of a server: each sets up a connection, and then makes the server crash or stop responding."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

import enkaku
from enkaku.testing.memory import Faults, faulty_tcp, faulty_unix
from support import VOID, WITHIN, Serving, raw_server, turns

from .deaf import deafen, tcp_connections
from .process import Child, running
from .protocol import BLOCK, FIGURES, PING, Figures

Connecting: TypeAlias = Callable[[], AbstractAsyncContextManager[enkaku.Connection]]
ConnectingAs: TypeAlias = Callable[["Settings"], AbstractAsyncContextManager[enkaku.Connection]]
Times: TypeAlias = dict[str, float]
Doing: TypeAlias = Callable[[], Awaitable[None]]


async def nothing() -> None:
    return


async def ping(connection: enkaku.Connection) -> None:
    await connection.request(PING, None)


@dataclass
class Stage:
    """A connection's server and its failure mode.

    Attributes:
        connect: Connects with the given settings.
        strike: Makes the server fail.
        server: The possible outcomes at the server, each with its check.
        sync: Waits until the server has handled all messages.
    """

    connect: ConnectingAs
    strike: Doing
    server: dict[str, Doing]
    sync: Callable[[enkaku.Connection], Awaitable[None]] = ping


Way: TypeAlias = Callable[[Path, Times], AbstractAsyncContextManager[Stage]]
"""Makes a stage at a path, with a server with the given timeouts."""


@dataclass
class Settings:
    """Limits and timeouts of a call: the one under test is short, the others have their defaults.

    Attributes:
        connection: Options of the connection.
        stream: The timeout of a stream or channel.
        within: The timeout of closing the connection.
        connecting: The timeout of connecting.
        deadline: The deadline of the call, of any kind.
        server: Timeouts of the server.
    """

    connection: enkaku.ConnectionOptions = field(default_factory=enkaku.ConnectionOptions)
    stream: float | None = None
    within: float = 2.0
    connecting: float = 10.0
    deadline: float | None = None
    server: Times = field(default_factory=dict[str, float])


@asynccontextmanager
async def serving(path: Path, times: Times) -> AsyncGenerator[tuple[Child, int], None]:
    async with running("silence.server", str(path), json.dumps(times)) as child:
        yield child, int(await child.says())


async def figures(connect: Connecting) -> Figures:
    async with connect() as connection:
        return await connection.request(FIGURES, None)


async def lets_all_go(connect: Connecting, usual: Figures) -> None:
    """Check that the server has no other open connection or call, and that it serves a new one."""
    async with connect() as connection, asyncio.timeout(WITHIN):
        while await connection.request(FIGURES, None) != usual:
            pass


@asynccontextmanager
async def killed(path: Path, times: Times, *, tcp: bool) -> AsyncGenerator[Stage, None]:
    async with serving(path, times) as (child, port):

        async def kill() -> None:
            child.kill()
            await child.ended()

        async def replaced() -> None:
            if tcp:
                async with enkaku.serve_tcp(Serving(), port=port), dial() as connection:
                    await connection.request(VOID, None)
            else:
                async with enkaku.serve_unix(Serving(), path), dial() as connection:
                    await connection.request(VOID, None)

        dial = partial(enkaku.connect_tcp, "127.0.0.1", port) if tcp else _unix(path)
        yield Stage(
            _as_settings_say(dial),
            kill,
            {"is dead; another can take its address at once": replaced},
        )


@asynccontextmanager
async def stopped(path: Path, times: Times) -> AsyncGenerator[Stage, None]:
    async with serving(path, times) as (child, _):
        usual = await figures(_unix(path))

        async def stop() -> None:
            child.stop()

        async def wake() -> None:
            child.wake()
            await lets_all_go(_unix(path), usual)

        yield Stage(_as_settings_say(_unix(path)), stop, {_WHEN_IT_GOES_ON: wake})


@asynccontextmanager
async def blocked(path: Path, times: Times) -> AsyncGenerator[Stage, None]:
    async with serving(path, times) as (child, _), AsyncExitStack() as stack:
        usual = await figures(_unix(path))

        async def block() -> None:
            connection = await stack.enter_async_context(enkaku.connect_unix(path))
            asking = asyncio.create_task(connection.request(BLOCK, None))
            stack.callback(asking.cancel)
            assert await child.says() == "blocked"

        async def unblock() -> None:
            child.unblock()
            await stack.aclose()
            await lets_all_go(_unix(path), usual)

        yield Stage(_as_settings_say(_unix(path)), block, {_WHEN_IT_GOES_ON: unblock})


@asynccontextmanager
async def half_open(path: Path, times: Times) -> AsyncGenerator[Stage, None]:
    faults = Faults()
    async with serving(path, times), faulty_unix(path, faults) as faulty:
        usual = await figures(_unix(path))

        async def cut() -> None:
            faults.cut(told="server")

        yield Stage(
            _as_settings_say(_unix(faulty)),
            cut,
            {
                "cancels the handlers and closes the connection at once": partial(
                    lets_all_go, _unix(path), usual
                )
            },
        )
        faults.cut()


@asynccontextmanager
async def machine_gone(path: Path, times: Times) -> AsyncGenerator[Stage, None]:
    async with serving(path, times) as (_, port):
        usual = await figures(_unix(path))

        async def vanish() -> None:
            with tcp_connections() as ends:
                for end in ends:
                    deafen(end)

        yield Stage(
            _as_settings_say(partial(enkaku.connect_tcp, "127.0.0.1", port, keepalive=2)),
            vanish,
            {
                "cancels the handlers and closes the connection within the same time": partial(
                    lets_all_go, _unix(path), usual
                )
            },
        )


@asynccontextmanager
async def cut_in_a_line(path: Path, times: Times, *, reset: bool) -> AsyncGenerator[Stage, None]:
    networks: list[tuple[Faults, enkaku.Connection]] = []
    asking: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def connect(settings: Settings) -> AsyncGenerator[enkaku.Connection, None]:
        faults = Faults()
        async with (
            faulty_tcp("127.0.0.1", port, faults) as faulty,
            enkaku.connect_tcp("127.0.0.1", faulty, **settings.connection) as connection,
        ):
            networks.append((faults, connection))
            yield connection

    async def cut() -> None:
        for faults, connection in networks:
            faults.to_client.cut(after=40, reset=reset)  # the shortest reply has 70 bytes
            asking.append(asyncio.create_task(connection.request(PING, None)))

    async with serving(path, times) as (_, port):
        usual = await figures(_unix(path))
        yield Stage(
            connect,
            cut,
            {
                "cancels the handlers and closes the connection at once": partial(
                    lets_all_go, _unix(path), usual
                )
            },
        )
    ends = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(end, enkaku.ConnectionLost) for end in ends)


@asynccontextmanager
async def answers_others(path: Path, times: Times) -> AsyncGenerator[Stage, None]:
    async with serving(path, times):
        usual = await figures(_unix(path))
        yield Stage(
            _as_settings_say(_unix(path)),
            nothing,
            {"cancels the handler": partial(lets_all_go, _unix(path), usual)},
        )


@asynccontextmanager
async def stopping(path: Path, times: Times) -> AsyncGenerator[Stage, None]:
    async with serving(path, times) as (child, _):

        async def terminate() -> None:
            child.terminate()

        async def ended() -> None:
            assert await child.ended() == 0

        yield Stage(
            _as_settings_say(_unix(path)), terminate, {"cancels the handler and exits": ended}
        )


@asynccontextmanager
async def never_answers(
    path: Path, times: Times, *, says: bytes = b""
) -> AsyncGenerator[Stage, None]:
    async with raw_server(path) as server:

        async def speak() -> None:
            if says:
                for _ in range(len(connections)):
                    (await server.accept()).send_bytes(says)

        connections: list[enkaku.Connection] = []

        @asynccontextmanager
        async def connect(settings: Settings) -> AsyncGenerator[enkaku.Connection, None]:
            async with _as_settings_say(_unix(path))(settings) as connection:
                connections.append(connection)
                yield connection

        yield Stage(connect, speak, {"is not an Enkaku server": nothing}, lambda _: turns())


def _unix(path: Path) -> Callable[..., AbstractAsyncContextManager[enkaku.Connection]]:
    return partial(enkaku.connect_unix, path)


def _as_settings_say(
    dial: Callable[..., AbstractAsyncContextManager[enkaku.Connection]],
) -> ConnectingAs:
    return lambda settings: dial(connect_timeout=settings.connecting, **settings.connection)


_WHEN_IT_GOES_ON = "cancels the handlers and closes the connection when its event loop runs again"

_GARBAGE = b'garbage\n\n[]\n42\nnull\n{"payload":{"typ":"result"}}\n\xff\xfe\n'

WAYS: dict[str, list[Way]] = {
    "The server's process is killed": [partial(killed, tcp=False), partial(killed, tcp=True)],
    "The server's event loop is blocked": [stopped, blocked],
    "The connection is half open": [half_open],
    "The server's machine is gone": [machine_gone],
    "The connection ends in the middle of a message": [
        partial(cut_in_a_line, reset=False),
        partial(cut_in_a_line, reset=True),
    ],
    "The server does not answer one call": [answers_others],
    "The server stops": [stopping],
    "The server never answers": [never_answers],
    "The server sends invalid messages": [partial(never_answers, says=_GARBAGE)],
    "The server sends an endless line": [partial(never_answers, says=b"x" * 100_000)],
}
