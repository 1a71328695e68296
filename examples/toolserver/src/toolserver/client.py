"""The client's side: the command ``toolclient`` starts the tool server, runs a tool, and answers what the server asks."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

import enkaku

from .protocol import ToolRunParam, ToolsCallbacksHandler, ToolsClient, Unreadable

SERVER = [sys.executable, "-m", "toolserver"]


class User(ToolsCallbacksHandler):
    """Serves the calls of the tool server: shows it the files of a folder, and asks the user."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    async def file_read(self, param: str) -> str:
        """Return the text of a file in the folder. An editor would look into its buffers first."""
        path = (self._folder / param).resolve()
        if not path.is_relative_to(self._folder):
            raise Unreadable(f"{param} is not in the folder of the client")
        try:
            return path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise Unreadable(f"{param}: {error}") from error

    async def permission_ask(self, param: str) -> bool:
        """Ask at the terminal."""
        print(f"The tool wants to {param}. Allow it? [y/N] ", end="", flush=True)
        return (await read_line()).strip().lower() in {"y", "yes"}


async def read_line() -> str:
    """Read a line of stdin. The event loop waits for it: a thread with ``input()`` could not be cancelled."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sys.stdin)
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(sys.stdin.fileno(), 1)):
        line += byte
    return line.decode()


async def list_tools() -> None:
    """Print all tools."""
    async with enkaku.connect_process(SERVER) as connection:
        for tool in await ToolsClient(connection).tool_list():
            print(f"{tool.name}: {tool.description}")


async def run_tool(tool: str, arguments: list[str]) -> None:
    """Run a tool, and print its progress and its result."""
    async with enkaku.connect_process(SERVER, handler=User(Path())) as connection:
        param = ToolRunParam(tool=tool, arguments=arguments)
        async with ToolsClient(connection).tool_run(param) as running:
            async for progress in running:
                print(f"[{progress.done}/{progress.total}] {progress.note}", flush=True)
            print(await running.result())


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="toolclient", description="Run a tool of the server.")
    parser.add_argument("tool", nargs="?", help="its name; without it, all are listed")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    try:
        if options.tool is None:
            enkaku.run(list_tools())
        else:
            enkaku.run(run_tool(options.tool, options.arguments))
    except enkaku.EnkakuError as error:
        sys.exit(f"toolclient: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
