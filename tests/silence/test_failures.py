"""Checks each row of docs/failures.md: the caller's result and its time, and that the server ends the call."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import enkaku
import pytest
from silence.proofs import ALSO, PROOFS
from silence.server import GRACE
from silence.states import STATES, CallContext
from silence.table import Row, open_calls, other_rows, read
from silence.timing import SLACK
from silence.ways import WAYS, Settings, Stage, Way
from support import LONG

ROOT = Path(__file__).parent.parent
TABLE = read()


@dataclass(frozen=True)
class Bound:
    """The range of times at which a call ends, in seconds, and the settings for it."""

    least: float
    most: float
    settings: Settings


SERVER_TIMES = {"close_timeout": 0.3, "request_time": 0.3}
BOUNDS = {
    "at once": Bound(0, 0, Settings(connection={"limits": enkaku.Limits(message_size=20_000)})),
    "`timeout`": Bound(0.4, 0.4, Settings(connection={"timeout": 0.4}, stream=0.4)),
    "`deadline()`": Bound(0.4, 0.4, Settings(deadline=0.4)),
    "twice `Limits.silence`": Bound(
        0.2, 0.4, Settings(connection={"limits": enkaku.Limits(silence=0.2)})
    ),
    "`Limits.unread_time`": Bound(
        0.3, 0.4, Settings(connection={"limits": enkaku.Limits(unread_time=0.3)})
    ),
    "`keepalive`": Bound(1.0, 4.0, Settings()),
    "`within`": Bound(0.3, 0.3, Settings(within=0.3)),
    "`grace`": Bound(0, GRACE, Settings()),
    "`close_timeout`": Bound(0.3, 0.3, Settings(server=SERVER_TIMES)),
    "`Limits.request_time`": Bound(0.3, 0.3, Settings(server=SERVER_TIMES)),
}
COUNTED = {"`timeout`", "`deadline()`", "`close_timeout`", "`Limits.request_time`"}
"""Bounds whose time begins with the call, not with the server's failure."""


@dataclass(frozen=True)
class Case:
    """The calls of one section to servers with the same timeouts; they run at once, each on its own connection."""

    section: str
    way: Way
    number: int
    rows: list[Row]

    def __str__(self) -> str:
        within = ", ".join(dict.fromkeys(row.within for row in self.rows))
        return f"{self.section}, {within} ({self.number})"


def cases() -> Iterator[Case]:
    for section, rows in TABLE.items():
        for times in ({}, SERVER_TIMES):
            same = [row for row in rows if BOUNDS[row.within].settings.server == times]
            for number, way in enumerate(WAYS[section] if same else [], 1):
                yield Case(
                    section, way, number, sorted(same, key=lambda row: row.within in COUNTED)
                )


@pytest.mark.parametrize("case", list(cases()), ids=str)
async def test_call_ends_as_failures_table_says(socket_path: Path, case: Case) -> None:
    times = BOUNDS[case.rows[0].within].settings.server
    async with asyncio.timeout(LONG), case.way(socket_path, times) as stage:
        async with AsyncExitStack() as stack:
            contexts = [await stack.enter_async_context(connected(stage, row)) for row in case.rows]
            tasks = list[asyncio.Task[str]]()
            for row, where in zip(case.rows, contexts, strict=True):
                tasks.append(asyncio.create_task(end_of(row, where, BOUNDS[row.within])))
                await arrival(row, where)
            await stage.strike()
            for where in contexts:
                where.strike()
            ends = await asyncio.gather(*tasks)
            await asyncio.gather(*(where.connection.close(within=0.1) for where in contexts))
        assert {(row.state, row.within): end for row, end in zip(case.rows, ends, strict=True)} == {
            (row.state, row.within): f"{row.gets}, in time" for row in case.rows
        }
        for what in {row.server for row in case.rows}:
            await stage.server[what]()


@asynccontextmanager
async def connected(stage: Stage, row: Row) -> AsyncGenerator[CallContext, None]:
    settings = BOUNDS[row.within].settings
    async with stage.connect(settings) as connection:
        yield CallContext(connection, stage, settings)


async def arrival(row: Row, where: CallContext) -> None:
    try:
        async with asyncio.timeout(SLACK * 2):
            await where.arrived.wait()
    except TimeoutError:
        pytest.fail(f"never reached: {row.state}")


async def end_of(row: Row, where: CallContext, bound: Bound) -> str:
    """Make a call, and return how it ended, and whether in time."""
    where.start_again()
    with enkaku.deadline(bound.settings.deadline):
        try:
            async with asyncio.timeout(bound.most + 3 * SLACK):
                await STATES[row.state](where)
        except enkaku.CallError as error:
            end = f"`{type(error).__name__}`"
            if type(error) is enkaku.CallError:
                end += f" `{error.code}`"
        except enkaku.EnkakuError as error:
            end = f"`{type(error).__name__}`"
        except TimeoutError:
            return "never"
        else:
            connected = row.state == "the connection is closing"
            end = "nothing: the connection is closed" if connected else "its result"
    return f"{end}, {timing(where, bound)}"


def timing(where: CallContext, bound: Bound) -> str:
    passed = where.watch.passed
    late = min(passed, where.since_strike.passed) - bound.most
    if passed < bound.least - 0.02:
        return f"after {passed:.3f} s, too early"
    return "in time" if late <= SLACK else f"{late:.3f} s too late"


def test_failures_table_covers_every_fault_and_state() -> None:
    assert set(TABLE) == set(WAYS)
    tried = {row.state for rows in TABLE.values() for row in rows}
    assert tried == set(STATES)
    assert set(open_calls()) < tried
    assert {row.within for rows in TABLE.values() for row in rows} == set(BOUNDS)


def test_failures_rows_without_case_name_their_tests() -> None:
    assert {section: list(rows) for section, rows in PROOFS.items()} == other_rows()
    assert all(tests for rows in PROOFS.values() for tests in rows.values())


def test_failures_named_tests_exist() -> None:
    sources = "".join(path.read_text() for path in ROOT.rglob("test_*.py"))
    named = {name for rows in PROOFS.values() for tests in rows.values() for name in tests}
    missing = [name for name in sorted({*named, *ALSO}) if f"def {name}(" not in sources]
    assert missing == []
