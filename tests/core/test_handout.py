"""Hand-outs and verdicts: what is written is read again, and what is no such message is refused with its place."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventyard.core import handout, limits, rule
from eventyard.core.changes import BusRecord
from eventyard.core.clock import BusTime
from eventyard.core.commands import Lease, Settlement
from eventyard.core.delivery import Delivery, Note, State
from eventyard.core.errors import InvalidRequest
from eventyard.core.rule import RuleRecord, Status
from eventyard.core.verdict import Dead, Delivered, Gone, PushVerdict, Retry
from tests.support.builders import a_rule_document, an_event

TIME = BusTime(1_700_000_000_000, 5_000)
number = st.integers(0, 2**53 - 1)
text = st.text(max_size=100)
notes = st.builds(
    Note, text, st.integers(0, 599), text, st.text(max_size=1_000), st.integers(0, limits.NOTE_AT_MS_MAX), st.just("")
)
verdicts = st.one_of(
    st.builds(Delivered, notes),
    st.builds(Retry, st.integers(0, limits.RETRY_DELAY_MS_MAX), notes, st.booleans()),
    st.builds(Dead, notes),
    st.builds(Gone, notes),
)


def a_bus(number: int = 1) -> BusRecord:
    return BusRecord(number, f"bus-{number}", f"life{number}", 0)


def a_record(uid: int = 7, *, version: int = 7, **changes: Any) -> RuleRecord:
    document, _ = rule.parse(a_rule_document(**changes))
    return RuleRecord(uid, f"rule-{uid}", version, document, Status.LIVE, 1, 1)


def a_lease(record: RuleRecord, position: int = 9, **changes: Any) -> Lease:
    delivery = Delivery(record.uid, 0, position, State.LEASED, 45_000, 2, 3, 5_000)
    return Lease(msgspec.structs.replace(delivery, **changes), an_event(position).json, record)


def read(body: bytes) -> list[tuple[BusRecord, list[Lease]]]:
    return handout.Reader().read(body).leases


# Deliveries


@given(runs=st.lists(st.tuples(number, number, number, number, st.booleans(), st.binary(max_size=50)), max_size=20))
def test_a_hand_out_is_read_as_it_was_written(runs: list[tuple[int, int, int, int, bool, bytes]]) -> None:
    record = a_record()
    leases = [
        Lease(Delivery(7, run, position, State.LEASED, at_ms, 1, leased, 5), event, record, is_replayed=is_replayed)
        for run, position, at_ms, leased, is_replayed, event in runs
    ]
    taken = handout.Reader().read(handout.encode(TIME, [(a_bus(), lease) for lease in leases], handout.Records()))
    assert taken.time == TIME
    given_back = [lease for _, of_bus in taken.leases for lease in of_bus]
    assert [(each.delivery, each.event, each.is_replayed) for each in given_back] == [
        (each.delivery, each.event, each.is_replayed) for each in leases
    ]


def test_deliveries_stand_under_their_own_bus_and_rule() -> None:
    one, other, third = a_record(1), a_record(2, target={"http": {"url": "http://127.0.0.1:1/other"}}), a_record(1)
    granted = [
        (a_bus(1), a_lease(one, 5)),
        (a_bus(2), a_lease(third, 6)),
        (a_bus(1), a_lease(other, 7)),
        (a_bus(1), a_lease(one, 8)),
    ]
    found = [
        (bus.name, lease.record.uid, lease.delivery.position)
        for bus, leases in read(handout.encode(TIME, granted, handout.Records()))
        for lease in leases
    ]
    assert sorted(found) == [("bus-1", 1, 5), ("bus-1", 1, 8), ("bus-1", 2, 7), ("bus-2", 1, 6)]


def test_a_rule_is_told_once_and_without_its_pattern_and_description() -> None:
    record = a_record(description="what it is for", owner="team", pattern={"type": ["a-type-of-the-pattern"]})
    body = handout.encode(TIME, [(a_bus(), a_lease(record, position)) for position in range(1, 50)], handout.Records())
    assert body.count(record.name.encode()) == 1
    assert b"a-type-of-the-pattern" not in body
    assert b"what it is for" not in body
    ((_, leases),) = read(body)
    policy = leases[0].record
    assert (policy.rule.target, policy.rule.delivery, policy.version) == (record.rule.target, record.rule.delivery, 7)


def test_a_record_is_encoded_and_decoded_once_and_anew_when_it_changed() -> None:
    records, reader = handout.Records(), handout.Reader()
    record = a_record()

    def hand_out(record: RuleRecord) -> RuleRecord:
        ((_, leases),) = reader.read(handout.encode(TIME, [(a_bus(), a_lease(record))], records)).leases
        return leases[0].record

    assert hand_out(record) is hand_out(record)
    changed = a_record(version=8, target={"http": {"url": "http://127.0.0.1:1/changed"}})
    found = hand_out(changed).rule.target.http
    assert found is not None
    assert found.url == "http://127.0.0.1:1/changed"


def test_records_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HANDOUT_RECORDS_MAX", 3)
    records, reader = handout.Records(), handout.Reader()
    for uid in range(1, 9):
        reader.read(handout.encode(TIME, [(a_bus(), a_lease(a_record(uid)))], records))
    assert len(records._known) <= 3
    assert len(reader._records) <= 3


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>not ours</html>",
        b'{"deliveries": []}',
        msgspec.msgpack.encode({"time_ms": 1}),
        msgspec.msgpack.encode([1, 2, [], []]),
        msgspec.msgpack.encode([1, 2, [], [], [[0, 0, 1, 1, 1, 1, 1, False, b"{}"]]]),
        msgspec.msgpack.encode([1, 2, [], [[0, b"{}"]], []]),
        msgspec.msgpack.encode([1, 2, [], [[4, msgspec.json.encode(a_record())]], []]),
        msgspec.msgpack.encode([1, 2, [[1, "bus", b"\xff"]], [], []]),
    ],
)
def test_what_is_no_hand_out_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        handout.Reader().read(body)


# Verdicts


@given(st.lists(st.tuples(number, number, number, number, verdicts), max_size=20))
def test_verdicts_are_read_as_they_were_written(sent: list[tuple[int, int, int, int, PushVerdict]]) -> None:
    settlements = [Settlement((rule, run, position), lease, verdict) for rule, run, position, lease, verdict in sent]
    report = handout.read_report(handout.encode_report(17, [(a_bus(3), settlements)]))
    (found,) = report.by_bus
    assert (report.room, found.bus, found.incarnation) == (17, "bus-3", "life3")
    assert handout.settlements(found.settled) == settlements


def one(*settled: Any) -> bytes:
    return msgspec.msgpack.encode([0, [["bus", "life", [list(settled)]]]])


OK = ["delivered", {}]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"", "truncated"),
        (b"{}", "array"),
        (json.dumps([0, [["bus", "life", []]]]).encode(), "array"),
        (msgspec.msgpack.encode([["bus", "life", []]]), "length"),
        (msgspec.msgpack.encode([-1, []]), ">= 0"),
        (msgspec.msgpack.encode([limits.WORKER_RECEIVE_MAX + 1, []]), "<= 1000"),
        (one(1, 0, 1, 1), "length"),
        (one("1", 0, 1, 1, OK), "int"),
        (one(-1, 0, 1, 1, OK), ">= 0"),
        (one(1, 0, 2**53, 1, OK), "<= 9007199254740991"),
        (one(1, 0, 1, 2**64 - 1, OK), "<= 9007199254740991"),
        (one(1, 0, 1, 1, ["renewed", 5]), "renewed"),
        (one(1, 0, 1, 1, []), "length"),
        (one(1, 0, 1, 1, ["retry", -1, {}]), ">= 0"),
        (one(1, 0, 1, 1, ["retry", 10**15, {}]), "<= 31536000000"),
        (one(1, 0, 1, 1, ["dead", {"reason": 5}]), "str"),
        (one(1, 0, 1, 1, ["dead", {"reason": "x" * 3_000}]), "3000 characters"),
        (one(1, 0, 1, 1, ["dead", {"at_ms": 10**17}]), "100000000000000000 ms"),
        (one(1, 0, 1, 1, ["dead", {"at_ms": -1}]), "-1 ms"),
        (one(1, 0, 1, 1, ["dead", {"status": 1000}]), "status 1000"),
    ],
)
def test_what_is_no_report_is_refused_with_what_was_found(body: bytes, found: str) -> None:
    with pytest.raises(InvalidRequest, match=found):
        handout.read_report(body)


def test_the_note_of_what_was_delivered_is_not_kept_and_not_looked_at() -> None:
    assert handout.read_report(one(1, 0, 1, 1, ["delivered", {"answer": "x" * 3_000}]))


def test_a_receipt_is_read_as_it_was_written() -> None:
    results: list[list[str | None]] = [[None, "superseded"], []]
    granted = [(a_bus(), a_lease(a_record(), position)) for position in (4, 5)]
    body = handout.encode_receipt(results, TIME, granted, handout.Records())
    told, taken = handout.Reader().read_receipt(body)
    assert (told, taken.time) == (results, TIME)
    assert [lease.delivery.position for _, leases in taken.leases for lease in leases] == [4, 5]
    with pytest.raises(ValueError, match="cannot be read"):
        handout.Reader().read_receipt(handout.encode(TIME, granted, handout.Records()))


def test_no_more_verdicts_are_taken_than_a_worker_may_have_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PUSHES_UNDER_WAY_MAX", 3)
    settlements = [Settlement((1, 0, position), 1, Delivered(Note())) for position in range(1, 5)]
    assert handout.read_report(handout.encode_report(0, [(a_bus(), settlements[:3])])).by_bus
    with pytest.raises(InvalidRequest, match="found 4 verdicts"):
        handout.read_report(handout.encode_report(0, [(a_bus(1), settlements[:2]), (a_bus(2), settlements[2:])]))
