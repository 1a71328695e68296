"""Chromium for tests and screenshots, driven by Playwright.

The browser is a process with an empty profile, and Playwright connects to it. Were it started by Playwright, each tab would
believe that it is visible, and none could be hidden.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, async_playwright

__all__ = ["Chromium", "running_chromium"]

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_FLAGS: Final = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",  # containers have little shared memory
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--enable-precise-memory-info",  # without it, performance.memory is rounded, and rarely renewed
    "--no-default-browser-check",
    "--no-first-run",
)
_START: Final = 30.0  # seconds
_LISTENING: Final = "DevTools listening on "


def find_chromium() -> str:
    """Return the path of Chromium: ``$CHROMIUM``, or one that is installed.

    Raises:
        FileNotFoundError: There is none.
    """
    named = os.environ.get("CHROMIUM")
    names = (named,) if named else _NAMES
    for name in names:
        if path := shutil.which(name):
            return path
    raise FileNotFoundError(
        f"there is no {' or '.join(names)}: make chromium, or set CHROMIUM to its path"
    )


class Chromium:
    """A running browser.

    Attributes:
        address: Where it is controlled.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", address: str) -> None:
        self.address: Final = address
        self._process: Final = process

    def kill(self) -> None:
        """End all its processes at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    @asynccontextmanager
    async def controlled(self) -> AsyncGenerator[Browser, None]:
        """Control it by Playwright, which the block ends."""
        async with async_playwright() as playwright:
            browser = await playwright.chromium.connect_over_cdp(self.address, no_defaults=True)
            yield browser
            await browser.close()  # its end alone


@contextmanager
def running_chromium() -> Generator[Chromium, None, None]:
    """Run Chromium with an empty profile; the block ends it."""
    with tempfile.TemporaryDirectory(prefix="enk-", ignore_cleanup_errors=True) as folder:
        log = Path(folder, "log")
        command = (find_chromium(), *_FLAGS, f"--user-data-dir={folder}/profile", "about:blank")
        sandbox = () if os.getuid() else ("--no-sandbox",)  # root cannot have it
        # The log is a file, so that the browser never waits for a reader.
        with (
            log.open("wb") as file,
            subprocess.Popen(
                (*command, *sandbox), stdout=file, stderr=file, process_group=0
            ) as process,
        ):
            try:
                yield Chromium(process, _wait_for_address(process, log))
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def _wait_for_address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """Return the address at which the browser is controlled, which it writes to its log."""
    end = time.monotonic() + _START
    text = ""
    while process.poll() is None and time.monotonic() < end:
        text = log.read_text(errors="replace")
        _, found, rest = text.partition(_LISTENING)
        address, ended, _ = rest.partition("\n")
        if found and ended:
            return address.strip()
        time.sleep(0.02)  # a file has no event
    raise RuntimeError(f"Chromium did not start:\n{text}")
