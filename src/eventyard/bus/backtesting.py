"""Backtests: patterns tried on the log, on a thread that is there for it."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from eventyard import backtesting
from eventyard.backtesting import Look, Patterns, Query, Trial
from eventyard.bus.asking import Asking
from eventyard.core import limits
from eventyard.core.bus_state import BusState
from eventyard.core.errors import Overloaded, Stopping, VersionConflict
from eventyard.core.rule import RuleRecord
from eventyard.ports import Clock

T = TypeVar("T")


class Tried(msgspec.Struct, frozen=True):
    """A pattern, as text, and the name of the rule that it is held against as that is in force (empty: none).

    `version`: only where the rule is in this one, 0 where there must be none of that name.
    """

    pattern: bytes
    name: str = ""
    version: int | None = None


class Backtested(msgspec.Struct, frozen=True):
    """A look, and by trial the version that it was held against: 0 where there is no rule of that name."""

    look: Look
    versions: list[int]


class BacktestThread:
    """Where backtests look, one after the other: however many are asked for, they take what one thread takes.

    The patterns of a backtest that is to go on are kept for its next look, those of the last one only.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1, "eventyard-backtest")
        self._waiting = 0
        self._is_stopping = False
        self._kept: Patterns | None = None

    async def look(self, trials: tuple[Trial, ...], read: Callable[[Patterns], Look]) -> Look:
        """What `read` gives."""
        return await self.run(lambda: self._look(trials, read))

    async def run(self, do: Callable[[], T]) -> T:
        """What `do` gives, which is bounded. A caller that is cancelled before its turn takes none. Raises Overloaded, Stopping."""
        if self._waiting >= limits.BACKTESTS_WAITING_MAX:
            raise Overloaded(f"found {self._waiting} backtests waiting for their turn", wanted="to try again shortly")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, do)
        finally:
            self._waiting -= 1

    def _run(self, do: Callable[[], T]) -> T:
        if self._is_stopping:
            raise Stopping("the bus is stopping", wanted="to try again when it is back")
        return do()

    def _look(self, trials: tuple[Trial, ...], read: Callable[[Patterns], Look]) -> Look:
        kept, self._kept = self._kept, None
        patterns = kept if kept is not None and kept.trials == trials else Patterns(trials)
        found = read(patterns)
        if found.next_after is not None:
            self._kept = patterns
        return found

    def stop(self) -> None:
        """Those that wait for their turn get none any more."""
        self._is_stopping = True

    def close(self) -> None:
        """Wait for the look under way, which is bounded. After `stop`, and not on an event loop."""
        self._threads.shutdown()


class BacktestCalls(Asking):
    """`_backtests`: where they look."""

    _backtests: BacktestThread
    _clock: Clock

    async def backtest(self, bus: str, tried: Sequence[Tried], query: Query) -> Backtested:
        """What the patterns match of the next stretch of the log, beside the rules that they are held against; bounded, see `Look.next_after`.

        Raises InvalidPattern and PatternTooCostly with the place in the list, VersionConflict, NotFound (bus), Overloaded, Stopping.
        """
        state = self._state(bus)
        records = [state.by_name.get(one.name) if one.name else None for one in tried]
        trials = tuple(_trial(number, *pair) for number, pair in enumerate(zip(tried, records, strict=True)))
        found = await self._backtests.look(trials, lambda patterns: self._looked(state, patterns, query))
        return Backtested(found, [0 if record is None else record.version for record in records])

    def _looked(self, state: BusState, patterns: Patterns, query: Query) -> Look:
        with self._engine.reader() as view:
            return backtesting.look(view, state, patterns, query, self._clock.monotonic_ms)


def _trial(number: int, tried: Tried, record: RuleRecord | None) -> Trial:
    there = 0 if record is None else record.version
    if tried.version is not None and tried.version != there:
        found = f'found the rule "{tried.name[:60]}" in version {there}' if there else f'found no rule "{tried.name[:60]}"'
        wanted = f"version {tried.version}" if tried.version else "none to be there"
        raise VersionConflict(found, wanted=wanted, at=f"/rules/{number}/version")
    return Trial(tried.pattern, None if record is None else bytes(record.rule.pattern))
