"""Connecting over HTTP: what the server answers to the first GET, and the arguments."""

import ssl
import sys
from collections.abc import Callable
from typing import Any

import enkaku
import pytest
from httpcalls import ask, body, ended, next_request_works, redirect, stream_works
from httpserver import (
    Post,
    facing_http,
    http_server,
)
from support import WATCH

pytestmark = pytest.mark.usefixtures("no_pause")


# Connecting


def too_old(get: Post) -> None:
    get.answer(200, b'{"id":"0d9f6a52-6f0e-4b51-9a43-3f1c9c0e7a11"}')


def older_than_that(get: Post) -> None:
    get.answer(500, b'{"error":"Missing session ID header for stateful request"}')


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        (too_old, "older than 0.14.1"),
        (older_than_that, "older than 0.14.1"),
        (body(b"", 502), r"not available .* 502"),
        (body(b"", 503), r"stopping.* 503"),
        (body(b"<html>"), "no Enkaku server: a GET was answered with status 200 .OK., instead"),
        (body(b"", 404), "status 404 .Not Found."),
        (redirect, "redirects to"),
        (body(b"x" * 100_000), "more than 65536 bytes"),
        (Post.cut, "http://"),
        (Post.reset, "http://"),
    ],
)
async def test_http_connect_fails_unless_405(probe: Callable[[Post], None], reason: str) -> None:
    async with http_server(probe) as server:
        with pytest.raises(enkaku.ConnectFailed, match=reason):
            async with enkaku.connect_http(server.url):
                pass


async def test_http_connect_to_silent_server_times_out() -> None:
    async with http_server(lambda _: None) as server:
        with pytest.raises(enkaku.ConnectFailed, match=r"within 0\.05 s"):
            async with enkaku.connect_http(server.url, connect_timeout=0.05):
                pass


async def test_http_connect_refused_raises() -> None:
    with pytest.raises(enkaku.ConnectFailed, match=r"http://127\.0\.0\.1:1/"):
        async with enkaku.connect_http("http://127.0.0.1:1/"):
            pass


@pytest.mark.parametrize("url", ["ws://127.0.0.1/", "nonsense", "http://", "http://x:99999/", ""])
async def test_connect_http_rejects_url(url: str) -> None:
    with pytest.raises(enkaku.UsageError, match="is not a URL"):
        async with enkaku.connect_http(url):
            pass


@pytest.mark.parametrize("proxy", ["nonsense", "socks5://127.0.0.1", "http://"])
async def test_connect_http_rejects_proxy(proxy: str) -> None:
    with pytest.raises(enkaku.UsageError, match=r"proxy: .* is not a URL"):
        async with enkaku.connect_http("http://127.0.0.1:1/", proxy=proxy):
            pass


@pytest.mark.parametrize("count", [0, -1, 1.5, "3"])
async def test_connect_http_rejects_max_connections(count: Any) -> None:
    with pytest.raises(enkaku.UsageError, match="max_connections"):
        async with enkaku.connect_http("http://127.0.0.1:1/", max_connections=count):
            pass


async def test_http_headers_cookies_and_origin_are_sent() -> None:
    seen: list[Post] = []

    def probe(get: Post) -> None:
        seen.append(get)
        get.answer(405, b"", {"set-cookie": "worker=7"})

    options = {
        "headers": {"authorization": "Bearer x"},
        "cookies": {"session": "abc"},
        "origin": "https://a.example",
    }
    async with facing_http(probe, **options) as (connection, server):
        async with connection.stream(WATCH, 1):
            seen.append(await server.next())  # by the other pool
            assert "worker=7" in seen[1].headers["cookie"]
        for post in seen:
            assert post.headers["authorization"] == "Bearer x"
            assert post.headers["origin"] == "https://a.example"
            assert "session=abc" in post.headers["cookie"]


async def test_http_peer_hides_password() -> None:
    async with http_server() as server:
        url = server.url.replace("127", "me:secret@127")
        async with enkaku.connect_http(url) as connection:
            assert connection.peer == server.url


async def test_http_errors_hide_query() -> None:
    async with http_server() as server:
        async with enkaku.connect_http(f"{server.url}?token=secret") as connection:
            assert connection.peer == server.url
            asking = ask(connection)
            post = await server.next()
            post.raw(b"HTTP/1.1 200 OK\r\na: " + b"a" * 10_000 + b"\r\n\r\n")
            assert "secret" not in str(await ended(asking))
    with pytest.raises(enkaku.ConnectFailed) as refused:
        async with enkaku.connect_http("http://127.0.0.1:1/?token=secret"):
            pass
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("connect", [enkaku.connect_http, enkaku.connect_ws])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"url": 5}, "url must be a string; got 5"),
        ({"url": None}, "url must be a string; got None"),
        ({"proxy": 5}, "proxy must be a string; got 5"),
        ({"ssl": 5}, "ssl must be an instance of SSLContext; got 5"),
        ({"cookies": 5}, "cookies must map names to values; got a int"),
        ({"cookies": {"a": 5}}, "cookies: names and values must be strings; got str and int"),
    ],
)
async def test_connect_rejects_argument_of_other_type(
    connect: Any, arguments: dict[str, Any], text: str
) -> None:
    if connect is enkaku.connect_ws and "cookies" in arguments:
        text = "no option 'cookies'"
    with pytest.raises(enkaku.UsageError, match=text):
        async with connect(**{"url": "http://127.0.0.1:1/"} | arguments):
            pass


@pytest.mark.parametrize("connect", [enkaku.connect_http, enkaku.connect_ws])
@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer secret\n"},
        {"x": "secret\r\nevil: 1"},
        {"x": "secret\0"},
        {"x\r\nevil": "secret"},
        {"x y": "secret"},
        {"": "secret"},
        {"x": 1},
        {"Content-Length": "3"},
        "secret",
    ],
)
async def test_connect_rejects_headers(connect: Any, headers: Any) -> None:
    url = "ws://127.0.0.1:1/" if connect is enkaku.connect_ws else "http://127.0.0.1:1/"
    with pytest.raises(enkaku.UsageError, match="headers") as rejected:
        async with connect(url, headers=headers):
            pass
    assert "secret" not in str(rejected.value)
    if isinstance(headers, dict) and "secret\r" in str(headers):
        with pytest.raises(enkaku.UsageError, match="origin"):
            async with connect(url, origin=headers["x"]):
                pass


async def test_http_over_tls(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    async with http_server(tls=server_tls) as server:
        async with enkaku.connect_http(server.url, ssl=client_tls) as connection:
            await next_request_works(connection, server)
            await stream_works(connection, server)
        with pytest.raises(enkaku.ConnectFailed, match="certificate"):
            async with enkaku.connect_http(server.url):
                pass


async def test_http_through_proxy() -> None:
    async with http_server() as proxy:
        url = "http://elsewhere.invalid/rpc"
        proxy_url = f"http://127.0.0.1:{proxy.port}"
        async with enkaku.connect_http(url, proxy=proxy_url) as connection:
            asking = ask(connection)
            post = await proxy.next()
            assert post.target == url
            post.result(1)
            assert await asking == 1


@pytest.mark.parametrize("proxy", [True, None])
async def test_http_takes_proxy_of_environment_if_asked(
    proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with http_server() as other:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{other.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with http_server() as server:
            async with enkaku.connect_http(server.url, proxy=proxy):
                assert (other.probes, server.probes) == ((1, 0) if proxy else (0, 1))


async def test_http_without_library_raises_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    for name in ("dial", "pool"):
        monkeypatch.delitem(sys.modules, f"enkaku.transports.http.{name}")
    with pytest.raises(enkaku.MissingExtra, match=r"pip install 'enkaku\[http\]'"):
        async with enkaku.connect_http("http://127.0.0.1:1/"):
            pass
