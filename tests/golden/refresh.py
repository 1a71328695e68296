"""Writes the golden packages anew: ``python tests/golden/refresh.py``. Read the difference before committing it."""

import shutil
from pathlib import Path

from enkaku_codegen.generate import generate
from enkaku_codegen.reading.definition import read_protocol

HERE = Path(__file__).parent
PROTOCOLS = sorted((HERE / "protocols").iterdir())
PACKAGES = HERE / "packages"


def generated(protocol: Path) -> dict[str, str]:
    """Generate the package for one of the protocols."""
    return generate(read_protocol(protocol), source=protocol.name)


def refresh() -> None:
    """Replace all packages."""
    shutil.rmtree(PACKAGES, ignore_errors=True)
    for protocol in PROTOCOLS:
        directory = PACKAGES / protocol.stem
        directory.mkdir(parents=True)
        for name, text in generated(protocol).items():
            (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    refresh()
