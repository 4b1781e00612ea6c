"""The books: what clients were answered, and what targets and consumers were handed. They know nothing of the house's own state."""

import msgspec

from eventyard.core.delivery import Key
from eventyard.core.event import Event


class BrokenPromise(AssertionError):
    """What the house did and what it promised do not agree."""


class Acknowledged(msgspec.Struct, frozen=True):
    """A client's event that was answered with a position. `incarnation` names the life of the bus."""

    incarnation: str
    source: str
    id: str
    digest: bytes
    position: int
    is_duplicate: bool


class Edit(msgspec.Struct, frozen=True):
    """An operator's edit that was answered, and the position of the event that records it."""

    incarnation: str
    position: int
    kind: str
    name: str


class Handed(msgspec.Struct):
    """One delivery as its target got it by a push, or its consumer by a receive.

    `at_ms` is true time, `bus_ms` what the bus took it for; `ends_ms`: when its lease ends; `replay`: as what replay it came. Of a push: `answered_ms`, `status` and what that means for its rule, once the house got the answer (0: none came). Of a receive:
    `lease` numbers it; `acknowledged_ms` and `rejected_ms`, when that was first said; `freed_ms`, from when it may be handed out again
    because its consumer said so; `is_settled`, whether an acknowledgement was answered ok; `is_uncounted`, whether the attempt counts not.
    `is_redriven`: somebody asked for the dead letters of its rule since. `head_before`: where the log ended before its lease was given, which may be a while ago where it
    `has_waited`: for others of its batch, a token, or an expression. `is_forwarded`: it was brought to another bus. `requests`: how often a push was sent, a second time with another token. `offers`: the kinds
    of replies that came back with answers that mean that it is delivered, empty for none.
    """

    incarnation: str
    key: Key
    rule: str
    event: bytes
    attempt: int
    life: int
    at_ms: int
    bus_ms: int
    ends_ms: int
    replay: str = ""
    is_pulled: bool = False
    lease: int = 0
    answered_ms: int | None = None
    status: int = 0
    meaning: str = "retry"
    acknowledged_ms: int | None = None
    rejected_ms: int | None = None
    freed_ms: int | None = None
    is_settled: bool = False
    is_uncounted: bool = False
    is_redriven: bool = False
    has_waited: bool = False
    is_forwarded: bool = False
    requests: int = 1
    offers: list[str] = []
    head_before: int | None = None

    @property
    def is_taken(self) -> bool:
        """Whether the house was told that it is done."""
        return self.meaning == "delivered" or self.acknowledged_ms is not None


HandedKey = tuple[str, Key]
"""The incarnation of the bus, and the delivery."""


class Books:
    def __init__(self) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.handed: dict[HandedKey, list[Handed]] = {}
        self.edits: list[Edit] = []
        self.buses: set[str] = set()
        self.buses_deleting: set[str] = set()
        self.buses_deleted: set[str] = set()
        self.unshaped: set[tuple[object, bytes]] = set()
        """What rule and event an evaluator said that it cannot evaluate for."""
        self._submitted: dict[tuple[str, str, str], set[bytes]] = {}

    def submit(self, incarnation: str, event: Event) -> None:
        self._submitted.setdefault((incarnation, event.source, event.id), set()).add(event.digest)

    def conflict(self, incarnation: str, event: Event) -> None:
        """A conflict is answered only where other content was sent under the same source and id."""
        if len(self._submitted[incarnation, event.source, event.id]) == 1:
            raise BrokenPromise(f"event {event.source} {event.id} was refused as a conflict with itself")

    def acknowledge(self, incarnation: str, event: Event, position: int, *, is_duplicate: bool) -> None:
        self.acknowledged.append(
            Acknowledged(incarnation, event.source, event.id, event.digest, position, is_duplicate=is_duplicate)
        )

    def hand(self, handed: Handed, *, was_pushed: bool) -> None:
        """What was handed out before must have a reason that the promises name to be handed out again.

        `was_pushed`: whether its rule was a push rule at any time: then a restart ends its leases.
        """
        before = self.handed.setdefault((handed.incarnation, handed.key), [])
        if before:
            _check_again(before, handed, was_pushed=was_pushed)
        before.append(handed)

    def redrive(self, incarnation: str, rule: str) -> None:
        """Somebody asks for the dead letters of a rule once more: what had been given up may come at any time."""
        for (of, _), handed in self.handed.items():
            last = handed[-1]
            if of == incarnation and last.rule == rule:
                last.is_redriven = True
                last.freed_ms = None if last.freed_ms is None else min(last.freed_ms, last.at_ms)


def _check_again(before: list[Handed], handed: Handed, *, was_pushed: bool) -> None:
    first, last = before[0], before[-1]
    if (first.rule, first.event) != (handed.rule, handed.event):
        raise BrokenPromise(f"a delivery carried another event than before: {first} {handed}")
    if last.is_settled:
        raise BrokenPromise(f"a delivery was handed out again after it was acknowledged and answered so: {last} {handed}")
    _check_count(last, handed)
    is_restarted = last.life != handed.life and (not last.is_pulled or was_pushed)
    if handed.at_ms >= last.ends_ms or is_restarted:
        return
    if last.is_pulled:
        _check_freed(last, handed)
    else:
        _check_failed(last, handed)


def _check_count(last: Handed, handed: Handed) -> None:
    """Attempts are counted over restarts, and begin anew where somebody asks for it."""
    is_counted = not (last.is_uncounted or last.meaning == "pause")
    if handed.attempt < last.attempt + is_counted and not last.is_redriven:
        raise BrokenPromise(f"an attempt was not counted: {last} {handed}")


def _check_freed(last: Handed, handed: Handed) -> None:
    """Consumers live on when the bus dies, and so do their leases."""
    if last.freed_ms is None or handed.at_ms < last.freed_ms:
        raise BrokenPromise(f"a delivery was handed out again while its consumer held it: {last} {handed}")


def _check_failed(last: Handed, handed: Handed) -> None:
    if last.answered_ms is None:
        raise BrokenPromise(f"a delivery was pushed twice at a time: {last} {handed}")
    if last.is_taken:
        raise BrokenPromise(f"a delivery was pushed again after its target took it: {last} {handed}")
