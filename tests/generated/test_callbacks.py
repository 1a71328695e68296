"""The generated classes of callbacks: an ordinary client and handler, whichever side has them."""

import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import enkaku
import pytest
from enkaku.procedures import slots_of
from generated.packages import imported, importing, make_protocol
from golden.refresh import PACKAGES
from support import Connect


@pytest.fixture
def farm() -> Iterator[ModuleType]:
    with importing("callbacks", PACKAGES) as module:
        yield module


async def test_callbacks_client_and_handler_interoperate(farm: Any, connect: Connect) -> None:
    cancelled: list[int] = []

    class Worker(farm.FarmCallbacksHandler):  # type: ignore[misc] # a class of a module that is generated
        async def job_cancel(self, data: int) -> None:
            cancelled.append(data)

        async def job_run(self, param: Any, stream: enkaku.ServerStream[str]) -> int:
            await stream.send(param.command)
            if param.id == 0:
                raise farm.Failed("no such command", farm.FailedData(status=127))
            return int(param.id) - 1

        async def shell(self, channel: enkaku.ServerChannel[str, str]) -> None:
            async for line in channel:
                await channel.send(line.upper())

        async def worker_load(self) -> Any:
            return farm.WorkerLoadResult(load=0.5)

    async with connect(Worker()) as connection:
        worker = farm.FarmCallbacksClient(connection)
        await worker.job_cancel(3)
        assert (await worker.worker_load()).load == 0.5
        assert cancelled == [3]
        async with worker.job_run(farm.Job(id=3, command="make")) as stream:
            assert [line async for line in stream] == ["make"]
            assert await stream.result() == 2
        async with worker.job_run(farm.Job(id=0, command="make")) as stream:
            with pytest.raises(farm.Failed) as caught:
                await stream.result()
        assert caught.value.data.status == 127
        async with worker.shell() as channel:
            await channel.send("ls")
            assert await anext(channel) == "LS"
            await channel.close()
        # A result that its schema rejects does not leave the handler.
        with pytest.raises(enkaku.CallError, match="EK01"):
            async with worker.job_run(farm.Job(id=1, command="make")) as stream:
                await stream.result()


def test_each_direction_has_its_own_methods_and_routes(farm: Any) -> None:
    def methods(class_: type) -> set[str]:
        return {name for name in vars(class_) if not name.startswith("_")}

    assert methods(farm.FarmClient) == {"submit", "work"}
    assert methods(farm.FarmHandler) == {"submit", "work"}
    back = {"job_cancel", "job_run", "shell", "worker_load"}
    assert methods(farm.FarmCallbacksClient) == methods(farm.FarmCallbacksHandler) == back
    assert farm.FarmCallbacksHandler.__abstractmethods__ == back


async def test_package_is_prepared_with_its_callbacks(farm: Any) -> None:
    await enkaku.prepare(importlib.import_module("callbacks"))
    for procedure in (farm.JOB_RUN, farm.SUBMIT):
        assert all("_built" in vars(slot) for slot in slots_of(procedure))


def test_secret_of_callback_is_hidden(tmp_path: Any) -> None:
    login = {"type": "object", "properties": {"pin": {"type": "string", "x-secret": True}}}
    protocol = make_protocol(
        {"p": {"type": "event"}}, callbacks={"ask": {"type": "request", "result": login}}
    )
    with imported(protocol, tmp_path) as package:
        assert "1234" not in repr(package.AskResult(pin="1234"))
