"""TLS server process with a short handshake timeout, which tests flood with handshakes that stall.

It serves at a Unix socket as well, prints its TCP port when it is ready, and runs until it is killed.
"""

import asyncio
import ssl
import sys

import enkaku
import enkaku.serve

from .server import Silent


async def _serve(path: str, certificate: str, handshake: str) -> None:
    enkaku.serve._TLS_HANDSHAKE = float(handshake)  # not a parameter
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    handler = Silent()
    async with (
        enkaku.serve_unix(handler, path) as unix,
        enkaku.serve_tcp(handler, ssl=context) as tls,
    ):
        handler.servers = (unix, tls)
        sys.stdout.write(f"{tls.port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    run = enkaku.run if sys.argv.pop(1) == "uvloop" else asyncio.run
    run(_serve(*sys.argv[1:]))
