"""What a transform costs a push: a ready backlog pushed plain, shaped by a template, and shaped by JSONata, in turns.

    python benchmarks/transformed_push.py --events 10000

As `signed_push.py`. The template and the expressions make the same request: a body of four values, a header and a parameter.
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.support.push_rounds import run

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


if __name__ == "__main__":
    run(str(__doc__), TARGETS, beside=lambda _: "plain", events=10_000, rounds=3)
