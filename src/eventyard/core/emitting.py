"""Emitters at work in a step: each has the events that concern it, and the keys of its own whose time has come. What it makes of them is for its kind.

What one publishes others may hear in the same step. Nothing goes in a circle (`emitter_graph`), so it ends.
"""

from eventyard.core import detecting, expecting
from eventyard.core.commands import RunTimers
from eventyard.core.detector_plan import DetectorPlan
from eventyard.core.draft import Draft
from eventyard.core.emitter import Kept
from eventyard.core.emitter_counts import count
from eventyard.core.emitter_draft import Heard
from eventyard.core.emitter_ground import Ground
from eventyard.core.emitter_plan import Plan, owner_of
from eventyard.core.expectation_plan import SIGNALS, ExpectationPlan


def attend(draft: Draft) -> None:
    """Let every emitter that an appended event concerns have it, and those that what they publish concerns, until nothing is left."""
    heard = draft.emitters.heard
    while heard:
        attend_to(draft, heard.popleft())


def attend_to(draft: Ground, heard: Heard) -> None:
    """Let those have it whom one event concerns."""
    for ear in heard.failed:
        count(draft, owner_of(ear)[0], "failed")
    for ear in heard.ears:
        uid, number = owner_of(ear)
        plan = draft.emitters.plan(uid)
        if plan is None:
            continue
        key = heard.keys[ear] if ear in heard.keys else plan.key(heard.event.json)
        if key is None:
            count(draft, uid, "unkeyed")
        else:
            _tell(draft, plan, key, heard, number)


def _tell(draft: Ground, plan: Plan, key: str, heard: Heard, ear: int) -> None:
    match plan:
        case DetectorPlan():
            detecting.observe(draft, plan, key, heard.event)
        case ExpectationPlan():
            expecting.hear(draft, plan, key, heard.event, SIGNALS[ear])


def run_timers(draft: Draft, command: RunTimers) -> int:
    """Look at keys that are due. How many there were."""
    rows = draft.emitters.due(draft.emitters.hold_clock_ms, command.limit)
    for row in draft.emitters.now(rows):
        plan = draft.emitters.plan(row.owner)
        if plan is None:
            draft.emitters.forget(row.owner, row.key)
        else:
            wake(draft, plan, row)
            attend(draft)
    return len(rows)


def wake(draft: Ground, plan: Plan, row: Kept) -> None:
    """A key's time has come, or was thought to."""
    match plan:
        case DetectorPlan():
            detecting.wake(draft, plan, row)
        case ExpectationPlan():
            expecting.wake(draft, plan, row)


def awaited(plan: Plan, row: Kept) -> int:
    """The position of the event for which something may yet be told of the key; 0: there is none."""
    match plan:
        case DetectorPlan():
            return detecting.awaited(row)
        case ExpectationPlan():
            return expecting.awaited(row)
    return 0
