"""What a client makes of a server's credits, whatever comes first."""

import asyncio
from pathlib import Path

import enkaku
import pytest
from support import FILL, facing

_ITEM = "x" * 60_000


async def test_a_channel_that_is_refused_says_nothing_about_credits(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        async with connection.channel(FILL, 1) as refused:
            opening = await peer.read()
            peer.send(typ="error", rid=opening["rid"], code="EK03", data={}, msg="Too many")
            with pytest.raises(enkaku.CallError):
                await refused.result()
        async with connection.channel(FILL, 1) as channel:
            sending = asyncio.create_task(_send_on(channel, 20))
            while (payload := await peer.read())["typ"] in {"channel", "send"}:
                pass
            assert payload["typ"] == "request"  # it asks whether this server counts
            assert channel.call.items_sent <= 2
            channel.abort()
            with pytest.raises(enkaku.CallClosed):
                await sending


async def _send_on(channel: enkaku.ClientChannel[str, str, int], count: int) -> None:
    for _ in range(count):
        await channel.send(_ITEM)
