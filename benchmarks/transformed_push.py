"""What a transform costs a push: a ready backlog pushed plain, shaped by a template, and shaped by JSONata, in turns.

    python benchmarks/transformed_push.py --events 10000

As `signed_push.py`. The template and the expressions make the same request: a body of four values, a header and a parameter.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.signed_push import measure
from benchmarks.support.progress import announce

TEMPLATE = {
    "paths": {
        "id": "id",
        "type": "type",
        "source": "source",
        "order": {"path": "data.order", "default": 1},
        "key": "@delivery",
    },
    "query": {"order": "<order>"},
    "headers": {"idempotency-key": "<key>"},
    "body": {"event": "<id>", "kind": "<type>", "order": "<order>", "note": "<type> of <source>"},
}
JSONATA = {
    "query": {"order": "data.order ? data.order : 1"},
    "headers": {"idempotency-key": "$delivery"},
    "body": '{"event": id, "kind": type, "order": data.order ? data.order : 1, "note": type & " of " & source}',
}
TARGETS: dict[str, dict[str, Any]] = {
    "plain": {},
    "template": {"transform": {"template": TEMPLATE}},
    "jsonata": {"transform": {"jsonata": JSONATA}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000, help="in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", help="a folder on the disk to measure; default: the system's temporary folder")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}", flush=True)
    rounds: dict[str, list[float]] = {name: [] for name in TARGETS}
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        for number in range(options.rounds):
            for name, target in TARGETS.items():
                announce(f"round {number + 1} of {options.rounds}: {name}")
                rounds[name].append(measure(Path(folder) / f"{number}-{name}", options.events, target))
    announce("")
    for name, found in rounds.items():
        ratio = statistics.median(own / plain for own, plain in zip(found, rounds["plain"], strict=True))
        print(f"{name:10} {statistics.median(found):8,.0f} deliveries/s   ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
