"""The browser runtime in Chromium, over WebSocket and over HTTP with server-sent events."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import enkaku
import pytest
from browser.chromium import running_chromium
from browser.conftest import Open
from browser.pages import running, site, website
from browser.tabs import open_tab
from starlette.responses import Response
from support import Lifetime, Serving, soon
from web.caller import listed
from webserver import serving_app

WINDOW = 256 * 1024
MIB = 2**20

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


class Flood:
    """Sends items of 500 bytes as fast as it may."""

    def __init__(self) -> None:
        self.sent = 0

    async def pour(self, param: int, stream: enkaku.ServerStream[str]) -> int:
        for _ in range(param):
            await stream.send("x" * 500)
            self.sent += 1
        return self.sent

    async def ask(self, param: int) -> int:
        return self.sent


class Waiting:
    """A request, a stream and a channel that never end."""

    def __init__(self) -> None:
        self.lives = {name: Lifetime() for name in ("ask", "watch", "talk")}
        self.handler = Serving(**{name: life.forever for name, life in self.lives.items()})

    async def began(self) -> None:
        await soon(*(life.began for life in self.lives.values()))

    async def cancelled(self) -> None:
        await soon(*(life.cancelled for life in self.lives.values()))


WAIT = """() => {
  globalThis.connection = connect(process.env.ENKAKU_URL, { transport, reconnect })
  connection.request(ASK, 1).catch(() => {})
  connection.stream(WATCH, 1).result().catch(() => {})
  connection.channel(TALK, 1).result().catch(() => {})
}"""


def server_process(port: int) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    return running("-m", "browser.pages", str(port))


async def test_calls_in_page_behave_as_in_node(open_url: Open, transport: str) -> None:
    # test_slow_reader_of_many_items_is_bounded asks for more.
    left = "a hundred thousand items reach a slow reader in bounded memory"
    async with site() as origin:
        tab = await open_url(f"{origin}/?transport={transport}")
        script = "(left) => runTests('/tests/web/calls.test.mjs', left)"
        outcome = await tab.run(script, left, within=60)
    assert outcome["failed"] == []
    assert len(outcome["passed"]) > 15


async def test_calls_of_server_in_page_behave_as_in_node(open_url: Open, transport: str) -> None:
    async with site(lifespan=listed) as origin:
        tab = await open_url(f"{origin}/?transport={transport}")
        outcome = await tab.run("() => runTests('/tests/web/callbacks.test.mjs')", within=60)
    assert outcome["failed"] == []
    assert len(outcome["passed"]) > 15


async def test_slow_reader_of_many_items_is_bounded(open_url: Open, transport: str) -> None:
    flood, count = Flood(), 100_000
    async with site(Serving(pour=flood.pour, ask=flood.ask)) as origin:
        tab = await open_url(f"{origin}/?transport={transport}")
        await tab.run("""async () => {
            globalThis.connection = connect(process.env.ENKAKU_URL, { transport })
            await connection.request(ASK, 0)
        }""")
        before = await tab.used_heap()
        # The reader stops in the middle, and gives the server time for a hundred requests.
        read = await tab.run(
            """async (middle) => {
                globalThis.items = connection.stream(POUR, 2 * middle)[Symbol.asyncIterator]()
                let read = 0
                while (read < middle) if ((await items.next()).value) read++
                for (let count = 0; count < 100; count++) await connection.request(ASK, 0)
                return read
            }""",
            count // 2,
            within=60,
        )
        assert (flood.sent - read) * 500 < 2 * WINDOW
        assert await tab.used_heap() - before < 4 * MIB
        rest = await tab.run(
            """async () => {
                let read = 0
                while (!(await items.next()).done) read++
                await connection.close()
                return read
            }""",
            within=60,
        )
    assert read + rest == flood.sent == count


@pytest.mark.parametrize("way", ["closed", "left", "crashed"])
async def test_tab_that_goes_ends_its_handlers(open_url: Open, transport: str, way: str) -> None:
    waiting = Waiting()
    async with site(waiting.handler) as origin:
        tab = await open_url(f"{origin}/?transport={transport}")
        await tab.run(WAIT)
        await waiting.began()
        if way == "closed":
            await tab.page.close()
        elif way == "left":
            await tab.page.goto("about:blank")  # the browser keeps the page, to show it again
        else:
            tools = await tab.tools()
            crash = asyncio.create_task(tools.send("Page.crash"))
            crash.add_done_callback(lambda task: task.exception())  # the tab cannot answer
        await waiting.cancelled()


async def test_killed_browser_ends_its_handlers(transport: str) -> None:
    waiting = Waiting()
    async with site(waiting.handler) as origin:
        with running_chromium() as chromium:
            async with chromium.controlled() as browser:
                tab = await open_tab(browser, f"{origin}/?transport={transport}")
                await tab.run(WAIT)
                await waiting.began()
                chromium.kill()
                await waiting.cancelled()


async def test_page_shown_again_by_back_goes_on(open_url: Open, transport: str) -> None:
    async with site() as origin:
        tab = await open_url(f"{origin}/?transport={transport}")
        await tab.run("""async () => {
                globalThis.connection = connect(process.env.ENKAKU_URL, { transport, reconnect })
                globalThis.stream = connection.stream(WATCH, -1)
                await stream[Symbol.asyncIterator]().next()
            }""")
        await tab.page.goto("about:blank")
        await tab.page.go_back(wait_until="commit")
        outcome = await tab.run("""async () => {
                const error = await stream.result().catch((error) => error)
                return [error.name, await connection.request(ASK, 2), connection.state]
            }""")
    assert outcome == ["ConnectionLost", 4, "open"]


async def test_connection_goes_on_after_server_was_killed(
    open_url: Open, transport: str, unused_tcp_port: int
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/?transport={transport}"
    async with server_process(unused_tcp_port) as first:
        tab = await open_url(url)
        await tab.run("""async () => {
                globalThis.states = []
                const onState = (state) => states.push(state)
                globalThis.connection = connect(process.env.ENKAKU_URL, { transport, reconnect, onState })
                globalThis.stream = connection.stream(WATCH, -1)
                await stream[Symbol.asyncIterator]().next()
            }""")
        first.kill()
        lost = await tab.run("""async () => {
                const error = await stream.result().catch((error) => error)
                await until(() => connection.state === "connecting")
                globalThis.waiting = [connection.request(ASK, 2), connection.stream(WATCH, 3).result()]
                return error.name
            }""")
    assert lost == "ConnectionLost"
    async with server_process(unused_tcp_port):
        assert await tab.run("() => Promise.all(waiting)") == [4, 3]
        states = await tab.run("() => states")
    assert states[0] == "open"
    assert states[-2:] == ["connecting", "open"]


@pytest.mark.parametrize("transport", ["auto", "websocket", "http"])
async def test_page_of_allowed_origin_makes_calls(open_url: Open, transport: str) -> None:
    async with site() as page:
        async with site(origins=[page]) as server:
            tab = await open_url(f"{page}/?transport={transport}&url={server}/rpc/")
            outcome = await tab.run("""() => connected(async (connection) => {
                    const channel = connection.channel(TALK, 1)
                    await channel.send(5)
                    await channel.end()
                    const streams = [3, 4_000].map((count) => connection.stream(WATCH, count).result())
                    return await Promise.all([connection.request(ASK, 1), channel.result(), ...streams])
                })""")
    assert outcome == [2, 5, 3, 4_000]


async def test_page_of_allowed_origin_sends_its_token(open_url: Open) -> None:
    seen: list[str | None] = []

    async def ask(param: int) -> int:
        request = enkaku.current_call().connection.request
        seen.append(None if request is None else request.headers.get("authorization"))
        return param

    async with site() as page, site(Serving(ask=ask), origins=[page]) as server:
        tab = await open_url(f"{page}/?url={server}/rpc/")
        await tab.run("""() => connected(
                (connection) => connection.request(ASK, 1),
                { transport: "auto", headers: { authorization: "Bearer 1" }, reconnect: false },
            )""")
    assert seen == ["Bearer 1"]


@pytest.mark.parametrize("transport", ["auto", "websocket", "http"])
async def test_page_of_another_origin_reaches_no_handler(open_url: Open, transport: str) -> None:
    life = Lifetime()
    async with site() as page, site(Serving(ask=life.forever)) as server:
        tab = await open_url(f"{page}/?transport={transport}&url={server}/rpc/")
        name = await tab.run("""() => connected(
                (connection) => connection.request(ASK, 1).catch((error) => error.name),
                { reconnect: false },
            )""")
        # Without a preflight, a browser sends this; the page cannot read the answer.
        await tab.run("""async () => {
                const header = { typ: "JWT", alg: "none" }
                const payload = { typ: "request", rid: "1", prc: "ask", prm: 1 }
                const body = JSON.stringify({ header, payload })
                await fetch(process.env.ENKAKU_URL, { method: "POST", mode: "no-cors", body })
            }""")
    assert name == "ConnectionLost"
    assert life.began_count == 0


class Refusing:
    """Answers calls with a status, as a proxy does that authenticates; scripts come from an app."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.times = 0
        self._rpc = enkaku.asgi(Serving(), script=True)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})  # before the handshake: HTTP 403
        elif scope["method"] == "GET":
            await self._rpc(scope, receive, send)
        else:
            self.times += 1
            await Response("no", self.status)(scope, receive, send)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("transport", ["auto", "http"])
async def test_refusing_status_ends_connection_with_error(
    open_url: Open, transport: str, status: int
) -> None:
    refusing = Refusing(status)
    async with serving_app(website(refusing)) as port:
        tab = await open_url(f"http://127.0.0.1:{port}/?transport={transport}")
        outcome = await tab.run("""async () => {
            const connection = connect(process.env.ENKAKU_URL, { transport, reconnect })
            const errors = [connection.request(ASK, 1), connection.stream(WATCH, 1).result()]
            const [{ code, data }, { name }] = await Promise.all(errors.map((call) => call.catch((error) => error)))
            await until(() => connection.state === "closed")
            return [code, data, name]
        }""")
    assert outcome == ["EK_HTTP_REQUEST_FAILED", {"status": status}, "CallError"]
    assert refusing.times == 1


async def test_stream_in_hidden_tab_goes_on_in_bounded_memory(
    open_url: Open, transport: str
) -> None:
    flood = Flood()
    async with site(Serving(pour=flood.pour, ask=flood.ask)) as origin:
        tab = await open_url(f"{origin}/?transport={transport}")
        await open_url("about:blank")
        assert await tab.run("() => document.visibilityState") == "hidden"
        outcome = await tab.run("""() => connected(async (connection) => {
            const items = connection.stream(POUR, 5_000)
            let [read, most] = [0, 0]
            for await (const _ of items)
                if (++read % 1_000 === 0) most = Math.max(most, (await connection.request(ASK, 0)) - read)
            return { read, most }
        })""")
    assert outcome["read"] == 5_000
    assert outcome["most"] * 500 < 2 * WINDOW


class Tokens:
    """Knows the bearers of two tokens."""

    async def authenticate(self, proof: enkaku.Proof) -> enkaku.Identity | None:
        token = proof.metadata.get("authorization") or proof.headers.get("authorization")
        if token is None:
            return None
        name = {"Bearer 1": "alice", "Bearer 2": "bob"}.get(token)
        if name is None:
            raise enkaku.AuthenticationFailed("unknown token")
        return enkaku.Identity(f"test:{name}", "test")


def caller() -> str:
    """Return who calls the handler that runs."""
    identity = enkaku.current_call().identity
    assert identity is not None
    return identity.id


async def test_token_in_metadata_proves_who_calls(open_url: Open, transport: str) -> None:
    seen: list[str] = []

    async def ask(number: int) -> int:
        seen.append(caller())
        return number

    async def talk(param: int, channel: enkaku.ServerChannel[int, int]) -> int:
        seen.append(caller())
        async for item in channel:
            await channel.send(item + param)
        return param

    options: Any = {"authenticators": {"test": Tokens()}, "access": {"*": {"test:alice"}}}
    async with site(Serving(ask=ask, talk=talk), **options) as origin:
        tab = await open_url(f"{origin}/?transport={transport}")
        replies = await tab.run("""async () => {
            const replies = []
            for (const token of ["Bearer 1", "Bearer 2", "Bearer 3", undefined]) {
                const metadata = async () => (token ? { authorization: token } : {})
                const connection = connect(process.env.ENKAKU_URL, { transport, metadata })
                const channel = connection.channel(TALK, 10)
                try {
                    await channel.send(1)
                    for await (const item of channel) {
                        replies.push(item)
                        break
                    }
                    replies.push(await connection.request(ASK, 5))
                } catch (error) {
                    replies.push(`${error.code} ${error.message}`)
                }
                await connection.close()
            }
            return replies
        }""")
    assert replies == [11, 5, *(["EK02 Access denied"] * 3)]
    assert seen == ["test:alice", "test:alice"]
