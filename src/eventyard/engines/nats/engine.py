"""The cluster's engine: a commit is appended to the bus's journal, and then kept in a local store, which can be made again from the journal.

Theory of operation. The journal is what is durable; the store is what it says, applied. `commit` appends the changes as one record and, once a quorum
has it, commits them to the store together with where they stand. So a process that ends between the two finds, when it starts, a journal that is
ahead of its store, and applies the rest. Everything that is read comes from the store.

This node leads every bus: at the start it reads each journal to its end and begins a term. Whoever led before cannot append from there on.
Where the store and what the writer has in memory may not be what the journal says any more (another leads now; the store refused what the
journal has), nothing is committed until the node starts again.

Docs: docs/internals/cluster.md.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

from eventyard.core import changes_codec
from eventyard.core.bus_state import Loaded
from eventyard.core.changes import Changes
from eventyard.core.errors import EventyardError, JournalAway, NotLeading
from eventyard.core.loss import Losses, Verified
from eventyard.core.record import BEGINNING, Diverged, Kind, Record, Stand
from eventyard.core.system import SYSTEM_BUS
from eventyard.core.view import View
from eventyard.engines.nats.journal import Journal
from eventyard.engines.nats.stream import Stream, Streams
from eventyard.ports import Engine, Footprint


class NatsEngine:
    """`ports.Engine` over `streams` and a `store`, both of which it closes. `leader` names this node, `ids` makes ids of records.

    Raises `JournalAway` where the servers do not answer, `Diverged` where the store does not follow from the journal: it is to be thrown away and
    made again, unless the journal is gone.
    """

    def __init__(self, streams: Streams, store: Engine, *, leader: str, ids: Callable[[], bytes]) -> None:
        self._streams = streams
        self._store = store
        self._leader = leader
        self._ids = ids
        self._journals: dict[int, Journal] = {}
        self._failure: EventyardError | None = None
        self._stands = store.stands()
        self._take_up()

    # Taking up

    def _take_up(self) -> None:
        """The system bus first: it says which others there are."""
        self._open(SYSTEM_BUS, is_known=bool(self._stands))
        for loaded in self._store.load():
            if loaded.record.number != SYSTEM_BUS:
                self._open(loaded.record.number, is_known=True)

    def _open(self, bus: int, *, is_known: bool) -> None:
        """Read a journal to its end and lead it. One that is not known to be there is made by the first commit."""
        stream = self._streams.open(bus)
        if stream is not None:
            self._lead(bus, stream)
        elif is_known:
            raise Diverged(f"found no journal of bus {bus}", wanted="the stream in which it was; somebody deleted it")

    def _lead(self, bus: int, stream: Stream) -> Journal:
        journal = Journal(stream, self._stands.get(bus, BEGINNING), ids=self._ids, pause=self._streams.pause)
        for record in journal.lead(self._leader):
            self._apply(record)
        self._journals[bus] = journal
        return journal

    def _apply(self, record: Record) -> None:
        if record.kind is Kind.CHANGES:
            changes = changes_codec.decode(record.body)
            changes.stand = record.stand
            self._store.commit([changes])

    # Committing

    @property
    def is_joint(self) -> bool:
        """Each bus has a journal of its own."""
        return False

    def commit(self, batch: Sequence[Changes]) -> None:
        """Of one bus: all or nothing. Of several, those before the one that fails are kept, and nothing more is until the next start.

        Waits for the journal as long as its fate is not known: so it costs time when its servers are away, and tells nobody what may be false.
        """
        if self._failure is not None:
            raise self._failure
        kept: list[Changes] = []
        try:
            for changes in batch:
                changes.stand = self._journal_for(changes).append(changes_codec.encode(changes))
                kept.append(changes)
        except NotLeading as error:
            self._failure = error
            raise
        except EventyardError:
            self._keep_of_several(kept)
            raise
        self._keep(batch)

    def _journal_for(self, changes: Changes) -> Journal:
        """The bus's; and those of the buses that it names are there before it says so."""
        for record in changes.buses:
            if not record.is_deleted:
                self._led(record.number)
        return self._led(changes.bus)

    def _led(self, bus: int) -> Journal:
        return self._journals.get(bus) or self._lead(bus, self._streams.create(bus))

    def _keep_of_several(self, kept: Sequence[Changes]) -> None:
        if kept:
            self._keep(kept)
            self._failure = _out_of_step("that the changes of some buses of a batch are kept and of others not")

    def _keep(self, batch: Sequence[Changes]) -> None:
        try:
            self._store.commit(batch)
        except EventyardError:
            self._failure = _out_of_step("that the store refused what the journal has")
            raise
        for changes in batch:
            self._remove_journals(record.number for record in changes.buses if record.is_removed)

    def _remove_journals(self, buses: Iterable[int]) -> None:
        """One that stays, for nobody answers, costs room and nothing else: no number is used twice."""
        for bus in buses:
            self._journals.pop(bus, None)
            with contextlib.suppress(JournalAway):
                self._streams.remove(bus)

    # What the store tells

    @property
    def view(self) -> View:
        return self._store.view

    @property
    def losses(self) -> Losses | None:
        return self._store.losses

    def load(self) -> list[Loaded]:
        return self._store.load()

    def stands(self) -> dict[int, Stand]:
        return self._store.stands()

    def verify(self, bus: int, first: int, last: int) -> Verified:
        return self._store.verify(bus, first, last)

    def verified(self, bus: int) -> int:
        return self._store.verified(bus)

    def damaged(self, bus: int) -> int:
        return self._store.damaged(bus)

    def is_damaged(self, bus: int, position: int) -> bool:
        return self._store.is_damaged(bus, position)

    def footprint(self) -> Footprint:
        return self._store.footprint()

    def reader(self) -> AbstractContextManager[View]:
        return self._store.reader()

    def give_up(self) -> None:
        self._streams.give_up()

    def close(self) -> None:
        self._streams.close()
        self._store.close()


def _out_of_step(found: str) -> NotLeading:
    return NotLeading(f"found {found}", wanted="a restart, which reads the journal again")
