"""The innocent client: a request every 10 ms. It prints when each began and how long it took, once its stdin ends.

python -S innocent.py ADDRESS
python -m hostile.innocent ADDRESS signed
"""

import json
import select
import socket
import sys
import time
from collections.abc import Callable

_PAUSE = 0.01
_REPLY = len('{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"result","rid":"","val":}}')


def connect(address: str) -> socket.socket:
    """Connect to a path, or to a port, which may have ``http:`` in front."""
    port = address.removeprefix("http:")
    if port.isdigit():
        return socket.create_connection(("127.0.0.1", int(port)), timeout=60)
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(60)
    client.connect(address)
    return client


def _signing() -> Callable[[bytes], bytes]:
    """Return what signs messages."""
    from enkaku.identity.messages import Signer  # noqa: PLC0415 # with -S there is no enkaku

    from hostile.identities import INNOCENT, SERVER  # noqa: PLC0415 # as above

    return Signer(INNOCENT, SERVER.did).sign


def main() -> None:
    """Make requests."""
    sign = _signing() if "signed" in sys.argv else bytes
    waits: list[tuple[float, float]] = []
    with connect(sys.argv[1]) as client, client.makefile("rb") as replies:
        print("ready", flush=True)
        number = 0
        while not select.select([sys.stdin], [], [], _PAUSE)[0]:
            number += 1
            payload = {"typ": "request", "rid": str(number), "prc": "ping", "prm": number}
            message = {"header": {"typ": "JWT", "alg": "none"}, "payload": payload}
            began = time.monotonic()
            data = sign(json.dumps(message, separators=(",", ":")).encode())
            if sys.argv[1].startswith("http:"):
                head = f"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {len(data)}\r\n\r\n"
                client.sendall(head.encode() + data)
                while replies.readline() != b"\r\n":
                    pass
                reply = replies.read(_REPLY + len(str(number)) + len(str(number + 1)))
            else:
                client.sendall(data + b"\n")
                reply = replies.readline()
            if f'"val":{number + 1}' not in reply.decode():
                raise SystemExit(f"no reply to the innocent client: {reply!r}")
            waits.append((began, time.monotonic() - began))
    print(json.dumps(waits))


if __name__ == "__main__":
    main()
