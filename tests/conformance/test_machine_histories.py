"""Histories that once went wrong, found while the engines were held side by side. Each is one step of several commands."""

from typing import Any
from unittest import mock

import pytest

from eventyard.core import limits, machine
from eventyard.core.bus_state import BusState
from eventyard.core.changes import Changes, Filter, Intent, IntentKind, Moved
from eventyard.core.clock import BusTime
from eventyard.core.commands import Command, ContinueIntent, DeleteRule, PutRule, Redrive
from eventyard.core.delivery import Delivery, State
from eventyard.core.draft import Draft
from eventyard.core.grants import Demands
from eventyard.core.pattern.language import parse
from eventyard.core.rule import Status
from eventyard.engines.memory import MemoryEngine
from tests.conformance.engines import BUS, RULE, TIME, changes, dead, event, founding, leased, rule, rule_document

LATER = BusTime(TIME.time_ms + 1_000, TIME.work_ms + 1_000)


@pytest.fixture
def engine() -> MemoryEngine:
    made = MemoryEngine()
    made.commit([founding(1), changes(*(event(n) for n in range(1, 10)))])
    return made


def step(engine: MemoryEngine, *commands: Command, demands: Demands | None = None) -> tuple[list[Any], BusState]:
    state = BusState(engine.load()[1])
    draft = Draft(state, engine.view, LATER, [demands or {}])
    answers = [machine.admit(draft, command) for command in commands]
    engine.commit([draft.finish()])
    state.apply(draft.finish())
    return answers, state


def put(name: str) -> PutRule:
    return PutRule(name, rule_document('{"type": ["t"]}'), parse(b'{"type": ["t"]}'))


def test_a_name_used_again_stays_when_the_rule_before_it_is_gone(engine: MemoryEngine) -> None:
    """The last step of the old rule's deletion took the new rule's name from the draft: the next PUT made a second one."""
    step(engine, put("one"))
    engine.commit([Changes(BUS, TIME, 10, puts=[leased(1, rule=10, at_ms=LATER.work_ms)])])
    (deleted, created), state = step(engine, DeleteRule("one"), put("one"))
    assert deleted.status is Status.DELETING
    delivered = Delivery(10, 0, 1, State.DELIVERED, LATER.time_ms, 1, 1)
    engine.commit([Changes(BUS, TIME, state.head, moves=[Moved(State.LEASED, delivered)])])

    number = next(iter(state.intents))
    (_, again), state = step(engine, ContinueIntent(number), put("one"))

    assert not again.is_created
    assert {record.uid for record in state.by_uid.values()} == {created.record.uid}


def test_a_redrive_gives_nothing_back_to_a_rule_that_is_gone(engine: MemoryEngine) -> None:
    """It went on in the very step that ended the rule, and left pending deliveries that no rule owned."""
    engine.commit([Changes(BUS, TIME, 9, rules=[rule(RULE)], puts=[dead(n) for n in range(1, 10)])])
    with mock.patch.object(limits, "INTENT_ROWS_PER_STEP", 2):
        step(engine, Redrive(f"rule{RULE}", None))
        _, state = step(engine, DeleteRule(f"rule{RULE}"))
        intents = sorted(state.intents.values(), key=lambda intent: intent.kind)
        while state.intents:
            _, state = step(engine, *(ContinueIntent(intent.number) for intent in intents))

    assert state.by_uid == {}
    assert engine.view.next_due(BUS, RULE, 0) is None


def test_a_redrive_of_a_rule_being_deleted_is_done(engine: MemoryEngine) -> None:
    redrive = Intent(3, RULE, IntentKind.REDRIVE, filter=Filter(until_ms=LATER.time_ms))
    engine.commit([Changes(BUS, TIME, 9, rules=[rule(RULE, status=Status.DELETING)], puts=[dead(1)], intents=[redrive])])

    (is_done,), state = step(engine, ContinueIntent(3))

    assert (is_done, state.intents) == (True, {})
    assert engine.view.delivery(BUS, (RULE, 0, 1)) == dead(1)
