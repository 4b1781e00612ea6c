"""Changes are read as they were spelled, whatever is in them."""

from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventyard.core import schedule
from eventyard.core.access import EVERYTHING, AccessKey
from eventyard.core.cause import Derivation
from eventyard.core.changes import Backfill, Changes, Filter, Intent, IntentKind, Moved, Pace, Retention
from eventyard.core.changes_codec import decode, encode
from eventyard.core.clock import BusTime
from eventyard.core.delivery import Delivery, State
from eventyard.core.emitter import EmitterRecord, EmitterTally, Kept, Kind, Looked
from eventyard.core.errors import Damaged
from eventyard.core.health import Health
from eventyard.core.reply import ReplyOutcome
from eventyard.core.rule import Done, Tombstone
from eventyard.core.rule_history import Edit, RuleVersion
from eventyard.core.schedule import ScheduleRecord
from tests.conformance.engines import TIME, blocked, dead, event, leased, record, retrying, rule, waiting

SAID, _ = schedule.parse(b'{"cron": "0 8 * * *", "zone": "Europe/Berlin", "emit": {"type": "x", "data": {"price": 1.10}}}')

SAMPLES: MappingProxyType[str, Any] = MappingProxyType(
    {
        "bus": 3,
        "time": BusTime(2**45, 2**44, is_suspended=True),
        "head": 2**53 - 1,
        "floor": 4,
        "log_bytes": 2**60,
        "events": [event(7, note="é", offset=9), event(8, source="")],
        "derivations": [Derivation(8, 7)],
        "replies": [(3, ReplyOutcome.STOPPED)],
        "puts": [waiting(7), retrying(8), blocked(9), Delivery(1, 2, 3, State.LEASED, 4, 5, 6, 7, b"\xff", 2**63 - 1)],
        "moves": [Moved(State.LEASED, dead(7)), Moved(State.WAITING, leased(8))],
        "rules": [rule(1, pattern='{"data": {"n": [1.10]}}', is_ordered=True)],
        "versions": [RuleVersion(1, 2, Edit.CHANGED, "r", 2, 0, 3, 4, resumed=(Done(1, 2, 3),), pattern=b'{"a": [1.0]}')],
        "tombstones": [Tombstone("gone", 3, 0, 2, 9, 1_000, before=(Done(1, 2, 3),))],
        "backfills": [Backfill(1, 0, 5, last=7, pattern=b"{}", pace=Pace(per_s=0.3, last_ms=10 / 3))],
        "intents": [Intent(9, 2, IntentKind.REDRIVE, filter=Filter("age", (2**62,), 3, 44), paced_ms=1.25)],
        "health": [Health(3, is_failing=True, failure="no answer")],
        "emitters": [EmitterRecord(3, Kind.DETECTOR, "one", 3, msgspec.Raw(b'{"a": 1.00}'), 5, 6, swept="k")],
        "kept": [Kept(3, "é", None, b"\x00"), Kept(3, "k", 7, b"")],
        "emitter_tallies": [EmitterTally(3, {"keys": 2})],
        "looked": Looked(None),
        "schedules": [ScheduleRecord(4, "s", 4, SAID, 1, 1, 1)],
        "buses": [record(2, retention=Retention(max_bytes=7), is_deleted=True)],
        "keys": [AccessKey("00010203", b"\x00digest\xff", "admin", EVERYTHING)],
        "forgotten": [(1, 3), (5, 5)],
        "emptied_bus": 2,
    }
)
"""Of each field of `Changes` something that is not its default."""


def made(**fields: Any) -> Changes:
    given: dict[str, Any] = {"bus": 1, "time": TIME, "head": 9} | fields
    return Changes(**given)


def test_every_field_of_changes_is_spelled() -> None:
    """Who adds a field gives it a sample here, and the test below says whether the codec knows it. A stand is what the journal says of them."""
    assert set(SAMPLES) == {field.name for field in msgspec.structs.fields(Changes)} - {"stand"}


@pytest.mark.parametrize("name", list(SAMPLES))
def test_a_field_alone_is_read_as_it_was_spelled(name: str) -> None:
    changes = made(**{name: SAMPLES[name]})

    assert changes != made()
    assert decode(encode(changes)) == changes


@given(st.sets(st.sampled_from(list(SAMPLES))))
def test_any_fields_together_are_read_as_they_were_spelled(names: set[str]) -> None:
    changes = made(**{name: SAMPLES[name] for name in names})

    assert decode(encode(changes)) == changes


@given(st.binary(max_size=60))
def test_bytes_that_are_no_changes_are_damaged(said: bytes) -> None:
    with pytest.raises(Damaged):
        decode(said)


def test_what_a_newer_version_added_is_passed_over() -> None:
    changes = made(rules=SAMPLES["rules"])
    said = msgspec.msgpack.decode(encode(changes))
    said["more"] = 1
    said["records"]["things"] = [b"{}"]
    said["records"]["rules"] = [msgspec.json.encode(msgspec.json.decode(said["records"]["rules"][0]) | {"mood": "good"})]

    found = decode(msgspec.msgpack.encode(said))

    assert [kept.uid for kept in found.rules] == [1]
    assert msgspec.structs.replace(found, rules=changes.rules) == changes


def test_a_delivery_takes_few_bytes() -> None:
    """What a record costs above its events is mostly this: docs/internals/cluster.md rests on it."""
    bare = len(encode(made()))

    assert len(encode(made(puts=[waiting(2**40, at_ms=2**40, lane=2**62)]))) - bare < 50
    assert len(encode(made(puts=[waiting(1_000_000 + n) for n in range(1000)]))) - bare < 30_000
