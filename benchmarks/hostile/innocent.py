"""The innocent client: a request every 10 ms. It prints when each began and how long it took, once its stdin ends.

python -S innocent.py ADDRESS
"""

import json
import select
import socket
import sys
import time

_PAUSE = 0.01


def connect(address: str) -> socket.socket:
    """Connect to a path, or to a port."""
    if address.isdigit():
        return socket.create_connection(("127.0.0.1", int(address)), timeout=60)
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(60)
    client.connect(address)
    return client


def main() -> None:
    """Make requests."""
    waits: list[tuple[float, float]] = []
    with connect(sys.argv[1]) as client, client.makefile("rb") as replies:
        print("ready", flush=True)
        number = 0
        while not select.select([sys.stdin], [], [], _PAUSE)[0]:
            number += 1
            payload = {"typ": "request", "rid": str(number), "prc": "ping", "prm": number}
            message = {"header": {"typ": "JWT", "alg": "none"}, "payload": payload}
            began = time.monotonic()
            client.sendall(json.dumps(message).encode() + b"\n")
            reply = replies.readline()
            if f'"val":{number + 1}' not in reply.decode():
                raise SystemExit(f"no reply to the innocent client: {reply!r}")
            waits.append((began, time.monotonic() - began))
    print(json.dumps(waits))


if __name__ == "__main__":
    main()
