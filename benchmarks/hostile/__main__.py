"""Hostile peers: what one can cost a server, for each attack.

    make bench-hostile
    make bench-hostile HOSTILE=--renew      (the rows of docs/security.md, and write them there)

Three processes: the attacker, the server, and an innocent client that makes a request every 10 ms. The columns: CPU time of
the server for each byte that was sent, the CPU time of the longest callback (on uvloop: of the longest iteration of the event
loop), the same of the longest iteration, growth of resident memory at its peak and after the attack, bytes of log, and the 99th
percentile of the innocent client's waits, alone and under attack. The CPU time of the longest callback is that of a machine
which decodes 1 MB of JSON in 10 ms: see ``server.reference``.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Final

from hostile.attacks import ATTACKS
from hostile.measuring import Cost, measure
from hostile.signed import SIGNED_ATTACKS
from hostile.sizes import compare

_ALL: Final = (*ATTACKS, *SIGNED_ATTACKS)
_HEAD = (
    f"{'':52}{'ns/byte':>9}{'hold ms':>9}{'iter. ms':>9}{'gc ms':>7}{'garbage':>9}{'peak MiB':>9}{'after':>7}{'log KiB':>8}"
    f"{'p99 ms':>8}{'attacked':>9}"
)


def _row(name: str, cost: Cost) -> str:
    mib = 2**20
    return (
        f"{name:52}{cost.cpu / max(1, cost.sent) * 1e9:9,.0f}{cost.hold * 1e3:9.1f}{cost.iteration * 1e3:9.1f}{cost.collection * 1e3:7.1f}{cost.garbage:9,}"
        f"{(cost.peak - cost.before) / mib:9.0f}{(cost.after - cost.before) / mib:7.0f}{cost.log / 1024:8.1f}"
        f"{cost.alone * 1e3:8.1f}{cost.under_attack * 1e3:9.1f}"
    )


# The attacks of the page, by what it calls them.
_ROWS: Final[Mapping[str, str]] = {
    "lines of 2 bytes (the connection is closed)": "lines of 2 bytes",
    "lines of 33 bytes that are no messages": "lines of 33 bytes",
    "small requests": "small requests",
    "small requests on 100 connections": "small requests, 100 connections",
    "small values that their schema rejects": "invalid small models",
    "events": "events",
    "10,000 empty arrays": "any: empty arrays",
    "16,600 numbers such as `1.5e300`": "any: exponents",
    "objects of a model": "items: objects",
    "nested objects of a tagged union": "shapes: nested tagged union",
    "objects of an ambiguous recursive union": "trees: wide and ambiguous",
    "nested arrays of an ambiguous recursive union": "trees: nested arrays",
    "nested objects of it that no alternative accepts": "trees: ambiguous and wrong",
    "`uniqueItems` with 10,000 arrays": "unique: arrays",
    "`contains` that no item fits": "contains: no match",
    "`multipleOf: 0.1` with 49,900 numbers": "tenths: multiples of a tenth",
    "a string of 10 MiB": "text: 10 MiB",
    "a string of 10 MiB with 295,000 escapes": "text: 10 MiB of escapes",
    "1 MiB with 1,480 lone surrogates": "text: 1 MiB, 1,480 lone surrogates",
    "20 connections that do not read their replies": "unread replies",
    "50 unfinished messages of 10 MiB": "half messages, 50 connections",
    "1,000 open calls with large values, then the end of the connection": "1,000 open calls",
    "10,000 open calls": "10,000 open calls",
    "10,000 open channels": "10,000 open streams",
    "an invalid message on each of 1,000 connections": "an invalid message on each of 1,000 connections",
    "server with an identity: 100,000 messages that are refused": "signed: 100,000 messages that are refused",
    "signed small requests": "signed: small requests",
    "signed small requests, ES256": "signed: small requests, ES256",
    "requests with forged signatures": "signed: forged requests",
    "requests with chains of 4 capabilities": "signed: chains of 4 capabilities",
    "a signed message of 10 MiB": "signed: 10 MiB",
    "the same, of wide characters, in another spelling": "signed: 10 MiB of wide characters in another spelling",
    "a signed object of 49,800 properties, in another spelling": "signed: one object in another spelling",
    "signed numbers with a lone surrogate": "signed: numbers, one lone surrogate",
}
_PAGE: Final = Path(__file__).parents[2] / "docs/security.md"
_TABLE: Final = """\
| attack | CPU, ns per byte | longest callback, ms | memory at peak, MiB | after | another client's p99, ms (alone) |
|---|---|---|---|---|---|
"""


def _page_row(name: str, cost: Cost) -> str:
    mib = 2**20
    figures = (
        f"{cost.cpu / max(1, cost.sent) * 1e9:,.0f}",
        f"{cost.hold * 1e3:.0f}",
        f"{max(cost.peak - cost.before, 0) / mib:.0f}",
        f"{max(cost.after - cost.before, 0) / mib:.0f}",
        f"{cost.under_attack * 1e3:.1f} ({cost.alone * 1e3:.1f})",
    )
    return f"| {name} | {' | '.join(figures)} |\n"


def with_table(page: str, rows: Iterable[str]) -> str:
    """Return the page with other rows in its table of costs."""
    before, head, rest = page.partition("| attack |")
    table = "".join(
        takewhile(lambda line: line.startswith("|"), (head + rest).splitlines(keepends=True))
    )
    return page.replace(table, _TABLE + "".join(rows)) if head else before


def _renew(seconds: float) -> None:
    """Measure the attacks of the page, and write its table."""
    attacks, rows = {each.name: each for each in _ALL}, list[str]()
    for name, attack in _ROWS.items():
        runs = [measure(attacks[attack], "asyncio", seconds=seconds, alone=1.0) for _ in range(2)]
        rows.append(_page_row(name, min(runs, key=lambda cost: cost.hold)))
        print(rows[-1], end="", flush=True)
    _PAGE.write_text(with_table(_PAGE.read_text(), rows))


def main() -> int:
    """Attack, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m hostile", description="Attack a server")
    parser.add_argument("only", nargs="*", help="parts of the names of attacks")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each attack")
    parser.add_argument("--loop", action="append", choices=["asyncio", "uvloop"])
    parser.add_argument("--sizes", action="store_true", help="only compare estimates of memory")
    parser.add_argument(
        "--renew", action="store_true", help="measure the rows of docs/security.md, and write them"
    )
    options = parser.parse_args()
    if options.sizes:
        print("\n".join(compare()))
        return 0
    if options.renew:
        _renew(options.seconds)
        return 0
    broke = 0
    for loop in options.loop or ["asyncio", "uvloop"]:
        print(f"\n{loop}\n{_HEAD}", flush=True)
        for attack in _ALL:
            if options.only and not any(each in attack.name for each in options.only):
                continue
            for tcp in (False, True) if attack.over_tcp else (False,):
                cost = measure(attack, loop, seconds=options.seconds, tcp=tcp, alone=1.0)
                print(_row(attack.name + (" (TCP)" if tcp else ""), cost), flush=True)
                broken = cost.broken(attack)
                broke += bool(broken)
                for each in broken:
                    print(f"    broke its bound: {each}", flush=True)
    if not options.only:
        print("\n".join(("", *compare())))
    print(f"\n{broke} attacks broke a bound")
    return 1 if broke else 0


if __name__ == "__main__":
    sys.exit(main())
