"""``enkaku describe``: a procedure of a server, or of a protocol, with its schemas."""

import argparse
import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from enkaku_codegen.calling import dial, sources
from enkaku_codegen.calling.json_texts import escape_all
from enkaku_codegen.errors import visible
from enkaku_codegen.json_values import Json, Schema, as_json, as_readable_json
from enkaku_codegen.reading.simple_schema import as_dict

from .command import Command, ExitCode

if TYPE_CHECKING:
    from enkaku_codegen.reading.definition import Procedure, Protocol

__all__ = ["COMMAND"]

_ADDRESS: Final = re.compile("/|[A-Za-z]+:")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "address",
        metavar="ADDRESS",
        nargs="?",
        help="the server, which describes itself; by default, the protocols of [tool.enkaku] are described",
    )
    parser.add_argument(
        "procedure", metavar="PROCEDURE", nargs="?", help="a procedure; by default all"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print a JSON object: the protocol, or the procedure with the definitions that it needs",
    )
    sources.add_arguments(parser)
    dial.add_arguments(parser)


def _run(options: argparse.Namespace) -> int:
    if options.procedure is None and options.address is not None:
        known = options.protocol is not None or options.package is not None
        if known or not _ADDRESS.match(options.address):
            options.address, options.procedure = None, options.address
    return dial.run("describe", options.errors, partial(_main, options))


async def _main(options: argparse.Namespace) -> int:
    protocols = await sources.shown(options)
    name: str | None = options.procedure
    if name is not None:
        protocols = sources.having(protocols, name)
    if options.json:
        for protocol in protocols:
            print(escape_all(as_json(_document(protocol, name))))
        return ExitCode.SUCCESS
    chosen = [
        (protocol, each)
        for protocol in protocols
        for each in protocol.procedures
        if name in {None, each.name}
    ]
    print("\n\n".join("\n".join(_lines(*each)) for each in chosen))
    return ExitCode.SUCCESS


def _document(protocol: "Protocol", name: str | None) -> Json:
    """Return a protocol as one document; or a procedure, with the definitions that it refers to."""
    # Imported here: it takes longer than the rest.
    from enkaku_codegen.reading.protocol_document import bundle  # noqa: PLC0415 # see above

    document = bundle(protocol)
    if name is None:
        return document
    procedure = as_dict(as_dict(document["procedures"])[name])
    schemas = [each for each in procedure.values() if isinstance(each, dict | bool)]
    definitions = as_dict(document.get("$defs", {}))
    needed = _needed(
        schemas, {key: each for key, each in definitions.items() if isinstance(each, dict | bool)}
    )
    return {"name": name, **procedure, **({"$defs": {**needed}} if needed else {})}


def _needed(schemas: Iterable[Schema], definitions: dict[str, Schema]) -> dict[str, Schema]:
    from enkaku_codegen.reading.bundle import needed_definitions  # noqa: PLC0415 # as above

    found: dict[str, Schema] = {}
    for each in schemas:
        found |= needed_definitions(each, definitions)
    return dict(sorted(found.items()))


def _lines(protocol: "Protocol", procedure: "Procedure") -> Iterator[str]:
    """Yield the lines that describe a procedure to people, without control characters."""
    repeatable = " (idempotent)" if procedure.idempotent else ""
    yield f"{visible(procedure.name)}: {procedure.kind}{repeatable}"
    for line in procedure.description.splitlines():
        yield visible(line)
    for name, schema in procedure.slots.items():
        yield from _schema(name, schema)
    for error in procedure.errors:
        text = f": {error.description}" if error.description else ""
        yield ""
        yield visible(f"error {'with any code' if error.code is None else error.code}{text}")
        if error.data is not None:
            yield from _indented(error.data)
    data = [each.data for each in procedure.errors if each.data is not None]
    needed = _needed([*procedure.slots.values(), *data], {**protocol.definitions})
    for definition, schema in needed.items():
        yield from _schema(visible(f"#/$defs/{definition}"), schema)


def _schema(title: str, schema: Schema) -> Iterator[str]:
    yield ""
    yield title
    yield from _indented(schema)


def _indented(schema: Schema) -> Iterator[str]:
    for line in as_readable_json(schema, 90).split("\n"):
        yield f"  {visible(line)}"


COMMAND: Final = Command(
    description="Describe the procedures of a server that describes itself, of a protocol file, or of a generated package.",
    examples=(
        "enkaku describe unix:/run/app.sock math/add",
        "enkaku describe --protocol protocol.yaml math/add --json",
    ),
    add_arguments=_add_arguments,
    run=_run,
)
