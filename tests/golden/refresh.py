"""Writes the golden packages anew: ``python tests/golden/refresh.py``. Read the difference before committing it."""

import shutil
from pathlib import Path

from enkaku_codegen.fingerprint import LANGUAGES, Import, Language
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
    **{path.stem: path for path in PROTOCOLS if path.stem in {"callbacks", "errors", "names", "values"}},
}
"""The protocols whose clients in TypeScript are here, too, by the names of their directories."""
IMPORTS = HERE / "imports"
IMPORTING: dict[str, dict[Language, dict[str, str]]] = {
    "money": {"python": {}, "typescript": {}},
    "orders": {
        "python": {"money": "trade.money"},
        "typescript": {"money": "../money/client.js"},
    },
    "shop": {
        "python": {"money": "trade.money", "orders": "..orders"},
        "typescript": {"money": "../money/client.js", "orders": "../orders/client.js"},
    },
}
"""What the packages in ``trade`` import from one another, by their protocols and languages."""


def trading(name: str, language: Language) -> dict[str, str]:
    """Generate a package that imports types of others."""
    files = IMPORTS / "protocols"
    imports = [
        Import(files / f"{each}.yaml", module) for each, module in IMPORTING[name][language].items()
    ]
    path = files / f"{name}.yaml"
    return generate(
        read_protocol(path, None, imports),
        source=path.name,
        language=language,
        sync=language == "python" and name == "shop",
    )


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
    for language in LANGUAGES:
        directory = IMPORTS / language / "trade"
        shutil.rmtree(directory, ignore_errors=True)
        for name in IMPORTING:
            _write(directory / name, trading(name, language))
    (IMPORTS / "python" / "trade" / "__init__.py").touch()


def _write(directory: Path, files: dict[str, str]) -> None:
    directory.mkdir(parents=True)
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    refresh()
