"""The longest that one match takes: of one rule and of a full bus, within every limit on patterns and events.

    python -m benchmarks.matcher_worst                      the worst cases known, a few minutes
    python -m benchmarks.matcher_worst --only objects       those whose name contains this
    python -m benchmarks.matcher_worst --search 600         look for worse ones by chance and climbing, from --seed

Beside each match stands `strict_json.decode` of the same event: what it takes to accept it at all. `again` is the second match, when
tables and decoder are there.
"""

import argparse
import os
from functools import partial

from benchmarks.matcher_worst.cases import CASES
from benchmarks.matcher_worst.measuring import Figures, measured
from benchmarks.matcher_worst.search import search
from benchmarks.support.progress import announce
from eventyard.core.limits import EVENT_BYTES_MAX


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--bytes", type=int, default=EVENT_BYTES_MAX, help="of an event; default: the largest")
    parser.add_argument("--rules", type=int, default=10_000, help="of a full bus")
    parser.add_argument("--cap", type=int, default=20, help="seconds after which a match is given up")
    parser.add_argument("--search", type=int, default=0, metavar="SECONDS", help="look for worse cases for so long")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    if options.search:
        search(options.search, options.seed, options.bytes)
        return
    print(f"{'':57} first s   again s  decode s  / decode       MB")
    for name, case in CASES.items():
        if options.only in name:
            announce(name)
            show(name, measured(partial(case.make, options.bytes, options.rules), options.cap))


def show(name: str, found: Figures) -> None:
    announce("")
    ratio = f"{found.again_s / found.decoding_s:8,.0f}" if found.decoding_s else ""
    print(
        f"{name:55} {found.first_s:9.3f} {found.again_s:9.3f} {found.decoding_s:9.3f}  {ratio} {found.memory_mb:8,.0f}   {found.verdict}",
        flush=True,
    )


if __name__ == "__main__":
    main()
