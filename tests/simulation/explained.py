"""Explanations against the books: what the bus says of an event and a rule is what the log, the deliveries and the receivers tell of them.

Looked at are some events of each bus, spread over what it keeps, and every rule that it may be asked about.
"""

from collections import Counter
from collections.abc import Container, Iterator

from eventyard import explaining
from eventyard.core.bus_state import BusState
from eventyard.core.changes import StoredEvent
from eventyard.core.clock import BusTime
from eventyard.core.delivery import State
from eventyard.core.explain.facts import Explanation, Outcome
from eventyard.core.rule_history import Look, Reach, RuleVersion, looks
from eventyard.core.view import View
from tests.simulation import chronicle
from tests.simulation.books import Books
from tests.simulation.chronicle import RuleLife
from tests.simulation.ledger import BusLedger
from tests.simulation.owed import RunCheck, is_capped
from tests.simulation.reading import matches

EVENTS_LOOKED_AT = 12
RULES_PER_PAGE = 7

ENDED = {State.DELIVERED: Outcome.DELIVERED, State.DEAD: Outcome.DEAD, State.DISCARDED: Outcome.DISCARDED}


def check_explained(view: View, state: BusState, bus: BusLedger, books: Books, time: BusTime, *, is_at_rest: bool) -> None:
    _Check(view, state, bus, books, time).check(is_at_rest=is_at_rest)


class _Check:
    def __init__(self, view: View, state: BusState, bus: BusLedger, books: Books, time: BusTime) -> None:
        self._view = view
        self._state = state
        self._bus = bus
        self._books = books
        self._time = time
        self._rules = chronicle.read(bus)
        self._number = state.record.number

    def check(self, *, is_at_rest: bool) -> None:
        stored = self._view.events(self._number, 1, self._bus.head, self._bus.head + 1)
        if not stored:
            return
        stride = max(1, len(stored) // EVENTS_LOOKED_AT)
        versions = self._versions()
        for event in stored[self._bus.head % stride :: stride]:
            told = {found.uid: found for found in self._told(event)}
            self._check_all_there(event, told.keys(), stored[0].position)
            for uid, found in told.items():
                self._check_rule(event, self._rules[uid], found, is_at_rest=is_at_rest)
                self._check_looks(event.position, self._rules[uid], versions.get(uid, []))

    def _versions(self) -> dict[int, list[RuleVersion]]:
        by_uid: dict[int, list[RuleVersion]] = {}
        for version in self._view.versions(self._number, 0, 1_000_000):
            by_uid.setdefault(version.uid, []).append(version)
        return by_uid

    def _told(self, event: StoredEvent) -> Iterator[Explanation]:
        after: int | None = 0
        while after is not None:
            page = explaining.page(self._view, self._state, event, self._time, after=after, limit=RULES_PER_PAGE)
            yield from page.rules
            after = page.next_after

    def _check_all_there(self, event: StoredEvent, told: Container[int], first: int) -> None:
        for uid, rule in self._rules.items():
            if (rule.deleted_at is None or rule.deleted_at >= first) and uid not in told:
                self._bus.fail(f"nothing is said of {rule} about event {event.position}")

    # What is said of a rule

    def _check_rule(self, event: StoredEvent, rule: RuleLife, found: Explanation, *, is_at_rest: bool) -> None:
        if (found.name, found.is_deleted) != (rule.name, rule.deleted_at is not None):
            self._bus.fail(f"{found} is told of {rule}")
        self._check_deliveries(event, rule, found)
        if why := self._why_not(event, rule, found, is_at_rest=is_at_rest):
            self._bus.fail(f"{why}, yet of event {event.position} is said {found}: {rule}")
        for judged in (found.then, found.today):
            document = dict(rule.versions).get(judged.version) if judged is not None else None
            if judged is not None and (
                document is None or judged.matches is not matches(document["pattern"], self._bus.documents[event.position])
            ):
                self._bus.fail(f"{judged} is said of event {event.position} and {rule}")

    def _check_deliveries(self, event: StoredEvent, rule: RuleLife, found: Explanation) -> None:
        own = [row for row in self._bus.rows.values() if (row.rule, row.position) == (rule.uid, event.position)]
        rows = sorted(own, key=lambda row: row.run)
        if [told.delivery for told in found.deliveries] != rows[-len(found.deliveries) :] or found.left_out != len(rows) - len(
            found.deliveries
        ):
            self._bus.fail(f"the deliveries are {rows}, and told are {found}")
        for told in found.deliveries:
            row = told.delivery
            if told.is_replayed is not rule.runs[row.run].is_replay or told.outcome is not ENDED.get(row.state, told.outcome):
                self._bus.fail(f"{told} is said of {row} of {rule}")
            handed = self._books.handed.get((self._bus.record.incarnation, row.key), [])
            said = Counter({attempt.status: 0 for attempt in told.attempts})
            for attempt in told.attempts:
                said[attempt.status] += attempt.count
            answered = Counter(one.status for one in handed)
            if any(status and count > answered[status] for status, count in said.items()):
                self._bus.fail(f"{told} tells of answers that nobody gave: {handed}")

    def _why_not(self, event: StoredEvent, rule: RuleLife, found: Explanation, *, is_at_rest: bool) -> str:  # noqa: PLR0911 - one for each outcome
        """What speaks against the outcome."""
        live = [run for run in rule.runs.values() if not run.is_replay]
        match found.outcome:
            case Outcome.NO_MATCH:
                return "" if found.then is not None and found.then.matches is False else "it matched"
            case Outcome.CAPPED:
                return "" if any(is_capped(rule, run, event.position) for run in live) else "no cap was told"
            case Outcome.SETTLED_BEFORE:
                return "" if rule.follows is not None else "the rule goes on for no other"
            case Outcome.NOT_REACHED:
                return "all was read" if is_at_rest else ""
            case Outcome.STARTED_AFTER:
                is_before = event.position < live[0].sure_from or (rule.follows is not None and event.position < rule.uid)
                return "" if is_before else "the rule was there"
            case Outcome.MOVED_PAST:
                return "" if len(live) > 1 else "it never sought"
            case Outcome.DELETED_BEFORE:
                return "" if rule.deleted_at is not None else "it was not deleted"
            case Outcome.UNKNOWN:
                return "what the rule said is known"
        return "" if found.deliveries else "there is no delivery"

    # By which version it was judged

    def _check_looks(self, position: int, rule: RuleLife, versions: list[RuleVersion]) -> None:
        backfill = self._state.live_backfill(rule.uid)
        unread = backfill.next_position if backfill is not None and not backfill.is_done else None
        for look in looks(versions, position, unread):
            if why := self._contradiction(position, rule, look):
                self._bus.fail(f"{why} at {position}, yet {look} is said of {rule}: {versions}")

    def _contradiction(self, position: int, rule: RuleLife, look: Look) -> str:
        run = rule.runs[look.run]
        row = self._bus.rows.get((rule.uid, run.number, position))
        if look.reach is not Reach.JUDGED:
            # Where one goes on for a deleted one, what that had settled is before it.
            is_sure = rule.follows is None or run.number or position > rule.uid
            is_before = look.reach is Reach.BEFORE and position >= run.sure_from and is_sure
            is_ended = look.reach is Reach.ENDED and run.closed_at is None and rule.deleted_at is None
            return f"there is {row}" if row is not None else "it was there" if is_before or is_ended else ""
        number = next(index for index, (at, _) in enumerate(rule.versions) if at == look.version.version)
        is_live = self._bus.is_live_at(rule.uid, run.number, position)
        if position < run.first or (is_live and number != rule.in_force(position)):
            return f"it was judged by {rule.in_force(position)}"
        wanted = RunCheck(self._bus, rule, run).wants(number, position, is_live=is_live)
        return f"there is {row}" if wanted not in {None, row is not None} else ""
