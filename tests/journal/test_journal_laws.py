"""Several nodes over one journal that loses questions and answers: whoever is told that a record is kept finds it there, once and in its place.

A node acts between the steps of another's append too, so that a leader may sleep at any of them while others take over, and wake up behind
them. Each law is broken on purpose below, and that has to be noticed.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from random import Random
from unittest import mock

import pytest

from eventyard.core.errors import JournalAway, NotLeading, StorageFull
from eventyard.core.record import BEGINNING, Diverged, Kind, Reading, Record
from eventyard.engines.nats.journal import Journal
from eventyard.engines.nats.stream import Outcome
from tests.support.streams import PART_BYTES, Log, SimulatedStream

STEPS = 60
DEPTH_MAX = 3
"""A node may act while another does, while another does."""


class GivenUp(Exception):
    """A node was killed while it waited."""


class Node:
    def __init__(self, story: "Story", name: str) -> None:
        self.story, self.name = story, name
        self.is_acting = False
        self.start()

    def start(self) -> None:
        """With nothing but what the journal says."""
        stream = SimulatedStream(self.story.log, self.story.between)
        self.applied: list[bytes] = []
        self.journal = Journal(stream, BEGINNING, ids=self.story.new_id, pause=self.pause)

    def pause(self) -> None:
        self.story.between()
        if self.story.log.chance(0.05):
            raise GivenUp

    def act(self) -> None:
        self.is_acting = True
        try:
            self._act()
        except (JournalAway, StorageFull):
            pass  # It tries again when its turn comes.
        except GivenUp:
            self.start()
        finally:
            self.is_acting = False

    def _act(self) -> None:
        if not self.journal.is_led:
            taken = self.journal.lead(self.name) if self.story.random.random() < 0.5 else self.journal.follow()
            self._apply(taken)
        else:
            self._append()

    def _apply(self, records: Iterator[Record]) -> None:
        for found in records:
            if found.kind is Kind.CHANGES:
                self.applied.append(found.body)

    def _append(self) -> None:
        body = self.story.new_body()
        try:
            self.journal.append(body)
        except NotLeading:
            self.story.refused.add(body)
            self.start()  # What it had applied is a store that may be ahead of nothing: it begins anew.
        except StorageFull:
            self.start()
        else:
            self.applied.append(body)
            self.story.told(self, body)


class Story:
    def __init__(self, seed: int, *, is_fenced: bool = True) -> None:
        self.random = Random(seed)
        self.log = Log(self.random, is_fenced=is_fenced)
        self.kept: dict[str, list[bytes]] = {"a": [], "b": [], "c": []}
        self.refused: set[bytes] = set()
        self._numbers = itertools.count(1)
        self.depth = 0
        self.nodes = [Node(self, name) for name in "abc"]

    def new_id(self) -> bytes:
        return next(self._numbers).to_bytes(16, "big")

    def new_body(self) -> bytes:
        return b"%d:" % next(self._numbers) + bytes(self.random.choice([0, 1, PART_BYTES, 3 * PART_BYTES]))

    def told(self, node: Node, body: bytes) -> None:
        self.kept[node.name].append(body)
        assert bodies(self.log)[: len(node.applied)] == node.applied, "a leader's state is not what the journal says"

    def between(self) -> None:
        idle = [node for node in self.nodes if not node.is_acting]
        if idle and self.depth < DEPTH_MAX and self.log.chance(0.1):
            self.depth += 1
            self.random.choice(idle).act()
            self.depth -= 1

    def play(self) -> None:
        for _ in range(STEPS):
            self.log.is_full = self.log.chance(0.03)
            self.random.choice(self.nodes).act()
        self.log.is_calm, self.log.is_full = True, False
        self.log.deliver_late()
        found = bodies(self.log)
        for own in self.kept.values():
            assert [body for body in found if body in set(own)] == own, (
                "what was told to be kept is not there, once and in order"
            )
        assert not self.refused & set(found), "what was refused is there"
        for node in self.nodes:
            node.act()
            node.act()
        assert any(node.journal.is_led for node in self.nodes), "nobody can lead"


def bodies(log: Log) -> list[bytes]:
    """What a node that comes new reads."""
    reading = Reading(BEGINNING)
    found = [reading.take(number, message) for number, message in enumerate(log.messages, 1)]
    return [one.body for one in found if one is not None and one.kind is Kind.CHANGES]


@pytest.mark.parametrize("seeds", [range(start, start + 50) for start in range(0, 150, 50)], ids=lambda seeds: str(seeds.start))
def test_what_is_told_to_be_kept_stands_once_and_in_order(seeds: range) -> None:
    kept = 0
    for seed in seeds:
        story = Story(seed)
        story.play()
        kept += sum(map(len, story.kept.values()))

    assert kept > 5 * len(seeds), "these stories prove little"


# Each rule left out


def breaks(play: Callable[[int], None]) -> bool:
    for seed in range(300):
        try:
            play(seed)
        except (AssertionError, Diverged):
            return True
    return False


def test_without_the_fence_the_laws_break() -> None:
    assert breaks(lambda seed: Story(seed, is_fenced=False).play())


def believes(*outcomes: Outcome) -> Callable[[Journal, bytes], bool]:
    def is_placed(journal: Journal, message: bytes) -> bool:
        while (outcome := journal._stream.append(message, journal.stand.sequence)) not in outcomes:
            if outcome is Outcome.TAKEN:
                return False
            if outcome is Outcome.FULL:
                raise StorageFull("full")
        return True

    return is_placed


@pytest.mark.parametrize(
    ("rule", "is_placed"),
    [
        ("no answer is no success", believes(Outcome.STORED, Outcome.UNKNOWN)),
        ("a refusal may mean that it stands there already", believes(Outcome.STORED)),
        ("a refusal is no success", believes(Outcome.STORED, Outcome.TAKEN)),
    ],
)
def test_without_one_of_the_rules_of_ambiguity_the_laws_break(rule: str, is_placed: Callable[[Journal, bytes], bool]) -> None:
    with mock.patch.object(Journal, "_is_placed", is_placed):
        assert breaks(lambda seed: Story(seed).play()), rule


def test_who_gives_a_record_up_while_its_fate_is_unknown_breaks_the_laws() -> None:
    """Its caller is told that it is not kept, and then it comes in late."""

    def is_placed(journal: Journal, message: bytes) -> bool:
        outcome = journal._stream.append(message, journal.stand.sequence)
        there = None
        with contextlib.suppress(JournalAway):
            there = journal._stream.read(journal.stand.sequence + 1)
        return outcome is Outcome.STORED or there == message

    with mock.patch.object(Journal, "_is_placed", is_placed):
        assert breaks(lambda seed: Story(seed).play())
