"""Addresses: every form connects, and a wrong one is explained."""

import os
import ssl
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import enkaku
import pytest
import trustme
from enkaku.addresses import _OPTIONS
from support import ECHO, VOID, Serving, tcp_port
from webserver import serving_app

TESTS = Path(__file__).parent.parent
PROGRAM = """
import sys
import enkaku
from support import Serving

async def echo(text):
    return f"{text} {sys.argv[1:]}"

async def main():
    async with enkaku.serve_stdio(Serving(echo=echo)) as server:
        await server.serve_forever()

enkaku.run(main())
"""


@asynccontextmanager
async def serving(
    form: str, path: Path, context: ssl.SSLContext
) -> AsyncGenerator[tuple[str, str], None]:
    """Serve where an address of a form leads; yield the address, and what the connection calls its peer."""
    if form in {"unix", "path"}:
        async with enkaku.serve_unix(Serving(), path) as server:
            yield (str(path) if form == "path" else f"unix:{path}"), server.addresses[0]
    elif form in {"tcp", "ip", "tls"}:
        host = "::1" if form == "ip" else "127.0.0.1"
        tls = context if form == "tls" else None
        async with enkaku.serve_tcp(Serving(), host, ssl=tls) as server:
            (peer,) = server.addresses
            yield (f"tls:localhost:{server.port}" if form == "tls" else peer), peer
    else:
        async with serving_app(enkaku.asgi(Serving())) as port:
            address = f"{form}://127.0.0.1:{port}/"
            yield address, address


@pytest.mark.parametrize("form", ["unix", "path", "tcp", "ip", "tls", "ws", "http"])
async def test_address_connects_over_its_transport(
    form: str, socket_path: Path, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    options: dict[str, Any] = {"ssl": client_tls} if form == "tls" else {}
    async with serving(form, socket_path, server_tls) as (address, peer):
        async with enkaku.connect(address, connect_timeout=5, **options) as connection:
            assert connection.peer == peer.replace(
                "127.0.0.1", "localhost" if options else "127.0.0.1"
            )
            await connection.request(VOID, None)


async def test_address_scheme_may_be_in_capitals(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path):
        async with enkaku.connect(f"UNIX:{socket_path}") as connection:
            await connection.request(VOID, None)


async def test_address_of_tls_verifies_with_authorities_of_system(
    authority: trustme.CA,
    server_tls: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    async with enkaku.serve_tcp(Serving(), ssl=server_tls) as server:
        address = f"tls:127.0.0.1:{tcp_port(server)}"
        with pytest.raises(enkaku.ConnectFailed, match="certificate verify failed"):
            async with enkaku.connect(address, ssl=None):
                raise AssertionError("unreachable")
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        async with enkaku.connect(address) as connection:
            await connection.request(VOID, None)


async def test_address_of_stdio_starts_command(tmp_path: Path) -> None:
    program = tmp_path / "a program.py"
    program.write_text(PROGRAM)
    address = f"stdio:{sys.executable} '{program}' --name 'two words' \"\""
    async with enkaku.connect(address, env={**os.environ, "PYTHONPATH": str(TESTS)}) as connection:
        assert await connection.request(ECHO, "got") == "got ['--name', 'two words', '']"


FORMS = (
    r"\. The forms are /path, unix:/path, tcp:host:port, tls:host:port, http://host/path, https://host/path, "
    r"ws://host/path, wss://host/path, stdio:command$"
)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("", f"no address begins with ''{FORMS}"),
        ("shop.sock", f"no address begins with 'shop.sock'{FORMS}"),
        ("localhost:80", f"no address begins with 'localhost:'{FORMS}"),
        ("htps://user:pw@host/", r"no address begins with 'htps:'; did you mean 'https:'\? The forms are /path, "),
        ("unix:", "'unix:' has no path: write unix:/path$"),
        ("tcp:", "'tcp:' is not of the form tcp:host:port: it has no host, or no port$"),
        ("tcp:80", "'tcp:80' is not of the form tcp:host:port: it has no host, or no port$"),
        ("tcp::80", "it has no host, or no port$"),
        ("tcp:[::1]", "it has no host, or no port$"),
        ("tcp:::1:80", r"an IPv6 address is in brackets, as in tcp:\[::1\]:8000$"),
        ("tls:fe80::1:80", r"is not of the form tls:host:port: .* as in tls:\[::1\]:8000$"),
        ("tcp://localhost:80", "'tcp://localhost:80' is not of .*: write it without slashes$"),
        ("tcp:localhost:", "the port must be from 1 to 65535$"),
        ("tcp:localhost:http", "the port must be from 1 to 65535$"),
        ("tcp:localhost:0", "the port must be from 1 to 65535$"),
        ("tcp:localhost:65536", "the port must be from 1 to 65535$"),
        ("tcp:localhost:٣", "the port must be from 1 to 65535$"),
        ("tcp:localhost:" + "9" * 5000, "the port must be from 1 to 65535$"),
        ("stdio:", "'stdio:' has no command: write stdio:command$"),
        ("stdio: 'secret", "the command of 'stdio:' is not valid: No closing quotation$"),
        (Path("/run/s"), r"address must be a string; got PosixPath\('/run/s'\)$"),
    ],
)  # fmt: skip
async def test_address_invalid_raises_usage_error(address: Any, told: str) -> None:
    with pytest.raises(enkaku.UsageError, match=f"^connect: .*{told}") as caught:
        async with enkaku.connect(address):
            raise AssertionError("unreachable")
    assert "secret" not in str(caught.value)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("address", ["http:/x", "wss://"])
async def test_address_of_web_invalid_raises_usage_error(address: str) -> None:
    with pytest.raises(enkaku.UsageError, match="not a URL of"):
        async with enkaku.connect(address):
            raise AssertionError("unreachable")


@pytest.mark.parametrize(
    ("address", "options", "told"),
    [
        ("unix:/s", {"headers": {}}, "connect: unix: has no option 'headers': it is an option of http:"),
        ("tcp:host:1", {"env": {}}, "connect: tcp: has no option 'env': it is an option of stdio:"),
        ("ws://host", {"cookies": {}}, "connect: ws: has no option 'cookies': it is an option of http:"),
        ("stdio:true", {"connect_timeout": 5}, "connect: stdio: has no option 'connect_timeout': it is an option of unix:"),
        ("unix:/s", {"timout": 5}, r"connect: unix: has no option 'timout': did you mean 'timeout'\?"),
        ("unix:/s", {"timeout": "5"}, "timeout must be a number of seconds"),
    ],
)  # fmt: skip
async def test_option_that_does_not_fit_address_raises_usage_error(
    address: str, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(enkaku.UsageError, match=f"^{told}"):
        async with enkaku.connect(address, **options):
            raise AssertionError("unreachable")


def test_connect_options_are_those_of_every_scheme() -> None:
    every = set().union(*_OPTIONS.values())
    assert every == enkaku.ConnectOptions.__annotations__.keys()
