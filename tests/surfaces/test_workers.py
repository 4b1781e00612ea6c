"""The workers' own protocol over HTTP: what is handed out, what verdicts do, and what is refused."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec
import pytest

from eventyard.core import handout, limits
from eventyard.core.changes import BusRecord
from eventyard.core.commands import Lease, Settlement
from eventyard.core.delivery import Note
from eventyard.core.verdict import Dead, Delivered, PushVerdict, Retry
from tests.support.builders import ManualClock
from tests.support.buses import WAIT_S, ServedBus, served_bus

RULE = {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": "http://127.0.0.1:9/", "timeout_s": 10}}}
MESSAGE = {"content-type": "application/msgpack"}
OK = Delivered(Note())


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def door(clock: ManualClock) -> Iterator[ServedBus]:
    with served_bus(clock=clock, is_pushing=False) as bus:
        assert bus.put("/v1/buses/default/rules/r", json=RULE).status_code == 201
        yield bus


def publish(door: ServedBus, *numbers: int, bus: str = "default") -> None:
    batch = [{"specversion": "1.0", "source": "/shop", "type": "order.paid", "id": str(number)} for number in numbers]
    assert door.publish(bus, batch, "application/cloudevents-batch+json").status_code == 202


def receive(door: ServedBus, count: int = 100, wait_s: float = WAIT_S) -> list[tuple[BusRecord, Lease]]:
    answer = door.post("/v1/dispatch/receive", json={"max": count, "wait_s": wait_s})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/msgpack"
    return [(bus, lease) for bus, leases in handout.Reader().read(answer.content).leases for lease in leases]


def settle(door: ServedBus, *verdicts: tuple[BusRecord, Lease, PushVerdict]) -> list[list[str | None]]:
    """Each under a bus of its own, in the order of the arguments."""
    by_bus = [(bus, [Settlement(lease.delivery.key, lease.delivery.leases, verdict)]) for bus, lease, verdict in verdicts]
    results, more = report(door, handout.encode_report(0, by_bus))
    assert more == []
    return results


def report(door: ServedBus, body: bytes) -> tuple[list[list[str | None]], list[Lease]]:
    """What became of the verdicts, and what was leased with them."""
    answer = door.post("/v1/dispatch/report", content=body, headers=MESSAGE)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/msgpack"
    results, taken = handout.Reader().read_receipt(answer.content)
    return results, [lease for _, leases in taken.leases for lease in leases]


def status(door: ServedBus) -> dict[str, Any]:
    found: dict[str, Any] = door.get("/v1/buses/default/rules/r/status").json()
    return found


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


# Handing out


def test_a_server_that_leaves_pushing_to_workers_hands_out_what_it_would_push(door: ServedBus) -> None:
    publish(door, 1)
    ((bus, lease),) = receive(door)
    assert (bus.name, bus.incarnation) == ("default", door.yard.bus("default").incarnation)
    assert json.loads(lease.event)["id"] == "1"
    assert lease.record.rule.target.http is not None
    assert lease.record.rule.target.http.url == "http://127.0.0.1:9/"
    assert status(door)["leased"] == 1


def test_nothing_there_is_an_empty_hand_out(door: ServedBus) -> None:
    assert receive(door, wait_s=0) == []


def test_no_more_is_handed_out_than_was_asked_for(door: ServedBus) -> None:
    publish(door, *range(10))
    assert len(receive(door, 3)) == 3


def test_a_receive_waits_for_what_comes(door: ServedBus) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(receive, door)
        door.wait_until(lambda: len(door.yard._consumers._claims) == 1)
        publish(door, 1)
        assert len(waiting.result(WAIT_S)) == 1


def test_a_worker_that_hangs_up_while_it_waits_takes_nothing_with_it(door: ServedBus) -> None:
    body = b'{"max": 10, "wait_s": 60}'
    with door.connect() as connection:
        head = b"POST /v1/dispatch/receive HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n\r\n" % len(body)
        connection.sendall(head + body)
        door.wait_until(lambda: len(door.yard._consumers._claims) == 1)
    door.wait_until(lambda: len(door.yard._consumers._claims) == 0)
    publish(door, 1)
    ((_, lease),) = receive(door)
    assert lease.delivery.attempts == 1


@pytest.mark.parametrize(
    ("asked", "at"),
    [
        ({}, "/"),
        ({"max": 0}, "/max"),
        ({"max": limits.WORKER_RECEIVE_MAX + 1}, "/max"),
        ({"max": "10"}, "/max"),
        ({"max": 1, "wait_s": 61}, "/wait_s"),
        ({"max": 1, "wait_s": -1}, "/wait_s"),
        ({"max": 1, "rule": "r"}, "/rule"),
        ([], "/"),
    ],
)
def test_a_receive_that_asks_for_what_cannot_be_is_refused(door: ServedBus, asked: Any, at: str) -> None:
    answer = door.post("/v1/dispatch/receive", json=asked)
    assert problem(answer) == (400, "invalid-request")
    assert answer.json()["at"] == at


# Verdicts


def test_each_verdict_is_answered_in_its_place(door: ServedBus) -> None:
    publish(door, 1, 2, 3)
    (bus, first), (_, second), (_, third) = receive(door)
    foreign = BusRecord(bus.number, bus.name, "another-life", 0)
    gone = BusRecord(99, "no-such-bus", "life", 0)
    unknown = Lease(msgspec.structs.replace(third.delivery, leases=7), b"", third.record)
    sent: list[tuple[BusRecord, Lease, PushVerdict]] = [
        (bus, first, OK),
        (foreign, second, OK),
        (gone, second, OK),
        (bus, unknown, OK),
        (bus, second, Dead(Note(reason="answer"))),
    ]
    assert settle(door, *sent) == [[None], ["foreign"], ["foreign"], ["unknown"], [None]]
    found = status(door)
    assert (found["delivered"], found["dead"], found["leased"]) == (1, 1, 1)


def test_the_same_verdicts_again_count_once_and_are_answered_the_same(door: ServedBus) -> None:
    publish(door, 1, 2)
    (bus, first), (_, second) = receive(door)
    sent: list[tuple[BusRecord, Lease, PushVerdict]] = [(bus, first, OK), (bus, second, Retry(60_000, Note(status=503)))]
    assert settle(door, *sent) == [[None], [None]]
    before = status(door)
    assert settle(door, *sent) == [[None], [None]]
    assert status(door) == before
    assert (before["delivered"], before["retrying"]) == (1, 1)


def test_a_verdict_on_a_lease_that_another_worker_has_by_now_does_not_count(door: ServedBus, clock: ManualClock) -> None:
    publish(door, 1)
    ((bus, lost),) = receive(door)
    clock.advance(10_000 + limits.PUSH_LEASE_MARGIN_MS)
    door.yard._wake()
    ((_, found),) = receive(door)
    assert found.delivery.key == lost.delivery.key
    assert found.delivery.attempts == 2
    assert settle(door, (bus, lost, Dead(Note(reason="answer"))), (bus, found, OK)) == [["superseded"], [None]]
    assert status(door)["delivered"] == 1


def test_many_verdicts_are_written_in_parts(door: ServedBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "VERDICTS_PER_STEP", 2)
    publish(door, *range(5))
    granted = receive(door)
    settlements = [Settlement(lease.delivery.key, lease.delivery.leases, OK) for _, lease in granted]
    results, _ = report(door, handout.encode_report(0, [(granted[0][0], settlements)]))
    assert results == [[None] * 5]
    assert status(door)["delivered"] == 5


def test_a_report_brings_what_it_made_room_for(door: ServedBus) -> None:
    assert door.put("/v1/buses/default/rules/r", json=RULE | {"delivery": {"concurrency": 2}}).status_code == 200
    publish(door, *range(5))
    (bus, first), (_, second) = receive(door)
    assert receive(door, wait_s=0) == []
    settled = [Settlement(lease.delivery.key, lease.delivery.leases, OK) for lease in (first, second)]
    results, more = report(door, handout.encode_report(10, [(bus, settled)]))
    assert results == [[None, None]]
    assert len(more) == 2
    results, more = report(door, handout.encode_report(1, [(bus, [Settlement(more[0].delivery.key, 1, OK)])]))
    assert len(more) == 1


def test_a_report_of_several_buses_is_one_report(door: ServedBus) -> None:
    assert door.put("/v1/buses/other").status_code == 201
    assert door.put("/v1/buses/other/rules/r", json=RULE).status_code == 201
    publish(door, 1)
    publish(door, 1, bus="other")
    granted = receive(door, wait_s=0) + receive(door, wait_s=0)
    assert sorted(bus.name for bus, _ in granted) == ["default", "other"]
    by_bus = [(bus, [Settlement(lease.delivery.key, 1, OK)]) for bus, lease in granted]
    assert report(door, handout.encode_report(5, by_bus)) == ([[None], [None]], [])
    assert door.get("/v1/buses/other/rules/r/status").json()["delivered"] == 1


def test_a_report_waits_for_nothing(door: ServedBus) -> None:
    assert report(door, handout.encode_report(100, [])) == ([], [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b'{"results": []}',
        b"<html>",
        msgspec.msgpack.encode([0, [["default", "life", [[1, 0, 1]]]]]),
        b"\xdd\xff\xff\xff\xff",
    ],
)
def test_garbage_is_refused_and_changes_nothing(door: ServedBus, body: bytes) -> None:
    publish(door, 1)
    receive(door)
    before = status(door)
    assert problem(door.post("/v1/dispatch/report", content=body, headers=MESSAGE)) == (400, "invalid-request")
    assert status(door) == before


def test_verdicts_of_another_content_type_are_refused(door: ServedBus) -> None:
    answer = door.post("/v1/dispatch/report", json=[])
    assert problem(answer) == (415, "unsupported-content-type")
    assert answer.json()["wanted"] == "application/msgpack"


def test_more_bytes_than_verdicts_can_have_are_refused(door: ServedBus) -> None:
    head = b"POST /v1/dispatch/report HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/msgpack\r\ncontent-length: %d\r\n\r\n"
    with door.connect() as connection:
        connection.sendall(head % (limits.REPORT_BYTES_MAX + 1))
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_workers_are_answered_before_a_server_stops(door: ServedBus) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(receive, door)
        door.wait_until(lambda: len(door.yard._consumers._claims) == 1)
        door.on_loop(door.yard.drain)
        assert waiting.result(WAIT_S) == []
        assert problem(door.post("/v1/dispatch/receive", json={"max": 1})) == (503, "stopping")


def test_a_server_that_stops_takes_verdicts_and_hands_nothing_out(door: ServedBus) -> None:
    publish(door, 1, 2)
    ((bus, lease),) = receive(door, 1)
    door.on_loop(door.yard.drain)
    results, more = report(door, handout.encode_report(10, [(bus, [Settlement(lease.delivery.key, 1, OK)])]))
    assert (results, more) == ([[None]], [])
    assert status(door)["leased"] == 0
