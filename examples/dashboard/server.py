"""The dashboard's server: figures of this machine, its own log, and services to restart.

Run it, and the client in another terminal; Ctrl-C stops it gracefully::

    python examples/dashboard/server.py
    python examples/dashboard/client.py

It takes ``--unix PATH`` or ``--tcp HOST:PORT``, and prints the address for the client.
"""

import argparse
import asyncio
import logging
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

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
from services import SAMPLE_EVERY, Sampler, Service, Watchdog, one_in

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


async def main(address: Path | tuple[str, int]) -> None:
    """Serve until Ctrl-C, or SIGTERM."""
    feed = start_logging()
    sampler = Sampler()
    watchdog = Watchdog(sampler)
    dashboard = Dashboard(feed, sampler, watchdog)
    async with sampler, watchdog, serve(dashboard, address) as server:
        print("listening at", *server.addresses, flush=True)
        await server.serve_forever()
    logger.info("server: stopped")


def serve(
    handler: enkaku.Handler, address: Path | tuple[str, int]
) -> AbstractAsyncContextManager[enkaku.Server]:
    """Serve a handler; the server stops with the block."""
    if isinstance(address, Path):
        return enkaku.serve_unix(handler, address)
    return enkaku.serve_tcp(handler, *address)


def host_and_port(text: str) -> tuple[str, int]:
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
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--unix",
        dest="address",
        metavar="PATH",
        type=Path,
        default=Path("dashboard.sock"),
        help="a Unix socket (default: %(default)s)",
    )
    either.add_argument(
        "--tcp", dest="address", metavar="HOST:PORT", type=host_and_port, help="a TCP port"
    )
    try:
        asyncio.run(main(parser.parse_args().address))
    except enkaku.TransportError as error:
        sys.exit(f"cannot listen at {error}")
