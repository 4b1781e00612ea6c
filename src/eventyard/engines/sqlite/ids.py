"""The dedup window: where a (source, id) was accepted last, among ten million of them, without an index on random keys.

Theory of operation. An id is known by a 64-bit hash. A unique index over random keys touches a random page per insert and
gets slower as it fills; but ids arrive in time order and leave in time order, so they are kept in time slices instead, and
only ever appended:

    open segment     the newest ids: a dict of hash -> position (less its first) in memory. Not on disk: after a start it is made again
                     from the events behind the last closed segment.
    closed segment   32,768 ids and what its last commit brought more, sorted by hash, in the rows of `id_segments`. Closed in
                     the very transaction that fills it, so a crash finds it whole or not at all.
    slice            64 segments and one Bloom filter of 16 bits an id over them, in memory; saved when the slice closes.

Nearly every id that is asked for is fresh, so what matters is to say "unknown" fast: one dict and one filter per slice,
at most six of them with the window full. Each filter costs two looks at cold memory: with slices half as large an answer
took twice as long. A filter that says "maybe" sends us into its segments, newest first, one small row each; about one fresh
id in four hundred goes there for nothing. What is found is compared with the event itself, or with the stub that retention
left of it (`forgetting`): two ids may share a hash, and damage must not make one event pass for another. A damaged event counts
as unknown, so that its producer may bring it again.

Newer beats older at every step (open segment, then slices and segments from the newest): an id accepted again after
the window answers with its later position. Whole segments that the window has left behind are removed, at most
`DROPPED_PER_COMMIT` with a commit; the machine itself judges the window, so a late removal is harmless.

Nothing here changes before the commit that carries it has succeeded: `stage` plans, `write` writes inside the
transaction, `apply` takes over. A failed commit leaves at most more bits in a filter, which cost a look and no answer.

Memory is bounded over all buses: the one not used for longest is forgotten and read again when asked for. One thread,
the writer's, uses an index; a reader makes one of its own.

What this does not do: in one open segment a second id with the same hash hides the first (2^-64 a pair); and a
flipped bit in a bucket's row may make one id unknown. Either way an event may be accepted twice, and none is lost.
"""

import itertools
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from operator import index
from zlib import crc32

import apsw
import msgspec
from rbloom import Bloom

from eventyard.core import limits
from eventyard.core.changes import Changes, StoredEvent
from eventyard.core.view import Known
from eventyard.engines.sqlite import event_rows, forgetting, id_segments
from eventyard.engines.sqlite import place as places
from eventyard.engines.sqlite.connection import rows
from eventyard.engines.sqlite.damage import DamageLog
from eventyard.engines.sqlite.id_segments import Segment, hash_id
from eventyard.engines.sqlite.reading import event_rows_around
from eventyard.engines.sqlite.statements import SQL

FALSE_MAYBES = 0.00046
"""16 bits an id: five filters together send one fresh id in four hundred into a slice for nothing."""

DROPPED_PER_COMMIT = 2
"""Segments removed with one commit: twice what any commit can close, 512 small rows."""

MEMORY_BYTES_MAX = 48 * 1024 * 1024
"""Two buses with the window full, or about ten with an open segment each."""

_OPEN_ID_BYTES = 130
"""Measured: an entry of the open segment, its two integers and its share of the dict."""

_LOAD_ROWS = 4_000


class Layout(msgspec.Struct, frozen=True):
    """How ids are cut. Tests use small numbers to see segments and slices close."""

    segment_ids: int = 32_768
    slice_segments: int = 64

    def new_bloom(self) -> Bloom:
        """The hash of a hash is itself, so that a saved filter means the same in the next process."""
        return Bloom(self.segment_ids * self.slice_segments, FALSE_MAYBES, index)


LAYOUT = Layout()


class Slice:
    """Some consecutive segments and the filter over them (None: no segment yet, so all its ids are open)."""

    def __init__(self, number: int, segments: Sequence[Segment] = (), bloom: Bloom | None = None) -> None:
        self.number = number
        self.segments = list(segments)
        self.bloom = bloom


class BusIds:
    """The ids of one bus. The last slice is the one being filled; the open segment will be its next."""

    def __init__(self, bus: int, slices: list[Slice], next_number: int, open_first: int) -> None:
        self.bus = bus
        self.slices = slices
        self.next_number = next_number
        self.open: dict[int, int] = {}
        self.open_first = open_first

    @property
    def blooms(self) -> list[Bloom]:
        return [part.bloom for part in self.slices if part.bloom is not None]

    @property
    def memory_bytes(self) -> int:
        return len(self.open) * _OPEN_ID_BYTES + sum(bloom.size_in_bits // 8 for bloom in self.blooms)

    def candidates(self, connection: apsw.Connection, key: int) -> Iterator[int]:
        """Positions at which the hash was accepted, newest first."""
        if (offset := self.open.get(key)) is not None:
            yield self.open_first + offset
        for part in reversed(self.slices):
            if part.bloom is not None and key in part.bloom:
                yield from id_segments.find(connection, self.bus, part.segments, key)


class Staged(msgspec.Struct):
    """What one commit does to the ids of one bus. `closing` is the segment that it fills, with `closing_ids`."""

    held: BusIds
    added: dict[int, int]
    dropped: list[Segment]
    bloom: Bloom | None
    closing: Segment | None = None
    closing_ids: dict[int, int] = {}


class IdIndex:
    """The ids of all buses of one file."""

    def __init__(self, damage: DamageLog, layout: Layout = LAYOUT) -> None:
        self._damage = damage
        self._layout = layout
        self._buses: OrderedDict[int, BusIds] = OrderedDict()

    def find(self, connection: apsw.Connection, bus: int, ids: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Known]:
        """As `View.find_ids`."""
        held = self._held(connection, bus)
        opened, blooms = held.open, held.blooms
        found = {}
        for source_id in ids:
            key = hash_id(*source_id)
            if key in opened or _is_maybe(blooms, key):
                known = self._verify(connection, held, key, source_id)
                if known is not None:
                    found[source_id] = known
        return found

    def stage(self, connection: apsw.Connection, batch: Sequence[Changes]) -> list[Staged]:
        """What committing `batch` will do to the ids. Changes nothing that an answer rests on."""
        latest = {changes.bus: changes for changes in batch if changes.events}
        staged = []
        for bus, last in latest.items():
            events = [event for changes in batch if changes.bus == bus for event in changes.events]
            staged.append(self._stage(self._held(connection, bus), events, last))
        return staged

    def write(self, connection: apsw.Connection, staged: Sequence[Staged]) -> None:
        """Write the rows of segments that close or leave. Belongs inside the transaction."""
        for one in staged:
            bus = one.held.bus
            for segment in one.dropped:
                id_segments.remove(connection, bus, segment)
                if self._is_last(segment):
                    connection.execute(SQL["remove_id_slice"], (self._slice_place(bus, segment),))
            if one.closing is not None and one.bloom is not None:
                id_segments.write(connection, bus, one.closing, one.closing_ids)
                if self._is_last(one.closing):
                    saved = one.bloom.save_bytes()
                    connection.execute(SQL["add_id_slice"], (self._slice_place(bus, one.closing), crc32(saved), saved))

    def apply(self, staged: Sequence[Staged]) -> None:
        """Take over what is committed."""
        for one in staged:
            if one.closing is None:
                one.held.open.update(one.added)
            else:
                self._close(one.held, one.closing, one.bloom)
            _drop(one.held, one.dropped)
        self._bound_memory()

    def forget(self, bus: int) -> None:
        """The bus is being emptied: nothing of it is known any more."""
        self._buses.pop(bus, None)

    # Asking

    def _held(self, connection: apsw.Connection, bus: int) -> BusIds:
        held = self._buses.get(bus)
        if held is None:
            held = self._buses[bus] = self._load(connection, bus)
        self._buses.move_to_end(bus)
        return held

    def _verify(self, connection: apsw.Connection, held: BusIds, key: int, source_id: tuple[str, str]) -> Known | None:
        for position in held.candidates(connection, key):
            place = places.place(held.bus, position)
            found = event_rows.from_rows(event_rows_around(connection, place, place, 1, self._damage), self._damage)
            if found and (found[0].source, found[0].id) == source_id:
                return Known(position, found[0].accepted_ms, found[0].digest)
            if not found and (stub := forgetting.stub_at(connection, place)) is not None and stub.is_of(*source_id):
                return stub.known
        return None

    # Committing

    def _stage(self, held: BusIds, events: Sequence[StoredEvent], changes: Changes) -> Staged:
        added = {hash_id(event.source, event.id): event.position - held.open_first for event in events}
        bloom = held.slices[-1].bloom
        if bloom is not None:
            bloom.update(added)
        staged = Staged(held, added, _outside(held, changes), bloom)
        if len(held.open) + len(added) >= self._layout.segment_ids:
            staged.closing_ids = held.open | added
            staged.closing = Segment(held.next_number, held.open_first, events[-1].position, events[-1].accepted_ms)
            if bloom is None:
                staged.bloom = self._layout.new_bloom()
                staged.bloom.update(staged.closing_ids)
        return staged

    def _close(self, held: BusIds, segment: Segment, bloom: Bloom | None) -> None:
        part = held.slices[-1]
        part.segments.append(segment)
        part.bloom = bloom
        held.open = {}
        held.open_first = segment.last_position + 1
        held.next_number = segment.number + 1
        if self._is_last(segment):
            held.slices.append(Slice(part.number + 1))

    def _bound_memory(self) -> None:
        total = sum(held.memory_bytes for held in self._buses.values())
        while total > MEMORY_BYTES_MAX and len(self._buses) > 1:
            _, oldest = self._buses.popitem(last=False)
            total -= oldest.memory_bytes

    def _is_last(self, segment: Segment) -> bool:
        """Whether it closes its slice."""
        return (segment.number + 1) % self._layout.slice_segments == 0

    def _slice_place(self, bus: int, segment: Segment) -> int:
        return places.place(bus, segment.number // self._layout.slice_segments)

    # Loading

    def _load(self, connection: apsw.Connection, bus: int) -> BusIds:
        """Read a bus's ids: the saved filters, the open slice's filter made again, and the open segment from the log."""
        segments = id_segments.load(connection, bus)
        slices = [self._load_slice(connection, bus, number, part) for number, part in self._by_slice(segments)]
        if not segments or self._is_last(segments[-1]):
            slices.append(Slice(slices[-1].number + 1 if slices else 0))
        held = (
            BusIds(bus, slices, segments[-1].number + 1, segments[-1].last_position + 1)
            if segments
            else BusIds(bus, slices, 0, 0)
        )
        self._load_open(connection, held)
        return held

    def _by_slice(self, segments: Sequence[Segment]) -> list[tuple[int, list[Segment]]]:
        parts = itertools.groupby(segments, key=lambda segment: segment.number // self._layout.slice_segments)
        return [(number, list(part)) for number, part in parts]

    def _load_slice(self, connection: apsw.Connection, bus: int, number: int, segments: list[Segment]) -> Slice:
        for checksum, saved in rows(connection, "id_slice", places.place(bus, number)):
            if crc32(saved) == checksum:
                return Slice(number, segments, Bloom.load_bytes(saved, index))
        bloom = self._layout.new_bloom()
        for segment in segments:
            bloom.update(id_segments.hashes(connection, bus, segment))
        return Slice(number, segments, bloom)

    def _load_open(self, connection: apsw.Connection, held: BusIds) -> None:
        """From the log, and from what is left of events that it no longer holds. The later position of an id counts."""
        head = rows(connection, "bus_head", held.bus)
        first, last = places.span(held.bus, held.open_first, head[0][0] if head else 0)
        self._load_stubs(connection, held, first, last)
        while found := event_rows_around(connection, first, last, _LOAD_ROWS, self._damage):
            for event in event_rows.from_rows(found, self._damage):
                key, offset = hash_id(event.source, event.id), event.position - held.open_first
                held.open[key] = max(offset, held.open.get(key, 0))
            first = found[-1][0] + 1
        if (bloom := held.slices[-1].bloom) is not None:
            bloom.update(held.open)

    def _load_stubs(self, connection: apsw.Connection, held: BusIds, first: int, last: int) -> None:
        while found := forgetting.stubs(connection, first, last, _LOAD_ROWS):
            for stub in found:
                held.open[stub.hash] = stub.known.position - held.open_first
            first = found[-1].place + 1


def _is_maybe(blooms: Sequence[Bloom], key: int) -> bool:
    for bloom in blooms:  # noqa: SIM110 - `any` over a generator takes half as long again, for each event published
        if key in bloom:
            return True
    return False


def _outside(held: BusIds, changes: Changes) -> list[Segment]:
    """The oldest segments, where the window has left them behind. The newest one stays: it tells where the open one begins."""
    oldest = itertools.chain.from_iterable(part.segments for part in held.slices)
    first = list(itertools.islice(oldest, DROPPED_PER_COMMIT + 1))
    return [segment for segment in first[:-1] if _is_outside(segment, changes)]


def _is_outside(segment: Segment, changes: Changes) -> bool:
    return (
        segment.last_position <= changes.head - limits.DEDUP_WINDOW_IDS
        or segment.last_accepted_ms <= changes.time.time_ms - limits.DEDUP_WINDOW_MS
    )


def _drop(held: BusIds, dropped: Sequence[Segment]) -> None:
    for segment in dropped:
        held.slices[0].segments.remove(segment)
        if not held.slices[0].segments and len(held.slices) > 1:
            del held.slices[0]
