"""A forked child keeps no socket of its parent open."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import enkaku
import pytest
from support import VOID, WITHIN, Serving, line

PROGRAM = """
import asyncio, os, signal, sys
import enkaku
sys.path.insert(0, {tests!r})
from support import Serving, VOID

async def main():
    async with enkaku.{serve} as server:
        async with enkaku.{connect} as connection:
            await connection.request(VOID, None)
            child = os.fork()
            if not child:
                os.close(1)
                signal.pause()  # until it is killed
            await connection.request(VOID, None)
            print(child, *server.addresses, flush=True)
            await server.serve_forever()

enkaku.run(main()) if {uvloop} else asyncio.run(main())
"""

TESTS = str(Path(__file__).parents[1])


@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_killed_server_with_forked_child_frees_its_address(
    socket_path: Path, kind: str, uvloop: bool
) -> None:
    serve = (
        f"serve_unix(Serving(), {str(socket_path)!r})" if kind == "unix" else "serve_tcp(Serving())"
    )
    connect = (
        f"connect_unix({str(socket_path)!r})"
        if kind == "unix"
        else "connect_tcp('127.0.0.1', server.port)"
    )
    program = PROGRAM.format(tests=TESTS, serve=serve, connect=connect, uvloop=uvloop)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(3 * WITHIN):
        child, address = (await process.stdout.readline()).decode().split()
    try:
        if kind == "unix":
            client = enkaku.connect_unix(socket_path)
        else:
            client = enkaku.connect_tcp("127.0.0.1", int(address.rpartition(":")[2]))
        async with client as connection:
            await connection.request(VOID, None)
            process.kill()
            async with asyncio.timeout(WITHIN):
                with pytest.raises(enkaku.ConnectionLost):
                    while True:
                        await connection.request(VOID, None)
                await process.wait()
        os.kill(int(child), 0)  # it still runs
        if kind == "unix":
            again = enkaku.serve_unix(Serving(), socket_path)
        else:
            again = enkaku.serve_tcp(Serving(), port=int(address.rpartition(":")[2]))
        async with again:
            pass
    finally:
        os.kill(int(child), signal.SIGKILL)
        if process.returncode is None:
            process.kill()
        await process.wait()


ACCEPTED = """
import asyncio, os, signal, socket, sys
import enkaku
sys.path.insert(0, {tests!r})
from support import Serving

async def main():
    path, waker = sys.argv[1], socket.socketpair()
    async with enkaku.serve_unix(Serving(), path) as server:

        def fork():
            child = os.fork()
            if not child:
                os.close(1)
                signal.pause()  # until it is killed
            print(child, len(server.connections), flush=True)

        loop = asyncio.get_running_loop()
        loop.add_reader(waker[1], lambda: (loop.remove_reader(waker[1]), fork()))
        print("ready", flush=True)
        sys.stdin.readline()  # a client connects meanwhile
        waker[0].send(b"x")  # readable after the server's socket: the same iteration accepts, and then forks
        await server.serve_forever()

enkaku.run(main()) if {uvloop} else asyncio.run(main())
"""


@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
async def test_connection_accepted_just_before_fork_is_closed_in_child(
    socket_path: Path, uvloop: bool
) -> None:
    program = ACCEPTED.format(tests=TESTS, uvloop=uvloop)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(socket_path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    child = None
    try:
        async with asyncio.timeout(3 * WITHIN):
            assert await process.stdout.readline() == b"ready\n"
            reader, writer = await asyncio.open_unix_connection(socket_path)
            process.stdin.write(b"\n")
            child, connections = map(int, (await process.stdout.readline()).split())
            assert connections == 0  # the transport is not made yet
            writer.write(line(typ="request", rid="1", prc="void"))
            assert b'"rid":"1"' in await reader.readline()
            process.kill()
            assert await reader.read() == b""  # the child would keep it open
            await process.wait()
            writer.close()
            await writer.wait_closed()
        os.kill(child, 0)  # it still runs
    finally:
        if child is not None:
            os.kill(child, signal.SIGKILL)
        if process.returncode is None:
            process.kill()
        await process.wait()
