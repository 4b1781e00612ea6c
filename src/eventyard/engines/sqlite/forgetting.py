"""Removing what retention is done with: events that nobody is owed, with their deliveries, and what stays of them as stubs.

The dedup window knows an id by the position of its event and compares it with the event itself. So when an event goes before the window
has left it behind, a stub stays: about 60 bytes of identity. Stubs go when the window moves on, a bounded number with each removal.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import apsw
import msgspec

from eventyard.core import limits
from eventyard.core.changes import Changes
from eventyard.core.view import Known
from eventyard.engines.sqlite import place as places
from eventyard.engines.sqlite.connection import rows
from eventyard.engines.sqlite.id_segments import hash_id
from eventyard.engines.sqlite.statements import SQL, insert_all

STUBS_PER_REMOVAL = 4_000
"""Stubs looked at with one removal: four times what it can add."""

_SIGNED = 1 << 63


class _Identity(msgspec.Struct):
    source: str
    id: str


_decode = msgspec.json.Decoder(_Identity).decode


class Stub(msgspec.Struct, frozen=True):
    """What stays of a removed event. `hash` is that of `hash_id`; `check` a second one."""

    place: int
    known: Known
    hash: int
    check: bytes

    def is_of(self, source: str, id: str) -> bool:  # noqa: A002 - it is the event's id
        return self.check == _check(source, id)


def forget(connection: apsw.Connection, changes: Changes, first: int, last: int) -> None:
    """Remove the events from `first` to `last` of which nothing is owed. Belongs inside the transaction, after its deliveries."""
    for low, high in _free_stretches(connection, changes.bus, first, last):
        span = places.span(changes.bus, low, high)
        insert_all(connection, "add_stub", _new_stubs(connection, changes, low, high))
        connection.execute(SQL["remove_events"], span)
        connection.execute(SQL["remove_derivations"], (changes.bus, low, high))
        connection.execute(SQL["remove_deliveries"], (changes.bus, low, high))
    _drop_old_stubs(connection, changes)


def stub_at(connection: apsw.Connection, place: int) -> Stub | None:
    found = rows(connection, "stub", place)
    return _read(*found[0]) if found else None


def stubs(connection: apsw.Connection, first: int, last: int, limit: int) -> list[Stub]:
    """At most `limit` stubs from place `first` to `last`, ascending."""
    return [_read(*row) for row in rows(connection, "stubs", first, last, limit)]


def _free_stretches(connection: apsw.Connection, bus: int, first: int, last: int) -> Iterator[tuple[int, int]]:
    """What lies between the positions that are owed."""
    low = first
    for (owed,) in rows(connection, "owed_positions", bus, first, last):
        if low < owed:
            yield low, owed - 1
        low = owed + 1
    if low <= last:
        yield low, last


def _new_stubs(
    connection: apsw.Connection, changes: Changes, low: int, high: int
) -> Iterator[tuple[int, int, int, bytes, bytes]]:
    """One for each event that the dedup window still knows."""
    first = max(low, changes.head - limits.DEDUP_WINDOW_IDS + 1)
    since_ms = changes.time.time_ms - limits.DEDUP_WINDOW_MS
    span = places.span(changes.bus, first, high)
    found: list[Any] = rows(connection, "events_ascending", *span, high - first + 1) if first <= high else []
    for place, accepted_ms, _, digest, _, json in found:
        if accepted_ms > since_ms:
            identity = _identity(json)
            if identity is not None:
                hashed = hash_id(identity.source, identity.id)
                yield place, accepted_ms, hashed - _SIGNED, digest, _check(identity.source, identity.id)


def _identity(json: bytes) -> _Identity | None:
    """None where the event is damaged: nobody can tell whose it was, so its producer may bring it again."""
    try:
        return _decode(json)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _check(source: str, id: str) -> bytes:  # noqa: A002 - it is the event's id
    return hashlib.blake2b(f"{len(source)}:{source}{id}".encode(), digest_size=8, person=b"stub").digest()


def _drop_old_stubs(connection: apsw.Connection, changes: Changes) -> None:
    """Those at the old end that the window has left behind."""
    first, _ = places.span(changes.bus)
    _, last = places.span(changes.bus, last=changes.head)
    if not any(_is_over(stub, changes) for stub in stubs(connection, first, last, 1)):
        return
    over = [stub for stub in stubs(connection, first, last, STUBS_PER_REMOVAL) if _is_over(stub, changes)]
    connection.execute(SQL["remove_stubs"], (first, over[-1].place))


def _is_over(stub: Stub, changes: Changes) -> bool:
    return (
        stub.known.position <= changes.head - limits.DEDUP_WINDOW_IDS
        or stub.known.accepted_ms <= changes.time.time_ms - limits.DEDUP_WINDOW_MS
    )


def _read(place: int, accepted_ms: int, hashed: int, digest: bytes, check: bytes) -> Stub:
    return Stub(place, Known(places.position(place), accepted_ms, digest), hashed + _SIGNED, check)
