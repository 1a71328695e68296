"""``enkaku generate``: writes the packages of protocols; with ``--watch``, again whenever a file changes that they come from."""

import argparse
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from enkaku_codegen.errors import CodegenError, OutputError, visible
from enkaku_codegen.fingerprint import Request, fresh_files
from enkaku_codegen.inputs import recorded
from enkaku_codegen.json_values import Json
from enkaku_codegen.output import Changes, locked, write

from . import package
from .command import Command, ExitCode
from .depfile import Rule, write_depfile
from .report import Finding, print_error, print_findings
from .watch import watch

if TYPE_CHECKING:
    from enkaku_codegen.proving.checks import Checks

__all__ = ["COMMAND"]

_MOST_POINTERS: Final = 3


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    package.add_arguments(parser)
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="print for each slot why its type alone does not enforce its schema",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="generate again whenever a file changes, until Ctrl-C",
    )
    parser.add_argument(
        "--depfile",
        metavar="FILE",
        type=package.path,
        help="write for Make or Ninja what files the packages were generated from",
    )
    parser.add_argument(
        "--list-outputs",
        action="store_true",
        help="print the files that would be generated, one a line, and write nothing",
    )


def _run(options: argparse.Namespace) -> int:
    if options.list_outputs and (options.watch or options.depfile is not None):
        message = "--list-outputs writes nothing: neither --watch nor --depfile goes with it"
        raise argparse.ArgumentError(None, message)
    build = _Build(options)
    if options.watch:
        watch(build.run_again)
    return build.run()


class _Build:
    """A build of the packages that the arguments ask for, once or again and again."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._project: Path | None = None
        self._is_watching = False

    def run_again(self) -> None:
        """Run as a part of ``--watch``: errors are printed. Wrong arguments are an error when it begins."""
        try:
            self.run()
        except CodegenError as error:
            print_error(error, self._options.format)
        except argparse.ArgumentError as error:
            if not self._is_watching:
                raise
            print(error, file=sys.stderr)
        sys.stdout.flush()
        if not self._is_watching:
            self._is_watching = True
            print("watching for changes, until Ctrl-C", file=sys.stderr, flush=True)

    def run(self) -> ExitCode:
        """Generate all packages, and return the exit code.

        Raises:
            CodegenError: The file of the project has errors, or the depfile can't be written.
            argparse.ArgumentError: The arguments name no package, and no project has one.
        """
        # The first project that is found stays: while an editor replaces its file, one above is not taken for it.
        selection = package.select(self._options, self._project)
        self._project = selection.project
        if all(out is None for _, out in selection.packages):
            message = f'{selection.project}: no package: expected "out", the directory of one'
            raise argparse.ArgumentError(None, message)
        rules: list[Rule] = []

        def run(request: Request, out: Path | None) -> bool:
            if out is None:  # enkaku check reads it
                pass
            elif self._options.list_outputs:
                self._list(request, out)
            else:
                rules.append(self._generate(request, out))
            return True

        code = package.run_each(selection, self._options.format, run)
        if self._options.depfile is not None and code == ExitCode.SUCCESS:
            write_depfile(self._options.depfile, rules)
        return code

    def _list(self, request: Request, out: Path) -> None:
        names: Sequence[str] | None = fresh_files(request, out)
        if names is None:
            # Imported here: a package that is up to date needs no protocol to be read.
            from enkaku_codegen.prepare import file_names  # noqa: PLC0415 # see above

            names = file_names(request)
        paths = [str(out / name) for name in names]
        message = f"{len(paths)} files"
        if self._options.format == "json":
            details: dict[str, Json] = {"package": str(out), "outputs": [*paths]}
            self._note("outputs", request, message, details)
        else:
            print("\n".join(paths))

    def _generate(self, request: Request, out: Path) -> Rule:
        options = self._options
        waiting = visible(f"{out}: waiting for another run")
        with locked(out, lambda: print(waiting, file=sys.stderr, flush=True)):
            with recorded() as inputs:
                files = None if options.verbose else fresh_files(request, out)
            if files is None:
                with recorded() as inputs:
                    prepared = package.prepared(request, out, options.format)
                self._write(request, prepared.changes)
                self._report(request, prepared.checks)
                files = [*prepared.files]
            else:
                self._note_written(request, Changes(out, {}, (), {}))
        sources = [path for path in inputs if not path.is_dir()]
        return Rule(
            [out / name for name in files],
            sources if self._project is None else [*sources, self._project],
        )

    def _write(self, request: Request, changes: Changes) -> None:
        if changes:
            write(changes)
        else:
            # Only the fingerprint is left to write. Without it, the next run generates the package again.
            with suppress(OutputError):
                write(changes)
        self._note_written(request, changes)

    def _note_written(self, request: Request, changes: Changes) -> None:
        counts = [(len(changes.written), "written"), (len(changes.removed), "removed")]
        done = ", ".join(f"{count} {what}" for count, what in counts if count) or "up to date"
        rule = "written" if changes else "up-to-date"
        self._note(rule, request, f"{changes.directory}: {done}", package.details(changes))

    def _report(self, request: Request, checks: "Checks") -> None:
        """Print how many slots need a validator at run time, what formats reject, and which schemas became object."""
        verbose = self._options.verbose
        count = len(checks.slots)
        every = checks.proved + count
        if count:
            need = "needs" if count == 1 else "need"
            message = (
                f"{count} of {every} slots {need} a JSON Schema validator at run time: "
                "pip install 'enkaku[exact]'"
            )
            reasons: dict[str, Json] = {
                each.label: [*map(str, each.reasons)] for each in checks.slots.values()
            }
            hint = "" if verbose else " (reasons: --verbose)"
            self._note("validator", request, message, {"slots": reasons}, hint)
        elif verbose and every:
            message = f"0 of {every} slots need a JSON Schema validator at run time"
            self._note("validator", request, message, {"slots": {}})
        if checks.formats:
            reject = "rejects" if len(checks.formats) == 1 else "reject"
            message = (
                f"{len(checks.formats)} of {every} slots {reject} strings of a format "
                "that Python cannot hold"
            )
            formats: dict[str, Json] = {label: [*each] for label, each in checks.formats.items()}
            hint = "" if verbose else " (which: --verbose)"
            self._note("formats", request, message, {"slots": formats}, hint)
        if checks.widened:
            schemas = (
                "1 schema exceeds"
                if len(checks.widened) == 1
                else f"{len(checks.widened)} schemas exceed"
            )
            message = f"{schemas} a limit of the generator and became object"
            hint = "" if verbose else f": {_first(checks.widened)} (reasons: --verbose)"
            self._note("widened", request, message, {"schemas": {**checks.widened}}, hint)
        if verbose and self._options.format == "text":
            _print_reasons(checks)

    def _note(
        self,
        rule: str,
        request: Request,
        message: str,
        details: Mapping[str, Json],
        hint: str = "",
    ) -> None:
        """Print what was done; not as an annotation of a pull request, where it would be noise."""
        if self._options.format == "text":
            print(visible(f"{message}{hint}"))
        elif self._options.format == "json":
            finding = Finding(rule, "note", str(request.protocol), None, "", message, details)
            print_findings([finding], "json")


def _print_reasons(checks: "Checks") -> None:
    for pointer, limit in checks.widened.items():
        print(f"{pointer}: {limit}")
    for each in checks.slots.values():
        for reason in each.reasons:
            print(f"{each.label}: {reason}")
    for label, formats in checks.formats.items():
        for rejected in formats:
            print(f"{label}: {rejected}")


def _first(pointers: Collection[str]) -> str:
    """Return the first pointers, and how many others there are."""
    others = len(pointers) - _MOST_POINTERS
    more = f" and {others} other{'s'[:others - 1]}" if others > 0 else ""
    return ", ".join([*pointers][:_MOST_POINTERS]) + more


COMMAND: Final = Command(
    description="Write the package for a protocol, or for each of a project: all of it, or nothing.",
    examples=(
        "enkaku generate                                        (all packages that pyproject.toml lists)",
        "enkaku generate protocol.yaml --out src/app/protocol",
        "enkaku generate protocol.json --out bindings --name Dashboard",
        "enkaku generate protocol.yaml --out web --language typescript",
        "enkaku generate --watch                                (again whenever a protocol changes)",
    ),
    add_arguments=_add_arguments,
    run=_run,
)
