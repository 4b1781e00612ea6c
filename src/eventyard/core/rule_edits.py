"""Edits of rules. Each is an event in the log of its bus; what it changes governs the events after that position."""

import msgspec

from eventyard.core import backfilling, bus_events, handshake, intents, limits, places
from eventyard.core.changes import Backfill, Intent, IntentKind
from eventyard.core.commands import DeleteRule, HearHandshake, PutRule, Reseal, RulePut, SetPaused
from eventyard.core.delivery import Reason
from eventyard.core.draft import Draft
from eventyard.core.errors import InvalidRequest, InvalidRule, VersionConflict
from eventyard.core.intents import named
from eventyard.core.pattern.language import Pattern
from eventyard.core.rule import Rule, RuleRecord, Status, Tombstone
from eventyard.core.rule_history import Edit, version_of
from eventyard.core.rule_secrets import secrets_of, with_secrets
from eventyard.core.secret import Secret


def put(draft: Draft, command: PutRule) -> RulePut:
    """Create the rule, change it, or find that nothing changes (then the log gets no event)."""
    before = draft.rule_named(command.name)
    if before is None:
        _check_version(command, None)
        return RulePut(_create(draft, command), is_created=True, is_changed=True)
    if msgspec.structs.replace(command.rule, start=command.rule.start or before.rule.start) != before.rule:
        _check_version(command, before)
    rule = _with_start_of(before, command.rule)
    _check_order_of(before, rule)
    if rule == before.rule:
        return RulePut(before, is_created=False, is_changed=False)
    return RulePut(_change(draft, before, rule, command), is_created=False, is_changed=True)


def _check_version(command: PutRule | DeleteRule, there: RuleRecord | None) -> None:
    """That the rule is the one that the caller saw."""
    version = 0 if there is None else there.version
    if command.version is None or command.version == version:
        return
    found = f'found the rule "{command.name}" in version {version}' if version else f'found no rule "{command.name}"'
    raise VersionConflict(found, wanted=f"version {command.version}" if command.version else "none to be there")


def _create(draft: Draft, command: PutRule) -> RuleRecord:
    if draft.rules_count() >= limits.RULES_PER_BUS_MAX:
        raise InvalidRule(f"found {limits.RULES_PER_BUS_MAX} rules on this bus", wanted="to delete one first")
    rule = msgspec.structs.replace(command.rule, start=command.rule.start or "latest")
    tombstone = _tombstone(draft, command.name) if rule.start == "resume" else None
    first = tombstone.resume_position if tombstone is not None else _first_position(draft, rule)
    now_ms = draft.time.time_ms
    record = RuleRecord(draft.head + 1, command.name, draft.head + 1, rule, Status.LIVE, now_ms, now_ms)
    if tombstone is not None:
        record = msgspec.structs.replace(record, resumed=tombstone.resumed)
    _record(draft, bus_events.RULE_CREATED, record, command.principal)
    begins = _begins(draft, first)
    draft.versions.append(version_of(record, Edit.CREATED, record.uid, begins, first=begins, by=command.principal))
    if tombstone is not None:
        draft.set_tombstone(msgspec.structs.replace(tombstone, is_removed=True))
    return begin(draft, record, first, command.pattern)


def _begins(draft: Draft, first: int | None) -> int:
    """The first position that a run gets which begins at `first` (None: with what is yet to come)."""
    return min(first, draft.head + 1) if first is not None else draft.head + 1


def reseal(draft: Draft, command: Reseal) -> int:
    """Neither a version nor an event: what the rule says stays the same."""
    record = draft.find_rule(command.uid)
    if record is None:
        return 0
    anew = dict(command.sealed)
    count = sum(secret.secret in anew for _, secret in secrets_of(record.rule))
    if count:
        rule = with_secrets(record.rule, lambda _, secret: Secret(anew.get(secret.secret or "", secret.secret)))
        draft.set_rule(msgspec.structs.replace(record, rule=rule))
    return count


def hear_handshake(draft: Draft, command: HearHandshake) -> None:
    """Neither a version nor an event, for the rule is what it was. Of another URL than it has by now it says nothing."""
    record = draft.find_rule(command.uid)
    http = None if record is None else record.rule.target.http
    if record is None or not record.is_asked or http is None or http.url != command.url:
        return
    time = draft.time
    heard = handshake.heard(
        record.handshake, command.url, command.origin, command.came, time_ms=time.time_ms, work_ms=time.work_ms
    )
    draft.set_rule(msgspec.structs.replace(record, handshake=heard))


def begin(draft: Draft, record: RuleRecord, first: int | None, pattern: Pattern | None = None) -> RuleRecord:
    """The rule's run begins at the position `first`, read by a backfill, or (None) with what is yet to come."""
    if first is None or first > draft.head:
        record = msgspec.structs.replace(record, status=Status.LIVE)
        draft.set_rule(record, pattern)
        return record
    backfill = Backfill(record.uid, record.run, first, first=first, created_ms=draft.time.time_ms)
    draft.set_rule(msgspec.structs.replace(record, status=Status.BACKFILLING))
    draft.set_backfill(backfill)
    backfilling.finish_if_near(draft, record.uid)
    return draft.rule(record.uid)


def _tombstone(draft: Draft, name: str) -> Tombstone:
    """Where the deleted rule of this name stood, or why the new one cannot go on from there."""
    tombstone = draft.tombstone(name)
    if tombstone is None:
        raise InvalidRule(
            f'found no deleted rule "{name}" that it could go on for',
            wanted=f"another start: a deleted rule is remembered for {limits.TOMBSTONE_S // 86_400} days",
            at="/start",
        )
    if draft.is_being_deleted(name):
        raise InvalidRule(
            f'found old deliveries of the deleted rule "{name}" still being discarded',
            wanted="to try again shortly",
            at="/start",
        )
    if len(tombstone.before) >= limits.RESUMED_MAX:
        raise InvalidRule(
            f"found it deleted and gone on for {limits.RESUMED_MAX} times, and something from before the first still owed",
            wanted='"earliest"',
            at="/start",
        )
    if tombstone.resume_position < draft.floor:
        raise InvalidRule(
            f"found that the log begins at position {draft.floor}, and the deleted rule had settled all below"
            f" {tombstone.resume_position}: {tombstone.resume_position} to {draft.floor - 1} are gone",
            wanted='"earliest", which goes on without them',
            at="/start",
        )
    return tombstone


def _first_position(draft: Draft, rule: Rule) -> int | None:
    """Where the rule begins in the log; None for what is yet to come. A start below the log's beginning begins there."""
    if rule.start in {None, "latest", "resume"}:
        return None
    try:
        return max(places.position(draft, rule.start, at="/start"), draft.floor)  # type: ignore[arg-type]  # "resume" is seen to
    except InvalidRequest as error:
        raise InvalidRule(error.found, wanted=error.wanted, at=error.at) from error


def _with_start_of(before: RuleRecord, rule: Rule) -> Rule:
    """Where a rule started is history: an edit keeps it, and one that names another is refused rather than ignored."""
    if rule.start is not None and rule.start != before.rule.start:
        raise InvalidRule(
            "found another start than the rule was created with",
            wanted="the same start or none; delete the rule and create it again to start anew",
            at="/start",
        )
    return msgspec.structs.replace(rule, start=before.rule.start)


def _check_order_of(before: RuleRecord, rule: Rule) -> None:
    """What is in the queue was put in lanes, or in none."""
    policy, policy_before = rule.delivery, before.rule.delivery
    if (policy.order, policy.key) != (policy_before.order, policy_before.key):
        raise InvalidRule(
            f'found order "{policy.order}" by key "{policy.key}" and the rule was created with'
            f' "{policy_before.order}" by "{policy_before.key}"',
            wanted='the same order; delete the rule and create it again with "start": "resume"',
            at="/delivery/order",
        )


def _change(draft: Draft, before: RuleRecord, rule: Rule, command: PutRule) -> RuleRecord:
    record = msgspec.structs.replace(before, rule=rule, version=draft.head + 1, changed_ms=draft.time.time_ms)
    _record(draft, bus_events.RULE_CHANGED, record, command.principal)
    draft.versions.append(version_of(record, Edit.CHANGED, record.version, draft.cursor(record), by=command.principal))
    draft.set_rule(record, command.pattern)
    if rule.target != before.rule.target:
        draft.health.begin_anew(record.uid)
    return record


def delete(draft: Draft, command: DeleteRule) -> RuleRecord:
    """The rule leaves the index here; an intent empties its queue."""
    before = named(draft, command.name)
    _check_version(command, before)
    record = msgspec.structs.replace(before, status=Status.DELETING, version=draft.head + 1, changed_ms=draft.time.time_ms)
    intents.bury(draft, record)
    number = _record(draft, bus_events.RULE_DELETED, record, command.principal)
    draft.versions.append(version_of(record, Edit.DELETED, number, draft.cursor(record), by=command.principal))
    draft.set_rule(record)
    draft.health.forget(record.uid)
    for backfill in draft.backfills_of(record.uid):
        draft.set_backfill(msgspec.structs.replace(backfill, is_done=True, is_removed=True))
    draft.set_intent(Intent(number, record.uid, IntentKind.DISCARD, reason=Reason.RULE_DELETED, by=command.principal))
    intents.step(draft, number)
    return draft.rule(record.uid)


def set_paused(draft: Draft, command: SetPaused) -> RuleRecord:
    """A paused rule goes on collecting deliveries and gives none out."""
    before = named(draft, command.name)
    if before.is_paused == command.is_paused:
        return before
    return _set_paused(draft, before, is_paused=command.is_paused, principal=command.principal, because="")


def pause_for(draft: Draft, before: RuleRecord, *, because: str) -> None:
    """Disable a rule: pause it by the bus's own decision, which the event tells."""
    if not before.is_paused:
        _set_paused(draft, before, is_paused=True, principal="", because=because)


def _set_paused(draft: Draft, before: RuleRecord, *, is_paused: bool, principal: str, because: str) -> RuleRecord:
    record = msgspec.structs.replace(before, is_paused=is_paused, changed_ms=draft.time.time_ms)
    kind = bus_events.RULE_RESUMED if not is_paused else bus_events.RULE_DISABLED if because else bus_events.RULE_PAUSED
    data = bus_events.rule_data(record, principal) | ({"because": because} if because else {})
    position = draft.append_bus_event(kind, record.name, data)
    edit = Edit.PAUSED if is_paused else Edit.RESUMED
    draft.versions.append(version_of(record, edit, position, draft.cursor(record), by=principal, because=because))
    draft.set_rule(record)
    if not is_paused:
        draft.health.begin_anew(record.uid)
    return record


def _record(draft: Draft, kind: str, record: RuleRecord, principal: str) -> int:
    return draft.append_bus_event(kind, record.name, bus_events.rule_data(record, principal))
