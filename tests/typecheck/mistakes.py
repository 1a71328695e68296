"""What a user gets wrong.

The end of a line says what has to be told there: by pyright (``report...``), by mypy; ``-`` is nothing.
"""

# ruff: noqa: B018, T201 # these are mistakes, too

from collections.abc import AsyncGenerator

import enkaku
from callbacks import FarmCallbacksClient, FarmCallbacksHandler
from dashboard import (
    METRICS_STREAM,
    SYSTEM_RESTART,
    DashboardClient,
    DashboardHandler,
    DashboardSyncClient,
    LogsWatchParam,
    MetricsStreamParam,
    MetricsStreamReceive,
    MetricsStreamResult,
    SystemRestartParam,
)
from enkaku import ABSENT
from errors import ErrorsHandler, ItemWriteConflict, ItemWriteConflictData
from exact import EXACT_ECHO, Circle, ExactEchoParam
from trade import shop as trading
from trade.orders import Order
from trade.shop import ShopClient
from values import Shape, Tree

MetricsStreamParam()  # told: CallIssue, call-arg
MetricsStreamParam(interval="2000")  # told: ArgumentType, arg-type
MetricsStreamResult(totalSamples=1)  # told: CallIssue, call-arg
LogsWatchParam(level="loud")  # told: ArgumentType, arg-type
Tree(label="a", children=[1])  # told: ArgumentType, list-item
ItemWriteConflict("late")  # told: CallIssue, call-arg
ItemWriteConflict("late", {"revision": 1})  # told: ArgumentType, arg-type
ItemWriteConflictData(revision=1).revison  # told: AttributeAccessIssue, attr-defined
MetricsStreamParam(interval=1).interval = 2  # told: AttributeAccessIssue, misc
Circle(kind="square", radius=1)  # told: ArgumentType, arg-type
ExactEchoParam(name=ABSENT)  # told: ArgumentType, arg-type
ExactEchoParam(day="2020-01-01")  # told: ArgumentType, arg-type
ExactEchoParam(_id="a")  # told: CallIssue, call-arg
ExactEchoParam().note.upper()  # told: AttributeAccessIssue, union-attr
ExactEchoParam().name.upper()  # told: OptionalMemberAccess, union-attr
EXACT_ECHO.param.encode(1)  # told: ArgumentType, arg-type
EXACT_ECHO.param.decode("{}")  # told: ArgumentType, arg-type


async def call(client: DashboardClient, shape: Shape) -> None:
    param = MetricsStreamParam(interval=1)
    await client.metrics_streams(param)  # told: AttributeAccessIssue, attr-defined
    client.metrics_stream(SystemRestartParam(service="a"))  # told: ArgumentType, arg-type
    client.metrics_stream()  # told: CallIssue, call-arg
    await client.void(1)  # told: CallIssue, call-arg
    print(shape.radius)  # told: AttributeAccessIssue, union-attr
    async with client.logs_watch(LogsWatchParam(level="info")) as channel:
        await channel.send(param)  # told: ArgumentType, arg-type
        async for log in channel:
            log.text  # told: AttributeAccessIssue, attr-defined
    async with client.metrics_stream(param) as stream:
        await stream.send(1)  # told: AttributeAccessIssue, attr-defined


async def call_worker(worker: FarmCallbacksClient) -> None:
    await worker.submit("make")  # told: AttributeAccessIssue, attr-defined
    worker.job_run(1)  # told: ArgumentType, arg-type
    FarmCallbacksHandler()  # told: AbstractUsage, abstract


async def trade(shop: ShopClient, order: Order) -> None:
    await shop.offer_make(order.price)  # told: ArgumentType, arg-type
    trading.Money  # told: AttributeAccessIssue, attr-defined


def compose(handler: DashboardHandler, connection: enkaku.Connection) -> None:
    enkaku.compose(connection)  # told: ArgumentType, arg-type
    enkaku.prefixed(1, handler)  # told: CallIssue, call-overload
    DashboardClient(connection, "v2/")  # told: CallIssue, call-arg


async def reopening(client: DashboardClient) -> None:
    param = MetricsStreamParam(interval=1)
    enkaku.reopening(client.metrics_stream(param))  # told: ArgumentType, arg-type
    enkaku.reopening(client.void)  # told: ArgumentType, arg-type
    enkaku.Reconnect(first="1")  # told: ArgumentType, arg-type
    async with enkaku.reopening(lambda: client.metrics_stream(param)) as items:
        async for item in items:
            item.cpu  # told: AttributeAccessIssue, union-attr


async def options(client: DashboardClient) -> None:
    restart, interval = SystemRestartParam(service="a"), MetricsStreamParam(interval=1)
    await client.system_restart(restart, timeout="1")  # told: ArgumentType, arg-type
    await client.system_restart(restart, tmeout=1)  # told: CallIssue, call-arg
    await client.system_restart(restart, 1)  # told: CallIssue, call-arg
    await client.system_restart(timeout=1)  # told: CallIssue, call-arg
    await client.system_restart(restart, when_full="latest")  # told: CallIssue, call-arg
    await client.ping(timeout="1")  # told: ArgumentType, arg-type
    await client.ping(metadata={"number": 1})  # told: ArgumentType, dict-item
    client.metrics_stream(interval, when_full="never")  # told: ArgumentType, arg-type
    client.metrics_stream(interval, when_full=None)  # told: ArgumentType, arg-type
    client.logs_watch(LogsWatchParam(level="info"), tmeout=1)  # told: CallIssue, call-arg


class Watching(enkaku.Observer):
    async def call_ended(  # told: IncompatibleMethodOverride, override
        self, call: enkaku.Call
    ) -> None:
        pass


async def no_block(_: enkaku.Call) -> None:
    pass


async def undecorated(_: enkaku.Call) -> AsyncGenerator[None, None]:
    yield


async def restart(call: enkaku.OutgoingCall[SystemRestartParam], _: enkaku.Proceed[int]) -> int:
    call.param = 1  # told: AttributeAccessIssue, assignment
    return 1


def number(_: enkaku.OutgoingCall[MetricsStreamParam], item: int) -> int:
    return item


def hooks() -> None:
    enkaku.hook_for(SYSTEM_RESTART, restart)  # told: CallIssue, arg-type
    enkaku.hook_for(METRICS_STREAM, receive=number)  # told: CallIssue, arg-type
    enkaku.hook_for(METRICS_STREAM, send=number)  # told: ArgumentType, call-overload
    enkaku.connect_unix("s", hooks=[restart])  # told: ArgumentType, list-item


async def connecting(handler: DashboardHandler, client: DashboardClient) -> None:
    enkaku.connect_unix("s", reconnect=True)  # told: ArgumentType, arg-type
    enkaku.connect_unix("s", reconnect=enkaku.Reconnect)  # told: ArgumentType, arg-type
    enkaku.connect_unix("s", close_timeout=1)  # told: CallIssue, call-arg
    enkaku.connect_unix("s", observers=[Watching])  # told: ArgumentType, list-item
    enkaku.connect_unix("s", observers=Watching())  # told: ArgumentType, arg-type
    enkaku.connect_unix("s", interceptors=[no_block])  # told: ArgumentType, list-item
    enkaku.connect_unix("s", interceptors=[undecorated])  # told: ArgumentType, list-item
    enkaku.serve_unix(handler, "s", lifespan=no_block)  # told: ArgumentType, arg-type
    enkaku.serve_unix(DashboardHandler, "s")  # told: ArgumentType, arg-type
    enkaku.connect_memory(handler, timeout=1)  # told: CallIssue, call-arg
    enkaku.Limits(calls="3")  # told: ArgumentType, arg-type
    enkaku.Broadcast(SYSTEM_RESTART)  # told: ArgumentType, arg-type
    DashboardClient(enkaku.connect_unix("s"))  # told: ArgumentType, arg-type
    await enkaku.connect_unix("s")  # told: GeneralTypeIssues, misc
    await client.metrics_stream(MetricsStreamParam(interval=1))  # told: GeneralTypeIssues, misc


async def addresses(handler: DashboardHandler, connection: enkaku.Connection) -> None:
    enkaku.connect("unix:s", tmeout=1)  # told: CallIssue, call-arg
    enkaku.connect("unix:s", headers=1)  # told: ArgumentType, arg-type
    enkaku.connect(1)  # told: ArgumentType, arg-type
    enkaku.sync.connect("unix:s", timeout="1")  # told: ArgumentType, call-overload
    DashboardSyncClient(connection)  # told: ArgumentType, arg-type
    DashboardClient(enkaku.sync.connect("unix:s"))  # told: ArgumentType, arg-type


def synchronous(client: DashboardSyncClient) -> None:
    param = MetricsStreamParam(interval=1)
    client.metrics_streams(param)  # told: AttributeAccessIssue, attr-defined
    client.void(1)  # told: CallIssue, call-arg
    client.void(when_full="latest")  # told: CallIssue, call-arg
    with client.logs_watch(LogsWatchParam(level="info")) as channel:
        channel.send(param)  # told: ArgumentType, arg-type
        channel.receive().text  # told: AttributeAccessIssue, attr-defined
        channel.receive(timeout="1")  # told: ArgumentType, arg-type
    with client.metrics_stream(param) as stream:
        stream.send(1)  # told: AttributeAccessIssue, attr-defined
    enkaku.sync.reopening(client.metrics_stream(param))  # told: ArgumentType, arg-type


async def call_back(connection: enkaku.ConnectionInfo) -> None:
    connection.client(DashboardClient).nothing()  # told: AttributeAccessIssue, attr-defined
    connection.client(DashboardClient, prefx="a/")  # told: CallIssue, call-arg
    connection.client(Half())  # told: ArgumentType, arg-type
    enkaku.connect_unix("s", handler=DashboardClient)  # told: ArgumentType, arg-type


class Items(ErrorsHandler):
    async def item_read(self, param: int) -> str:  # told: IncompatibleMethodOverride, override
        return str(param)

    async def item_watch(self, stream: enkaku.ServerStream[str]) -> None:
        await stream.send(1)  # told: ArgumentType, arg-type

    async def item_write(self, param: str) -> int:  # told: IncompatibleMethodOverride, override
        return len(param)


class Half(DashboardHandler):
    async def metrics_stream(
        self, param: MetricsStreamParam, stream: enkaku.ServerStream[MetricsStreamReceive]
    ) -> MetricsStreamResult:
        return param  # told: ReturnType, return-value


Half()  # told: AbstractUsage, abstract
