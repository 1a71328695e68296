"""Screenshots of the dashboard's page for the documents: ``python -m browser.screenshots DIRECTORY``.

A handler with figures and records of its own poses for them, so that they come out alike on every machine.
"""

import asyncio
import importlib
import math
import sys
from pathlib import Path
from typing import Any, Final, Literal

from browser.chromium import running_chromium
from browser.tabs import open_tab
from playwright.async_api import Browser, expect

_DASHBOARD: Final = Path(__file__).parents[2] / "examples" / "dashboard"
_NOW: Final = 1_796_031_672_000  # milliseconds since 1970
_INTERVAL: Final = 250  # ms
_SAMPLES: Final = 240  # a minute
_SIZE_MAX: Final = 150 * 1024
_SAMPLED: Final = "sampler: cpu {cpu:.1f} %, memory {memory:.1f} %"
_RECORDS: Final = sorted(
    (
        *((float(ago), "debug", _SAMPLED) for ago in range(8, 60, 12)),
        (55.0, "info", "watchdog: warns when the cpu stays above 85 %"),
        (30.4, "warn", "watchdog: cpu at {cpu:.1f} % and not calming down"),
        (27.2, "info", "watchdog: calm again, cpu at {cpu:.1f} %"),
        (11.3, "error", "backup: no space left on the disk"),
        (4.1, "warn", "restart: there is no service 'teleporter'"),
        (2.6, "warn", "sampler: stopping for a restart"),
        (2.3, "info", "sampler: runs again after 0.25 s"),
    ),
    reverse=True,
)  # seconds ago, level, message


def _posing() -> Any:
    """Return a handler for the dashboard's protocol, whose calls stay open until they are closed."""
    protocol = importlib.import_module("dashboard_protocol")

    class Posing(protocol.DashboardHandler):  # type: ignore[misc] # imported by name
        async def metrics_stream(self, param: Any, stream: Any) -> Any:
            async with stream.until_closed():
                for number in range(_SAMPLES):
                    cpu, memory = _figures(number / _SAMPLES)
                    time = _NOW - (_SAMPLES - 1 - number) * _INTERVAL
                    await stream.send(
                        protocol.MetricsStreamReceive(cpu=cpu, memory=memory, timestamp=time)
                    )
                await asyncio.Event().wait()
            return protocol.MetricsStreamResult(total_samples=_SAMPLES)

        async def logs_watch(self, param: Any, channel: Any) -> Any:
            async with channel.until_closed():
                for before, level, message in _RECORDS:
                    cpu, memory = _figures(1 - before / 60)
                    text, time = message.format(cpu=cpu, memory=memory), _NOW - before * 1000
                    await channel.send(
                        protocol.LogsWatchReceive(level=level, message=text, timestamp=time)
                    )
                await asyncio.Event().wait()
            return protocol.LogsWatchResult(total_logs=len(_RECORDS))

        async def system_restart(self, param: Any) -> Any:
            known = ["sampler", "watchdog"]
            if param.service not in known:
                raise protocol.SystemRestartUnknownService(
                    f"there is no service {param.service!r}",
                    protocol.SystemRestartUnknownServiceData(known=known),
                )
            return protocol.SystemRestartResult(success=True, message="runs again after 0.25 s")

    return Posing()


def _figures(part: float) -> tuple[float, float]:
    """Return cpu and memory at a part of the minute, from 0 to 1."""
    peak = 66 * math.exp(-(((part - 0.48) / 0.08) ** 2))
    waves = 9 * math.sin(23 * part) + 5 * math.sin(61 * part + 1) + 3 * math.sin(157 * part)
    return max(2.0, 34 + peak + waves), 48 + 5 * part + 0.6 * math.sin(19 * part)


async def _take(browser: Browser, url: str, scheme: Literal["light", "dark"], path: Path) -> None:
    tab = await open_tab(
        browser,
        url,
        viewport={"width": 1180, "height": 970},
        color_scheme=scheme,
        locale="en-US",
        timezone_id="UTC",
    )
    page = tab.page
    await expect(page.locator("#log li")).to_have_count(len(_RECORDS))
    await expect(page.locator('tr[data-procedure="metrics/stream"] .received')).to_have_text(
        str(_SAMPLES)
    )
    await page.get_by_role("button", name="Restart sampler").click()
    await page.locator("#restart").click()
    await expect(page.locator("#restart-answer")).to_contain_text("UNKNOWN_SERVICE")
    await tab.run("""() => {
        document.querySelector("#host").textContent = "127.0.0.1:8000"
        document.activeElement.blur()
    }""")
    await page.mouse.move(0, 0)
    await page.screenshot(path=path, animations="disabled")
    assert tab.complaints == tab.uncaught == []
    assert path.stat().st_size < _SIZE_MAX, f"{path} has {path.stat().st_size} bytes"


async def main(directory: Path) -> None:
    """Write ``dashboard-light.png`` and ``dashboard-dark.png``."""
    sys.path.insert(0, str(_DASHBOARD))
    directory.mkdir(exist_ok=True)
    serve_page = importlib.import_module("page").serve_page
    with running_chromium() as chromium:
        async with serve_page(_posing(), "127.0.0.1", 0) as (_, url), chromium.controlled() as each:
            await _take(each, url, "light", directory / "dashboard-light.png")
            await _take(each, url, "dark", directory / "dashboard-dark.png")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
