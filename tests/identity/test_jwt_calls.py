"""Calls with JSON Web Tokens over HTTP and WebSocket, from the header to the handler."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import enkaku
import pytest
from enkaku import CallError, JwtAuthenticator
from identity.jwts import AUDIENCE, CLAIMS, ISSUER, P256, jwks, token

WHO: enkaku.Request[None, str] = enkaku.Request("who", result=str)


class Who(enkaku.Handler):
    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (enkaku.Route.request(WHO, self.who),)

    async def who(self) -> str:
        identity = enkaku.current_call().identity
        return "nobody" if identity is None else f"{identity.id} {identity.claims['roles']}"


def signed(**claims: object) -> str:
    return token(P256, "ES256", {**CLAIMS, "exp": time.time() + 60, **claims})


def serve() -> AbstractAsyncContextManager[enkaku.Server]:
    verifier = JwtAuthenticator(keys=jwks(P256.jwk), issuer=ISSUER, audience=AUDIENCE)
    return enkaku.serve_http(
        Who(), authenticators={"jwt": verifier}, access={"who": {f"jwt:{ISSUER}#alice"}}
    )


Connect = Callable[[str, str], AbstractAsyncContextManager[enkaku.Connection]]


def over_http(url: str, text: str) -> AbstractAsyncContextManager[enkaku.Connection]:
    return enkaku.connect_http(url, headers={"Authorization": f"Bearer {text}"})


def over_websocket(url: str, text: str) -> AbstractAsyncContextManager[enkaku.Connection]:
    url = url.replace("http:", "ws:")
    return enkaku.connect_ws(url, headers={"Authorization": f"Bearer {text}"})


@pytest.mark.parametrize("connect", [over_http, over_websocket])
async def test_call_with_token_reaches_handler_with_identity(connect: Connect) -> None:
    async with serve() as server:
        async with connect(server.addresses[0], signed()) as connection:
            assert await connection.request(WHO, None) == f"jwt:{ISSUER}#alice ['cook']"


@pytest.mark.parametrize("connect", [over_http, over_websocket])
@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"exp": 0}, "Token expired"),
        ({"nbf": time.time() + 1e6}, "Token not yet valid"),
        ({"sub": "bob"}, "Access denied"),
        ({"aud": "another"}, "Access denied"),
    ],
)
async def test_call_with_token_not_valid_is_rejected(
    connect: Connect, claims: dict[str, object], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    text = signed(**claims)
    async with serve() as server:
        async with connect(server.addresses[0], text) as connection:
            with pytest.raises(CallError) as caught:
                await connection.request(WHO, None)
    assert (caught.value.code, caught.value.message) == ("EK02", message)
    ours = [record for record in caplog.records if record.name.startswith("enkaku")]
    assert not any(part in record.getMessage() for record in ours for part in text.split("."))


async def test_call_with_token_in_metadata_reaches_handler(socket_path: Path) -> None:
    verifier = JwtAuthenticator(keys=jwks(P256.jwk), issuer=ISSUER, audience=AUDIENCE)
    async with enkaku.serve_unix(Who(), socket_path, authenticators={"jwt": verifier}):
        async with enkaku.connect_unix(
            socket_path, metadata={"authorization": f"Bearer {signed()}"}
        ) as connection:
            assert await connection.request(WHO, None) == f"jwt:{ISSUER}#alice ['cook']"


async def test_call_with_bad_token_is_not_of_unix_user(socket_path: Path) -> None:
    verifier = JwtAuthenticator(keys=jwks(P256.jwk), issuer=ISSUER, audience=AUDIENCE)
    access = {"who": {f"unix:{os.geteuid()}", f"jwt:{ISSUER}#alice"}}
    async with enkaku.serve_unix(
        Who(), socket_path, authenticators={"jwt": verifier}, access=access
    ):
        async with enkaku.connect_unix(
            socket_path, metadata={"authorization": f"Bearer {signed(exp=0)}"}
        ) as connection:
            with pytest.raises(CallError, match="Token expired"):
                await connection.request(WHO, None)
