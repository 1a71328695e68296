"""TLS certificates of the other end: what a connection knows of them, and who they prove to be there."""

import asyncio
import logging
import math
import socket
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address

import enkaku
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtensionOID, NameOID, ObjectIdentifier
from support import VOID, WITHIN, Serving, line, tcp_port

BEFORE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
AFTER = datetime(2090, 1, 2, 3, 4, 5, tzinfo=UTC)
COMMON, ORGANIZATION = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


class Issued:
    """A certificate of a client, made by hand."""

    def __init__(
        self, authority: trustme.CA, subject: x509.Name, *extensions: x509.ExtensionType
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        signer = load_pem_private_key(authority.private_key_pem.bytes(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        parent = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
        builder = x509.CertificateBuilder(
            parent.subject, subject, key.public_key(), x509.random_serial_number(), BEFORE, AFTER
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        made = builder.sign(signer, SHA256())
        self.der = made.public_bytes(Encoding.DER)
        self._pem = made.public_bytes(Encoding.PEM) + key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )

    def configure_cert(self, context: ssl.SSLContext) -> None:
        with trustme.Blob(self._pem).tempfile() as path:
            context.load_cert_chain(path)


def name(*parts: tuple[ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])


@pytest.fixture
def alice(authority: trustme.CA) -> Issued:
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName("alice.example"),
            x509.UniformResourceIdentifier("spiffe://example/alice"),
            x509.RFC822Name("alice@example.org"),
            x509.IPAddress(ip_address("192.0.2.1")),
            x509.DirectoryName(name((COMMON, "Alice"))),
        ]
    )
    return Issued(authority, name((ORGANIZATION, "Example"), (COMMON, "alice")), names)


class Seen(enkaku.Observer):
    """Remembers the connections of a server's calls."""

    def __init__(self) -> None:
        self.connections: list[enkaku.ConnectionInfo] = []

    def call_started(self, call: enkaku.Call) -> None:
        self.connections.append(call.connection)

    @property
    def certificate(self) -> enkaku.Certificate | None:
        return self.connections[-1].certificate


def server_context(authority: trustme.CA, mode: ssl.VerifyMode) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = mode
    return context


def client_context(
    authority: trustme.CA, certificate: Issued | trustme.LeafCert | None = None
) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if certificate is not None:
        certificate.configure_cert(context)
    return context


@asynccontextmanager
async def connected(
    server_side: ssl.SSLContext, client_side: ssl.SSLContext, seen: Seen
) -> AsyncGenerator[enkaku.Connection, None]:
    async with enkaku.serve_tcp(Serving(), ssl=server_side, observers=[seen]) as server:
        port = tcp_port(server)
        async with enkaku.connect_tcp("127.0.0.1", port, ssl=client_side) as connection:
            async with asyncio.timeout(WITHIN):
                await connection.request(VOID, None)
            yield connection


@VERSIONS
@pytest.mark.parametrize("mode", [ssl.CERT_REQUIRED, ssl.CERT_OPTIONAL])
async def test_client_certificate_verified_has_all_fields(
    authority: trustme.CA, alice: Issued, mode: ssl.VerifyMode, version: ssl.TLSVersion
) -> None:
    seen = Seen()
    server_side = server_context(authority, mode)
    server_side.minimum_version = server_side.maximum_version = version
    async with connected(server_side, client_context(authority, alice), seen):
        found = seen.certificate
    assert found is not None
    fingerprint = sha256(alice.der).hexdigest()
    assert found == enkaku.Certificate(
        subject="CN=alice,O=Example",
        issuer=found.issuer,
        sans=(
            "DNS:alice.example",
            "URI:spiffe://example/alice",
            "email:alice@example.org",
            "IP:192.0.2.1",
        ),
        fingerprint=fingerprint,
        not_before=BEFORE.timestamp(),
        not_after=AFTER.timestamp(),
    )
    assert found.issuer.startswith("OU=Testing CA")
    assert found.issuer.endswith(",O=trustme v" + trustme.__version__)
    identity = seen.connections[0].identity
    assert identity is not None
    assert identity == enkaku.Identity(
        f"tls:sha256:{fingerprint}", "tls", identity.claims, expires=AFTER.timestamp()
    )
    assert identity.claims == {
        "subject": found.subject,
        "issuer": found.issuer,
        "sans": found.sans,
    }


async def test_client_certificate_optional_absent_is_none(authority: trustme.CA) -> None:
    seen = Seen()
    optional = server_context(authority, ssl.CERT_OPTIONAL)
    async with connected(optional, client_context(authority), seen):
        assert seen.certificate is None
        assert seen.connections[0].identities == ()


async def test_client_certificate_not_asked_for_is_none(
    authority: trustme.CA, alice: Issued
) -> None:
    seen = Seen()
    careless = server_context(authority, ssl.CERT_NONE)
    async with connected(careless, client_context(authority, alice), seen):
        assert seen.certificate is None


async def test_server_certificate_unverified_is_none(authority: trustme.CA) -> None:
    careless = ssl.create_default_context()
    careless.check_hostname = False
    careless.verify_mode = ssl.CERT_NONE
    server_side = server_context(authority, ssl.CERT_NONE)
    async with connected(server_side, careless, Seen()) as connection:
        assert connection.info.certificate is None
        assert connection.info.identities == ()


async def test_server_certificate_is_known_to_client(authority: trustme.CA) -> None:
    server_side = server_context(authority, ssl.CERT_NONE)
    async with connected(server_side, client_context(authority), Seen()) as connection:
        certificate, identity = connection.info.certificate, connection.info.identity
    assert certificate is not None
    assert certificate.sans == ("IP:127.0.0.1",)
    assert identity is not None
    assert identity.id == f"tls:sha256:{certificate.fingerprint}"


def connection_with(certificate: enkaku.Certificate) -> enkaku.ConnectionInfo:
    credentials = enkaku.PeerCredentials(1, 1000, 1000)
    return enkaku.ConnectionInfo("unix:x", credentials, certificate=certificate)


async def test_certificate_stands_between_login_and_unix_user() -> None:
    info = connection_with(enkaku.Certificate("CN=a", "CN=b", (), "00" * 32, 0.0, math.inf))
    info.log_in(enkaku.Identity("jwt:a#b", "jwt"))
    assert [each.id for each in info.identities] == [
        "jwt:a#b",
        "tls:sha256:" + "00" * 32,
        "unix:1000",
    ]


async def test_certificate_that_has_expired_proves_nothing() -> None:
    past = enkaku.Certificate("CN=a", "CN=b", (), "00" * 32, 0.0, time.time() - 1)
    info = connection_with(past)
    assert info.certificate is past
    assert [each.id for each in info.identities] == ["unix:1000"]


@pytest.mark.parametrize("mode", [ssl.CERT_REQUIRED, ssl.CERT_OPTIONAL])
async def test_access_rule_admits_only_certificate_it_names(
    authority: trustme.CA, alice: Issued, mode: ssl.VerifyMode
) -> None:
    bob = Issued(authority, name((COMMON, "bob")))
    access = {"void": {"tls:sha256:" + sha256(alice.der).hexdigest()}}
    server_side = server_context(authority, mode)
    async with enkaku.serve_tcp(Serving(), ssl=server_side, access=access) as server:
        for certificate, admitted in ((alice, True), (bob, False), (None, False)):
            if certificate is None and mode is ssl.CERT_REQUIRED:
                continue
            context = client_context(authority, certificate)
            async with asyncio.timeout(WITHIN):
                async with enkaku.connect_tcp(
                    "127.0.0.1", tcp_port(server), ssl=context
                ) as connection:
                    if admitted:
                        await connection.request(VOID, None)
                        continue
                    with pytest.raises(enkaku.CallError, match="Access denied"):
                        await connection.request(VOID, None)


@VERSIONS
@pytest.mark.parametrize("mode", [ssl.CERT_REQUIRED, ssl.CERT_OPTIONAL])
async def test_client_certificate_of_stranger_fails_on_both_sides(
    authority: trustme.CA,
    mode: ssl.VerifyMode,
    version: ssl.TLSVersion,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "enkaku.server")
    seen = Seen()
    stranger = client_context(authority, trustme.CA().issue_cert("alice"))
    stranger.minimum_version = stranger.maximum_version = version
    async with enkaku.serve_tcp(
        Serving(), ssl=server_context(authority, mode), observers=[seen]
    ) as server:
        for _ in range(5):
            async with asyncio.timeout(WITHIN):
                with pytest.raises(enkaku.TransportError) as caught:
                    async with enkaku.connect_tcp(
                        "127.0.0.1", tcp_port(server), ssl=stranger
                    ) as connection:
                        await connection.request(VOID, None)
            causes = f"{caught.value} {caught.value.__cause__}".lower()
            assert "unknown ca" in causes.replace("_", " "), causes
    assert seen.connections == []
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text


async def test_client_certificate_expired_fails(authority: trustme.CA) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    expired = client_context(authority, authority.issue_cert("alice", not_after=yesterday))
    required = server_context(authority, ssl.CERT_REQUIRED)
    async with enkaku.serve_tcp(Serving(), ssl=required) as server:
        async with asyncio.timeout(WITHIN):
            with pytest.raises(enkaku.TransportError):
                async with enkaku.connect_tcp(
                    "127.0.0.1", tcp_port(server), ssl=expired
                ) as connection:
                    await connection.request(VOID, None)


def ask(
    port: int, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[ssl.SSLSession | None, bool]:
    """Call a server in a blocking way, and return the session of TLS and whether it was resumed."""
    with socket.create_connection(("127.0.0.1", port), timeout=WITHIN) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as secure:
            secure.sendall(line(typ="request", rid="a", prc="void"))
            assert secure.recv(1000)
            return secure.session, bool(secure.session_reused)


@VERSIONS
async def test_client_certificate_of_resumed_session_is_known(
    authority: trustme.CA, alice: Issued, version: ssl.TLSVersion
) -> None:
    seen = Seen()
    context = client_context(authority, alice)
    context.minimum_version = context.maximum_version = version
    required = server_context(authority, ssl.CERT_REQUIRED)
    async with enkaku.serve_tcp(Serving(), ssl=required, observers=[seen]) as server:
        port = tcp_port(server)
        session, first = await asyncio.to_thread(ask, port, context, None)
        _, second = await asyncio.to_thread(ask, port, context, session)
    assert (first, second) == (False, True)
    found = [each.certificate for each in seen.connections]
    assert found[0] is not None
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (((COMMON, "a,O=Example"),), r"CN=a\,O\=Example"),
        (((COMMON, "a"), (ORGANIZATION, "b")), "O=b,CN=a"),
        (((COMMON, r'a\+"<>;'),), r"CN=a\\\+\"\<\>\;"),
        (((COMMON, " #a "),), r"CN=\ #a\ "),
        (((COMMON, "#a"),), r"CN=\#a"),
        (((COMMON, "a\nb\x00\x1b"),), r"CN=a\0ab\00\1b"),
        (((COMMON, "zoë 茶"),), "CN=zoë 茶"),
        (((ObjectIdentifier("1.2.3.4"), "a"),), "1.2.3.4=a"),
        ((), ""),
    ],
)
async def test_subject_is_written_unambiguously(
    authority: trustme.CA, subject: tuple[tuple[ObjectIdentifier, str], ...], expected: str
) -> None:
    seen = Seen()
    client = Issued(authority, name(*subject))
    required = server_context(authority, ssl.CERT_REQUIRED)
    async with connected(required, client_context(authority, client), seen):
        assert seen.certificate is not None
        assert seen.certificate.subject.replace(r"\=", "=") == expected.replace(r"\=", "=")


async def test_client_certificate_unreadable_ends_connection(
    authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "enkaku.server")
    not_ascii = x509.UnrecognizedExtension(
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\x04\x82\x02\xff\xfe"
    )
    odd = Issued(authority, name((COMMON, "odd")), not_ascii)
    required = server_context(authority, ssl.CERT_REQUIRED)
    async with enkaku.serve_tcp(Serving(), ssl=required) as server:
        async with asyncio.timeout(WITHIN):
            with pytest.raises(enkaku.TransportError):
                async with enkaku.connect_tcp(
                    "127.0.0.1", tcp_port(server), ssl=client_context(authority, odd)
                ) as connection:
                    await connection.request(VOID, None)
    assert "certificate cannot be read" in caplog.text
