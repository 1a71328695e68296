"""``enkaku key``: makes key pairs, and shows their names."""

import argparse
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from enkaku_codegen.errors import IdentityError

from .command import Command

if TYPE_CHECKING:
    from enkaku.identity.keys import KeyPair

__all__ = ["COMMAND", "load_key", "reporting"]


@contextmanager
def reporting(path: Path) -> Generator[None]:
    """Raise IdentityError for what is wrong with a file, or with the key or the token in it."""
    # No other command needs the runtime.
    from enkaku.errors import Rejected, UsageError, escaped  # noqa: PLC0415 # see above

    try:
        yield
    except OSError as error:
        raise IdentityError(f"{path}: {error.strerror}") from error
    except UsageError as error:
        raise IdentityError(str(error)) from error
    except Rejected as error:
        # It may quote the token, which can come from anybody: it must not control the terminal.
        raise IdentityError(f"{path}: {escaped(error.message)}") from error


def load_key(path: Path) -> "KeyPair":
    """Read a private key from a file.

    Raises:
        IdentityError: It is no key, or other users may access the file.
    """
    from enkaku.identity.keys import KeyPair  # noqa: PLC0415 # no other command needs it

    with reporting(path):
        return KeyPair.load(path)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    make = actions.add_parser("make", help="write a new private key, and print its name")
    make.add_argument("path", metavar="FILE", type=Path, help="the file, which must not exist yet")
    make.add_argument(
        "--alg",
        choices=("EdDSA", "ES256"),
        default="EdDSA",
        help="the signature algorithm: EdDSA (Ed25519, the default) or ES256 (P-256)",
    )
    show = actions.add_parser("show", help="print the name of a private key")
    show.add_argument("path", metavar="FILE", type=Path, help="the file of the private key")


def _run(options: argparse.Namespace) -> int:
    from enkaku.identity.keys import KeyPair  # noqa: PLC0415 # no other command needs it

    if options.action == "show":
        print(load_key(options.path).did)
        return 0
    with reporting(options.path):
        key = KeyPair.generate(options.alg)
        key.save(options.path)
    print(key.did)
    return 0


COMMAND: Final = Command(
    description="Make and show private keys, with which clients and servers sign. Needs enkaku[identity].",
    examples=("enkaku key make server.pem", "enkaku key show server.pem"),
    add_arguments=_add_arguments,
    run=_run,
)
