"""What the client shows: a panel that updates itself in a terminal, plain lines anywhere else."""

import sys
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from dashboard_protocol import LogsWatchReceive, MetricsStreamReceive
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

BARS = "▁▂▃▄▅▆▇█"
STYLES = {"debug": "bright_black", "info": "cyan", "warn": "yellow", "error": "bold red"}
WIDEST = 100  # columns; longer lines are hard to read
HISTORY = 20  # figures
ANSWERS = 2  # lines


class Display(Protocol):
    """What the client tells, one method for each thing."""

    def metrics(self, item: MetricsStreamReceive) -> None:
        """Show new figures."""

    def record(self, item: LogsWatchReceive) -> None:
        """Show a record of the log."""

    def level(self, level: str) -> None:
        """Show from which level on the log is wanted now."""

    def answer(self, service: str, text: str, *, ok: bool) -> None:
        """Show what came of a restart."""


@contextmanager
def open_display(where: str, *, plain: bool) -> Generator[Display, None, None]:
    """Show a panel where there is a terminal for it, until the block ends."""
    console = Console(highlight=False)
    if plain or not sys.stdout.isatty() or console.is_dumb_terminal or console.options.ascii_only:
        yield Lines(where)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield LivePanel(where, live)


class Lines:
    """Prints a line for everything."""

    def __init__(self, where: str) -> None:
        _print("server", where)

    def metrics(self, item: MetricsStreamReceive) -> None:
        """Show new figures."""
        _print("metrics", f"cpu {item.cpu:5.1f} %  memory {item.memory:5.1f} %")

    def record(self, item: LogsWatchReceive) -> None:
        """Show a record of the log."""
        _print("log", f"{_clock(item.timestamp)} {item.level:5} {item.message}")

    def level(self, level: str) -> None:
        """Show from which level on the log is wanted now."""
        _print("level", level)

    def answer(self, service: str, text: str, *, ok: bool) -> None:
        """Show what came of a restart."""
        _print("restart", f"{service} {'done' if ok else 'failed'}: {text}")


class LivePanel:
    """Draws one panel again and again, always of the same height."""

    def __init__(self, where: str, live: Live) -> None:
        self._where = where
        self._live = live
        self._cpu: deque[float] = deque(maxlen=HISTORY)
        self._memory: deque[float] = deque(maxlen=HISTORY)
        self._level = ""
        self._log: deque[LogsWatchReceive] = deque(maxlen=10)
        self._answers: deque[Text] = deque(maxlen=ANSWERS)

    def metrics(self, item: MetricsStreamReceive) -> None:
        """Show new figures."""
        self._cpu.append(item.cpu)
        self._memory.append(item.memory)
        self._draw()

    def record(self, item: LogsWatchReceive) -> None:
        """Show a record of the log."""
        self._log.append(item)
        self._draw()

    def level(self, level: str) -> None:
        """Show from which level on the log is wanted now."""
        self._level = level
        self._draw()

    def answer(self, service: str, text: str, *, ok: bool) -> None:
        """Show what came of a restart."""
        mark = ("✓ ", "green") if ok else ("✗ ", "red")
        self._answers.append(Text.assemble(mark, (f"{service:11}", "bold"), _printable(text)))
        self._draw()

    def _draw(self) -> None:
        width, height = self._live.console.size
        level = (self._level, STYLES.get(self._level, ""))
        parts = Group(
            self._figures(),
            Rule(Text.assemble("log from ", level, " on"), align="left", style="dim"),
            self._records(rows=max(2, min(10, height - 12))),
            Rule(Text("restarts"), align="left", style="dim"),
            _rows(self._answers, ANSWERS),
        )
        title = Text.assemble(" Dashboard ", ("at ", "dim"), self._where, " ")
        # Narrower than the terminal, so that the ^C which it echoes fits behind the last line.
        panel = Panel(parts, title=title, border_style="blue", width=min(width - 2, WIDEST))
        self._live.update(panel, refresh=True)

    def _figures(self) -> RenderableType:
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(width=6)
        table.add_column(ratio=1)
        table.add_column(width=7, justify="right")
        table.add_column(width=HISTORY, no_wrap=True)
        for name, figures in (("cpu", self._cpu), ("memory", self._memory)):
            now = figures[-1] if figures else 0.0
            style = "red" if now > 85 else "yellow" if now > 60 else "green"
            bar = ProgressBar(completed=now, complete_style=style, finished_style=style)
            table.add_row(name, bar, f"{now:.1f} %", Text(_spark(figures), style))
        return table

    def _records(self, rows: int) -> RenderableType:
        lines = [
            Text.assemble(
                (f"{_clock(item.timestamp)} ", "dim"),
                (f"{item.level:5} ", STYLES.get(item.level, "")),
                _printable(item.message),
            )
            for item in list(self._log)[-rows:]
        ]
        return _rows(lines, rows)


def _rows(lines: Iterable[Text], rows: int) -> RenderableType:
    """Put lines below each other, each cut to the width, as many rows as told."""
    table = Table.grid(expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for line in lines:
        table.add_row(line)
    for _ in range(rows - table.row_count):
        table.add_row("")
    return table


def _print(topic: str, text: str) -> None:
    print(f"{topic:8}{_printable(text)}", flush=True)


def _printable(text: str) -> str:
    """Replace what could break the line, or command the terminal: the text comes from elsewhere."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _spark(figures: Iterable[float]) -> str:
    """Draw percentages as a row of little bars."""
    highest = len(BARS) - 1
    return "".join(BARS[min(highest, max(0, round(each / 100 * highest)))] for each in figures)


def _clock(milliseconds: float) -> str:
    local = datetime.fromtimestamp(milliseconds / 1000).astimezone()
    return local.strftime("%H:%M:%S.%f")[:12]
