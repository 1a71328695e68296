"""One POST of a client over HTTP, while the messages that it carries are handled.

Over HTTP, the headers and the answer belong to the POST that carries a message, not to the session that handles it.
"""

from typing import Final

from enkaku.errors import Rejected
from enkaku.transports.request import HttpRequest

__all__ = ["Post"]


class Post:
    """A POST.

    Args:
        request: The HTTP request, with its headers.
        name: A name that no other connection or POST has.
        is_first: Whether it has opened its session.

    Attributes:
        refusal: Why one of its messages was rejected that gets no reply; None if none was.
    """

    __slots__ = ("is_first", "name", "refusal", "request")

    def __init__(self, request: HttpRequest, name: str, *, is_first: bool) -> None:
        self.request: Final = request
        self.name: Final = name
        self.is_first: Final = is_first
        self.refusal: Rejected | None = None
