"""Edits of rules. Each is an event in the log of its bus; what it changes governs the events after that position."""

import msgspec

from eventyard.core import backlog, bus_events, limits
from eventyard.core.changes import Backfill, Intent, IntentKind
from eventyard.core.commands import DeleteRule, PutRule, RulePut, SetPaused
from eventyard.core.draft import Draft
from eventyard.core.errors import InvalidRule, NotFound
from eventyard.core.rule import Rule, RuleRecord, StartPosition, Status, parse_time_ms


def put(draft: Draft, command: PutRule) -> RulePut:
    """Create the rule, change it, or find that nothing changes (then the log gets no event)."""
    before = draft.rule_named(command.name)
    if before is None:
        return RulePut(_create(draft, command), is_created=True, is_changed=True)
    rule = _with_start_of(before, command.rule)
    if rule == before.rule:
        return RulePut(before, is_created=False, is_changed=False)
    return RulePut(_change(draft, before, rule, command.principal), is_created=False, is_changed=True)


def _create(draft: Draft, command: PutRule) -> RuleRecord:
    if draft.rules_count() >= limits.RULES_PER_BUS_MAX:
        raise InvalidRule(f"found {limits.RULES_PER_BUS_MAX} rules on this bus", wanted="to delete one first")
    rule = msgspec.structs.replace(command.rule, start=command.rule.start or "latest")
    first = _first_position(draft, rule)
    now_ms = draft.time.time_ms
    record = RuleRecord(draft.head + 1, command.name, draft.head + 1, rule, Status.LIVE, now_ms, now_ms)
    _record(draft, bus_events.RULE_CREATED, record, command.principal)
    if first is None or first > draft.head:
        draft.set_rule(record)
        return record
    record = msgspec.structs.replace(record, status=Status.BACKFILLING)
    draft.set_rule(record)
    draft.set_backfill(Backfill(record.uid, record.run, first))
    backlog.finish_backfill_if_near(draft, record.uid)
    return draft.rule(record.uid)


def _first_position(draft: Draft, rule: Rule) -> int | None:
    """Where the rule begins in the log; None for what is yet to come."""
    match rule.start:
        case "earliest":
            return 1
        case StartPosition(position=int(position)):
            if position > draft.head + 1:
                raise InvalidRule(f"found position {position}", wanted=f"at most {draft.head + 1}", at="/start/position")
            return position
        case StartPosition(time=str(time)):
            return _position_at(draft, time)
        case _:
            return None


def _position_at(draft: Draft, time: str) -> int:
    time_ms = parse_time_ms(time, at="/start/time")
    if time_ms > draft.time.time_ms:
        raise InvalidRule(f"found {time}, which is yet to come", wanted='a time that has passed, or "latest"', at="/start/time")
    return draft.view.position_at(draft.bus, time_ms)


def _with_start_of(before: RuleRecord, rule: Rule) -> Rule:
    """Where a rule started is history: an edit keeps it, and one that names another is refused rather than ignored."""
    if rule.start is not None and rule.start != before.rule.start:
        raise InvalidRule(
            "found another start than the rule was created with",
            wanted="the same start or none; delete the rule and create it again to start anew",
            at="/start",
        )
    return msgspec.structs.replace(rule, start=before.rule.start)


def _change(draft: Draft, before: RuleRecord, rule: Rule, principal: str) -> RuleRecord:
    record = msgspec.structs.replace(before, rule=rule, version=draft.head + 1, changed_ms=draft.time.time_ms)
    _record(draft, bus_events.RULE_CHANGED, record, principal)
    draft.set_rule(record)
    return record


def delete(draft: Draft, command: DeleteRule) -> RuleRecord:
    """The rule leaves the index here; an intent empties its queue."""
    before = _named(draft, command.name)
    record = msgspec.structs.replace(before, status=Status.DELETING, version=draft.head + 1, changed_ms=draft.time.time_ms)
    number = _record(draft, bus_events.RULE_DELETED, record, command.principal)
    draft.set_rule(record)
    if backfill := draft.backfill(record.uid):
        draft.set_backfill(msgspec.structs.replace(backfill, is_done=True))
    draft.set_intent(Intent(number, record.uid, IntentKind.DISCARD))
    backlog.step_intent(draft, number)
    return draft.rule(record.uid)


def set_paused(draft: Draft, command: SetPaused) -> RuleRecord:
    """A paused rule goes on collecting deliveries and gives none out."""
    before = _named(draft, command.name)
    if before.is_paused == command.is_paused:
        return before
    return _set_paused(draft, before, is_paused=command.is_paused, principal=command.principal, because="")


def pause_for(draft: Draft, before: RuleRecord, *, because: str) -> None:
    """Pause a rule by the bus's own decision, which the event tells."""
    if not before.is_paused:
        _set_paused(draft, before, is_paused=True, principal="", because=because)


def _set_paused(draft: Draft, before: RuleRecord, *, is_paused: bool, principal: str, because: str) -> RuleRecord:
    record = msgspec.structs.replace(before, is_paused=is_paused, changed_ms=draft.time.time_ms)
    kind = bus_events.RULE_PAUSED if is_paused else bus_events.RULE_RESUMED
    data = bus_events.rule_data(record, principal) | ({"because": because} if because else {})
    draft.append_bus_event(kind, record.name, data)
    draft.set_rule(record)
    return record


def _record(draft: Draft, kind: str, record: RuleRecord, principal: str) -> int:
    return draft.append_bus_event(kind, record.name, bus_events.rule_data(record, principal))


def _named(draft: Draft, name: str) -> RuleRecord:
    record = draft.rule_named(name)
    if record is None:
        raise NotFound(f'found no rule "{name}" on bus "{draft.state.record.name}"', wanted="a rule that exists")
    return record
