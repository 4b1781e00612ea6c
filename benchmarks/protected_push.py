"""What protection costs a push while nothing is wrong: a ready backlog pushed by a rule with neither breaker nor rate, and with one, and with both, in turns.

    python benchmarks/protected_push.py --events 20000

The rate is one that is not reached.
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.support.push_rounds import run

DELIVERIES: dict[str, dict[str, Any]] = {
    "neither": {"breaker": None},
    "breaker": {},
    "breaker and rate": {"rate_per_s": 100_000},
}


if __name__ == "__main__":
    run(
        str(__doc__),
        {key: {} for key in DELIVERIES},
        beside=lambda _: "neither",
        events=20_000,
        rounds=5,
        deliveries=DELIVERIES,
    )
