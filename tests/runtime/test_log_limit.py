"""What a peer can make a server log: so much of each kind, and no values of messages."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import enkaku
import pytest
from enkaku import _log_limit
from enkaku._log_limit import LogLimit
from support import (
    ASK,
    ECHO,
    WITHIN,
    Connect,
    Lifetime,
    Serving,
    line,
    raw_client,
    raw_server,
    soon,
    until,
)

_LOGGER = logging.getLogger("enkaku.test")


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what lets the limiter believe that seconds have passed."""
    now = [1000.0]
    monkeypatch.setattr(_log_limit, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


def _texts(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


async def test_log_limit_next_record_counts_those_left_out(
    caplog: pytest.LogCaptureFixture, wait: Callable[[float], None]
) -> None:
    limit = LogLimit()
    for number in range(25):
        limit.log(_LOGGER, logging.WARNING, "numbers", "number %d", number)
    assert _texts(caplog) == [f"number {number}" for number in range(10)]
    wait(1)
    for number in range(25, 28):
        limit.log(_LOGGER, logging.WARNING, "numbers", "number %d", number)
    assert _texts(caplog)[10:] == ["number 25 (15 more left out)"]
    limit.flush()
    assert _texts(caplog)[11:] == ["numbers: 2 more left out"]
    limit.flush()
    wait(1000)
    for number in range(30, 50):
        limit.log(_LOGGER, logging.WARNING, "numbers", "number %d", number)
    assert _texts(caplog)[12:] == [f"number {number}" for number in range(30, 40)]
    limit.flush()


async def test_log_limit_end_of_flood_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_log_limit, "_QUIET", 0.0)
    limit = LogLimit()
    for _ in range(15):
        limit.log(_LOGGER, logging.WARNING, "numbers", "a number")
    await until(lambda: "numbers: 5 more left out" in caplog.text)
    assert len(caplog.records) == 11


async def test_log_limit_kinds_do_not_share(
    caplog: pytest.LogCaptureFixture, wait: Callable[[float], None]
) -> None:
    limit = LogLimit()
    for kind in ("numbers", "letters"):
        for _ in range(15):
            limit.log(_LOGGER, logging.WARNING, kind, "one of %s", kind)
    assert [_texts(caplog).count(f"one of {kind}") for kind in ("numbers", "letters")] == [10, 10]
    limit.flush()


def test_log_limit_without_event_loop_still_counts(caplog: pytest.LogCaptureFixture) -> None:
    limit = LogLimit()
    for _ in range(15):
        limit.log(_LOGGER, logging.WARNING, "numbers", "a number")
    limit.flush()
    assert _texts(caplog)[10:] == ["numbers: 5 more left out"]


class _Counting(enkaku.Observer):
    def __init__(self) -> None:
        self.problems: list[str] = []

    def invalid_message(self, connection: enkaku.ConnectionInfo, problem: str) -> None:
        self.problems.append(problem)


async def test_server_invalid_messages_of_many_clients_are_limited(
    socket_path: Path, caplog: pytest.LogCaptureFixture, wait: Callable[[float], None]
) -> None:
    seen = _Counting()
    async with enkaku.serve_unix(Serving(), socket_path, observers=[seen]):
        for _ in range(40):
            async with raw_client(socket_path) as peer:
                peer.send_bytes(b"nonsense\n")
                assert await peer.settle() == []
        assert len(caplog.records) == 10
    assert len(seen.problems) == 40
    assert _texts(caplog)[10:] == ["invalid messages: 30 more left out"]


async def test_server_handler_failures_are_limited_by_procedure(
    connect: Connect, caplog: pytest.LogCaptureFixture, wait: Callable[[float], None]
) -> None:
    async def fail(_: object) -> int:
        raise ValueError("no")

    async with connect(Serving(ask=fail, echo=fail)) as connection:
        for _ in range(30):
            with pytest.raises(enkaku.CallError):
                await connection.request(ASK, 1)
        with pytest.raises(enkaku.CallError):
            await connection.request(ECHO, "")
    texts = _texts(caplog)
    assert texts.count("ask: the handler failed") == 10
    assert texts.count("echo: the handler failed") == 1
    assert texts[11:] == ["ask: the handler failed: 20 more left out"]


@pytest.mark.parametrize("stops", [True, False])
@pytest.mark.parametrize("error", [enkaku.CallClosed, enkaku.ConnectionLost])
async def test_handler_ended_by_a_stop_or_loss_is_logged_at_debug(
    socket_path: Path, caplog: pytest.LogCaptureFixture, error: type[Exception], stops: bool
) -> None:
    caplog.set_level(logging.DEBUG, "enkaku")
    life = Lifetime()

    async def ask(_: int) -> int:
        life.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise error("the call is over")  # instead of the cancellation

    async with (
        enkaku.serve_unix(Serving(ask=ask), socket_path) as server,
        enkaku.connect_unix(socket_path) as connection,
    ):
        call = asyncio.create_task(connection.request(ASK, 1))
        await soon(life.began)
        await (server.stop(grace=0) if stops else connection.close())
        with pytest.raises((enkaku.ConnectionLost, enkaku.CallError)):
            await call
    records = [each for each in caplog.records if "ask" in each.getMessage()]
    assert [(each.levelname, each.exc_info) for each in records] == [("DEBUG", None)]
    assert (
        records[0].getMessage() == f"ask: the handler ended with {error.__name__}: the call is over"
    )


async def test_failing_observer_is_limited(
    connect: Connect, caplog: pytest.LogCaptureFixture, wait: Callable[[float], None]
) -> None:
    class Broken(enkaku.Observer):
        def call_started(self, call: enkaku.Call) -> None:
            raise ValueError("no")

    async with connect(Serving(ask=_one), observers=[Broken()]) as connection:
        for _ in range(15):
            await connection.request(ASK, 1)
    assert _texts(caplog)[:10] == ["an observer failed"] * 10
    assert _texts(caplog)[10:] == ["failures of observers in call_started: 5 more left out"]


@pytest.mark.parametrize("after", ["entering", "open"])
async def test_lifespan_rejecting_ends_connection_with_one_line(
    socket_path: Path, caplog: pytest.LogCaptureFixture, after: str
) -> None:
    caplog.set_level(logging.INFO, "enkaku")
    lost: list[str] = []

    class Watching(enkaku.Observer):
        def connection_lost(self, connection: enkaku.ConnectionInfo, reason: str) -> None:
            lost.append(reason)

    @asynccontextmanager
    async def lifespan(_: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        await asyncio.sleep(0)
        async with asyncio.TaskGroup() as group:
            rejecting = group.create_task(_reject())
            if after == "entering":
                await rejecting
            yield

    async def _reject() -> None:
        raise enkaku.RejectConnection("unknown\nuser")

    async with enkaku.serve_unix(
        Serving(echo=Lifetime().forever),
        socket_path,
        lifespan=lifespan,
        observers=[Watching()],
    ):
        async with enkaku.connect_unix(socket_path) as connection:
            with pytest.raises(enkaku.ConnectionLost):
                await connection.request(ECHO, "hello", timeout=WITHIN)
            await until(lambda: bool(lost))
    assert lost == ["rejected by the lifespan: unknown\\u000auser"]
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("INFO", None)
    text = f"a client of unix:{socket_path}: rejected by its lifespan: unknown\\u000auser"
    assert record.getMessage() == text


async def test_lifespan_rejections_and_failures_are_limited(
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    socket_path: Path,
    wait: Callable[[float], None],
) -> None:
    caplog.set_level(logging.INFO, "enkaku")
    count = 0

    @asynccontextmanager
    async def lifespan(_: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        nonlocal count
        count += 1
        if count % 3 == 0:
            raise enkaku.RejectConnection
        if count % 3 == 1:
            raise ValueError("no")
        await _find_it_cancelled()
        yield

    async with enkaku.serve_unix(Serving(), socket_path, lifespan=lifespan) as server:
        for _ in range(60):
            async with raw_client(socket_path) as peer:
                assert await peer.read_all() == []
        await until(lambda: not server.connections)
        peer_name = f"a client of unix:{socket_path}: "
        texts = [text.removeprefix(peer_name) for text in _texts(caplog)]
    assert texts[:3] == [
        "its lifespan failed",
        "its lifespan cancelled itself",
        "rejected by its lifespan: no reason given",
    ]
    assert len(texts) == 30
    assert sorted(_texts(caplog)[30:]) == [
        "failed lifespans: 10 more left out",
        "lifespans that cancelled themselves: 10 more left out",
        "rejected connections: 10 more left out",
    ]


async def _find_it_cancelled() -> None:
    gone = asyncio.get_running_loop().create_future()
    gone.cancel()
    await gone


async def test_server_invalid_value_is_logged_without_it(
    socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "enkaku.server")
    seen = _Counting()
    async with (
        enkaku.serve_unix(Serving(ask=_one), socket_path, observers=[seen]),
        raw_client(socket_path) as peer,
    ):
        peer.send_bytes(line(typ="request", rid="1", prc="ask", prm="S3cretPw!"))
        await peer.settle()
    records = [(each.levelname, each.getMessage()) for each in caplog.records]
    text = (
        f"a client of unix:{socket_path} sent an invalid message: ask param: expected integer, got "
    )
    assert records[:2] == [("WARNING", f"{text}string"), ("DEBUG", f'{text}"S3cretPw!"')]
    assert seen.problems == ['ask param: expected integer, got "S3cretPw!"']


async def _one(_: object) -> object:
    return 1


async def test_server_unfit_result_is_logged_without_it(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(_: int) -> object:
        return "S3cretPw!"

    async with connect(Serving(ask=ask)) as connection:
        with pytest.raises(enkaku.CallError):
            await connection.request(ASK, 1)
    assert "ask result: expected integer, got string" in caplog.text
    assert "S3cretPw!" not in caplog.text


async def test_handler_failing_by_unfit_value_is_logged_without_it(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "enkaku.server")

    problem = enkaku.Problem("/a", "integer", '"S3cretPw!"')

    async def ask(_: int) -> int:
        error = enkaku.DecodeError("b result", (problem,))
        raise ExceptionGroup("several", [ValueError("no"), error]) from error

    async with connect(Serving(ask=ask)) as connection:
        with pytest.raises(enkaku.CallError):
            await connection.request(ASK, 1)
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    text = logging.Formatter().format(record)
    assert text.count("b result: /a: expected integer, got string") >= 2
    assert "S3cretPw!" not in text


async def test_client_invalid_messages_are_counted_at_its_close(
    socket_path: Path, caplog: pytest.LogCaptureFixture, wait: Callable[[float], None]
) -> None:
    reconnect = enkaku.Reconnect(first=0.001, longest=0.001)
    async with (
        raw_server(socket_path) as server,
        enkaku.connect_unix(socket_path, reconnect=reconnect) as connection,
    ):
        for number in range(13):
            peer = await server.accept()
            peer.send_bytes(b"nonsense\n")
            await peer.writer.drain()
            peer.writer.close()
            await until(lambda number=number: len(caplog.records) >= min(number + 1, 10))  # type: ignore[misc] # mypy does not infer it
        await server.accept()
        await connection.close()
    assert caplog.text.count("sent an invalid message") == 10
    assert _texts(caplog)[10:] == ["invalid messages: 3 more left out"]


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ('"tea"', "string"),
        ("-1.5", "number"),
        ("NaN", "number"),
        ("-Infinity", "number"),
        ("true", "boolean"),
        ("null", "null"),
        ("12 bytes", "12 bytes"),
        ("string of 50 characters", "string of 50 characters"),
        ("array with 2 items", "array with 2 items"),
    ],
)
def test_error_without_values_names_types(found: str, shown: str) -> None:
    error = enkaku.DecodeError("ask param", (enkaku.Problem("/a", "tea", found),))
    assert error.brief == f"/a: expected tea, got {shown}"
