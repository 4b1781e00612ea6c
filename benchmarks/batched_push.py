"""What batches spare a push: a ready backlog pushed one by one, in batches of 10 and of 50, and these signed, in turns.

    python benchmarks/batched_push.py --events 20000

As `signed_push.py`. The target counts events, in whatever number they come, and says nothing of each.
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.signed_push import SECRETS
from benchmarks.support.push_rounds import run

TARGETS: dict[str, dict[str, Any]] = {
    "one by one": {},
    "batches of 10": {"batch": {"max_events": 10, "wait_s": 0.1}},
    "batches of 50": {"batch": {"max_events": 50, "wait_s": 0.1}},
    "batches of 50, signed": {"batch": {"max_events": 50, "wait_s": 0.1}, "signing": {"secrets": SECRETS[:1]}},
}


if __name__ == "__main__":
    run(str(__doc__), TARGETS, beside=lambda _: "one by one", events=20_000, rounds=3)
