"""How many keys a changed detector turns over, told before it is saved: each judged anew as the sweep after the change will do it.

One look goes over a stretch of its keys, in their order, and says where to go on; whoever asks adds the looks up. Nothing is asked of the writer.
"""

from collections.abc import Callable

import msgspec

from eventyard.core import detecting, limits
from eventyard.core.detector_plan import DetectorPlan
from eventyard.core.view import View


class Turns(msgspec.Struct):
    """Of `keys` that the detector knows `judged` were looked at; `turned` of these come to another truth, `unsaid` cannot be judged anew: the log does not
    have their last observation any more, or it is none now. `names`: some that turn. `next_after`: the key to go on after; None: these are all.
    """

    keys: int
    judged: int = 0
    turned: int = 0
    unsaid: int = 0
    names: list[str] = []
    next_after: str | None = None


def look(view: View, bus: int, plan: DetectorPlan, turns: Turns, clock_ms: Callable[[], int]) -> Turns:
    """Judge the keys after `turns.next_after` until they end or one request has looked at enough; one page of them at least."""
    ends_at, at = clock_ms() + limits.BACKTEST_MS_MAX, turns.next_after or ""
    turns.next_after = None
    while rows := view.kept_after(bus, plan.record.uid, at, limits.TURNS_KEYS_AT_ONCE):
        known = [(row.key, detecting.read_key(row.record)) for row in rows]
        bodies = view.bodies_at(bus, sorted({one.position for _, one in known if one is not None}))
        for key, one in known:
            is_turned = None if one is None else detecting.turns(plan, one, bodies.get(one.position))
            turns.unsaid += is_turned is None
            turns.turned += bool(is_turned)
            if is_turned and len(turns.names) < limits.TURNS_NAMED_MAX:
                turns.names.append(key)
        turns.judged += len(rows)
        at = rows[-1].key
        if turns.judged >= limits.TURNS_KEYS_MAX or clock_ms() >= ends_at:
            turns.next_after = at
            break
    return turns
