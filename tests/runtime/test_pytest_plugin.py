"""The fixtures for users' tests: what they connect and serve ends with the test, and what a test leaves fails it."""

import subprocess
import sys
from fnmatch import fnmatch
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

TESTS = Path(__file__).parent.parent
HEAD = """
import asyncio, socket
import enkaku, pytest, pytest_asyncio
from enkaku.testing import Faults
from support import ASK, ECHO, TALK, WATCH, Lifetime, Serving, line, soon, turns

LEFT = []


async def ask(number):
    return -number


async def watch(count, stream):
    for number in range(count):
        await stream.send(number)
    return count
"""
INI = f"""
[pytest]
pythonpath = {TESTS}
asyncio_mode = %s
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


@pytest.fixture(autouse=True)
def as_a_person_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run pytest as outside of CI, where it says everything twice."""
    for name in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)


def run(
    pytester: pytest.Pytester, text: str, *options: str, mode: str = "auto"
) -> pytest.RunResult:
    pytester.makeini(INI % mode)
    pytester.makepyfile(HEAD + text)
    # An installation that is older than the entry point does not load the plugin by itself.
    installed = entry_points(group="pytest11", name="enkaku")
    plugin = () if installed else ("-p", "enkaku.pytest_plugin")
    spare = ("-p", "no:cacheprovider", "-p", "no:timeout")
    return pytester.runpytest_inprocess(*plugin, *spare, *options)


CLEAN = """
@pytest_asyncio.fixture
async def stream(enkaku_connect):
    connection = await enkaku_connect(Serving(ask=ask, watch=watch))
    async with connection.stream(WATCH, 3) as stream:
        yield stream


%(mark)s
async def test_a_request(enkaku_connect):
    connection = await enkaku_connect(Serving(ask=ask))
    assert await connection.request(ASK, 1) == -1


%(mark)s
async def test_a_call_of_a_fixture_ends_after_the_test(stream, enkaku_connect):
    assert await anext(stream) == 0
    other = await enkaku_connect(Serving(ask=ask), close_timeout=1.0)
    assert await other.request(ASK, 1) == -1


%(mark)s
async def test_what_is_given_up_needs_some_turns_to_end(enkaku_connect):
    life = Lifetime()
    async def slowly(*_):
        try:
            return await life.forever()
        finally:
            await asyncio.sleep(0.05)
    connection = await enkaku_connect(Serving(watch=slowly))
    async with connection.stream(WATCH, 1):
        await soon(life.began)


%(mark)s
async def test_faults(enkaku_connect):
    faults = Faults()
    connection = await enkaku_connect(
        Serving(ask=ask), faults=faults, connection_options={"timeout": 0.02}
    )
    faults.stall()
    with pytest.raises(enkaku.EnkakuError):
        await connection.request(ASK, 1)


%(mark)s
async def test_a_server(enkaku_server):
    faults = Faults()
    for served in (await enkaku_server(Serving(ask=ask)), await enkaku_server(Serving(ask=ask), faults=faults)):
        assert len(str(served.path)) < 60
        async with enkaku.connect_unix(served.path) as connection:
            assert await connection.request(ASK, 1) == -1
        assert served.server.addresses
    assert faults.passed > 100


class TestClass:
    %(mark)s
    async def test_a_method(self, enkaku_connect):
        connection = await enkaku_connect(Serving(ask=ask))
        assert await connection.request(ASK, 1) == -1


def test_without_a_loop():
    pass
"""


@pytest.mark.parametrize(("mode", "mark"), [("auto", ""), ("strict", "@pytest.mark.asyncio")])
def test_plugin_clean_tests_pass(pytester: pytest.Pytester, mode: str, mark: str) -> None:
    run(pytester, CLEAN % {"mark": mark}, mode=mode).assert_outcomes(passed=7)


@pytest.mark.skipif(find_spec("anyio") is None, reason="anyio is not installed")
def test_plugin_fixtures_work_with_anyio(pytester: pytest.Pytester) -> None:
    backend = "\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    clean = CLEAN.replace("@pytest_asyncio.fixture", "@pytest.fixture")
    text = backend + clean % {"mark": "@pytest.mark.anyio"}
    run(pytester, text, mode="strict").assert_outcomes(passed=7)
    alone = ("-p", "no:asyncio", "-o", "filterwarnings=ignore")
    run(pytester, text, *alone).assert_outcomes(passed=7)


LEAVING = """
async def test_it(enkaku_connect, enkaku_server):
    life = Lifetime()

    async def spread(number):
        ask.task = asyncio.create_task(asyncio.sleep(1000))
        return number

    async def stubborn(number, channel):
        for _ in range(8):
            try:
                await asyncio.sleep(0.2)
            except asyncio.CancelledError:
                pass
        return number

    connection = await enkaku_connect(
        Serving(ask=spread, echo=life.forever, watch=life.forever, talk=stubborn)
    )
    ask.poller = asyncio.create_task(asyncio.Event().wait(), name="poller")  # kept from the collector
    stream = await connection.stream(WATCH, 1).__aenter__()
    asking = asyncio.create_task(connection.request(ECHO, "x"))
    await connection.request(ASK, 1)
    async with connection.channel(TALK, 1):
        await turns()
    served = await enkaku_server(Serving(watch=life.forever))
    peer = socket.socket(socket.AF_UNIX)
    LEFT.append(peer)
    peer.connect(str(served.path))
    peer.sendall(line(typ="stream", rid="a", prc="watch", prm=1))
    while life.began_count < 3:
        await asyncio.sleep(0)
"""
NEXT = """

async def test_the_next(enkaku_connect):
    assert len(asyncio.all_tasks()) < 3
    for peer in LEFT:
        peer.close()
"""


def test_plugin_all_leaks_fail_test_by_name(pytester: pytest.Pytester) -> None:
    result = run(pytester, LEAVING + NEXT)
    result.assert_outcomes(passed=2, errors=1)
    told = result.stdout.lines[result.stdout.lines.index("the test has left behind:") + 1 :]
    left = sorted(each for each in told if each.startswith("- "))
    words = [
        "- a running handler: channel talk",
        "- a running handler: request echo",
        "- a running handler: stream watch",
        "- a running handler: stream watch",
        "- a running task: Event.wait (poller) at *.py:*",
        "- a running task: sleep (Task-*) at *",
        "- an open call of the client: request echo",
        "- an open call of the client: stream watch",
        "- an open connection: *",
    ]
    assert len(left) == len(words)
    assert all(fnmatch(each, word) for each, word in zip(left, words, strict=True)), left


# Each alone fails a test, too.
@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        """
    await enkaku_connect(Serving(ask=ask))
    ask.poller = asyncio.create_task(asyncio.Event().wait())
""",
        """
    life = Lifetime()
    connection = await enkaku_connect(Serving(watch=life.forever))
    stream = await connection.stream(WATCH, 1).__aenter__()
""",
        """
    served = await enkaku_server(Serving(ask=ask))
    peer = socket.socket(socket.AF_UNIX)
    LEFT.append(peer)
    peer.connect(str(served.path))
    while not served.server.connections:
        await asyncio.sleep(0)
""",
    ],
    ids=["task", "call", "connection"],
)
def test_plugin_each_leak_fails_test(pytester: pytest.Pytester, body: str) -> None:
    result = run(pytester, f"\nasync def test_it(enkaku_connect, enkaku_server):{body}{NEXT}")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["the test has left behind:", "- *"])


def test_plugin_failed_test_reports_no_leaks(pytester: pytest.Pytester) -> None:
    text = """
async def test_it(enkaku_connect):
    life = Lifetime()
    connection = await enkaku_connect(Serving(watch=life.forever))
    stream = await connection.stream(WATCH, 1).__aenter__()
    assert life.began_count == 17
"""
    result = run(pytester, text)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert 0 == 17*"])
    result.stdout.no_fnmatch_line("*left behind*")


def test_plugin_test_in_other_event_loop_fails_with_reason(pytester: pytest.Pytester) -> None:
    text = """
@pytest.mark.asyncio(loop_scope="module")
async def test_it(enkaku_connect):
    await enkaku_connect(Serving(ask=ask))
"""
    result = run(pytester, text)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*UsageError: the test and its fixtures must run in the same event loop*"]
    )


def test_plugin_shared_event_loop_works(pytester: pytest.Pytester) -> None:
    mark = "@pytest.mark.asyncio(loop_scope='session')"
    text = CLEAN % {"mark": mark}
    options = ("-o", "asyncio_default_fixture_loop_scope=session")
    run(pytester, text, *options).assert_outcomes(passed=7)


def test_plugin_without_asyncio_plugin_reports_requirement(
    pytester: pytest.Pytester,
) -> None:
    text = "\ndef test_it(enkaku_connect):\n    pass\n"
    result = run(pytester, text, "-p", "no:asyncio", "-o", "filterwarnings=ignore")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*needs pytest-asyncio or anyio's pytest plugin*"])


def test_library_does_not_import_pytest() -> None:
    text = "import sys, enkaku, enkaku.testing; assert not {'pytest', '_pytest'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", text], check=False, timeout=30).returncode == 0
