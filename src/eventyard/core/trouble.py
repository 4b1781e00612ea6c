"""Trouble is an event: what a step learnt of its rules, told in the log, rarely enough that a flood of failures is a handful of events.

Failing and recovered are told on change of state, each at most once a second for a rule, and of one that flaps more and more rarely; what
comes in between is counted. Dead letters are told one by one, up to a few in a minute; once there are more, all further ones are told in one
event a minute until a minute passes without any. That a breaker is open, or no more, is told at most once a second. What may not be told now stays in the rule's row (`health`), and the keeper has it told when its time has come.

The loop guard: whatever becomes of the delivery of an event of the bus itself, nothing is told of it. So a dead receiver of alerts
alerts nobody about itself, for ever.
"""

from collections.abc import Sequence

import msgspec

from eventyard.core import bus_events, limits, rule_edits
from eventyard.core.bus_events import (
    BreakerClosed,
    BreakerOpened,
    DeadLetter,
    DeadLetters,
    Failing,
    Named,
    RepliesRefused,
    Told,
)
from eventyard.core.clock import rfc3339
from eventyard.core.commands import TellTrouble
from eventyard.core.delivery import Delivery, Note, Reason, State, delivery_id
from eventyard.core.draft import Draft
from eventyard.core.health import Health, Outcome
from eventyard.core.others import Names, of_others
from eventyard.core.rule import RuleRecord


def tell_due(draft: Draft, command: TellTrouble) -> None:
    """Have this step tell what was held back of these rules until now."""
    draft.health.due += command.rules


def tell(draft: Draft) -> None:
    """What every step does of the kind before it ends."""
    if not draft.health.has_news:
        return
    for uid, outcomes in draft.health.outcomes.items():
        _learn(draft, uid, outcomes)
    deaths, teller = _deaths(draft), _Teller(draft)
    for uid in dict.fromkeys([*draft.health.due, *draft.health.outcomes, *deaths]):
        teller.tell(uid, deaths.get(uid, []))


# What a step learnt


def _learn(draft: Draft, uid: int, outcomes: Sequence[Outcome]) -> None:
    """Take what came of a rule's attempts into its row."""
    record = draft.find_rule(uid)
    if record is None or record.is_deleted:
        return
    before = draft.health.get(uid) or Health(uid)
    failed = [outcome.note for outcome in outcomes if outcome.note is not None]
    other = _lastof_others(draft, outcomes)
    draft.health.set(
        msgspec.structs.replace(
            before,
            is_failing=outcomes[-1].note is not None,
            to_tell=before.to_tell if other is None else other.note is not None,
            at=before.at if other is None else other.position,
            since_ms=before.since_ms if before.is_unwell else draft.time.time_ms,
            failures=before.failures + len(failed),
            deliveries=before.deliveries + len(outcomes) - len(failed),
            status=failed[-1].status if failed else before.status,
            failure=_short(failed[-1].failure) if failed else before.failure,
            **_fruitless(draft, before, outcomes),
        )
    )
    _pause_where_all_fails(draft, uid, record)


def _fruitless(draft: Draft, before: Health, outcomes: Sequence[Outcome]) -> dict[str, int | None]:
    """How many attempts have failed in a row, and since when."""
    in_a_row = 0
    for outcome in reversed(outcomes):
        if outcome.note is None:
            return {"fruitless_ms": draft.time.work_ms if in_a_row else None, "fruitless": in_a_row}
        in_a_row += 1
    since_ms = draft.time.work_ms if before.fruitless_ms is None else before.fruitless_ms
    return {"fruitless_ms": since_ms, "fruitless": before.fruitless + in_a_row}


def _pause_where_all_fails(draft: Draft, uid: int, record: RuleRecord) -> None:
    health, longest_s = draft.health.get(uid), record.rule.delivery.pause_after_s
    if health is None or health.fruitless_ms is None or longest_s is None or record.is_pulled:
        return
    lasted_s = (draft.time.work_ms - health.fruitless_ms) / 1000
    if lasted_s >= longest_s and health.fruitless >= limits.PAUSE_ATTEMPTS_MIN:
        because = f"nothing went well for {_span(lasted_s)}, and {health.fruitless} attempts failed"
        rule_edits.pause_for(draft, record, because=because)


def _span(seconds: float) -> str:
    for unit, of_unit in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * of_unit:
            return f"{seconds / of_unit:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _lastof_others(draft: Draft, outcomes: Sequence[Outcome]) -> Outcome | None:
    """The last outcome at an event that is not the bus's own. Events are read from the end on until one is found: nearly always the first."""
    for end in range(len(outcomes), 0, -limits.SCAN_EVENTS_AT_ONCE):
        part = outcomes[max(0, end - limits.SCAN_EVENTS_AT_ONCE) : end]
        last = part[-1:] if end == len(outcomes) else part
        for some in (last, part[: -len(last)]):
            others = of_others(draft, [outcome.position for outcome in some])
            found = [outcome for outcome in some if outcome.position in others]
            if found:
                return found[-1]
    return None


def _short(failure: str) -> str:
    return failure[: limits.FAILURE_TOLD_CHARACTERS]


class _Death(msgspec.Struct, frozen=True):
    delivery: Delivery
    note: Note
    event: Names


def _deaths(draft: Draft) -> dict[int, list[_Death]]:
    """By rule, what died in this step and is still dead, without deliveries of the bus's own events."""
    found: dict[int, list[_Death]] = {}
    died = [(delivery, note) for delivery, note in draft.health.deaths if _is_dead(draft, delivery)]
    for start in range(0, len(died), limits.SCAN_EVENTS_AT_ONCE):
        part = died[start : start + limits.SCAN_EVENTS_AT_ONCE]
        others = of_others(draft, [delivery.position for delivery, _ in part])
        for delivery, note in part:
            if delivery.position in others:
                found.setdefault(delivery.rule, []).append(_Death(delivery, note, others[delivery.position]))
    return found


def _is_dead(draft: Draft, delivery: Delivery) -> bool:
    """Not redriven, say, by a later command of the step."""
    found = draft.delivery(delivery.key)
    return found is not None and found.state is State.DEAD


# Telling it


class _Teller:
    """Appends to the log what may be told now, a bounded number of events with one step. One is told however full the step is, for
    publishers that fill every step must not keep trouble from being told.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._count = 0

    @property
    def _has_room(self) -> bool:
        return self._count < limits.TROUBLE_EVENTS_PER_STEP and not (self._count and self._draft.is_full)

    def tell(self, uid: int, deaths: Sequence[_Death]) -> None:
        """All that may be told of one rule now; the rest is kept in its row."""
        draft, record = self._draft, self._draft.find_rule(uid)
        if record is None or record.is_deleted:
            draft.health.forget(uid)
            return
        health = self._tell_breaker(record, self._tell_state(record, draft.health.get(uid) or Health(uid)))
        if deaths:
            health = self._tell_deaths(record, health, deaths)
        health = self._tell_refused(record, self._tell_untold(record, health))
        if health.due_ms is not None and health.due_ms <= draft.time.work_ms and not health.is_untold:
            draft.health.forget(uid)
        else:
            draft.health.set(health)

    def _tell_state(self, record: RuleRecord, health: Health) -> Health:
        work_ms = self._draft.time.work_ms
        if not health.is_owed or work_ms < health.turn_ms or not self._has_room:
            return health
        kind = bus_events.DELIVERY_FAILING if health.to_tell else bus_events.DELIVERY_RECOVERED
        since = rfc3339(health.since_ms)
        data = Failing(record.name, record.uid, since, health.failures, health.deliveries, health.status, health.failure)
        self._append(kind, record, data, cause=health.at)
        return health.told_at(work_ms)

    def _tell_breaker(self, record: RuleRecord, health: Health) -> Health:
        time, breaker = self._draft.time, self._draft.protection.guard(record.uid).breaker
        if not health.owes_breaker(time.work_ms, is_open=breaker.is_open) or not self._has_room:
            return health
        if breaker.is_open:
            attempts, failures = breaker.counted
            until = rfc3339(time.bus_ms(breaker.until_ms))
            last = (health.status, health.failure)
            data = BreakerOpened(record.name, record.uid, attempts, failures, breaker.openings, *last, until)
            self._append(bus_events.BREAKER_OPENED, record, data)
        else:
            self._append(bus_events.BREAKER_CLOSED, record, BreakerClosed(record.name, record.uid))
        return msgspec.structs.replace(health, is_open_told=breaker.is_open, breaker_at_ms=time.work_ms)

    def _tell_deaths(self, record: RuleRecord, health: Health, deaths: Sequence[_Death]) -> Health:
        """Each by itself while that may be; the rest is counted."""
        work_ms, told = self._draft.time.work_ms, 0
        if not health.untold and work_ms >= health.interval_ends_ms:
            health = msgspec.structs.replace(health, interval_ms=work_ms, singles=0)
        left = 0 if health.untold else limits.DEAD_LETTERS_TOLD_EACH - health.singles
        for death in deaths[: max(0, left)]:
            if not self._has_room:
                break
            self._append(
                bus_events.DELIVERY_DEADLETTERED, record, self._dead_letter(record, death), cause=death.delivery.position
            )
            told += 1
        health = msgspec.structs.replace(health, singles=health.singles + told)
        untold = [death.delivery.position for death in deaths[told:]]
        return self._count_untold(health, untold) if untold else health

    def _dead_letter(self, record: RuleRecord, death: _Death) -> DeadLetter:
        delivery, note, event = death.delivery, death.note, death.event
        incarnation = self._draft.state.record.incarnation
        return DeadLetter(
            name=record.name,
            uid=record.uid,
            count=1,
            delivery=delivery_id(incarnation, delivery.rule, delivery.position, delivery.run),
            event=Named(delivery.position, event.source, event.id, event.type),
            reason=note.reason,
            attempts=delivery.attempts,
            status=note.status,
            failure=_short(note.answer if note.reason == Reason.REJECTED else note.failure),  # What its consumer says of it.
        )

    def _count_untold(self, health: Health, positions: list[int]) -> Health:
        return msgspec.structs.replace(
            health,
            untold=health.untold + len(positions),
            first=min(health.first or positions[0], *positions),
            last=max(health.last, *positions),
            untold_since_ms=health.untold_since_ms or self._draft.time.time_ms,
        )

    def _tell_untold(self, record: RuleRecord, health: Health) -> Health:
        """The dead letters of an interval that is over, in one event. The next interval tells none by itself."""
        work_ms = self._draft.time.work_ms
        if not health.untold or work_ms < health.interval_ends_ms or not self._has_room:
            return health
        since = rfc3339(health.untold_since_ms)
        data = DeadLetters(record.name, record.uid, health.untold, health.first, health.last, since)
        self._append(bus_events.DELIVERY_DEADLETTERED, record, data)
        return msgspec.structs.replace(
            health,
            interval_ms=work_ms,
            singles=limits.DEAD_LETTERS_TOLD_EACH,
            untold=0,
            first=0,
            last=0,
            untold_since_ms=0,
        )

    def _tell_refused(self, record: RuleRecord, health: Health) -> Health:
        """As `_tell_untold`, of replies that were not taken (`replying`)."""
        work_ms = self._draft.time.work_ms
        if not health.refused or work_ms < health.refused_ends_ms or not self._has_room:
            return health
        since = rfc3339(health.refused_since_ms)
        data = RepliesRefused(record.name, record.uid, health.refused, health.refused_first, health.refused_last, since)
        self._append(bus_events.REPLY_REFUSED, record, data)
        singles = limits.REPLIES_REFUSED_TOLD_EACH
        return msgspec.structs.replace(
            health, refused_ms=work_ms, refused_singles=singles, refused=0, refused_first=0, refused_last=0, refused_since_ms=0
        )

    def _append(self, kind: str, record: RuleRecord, data: Told, *, cause: int = 0) -> None:
        self._count += 1
        self._draft.append_bus_event(kind, record.name, msgspec.to_builtins(data), cause=cause)
