"""Every way in which Eventyard says no, as one small tree.

The branch says whose fault it is: `Refused` (the caller's), `Unavailable` (the world's), `Corrupt` (ours). The leaf's
name is the fact, and its `code` is what a program reads (the last part of a problem's `type`). A message says what was
found, what was wanted, and where. `docs/reference/errors.md` lists every code; a test holds the two together.
"""

import enum
from typing import ClassVar


class EventyardError(Exception):
    """The root. `at` is an RFC 6901 JSON pointer into what was sent, or the name of a header, query field or file."""

    code: ClassVar[str] = ""
    title: ClassVar[str] = ""

    def __init__(self, found: str, *, wanted: str = "", at: str = "") -> None:
        self.found = found
        self.wanted = wanted
        self.at = at
        super().__init__(self.detail)

    @property
    def detail(self) -> str:
        """One sentence for a person: where, what was found, what was wanted."""
        where = f"at {self.at}: " if self.at else ""
        wanted = f"; wanted {self.wanted}" if self.wanted else ""
        return f"{where}{self.found}{wanted}"


class Refused(EventyardError):
    """The caller's fault: the same request will be refused again."""


class Unavailable(EventyardError):
    """The world's fault: the same request may succeed later, after `retry_after_s`."""

    retry_after_s: ClassVar[int] = 1


class Corrupt(EventyardError):
    """Our fault, or the disk's: what we kept is not what we wrote."""


class InvalidJSON(Refused):
    code, title = "invalid-json", "The text is not strict JSON"


class InvalidEvent(Refused):
    code, title = "invalid-event", "Not a CloudEvents 1.0 event"


class ReservedType(Refused):
    code, title = "reserved-type", "Event types under io.eventyard. belong to the bus"


class UnsupportedContentType(Refused):
    code, title = "unsupported-content-type", "The content type is not one this door takes"


class TooLarge(Refused):
    code, title = "too-large", "Larger than the limit"


class EventConflict(Refused):
    code, title = "event-conflict", "The same source and id were published with other content"


class TooManyMatches(Refused):
    code, title = "too-many-matches", "The event matches more rules than one step carries"


class TooManyHops(Refused):
    code, title = "too-many-hops", "Too many events came of one another before this one"


class InvalidPattern(Refused):
    code, title = "invalid-pattern", "The pattern cannot be used"


class PatternTooCostly(Refused):
    code, title = "pattern-too-costly", "The pattern would cost too much on every event"


class InvalidRule(Refused):
    code, title = "invalid-rule", "The rule cannot be used"


class InvalidDetector(Refused):
    code, title = "invalid-detector", "The detector cannot be used"


class InvalidExpectation(Refused):
    code, title = "invalid-expectation", "The expectation cannot be used"


class InvalidSchedule(Refused):
    code, title = "invalid-schedule", "The schedule cannot be used"


class ForbiddenTarget(Refused):
    code, title = "forbidden-target", "The target's address is not one this bus may call"


class InvalidName(Refused):
    code, title = "invalid-name", "The name cannot be used"


class InvalidRequest(Refused):
    code, title = "invalid-request", "The request cannot be read"


class ForbiddenOrigin(Refused):
    code, title = "forbidden-origin", "A web page of another origin may not speak to this bus"


class Unauthenticated(Refused):
    code, title = "unauthenticated", "The request needs a key that is in force"


class Forbidden(Refused):
    """`scope` is the one that it would take."""

    code, title = "forbidden", "The key does not allow this"

    def __init__(self, scope: str, found: str, *, wanted: str, at: str = "") -> None:
        self.scope = scope
        super().__init__(found, wanted=wanted, at=at)


class NotFound(Refused):
    code, title = "not-found", "There is no such thing here"


class NameTaken(Refused):
    code, title = "name-taken", "The name is in use"


class Stale(enum.StrEnum):
    """Why a verdict on a lease does not count, in a word for programs.

    MALFORMED: no lease token at all. FOREIGN: granted by another rule, bus or incarnation. UNKNOWN: never granted, or its delivery is
    forgotten. SUPERSEDED: a later lease was granted. RELEASED: given back by a verdict before. EXPIRED: ran out, so it cannot be
    renewed. ENDED: the delivery has ended otherwise. CLOSED: a seek or a cancelled replay has closed the delivery's run.
    """

    MALFORMED = "malformed"
    FOREIGN = "foreign"
    UNKNOWN = "unknown"
    SUPERSEDED = "superseded"
    RELEASED = "released"
    EXPIRED = "expired"
    ENDED = "ended"
    CLOSED = "closed"


class VersionConflict(Refused):
    code, title = "version-conflict", "The rule is not the one that the caller saw"


class StaleLease(Refused):
    code, title = "stale-lease", "The lease no longer holds this delivery"

    def __init__(self, reason: Stale, found: str, *, wanted: str) -> None:
        self.reason = reason
        super().__init__(found, wanted=wanted)


class InvalidSettings(Refused):
    code, title = "invalid-settings", "The bus cannot start with these settings"


class InvalidBackup(Refused):
    code, title = "invalid-backup", "The backup cannot be made, or restored, like this"


class Overloaded(Unavailable):
    code, title = "overloaded", "More is waiting than the bus keeps in memory"


class IssuerAway(Unavailable):
    code, title = "issuer-away", "The issuer's keys, by which its tokens are checked, cannot be had"
    retry_after_s = 10


class StorageFull(Unavailable):
    code, title = "storage-full", "The disk is full; what was accepted is kept"
    retry_after_s = 10


class StorageFailed(Unavailable):
    code, title = "storage-failed", "The disk refused; nothing of this request was kept"
    retry_after_s = 5


class StoreBehind(Unavailable):
    code, title = "store-behind", "The store ends before what it had kept; it can only be read until it is repaired"
    retry_after_s = 60


class JournalAway(Unavailable):
    code, title = "journal-away", "The servers that keep the journal do not answer"
    retry_after_s = 5


class NotLeading(Unavailable):
    code, title = "not-leading", "Another node leads the bus"
    retry_after_s = 5


class SecretLost(Unavailable):
    code, title = "secret-lost", "A secret of the rule cannot be opened with the keys that are there"
    retry_after_s = 60


class Stopping(Unavailable):
    code, title = "stopping", "The bus is stopping"
    retry_after_s = 5


class Damaged(Corrupt):
    code, title = "damaged", "What was read is not what was written"


class Failed(Corrupt):
    code, title = "internal-error", "The bus failed; this is a defect of Eventyard"
