"""Rehearsals: emitters tried on the log before they are saved, on the thread of backtests, and kept from one look to the next."""

import secrets
from collections.abc import Callable

import msgspec

from eventyard.backtesting import Query
from eventyard.bus.asking import Asking
from eventyard.bus.backtesting import BacktestThread
from eventyard.core import detector_document, emitter_edits, expectation_document, limits
from eventyard.core.bus_state import BusState
from eventyard.core.emitter import EmitterRecord, Kind
from eventyard.core.emitter_plan import plan_of
from eventyard.core.errors import NotFound, Overloaded
from eventyard.core.playback import Playback
from eventyard.core.rehearsal import Rehearsal
from eventyard.ports import Clock
from eventyard.rehearsing import Found, Rehearsing


class Rehearsed(msgspec.Struct, frozen=True):
    """What was found so far. `token` goes on, or tells it again. `version` of the one in force beside it, 0 for none. `name`: its."""

    token: str
    name: str
    version: int
    found: Found


class Tried(msgspec.Struct, frozen=True):
    """What is tried: a document as a caller gave it, and the name of the one that it is held against as that is in force (empty: none).

    `version`: only where that one is in this, 0 where there must be none of that name.
    """

    kind: Kind
    document: bytes
    name: str = ""
    version: int | None = None


class UnderWay(msgspec.Struct):
    """`found`: all, once it is done; then nothing else of it is kept."""

    bus: int
    kind: Kind
    name: str
    version: int
    samples: int
    rehearsing: Rehearsing
    used_ms: int = 0
    found: Found | None = None

    @property
    def last_used(self) -> tuple[bool, int]:
        """Ascending: who goes first."""
        return self.found is None, self.used_ms


class Rehearsals:
    """Those under way, a few at the most, since each keeps in memory what it knows of keys."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._under_way: dict[str, UnderWay] = {}

    def make_room(self) -> None:
        """For one more; whoever was not asked for, for some seconds, goes. Raises Overloaded."""
        while len(self._under_way) >= limits.REHEARSALS_KEPT_MAX:
            token, idle = min(self._under_way.items(), key=lambda item: item[1].last_used)
            if idle.found is None and self._clock_ms() - idle.used_ms < limits.REHEARSAL_IDLE_S * 1000:
                raise Overloaded(
                    f"found {len(self._under_way)} backtests under way that keep keys", wanted="to try again shortly"
                )
            del self._under_way[token]

    def keep(self, token: str, one: UnderWay) -> None:
        one.used_ms = self._clock_ms()
        self._under_way[token] = one

    def end(self, token: str) -> None:
        self._under_way.pop(token, None)

    def of(self, token: str, bus: int, kind: Kind) -> UnderWay:
        one = self._under_way.get(token)
        if one is None or (one.bus, one.kind) != (bus, kind):
            raise NotFound("found no such backtest under way", wanted="one that was asked for in the last seconds; begin anew")
        return one


class RehearsalCalls(Asking):
    """`_backtests`: where they look."""

    _backtests: BacktestThread
    _rehearsals: Rehearsals
    _clock: Clock
    _hops_max: int

    async def rehearse(self, bus: str, tried: Tried, query: Query, *, samples: int = 10) -> Rehearsed:
        """Begin to go over the log. Raises what saving it would, as to its document; VersionConflict, NotFound (bus), Overloaded, Stopping."""
        state = self._state(bus)
        one = await self._backtests.run(lambda: self._begun(state, tried, query, samples))
        self._rehearsals.make_room()
        token = secrets.token_hex(8)
        self._rehearsals.keep(token, one)
        try:
            return await self._rehearsed(token, one, state)
        except BaseException:
            self._rehearsals.end(token)  # Nobody knows of it.
            raise

    def _begun(self, state: BusState, tried: Tried, query: Query, samples: int) -> UnderWay:
        kind, name = tried.kind, tried.name
        before = state.emitters.by_name.get((kind, name))
        there = 0 if before is None else before.version
        emitter_edits.check_version(kind, name, there, tried.version, at="/version")
        now_ms, version = self._now().time_ms, state.head + 1
        uid = version if before is None else before.uid
        record = EmitterRecord(uid, kind, name or "tried", version, _parsed(tried), now_ms, now_ms)
        emitter_edits.check(plan_of(record), list(state.emitters.plans.copy().values()), bus=state.record.name)
        sides = [record] if before is None else [record, before]
        playback = Playback(*(Rehearsal(state.record, side, hops_max=self._hops_max) for side in sides))
        ends_ms = now_ms if query.until_ms is None else min(now_ms, query.until_ms)
        return UnderWay(state.record.number, kind, name, there, samples, Rehearsing(playback, query, ends_ms))

    async def go_on_rehearsing(self, bus: str, kind: Kind, token: str) -> Rehearsed:
        """The next stretch of one under way. Raises NotFound, Overloaded, Stopping."""
        state = self._state(bus)
        one = self._rehearsals.of(token, state.record.number, kind)
        self._rehearsals.keep(token, one)
        return await self._rehearsed(token, one, state)

    async def _rehearsed(self, token: str, one: UnderWay, state: BusState) -> Rehearsed:
        rehearsing = one.rehearsing

        def look() -> Found:
            with self._engine.reader() as view:
                rehearsing.look(view, state, self._clock.monotonic_ms)
            return rehearsing.found(one.samples)

        found = await self._backtests.run(look) if one.found is None else one.found
        if found.is_done:
            one.found = found
            rehearsing.forget()
        self._rehearsals.keep(token, one)
        return Rehearsed(token, one.name, one.version, found)


def _parsed(tried: Tried) -> msgspec.Raw:
    match tried.kind:
        case Kind.DETECTOR:
            return msgspec.Raw(msgspec.json.encode(detector_document.parse(tried.document)))
        case Kind.EXPECTATION:
            return msgspec.Raw(msgspec.json.encode(expectation_document.parse(tried.document)))
