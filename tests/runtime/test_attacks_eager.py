"""Event loops whose tasks begin before ``create_task`` returns, as a program of Python 3.12 may have them."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import enkaku
import pytest
from support import ECHO, VOID, Connect, Serving

_ITEM = "x" * 5000


@pytest.fixture(autouse=True)
async def eager_tasks() -> None:
    if sys.version_info < (3, 12):
        pytest.skip("Python 3.12 has eager tasks")
    else:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)


async def test_a_small_backlog_does_not_end_the_reading(connect: Connect) -> None:
    async def echo(text: str) -> str:
        return text

    limits = enkaku.Limits(backlog=10)
    async with connect(Serving(echo=echo), limits=limits) as connection:
        for _ in range(5):
            asking = [connection.request(ECHO, _ITEM, timeout=5) for _ in range(10)]
            assert await asyncio.gather(*asking) == [_ITEM] * 10


async def test_a_lifespan_that_refuses_at_once_turns_its_client_away(connect: Connect) -> None:
    @asynccontextmanager
    async def lifespan(_: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        if _ITEM:
            raise PermissionError
        yield

    async with connect(Serving(), lifespan=lifespan) as connection:
        with pytest.raises(enkaku.ConnectionLost):
            await connection.request(VOID, None, timeout=5)
