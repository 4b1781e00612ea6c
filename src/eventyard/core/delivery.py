"""A delivery: one event for one rule in one run, from its put to its end.

    WAITING ---lease--> LEASED --settle--> DELIVERED | RETRYING | DEAD
    RETRYING --lease--> LEASED             LEASED --lease ran out--> RETRYING
    BLOCKED --the one before it in its lane ended--> WAITING
    DEAD --redrive--> WAITING              any but DELIVERED --skip, purge, seek, cap, deleted rule--> DISCARDED

`is_pending` covers the first four: somebody will still get it.
"""

import enum
import re
from functools import lru_cache

import msgspec

from eventyard.core import limits


class State(enum.IntEnum):
    """BLOCKED: behind another delivery of its key. RETRYING: as WAITING, with an attempt behind it."""

    WAITING = 0
    RETRYING = 1
    LEASED = 2
    BLOCKED = 3
    DELIVERED = 4
    DEAD = 5
    DISCARDED = 6

    @property
    def is_pending(self) -> bool:
        return self <= State.BLOCKED

    @property
    def is_leasable(self) -> bool:
        """Whether it stands in the queue: once due it may be leased."""
        return self <= State.RETRYING

    @property
    def is_running(self) -> bool:
        """Whether its turn has come and it has not ended: in a lane, it is the head and stays it."""
        return self <= State.LEASED

    @property
    def is_owed(self) -> bool:
        """Whether its event is still needed: to be delivered, or redriven."""
        return self.is_pending or self is State.DEAD


LEASED, DELIVERED = State.LEASED, State.DELIVERED
"""For what is asked of every delivery: up to Python 3.11 looking up a member of an enum costs as much as making a row."""


class Delivery(msgspec.Struct, frozen=True):
    """One row of a queue.

    `at_ms` means: WAITING and RETRYING, the work time from which it may be leased; LEASED, the work time at which the lease ends;
    BLOCKED, the work time before which it is not due even when its turn comes; ended, the bus time (Unix milliseconds) at which it
    ended. `leases` counts every lease ever granted and is what tells a later lease from an earlier one; `attempts` counts those that
    the policy counts and starts again at a redrive. `first_ms` is the work time of the first counted attempt (0: none yet), from which its age counts:
    later by all the time that it was due and nobody took it.
    `note` is JSON (`Note`), kept for whoever asks why. `lane` is the hash of its key where the rule keeps order (0: in no order).
    """

    rule: int
    run: int
    position: int
    state: State
    at_ms: int
    attempts: int = 0
    leases: int = 0
    first_ms: int = 0
    note: bytes = b""
    lane: int = 0

    @property
    def key(self) -> "Key":
        return (self.rule, self.run, self.position)

    def leased(self, work_ms: int, lease_ms: int) -> "Delivery":
        """With the next lease granted at `work_ms`. Spelled out: to replace fields by name costs three times as much.

        What it was kept waiting since it was due is nothing that its target did: a paused rule, an open breaker and a rate take nothing off
        the time in which it is tried.
        """
        return Delivery(
            self.rule,
            self.run,
            self.position,
            LEASED,
            work_ms + lease_ms,
            self.attempts + 1,
            self.leases + 1,
            self.first_ms + max(0, work_ms - self.at_ms) if self.first_ms else work_ms or 1,
            self.note,
            self.lane,
        )

    def ended(self, state: State, time_ms: int, note: bytes) -> "Delivery":
        """As it stands for ever, or until a redrive: a compact row."""
        return Delivery(self.rule, self.run, self.position, state, time_ms, self.attempts, self.leases, 0, note, self.lane)


Key = tuple[int, int, int]
"""Rule uid, run, position: what names a delivery within its bus."""


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """What came of an attempt, or of `count` in a row that ended alike, from `first_ms` to `at_ms` (bus time).

    `reason` is why the delivery died of it, where it did and was put back since. `line`: of the rule's own answers, what decided.
    """

    at_ms: int
    status: int = 0
    failure: str = ""
    answer: str = ""
    reason: str = ""
    count: int = 1
    first_ms: int = 0
    line: str = ""


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a delivery is where it is. `answer` is the start of the target's last answer, as text.

    `line` is that of the rule's own answers which decided what the status means, as `404: dead`; empty where none did. `earlier`: what came
    of the attempts before, the last ones of them (`following`).
    """

    reason: str = ""
    status: int = 0
    failure: str = ""
    answer: str = ""
    at_ms: int = 0
    by: str = ""
    earlier: tuple[Attempt, ...] = ()
    line: str = ""

    @property
    def is_of_attempt(self) -> bool:
        """Whether it tells what came of an attempt."""
        return bool(self.status or self.failure or self.answer)

    @property
    def attempt(self) -> Attempt | None:
        """What it tells of an attempt; None where it tells of none."""
        if not self.is_of_attempt:
            return None
        return Attempt(self.at_ms, self.status, self.failure, self.answer, self.reason, first_ms=self.at_ms, line=self.line)


def encode_note(note: Note) -> bytes:
    return _ENCODE(note)


def decode_note(data: bytes) -> Note:
    return _DECODE(data) if data else Note()


_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(Note).decode


def following(before: bytes, note: Note) -> Note:
    """`note` in the place of the note `before`, of which what came of its attempts is kept. Attempts that ended alike are told as one,
    so a target that is away for a day costs a row no more than one that was away for a minute.
    """
    if not before:
        return note if not note.earlier else msgspec.structs.replace(note, earlier=())
    last = decode_note(before)
    earlier = _with(last.earlier, last) if last.is_of_attempt else last.earlier
    # Spelled out here and below, as in `Delivery.leased`: a dead target has it done for every attempt.
    kept = earlier[-limits.ATTEMPTS_KEPT :]
    return Note(note.reason, note.status, note.failure, note.answer, note.at_ms, note.by, kept, note.line)


def _with(earlier: tuple[Attempt, ...], last: Note) -> tuple[Attempt, ...]:
    failure, answer = last.failure[: limits.ATTEMPT_CHARACTERS_KEPT], last.answer[: limits.ATTEMPT_CHARACTERS_KEPT]
    before = earlier[-1] if earlier else None
    if before is None or (before.status, before.failure, before.answer, before.reason, before.line) != (
        last.status,
        failure,
        answer,
        last.reason,
        last.line,
    ):
        return (*earlier, Attempt(last.at_ms, last.status, failure, answer, last.reason, 1, last.at_ms, last.line))
    again = Attempt(last.at_ms, last.status, failure, answer, last.reason, before.count + 1, before.first_ms, last.line)
    return (*earlier[:-1], again)


RELEASED = "released by its consumer"
"""The `failure` of a delivery that a consumer gave back: it tells a lease that was given back from one that ran out."""

STOPPED = "its worker stopped before it was answered"
"""The `failure` of an attempt that says nothing of the target."""


class Reason(enum.StrEnum):
    """Why a delivery ended without being delivered."""

    ATTEMPTS = "attempts"
    AGE = "age"
    ANSWER = "answer"
    REJECTED = "rejected"
    EVALUATION = "evaluation"
    FORBIDDEN_TARGET = "forbidden-target"
    TRANSFORM = "transform"
    DAMAGED = "damaged"
    RULE_DELETED = "rule-deleted"
    NO_MATCH = "no-match"
    SEEK = "seek"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    PURGED = "purged"
    EXPIRED = "expired"
    CAP = "cap"


def is_skipped(delivery: Delivery) -> bool:
    """Whether somebody passed over it, so that its key could go on."""
    return delivery.state is State.DISCARDED and decode_note(delivery.note).reason == Reason.SKIPPED


def waiting_state(attempts: int) -> State:
    """Where a delivery stands that may be leased again."""
    return State.RETRYING if attempts else State.WAITING


def delivery_id(incarnation: str, rule: int, position: int, run: int) -> str:
    """The id a receiver sees: the same over every attempt, restart and redrive (DESIGN: identity)."""
    return f"{incarnation}-{rule}-{position}-{run}"


def parse_delivery_id(text: str) -> tuple[str, Key] | None:
    """The incarnation and key that `delivery_id` wrote, or None where the text is not one."""
    parts = _parts(text, 4)
    if parts is None:
        return None
    incarnation, (rule, position, run) = parts
    return incarnation, (rule, run, position)


def lease_token(incarnation: str, delivery: Delivery) -> str:
    """What a consumer names a lease by: the delivery's id and the number of the lease."""
    return f"{incarnation}-{delivery.rule}-{delivery.position}-{delivery.run}-{delivery.leases}"


def is_lease_token(text: str) -> bool:
    """Whether it may be one that `lease_token` wrote, of whatever rule."""
    return _parts(text, 5) is not None


@lru_cache(1_000)
def lease_tokens(incarnation: str, rule: int) -> re.Pattern[str]:
    """The tokens of one rule's leases: matched whole they give position, run and number of the lease, each in digits.

    Measured: half of what taking apart a token costs that may be of any rule.
    """
    return re.compile(rf"{re.escape(incarnation)}-{rule}-([0-9]{{1,16}})-([0-9]{{1,16}})-([0-9]{{1,16}})")


def _parts(text: str, count: int) -> tuple[str, list[int]] | None:
    parts = text.split("-")
    if len(parts) != count or not text.isascii():
        return None
    numbers = parts[1:]
    if not all(part.isdigit() and len(part) <= 16 for part in numbers):
        return None
    return parts[0], list(map(int, numbers))
