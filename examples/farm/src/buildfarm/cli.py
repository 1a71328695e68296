"""The command ``farm``."""

import argparse
import sys
from pathlib import Path

import enkaku

from .protocol import FarmClient, State
from .server import serve
from .worker import work


async def submit(address: str, commands: list[str]) -> None:
    """Submit a build, and print its number."""
    async with enkaku.connect(address) as connection:
        print(await FarmClient(connection).build_submit(commands))


async def watch(address: str, number: int) -> State:
    """Print the log of a build until it has ended, also if the farm is restarted meanwhile."""
    async with enkaku.connect(address, reconnect=enkaku.Reconnect(longest=5)) as connection:
        farm = FarmClient(connection)
        while True:
            async with enkaku.reopening(lambda: farm.build_watch(number)) as log:
                async for item in log:
                    if isinstance(item, enkaku.Gap):
                        print("the farm was restarted", flush=True)
                    else:
                        print(f"{item.worker} {item.step}: {item.line}", flush=True)
            if log.result not in {"waiting", "running"}:  # else the farm is stopping
                return log.result


async def cancel(address: str, number: int) -> State:
    """Cancel a build."""
    async with enkaku.connect(address) as connection:
        return await FarmClient(connection).build_cancel(number)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="farm", description="A build farm.")
    parser.add_argument(
        "--farm", default="unix:farm.sock", metavar="ADDRESS", help="by default unix:farm.sock"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="run the farm")
    serving.add_argument("socket", type=Path, nargs="?", default=Path("farm.sock"))
    serving.add_argument("--database", type=Path, default=Path("farm.db"))
    commands.add_parser("work", help="run a worker").add_argument("name")
    commands.add_parser("submit", help="submit a build").add_argument("commands", nargs="+")
    for name in ("watch", "cancel"):
        commands.add_parser(name, help=f"{name} a build").add_argument("build", type=int)
    options = parser.parse_args()
    try:
        sys.exit(enkaku.run(run(options)))
    except enkaku.EnkakuError as error:
        sys.exit(f"farm: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


async def run(options: argparse.Namespace) -> int:
    """Run a subcommand, and return the exit status."""
    state: State = "passed"
    match options.command:
        case "serve":
            await serve(options.socket, options.database)
        case "work":
            await work(options.farm, options.name)
        case "submit":
            await submit(options.farm, options.commands)
        case "watch":
            state = await watch(options.farm, options.build)
            print(state)
        case _:
            print(await cancel(options.farm, options.build))
    return 0 if state == "passed" else 1
