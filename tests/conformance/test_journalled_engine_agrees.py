"""As `test_engines_agree`, with a store that is made again from the journal each time: whatever the features wrote, the journal holds all of it."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from hypothesis import HealthCheck, settings
from hypothesis.stateful import rule

from eventyard.core.changes import Changes
from eventyard.core.changes_codec import decode, encode
from eventyard.engines.nats.engine import NatsEngine
from eventyard.engines.sqlite import SqliteEngine
from tests.conformance.engines import SMALL
from tests.conformance.test_engines_agree import EnginesAgree
from tests.support.streams import SimulatedStreams


class JournalledEngineAgrees(EnginesAgree):
    def __init__(self) -> None:
        self.streams = SimulatedStreams()
        self.numbers = itertools.count(1)
        super().__init__()

    def open(self, path: Path) -> SqliteEngine:
        """A new store in each life, and a new leader."""
        number = next(self.numbers)
        store = SqliteEngine(str(path.with_name(f"life-{number}.db")), layout=SMALL, synchronous="OFF")
        return cast(
            "SqliteEngine",
            NatsEngine(self.streams, store, leader=f"node-{number}", ids=lambda: next(self.numbers).to_bytes(16, "big")),
        )

    def commit(self, batch: Sequence[Changes]) -> None:
        """The store gets what a record says, as that of a follower does."""
        self.memory.commit(batch)
        self.sqlite.commit([decode(encode(changes)) for changes in batch])

    @rule()
    def reopen(self) -> None:
        """The process ends, however it does, and its store is lost."""
        self.sqlite.close()
        self.sqlite = self.open(self.folder / "0.db")

    def die(self) -> None:
        """No rule here: there is no file that outlives a process."""

    def fail(self, batch: object, is_at_commit: object) -> None:
        """No rule here: what a store refuses is a test of its own (`journal/test_nats_engine`)."""


TestJournalledEngineAgrees = JournalledEngineAgrees.TestCase
TestJournalledEngineAgrees.settings = settings(
    max_examples=settings().max_examples // 8,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
