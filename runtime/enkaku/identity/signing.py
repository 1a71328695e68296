"""The identity of a client: its options, checked, as the ``Signer`` of its messages."""

import time
from collections.abc import Sequence

from enkaku._checks import require_list, require_text
from enkaku.errors import Rejected, UsageError

from .capabilities import Capability, read_chain
from .keys import KeyPair, require_key_pair, require_name
from .messages import Signer

__all__ = ["make_signer"]


def make_signer(
    identity: KeyPair, audience: str | None, subject: str | None, capabilities: Sequence[str]
) -> Signer:
    """Return what signs the messages of a client.

    Args:
        identity: The client's key.
        audience: The name of the server's key.
        subject: In whose name the client calls; by default, the one that the capabilities name.
        capabilities: The capabilities that prove it, as text: the one granted to the client first.

    Raises:
        UsageError: An argument is missing or not valid, or the capabilities do not let this client call this server.
    """
    require_key_pair("identity", identity)
    if audience is None:
        raise UsageError(
            "identity: pass audience, too: the name of the server's key, so that no other server can use the messages"
        )
    require_name("audience", audience)
    if subject is not None:
        require_name("subject", subject)
    if isinstance(capabilities, str):
        raise UsageError(
            "capabilities must be a list, such as Path('bob.token').read_text().split(); got one string"
        )
    require_list("capabilities", capabilities)
    capabilities = tuple(capabilities)
    for each in capabilities:
        require_text("capabilities", each)
    if capabilities:
        granted = _granted(capabilities, identity.did, audience)
        if subject not in {None, granted.sub}:
            raise UsageError(
                f"capabilities: they let this client call in the name of {granted.sub}, not of {subject}"
            )
        subject = granted.sub
    elif subject is not None:
        raise UsageError(
            "subject: pass capabilities, too, which prove that the client may call in its name"
        )
    return Signer(identity, audience, subject=subject, capabilities=capabilities)


def _granted(texts: Sequence[str], client: str, server: str) -> Capability:
    """Return the capability that the client has, once the chain is checked as the server does."""
    try:
        granted = read_chain(texts, time.time(), unlimited=True)[0]
    except Rejected as error:
        raise UsageError(f"capabilities: {error.message}") from None
    if granted.aud != client:
        raise UsageError(
            f"capabilities: the first one was granted to {granted.aud}, not to this client, {client}"
        )
    if not granted.grants((), (server,)):
        raise UsageError(f"capabilities: they grant nothing at the server {server}")
    return granted
