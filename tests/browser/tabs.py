"""Tabs of the browser, with what goes wrong in them."""

import asyncio
from typing import Any, Final

from playwright.async_api import Browser, CDPSession, ConsoleMessage, Error, Page, expect
from support import WITHIN

__all__ = ["Tab", "open_tab"]

expect.set_options(timeout=WITHIN * 1000)


class Tab:
    """A tab.

    Attributes:
        page: What Playwright controls it by.
        uncaught: Errors that nothing has caught, rejected promises among them.
        complaints: Errors and warnings of the console.
    """

    def __init__(self, page: Page) -> None:
        self.page: Final = page
        self.uncaught: Final[list[str]] = []
        self.complaints: Final[list[str]] = []
        page.on("pageerror", self._on_error)
        page.on("console", self._on_console)
        page.set_default_timeout(WITHIN * 1000)

    async def run(self, script: str, argument: object = None, *, within: float = WITHIN) -> Any:
        """Evaluate a function in the page; return what it returns, within a bound of seconds."""
        async with asyncio.timeout(within):
            return await self.page.evaluate(script, argument)

    async def tools(self) -> CDPSession:
        """Return what the browser's own tools control the tab by."""
        return await self.page.context.new_cdp_session(self.page)

    async def used_heap(self) -> int:
        """Collect garbage; return the bytes of the heap that are in use."""
        tools = await self.tools()
        await tools.send("HeapProfiler.collectGarbage")
        used = (await tools.send("Runtime.getHeapUsage"))["usedSize"]
        await tools.detach()
        return int(used)

    def _on_error(self, error: Error) -> None:
        self.uncaught.append(str(error))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


async def open_tab(browser: Browser, url: str, **context: Any) -> Tab:
    """Open a URL in a tab; with options, such as a size, in a window of its own."""
    within = await browser.new_context(**context) if context else browser.contexts[0]
    tab = Tab(await within.new_page())
    await tab.page.goto(url)
    return tab
