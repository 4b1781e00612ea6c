"""Mutants of batches: what became of one event is taken for what became of others."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from unittest import mock

from eventyard import answering
from eventyard.ports import PushAnswer

_OF_EACH = answering.of_each


def _the_status_counts(answer: PushAnswer, count: int) -> list[PushAnswer]:
    """A receiver that says what became of each is not listened to."""
    return [answer] * count


def _turned_round(answer: PushAnswer, count: int) -> list[PushAnswer] | None:
    """Each event is told what was said of another."""
    each = _OF_EACH(answer, count)
    return None if each is None else each[::-1]


BATCH_MUTANTS: Mapping[str, Callable[[], AbstractContextManager[object]]] = MappingProxyType(
    {
        "one-status-for-all": lambda: mock.patch.object(answering, "of_each", _the_status_counts),
        "verdicts-turned-round": lambda: mock.patch.object(answering, "of_each", _turned_round),
    }
)
