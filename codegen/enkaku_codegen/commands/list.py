"""``enkaku list``: the procedures of a server, or of a protocol."""

import argparse
import json
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

from enkaku_codegen.calling import dial, sources
from enkaku_codegen.errors import visible

from .command import Command, ExitCode

if TYPE_CHECKING:
    from enkaku_codegen.reading.definition import Procedure

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "address",
        metavar="ADDRESS",
        nargs="?",
        help="the server, which describes itself; by default, the protocols of [tool.enkaku] are listed",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object a line: name, kind, description"
    )
    sources.add_arguments(parser)
    dial.add_arguments(parser)


def _run(options: argparse.Namespace) -> int:
    return dial.run("list", options.errors, partial(_main, options))


async def _main(options: argparse.Namespace) -> int:
    protocols = await sources.shown(options)
    _print([each for protocol in protocols for each in protocol.procedures], as_json=options.json)
    return ExitCode.SUCCESS


def _print(procedures: "Iterable[Procedure]", *, as_json: bool) -> None:
    rows = [(each.name, each.kind, each.description) for each in procedures]
    if as_json:
        for name, kind, description in rows:
            print(json.dumps({"name": name, "kind": kind, "description": description}))
        return
    lines = [
        (visible(name), kind, visible(next(iter(description.splitlines()), "")))
        for name, kind, description in rows
    ]
    width = max((len(name) for name, _, _ in lines), default=0)
    for name, kind, summary in lines:
        print(f"{name:{width}}  {kind:7}  {summary}".rstrip())


COMMAND: Final = Command(
    description="List the procedures of a server that describes itself, of a protocol file, or of a generated package.",
    examples=(
        "enkaku list unix:/run/app.sock",
        "enkaku list --protocol protocol.yaml --json",
    ),
    add_arguments=_add_arguments,
    run=_run,
)
