"""``enkaku call``: calls a procedure of a server, of any of the four kinds."""

import argparse
import asyncio
import shlex
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from enkaku_codegen.calling import arguments, dial, sources
from enkaku_codegen.calling.arguments import MISSING
from enkaku_codegen.calling.failures import Failed, Failure
from enkaku_codegen.calling.json_lines import Input, LineTooLong, Output
from enkaku_codegen.calling.json_texts import shown
from enkaku_codegen.json_values import Schema, as_json

from .command import Command, ExitCode

if TYPE_CHECKING:
    from enkaku import Connection
    from enkaku.client.streams import ClientChannel, ClientStream

    from enkaku_codegen.calling.places import Places
    from enkaku_codegen.calling.untyped import Raw, Untyped
    from enkaku_codegen.reading.definition import Procedure, Protocol

__all__ = ["COMMAND"]

_KINDS: Final = ("request", "stream", "channel", "event")
_LONGEST_LINE: Final = 10 * 1024 * 1024  # bytes: by default, no server accepts a larger message
_CLOSE_WITHIN: Final = (
    5.0  # seconds in which a handler may finish after --take, or after a bad line
)


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 18 or not int(text):
        raise argparse.ArgumentTypeError(f"expected an integer, 1 or more; got {text!r}")
    return int(text)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("address", metavar="ADDRESS", help="the server, such as unix:/run/app.sock")
    parser.add_argument("procedure", metavar="PROCEDURE", help="the name in the protocol")
    parser.add_argument(
        "--param", metavar="JSON", help="the param, or the data of an event; @FILE or @- reads it"
    )
    parser.add_argument(
        "-p",
        metavar="NAME=TEXT",
        dest="assignments",
        type=arguments.read_assignment,
        action="append",
        default=[],
        help="set a property, such as a.b=TEXT, a.0=TEXT or a[]=TEXT; NAME:=JSON for other values; may be repeated",
    )
    parser.add_argument(
        "--take", metavar="N", type=_positive, help="close a stream or channel after N items"
    )
    parser.add_argument(
        "--result",
        metavar="FILE",
        type=Path,
        help="write the result to a file; by default that of a request to stdout, any other to stderr",
    )
    parser.add_argument(
        "--kind", choices=_KINDS, help="call without a protocol: nothing is checked here"
    )
    parser.add_argument(
        "--template",
        action="store_true",
        help="print the command with an example, and call nothing",
    )
    sources.add_arguments(parser)
    dial.add_arguments(parser)


@dataclass(frozen=True, slots=True)
class _Call:
    """What is called.

    Attributes:
        procedure: The procedure.
        param: Its param, or its data, as JSON; None if it has none.
    """

    procedure: "Untyped"
    param: "Raw"


def _run(options: argparse.Namespace) -> int:
    return dial.run("call", options.errors, partial(_main, options))


async def _main(options: argparse.Namespace) -> int:
    _check(options)
    if options.kind is not None:
        return await _dial(options, _unchecked(options))
    found = sources.local(options, options.procedure)
    if found is None:
        return await _dial(options, None)
    if options.template:
        return _print_template(options, *found)
    return await _dial(options, _checked(options, *found))


def _check(options: argparse.Namespace) -> None:
    """Raise an error for arguments that do not fit together."""
    if options.kind is not None:
        for name in ("protocol", "package", "template"):
            if getattr(options, name):
                raise argparse.ArgumentError(
                    None, f"--kind is for calls without a protocol, --{name} needs one"
                )


def _check_kind(options: argparse.Namespace, kind: str) -> None:
    """Raise an error for arguments that are not for procedures of a kind."""
    if options.take is not None and kind not in {"stream", "channel"}:
        raise argparse.ArgumentError(
            None, f"--take is for streams and channels; this is a{'n' * (kind == 'event')} {kind}"
        )
    if options.result is not None and kind == "event":
        raise argparse.ArgumentError(None, "--result: an event has no result")
    if options.param == "@-" and kind == "channel":
        raise argparse.ArgumentError(
            None, "--param @-: the standard input of a channel has its items"
        )


async def _dial(options: argparse.Namespace, call: _Call | None) -> int:
    """Connect, and make a call; None is one whose procedure the server describes."""
    with _Result(options.result) as result:
        async with dial.connected(options) as connection:
            with dial.deadline(options):
                if call is None:
                    protocol = await sources.described(connection, options.procedure)
                    definition = sources.definition_in(protocol, options.procedure)
                    if options.template:
                        return _print_template(options, protocol, definition, described=True)
                    call = _checked(options, protocol, definition, described=True)
                return await _Caller(options, connection, call, result).run()


def _checked(
    options: argparse.Namespace,
    protocol: "Protocol",
    definition: "Procedure",
    *,
    described: bool = False,
) -> _Call:
    """Return the call of a procedure whose schemas are known, with a valid param.

    Raises:
        EncodeError: The param is not valid.
        argparse.ArgumentError: It is missing, or the procedure has none.
    """
    from enkaku_codegen.calling.places import Places  # noqa: PLC0415 # not without a protocol
    from enkaku_codegen.calling.untyped import param_of, procedure_of  # noqa: PLC0415 # as above

    _check_kind(options, definition.kind)
    procedure = procedure_of(protocol, definition, described=described)
    slot = param_of(procedure)
    schema = definition.slots.get("data" if definition.kind == "event" else "param", True)
    value = _value(options, schema, Places(protocol.definitions))
    if slot.declared and value is MISSING:
        message = f"{definition.name} needs a param: --param or -p; --template prints an example"
        raise argparse.ArgumentError(None, message)
    if not slot.declared and value is not MISSING:
        raise argparse.ArgumentError(None, f"{definition.name} takes no param")
    param = None if value is MISSING else arguments.write(value)
    if slot.declared:
        slot.encode(param)
    return _Call(procedure, param)


def _unchecked(options: argparse.Namespace) -> _Call:
    """Return the call of a procedure of which only the kind is known."""
    from enkaku_codegen.calling.places import Places  # noqa: PLC0415 # as above
    from enkaku_codegen.calling.untyped import unchecked  # noqa: PLC0415 # as above

    _check_kind(options, options.kind)
    value = _value(options, {}, Places({}))
    param = None if value is MISSING else arguments.write(value)
    procedure = unchecked(options.kind, options.procedure, with_param=param is not None)
    return _Call(procedure, param)


def _value(
    options: argparse.Namespace, schema: Schema, places: "Places"
) -> "arguments.Value | arguments.Missing":
    value = MISSING if options.param is None else arguments.read_param(options.param)
    return arguments.assign(value, options.assignments, schema, places)


def _print_template(
    options: argparse.Namespace,
    protocol: "Protocol",
    definition: "Procedure",
    *,
    described: bool = False,
) -> int:
    """Print a command that calls the procedure with an example."""
    from enkaku_codegen.calling.examples import example  # noqa: PLC0415 # only for this
    from enkaku_codegen.calling.untyped import procedure_of  # noqa: PLC0415 # as above

    procedure = procedure_of(protocol, definition, described=described)
    words = ["enkaku", "call", options.address, definition.name]
    for name in ("protocol", "package"):
        if (given := getattr(options, name)) is not None:
            words += [f"--{name}", str(given)]
    before = ""
    for name, schema in definition.slots.items():
        if name not in {"data", "param", "send"}:
            continue
        value = example(protocol, schema, vars(procedure)[name])
        if name == "send":
            before = f"printf '%s\\n' {shlex.quote(as_json(value))} | "
        else:
            words += ["--param", as_json(value)]
    print(f"{before}{shlex.join(words)}")
    return ExitCode.SUCCESS


class _Result:
    """Where the result of a call is written."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            try:
                # Not "wb": a call that fails leaves what was there.
                self._file = self._path.open("ab")
            except OSError as error:
                message = f"--result: {self._path}: {error.strerror}"
                raise argparse.ArgumentError(None, message) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    async def write(self, value: "Raw", output: Output | None) -> None:
        """Write the result of a call that has succeeded, if it has one.

        Args:
            value: The result.
            output: Where it is written if there is no file; None for the standard error.
        """
        from enkaku_codegen.calling.untyped import in_one_line  # noqa: PLC0415 # imported by now

        if self._file is not None:
            with suppress(OSError):  # a pipe or a device has no length
                self._file.truncate(0)
        if not value:
            return
        line = in_one_line(value)
        if self._file is not None:
            self._file.write(line + b"\n")
        elif output is not None:
            await output.write(line)
        else:
            print((shown(line) if sys.stderr.isatty() else line).decode(), file=sys.stderr)


class _Caller:
    """Makes a call, and writes what comes of it.

    Args:
        options: The arguments of the command.
        connection: Carries the call.
        call: What is called.
        result: Where the result is written.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        connection: "Connection",
        call: _Call,
        result: _Result,
    ) -> None:
        self._take: Final[int | None] = options.take
        self._connection: Final = connection
        self._procedure: Final = call.procedure
        self._param: Final = call.param
        self._result: Final = result
        self._output: Final = Output()

    async def run(self) -> int:
        """Make the call, and return the exit code."""
        from enkaku_codegen.calling import untyped  # noqa: PLC0415 # imported by now

        procedure, connection = self._procedure, self._connection
        match procedure:
            case untyped.UntypedEvent():
                await connection.event(procedure, self._param)
            case untyped.UntypedRequest():
                value = await connection.request(procedure, self._param)
                await self._result.write(value, self._output)
            case untyped.UntypedStream():
                async with (
                    self._output.watched(),
                    connection.stream(procedure, self._param) as stream,
                ):
                    await self._receive(stream)
            case untyped.UntypedChannel():
                async with (
                    self._output.watched(),
                    connection.channel(procedure, self._param) as channel,
                ):
                    await self._talk(channel)
        return ExitCode.SUCCESS

    async def _receive(self, stream: "ClientStream[Raw, Raw]") -> None:
        """Write the items of a call, and its result; or close it when enough items have come."""
        from enkaku_codegen.calling.untyped import in_one_line  # noqa: PLC0415 # imported by now

        count = 0
        async for item in stream:
            await self._output.write(in_one_line(item or b""))
            count += 1
            if count == self._take:
                await self._result.write(await self._finish(stream), None)
                return
        await self._result.write(await stream.result(), None)

    async def _finish(self, stream: "ClientStream[Raw, Raw]") -> "Raw":
        """Ask the handler to finish, and return its result; None if it has none in time, or ends in another way."""
        from enkaku import errors  # noqa: PLC0415 # imported by now

        ends = (errors.CallClosed, errors.CallError, errors.PeerError, errors.TransportError)
        with suppress(*ends, TimeoutError):
            async with asyncio.timeout(_CLOSE_WITHIN):
                return await stream.close()
        return None

    async def _talk(self, channel: "ClientChannel[Raw, Raw, Raw]") -> None:
        """Send the lines of the standard input, while the items of the server are written."""
        sending = asyncio.create_task(self._send(channel))
        receiving = asyncio.create_task(self._receive(channel))
        try:
            await asyncio.wait([sending, receiving], return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and sending.exception() is not None:
                await self._finish(channel)
                await asyncio.wait([receiving])  # it writes the items that came before
                sending.result()
            await receiving
        finally:
            sending.cancel()
            receiving.cancel()
            await asyncio.wait([sending, receiving])

    async def _send(self, channel: "ClientChannel[Raw, Raw, Raw]") -> None:
        """Send each line of the standard input as an item; at its end, half-close.

        Raises:
            Failed: A line is no item, or the input can't be read.
        """
        from enkaku import errors  # noqa: PLC0415 # imported by now

        given = Input(_LONGEST_LINE)
        try:
            async for line in given.lines():
                await channel.send(line)
            await channel.end()
        except errors.EncodeError as error:
            raise Failed(dial.failure_of(error).at_line(given.number)) from error
        except LineTooLong as error:
            message = f"more than {_LONGEST_LINE} bytes"
            raise Failed(
                Failure(ExitCode.USAGE, "INVALID_VALUE", message).at_line(given.number)
            ) from error
        except OSError as error:
            message = f"standard input: {error.strerror}"
            raise Failed(Failure(ExitCode.USAGE, "USAGE", message)) from error
        except errors.NotSupported:  # a server of another implementation, which knows only this end
            await self._finish(channel)
        except (errors.CallClosed, errors.CallError, errors.TransportError):
            return  # the call has ended: who receives knows how


COMMAND: Final = Command(
    description=(
        "Call a procedure of a server, and print what it returns, as JSON: the result of a request, each item of a stream or "
        "channel on a line of its own. The items of a channel are the lines of the standard input."
    ),
    examples=(
        "enkaku call unix:/run/app.sock clock/now",
        "enkaku call tcp:localhost:8000 math/add -p a=1 -p b=2",
        'enkaku call https://example.com/rpc market/watch --param \'{"symbol": "ABC"}\' --take 10',
        "enkaku call unix:/run/app.sock math/add --template",
    ),
    add_arguments=_add_arguments,
    run=_run,
)
