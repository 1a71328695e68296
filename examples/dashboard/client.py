"""The dashboard's client: shows the metrics and the log of a server, and restarts one of its services.

Start the server first; Ctrl-C closes the calls and prints their results::

    python examples/dashboard/server.py
    python examples/dashboard/client.py

The client takes another address than ``unix:dashboard.sock``, such as ``tcp:localhost:8000``. The level of the log changes by
itself: everything at first, then warnings, then the middle.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import TypeVar

import enkaku
from dashboard_protocol import (
    DashboardClient,
    LogLevel,
    LogsWatchParam,
    LogsWatchReceive,
    LogsWatchResult,
    LogsWatchSend,
    MetricsStreamParam,
    MetricsStreamResult,
    SystemRestartParam,
    SystemRestartUnknownService,
)
from display import Display, open_display

Item = TypeVar("Item")
Result = TypeVar("Result")
Logs = enkaku.ClientChannel[LogsWatchSend, LogsWatchReceive, LogsWatchResult]

STORY = 10.0  # seconds that the story takes where no end is given
PATIENCE = 2.0  # seconds that the server may take to end the calls


async def watch(
    client: DashboardClient, display: Display, seconds: float | None
) -> tuple[str, MetricsStreamResult, LogsWatchResult]:
    """Show both calls until the story is over, Ctrl-C is pressed or the server stops.

    Returns:
        Why they ended, and their results.
    """
    display.level("debug")
    async with (
        client.metrics_stream(MetricsStreamParam(interval=250)) as metrics,
        client.logs_watch(LogsWatchParam(level="debug")) as logs,
        asyncio.TaskGroup() as tasks,
    ):
        ends = [
            tasks.create_task(follow(metrics, display.metrics)),
            tasks.create_task(follow(logs, display.record)),
        ]
        story = tasks.create_task(tell_story(client, logs, display, seconds or STORY))
        asked = tasks.create_task(until_asked_to_stop())
        enough = [asked] if seconds is None else [asked, story]
        await asyncio.wait([*ends, *enough], return_when=asyncio.FIRST_COMPLETED)
        why = "the server stopped" if any(each.done() for each in ends) else "closed"
        story.cancel()
        asked.cancel()
        async with asyncio.timeout(PATIENCE):
            return why, await metrics.close(), await logs.close()


async def follow(call: enkaku.ClientStream[Item, Result], show: Callable[[Item], None]) -> None:
    """Show each item of a stream or channel, until the call ends."""
    async for item in call:
        show(item)


async def tell_story(client: DashboardClient, logs: Logs, display: Display, seconds: float) -> None:
    """Change the level of the log and ask for restarts, spread over so many seconds."""

    async def change_level(level: LogLevel) -> None:
        await logs.send(LogsWatchSend(level=level))
        display.level(level)

    try:
        await asyncio.sleep(seconds * 0.3)
        await change_level("warn")
        await asyncio.sleep(seconds * 0.1)
        await restart(client, display, "teleporter")
        await asyncio.sleep(seconds * 0.2)
        await change_level("info")
        await asyncio.sleep(seconds * 0.1)
        await restart(client, display, "sampler")
        await asyncio.sleep(seconds * 0.3)
    except (enkaku.CallClosed, enkaku.ConnectionLost):
        return  # the server has gone: those who follow the calls hear why


async def restart(client: DashboardClient, display: Display, service: str) -> None:
    """Ask for a restart, and show what the server says."""
    try:
        result = await client.system_restart(SystemRestartParam(service=service))
    except SystemRestartUnknownService as error:  # declared in the protocol: its data is typed
        display.answer(service, f"{error.code}, known: {', '.join(error.data.known)}", ok=False)
    except enkaku.CallError as error:
        display.answer(service, f"{error.message} ({error.code})", ok=False)
    else:
        display.answer(service, result.message, ok=result.success)


async def until_asked_to_stop() -> None:
    """Wait for Ctrl-C, or for SIGTERM."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    await asked.wait()


async def main(address: str, *, seconds: float | None, plain: bool) -> None:
    """Connect, show the dashboard, and print the results of the calls."""
    async with enkaku.connect(address) as connection:
        with open_display(connection.peer, plain=plain) as display:
            why, *results = await watch(DashboardClient(connection), display, seconds)
    print(f"{why}:", *map(repr, results), sep="\n  ")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The dashboard's client.")
    parser.add_argument(
        "address",
        nargs="?",
        default="unix:dashboard.sock",
        help="where the server listens (default: %(default)s)",
    )
    parser.add_argument("--seconds", type=float, help="when to end; by default, at Ctrl-C")
    parser.add_argument(
        "--plain", action="store_true", help="print lines, as into a file or a pipe"
    )
    options = parser.parse_args()
    try:
        asyncio.run(main(options.address, seconds=options.seconds, plain=options.plain))
    except* enkaku.EnkakuError as group:
        sys.exit(f"no dashboard: {group.exceptions[0]}")
    except* TimeoutError:
        sys.exit("no dashboard: the server does not answer")
    except* BrokenPipeError:  # what reads our lines has seen enough: write the rest nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except* KeyboardInterrupt:
        sys.exit(130)
