"""Loops that can be known beforehand: what is said of a rule that may feed itself, when it is put. It is put all the same, and hops end what does go round.

Where a rule brings events to another bus, and that one's rules go on from there, circles are known by the names of the buses. What a target
will reply nobody knows; but a rule that asks for no type and no source may match whatever comes of it.
"""

from collections.abc import Mapping, Sequence

from eventyard.core.pattern.language import Pattern
from eventyard.core.rule import Rule

Ways = Mapping[str, Sequence[tuple[str, str]]]
"""By bus, its rules that bring events to others: each with its name and the bus that it names."""


def warnings(bus: str, rule: Rule, pattern: Pattern, ways: Ways, *, hops_max: int) -> list[str]:
    """What may go wrong with a rule of `bus`, in sentences. `ways` tells of all buses that there are."""
    found: list[str] = []
    http, other = rule.target.http, rule.target.bus
    if http is not None and http.reply and _asks_for_nobody(pattern):
        found.append(
            "its pattern asks for no type and no source, so it may match what its own target replies, which would be pushed there again:"
            f" a loop, that ends after {hops_max} hops"
        )
    if other is not None and other.name not in ways:
        found.append(
            f"there is no bus {other.name}: deliveries are tried again until there is, or until the rule gives them up"
        )
    if other is not None and (circle := _circle(bus, other.name, ways)):
        named = " -> ".join(circle)
        found.append(
            f"events can go in a circle: {named}. Each ends on the bus where it has been; what is replied to it on the way goes on,"
            f" up to {hops_max} hops"
        )
    return found


def _asks_for_nobody(pattern: Pattern) -> bool:
    return any(not {"type", "source"} & {field.name for field in alternative.fields} for alternative in pattern.alternatives)


def _circle(start: str, first: str, ways: Ways) -> list[str]:
    """The shortest way from `start` over `first` back, by the names of buses; none where there is none."""
    known = {first: [start, first]}
    waiting = [first]
    for bus in waiting:
        for _, target in ways.get(bus, ()):
            if target == start:
                return [*known[bus], start]
            if target not in known:
                known[target] = [*known[bus], target]
                waiting.append(target)
    return []
