"""A story: what happens to the house, act by act, and how the world heals at its end."""

from collections.abc import Callable

import apsw

from eventyard.core.commands import SetPaused
from eventyard.core.errors import StorageFailed, StorageFull
from tests.simulation.books import BrokenPromise
from tests.simulation.consumers import Crowd
from tests.simulation.disk import Fault
from tests.simulation.documents import Documents
from tests.simulation.house import House
from tests.simulation.movers import Movers
from tests.simulation.operators import Operators
from tests.simulation.producers import Producers
from tests.simulation.watchers import Watchers
from tests.simulation.world import HOUR_MS

REST_STEPS_MAX = 20_000
STANDSTILL_MS_MAX = 60 * HOUR_MS
"""No wait of the house is longer: a target may ask for a day."""

RARE_WEIGHTS = (0.0, 0.0, 0.0, 0.5, 2.0, 4.0)
"""Half of the rare acts are left out of each story, so that the others meet."""

Act = Callable[[], object]


class Story:
    """Chooses what happens next. The weights are drawn from the seed too, so some runs are all edits and some all crashes."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._world = house.world
        self._rng = house.world.rng
        self._producers = Producers(house)
        documents = Documents(self._rng, is_alone=house.is_watched)
        self._operators = Operators(house, documents)
        self._movers = Movers(house, documents)
        self._crowd = Crowd(house)
        self._watchers = Watchers(house, self._producers)
        self._acts, self._weights = self._draw()

    def _draw(self) -> tuple[list[Act], list[float]]:
        crowd = self._crowd
        often: list[Act] = [self._house.step_writer, self._house.step_writer, self._house.step_others, self._pass_time]
        busy: list[Act] = [
            self._producers.publish,
            self._producers.publish,
            self._producers.send_again,
            self._operators.put_rule,
            *(crowd.receive, crowd.receive, crowd.settle, crowd.settle),
        ]
        operators, producers, movers = self._operators, self._producers, self._movers
        rare: list[Act] = [
            *(producers.repeat, producers.conflict, operators.delete_rule, operators.pause_rule, operators.resume_rule),
            *(operators.create_bus, operators.delete_bus, operators.change_mood, operators.change_mood),
            operators.change_login,
            *(crowd.repeat, crowd.forget, crowd.hurry),
            *(movers.redrive, movers.redrive_skipped, movers.purge, movers.skip, movers.set_retention),
            *(movers.seek, movers.replay, movers.end_replay, movers.resume_rule),
            *(self._replace_bus, self._turn_over, self._linger, self._crash_at_work),
        ]
        faults: list[Act] = [self._crash, self._cut_power, self._fail_disk, self._fail_commit, self._turn_clock, self._check]
        weights = [8.0] * len(often) + [2.0] * len(busy)
        weights += [self._rng.choice(RARE_WEIGHTS) for _ in rare]
        weights += [self._rng.choice((0.0, 0.1, 0.4, 1.0)) for _ in faults]
        seen, edits = self._watching() if self._house.is_watched else ([], [])
        weights += [self._rng.choice((2.0, 5.0, 8.0)) for _ in seen] + [self._rng.choice((0.5, 2.0, 4.0)) for _ in edits]
        return [*often, *busy, *rare, *faults, *seen, *edits], weights

    def _watching(self) -> tuple[list[Act], list[Act]]:
        """What is observed, and what is asked of those who observe it."""
        watchers = self._watchers
        return (
            [watchers.observe, watchers.observe, watchers.observe_and_wait, watchers.crash_in_holds],
            [
                *(watchers.put_detector, watchers.put_detector, watchers.put_expectation, watchers.delete_emitter),
                *(watchers.edit_in_holds, watchers.put_schedule, watchers.delete_schedule),
                *(watchers.pause_schedule, watchers.pause_for_a_while),
            ],
        )

    def start(self) -> None:
        if self._house.may_go_unanswered:
            self._house.open()  # Else by the first act.
        else:
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

    def _turn_over(self) -> None:
        """Rules are deleted and soon go on, in the middle of their work; some of them several times."""
        for _ in range(self._rng.choice((1, 2, 4))):
            self._producers.publish()
            self._work()
            self._operators.delete_rule()
            self._work()
            self._movers.resume_rule()
            self._work()

    def _linger(self) -> None:
        """A consumer renews what it holds, and is still at it when the lease would have ended."""
        self._crowd.receive()
        self._work()
        self._crowd.renew()
        self._house.step_writer()
        self._world.pass_time(self._rng.choice((2_000, 10_000, 45_000)))
        self._work()
        self._crowd.receive()
        self._work()

    def _work(self) -> None:
        """The house and its consumers get some time."""
        for _ in range(self._rng.randint(1, 3)):
            self._house.step_writer()
            self._crowd.settle()
            self._world.pass_time(self._rng.choice((1, 400)))
            self._house.step_others()
            self._crowd.receive()
        self._house.step_writer()

    def _turn_clock(self) -> None:
        """The wall clock is set, forwards or back; the monotonic one is not."""
        by_ms = self._rng.choice((-1, 1)) * self._rng.choice((500, 60_000, HOUR_MS, 30 * HOUR_MS))
        self._world.note(f"wall clock set by {by_ms} ms")
        self._house.clock.wall_offset_ms += by_ms

    def _crash_at_work(self) -> None:
        """The process dies while pushes of two buses are under way, and more of them wait."""
        self._operators.create_bus_named("second")
        self._house.step_writer()
        for bus in ("default", "second"):
            self._operators.put_simple_rule(bus)
            self._house.step_writer()
            for _ in range(self._rng.randint(1, 20)):
                self._producers.publish_to(bus)
        self._house.step_writer()
        self._crash()

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
        self._house.audit(is_at_rest=False)

    def rest(self) -> None:
        """Heal everything, and wait until nothing is owed any more."""
        self._world.note("the world heals")
        self._house.targets.moods.clear()
        self._house.targets.heal()
        self._house.calm_journal()
        self._open_surely()
        self._house.engine.next_error = None
        wait_ms, before, since_ms = 100, "", self._world.now_ms
        for _ in range(REST_STEPS_MAX):
            self._house.step_others()
            self._crowd.work_off()
            self._house.step_writer()
            self._watchers.pause_all()
            now = self._progress()
            if now != before or self._resume():
                wait_ms, before, since_ms = 100, now, self._world.now_ms
            elif self._is_at_rest():
                return
            elif self._world.now_ms - since_ms > STANDSTILL_MS_MAX:
                break
            else:
                next_ms = self._next_ms()
                self._world.pass_time(wait_ms if next_ms is None else max(1, next_ms))
                wait_ms = min(wait_ms * 2, HOUR_MS // 6)
        raise BrokenPromise(f"the house does not come to rest: {self._owed()}")

    def _next_ms(self) -> int | None:
        """How long until something happens by itself: an answer comes, or a batch that is not full goes."""
        gathered_ms, work_ms = self._house.dispatch.next_ms, self._house.writer.now().work_ms
        waits = (self._world.next_ms, None if gathered_ms is None else max(0, gathered_ms - work_ms))
        return min((wait for wait in waits if wait is not None), default=None)

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
        return not self._owed() and self._house.dispatch.under_way == self._house.forwarder.under_way == 0

    def _owed(self) -> list[str]:
        """What is parked behind a dead letter waits for somebody to do something about that."""
        owed = self._watchers.owed()
        for state in self._house.writer.states.values():
            queues = {record.name: state.unparked(uid) for uid, record in state.by_uid.items() if not record.is_paused}
            owed += [f"{state.record.name}/{name}: {pending}" for name, pending in queues.items() if pending]
            owed += [f"{state.record.name}: {backfill}" for backfill in state.backfills.values() if not backfill.is_done]
            owed += [f"{state.record.name}: {intent}" for intent in state.intents.values()]
            owed += [f"{state.record.name}: {health}" for health in state.health.values() if health.is_untold]
            owed += [f"bus {bus.name}" for bus in state.buses.values() if bus.is_deleted]
        return owed
