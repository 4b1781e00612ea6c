"""Order by key: which lane an event goes in, and what stands in each lane.

Theory of operation. A rule with `order: key` has one lane per key and run. A lane's head may be leased; everything behind it is
BLOCKED and in no queue, so nothing can overtake. When the head is delivered or discarded the next one becomes the head, in the very
step that ended it. A head that dies parks its lane: it stays the head, dead, until it is redriven, skipped or purged; other lanes
flow. An event without the key is in no lane and in no order.

Keys are kept as 63-bit hashes. Two keys of one hash share a lane: they then wait for each other, and nothing worse.
"""

import json
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from eventyard.core.delivery import Delivery, Key, State
from eventyard.core.rule import DeliveryPolicy

_KEYS_REMEMBERED = 65_536


def lane_of(policy: DeliveryPolicy, event: bytes) -> int:
    """The lane of an event in its structured form; 0 where the rule keeps no order or the event has no key."""
    if policy.order == "none":
        return 0
    return lane_of_key(key_of(policy, event))


def key_of(policy: DeliveryPolicy, event: bytes) -> Any:
    """The key of an event under a policy that keeps order; None where it has none."""
    key = _reader(policy.key)(event)
    return None if key is msgspec.UNSET else key


def lane_of_key(key: Any) -> int:
    """The lane of a key: any JSON value, None for none. Numbers are equal by value: 1 and 1.0 are one key."""
    if key is None:
        return 0
    if isinstance(key, str):
        return _hash("s" + key)
    if isinstance(key, float) and key.is_integer():
        key = int(key)
    return _hash("j" + json.dumps(key, sort_keys=True))


@lru_cache(_KEYS_REMEMBERED)
def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") >> 1 or 1


@cache
def _reader(path: str) -> Callable[[bytes], Any]:
    """How the key is read from an event's bytes. Only what the path names is built; msgspec passes over the rest in C."""
    if not path:
        return _default_key
    steps = path.split(".")
    decode = msgspec.json.Decoder(_projection(tuple(steps))).decode
    return lambda event: _follow(decode(event), steps)


def _projection(steps: tuple[str, ...]) -> Any:
    """A struct for the first step, in it one for the second, and so on. Other JSON may stand at each step but the outermost."""
    inner: Any = Any
    for step in reversed(steps):
        struct = msgspec.defstruct("Step", [("step", inner, msgspec.UNSET)], rename={"step": step})
        inner = struct | list[Any] | str | int | float | bool | None
    return struct


def _follow(found: Any, steps: Iterable[str]) -> Any:
    for _ in steps:
        if not isinstance(found, msgspec.Struct):
            return None
        found = found.step  # type: ignore[attr-defined]
    return found


class _Keyed(msgspec.Struct):
    partitionkey: str | None = None
    subject: str | None = None


_read_keyed = msgspec.json.Decoder(_Keyed).decode


def _default_key(event: bytes) -> str | None:
    """`partitionkey` (the CloudEvents partitioning extension), else `subject`."""
    keyed = _read_keyed(event)
    return keyed.subject if keyed.partitionkey is None else keyed.partitionkey


_NOBODY: list[int] = []
"""What stands behind the heads of most lanes. Never changed: there are as many lanes as keys under way."""


class Lane:
    """`head`: the position that may be delivered (0: none now); `is_parked`: it is dead; `behind`: positions in their order."""

    __slots__ = ("behind", "head", "is_parked")

    def __init__(self, head: int = 0, *, is_parked: bool = False, behind: list[int] | None = None) -> None:
        self.head = head
        self.is_parked = is_parked
        self.behind = behind or _NOBODY

    @property
    def is_empty(self) -> bool:
        return not self.head and not self.behind

    def copy(self) -> "Lane":
        return Lane(self.head, is_parked=self.is_parked, behind=self.behind.copy())

    def place(self, delivery: Delivery) -> None:
        """Take over where a delivery stands now. In whatever order the rows of one step are placed, the lane ends up the same."""
        position, state = delivery.position, delivery.state
        if state is State.BLOCKED:
            if not self.behind:
                self.behind = [position]
            elif not _has(self.behind, position):
                insort(self.behind, position)
            return
        if self.behind:
            _remove(self.behind, position)
        if state.is_running or state is State.DEAD:
            self.head, self.is_parked = position, state is State.DEAD
        elif self.head == position:
            self.head, self.is_parked = 0, False


class Lanes:
    """The lanes of one rule, all its runs."""

    def __init__(self) -> None:
        self.lanes: dict[tuple[int, int], Lane] = {}
        self.parked: set[tuple[int, int]] = set()
        self._behind: dict[int, int] = {}

    @property
    def parked_behind(self) -> int:
        """Deliveries that wait behind a dead head."""
        return sum(list(self._behind.values()))

    def parked_behind_in(self, run: int) -> int:
        return self._behind.get(run, 0)

    def place(self, delivery: Delivery) -> None:
        key = (delivery.run, delivery.lane)
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = Lane()
        before = len(lane.behind) if lane.is_parked else 0
        lane.place(delivery)
        after = len(lane.behind) if lane.is_parked else 0
        if after != before:
            self._behind[delivery.run] = self._behind.get(delivery.run, 0) + after - before
        if lane.is_parked:
            self.parked.add(key)
        else:
            self.parked.discard(key)
        if lane.is_empty:
            del self.lanes[key]


LaneKey = tuple[int, int, int]
"""Rule uid, run, lane."""


class LanesDraft:
    """Lanes as one step has changed them so far, over the committed ones."""

    def __init__(self, committed: Mapping[int, Lanes]) -> None:
        self._committed = committed
        self._touched: dict[LaneKey, Lane] = {}

    def is_busy(self, rule: int, run: int, lane: int) -> bool:
        """Whether what comes now has to wait for others of its lane."""
        found = self._touched.get((rule, run, lane))
        if found is not None:
            return not found.is_empty
        return rule in self._committed and (run, lane) in self._committed[rule].lanes

    def is_parked_by(self, delivery: Delivery) -> bool:
        """Whether it is the dead head of its lane."""
        key = (delivery.rule, delivery.run, delivery.lane)
        lane = self._touched.get(key) or self._known(key)
        return lane is not None and lane.is_parked and lane.head == delivery.position

    def place(self, delivery: Delivery) -> None:
        key = (delivery.rule, delivery.run, delivery.lane)
        lane = self._touched.get(key)
        if lane is None:
            known = self._known(key)
            lane = self._touched[key] = Lane() if known is None else known.copy()
        lane.place(delivery)

    def _known(self, key: LaneKey) -> Lane | None:
        rule, run, lane = key
        committed = self._committed.get(rule)
        return committed.lanes.get((run, lane)) if committed is not None else None

    def take_next(self) -> list[Key]:
        """The deliveries whose turn it is, one of each lane whose head has ended."""
        return [(rule, run, lane.behind[0]) for (rule, run, _), lane in self._touched.items() if not lane.head and lane.behind]


def _has(positions: list[int], position: int) -> bool:
    at = bisect_left(positions, position)
    return at < len(positions) and positions[at] == position


def _remove(positions: list[int], position: int) -> None:
    at = bisect_left(positions, position)
    if at < len(positions) and positions[at] == position:
        del positions[at]
