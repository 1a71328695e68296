"""What the server does by itself: services that run side by side, and can be restarted."""

import asyncio
import itertools
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import enkaku
import psutil
from dashboard_protocol import METRICS_STREAM, MetricsStreamReceive

logger = logging.getLogger("dashboard")

SAMPLE_EVERY = 0.25  # seconds
BUSY = 85.0  # percent of all cores
BUSY_FOR = 4  # samples in a row that are worth a warning


class Service(ABC):
    """A background task with a name; ``async with`` runs it."""

    name: str

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._restarting = asyncio.Lock()
        self.ready = asyncio.Event()

    @property
    def running(self) -> bool:
        """Whether the task has neither ended nor failed."""
        return self._task is not None and not self._task.done()

    @abstractmethod
    async def run(self) -> None:
        """Do the work, for ever; set ``ready`` once it is under way."""

    async def __aenter__(self) -> None:
        self._start()
        await self.ready.wait()

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def restart(self) -> float:
        """Stop and start again; return how long it took, in seconds."""
        async with self._restarting:
            began = time.monotonic()
            logger.warning("%s: stopping for a restart", self.name)
            try:
                await self._stop()
            finally:
                self._start()  # also if the caller gives up halfway
            await self.ready.wait()
            took = time.monotonic() - began
            if self.running:
                logger.info("%s: runs again after %.2f s", self.name, took)
            return took

    def _start(self) -> None:
        self.ready.clear()
        self._task = asyncio.create_task(self._run(), name=self.name)

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            await self.run()
        except Exception:
            logger.exception("%s: failed, a restart may help", self.name)
        finally:
            self.ready.set()  # nobody shall wait for what won't come


class Sampler(Service):
    """Reads the machine's cpu and memory figures, a few times a second, for however many watch."""

    name = "sampler"

    def __init__(self) -> None:
        super().__init__()
        self.latest = MetricsStreamReceive(cpu=0.0, memory=0.0, timestamp=0.0)
        self.samples = enkaku.Broadcast(METRICS_STREAM, replay=True)

    async def run(self) -> None:
        """Sample for ever."""
        psutil.cpu_percent()  # each figure is the mean since the call before: the first one means nothing
        while True:
            await asyncio.sleep(SAMPLE_EVERY)
            cpu, memory = psutil.cpu_percent(), psutil.virtual_memory().percent
            now = round(time.time() * 1000)
            self.latest = MetricsStreamReceive(cpu=cpu, memory=memory, timestamp=now)
            await self.samples.send(self.latest)
            self.ready.set()
            logger.debug("sampler: cpu %.1f %%, memory %.1f %%", cpu, memory)


def one_in(count: float) -> Callable[[object], bool]:
    """Make a filter that lets the first of each so many items through: a pace for who wants fewer."""
    numbers, every = itertools.count(), max(round(count), 1)
    return lambda _: next(numbers) % every == 0


class Watchdog(Service):
    """Warns when the machine stays busy, and tells when it has calmed down."""

    name = "watchdog"

    def __init__(self, sampler: Sampler) -> None:
        super().__init__()
        self._sampler = sampler

    async def run(self) -> None:
        """Watch for ever."""
        logger.info("watchdog: warns when the cpu stays above %g %%", BUSY)
        self.ready.set()
        busy = 0
        while True:
            await asyncio.sleep(SAMPLE_EVERY)
            was_busy = busy
            cpu = self._sampler.latest.cpu
            busy = busy + 1 if cpu > BUSY else 0
            if busy == BUSY_FOR:
                logger.warning("watchdog: cpu at %.1f %% and not calming down", cpu)
            elif not busy and was_busy >= BUSY_FOR:
                logger.info("watchdog: calm again, cpu at %.1f %%", cpu)
