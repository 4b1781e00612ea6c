"""Leasing: what the queues give out at the end of a step, and what of them is moved so that they can.

A delivery whose turn has come in its lane, and one that waits in a queue, are leased in the step that finds a receiver for them. A live
rule that falls far behind leaves the live index here and goes on as a backfill.
"""

import itertools

import msgspec

from eventyard.core import limits
from eventyard.core.bus_state import RuleQueue
from eventyard.core.changes import Backfill
from eventyard.core.delivery import Note, Reason, State, waiting_state
from eventyard.core.draft import Draft
from eventyard.core.rule import RuleRecord, Status


def lease(draft: Draft) -> None:
    """Whatever may go now and is waited for."""
    _advance_lanes(draft)
    _lease_waiting(draft)


def _advance_lanes(draft: Draft) -> None:
    """Where a lane's head has ended, the next one may go; leased at once where a receiver waits."""
    keys = draft.lanes.take_next()
    if not keys:
        return
    nexts, closed = draft.deliveries(keys), draft.closed
    giving = {uid for uid in {row.rule for row in nexts} if draft.may_lease(uid) > 0 and _gives_out(draft.find_rule(uid))}
    wanted = {row.key for row in nexts if row.rule in giving and (row.rule, row.run) not in closed}
    bodies = draft.bodies_at([row.position for row in nexts if row.key in wanted])
    for blocked in nexts:
        at_ms = max(blocked.at_ms, draft.time.work_ms)
        ready = msgspec.structs.replace(blocked, state=waiting_state(blocked.attempts), at_ms=at_ms)
        draft.move(blocked, ready)
        body = bodies.get(blocked.position) if blocked.key in wanted and at_ms <= draft.time.work_ms else None
        if body is not None:
            draft.lease(ready, body)


def _lease_waiting(draft: Draft) -> None:
    """Grant leases on what waits in the queues of the rules that somebody demands from, until enough is leased.

    However full the step is by then: publishers that fill every one of them must not keep consumers waiting for ever.
    """
    pushed, pulled = draft.state.due.reach(draft.time.work_ms)
    draft.leases_max += len(draft.leases)
    reached: set[int] = set()
    for uid in itertools.chain(_resumed(draft), draft.grants.demanded(pushed, pulled)):
        if _gives_out(draft.find_rule(uid)) and draft.may_lease(uid) > 0:
            _lease_runs(draft, uid, draft.state.queues[uid])
        if _is_enough(draft):
            draft.unreached = [uid, *(other for other in draft.grants.demanded(pulled) if other not in reached)]
            return
        reached.add(uid)


def _resumed(draft: Draft) -> list[int]:
    """Rules that give out again from this very step on: what is ready does not hold them yet."""
    return [uid for uid in draft.resumed() if (due_ms := draft.state.due.get(uid)) is not None and due_ms <= draft.time.work_ms]


def _is_enough(draft: Draft) -> bool:
    """Each queue that is read costs its share, however little is in it."""
    is_read = draft.queues_read >= limits.QUEUES_PER_STEP_MAX
    return is_read or len(draft.leases) >= draft.leases_max or draft.grants.is_spent


def _gives_out(record: RuleRecord | None) -> bool:
    return record is not None and record.gives_out


def _lease_runs(draft: Draft, uid: int, queue: RuleQueue) -> None:
    """The live run first: a replay takes what it leaves over. A run that is being closed gives out nothing more."""
    live, closed = draft.rule(uid).run, draft.closed
    for run in sorted((run for run in queue.runs if (uid, run) not in closed), key=lambda run: (run != live, run)):
        count = draft.may_lease(uid)
        if count <= 0 or _is_enough(draft):
            return
        if queue.runs[run].is_due(draft.time.work_ms):
            _lease_from(draft, uid, run, count)


def _lease_from(draft: Draft, uid: int, run: int, count: int) -> None:
    count = min(count, draft.leases_max - len(draft.leases))
    draft.queues_read += 1
    rows = draft.view.due(draft.bus, uid, run, draft.time.work_ms, count)
    if len(rows) < count:
        draft.drained.append((uid, run))
    waiting = draft.untouched(rows)
    bodies = draft.bodies_at([row.position for row in waiting])
    if len(bodies) < len(waiting):
        for damaged in [row for row in waiting if row.position not in bodies]:
            draft.end(damaged, State.DEAD, Note(reason=Reason.DAMAGED, at_ms=draft.time.time_ms))
        waiting = [row for row in waiting if row.position in bodies]
    draft.lease_all(uid, run, [(row, bodies[row.position]) for row in waiting])


def leave_live(draft: Draft) -> None:
    """A live rule with a long backlog is fed by a backfill from here on: memory and tables stay small however long it lasts."""
    for uid in draft.put_live:
        record = draft.find_rule(uid)
        if record is None or record.status is not Status.LIVE:
            continue
        if draft.state.unparked(uid, record.run) >= limits.LIVE_BACKLOG_MAX:
            draft.set_rule(msgspec.structs.replace(record, status=Status.BACKFILLING))
            draft.set_backfill(Backfill(uid, record.run, draft.head + 1, first=draft.head + 1, created_ms=draft.time.time_ms))
