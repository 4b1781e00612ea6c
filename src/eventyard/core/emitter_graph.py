"""How emitters hang together: what one publishes another may listen to. Nothing may come back to where it began.

Whether an event that an emitter will publish matches a pattern is told from what is known of it beforehand: its type and its source. Where
the pattern also asks for something else, it may. So what is allowed never goes in a circle; of what is refused some might not have.
"""

from collections.abc import Iterable

from eventyard.core import limits
from eventyard.core.emitter_plan import Plan
from eventyard.core.errors import InvalidDetector
from eventyard.core.pattern.comparison import is_any_right
from eventyard.core.pattern.language import Pattern


def check(plan: Plan, others: Iterable[Plan], *, bus: str) -> None:
    """`InvalidDetector` where the emitter, put beside the others, would hear what goes back to itself, or stand in too long a row."""
    plans = [*(other for other in others if other.record.uid != plan.record.uid), plan]
    if (kind := _heard_type(plan, plan, bus)) is not None:
        wanted = "an `on` that leaves out the types of its own `emit`"
        raise InvalidDetector(f'found that it would observe its own "{kind}"', wanted=wanted, at="/on")
    if circle := _circle(plan, plans, bus):
        named = " -> ".join(circle)
        raise InvalidDetector(f"found a circle: {named}", wanted="detectors that do not feed themselves", at="/on")
    length = 1 + _row(plan, plans, bus, {}, is_onwards=False) + _row(plan, plans, bus, {}, is_onwards=True)
    if length > limits.EMITTER_CHAIN_MAX:
        wanted = f"at most {limits.EMITTER_CHAIN_MAX}"
        raise InvalidDetector(f"found {length} detectors in a row, each listening to the one before", wanted=wanted, at="/on")


def source(plan: Plan, bus: str) -> str:
    """The source of what it publishes."""
    return f"/eventyard/buses/{bus}/{plan.record.kind}s/{plan.record.name}"


def _hears(listener: Plan, speaker: Plan, bus: str) -> bool:
    return _heard_type(listener, speaker, bus) is not None


def _heard_type(listener: Plan, speaker: Plan, bus: str) -> str | None:
    said = source(speaker, bus)
    for kind in speaker.emits:
        if any(_may_match(pattern, {"type": kind, "source": said}) for pattern in listener.listens.values()):
            return kind
    return None


def _may_match(pattern: Pattern, known: dict[str, str]) -> bool:
    return any(
        all(field.name not in known or is_any_right(field.comparisons, known[field.name]) for field in alternative.fields)
        for alternative in pattern.alternatives
    )


def _circle(start: Plan, plans: list[Plan], bus: str) -> list[str]:
    """The names along a way that leads from one back to itself; none where there is none."""
    ways = {start.record.uid: [start.record.name]}
    waiting = [start]
    while waiting:
        speaker = waiting.pop()
        for listener in plans:
            if not _hears(listener, speaker, bus):
                continue
            way = [*ways[speaker.record.uid], listener.record.name]
            if listener.record.uid == start.record.uid:
                return way
            if listener.record.uid not in ways:
                ways[listener.record.uid] = way
                waiting.append(listener)
    return []


def _row(at: Plan, plans: list[Plan], bus: str, known: dict[int, int], *, is_onwards: bool) -> int:
    """How many stand behind it in the longest row, or before it. There is no circle. `known`: of those that were asked already."""
    uid = at.record.uid
    if uid not in known:
        next_ = [one for one in plans if (_hears(one, at, bus) if is_onwards else _hears(at, one, bus))]
        known[uid] = max((1 + _row(one, plans, bus, known, is_onwards=is_onwards) for one in next_), default=0)
    return known[uid]
