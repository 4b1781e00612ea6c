"""Budgets of destination hosts: how many deliveries may be under way to one, and how many may go in a second, over all rules of all buses.

Theory of operation. Rules of several teams may have one host behind them, and each rule's concurrency and rate look fair by themselves. So where the operator
sets a budget, leases are granted only as far as the host's leaves room. A host is a name and a port, as the target's address has them.

What is under way is a sum over rules, each said anew after every step that touched it (`say`), so that no miscount stays. A rule that found
no room stands in line (`wait`) and is set aside; `wake` calls as many as there is room for, in the order in which they came, so that ten thousand rules with
one host cost a step only those that get something.
"""

from collections.abc import Mapping, Sequence
from itertools import chain, islice

import msgspec

from eventyard.core import bucket, limits, network
from eventyard.core.bucket import Bucket
from eventyard.core.errors import Refused

RuleKey = tuple[int, int]
"""Bus number and rule uid."""


class HostBudget(msgspec.Struct, frozen=True):
    """None: no bound."""

    concurrency: int | None = None
    rate_per_s: float | None = None

    @property
    def is_bound(self) -> bool:
        return self.concurrency is not None or self.rate_per_s is not None


class _Host(msgspec.Struct):
    """What is known of one. `bucket` is as committed; None until something was taken. `called`: rules whose turn it was and that got nothing yet; where
    they find no room again they stand `first`.
    """

    budget: HostBudget
    leased: dict[RuleKey, int] = msgspec.field(default_factory=dict)
    under_way: int = 0
    bucket: Bucket | None = None
    first: dict[RuleKey, None] = msgspec.field(default_factory=dict)
    waiting: dict[RuleKey, None] = msgspec.field(default_factory=dict)
    called: set[RuleKey] = msgspec.field(default_factory=set)

    def tokens(self, work_ms: int) -> Bucket | None:
        rate_per_s = self.budget.rate_per_s
        if rate_per_s is None:
            return None
        return bucket.full(rate_per_s, work_ms) if self.bucket is None else self.bucket.filled(rate_per_s, work_ms)

    def room(self, work_ms: int) -> int:
        budget, tokens = self.budget, self.tokens(work_ms)
        room = limits.PUSHES_UNDER_WAY_MAX if budget.concurrency is None else budget.concurrency - self.under_way
        return max(0, room if tokens is None else min(room, tokens.whole))


class Hosts:
    """The writer alone changes it; other threads look single things up. `default`: the budget of each host that `named` does not name."""

    def __init__(self, default: HostBudget | None = None, named: Mapping[str, HostBudget] | None = None) -> None:
        self._default = default or HostBudget()
        self._named = dict(named or {})
        self._hosts: dict[str, _Host] = {}
        self._of_rules: dict[RuleKey, str] = {}
        self._urls: dict[RuleKey, str | None] = {}
        self._empty_ms: int | None = None
        """The work time at which all buckets were empty."""
        self._lines: set[str] = set()
        """Hosts that somebody waits for."""

    @property
    def has_budgets(self) -> bool:
        return self._default.is_bound or bool(self._named)

    # Rules

    def follow(self, key: RuleKey, url: str | None, leased: int) -> None:
        """The rule pushes to `url` (None: it does not push, or is gone), with so many under way."""
        if not self.has_budgets:
            return
        if url is None:
            self._urls.pop(key, None)
        else:
            self._urls[key] = url
        host = None if url is None else host_of(url)
        before = self._of_rules.get(key)
        if before is not None and before != host:
            self._leave(key, before)
        if host is None or not self._budget(host).is_bound:
            return
        if host not in self._hosts:
            self._hosts[host] = _Host(self._budget(host), bucket=self._bucket())
        self._of_rules[key] = host
        self.say(key, leased)

    def _bucket(self) -> Bucket | None:
        return None if self._empty_ms is None else Bucket(0.0, self._empty_ms)

    def _budget(self, host: str) -> HostBudget:
        return self._named.get(host, self._default)

    def _leave(self, key: RuleKey, host: str) -> None:
        self.say(key, 0)
        found = self._hosts[host]
        found.leased.pop(key, None)
        for line in (found.first, found.waiting):
            line.pop(key, None)
        found.called.discard(key)
        del self._of_rules[key]

    def is_followed(self, key: RuleKey, url: str | None) -> bool:
        """Whether the rule is known to push to `url`. It is not in the step that gives it this address."""
        return self._urls.get(key) == url

    def host(self, key: RuleKey) -> str | None:
        """The host of the rule, where that has a budget."""
        return self._of_rules.get(key)

    def say(self, key: RuleKey, leased: int) -> None:
        """So many deliveries of the rule are under way."""
        host = self._of_rules.get(key)
        if host is not None:
            found = self._hosts[host]
            found.under_way += leased - found.leased.get(key, 0)
            found.leased[key] = leased

    # Leases

    def begin_empty(self, work_ms: int) -> None:
        """After a start: of what went out just before, to whatever host, nothing is known, so none has anything of its rate left."""
        self._empty_ms = work_ms
        for host in self._hosts.values():
            host.bucket = Bucket(0.0, work_ms)

    def room(self, host: str, work_ms: int) -> int:
        """How many more deliveries may go there now."""
        return self._hosts[host].room(work_ms)

    def take(self, host: str, keys: Sequence[RuleKey], work_ms: int) -> None:
        """A delivery of each of these rules went out."""
        found = self._hosts[host]
        found.called.difference_update(keys)
        if (tokens := found.tokens(work_ms)) is not None:
            found.bucket = tokens.without(len(keys))

    # Waiting

    def wait(self, key: RuleKey) -> None:
        """The rule found no room; it stands last in line, if it does not stand there."""
        host = self._of_rules.get(key)
        if host is None:
            return
        found = self._hosts[host]
        if key in found.called:
            found.called.discard(key)
            found.first.setdefault(key)
        elif key not in found.first:
            found.waiting.setdefault(key)
        self._lines.add(host)

    def wake(self, work_ms: int) -> list[RuleKey]:
        """Whose turn it is, now that there is room: they wait no longer. Who takes nothing makes way for the next ones by the next step."""
        woken: list[RuleKey] = []
        for name in list(self._lines):
            host = self._hosts[name]
            for key in list(islice(chain(host.first, host.waiting), host.room(work_ms))):
                host.first.pop(key, None)
                host.waiting.pop(key, None)
                host.called.add(key)
                woken.append(key)
            if not host.first and not host.waiting:
                self._lines.discard(name)
        return woken

    def next_ms(self, work_ms: int) -> int | None:
        """When there may be room for somebody who waits, if time alone makes it."""
        times = [self._next_ms(self._hosts[name], work_ms) for name in self._lines]
        return min((at_ms for at_ms in times if at_ms is not None), default=None)

    def _next_ms(self, host: _Host, work_ms: int) -> int | None:
        if host.budget.concurrency is not None and host.under_way >= host.budget.concurrency:
            return None
        tokens, rate_per_s = host.tokens(work_ms), host.budget.rate_per_s
        return work_ms if tokens is None or rate_per_s is None or tokens.whole else tokens.next_ms(rate_per_s)


class HostsDraft:
    """What one step may still send to each host, over all its buses."""

    def __init__(self, hosts: Hosts, work_ms: int) -> None:
        self.hosts = hosts
        self._work_ms = work_ms
        self._left: dict[str, int] = {}
        self._taken: dict[str, list[RuleKey]] = {}

    def left(self, host: str) -> int:
        left = self._left.get(host)
        if left is None:
            left = self._left[host] = self.hosts.room(host, self._work_ms)
        return left

    def take(self, host: str, key: RuleKey) -> None:
        self._left[host] = self.left(host) - 1
        self._taken.setdefault(host, []).append(key)

    def keep(self) -> None:
        """The step is committed."""
        for host, keys in self._taken.items():
            self.hosts.take(host, keys, self._work_ms)


def host_of(url: str) -> str | None:
    """The host and, unless it is the scheme's own, the port. None where it is no address."""
    try:
        parsed = network.parse_url(url)
    except Refused:
        return None
    name = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    return name if parsed.port == (443 if parsed.scheme == "https" else 80) else f"{name}:{parsed.port}"
