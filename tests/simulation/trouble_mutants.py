"""Mutants of what is told of trouble: an echo, a flood, and silence."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any
from unittest import mock

import msgspec

from eventyard.core import others, trouble
from eventyard.core.draft import Draft
from eventyard.core.health import Health

Patch = Callable[[], AbstractContextManager[object]]


def _no_loop_guard() -> AbstractContextManager[object]:
    """The bus's own events are taken for those of others."""

    def of_all(draft: Draft, positions: Sequence[int]) -> dict[int, Any]:
        return {position: others._names(body) for position, body in draft.bodies_at(positions).items()}

    return mock.patch.object(trouble, "of_others", of_all)


def _no_rate_limit() -> AbstractContextManager[object]:
    """A change of state is told whenever there is one."""
    return mock.patch.object(Health, "turn_ms", 0)


def _no_summary() -> AbstractContextManager[object]:
    """Each dead letter is told by itself, however many there are."""

    def tell_each(self: Any, record: Any, health: Health, deaths: Any) -> Health:
        health = msgspec.structs.replace(health, singles=-len(deaths), untold=0)
        return tell_deaths(self, record, health, deaths)

    tell_deaths = trouble._Teller._tell_deaths
    return mock.patch.object(trouble._Teller, "_tell_deaths", tell_each)


def _lose_count() -> AbstractContextManager[object]:
    """What is over the limit is not counted."""
    return mock.patch.object(trouble._Teller, "_count_untold", lambda _self, health, _positions: health)


def _only_in_its_step() -> AbstractContextManager[object]:
    """What may not be told in the step that learns of it never is."""
    return mock.patch("eventyard.keeper._in_trouble", return_value=())


def _success_is_no_news() -> AbstractContextManager[object]:
    """A rule that failed once is failing for ever."""
    return mock.patch("eventyard.core.health.HealthDraft.delivered")


TROUBLE_MUTANTS: Mapping[str, Patch] = MappingProxyType(
    {
        "no-loop-guard": _no_loop_guard,
        "no-rate-limit": _no_rate_limit,
        "no-summary": _no_summary,
        "lose-count": _lose_count,
        "only-in-its-step": _only_in_its_step,
        "success-is-no-news": _success_is_no_news,
    }
)
