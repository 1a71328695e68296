"""A server: one handler, and the sessions of all clients that are connected to it.

It does not know where its connections come from: a listener calls ``connected()`` with each transport.
"""

import asyncio
import heapq
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from operator import itemgetter
from typing import Final, Protocol, Unpack

from enkaku._checks import require_instances, require_loop, require_seconds
from enkaku._log_limit import LogLimit
from enkaku.calls.deadlines import Deadlines
from enkaku.calls.halves import ServerEnd
from enkaku.calls.info import ConnectionInfo
from enkaku.calls.observers import Observers
from enkaku.errors import UsageError
from enkaku.flow.fairness import Fairness
from enkaku.limits import Limits
from enkaku.options import ServerOptions, check_server, lifespans_of
from enkaku.transports.base import Transport
from enkaku.wire.messages import DESCRIBE

from .call import ServerCall
from .capacity import Capacity, ServerCapacity, kept
from .gate import GateStep, make_gate
from .guarded import GuardedSession
from .handler import Handler, routes_of
from .handler_pool import HandlerPool
from .health import Health
from .posts import Posts
from .service_manager import Notifications, service_manager
from .session import Session
from .shared import Policy
from .signals import on_stop_signal

__all__ = ["Draining", "Listening", "Server"]

_AT_ONCE: Final = 1.0  # seconds that handlers may still clean up after abort()
_SILENT: Final = 64  # connections that one search finds
_ADDRESSES: Final = 64  # of clients over HTTP that are kept without a POST: most send another one
_SEARCHES: Final = 20  # times as long as an unsuccessful search took, until the next one


class Listening(Protocol):
    """Accepts the connections of a server."""

    def close(self) -> None:
        """Accept no more."""


class Draining:
    """The end of a server's open calls: await it, or iterate over how many are left.

    The iterator yields the number as it is now, then again when it has changed, and ends after 0.

    Args:
        count: Returns how many calls are open.
        change: Waits until that may have changed.
    """

    def __init__(
        self, count: Callable[[], int], change: Callable[[], Coroutine[None, None, None]]
    ) -> None:
        self._count = count
        self._change = change
        self._told: int | None = None

    def __repr__(self) -> str:
        return f"<draining: {self._count()} open calls>"

    def __await__(self) -> Generator[None, None, None]:
        return self._end().__await__()

    def __aiter__(self) -> "Draining":
        return self

    async def __anext__(self) -> int:
        while (left := self._count()) == self._told:
            if left == 0:
                raise StopAsyncIteration
            await self._change()
        self._told = left
        return left

    async def _end(self) -> None:
        async for _ in self:
            pass


class Server:
    """Serves a handler to any number of connections; ``serve_unix`` and ``serve_tcp`` make servers.

    Args:
        handler: Serves the calls.
        call_client: Returns the connection that makes the calls to the client of a session; None for no such calls.
        options: See ``ServerOptions``.
    """

    def __init__(
        self,
        handler: Handler,
        call_client: Callable[[ServerEnd], object] | None = None,
        **options: Unpack[ServerOptions],
    ) -> None:
        require_instances("handler", [handler], Handler)
        check_server(options)
        limits = options.get("limits") or Limits()
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        routes, observers = routes_of(handler), Observers(options.get("observers", ()))
        gate = make_gate(options, routes, observers)
        if options.get("describe"):
            from .describe import make_route  # noqa: PLC0415 # few servers need it

            routes[DESCRIBE] = make_route(routes, gate, message_size=limits.message_size)
        # An interceptor that answers a call itself must not come before the gate.
        waiting = () if gate is None or not gate.waits else (GateStep,)
        self._make_session = Session if gate is None else partial(GuardedSession, gate=gate)
        self._gate = gate
        self._health = Health(lambda: self.stopping)
        self._policy = Policy(
            routes=routes,
            limits=limits,
            capacity=ServerCapacity(limits, self._drop_largest),
            requests=HandlerPool(limits.server_handlers),
            events=HandlerPool(limits.server_handlers),
            deadlines=Deadlines(self._list_open_calls),
            fairness=Fairness(),
            close_timeout=options.get("close_timeout", 30.0),
            explain_refusals=options.get("explain_refusals", False),
            observers=observers,
            interceptors=(*waiting, *options.get("interceptors", ())),
            lifespans=lifespans_of(options),
            call_client=call_client,
            health=self._health,
        )
        self._sessions: dict[Session, None] = {}
        self._brief = 0  # how many of them last for one message
        self._posts: dict[str, Posts] = {}  # these, by their addresses
        self._silent: list[tuple[Session, float]] = []  # since a time; the longest is the last
        self._search_from = 0.0
        self._alone = False
        self._listener: Listening | None = None
        self._until_answered = False
        self._addresses: tuple[str, ...] = ()
        self._stop_wanted = asyncio.Event()
        self._aborted = asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None
        self._call_ended: asyncio.Event | None = None  # the next one, once the server drains
        self._notifications: Notifications | None = None  # while a service manager waits for them
        # Each is one object for all sessions.
        self._on_call_end: Final = self._report_progress
        self._on_session_end: Final = self._disconnected

    def __repr__(self) -> str:
        if self.stopping:
            state = "stopping" if self._stop_wanted.is_set() else "draining"
        else:
            state = ", ".join(self._addresses) or "no address"
        return f"<server: {state}, {len(self._sessions)} connections, {self._count_calls()} open calls>"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the server listens, such as ``"unix:/run/app.sock"``, ``"tcp:127.0.0.1:8000"`` or ``"http://127.0.0.1:8000"``."""
        return self._addresses

    @property
    def port(self) -> int:
        """The TCP port that the server listens at.

        Raises:
            UsageError: It listens at no TCP port.
        """
        for address in self._addresses:
            if address.startswith(("tcp:", "http:", "https:")):
                return int(address.rpartition(":")[2])
        raise UsageError(
            f"port: the server listens at {', '.join(self._addresses)}, not at a TCP port"
        )

    @property
    def connections(self) -> tuple[ConnectionInfo, ...]:
        """The connections as they are now, oldest first; each lists its open calls."""
        return tuple(session.info for session in self._sessions)

    @property
    def stopping(self) -> bool:
        """Whether no new connections are served: the server stops, or drains."""
        return self._stop_wanted.is_set() or self._call_ended is not None

    @property
    def health(self) -> Health:
        """Whether the server serves: what it answers to ``enkaku:health``, and what the program can set."""
        return self._health

    @property
    def aborted(self) -> bool:
        """Whether ``abort()``, or a second signal, has dropped every connection."""
        return self._aborted.is_set()

    @property
    def limits(self) -> Limits:
        """The limits of the server."""
        return self._limits

    @property
    def log(self) -> LogLimit:
        """Limits what is logged; for the listener."""
        return self._policy.observers.log

    async def serve_forever(self, *, grace: float = 10.0) -> None:
        """Serve until SIGINT, SIGTERM or ``stop()``, then stop gracefully; a second signal ends it at once.

        A server at a connected socket (``serve_socket``) also stops when its client has disconnected, and one over
        stdin and stdout (``serve_stdio``) at the end of stdin.

        Signals reach the main thread only; elsewhere, call ``stop()``.

        If systemd has started the process and waits for it (``Type=notify``, ``WatchdogSec=``), it is notified of the start and
        the stop, and that the event loop is not blocked. This removes ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``
        from the environment.

        Args:
            grace: How long running handlers may go on after the signal, in seconds.

        Raises:
            UsageError: ``grace`` is no time, or the server belongs to another event loop.
        """
        require_seconds("grace", grace)
        require_loop(self._loop, "the server")
        with on_stop_signal(self._on_signal), self._notifying():
            await self._stop_wanted.wait()
            await self.stop(grace=grace)

    def drain(self) -> Draining:
        """Take no new connections and calls; running calls go on for as long as they take, and connections stay open.

        ``await server.drain()`` waits until the last open call has ended; ``async for left in server.drain()`` also shows how
        many are left. New calls get ``EKP01``; over HTTP, the status 503. Nobody is asked to finish: ``stop()`` does
        that, and ends the server.

        Raises:
            UsageError: A handler of this server calls it, and would wait for itself, or the server belongs to another event
                loop.
        """
        self._require_outside("drain")
        if self._call_ended is None:
            self._call_ended = asyncio.Event()
            self._health.changed()
        self._close_listener()
        for session in self._sessions:
            session.drain()
        self._report_progress()
        return Draining(self._count_calls, self._wait_for_end)

    async def stop(self, *, grace: float = 10.0) -> None:
        """Take no new connections and calls, let running handlers finish, answer every call, then end.

        Handlers are asked to finish as if their clients had closed the calls; those that go on after
        ``grace`` are cancelled, and their callers get ``EKP01``. If the task that waits here is cancelled,
        the handlers are cancelled at once.

        Args:
            grace: How long running handlers may go on, in seconds.

        Raises:
            UsageError: A handler of this server calls it, and would wait for itself. It may start a task that stops the
                server. Or ``grace`` is no time, or the server belongs to another event loop.
        """
        require_seconds("grace", grace)
        self._require_outside("stop")
        self._begin_stop()
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop(grace))
        try:
            await asyncio.shield(self._stopping)
        except asyncio.CancelledError:
            self.abort()
            await self._stopping
            raise

    def is_served_by(self, task: asyncio.Task[object] | None) -> bool:
        """Return whether a handler of this server runs in a task."""
        return any(session.is_served_by(task) for session in self._sessions)

    def abort(self) -> None:
        """Cancel every handler and drop every connection, without waiting."""
        self._begin_stop()
        self._aborted.set()
        for session in tuple(self._sessions):
            session.abort()

    def connected(self, transport: Transport, info: ConnectionInfo | None = None) -> None:
        """Serve a new connection. Called by the listener, or by the client whose handler this server serves."""
        self.admit(transport, info=info)

    def admit(
        self,
        transport: Transport,
        *,
        brief: bool = False,
        info: ConnectionInfo | None = None,
        through: Session | None = None,
    ) -> Session | None:
        """Serve a new connection, if there is room.

        Args:
            transport: Carries its messages; aborted where the connection is rejected.
            brief: Whether it lasts for one message, and so does not count against ``Limits.connections``.
            info: The connection, as observers see it, if this is the client's end of it.
            through: The session of the same client by which it can be called, if this one lasts for one message.

        Returns:
            None where the connection is rejected: the server stops, or has no room.
        """
        most = self._limits.connections
        lasting = len(self._sessions) - self._brief
        if self.stopping:
            transport.abort()
        elif (
            not brief
            and lasting >= most - kept(most)
            and (not self._drop_silent() and lasting >= most)
        ):
            rejected = ConnectionInfo(
                transport.peer,
                transport.credentials,
                certificate=transport.certificate,
                request=transport.request,
            )
            problem = f"there are {self._limits.connections} connections"
            self._policy.observers.overloaded(rejected, "", problem)
            transport.abort()
        else:
            posts = self._posts_of(transport) if brief else None
            session = self._make_session(
                transport,
                self._policy,
                on_call_end=self._on_call_end,
                on_end=self._on_session_end,
                posts=posts,
                info=info,
            )
            self._sessions[session] = None
            if posts is not None:
                self._brief += 1
                session.call_through(through)
                posts.connections += 1
            session.start()
            return session
        return None

    def _posts_of(self, transport: Transport) -> Posts:
        host = _host_of(transport)
        posts = self._posts.get(host)
        if posts is None:
            posts = self._posts[host] = Posts(host, self._policy)
        return posts

    def _on_posted(self, posts: Posts) -> None:
        self._brief -= 1
        posts.connections -= 1
        if not posts.connections and len(self._posts) > _ADDRESSES:
            del self._posts[posts.host]

    def new_capacity(self) -> Capacity:
        """Return what counts memory that belongs to no connection yet. It is ``paused`` while too much is held."""
        return Capacity(self._policy.capacity, calls=0)

    def _drop_silent(self) -> bool:
        """End the connection that was silent for longest, and has no open call; return whether there is one."""
        if self._drop_found():
            return True
        self._find_silent()
        return self._drop_found()

    def _drop_found(self) -> bool:
        """End the first that was found and is still silent; return whether there is one."""
        while self._silent:
            session, since = self._silent.pop()
            if session.unused and session.silent_since == since:
                session.drop("silent for longest, while there were too many connections")
                return True
        return False

    def _find_silent(self) -> None:
        """Find some connections to end: a search takes 10 ms for 9,000, so that one for each new connection took all time."""
        began = time.monotonic()
        if began >= self._search_from:
            unused = ((each, each.silent_since) for each in self._sessions if each.unused)
            self._silent = heapq.nsmallest(_SILENT, unused, key=itemgetter(1))[::-1]
            if not self._silent:
                now = time.monotonic()
                self._search_from = now + _SEARCHES * (now - began)

    def _drop_largest(self) -> None:
        """End the connections that hold most memory, until the others hold no more than the limit."""
        capacity = self._policy.capacity
        excess = capacity.held - capacity.memory
        for session in sorted(self._sessions, key=lambda each: each.memory, reverse=True):
            if excess <= 0:
                break
            if not session.reason:
                session.drop("it held most of the server's memory, of which nothing was freed")
            elif session.stuck:
                continue  # it ends already, and holds its memory all the same
            excess -= session.memory

    def connected_alone(self, transport: Transport) -> None:
        """Serve the only connection that there will be: ``serve_forever`` returns when it has ended."""
        self._alone = True
        self.connected(transport)

    def input_ended(self) -> None:
        """Stop, since the only client sends nothing more; it may still read replies."""
        self._begin_stop()

    def not_connected(self) -> None:
        """Stop, since the only connection failed before it was open."""
        self._begin_stop()

    @asynccontextmanager
    async def running(
        self,
        listener: Listening | None,
        addresses: tuple[str, ...],
        *,
        until_answered: bool = False,
    ) -> AsyncGenerator[None, None]:
        """Own the listener; stop when the block is left, without grace if by an exception.

        Args:
            listener: Accepts connections, if there is one.
            addresses: Where it listens.
            until_answered: Whether it accepts until every call is answered: over HTTP, an open call may need further
                connections of its client.
        """
        self._listener, self._addresses = listener, addresses
        self._health.started()
        if self._gate is not None:
            self._gate.report()
        self._until_answered = until_answered
        try:
            yield
        except BaseException:
            await self.stop(grace=0)
            raise
        await self.stop()

    def _list_open_calls(self) -> Iterable[ServerCall]:
        return (call for session in self._sessions for call in session.running)

    def _disconnected(self, session: Session) -> None:
        del self._sessions[session]
        if session.posts is not None:
            self._on_posted(session.posts)
        self._policy.observers.connection_lost(session.info, session.reason)
        if self._alone:
            self._begin_stop()
        self._report_progress()

    def _report_progress(self) -> None:
        if self.stopping:
            if self._call_ended is not None:
                self._call_ended.set()
                self._call_ended = asyncio.Event()
            self._policy.observers.draining(len(self._sessions), self._count_calls())

    async def _wait_for_end(self) -> None:
        """Wait until another call has ended, while the server drains."""
        if self._call_ended is not None:
            await self._call_ended.wait()

    def _count_calls(self) -> int:
        capacity = self._policy.capacity
        return capacity.open + capacity.events

    def _require_outside(self, method: str) -> None:
        """Raise UsageError in a handler of this server, or in another event loop."""
        require_loop(self._loop, "the server")
        if self.is_served_by(asyncio.current_task()):
            raise UsageError(
                f"{method}(): a handler cannot wait for its own server to end; start a task that waits"
            )

    def _close_listener(self) -> None:
        if self._listener is not None and not self._until_answered:
            self._listener.close()

    async def _stop(self, grace: float) -> None:
        self._close_listener()
        self._report_progress()
        loop = asyncio.get_running_loop()
        ending = loop.create_task(self._end_sessions(grace))
        aborted = loop.create_task(self._aborted.wait())
        try:
            await asyncio.wait({ending, aborted}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({ending}, timeout=_AT_ONCE)
        finally:
            ending.cancel()
            aborted.cancel()
            await asyncio.wait({ending, aborted})
            if self._listener is not None and self._until_answered:
                self._listener.close()
            self._policy.deadlines.close()
            self._policy.capacity.close()
            self._policy.observers.log.flush()

    async def _end_sessions(self, grace: float) -> None:
        sessions = tuple(self._sessions)
        await asyncio.gather(*(session.stop(grace=grace) for session in sessions))
        if sessions:
            ended = [session.ended for session in sessions]
            await asyncio.wait(ended, timeout=self._limits.cleanup)
            await asyncio.gather(*(session.abandon() for session in sessions))

    def _begin_stop(self) -> None:
        self._stop_wanted.set()
        self._health.changed()
        if self._notifications is not None:
            self._notifications.stop()

    @contextmanager
    def _notifying(self) -> Generator[None, None, None]:
        """Notify the service manager, unless this server has one client, which may have started it."""
        manager = None if self._alone else service_manager()
        if manager is None or self._notifications is not None:
            yield
            return
        notifications = self._notifications = Notifications(manager, self._describe)
        self._health.watch(notifications.update)
        if self._stop_wanted.is_set():
            notifications.stop()
        try:
            yield
        finally:
            self._health.watch(None)
            self._notifications = None
            notifications.close()

    def _describe(self) -> tuple[bool, str]:
        health = self._health
        reason = f": {health.reason}" if health.state == "not serving" and health.reason else ""
        return health.is_serving(), f"{health.state}{reason}"

    def _on_signal(self) -> None:
        if self._stop_wanted.is_set():
            self.abort()
        self._begin_stop()


def _host_of(transport: Transport) -> str:
    """Return the address of the client of a POST, without its port; ``""`` if it is unknown."""
    client = None if transport.request is None else transport.request.client
    return "" if client is None else client[0]
