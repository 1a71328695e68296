"""The farm as it is used: its command, in processes of their own, in a folder of the test."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest
from buildfarm.protocol import FarmCallbacksClient, FarmClient, Job, UnknownBuild
from buildfarm.server import Farm
from buildfarm.store import Store
from buildfarm.worker import Worker
from enkaku.pytest_plugin import Connect

FARM = Path(sys.executable).with_name("farm")
WITHIN = 40.0  # seconds that anything may take
GATE = (
    "until test -e gate; do sleep 0.05; done"  # a command that runs until the test makes the file
)

Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncGenerator[Start, None]:
    """Return a function that starts ``farm`` with arguments; what still runs after the test is killed."""
    started: list[Process] = []

    async def start(*arguments: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            FARM, *arguments, cwd=tmp_path, stdout=PIPE, stderr=STDOUT
        )
        started.append(process)
        return process

    yield start
    (tmp_path / "gate").touch()
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def serve(start: Start) -> Process:
    server = await start("serve")
    await read_until(server, "listening at unix:farm.sock")
    return server


async def work(start: Start, name: str) -> Process:
    worker = await start("work", name)
    await read_until(worker, f"{name} has joined unix:farm.sock")
    return worker


async def submit_and_watch(start: Start, *commands: str) -> Process:
    number = await rest(await start("submit", *commands))
    return await start("watch", number.strip())


async def read_until(process: Process, *wanted: str) -> str:
    """Read on until one of these lines has come, and return it."""
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(WITHIN):
        async for line in process.stdout:
            lines.append(line.decode().rstrip("\n"))
            if lines[-1] in wanted:
                return lines[-1]
    raise AssertionError(f"none of {wanted} in {lines}")


async def rest(process: Process) -> str:
    """Wait until the process has ended, and return what else it has printed."""
    async with asyncio.timeout(WITHIN):
        output, _ = await process.communicate()
    return output.decode()


async def test_watch_shows_progress_and_outcome(start: Start, tmp_path: Path) -> None:
    await serve(start)
    first = await submit_and_watch(start, "echo one; echo two", GATE, "echo three")
    await work(start, "ada")
    await read_until(first, f"ada 2: $ {GATE}")
    second = await start("watch", "1")  # another client gets the whole log, too
    await read_until(second, "ada 1: one")
    (tmp_path / "gate").touch()
    assert await rest(first) == "ada 3: $ echo three\nada 3: three\npassed\n"
    assert await rest(second) == (
        f"ada 1: two\nada 2: $ {GATE}\nada 3: $ echo three\nada 3: three\npassed\n"
    )
    assert (first.returncode, second.returncode) == (0, 0)


async def test_build_ends_at_first_command_that_fails(start: Start) -> None:
    await serve(start)
    await work(start, "ada")
    watching = await submit_and_watch(start, "exit 3", "echo never")
    assert await rest(watching) == "ada 1: $ exit 3\nada 1: exit status 3\nfailed\n"
    assert watching.returncode == 1


async def test_cancel_kills_running_command(start: Start, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    await serve(start)
    await work(start, "ada")
    watching = await submit_and_watch(start, "echo runs; sleep 1000 > fifo")
    await read_until(watching, "ada 1: runs")
    async with asyncio.timeout(WITHIN):
        file = await asyncio.to_thread(fifo.open)  # the command has it open, too
        assert await rest(await start("cancel", "1")) == "cancelled\n"
        assert await asyncio.to_thread(file.read) == ""  # the command has ended
        file.close()
    assert await rest(watching) == "cancelled\n"


async def test_job_of_killed_worker_goes_to_another(start: Start, tmp_path: Path) -> None:
    await serve(start)
    workers = {name: await work(start, name) for name in ("ada", "bob")}
    watching = await submit_and_watch(start, "echo here", GATE)
    first = (await read_until(watching, "ada 1: here", "bob 1: here"))[:3]
    other = "bob" if first == "ada" else "ada"
    workers[first].kill()
    await read_until(watching, f"{other} 1: here")
    (tmp_path / "gate").touch()
    assert await rest(watching) == f"{other} 2: $ {GATE}\npassed\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_restarted_farm_goes_on(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    server = await serve(start)
    worker = await work(start, "ada")
    watching = await submit_and_watch(start, GATE)
    await read_until(watching, f"ada 1: $ {GATE}")
    server.send_signal(number)
    await rest(server)
    assert server.returncode == (0 if number is signal.SIGTERM else -number)
    await serve(start)
    await read_until(worker, "ada has joined unix:farm.sock")
    await read_until(watching, f"ada 1: $ {GATE}")
    (tmp_path / "gate").touch()
    assert await rest(watching) == "passed\n"


async def test_worker_alone_runs_job(enkaku_connect: Connect) -> None:
    farm = FarmCallbacksClient(await enkaku_connect(Worker("ada")))
    async with farm.job_run(Job(build=1, commands=["echo one", "false"])) as job:
        lines = [f"{each.step} {each.line}" async for each in job]
        assert lines == ["1 $ echo one", "1 one", "2 $ false", "2 exit status 1"]
        assert await job.result() is False


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncGenerator[Farm, None]:
    """Run a farm without a server, for connections in memory."""
    store = Store(tmp_path / "farm.db")
    async with Farm(store) as farm:
        yield farm
    store.close()


async def test_worker_goes_on_after_cancelled_build(farm: Farm, enkaku_connect: Connect) -> None:
    connection = await enkaku_connect(
        farm, lifespan=farm.lifespan, connection_options={"handler": Worker("ada")}
    )
    client = FarmClient(connection)
    await client.worker_join("ada")
    async with client.build_watch(await client.build_submit(["exec sleep 1000"])) as log:
        assert (await anext(log)).line == "$ exec sleep 1000"
        assert await client.build_cancel(1) == "cancelled"
        assert await log.result() == "cancelled"
    async with client.build_watch(await client.build_submit(["echo next"])) as log:
        assert [progress.line async for progress in log] == ["$ echo next", "next"]
        assert await log.result() == "passed"
    await connection.close()  # ends the farm's task for this worker


async def test_worker_without_handler_gets_no_second_job(
    farm: Farm, enkaku_connect: Connect
) -> None:
    client = FarmClient(await enkaku_connect(farm, lifespan=farm.lifespan))
    await client.worker_join("eve")
    async with client.build_watch(await client.build_submit(["echo never"])) as log:
        assert "handler" in (await anext(log)).line
        assert await log.close() == "waiting"


async def test_waiting_build_is_cancelled_at_once(farm: Farm, enkaku_connect: Connect) -> None:
    client = FarmClient(await enkaku_connect(farm, lifespan=farm.lifespan))
    async with client.build_watch(await client.build_submit(["echo never"])) as log:
        assert await client.build_cancel(1) == "cancelled"
        assert [progress async for progress in log] == []
        assert await log.result() == "cancelled"


async def test_unknown_build_raises_declared_error(farm: Farm, enkaku_connect: Connect) -> None:
    client = FarmClient(await enkaku_connect(farm, lifespan=farm.lifespan))
    with pytest.raises(UnknownBuild, match="there is no build 7"):
        await client.build_cancel(7)
