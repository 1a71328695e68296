"""The file of a Unix socket: taken over from the dead, never from the living."""

import asyncio
import fcntl
import os
import socket
import stat
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import enkaku
import pytest
from support import ECHO, ON_ASYNCIO, VOID, WITHIN, Lifetime, Serving, names_in, soon, turns


def leave_stale(path: Path) -> None:
    """Leave what a killed server leaves."""
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(str(path))
    dead.listen()
    dead.close()


async def test_unix_socket_default_mode_is_owner_only(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path):
        assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600
        assert names_in(socket_path.parent) == [socket_path.name]


@pytest.mark.parametrize("mask", [0o000, 0o777])
async def test_unix_socket_mode_is_independent_of_umask(socket_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        async with enkaku.serve_unix(Serving(), socket_path, mode=0o660):
            assert stat.S_IMODE(socket_path.stat().st_mode) == 0o660
    finally:
        os.umask(before)


async def test_unix_socket_file_is_removed_with_server(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path):
        assert socket_path.is_socket()
    assert names_in(socket_path.parent) == []


async def test_unix_socket_file_is_removed_after_exception(socket_path: Path) -> None:
    with pytest.raises(KeyError):
        async with enkaku.serve_unix(Serving(), socket_path):
            raise KeyError
    assert names_in(socket_path.parent) == []


async def test_unix_path_of_live_server_raises_address_in_use(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path):
        async with enkaku.connect_unix(socket_path) as connection:
            for _ in range(3):
                with pytest.raises(enkaku.AddressInUse, match="live server"):
                    async with enkaku.serve_unix(Serving(), socket_path):
                        pass
            await connection.request(VOID, None)
        async with enkaku.connect_unix(socket_path) as connection:
            await connection.request(VOID, None)


async def test_unix_path_of_live_server_with_full_queue_is_kept(socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as living:
        living.bind(str(socket_path))
        living.listen(0)
        waiting = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(3)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(str(socket_path))
        with pytest.raises(enkaku.AddressInUse):
            async with enkaku.serve_unix(Serving(), socket_path):
                pass
        for client in waiting:
            client.close()
    assert socket_path.is_socket()


async def test_unix_path_of_dead_server_is_taken_over(socket_path: Path) -> None:
    leave_stale(socket_path)
    async with enkaku.serve_unix(Serving(), socket_path):
        async with enkaku.connect_unix(socket_path) as connection:
            await connection.request(VOID, None)
    assert names_in(socket_path.parent) == []


async def test_unix_path_leftover_of_interrupted_start_is_removed(socket_path: Path) -> None:
    leave_stale(socket_path.with_name("~"))
    async with enkaku.serve_unix(Serving(), socket_path):
        assert names_in(socket_path.parent) == [socket_path.name]


async def test_unix_path_temporary_name_of_live_server_is_kept(socket_path: Path) -> None:
    beside = socket_path.with_name("~")
    async with enkaku.serve_unix(Serving(), beside):
        with pytest.raises(enkaku.AddressInUse):
            async with enkaku.serve_unix(Serving(), socket_path):
                pass
        async with enkaku.connect_unix(beside) as connection:
            await connection.request(VOID, None)


@pytest.mark.parametrize("what", ["file", "directory", "link", "dangling", "fifo"])
async def test_unix_path_not_a_socket_is_left_alone(socket_path: Path, what: str) -> None:
    match what:
        case "file":
            socket_path.write_text("precious")
        case "directory":
            socket_path.mkdir()
        case "link":
            leave_stale(socket_path.with_name("t"))
            socket_path.symlink_to("t")
        case "dangling":
            socket_path.symlink_to("nowhere")
        case _:
            os.mkfifo(socket_path)
    before = socket_path.lstat()
    with pytest.raises(enkaku.AddressInUse, match="not a socket"):
        async with enkaku.serve_unix(Serving(), socket_path):
            pass
    after = socket_path.lstat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert not socket_path.with_name("~").exists()


async def test_unix_path_in_missing_directory_raises(socket_path: Path) -> None:
    with pytest.raises(enkaku.TransportError, match="No such file"):
        async with enkaku.serve_unix(Serving(), socket_path / "x" / "y"):
            pass


async def test_unix_path_without_permission_raises(socket_path: Path) -> None:
    superuser = os.geteuid() == 0
    socket_path.parent.chmod(0o500)
    if superuser:
        os.seteuid(65534)  # the superuser may write anywhere: be nobody for a while
    try:
        with pytest.raises(enkaku.TransportError, match="Permission"):
            async with enkaku.serve_unix(Serving(), socket_path):
                pass
    finally:
        if superuser:
            os.seteuid(0)
        socket_path.parent.chmod(0o700)


@pytest.mark.parametrize("name", ["x" * 200, "x" * 107, "a\0b", "."])
async def test_unix_path_impossible_raises_and_leaves_nothing(socket_path: Path, name: str) -> None:
    with pytest.raises(enkaku.EnkakuError):
        async with enkaku.serve_unix(Serving(), f"{socket_path.parent}/{name}"):
            pass
    assert names_in(socket_path.parent) == []


@pytest.mark.parametrize("last", ["s", "~", "é"])
async def test_unix_path_of_maximum_length_works(socket_path: Path, last: str) -> None:
    longest = 107
    directory = socket_path.parent
    filler = longest - len(os.fsencode(f"{directory}/{last}"))
    path = directory / ("x" * filler + last)
    assert len(os.fsencode(path)) == longest
    async with enkaku.serve_unix(Serving(), path):
        assert names_in(directory) == [path.name]
        async with enkaku.connect_unix(path) as connection:
            await connection.request(VOID, None)
    assert names_in(directory) == []
    with pytest.raises(enkaku.UsageError, match="at most 107 bytes; got 108"):
        async with enkaku.serve_unix(Serving(), f"{path}x"):
            pass
    assert names_in(directory) == []


async def test_unix_path_empty_raises_and_leaves_nothing(
    socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(socket_path.parent)
    with pytest.raises(enkaku.EnkakuError):
        async with enkaku.serve_unix(Serving(), ""):
            pass
    assert names_in(socket_path.parent) == []


async def test_unix_path_relative_survives_change_of_directory(
    socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(socket_path.parent)
    async with enkaku.serve_unix(Serving(), "s"):
        monkeypatch.chdir("/")
        async with enkaku.connect_unix(socket_path) as connection:
            await connection.request(VOID, None)
    assert names_in(socket_path.parent) == []


async def test_unix_path_of_later_server_survives_end_of_earlier(socket_path: Path) -> None:
    first = enkaku.serve_unix(Serving(), socket_path)
    await first.__aenter__()
    socket_path.unlink()
    async with enkaku.serve_unix(Serving(), socket_path):
        await first.__aexit__(None, None, None)
        async with enkaku.connect_unix(socket_path) as connection:
            await connection.request(VOID, None)
    assert names_in(socket_path.parent) == []


async def test_unix_path_of_stopping_server_can_be_taken_over(socket_path: Path) -> None:
    gate, life = asyncio.Event(), Lifetime()

    async def echo(text: str) -> str:
        with life:
            await gate.wait()
        return text

    async with enkaku.serve_unix(Serving(echo=echo), socket_path) as first:
        async with enkaku.connect_unix(socket_path) as old:
            asking = asyncio.create_task(old.request(ECHO, "old"))
            await soon(life.began)
            stopping = asyncio.create_task(first.stop())
            await turns()
            async with enkaku.serve_unix(Serving(), socket_path):
                gate.set()
                assert await asking == "old"
                await asyncio.wait_for(stopping, WITHIN)
                async with enkaku.connect_unix(socket_path) as new:
                    await new.request(VOID, None)


@ON_ASYNCIO  # a loop makes no difference to a lock
async def test_unix_path_locked_directory_raises_instead_of_hanging(
    socket_path: Path,
) -> None:
    directory = os.open(socket_path.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        with pytest.raises(enkaku.TransportError):
            async with enkaku.serve_unix(Serving(), socket_path):
                pass
    finally:
        os.close(directory)
    async with enkaku.serve_unix(Serving(), socket_path):
        pass


RACER = """
import asyncio, sys
import enkaku
from support import Serving

async def main():
    sys.stdin.readline()
    try:
        async with enkaku.serve_unix(Serving(), sys.argv[1]):
            print("serves", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
    except enkaku.AddressInUse:
        print("refused", flush=True)

print("ready", flush=True)
asyncio.run(main())
"""


@ON_ASYNCIO  # the servers are other processes
async def test_unix_path_of_dead_server_is_won_by_one_of_many(
    socket_path: Path,
) -> None:
    here = str(Path(__file__).parent.parent)
    racers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", RACER, str(socket_path)),
            stdin=PIPE,
            stdout=PIPE,
            env={**os.environ, "PYTHONPATH": here},
        )
        for _ in range(4)
    ]

    async def says() -> list[bytes]:
        async with asyncio.timeout(WITHIN * 3):
            return [await racer.stdout.readline() for racer in racers if racer.stdout]

    try:
        assert await says() == [b"ready\n"] * 4
        leave_stale(socket_path)
        for racer in racers:
            assert racer.stdin
            racer.stdin.write(b"go\n")
        said = await says()
        assert sorted(said) == [b"refused\n"] * 3 + [b"serves\n"]
        async with enkaku.connect_unix(socket_path) as connection:
            await connection.request(VOID, None)
        winner = racers[said.index(b"serves\n")]
        assert winner.stdin
        winner.stdin.write(b"end\n")
        async with asyncio.timeout(WITHIN):
            await asyncio.gather(*(racer.wait() for racer in racers))
        assert names_in(socket_path.parent) == []
    finally:
        for racer in racers:
            if racer.returncode is None:
                racer.kill()
            await racer.communicate()
