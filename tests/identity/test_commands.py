"""The commands ``enkaku key`` and ``enkaku token``, on real files."""

import json
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from commands import enkaku
from enkaku import KeyPair, delegate
from enkaku.identity.capabilities import read_chain
from enkaku.identity.tokens import sign, signing_input
from identity.peers import ALICE, BOB, CAROL, SERVER

MAKE = ("--act", "math/*", "--res", SERVER.did, "--expires-in", "1h")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory with the keys of ALICE and BOB, and a token by which BOB may call in the name of ALICE."""
    ALICE.save(tmp_path / "alice.pem")
    BOB.save(tmp_path / "bob.pem")
    made = enkaku("token", "make", "--key", "alice.pem", "--to", BOB.did, *MAKE, cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    (tmp_path / "bob.token").write_text(made.stdout)
    return tmp_path


@pytest.mark.parametrize("alg", ["EdDSA", "ES256"])
def test_key_make_writes_key_and_prints_name(alg: str, tmp_path: Path) -> None:
    made = enkaku("key", "make", "key.pem", "--alg", alg, cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    key = KeyPair.load(tmp_path / "key.pem")
    assert made.stdout == f"{key.did}\n"
    assert key.alg == alg
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    assert enkaku("key", "show", "key.pem", cwd=tmp_path).stdout == made.stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["key", "make", "alice.pem"], "alice.pem: File exists\n"),
        (["key", "make", "missing/key.pem"], "missing/key.pem: No such file or directory\n"),
        (["key", "show", "missing.pem"], "missing.pem: No such file or directory\n"),
        (["key", "show", "bob.token"], "bob.token: not a private key in PEM\n"),
        (["token", "show", "missing.token"], "missing.token: No such file or directory\n"),
        (["token", "show", "empty"], "empty: there is no token in it\n"),
        (["token", "show", "alice.pem"], "alice.pem: not a token\n"),
        (["token", "verify", "alice.pem"], "alice.pem: Invalid capability: more than 4 links\n"),
        (["token", "verify", "bob.token", "--act", "echo"], f"bob.token: the token does not grant echo of {SERVER.did}\n"),
        (["token", "verify", "bob.token", "--res", BOB.did], f"bob.token: the token does not grant math/* of {BOB.did}\n"),
        (["token", "make", "--key", "missing.pem", "--to", BOB.did, *MAKE], "missing.pem: No such file or directory\n"),
        (["token", "make", "--key", "alice.pem", "--to", "bob", *MAKE], "to must be the name of a key, such as 'did:key:z6Mk...'; got 'bob'\n"),
        (["token", "make", "--key", "alice.pem", "--to", BOB.did, *MAKE, "--parent", "bob.token"], "delegate: the parent does not grant that: Invalid capability: audience mismatch\n"),
        (["token", "make", "--key", "bob.pem", "--to", CAROL.did, *MAKE[:-1], "2h", "--parent", "bob.token"], "delegate: the parent does not grant that: Invalid capability: it outlives its parent\n"),
    ],
)  # fmt: skip
def test_command_error_is_one_line(arguments: list[str], problem: str, home: Path) -> None:
    (home / "empty").touch()
    (home / "bob.token").chmod(0o644)
    done = enkaku(*arguments, cwd=home)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", problem)


@pytest.mark.parametrize("text", ["", "1y", "-1", "1.5h", "h", "1 h", "9999999999"])
def test_token_make_other_duration_is_usage(text: str, home: Path) -> None:
    arguments = ["token", "make", "--key", "alice.pem", "--to", BOB.did, *MAKE[:-1], text]
    done = enkaku(*arguments, cwd=home)
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("12h", 43200), ("30d", 2592000)]
)
def test_token_make_duration_has_units(text: str, seconds: int, home: Path) -> None:
    made = enkaku(
        "token", "make", "--key", "alice.pem", "--to", BOB.did, *MAKE[:-1], text, cwd=home
    )
    (link,) = read_chain(made.stdout.split(), time.time(), unlimited=False)
    assert seconds - 2 <= link.ends - time.time() <= seconds


def test_token_make_with_parent_prints_chain(home: Path) -> None:
    leaf = ("--act", "math/add", "--act", "math/sub", "--res", SERVER.did, "--expires-in", "60")
    made = enkaku(
        *("token", "make", "--key", "bob.pem", "--to", CAROL.did, *leaf, "--parent", "bob.token"),
        cwd=home,
    )
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.endswith((home / "bob.token").read_text())
    granted, root = read_chain(made.stdout.split(), time.time(), unlimited=False)
    assert (granted.aud, granted.sub, granted.actions) == (
        CAROL.did,
        ALICE.did,
        ("math/add", "math/sub"),
    )
    assert root.aud == BOB.did


def test_token_show_prints_what_it_says(home: Path) -> None:
    shown = json.loads(enkaku("token", "show", "bob.token", cwd=home).stdout)
    assert shown["header"] == {"alg": "EdDSA", "typ": "JWT"}
    assert shown["payload"]["act"] == "math/*"


def test_token_verify_prints_what_is_granted(home: Path) -> None:
    arguments = ("token", "verify", "bob.token", "--act", "math/add", "--res", SERVER.did)
    valid_until, *rows = enkaku(*arguments, cwd=home).stdout.splitlines()
    assert valid_until.startswith("valid until: 2")
    assert rows == [
        f"caller: {BOB.did}",
        f"in the name of: {ALICE.did}",
        "procedures: math/*",
        f"servers: {SERVER.did}",
    ]


def _token(**members: Any) -> str:
    payload = {
        "iss": ALICE.did,
        "sub": ALICE.did,
        "aud": BOB.did,
        "act": "*",
        "res": "*",
        **members,
    }
    data = signing_input(b'{"typ":"JWT","alg":"EdDSA"}', json.dumps(payload).encode())
    return f"{data}.{sign(ALICE, data)}"


def test_token_output_controls_no_terminal(home: Path) -> None:
    (home / "a.token").write_text(_token(act="\x1b[2J"))
    (home / "b.token").write_text(_token(iss="did:\x1b[2J"))
    for action, name in (("show", "a"), ("show", "b"), ("verify", "a"), ("verify", "b")):
        done = enkaku("token", action, f"{name}.token", cwd=home)
        assert "\x1b" not in done.stdout + done.stderr
        assert "[2J" in done.stdout + done.stderr
    assert "valid until: never" in enkaku("token", "verify", "a.token", cwd=home).stdout


def test_token_verify_reads_standard_input(home: Path) -> None:
    token = delegate(ALICE, to=BOB.did, act="*", res="*", expires_in=60)
    command = [sys.executable, "-m", "enkaku_codegen", "token", "verify", "-"]
    done = subprocess.run(
        command, input=token[:-2], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (1, "-: Invalid signature\n")
    done = subprocess.run(
        command, input=token, capture_output=True, text=True, timeout=30, check=True
    )
    assert f"caller: {BOB.did}\n" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [["key", "make", "new.pem"], ["key", "show", "alice.pem"], ["token", "verify", "bob.token"]],
)
def test_command_without_cryptography_names_the_extra(arguments: list[str], home: Path) -> None:
    # Of the generator, nothing is needed either.
    code = (
        "import sys\n"
        "for name in ('cryptography', 'jinja2', 'jsonschema', 'yaml', 'black'): sys.modules[name] = None\n"
        "from enkaku_codegen.__main__ import main\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == "keys and signatures need the library cryptography: pip install 'enkaku[identity]'\n"
    )
    assert not (home / "new.pem").exists()
