"""Rewards gives points for larger orders. It came last: one rule, which starts in the past, and nobody else changed a line."""

from dataclasses import dataclass
from typing import Any

from shop import URL, Memory, say  # type: ignore[import-not-found]  # beside this script

from eventyard.client import CloudEvent, Service

service = Service("rewards", url=URL, owner="team-rewards", source="/shop/rewards")
memory = Memory("rewards", "CREATE TABLE IF NOT EXISTS points (number TEXT PRIMARY KEY, points INTEGER NOT NULL)")

LARGER = {"type": ["order.paid"], "data": {"total": [{"numeric": [">=", 20]}]}}


@dataclass
class Paid:
    """What is read of an order; whatever else it says is left alone."""

    order: str
    total: float


@service.on(LARGER, start="earliest")
def grant(event: CloudEvent[Paid]) -> dict[str, Any]:
    """Reward points for paid orders of 20 and more."""
    order, points = event.data.order, int(event.data.total)
    with memory.once(event) as db:
        if db:
            db.execute("INSERT INTO points VALUES (?, ?)", (order, points))
            say(f"{points} points for {order}")
    return {"type": "points.granted", "subject": order, "data": {"order": order, "points": points}}


if __name__ == "__main__":
    service.run()
