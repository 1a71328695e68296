"""Synchronous clients and the life of a process: Ctrl-C, exit and fork, in programs of their own."""

import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import enkaku
import pytest
from slow import slow_but
from support import ASK, WITHIN
from syncserver import ENVIRONMENT, running_server

START = """
import atexit, os, signal, sys, threading, time
import enkaku
from support import ASK, ECHO, FILL, TALK, WATCH

address = sys.argv[1]

def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end

def waiting(count):
    '''Wait until so many handlers of the server wait.'''
    with enkaku.sync.connect(address) as other:
        until(lambda: other.request(ASK, 0) == count)

def say(text):
    print(text, flush=True)
"""


@pytest.fixture(scope="module")
def address() -> Generator[str, None, None]:
    with running_server() as addresses:
        yield addresses["unix"]


@contextmanager
def running(program: str, address: str) -> Generator[subprocess.Popen[str], None, None]:
    """Run a program; what outlives the block is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", START + program, address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def outcome(program: str, address: str, *, interrupts: bool = False) -> tuple[int, str, str]:
    """Run a program to its end, with Ctrl-C at its first line of output; return its exit code, output and errors."""
    with running(program, address) as process:
        first = ""
        if interrupts:
            assert process.stdout is not None
            first = process.stdout.readline()
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=3 * WITHIN)
        return process.returncode, first + out, err


def no_handler_waits(address: str) -> bool:
    with enkaku.sync.connect(address) as connection, enkaku.deadline(WITHIN):
        while connection.request(ASK, 0):
            pass
        return True


# Ctrl-C.


@pytest.mark.parametrize(
    "call",
    slow_but(
        ["connection.request(ASK, -1)", "[None for _ in stream]"],
        [
            "connection.request(ASK, -1)",
            "[None for _ in stream]",
            "[stream.receive() for _ in range(9)]",
            "[stream.receive(timeout=60) for _ in range(9)]",
            "stream.result()",
            "channel.result()",
            "[channel.send('x' * 100_000) for _ in range(1000)]",
        ],
    ),
)
def test_sync_interrupt_aborts_call(address: str, call: str) -> None:
    program = f"""
def signal_later():
    waiting(3 if "request" in {call!r} else 2)
    say("waits")

connection = enkaku.sync.connect(address)
threading.Thread(target=signal_later).start()
try:
    with connection.stream(WATCH, -3) as stream, connection.channel(FILL, 1) as channel:
        {call}
except KeyboardInterrupt:
    waiting(0)
    say(connection.request(ECHO, "usable"))
connection.close()
say(threading.active_count())
"""
    code, out, err = outcome(program, address, interrupts=True)
    assert (code, out, err) == (0, "waits\nusable\n2\n", "")
    assert no_handler_waits(address)


def test_sync_interrupt_of_receive_loses_no_item(address: str) -> None:
    program = """
with enkaku.sync.connect(address) as connection, connection.channel(TALK, 1) as channel:
    try:
        say("waits")
        channel.receive()
    except KeyboardInterrupt:
        channel.send(7)
        channel.send(8)
    say(channel.receive())
    say(channel.receive())
"""
    code, out, err = outcome(program, address, interrupts=True)
    assert (code, out, err) == (0, "waits\n14\n16\n", "")


def test_sync_interrupt_ends_connecting() -> None:
    program = """
threading.Timer(0, say, ["waits"]).start()
try:
    enkaku.sync.connect(address, connect_timeout=60, ssl=enkaku_ssl())
except KeyboardInterrupt:
    say("interrupted")
"""
    program = "import ssl\nenkaku_ssl = ssl.create_default_context\n" + program
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(WITHIN)
        address = f"tls:127.0.0.1:{silent.getsockname()[1]}"
        with running(program, address) as process:
            peer, _ = silent.accept()
            assert process.stdout is not None
            assert process.stdout.readline() == "waits\n"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=WITHIN)
            peer.close()
    assert (process.returncode, out, err) == (0, "interrupted\n", "")


def test_sync_interrupt_uncaught_ends_program(address: str) -> None:
    program = """
with enkaku.sync.connect(address) as connection:
    say("waits")
    connection.request(ASK, -1)
"""
    code, _, err = outcome(program, address, interrupts=True)
    assert code == -signal.SIGINT
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert no_handler_waits(address)


# Exit.


@pytest.mark.parametrize(
    "end", slow_but([""], ["", "sys.exit(0)", "threading.Thread(target=sys.exit).start()"])
)
def test_sync_exit_amid_calls_of_daemon_threads_is_quiet(address: str, end: str) -> None:
    program = f"""
connection = enkaku.sync.connect(address)

def wait():
    connection.request(ASK, -1)

def iterate():
    with connection.stream(WATCH, -1) as stream:
        for _ in stream:
            pass

for target in [wait, iterate] * 5:
    threading.Thread(target=target, daemon=True).start()
waiting(10)
{end}
"""
    assert outcome(program, address) == (0, "", "")
    assert no_handler_waits(address)


def test_sync_exit_lets_daemon_threads_be_joined(address: str) -> None:
    program = """
def join():
    for each in threads:
        each.join()
    say(f"joined {set(ends)}")

atexit.register(join)  # runs after the end of the event loop
connection = enkaku.sync.connect(address)

def wait():
    try:
        connection.request(ASK, -1)
    finally:
        ends.append(sys.exc_info()[0])

def repeat():
    try:
        while True:
            connection.request(ECHO, "")
    finally:
        ends.append(sys.exc_info()[0])

ends = []
threads = [threading.Thread(target=target, daemon=True) for target in [wait, repeat] * 5]
for each in threads:
    each.start()
waiting(5)
"""
    assert outcome(program, address) == (0, "joined {<class 'SystemExit'>}\n", "")
    assert no_handler_waits(address)


def test_sync_exit_with_open_stream_in_main_thread(address: str) -> None:
    program = """
connection = enkaku.sync.connect(address)
stream = connection.stream(WATCH, -1).__enter__()
say(next(stream))
raise SystemExit(3)
"""
    assert outcome(program, address) == (3, "0\n", "")
    assert no_handler_waits(address)


def test_sync_exit_waits_for_other_threads(address: str) -> None:
    program = """
connection = enkaku.sync.connect(address)
main_ended = threading.Event()

def work():
    threading.main_thread().join()
    say(connection.request(ECHO, "after the main thread"))

threading.Thread(target=work).start()
"""
    assert outcome(program, address) == (0, "after the main thread\n", "")


def test_sync_exit_function_registered_later_may_call(address: str) -> None:
    program = """
def last():
    try:
        connection.request(ECHO, "no more")
    except enkaku.ConnectionLost as error:
        say(error)
    connection.close()

atexit.register(last)
connection = enkaku.sync.connect(address)
atexit.register(lambda: say(connection.request(ECHO, "called")))
"""
    assert outcome(program, address) == (0, "called\nthe interpreter is exiting\n", "")


def test_sync_exit_with_silent_server_is_bounded(tmp_path: Path) -> None:
    program = """
connection = enkaku.sync.connect(address)
threading.Thread(target=lambda: connection.request(ASK, 1), daemon=True).start()
"""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        assert outcome(program, f"unix:{tmp_path}/s") == (0, "", "")


# Fork.

FORK = """
def fork(child):
    sys.stdout.flush()
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, since Python 3.12
        pid = os.fork()
    if not pid:
        child()
        sys.exit(0)  # with the functions of atexit
    assert os.waitpid(pid, 0)[1] == 0
"""


def test_sync_child_of_fork_connects_again(address: str) -> None:
    program = FORK + """
connection = enkaku.sync.connect(address)
stream = connection.stream(WATCH, -2)
stream.__enter__()
say(next(stream))

def grandchild():
    with enkaku.sync.connect(address) as own:
        say(own.request(ECHO, "in its child"))

def child():
    for use in (lambda: connection.request(ECHO, ""), stream.__next__, stream.result, connection.stream(WATCH, 1).__enter__):
        try:
            use()
        except enkaku.UsageError as error:
            say(error)
    stream.__exit__(None, None, None)
    connection.close()
    assert not connection.is_open
    with enkaku.sync.connect(address) as other:
        say(other.request(ECHO, "in the child"))
        fork(grandchild)

fork(child)
say(next(stream))
say(connection.request(ECHO, "in the parent"))
stream.__exit__(None, None, None)
connection.close()
"""
    code, out, err = outcome(program, address)
    told = (
        "the connection belongs to the parent process, and this one was forked from it: "
        "call enkaku.sync.connect() again in the child"
    )
    assert (code, err) == (0, "")
    expected = ["0", told, told, told, told, "in the child", "in its child", "1", "in the parent"]
    assert out.splitlines() == expected
    assert no_handler_waits(address)


def test_sync_multiprocessing_child_of_fork_connects_again(address: str) -> None:
    program = """
import multiprocessing, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of threads, since Python 3.12
connection = enkaku.sync.connect(address)
connection.request(ECHO, "")

def work(number):
    with enkaku.sync.connect(address) as own:
        return own.request(ASK, number)

with multiprocessing.get_context("fork").Pool(2) as pool:
    say(pool.map(work, range(1, 6)))
say(connection.request(ECHO, "in the parent"))
connection.close()
"""
    assert outcome(program, address) == (0, "[1, 2, 3, 4, 5]\nin the parent\n", "")


def test_sync_fork_amid_calls_of_other_threads(address: str) -> None:
    program = FORK + """
connection = enkaku.sync.connect(address)
done = threading.Event()

def work():
    while not done.is_set():
        connection.request(ECHO, "")

threads = [threading.Thread(target=work) for _ in range(5)]
stream = connection.stream(WATCH, -1).__enter__()
say(next(stream))
threads.append(threading.Thread(target=lambda: list(stream)))
for each in threads:
    each.start()
until(stream._receiving.locked)

def child():
    try:
        next(stream)
    except enkaku.UsageError:
        pass
    with enkaku.sync.connect(address) as own:
        assert own.request(ECHO, "child") == "child"

for _ in range(10):
    fork(child)
done.set()
say(stream.close())
for each in threads:
    each.join()
connection.close()
"""
    assert outcome(program, address) == (0, "0\n-1\n", "")
