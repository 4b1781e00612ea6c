"""What came of an event: what is asked, and what is answered. No I/O here."""

import msgspec

from eventyard.client.call import Call, Request, address, answer
from eventyard.client.explaining import ExplainedDelivery


class StoryEvent(msgspec.Struct, frozen=True):
    id: str
    source: str
    type: str
    subject: str = ""


class StoryDelivery(msgspec.Struct, frozen=True):
    """A delivery, and the rule that it is for; the rule's name is empty where it is not kept any more."""

    rule: str
    uid: int
    delivery: ExplainedDelivery


class StoryChapter(msgspec.Struct, frozen=True):
    """One event of a story. `cause` is the position of the one that it came of (None: the story begins here), `depth` how far below that it is.

    `event` is None where it cannot be read any more. `more_deliveries`: it has more than are told; `explain` tells all.
    """

    position: int
    depth: int
    cause: int | None = None
    accepted: str | None = None
    event: StoryEvent | None = None
    deliveries: list[StoryDelivery] = []
    more_deliveries: bool = False


class StoryBefore(msgspec.Struct, frozen=True):
    source: str
    id: str


class Story(msgspec.Struct, frozen=True):
    """A part of a story, in the order of the log: each event after the one that it came of. `root` is the position with which it begins.

    `before`: what the first event says it came of, where this log does not have that. `cut`: it is longer than what is told of one. `next` is
    the position to continue after (None: that was all).
    """

    root: int
    events: list[StoryChapter]
    before: StoryBefore | None = None
    cut: bool = False
    next: str | None = None


def story(
    position: int, *, bus: str = "default", from_here: bool = False, after: int | str = 0, limit: int = 100
) -> Call[Story]:
    """What came of the event at `position`, beginning with the event with which everything began that it is a part of, or, `from_here`, with it.

    At most `limit` (500) events above the position `after`. ProblemError `not-found` where there is no such event.
    """
    query = {"from": "here" if from_here else "root", "after": str(after), "limit": str(limit)}
    return Call(Request("GET", address("buses", bus, "events", str(position), "story"), query), answer(Story))
