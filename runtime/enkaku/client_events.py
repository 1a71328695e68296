"""An event, at the client: sent, as soon as there is room for it.

Above it: the connection. Below it: requests, the link.
"""

import asyncio

from .deadline import left
from .errors import ConnectionLost
from .facts import Call
from .link import Link, Reply
from .requests import exceeded, finish

__all__ = ["send_event"]


async def send_event(link: Link, call: Call, line: bytes) -> None:
    """Send an event; wait until there is room for more."""
    link.observers.call_started(call)
    link.write(line)
    call.bytes_sent = len(line)
    reply: Reply = None
    try:
        async with asyncio.timeout(None if call.due is None else left(call.due)):
            await link.drain()
    except TimeoutError:
        reply = exceeded(call.procedure)
        raise reply from None
    except ConnectionLost as error:
        reply = error
        raise
    finally:
        finish(link, call, reply)
