"""Generated packages are imported and run, wherever they lie."""

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import enkaku
import pytest
from golden.refresh import PACKAGES, PROTOCOLS

pytestmark = pytest.mark.xdist_group("packages")  # one directory for all


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    (root / "outer" / "inner").mkdir(parents=True)
    for directory in (root / "outer", root / "outer" / "inner"):
        (directory / "__init__.py").touch()
    for package in PACKAGES.iterdir():
        shutil.copytree(package, root / f"golden_{package.name}")
        shutil.copytree(package, root / "outer" / "inner" / f"golden_{package.name}")
    return root


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda path: path.stem)
@pytest.mark.parametrize("place", ["", "outer.inner."], ids=["top", "nested"])
def test_package_is_importable_from_any_location(
    root: Path, protocol: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(root)
    name = f"{place}golden_{protocol.stem}"
    package = importlib.import_module(name)
    assert package.__all__ == sorted(
        package.__all__, key=lambda name: (not name.isupper(), name.lower())
    )
    assert len(package.__all__) == len(set(package.__all__))
    assert all(getattr(package, each) is not None for each in package.__all__)
    defined = [getattr(package, each) for each in package.__all__]
    models = [each for each in defined if isinstance(each, type) and issubclass(each, enkaku.Model)]
    for model in models:
        model.model_rebuild(force=True)
        assert model.__module__ == f"{name}.models"


def test_package_imports_only_runtime(root: Path) -> None:
    code = (
        "import sys, golden_dashboard; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    loaded = set(ran.stdout.split())
    assert {"enkaku", "pydantic"} <= loaded
    assert loaded.isdisjoint(
        {"enkaku_codegen", "enkaku_templates", "jinja2", "black", "jsonschema"}
    )


def test_package_older_runtime_is_rejected(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(root)
    monkeypatch.setattr("enkaku._version.VERSION", "0.0.9")
    monkeypatch.delitem(sys.modules, "golden_kinds.procedures", raising=False)
    monkeypatch.delitem(sys.modules, "golden_kinds", raising=False)
    with pytest.raises(enkaku.IncompatibleRuntime, match=r"needs enkaku 0\.1 or newer; 0\.0\.9"):
        importlib.import_module("golden_kinds.procedures")


async def test_package_client_and_handler_interoperate(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(root)
    golden = importlib.import_module("golden_dashboard")
    failure = importlib.import_module("golden_errors")
    entry = golden.MetricsStreamReceive(cpu=1, memory=2, timestamp=3)

    async def metrics_stream(_: Any, param: Any, stream: Any) -> Any:
        assert param == golden.MetricsStreamParam(interval=5)
        await stream.send(entry)
        return golden.MetricsStreamResult(total_samples=1)

    async def logs_watch(_: Any, param: Any, channel: Any) -> Any:
        count = 0
        async for _ in channel:
            count += 1
            await channel.send(golden.LogsWatchReceive(level="info", message="m", timestamp=0))
        return golden.LogsWatchResult(total_logs=count)

    async def null_result(_: Any) -> None:
        return None

    methods = {
        "metrics_stream": metrics_stream,
        "logs_watch": logs_watch,
        "null_result": null_result,
    }
    abstract = dict.fromkeys(golden.DashboardHandler.__abstractmethods__)
    handler = type("Dashboard", (golden.DashboardHandler,), abstract | methods)
    async with enkaku.connect_memory(handler()) as connection:
        client = golden.DashboardClient(connection)
        async with client.metrics_stream(golden.MetricsStreamParam(interval=5)) as stream:
            assert [item async for item in stream] == [entry]
            assert (await stream.result()).total_samples == 1
        async with client.logs_watch(golden.LogsWatchParam(level="debug")) as channel:
            await channel.send(golden.LogsWatchSend(level="info"))
            assert (await anext(channel)).message == "m"
            assert (await channel.close()).total_logs == 1
        assert await client.null_result() is None

    async def item_read(_: Any, param: Any) -> Any:
        raise failure.NotFound(f"no {param}", failure.NotFoundData(id=param))

    abstract = dict.fromkeys(failure.ErrorsHandler.__abstractmethods__)
    handler = type("Errors", (failure.ErrorsHandler,), abstract | {"item_read": item_read})
    async with enkaku.connect_memory(handler()) as connection:
        with pytest.raises(failure.NotFound) as caught:
            await failure.ErrorsClient(connection).item_read("x")
        assert (caught.value.message, caught.value.data.id) == ("no x", "x")


async def test_client_call_options_are_passed_to_connection(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(root)
    kinds = importlib.import_module("golden_kinds")
    told: list[tuple[str, object, dict[str, object]]] = []

    class Connection:
        async def request(self, procedure: Any, param: object, **options: object) -> None:
            told.append((procedure.name, param, options))

        def stream(self, procedure: Any, param: object, **options: object) -> None:
            told.append((procedure.name, param, options))

        event, channel = request, stream

    client = kinds.KindsClient(Connection())
    await client.event_null(None, timeout=1)
    await client.request_bare(timeout=None)
    await client.request_param("a")
    client.stream_bare(when_full="latest")
    client.channel_bare(timeout=2, a_later_option=3)
    assert told == [
        ("event/null", None, {"timeout": 1}),
        ("request/bare", None, {"timeout": None}),
        ("request/param", "a", {}),
        ("stream/bare", None, {"when_full": "latest"}),
        ("channel/bare", None, {"timeout": 2, "a_later_option": 3}),
    ]


def test_package_procedures_record_idempotent_requests(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(root)
    kinds = importlib.import_module("golden_kinds")
    table = [value for value in vars(kinds).values() if isinstance(value, enkaku.Request)]
    assert {each.name for each in table if each.idempotent} == {"request/both", "request/result"}
    for side in (kinds.KindsClient, kinds.KindsHandler):
        marked = {
            name for name, each in vars(side).items() if "Idempotent: " in (each.__doc__ or "")
        }
        assert marked == {"request_both", "request_result"}


def test_recorded_protocol_equals_golden_protocol() -> None:
    (golden,) = (path for path in PROTOCOLS if path.name == "dashboard.json")
    recorded = Path(__file__).parent.parent / "wire" / "recordings" / "protocol.json"
    assert json.loads(golden.read_text()) == json.loads(recorded.read_text())
