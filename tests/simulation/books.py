"""The books: what clients were answered and what targets were sent. They know nothing of the house's own state."""

import msgspec

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


class Push(msgspec.Struct):
    """One request as its target saw it. `answered_ms` and `status` once the house got its answer (0: none came)."""

    delivery: str
    attempt: int
    position: int
    bus: str
    url: str
    event: bytes
    life: int
    sent_ms: int
    lease_ms: int
    is_processed: bool = False
    answered_ms: int | None = None
    status: int = 0

    @property
    def is_delivered(self) -> bool:
        return 200 <= self.status < 300


class Books:
    def __init__(self) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.pushes: dict[str, list[Push]] = {}
        self.live_from: dict[tuple[str, int], int] = {}
        self.edits: list[Edit] = []
        self.buses: set[str] = set()
        self.buses_deleting: set[str] = set()
        self.buses_deleted: set[str] = set()
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

    def push(self, push: Push) -> None:
        """A push of a delivery that was pushed before must have a reason that the promises name."""
        before = self.pushes.setdefault(push.delivery, [])
        if before:
            _check_again(before, push)
        before.append(push)

    def see_live(self, incarnation: str, uid: int, head: int) -> None:
        """From here on the rule is known to be in the live index: what comes later cannot pass it by."""
        self.live_from.setdefault((incarnation, uid), head)


def _check_again(before: list[Push], push: Push) -> None:
    first, last = before[0], before[-1]
    if (first.position, first.bus, first.event) != (push.position, push.bus, push.event):
        raise BrokenPromise(f"delivery {push.delivery} carried another event than before: {first} {push}")
    if last.life != push.life or push.sent_ms - last.sent_ms >= last.lease_ms:
        return
    if last.answered_ms is None:
        raise BrokenPromise(f"delivery {push.delivery} was pushed twice at a time: {last} {push}")
    if last.is_delivered:
        raise BrokenPromise(f"delivery {push.delivery} was pushed again after its target took it: {last} {push}")
