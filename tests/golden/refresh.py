"""Writes the golden packages anew: ``python tests/golden/refresh.py``. Read the difference before committing it."""

import shutil
from pathlib import Path

from enkaku_codegen.generate import generate
from enkaku_codegen.reading.definition import read_protocol

HERE = Path(__file__).parent
EXAMPLES = HERE.parent.parent / "examples"
PROTOCOLS = sorted((HERE / "protocols").iterdir())
PACKAGES = HERE / "packages"
CLIENTS = HERE / "typescript"
WITH_CLIENTS = {
    "counter": EXAMPLES / "counter" / "protocol.json",
    "dashboard": EXAMPLES / "dashboard" / "protocol.yaml",
    **{path.stem: path for path in PROTOCOLS if path.stem in {"errors", "names", "values"}},
}
"""The protocols whose clients in TypeScript are here, too, by the names of their directories."""


WITH_SYNC = {"dashboard"}
"""The protocols whose packages have a synchronous client, too."""


def generated(protocol: Path) -> dict[str, str]:
    """Generate the package for one of the protocols."""
    return generate(
        read_protocol(protocol), source=protocol.name, sync=protocol.stem in WITH_SYNC
    )


def client(protocol: Path) -> dict[str, str]:
    """Generate the client in TypeScript for one of the protocols."""
    return generate(read_protocol(protocol), source=protocol.name, language="typescript")


def refresh() -> None:
    """Replace all packages and clients."""
    shutil.rmtree(PACKAGES, ignore_errors=True)
    shutil.rmtree(CLIENTS, ignore_errors=True)
    for protocol in PROTOCOLS:
        _write(PACKAGES / protocol.stem, generated(protocol))
    for name, protocol in WITH_CLIENTS.items():
        _write(CLIENTS / name, client(protocol))


def _write(directory: Path, files: dict[str, str]) -> None:
    directory.mkdir(parents=True)
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    refresh()
