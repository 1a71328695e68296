"""Why a command failed, and how that is printed: on the standard error, as text or as one JSON object (``--errors``)."""

import argparse
import json
import sys
from dataclasses import dataclass, replace
from typing import Final

from enkaku_codegen.errors import visible
from enkaku_codegen.exit_codes import ExitCode

from .json_texts import escape_all

__all__ = ["Failed", "Failure", "add_errors"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a command failed, as ``--errors json`` prints it.

    Attributes:
        exit_code: The exit code.
        code: The code of the server's error; else one of the words that docs/calling.md lists.
        message: For people.
        data: A JSON object.
        procedure: The procedure that was called; None if none was.
        text: The message with procedure and code, for ``--errors text``; by default the message.
        explained: Whether the text says what the data does.
    """

    exit_code: ExitCode
    code: str
    message: str
    data: bytes = b"{}"
    procedure: str | None = None
    text: str = ""
    explained: bool = False

    def at_line(self, number: int) -> "Failure":
        """Return the failure with the number of the line of the standard input whose value is wrong."""
        data = json.loads(self.data) | {"line": number}
        text = f"line {number}: {self.text or self.message}"
        return replace(self, data=json.dumps(data).encode(), text=text)

    def print(self, prog: str, format_: str) -> None:
        """Print the failure on the standard error."""
        if format_ == "json":
            head = json.dumps({"code": self.code, "message": self.message})[:-1]
            tail = f'"data": {self.data.decode()}, "procedure": {json.dumps(self.procedure)}}}'
            print(escape_all(f"{head}, {tail}"), file=sys.stderr)
            return
        print(visible(f"{prog}: {self.text or self.message}"), file=sys.stderr)
        if self.data != b"{}" and not self.explained:
            print(visible(f"data: {self.data.decode()}"), file=sys.stderr)


class Failed(Exception):
    """Ends a command with a failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure: Final = failure


def add_errors(parser: argparse.ArgumentParser) -> None:
    """Declare ``--errors``."""
    parser.add_argument(
        "--errors",
        choices=("text", "json"),
        default="text",
        help="how to print an error: text, the default, or one JSON object",
    )
