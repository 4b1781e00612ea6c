"""Mutants: the house with one promise broken on purpose. A simulation that lets one of them pass proves nothing.

Each is a small replacement of one part, made here and nowhere in the product.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, cast
from unittest import mock

import msgspec

from eventyard.admission import Admission
from eventyard.core import backfilling, limits, machine, system
from eventyard.core.changes import BusRecord, Changes
from eventyard.core.commands import CreateBus
from eventyard.core.draft import Draft
from eventyard.core.errors import EventyardError
from eventyard.core.rule import Status
from eventyard.core.system import SYSTEM_BUS
from eventyard.core.view import Known, View
from eventyard.engines.sqlite import SqliteEngine
from eventyard.engines.sqlite.marks import NoMarks
from eventyard.inbox import Ticket
from eventyard.ports import Engine
from eventyard.writer import Writer
from tests.simulation.batch_mutants import BATCH_MUTANTS
from tests.simulation.delivery_mutants import DELIVERY_MUTANTS
from tests.simulation.explain_mutants import EXPLAIN_MUTANTS
from tests.simulation.hope_mutants import HOPE_MUTANTS
from tests.simulation.house import EngineName, Parts
from tests.simulation.journal_mutants import JOURNAL_MUTANTS
from tests.simulation.queue_mutants import QUEUE_MUTANTS
from tests.simulation.run import run
from tests.simulation.run_mutants import RUN_MUTANTS, STORE_MUTANTS
from tests.simulation.schedule_mutants import SCHEDULE_MUTANTS
from tests.simulation.trouble_mutants import TROUBLE_MUTANTS
from tests.simulation.watch_mutants import WATCH_MUTANTS


class AnswersBeforeCommit(Writer):
    """202 for what is not on the disk yet."""

    def _admit_all(self) -> list[Admission]:
        admissions = super()._admit_all()
        for admission in admissions:
            self._answer(admission.finished)
            admission.finished = []
        return admissions


class DeliversBeforeCommit(Writer):
    """Leases go out before anybody knows that they, and the events under them, are kept."""

    def _admit_all(self) -> list[Admission]:
        admissions = super()._admit_all()
        for admission in admissions:
            if admission.draft is not None and admission.draft.leases:
                self._hand_out(admission.state.record, admission.draft.leases)
                admission.draft.leases = []
        return admissions


class SettlesBeforeCommit(Writer):
    """Memory takes changes over before the disk has them: after a failed commit the two are apart."""

    def _commit(self, drafts: list[Draft]) -> EventyardError | None:
        batch = [changes for draft in drafts if not (changes := draft.finish()).is_empty]
        for changes in sorted(batch, key=lambda changes: changes.bus == SYSTEM_BUS):
            self._apply(changes, None)
        try:
            if batch:
                self._engine.commit(batch)
        except EventyardError as error:
            return error
        return None


class KeepsCutAnswers(Writer):
    """A publish cut between two steps keeps the positions that a failed commit took back. Was a defect; found here."""

    def _take_cut(self, number: int) -> list[Ticket]:  # noqa: ARG002
        return []


class LeasesBeforeReleased(Writer):
    """At start, pushes of this process are released with those of the last one. Was a defect; found here."""

    def _admit_all(self) -> list[Admission]:
        self._is_open = True
        return super()._admit_all()


class ForgetfulView:
    """Knows no id that was accepted before."""

    def __init__(self, view: View) -> None:
        self._view = view

    def find_ids(self, bus: int, ids: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Known]:  # noqa: ARG002
        return {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)


class ForgetfulEngine:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def view(self) -> Any:
        return ForgetfulView(self._engine.view)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


def _forgetful(engine: Engine) -> Engine:
    return cast("Engine", ForgetfulEngine(engine))


def _skip_last_stretch(draft: Draft, uid: int) -> bool:
    """`backfilling.finish_if_near` without the stretch."""
    backfill = draft.backfill(uid, draft.rule(uid).run)
    if backfill is None or draft.head - backfill.next_position >= limits.BACKFILL_LAST_STRETCH:
        return False
    draft.set_backfill(msgspec.structs.replace(backfill, next_position=draft.head + 1, is_done=True))
    draft.set_rule(msgspec.structs.replace(draft.rule(uid), status=Status.LIVE))
    return True


def _reuse_number(draft: Draft, command: CreateBus) -> tuple[BusRecord, bool]:
    """`system.create_bus` with the least number that no bus holds now. Was a defect."""
    number = 1 + max((bus.number for bus in draft.buses().values()), default=SYSTEM_BUS)
    record, is_new = system.create_bus(draft, command)
    if is_new:
        record = msgspec.structs.replace(record, number=number)
        draft.set_bus(record)
    return record, is_new


def _mark_before_commit() -> AbstractContextManager[object]:
    """The marks know of commits that may yet fail: then a whole store is taken for one that lost something."""
    transact = SqliteEngine._transact

    def mark_first(engine: SqliteEngine, batch: Sequence[Changes], staged: Any) -> None:
        engine._marks.keep(batch)
        transact(engine, batch, staged)

    return mock.patch.object(SqliteEngine, "_transact", mark_first)


class Mutant(msgspec.Struct, frozen=True):
    """`engines`: where the broken promise can show at all."""

    parts: Parts = Parts()
    patch: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
    engines: tuple[EngineName, ...] = ("memory", "sqlite")


CORE_MUTANTS: Mapping[str, Callable[[], AbstractContextManager[object]]] = MappingProxyType(
    {**QUEUE_MUTANTS, **RUN_MUTANTS, **TROUBLE_MUTANTS, **EXPLAIN_MUTANTS, **BATCH_MUTANTS}
)

MUTANTS: Mapping[str, Mutant] = MappingProxyType(
    {
        "synchronous-normal": Mutant(Parts(synchronous="NORMAL", marks=lambda _: NoMarks()), engines=("sqlite",)),
        "mark-before-commit": Mutant(patch=_mark_before_commit, engines=("sqlite",)),
        "answer-before-commit": Mutant(Parts(writer=AnswersBeforeCommit)),
        "deliver-before-commit": Mutant(Parts(writer=DeliversBeforeCommit)),
        "settle-before-commit": Mutant(Parts(writer=SettlesBeforeCommit)),
        "forget-dedup": Mutant(Parts(wrap=_forgetful)),
        "skip-last-stretch": Mutant(patch=lambda: mock.patch.object(backfilling, "finish_if_near", _skip_last_stretch)),
        "reuse-bus-numbers": Mutant(
            patch=lambda: mock.patch.dict(machine._STEPS, {CreateBus: _reuse_number}), engines=("memory",)
        ),
        "keep-cut-answers": Mutant(Parts(writer=KeepsCutAnswers)),
        "lease-before-released": Mutant(Parts(writer=LeasesBeforeReleased), engines=("memory",)),
        **{name: Mutant(patch=patch, engines=("memory",)) for name, patch in CORE_MUTANTS.items()},
        **{name: Mutant(Parts(is_watched=False), patch, engines=("memory",)) for name, patch in DELIVERY_MUTANTS.items()},
        **{name: Mutant(patch=patch) for name, patch in STORE_MUTANTS.items()},
        **{name: Mutant(patch=patch, engines=("journal",)) for name, patch in JOURNAL_MUTANTS.items()},
        **{
            name: Mutant(Parts(is_watched=True), patch, engines=("memory",))
            for name, patch in {**WATCH_MUTANTS, **HOPE_MUTANTS, **SCHEDULE_MUTANTS}.items()
        },
    }
)


KNOWN_SEEDS: Mapping[str, int] = MappingProxyType(
    {
        "again-and-again": 10,
        "all-are-meant": 19,
        "allowed-rate-is-ignored": 30,
        "any-address-was-asked": 31,
        "between-is-gone": 4,
        "changes-are-edges": 17,
        "changes-begin-anew": 3,
        "closed-runs-give": 48,
        "cut-the-window": 15,
        "dead-frees-its-key": 8,
        "falls-are-not-broken": 16,
        "first-for-last": 23,
        "full-at-each-start": 14,
        "hops-unbounded": 41,
        "hops-uncounted": 32,
        "judged-as-it-came": 5,
        "keep-cut-answers": 8,
        "late-again-and-again": 8,
        "late-is-lost": 37,
        "late-verdicts-count": 9,
        "missed-for-ever": 7,
        "never-withdrawn": 5,
        "new-address-is-unbound": 139,
        "no-other-token": 95,
        "no-summary": 49,
        "nothing-is-late": 4,
        "once-is-never": 23,
        "only-in-its-step": 19,
        "pauses-are-made-up-for": 7,
        "redrive-overtakes": 144,
        "refused-are-not-summed": 9,
        "release-consumers": 13,
        "renewed-for-nothing": 42,
        "repeats-begin-anew": 3,
        "replay-unpaced": 4,
        "reuse-bus-numbers": 29,
        "short-replay": 21,
        "skip-last-stretch": 4,
        "stale-replies-count": 126,
        "third-life-forgets": 113,
        "token-server-is-stormed": 86,
        "told-and-forgotten": 6,
        "what-was-due-is-hidden": 7,
    }
)
"""Where the search found those that took some seeds, and now begins. It only saves time: a change of the story moves them."""


def caught_after(name: str, engine: EngineName, *, steps: int, seeds_max: int) -> int | None:
    """How many seeds it took until the simulation failed on the mutant. None: it never did."""
    mutant = MUTANTS[name]
    with mutant.patch():
        for count, seed in enumerate((KNOWN_SEEDS.get(name, 0), *range(seeds_max)), 1):
            if run(seed, steps, engine, mutant.parts).failure:
                return count
    return None
