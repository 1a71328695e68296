"""``enkaku key``: makes key pairs, and shows their names."""

import argparse
from pathlib import Path
from typing import Final

from enkaku_codegen.calling.keys import load_key, reporting

from .command import Command

__all__ = ["COMMAND"]


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
