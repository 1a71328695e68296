"""Hostile peers: what one can cost a server, for each attack.

    make bench-hostile

Three processes: the attacker, the server, and an innocent client that makes a request every 10 ms. The columns: CPU time of
the server for each byte that was sent, the CPU time of the longest callback (on uvloop: of the longest iteration of the event
loop), the same of the longest iteration, growth of resident memory at its peak and after the attack, bytes of log, and the 99th
percentile of the innocent client's waits, alone and under attack.
"""

import argparse
import sys

from hostile.attacks import ATTACKS
from hostile.measuring import Cost, measure
from hostile.sizes import compare

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


def main() -> int:
    """Attack, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m hostile", description="Attack a server")
    parser.add_argument("only", nargs="*", help="parts of the names of attacks")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each attack")
    parser.add_argument("--loop", action="append", choices=["asyncio", "uvloop"])
    parser.add_argument("--sizes", action="store_true", help="only compare estimates of memory")
    options = parser.parse_args()
    if options.sizes:
        print("\n".join(compare()))
        return 0
    broke = 0
    for loop in options.loop or ["asyncio", "uvloop"]:
        print(f"\n{loop}\n{_HEAD}", flush=True)
        for attack in ATTACKS:
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
