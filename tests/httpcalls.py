"""What the tests of the client over HTTP have in common."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import enkaku
from httpserver import (
    JSON,
    HttpServer,
    Post,
    event,
    facing_http,
    message,
    ours,
)
from support import ASK, FILL, WATCH


def ask(connection: enkaku.Connection, number: int = 1) -> asyncio.Task[int]:
    return asyncio.create_task(connection.request(ASK, number))


async def ended(task: "asyncio.Task[Any]") -> BaseException | None:
    """Return the error of a task."""
    await asyncio.wait((task,), timeout=10)
    return task.exception()


# What answers a request, and how its call ends. The next request is answered as ever.


def body(text: bytes, status: int = 200) -> Callable[[Post], None]:
    return lambda post: post.answer(status, text)


def cut_after(size: int) -> Callable[[Post], None]:
    def answer(post: Post) -> None:
        whole = message(typ="result", rid=post.rid, val=1)
        post.head(200, {**JSON, "content-length": str(len(whole))})
        post.raw(whole[:size])
        post.cut()

    return answer


def another_rid(post: Post) -> None:
    post.answer(200, message(typ="result", rid="another", val=1))


def broken_tail(post: Post) -> None:
    post.answer(200, message(typ="result", rid=post.rid, val=1)[:-2])


def receives(post: Post) -> None:
    post.answer(200, message(typ="receive", rid=post.rid, val=1))


def redirect(post: Post) -> None:
    post.answer(307, b"", {"location": "/elsewhere"})


NO_MESSAGES = {
    "204": lambda post: post.answer(204),
    "another rid": another_rid,
    "empty": body(b""),
    "blank": body(b"  \n"),
    "broken": body(b"{"),
    "broken tail": broken_tail,
    "object": body(b'{"hello":1}'),
    "null": body(b"null"),
    "html": body(b"<html>"),
    "invalid utf-8": body(b"\xff"),
    "receive": receives,
}


LOSSES = {
    "closed before head": Post.cut,
    "reset": Post.reset,
    "closed after head": cut_after(0),
    "closed inside body": cut_after(20),
    "not http": lambda post: (post.raw(b"SSH-2.0\r\n\r\n"), post.cut()),
}


STATUSES = [300, 304, 400, 401, 403, 404, 405, 409, 410, 413, 418, 429, 500, 502, 503, 504, 599]


async def next_request_works(connection: enkaku.Connection, server: HttpServer) -> None:
    asking = ask(connection)
    (await server.next()).result(2)
    assert await asking == 2


async def stream_works(connection: enkaku.Connection, server: HttpServer) -> Post:
    """Read a stream, which opens the feed; return its POST."""
    async with connection.stream(WATCH, 1) as stream:
        post = await server.next()
        post.feed()
        post.chunk(event(typ="receive", rid=post.rid, val=1))
        post.chunk(event(typ="result", rid=post.rid, val=2))
        assert [item async for item in stream] == [1]
        assert await stream.result() == 2
    return post


# Later streams


@asynccontextmanager
async def with_feed(
    probe: Callable[[Post], None] = ours, **options: Any
) -> AsyncGenerator[tuple[enkaku.Connection, HttpServer, Post, Any], None]:
    """A connection with a feed, and the stream that has opened it."""
    async with facing_http(probe, **options) as (connection, server):
        async with connection.stream(WATCH, 1) as stream:
            opening = await server.next()
            opening.feed()
            opening.chunk(event(typ="receive", rid=opening.rid, val=1))
            assert await anext(stream) == 1
            yield connection, server, opening, stream


async def goes_on(opening: Post, stream: Any) -> None:
    """End the stream that has opened the feed."""
    opening.chunk(event(typ="result", rid=opening.rid, val=9))
    assert await stream.result() == 9


# What is written to streams and channels


@asynccontextmanager
async def with_channel(
    probe: Callable[[Post], None] = ours, **options: Any
) -> AsyncGenerator[tuple[enkaku.Connection, HttpServer, Post, Any], None]:
    async with facing_http(probe, **options) as (connection, server):
        async with connection.channel(FILL, 1) as channel:
            opening = await server.next()
            opening.feed()
            if probe is ours:
                opening.chunk(event(typ="credit", rid=opening.rid, n=10**9))
                await channel.opened()
            yield connection, server, opening, channel
