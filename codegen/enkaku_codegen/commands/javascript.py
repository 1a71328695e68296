"""``enkaku javascript``: copies the runtime of clients in a browser."""

import argparse
from pathlib import Path
from typing import Final

from enkaku_codegen.errors import OutputError

from .command import Command

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="the directory for the files"
    )


def _run(options: argparse.Namespace) -> int:
    from enkaku.web.files import FILES  # noqa: PLC0415 # no other command needs the runtime

    directory: Path = options.out
    try:
        directory.mkdir(parents=True, exist_ok=True)
        written = [_copy(file, directory / file.name) for file in FILES]
    except OSError as error:
        raise OutputError(f"{directory}: cannot be written: {error.strerror}") from error
    print(f"{directory}: {f'{sum(written)} written' if any(written) else 'up to date'}")
    return 0


def _copy(file: Path, target: Path) -> bool:
    """Write a file, and return True, unless it is there already."""
    content = file.read_bytes()
    if target.is_file() and target.read_bytes() == content:
        return False
    target.write_bytes(content)
    return True


COMMAND: Final = Command(
    description="Write enkaku.js with login.js, and callbacks.js, which clients in a browser or Node import, and their types.",
    examples=("enkaku javascript --out web/src/rpc",),
    add_arguments=_add_arguments,
    run=_run,
)
