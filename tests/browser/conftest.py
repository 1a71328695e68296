"""Fixtures of tests in a browser."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, TypeAlias

import pytest
from browser.chromium import Chromium, running_chromium
from browser.tabs import Tab, open_tab

Open: TypeAlias = Callable[..., Awaitable[Tab]]
"""Opens a URL in a tab."""


@pytest.fixture(scope="session")
def chromium() -> Generator[Chromium, None, None]:
    with running_chromium() as running:
        yield running


@pytest.fixture
async def open_url(chromium: Chromium) -> AsyncGenerator[Open, None]:
    """Open URLs in tabs, in which every error must be caught."""
    tabs: list[Tab] = []

    async with chromium.controlled() as browser:

        async def open_and_watch(url: str, **context: Any) -> Tab:
            tabs.append(await open_tab(browser, url, **context))
            return tabs[-1]

        yield open_and_watch
        for tab in tabs:
            await tab.page.close()
    assert [each for tab in tabs for each in tab.uncaught] == []


@pytest.fixture(params=["websocket", "http"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)
