"""Descriptions of servers: what a caller may call, and what it is told that it may not."""

import asyncio
import json
import logging
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import enkaku
import enkaku.sync
import pytest
from enkaku.calls.descriptions import digest_of, package_of
from enkaku.client.compare import differences
from enkaku_codegen.json_values import Json
from enkaku_codegen.reading.definition import read_document
from enkaku_codegen.reading.digests import digests
from enkaku_codegen.reading.protocol_document import bundle
from generated.packages import importing, put, unformatted
from identity.peers import ALICE, BOB, SERVER
from support import WITHIN, Connect, Raw, Serving, facing, raw_client

SHOP: Mapping[str, Any] = {
    "name": "Shop",
    "description": "Sells.",
    "procedures": {
        "admin/close": {"type": "request", "param": {"$ref": "#/$defs/Reason"}},
        "buy": {
            "type": "request",
            "description": "Buys.",
            "param": {"$ref": "#/$defs/Item"},
            "error": {
                "type": "object",
                "properties": {
                    "code": {"type": "string", "const": "SOLD"},
                    "message": {"type": "string"},
                },
                "required": ["code", "message"],
                "additionalProperties": False,
            },
        },
        "seen": {"type": "event", "data": {"type": "string", "x-secret": True}},
        "watch": {"type": "stream", "receive": {"type": "number", "maximum": 1e23}},
    },
    "callbacks": {"hurry": {"type": "event"}},
    "$defs": {
        "Item": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "tree": {"$ref": "#/$defs/Item"}},
        },
        "Reason": {"type": "string"},
        "Unused": {"type": "null"},
    },
}
BANK: Mapping[str, Any] = {
    "name": "Bank",
    "errors": {
        "type": "object",
        "properties": {
            "code": {"type": "string", "const": "CLOSED"},
            "message": {"type": "string"},
        },
        "required": ["code", "message"],
        "additionalProperties": False,
    },
    "procedures": {
        "pay": {
            "type": "request",
            "param": {"$ref": "#/$defs/Item"},
            "result": {"$ref": "#/$defs/Note"},
        },
        "tell": {"type": "event", "data": {"type": "string"}},
    },
    "$defs": {
        "Item": {"type": "integer"},
        "Note": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
    },
}


NOT_DESCRIBED = "enkaku:describe: The server does not describe itself: it has no option describe=True, or does not know it (EK08)"


class Packages:
    """Generated packages, for as long as a test runs."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory = directory
        self._number = 0
        monkeypatch.setattr(sys, "path", [str(directory), *sys.path])

    def make(self, content: Mapping[str, Any], *, sync: bool = False) -> ModuleType:
        self._number += 1
        name = f"described{abs(hash(self._directory))}_{self._number}"
        files = unformatted(
            read_document(json.dumps(content), "shop.json"), source="shop.json", sync=sync
        )
        put(files, self._directory / name)
        with importing(name, self._directory) as module:
            assert f"{name}.description" not in sys.modules
        # It stays imported: its module "description" is imported when it is needed.
        for each, found in vars(module).items():
            if isinstance(found, ModuleType) and found.__name__.startswith(name):
                sys.modules[f"{name}.{each}"] = found
        sys.modules[name] = module
        return module


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Packages, None, None]:
    before = {*sys.modules}
    yield Packages(tmp_path, monkeypatch)
    for name in {*sys.modules} - before:
        if name.startswith("described"):
            del sys.modules[name]


def served(
    handler: type[enkaku.Handler], **methods: Callable[..., Awaitable[Any]]
) -> enkaku.Handler:
    """Make a handler of a generated class, whose methods return nothing."""

    async def nothing(*_: object) -> None:
        """Serve a procedure without a result."""

    found = {name: staticmethod(methods.get(name, nothing)) for name in handler.__abstractmethods__}
    return cast(enkaku.Handler, type("Made", (handler,), found)())


@asynccontextmanager
async def raw_peer(
    path: Path, handler: enkaku.Handler, **options: Any
) -> AsyncGenerator[Raw, None]:
    """Serve a handler, and connect to it without the library."""
    async with enkaku.serve_unix(handler, path, **options), raw_client(path) as peer:
        yield peer


def _procedures(description: enkaku.Description) -> list[str]:
    return [*cast("dict[str, Any]", description.protocol["procedures"])]


def _whole(content: Mapping[str, Any]) -> dict[str, Json]:
    """Return what a server describes that serves a whole protocol, whose definitions are all needed but one."""
    document = bundle(read_document(json.dumps(content), "whole"))
    definitions = cast("dict[str, Json]", document["$defs"])
    return {
        **document,
        "$defs": {name: each for name, each in definitions.items() if name != "Unused"},
    }


async def test_describe_returns_protocol_on_every_transport(
    packages: Packages, connect_anyhow: Connect
) -> None:
    shop = packages.make(SHOP)
    async with connect_anyhow(served(shop.ShopHandler), describe=True) as connection:
        found = await connection.describe()
    assert found.protocol == _whole(SHOP)
    assert found.digest == digests(bundle(read_document(json.dumps(SHOP), "shop"))).protocol
    assert found.enkaku == enkaku.VERSION


@pytest.fixture
def shop(packages: Packages) -> ModuleType:
    return packages.make(SHOP)


async def test_describe_answers_digests_alone_when_asked(
    shop: ModuleType, socket_path: Path
) -> None:
    async with raw_peer(socket_path, served(shop.ShopHandler), describe=True) as peer:
        peer.send(
            typ="request", rid="1", prc="enkaku:describe", prm={"protocol": False, "other": [1]}
        )
        reply = await peer.read()
    package = package_of(shop.__name__)
    assert reply["val"] == {
        "digest": digest_of(package.procedures, package.callbacks),
        "digests": {"procedures": package.procedures, "callbacks": package.callbacks},
        "enkaku": enkaku.VERSION,
    }


async def test_describe_without_option_is_unknown_procedure(
    shop: ModuleType, socket_path: Path
) -> None:
    async with raw_peer(socket_path, served(shop.ShopHandler)) as peer:
        replies: list[dict[str, Any]] = []
        for name in ("enkaku:describe", "enkaku:unknown"):
            peer.send(typ="request", rid=name, prc=name)
            replies.append({**await peer.read(), "rid": ""})
    assert replies[0] == replies[1]
    assert replies[0]["code"] == "EK08"


async def test_describe_by_client_of_such_server_says_so(
    shop: ModuleType, connect: Connect
) -> None:
    async with connect(served(shop.ShopHandler)) as connection:
        with pytest.raises(enkaku.CallError) as caught:
            await connection.describe()
    if caught.value.code == "EK08":
        assert str(caught.value) == NOT_DESCRIBED
    else:
        assert str(caught.value) == "enkaku:describe: Access denied (EK02)"


async def test_describe_rejects_param_that_is_no_object(
    shop: ModuleType, socket_path: Path
) -> None:
    async with raw_peer(socket_path, served(shop.ShopHandler), describe=True) as peer:
        peer.send(typ="request", rid="1", prc="enkaku:describe", prm=[1])
        assert (await peer.read())["code"] == "EK08"


async def test_describe_rejects_description_beyond_message_size(shop: ModuleType) -> None:
    options: Any = {"describe": True, "limits": enkaku.Limits(message_size=500)}
    async with enkaku.connect_memory(served(shop.ShopHandler), **options) as connection:
        with pytest.raises(
            enkaku.CallError,
            match=r"The description has \d+ bytes; the Limits.message_size of the server is 500 \(EK06\)",
        ):
            await connection.describe()


async def test_describe_of_megabyte_is_sent(packages: Packages, connect: Connect) -> None:
    content = {"procedures": {"ask": {"type": "request", "param": {"description": "x" * 2**20}}}}
    large = packages.make({"name": "Large", **content})
    async with connect(
        served(large.LargeHandler), describe=True, access={"*": "everybody"}
    ) as connection:
        found = await connection.describe()
    assert found.protocol["procedures"] == content["procedures"]


async def test_describe_has_what_caller_may_call(shop: ModuleType) -> None:
    def decided(_: enkaku.Call) -> bool:
        raise AssertionError

    access: Any = {"*": "everybody", "admin/*": {"unix:1"}, "watch": decided}
    async with enkaku.connect_memory(
        served(shop.ShopHandler), describe=True, access=access
    ) as connection:
        found = await connection.describe()
        assert _procedures(found) == ["buy", "seen"]
        assert [*cast("dict[str, Any]", found.protocol["$defs"])] == ["Item"]
        read_document(json.dumps(found.protocol), "shop")
        package = package_of(shop.__name__)
        procedures = {name: package.procedures[name] for name in ("buy", "seen")}
        assert found.digest == digest_of(procedures, package.callbacks)


async def test_describe_with_rule_of_its_own_has_what_functions_decide(shop: ModuleType) -> None:
    def decided(_: enkaku.Call) -> bool:
        raise AssertionError

    async def allows(call: enkaku.Call) -> bool:
        return call.metadata.get("who") == "admin"

    access: Any = {"*": decided, "admin/*": {"unix:1"}, "enkaku:describe": allows}
    async with enkaku.connect_memory(
        served(shop.ShopHandler), describe=True, access=access
    ) as connection:
        found = await connection.describe(metadata={"who": "admin"})
        assert _procedures(found) == ["buy", "seen", "watch"]
        with pytest.raises(enkaku.CallError, match="Access denied"):
            await connection.describe()


async def test_describe_has_what_rules_at_methods_allow(shop: ModuleType) -> None:
    async def buy(_: object) -> None: ...

    handler = served(shop.ShopHandler, buy=enkaku.allow("everybody")(buy))
    async with enkaku.connect_memory(handler, describe=True) as connection:
        assert _procedures(await connection.describe()) == ["buy"]


async def test_describe_to_caller_who_may_call_nothing_is_empty(shop: ModuleType) -> None:
    access: Any = {"*": {"unix:1"}}
    async with enkaku.connect_memory(
        served(shop.ShopHandler), describe=True, access=access
    ) as connection:
        assert (await connection.describe()).protocol == {"procedures": {}}


async def test_describe_of_signed_callers_differs(shop: ModuleType) -> None:
    token = enkaku.delegate(
        ALICE, to=BOB.did, act=["buy", "enkaku:describe"], res=SERVER.did, expires_in=60
    )
    as_alice: Any = {"subject": ALICE.did, "capabilities": [token]}
    wanted: list[tuple[enkaku.KeyPair, Any, list[str]]] = [
        (SERVER, {}, ["admin/close", "buy", "seen", "watch"]),
        (ALICE, {}, ["buy", "watch"]),
        (BOB, {}, ["seen"]),
        (BOB, as_alice, ["buy"]),
    ]
    access: Any = {"buy": {ALICE.did}, "watch": {ALICE.did}, "seen": {BOB.did}}
    for key, options, names in wanted:
        client: Any = {"identity": key, "audience": SERVER.did, **options}
        async with enkaku.connect_memory(
            served(shop.ShopHandler),
            describe=True,
            identity=SERVER,
            access=access,
            connection_options=client,
        ) as connection:
            assert _procedures(await connection.describe()) == names


class Tokens:
    async def authenticate(self, proof: enkaku.Proof) -> enkaku.Identity | None:
        token = proof.metadata.get("token")
        return None if token is None else enkaku.Identity(f"key:{token}", "key")


async def test_describe_after_login_is_of_who_logged_in(shop: ModuleType) -> None:
    async def token() -> Mapping[str, str]:
        return {"token": "alice"}

    access: Any = {"*": "everybody", "admin/*": {"key:alice"}}
    options: Any = {"describe": True, "access": access, "authenticators": {"key": Tokens()}}
    async with enkaku.connect_memory(served(shop.ShopHandler), **options) as connection:
        assert _procedures(await connection.describe()) == ["buy", "seen", "watch"]
        assert "admin/close" in _procedures(await connection.describe(metadata={"token": "alice"}))
    async with enkaku.connect_memory(
        served(shop.ShopHandler), connection_options={"login": token}, **options
    ) as connection:
        assert "admin/close" in _procedures(await connection.describe())


async def test_describe_of_composed_handlers_is_one_protocol(packages: Packages) -> None:
    shop, bank = packages.make(SHOP), packages.make(BANK)
    handler = enkaku.compose(
        served(shop.ShopHandler),
        enkaku.prefixed("bank/", served(bank.BankHandler)),
    )
    async with enkaku.connect_memory(handler, describe=True) as connection:
        found = await connection.describe()
    assert _procedures(found) == ["admin/close", "bank/pay", "bank/tell", "buy", "seen", "watch"]
    read = read_document(json.dumps(found.protocol), "composed")
    assert digests(bundle(read)).protocol != found.digest  # some definitions have other names
    by_name = {each.name: each for each in read.procedures}
    assert by_name["bank/pay"].slots == {
        "param": {"$ref": "#/$defs/Item2"},
        "result": {"$ref": "#/$defs/Note"},
    }
    assert read.definitions["Item2"] == {"type": "integer"}
    assert read.definitions["Note"] == {"type": "array", "items": {"$ref": "#/$defs/Item2"}}
    assert [each.code for each in by_name["bank/pay"].errors] == ["CLOSED"]
    assert [each.code for each in by_name["buy"].errors] == ["SOLD"]
    assert by_name["bank/tell"].errors == ()
    assert [each.name for each in read.callbacks] == ["hurry"]


async def test_describe_of_prefixed_handler_alone_has_prefix(packages: Packages) -> None:
    bank = packages.make(BANK)
    handler = enkaku.prefixed("a/", enkaku.prefixed("b/", served(bank.BankHandler)))
    async with enkaku.connect_memory(handler, describe=True) as connection:
        found = await connection.describe()
    renamed = {
        **BANK,
        "procedures": {f"a/b/{name}": each for name, each in BANK["procedures"].items()},
    }
    assert found.protocol == _whole(renamed)
    assert found.digest == digests(bundle(read_document(json.dumps(renamed), "renamed"))).protocol


async def test_describe_of_handler_without_description_is_rejected(packages: Packages) -> None:
    with pytest.raises(
        enkaku.UsageError,
        match="describe: Serving serves 'void', which no generated package describes",
    ):
        async with enkaku.connect_memory(Serving(), describe=True):
            pass
    old = packages.make(BANK)
    (Path(cast(str, old.__file__)).parent / "description.py").unlink()
    with pytest.raises(
        enkaku.UsageError,
        match=f"describe: the package {old.__name__} has no description: generate it again",
    ):
        async with enkaku.connect_memory(served(old.BankHandler), describe=True):
            pass


async def test_describe_of_class_with_two_protocols_has_both(packages: Packages) -> None:
    shop, bank = packages.make(SHOP), packages.make(BANK)

    class Both(shop.ShopHandler, bank.BankHandler):
        def __routes__(self) -> tuple[enkaku.Route, ...]:
            return (*shop.ShopHandler.__routes__(self), *bank.BankHandler.__routes__(self))

    async with enkaku.connect_memory(served(Both), describe=True) as connection:
        found = await connection.describe()
    assert _procedures(found) == ["admin/close", "buy", "pay", "seen", "tell", "watch"]


async def test_describe_many_times_holds_few_replies(packages: Packages, socket_path: Path) -> None:
    content = {
        "name": "Large",
        "procedures": {"ask": {"type": "request", "param": {"description": "x" * 2**20}}},
    }
    large = packages.make(content)
    options: Any = {"describe": True}
    async with raw_peer(socket_path, served(large.LargeHandler), **options) as peer:
        for rid in range(50):
            peer.send(typ="request", rid=str(rid), prc="enkaku:describe")
        for _ in range(50):
            assert (await peer.read())["typ"] == "result"


# The client


@asynccontextmanager
async def comparing(
    handler: enkaku.Handler,
    package: ModuleType,
    caplog: pytest.LogCaptureFixture,
    prefix: str = "",
    **options: Any,
) -> AsyncGenerator[list[tuple[str, str]], None]:
    """Connect a client of a package that compares protocols; yield what it has logged at the end."""
    caplog.set_level(logging.DEBUG, "enkaku.client")
    logged: list[tuple[str, str]] = []
    client = next(
        each
        for name, each in vars(package).items()
        if name.endswith("Client") and "Callbacks" not in name
    )
    async with enkaku.connect_memory(
        handler, connection_options={"compare": True}, **options
    ) as connection:
        client(connection, prefix=prefix)
        client(connection, prefix=prefix)
        async with asyncio.timeout(WITHIN):
            await compared()
    logged += [
        (
            record.levelname,
            record.getMessage().partition(": ")[2].replace(package.__name__, "PACKAGE"),
        )
        for record in caplog.records
        if record.name == "enkaku.client" and "protocol" in record.msg
    ]
    yield logged


async def compared() -> None:
    """Wait until no comparison runs."""
    for _ in range(2):
        await asyncio.sleep(0)
    while running := [
        each
        for each in asyncio.all_tasks()
        if getattr(each.get_coro(), "__name__", "") == "_compare"
    ]:
        await asyncio.wait(running)


def _with(**procedures: Any) -> dict[str, Any]:
    """Return the protocol of the shop with some procedures changed, or left out."""
    changed = {**SHOP["procedures"], **procedures}
    return {
        **SHOP,
        "procedures": {name: each for name, each in changed.items() if each is not None},
    }


async def test_compare_same_protocol_logs_nothing(
    shop: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    async with comparing(served(shop.ShopHandler), shop, caplog, describe=True) as logged:
        assert logged == []


async def test_compare_composed_server_uses_prefix(
    packages: Packages, caplog: pytest.LogCaptureFixture
) -> None:
    shop, bank = packages.make(SHOP), packages.make(BANK)
    handler = enkaku.compose(
        served(shop.ShopHandler), enkaku.prefixed("bank/", served(bank.BankHandler))
    )
    async with comparing(handler, bank, caplog, "bank/", describe=True) as logged:
        assert logged == []


async def test_compare_newer_server_with_more_logs_nothing(
    packages: Packages, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = packages.make(_with(buy=None)), packages.make(SHOP)
    async with comparing(served(new.ShopHandler), old, caplog, describe=True) as logged:
        assert logged == []


async def test_compare_warns_of_differences_once(
    packages: Packages, caplog: pytest.LogCaptureFixture
) -> None:
    item = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}}}
    changed = {
        **_with(
            watch={"type": "request"},
            seen=None,
            buy={
                "type": "request",
                "idempotent": True,
                "param": {"$ref": "#/$defs/Item"},
                "result": {"type": "null"},
            },
        ),
        "$defs": {**SHOP["$defs"], "Item": item},
    }
    expected = [
        "buy param: /properties/name/maxLength is absent here, and 5 there",
        "buy result is there only",
        "buy is idempotent there only",
        "buy has the error SOLD here only",
        "seen is missing there, or this client may not call it",
        "watch is a stream here, and a request there",
    ]
    own, other = packages.make(SHOP), packages.make(changed)
    async with comparing(served(other.ShopHandler), own, caplog, describe=True) as logged:
        assert logged == [
            (
                "WARNING",
                "the server's protocol differs from that of PACKAGE: " + "; ".join(expected),
            )
        ]


async def test_compare_server_without_description_logs_once(
    shop: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    async with comparing(served(shop.ShopHandler), shop, caplog) as logged:
        assert logged == [
            (
                "DEBUG",
                f"the protocol of PACKAGE was not compared: {NOT_DESCRIBED}",
            )
        ]


async def test_compare_of_other_notation_is_no_warning(
    packages: Packages, caplog: pytest.LogCaptureFixture
) -> None:
    inline = packages.make(
        _with(**{"admin/close": {"type": "request", "param": {"type": "string"}}})
    )
    shop = packages.make(SHOP)
    async with comparing(served(inline.ShopHandler), shop, caplog, describe=True) as logged:
        assert logged == [
            (
                "DEBUG",
                "the protocol of PACKAGE is written in another way at the server, and means the same",
            )
        ]


async def test_compare_escapes_names_of_server(
    packages: Packages, caplog: pytest.LogCaptureFixture
) -> None:
    def ask(code: str) -> Any:
        error = json.loads(json.dumps(BANK["errors"]).replace("CLOSED", code))
        return {"name": "Shop", "procedures": {"ask": {"type": "request", "error": error}}}

    own, other = packages.make(ask("A")), packages.make(ask("\\u001b[31m\\nB"))
    async with comparing(served(other.ShopHandler), own, caplog, describe=True) as logged:
        ((_, text),) = logged
    assert "ask has the error \\u001b[31m\\u000aB there only" in text


async def test_compare_never_fails_calls(
    packages: Packages, caplog: pytest.LogCaptureFixture, socket_path: Path
) -> None:
    """A server may reply anything to the request for its description."""
    caplog.set_level(logging.DEBUG, "enkaku.client")
    bank = packages.make(BANK)
    for reply in (
        {"digest": 1},
        {"digest": "", "digests": {"procedures": {"pay": "x"}}, "enkaku": "\n"},
        None,
    ):
        async with facing(socket_path, compare=True) as (connection, peer):
            client = bank.BankClient(connection)
            asked = await peer.read()
            assert asked["prc"] == "enkaku:describe"
            paying = asyncio.ensure_future(client.pay(1))
            called = await peer.read()
            peer.send(typ="result", rid=asked["rid"], val=reply)
            peer.send(typ="result", rid=called["rid"], val=[1])
            assert await paying == [1]


async def test_compare_is_cancelled_by_close(packages: Packages, socket_path: Path) -> None:
    bank = packages.make(BANK)
    async with facing(socket_path, compare=True) as (connection, peer):
        bank.BankClient(connection)
        assert (await peer.read())["prc"] == "enkaku:describe"
        await connection.close(within=0)
        bank.BankClient(connection)


async def test_without_compare_nothing_is_asked(packages: Packages, socket_path: Path) -> None:
    bank = packages.make(BANK)
    async with facing(socket_path) as (connection, peer):
        client = bank.BankClient(connection)
        paying = asyncio.ensure_future(client.pay(1))
        called = await peer.read()
        assert called["prc"] == "pay"
        peer.send(typ="result", rid=called["rid"], val=[1])
        await paying


@pytest.mark.parametrize("options", [{"describe": "yes"}, {"describe": 1}])
async def test_describe_option_of_other_type_is_rejected(options: Any) -> None:
    with pytest.raises(enkaku.UsageError, match="describe must be"):
        async with enkaku.connect_memory(Serving(), **options):
            pass


async def test_compare_option_of_other_type_is_rejected() -> None:
    options: Any = {"compare": "yes"}
    with pytest.raises(enkaku.UsageError, match="compare must be"):
        async with enkaku.connect_memory(Serving(), connection_options=options):
            pass


def test_sync_connection_describes_and_compares(
    packages: Packages, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "enkaku.client")
    own, other = packages.make(SHOP, sync=True), packages.make(_with(buy=None))
    seen = threading.Event()

    class Seen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.set()

    block = enkaku.connect_memory(
        served(other.ShopHandler), describe=True, connection_options={"compare": True}
    )
    handler = Seen()
    logging.getLogger("enkaku.client").addHandler(handler)
    try:
        with enkaku.sync.connect(block) as connection:
            own.ShopSyncClient(connection)
            assert _procedures(connection.describe()) == ["admin/close", "seen", "watch"]
            assert seen.wait(WITHIN)
    finally:
        logging.getLogger("enkaku.client").removeHandler(handler)
    assert "buy is missing there" in caplog.text


def _differences(own: object, server: object) -> list[str]:
    """Compare two params."""
    documents: list[dict[str, Any]] = [
        {"procedures": {"p": {"type": "request", "param": each}}, "$defs": defs}
        for each, defs in (cast("tuple[Any, Any]", side) for side in (own, server))
    ]
    return list(differences(documents[0], documents[1]))


STRING, NUMBER = {"type": "string"}, {"type": "number"}
REF = {"$ref": "#/$defs/A"}
TREE = {"properties": {"t": REF}}


CASES: list[tuple[Any, Any, list[str]]] = [
    ((STRING, {}), (STRING, {}), []),
    ((STRING, {}), ({"type": "string", "title": "T", "x-y": 1, "default": ""}, {}), []),
    ((REF, {"A": STRING}), (STRING, {}), []),
    ((REF, {"A": STRING}), ({"$ref": "#/$defs/B"}, {"B": STRING}), []),
    (
        (REF, {"A": TREE}),
        ({"$ref": "#/$defs/B"}, {"B": {"properties": {"t": {"$ref": "#/$defs/B"}}}}),
        [],
    ),
    (
        (REF, {"A": TREE}),
        (REF, {"A": {**TREE, "maxProperties": 1}}),
        ["p param: /maxProperties is absent here, and 1 there"],
    ),
    (
        ({"anyOf": [REF, NUMBER]}, {"A": STRING}),
        ({"anyOf": [REF, NUMBER]}, {"A": NUMBER}),
        ['p param: /anyOf/0/type is "string" here, and "number" there'],
    ),
    (({"type": ["string", "null"]}, {}), ({"type": ["null", "string"]}, {}), []),
    (({"enum": [1, "a"]}, {}), ({"enum": ["a", 1]}, {}), []),
    (({"const": 1}, {}), ({"const": 1.0}, {}), []),
    (({"const": 1}, {}), ({"const": True}, {}), ["p param: /const is 1 here, and true there"]),
    ((True, {}), (False, {}), ["p param: the schema is true here, and false there"]),
    (
        ({"properties": {"a/b": STRING}}, {}),
        ({"properties": {"a/b": NUMBER}}, {}),
        ['p param: /properties/a~1b/type is "string" here, and "number" there'],
    ),
    (
        ({**REF, "maxLength": 1}, {"A": STRING}),
        ({"$ref": "#/$defs/B", "maxLength": 1}, {"B": STRING}),
        [],
    ),
]


@pytest.mark.parametrize(("own", "server", "expected"), CASES, ids=str)
def test_differences_are_of_meaning(own: object, server: object, expected: list[str]) -> None:
    assert _differences(own, server) == expected
