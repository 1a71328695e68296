"""Which pages and host names may use an app: section by section of the wire's table for HTTP."""

from typing import Any

import enkaku
import pytest
from enkaku.transports.http.origins import Access, needs_preflight
from hypothesis import given
from hypothesis import strategies as st

ALLOW = b"access-control-allow-origin"
A, B, NULL = b"https://a.example", b"https://b.example", b"null"
LIST = ["https://a.example"]


@pytest.mark.parametrize(
    ("origins", "origin", "allowed", "reflected"),
    [
        (None, None, True, None),
        ((), None, True, None),
        ((), A, False, None),
        ((), b"http://app.example", False, None),  # also the same origin
        ("*", None, True, b"*"),
        ("*", A, True, A),
        ("*", b"http://b.example:8000", True, b"http://b.example:8000"),
        ("*", NULL, False, None),
        ("*", b"file://", False, None),
        ("*", b"https://", False, None),
        ("*", b"chrome-extension://abc", False, None),
        ("*", b"https://a.example\xff", False, None),
        (LIST, A, True, A),
        (LIST, B, False, None),
        (LIST, b"https://a.example.evil.example", False, None),
        (LIST, b"http://a.example", False, None),
        (LIST, b"https://a.example:8443", False, None),
        (LIST, NULL, False, None),
        (LIST, b"", False, None),
        (LIST, None, True, None),
        (["null"], NULL, True, NULL),
        ("same", b"http://app.example", True, b"http://app.example"),
        ("same", B, False, None),
        ("same", None, True, None),
    ],
)
def test_access_decides_about_origin(
    origins: Any, origin: bytes | None, allowed: bool, reflected: bytes | None
) -> None:
    access = Access(origins)
    assert access.allows_origin(origin, b"app.example") is allowed
    if allowed:
        assert dict(access.cors_headers(origin)).get(ALLOW) == reflected


def test_access_cors_headers_are_those_of_the_wire() -> None:
    assert dict(Access(LIST).cors_headers(A)) == {
        ALLOW: A,
        b"access-control-allow-methods": b"POST, OPTIONS",
        b"access-control-allow-headers": (
            b"Authorization, Content-Type, enkaku-session-id, enkaku-ext, enkaku-resume, "
            b"traceparent, tracestate"
        ),
        b"access-control-expose-headers": b"enkaku-session-id, enkaku-ext, enkaku-resume",
        b"access-control-max-age": b"86400",
        b"vary": b"Origin",
    }


@pytest.mark.parametrize("origins", ["*", "same", LIST])
def test_access_answers_vary_where_origin_counts(origins: Any) -> None:
    access = Access(origins)
    vary = (b"vary", b"Origin")
    assert vary in access.cors_headers(None)
    assert vary in access.cors_headers(A)
    assert list(access.refusal_headers) == [vary]


@pytest.mark.parametrize("origins", [None, ()])
def test_access_without_origins_adds_no_headers(origins: Any) -> None:
    access = Access(origins)
    assert access.cors_headers(None) == []
    assert access.refusal_headers == ()


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        (b"http://h", b"h", True),
        (b"https://h", b"h", True),
        (b"http://h", b"h:80", True),
        (b"https://h", b"h:443", True),
        (b"http://h", b"h:443", False),
        (b"https://h", b"h:80", False),
        (b"http://h:8000", b"h:8000", True),
        (b"http://h:8000", b"h", False),
        (b"http://h", b"h:8000", False),
        (b"http://h:8000", b"h:8001", False),
        (b"http://h:443", b"h", False),
        (b"http://a.example", b"A.EXAMPLE", True),
        (b"http://a.example", b"a.example.", False),
        (b"http://[::1]", b"[::1]", True),
        (b"http://[::1]:8000", b"[::1]:8000", True),
        (b"http://[::1]:8000", b"[0:0:0:0:0:0:0:1]:8000", True),
        (b"http://[::1]:8000", b"[::1]", False),
        (b"http://[::1]", b"::1", False),
        (b"http://[::ffff:7f00:1]", b"[::FFFF:127.0.0.1]", True),
        (b"ftp://h", b"h", False),
        (b"null", b"h", False),
        (b"null", b"null", False),
        (b"http://h", b"", False),
        (b"http://h", None, False),
        (b"http://h:x", b"h:x", False),
        (b"http://h:99999", b"h:99999", False),
        (b"http://h@evil.example", b"h", False),
        (b"http://h/", b"h", False),
    ],
)
def test_access_same_compares_scheme_host_and_port(
    origin: bytes, host: bytes | None, same: bool
) -> None:
    assert Access("same").allows_origin(origin, host) is same


def test_access_same_over_tls_rejects_page_without_tls() -> None:
    access = Access("same")
    assert access.allows_origin(b"https://h", b"h", secure=True)
    assert not access.allows_origin(b"http://h", b"h", secure=True)


@pytest.mark.parametrize(
    ("listed", "hint"),
    [
        ("https://a.example/", "write 'https://a.example'"),
        ("https://a.example/app?x#y", "write 'https://a.example'"),
        ("https://A.example", "write 'https://a.example'"),
        ("HTTPS://a.example", "write 'https://a.example'"),
        ("https://a.example:443", "write 'https://a.example'"),
        ("http://a.example:80", "write 'http://a.example'"),
        ("http://a.example:", "write 'http://a.example'"),
        ("http://a.example:08000", "write 'http://a.example:8000'"),
        ("https://me@a.example", "write 'https://a.example'"),
        ("a.example", "write 'https://a.example'"),
        ("localhost:3000", "write 'https://localhost:3000'"),
        ("http://[::0:1]:80", r"write 'http://\[::1\]'"),
        ("https://bücher.example", "write 'https://xn--bcher-kva.example'"),
        ("*", "write origins='\\*'"),
        ("same", "write origins='same'"),
        ("https://*.example", "not an origin"),
        ("https://a example", "not an origin"),
        ("https://", "not an origin"),
        ("https://a:99999", "not an origin"),
        ("https://[::g]", "not an origin"),
        ("https://[1:2]", "not an origin"),
        ("", "not an origin"),
    ],
)
def test_access_origin_that_no_browser_sends_is_rejected(listed: str, hint: str) -> None:
    with pytest.raises(enkaku.UsageError, match=hint):
        Access([listed])


@pytest.mark.parametrize(
    "listed",
    [
        "http://localhost:3000",
        "https://xn--bcher-kva.example",
        "http://[::1]:8000",
        "http://[::ffff:7f00:1]",
        "http://127.0.0.1",
        "chrome-extension://abcdefghijklmnop",
        "https://a_b.example.",
    ],
)
def test_access_origin_of_browsers_is_allowed(listed: str) -> None:
    assert Access([listed]).allows_origin(listed.encode(), None)


@pytest.mark.parametrize("origins", ["https://a.example", "all", "", 7, [7], b"*"])
def test_access_rejects_origins_that_are_no_list(origins: Any) -> None:
    with pytest.raises(enkaku.UsageError, match="origins"):
        Access(origins)


@pytest.mark.parametrize(
    ("hosts", "host", "allowed"),
    [
        (None, b"evil.example", True),
        (None, None, True),
        (["a.example"], b"a.example", True),
        (["a.example"], b"A.Example:8000", True),
        (["A.example"], b"a.example", True),
        (["a.example"], b"b.example", False),
        (["a.example"], b"x.a.example", False),
        (["a.example"], b"a.example:x", False),
        (["a.example"], b"a.example, b.example", False),
        (["a.example"], b"", False),
        (["b\u00fccher.example"], b"xn--bcher-kva.example", True),
        (["a.example"], None, False),
        (["a.example:8000"], b"a.example:8000", True),
        (["a.example:8000"], b"a.example:8001", False),
        (["a.example:8000"], b"a.example", False),
        (["a.example:443"], b"a.example", True),
        (["a.example:80"], b"a.example", True),
        (["a.example:443"], b"a.example:443", True),
        (["localhost", "[::1]", "127.0.0.1"], b"[::1]:8000", True),
        (["localhost", "[::1]", "127.0.0.1"], b"127.0.0.1:1", True),
        (["localhost", "[::1]", "127.0.0.1"], b"evil.example", False),
    ],
)
def test_access_decides_about_host(hosts: Any, host: bytes | None, allowed: bool) -> None:
    assert Access(hosts=hosts).allows_host(host) is allowed


@pytest.mark.parametrize(
    "hosts", [[], ["http://a"], ["a/b"], ["*.a"], ["*"], ["::1"], [""], ["a:99999"], [7], "a", 7]
)
def test_access_rejects_hosts(hosts: Any) -> None:
    with pytest.raises(enkaku.UsageError, match="hosts"):
        Access(hosts=hosts)


@pytest.mark.parametrize(
    ("content_type", "needed"),
    [
        (b"application/json", True),
        (b"Application/JSON; charset=utf-8", True),
        (b"application/json ;charset=utf-8", True),
        (b"application/x-ndjson", True),
        (b"text/plain", False),
        (b"text/plain; application/json", False),
        (b"application/json, text/plain", False),
        (b"multipart/form-data; boundary=application/json", False),
        (b"application/x-www-form-urlencoded", False),
        (b"", False),
        (None, False),
    ],
)
def test_content_type_that_needs_preflight(content_type: bytes | None, needed: bool) -> None:
    assert needs_preflight(content_type) is needed


ANY = st.one_of(
    st.none(),
    st.binary(max_size=30),
    st.from_regex(rb"\Ahttps?://[a-zA-Z0-9.\[\]:@/-]{0,12}\Z"),
)
LABELS = st.from_regex(r"\A[a-z][a-z0-9-]{0,8}(\.[a-z][a-z0-9]{0,8}){0,2}\Z")
PORTS = st.one_of(st.none(), st.integers(1, 65_535).filter(lambda port: port not in (80, 443)))


@given(origin=ANY, host=ANY)
def test_access_bytes_of_any_client_raise_nothing(origin: bytes | None, host: bytes | None) -> None:
    for access in (Access(), Access("*"), Access("same", ["a.example"]), Access(LIST)):
        access.allows_host(host)
        if access.allows_origin(origin, host):
            headers = access.cors_headers(origin)
            assert all(b"\r" not in value and b"\n" not in value for _, value in headers)
            assert dict(headers).get(ALLOW) in (None, b"*", origin)


@given(scheme=st.sampled_from(["http", "https"]), host=LABELS, port=PORTS, other=LABELS)
def test_access_listed_origin_is_allowed_alone(
    scheme: str, host: str, port: int | None, other: str
) -> None:
    named = host if port is None else f"{host}:{port}"
    origin = f"{scheme}://{named}"
    for access in (Access([origin]), Access("same")):
        assert access.allows_origin(origin.encode(), named.upper().encode())
        if other != host:
            assert not access.allows_origin(f"{scheme}://{other}".encode(), named.encode())
    with pytest.raises(enkaku.UsageError, match=f"write '{origin}'"):
        Access([f"{origin.upper()}/"])
