"""Private keys in files, with which commands sign."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from enkaku_codegen.errors import IdentityError

if TYPE_CHECKING:
    from enkaku.identity.keys import KeyPair

__all__ = ["load_key", "reporting"]


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
