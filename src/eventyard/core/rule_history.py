"""What each rule said when: a row for every edit, so that it is known by which version an event was judged, and why it got no delivery.

Theory of operation. A rule judges each event once in each of its live runs: as it is appended, or when a backfill comes to it. An edit
governs what was not judged yet, which is everything from its `cursor` on: mostly what follows the edit's own event, and of a rule that
is being fed by a backfill also the old events that this had yet to read. Cursors only rise within a run. So the version that judged an
event in a run is the last one of that run whose cursor lies at or below it, and an event at or past the cursor of what ended the run
(a seek, a deletion) was never judged in it.

A row says nothing of the target: nobody asks why by it, and what is secret in it must not stay behind.
"""

import enum
from collections.abc import Sequence

import msgspec

from eventyard.core.rule import Done, RuleRecord


class Edit(enum.StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    PAUSED = "paused"
    RESUMED = "resumed"
    SOUGHT = "sought"
    DELETED = "deleted"


class RuleVersion(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule as an edit left it. `position` is that of the event that records the edit, `version` that of the last PUT.

    `cursor`: everything below it was judged before. `first`: where the run begins that the edit opens (0: it opens none). `by` is who
    asked, `because` why the bus did it by itself. `pattern` is kept apart, and empty where it was not asked for.
    """

    uid: int
    position: int
    edit: Edit
    name: str
    version: int
    run: int
    cursor: int
    time_ms: int
    first: int = 0
    by: str = ""
    because: str = ""
    resumed: tuple[Done, ...] = ()
    pattern: bytes = b""

    @property
    def key(self) -> "VersionKey":
        return (self.uid, self.position)


VersionKey = tuple[int, int]
"""Rule uid and the position of the edit."""


def version_of(
    record: RuleRecord,
    edit: Edit,
    position: int,
    cursor: int,
    *,
    first: int = 0,
    by: str = "",
    because: str = "",
) -> RuleVersion:
    return RuleVersion(
        uid=record.uid,
        position=position,
        edit=edit,
        name=record.name,
        version=record.version,
        run=record.run,
        cursor=cursor,
        time_ms=record.changed_ms,
        first=first,
        by=by,
        because=because,
        resumed=record.resumed,
        pattern=bytes(record.rule.pattern),
    )


class Reach(enum.Enum):
    """How far a run has come with an event.

    BEFORE: the run begins behind it. ENDED: the run was ended before it came to it. UNREAD: a backfill has yet to come to it. UNKNOWN: what
    the rule said then is not kept.
    """

    JUDGED = enum.auto()
    BEFORE = enum.auto()
    ENDED = enum.auto()
    UNREAD = enum.auto()
    UNKNOWN = enum.auto()


class Look(msgspec.Struct, frozen=True):
    """What one live run made of an event. `version`: the one that judged it, that the run begins with, or that ended it."""

    run: int
    reach: Reach
    version: RuleVersion


def looks(versions: Sequence[RuleVersion], position: int, unread: int | None) -> list[Look]:
    """For each live run of a rule, in order, how it stands to the event at `position`.

    `versions` are of one rule, by position. `unread` is the next position that a backfill reads for its run now (None: it is live).
    """
    by_run = _by_run(versions)
    found = []
    for number, of_run in enumerate(by_run):
        end = by_run[number + 1][0] if number + 1 < len(by_run) else _deletion(of_run)
        is_unread = number + 1 == len(by_run) and unread is not None and position >= unread
        found.append(_look(of_run, position, end, is_unread=is_unread))
    return found


def _by_run(versions: Sequence[RuleVersion]) -> list[list[RuleVersion]]:
    runs: list[list[RuleVersion]] = []
    for version in versions:
        if not runs or runs[-1][0].run != version.run:
            runs.append([])
        runs[-1].append(version)
    return runs


def _deletion(of_run: list[RuleVersion]) -> RuleVersion | None:
    return of_run[-1] if of_run[-1].edit is Edit.DELETED else None


def _look(of_run: list[RuleVersion], position: int, end: RuleVersion | None, *, is_unread: bool) -> Look:
    opening = of_run[0]
    if end is not None and position >= end.cursor:
        return Look(opening.run, Reach.ENDED, end)
    if position < (opening.first or opening.cursor):
        return Look(opening.run, Reach.BEFORE if opening.first else Reach.UNKNOWN, opening)
    if is_unread:
        return Look(opening.run, Reach.UNREAD, of_run[-1])
    judging = [version for version in of_run if version is opening or version.cursor <= position]
    return Look(opening.run, Reach.JUDGED, judging[-1])
