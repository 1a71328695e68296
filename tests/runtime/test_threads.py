"""Event loops in threads of one process know nothing of each other."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import enkaku
import pytest
from support import ASK, ECHO, LONG, WITHIN, Connect, Serving


async def same(text: str) -> str:
    return text


class Loops:
    """Runs things, each in a thread and an event loop of its own."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def run(self, what: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(LONG):
                await what()

        def main() -> None:
            try:
                asyncio.run(bounded(), debug=True)
            except BaseException as error:  # noqa: BLE001 # it is raised in the main thread
                self._errors.append(error)

        thread = threading.Thread(target=main)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(LONG + 5)
            assert not thread.is_alive()
        for error in self._errors:
            raise error


class Serve:
    """A server in a thread: says where it is, and stops when it is told."""

    def __init__(self, path: Path | None) -> None:
        self.port = 0
        self.open = threading.Event()
        self.enough = threading.Event()
        self._path = path

    async def __call__(self) -> None:
        handler = Serving(echo=same)
        over = (
            enkaku.serve_tcp(handler)
            if self._path is None
            else enkaku.serve_unix(handler, self._path)
        )
        async with over as server:
            if self._path is None:
                self.port = server.port
            self.open.set()
            await asyncio.to_thread(self.enough.wait, LONG)


async def use(server: Serve, path: Path | None) -> None:
    over = enkaku.connect_unix(path) if path else enkaku.connect_tcp("127.0.0.1", server.port)
    async with over as connection:
        texts = [str(number) * number for number in range(200)]
        assert [await connection.request(ECHO, text) for text in texts] == texts


@pytest.mark.parametrize("tcp", [False, True])
def test_server_and_clients_in_own_threads_interoperate(socket_path: Path, tcp: bool) -> None:
    path = None if tcp else socket_path
    loops, server = Loops(), Serve(path)
    left = threading.Semaphore(0)

    async def client() -> None:
        try:
            await use(server, path)
        finally:
            left.release()

    loops.run(server)
    try:
        assert server.open.wait(WITHIN)
        for _ in range(3):
            loops.run(client)
        for _ in range(3):
            assert left.acquire(timeout=LONG)
    finally:
        server.enough.set()
        loops.join()


async def test_two_servers_in_one_event_loop_stop_independently(socket_path: Path) -> None:
    async with enkaku.serve_tcp(Serving(echo=same)) as second:
        async with enkaku.connect_tcp("127.0.0.1", second.port) as to_second:
            async with enkaku.serve_unix(Serving(echo=same), socket_path) as first:
                async with enkaku.connect_unix(socket_path) as to_first:
                    assert await to_first.request(ECHO, "1") == "1"
                    assert await to_second.request(ECHO, "2") == "2"
                    await first.stop()
            assert await to_second.request(ECHO, "still") == "still"


async def test_call_from_other_thread_runs_in_event_loop(connect: Connect) -> None:
    async def ask(number: int) -> int:
        return -number

    async with connect(Serving(ask=ask)) as connection:
        loop = asyncio.get_running_loop()
        answers: list[int] = []

        def use() -> None:
            future: Any = asyncio.run_coroutine_threadsafe(connection.request(ASK, 1), loop)
            answers.append(future.result(WITHIN))

        thread = threading.Thread(target=use)
        thread.start()
        await asyncio.to_thread(thread.join)
        assert answers == [-1]
