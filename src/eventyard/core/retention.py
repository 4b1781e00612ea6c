"""Retention: the log's old end is removed, a bounded stretch a step, and with it all that was only about it.

The floor is the first position that is kept whole. Below it stand only events that some delivery is still owed, pending or dead; each
goes with the last of these (`Draft.move`). A stretch that a backfill has yet to read is owed too, so the floor waits for it, up to the
rule's cap. The identity of an event outlives it for the rest of the dedup window (`View.find_ids`).
"""

import msgspec

from eventyard.core import limits
from eventyard.core.commands import ForgetTombstones, Retain
from eventyard.core.draft import Draft


def retain(draft: Draft, command: Retain) -> int:
    """The floor moves towards the wanted one by one bounded stretch. Where it is then."""
    unread = [backfill.next_position for backfill in draft.reading()]
    wanted = min([command.floor, draft.head + 1, *unread])
    floor = min(wanted, draft.floor + limits.RETAIN_POSITIONS_PER_STEP)
    if floor > draft.floor:
        draft.forget(draft.floor, floor - 1)
        draft.floor = floor
    return draft.floor


def forget_tombstones(draft: Draft, _: ForgetTombstones) -> int:
    """Deleted rules are forgotten when their time is over, and the oldest where there are too many."""
    by_age = sorted(draft.state.tombstones.values(), key=lambda tombstone: tombstone.deleted_ms)
    surplus = len(by_age) - limits.TOMBSTONES_MAX
    since_ms = draft.time.time_ms - limits.TOMBSTONE_S * 1000
    over = [tombstone for index, tombstone in enumerate(by_age) if index < surplus or tombstone.deleted_ms < since_ms]
    for tombstone in over:
        draft.set_tombstone(msgspec.structs.replace(tombstone, is_removed=True))
    return len(over)
