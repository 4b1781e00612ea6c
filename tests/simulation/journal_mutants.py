"""Rules of the journal left out, under the whole house: each must be noticed (`mutants`)."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from unittest import mock

from eventyard.engines.nats.journal import Journal
from eventyard.engines.nats.stream import Outcome


def _believing(*outcomes: Outcome) -> Callable[[], AbstractContextManager[object]]:
    """An append with one of these outcomes is taken for kept, and nobody reads what stands there."""

    def is_placed(journal: Journal, message: bytes) -> bool:
        while journal._stream.append(message, journal.stand.sequence) not in outcomes:
            pass
        return True

    return lambda: mock.patch.object(Journal, "_is_placed", is_placed)


JOURNAL_MUTANTS: Mapping[str, Callable[[], AbstractContextManager[object]]] = MappingProxyType(
    {"silence-is-success": _believing(Outcome.STORED, Outcome.TAKEN, Outcome.UNKNOWN)}
)
