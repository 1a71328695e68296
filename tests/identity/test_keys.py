"""Key pairs, their files, and the names of keys."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from enkaku import KeyPair, UsageError
from enkaku.errors import Rejected
from enkaku.identity.encodings import from_base58, from_base64url, to_base58, to_base64url
from enkaku.identity.keys import public_key
from hypothesis import given
from hypothesis import strategies as st
from identity.peers import ALICE, PAT


@pytest.mark.parametrize(("alg", "prefix"), [("EdDSA", "did:key:z6Mk"), ("ES256", "did:key:zDn")])
def test_generate_key_signs_what_its_name_verifies(alg: str, prefix: str) -> None:
    key = KeyPair.generate(alg)
    assert (key.alg, key.did[: len(prefix)]) == (alg, prefix)
    signature = key.sign(b"data")
    assert public_key(key.did).verifies(signature, b"data")
    assert not public_key(key.did).verifies(signature, b"date")
    assert not public_key(KeyPair.generate(alg).did).verifies(signature, b"data")


def test_generate_unknown_algorithm_raises_usage_error() -> None:
    with pytest.raises(UsageError, match='alg must be one of "EdDSA", "ES256"; got \'RS256\''):
        KeyPair.generate("RS256")


@pytest.mark.parametrize("alg", ["EdDSA", "ES256"])
def test_save_then_load_is_the_same_key(alg: str, tmp_path: Path) -> None:
    key = KeyPair.generate(alg)
    key.save(tmp_path / "key.pem")
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    assert (tmp_path / "key.pem").read_text().startswith("-----BEGIN PRIVATE KEY-----\n")
    loaded = KeyPair.load(str(tmp_path / "key.pem"))
    assert loaded.did == key.did
    assert public_key(key.did).verifies(loaded.sign(b"data"), b"data")


def test_save_existing_file_is_kept(tmp_path: Path) -> None:
    ALICE.save(tmp_path / "key.pem")
    with pytest.raises(FileExistsError):
        PAT.save(tmp_path / "key.pem")
    assert KeyPair.load(tmp_path / "key.pem").did == ALICE.did


def test_save_failed_write_leaves_no_file(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; from enkaku import KeyPair\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "try: KeyPair.generate().save(sys.argv[1])\n"
        "except OSError: print('failed')\n"
    )
    path = tmp_path / "key.pem"
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=30, check=True
    )
    assert (done.stdout, path.exists()) == ("failed\n", False)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o777])
def test_load_file_of_others_raises_usage_error(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    ALICE.save(path)
    path.chmod(mode)
    with pytest.raises(UsageError, match=f"its mode is {mode:04o}: run chmod 600 {path}"):
        KeyPair.load(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_load_file_of_user_alone_is_read(mode: int, tmp_path: Path) -> None:
    ALICE.save(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(mode)
    assert KeyPair.load(tmp_path / "key.pem").did == ALICE.did


def test_load_missing_file_raises_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        KeyPair.load(tmp_path / "missing.pem")


def _pem(key: object, password: bytes | None = None) -> bytes:
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)  # type: ignore[attr-defined] # of any kind


@pytest.mark.parametrize(
    ("pem", "problem"),
    [
        (b"", "not a private key in PEM"),
        (ALICE.did.encode(), "not a private key in PEM"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not a private key"),
        (_pem(Ed25519PrivateKey.generate(), b"word"), "the private key is encrypted"),
        (_pem(rsa.generate_private_key(65537, 2048)), "must be of Ed25519 or P-256"),
        (_pem(ec.generate_private_key(ec.SECP384R1())), "must be of Ed25519 or P-256"),
    ],
    ids=["empty", "name", "cut", "encrypted", "RSA", "P-384"],
)
def test_load_other_file_raises_usage_error(pem: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.touch(0o600)
    path.write_bytes(pem)
    with pytest.raises(UsageError, match=f"{path}: .*{problem}") as raised:
        KeyPair.load(path)
    assert pem.decode() not in str(raised.value) or not pem
    with pytest.raises(UsageError, match=f"KeyPair.from_pem: .*{problem}"):
        KeyPair.from_pem(pem.decode())


def test_key_pair_repr_shows_the_name_alone() -> None:
    assert repr(ALICE) == f"<KeyPair {ALICE.did}>"


@pytest.mark.parametrize(
    ("did", "problem"),
    [
        ("", "Unknown DID: "),
        ("did:web:example.com", "Unknown DID: did:web:example.com"),
        ("did:peer:4zQmabc", "Unknown DID: did:peer:4zQmabc"),
        ("did:key:", "Invalid DID format"),
        ("did:key:z", "Invalid DID format"),
        ("did:key:m6MkphsyqqMDhCCGVediNhSqrsFqBAiJJerzs3Ly3XKg735N", "Invalid DID format"),
        (ALICE.did + "0", "Invalid DID format"),
        (ALICE.did + "1" * 20, "Invalid DID format"),
        (ALICE.did + " ", "Invalid DID format"),
        (ALICE.did[:-1], "Unsupported DID signature codec"),
        (f"did:key:z{to_base58(bytes([0xED, 1]) + bytes(33))}", "Invalid DID format"),
        (f"did:key:z{to_base58(bytes([0x80, 0x24]) + bytes(33))}", "Invalid DID format"),
        (f"did:key:z{to_base58(bytes([0x80, 0x24, 2]) + bytes([255] * 32))}", "Invalid DID format"),
        (f"did:key:z{to_base58(bytes([0xE7, 1]) + bytes(33))}", "Unsupported DID signature codec"),
        (f"did:key:z{to_base58(bytes([0xEC, 1]) + bytes(32))}", "Unsupported DID signature codec"),
    ],
)
def test_public_key_of_other_name_is_rejected(did: str, problem: str) -> None:
    with pytest.raises(Rejected) as raised:
        public_key(did)
    assert (raised.value.code, raised.value.message) == ("EK02", problem)


def test_p256_signature_has_the_smaller_s() -> None:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for number in range(20):
        data = b"%d" % number
        signature = PAT.sign(data)
        r, s = signature[:32], int.from_bytes(signature[32:])
        assert s <= order // 2
        assert public_key(PAT.did).verifies(signature, data)
        assert not public_key(PAT.did).verifies(r + (order - s).to_bytes(32), data)


def test_p256_signature_of_zeros_is_not_valid() -> None:
    assert not public_key(PAT.did).verifies(bytes(64), b"data")


@given(st.binary(max_size=40))
def test_encodings_decode_what_they_encode(data: bytes) -> None:
    assert from_base58(to_base58(data)) == data
    text = to_base64url(data)
    assert from_base64url(text) == from_base64url(text + "=" * (-len(text) % 4)) == data


@given(st.text("AQgw-_=+/ \n", max_size=7))
def test_base64url_of_bytes_has_one_spelling(text: str) -> None:
    try:
        data = from_base64url(text)
    except ValueError:
        return
    spelled = to_base64url(data)
    assert text in {spelled, spelled + "=" * (-len(spelled) % 4)}


@pytest.mark.parametrize(
    "text", ["A", "AAAAA", "AB", "AA=", "AA===", "A===", "AAA==", "AAAA=", "=", "+/8", "AA\n", "ÀA"]
)
def test_base64url_other_text_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="not base64url"):
        from_base64url(text)


@given(st.text("123ABCxyz0OIl ", max_size=8))
def test_base58_of_bytes_has_one_spelling(text: str) -> None:
    try:
        data = from_base58(text)
    except ValueError:
        return
    assert to_base58(data) == text


def test_base58_long_text_is_not_decoded() -> None:
    with pytest.raises(ValueError, match="too long"):
        from_base58("1" * 65)


def test_key_pair_without_cryptography_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['cryptography'] = None; import enkaku\n"
        "try: enkaku.KeyPair.generate()\n"
        "except enkaku.MissingExtra as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == (
        "keys and signatures need the library cryptography: pip install 'enkaku[identity]'\n"
    )
