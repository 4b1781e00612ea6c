"""Several deliveries of one rule in one request: CloudEvents' batched mode, and what a receiver says of each event in it.

A batch is composed of the events as they are stored. What its receiver answers counts for all of them, unless it says what became of each: then it
answers as the bus itself does whoever publishes a batch, `{"events": [...]}` with an entry for each in its place, so that one bus may receive another's batches.

| entry                                            | what became of the event                         |
| ------------------------------------------------ | ------------------------------------------------ |
| `{"status": 422, ...}`                           | as if it alone had been answered so              |
| `{"error": {"status": 409, ...}}` (a problem)    | the same, by the problem's status                |
| `{"error": ...}` without one                     | not taken: tried again                           |
| `{"position": 17, "duplicate": false, ...}`      | taken                                            |
| anything else                                    | as the request was answered                      |
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from eventyard.core import limits


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request has at most so many events and, unless it is one alone, bytes; one that is not full waits `wait_s` for more."""

    max_events: Annotated[int, msgspec.Meta(ge=1, le=limits.BATCH_EVENTS_MAX)] = 50
    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=limits.BATCH_BYTES_MAX)] = 256 * 1024
    wait_s: Annotated[float, msgspec.Meta(ge=0, le=limits.BATCH_WAIT_S_MAX)] = 0.5

    @property
    def wait_ms(self) -> int:
        return int(self.wait_s * 1000)


def size_in(event: bytes) -> int:
    """What an event adds to a batch: itself, and a comma or its share of the brackets."""
    return len(event) + 1


def composed(events: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(events) + b"]"


def batch_id(delivery_ids: Sequence[str]) -> str:
    """The same for the same deliveries in the same order, and for nothing else."""
    return "batch-" + blake2b(" ".join(delivery_ids).encode(), digest_size=16).hexdigest()


# What its receiver says of each


class Told(msgspec.Struct, frozen=True):
    """What became of one event: a status (0: it was not taken, and nothing says by which), and the start of what was said."""

    status: int
    text: bytes


class _Entry(msgspec.Struct):
    status: int | UnsetType = UNSET
    error: Any = None
    position: int | UnsetType = UNSET


class _Answer(msgspec.Struct):
    events: list[_Entry]


class _Texts(msgspec.Struct):
    events: list[msgspec.Raw]


def told(status: int, body: bytes, count: int) -> list[Told] | None:
    """What became of each of `count` events by an answer with this `status`. None where it does not say: then the status counts for all."""
    if body.lstrip()[:1] != b"{":
        return None
    try:
        entries = _ANSWER.decode(body).events
        if len(entries) != count:
            return None
        texts = _TEXTS.decode(body).events
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return [
        Told(_status(entry, status), bytes(text)[: limits.ANSWER_KEPT_BYTES])
        for entry, text in zip(entries, texts, strict=True)
    ]


def _status(entry: _Entry, status: int) -> int:
    if entry.status is not UNSET:
        return entry.status if 200 <= entry.status <= 599 else 0
    if entry.error is not None:
        return _status_of(entry.error)
    if entry.position is not UNSET:
        return status if 200 <= status < 300 else 200
    return status


def _status_of(problem: Any) -> int:
    """An error is none by which the event was taken, whatever its status says."""
    status = problem.get("status") if isinstance(problem, dict) else None
    return status if isinstance(status, int) and 300 <= status <= 599 else 0


_ANSWER = msgspec.json.Decoder(_Answer)
_TEXTS = msgspec.json.Decoder(_Texts)
