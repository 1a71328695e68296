"""What the tests of the browser runtime call. As a program, it serves at the port of its first argument, until SIGTERM."""

import asyncio
import os
import signal
import sys
from typing import Any

import enkaku
from support import OutOfStock, Serving, Shortage, Tired
from web.caller import CALL, METADATA, call


class _Counted:
    """Counts the handlers that wait without an end, and what ``tell`` adds."""

    running = 0

    def __enter__(self) -> None:
        _Counted.running += 1

    def __exit__(self, *_: object) -> None:
        _Counted.running -= 1


async def _forever() -> int:
    with _Counted():
        await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def ask(param: int) -> int:
    """Double a number; negative ones have meanings of their own."""
    match param:
        case -1:
            raise OutOfStock("none left", Shortage(missing=3))
        case -2:
            raise ValueError("a secret")
        case -3:
            return await _forever()
        case -4:
            return _Counted.running
        case -5:
            raise Tired("tired")
        case -6:
            os.kill(os.getpid(), signal.SIGKILL)
    return 2 * param


async def watch(param: int, stream: enkaku.ServerStream[int]) -> int:
    """Count up to a number; -1 counts until the client closes, -3 waits."""
    if param == -3:
        return await _forever()
    sent = 0
    with _Counted():
        async with stream.until_closed():
            while param == -1 or sent < param:
                await stream.send(sent)
                sent += 1
                if param == -1:
                    await asyncio.sleep(0.001)
    return sent


async def talk(param: int, channel: enkaku.ServerChannel[int, int]) -> int:
    """Add a number to each item; return the sum of the items. 13 ends it with an error."""
    total = 0
    with _Counted():
        async for item in channel:
            if item == 13:
                raise OutOfStock("unlucky", Shortage(missing=item))
            await channel.send(item + param)
            total += item
    return total


async def pour(param: int, stream: enkaku.ServerStream[str]) -> int:
    """Send ten strings of a length."""
    for _ in range(10):
        await stream.send("é" * param)
    return param


async def fill(param: int, channel: enkaku.ServerChannel[str, str]) -> int:
    """Read items after some milliseconds; return how many characters they have."""
    await asyncio.sleep(param / 1000)
    return sum([len(item) async for item in channel])


async def echo(param: str) -> str:
    return param


async def tell(data: int) -> None:
    """Add to the number of handlers."""
    _Counted.running += data


async def metadata() -> dict[str, str]:
    return dict(enkaku.current_call().metadata)


async def metadata_later(stream: enkaku.ServerStream[int]) -> dict[str, str]:
    return await metadata()


_METADATA_LATER = enkaku.Stream[None, int, dict[str, str]](
    "metadata/later", receive=int, result=dict[str, str]
)


class _Calling(Serving):
    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (
            *super().__routes__(),
            enkaku.Route.request(CALL, call),
            enkaku.Route.request(METADATA, metadata),
            enkaku.Route.stream(_METADATA_LATER, metadata_later),
        )


def handler() -> enkaku.Handler:
    methods: dict[str, Any] = {
        "ask": ask,
        "watch": watch,
        "talk": talk,
        "pour": pour,
        "fill": fill,
        "echo": echo,
        "tell": tell,
    }
    return _Calling(**methods)


async def main(port: int) -> None:
    async with enkaku.serve_http(handler(), port=port) as server:
        print(server.port, flush=True)  # noqa: T201 # for the test that has started it
        await server.serve_forever(grace=1)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
