"""Mutants of what runs and retention promise: seeks, replays, resumed rules, dead letters, caps, and the old end of the log.

Each is a small replacement of one function, made here and nowhere in the product.
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any
from unittest import mock

import msgspec

from eventyard import backfill as backfill_stage
from eventyard import retaining
from eventyard.core import backfilling, bus_events, intents, machine, replying, runs, settling
from eventyard.core.changes import Backfill, Filter, Intent
from eventyard.core.commands import EndReplay, Replay, Settle
from eventyard.core.delivery import Reason, State
from eventyard.core.draft import Draft
from eventyard.core.rule import Done, RuleRecord, Tombstone
from eventyard.engines.memory import MemoryEngine
from eventyard.engines.sqlite import forgetting
from tests.simulation.queue_mutants import Patch

# Seeks


def _keep_the_old_run() -> AbstractContextManager[object]:
    """A seek forgets to discard what the old run owes."""
    step = intents.step

    def step_but_seeks(draft: Draft, number: int) -> int:
        intent = draft.intent(number)
        if intent is None or intent.reason != Reason.SEEK:
            return step(draft, number)
        intents._finish(draft, intent)
        return 0

    return mock.patch.object(intents, "step", step_but_seeks)


def _late_verdicts_count() -> AbstractContextManager[object]:
    def settle_all(draft: Draft, command: Settle) -> list[Any]:
        replying.prefetch(draft, command.settlements)
        return [settling._settle(draft, settlement, {}) for settlement in command.settlements]

    return mock.patch.dict(machine._STEPS, {Settle: settle_all})


def _closed_runs_give() -> AbstractContextManager[object]:
    return mock.patch.object(Draft, "closed", mock.PropertyMock(return_value={}))


# Rules that go on for deleted ones


@contextlib.contextmanager
def _resumed_again() -> Iterator[None]:
    """What the deleted rule had delivered comes again."""
    with (
        mock.patch.object(backfilling, "was_settled", return_value=False),
        mock.patch.object(backfill_stage, "was_settled", return_value=False),
    ):
        yield


def _third_life_forgets() -> AbstractContextManager[object]:
    """A rule that goes on for one that went on for another knows only of the last."""
    resumed = property(lambda self: (Done(self.uid, self.run, self.deleted_position),))
    return mock.patch.object(Tombstone, "resumed", resumed)


def _resumed_too_late() -> AbstractContextManager[object]:
    """It goes on from the deletion, whatever was still owed then."""
    bury = intents.bury

    def bury_late(draft: Draft, record: RuleRecord) -> None:
        bury(draft, record)
        tombstone = draft.tombstone(record.name)
        if tombstone is not None:
            draft.set_tombstone(msgspec.structs.replace(tombstone, resume_position=record.version))

    return mock.patch.object(intents, "bury", bury_late)


def _deleted_keep_their_dead() -> AbstractContextManager[object]:
    """The dead letters of a deleted rule stay, and with them their events, for ever."""
    discard_untouched = intents._discard_untouched

    def discard_pending(draft: Draft, intent: Intent, rows: list[Any]) -> int:
        return discard_untouched(draft, intent, [row for row in rows if row.state is not State.DEAD])

    return mock.patch.object(intents, "_discard_untouched", discard_pending)


# Replays


def _short_replay() -> AbstractContextManager[object]:
    """The last event of the stretch is left out."""
    replay = runs.replay

    def replay_less(draft: Draft, command: Replay) -> Backfill:
        made = replay(draft, command)
        made = msgspec.structs.replace(made, last=max(made.first, (made.last or 0) - 1))
        draft.set_backfill(made)
        return made

    return mock.patch.dict(machine._STEPS, {Replay: replay_less})


def _cancelled_goes_on() -> AbstractContextManager[object]:
    end_replay = runs.end_replay

    def end_but_read_on(draft: Draft, command: EndReplay) -> Backfill:
        ended = end_replay(draft, command)
        if ended.is_cancelled and ended.next_position <= (ended.last or 0):
            ended = msgspec.structs.replace(ended, is_done=False)
            draft.set_backfill(ended)
        return ended

    return mock.patch.dict(machine._STEPS, {EndReplay: end_but_read_on})


# Dead letters


def _all_are_meant() -> AbstractContextManager[object]:
    """A redrive or purge of some takes all."""
    return mock.patch.object(Filter, "matches", return_value=True)


@contextlib.contextmanager
def _paused_give() -> Iterator[None]:
    with mock.patch.object(RuleRecord, "gives_out", property(lambda record: not record.is_deleted)):
        yield


# Caps and retention


def _cap_in_silence() -> AbstractContextManager[object]:
    record_event = intents._record

    def record_but_caps(draft: Draft, kind: str, *more: Any) -> int:
        return draft.head if kind == bus_events.RETENTION_CAP else record_event(draft, kind, *more)

    return mock.patch.object(intents, "_record", record_but_caps)


@contextlib.contextmanager
def _remove_the_owed() -> Iterator[None]:
    """Retention removes what some rule is still owed."""

    def forget(engine: MemoryEngine, bus: Any, first: int, last: int) -> None:  # noqa: ARG001
        bus.events = {position: event for position, event in bus.events.items() if not first <= position <= last}
        bus.deliveries = {key: row for key, row in bus.deliveries.items() if not first <= row.position <= last}

    with (
        mock.patch.object(MemoryEngine, "_forget", forget),
        mock.patch.object(forgetting, "_free_stretches", lambda _connection, _bus, first, last: [(first, last)]),
    ):
        yield


@contextlib.contextmanager
def _cut_the_window() -> Iterator[None]:
    """The id of an event is forgotten with it, though the dedup window still knows it."""
    forget = MemoryEngine._forget

    def forget_ids(engine: MemoryEngine, bus: Any, first: int, last: int) -> None:
        forget(engine, bus, first, last)
        bus.ids = {key: known for key, known in bus.ids.items() if known.position in bus.events}

    with (
        mock.patch.object(MemoryEngine, "_forget", forget_ids),
        mock.patch.object(forgetting, "_new_stubs", return_value=iter(())),
    ):
        yield


def _remove_too_much() -> AbstractContextManager[object]:
    wanted_floor = retaining._wanted_floor
    return mock.patch.object(retaining, "_wanted_floor", lambda *asked: wanted_floor(*asked) + 1)


RUN_MUTANTS: Mapping[str, Patch] = MappingProxyType(
    {
        "keep-the-old-run": _keep_the_old_run,
        "late-verdicts-count": _late_verdicts_count,
        "closed-runs-give": _closed_runs_give,
        "resumed-again": _resumed_again,
        "third-life-forgets": _third_life_forgets,
        "resumed-too-late": _resumed_too_late,
        "deleted-keep-their-dead": _deleted_keep_their_dead,
        "short-replay": _short_replay,
        "replay-unmarked": lambda: mock.patch.object(Draft, "_is_replayed", return_value=False),
        "replay-unpaced": lambda: mock.patch.object(backfilling, "_paced", lambda pace, *_: pace),
        "cancelled-goes-on": _cancelled_goes_on,
        "all-are-meant": _all_are_meant,
        "paused-give": _paused_give,
        "cap-in-silence": _cap_in_silence,
        "remove-too-much": _remove_too_much,
    }
)

STORE_MUTANTS: Mapping[str, Patch] = MappingProxyType({"remove-the-owed": _remove_the_owed, "cut-the-window": _cut_the_window})
"""Those that break both engines, each in its own way."""
