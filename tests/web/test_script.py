"""The modules of the browser runtime: served by an app, and copied by ``enkaku javascript``."""

import subprocess
import sys
from pathlib import Path

import aiohttp
import enkaku
import pytest
from enkaku.web.files import FILES, SCRIPTS
from starlette.applications import Starlette
from starlette.routing import Mount
from support import WITHIN
from web.handler import handler
from webserver import serving_app


async def get(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    timeout = aiohttp.ClientTimeout(WITHIN)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        async with session.get(url, headers=headers) as answer:
            found = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status, found, await answer.read()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
async def test_script_is_served_by_get_with_its_etag(script: Path) -> None:
    async with enkaku.serve_http(handler(), script=True) as server:
        url = f"http://127.0.0.1:{server.port}"
        status, headers, body = await get(f"{url}/{script.name}")
        assert (status, body) == (200, script.read_bytes())
        assert headers["content-type"].startswith("text/javascript")
        again = await get(f"{url}/{script.name}", **{"if-none-match": headers["etag"]})
        assert (again[0], again[2]) == (304, b"")
        changed = await get(f"{url}/{script.name}", **{"if-none-match": '"other"'})
        assert changed[0] == 200
        for path in ("/", "/enkaku.d.ts", f"/other/{script.name}", f"/x{script.name}"):
            assert (await get(url + path))[0] == 405


async def test_script_of_mounted_app_is_below_its_mount() -> None:
    app = Starlette(routes=[Mount("/rpc", enkaku.asgi(handler(), script=True))])
    async with serving_app(app) as port:
        assert (await get(f"http://127.0.0.1:{port}/rpc/enkaku.js"))[0] == 200
        assert (await get(f"http://127.0.0.1:{port}/rpc/rpc/enkaku.js"))[0] == 405


async def test_script_by_default_is_not_served() -> None:
    async with enkaku.serve_http(handler()) as server:
        assert (await get(f"http://127.0.0.1:{server.port}/enkaku.js"))[0] == 405


async def test_script_for_unknown_host_name_is_answered_403() -> None:
    async with enkaku.serve_http(handler(), script=True, hosts=["localhost"]) as server:
        url = f"http://127.0.0.1:{server.port}/enkaku.js"
        assert (await get(url))[0] == 403
        assert (await get(url, host="localhost"))[0] == 200


@pytest.mark.parametrize("directory", ["out", "a/new/one"])
def test_command_javascript_copies_every_file(tmp_path: Path, directory: str) -> None:
    command = (sys.executable, "-m", "enkaku_codegen", "javascript", "--out", directory)
    for said in ("5 written", "up to date"):
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
        )
        assert (done.returncode, done.stdout) == (0, f"{directory}: {said}\n")
    for file in FILES:
        assert (tmp_path / directory / file.name).read_bytes() == file.read_bytes()


def test_command_javascript_reports_unusable_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        (sys.executable, "-m", "enkaku_codegen", "javascript", "--out", "file"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("file: cannot be written")
    assert "Traceback" not in done.stderr
