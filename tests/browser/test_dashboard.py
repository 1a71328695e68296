"""The dashboard's page in Chromium, over WebSocket and over HTTP with server-sent events."""

import asyncio
import importlib
import itertools
import logging
import re
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import enkaku
import pytest
from browser.conftest import Open
from browser.pages import running
from browser.tabs import Tab
from playwright.async_api import expect
from support import WITHIN, Lifetime, soon

DASHBOARD = Path(__file__).parents[2] / "examples" / "dashboard"
SAMPLES = 'tr[data-procedure="metrics/stream"] .received'
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
MIB = 2**20
pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


@dataclass
class Site:
    """The dashboard's server in this process, its handlers, and the calls that watch its log."""

    url: str
    logger: logging.Logger
    metrics: Lifetime
    logs: Lifetime
    watched: list[enkaku.ServerCall]


@pytest.fixture(params=["websocket", "sse"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def site(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Site, None]:
    monkeypatch.syspath_prepend(str(DASHBOARD))
    example, services = importlib.import_module("server"), importlib.import_module("services")
    feed = example.LogFeed()
    monkeypatch.setattr(example.logger, "level", logging.DEBUG)
    monkeypatch.setattr(example.logger, "handlers", [feed])
    monkeypatch.setattr(example.logger, "propagate", False)
    metrics, logs, watched = Lifetime(), Lifetime(), list[enkaku.ServerCall]()

    class Recorded(example.Dashboard):  # type: ignore[misc] # a script's class
        async def metrics_stream(self, *given: Any) -> Any:
            with metrics:
                return await super().metrics_stream(*given)

        async def logs_watch(self, *given: Any) -> Any:
            watched.append(enkaku.current_call())
            with logs:
                return await super().logs_watch(*given)

    sampler = services.Sampler()
    watchdog = services.Watchdog(sampler)
    async with sampler, watchdog:
        handler = Recorded(feed, sampler, watchdog)
        async with example.serve_page(handler, "127.0.0.1", 0) as (_, url):
            yield Site(url, example.logger, metrics, logs, watched)


def server_process(port: int) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    return running(DASHBOARD / "server.py", "--http", f"127.0.0.1:{port}")


async def texts_of(tab: Tab, selector: str, count: int) -> list[str]:
    """Wait until an element has shown so many texts; return them."""
    script = """([selector, count]) => new Promise((resolve) => {
        const seen = new Set()
        const look = () => {
            seen.add(document.querySelector(selector).textContent)
            if (seen.size < count) requestAnimationFrame(look)
            else resolve([...seen])
        }
        look()
    })"""
    return list(await tab.run(script, [selector, count]))


async def test_page_shows_moving_values(
    open_url: Open, site: Site, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = itertools.cycle([12.5, 37.5, 62.5, 87.5])
    monkeypatch.setattr("psutil.cpu_percent", lambda: next(figures))
    tab = await open_url(f"{site.url}?transport={transport}")
    await expect(tab.page.locator("#connection")).to_have_text("Connected")
    seen = await texts_of(tab, "#cpu-value", 4)
    assert len({"12.5", "37.5", "62.5", "87.5"}.intersection(seen)) >= 2
    await expect(tab.page.locator("#cpu-mean")).to_have_text(re.compile(r"\d+\.\d %"))
    assert 0 < float(str(await tab.page.locator("#memory-value").text_content())) <= 100
    line = tab.page.locator("#cpu-chart .line")
    assert str(await line.get_attribute("d")).count("L") > 1
    assert "now" in str(await tab.page.locator("#cpu-chart").get_attribute("aria-label"))
    assert tab.complaints == []


async def test_page_shows_log_from_chosen_level_on(
    open_url: Open, site: Site, transport: str
) -> None:
    tab = await open_url(f"{site.url}?transport={transport}")
    records = tab.page.locator("#log li")
    await expect(records.filter(has_text="sampler: cpu").first).to_be_visible()
    await tab.page.get_by_role("radio", name="warn").check()
    await expect(records.filter(has_text="sampler: cpu").first).to_be_hidden()
    await expect(tab.page.locator('tr[data-procedure="logs/watch"] .sent')).to_have_text("1")
    # What the server says of it is below the level that it says it of; so the next one is asked for.
    await tab.page.get_by_role("radio", name="info").check()
    await expect(records.filter(has_text="shown from info on")).to_be_visible()
    before = await records.filter(has_text="sampler: cpu").count()
    site.logger.debug("sampler: cpu is not shown")
    site.logger.warning("a <b>warning</b>")
    await expect(records.filter(has_text="a <b>warning</b>")).to_be_visible()
    assert await records.filter(has_text="sampler: cpu").count() == before
    await tab.page.get_by_role("radio", name="debug").check()
    await expect(records.filter(has_text="sampler: cpu").first).to_be_visible()
    assert tab.complaints == []


async def test_page_restarts_services(open_url: Open, site: Site, transport: str) -> None:
    tab = await open_url(f"{site.url}?transport={transport}")
    await tab.page.get_by_role("button", name="Restart sampler").click()
    answer = tab.page.locator("#services li").filter(has_text="sampler").locator("output")
    await expect(answer).to_contain_text("runs again after")
    await expect(answer).to_have_attribute("data-outcome", "done")
    await tab.page.locator("#service").fill("<i>teleporter</i>")
    await tab.page.locator("#restart").click()
    answer = tab.page.locator("#restart-answer")
    await expect(answer).to_have_text(
        "UNKNOWN_SERVICE there is no service '<i>teleporter</i>'. Known: sampler, watchdog."
    )
    await expect(answer).to_have_attribute("data-outcome", "failed")
    assert tab.complaints == []


async def test_page_goes_on_after_server_was_killed(
    open_url: Open, transport: str, unused_tcp_port: int
) -> None:
    async with server_process(unused_tcp_port) as server:
        tab = await open_url(f"http://127.0.0.1:{unused_tcp_port}/?transport={transport}")
        await texts_of(tab, SAMPLES, 3)
        server.kill()
        await expect(tab.page.locator("#connection")).to_have_text("Reconnecting")
        await expect(tab.page.locator("#notice")).to_contain_text("Connection lost at")
        await tab.page.get_by_role("button", name="Restart sampler").click()
    async with server_process(unused_tcp_port):
        await expect(tab.page.locator("#connection")).to_have_text("Connected")
        await expect(tab.page.locator("#notice")).to_be_hidden()
        await texts_of(tab, SAMPLES, 3)
        # The restart that was asked for meanwhile has waited for the server.
        await expect(tab.page.locator("#services output").first).to_contain_text("runs again")


@pytest.mark.parametrize("way", ["closed", "left"])
async def test_page_that_goes_ends_its_handlers(
    open_url: Open, site: Site, transport: str, way: str
) -> None:
    tab = await open_url(f"{site.url}?transport={transport}")
    await soon(site.metrics.began, site.logs.began)
    await (tab.page.close() if way == "closed" else tab.page.goto("about:blank"))
    await soon(site.metrics.ended, site.logs.ended)


async def test_hidden_page_keeps_its_memory(open_url: Open, site: Site, transport: str) -> None:
    tab = await open_url(f"{site.url}?transport={transport}")
    rows = tab.page.locator("#log li")
    await expect(rows.first).to_be_visible()
    await open_url("about:blank")
    assert await tab.run("() => document.visibilityState") == "hidden"
    drawn = await rows.count()
    before = await tab.used_heap()
    async with asyncio.timeout(4 * WITHIN):
        while site.watched[-1].items_sent < 10_000:
            site.logger.debug("one of many records, which are of some length: %s", "x" * 500)
            await asyncio.sleep(0)  # the feed drops records that the page is too slow for
    assert await tab.used_heap() - before < 3 * MIB
    assert await rows.count() == drawn
    await tab.page.bring_to_front()
    await expect(rows).to_have_count(500)
    assert tab.complaints == []


async def test_page_is_used_by_keyboard(open_url: Open, site: Site) -> None:
    tab = await open_url(site.url)
    focused = "() => document.activeElement.id || document.activeElement.value || document.activeElement.ariaLabel"
    keyboard = tab.page.keyboard
    await expect(tab.page.locator("#connection")).to_have_text("Connected")
    seen: list[str] = []
    while "service" not in seen:
        await keyboard.press("Tab")
        seen.append(str(await tab.run(focused)))
        assert len(seen) < 20, seen
        outline = "() => getComputedStyle(document.activeElement).outlineStyle"
        if seen[-1] == "debug":
            await keyboard.press("ArrowRight")
            await keyboard.press("ArrowRight")
            await expect(tab.page.locator("#log")).to_have_attribute("data-from", "warn")
        elif seen[-1] == "theme":
            await keyboard.press("Space")
            await expect(tab.page.locator("html")).to_have_attribute("data-theme", "dark")
            assert await tab.run(outline) != "none"
        elif seen[-1] == "Restart sampler":
            await keyboard.press("Enter")
            answer = tab.page.locator("#services output").first
            await expect(answer).to_contain_text("runs again after")
    assert {"theme", "debug", "log-scroll", "Restart sampler", "Restart watchdog"} <= set(seen)
    await keyboard.type("x")
    await keyboard.press("Enter")
    await expect(tab.page.locator("#restart-answer")).to_contain_text("UNKNOWN_SERVICE")
    assert tab.complaints == []


async def test_page_on_phone_has_no_horizontal_scroll(open_url: Open, site: Site) -> None:
    tab = await open_url(site.url, **PHONE)
    await expect(tab.page.locator("#log li").first).to_be_visible()
    site.logger.warning("a long record: %s", "x" * 500)
    await expect(tab.page.locator("#log li").filter(has_text="a long record")).to_be_visible()
    await tab.page.locator("#service").fill("y" * 100)
    await tab.page.locator("#restart").click()
    await expect(tab.page.locator("#restart-answer")).to_contain_text("UNKNOWN_SERVICE")
    width = "() => [document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth]"
    assert await tab.run(width) == [360, 360, 360]
    assert tab.complaints == []
