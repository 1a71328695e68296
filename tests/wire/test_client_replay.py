"""Client replay: repeats the calls of each recording, and compares the client's messages with the recorded ones."""

import asyncio
import importlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import enkaku
import pytest
from wire.differences import CLIENT_DIFFERENCES, SAME, opened
from wire.ends import connect_client
from wire.transcript import Line, Recording, canonical, load_recordings

# Where the server ended the connection.
ENDED_BY_SERVER: Final = {
    "server-dispose",
    "framing-max-buffer",
    "raw-no-trailing-newline-then-fin",
}
# The calls of raw sockets that the generated client can't make, or refuses to.
REFUSED: Final = {
    "raw-malformed-nan": ["r1"],
    "raw-prc-proto": ["r1", "r2", "r3"],
    "raw-prm-missing": ["r1"],
    "raw-prm-null": ["r1"],
    "raw-prm-on-void": ["r1"],
}
LOST: Final = {"rejected": "ConnectionLost"}


async def test_client_replay_sends_recorded_messages(
    recording: Recording, recorded: ModuleType, link: str, socket_path: Path
) -> None:
    stages, users = importlib.import_module("wire.stage"), importlib.import_module("wire.raw_user")
    lines, seen = _expected(recording)
    async with (
        asyncio.timeout(10),
        connect_client(link, socket_path) as (connection, end),
        asyncio.TaskGroup() as group,
    ):
        # A raw socket wrote properties in another order.
        play = stages.Playback(end, lines, ordered=not recording.raw)
        stage = stages.Stage(connection, recorded.RecordedClient(connection), play)
        user = users.RawUser(stage)
        playing = group.create_task(_play(recording.name, play))
        act = _find_action(recording)
        found = await (user.act(recording, lines) if act is None else act(stage))
        await play.crossed(len(lines))
        await connection.close()
        await playing
    assert _canonical(found) == _canonical(seen)
    assert user.refused == REFUSED.get(recording.name, [])


async def test_client_replay_sends_nothing_its_schema_rejects(
    recorded: ModuleType, link: str, socket_path: Path
) -> None:
    stages = importlib.import_module("wire.stage")
    async with (
        asyncio.timeout(10),
        connect_client(link, socket_path) as (connection, end),
        asyncio.TaskGroup() as group,
    ):
        client = recorded.RecordedClient(connection)
        play = stages.Playback(end, (opened("channel", "c1", "chat", {}),), ordered=True)
        playing = group.create_task(_play("", play))
        with pytest.raises(enkaku.EncodeError):
            await client.echo("text")
        with pytest.raises(enkaku.EncodeError):
            await client.system_restart(recorded.SystemRestartParam.model_construct(service=5))
        with pytest.raises(enkaku.EncodeError):
            client.counter(recorded.CounterParam.model_construct(max="x"))
        async with client.chat(recorded.ChatParam()) as channel:
            with pytest.raises(enkaku.EncodeError):
                await channel.send("nope")
            await play.crossed(1)
            await connection.close()
        await playing


async def _play(name: str, play: Any) -> None:
    await play.run()
    if name in ENDED_BY_SERVER:
        await play.end()
    await play.run_end()


@pytest.mark.parametrize("name", CLIENT_DIFFERENCES)
def test_client_replay_listed_difference_is_real(name: str) -> None:
    recording = load_recordings()[name]
    lines, seen = _expected(recording)
    ours, recorded = (
        [_text(line, ordered=not recording.raw) for line in side]
        for side in (lines, recording.lines)
    )
    seen_alike = recording.raw or _canonical(seen) == _canonical(recording.seen)
    assert ours != recorded or not seen_alike


def _find_action(recording: Recording) -> Callable[[Any], Awaitable[Any]] | None:
    actions = importlib.import_module("wire.actions")
    action = getattr(actions, recording.name.replace("-", "_"), None)
    assert action is not None or recording.raw, f"{recording.name}: there is no action for it"
    return action


def _expected(recording: Recording) -> tuple[tuple[Line, ...], Any]:
    """Return the expected messages and observations."""
    difference = CLIENT_DIFFERENCES.get(recording.name)
    lines, seen = recording.lines, SAME
    if difference is not None:
        lines = recording.lines if difference.lines is SAME else difference.lines
        seen = difference.seen
    if seen is SAME:
        seen = _seen_by_raw_user(lines) if recording.raw else recording.seen
    return lines, seen


def _seen_by_raw_user(lines: tuple[Line, ...]) -> dict[str, Any]:
    """Return the observations of the callers of these messages' calls."""
    seen: dict[str, Any] = {}
    for line in lines:
        payload = line.payload
        rid = payload.get("rid")
        ended = seen.get(rid) is not None and _end_of(seen[rid]) != LOST
        match payload.get("typ"):
            case "request":
                seen[rid] = LOST
            case "stream" | "channel":
                seen[rid] = {"items": [], "result": LOST}
            case "receive" if not ended:
                seen[rid]["items"].append(payload["val"])
            case "abort" | "result" | "error" if not ended:
                seen[rid] = _with_end(seen[rid], payload)
    return seen


def _end_of(seen: dict[str, Any]) -> Any:
    return seen.get("result", seen)


def _with_end(seen: dict[str, Any], payload: dict[str, Any]) -> dict[str, Any]:
    many = "items" in seen
    match payload["typ"]:
        case "result":
            end: Any = {"resolved": payload.get("val")}
        case "error":
            members = {"code": "code", "message": "msg", "data": "data"}
            error = {name: payload[member] for name, member in members.items()}
            end = {"rejected": {"RequestError": error}}
        case _:
            end = {"rejected": "CallClosed" if many else "CancelledError"}
    return {**seen, "result": end} if many else end


def _canonical(seen: Any) -> str:
    return canonical(json.dumps(seen), ordered=False)


def _text(line: Line, *, ordered: bool) -> str:
    try:
        return canonical(line.text, ordered=ordered)
    except ValueError:
        return line.text
