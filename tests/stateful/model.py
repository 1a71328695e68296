"""What both sides of a connection must do: a model of its calls, fed with the lines that cross the wire.

Each side is told when a line is written and when all of it has arrived, and compared with what the other side has
done by then.
"""

from .client_side import ClientModel
from .server_side import ServerModel

__all__ = ["Model"]


class Model(ClientModel, ServerModel):
    """All calls of a connection, on both sides."""
