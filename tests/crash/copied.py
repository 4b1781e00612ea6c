"""What goes on to another bus, and what is answered there: each event is there once, and has one reply, however often it was brought and answered.

The receiver answers every push of `replied` with an event of another id, so nothing but the step that settles a delivery keeps replies apart.
"""

import json
import uuid
from collections import Counter
from typing import Any

from tests.crash.shaped import FEW

COPIED: dict[str, Any] = {
    "pattern": FEW[0],
    "target": {"bus": {"name": "copies"}},
    "start": "earliest",
    "delivery": {"backoff": {"initial_s": 0.05, "factor": 2, "max_s": 0.5}},
}
"""The rule `copied`, which brings events to the bus `copies`."""

ANSWERED: dict[str, Any] = FEW[0]
"""The pattern of the rule `replied` on that bus, whose target answers with an event."""

REPLY = "number.replied"


def reply_to(event: dict[str, Any]) -> bytes:
    """An answer to a push of `replied`, another one each time."""
    made = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "/receiver", "type": REPLY, "data": {"to": event["id"]}}
    return json.dumps(made).encode()


def with_replies(pushed: dict[str, Any]) -> dict[str, Any]:
    return {**pushed, "target": {"http": {**pushed["target"]["http"], "reply": True}}}


def check_copied(log: list[dict[str, Any]], other: list[dict[str, Any]]) -> int:
    """How many replies there are. AssertionError where an event is not on the other bus, twice there, or has not one reply."""
    sent = Counter(_identity(each["event"]) for each in log if FEW[1](each["event"]))
    there = [each["event"] for each in other]
    copies = Counter(_identity(event) for event in there if FEW[1](event))
    assert copies == sent, (
        f"lacking on the other bus {list((sent - copies).items())[:3]}, too many {list((copies - sent).items())[:3]}"
    )
    replies = [event for event in there if event["type"] == REPLY]
    causes = Counter((event["causationsource"], event["causationid"]) for event in replies)
    assert causes == sent, (
        f"without reply {list((sent - causes).items())[:3]}, with several {list((causes - sent).items())[:3]}"
    )
    assert all(event["data"]["to"] == event["causationid"] for event in replies), "a reply has the cause of another"
    assert {event["eventyardhops"] for event in replies} <= {2}, "a reply to a copy has another number of hops"
    return len(replies)


def _identity(event: dict[str, Any]) -> tuple[str, str]:
    return event["source"], event["id"]
