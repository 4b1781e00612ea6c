"""Stories: what came of an event, on both engines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventyard import storytelling
from eventyard.core import event as events
from eventyard.core import limits
from eventyard.core.cause import Cited
from eventyard.core.commands import DeleteRule, Publish, Replay
from eventyard.core.delivery import Note, Reason
from eventyard.core.event import Event
from eventyard.core.explain.facts import Outcome
from eventyard.core.verdict import Dead, Delivered
from eventyard.engines.memory import MemoryEngine
from eventyard.engines.sqlite import SqliteEngine
from eventyard.storytelling import Story
from tests.support.houses import House


@pytest.fixture(params=["memory", "sqlite"])
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    house = House(MemoryEngine() if request.param == "memory" else SqliteEngine(str(tmp_path / "bus.db")))
    yield house
    house.engine.close()


def an(id_: str, of: str = "", kind: str = "t") -> Event:
    cause = {"causationid": of, "causationsource": "/s"} if of else {}
    return events.make({"id": id_, "source": "/s", "type": kind, **cause}, {})


def publish(bus: House, *pairs: tuple[str, str]) -> list[int]:
    """Events of these ids, each with the id of what it came of. Their positions."""
    return [answer.position for answer in bus.do(Publish(tuple(an(*pair) for pair in pairs)))]


def told(bus: House, position: int, **asked: Any) -> Story:
    with bus.engine.reader() as view:
        return storytelling.tell(view, bus.state, position, bus.now(), **asked)


def root_of(bus: House, position: int) -> int:
    with bus.engine.reader() as view:
        return storytelling.root_of(view, 1, position)


def shape(story: Story) -> list[tuple[str, int | None, int]]:
    return [(c.event.id if c.event else "?", c.cause, c.depth) for c in story.chapters]


FAMILY = (("a", ""), ("b", "a"), ("other", ""), ("c", "b"), ("d", "a"), ("e", "b"), ("f", "c"))


def test_a_story_is_told_in_the_order_of_the_log_with_what_came_of_what(bus: House) -> None:
    publish(bus, *FAMILY)

    story = told(bus, 1)

    assert shape(story) == [("a", None, 0), ("b", 1, 1), ("c", 2, 2), ("d", 1, 1), ("e", 2, 2), ("f", 4, 3)]
    assert (story.next_after, story.is_cut, story.before) == (None, False, None)


def test_it_may_begin_in_the_middle(bus: House) -> None:
    publish(bus, *FAMILY)

    assert shape(told(bus, 2)) == [("b", None, 0), ("c", 2, 1), ("e", 2, 1), ("f", 4, 2)]
    assert told(bus, 2).before == Cited("/s", "a")
    assert shape(told(bus, 3)) == [("other", None, 0)]
    assert [root_of(bus, position) for position in range(1, 8)] == [1, 1, 3, 1, 1, 1, 1]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 7])
def test_pages_together_are_the_whole_story(bus: House, limit: int) -> None:
    publish(bus, *FAMILY)
    whole, after, parts = shape(told(bus, 1)), 0, []

    while True:
        story = told(bus, 1, after=after, limit=limit)
        parts += shape(story)
        assert len(story.chapters) <= limit
        if story.next_after is None:
            break
        after = story.next_after

    assert parts == whole


def test_a_story_that_is_too_long_is_cut_and_says_so(bus: House, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(bus, *FAMILY)
    monkeypatch.setattr(limits, "STORY_EVENTS_MAX", 4)

    story = told(bus, 1)

    assert ([chapter.position for chapter in story.chapters], story.is_cut) == ([1, 2, 4, 5], True)


def test_a_chain_of_many_events_is_told_to_its_end(bus: House) -> None:
    bus.writer._hops_max = 1_000
    publish(bus, ("0", ""), *((str(number), str(number - 1)) for number in range(1, 400)))

    story = told(bus, 1, limit=500)

    assert [chapter.depth for chapter in story.chapters] == list(range(400))
    assert root_of(bus, 400) == 1


def test_deliveries_are_told_with_their_rules_and_fates(bus: House) -> None:
    uid = bus.put("r", pattern={"type": ["t"]}).uid
    gone = bus.put("gone", pattern={"type": ["t"]}, target={"queue": {}}).uid
    bus.receiver.want(uid, 10)
    [position] = publish(bus, ("a", ""))
    [lease] = bus.take()
    bus.settle(lease, Dead(Note(reason=Reason.ANSWER, status=422, answer="no")))
    bus.do(DeleteRule("gone"))
    bus.rest()

    first, *others = told(bus, position).chapters

    assert [(told_.name, told_.uid, told_.delivery.outcome) for told_ in first.rules] == [
        ("r", uid, Outcome.DEAD),
        ("gone", gone, Outcome.DISCARDED),
    ]
    assert "422" in first.rules[0].delivery.why
    kinds = [chapter.event.json.count(b"io.eventyard.delivery.") for chapter in others if chapter.event]
    assert (kinds, [chapter.cause for chapter in others]) == ([1, 1], [position, position])


def test_a_replay_is_told_as_one(bus: House) -> None:
    uid = bus.put("r", pattern={"type": ["t"]}).uid
    bus.receiver.want(uid, 10)
    [position] = publish(bus, ("a", ""))
    [lease] = bus.take()
    bus.settle(lease, Delivered(Note(status=204)))
    bus.do(Replay("r", "earliest"))
    bus.rest()

    [first, second] = [rule.delivery for rule in told(bus, position).chapters[0].rules]

    assert (first.outcome, first.is_replayed) == (Outcome.DELIVERED, False)
    assert second.is_replayed


def test_of_many_deliveries_the_first_are_told(bus: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STORY_DELIVERIES_MAX", 2)
    for number in range(3):
        bus.put(f"r{number}", pattern={"type": ["t"]})
    [position] = publish(bus, ("a", ""))

    [chapter] = told(bus, position).chapters

    assert ([rule.name for rule in chapter.rules], chapter.has_more) == (["r0", "r1"], True)


def test_what_retention_has_taken_ends_the_way_back(bus: House) -> None:
    from eventyard.core.commands import Retain  # noqa: PLC0415 - only here

    publish(bus, ("a", ""), ("b", "a"), ("c", "b"))
    bus.do(Retain(2))

    assert root_of(bus, 3) == 2
    assert (shape(told(bus, 2)), told(bus, 2).before) == ([("b", None, 0), ("c", 2, 1)], Cited("/s", "a"))
