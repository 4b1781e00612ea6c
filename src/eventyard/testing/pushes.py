"""A push as a receiver in a test gets it, and what it answers."""

import datetime
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from eventyard.client.event import encode_json
from eventyard.client.requests import STRUCTURED, answer_to, events_of

REPLIED = 200

Event = dict[str, Any]
"""An event as a dictionary of its attributes and its data."""


class Request(msgspec.Struct, frozen=True):
    """One request that a rule sent. Header names are in lower case; `at` is when it came, by the bus's clock."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    at: datetime.datetime

    @property
    def json(self) -> Any:
        """The body. A rule with a transform sends what that makes."""
        return json.loads(self.body)

    @property
    def events(self) -> list[Event]:
        """The events that it carries: one, or those of a batch."""
        return [json.loads(came.json) for came in events_of(list(self.headers.items()), self.body)]

    @property
    def event(self) -> Event:
        return self.events[0]

    @property
    def rule(self) -> str:
        return self.headers.get("eventyard-rule", "")

    @property
    def delivery(self) -> str:
        """The id that stays the same over all attempts."""
        return self.headers.get("eventyard-delivery", "")

    @property
    def attempt(self) -> int:
        return int(self.headers.get("eventyard-attempt", "1"))

    @property
    def position(self) -> int:
        return int(self.headers.get("eventyard-position", "0"))


class Reply(msgspec.Struct, frozen=True):
    """What a receiver answers, after `after_s` of the bus's time. A body that is neither text nor bytes is sent as JSON."""

    status: int = 204
    body: Any = b""
    headers: Mapping[str, str] = {}
    after_s: float = 0.0

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else encode_json(self.body)


Answer = Reply | Mapping[str, Any] | int | None
"""What a handler returns: a reply, an event, which is answered by 200 for a rule whose target says `reply`, a status alone, or nothing, which is 204."""

Handler = Callable[[Request], Answer | Coroutine[Any, Any, Answer]]
"""A function, plain or async, that answers requests. What it raises is answered as `eventyard.client.Service` answers it: `Reject` 422, `Retry`
503 with when, anything else 500. A failed `assert` in it fails the test.
"""


def reply_of(answer: Answer) -> Reply:
    match answer:
        case None:
            return Reply()
        case Reply():
            return answer
        case int():
            return Reply(answer)
        case Mapping():
            return Reply(REPLIED, {"specversion": "1.0", **answer}, {"content-type": STRUCTURED})


def reply_to(failure: Exception) -> Reply:
    answer = answer_to(failure)
    return Reply(answer.status, answer.body, dict(answer.headers))
