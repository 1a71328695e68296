"""Count over a socket: a server and its client in one program.

Run it: ``python examples/counter/main.py``
"""

import asyncio
import tempfile
from pathlib import Path

import enkaku
from counter_protocol import (
    CounterClient,
    CounterHandler,
    CounterParam,
    CounterReceive,
    CounterResult,
)


class Counter(CounterHandler):
    """The server's side."""

    async def counter(
        self, param: CounterParam, stream: enkaku.ServerStream[CounterReceive]
    ) -> CounterResult:
        """Count from 1 to max."""
        for count in range(1, param.max + 1):
            await stream.send(CounterReceive(count=count))
        return CounterResult(total=param.max)


async def main() -> None:
    """Serve, connect, and count."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "counter.sock")
        async with enkaku.serve_unix(Counter(), path), enkaku.connect_unix(path) as connection:
            client = CounterClient(connection)
            async with client.counter(CounterParam(max=3)) as stream:
                async for item in stream:
                    print("count", item.count)
                result = await stream.result()
            print("total", result.total)


asyncio.run(main())
