"""One key of a detector, as the audit understands the documents of detectors: what may be known of it, and which edges that owes.

It has no table and no timers of its own. What the documents leave open (whether a sweep or a tick came before the next event) it follows on
every way that there is: so it holds a set of what may be known, and a way that the log contradicts is dropped.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.simulation.reading import at, matches


class Terms(NamedTuple):
    """A detector's document, in milliseconds. `types`: by edge (a rise is true), the type that it is told by."""

    on: Any
    key: str
    when: Any
    until: Any
    for_ms: int
    keep_for_ms: int
    first: str
    order_by: str
    late_by_ms: int
    forget_after_ms: int | None
    max_keys: int
    max_edges_per_s: float
    types: dict[bool, str | None]

    @property
    def is_damped(self) -> bool:
        """Whether a story has edges enough to come past its rate."""
        return self.max_edges_per_s < 100

    def signal(self, document: Any) -> str:
        if matches(self.when, document):
            return "holds"
        return "gone" if self.until is None or matches(self.until, document) else "between"

    def said(self, document: Any) -> tuple[tuple[str, Any], ...]:
        """What an event says of the fields that the conditions look at."""
        fields = [field for pattern in (self.when, self.until) if pattern is not None for field in fields_of(pattern)]
        found = {field: at(document, field.split(".")) for field in fields}
        return tuple(sorted((field, value) for field, value in found.items() if value is not None))


def read_terms(document: Any) -> Terms:
    forget_s = document["forget_after_s"]
    emit = document["emit"]
    types = {True: (emit["rise"] or {}).get("type"), False: (emit["fall"] or {}).get("type")}
    return Terms(
        document["on"],
        document["key"],
        document["when"],
        document["until"],
        round(document["for_s"] * 1000),
        round(document["keep_for_s"] * 1000),
        document["first"],
        document["order_by"],
        round(document["late_by_s"] * 1000),
        None if forget_s is None else round(forget_s * 1000),
        document["max_keys"],
        document["max_edges_per_s"],
        types,
    )


def fields_of(pattern: Any, path: str = "") -> list[str]:
    fields: list[str] = []
    for name, wanted in pattern.items():
        own = f"{path}.{name}" if path else name
        fields += fields_of(wanted, own) if isinstance(wanted, dict) else [own]
    return fields


class Seen(NamedTuple):
    """An observation: where, how it stands in the order of its key, since when it counts in bus and in work time, and when it was made."""

    position: int
    mark: int
    at_ms: int
    began_ms: int
    work_ms: int
    signal: str
    said: tuple[tuple[str, Any], ...]


class Hold(NamedTuple):
    """What waits to be told since an observation. `before`: what the one before it said."""

    position: int
    at_ms: int
    began_ms: int
    before: tuple[tuple[str, Any], ...] | None
    is_put_off: bool = False


class Edge(NamedTuple):
    """`held_ms`: between these two, which are one where it is known since when the truth was one."""

    version: int
    is_rise: bool
    position: int
    since_ms: int
    time_ms: int
    held_ms: tuple[int, int]
    before: tuple[tuple[str, Any], ...] | None
    after: tuple[tuple[str, Any], ...]


class Known(NamedTuple):
    """What may be known of a key, by the version that judged it last. `is_since_sure`: else it is true since then at the earliest. `untold`:
    edges that have happened and stand in the log yet to be met, in their order.
    """

    version: int
    truth: bool | None = None
    hold: Hold | None = None
    position: int = 0
    mark: int = 0
    said: tuple[tuple[str, Any], ...] | None = None
    heard_ms: int = 0
    since_ms: int = 0
    is_since_sure: bool = True
    untold: tuple[Edge, ...] = ()


def wait_ms(known: Known, terms: Terms) -> int:
    return terms.keep_for_ms if known.truth else terms.for_ms


def due_ms(known: Known, terms: Terms) -> int | None:
    """The work time at which the hold ends; 0: it has to wait for nothing; None: there is none."""
    if known.hold is None:
        return None
    wait = wait_ms(known, terms)
    return known.hold.began_ms + wait + terms.late_by_ms if wait else 0


def learnt(known: Known, seen: Seen, terms: Terms) -> Known:
    """After an observation that counts."""
    after = known._replace(position=seen.position, mark=seen.mark, said=seen.said, heard_ms=seen.work_ms)
    is_first = known.truth is None
    if is_first and seen.signal == "holds" and terms.first == "suppress":
        return after
    if is_first and (seen.signal != "holds" or terms.first == "arm"):
        return after._replace(truth=seen.signal == "holds", since_ms=seen.at_ms, is_since_sure=True)
    truth = bool(known.truth)
    is_turning = seen.signal == ("gone" if truth else "holds")
    if not is_turning:
        return after._replace(truth=truth, hold=None)
    hold = known.hold or Hold(seen.position, seen.at_ms, seen.began_ms, known.said)
    return after._replace(truth=truth, hold=hold)


def edge_of(known: Known, terms: Terms) -> Edge:
    """What the end of the hold is."""
    hold, wait = known.hold, wait_ms(known, terms)
    assert hold is not None
    assert known.said is not None
    true_ms = max(0, hold.at_ms - known.since_ms)
    held = (wait, wait) if not known.truth else (true_ms if known.is_since_sure else 0, true_ms)
    return Edge(known.version, not known.truth, hold.position, hold.at_ms, hold.at_ms + wait, held, hold.before, known.said)


def turned(known: Known) -> Known:
    """After its hold has ended, whether somebody is told or not."""
    assert known.hold is not None
    return known._replace(truth=not known.truth, since_ms=known.hold.at_ms, is_since_sure=True, hold=None)


def judged(known: Known, version: int, terms: Terms, document: Any, edit_ms: int) -> Iterator[Known]:
    """Under a changed detector, by the last observation (`document`; None: the log does not have it). What turns by that is no edge."""
    stays = known._replace(version=version)
    if document is None or not matches(terms.on, document):
        yield stays
        return
    stays = stays._replace(said=terms.said(document))
    if known.truth is None:
        yield stays
        return
    signal = terms.signal(document)
    if known.hold is not None and signal == ("gone" if known.truth else "holds"):
        yield stays
        return
    truth = signal == "holds" or (signal == "between" and known.truth)
    after = stays._replace(truth=truth, hold=None)
    yield after if truth is known.truth else after._replace(since_ms=edit_ms, is_since_sure=False)
