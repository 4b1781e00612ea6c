"""Protection: what keeps a rule from calling its target more often than it should, or at all.

Theory of operation. Each rule that needs one has a `Guard`: the bucket of its rate, its breaker, and until when its target asked for quiet. It is
asked where leases are granted (`draft`), so it holds for whoever pushes, and it learns where verdicts are settled (`settling`). What a step
learns and grants is laid over the committed guards and kept when the step is committed. A rule that has no rate and never failed has no guard
and costs one look.

Guards live in memory. What of them outlives a restart is what the log was told: a breaker that was told to be open begins half-open, with a probe.
And buckets begin empty, as if the last delivery had gone out just then. So a restart neither floods a target that is away, nor goes beyond a rate, nor trusts
what is long past.

A rule that may not go on before some time is set aside until then (`Due.hold`), so that nobody looks at it meanwhile.
"""

import enum
from collections.abc import Mapping

import msgspec

from eventyard.core import bucket
from eventyard.core.breaker import Breaker, Place
from eventyard.core.bucket import Bucket
from eventyard.core.delivery import LEASED, STOPPED, Delivery, Note, Reason
from eventyard.core.due import Due
from eventyard.core.health import Health
from eventyard.core.hosts import HostsDraft
from eventyard.core.rule import RuleRecord, Status

BUSY = frozenset({408, 425, 429})
"""Answers below 500 by which a target says that it cannot take the request now. By every other it shows that it is there."""

_UNSENT = frozenset({Reason.TRANSFORM, Reason.FORBIDDEN_TARGET})


class Hold(enum.StrEnum):
    """What a delivery that is due waits for. HANDSHAKE: its target has not agreed to be pushed to. SLOW_START: the breaker is recovering, or probing, and as much as it allows is under way."""

    HANDSHAKE = "handshake"
    BREAKER = "breaker"
    SLOW_START = "slow-start"
    RETRY_AFTER = "retry-after"
    RATE = "rate"
    HOST = "host"


class Held(msgspec.Struct, frozen=True):
    """`until_ms`: work time; None: until something that is under way has ended."""

    by: Hold
    until_ms: int | None = None


class Guard(msgspec.Struct, frozen=True):
    """`bucket`: None until something was taken from it. `quiet_until_ms` (work time): as the target asked by `Retry-After`."""

    bucket: Bucket | None = None
    breaker: Breaker = Breaker()
    quiet_until_ms: int = 0

    def is_watched(self, record: RuleRecord, work_ms: int) -> bool:
        """Whether what goes well is worth counting."""
        policy = record.rule.delivery.breaker
        return policy is not None and not self.breaker.is_idle(policy, work_ms)

    def allowed(self, record: RuleRecord, work_ms: int) -> int:
        """How many of the rule's deliveries may be under way at once."""
        policy = record.rule.delivery.breaker
        if self.quiet_until_ms > work_ms or record.awaits_consent:
            return 0
        return record.leases_max if policy is None else self.breaker.allowed(policy, record.leases_max, work_ms)

    def rate_per_s(self, record: RuleRecord, work_ms: int) -> float | None:
        """The rate that the rule may go at now."""
        rate_per_s, policy = record.rate_per_s, record.rule.delivery.breaker
        return rate_per_s if rate_per_s is None or policy is None else rate_per_s * self.breaker.part(policy, work_ms)

    def tokens(self, rate_per_s: float, work_ms: int) -> Bucket:
        return bucket.full(rate_per_s, work_ms) if self.bucket is None else self.bucket.filled(rate_per_s, work_ms)

    def held(self, record: RuleRecord, leased: int, work_ms: int) -> Held | None:
        """Why no delivery of the rule may go now, beside its concurrency, with so many under way. None: one may."""
        if record.awaits_consent:
            return Held(Hold.HANDSHAKE)
        if self.quiet_until_ms > work_ms:
            return Held(Hold.RETRY_AFTER, self.quiet_until_ms)
        if (policy := record.rule.delivery.breaker) is not None:
            now = self.breaker.at(policy, work_ms)
            if now.place is Place.OPEN:
                return Held(Hold.BREAKER, now.until_ms)
            if now.place is not Place.CLOSED and leased >= now.allowed(policy, record.leases_max, work_ms):
                return Held(Hold.BREAKER if now.is_open else Hold.SLOW_START)
        rate_per_s = self.rate_per_s(record, work_ms)
        if rate_per_s is not None and not (tokens := self.tokens(rate_per_s, work_ms)).whole:
            return Held(Hold.RATE, tokens.next_ms(rate_per_s))
        return None


_UNGUARDED = Guard()

_UNTIL_WOKEN = 2**62
"""Longer than any clock: whoever waits for a host is called."""


class Protection:
    """The guards of one bus. The writer alone changes them; other threads look single ones up."""

    def __init__(self, healths: Mapping[int, Health], head: int = 0, work_ms: int = 0) -> None:
        """After a start, at `work_ms` and with the log ending at `head`: what was told to be open is probed, and no rule that was there has anything of its
        rate left, since nobody knows what went out just before.
        """
        self._guards: dict[int, Guard] = {}
        self._head = head
        self._since_start = Guard(Bucket(0.0, work_ms))
        self.watched: set[int] = set()
        """Rules of which what goes well is counted: their breakers have counted failures."""
        self.opened: set[int] = set()
        """Rules whose breaker is open or probing."""
        self.asking: set[int] = set()
        """Rules whose targets are to be asked for their consent, and have not given it."""
        self.crowded: set[int] = set()
        """Rules that stand in line for their host (`hosts`)."""
        for uid, health in healths.items():
            if health.is_open_told:
                guard = Guard(self._since_start.bucket, Breaker(Place.OPEN, openings=1))
                self._set(uid, guard, is_watched=True)

    def guard(self, uid: int) -> Guard:
        return self._guards.get(uid) or (self._since_start if uid <= self._head else _UNGUARDED)

    def held(self, record: RuleRecord, leased: int, work_ms: int) -> Held | None:
        """As `Guard.held`, with what the host of its target has room for."""
        held = self.guard(record.uid).held(record, leased, work_ms)
        return Held(Hold.HOST) if held is None and record.uid in self.crowded else held

    def allowed(self, record: RuleRecord, work_ms: int) -> int:
        """How many deliveries of the rule may be under way at once."""
        found = self._guards.get(record.uid)
        return record.leases_max if found is None else found.allowed(record, work_ms)

    def is_guarded(self, record: RuleRecord) -> bool:
        return record.uid in self._guards or record.rate_per_s is not None

    def follow(self, before: RuleRecord | None, record: RuleRecord, work_ms: int) -> None:
        """The rule was edited, paused, resumed or deleted."""
        uid, guard, heard = record.uid, self._guards.get(record.uid), record.heard
        self.crowded.discard(uid)
        is_asking = record.is_asked and (heard is None or not heard.is_given)
        (self.asking.add if is_asking else self.asking.discard)(uid)
        if guard is None or before is None:
            return
        if record.is_deleted:
            self._forget(uid)
        elif before.rule.target != record.rule.target or before.rule.delivery.breaker != record.rule.delivery.breaker:
            self.keep(record, Guard(guard.bucket, guard.breaker.edited(work_ms)), work_ms)
        elif before.is_paused and not record.is_paused:
            self.keep(record, Guard(guard.bucket, guard.breaker.resumed(work_ms)), work_ms)

    def keep(self, record: RuleRecord, guard: Guard, work_ms: int) -> None:
        is_watched = guard.is_watched(record, work_ms)
        is_untouched = guard.bucket is None or guard.bucket is self._since_start.bucket
        if is_untouched and not is_watched and guard.quiet_until_ms <= work_ms:
            self._forget(record.uid)
        else:
            self._set(record.uid, guard, is_watched=is_watched)

    def _set(self, uid: int, guard: Guard, *, is_watched: bool) -> None:
        self._guards[uid] = guard
        (self.watched.add if is_watched else self.watched.discard)(uid)
        (self.opened.add if guard.breaker.is_open else self.opened.discard)(uid)

    def _forget(self, uid: int) -> None:
        self._guards.pop(uid, None)
        self.watched.discard(uid)
        self.opened.discard(uid)


class _Room(msgspec.Struct):
    """What a step may still let through of one rule: so many under way at once, and so many more. `taken`: leases not in the guard yet."""

    record: RuleRecord
    allowed: int
    left: int
    host: str | None
    taken: int = 0


class _Learnt(msgspec.Struct):
    """Attempts of one rule that the step was told of and that are not in the guard yet."""

    record: RuleRecord
    well: int = 0
    failed: int = 0


class ProtectionDraft:
    """Guards as one step has changed them so far, over the committed ones."""

    def __init__(self, committed: Protection, work_ms: int, hosts: HostsDraft | None = None, bus: int = 0) -> None:
        self.watched = committed.watched
        self._hosts = hosts
        self._bus = bus
        self._crowded: set[int] = set()
        self._committed = committed
        self._work_ms = work_ms
        self._rooms: dict[int, _Room | None] = {}
        self._learnt: dict[int, _Learnt] = {}
        self._base: dict[int, Guard] = {}
        self._own: dict[int, tuple[RuleRecord, Guard]] = {}
        self._spent: set[int] = set()

    def guard(self, uid: int) -> Guard:
        """With all that the step has granted and learnt so far."""
        if (learnt := self._learnt.pop(uid, None)) is not None:
            self._add_learnt(learnt)
        if (room := self._rooms.get(uid)) is not None and room.taken:
            self._add_taken(room)
        return self._guard(uid)

    def _guard(self, uid: int) -> Guard:
        return self._own[uid][1] if uid in self._own else self._committed.guard(uid)

    def _add_learnt(self, learnt: _Learnt) -> None:
        record, guard = learnt.record, self._guard(learnt.record.uid)
        if (policy := record.rule.delivery.breaker) is not None:
            breaker = guard.breaker.learn(policy, self._work_ms, learnt.well, learnt.failed)
            self._change(record, msgspec.structs.replace(guard, breaker=breaker))

    def _add_taken(self, room: _Room) -> None:
        record, guard = room.record, self._guard(room.record.uid)
        taken, room.taken = room.taken, 0
        if (rate_per_s := guard.rate_per_s(record, self._work_ms)) is not None:
            tokens = guard.tokens(rate_per_s, self._work_ms).without(taken)
            self._change(record, msgspec.structs.replace(guard, bucket=tokens))

    def _change(self, record: RuleRecord, guard: Guard) -> None:
        self._base.setdefault(record.uid, self._committed.guard(record.uid))
        self._own[record.uid] = (record, guard)

    # What is granted

    def room(self, record: RuleRecord, leased: int) -> int:
        """How many more deliveries of the rule may be leased beside the `leased` ones that are."""
        uid = record.uid
        room = self._rooms.get(uid)
        if room is None and uid in self._rooms:
            return record.leases_max - leased
        if room is None or room.record is not record:
            room = self._rooms[uid] = self._open(record)
            if room is None:
                return record.leases_max - leased
        left = min(room.allowed - leased, room.left)
        if room.host is not None and self._hosts is not None and left > 0 >= (of_host := self._hosts.left(room.host)):
            self._crowded.add(uid)
            return of_host
        if left <= 0:
            self._spent.add(uid)
        return left if room.host is None or self._hosts is None else min(left, self._hosts.left(room.host))

    def _open(self, record: RuleRecord) -> _Room | None:
        """None where nothing but its concurrency bounds it. A rule whose address is new in this step waits for the next: its host is counted from then on."""
        if self._hosts is not None and not self._hosts.hosts.is_followed((self._bus, record.uid), _url_of(record)):
            return _Room(record, 0, 0, None)
        host = self._hosts.hosts.host((self._bus, record.uid)) if self._hosts is not None else None
        is_known = record.uid in self._learnt or record.uid in self._own
        if host is None and not is_known and not self._committed.is_guarded(record):
            return None
        guard = self.guard(record.uid)
        allowed, rate_per_s = guard.allowed(record, self._work_ms), guard.rate_per_s(record, self._work_ms)
        left = allowed if rate_per_s is None else guard.tokens(rate_per_s, self._work_ms).whole
        return _Room(record, allowed, left, host)

    def take(self, uid: int) -> None:
        """One was leased."""
        if (room := self._rooms.get(uid)) is not None:
            room.left -= 1
            room.taken += 1
            if room.host is not None and self._hosts is not None:
                self._hosts.take(room.host, (self._bus, uid))

    # What is learnt

    def went_well(self, record: RuleRecord) -> None:
        """Only asked for of the `watched`."""
        self._learn(record).well += 1

    def failed(self, record: RuleRecord, delivery: Delivery, note: Note, hold_ms: int = 0, *, is_counted: bool = True) -> None:
        """An attempt at `delivery`, as it was leased, came to nothing. `hold_ms`: for how long the target asked for quiet."""
        if not is_counted or record.rule.delivery.breaker is None or record.rule.target.http is None or not _was_sent(note):
            return
        if hold_ms:
            guard = self.guard(record.uid)
            until_ms = max(guard.quiet_until_ms, self._work_ms + hold_ms)
            self._change(record, msgspec.structs.replace(guard, quiet_until_ms=until_ms))
        if _is_fault(note) and self._is_of_now(record, delivery):
            self._learn(record).failed += 1
        elif not _is_fault(note) and record.uid in self.watched:
            self._learn(record).well += 1

    def _is_of_now(self, record: RuleRecord, delivery: Delivery) -> bool:
        """Whether it was sent since the breaker stands where it does. What was sent before and fails late says nothing of it."""
        policy = record.rule.delivery.breaker
        if policy is None or delivery.state is not LEASED:
            return False
        return delivery.at_ms - record.push_lease_ms >= self._guard(record.uid).breaker.at(policy, self._work_ms).since_ms

    def _learn(self, record: RuleRecord) -> _Learnt:
        uid = record.uid
        if uid in self._rooms:  # What was found free was found without it.
            self.guard(uid)
            del self._rooms[uid]
        if uid not in self._learnt:
            self._learnt[uid] = _Learnt(record)
        return self._learnt[uid]

    # The end of the step

    def keep(self, due: Due, records: Mapping[int, RuleRecord]) -> None:
        """The step is committed. A guard that an edit in this very step made anew stays as that left it."""
        for uid in [*self._learnt, *(uid for uid, room in self._rooms.items() if room is not None and room.taken)]:
            self.guard(uid)
        for uid, (_, guard) in self._own.items():
            if uid in records and self._committed.guard(uid) is self._base[uid]:
                self._committed.keep(records[uid], guard, self._work_ms)
        for uid in {*self._own, *self._spent, *self._crowded}:
            if uid in records:
                self._set_aside(due, records[uid])

    def _set_aside(self, due: Due, record: RuleRecord) -> None:
        """Until the time before which nothing of the rule may go, where it is known."""
        held = self._committed.guard(record.uid).held(record, 0, self._work_ms)
        if held is not None and held.until_ms is not None:
            due.hold(record.uid, held.until_ms)
        elif self._hosts is not None and record.uid in self._crowded:
            self._hosts.hosts.wait((self._bus, record.uid))
            self._committed.crowded.add(record.uid)
            due.hold(record.uid, _UNTIL_WOKEN)
        else:
            due.release(record.uid)


def _url_of(record: RuleRecord) -> str | None:
    http = record.rule.target.http
    return None if http is None or record.status is Status.DELETED else http.url


def _was_sent(note: Note) -> bool:
    return note.reason not in _UNSENT and note.failure != STOPPED


def _is_fault(note: Note) -> bool:
    """Whether it is the target that failed, not the request: no answer, or one that says so."""
    return not note.status or note.status >= 500 or note.status in BUSY
