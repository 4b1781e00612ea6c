"""A delivery: one event for one rule in one run, from its put to its end.

    WAITING --lease--> LEASED --settle--> DELIVERED | WAITING (retry) | DEAD
    DEAD --redrive--> WAITING          WAITING --deleted rule--> DISCARDED

A lease that ran out is simply due again, so there is no state for it. `is_pending` covers WAITING and LEASED.
"""

import enum

import msgspec


class State(enum.IntEnum):
    WAITING = 0
    LEASED = 1
    DELIVERED = 2
    DEAD = 3
    DISCARDED = 4

    @property
    def is_pending(self) -> bool:
        return self <= State.LEASED


class Delivery(msgspec.Struct, frozen=True):
    """One row of a queue.

    `at_ms` means: WAITING, the work time from which it may be leased; LEASED, the work time at which the lease ends; ended,
    the bus time (Unix milliseconds) at which it ended. `leases` counts every lease ever granted and is what tells a later
    lease from an earlier one; `attempts` counts those that the policy counts and starts again at a redrive. `first_ms` is the
    work time of the first counted attempt (0: none yet). `note` is JSON (`Note`), kept for whoever asks why.
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

    @property
    def key(self) -> "Key":
        return (self.rule, self.run, self.position)


Key = tuple[int, int, int]
"""Rule uid, run, position: what names a delivery within its bus."""


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a delivery is where it is. `answer` is the start of the target's last answer, as text."""

    reason: str = ""
    status: int = 0
    failure: str = ""
    answer: str = ""
    at_ms: int = 0


def encode_note(note: Note) -> bytes:
    return msgspec.json.encode(note)


def decode_note(data: bytes) -> Note:
    return msgspec.json.decode(data, type=Note) if data else Note()


class Reason(enum.StrEnum):
    """Why a delivery ended without being delivered."""

    ATTEMPTS = "attempts"
    AGE = "age"
    ANSWER = "answer"
    EVALUATION = "evaluation"
    FORBIDDEN_TARGET = "forbidden-target"
    DAMAGED = "damaged"
    RULE_DELETED = "rule-deleted"
    NO_MATCH = "no-match"


def delivery_id(incarnation: str, rule: int, position: int, run: int) -> str:
    """The id a receiver sees: the same over every attempt, restart and redrive (DESIGN: identity)."""
    return f"{incarnation}-{rule}-{position}-{run}"


def parse_delivery_id(text: str) -> tuple[str, Key] | None:
    """The incarnation and key that `delivery_id` wrote, or None where the text is not one."""
    parts = text.split("-")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) <= 16 for part in parts[1:]):
        return None
    rule, position, run = (int(part) for part in parts[1:])
    return parts[0], (rule, run, position)
