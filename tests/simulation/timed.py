"""Whether schedules published what they promise: each instant once, in its order, or told to be missed and then what `misfire` says of it.

The log tells of every edit, so it falls into stretches in which a schedule has one timetable. In each stretch every instant is gone through: it stands in the log in
time; or it is in a row of missed ones; or it was not due yet when the stretch ended.
"""

import datetime
import re
from typing import Any, NamedTuple

from eventyard.core import limits
from eventyard.core.clock import rfc3339
from tests.simulation.books import BrokenPromise
from tests.simulation.instants import instants

EDITS = re.compile(r"io\.eventyard\.schedule\.(created|changed|deleted|paused|resumed|missed)")
SPOKEN = re.compile(r"/eventyard/buses/[^/]+/schedules/(.+)")
GRACE_MS = 60_000
TIMES = ("cron", "every_s", "at", "zone", "start", "end", "jitter_s")


class Row(NamedTuple):
    """A telling of missed instants. `at_ms`: when."""

    at_ms: int
    first: int
    last: int
    missed: int
    published: int
    is_more: bool


class Stretch:
    """One timetable of a schedule in force, after `after_ms`. `published`: by instant, when, in the order of the log."""

    def __init__(self, document: Any, after_ms: int) -> None:
        self.document = document
        self.after_ms = after_ms
        self.published: dict[int, int] = {}
        self.rows: list[Row] = []

    @property
    def jitter_ms(self) -> int:
        return int(1_000 * self.document["jitter_s"])


class Timed:
    """A schedule. `document`: the one in force; `stretch`: None while it is paused."""

    def __init__(self, uid: int, name: str, document: Any, at_ms: int) -> None:
        self.uid = uid
        self.name = name
        self.document = document
        self.is_deleted = False
        self.stretch: Stretch | None = Stretch(document, at_ms)


class Timing:
    """`timed`: by uid, every schedule that ever was."""

    def __init__(self, incarnation: str) -> None:
        self._incarnation = incarnation
        self.timed: dict[int, Timed] = {}

    def fail(self, text: str) -> None:
        raise BrokenPromise(f"bus {self._incarnation}: {text}")

    def take(self, position: int, document: Any, at_ms: int) -> None:
        if spoken := SPOKEN.fullmatch(document["source"]):
            self._publish(spoken[1], document, at_ms)
        elif edit := EDITS.fullmatch(document["type"]):
            self._edit(edit[1], position, document["data"], at_ms)

    # Edits

    def _edit(self, kind: str, position: int, data: Any, at_ms: int) -> None:
        if kind == "created":
            self.timed[position] = Timed(position, data["name"], data["schedule"], at_ms)
            return
        timed = self.timed[data["uid"]]
        match kind:
            case "missed":
                self._miss(timed, data, at_ms)
            case "changed":
                self._change(timed, data["schedule"], at_ms)
            case "resumed":
                timed.stretch = Stretch(timed.document, at_ms)
            case "paused" | "deleted":
                self._end(timed, at_ms)
                timed.stretch = None
                timed.is_deleted = kind == "deleted"

    def _change(self, timed: Timed, document: Any, at_ms: int) -> None:
        if timed.stretch is not None and any(document[name] != timed.document[name] for name in TIMES):
            self._end(timed, at_ms)
            timed.stretch = Stretch(document, at_ms)
        timed.document = document

    def _miss(self, timed: Timed, data: Any, at_ms: int) -> None:
        if timed.stretch is None:
            self.fail(f"{timed.name} told of what it missed while it was not there: {data}")
            return
        first, last = (_ms(data[name]) for name in ("first", "last"))
        timed.stretch.rows.append(Row(at_ms, first, last, data["missed"], data["published"], data["more"]))

    # Instants

    def _publish(self, name: str, document: Any, at_ms: int) -> None:
        _, uid, instant = document["id"].split("-")
        timed, instant_ms = self.timed.get(int(uid)), int(instant)
        if timed is None or timed.stretch is None or timed.name != name:
            self.fail(f"an event of a schedule that is not there: {document}")
            return
        if document != self._document(timed, instant_ms, document):
            self.fail(f"{name} published {document}, owed {self._document(timed, instant_ms, document)}")
        if instant_ms in timed.stretch.published or instant_ms <= max(timed.stretch.published, default=0):
            self.fail(f"{name} published {instant_ms} again, or after a later one: {timed.stretch.published}")
        timed.stretch.published[instant_ms] = at_ms

    def _document(self, timed: Timed, instant_ms: int, document: Any) -> dict[str, Any]:
        emit, instant = timed.document["emit"], rfc3339(instant_ms)
        subject = {"subject": emit["subject"]} if emit["subject"] else {}
        return {
            "specversion": "1.0",
            "id": f"{self._incarnation}-{timed.uid}-{instant_ms}",
            "source": document["source"],
            "type": emit["type"],
            "time": instant,
            "data": emit["data"] | {"instant": instant},
        } | subject

    # The end of a stretch

    def check(self) -> None:
        """What holds at any time: of what is under way no end is known yet."""
        for timed in self.timed.values():
            if timed.stretch is not None:
                self._end(timed, None)

    def _end(self, timed: Timed, until_ms: int | None) -> None:
        """Go through its instants. `until_ms`: when it ended; None: it goes on, and only what is before the last one that is done is looked at."""
        stretch = timed.stretch
        if stretch is None:
            return
        done = max([stretch.after_ms, *stretch.published, *(row.last for row in stretch.rows)])
        all_ = instants(stretch.document, stretch.after_ms, done if until_ms is None else until_ms)
        strays = stretch.published.keys() - set(all_)
        if strays:
            self.fail(f"{timed.name} published what is no instant of it: {sorted(strays)}")
        left = self._check_rows(timed, stretch, all_)
        for instant in left:
            at_ms = stretch.published.get(instant)
            if at_ms is None and until_ms is not None and instant + stretch.jitter_ms > until_ms and instant > done:
                continue
            if at_ms is None or not self._is_in_time(timed, stretch, instant, at_ms, until_ms):
                self.fail(f"{timed.name} published {instant} at {at_ms}, by {until_ms}: {stretch.published}, {stretch.rows}")

    def _is_in_time(self, timed: Timed, stretch: Stretch, instant: int, at_ms: int, until_ms: int | None) -> bool:
        """A row that is still under way has yet to be told, and all of it is published meanwhile."""
        is_untold = until_ms is None and timed.document["misfire"] == "all" and instant > _told(stretch)
        return instant <= at_ms and (is_untold or at_ms <= instant + stretch.jitter_ms + GRACE_MS)

    def _check_rows(self, timed: Timed, stretch: Stretch, all_: list[int]) -> list[int]:
        """The instants that are in no row."""
        left = all_
        last = 0
        for row in stretch.rows:
            within = [instant for instant in all_ if row.first <= instant <= row.last]
            if row.first <= last or not within or (within[0], within[-1]) != (row.first, row.last):
                self.fail(f"{timed.name} told of a row that is none: {row}, {stretch.rows}")
            if row.missed > len(within) or (row.missed < len(within)) is not row.is_more:
                self.fail(f"{timed.name} counted {row}, and missed {len(within)}")
            if row.at_ms <= row.last + GRACE_MS:
                self.fail(f"{timed.name} said {row} was missed, and it was not")
            self._check_misfire(timed, stretch, row, within)
            last = row.last
            left = [instant for instant in left if not row.first <= instant <= row.last]
        return left

    def _check_misfire(self, timed: Timed, stretch: Stretch, row: Row, within: list[int]) -> None:
        found = [instant for instant in within if instant in stretch.published]
        if found not in _wanted(timed.document["misfire"], row, within) or row.published != len(found):
            self.fail(f"{timed.name} published {found} of {row}, by its misfire {timed.document['misfire']}")
        if any(stretch.published[instant] <= instant + GRACE_MS for instant in found):
            self.fail(f"{timed.name} published {found} in time, and said that they were missed: {row}")


def _wanted(misfire: str, row: Row, within: list[int]) -> list[list[int]]:
    """What may have been published of a row. Of `all` the oldest, up to a bound; where an edit ends the row, up to where that found it."""
    most = min(row.missed, limits.SCHEDULE_MISSED_MAX)
    match misfire:
        case "once":
            return [within[-1:]]
        case "all":
            return [within[:count] for count in (range(1, most + 1) if row.is_more else [most])]
    return [[]]


def _told(stretch: Stretch) -> int:
    return max((row.last for row in stretch.rows), default=0)


def _ms(text: str) -> int:
    return round(datetime.datetime.fromisoformat(text).timestamp() * 1000)
