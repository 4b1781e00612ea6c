"""What signing costs a push: a ready backlog pushed unsigned, signed with one secret, and with two, in binary mode too, in turns.

    python benchmarks/signed_push.py --events 20000

As `workers.py`, with the server itself pushing: the rule is paused while its events are published, then resumed, and the clock runs until the target has
had them all. The target verifies nothing, so that what is measured is the sender.
"""

import base64
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.support.push_rounds import run

SECRETS = [{"secret": "whsec_" + base64.b64encode(bytes([number]) * 32).decode()} for number in range(2)]
TARGETS: dict[str, dict[str, Any]] = {
    "unsigned": {},
    "one secret": {"signing": {"secrets": SECRETS[:1]}},
    "two secrets": {"signing": {"secrets": SECRETS}},
    "unsigned, binary": {"mode": "binary"},
    "two secrets, binary": {"mode": "binary", "signing": {"secrets": SECRETS}},
}


if __name__ == "__main__":
    run(
        str(__doc__),
        TARGETS,
        beside=lambda name: "unsigned, binary" if "binary" in name else "unsigned",
        events=20_000,
        rounds=5,
    )
