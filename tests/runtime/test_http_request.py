"""The HTTP request of a client, as handlers see it."""

from typing import Any

import enkaku
import pytest

SCOPE: dict[str, object] = {
    "type": "http",
    "path": "/rpc",
    "client": ("10.0.0.1", 5000),
    "headers": [
        (b"accept", b"a"),
        (b"Cookie", b"x=1"),
        (b"accept", b"b"),
        (b"cookie", b"y=2"),
        (b"name", b"\xe9"),
    ],
}


def test_http_request_has_what_the_scope_says() -> None:
    request = enkaku.HttpRequest(SCOPE)
    assert (request.client, request.path) == (("10.0.0.1", 5000), "/rpc")
    assert request.scope is SCOPE
    assert dict(request.headers) == {"accept": "a, b", "cookie": "x=1; y=2", "name": "é"}
    assert request.headers is request.headers


def test_http_request_headers_are_case_insensitive() -> None:
    headers = enkaku.HttpRequest(SCOPE).headers
    assert headers["Accept"] == headers.get("ACCEPT") == "a, b"
    assert "ACCEPT" in headers
    assert "other" not in headers
    assert headers.get("other") is None
    assert len(headers) == 3


def test_http_request_cannot_be_changed() -> None:
    request: Any = enkaku.HttpRequest(SCOPE)
    for name in ("client", "headers", "path", "scope", "other"):
        with pytest.raises(AttributeError):
            setattr(request, name, None)
    with pytest.raises(TypeError):
        request.headers["accept"] = "c"


@pytest.mark.parametrize("client", [None, "", ("", None), ["h"], ("h", "1"), 7])
def test_http_request_of_unknown_client_has_none(client: object) -> None:
    assert enkaku.HttpRequest({**SCOPE, "client": client}).client is None


def test_http_request_client_may_be_a_list() -> None:
    assert enkaku.HttpRequest({**SCOPE, "client": ["::1", 5]}).client == ("::1", 5)


def test_http_request_of_bare_scope_is_empty() -> None:
    request = enkaku.HttpRequest({})
    assert (request.client, dict(request.headers), request.path) == (None, {}, "")
