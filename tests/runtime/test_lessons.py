"""What went wrong elsewhere in this field, and shall not here."""

import asyncio
import gc
import sys
import threading
from pathlib import Path
from typing import Any

import enkaku
import pytest
from support import (
    ASK,
    TELL,
    VOID,
    WATCH,
    WITHIN,
    Connect,
    Lifetime,
    Serving,
    collect,
    facing,
    line,
    raw_client,
    raw_server,
    soon,
    turns,
)


async def test_the_end_of_an_old_connection_leaves_its_replacement_alone(socket_path: Path) -> None:
    async with raw_server(socket_path) as server:
        async with enkaku.connect_unix(socket_path) as old:
            old_peer = await server.accept()
            async with enkaku.connect_unix(socket_path) as new:
                new_peer = await server.accept()
                asking = asyncio.create_task(new.request(ASK, 1))
                rid = (await new_peer.read())["rid"]
                old_peer.writer.transport.abort()
                while old.is_open:  # noqa: ASYNC110 # it has no event
                    await asyncio.sleep(0)
                new_peer.send(typ="result", rid=rid, val=2)
                assert await asking == 2
                new_peer.writer.close()


async def test_calls_after_a_clean_end_fail_at_once(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        peer.writer.close()
        while connection.is_open:  # noqa: ASYNC110 # it has no event
            await asyncio.sleep(0)
        async with asyncio.timeout(WITHIN):
            for call in (connection.request(ASK, 1), connection.event(TELL, 1)):
                with pytest.raises(enkaku.ConnectionLost):
                    await call


async def test_a_failed_call_that_nobody_awaits_stays_quiet(connect: Connect) -> None:
    async with connect(Serving()) as connection:
        async with connection.stream(WATCH, 1):
            await connection.request(VOID, None)
        async with connection.channel(enkaku.Channel("no", send=int, receive=int), None):
            await connection.request(VOID, None)
    gc.collect()


async def test_an_abort_after_the_connection_is_gone_raises_nowhere(connect: Connect) -> None:
    async with connect(Serving(watch=Lifetime().forever)) as connection:
        async with connection.stream(WATCH, 1) as stream:
            await connection.close()
            stream.abort("late")
            stream.abort("later")


async def test_handlers_of_cancelled_requests_do_not_run(socket_path: Path) -> None:
    life = Lifetime()
    limits = enkaku.Limits(handlers=200)
    async with enkaku.serve_unix(Serving(ask=life.forever), socket_path, limits=limits):
        async with raw_client(socket_path) as peer:
            peer.send_bytes(
                b"".join(
                    line(typ="request", rid=str(number), prc="ask", prm=1)
                    + line(typ="abort", rid=str(number))
                    for number in range(100)
                )
            )
            assert await peer.settle() == []
    assert not life.began.is_set()


async def test_timers_do_not_keep_a_process_alive(socket_path: Path) -> None:
    program = (
        "import asyncio, enkaku\n"
        "from support import WATCH, Serving\n"
        "async def watch(number, stream):\n"
        "    async with stream.until_closed():\n"
        "        await asyncio.Event().wait()\n"
        "    return number\n"
        "async def main():\n"
        "    async with enkaku.connect_memory(Serving(watch=watch), close_timeout=1000) as connection:\n"
        "        async with connection.stream(WATCH, 5) as stream:\n"
        "            print(await stream.close())\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", program),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    async with asyncio.timeout(WITHIN):
        assert await process.communicate() == (b"5\n", b"")


async def test_exactly_one_end_reaches_each_call(socket_path: Path) -> None:
    """Whichever of return, error, close, abort and disconnect come together."""

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        await turns(number % 5)
        if number % 3 == 0:
            raise enkaku.HandlerError("NO", "no")
        async with stream.until_closed():
            await turns(number % 7)
        return number

    async with enkaku.serve_unix(Serving(watch=watch), socket_path):
        async with raw_client(socket_path) as peer:
            for number in range(300):
                peer.send(typ="stream", rid=str(number), prc="watch", prm=number)
                if number % 4 == 0:
                    peer.send(typ="abort", rid=str(number), rsn="Close")
                if number % 6 == 1:
                    await turns(number % 4)
                    peer.send(typ="abort", rid=str(number))
            seen = await peer.settle()
            while True:
                more = await peer.settle()
                seen += more
                if len(asyncio.all_tasks()) < 3 and not more:
                    break
            ends = [payload["rid"] for payload in seen if payload["typ"] in {"result", "error"}]
            assert len(ends) == len(set(ends))
            unanswered = {str(number) for number in range(300)} - set(ends)
            assert all(int(rid) % 6 == 1 for rid in unanswered)


async def test_a_call_from_another_thread_is_possible_through_the_loop(connect: Connect) -> None:
    async def ask(number: int) -> int:
        return -number

    async with connect(Serving(ask=ask)) as connection:
        loop = asyncio.get_running_loop()
        answers: list[int] = []

        def use() -> None:
            future: Any = asyncio.run_coroutine_threadsafe(connection.request(ASK, 1), loop)
            answers.append(future.result(WITHIN))

        thread = threading.Thread(target=use)
        thread.start()
        await asyncio.to_thread(thread.join)
        assert answers == [-1]


async def test_a_closed_connection_forgets_its_calls(connect: Connect) -> None:
    life = Lifetime()
    async with connect(Serving(ask=life.forever)) as connection:
        for _ in range(50):
            asking = asyncio.create_task(connection.request(ASK, 1))
            await soon(life.began)
            life.began.clear()
            asking.cancel()
            await collect([asking])
        await connection.request(VOID, None)
        await connection.request(VOID, None)
        assert life.began_count == life.ended_count == 50
