"""Letters sends a kind word for each order that is on its way. It needs nothing of this folder: `eventyard.client` makes a service of it."""

import os
from typing import Any

from eventyard.client import CloudEvent, Service

URL = os.environ.get("EVENTYARD_URL", "http://127.0.0.1:8410")

service = Service("letters", url=URL, owner="team-kindness", source="/shop/letters")


@service.on("order.shipped", start="earliest")
def send(event: CloudEvent[Any]) -> dict[str, Any]:
    """A kind word on the day of dispatch."""
    print(f"a kind word for {event.subject}", flush=True)
    return {"type": "letter.sent", "subject": event.subject, "data": {"order": event.subject}}


if __name__ == "__main__":
    service.run()
