"""GET /v1/buses/{bus}/events/{position}/story: what came of an event."""

from typing import Annotated, Literal

import msgspec

from eventyard.storytelling import Chapter, RuleTold, Story
from eventyard.surfaces.http.calls import Answer, Call, json_answer
from eventyard.surfaces.http.events import read_position
from eventyard.surfaces.http.explaining import DeliveryAnswer, delivery_answer
from eventyard.surfaces.http.schemas import Position, Time
from eventyard.surfaces.http.times import rfc3339

StoryLimit = Annotated[int, msgspec.Meta(ge=1, le=500)]


class StoryQuery(msgspec.Struct, frozen=True, rename={"first": "from"}):
    """`from`: `root`, the event with which everything began that this one is a part of, or `here`, this one. `after` and `limit` page."""

    first: Literal["root", "here"] = "root"
    after: Position = 0
    limit: StoryLimit = 100


class StoryEvent(msgspec.Struct, frozen=True):
    id: str
    source: str
    type: str
    subject: str


class StoryDelivery(msgspec.Struct, frozen=True):
    """A delivery, and the rule that it is for; the rule's name is empty where it is not kept any more."""

    rule: str
    uid: int
    delivery: DeliveryAnswer


class StoryChapter(msgspec.Struct, frozen=True):
    """One event. `cause` is the position of the one that it came of (null: the story begins here), `depth` how many lie between, and one.

    `event` is null where it cannot be read any more. `more_deliveries`: it has more than the 50 that are told; `explain` tells all.
    """

    position: int
    accepted: Time | None
    cause: int | None
    depth: int
    event: StoryEvent | None
    deliveries: list[StoryDelivery]
    more_deliveries: bool


class CitedEvent(msgspec.Struct, frozen=True):
    source: str
    id: str


class StoryAnswer(msgspec.Struct, frozen=True):
    """A tree, told in the order of the log: each event after the one that it came of. `root` is the position with which it begins.

    `before`: what the first event says it came of, where this log does not have that. `cut`: the story is longer than the 5,000 events that are
    told of one. `next` given as `after` continues; null when that was all.
    """

    root: int
    before: CitedEvent | None
    events: list[StoryChapter]
    cut: bool
    next: str | None


async def story(call: Call[StoryQuery]) -> Answer:
    asked, position = call.query, read_position(call.path["position"], at="path position")
    is_whole = asked.first == "root"
    found = await call.yard.story(call.path["bus"], position, is_whole=is_whole, after=asked.after, limit=asked.limit)
    return json_answer(_shown(found))


def _shown(found: Story) -> StoryAnswer:
    return StoryAnswer(
        root=found.root,
        before=None if found.before is None else CitedEvent(found.before.source, found.before.id),
        events=[_chapter(chapter) for chapter in found.chapters],
        cut=found.is_cut,
        next=None if found.next_after is None else str(found.next_after),
    )


class _Identity(msgspec.Struct):
    type: str
    subject: str = ""


_identity = msgspec.json.Decoder(_Identity).decode


def _chapter(chapter: Chapter) -> StoryChapter:
    stored = chapter.event
    told = None if stored is None else _identity(stored.json)
    return StoryChapter(
        position=chapter.position,
        accepted=None if stored is None else rfc3339(stored.accepted_ms),
        cause=chapter.cause,
        depth=chapter.depth,
        event=None if stored is None or told is None else StoryEvent(stored.id, stored.source, told.type, told.subject),
        deliveries=[_delivery(rule) for rule in chapter.rules],
        more_deliveries=chapter.has_more,
    )


def _delivery(told: RuleTold) -> StoryDelivery:
    return StoryDelivery(told.name, told.uid, delivery_answer(told.delivery))
