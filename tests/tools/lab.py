"""A server in a process of its own, at an address of each transport: ``python lab.py DIRECTORY``.

The directory has the files of certificates and keys, and gets ``addresses.json``.
"""

import asyncio
import json
import ssl
import sys
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import enkaku
from enkaku.identity.keys import KeyPair


class Divisor(enkaku.Model):
    dividend: float


class DivisionByZero(enkaku.DeclaredDataError[Divisor], code="DIVISION_BY_ZERO", data=Divisor):
    """The divisor is 0."""


class Lab(enkaku.Handler):
    """Serves ``lab.json``, with the description of a package of it."""

    __enkaku_package__ = "lab_package"

    def __init__(self) -> None:
        self._ends: list[str] = []
        self._ended = asyncio.Event()
        self._notes: asyncio.Queue[str] = asyncio.Queue()

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        any_object = dict[str, Any]
        route = enkaku.Route
        divide = enkaku.Request(
            "math/divide", param=any_object, result=float, errors=[DivisionByZero]
        )
        count = enkaku.Stream("count", param=any_object, receive=int, result=str)
        add = enkaku.Channel("sum", send=float, receive=float, result=float)
        hold = enkaku.Channel("hold", send=str, receive=str)
        brief = enkaku.Channel("brief", send=str, receive=str, result=str)
        return (
            route.request(divide, self.divide),
            route.request(enkaku.Request("echo", param=object, result=object), self.echo),
            route.request(enkaku.Request("crash"), self.crash),
            route.request(enkaku.Request("wait"), self.wait),
            route.request(enkaku.Request("ended", param=str), self.ended),
            route.request(enkaku.Request("noted", result=str), self._notes.get),
            route.request(enkaku.Request("metadata", result=dict[str, str]), self.metadata),
            route.stream(count, self.count),
            route.channel(add, self.sum),
            route.channel(hold, self.hold),
            route.channel(brief, self.brief),
            route.event(enkaku.Event("note", data=str), self.note),
        )

    async def divide(self, param: dict[str, Any]) -> float:
        if not param["b"]:
            raise DivisionByZero("\x1b[31mno\x1b[0m", Divisor(dividend=param["a"]))
        return float(param["a"] / param["b"])

    async def echo(self, param: object) -> object:
        return param

    async def crash(self) -> None:
        raise RuntimeError

    async def wait(self) -> None:
        with self._noting_end("wait"):
            await asyncio.Event().wait()

    @contextmanager
    def _noting_end(self, name: str) -> Generator[None]:
        try:
            yield
        except asyncio.CancelledError:
            self._end(f"{name} cancelled")
            raise
        self._end(f"{name} finished")

    def _end(self, how: str) -> None:
        self._ends.append(how)
        self._ended.set()

    async def ended(self, how: str) -> None:
        while how not in self._ends:
            self._ended.clear()
            await self._ended.wait()
        self._ends.remove(how)

    async def metadata(self) -> dict[str, str]:
        call = enkaku.current_call()
        names = {"identity": call.identity.id} if call.identity is not None else {}
        return {**call.metadata, **names}

    async def count(self, param: dict[str, Any], stream: enkaku.ServerStream[int]) -> str:
        sent = 0
        with self._noting_end("count"):
            async with stream.until_closed():
                while sent < param.get("n", sent + 1):
                    await stream.send(sent)
                    sent += 1
                    if param.get("pause"):
                        await asyncio.Event().wait()
        return f"{sent} items"

    async def sum(self, channel: enkaku.ServerChannel[float, float]) -> float:
        total = 0.0
        async for number in channel:
            total += number
            await channel.send(total)
        return total

    async def hold(self, channel: enkaku.ServerChannel[str, str]) -> None:
        await channel.send("held")
        with self._noting_end("hold"):
            await asyncio.Event().wait()

    async def brief(self, channel: enkaku.ServerChannel[str, str]) -> str:
        return "done"

    async def note(self, data: str) -> None:
        self._notes.put_nowait(data)


def tls_context(directory: Path, *, mutual: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "server.pem")
    if mutual:
        context.load_verify_locations(directory / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def main(directory: Path) -> None:
    lab, key = Lab(), KeyPair.generate()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(enkaku.serve_unix(lab, directory / "s", describe=True))
        signed = enkaku.serve_unix(
            lab, directory / "signed", identity=key, access={"*": "identified"}
        )
        await stack.enter_async_context(signed)
        tcp = await stack.enter_async_context(enkaku.serve_tcp(lab))
        tls, mutual = [
            await stack.enter_async_context(
                enkaku.serve_tcp(lab, ssl=tls_context(directory, mutual=each))
            )
            for each in (False, True)
        ]
        http = await stack.enter_async_context(enkaku.serve_http(lab))
        web = http.addresses[0].removeprefix("http:")
        addresses = {
            "unix": f"unix:{directory / 's'}",
            "signed": f"unix:{directory / 'signed'}",
            "tcp": tcp.addresses[0],
            "tls": f"tls:localhost:{port_of(tls)}",
            "mutual": f"tls:127.0.0.1:{port_of(mutual)}",
            "http": f"http:{web}/",
            "ws": f"ws:{web}/",
            "key": key.did,
        }
        (directory / "addresses.json").write_text(json.dumps(addresses))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def port_of(server: enkaku.Server) -> str:
    return server.addresses[0].rpartition(":")[2]


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
