"""Access rules where calls go both ways, and over HTTP."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import enkaku
import pytest
from support import ASK, TICK, VOID, WITHIN, Serving

ME = f"unix:{os.getuid()}"


async def double(number: int) -> int:
    return 2 * number


class Callbacks(enkaku.Handler):
    """The handler of a client."""

    @enkaku.allow({ME})
    async def ask(self, number: int) -> int:
        return number

    @enkaku.allow({"unix:12345678"})
    async def void(self) -> None: ...

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return enkaku.Route.request(ASK, self.ask), enkaku.Route.request(VOID, self.void)


async def call_back(number: int) -> int:
    """Call both procedures of the client; return how many of the calls were allowed."""
    client: Any = enkaku.current_call().connection.client(lambda peer: peer)
    allowed = 0
    for procedure, param in ((ASK, number), (VOID, None)):
        with suppress(enkaku.CallError):
            await client.request(procedure, param)
            allowed += 1
    return allowed


async def test_rule_at_method_of_client_holds_for_its_server(socket_path: Path) -> None:
    async with (
        enkaku.serve_unix(Serving(ask=call_back), socket_path),
        enkaku.connect_unix(socket_path, handler=Callbacks()) as connection,
    ):
        assert await connection.request(ASK, 1, timeout=WITHIN) == 1


async def test_rule_at_method_of_client_holds_over_http() -> None:
    async with enkaku.serve_http(Serving(ask=call_back)) as server:
        async with enkaku.connect_http(server.addresses[0], handler=Callbacks()) as connection:
            assert await connection.request(ASK, 1, timeout=WITHIN) == 0  # who serves, is unknown


async def test_rate_limit_of_address_holds_for_sessions_over_http() -> None:
    async def tick(stream: enkaku.ServerStream[int]) -> None: ...

    limits = enkaku.RateLimits(per_connection=(0.001, 2))
    async with enkaku.serve_http(Serving(tick=tick), rate_limits=limits) as server:
        for allowed in (True, True, False):
            async with enkaku.connect_http(server.addresses[0]) as connection:
                async with connection.stream(TICK, None) as stream:
                    if allowed:
                        await stream.result()
                    else:
                        with pytest.raises(enkaku.CallError, match="EKP03"):
                            await stream.result()
