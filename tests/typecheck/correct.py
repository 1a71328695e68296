"""What a user writes, and the types that both checkers see in it."""

import datetime as dt
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeVar, assert_type
from uuid import UUID

import enkaku
from callbacks import FarmCallbacksClient, FarmCallbacksHandler, Job, WorkerLoadResult
from dashboard import (
    LOGS_WATCH,
    MATH_DIVIDE,
    METRICS_STREAM,
    DashboardClient,
    DashboardHandler,
    DashboardSyncClient,
    LogsWatchParam,
    LogsWatchReceive,
    LogsWatchResult,
    LogsWatchSend,
    MathDivideParam,
    MathDivideResult,
    MetricsStreamParam,
    MetricsStreamReceive,
    MetricsStreamResult,
    SystemRestartParam,
    SystemRestartResult,
)
from enkaku import ABSENT
from errors import ErrorsClient, ErrorsHandler, ItemWriteConflict, ItemWriteConflictData, NotFound
from exact import EXACT_ECHO, EXACT_NONE, Circle, ExactEchoParam, Square
from exact import Shape as ExactShape
from trade.money import Currency, Money
from trade.orders import NotFound as NoOrder
from trade.orders import Order, OrdersClient
from trade.shop import Offer, ShopClient
from values import (
    Colour,
    EnumInlineResult,
    Json,
    Person,
    Shape,
    ShapeCircle,
    ShapeSquare,
    Tree,
    ValuesClient,
)

Result = TypeVar("Result")


async def call_back(connection: enkaku.ConnectionInfo, handler: DashboardHandler) -> None:
    client = connection.client(DashboardClient)
    assert_type(client, DashboardClient)
    await client.void()
    prefixed = connection.client(DashboardClient, prefix="board/")
    assert_type(prefixed, DashboardClient)
    async with enkaku.connect_unix("s", handler=handler) as other:
        await DashboardClient(other).ping()


async def call(client: DashboardClient) -> None:
    async with client.metrics_stream(MetricsStreamParam(interval=2000)) as stream:
        assert_type(stream, enkaku.ClientStream[MetricsStreamReceive, MetricsStreamResult])
        async for metric in stream:
            assert_type(metric.cpu, float)
        assert_type((await stream.result()).total_samples, float)
    async with client.logs_watch(LogsWatchParam(level="info")) as channel:
        await channel.send(LogsWatchSend(level="debug"))
        assert_type(await anext(channel), LogsWatchReceive)
        assert_type(await channel.close(), LogsWatchResult)
    divided = await client.math_divide(MathDivideParam(numerator=1, denominator=2))
    assert_type(divided, MathDivideResult)
    assert_type(await client.echo({"any": [1]}), dict[str, object])
    await client.any_echo(None)
    await client.any_echo([1, "a"])
    await client.void()
    await client.ping()
    await client.note({})


async def trade(orders: OrdersClient, shop: ShopClient) -> Money:
    order = await orders.find(1)
    assert_type(order, Order)
    currency: Currency = "EUR"
    try:
        offer = await shop.offer_make(order)
    except NoOrder as error:
        return error.data.refund
    assert_type(offer, Offer)
    return Money(amount=offer.total.amount, currency=currency)


class Worker(FarmCallbacksHandler):
    async def job_cancel(self, data: int) -> None: ...

    async def job_run(self, param: Job, stream: enkaku.ServerStream[str]) -> int:
        await stream.send(param.command)
        return 1

    async def shell(self, channel: enkaku.ServerChannel[str, str]) -> None: ...

    async def worker_load(self) -> WorkerLoadResult:
        return WorkerLoadResult(load=0.5)


async def call_worker(worker: FarmCallbacksClient) -> None:
    async with worker.job_run(Job(id=1, command="make")) as stream:
        assert_type(stream, enkaku.ClientStream[str, int])
    assert_type((await worker.worker_load()).load, float)


def compose(
    handler: DashboardHandler, others: ErrorsHandler, connection: enkaku.Connection
) -> None:
    composed = enkaku.compose(handler, enkaku.prefixed("errors/", others))
    assert_type(composed, enkaku.Handler)
    assert_type(enkaku.prefixed("errors/", connection), enkaku.Connection)
    ErrorsClient(connection, prefix="errors/")
    enkaku.connect_memory(composed)


async def reopening(client: DashboardClient) -> None:
    param = MetricsStreamParam(interval=1)
    async with enkaku.reopening(lambda: client.metrics_stream(param)) as items:
        assert_type(items, enkaku.Reopening[MetricsStreamReceive, MetricsStreamResult])
        async for item in items:
            if isinstance(item, enkaku.Gap):
                assert_type(item.seconds, float)
                assert_type(item.error, enkaku.ConnectionLost | enkaku.CallError)
            else:
                assert_type(item, MetricsStreamReceive)
        assert_type(items.result, MetricsStreamResult)
    async with enkaku.reopening(lambda: client.logs_watch(LogsWatchParam(level="info"))) as logs:
        assert_type(logs, enkaku.Reopening[LogsWatchReceive, LogsWatchResult])


async def connecting(path: str) -> None:
    async with enkaku.connect(f"unix:{path}", timeout=5, connect_timeout=1) as connection:
        assert_type(connection, enkaku.Connection)
        DashboardClient(connection)
    tls: enkaku.ConnectOptions = {"server_hostname": "example.com", "reconnect": None}
    async with enkaku.connect("tls:127.0.0.1:8000", **tls):
        pass


async def divide(
    call: enkaku.OutgoingCall[MathDivideParam], proceed: enkaku.Proceed[MathDivideResult]
) -> MathDivideResult:
    assert_type(call.param, MathDivideParam)
    assert_type(await proceed(), MathDivideResult)
    return MathDivideResult(quotient=1)


@asynccontextmanager
async def watched(call: enkaku.OutgoingCall[LogsWatchParam]) -> AsyncGenerator[None, None]:
    call.param = LogsWatchParam(level="debug")
    yield


class Tracing(enkaku.Hook):
    async def wrap(
        self, call: enkaku.OutgoingCall[object], proceed: enkaku.Proceed[Result]
    ) -> Result:
        assert_type(call.param, object)
        return await proceed()

    @asynccontextmanager
    async def wrap_stream(self, call: enkaku.OutgoingCall[object]) -> AsyncGenerator[None, None]:
        assert_type(call.remaining, float | None)
        yield

    def receive(self, call: enkaku.OutgoingCall[object], item: Result) -> Result:
        return item


def hooks() -> enkaku.ConnectionOptions:
    metrics = enkaku.hook_for(METRICS_STREAM, receive=lambda _, item: item)
    logs = enkaku.hook_for(
        LOGS_WATCH,
        watched,
        send=lambda call, _: LogsWatchSend(level=call.param.level),
        result=lambda _, result: LogsWatchResult(total_logs=result.total_logs + 1),
    )
    return {"hooks": [Tracing(), enkaku.hook_for(MATH_DIVIDE, divide), metrics, logs]}


def synchronous(handler: DashboardHandler) -> None:
    with enkaku.sync.connect("unix:/run/dashboard.sock", timeout=5) as connection:
        assert_type(connection, enkaku.sync.Connection)
        client = DashboardSyncClient(connection)
        DashboardSyncClient(connection, prefix="v2/")
        assert_type(enkaku.prefixed("v2/", connection), enkaku.sync.Connection)
        with client.metrics_stream(MetricsStreamParam(interval=2000)) as stream:
            assert_type(stream, enkaku.sync.ClientStream[MetricsStreamReceive, MetricsStreamResult])
            for metric in stream:
                assert_type(metric.cpu, float)
            assert_type(stream.receive(timeout=1), MetricsStreamReceive)
            assert_type(stream.result(timeout=1).total_samples, float)
        with client.logs_watch(LogsWatchParam(level="info"), when_full="latest") as channel:
            channel.send(LogsWatchSend(level="debug"))
            assert_type(next(channel), LogsWatchReceive)
            assert_type(channel.close(), LogsWatchResult)
        divided = client.math_divide(MathDivideParam(numerator=1, denominator=2), timeout=1)
        assert_type(divided, MathDivideResult)
        client.void()
        client.ping(timeout=None)
        for state in connection.states():
            assert_type(state, enkaku.ConnectionState)
        param = MetricsStreamParam(interval=1)
        with enkaku.sync.reopening(lambda: client.metrics_stream(param)) as items:
            for item in items:
                assert_type(item, MetricsStreamReceive | enkaku.Gap)
            assert_type(items.result, MetricsStreamResult)
    with enkaku.sync.connect(enkaku.connect_memory(handler)) as in_memory:
        DashboardSyncClient(in_memory).note({})


async def states(connection: enkaku.Connection) -> None:
    assert_type(connection.state, enkaku.ConnectionState)
    async for state in connection.states():
        assert_type(state, enkaku.ConnectionState)


def reconnecting() -> enkaku.ConnectionOptions:
    return {"reconnect": enkaku.Reconnect(first=1, attempts=3)}


async def options(client: DashboardClient, patience: float | None) -> None:
    restart, interval = SystemRestartParam(service="a"), MetricsStreamParam(interval=1)
    restarted = await client.system_restart(restart, timeout=1.0)
    assert_type(restarted, SystemRestartResult)
    await client.system_restart(restart, timeout=None)
    await client.system_restart(param=restart, timeout=patience)
    await client.void(timeout=1)
    await client.ping(timeout=1, metadata={"token": "t"})
    await client.system_restart(restart, metadata=None)
    await client.note({}, timeout=1)
    latest = client.metrics_stream(interval, timeout=60, when_full="latest")
    assert_type(latest, enkaku.ClientStream[MetricsStreamReceive, MetricsStreamResult])
    chosen: enkaku.WhenFull = "drop_oldest"
    client.logs_watch(LogsWatchParam(level="info"), timeout=None, when_full=chosen)
    client.metrics_stream(interval, metadata={"token": "t"})
    patient: enkaku.CallOptions = {"timeout": 5}
    await client.ping(**patient)


def exact(param: ExactEchoParam, shape: ExactShape) -> None:
    assert_type(param.name, str | None)
    assert_type(param.retries, int)
    assert_type(param.day, dt.date | None)
    if param.note is not ABSENT:
        assert_type(param.note, str | None)
    if param.id:
        assert_type(param.id, UUID)
    assert_type(EXACT_ECHO.param, enkaku.Slot[ExactEchoParam])
    assert_type(EXACT_ECHO.param.decode(b"{}"), ExactEchoParam)
    assert_type(EXACT_ECHO.result.encode([10]), bytes)
    assert_type(EXACT_NONE.result.decode(b"[]"), tuple[str] | tuple[str, int])
    match shape:
        case Circle(radius=radius):
            assert_type(radius, float)
        case Square():
            assert_type(shape.side, float)
    if shape.kind == "circle":
        assert_type(shape, Circle)
    made: ExactShape = Circle(radius=1)  # its constant is filled in
    assert made == Circle(kind="circle", radius=1)
    ExactEchoParam(name=None, note=None, id=ABSENT, any={"a": [1]}, own_id="a")


async def values(client: ValuesClient) -> None:
    assert_type(await client.scalar_string("a"), str)
    assert_type(await client.scalar_number(1), int)
    assert_type(await client.map_open({}), dict[str, int])
    assert_type(await client.anything(object()), object)
    assert_type((await client.merged_person(Person(name="a", age=3))).age, int | None)
    shape: Shape | None = await client.union_mixed(Tree(label="a", children=[Tree(label="b")]))
    if shape is not None:
        match shape:
            case ShapeCircle():
                assert_type(shape.radius, float)
            case ShapeSquare():
                assert_type(shape.side, float)
        if shape.type == "circle":
            assert_type(shape, ShapeCircle)
    result: EnumInlineResult = await client.enum_inline("asc")
    colour: Colour = result.colour
    assert colour != "red" or result.level != "low"
    json: Json = ["a", {"b": [None, 1.5]}]
    async with client.recursive_tree(Tree(label="a", parent=None)) as stream:
        async for item in stream:
            json = item
        assert_type(await stream.close(), list[Tree])
    assert json is not None


async def errors(client: ErrorsClient) -> None:
    try:
        await client.item_write("a")
    except NotFound as error:
        assert_type(error.data.id, str)
    except ItemWriteConflict as error:
        assert_type(error.data.revision, int)


class Items(ErrorsHandler):
    async def item_read(self, param: str) -> str:
        return param

    async def item_watch(self, stream: enkaku.ServerStream[str]) -> None:
        async with stream.until_closed():
            await stream.send("a")

    async def item_write(self, param: str) -> None:
        raise ItemWriteConflict("too late", ItemWriteConflictData(revision=len(param)))


class Partial(DashboardHandler):
    async def metrics_stream(
        self, param: MetricsStreamParam, stream: enkaku.ServerStream[MetricsStreamReceive]
    ) -> MetricsStreamResult:
        await stream.send(MetricsStreamReceive(cpu=0, memory=0, timestamp=param.interval))
        return MetricsStreamResult(total_samples=1)

    async def logs_watch(
        self, param: LogsWatchParam, channel: enkaku.ServerChannel[LogsWatchSend, LogsWatchReceive]
    ) -> LogsWatchResult:
        count = 0
        async for update in channel:
            assert_type(update, LogsWatchSend)
            count += 1
        return LogsWatchResult(total_logs=count)
