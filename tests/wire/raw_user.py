"""Replays recordings of a raw socket by the client's API, as far as the API can."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import recorded
from enkaku import (
    Channel,
    ClientChannel,
    ClientStream,
    EncodeError,
    EnkakuError,
    Model,
    Procedure,
    Request,
    Stream,
)
from pydantic import ValidationError
from wire.stage import Stage, outcome, take_all
from wire.transcript import Line, Recording

_TABLE = {value.name: value for value in vars(recorded).values() if isinstance(value, Procedure)}

Call = asyncio.Task[Any] | ClientStream[Any, Any]


class RawUser:
    """Opens, uses and ends calls as the recorded messages do; invalid messages are skipped.

    Attributes:
        refused: The calls that the generated client cannot make, or rejects. A client of a looser protocol
            makes them, unless JSON has no words for them.
    """

    def __init__(self, stage: Stage) -> None:
        self.refused: list[str] = []
        self._stage = stage
        self._calls: dict[str, Call] = {}
        self._open = AsyncExitStack()

    async def act(self, recording: Recording, ours: tuple[Line, ...]) -> Any:
        """Repeat the calls of a recording, and return the observations of each call.

        Args:
            ours: The messages of the replay: the recorded ones, or those of the difference. Where the raw socket
                acted after the end of a call, the replay first waits for that end, if there is one.
        """
        ends = [line for line in ours if line.payload.get("typ") in {"result", "error"}]
        for line in recording.lines:
            if line.side == "c2s":
                await self._do(line)
            elif line in ends:
                await self._wait_end(line.payload["rid"])
        await self._stage.play.crossed(len(ours))
        for line in ends:
            await self._wait_end(line.payload["rid"])
        await self._stage.connection.close()
        async with self._open:
            return {rid: await _describe(call) for rid, call in self._calls.items()}

    async def _do(self, line: Line) -> None:
        payload = line.payload
        rid = str(payload.get("rid"))
        match payload.get("typ"):
            case "request" | "stream" | "channel":
                await self._call(rid, payload)
            case "send":
                await self._send(self._calls[rid], payload["val"])
            case "abort":
                await self._abort(rid, self._calls[rid], payload.get("rsn"))

    async def _call(self, rid: str, payload: dict[str, Any]) -> None:
        name, typ = payload["prc"], payload["typ"]
        arguments = _arguments(payload)
        if arguments is not None:
            made = getattr(self._stage.client, name.replace("/", "_"))(*arguments)
        else:
            self.refused.append(rid)
            procedure = _loose(payload)
            if not _fits(procedure, payload):
                return
            made = getattr(self._stage.connection, typ)(procedure, payload.get("prm"))
        if isinstance(made, ClientStream):
            self._calls[rid] = await self._open.enter_async_context(made)
        else:
            self._calls[rid] = asyncio.create_task(made)

    async def _send(self, call: Call, val: Any) -> None:
        if isinstance(call, ClientChannel):
            try:
                await call.send(val)
            except EnkakuError:
                return  # the call has ended, or the value is invalid: nothing is sent

    async def _abort(self, rid: str, call: Call, reason: Any) -> None:
        if isinstance(call, ClientStream):
            call.abort(reason)
        else:
            await self._stage.play.opened(rid)
            call.cancel()

    async def _wait_end(self, rid: str) -> None:
        call = self._calls[rid]
        await outcome(call if isinstance(call, asyncio.Task) else call.result())


async def _describe(call: Call) -> Any:
    if isinstance(call, asyncio.Task):
        return await outcome(call)
    return {"items": await take_all(call), "result": await outcome(call.result())}


def _arguments(payload: dict[str, Any]) -> tuple[Any, ...] | None:
    """Return the arguments of the generated client's method; None if it cannot be called."""
    procedure = _TABLE.get(payload["prc"])
    if procedure is None or procedure.kind != payload["typ"]:
        return None
    if "prm" not in payload:
        return None if procedure.param.declared else ()
    if not procedure.param.declared:
        return None
    form, value = procedure.param.type_form, payload["prm"]
    try:
        typed = form.model_validate(value) if _is_model(form) else value
        procedure.param.encode(typed)
    except (ValidationError, EncodeError):
        return None
    return (typed,)


def _is_model(form: object) -> bool:
    return isinstance(form, type) and issubclass(form, Model)


def _loose(payload: dict[str, Any]) -> Any:
    """Return a procedure whose slots accept any JSON value."""
    name, param = payload["prc"], object if "prm" in payload else None
    match payload["typ"]:
        case "request":
            return Request(name, param=param, result=object)
        case "stream":
            return Stream(name, param=param, receive=object, result=object)
        case _:
            return Channel(name, param=param, send=object, receive=object, result=object)


def _fits(procedure: Any, payload: dict[str, Any]) -> bool:
    try:
        return not procedure.param.declared or bool(procedure.param.encode(payload["prm"]))
    except EncodeError:
        return False
