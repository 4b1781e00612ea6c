"""Runs: a rule moved to another place in the log, and stretches of it replayed.

A seek opens a new live run, and what the old one still owes is discarded; a replay is a backfill of a closed stretch in a run of its
own. Both are named by the position of the event that records them.
"""

import msgspec

from eventyard.core import bus_events, intents, limits, places, rule_edits
from eventyard.core.changes import Backfill, Intent, IntentKind, Pace
from eventyard.core.commands import EndReplay, Replay, Seek
from eventyard.core.delivery import Reason, State
from eventyard.core.draft import Draft
from eventyard.core.errors import InvalidRequest, NotFound
from eventyard.core.rule import RuleRecord
from eventyard.core.rule_history import Edit, version_of


def seek(draft: Draft, command: Seek) -> RuleRecord:
    """The rule goes on at another place of the log, back or forward."""
    before = intents.named(draft, command.name)
    first = places.retained(draft, command.place, at="/to")
    number = draft.head + 1
    is_latest = first > draft.head
    told: dict[str, object] = {"name": before.name, "uid": before.uid, "principal": command.principal}
    draft.append_bus_event(bus_events.RULE_SOUGHT, before.name, told | {"position": number + 1 if is_latest else first})
    cursor = draft.cursor(before)
    _close_run(draft, before)
    draft.set_intent(Intent(number, before.uid, IntentKind.DISCARD, reason=Reason.SEEK, by=command.principal, run=before.run))
    intents.step(draft, number)
    record = msgspec.structs.replace(before, run=number, changed_ms=draft.time.time_ms, resumed=())
    begins = number + 1 if is_latest else first
    draft.versions.append(version_of(record, Edit.SOUGHT, number, cursor, first=begins, by=command.principal))
    return rule_edits.begin(draft, record, None if is_latest else first)


def _close_run(draft: Draft, before: RuleRecord) -> None:
    backfill = draft.backfill(before.uid, before.run)
    if backfill is not None and not backfill.is_done:
        draft.set_backfill(msgspec.structs.replace(backfill, is_done=True))


def replay(draft: Draft, command: Replay) -> Backfill:
    """Begin a replay to one rule. What it has read so far survives a crash; what it has put are deliveries like any other."""
    record = intents.named(draft, command.name)
    if record.rule.replay == "refuse":
        raise InvalidRequest(
            f'found that rule "{record.name}" refuses replays', wanted='a rule with "replay": "mark" or "allow"'
        )
    _check_room(draft, record)
    first, last = _stretch(draft, command)
    run = draft.head + 1
    data: dict[str, object] = {
        "name": record.name,
        "uid": record.uid,
        "principal": command.principal,
        "first": first,
        "last": last,
    }
    draft.append_bus_event(bus_events.RULE_REPLAYED, record.name, data)
    pace = Pace(per_s=command.per_s, is_original=command.is_original)
    made = Backfill(
        record.uid, run, first, first=first, last=last, pattern=command.pattern, pace=pace, created_ms=draft.time.time_ms
    )
    draft.set_backfill(made)
    return made


def _stretch(draft: Draft, command: Replay) -> tuple[int, int]:
    first = places.retained(draft, command.first, at="/from")
    last = draft.head if command.until is None else places.position(draft, command.until, at="/until") - 1
    if first > last:
        raise InvalidRequest(f"found nothing from {first} up to before {last + 1}", wanted="a stretch of the log", at="/from")
    return first, last


def _check_room(draft: Draft, record: RuleRecord) -> None:
    """So many under way at once; of those that owe nothing more the oldest are forgotten."""
    own = sorted((one for one in draft.backfills_of(record.uid) if one.is_replay), key=lambda one: one.run)
    going = [one for one in own if not one.is_done or _owes(draft, one)]
    if len(going) >= limits.REPLAYS_PER_RULE_MAX:
        raise InvalidRequest(
            f'found {len(going)} replays to rule "{record.name}" under way', wanted="to let one end, or to cancel one"
        )
    ended = [one for one in own if one not in going and not one.is_removed and not _dead(draft, one)]
    for old in ended[: max(0, len(ended) + 1 - limits.REPLAYS_KEPT_MAX)]:
        draft.set_backfill(msgspec.structs.replace(old, is_removed=True))


def end_replay(draft: Draft, command: EndReplay) -> Backfill:
    """Cancel: read no further, and discard what is still owed in its run. One that has ended before is forgotten instead.

    Asked again while what it owed is being discarded, nothing more is done.
    """
    record = intents.named(draft, command.name)
    found = draft.backfill(record.uid, command.run)
    if found is None or not found.is_replay or found.is_removed:
        raise NotFound(f'found no replay {command.run} to rule "{record.name}"', wanted="one that GET .../replays lists")
    if not found.is_done or _owes(draft, found):
        return found if found.is_cancelled else _cancel(draft, record, found, command.principal)
    if dead := _dead(draft, found):
        raise InvalidRequest(
            f"found {dead} dead letters of replay {found.run}, which are known as its own while it is kept",
            wanted="to redrive or purge them first",
        )
    forgotten = msgspec.structs.replace(found, is_removed=True)
    draft.set_backfill(forgotten)
    return forgotten


def _owes(draft: Draft, replay: Backfill) -> bool:
    queue = draft.state.queues[replay.rule].runs.get(replay.run)
    return (queue is not None and queue.pending > 0) or draft.has_pending(replay.rule, replay.run)


def _dead(draft: Draft, replay: Backfill) -> int:
    queue = draft.state.queues[replay.rule].runs.get(replay.run)
    return queue.counts[State.DEAD] if queue is not None else 0


def _cancel(draft: Draft, record: RuleRecord, found: Backfill, principal: str) -> Backfill:
    data: dict[str, object] = {"name": record.name, "uid": record.uid, "principal": principal, "run": found.run}
    number = draft.append_bus_event(bus_events.REPLAY_CANCELLED, record.name, data)
    ended_ms = found.ended_ms or draft.time.time_ms
    cancelled = msgspec.structs.replace(found, is_done=True, is_cancelled=True, ended_ms=ended_ms)
    draft.set_backfill(cancelled)
    draft.set_intent(Intent(number, record.uid, IntentKind.DISCARD, reason=Reason.CANCELLED, by=principal, run=found.run))
    intents.step(draft, number)
    return cancelled
