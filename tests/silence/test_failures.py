"""Each row of docs/failures.md: the caller gets what it says, when it says, and the server lets go."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import enkaku
import pytest
from silence.server import GRACE
from silence.states import STATES, Place
from silence.table import Row, named_tests, open_calls, read
from silence.timing import SLACK
from silence.ways import WAYS, Settings, Stage, Way
from support import LONG

ROOT = Path(__file__).parent.parent
TABLE = read()


@dataclass(frozen=True)
class Bound:
    """Between which times a call ends, in seconds, and the settings that make them small."""

    least: float
    most: float
    settings: Settings


BOUNDS = {
    "at once": Bound(0, 0, Settings(connection={"limits": enkaku.Limits(message_size=20_000)})),
    "`timeout`": Bound(0.5, 0.5, Settings(connection={"timeout": 0.5}, stream=0.5)),
    "`deadline()`": Bound(0.5, 0.5, Settings(deadline=0.5)),
    "twice `Limits.silence`": Bound(
        0.3, 0.6, Settings(connection={"limits": enkaku.Limits(silence=0.3)})
    ),
    "`Limits.unread_time`": Bound(
        0.4, 0.5, Settings(connection={"limits": enkaku.Limits(unread_time=0.4)})
    ),
    "`keepalive`": Bound(1.0, 4.0, Settings()),
    "`within`": Bound(0.3, 0.3, Settings(within=0.3)),
    "`grace`": Bound(0, GRACE, Settings()),
    "`close_timeout`": Bound(0.3, 0.3, Settings(server={"close_timeout": 0.3})),
    "`Limits.request_time`": Bound(0.3, 0.3, Settings(server={"request_time": 0.3})),
}


@dataclass(frozen=True)
class Case:
    """All calls of one section that the same bound ends; they are made at once, each on a connection of its own."""

    section: str
    within: str
    way: Way
    number: int

    def __str__(self) -> str:
        return f"{self.section}, {self.within} ({self.number})"

    @property
    def rows(self) -> list[Row]:
        return [row for row in TABLE[self.section] if row.within == self.within]


CASES = [
    Case(section, within, way, number)
    for section, rows in TABLE.items()
    for within in dict.fromkeys(row.within for row in rows)
    for number, way in enumerate(WAYS[section], 1)
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_call_ends_as_the_table_says(socket_path: Path, case: Case) -> None:
    bound = BOUNDS[case.within]
    rows = case.rows
    async with asyncio.timeout(LONG), case.way(socket_path, bound.settings) as stage:
        async with AsyncExitStack() as stack:
            places = [await stack.enter_async_context(place(stage, bound.settings)) for _ in rows]
            tasks = [
                asyncio.create_task(end_of(row, where, bound))
                for row, where in zip(rows, places, strict=True)
            ]
            for row, where in zip(rows, places, strict=True):
                await arrival(row, where)
            await stage.strike()
            for where in places:
                where.strike()
            ends = await asyncio.gather(*tasks)
            await asyncio.gather(*(where.connection.close(within=0.1) for where in places))
        assert dict(zip((row.state for row in rows), ends, strict=True)) == {
            row.state: f"{row.gets}, in time" for row in rows
        }
        for what in {row.server for row in rows}:
            await stage.server[what]()


@asynccontextmanager
async def place(stage: Stage, settings: Settings) -> AsyncGenerator[Place, None]:
    async with stage.connect() as connection:
        yield Place(connection, stage, settings.stream, settings.within)


async def arrival(row: Row, where: Place) -> None:
    try:
        async with asyncio.timeout(SLACK * 2):
            await where.arrived.wait()
    except TimeoutError:
        pytest.fail(f"never reached: {row.state}")


async def end_of(row: Row, where: Place, bound: Bound) -> str:
    """Make a call, and say how it ended, and whether in time."""
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
            end = "nothing: it is closed" if connected else "its result"
    return f"{end}, {timing(where, bound)}"


def timing(where: Place, bound: Bound) -> str:
    passed = where.watch.passed
    late = min(passed, where.since_strike.passed) - bound.most
    if passed < bound.least - 0.02:
        return f"after {passed:.3f} s, too early"
    return "in time" if late <= SLACK else f"{late:.3f} s too late"


def test_every_way_and_every_state_is_in_the_table() -> None:
    assert set(TABLE) == set(WAYS)
    tried = {row.state for rows in TABLE.values() for row in rows}
    assert tried == set(STATES)
    assert set(open_calls()) < tried
    assert {row.within for rows in TABLE.values() for row in rows} == set(BOUNDS)


def test_each_test_that_the_document_names_is_there() -> None:
    sources = "".join(path.read_text() for path in ROOT.rglob("test_*.py"))
    names = named_tests()
    assert len(names) > 30
    missing = [name for name in names if f"def {name}(" not in sources]
    assert missing == []
