"""One run: a seed becomes a story of some hundreds of acts, then the world heals and the books are held against the store."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import apsw
import msgspec

from eventyard.core import limits
from eventyard.core.commands import SetPaused
from eventyard.core.errors import StorageFailed, StorageFull
from eventyard.engines.sqlite import connection as sqlite_connection
from eventyard.engines.sqlite import engine as sqlite_engine
from tests.simulation.actors import Operators, Producers
from tests.simulation.audit import audit
from tests.simulation.books import Books, BrokenPromise
from tests.simulation.disk import Fault
from tests.simulation.house import EngineName, House, Parts
from tests.simulation.world import HOUR_MS, World

REST_STEPS_MAX = 20_000
TRACE_SHOWN = 40

Act = Callable[[], object]


class Outcome(msgspec.Struct, frozen=True):
    """How a run ended. `digest` stands for everything that happened in it."""

    seed: int
    digest: str
    acknowledged: int
    pushes: int
    lives: int
    failure: str = ""
    trace: tuple[str, ...] = ()


def run(seed: int, steps: int, engine: EngineName, parts: Parts | None = None) -> Outcome:
    """Play one seed. What breaks is told in the outcome, with the last lines of the trace."""
    world = World(seed)
    books = Books()
    house = House(world, books, engine, parts or Parts())
    failure = ""
    with _small_limits(world):
        try:
            _play(house, steps)
        except Exception as error:  # noqa: BLE001 - whatever falls out of the house is a finding
            failure = f"{type(error).__name__}: {error}"
        finally:
            house.crash()
    pushes = sum(len(pushes) for pushes in books.pushes.values())
    return Outcome(
        seed, world.digest, len(books.acknowledged), pushes, house.targets.life, failure, tuple(world.trace[-TRACE_SHOWN:])
    )


@contextlib.contextmanager
def _small_limits(world: World) -> Iterator[None]:
    """Limits drawn from the seed, so that a log of some hundred events meets every one of them."""
    rng = world.rng
    small: dict[str, Any] = {
        "STEP_EVENTS_MAX": rng.choice((3, 10, 2_000)),
        "STEP_CHANGES_MAX": rng.choice((5, 40, 20_000)),
        "BACKFILL_EVENTS_PER_STEP": rng.choice((3, 20)),
        "BACKFILL_UNSETTLED_MAX": rng.choice((4, 10_000)),
        "BACKFILL_LAST_STRETCH": rng.choice((1, 5, 30)),
        "INTENT_ROWS_PER_STEP": rng.choice((1, 4, 500)),
        "PUSHES_UNDER_WAY_MAX": rng.choice((3, 4_096)),
        "INBOX_COMMANDS_MAX": rng.choice((8, 10_000)),
        "SCRUB_EVENTS_PER_STEP": rng.choice((1, 7, 500)),
        "SCRUB_REST_MS": rng.choice((1_000, 24 * HOUR_MS)),
        "DEDUP_WINDOW_IDS": rng.choice((40, 10_000_000)),
        "DEDUP_WINDOW_MS": rng.choice((HOUR_MS // 2, 24 * HOUR_MS)),
    }
    with (
        mock.patch.multiple(limits, **small),
        mock.patch.object(sqlite_engine, "WAL_BYTES", rng.choice((20_000, 200_000))),
        mock.patch.object(sqlite_connection, "WRITER_CACHE_KIB", rng.choice((32, 16 * 1024))),
    ):
        yield


def _play(house: House, steps: int) -> None:
    story = Story(house)
    story.start()
    for _ in range(steps):
        story.act()
    story.rest()
    audit(house.engine.load(), house.engine.view, house.books, is_at_rest=True)
    house.check_reload()


class Story:
    """Chooses what happens next. The weights are drawn from the seed too, so some runs are all edits and some all crashes."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._world = house.world
        self._rng = house.world.rng
        self._producers = Producers(house)
        self._operators = Operators(house)
        self._acts, self._weights = self._draw()

    def _draw(self) -> tuple[list[Act], list[float]]:
        often: list[Act] = [self._house.step_writer, self._house.step_writer, self._house.step_others, self._pass_time]
        busy: list[Act] = [
            self._producers.publish,
            self._producers.publish,
            self._producers.send_again,
            self._operators.put_rule,
        ]
        operators, producers = self._operators, self._producers
        rare: list[Act] = [
            *(producers.repeat, producers.conflict, operators.delete_rule, operators.pause_rule, operators.resume_rule),
            *(operators.redrive, operators.create_bus, operators.delete_bus, operators.change_mood, operators.change_mood),
            self._replace_bus,
        ]
        faults: list[Act] = [self._crash, self._cut_power, self._fail_disk, self._fail_commit, self._turn_clock, self._check]
        weights = [4.0] * len(often) + [2.0] * len(busy)
        weights += [self._rng.choice((0.0, 0.3, 1.0, 4.0)) for _ in rare]
        weights += [self._rng.choice((0.0, 0.1, 0.4)) for _ in faults]
        return [*often, *busy, *rare, *faults], weights

    def start(self) -> None:
        self._open_surely()

    def _open_surely(self) -> None:
        """On a healthy disk a start that fails is a finding."""
        self._house.disk.fault = None
        if not self._house.is_up and not self._house.open():
            raise BrokenPromise("the house does not start on a healthy disk")

    def act(self) -> None:
        if not self._house.is_up:
            self._house.open()
            return
        self._rng.choices(self._acts, self._weights)[0]()

    def _pass_time(self) -> None:
        self._world.pass_time(self._rng.choice((1, 50, 500, 2_000, 10_000, 45_000)))

    def _replace_bus(self) -> None:
        """A bus is deleted, and lives again under its name with the same rule, while pushes of its first life are under way."""
        for is_last in (False, True):
            self._operators.create_bus_named("third")
            self._house.step_writer()
            self._operators.put_simple_rule("third")
            self._house.step_writer()
            self._producers.publish_to("third")
            self._house.step_writer()
            if is_last and self._rng.random() < 0.8:
                return
            self._operators.delete_bus_named("third")
            self._house.step_writer()
            while self._rng.random() < 0.8:
                self._house.step_others()
                self._house.step_writer()

    def _turn_clock(self) -> None:
        """The wall clock is set, forwards or back; the monotonic one is not."""
        by_ms = self._rng.choice((-1, 1)) * self._rng.choice((500, 60_000, HOUR_MS, 30 * HOUR_MS))
        self._world.note(f"wall clock set by {by_ms} ms")
        self._house.clock.wall_offset_ms += by_ms

    def _crash(self) -> None:
        self._world.note("crash")
        self._house.crash()

    def _cut_power(self) -> None:
        self._world.note("power cut")
        self._house.cut_power()

    def _fail_commit(self) -> None:
        self._world.note("next commit fails")
        kind = self._rng.choice((StorageFull, StorageFailed))
        self._house.engine.next_error = kind("injected by the simulation")

    def _fail_disk(self) -> None:
        operation, error = self._rng.choice(
            (("write", apsw.IOError), ("write", apsw.FullError), ("sync", apsw.IOError), ("read", apsw.IOError))
        )
        self._world.note(f"disk fails to {operation} ({error.__name__})")
        fault = Fault(frozenset({operation}), error, self._rng.randrange(6), self._rng.randint(1, 6))
        self._house.disk.fault = fault

    def _check(self) -> None:
        self._house.disk.fault = None
        self._house.check_reload()
        audit(self._house.engine.load(), self._house.engine.view, self._house.books, is_at_rest=False)

    def rest(self) -> None:
        """Heal everything, and wait until nothing is owed any more."""
        self._world.note("the world heals")
        self._house.targets.moods.clear()
        self._open_surely()
        self._house.engine.next_error = None
        wait_ms, before = 100, ""
        for _ in range(REST_STEPS_MAX):
            self._house.step_others()
            self._house.step_writer()
            now = self._progress()
            if now != before or self._resume():
                wait_ms, before = 100, now
            elif self._is_at_rest():
                return
            else:
                self._world.pass_time(wait_ms if self._world.next_ms is None else max(1, self._world.next_ms))
                wait_ms = min(wait_ms * 2, HOUR_MS // 6)
        raise BrokenPromise(f"the house does not come to rest: {self._owed()}")

    def _progress(self) -> str:
        """Where the house stands, for telling work from waiting."""
        states = self._house.writer.states.values()
        queues = [(queue.counts, state.due.get(uid)) for state in states for uid, queue in state.queues.items()]
        work = [(state.head, state.floor, state.backfills, state.intents, state.buses) for state in states]
        return f"{queues} {work}"

    def _resume(self) -> bool:
        """Resume what is paused. True where there was anything."""
        paused = [
            (state, name)
            for state in self._house.writer.states.values()
            for name, record in state.by_name.items()
            if record.is_paused
        ]
        for state, name in paused:
            self._house.writer.submit_own(state.record.number, SetPaused(name, is_paused=False), lambda _: None)
        return bool(paused)

    def _is_at_rest(self) -> bool:
        return not self._owed() and self._house.dispatch.under_way == 0

    def _owed(self) -> list[str]:
        owed = []
        for state in self._house.writer.states.values():
            queues = {record.name: state.queues[uid].pending for uid, record in state.by_uid.items() if not record.is_paused}
            owed += [f"{state.record.name}/{name}: {pending}" for name, pending in queues.items() if pending]
            owed += [f"{state.record.name}: {backfill}" for backfill in state.backfills.values() if not backfill.is_done]
            owed += [f"{state.record.name}: {intent}" for intent in state.intents.values()]
            owed += [f"bus {bus.name}" for bus in state.buses.values() if bus.is_deleted]
        return owed
