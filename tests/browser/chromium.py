"""Chromium for tests and screenshots, driven by Playwright.

The browser is a process with an empty profile, and Playwright connects to it. Were it started by Playwright, each tab would
believe that it is visible, and none could be hidden.
"""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
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


class Chromium:
    """A running browser.

    Attributes:
        browser: What Playwright controls it by.
    """

    def __init__(self, browser: Browser, process: asyncio.subprocess.Process) -> None:
        self.browser: Final = browser
        self._process: Final = process

    def kill(self) -> None:
        """End all its processes at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


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


@asynccontextmanager
async def running_chromium() -> AsyncGenerator[Chromium, None]:
    """Run Chromium with an empty profile; the block ends it."""
    with tempfile.TemporaryDirectory(prefix="enk-", ignore_cleanup_errors=True) as folder:
        log = Path(folder, "log")
        with log.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                find_chromium(),
                *_FLAGS,
                *(() if os.getuid() else ("--no-sandbox",)),  # root cannot have it
                f"--user-data-dir={folder}/profile",
                "about:blank",
                stdout=asyncio.subprocess.DEVNULL,
                stderr=file,
                process_group=0,
            )
        try:
            address = await _address(process, log)
            async with async_playwright() as playwright:
                browser = await playwright.chromium.connect_over_cdp(address, no_defaults=True)
                chromium = Chromium(browser, process)
                yield chromium
                await browser.close()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _address(process: asyncio.subprocess.Process, log: Path) -> str:
    """Wait for the address at which the browser is controlled, which it writes to its log."""
    async with asyncio.timeout(_START):
        # The log is a file, so that the browser never waits for a reader; a file has no event.
        while process.returncode is None:
            _, found, rest = log.read_text(errors="replace").partition(_LISTENING)
            address, ended, _ = rest.partition("\n")
            if found and ended:
                return address.strip()
            await asyncio.sleep(0.02)
    raise RuntimeError(f"Chromium did not start:\n{log.read_text(errors='replace')}")
