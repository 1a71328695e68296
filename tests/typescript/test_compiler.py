"""The compiler accepts generated clients at its strictest, and finds mistakes of users."""

import shutil
from pathlib import Path

import pytest
from enkaku_codegen.generate import generate
from enkaku_codegen.reading.definition import read_protocol
from golden.refresh import CLIENTS, IMPORTING, IMPORTS, PROTOCOLS, WITH_CLIENTS, client
from slow import slow_but
from typescript.compiling import HERE, compiled, put_client

pytestmark = pytest.mark.timeout(600)
USE = """\
import type { Money } from "./money/client.js";
import { NotFound, type OrdersClient } from "./orders/client.js";
import type { ShopClient } from "./shop/client.js";

export async function total(orders: OrdersClient, shop: ShopClient): Promise<Money> {
  try {
    return (await shop.offerMake(await orders.find(1))).total;
  } catch (error) {
    if (error instanceof NotFound) return error.data.refund;
    // @ts-expect-error: an order is no amount
    return await orders.find(1);
  }
}
"""
REAL = HERE.parent / "real" / "protocols"


def test_tsc_accepts_golden_protocols(tmp_path: Path) -> None:
    for each in PROTOCOLS:
        put_client(client(each), tmp_path / each.stem)
    for directory in CLIENTS.iterdir():
        shutil.copytree(
            directory, put_client({}, tmp_path / f"golden-{directory.name}"), dirs_exist_ok=True
        )
    assert compiled(tmp_path) == ""


def test_tsc_accepts_golden_clients_with_imports(tmp_path: Path) -> None:
    for name in IMPORTING:
        directory = put_client({}, tmp_path / name)
        shutil.copytree(IMPORTS / "typescript" / "trade" / name, directory, dirs_exist_ok=True)
    (tmp_path / "use.ts").write_text(USE)
    assert compiled(tmp_path) == ""


def test_tsc_accepts_use_and_finds_mistakes(tmp_path: Path) -> None:
    put_client(client(HERE.parent.parent / "examples" / "dashboard" / "protocol.yaml"), tmp_path)
    for name in ("correct.ts", "mistakes.ts"):
        shutil.copy(HERE / name, tmp_path)
    assert compiled(tmp_path) == ""


def test_tsc_accepts_handler_and_finds_mistakes(tmp_path: Path) -> None:
    put_client(client(WITH_CLIENTS["callbacks"]), tmp_path)
    for name in ("handler.ts", "handler_mistakes.ts"):
        shutil.copy(HERE / name, tmp_path)
    assert compiled(tmp_path) == ""


@pytest.mark.parametrize(
    "name", slow_but({"debug"}, sorted(path.stem for path in REAL.glob("*.json")))
)
def test_tsc_accepts_real_protocol(name: str, tmp_path: Path) -> None:
    protocol = read_protocol(REAL / f"{name}.json")
    files = generate(protocol, source=f"{name}.json", language="typescript")
    assert compiled(put_client(files, tmp_path)) == ""
