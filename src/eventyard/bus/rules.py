"""Rules: put, edited, deleted; where each stands; moved to another place of the log, and stretches replayed to it."""

import bisect
from collections.abc import Callable
from itertools import islice

from eventyard import history
from eventyard.bus.sealing import SecretCalls
from eventyard.bus.shaping import ShapingCalls
from eventyard.core import network, rule
from eventyard.core.commands import DeleteRule, EndReplay, PutRule, Replay, RulePut, Seek, SetPaused
from eventyard.core.errors import InvalidRule, NotFound
from eventyard.core.network import Policy
from eventyard.core.pattern import language
from eventyard.core.rule import Place, RuleRecord
from eventyard.core.target import HttpTarget
from eventyard.history import ReplayStatus, RuleStatus, replay_status


def check_addresses(target: HttpTarget, policy: Policy) -> None:
    """`InvalidRule` or `ForbiddenTarget` for an address that is not one to call."""
    network.check_url(target.url, policy)
    if target.auth is not None and target.auth.oauth2 is not None:
        network.check_url(target.auth.oauth2.token_url, policy, at="/target/http/auth/oauth2/token_url")


def _check_bus(bus: str, target: str) -> None:
    if target == bus:
        found = f'found the bus "{bus}", which is the rule\'s own'
        raise InvalidRule(found, wanted="another bus", at="/target/bus/name")


class RuleCalls(SecretCalls, ShapingCalls):
    """`_policy`: which addresses targets may have."""

    _policy: Policy

    def rules(self, bus: str, *, after: str = "", limit: int | None = None) -> list[RuleRecord]:
        """By name, those whose names come after `after`, `limit` at the most."""
        state = self._state(bus)
        names = state.names.copy()  # The writer changes it; a copy of a hundred thousand is a fifth of a millisecond.
        following = islice(names, bisect.bisect_right(names, after), None)
        there = (record for name in following if (record := state.by_name.get(name)) is not None)
        return list(islice(there, limit))

    def rule(self, bus: str, name: str) -> RuleRecord:
        record = self._state(bus).by_name.get(name)
        if record is None:
            raise NotFound(f'found no rule "{name[:60]}" on bus "{bus}"', wanted="a rule that exists")
        return record

    async def put_rule(
        self,
        bus: str,
        name: str,
        document: bytes,
        *,
        principal: str = "",
        version: int | None = None,
        check_forward: Callable[[str], None] = lambda _bus: None,
    ) -> RulePut:
        """Create or change a rule from its JSON document. `version`: only the rule that has it, 0 for none that is there.

        `check_forward` raises where whoever asks may not publish on the bus that the rule's events would go to.
        """
        rule.check_name(name, what="rule")
        parsed, pattern = rule.parse(document)
        if parsed.target.bus is not None:
            _check_bus(bus, parsed.target.bus.name)
            check_forward(parsed.target.bus.name)
        if parsed.target.http is not None:
            check_addresses(parsed.target.http, self._policy)
            await self._check_expressions(parsed.target.http)
        sealed = self._sealed(bus, name, parsed)
        answer: RulePut = await self._command(bus, PutRule(name, sealed, pattern, principal, version))
        return answer

    async def delete_rule(self, bus: str, name: str, *, principal: str = "", version: int | None = None) -> RuleRecord:
        record: RuleRecord = await self._command(bus, DeleteRule(name, principal, version))
        return record

    async def set_paused(self, bus: str, name: str, *, is_paused: bool, principal: str = "") -> RuleRecord:
        record: RuleRecord = await self._command(bus, SetPaused(name, is_paused, principal))
        return record

    async def status(self, bus: str, name: str) -> RuleStatus:
        record = self.rule(bus, name)
        return await self._read(lambda view, state: history.status(view, state, record, self._now()), bus)

    async def statuses(self, bus: str, *, after: str, limit: int) -> list[tuple[RuleRecord, RuleStatus]]:
        """Where the queues of up to `limit` rules stand whose names come after `after`, by name."""
        records = self.rules(bus, after=after, limit=limit)
        time = self._now()
        return await self._read(
            lambda view, state: [(record, history.status(view, state, record, time)) for record in records], bus
        )

    # Runs

    async def seek(self, bus: str, name: str, place: Place, *, principal: str = "") -> RuleRecord:
        """Have the rule go on at another place of the log; what it still owes is discarded."""
        rule.check_place(place, at="/to")
        record: RuleRecord = await self._command(bus, Seek(name, place, principal))
        return record

    async def replay(self, bus: str, command: Replay) -> ReplayStatus:
        """Begin a replay to one rule."""
        if command.pattern:
            language.parse(command.pattern)
        for place, at in ((command.first, "/from"), (command.until, "/until")):
            rule.check_place(place, at=at)
        return replay_status(self._state(bus), await self._command(bus, command))

    def replays(self, bus: str, name: str) -> list[ReplayStatus]:
        """Those of the rule under way and the last ones that ended, the newest first."""
        state, record = self._state(bus), self.rule(bus, name)
        own = [one for one in state.backfills_of(record.uid) if one.is_replay]
        return [replay_status(state, one) for one in sorted(own, key=lambda one: -one.run)]

    def replay_of(self, bus: str, name: str, run: int) -> ReplayStatus:
        found = [status for status in self.replays(bus, name) if status.run == run]
        if not found:
            raise NotFound(f'found no replay {run} to rule "{name}"', wanted="one that GET .../replays lists")
        return found[0]

    async def end_replay(self, bus: str, name: str, run: int, *, principal: str = "") -> ReplayStatus:
        """Cancel a replay, or forget one that has ended."""
        return replay_status(self._state(bus), await self._command(bus, EndReplay(name, run, principal)))
