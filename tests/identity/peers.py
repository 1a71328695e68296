"""Test keys, and a server with a key: what becomes of a signed message that comes to its socket."""

import asyncio
import json
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import enkaku
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from enkaku.identity.keys import KeyPair
from enkaku.identity.messages import Signer
from support import Raw, line, raw_client


def key_of(secret: bytes, *, p256: bool = False) -> KeyPair:
    """Return the key pair of a private key's bytes."""
    private = (
        ec.derive_private_key(int.from_bytes(secret), ec.SECP256R1())
        if p256
        else Ed25519PrivateKey.from_private_bytes(secret)
    )
    return KeyPair.from_pem(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


def key_named(name: str) -> KeyPair:
    """Return a test key, which everybody knows."""
    return key_of(sha256(f"enkaku test key {name.lower()}".encode()).digest(), p256=name == "PAT")


SERVER, ALICE, BOB, CAROL, PAT = map(key_named, ("SERVER", "ALICE", "BOB", "CAROL", "PAT"))
KEYS: Final = {"SERVER": SERVER, "ALICE": ALICE, "BOB": BOB, "CAROL": CAROL, "PAT": PAT}


_BATCH: Final = 50


class Clock:
    """A clock that stands still."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Seen(NamedTuple):
    """What a handler has received: the name of the procedure, a value, and who calls."""

    procedure: str
    value: object
    id: str
    subject: str


class Recording(enkaku.Handler):
    """Handlers as those of the recordings of the TypeScript implementation, which remember what they receive."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.ends: list[str] = []  # how "slow" and "chat" ended

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        any_values = {"param": object, "receive": object, "result": object}
        echo = enkaku.Request("echo", param=object, result=object)
        divide = enkaku.Request("math/divide", param=dict[str, float], result=dict[str, float])
        counter = enkaku.Stream("counter", **any_values)
        chat = enkaku.Channel("chat", send=object, **any_values)
        return (
            enkaku.Route.request(echo, self.echo),
            enkaku.Route.request(divide, self.divide),
            enkaku.Route.request(enkaku.Request[None, object]("slow", result=object), self.slow),
            enkaku.Route.request(enkaku.Request[None, None]("void"), self.void),
            enkaku.Route.event(enkaku.Event("note", data=object), self.note),
            enkaku.Route.stream(counter, self.counter),
            enkaku.Route.channel(chat, self.chat),
        )

    def _record(self, value: object) -> None:
        call = enkaku.current_call()
        identity = call.identity
        assert identity is not None
        self.seen.append(Seen(call.procedure.name, value, identity.id, identity.subject))

    async def echo(self, param: object) -> object:
        self._record(param)
        return param

    async def divide(self, param: dict[str, float]) -> dict[str, float]:
        self._record(param)
        return {"quotient": param["numerator"] / param["denominator"]}

    async def slow(self) -> object:
        self._record(None)
        try:
            async with enkaku.current_call().until_closed():
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.ends.append("aborted")
            raise
        self.ends.append("closed")
        return {"aborted": True}

    async def void(self) -> None:
        return None

    async def note(self, data: object) -> None:
        self._record(data)

    async def counter(self, param: object, stream: enkaku.ServerStream[object]) -> object:
        self._record(param)
        assert isinstance(param, dict)
        for count in range(param["max"]):
            await stream.send({"count": count + 1})
        return {"total": param["max"]}

    async def chat(self, param: object, channel: enkaku.ServerChannel[object, object]) -> object:
        self._record(param)
        received = 0
        try:
            async for item in channel:
                self._record(item)
                received += 1
                if item == {"end": True}:
                    break
                await channel.send(item)
        except asyncio.CancelledError:
            self.ends.append("aborted")
            raise
        return {"received": received}


class Denials(enkaku.Observer):
    """Remembers why messages were rejected."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def access_denied(self, connection: enkaku.ConnectionInfo, procedure: str, reason: str) -> None:
        self.reasons.append(reason)


class Peer:
    """A connection to a server, by which signed messages are sent as they are.

    Attributes:
        raw: Its socket.
        replies: The payloads that the server has sent.
    """

    def __init__(self, raw: Raw, server: "Served") -> None:
        self.raw = raw
        self._server = server
        self.replies: list[dict[str, Any]] = []

    def say(self, signer: Signer, **payload: object) -> None:
        """Sign a message, and send it."""
        self.raw.send_bytes(signed(signer, **payload))

    async def settle(self) -> list[dict[str, Any]]:
        """Let the server handle all that was sent; return what it has sent until then."""
        rid = self._server.next_rid()
        self.say(self._server.prober, typ="request", rid=rid, prc="void")
        found: list[dict[str, Any]] = []
        while (payload := await self.raw.read()) != {"typ": "result", "rid": rid}:
            found.append(payload)
        self.replies += found
        return found

    async def decide(self, raw: bytes) -> str:
        """Send a message, and return what became of it.

        Returns:
            ``"accepted"`` if it has reached a handler; else the code and the text of the error. ``"no reply"`` instead of the
            code means that only the observers of the server know of the error.
        """
        server = self._server
        seen, ends, reasons = len(server.seen), len(server.ends), len(server.reasons)
        self.raw.send_bytes(raw + b"\n")
        errors = [reply for reply in await self.settle() if reply["typ"] == "error"]
        if len(server.seen) > seen or len(server.ends) > ends:
            assert not errors
            assert len(server.reasons) == reasons
            return "accepted"
        if errors:
            (error,) = errors
            assert error["data"] == {}
            return f"{error['code']} {error['msg']}"
        return ": ".join(["no reply", *server.reasons[reasons:]])


class Served:
    """A server with a key at a Unix socket.

    Attributes:
        server: The server.
        seen: What its handlers have received.
        ends: How its handlers ended.
        reasons: Why it has rejected messages.
        prober: Signs messages that it accepts whatever its rules.
    """

    def __init__(
        self,
        server: enkaku.Server,
        path: Path,
        recording: Recording,
        denials: Denials,
        prober: Signer,
    ) -> None:
        self.server = server
        self.path = path
        self.seen = recording.seen
        self.ends = recording.ends
        self.reasons = denials.reasons
        self.prober = prober
        self._rounds = 0

    def next_rid(self) -> str:
        self._rounds += 1
        return f"settle-{self._rounds}"

    @asynccontextmanager
    async def peer(self) -> AsyncGenerator[Peer, None]:
        """Connect to it."""
        async with raw_client(self.path) as raw:
            yield Peer(raw, self)

    async def send_all(self, messages: Sequence[bytes], *, apart: bool = False) -> None:
        """Send messages, a few on each connection, since it ends after 100 that are not valid.

        Args:
            messages: The messages.
            apart: Whether one is sent only when the one before has been handled.
        """
        for start in range(0, len(messages), _BATCH):
            async with self.peer() as peer:
                for each in messages[start : start + _BATCH]:
                    peer.raw.send_bytes(each + b"\n")
                    if apart:
                        await peer.settle()
                await peer.settle()


@asynccontextmanager
async def serving(
    rules: Mapping[str, Any] | None,
    clock: Clock,
    *,
    key: KeyPair | None = None,
    replays: enkaku.ReplayGuard | None = None,
    **guard: Any,
) -> AsyncGenerator[Served, None]:
    """Serve ``Recording`` with a key and access rules.

    Args:
        rules: The access rules.
        clock: The clock of the server.
        key: Its key; by default, that of SERVER.
        replays: What protects it from replays.
        guard: Options of the ``ReplayGuard`` that it has by default.
    """
    key = key or SERVER
    recording, denials = Recording(), Denials()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="enk-"))
        path = Path(folder) / "s"
        server = await stack.enter_async_context(
            enkaku.serve_unix(
                recording,
                path,
                identity=key,
                access=rules,
                replays=replays or enkaku.ReplayGuard(clock=clock, **guard),
                observers=[denials],
            )
        )
        yield Served(server, path, recording, denials, Signer(key, clock=clock))


def signed(signer: Signer, **payload: object) -> bytes:
    """Return a signed message, as a line."""
    return signer.sign(line(**payload).removesuffix(b"\n")) + b"\n"


def request(signer: Signer, prc: str = "echo", rid: str = "a", **payload: object) -> bytes:
    """Return a signed request, without the end of its line."""
    return signed(
        signer, **{"typ": "request", "rid": rid, "prc": prc, "prm": 1, **payload}
    ).rstrip()


def changed(raw: bytes, **members: object) -> bytes:
    """Return a message with other members of its top level; without those that are None."""
    message = {**json.loads(raw), **members}
    return json.dumps(
        {name: value for name, value in message.items() if value is not None}
    ).encode()
