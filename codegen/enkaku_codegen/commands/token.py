"""``enkaku token``: makes, shows and verifies capabilities, by which one key lets another call in its name.

A file has the whole chain, one capability a line: the one that was granted last first.
"""

import argparse
import json
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from enkaku_codegen.calling.keys import load_key, reporting
from enkaku_codegen.errors import IdentityError

from .command import Command

if TYPE_CHECKING:
    from enkaku.identity.capabilities import Capability

__all__ = ["COMMAND"]

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"(\d{1,9})([smhd]?)", re.ASCII)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    make = actions.add_parser("make", help="print a capability, and its parents")
    make.add_argument("--key", metavar="FILE", type=Path, required=True, help="who grants")
    make.add_argument("--to", metavar="DID", required=True, help="to whom: the name of a key")
    make.add_argument(
        "--act",
        metavar="PATTERN",
        action="append",
        required=True,
        help="a procedure, or several as in 'math/*'; may be repeated",
    )
    make.add_argument(
        "--res",
        metavar="DID",
        action="append",
        required=True,
        help="the name of a server's key, or '*'; may be repeated",
    )
    make.add_argument(
        "--expires-in",
        metavar="TIME",
        type=_seconds,
        required=True,
        help="how long it is valid: seconds, or such as 15m, 12h, 30d",
    )
    make.add_argument(
        "--parent", metavar="FILE", type=Path, help="the token by which the key may call itself"
    )
    show = actions.add_parser("show", help="print what a token says, without verifying it")
    show.add_argument("path", metavar="FILE", type=Path, help="the file; - is the standard input")
    verify = actions.add_parser("verify", help="verify a token, and print what it grants")
    verify.add_argument("path", metavar="FILE", type=Path, help="the file; - is the standard input")
    verify.add_argument("--act", metavar="PROCEDURE", help="a procedure that it must grant")
    verify.add_argument("--res", metavar="DID", help="the server of which it must grant that")


def _seconds(text: str) -> int:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError("expected seconds, or such as 15m, 12h, 30d")
    return int(match[1]) * _UNITS[match[2]]


def _run(options: argparse.Namespace) -> int:
    actions = {"make": _make, "show": _show, "verify": _verify}
    with reporting(options.key if options.action == "make" else options.path):
        actions[options.action](options)
    return 0


def _make(options: argparse.Namespace) -> None:
    from enkaku.identity.capabilities import delegate  # noqa: PLC0415 # no other command needs it

    parents = [] if options.parent is None else _read(options.parent)
    made = delegate(
        load_key(options.key),
        to=options.to,
        act=options.act,
        res=options.res,
        expires_in=options.expires_in,
        parent=parents[0] if parents else None,
    )
    print("\n".join([made, *parents]))


def _show(options: argparse.Namespace) -> None:
    from enkaku.identity.tokens import read_parts  # noqa: PLC0415 # no other command needs it

    for text in _read(options.path):
        try:
            parts = read_parts(text.rpartition(".")[0])
            header, payload = map(json.loads, parts)
        except ValueError:
            raise IdentityError(f"{options.path}: not a token") from None
        print(json.dumps({"header": header, "payload": payload}, indent=2))


def _verify(options: argparse.Namespace) -> None:
    from enkaku.identity.capabilities import read_chain  # noqa: PLC0415 # no other command needs it

    granted, *_ = read_chain(_read(options.path), time.time(), unlimited=True)
    actions = granted.actions if options.act is None else (options.act,)
    resources = granted.resources if options.res is None else (options.res,)
    if not granted.grants(actions, resources):
        what = f"{', '.join(actions)} of {', '.join(resources)}"
        raise IdentityError(f"{options.path}: the token does not grant {what}")
    print(_described(granted))


def _described(granted: "Capability") -> str:
    from enkaku.errors import escaped  # noqa: PLC0415 # no other command needs the runtime

    try:
        until = datetime.fromtimestamp(granted.ends, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError):
        until = "never"
    rows = {
        "valid until": until,
        "caller": granted.aud,
        "in the name of": granted.sub,
        "procedures": ", ".join(granted.actions),
        "servers": ", ".join(granted.resources),
    }
    return "\n".join(f"{name}: {escaped(text)}" for name, text in rows.items())


def _read(path: Path) -> list[str]:
    """Return the tokens in a file, or in the standard input."""
    with reporting(path):
        text = sys.stdin.read() if str(path) == "-" else path.read_text(errors="replace")
    tokens = text.split()
    if not tokens:
        raise IdentityError(f"{path}: there is no token in it")
    return tokens


COMMAND: Final = Command(
    description="Make, show and verify capabilities: tokens by which one key lets another call in its name. Needs enkaku[identity].",
    examples=(
        "enkaku token make --key alice.pem --to did:key:z6Mk... --act 'math/*' --res did:key:z6Mk... --expires-in 30d",
        "enkaku token verify bob.token --act math/divide",
    ),
    add_arguments=_add_arguments,
    run=_run,
)
