"""The writer: takes waiting commands, has the machine admit them, commits what changes, then answers.

Theory of operation (group commit). Callers on any thread `submit` commands and go on. One thread calls `step`: it takes what
waits, bounded, admits it bus by bus on drafts, commits all drafts in one transaction, and only then applies them to memory,
answers the callers and hands out leases. What arrives while a commit runs is the next batch, so a slow disk makes larger
batches, not a longer queue. A commit that fails answers every caller of the batch with the error and leaves memory as it was:
no answer, `duplicate` and conflict included, ever rests on what is not durable.

Everything here but `submit`, `submit_own` and `now` belongs to the thread that calls `step`.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Protocol

from eventyard import logbook
from eventyard.admission import Admission, Waiting, admit, answered
from eventyard.core import clock, limits
from eventyard.core.bus_state import BusState, Loaded
from eventyard.core.changes import BusRecord, Changes, QueueKey
from eventyard.core.clock import BusTime
from eventyard.core.commands import Command, CreateBus, Lease, Release
from eventyard.core.delivery import LEASED
from eventyard.core.draft import Draft
from eventyard.core.errors import EventyardError, NotFound, Unavailable
from eventyard.core.grants import Demands, Ledger, demanded
from eventyard.core.hosts import Hosts, HostsDraft
from eventyard.core.pattern.index import Index
from eventyard.core.rule import RuleRecord, Status
from eventyard.core.system import DEFAULT_BUS, SYSTEM_BUS
from eventyard.inbox import Done, Inbox, Ticket
from eventyard.metering import Meter
from eventyard.ports import Clock, Engine

IDLE_S_MAX = 1.0
HELD_S = 0.002
"""What is due and was not given out by the step just made is held by something that another step has to change, as the end of a run that
is being discarded: it is not asked for again and again meanwhile."""

FAILED_S = 0.2
"""After a failed step deliveries that are due wait this long before the disk is asked again; callers ask at once."""


class Receiver(Protocol):
    """Whoever waits for deliveries. Called on the writer's thread only."""

    def demands(self, bus: int) -> Demands:
        """By rule, what is wanted now; rules of which nothing is wanted are left out. Read, never kept."""
        ...

    def room(self) -> int:
        """How many leases are taken at the most now, over all rules of all buses."""
        ...

    def take(self, bus: BusRecord, leases: Sequence[Lease]) -> None:
        """Leases that are committed."""
        ...

    @property
    def next_ms(self) -> int | None:
        """The work time at which it wants to `collect` by time alone; None: at none."""
        ...

    def collect(self) -> Iterable[tuple[int, Command, Done]]:
        """Verdicts that are in, by bus, to be written with this step."""
        ...

    def follow(self, bus: BusRecord, records: Iterable[RuleRecord]) -> None:
        """Rules as they are from now on, at start and after every edit."""
        ...

    def forget(self, bus: BusRecord) -> None:
        """The bus is deleted."""
        ...

    def conclude(self, error: EventyardError | None, unreached: Collection[tuple[int, int]]) -> None:
        """A step is over, and what it leased was taken; with an `error` nothing was. `unreached`: of these rules (bus number, uid)
        there may be more to give, but it was enough for one step.
        """
        ...


class Writer:
    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *receivers: Receiver,
        meter: Meter | None = None,
        hops_max: int = limits.HOPS_MAX_DEFAULT,
        hosts: Hosts | None = None,
    ) -> None:
        self._hosts = hosts or Hosts()
        self._hops_max = hops_max
        self._engine = engine
        self._clock = clock
        self._receivers = receivers
        self.meter = meter or Meter()
        self._host_step: HostsDraft | None = None
        self._inbox = Inbox()
        self._waiting: dict[int, Waiting] = {}
        self._time = BusTime(0, 0)
        self._read_ms = 0
        self.has_failed = False
        self.failed_with: EventyardError | None = None
        self.losses = engine.losses
        self._is_open = False
        self._turn = 0
        self._published_ms = -limits.PUBLISHED_LATELY_MS
        """When somebody has published last, on whatever bus: all of them wait for one step."""
        self.states: dict[int, BusState] = {}
        self.numbers: dict[str, int] = {}
        self.is_push_kept = False
        """Whether leases of pushes outlive a restart, for workers that push go on meanwhile."""
        self.after_step: Callable[[], None] = _nothing

    def open(self, incarnation: Callable[[], str]) -> None:
        """Take the buses up where they were. A new store gets its system bus and the default bus.

        A store that has lost something is only read: nothing is written, leased or followed until it is repaired.
        """
        loaded = self._engine.load()
        self._start_clock(loaded)
        if self.losses is not None:
            logbook.STORE_BEHIND(error=self.losses.refusal().detail)
            for bus in loaded:
                self._hold_bus(bus)
            return
        is_new = not loaded
        if is_new:
            self._found(incarnation())
            loaded = self._engine.load()
        for bus in loaded:
            self._open_bus(bus)
        if DEFAULT_BUS not in self.numbers:
            self.run_now(SYSTEM_BUS, CreateBus(DEFAULT_BUS, incarnation()))
        self._release_all()
        if not is_new:
            self._hosts.begin_empty(self._time.work_ms)
        self._is_open = True

    def _start_clock(self, loaded: list[Loaded]) -> None:
        """One clock for all buses of a store: a bus that slept is not behind."""
        time_ms = max((bus.time.time_ms for bus in loaded), default=0)
        work_ms = max((bus.time.work_ms for bus in loaded), default=0)
        self._time = clock.start(BusTime(time_ms, work_ms), self._clock.now_ms())
        self._read_ms = self._clock.monotonic_ms()

    def _found(self, incarnation: str) -> None:
        record = BusRecord(SYSTEM_BUS, "system", incarnation, self._time.time_ms)
        self._engine.commit([Changes(SYSTEM_BUS, self._time, 0, buses=[record])])

    def _hold_bus(self, loaded: Loaded) -> BusState:
        state = BusState(loaded)
        state.emitters.rest(self._time.work_ms)
        self.states[state.record.number] = state
        if state.record.number != SYSTEM_BUS:
            self.numbers[state.record.name] = state.record.number
            self.meter.follow(state.record, state.by_uid.values())
        return state

    def _open_bus(self, loaded: Loaded) -> None:
        state = self._hold_bus(loaded)
        self._follow_hosts(state, state.by_uid.values())
        for receiver in self._receivers:
            receiver.follow(state.record, list(state.by_uid.values()))

    def _follow_hosts(self, state: BusState, records: Iterable[RuleRecord]) -> None:
        if self._hosts.has_budgets:
            for record in records:
                self._hosts.follow((state.record.number, record.uid), _pushed_to(record), state.leased_of(record.uid))

    def _release_all(self) -> None:
        """Pushes that were under way when the last process ended have no holder any more: they are due now.

        Until all of them are released nothing is leased (`_admit_all`), or a push of this process would be released too.
        """
        for number, state in list(self.states.items()):
            keys = sorted(state.leased)
            for start in range(0, len(keys), limits.LEASES_PER_STEP_MAX):
                part = tuple(keys[start : start + limits.LEASES_PER_STEP_MAX])
                self.run_now(number, Release(part, self.is_push_kept))

    def run_now(self, number: int, command: Command) -> Any:
        """Carry out a command while no thread steps yet. Raises what it is answered."""
        answers: list[Any] = []
        self.submit_own(number, command, answers.append)
        while not answers:
            self.step()
        if isinstance(answers[0], EventyardError):
            raise answers[0]
        return answers[0]

    # From any thread

    def submit(self, bus: str, command: Command, done: Done, *, size: int = 0) -> None:
        """Queue a caller's command for the next step; `wake` when no more follow at once.

        `NotFound`, `StoreBehind`, `Overloaded` and `Stopping` are raised here, before anything is held.
        """
        self.check_whole()
        self._inbox.put(Ticket(self.number(bus), command, size, done), is_bounded=True)

    def submit_system(self, command: Command, done: Done) -> None:
        """As `submit`, on the system bus."""
        self.check_whole()
        self._inbox.put(Ticket(SYSTEM_BUS, command, 0, done), is_bounded=True)

    def submit_own(self, number: int, command: Command, done: Done) -> None:
        """Queue a command of the bus's own stages. It is never turned away: a verdict must not be lost to a full buffer."""
        self._inbox.put(Ticket(number, command, 0, done), is_bounded=False)
        self._inbox.wake()

    @property
    def held(self) -> tuple[int, int]:
        """How many commands wait or are worked on, and their bytes. From any thread."""
        return self._inbox.held

    def wake(self) -> None:
        """There is something to do: commands were submitted, or a receiver has verdicts."""
        self._inbox.wake()

    def check_whole(self) -> None:
        """`StoreBehind` where the store has lost something: what is asked for now, or what is asked about, may be in it."""
        if self.losses is not None:
            raise self.losses.refusal()

    def number(self, bus: str) -> int:
        number = self.numbers.get(bus)
        if number is None:
            self.check_whole()
            raise NotFound(f'found no bus "{bus[:60]}"', wanted="a bus that exists; PUT /v1/buses/NAME creates one")
        return number

    def now(self) -> BusTime:
        """Bus time at this moment."""
        time, read_ms = self._time, self._read_ms
        return clock.advance(time, self._clock.now_ms(), max(0, self._clock.monotonic_ms() - read_ms))

    # On the writer's thread

    def run(self) -> None:
        """Step until `stop`, waiting for commands or for the next delivery that falls due."""
        while not self._inbox.is_closed:
            if not self.step():
                self._inbox.wait(self._idle_s())
        while self.step():
            pass

    def stop(self) -> None:
        """Take no more from callers; `run` ends once what was taken is answered."""
        self._inbox.close()

    def step(self) -> bool:
        """One bounded batch over all buses. False when there was nothing to do."""
        began_s = self.meter.seconds()
        self._inbox.heed()
        if self.losses is not None:
            self._answer([answered(ticket, self.losses.refusal()) for ticket in self._inbox.take()])
            return False
        self._advance_time()
        self._collect()
        for ticket in self._inbox.take():
            self._waiting.setdefault(ticket.bus, Waiting()).add(ticket)
        admissions = self._admit_all()
        error = self._commit([admission.draft for admission in admissions if admission.draft])
        self.has_failed = error is not None or any(admission.draft is None for admission in admissions)
        self.failed_with = error
        if error is None and self._host_step is not None:
            self._host_step.keep()
        self._host_step = None
        for admission in admissions:
            self._conclude(admission, error)
        unreached = _unreached(admissions)
        for receiver in self._receivers:
            receiver.conclude(error, unreached)
        self.after_step()
        if logbook.STEP.is_on and admissions:
            _tell(admissions, error, self.meter.seconds() - began_s)
        is_more = self._is_called or bool(self._waiting)
        return not self.has_failed and (is_more or any(_did_something(admission) for admission in admissions))

    @property
    def _is_called(self) -> bool:
        """Whether a host has room for somebody who waits for it."""
        return self._hosts.next_ms(self._time.work_ms) == self._time.work_ms

    def _collect(self) -> None:
        for receiver in self._receivers:
            for number, command, done in receiver.collect():
                self._inbox.put(Ticket(number, command, 0, done), is_bounded=False)

    def _advance_time(self) -> None:
        read_ms = self._clock.monotonic_ms()
        before = self._time
        self._time = clock.advance(before, self._clock.now_ms(), max(0, read_ms - self._read_ms))
        self._read_ms = read_ms
        if self._time.is_suspended and not before.is_suspended:
            logbook.CLOCK_JUMPED()

    def _busy(self) -> list[int]:
        """The buses with commands, or with deliveries due that somebody wants. Commands for a bus that is gone end here."""
        for number in [number for number in self._waiting if number not in self.states]:
            self._answer([answered(ticket, NotFound("the bus was deleted")) for ticket in self._waiting.pop(number).take_all()])
        due = [number for number, state in self.states.items() if number not in self._waiting and self._is_due(state)]
        busy = [*self._waiting, *due]
        self._turn = (self._turn + 1) % max(1, len(busy))
        return busy[self._turn :] + busy[: self._turn]  # They share what one step gives out, so each is the first in its turn.

    def _is_due(self, state: BusState) -> bool:
        """Whether the bus has a delivery for somebody who waits."""
        if not state.due:
            return False
        ready = state.due.reach(self._time.work_ms)
        return any(state.gives_out(uid, self._time.work_ms) for uid in demanded(ready, self._demands(state.record.number)))

    def _demands(self, number: int) -> list[Demands]:
        return [receiver.demands(number) for receiver in self._receivers]

    def idle_ms(self) -> int | None:
        """How long nothing falls due, now that a step found nothing; None: nothing does by time alone."""
        if any(map(self._is_due, self.states.values())):
            return 0
        due_ms = [*(state.due.next_ms for state in self.states.values()), *(one.next_ms for one in self._receivers)]
        due_ms.append(self._hosts.next_ms(self._time.work_ms))
        next_ms = min((next_ms for next_ms in due_ms if next_ms is not None), default=None)
        return None if next_ms is None else max(0, next_ms - self.now().work_ms)

    def _idle_s(self) -> float:
        """How long to wait when nobody wakes it."""
        idle_ms = self.idle_ms()
        wait_s = IDLE_S_MAX if idle_ms is None else idle_ms / 1000
        return min(IDLE_S_MAX, max(FAILED_S if self.has_failed else HELD_S, wait_s))

    def _admit_all(self) -> list[Admission]:
        self._call_who_waits_for_hosts()
        busy = self._busy()
        if not busy:
            return []
        if not self._engine.is_joint:
            busy = busy[:1]
        began_s = self.meter.seconds()
        hosts = self._host_step = HostsDraft(self._hosts, self._time.work_ms) if self._hosts.has_budgets else None
        ledger = Ledger([receiver.room() if self._is_open else 0 for receiver in self._receivers], hosts)
        admissions = [self._admit_bus(self.states[number], ledger) for number in busy]
        self.meter.admits.observe(self.meter.seconds() - began_s)
        return admissions

    def _call_who_waits_for_hosts(self) -> None:
        """Until somebody is called who has something to send."""
        is_ready = False
        while not is_ready and (woken := self._hosts.wake(self._time.work_ms)):
            for number, uid in woken:
                state = self.states[number]
                state.protection.crowded.discard(uid)
                state.due.release(uid)
                is_ready |= state.due.is_ready(uid)

    def _admit_bus(self, state: BusState, ledger: Ledger) -> Admission:
        number = state.record.number
        waiting = self._waiting.pop(number, None) or Waiting()
        draft = Draft(state, self._engine.view, self._time, self._demands(number), ledger, hops_max=self._hops_max)
        lately = self._time.work_ms - self._published_ms < limits.PUBLISHED_LATELY_MS
        timers = limits.TIMERS_BESIDE_PUBLISHERS if lately else limits.TIMERS_PER_STEP
        admission = admit(draft, waiting, timers=timers)
        if admission.has_published:
            self._published_ms = self._time.work_ms
        if waiting:
            self._waiting[number] = waiting
        return admission

    def _commit(self, drafts: list[Draft]) -> EventyardError | None:
        finished = [(changes, draft.live) for draft in drafts if not (changes := draft.finish()).is_empty]
        batch = [changes for changes, _ in finished]
        if not batch:
            return None
        began_s = self.meter.seconds()
        try:
            self._engine.commit(batch)
        except EventyardError as error:
            self.meter.failed_commits += 1
            logbook.COMMIT_FAILED(error=error.detail)
            return error
        self.meter.commits.observe(self.meter.seconds() - began_s)
        for changes, live in sorted(finished, key=_is_of_system_bus):
            self._apply(changes, live)
        return None

    def _apply(self, changes: Changes, live: Index | None) -> None:
        state = self.states[changes.bus]
        state.apply(changes, live)
        self.meter.count(state.record, changes)
        if self._hosts.has_budgets:
            for uid in {uid for (uid, _), delta in changes.tally.items() if delta[LEASED]}:
                self._hosts.say((changes.bus, uid), state.leased_of(uid))
        if changes.rules:
            self._follow_hosts(state, changes.rules)
            for receiver in self._receivers:
                receiver.follow(state.record, changes.rules)
        for record in changes.buses:
            self._apply_bus(record)

    def _apply_bus(self, record: BusRecord) -> None:
        if record.number in self.states and not record.is_deleted:
            self.states[record.number].record = record
        elif not record.is_deleted:
            self._open_bus(Loaded(record, 0, self._time))
        elif self.numbers.get(record.name) == record.number:
            del self.numbers[record.name]
            for uid in self.states.pop(record.number).by_uid:
                self._hosts.follow((record.number, uid), None, 0)
            self.meter.forget(record)
            for receiver in self._receivers:
                receiver.forget(record)

    def _conclude(self, admission: Admission, error: EventyardError | None) -> None:
        """Answer and hand out what is committed now; or tell everybody why it is not."""
        if error is not None:
            failed = [*admission.finished, *self._take_cut(admission.state.record.number)]
            admission.finished = [answered(ticket, error) for ticket in failed]
        self._answer(admission.finished)
        self.meter.count_answers(admission.state.record.number, admission.finished)
        if error is None and admission.draft is not None:
            admission.draft.protection.keep(admission.state.due, admission.state.by_uid)
            self._refresh_bounds(admission.state, admission.draft.drained)
            self._hand_out(admission.state.record, admission.draft.leases)

    def _hand_out(self, bus: BusRecord, leases: Sequence[Lease]) -> None:
        if leases:
            for holder, receiver in enumerate(self._receivers):
                if own := [lease for lease in leases if lease.holder == holder]:
                    receiver.take(bus, own)

    def _take_cut(self, number: int) -> list[Ticket]:
        """The tickets that the step was cut in: some of their answers rest on what was not kept."""
        waiting = self._waiting.get(number)
        cut = waiting.take_cut() if waiting else []
        if waiting is not None and not waiting:
            del self._waiting[number]
        return cut

    def _refresh_bounds(self, state: BusState, drained: list[QueueKey]) -> None:
        """Learn when these queues fall due next. Where the disk cannot tell, the bounds stay: too early, and asked again."""
        try:
            for rule, run in drained:
                state.set_due(rule, run, self._engine.view.next_due(state.record.number, rule, run))
        except Unavailable as error:
            logbook.QUEUE_UNREAD(error=error.detail)
            self.has_failed = True

    def _answer(self, tickets: list[Ticket]) -> None:
        self._inbox.release(tickets)
        for ticket in tickets:
            ticket.done(ticket.answer)


def _pushed_to(record: RuleRecord) -> str | None:
    """What a rule has under way while it is being deleted counts for its host until that has ended."""
    http = record.rule.target.http
    return None if http is None or record.status is Status.DELETED else http.url


def _is_of_system_bus(finished: tuple[Changes, Index]) -> bool:
    """The system bus is applied last: it may take away a bus that this very batch changes."""
    return finished[0].bus == SYSTEM_BUS


def _unreached(admissions: Iterable[Admission]) -> set[tuple[int, int]]:
    return {
        (admission.state.record.number, uid)
        for admission in admissions
        for uid in (admission.draft.unreached if admission.draft else ())
    }


def _did_something(admission: Admission) -> bool:
    return bool(admission.finished or (admission.draft is not None and admission.draft.leases))


def _tell(admissions: Sequence[Admission], error: EventyardError | None, took_s: float) -> None:
    logbook.STEP(
        took_ms=took_s * 1000,
        buses=len(admissions),
        commands=sum(len(admission.finished) for admission in admissions),
        events=sum(len(ticket.answers) for admission in admissions for ticket in admission.finished),
        leases=sum(len(admission.draft.leases) for admission in admissions if admission.draft),
        outcome="kept" if error is None else error.code,
    )


def _nothing() -> None:
    """What happens after a step when nobody asked for anything."""
