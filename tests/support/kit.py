"""Rules and receivers for tests of the testing kit."""

import datetime
from collections.abc import Callable
from typing import Any

from eventyard.testing import Bus, Request

URL = "http://rewards/events"
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def rule(kind: str = "order.paid", url: str = URL, **members: Any) -> dict[str, Any]:
    return {"pattern": {"type": [kind]}, "target": {"http": {"url": url}}, **members}


def seconds(requests: list[Request]) -> list[float]:
    """When each came, since the bus began."""
    return [(request.at - START).total_seconds() for request in requests]


def publishing(bus: Bus, kind: str) -> Callable[[Request], None]:
    """A handler that does nothing else."""

    def publish(_request: Request) -> None:
        bus.publish(type=kind)

    return publish
