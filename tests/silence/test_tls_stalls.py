"""TLS handshakes that stall, in large numbers: others are served meanwhile, and nothing is left after the handshake timeout."""

import asyncio
import resource
import socket
import ssl
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import enkaku
import pytest
import trustme
from silence.process import running
from silence.protocol import FIGURES, PING, Figures
from silence.timing import Stopwatch
from support import LONG, WITHIN

MANY = 1_000


@pytest.fixture
def descriptors() -> Generator[None, None, None]:
    """Allow this process, and its children, enough sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * MANY:
        pytest.skip(f"this system allows {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * MANY), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        path
    )
    return path


def half_hello() -> bytes:
    """Return the first half of a ClientHello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = outgoing.read()
    return hello[: len(hello) // 2]


async def ended(sock: socket.socket) -> None:
    """Wait until the server has ended a connection; what it sends first does not matter."""
    try:
        while await asyncio.get_running_loop().sock_recv(sock, 4096):
            pass
    except ConnectionResetError:
        return


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize(
    ("count", "handshake"),
    [(50, 0.5), pytest.param(MANY, 2.0, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_tls_stalled_handshakes_end_and_delay_no_other(
    socket_path: Path,
    certificate: Path,
    client_tls: ssl.SSLContext,
    loop: str,
    count: int,
    handshake: float,
) -> None:
    async def figures() -> Figures:
        async with enkaku.connect_unix(socket_path) as connection:
            return await connection.request(FIGURES, None)

    arguments = (loop, str(socket_path), str(certificate), str(handshake))
    with ExitStack() as stack:
        async with running("silence.tls_server", *arguments) as child, asyncio.timeout(LONG):
            port = int(await child.says())
            usual, hello = await figures(), half_hello()
            watch = Stopwatch()
            stalled: list[socket.socket] = []
            for number in range(count):
                stalled.append(stack.enter_context(socket.create_connection(("127.0.0.1", port))))
                if number % 2:
                    stalled[-1].sendall(hello)
                stalled[-1].setblocking(False)
            ending = asyncio.gather(*(ended(each) for each in stalled))
            async with enkaku.connect_tcp("127.0.0.1", port, ssl=client_tls) as connection:
                for _ in range(10):
                    await connection.request(PING, None)
                if not ending.done() and watch.passed < handshake:
                    # The others were served while all of these were open.
                    assert (await figures()).descriptors >= usual.descriptors + count
                await ending
                watch.require(handshake)
                await connection.request(PING, None)
            async with asyncio.timeout(WITHIN):
                while await figures() != usual:
                    pass
