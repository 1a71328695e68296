"""Synchronous clients: for scripts, notebooks, threads, and web applications without asyncio.

``connect`` returns a ``Connection``, whose calls block the thread that makes them. Generated clients use it
(``enkaku generate --sync``)::

    with enkaku.sync.connect("unix:/run/shop.sock") as connection:
        shop = ShopSyncClient(connection)
        print(shop.price("tea"))
        with shop.orders() as orders:
            for order in orders:
                ...

All connections share one event loop, in a thread of its own, which is started at the first use and ends with the process.
Any number of threads may share a connection. A child process that is forked gets an event loop of its own, and connects again.
"""

from .connection import Connection, connect
from .streams import ClientChannel, ClientStream, Reopening, reopening

__all__ = ["ClientChannel", "ClientStream", "Connection", "Reopening", "connect", "reopening"]
