"""The client generated for the dashboard, with the browser runtime, in Node, against the dashboard's server."""

import asyncio
import importlib
import logging
import os
import re
import shutil
import sys
from pathlib import Path

import enkaku
import pytest
from web.test_enkaku_js import HERE, NODES

ROOT = HERE.parents[1]
DASHBOARD = ROOT / "examples" / "dashboard"

pytestmark = pytest.mark.timeout(150)


async def run(*argv: str | Path, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(120):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_generated_client_in_node_makes_every_call(
    transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enkaku_command = (sys.executable, "-m", "enkaku_codegen")
    generate = ("generate", DASHBOARD / "protocol.yaml", "--language", "typescript", "--out")
    await run(*enkaku_command, *generate, tmp_path / "client")
    await run(*enkaku_command, "javascript", "--out", tmp_path / "client")
    shutil.copy(HERE / "dashboard.test.mjs", tmp_path / "client")
    (tmp_path / "client" / "package.json").write_text('{ "type": "module" }')
    monkeypatch.syspath_prepend(str(DASHBOARD))
    example = importlib.import_module("server")
    services, feed = importlib.import_module("services"), example.LogFeed()
    monkeypatch.setattr(example.logger, "level", logging.DEBUG)
    monkeypatch.setattr(example.logger, "handlers", [feed])
    sampler = services.Sampler()
    watchdog = services.Watchdog(sampler)
    dashboard = example.Dashboard(feed, sampler, watchdog)
    async with sampler, watchdog, enkaku.serve_http(dashboard) as server:
        output = await run(
            *(NODES["locked"], "--test", tmp_path / "client" / "dashboard.test.mjs"),
            ENKAKU_URL=f"http://127.0.0.1:{server.port}/rpc",
            ENKAKU_TRANSPORT=transport,
        )
    assert re.search(r"pass 1\b", output)
