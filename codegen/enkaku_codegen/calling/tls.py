"""TLS of the commands that dial: ``--ca``, ``--cert``, ``--key`` and ``--server-name``."""

import argparse
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl

__all__ = ["SECURE", "add_arguments", "context"]

SECURE: Final = ("tls", "https", "wss")
"""The schemes with TLS."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    group = parser.add_argument_group("TLS, for tls:, https: and wss:")
    group.add_argument("--ca", metavar="FILE", help="the certificates that verify the server's")
    group.add_argument("--cert", metavar="FILE", help="the certificate of this client")
    group.add_argument(
        "--key", metavar="FILE", help="the private key of --cert, if it has a file of its own"
    )
    group.add_argument("--server-name", metavar="NAME", help="the name in the server's certificate")


def context(options: argparse.Namespace, scheme: str) -> "ssl.SSLContext | None":
    """Return how the server is verified; None without TLS.

    Args:
        options: The arguments of the command.
        scheme: That of the address.

    Raises:
        argparse.ArgumentError: A file can't be used; or the address has no TLS.
    """
    if scheme not in SECURE:
        for name in ("ca", "cert", "key", "server_name"):
            if getattr(options, name) is not None:
                message = f"--{name.replace('_', '-')} is for tls:, https: and wss:; got {scheme}:"
                raise argparse.ArgumentError(None, message)
        return None
    if options.key is not None and options.cert is None:
        raise argparse.ArgumentError(None, "--key needs --cert")
    import ssl  # noqa: PLC0415 # it takes as long as all others

    try:
        found = ssl.create_default_context(cafile=options.ca)
        if options.cert is not None:
            # Without a password, a key that needs one would be asked for on the terminal.
            found.load_cert_chain(options.cert, options.key, password="")  # see above
    except (OSError, ValueError) as error:  # SSLError is an OSError
        files = [each for each in (options.ca, options.cert, options.key) if each is not None]
        reason = getattr(error, "strerror", None) or error
        raise argparse.ArgumentError(None, f"{' '.join(files)}: {reason}") from error
    return found
