"""One rule and one event: what the rule said of it, then and today, and why there is a delivery or none.

Theory of operation. A rule may have had several live runs, one after the other (a seek opens the next), and replays beside them. What
counts is the last live run that had anything to do with the event: that has a delivery of it, has judged it, or has yet to come to it. Only
where none has do the others say why: the rule started after it, was moved past it, was deleted before it came to it. A replay's
delivery tells more than any of these, for it is one.
"""

from eventyard.core.clock import rfc3339
from eventyard.core.errors import EventyardError
from eventyard.core.explain import deliveries
from eventyard.core.explain.facts import DeliveryTold, Explanation, Facts, Judged, Outcome
from eventyard.core.limits import EXPLAINED_RUNS_MAX
from eventyard.core.pattern import evaluator, language
from eventyard.core.rule_history import Edit, Look, Reach, RuleVersion


def explain(facts: Facts) -> Explanation:
    live = {look.run for look in facts.looks}
    rows = facts.deliveries[-EXPLAINED_RUNS_MAX:]
    told = tuple(deliveries.told(facts, row, is_replayed=bool(live) and row.run not in live) for row in rows)
    look = _deciding(facts, told)
    then = _judged_by(facts, look.version) if look is not None and look.reach is Reach.JUDGED else None
    outcome, why = _came_of(facts, told, look, then)
    return Explanation(
        uid=facts.uid,
        name=facts.record.name if facts.record is not None else facts.versions[-1].name if facts.versions else "",
        is_deleted=facts.record is None or facts.record.is_deleted,
        outcome=outcome,
        why=why,
        then=then,
        today=_today(facts, then),
        deliveries=told,
        left_out=len(facts.deliveries) - len(rows),
    )


def needed(looks: list[Look]) -> list[RuleVersion]:
    """The versions whose patterns an explanation may ask for."""
    return [look.version for look in looks if look.reach is Reach.JUDGED]


def _deciding(facts: Facts, told: tuple[DeliveryTold, ...]) -> Look | None:
    """The run that says what became of the event; None where nothing of the rule is kept."""
    if not facts.looks:
        return None
    runs = {one.delivery.run for one in told}
    concerned = [look for look in facts.looks if look.run in runs or look.reach in {Reach.JUDGED, Reach.UNREAD}]
    return concerned[-1] if concerned else facts.looks[-1]


# What the rule says


def _judged_by(facts: Facts, version: RuleVersion) -> Judged | None:
    pattern = facts.patterns.get(version.key)
    return None if pattern is None else _judged(version.version, pattern, facts)


def _judged(version: int, pattern: bytes, facts: Facts) -> Judged:
    try:
        verdict = evaluator.why(language.parse(pattern), facts.document)
    except Exception as error:  # noqa: BLE001 - as when it was judged: a rule that fails on an event costs nobody else anything
        found = error.found if isinstance(error, EventyardError) else type(error).__name__
        return Judged(version, None, f"the pattern cannot be evaluated on it: {found}")
    return Judged(version, verdict.matches, verdict.sentence)


def _today(facts: Facts, then: Judged | None) -> Judged | None:
    """What the rule says now, where it has another pattern by now or never judged the event, and says something else."""
    if facts.record is None or facts.record.is_deleted or (then is not None and then.version == facts.record.version):
        return None
    today = _judged(facts.record.version, bytes(facts.record.rule.pattern), facts)
    is_same = then is not None and (then.matches, then.why) == (today.matches, today.why)
    return None if is_same else today


# What became of it


def _came_of(facts: Facts, told: tuple[DeliveryTold, ...], look: Look | None, then: Judged | None) -> tuple[Outcome, str]:
    own = [one for one in told if look is not None and one.delivery.run == look.run]
    if own:
        return own[-1].outcome, own[-1].why
    if told and (look is None or look.reach is not Reach.UNREAD):
        return told[-1].outcome, _by_replay(told[-1])
    return _without(facts, look, then) if look is not None else (Outcome.UNKNOWN, _UNKNOWN)


def _without(facts: Facts, look: Look, then: Judged | None) -> tuple[Outcome, str]:
    """There is no delivery."""
    match look.reach:
        case Reach.JUDGED:
            return _not_put(facts, look, then)
        case Reach.UNREAD:
            return Outcome.NOT_REACHED, _unread(facts)
        case Reach.BEFORE:
            return _before(look.version)
        case Reach.ENDED:
            return _ended(facts, look.version)
        case Reach.UNKNOWN:
            return Outcome.UNKNOWN, _UNKNOWN


_UNKNOWN = "what the rule said then is not kept any more"


def _by_replay(one: DeliveryTold) -> str:
    return f"by replay {one.delivery.run}: {one.why}" if one.is_replayed else one.why


def _not_put(facts: Facts, look: Look, then: Judged | None) -> tuple[Outcome, str]:
    """It was judged, and there is no delivery."""
    if then is None:
        return Outcome.UNKNOWN, _UNKNOWN
    if then.matches is False:
        return Outcome.NO_MATCH, then.why
    if facts.settled_by is not None:
        return (
            Outcome.SETTLED_BEFORE,
            f'it was settled before by the rule "{look.version.name}" that this one goes on for (uid {facts.settled_by})',
        )
    return Outcome.CAPPED, "it was passed over before the rule's backfill read it: the rule's backlog was past its cap"


def _unread(facts: Facts) -> str:
    stands = f"its backfill stands at position {facts.unread} and has yet to come to it"
    if facts.record is not None and facts.record.is_paused:
        return f"{stands}; {deliveries.paused(facts)}"
    return stands


def _before(opening: RuleVersion) -> tuple[Outcome, str]:
    at = rfc3339(opening.time_ms)
    if opening.edit is Edit.SOUGHT:
        who = f" by {opening.by}" if opening.by else ""
        return (
            Outcome.MOVED_PAST,
            f"a seek{who} at position {opening.position} ({at}) moved the rule on to position {opening.first}",
        )
    created = f"the rule was created at position {opening.position} ({at})"
    if opening.resumed:
        deleted = f"to go on for the deleted one (uid {opening.resumed[0].uid}) from position {opening.first} on"
        return Outcome.STARTED_AFTER, f"{created} {deleted}; what lies before was that one's"
    return Outcome.STARTED_AFTER, f"{created} and gets what comes from position {opening.first} on"


def _ended(facts: Facts, end: RuleVersion) -> tuple[Outcome, str]:
    who = f" by {end.by}" if end.by else ""
    at = f"at position {end.position} ({rfc3339(end.time_ms)}){who}"
    if end.edit is Edit.SOUGHT:
        return Outcome.MOVED_PAST, f"a seek {at} moved the rule away before its backfill had come to it"
    late = "" if facts.position > end.position else ", before its backfill had come to the event"
    return Outcome.DELETED_BEFORE, f"the rule was deleted {at}{late}"
