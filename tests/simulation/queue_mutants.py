"""Mutants of what queues promise: order by key, leases, and the way of a live rule into a backfill and back.

Each is a small replacement of one function, made here and nowhere in the product.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any
from unittest import mock

import msgspec

from eventyard.core import intents, leasing, machine, settling
from eventyard.core.changes import Intent
from eventyard.core.commands import Expire, Release
from eventyard.core.delivery import Delivery, Key, State
from eventyard.core.draft import Draft
from eventyard.core.order import Lane, LanesDraft
from eventyard.core.rule import RuleRecord

Patch = Callable[[], AbstractContextManager[object]]


# Order


def _two_of_a_key() -> AbstractContextManager[object]:
    """Only a parked key holds back what comes: while its head is merely leased, the next one goes."""

    def is_busy(lanes: LanesDraft, rule: int, run: int, lane: int) -> bool:
        committed = lanes._committed.get(rule)
        found = lanes._touched.get((rule, run, lane)) or (committed.lanes.get((run, lane)) if committed is not None else None)
        return found is not None and found.is_parked

    return mock.patch.object(LanesDraft, "is_busy", is_busy)


def _dead_frees_its_key() -> AbstractContextManager[object]:
    place = Lane.place

    def place_and_free(lane: Lane, delivery: Delivery) -> None:
        place(lane, delivery)
        if lane.is_parked:
            lane.head, lane.is_parked = 0, False

    return mock.patch.object(Lane, "place", place_and_free)


def _redrive_overtakes() -> AbstractContextManager[object]:
    """A dead head that is put back leaves its lane, so that those behind it go with it."""
    redrive_one = intents._redrive_one

    def redrive_out_of_lane(draft: Draft, intent: Intent, record: RuleRecord, delivery: Delivery) -> tuple[Intent, bool]:
        answer = redrive_one(draft, intent, record, delivery)
        row = draft.delivery(delivery.key)
        if row is not None and row.state is State.WAITING and row.lane:
            draft.lanes.place(msgspec.structs.replace(row, state=State.DISCARDED))
        return answer

    return mock.patch.object(intents, "_redrive_one", redrive_out_of_lane)


def _last_in_first_out() -> AbstractContextManager[object]:
    def take_last(lanes: LanesDraft) -> list[Key]:
        return [
            (rule, run, lane.behind[-1]) for (rule, run, _), lane in lanes._touched.items() if not lane.head and lane.behind
        ]

    return mock.patch.object(LanesDraft, "take_next", take_last)


# Leases


def _never_expires() -> AbstractContextManager[object]:
    return mock.patch.dict(machine._STEPS, {Expire: lambda _draft, _command: 0})


def _release_all() -> AbstractContextManager[object]:
    """At a start the leases of consumers end too, though they live on."""

    def release(draft: Draft, command: Release) -> None:
        for delivery in draft.deliveries(command.keys):
            settling._take_back(draft, delivery)

    return mock.patch.dict(machine._STEPS, {Release: release})


def _forget_attempts() -> AbstractContextManager[object]:
    """What a process had tried is not counted by the next one."""
    release = settling.release

    def release_uncounted(draft: Draft, command: Release) -> None:
        release(draft, command)
        for delivery in draft.deliveries(command.keys):
            if delivery.state is not State.LEASED:
                draft.move(delivery, msgspec.structs.replace(delivery, state=State.WAITING, attempts=0, first_ms=0))

    return mock.patch.dict(machine._STEPS, {Release: release_uncounted})


def _late_is_lost() -> AbstractContextManager[object]:
    """An acknowledgement of a lease that ran out is answered ok, and does not count."""
    settle_pending = settling._settle_pending

    def settle_leased(draft: Draft, delivery: Delivery, record: RuleRecord, settlement: Any) -> Any:
        return settle_pending(draft, delivery, record, settlement) if delivery.state is State.LEASED else None

    return mock.patch.object(settling, "_settle_pending", settle_leased)


def _renew_for_nothing() -> AbstractContextManager[object]:
    """A renewal is answered ok, and the lease ends when it would have."""
    return mock.patch.object(settling, "_renew", return_value=None)


# The way of a live rule into a backfill


def _shifted_edge(by: int) -> Patch:
    """A rule that leaves the live index goes on reading `by` events further on than it should."""
    leave_live = leasing.leave_live

    def leave_shifted(draft: Draft) -> None:
        before = set(draft._backfills)
        leave_live(draft)
        for key in draft._backfills.keys() - before:
            backfill = draft._backfills[key]
            draft.set_backfill(msgspec.structs.replace(backfill, next_position=backfill.next_position + by))

    return lambda: mock.patch.object(leasing, "leave_live", leave_shifted)


QUEUE_MUTANTS: Mapping[str, Patch] = MappingProxyType(
    {
        "two-of-a-key": _two_of_a_key,
        "dead-frees-its-key": _dead_frees_its_key,
        "redrive-overtakes": _redrive_overtakes,
        "last-in-first-out": _last_in_first_out,
        "never-expires": _never_expires,
        "release-consumers": _release_all,
        "forget-attempts": _forget_attempts,
        "late-is-lost": _late_is_lost,
        "renewed-for-nothing": _renew_for_nothing,
        "edge-lost": _shifted_edge(1),
        "edge-doubled": _shifted_edge(-1),
    }
)
