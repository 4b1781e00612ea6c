"""One key of an expectation, as the audit understands the documents of expectations. As in `holding`, a set of what may be known is followed."""

from typing import Any, NamedTuple

from tests.simulation.reading import matches

ACTS = ("missed", "met", "late")


class Terms(NamedTuple):
    """An expectation's document, in milliseconds. `types`: by outcome, the type that it is told by."""

    after: Any
    expect: Any
    key: str
    within_ms: int
    late_for_ms: int
    max_keys: int
    max_missed_per_s: float
    types: dict[str, str | None]

    @property
    def is_damped(self) -> bool:
        """Whether a story misses enough to come past its rate."""
        return self.max_missed_per_s < 100

    def hears(self, document: Any) -> list[str]:
        """What the event is to it, in the order in which it is taken."""
        return [name for name in ("expect", "after") if matches(getattr(self, name), document)]


def read_terms(document: Any) -> Terms:
    within_ms = round(document["within_s"] * 1000)
    late_s = document["late_for_s"]
    return Terms(
        document["after"],
        document["expect"],
        document["key"],
        within_ms,
        within_ms if late_s is None else round(late_s * 1000),
        document["max_keys"],
        document["max_missed_per_s"],
        {act: (document["emit"][act] or {}).get("type") for act in ACTS},
    )


class Outcome(NamedTuple):
    """What became of it. `heard`: the position of the event that was waited for; 0: there is none."""

    version: int
    act: str
    opened: int
    heard: int


class Known(NamedTuple):
    """What may be known of a key, by the version that judged it last. `phase`: none, open or missed; `opened`: by which event, at what work time. `untold`: as in `holding`."""

    version: int
    phase: str = "none"
    opened: int = 0
    began_ms: int = 0
    untold: tuple[Outcome, ...] = ()

    def told(self, act: str, terms: Terms, heard: int = 0) -> tuple[Outcome, ...]:
        """What has to be told after one thing more has become of it."""
        outcome = Outcome(self.version, act, self.opened, heard)
        return self.untold if terms.types[act] is None else (*self.untold, outcome)


def over_ms(known: Known, terms: Terms) -> int | None:
    """The work time at which what it waits for is over. None: it waits for nothing."""
    match known.phase:
        case "open":
            return known.began_ms + terms.within_ms
        case "missed":
            return known.began_ms + terms.within_ms + terms.late_for_ms
    return None


def ended(known: Known, terms: Terms) -> Known:
    """After what it waits for is over."""
    if known.phase == "missed":
        return Known(known.version, untold=known.untold)
    return known._replace(phase="missed", untold=known.told("missed", terms))


def heard(known: Known, signal: str, position: int, work_ms: int, terms: Terms) -> Known:
    """After an event."""
    match signal, known.phase:
        case "after", "none" | "missed":
            return known._replace(phase="open", opened=position, began_ms=work_ms)
        case "expect", "open":
            return Known(known.version, untold=known.told("met", terms, position))
        case "expect", "missed":
            return Known(known.version, untold=known.told("late", terms, position))
    return known
