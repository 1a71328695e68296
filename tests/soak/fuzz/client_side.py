"""Client fuzzer: a server replies to calls with malformed messages, and then with a valid one, which must be accepted."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable
from pathlib import Path
from random import Random
from typing import Any, Final

import enkaku
from soak.counting import Counting

from .handler import ANY, CHAT, COUNTER, DIVIDE, ECHO, LOGS, VOID, Level, Span
from .lines import MESSAGE_SIZE, Lines, good_line, made_envelope, may_end, pieces
from .values import Members, Text, odd_text
from .watch import Watch

__all__ = ["ClientSide"]

_WITHIN: Final = 30.0  # seconds, the time limit of a valid reply
_TRIES: Final = 5
_KINDS: Final = (*("receive",) * 6, *("result", "error", "credit") * 2)
_VALUES: Final = (
    *("1", "null", "{}", "0.5", '"text"', '{"count":1}', '{"level":"info"}', '{"received":1}'),
    *('{"total":1}', "[]"),
)


class ClientSide:
    """A raw server, to which one client after the other connects.

    Args:
        path: Its socket.
        seed: The seed; together with a batch number, it determines what the batch sends.
        watch: Records the findings.
    """

    name = "client"

    def __init__(self, path: Path, seed: str, watch: Watch) -> None:
        self._path = path
        self._seed = seed
        self._watch = watch
        self._accepted: asyncio.Queue[_Peer] = asyncio.Queue()
        self._counting = Counting()
        self._limits = enkaku.Limits(message_size=MESSAGE_SIZE, invalid=1_000_000)
        self.reached = 0  # calls that ended with a message of the server

    async def run(self, numbers: range, count: int) -> AsyncGenerator[int, None]:
        """Run batches of ``count`` lines each; yield the number of each finished batch."""
        listener = await asyncio.get_running_loop().create_unix_server(
            lambda: _Peer(self._accepted), self._path
        )
        before = asyncio.all_tasks()
        try:
            for number in numbers:
                with self._watch.batch(f"{self.name}:{number}"):
                    await self._batch(Random(f"{self._seed}.{self.name}.{number}"), count)
                    await self._watch.check_tasks(before)
                yield number
        finally:
            listener.close()

    async def _batch(self, random: Random, count: int) -> None:
        async with enkaku.connect_unix(
            self._path, limits=self._limits, observers=[self._counting]
        ) as connection:
            peer = await self._accepted.get()
            calls = [asyncio.create_task(self._call(call)) for call in _calls(connection, random)]
            await asyncio.sleep(0)
            rids = peer.rids
            lines = Lines(random, "s2c", lambda: _made_up(random, rids), rids)
            data = b"".join(lines.make() for _ in range(count))
            try:
                async with asyncio.timeout(_WITHIN):
                    for piece in pieces(random, data):
                        peer.transport.write(piece)
                        await asyncio.sleep(0)
                    peer.transport.write(b"\n")
                    await self._ask(connection, data)
            except TimeoutError:
                self._watch.add(f"a valid reply was not accepted within {_WITHIN:g} s")
            if random.random() < 0.5:
                peer.transport.abort()
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
            if connection.calls:
                self._watch.add(f"calls are left: {connection.calls}")
            peer.transport.abort()
        if imbalance := self._counting.imbalance():
            self._watch.add(f"starts and ends differ: {imbalance}")

    async def _ask(self, connection: enkaku.Connection, data: bytes) -> None:
        for _ in range(_TRIES):
            try:
                await connection.request(VOID, None)
            except enkaku.ConnectionLost as error:
                if not may_end(data):
                    self._watch.add(f"the connection ended: {error!r}")
                return
            except enkaku.EnkakuError as error:
                last = error  # an earlier line may have had the next rid
            else:
                return
        self._watch.add(f"valid replies are not accepted: {last!r}")

    async def _call(self, call: Awaitable[object]) -> None:
        try:
            await call
            self.reached += 1
        except (enkaku.CallError, enkaku.PeerError):
            self.reached += 1
        except enkaku.EnkakuError:
            return
        except Exception as error:  # noqa: BLE001 # any other exception is a finding
            self._watch.add(f"a call ended in {error!r}")


class _Peer(asyncio.Protocol):
    """The server's end of a connection: collects the rids of calls, and replies to the valid request."""

    def __init__(self, accepted: "asyncio.Queue[_Peer]") -> None:
        self.rids = [str(number) for number in range(1, 9)]
        self._accepted = accepted
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(2**26)
        self._accepted.put_nowait(self)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            payload: dict[str, Any] = json.loads(line)["payload"]
            if (
                payload["typ"] in {"request", "stream", "channel"}
                and payload["rid"] not in self.rids
            ):
                self.rids.append(payload["rid"])
            if payload.get("prc") == VOID.name:
                self.transport.write(good_line(typ="result", rid=payload["rid"]))


def _calls(connection: enkaku.Connection, random: Random) -> list[Awaitable[Any]]:
    """Open some calls and use them in different ways."""
    some: dict[str, object] = {"a": 1}
    fraction: dict[str, float] = {"numerator": 1, "denominator": 2}
    return [
        connection.request(ECHO, some),
        connection.request(DIVIDE, fraction),
        connection.request(ANY, [1, None]),
        connection.request(ANY, None, timeout=0.02),
        _read(connection.stream(COUNTER, Span(max=3)), 10_000),
        _read(connection.stream(COUNTER, Span(max=3)), random.randrange(3)),
        _read(connection.stream(COUNTER, Span(max=3), when_full="latest"), 10_000),
        _read(connection.stream(COUNTER, Span(max=3), when_full="drop_oldest"), 10_000),
        _result(connection.stream(COUNTER, Span(max=3), timeout=0.02)),
        _converse(connection.channel(CHAT, {}), ending=False),
        _converse(connection.channel(CHAT, {}), ending=True),
        _read(connection.channel(LOGS, Level(level="info")), 10_000),
    ]


async def _read(call: enkaku.ClientStream[Any, Any], most: int) -> object:
    async with call:
        async for _ in call:
            most -= 1
            if most < 0:
                return await call.close()
        return await call.result()


async def _result(call: enkaku.ClientStream[Any, Any]) -> object:
    async with call:
        return await call.result()


async def _converse(
    call: enkaku.ClientChannel[dict[str, object], Any, Any], *, ending: bool
) -> object:
    async with call:
        for number in range(20):
            await call.send({"n": number})
            await asyncio.sleep(0)
        if ending:
            await call.end()
        async for item in call:
            if not ending:
                await call.send(item)
        return await call.result()


def _made_up(random: Random, rids: list[str]) -> Members:
    """Return a valid, or almost valid, message of a server."""
    kind = random.choice(_KINDS)
    body: list[tuple[str, Any]] = [("typ", kind), ("rid", random.choice(rids))]
    value = Text(random.choice(_VALUES)) if random.random() < 0.8 else odd_text(random)
    match kind:
        case "receive" | "result":
            body.append(("val", value))
        case "error":
            code = random.choice(("EK01", "EK05", "EK08", "EKP01", "DIVISION", "x" * 200))
            body += [("code", code), ("data", Members()), ("msg", "something")]
        case _:
            body.append(("n", random.choice((0, 1, 1_000, 10**6, -1, 2**63, odd_text(random)))))
    return made_envelope(random, Members(body))
