"""The dashboard's server: figures of this machine, its own log, and services to restart.

Run it, and the client in another terminal; Ctrl-C stops it gracefully::

    python examples/dashboard/server.py
    python examples/dashboard/client.py

It takes ``--unix PATH``, ``--tcp HOST:PORT`` and, for its web page, ``--http HOST:PORT``, and prints the addresses.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import TypeAlias

import enkaku
from dashboard_protocol import (
    DashboardHandler,
    LogsWatchParam,
    LogsWatchReceive,
    LogsWatchResult,
    LogsWatchSend,
    MetricsStreamParam,
    MetricsStreamReceive,
    MetricsStreamResult,
    SystemRestartParam,
    SystemRestartResult,
    SystemRestartUnknownService,
    SystemRestartUnknownServiceData,
)
from log_feed import LogFeed, Threshold, make_entry
from page import serve_page
from services import SAMPLE_EVERY, Sampler, Service, Watchdog, one_in

HostPort: TypeAlias = tuple[str, int]

logger = logging.getLogger("dashboard")


class Dashboard(DashboardHandler):
    """Serves every client; each call runs its method in a task of its own."""

    def __init__(self, feed: LogFeed, sampler: Sampler, watchdog: Watchdog) -> None:
        self._feed = feed
        self._sampler = sampler
        self._services: dict[str, Service] = {each.name: each for each in (sampler, watchdog)}

    async def metrics_stream(
        self, param: MetricsStreamParam, stream: enkaku.ServerStream[MetricsStreamReceive]
    ) -> MetricsStreamResult:
        """Pass on what is sampled once for everybody, at the client's own pace, until it closes."""
        samples = await self._sampler.samples.serve(
            stream, when_full="latest", where=one_in(param.interval / 1000 / SAMPLE_EVERY)
        )
        return MetricsStreamResult(total_samples=samples)  # the client still gets this

    async def logs_watch(
        self, param: LogsWatchParam, channel: enkaku.ServerChannel[LogsWatchSend, LogsWatchReceive]
    ) -> LogsWatchResult:
        """Send records in one direction while levels come in the other."""
        threshold = Threshold(param.level)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow_levels(channel, threshold))
            await self._feed.serve(channel, threshold)
        return LogsWatchResult(total_logs=channel.call.items_sent)

    async def system_restart(self, param: SystemRestartParam) -> SystemRestartResult:
        """Restart a service; the error for an unknown one is declared in the protocol."""
        service = self._services.get(param.service)
        if service is None:
            logger.warning("restart: there is no service %r", param.service)
            raise SystemRestartUnknownService(
                f"there is no service {param.service!r}",
                SystemRestartUnknownServiceData(known=sorted(self._services)),
            )
        took = await service.restart()
        message = f"{'runs again' if service.running else 'failed'} after {took:.2f} s"
        return SystemRestartResult(success=service.running, message=message)


async def follow_levels(
    channel: enkaku.ServerChannel[LogsWatchSend, LogsWatchReceive], threshold: Threshold
) -> None:
    """Change the watcher's level as the client says, and say so in the midst of the records."""
    async with channel.until_closed():
        async for update in channel:
            threshold.level = update.level
            await channel.send(make_entry("info", f"log: shown from {update.level} on"))


async def main(sockets: Sequence[Path | HostPort], page: HostPort | None = None) -> None:
    """Serve one handler at every address until Ctrl-C, or SIGTERM."""
    feed = start_logging()
    sampler = Sampler()
    watchdog = Watchdog(sampler)
    dashboard = Dashboard(feed, sampler, watchdog)
    servers: list[enkaku.Server] = []
    found: list[str] = []
    async with sampler, watchdog, AsyncExitStack() as stack:
        for each in sockets:
            server = await stack.enter_async_context(serve(dashboard, each))
            servers.append(server)
            found += server.addresses
        if page is not None:
            server, url = await stack.enter_async_context(serve_page(dashboard, *page))
            servers.append(server)
            found.append(url)
        print("listening at", *found, flush=True)
        await asyncio.gather(*(each.serve_forever() for each in servers))
    logger.info("server: stopped")


def serve(
    handler: enkaku.Handler, address: Path | HostPort
) -> AbstractAsyncContextManager[enkaku.Server]:
    """Serve a handler; the server stops with the block."""
    if isinstance(address, Path):
        return enkaku.serve_unix(handler, address)
    return enkaku.serve_tcp(handler, *address)


def host_and_port(text: str) -> HostPort:
    """Split ``HOST:PORT``."""
    host, colon, port = text.rpartition(":")
    if not (colon and port.isdecimal() and int(port) < 65536):
        raise argparse.ArgumentTypeError(f"HOST:PORT is wanted, such as 127.0.0.1:8000: {text!r}")
    return host.strip("[]"), int(port)  # an IPv6 address stands in brackets


def start_logging() -> LogFeed:
    """Log to this terminal from info on; those who watch can have everything of ours."""
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.INFO)
    feed = LogFeed()
    logging.basicConfig(
        level=logging.INFO,
        handlers=[terminal, feed],
        format="%(asctime)s %(levelname)-7s %(message)s",
    )
    logger.setLevel(logging.DEBUG)
    return feed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The dashboard's server.")
    parser.add_argument(
        "--unix",
        dest="sockets",
        action="append",
        metavar="PATH",
        type=Path,
        default=[],
        help="a Unix socket (without any option: dashboard.sock)",
    )
    parser.add_argument(
        "--tcp",
        dest="sockets",
        action="append",
        metavar="HOST:PORT",
        type=host_and_port,
        help="a TCP port; 0 is a free one",
    )
    parser.add_argument(
        "--http",
        dest="page",
        metavar="HOST:PORT",
        type=host_and_port,
        help="a port for the web page, HTTP and WebSocket",
    )
    options = parser.parse_args()
    default = [] if options.page else [Path("dashboard.sock")]
    try:
        asyncio.run(main(options.sockets or default, options.page))
    except enkaku.TransportError as error:
        sys.exit(f"cannot listen at {error}")
