"""Order by key: what stands in each lane. Which lane an event goes in is told by `order_key`.

Theory of operation. A rule with `order: key` has one lane per key and run. A lane's head may be leased; everything behind it is
BLOCKED and in no queue, so nothing can overtake. When the head is delivered or discarded the next one becomes the head, in the very
step that ended it. A head that dies parks its lane: it stays the head, dead, until it is redriven, skipped or purged; other lanes
flow. An event without the key is in no lane and in no order.
"""

from bisect import bisect_left, insort
from collections.abc import Mapping

from eventyard.core.delivery import Delivery, Key, State

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
