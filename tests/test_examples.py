"""The examples, as a person runs them: real processes, a real terminal, real signals."""

import asyncio
import fcntl
import importlib
import json
import logging
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import enkaku
import pytest
import yaml
from commands import enkaku as run_enkaku
from slow import slow_but

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
DASHBOARD = EXAMPLES / "dashboard"
WITHIN = 40.0
"""Seconds that a program may take."""
ENVIRONMENT = {
    **{
        name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}
    },
    "PYTHONWARNINGS": "error",
    "TERM": "xterm-256color",
}
SEED = ROOT / "tests" / "wire" / "recordings" / "protocol.json"

METRICS = re.compile(r"^metrics cpu +(\d+\.\d) %  memory +(\d+\.\d) %$", re.MULTILINE)
LOG = re.compile(r"^log     \d\d:\d\d:\d\d\.\d{3} (\w+) +(.+)$", re.MULTILINE)
RESULTS = re.compile(
    r"^(closed|the server stopped):\n"
    r"  MetricsStreamResult\(total_samples=(\d+)\)\n"
    r"  LogsWatchResult\(total_logs=(\d+)\)\n",
    re.MULTILINE,
)


@asynccontextmanager
async def running(script: Path, *options: str, **how: Any) -> AsyncGenerator[Process, None]:
    """Run a script; what outlives the block is killed."""
    how = {"stdin": DEVNULL, "stdout": PIPE, "stderr": PIPE, "env": ENVIRONMENT, **how}
    process = await asyncio.create_subprocess_exec(sys.executable, script, *options, **how)
    try:
        async with asyncio.timeout(WITHIN):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def serving_page() -> AsyncGenerator[tuple[Process, str, aiohttp.ClientSession], None]:
    """Run the dashboard's server for its page; give the page's address, too."""
    async with serving("--http", "127.0.0.1:0") as (server, url):
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(WITHIN)) as session:
            yield server, url, session


@asynccontextmanager
async def serving(*options: str) -> AsyncGenerator[tuple[Process, str], None]:
    """Run the dashboard's server; give its address."""
    async with running(DASHBOARD / "server.py", *options) as server:
        line = await first_line(server, "listening at ")
        yield server, line.split()[-1]


def watching(*options: str, **how: Any) -> AbstractAsyncContextManager[Process]:
    """Run the dashboard's client."""
    return running(DASHBOARD / "client.py", *options, **how)


async def first_line(process: Process, start: str) -> str:
    """Read on until a line begins so."""
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        if line.startswith(start):
            return line
    raise AssertionError(f"the program ended and never said {start!r}")


async def rest(process: Process) -> tuple[str, str]:
    """Let the program end, and return what it had to say."""
    out, err = await process.communicate()
    return (out or b"").decode(), (err or b"").decode()


def exists(path: str) -> bool:
    return Path(path).exists()


@pytest.fixture(params=slow_but(["unix"], ["unix", "tcp"]))
def server_options(request: pytest.FixtureRequest, socket_path: Path) -> list[str]:
    return ["--unix", str(socket_path)] if request.param == "unix" else ["--tcp", "127.0.0.1:0"]


async def test_demo_shows_whole_dashboard_over_both_sockets() -> None:
    async with running(DASHBOARD / "demo.py", "--seconds", "1.2") as demo:
        out, err = await rest(demo)
    assert (demo.returncode, err) == (0, "")
    _, over_unix, over_tcp = out.split("\n$ python client.py ")
    assert over_unix.startswith("unix:/")
    assert over_tcp.startswith("tcp:127.0.0.1:")
    for part in (over_unix, over_tcp):
        check_whole_story(part)


def check_whole_story(out: str) -> None:
    metrics = [(float(cpu), float(memory)) for cpu, memory in METRICS.findall(out)]
    assert len(metrics) >= 3
    assert all(0 <= cpu <= 100 and 0 < memory <= 100 for cpu, memory in metrics)

    # The level changes while the log runs, and changes what is shown of it.
    log = LOG.findall(out)
    to_warn = log.index(("info", "log: shown from warn on"))
    to_info = log.index(("info", "log: shown from info on"))
    assert "debug" in {level for level, _ in log[:to_warn]}
    between = log[to_warn + 1 : to_info]
    assert {level for level, _ in between} == {"warn"}
    assert ("warn", "restart: there is no service 'teleporter'") in between
    assert {level for level, _ in log[to_info + 1 :]} == {"info", "warn"}
    assert [line for line in out.splitlines() if line.startswith("level ")] == [
        "level   debug",
        "level   warn",
        "level   info",
    ]

    # A declared error with its data, and an answer.
    restarts = re.findall("^restart (.+)$", out, re.MULTILINE)
    assert restarts[0] == "teleporter failed: UNKNOWN_SERVICE, known: sampler, watchdog"
    assert re.fullmatch(r"sampler done: runs again after \d+\.\d\d s", restarts[1])
    assert len(restarts) == 2

    # The results are those of what was shown.
    ((why, samples, logs),) = RESULTS.findall(out)
    assert (why, int(samples), int(logs)) == ("closed", len(metrics), len(log))


async def test_demo_serves_page_while_it_runs() -> None:
    async with running(DASHBOARD / "demo.py", "--seconds", "1") as demo:
        url = (await first_line(demo, "In a browser, for 2 seconds: ")).split()[-1]
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")
        await rest(demo)
    assert demo.returncode == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"]
)
async def test_demo_interrupted_cleans_up(number: signal.Signals, code: int) -> None:
    async with running(DASHBOARD / "demo.py", start_new_session=True) as demo:
        path = (await first_line(demo, "$ python server.py --unix ")).split()[4]
        await first_line(demo, "metrics")
        assert exists(path)
        if number is signal.SIGINT:
            os.killpg(demo.pid, number)  # a terminal tells every program in its foreground
        else:
            demo.send_signal(number)
        out, err = await rest(demo)
    assert (demo.returncode, err) == (code, "")
    assert RESULTS.search(out) is not None
    assert not exists(path.rpartition("/")[0])


async def test_client_draws_in_terminal_and_restores_it(socket_path: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(theirs)
    async with serving("--unix", str(socket_path)) as (_, address):
        terminal = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        async with watching(address, "--seconds", "1", **terminal) as client:
            reading = asyncio.create_task(asyncio.to_thread(read_terminal, ours))
            await client.wait()
            after = termios.tcgetattr(theirs)
            os.close(theirs)
            screen = await reading
    assert client.returncode == 0, screen
    assert after == before
    assert screen.count("\x1b[?25l") == screen.count("\x1b[?25h") == 1  # the cursor is back
    panel, results = screen.split("\x1b[?25h")
    assert RESULTS.search(results.replace("\r\n", "\n").lstrip()) is not None

    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", panel))
    assert max(len(line) for line in lines) <= 80
    tops = [number for number, line in enumerate(lines) if line.startswith("╭")]
    bottoms = [number for number, line in enumerate(lines) if line.startswith("╰")]
    assert len({bottom - top for top, bottom in zip(tops, bottoms, strict=True)}) == 1
    last = "\n".join(lines[tops[-1] :])
    for shown in ("Dashboard at unix:", "cpu ", "memory ", "log from info on", "sampler: cpu"):
        assert shown in last
    assert "✗ teleporter UNKNOWN_SERVICE, known: sampler, watchdog" in last
    assert "✓ sampler    runs again after" in last
    assert "\x1b[33mwarn" in panel  # yellow


def read_terminal(descriptor: int) -> str:
    """Read what is written to a terminal, until nobody has it open any more."""
    parts: list[bytes] = []
    try:
        while part := os.read(descriptor, 65536):
            parts.append(part)
    except OSError:  # how Linux says that it is the end
        pass
    os.close(descriptor)
    return b"".join(parts).decode()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/nowhere/dashboard.sock", "is the server running?"),
        ("tcp:127.0.0.1:1", "tcp:127.0.0.1:1: "),
        ("dashboard.sock", "no address begins with 'dashboard.sock'"),
    ],
    ids=["unix", "tcp", "neither"],
)
async def test_client_without_server_prints_error(address: str, said: str) -> None:
    async with watching(address) as client:
        out, err = await rest(client)
    assert (client.returncode, out) == (1, "")
    assert err.startswith("no dashboard: ")
    assert said in err
    assert err.count("\n") == 1


async def test_server_that_cannot_listen_prints_error() -> None:
    async with running(DASHBOARD / "server.py", "--unix", "/nowhere/dashboard.sock") as server:
        out, err = await rest(server)
    assert (server.returncode, out) == (1, "")
    assert err.splitlines()[-1].startswith("cannot listen at unix:/nowhere/dashboard.sock: ")
    assert "Traceback" not in err


async def test_client_gets_results_when_server_stops(server_options: list[str]) -> None:
    async with serving(*server_options) as (server, address):
        async with watching(address) as client:
            seen = await first_line(client, "metrics")
            server.terminate()
            out, err = await rest(client)
            assert (client.returncode, err) == (0, "")
        _, log = await rest(server)
    ((why, samples, _),) = RESULTS.findall(out)
    assert (why, int(samples)) == ("the server stopped", len(METRICS.findall(seen + out)))
    assert (server.returncode, log.splitlines()[-1].split(" ", 2)[-1]) == (
        0,
        "INFO    server: stopped",
    )
    assert not exists(address.removeprefix("unix:"))


async def test_client_of_killed_server_prints_error(server_options: list[str]) -> None:
    async with serving(*server_options) as (server, address), watching(address) as client:
        await first_line(client, "metrics")
        server.kill()
        out, err = await rest(client)
    assert client.returncode == 1
    assert err.startswith("no dashboard: ")
    assert err.count("\n") == 1
    assert RESULTS.search(out) is None


async def test_sigint_ends_only_client(server_options: list[str]) -> None:
    async with serving(*server_options) as (server, address):
        for _ in range(2):
            async with watching(address) as client:
                await first_line(client, "metrics")
                client.send_signal(signal.SIGINT)
                out, err = await rest(client)
            assert (client.returncode, err) == (0, "")
            assert RESULTS.findall(out)[0][0] == "closed"
        assert server.returncode is None


@pytest.mark.slow
async def test_sigint_ends_client_of_stopped_server_process(socket_path: Path) -> None:
    unix = ("--unix", str(socket_path))
    async with serving(*unix) as (server, address), watching(address) as client:
        await first_line(client, "metrics")
        server.send_signal(signal.SIGSTOP)
        client.send_signal(signal.SIGINT)
        out, err = await rest(client)
    assert (client.returncode, err) == (1, "no dashboard: the server does not answer\n")
    assert RESULTS.search(out) is None


async def test_client_with_closed_stdout_ends(socket_path: Path) -> None:
    reading, writing = os.pipe()
    unix = ("--unix", str(socket_path))
    async with serving(*unix) as (_, address), watching(address, stdout=writing) as client:
        os.close(writing)
        await asyncio.to_thread(os.read, reading, 1)
        os.close(reading)
        _, err = await rest(client)
    assert (client.returncode, err) == (1, "")


async def test_page_is_served_with_all_that_it_loads() -> None:
    async with serving_page() as (_, url, session):
        async with session.get(url) as answer:
            html = await answer.text()
            policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        loaded = {"enkaku.js", *re.findall(r'(?:src|href)="([^"?]+)"', html)}
        unread = sorted(loaded)
        while unread:
            async with session.get(url + unread.pop()) as answer:
                assert answer.status == 200
                if answer.content_type == "text/javascript":
                    new = set(
                        re.findall(r'^import .*?"\./(.+?)"', await answer.text(), re.MULTILINE)
                    )
                    unread += sorted(new - loaded)
                    loaded |= new
        assert {"main.js", "client.js", "style.css", "icon.svg"} <= loaded
        async with session.head(url) as answer:
            assert (answer.status, answer.headers["content-length"]) == (
                200,
                str(len(html.encode())),
            )
        for path in ("jsconfig.json", "protocol.ts", "../server.py", "%2e%2e/server.py"):
            async with session.get(url + path) as answer:
                assert answer.status == 405


def test_page_has_no_inline_script_and_no_foreign_address() -> None:
    html = (DASHBOARD / "web" / "index.html").read_text()
    assert re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL) == [""]
    assert re.search(r"<style|\sstyle=|\son\w+=|javascript:", html) is None
    for file in (DASHBOARD / "web").iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")  # a name, not an address
        assert re.search(r"https?://|[\"'(]//", text) is None, file.name


@pytest.mark.parametrize(
    "headers", [{"origin": "http://elsewhere.example"}, {"host": "rebound.example"}]
)
async def test_page_server_rejects_other_pages(headers: dict[str, str]) -> None:
    async with serving_page() as (_, url, session):
        async with session.post(f"{url}rpc", json={}, headers=headers) as answer:
            assert answer.status == 403


async def test_page_server_answers_calls_before_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(DASHBOARD)
    protocol = importlib.import_module("dashboard_protocol")
    async with serving_page() as (server, url, _):
        async with enkaku.connect(f"{url.replace('http', 'ws')}rpc") as connection:
            client = protocol.DashboardClient(connection)
            async with client.logs_watch(protocol.LogsWatchParam(level="warn")) as logs:
                param = protocol.SystemRestartParam(service="sampler")  # it takes 250 ms
                restart = asyncio.create_task(client.system_restart(param))
                while (await anext(logs)).message != "sampler: stopping for a restart":
                    pass
                server.send_signal(signal.SIGINT)
                assert (await restart).success
                assert (await logs.result()).total_logs >= 1
        _, log = await rest(server)
    assert (server.returncode, log.splitlines()[-1].endswith("INFO    server: stopped")) == (
        0,
        True,
    )


async def test_page_server_at_busy_port_prints_error() -> None:
    async with serving_page() as (_, url, _):
        async with running(DASHBOARD / "server.py", "--http", url[len("http://") : -1]) as second:
            out, err = await rest(second)
    assert (second.returncode, out) == (1, "")
    assert err.splitlines()[-1].startswith(f"cannot listen at {url}: another program listens there")
    assert "Traceback" not in err


@pytest.fixture
def log_feed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The dashboard's module of that name, imported as its scripts do."""
    monkeypatch.syspath_prepend(DASHBOARD)
    return importlib.import_module("log_feed")


@pytest.fixture
def logger(log_feed: ModuleType, monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    """A logger whose records go to a feed."""
    logger = logging.getLogger("test_examples")
    logger.setLevel(1)
    monkeypatch.setattr(logger, "handlers", [log_feed.LogFeed()])
    return logger


class Watched(enkaku.Handler):
    """Serves the logger's feed, as the dashboard does."""

    def __init__(self, log_feed: ModuleType, logger: logging.Logger) -> None:
        self.began = asyncio.Event()
        self._log_feed = log_feed
        self._feed: Any = logger.handlers[0]

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (enkaku.Route.channel(self._log_feed.LOGS_WATCH, self._watch),)

    async def _watch(self, param: Any, channel: Any) -> Any:
        self.began.set()
        await self._feed.serve(channel, self._log_feed.Threshold(param.level))
        protocol = importlib.import_module("dashboard_protocol")
        return protocol.LogsWatchResult(total_logs=channel.call.items_sent)


@asynccontextmanager
async def watched(
    log_feed: ModuleType, logger: logging.Logger, level: str
) -> AsyncGenerator[Any, None]:
    """Watch the feed from a client that is ready to keep 4 KiB."""
    protocol = importlib.import_module("dashboard_protocol")
    handler = Watched(log_feed, logger)
    async with asyncio.timeout(WITHIN):
        async with enkaku.connect_memory(handler, limits=enkaku.Limits(window=4096)) as connection:
            client = protocol.DashboardClient(connection)
            async with client.logs_watch(protocol.LogsWatchParam(level=level)) as logs:
                await handler.began.wait()
                yield logs


async def test_log_feed_slow_subscriber_gets_gaps(
    log_feed: ModuleType, logger: logging.Logger
) -> None:
    expected = missed = 0
    async with watched(log_feed, logger, "info") as logs:
        for number in range(3000):
            logger.info("record %d", number)
            logger.debug("not wanted")
        logger.error("last")
        async for entry in logs:
            if entry.message == "last":
                break
            dropped = re.match(
                r"log: (\d+) records dropped, this watcher is too slow", entry.message
            )
            if dropped is not None:
                assert entry.level == "warn"
                missed += int(dropped[1])
                expected += int(dropped[1])
            else:
                assert (entry.level, entry.message) == ("info", f"record {expected}")
                expected += 1
    assert expected == 3000
    assert 1000 < missed < 3000


async def test_log_feed_filters_by_level(log_feed: ModuleType, logger: logging.Logger) -> None:
    async with watched(log_feed, logger, "warn") as logs:
        logger.log(5, "finer than debug")
        logger.info("fine")
        logger.warning("worse")
        logger.critical("worse than an error")
        got = [await anext(logs), await anext(logs)]
        assert [(each.level, each.message) for each in got] == [
            ("warn", "worse"),
            ("error", "worse than an error"),
        ]
        assert (await logs.close()).total_logs == 2
        assert [entry async for entry in logs] == []


@pytest.mark.parametrize(
    ("count", "expected"), [(0.0, 6), (-1e308, 6), (1.4, 6), (2.0, 3), (1e300, 1)]
)
def test_metrics_client_gets_one_sample_in_interval(
    count: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(DASHBOARD)
    passes = importlib.import_module("services").one_in(count)
    assert [passes(number) for number in range(6)].count(True) == expected


def test_counter_example_prints_result() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "counter" / "main.py"],
        capture_output=True,
        text=True,
        timeout=WITHIN,
        env=ENVIRONMENT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "count 1\ncount 2\ncount 3\ntotal 3\n"


@pytest.mark.parametrize(
    ("protocol", "package"),
    [
        ("dashboard/protocol.yaml", "dashboard/dashboard_protocol"),
        ("dashboard/protocol.yaml", "dashboard/web --language typescript"),
        ("counter/protocol.json", "counter/counter_protocol"),
        ("farm/protocol.yaml", "farm/src/buildfarm/protocol"),
        ("toolserver/protocol.yaml", "toolserver/src/toolserver/protocol"),
    ],
)
def test_example_packages_are_up_to_date(protocol: str, package: str) -> None:
    done = run_enkaku("check", protocol, "--out", *package.split(), cwd=EXAMPLES)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_example_dashboard_matches_seed_protocol() -> None:
    """A peer that was made from the recorded protocol and one that was made from ours understand each other."""
    document = yaml.safe_load((DASHBOARD / "protocol.yaml").read_text())
    ours = {name: plain(each, document["$defs"]) for name, each in document["procedures"].items()}
    assert ours["system/restart"].pop("error")
    seed = json.loads(SEED.read_text())
    assert ours == {name: seed[name] for name in ours}


def plain(schema: Any, shared: dict[str, Any]) -> Any:
    """Put what a schema refers to in its place, and take descriptions out."""
    if isinstance(schema, list):
        return [plain(each, shared) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return plain(shared[schema["$ref"].rpartition("/")[2]], shared)
    return {key: plain(each, shared) for key, each in schema.items() if key != "description"}
