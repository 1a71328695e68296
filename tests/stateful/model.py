"""Reference model of both sides of a connection, driven by the messages on the wire.

The model is notified when a message is written and when all of it has arrived, and is compared with the real client and
server.
"""

from .client_side import ClientModel
from .server_side import ServerModel

__all__ = ["Model"]


class Model(ClientModel, ServerModel):
    """Model of all calls of a connection, on both sides."""
