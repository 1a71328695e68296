"""Serve the tools over stdin and stdout: ``python -m toolserver``."""

import enkaku

from .server import Tools


async def main() -> None:
    """Serve the client that has started this program, until it closes stdin."""
    async with enkaku.serve_stdio(Tools()) as server:
        await server.serve_forever(grace=1)


enkaku.run(main())
