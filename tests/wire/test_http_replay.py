"""Recordings of the TypeScript client over HTTP, replayed against this server: the same statuses, headers and bodies."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

import enkaku
import h11
import pytest
from identity.peers import Clock
from identity.test_recordings import KEYS, NOW
from rawhttp import Exchange, Feed, Site, site
from support import until
from webserver import serving_app
from wire.transcript import FOLDER

# Of a server with a key, at the time of the recording; its client is of a release whose messages have no times.
_WITH_KEY: Final = {"http-auth", "http-auth-unsigned"}
# What this server does on purpose in another way, by the section "Ends" of the description of the wire.
_STOPPED: Final = (
    "a server that stops answers every call, then ends the feed; the recorded one answers nothing"
)
_SWEPT: Final = (
    "a session lives as long as its feed; the recorded one was swept although items were sent"
)
_LEFT: Final = "a client that leaves cancels its handlers; the recorded ones ran on"
_KILLED: Final = "an aborted server ends its responses; the recorded one died"
DIFFERENCES: Final = {
    "http-server-dispose": _STOPPED,
    "http-session-timeout": _SWEPT,
    "http-disconnect": _LEFT,
    "http-server-killed": _KILLED,
}
_IGNORED: Final = {"connection", "accept-language", "accept-encoding", "content-length"}


@dataclass
class Recorded:
    """One recorded request, with its response."""

    request: dict[str, Any]
    response: dict[str, Any] | None = None
    chunks: list[str] = field(default_factory=list)

    @property
    def is_feed(self) -> bool:
        headers = {} if self.response is None else self.response["headers"]
        return str(headers.get("content-type")) == "text/event-stream"


def load(name: str) -> list[Recorded]:
    text = (FOLDER / "http" / f"{name}.jsonl").read_text("utf-8")
    found: dict[int, Recorded] = {}
    for entry in (json.loads(each) for each in text.split("\n") if each):
        if entry["kind"] == "request":
            found[entry["id"]] = Recorded(entry)
        elif entry["kind"] == "response":
            found[entry["id"]].response = entry
        elif entry["kind"] == "chunk":
            found[entry["id"]].chunks.append(entry["data"])
    return list(found.values())


NAMES: Final = sorted(path.stem for path in (FOLDER / "http").iterdir())
SAME: Final = [name for name in NAMES if name not in DIFFERENCES]


def options_of(name: str) -> dict[str, Any]:
    """Return the options of a server as the recorded one had them."""
    if name not in _WITH_KEY:
        return {}
    return {
        "identity": KEYS["server"],
        "access": {"*": {KEYS["client"].did}},
        "replays": enkaku.ReplayGuard(old_clients=True, clock=Clock(NOW)),
    }


async def start(made: Site, recorded: Recorded, feed: Feed | None) -> Exchange:
    """Send a recorded request; a session's id is that of our feed."""
    request = recorded.request
    headers = {name: value for name, value in request["headers"].items() if name not in _IGNORED}
    if "enkaku-session-id" in headers:
        assert feed is not None
        headers["enkaku-session-id"] = feed.id
    exchange = await made.connect()
    exchange.start(request["body"].encode(), request["method"], **headers)
    return exchange


def by_call(events: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Group events by their call: those of several calls are interleaved as it happens."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        groups[event["rid"]].append(event)
    return groups


def test_recordings_are_replayed_or_excepted() -> None:
    assert len(NAMES) == 12
    assert {*SAME, *DIFFERENCES} == set(NAMES)
    assert set(SAME) > _WITH_KEY


@pytest.mark.parametrize("name", SAME)
async def test_server_answers_as_recorded(name: str, handler: enkaku.Handler) -> None:
    app = enkaku.asgi(handler, **options_of(name))
    async with serving_app(app) as port, site(port) as made:
        feed: Feed | None = None
        expected: list[dict[str, Any]] = []
        for recorded in load(name):
            exchange = await start(made, recorded, feed)
            assert recorded.response is not None
            status, headers = await exchange.head()
            assert status == recorded.response["status"]
            for header in ("content-type", "content-length", "cache-control"):
                assert headers.get(header) == recorded.response["headers"].get(header)
            if recorded.is_feed:
                assert bytes((await exchange.event()).data).decode() == recorded.chunks[0]
                feed = Feed(exchange, headers)
                expected = [json.loads(chunk[6:])["payload"] for chunk in recorded.chunks[1:]]
                if name == "http-stream-close":  # the client closes when it has two items
                    assert [await feed.message() for _ in range(2)] == expected[:2]
                    expected = expected[2:]
            else:
                assert (await exchange.rest()).decode() == "".join(recorded.chunks)
        if feed is not None:
            events = [await feed.message() for _ in expected]
            assert by_call(events) == by_call(expected)


@pytest.mark.parametrize("name", DIFFERENCES)
async def test_server_differs_from_recording_on_purpose(name: str, handler: enkaku.Handler) -> None:
    app = enkaku.asgi(handler)
    async with serving_app(app) as port, site(port) as made:
        first, *others = load(name)
        exchange = await start(made, first, None)
        feed = Feed(exchange, (await exchange.head())[1])
        assert await feed.message() == {"typ": "receive", "rid": "s1", "val": {"tick": 1}}
        assert app.server is not None
        if name == "http-server-dispose":
            request = await start(made, others[0], feed)
            await until(lambda: app.server is not None and len(app.server.connections) == 2)
            await app.stop(grace=5)
            assert (await request.response()).payload["val"] == {"aborted": True}
            while (event := await feed.message())["typ"] == "receive":
                pass
            assert event["typ"] == "result"
            assert isinstance(await exchange.event(), h11.EndOfMessage)
        elif name == "http-server-killed":
            app.server.abort()
            while isinstance(await exchange.event(), h11.Data):
                pass
        elif name == "http-disconnect":
            await feed.close()
            await until(lambda: app.server is not None and not app.server.connections)
        else:
            # The recorded session ended after its sixteenth item.
            ticks = [(await feed.message())["val"]["tick"] for _ in range(20)]
            assert ticks == list(range(2, 22))
