"""HTTP as users run it: ASGI servers as processes, on each event loop, and behind nginx."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import enkaku
import pytest
from rawhttp import Feed, Site, message, site

PROGRAM = """
import asyncio, sys
import enkaku
sys.path.insert(0, {tests!r})
from support import Serving

ended = 0

async def ask(number):
    if number == 0:
        return ended
    await asyncio.sleep(number / 1000)
    return number

async def watch(number, stream):
    global ended
    try:
        for item in range(number):
            await stream.send(item)
        await asyncio.Event().wait()
    finally:
        ended += 1

async def talk(param, channel):
    count = 0
    async for item in channel:
        await channel.send(item)
        count += 1
    return count

app = enkaku.asgi(Serving(ask=ask, watch=watch, talk=talk))
"""
UVICORN = ("uvicorn", "program:app", "--log-level", "warning")
SERVERS = {
    "uvicorn, asyncio": (*UVICORN, "--loop", "asyncio", "--http", "h11"),
    "uvicorn, uvloop": (*UVICORN, "--loop", "uvloop", "--http", "httptools"),
    "granian": ("granian", "--interface", "asgi", "--log-level", "warning", "program:app"),
}
NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/errors;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_http_version 1.1; }}
  }}
}}
"""


@asynccontextmanager
async def process(argv: Sequence[str | Path], folder: Path) -> AsyncGenerator[None, None]:
    started = await asyncio.create_subprocess_exec(*argv, cwd=folder, start_new_session=True)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)  # granian's worker, too
        await started.wait()


async def answering(port: int) -> None:
    """Wait until a server answers: by connecting again and again, as a client does that reconnects."""
    url = f"http://127.0.0.1:{port}/"
    reconnect = enkaku.Reconnect(longest=0.2)
    async with enkaku.connect_http(url, reconnect=reconnect, connect_timeout=20):
        pass


async def ask(made: Site, number: int) -> int:
    body = message(typ="request", rid=f"r{number}", prc="ask", prm=number)
    return int((await made.post(body)).payload["val"])


async def exercise(made: Site) -> None:
    """Make each kind of call, with a slow one in front; leave one, and see that its handler ends."""
    slow = asyncio.create_task(ask(made, 300))
    assert await asyncio.gather(*(ask(made, number) for number in range(1, 20))) == [*range(1, 20)]
    feed = await made.feed(message(typ="stream", rid="s1", prc="watch", prm=1000))
    assert [(await feed.message())["val"] for _ in range(1000)] == [*range(1000)]
    await talk(made, feed)
    assert await slow == 300
    await feed.close()
    while not await ask(made, 0):
        pass


async def talk(made: Site, feed: Feed) -> None:
    opening = message(typ="channel", rid="c1", prc="talk", prm=1)
    assert (await made.post(opening, enkaku_session_id=feed.id)).status == 204
    for item in range(5):
        await made.post(message(typ="send", prc="talk", rid="c1", val=item))
        assert (await feed.message())["val"] == item  # at once: nothing on the way keeps it back
    await made.post(message(typ="abort", rid="c1", rsn="Close"))
    assert await feed.message() == {"typ": "result", "rid": "c1", "val": 5}


@asynccontextmanager
async def serving(name: str, folder: Path, port: int) -> AsyncGenerator[Site, None]:
    (folder / "program.py").write_text(PROGRAM.format(tests=str(Path(__file__).parents[1])))
    argv = (sys.executable, "-m", *SERVERS[name], "--port", str(port))
    async with process(argv, folder), site(port) as made:
        await answering(made.port)
        yield made


@pytest.mark.parametrize("name", SERVERS)
async def test_http_in_process_of_asgi_server(
    name: str, tmp_path: Path, unused_tcp_port: int
) -> None:
    async with serving(name, tmp_path, unused_tcp_port) as made:
        await exercise(made)


@pytest.mark.slow
async def test_http_behind_nginx(tmp_path: Path, unused_tcp_port_factory: object) -> None:
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert nginx is not None, "nginx is not installed: make nginx"
    assert callable(unused_tcp_port_factory)
    upstream, port = unused_tcp_port_factory(), unused_tcp_port_factory()
    conf = tmp_path / "nginx.conf"
    conf.write_text(NGINX.format(folder=tmp_path, port=port, upstream=upstream))
    async with serving("uvicorn, uvloop", tmp_path, upstream):
        async with process((nginx, "-c", conf, "-p", tmp_path), tmp_path), site(port) as made:
            await answering(made.port)
            await exercise(made)
