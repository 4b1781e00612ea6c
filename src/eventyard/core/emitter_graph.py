"""How emitters hang together: what one publishes another may listen to. Nothing may come back to where it began.

Whether an event that an emitter will publish matches a pattern is told from what is known of it beforehand: its type and its source. Where
the pattern also asks for something else, it may. So what is allowed never goes in a circle; of what is refused some might not have.
"""

from collections.abc import Iterable
from typing import NamedTuple

from eventyard.core import limits
from eventyard.core.emitter_plan import Plan
from eventyard.core.pattern.comparison import is_any_right
from eventyard.core.pattern.language import Pattern


def check(plan: Plan, others: Iterable[Plan], *, bus: str) -> None:
    """`Kind.refusal` where the emitter, put beside the others, would hear what goes back to itself, or stand in too long a row."""
    plans = [*(other for other in others if other.record.uid != plan.record.uid), plan]
    refusal = plan.record.kind.refusal
    if own := _heard(plan, plan, bus):
        wanted = f"an `{own.ear}` that leaves out the types of its own `emit`"
        raise refusal(f'found that it would observe its own "{own.type}"', wanted=wanted, at=f"/{own.ear}")
    if circle := _circle(plan, plans, bus):
        heard, wanted = _heard(plan, circle[-2], bus), f"{plan.record.kind}s that do not feed themselves"
        raise refusal(f"found a circle: {_named(circle)}", wanted=wanted, at=f"/{heard.ear if heard else plan.ears[0]}")
    length = 1 + _row(plan, plans, bus, {}, is_onwards=False) + _row(plan, plans, bus, {}, is_onwards=True)
    if length > limits.EMITTER_CHAIN_MAX:
        found = f"found {length} {plan.record.kind}s in a row, each listening to the one before"
        raise refusal(found, wanted=f"at most {limits.EMITTER_CHAIN_MAX}", at=f"/{plan.ears[-1]}")


def _named(circle: list[Plan]) -> str:
    """By their names, with their kinds where there are several."""
    kinds = {plan.record.kind for plan in circle}
    return " -> ".join(plan.record.name if len(kinds) == 1 else f"{plan.record.kind} {plan.record.name}" for plan in circle)


def source(plan: Plan, bus: str) -> str:
    """The source of what it publishes."""
    return f"/eventyard/buses/{bus}/{plan.record.kind}s/{plan.record.name}"


class _Heard(NamedTuple):
    ear: str
    type: str


def _heard(listener: Plan, speaker: Plan, bus: str) -> _Heard | None:
    """By which field of its document one hears what the other says; None: it hears nothing of it."""
    said = source(speaker, bus)
    for kind in speaker.emits:
        for number, pattern in listener.listens.items():
            if _may_match(pattern, {"type": kind, "source": said}):
                return _Heard(listener.ears[number], kind)
    return None


def _may_match(pattern: Pattern, known: dict[str, str]) -> bool:
    return any(
        all(field.name not in known or is_any_right(field.comparisons, known[field.name]) for field in alternative.fields)
        for alternative in pattern.alternatives
    )


def _circle(start: Plan, plans: list[Plan], bus: str) -> list[Plan]:
    """The way that leads from one back to itself; empty where there is none."""
    ways = {start.record.uid: [start]}
    waiting = [start]
    while waiting:
        speaker = waiting.pop()
        for listener in plans:
            if _heard(listener, speaker, bus) is None:
                continue
            way = [*ways[speaker.record.uid], listener]
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
        next_ = [one for one in plans if (_heard(one, at, bus) if is_onwards else _heard(at, one, bus))]
        known[uid] = max((1 + _row(one, plans, bus, known, is_onwards=is_onwards) for one in next_), default=0)
    return known[uid]
