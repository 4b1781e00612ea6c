"""Rates and budgets, as somebody who counts what goes out would hold them against the house: over all its lives, in true time.

Work time never outruns true time, so what keeps to a rate in the one keeps to it in the other. A bucket here is filled while the house is down, too.
"""

import msgspec

from eventyard.core import limits
from eventyard.core.delivery import Delivery, Key, State
from eventyard.core.hosts import HostBudget
from eventyard.core.rule import RuleRecord
from tests.simulation.ledger import BusLedger, Ledger
from tests.simulation.world import World

_EPSILON = 1e-6


class _Bucket(msgspec.Struct):
    """So many more may go at `at_ms`."""

    tokens: float
    at_ms: int

    def take(self, rate_per_s: float, now_ms: int) -> bool:
        """Whether one may."""
        gained = (now_ms - self.at_ms) * rate_per_s / 1000
        self.tokens = min(_brim(rate_per_s), self.tokens + gained) - 1
        self.at_ms = now_ms
        return self.tokens >= -_EPSILON


def _brim(rate_per_s: float) -> float:
    """A tenth of a second's worth, one at least, as the guide says."""
    return max(1.0, rate_per_s * limits.RATE_AHEAD_S)


class Rates:
    """`budget`: what the operator of this life allows to each host."""

    def __init__(self, world: World, ledger: Ledger) -> None:
        self.world = world
        self._ledger = ledger
        self._rules: dict[tuple[str, int], _Bucket] = {}
        self._hosts: dict[str, _Bucket] = {}
        self._given: dict[tuple[str, Key], tuple[str, int]] = {}
        """To which host each delivery was given out last (empty: to none), and under which lease."""
        self.budget = HostBudget()

    def restart(self, budget: HostBudget) -> None:
        """What was counted by another budget says nothing of this one."""
        if budget != self.budget:
            self._hosts.clear()
        self.budget = budget

    def take(self, bus: BusLedger, row: Delivery) -> None:
        """A delivery is given out. What was edited in the very step that gives it may go by what was before."""
        record = bus.rules[row.rule]
        host = _host_of(record)
        self._given[bus.record.incarnation, row.key] = (host, row.leases)
        if row.rule in bus.edited:
            return
        self._check_rate(bus, record, row)
        if host:
            self._check_host(bus, host, row)

    def _check_rate(self, bus: BusLedger, record: RuleRecord, row: Delivery) -> None:
        rate_per_s = _rate_of(record)
        if rate_per_s is None:
            return
        key, now_ms = (bus.record.incarnation, record.uid), self.world.now_ms
        found = self._rules.setdefault(key, _Bucket(_brim(rate_per_s), now_ms))
        if not found.take(rate_per_s, now_ms):
            bus.fail(f"{row} of {record.name} goes out, and its {rate_per_s} a second are used up: {found}")

    def _check_host(self, bus: BusLedger, host: str, row: Delivery) -> None:
        budget, now_ms = self.budget, self.world.now_ms
        if budget.rate_per_s is not None:
            found = self._hosts.setdefault(host, _Bucket(_brim(budget.rate_per_s), now_ms))
            if not found.take(budget.rate_per_s, now_ms):
                bus.fail(f"{row} goes to {host}, and its {budget.rate_per_s} a second are used up: {found}")
        if budget.concurrency is not None and (under_way := self._under_way(host)) > budget.concurrency:
            bus.fail(f"{row} is the {under_way}th under way to {host}, which may have {budget.concurrency}")

    def _under_way(self, host: str) -> int:
        """What is on its way to a host that its rule has left since is on nobody's account."""
        return sum(
            row.state is State.LEASED
            and self._given.get((bus.record.incarnation, row.key)) == (host, row.leases)
            and _host_of(bus.rules[row.rule]) == host
            for bus in self._ledger.buses.values()
            if not bus.record.is_deleted
            for row in bus.rows.values()
        )


def _host_of(record: RuleRecord) -> str:
    http = record.rule.target.http
    return "" if http is None else http.url.split("/")[2]


def _rate_of(record: RuleRecord) -> float | None:
    """What the rule says, or what its target was heard to allow at this address; the lower counts."""
    http, heard = record.rule.target.http, record.handshake
    rates = [record.rule.delivery.rate_per_s]
    if http is not None and http.handshake != "off" and heard is not None and heard.url == http.url and heard.rate_per_minute:
        rates.append(heard.rate_per_minute / 60)
    return min((rate for rate in rates if rate is not None), default=None)
