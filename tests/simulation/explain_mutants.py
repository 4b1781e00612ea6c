"""Mutants of what explanations rest on: which version of a rule judged an event, and for how long that is known."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any
from unittest import mock

import msgspec

from eventyard.core import rule_history
from eventyard.core.draft import Draft
from eventyard.core.rule_history import Look, Reach, RuleVersion
from eventyard.engines import memory
from tests.simulation.queue_mutants import Patch


def _edits_govern_from_now_on() -> AbstractContextManager[object]:
    """An edit is taken to govern what follows it alone, whatever a backfill had yet to read."""
    return mock.patch.object(Draft, "cursor", lambda draft, _: draft.head + 1)


def _judged_as_it_came() -> AbstractContextManager[object]:
    """What a backfill read later is taken to have been judged by the version in force as it was accepted."""
    look = rule_history._look

    def look_by_position(of_run: list[RuleVersion], position: int, end: RuleVersion | None, *, is_unread: bool) -> Look:
        found = look(of_run, position, end, is_unread=is_unread)
        if found.reach is not Reach.JUDGED:
            return found
        then = [version for version in of_run if version is of_run[0] or version.position < position]
        return msgspec.structs.replace(found, version=then[-1])

    return mock.patch.object(rule_history, "_look", look_by_position)


def _versions_go_too_soon() -> AbstractContextManager[object]:
    """What a rule said is forgotten although it is in force."""

    def superseded(bus: Any) -> Iterator[tuple[int, RuleVersion]]:
        yield from ((version.position, version) for own in bus.versions.values() for version in own)

    return mock.patch.object(memory, "_superseded", superseded)


EXPLAIN_MUTANTS: Mapping[str, Patch] = MappingProxyType(
    {
        "edits-govern-from-now-on": _edits_govern_from_now_on,
        "judged-as-it-came": _judged_as_it_came,
        "versions-go-too-soon": _versions_go_too_soon,
    }
)
