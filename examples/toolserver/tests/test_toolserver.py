"""The tools, used as a person does: by the command ``toolclient``; and by a client of the test's own."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import enkaku
import pytest
from enkaku.pytest_plugin import Connect
from toolserver import server
from toolserver.protocol import (
    Denied,
    Progress,
    ToolRunParam,
    ToolsCallbacksHandler,
    ToolsClient,
    Unreadable,
)

CLIENT = Path(sys.executable).with_name("toolclient")
WITHIN = 40.0  # seconds that anything may take
ASKED = "The tool wants to run the command: {}. Allow it? [y/N] "

Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncGenerator[Start, None]:
    """Return a function that starts ``toolclient`` with arguments; what still runs after the test is killed."""
    started: list[Process] = []

    async def start(*arguments: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            CLIENT, *arguments, cwd=tmp_path, stdin=PIPE, stdout=PIPE, stderr=STDOUT
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def rest(process: Process, answer: str = "") -> tuple[int | None, str]:
    """Answer a question, and wait until the process has ended; return its exit status, and what it has printed."""
    async with asyncio.timeout(WITHIN):
        output, _ = await process.communicate(answer.encode())
    return process.returncode, output.decode()


async def test_client_without_arguments_lists_tools(start: Start) -> None:
    assert await rest(await start()) == (
        0,
        "count: Count the words of files.\nrun: Run a command, if the user permits it.\n",
    )


async def test_count_reads_files_of_client_and_reports_progress(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "one.txt").write_text("a word or two")
    (tmp_path / "two.txt").write_text("and more")
    counting = await start("count", "one.txt", "two.txt")
    assert await rest(counting) == (0, "[0/2] one.txt\n[1/2] two.txt\n6 words\n")


@pytest.mark.parametrize("path", ["../secret.txt", "/etc/passwd", "missing.txt"])
async def test_client_shows_only_files_of_its_folder(start: Start, path: str) -> None:
    status, output = await rest(await start("count", path))
    assert status == 1
    assert f"toolclient: tool/run: {path}" in output
    assert output.endswith("(UNREADABLE)\n")


async def test_run_permitted_prints_output(start: Start) -> None:
    status, output = await rest(await start("run", "echo", "hello"), "y\n")
    assert (status, output) == (
        0,
        f"[0/2] asking\n{ASKED.format('echo hello')}[1/2] running\nhello\n\n",
    )


async def test_run_denied_does_nothing(start: Start, tmp_path: Path) -> None:
    status, output = await rest(await start("run", "touch", "made"), "n\n")
    assert status == 1
    assert output.endswith("toolclient: tool/run: not permitted: touch made (DENIED)\n")
    assert not (tmp_path / "made").exists()


async def test_client_interrupted_kills_command(start: Start, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    running = await start("run", "sh", "-c", "exec sleep 1000 > fifo")
    assert running.stdin is not None
    running.stdin.write(b"y\n")
    async with asyncio.timeout(WITHIN):
        file = await asyncio.to_thread(fifo.open)  # the command has it open, too
        running.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(file.read) == ""  # the command has ended
        file.close()
    assert (await rest(running))[0] == 130


async def test_server_that_dies_ends_client_with_reason(start: Start) -> None:
    status, output = await rest(await start("run", "sh", "-c", "kill -9 $PPID"), "y\n")
    assert status == 1
    assert "toolclient: tool/run: the process was killed by SIGKILL" in output


class Editor(ToolsCallbacksHandler):
    """A client with text that no file has, and whose user answers when the test does."""

    def __init__(self) -> None:
        self.asked = asyncio.Queue[str]()
        self.answer = asyncio.get_running_loop().create_future()

    async def file_read(self, param: str) -> str:
        if param != "unsaved.txt":
            raise Unreadable(param)
        return "four words, never saved"

    async def permission_ask(self, param: str) -> bool:
        self.asked.put_nowait(param)
        return bool(await self.answer)


async def test_client_of_ones_own_serves_server_in_a_process() -> None:
    param = ToolRunParam(tool="count", arguments=["unsaved.txt", "unsaved.txt"])
    argv = [sys.executable, "-m", "toolserver"]
    async with (
        asyncio.timeout(WITHIN),
        enkaku.connect_process(argv, handler=Editor()) as connection,
        ToolsClient(connection).tool_run(param) as running,
    ):
        assert [progress async for progress in running] == [
            Progress(done=0, total=2, note="unsaved.txt"),
            Progress(done=1, total=2, note="unsaved.txt"),
        ]
        assert await running.result() == "8 words"


async def test_question_without_answer_is_cancelled_and_denied(
    enkaku_connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "PATIENCE", 0.05)
    editor = Editor()
    connection = await enkaku_connect(server.Tools(), connection_options={"handler": editor})
    param = ToolRunParam(tool="run", arguments=["true"])
    async with ToolsClient(connection).tool_run(param) as running:
        assert await editor.asked.get() == "run the command: true"
        with pytest.raises(Denied):
            await running.result()
    assert editor.answer.cancelled()
