"""TLS: certificates that are refused, peers that do not speak it, and ends of connections."""

import asyncio
import ssl

import enkaku
import pytest
import trustme
from support import (
    ASK,
    ECHO,
    ON_ASYNCIO,
    VOID,
    WITHIN,
    Lifetime,
    Serving,
    line,
    soon,
    tcp_port,
    turns,
    until,
)


async def same(text: str) -> str:
    return text


async def test_tls_large_messages_pass_both_ways(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with enkaku.serve_tcp(Serving(echo=same), ssl=server_tls) as server:
        async with enkaku.connect_tcp("127.0.0.1", tcp_port(server), ssl=client_tls) as connection:
            assert len(await connection.request(ECHO, "x" * 5_000_000)) == 5_000_000


async def test_tls_server_name_is_checked(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with enkaku.serve_tcp(Serving(), ssl=server_tls) as server:
        port = tcp_port(server)
        with pytest.raises(enkaku.ConnectFailed, match="certificate"):
            async with enkaku.connect_tcp(
                "127.0.0.1", port, ssl=client_tls, server_hostname="example.org"
            ):
                pass
        async with enkaku.connect_tcp(
            "127.0.0.1", port, ssl=client_tls, server_hostname="localhost"
        ) as connection:
            await connection.request(VOID, None)


async def test_tls_unknown_authority_is_rejected(server_tls: ssl.SSLContext) -> None:
    stranger = ssl.create_default_context()
    trustme.CA().configure_trust(stranger)
    async with enkaku.serve_tcp(Serving(), ssl=server_tls) as server:
        for _ in range(5):
            with pytest.raises(enkaku.ConnectFailed, match="certificate"):
                async with enkaku.connect_tcp("127.0.0.1", tcp_port(server), ssl=stranger):
                    pass


async def test_tls_client_certificate_can_be_required(authority: trustme.CA) -> None:
    strict = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(strict)
    authority.configure_trust(strict)
    strict.verify_mode = ssl.CERT_REQUIRED
    anonymous, known = ssl.create_default_context(), ssl.create_default_context()
    for context in (anonymous, known):
        authority.configure_trust(context)
    authority.issue_cert("client").configure_cert(known)
    async with enkaku.serve_tcp(Serving(), ssl=strict) as server:
        port = tcp_port(server)
        async with enkaku.connect_tcp("127.0.0.1", port, ssl=known) as connection:
            await connection.request(VOID, None)
        async with asyncio.timeout(WITHIN):
            with pytest.raises(enkaku.TransportError):  # with TLS 1.3 the refusal comes late
                async with enkaku.connect_tcp("127.0.0.1", port, ssl=anonymous) as connection:
                    await connection.request(VOID, None)


async def test_tls_server_plain_client_raises_connection_lost(
    server_tls: ssl.SSLContext,
) -> None:
    async with enkaku.serve_tcp(Serving(), ssl=server_tls) as server:
        async with enkaku.connect_tcp("127.0.0.1", tcp_port(server)) as connection:
            async with asyncio.timeout(WITHIN):
                with pytest.raises(enkaku.ConnectionLost):
                    await connection.request(VOID, None)


async def test_tls_client_plain_server_raises_connect_failed(client_tls: ssl.SSLContext) -> None:
    async with enkaku.serve_tcp(Serving()) as server:
        async with asyncio.timeout(WITHIN):
            with pytest.raises(enkaku.ConnectFailed):
                async with enkaku.connect_tcp(
                    "127.0.0.1", tcp_port(server), ssl=client_tls, connect_timeout=0.1
                ):
                    pass


async def test_tls_client_without_close_notify_cancels_handler(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    life = Lifetime()
    async with enkaku.serve_tcp(Serving(ask=life.forever), ssl=server_tls) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", tcp_port(server), ssl=client_tls)
        writer.write(line(typ="request", rid="a", prc="ask", prm=1))
        await soon(life.began)
        writer.transport.abort()
        await soon(life.cancelled)


async def test_tls_client_without_handshake_is_dropped(
    server_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enkaku.serve._TLS_HANDSHAKE", 0.05)
    async with enkaku.serve_tcp(Serving(), ssl=server_tls) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", tcp_port(server))
        async with asyncio.timeout(WITHIN):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_tls_stop_does_not_wait_for_handshake(
    server_tls: ssl.SSLContext,
) -> None:
    async with enkaku.serve_tcp(Serving(), ssl=server_tls) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", tcp_port(server))
        await turns(20)
        async with asyncio.timeout(2):
            await server.stop()
        writer.close()
        await writer.wait_closed()


async def test_tls_stop_drops_client_during_handshake(server_tls: ssl.SSLContext) -> None:
    async with enkaku.serve_tcp(Serving(), ssl=server_tls) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", tcp_port(server))
        await turns(20)
        async with asyncio.timeout(2):
            await server.stop()
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


@ON_ASYNCIO  # whose streams are the client here: uvloop's lose the end of what TLS has sent them
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_stop_while_client_sends_delivers_last_reply(
    server_tls: ssl.SSLContext, authority: trustme.CA, version: ssl.TLSVersion
) -> None:
    gate, life = asyncio.Event(), Lifetime()

    async def echo(text: str) -> str:
        with life:
            await gate.wait()
        return text * 3_000_000

    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.minimum_version = context.maximum_version = version
    async with enkaku.serve_tcp(Serving(echo=echo), ssl=server_tls) as server:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", tcp_port(server), limit=1024, ssl=context
        )
        writer.write(line(typ="request", rid="a", prc="echo", prm="x"))
        await soon(life.began)
        stopping = asyncio.create_task(server.stop())
        await turns()
        gate.set()
        for _ in range(200):
            writer.write(line(typ="event", prc="nobody", data="y" * 10_000))
            await asyncio.sleep(0)
        async with asyncio.timeout(WITHIN):
            answer = await reader.read()
        assert len(answer) > 3_000_000
        assert answer.endswith(b"\n")
        writer.close()
        await asyncio.wait_for(stopping, WITHIN)


async def test_tls_stop_answers_calls_that_it_cancels(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    life = Lifetime()
    async with enkaku.serve_tcp(Serving(ask=life.forever), ssl=server_tls) as server:
        async with enkaku.connect_tcp("127.0.0.1", tcp_port(server), ssl=client_tls) as connection:
            asking = asyncio.create_task(connection.request(ASK, 1))
            await soon(life.began)
            async with asyncio.timeout(WITHIN):
                await server.stop(grace=0.02)
                with pytest.raises(enkaku.CallError, match="EKP01"):
                    await asking


async def test_tls_close_without_close_notify_of_server_times_out(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    accepted: list[asyncio.StreamWriter] = []
    listener = await asyncio.start_server(
        lambda _, writer: accepted.append(writer), "127.0.0.1", 0, ssl=server_tls
    )
    port = listener.sockets[0].getsockname()[1]
    async with enkaku.connect_tcp("127.0.0.1", port, ssl=client_tls) as connection:
        await until(lambda: bool(accepted))
        accepted[0].transport.pause_reading()  # type: ignore[attr-defined] # it is a transport that reads
        async with asyncio.timeout(1):
            await asyncio.gather(*(connection.close(within=0.05) for _ in range(3)))
    listener.close()
    accepted[0].transport.abort()


async def test_tls_close_twice_with_open_calls_does_not_hang(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    life = Lifetime()
    async with enkaku.serve_tcp(Serving(ask=life.forever), ssl=server_tls) as server:
        async with enkaku.connect_tcp("127.0.0.1", tcp_port(server), ssl=client_tls) as connection:
            asking = asyncio.create_task(connection.request(ASK, 1))
            await soon(life.began)
            async with asyncio.timeout(WITHIN):
                await asyncio.gather(connection.close(), connection.close())
                with pytest.raises(enkaku.ConnectionLost):
                    await asking
                await soon(life.cancelled)
