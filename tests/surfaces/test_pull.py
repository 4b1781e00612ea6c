"""Pull over HTTP: what consumers receive, what their verdicts do, and what is refused. Time is moved by hand."""

import json
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx
import pytest

from eventyard.core import limits
from eventyard.core.commands import Replay
from eventyard.core.errors import StorageFull
from eventyard.core.rule import StartPosition
from eventyard.engines.memory import MemoryEngine
from tests.support.builders import ManualClock
from tests.support.buses import WAIT_S, ServedBus, served_bus

LEASE_S = 30
HTTP_TARGET = {"http": {"url": "http://127.0.0.1:9/"}}
OK = (True, None)


class Pulled(NamedTuple):
    """A pull rule of a bus of its own, by its doors."""

    door: ServedBus
    clock: ManualClock
    bus: str
    rule: str = "packing"

    @property
    def path(self) -> str:
        return f"/v1/buses/{self.bus}/rules/{self.rule}"

    def put(self, target: Any = None, **document: Any) -> None:
        body = {"pattern": {"type": ["order.paid"]}, "target": target or {"queue": {"lease_s": LEASE_S}}} | document
        answer = self.door.put(self.path, json=body)
        assert answer.is_success, answer.text

    def publish(self, *numbers: int, **attributes: Any) -> None:
        event = {"specversion": "1.0", "source": "/shop", "type": "order.paid"}
        batch = [event | {"id": str(number)} | attributes for number in numbers]
        assert self.door.publish(self.bus, batch, "application/cloudevents-batch+json").status_code == 202

    def receive(self, **asked: Any) -> list[dict[str, Any]]:
        answer = self.door.post(f"{self.path}/receive", json=asked)
        assert answer.status_code == 200, answer.text
        deliveries: list[dict[str, Any]] = answer.json()["deliveries"]
        return deliveries

    def lease(self, **asked: Any) -> dict[str, Any]:
        """One delivery, waited for."""
        [delivery] = self.receive(max=1, wait_s=WAIT_S, **asked)
        return delivery

    def settle(self, verb: str, *tokens: str, **said: Any) -> list[tuple[bool, str | None]]:
        answer = self.door.post(f"{self.path}/{verb}", json={"leases": tokens, **said})
        assert answer.status_code == 200, answer.text
        results = answer.json()["results"]
        assert [result["lease"] for result in results] == list(tokens)
        return [(result["ok"], result["reason"]) for result in results]

    def advance(self, seconds: float) -> None:
        self.clock.advance(int(seconds * 1000))
        self.door.yard._wake()

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.door.get(f"{self.path}/status").json()
        return found

    def await_status(self, **wanted: int) -> None:
        self.door.wait_until(lambda: wanted.items() <= self.status().items())

    def dead(self) -> list[dict[str, Any]]:
        letters: list[dict[str, Any]] = self.door.get(f"{self.path}/dead-letters").json()["dead_letters"]
        return letters


CLOCK = ManualClock()


@pytest.fixture(scope="module")
def door() -> Iterator[ServedBus]:
    with served_bus(clock=CLOCK) as bus:
        yield bus


@pytest.fixture
def packing(door: ServedBus, name: str) -> Pulled:
    pulled = Pulled(door, CLOCK, name)
    pulled.put()
    return pulled


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def waiting(door: ServedBus) -> int:
    return len(door.yard._consumers._claims)


def receive_soon(pool: ThreadPoolExecutor, pulled: Pulled, **asked: Any) -> "Future[httpx.Response]":
    """A receive that waits: it is there when this returns."""
    before = waiting(pulled.door)
    url = f"{pulled.door.url}{pulled.path}/receive"
    future = pool.submit(httpx.post, url, json={"wait_s": WAIT_S, **asked}, timeout=2 * WAIT_S)
    pulled.door.wait_until(lambda: waiting(pulled.door) > before)
    return future


def events_of(answer: "Future[httpx.Response]") -> list[str]:
    return [delivery["event"]["id"] for delivery in answer.result(WAIT_S).json()["deliveries"]]


def ids(deliveries: Sequence[dict[str, Any]]) -> list[str]:
    return [delivery["event"]["id"] for delivery in deliveries]


# Receiving


def test_a_delivery_carries_its_event_as_it_was_stored(packing: Pulled) -> None:
    text = b'{"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid", "data": {"total": 29.50}}'
    assert packing.door.publish(packing.bus, text).status_code == 202
    answer = packing.door.post(f"{packing.path}/receive")
    incarnation, uid = packing.door.yard.bus(packing.bus).incarnation, packing.door.yard.rule(packing.bus, packing.rule).uid
    assert text in answer.content
    [delivery] = answer.json()["deliveries"]
    assert delivery == {
        "id": f"{incarnation}-{uid}-2-0",
        "lease": f"{incarnation}-{uid}-2-0-1",
        "attempt": 1,
        "position": 2,
        "run": 0,
        "event": json.loads(text),
    }


def test_an_empty_queue_answers_at_once_with_nothing(packing: Pulled) -> None:
    assert packing.receive() == []


def test_no_more_are_given_than_were_asked_for_and_each_to_one_consumer(packing: Pulled) -> None:
    packing.publish(*range(5))
    assert [ids(packing.receive(max=2)) for _ in range(4)] == [["0", "1"], ["2", "3"], ["4"], []]


def test_a_lease_lasts_as_long_as_its_consumer_asked_else_as_the_rule_says(packing: Pulled) -> None:
    packing.publish(1, 2)
    packing.receive(max=1, lease_s=LEASE_S + 10)
    packing.receive(max=1)
    packing.advance(LEASE_S)
    assert packing.lease()["event"]["id"] == "2"
    packing.advance(10)
    assert packing.lease()["event"]["id"] == "1"


def test_a_receive_that_waits_is_woken_by_the_publish(packing: Pulled, pool: ThreadPoolExecutor) -> None:
    answer = receive_soon(pool, packing)
    packing.publish(7)
    assert events_of(answer) == ["7"]


def test_who_waits_longest_is_served_first(packing: Pulled, pool: ThreadPoolExecutor) -> None:
    answers = [receive_soon(pool, packing, max=1) for _ in range(3)]
    packing.publish(1, 2)
    assert [events_of(answer) for answer in answers[:2]] == [["1"], ["2"]]
    packing.publish(3)
    assert events_of(answers[2]) == ["3"]


def test_a_consumer_that_hangs_up_while_it_waits_takes_nothing_with_it(packing: Pulled) -> None:
    with packing.door.connect() as connection:
        ask(connection, packing, {"wait_s": 60})
        packing.door.wait_until(lambda: waiting(packing.door) == 1)
    packing.door.wait_until(lambda: waiting(packing.door) == 0)
    packing.publish(1)
    assert packing.lease()["attempt"] == 1


def ask(connection: socket.socket, pulled: Pulled, asked: Any) -> None:
    body = json.dumps(asked).encode()
    head = f"POST {pulled.path}/receive HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)


def test_a_paused_rule_gives_nothing_until_it_is_resumed(packing: Pulled, pool: ThreadPoolExecutor) -> None:
    packing.publish(1)
    packing.door.post(f"{packing.path}/pause")
    assert packing.receive() == []
    answer = receive_soon(pool, packing)
    packing.publish(2)
    packing.door.post(f"{packing.path}/resume")
    assert events_of(answer) == ["1", "2"]


def test_stopping_answers_who_waits_and_takes_no_more(pool: ThreadPoolExecutor) -> None:
    with served_bus() as door:
        packing = Pulled(door, CLOCK, "default")
        packing.put()
        answer = receive_soon(pool, packing)
        door.on_loop(door.yard.drain)
        assert answer.result(WAIT_S).json() == {"deliveries": []}
        assert door.post(f"{packing.path}/receive").json()["type"].endswith(":stopping")


def test_the_server_waits_for_no_consumer_when_it_stops(pool: ThreadPoolExecutor) -> None:
    with served_bus() as door:
        packing = Pulled(door, CLOCK, "default")
        packing.put()
        answer = receive_soon(pool, packing)
    assert answer.result(WAIT_S).json() == {"deliveries": []}


def test_a_rule_that_pushes_is_not_received_from(packing: Pulled) -> None:
    packing.put(HTTP_TARGET)
    for verb, document in (("receive", {}), ("acknowledge", {"leases": ["a"]}), ("renew", {"leases": ["a"]})):
        answer = packing.door.post(f"{packing.path}/{verb}", json=document)
        assert (answer.status_code, answer.json()["at"]) == (400, "path rule")


def test_an_unknown_rule_is_not_found(packing: Pulled) -> None:
    answer = packing.door.post(f"/v1/buses/{packing.bus}/rules/nobody/receive")
    assert answer.status_code == 404


def test_who_waits_for_a_rule_that_is_deleted_is_told(packing: Pulled, pool: ThreadPoolExecutor) -> None:
    answer = receive_soon(pool, packing)
    packing.door.delete(packing.path)
    assert answer.result(WAIT_S).status_code == 404


def test_who_waits_for_a_rule_that_pushes_from_now_on_is_told(packing: Pulled, pool: ThreadPoolExecutor) -> None:
    answer = receive_soon(pool, packing)
    packing.put(HTTP_TARGET)
    assert answer.result(WAIT_S).status_code == 400


def test_who_waits_on_a_bus_that_is_deleted_is_told(packing: Pulled, pool: ThreadPoolExecutor) -> None:
    answer = receive_soon(pool, packing)
    packing.door.delete(f"/v1/buses/{packing.bus}")
    assert answer.result(WAIT_S).status_code == 404


def test_too_many_who_wait_are_told_to_come_back(packing: Pulled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RECEIVES_WAITING_MAX", 0)
    answer = packing.door.post(f"{packing.path}/receive")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


class FullEngine(MemoryEngine):
    """Refuses commits while it is full."""

    is_full = False

    def commit(self, batch: Any) -> None:
        if self.is_full:
            raise StorageFull("found no room")
        super().commit(batch)


def test_a_full_disk_is_no_empty_queue() -> None:
    engine = FullEngine()
    with served_bus(engine) as door:
        packing = Pulled(door, CLOCK, "default")
        packing.put()
        packing.publish(1)
        engine.is_full = True
        assert door.post(f"{packing.path}/receive").status_code == 507
        engine.is_full = False
        assert packing.lease()["attempt"] == 1


@pytest.mark.parametrize(
    ("replay", "marked"), [("mark", True), ("allow", None)], ids=["of a rule that marks", "of one that does not"]
)
def test_a_replayed_delivery_says_so_where_the_rule_marks(packing: Pulled, replay: str, marked: Any) -> None:
    packing.put(replay=replay)
    packing.publish(1)
    first = packing.lease()
    assert packing.settle("acknowledge", first["lease"]) == [OK]
    run = packing.door.call(packing.door.yard.replay(packing.bus, Replay(packing.rule, StartPosition(position=1)))).run
    again = packing.lease()
    assert (again["position"], again["run"], again.get("replayed")) == (first["position"], run, marked)
    assert "replayed" not in first
    assert packing.settle("acknowledge", again["lease"]) == [OK]


# Verdicts


def test_what_is_acknowledged_is_done(packing: Pulled) -> None:
    packing.publish(1)
    delivery = packing.lease()
    assert packing.settle("acknowledge", delivery["lease"]) == [OK]
    packing.advance(2 * LEASE_S)
    assert packing.receive() == []
    assert packing.status().items() >= {"delivered": 1, "pending": 0}.items()


def test_a_released_delivery_is_given_out_again_with_the_next_attempt(packing: Pulled) -> None:
    packing.publish(1)
    first = packing.lease()
    assert packing.settle("release", first["lease"]) == [OK]
    second = packing.lease()
    assert (second["id"], second["attempt"]) == (first["id"], 2)
    assert second["lease"] != first["lease"]


def test_a_release_with_a_delay_waits_for_it(packing: Pulled) -> None:
    packing.publish(1)
    packing.settle("release", packing.lease()["lease"], delay_s=10)
    packing.advance(9.999)
    assert packing.receive() == []
    packing.advance(0.001)
    assert packing.lease()["attempt"] == 2


def test_a_rejected_delivery_is_a_dead_letter_with_its_reason(packing: Pulled) -> None:
    packing.publish(1)
    delivery = packing.lease()
    assert packing.settle("reject", delivery["lease"], reason="no such address") == [OK]
    [letter] = packing.dead()
    assert (letter["id"], letter["reason"], letter["attempts"]) == (delivery["id"], "rejected", 1)
    assert (letter["last_answer"]["body"], letter["last_answer"]["failure"]) == ("no such address", "")


def test_a_redriven_delivery_begins_anew(packing: Pulled) -> None:
    packing.publish(1)
    first = packing.lease()
    packing.settle("reject", first["lease"])
    assert packing.door.post(f"{packing.path}/dead-letters/redrive", json={"all": True}).status_code == 202
    again = packing.lease()
    assert (again["id"], again["attempt"]) == (first["id"], 1)
    assert packing.settle("acknowledge", first["lease"], again["lease"]) == [(False, "superseded"), OK]


def test_a_renewed_lease_begins_anew(packing: Pulled) -> None:
    packing.publish(1)
    lease = packing.lease()["lease"]
    packing.advance(LEASE_S - 1)
    assert packing.settle("renew", lease) == [OK]
    packing.advance(LEASE_S - 1)
    assert packing.receive() == []
    assert packing.settle("renew", lease, lease_s=2 * LEASE_S) == [OK]
    packing.advance(2 * LEASE_S - 1)
    assert packing.receive() == []
    packing.advance(1)
    assert packing.lease()["attempt"] == 2


def test_results_stand_in_the_order_asked(packing: Pulled) -> None:
    packing.publish(1, 2, 3)
    first, second, third = (delivery["lease"] for delivery in packing.receive())
    packing.settle("reject", second)
    assert packing.settle("acknowledge", third, "nonsense", second, first) == [OK, (False, "malformed"), (False, "ended"), OK]


@pytest.mark.parametrize("verb", ["acknowledge", "release", "reject", "renew"])
def test_the_same_verdict_again_is_ok(packing: Pulled, verb: str) -> None:
    packing.publish(1)
    lease = packing.lease()["lease"]
    assert packing.settle(verb, lease, lease) == [OK, OK]
    assert packing.settle(verb, lease) == [OK]


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("acknowledge", "reject", "ended"),
        ("acknowledge", "release", "ended"),
        ("acknowledge", "renew", "ended"),
        ("reject", "acknowledge", "ended"),
        ("reject", "release", "ended"),
        ("release", "acknowledge", "released"),
        ("release", "reject", "released"),
        ("release", "renew", "released"),
    ],
)
def test_another_verdict_after_the_first_is_not(packing: Pulled, first: str, second: str, reason: str) -> None:
    packing.publish(1)
    lease = packing.lease()["lease"]
    assert packing.settle(first, lease) == [OK]
    before = packing.status()
    assert packing.settle(second, lease) == [(False, reason)]
    assert packing.status() | {"oldest_age_s": 0} == before | {"oldest_age_s": 0}


# Leases that run out


def expire(packing: Pulled) -> dict[str, Any]:
    """A delivery whose lease has run out and was taken back."""
    packing.publish(1)
    delivery = packing.lease()
    packing.advance(LEASE_S)
    packing.await_status(leased=0)
    return delivery


@pytest.mark.parametrize(("verb", "ended"), [("acknowledge", "delivered"), ("reject", "dead")])
def test_a_verdict_on_a_lease_that_ran_out_counts(packing: Pulled, verb: str, ended: str) -> None:
    delivery = expire(packing)
    assert packing.settle(verb, delivery["lease"]) == [OK]
    assert packing.receive() == []
    assert packing.status()[ended] == 1


def test_a_verdict_on_a_lease_that_ran_out_counts_no_more_after_a_later_one(packing: Pulled) -> None:
    first = expire(packing)
    second = packing.lease()
    for verb in ("acknowledge", "release", "reject", "renew"):
        assert packing.settle(verb, first["lease"]) == [(False, "superseded")]
    assert packing.settle("acknowledge", second["lease"]) == [OK]


def test_a_lease_that_ran_out_cannot_be_renewed(packing: Pulled) -> None:
    delivery = expire(packing)
    assert packing.settle("renew", delivery["lease"]) == [(False, "expired")]


def test_attempts_that_run_out_end_in_a_dead_letter(packing: Pulled) -> None:
    packing.put(delivery={"max_attempts": 2})
    expire(packing)
    assert packing.lease()["attempt"] == 2
    packing.advance(LEASE_S)
    packing.await_status(dead=1)
    [letter] = packing.dead()
    assert (letter["reason"], letter["attempts"]) == ("attempts", 2)
    assert letter["last_answer"]["failure"] == "the lease ran out"


def test_the_last_attempt_released_is_a_dead_letter_and_the_same_release_again_ok(packing: Pulled) -> None:
    packing.put(delivery={"max_attempts": 1})
    packing.publish(1)
    lease = packing.lease()["lease"]
    assert packing.settle("release", lease) == [OK]
    [letter] = packing.dead()
    assert (letter["reason"], letter["last_answer"]["failure"]) == ("attempts", "released by its consumer")
    assert packing.settle("release", lease) == [OK]
    assert packing.settle("reject", lease) == [(False, "ended")]


def test_age_ends_in_a_dead_letter_when_a_lease_ends_past_it(packing: Pulled) -> None:
    packing.put(delivery={"max_age_s": LEASE_S + 1})
    packing.publish(1)
    packing.settle("release", packing.lease()["lease"])
    lease = packing.lease()["lease"]
    packing.advance(LEASE_S + 1)
    packing.await_status(dead=1)
    assert packing.dead()[0]["reason"] == "age"
    assert packing.settle("acknowledge", lease) == [(False, "ended")]


# Bounds


def test_the_leases_of_a_rule_are_bounded_and_freed_by_verdicts_and_by_time(packing: Pulled) -> None:
    packing.put({"queue": {"lease_s": LEASE_S, "max_leases": 2}})
    packing.publish(*range(6))
    first, second = packing.receive()
    assert packing.receive() == []
    packing.settle("acknowledge", first["lease"])
    assert ids(packing.receive()) == ["2"]
    packing.settle("release", second["lease"], delay_s=3_600)
    assert ids(packing.receive()) == ["3"]
    packing.advance(LEASE_S)
    packing.await_status(leased=0)
    assert len(packing.receive()) == 2


def test_one_of_each_key_is_leased_at_a_time(packing: Pulled) -> None:
    ordered = packing._replace(rule="ordered")
    ordered.put(delivery={"order": "key"})
    ordered.publish(1, 2, subject="a")
    ordered.publish(3, subject="b")
    first, other = ordered.receive()
    assert ids([first, other]) == ["1", "3"]
    ordered.settle("release", first["lease"])
    assert ids(ordered.receive()) == ["1"]
    ordered.advance(LEASE_S)
    ordered.await_status(leased=0)
    leases = [delivery["lease"] for delivery in ordered.receive()]
    assert len(leases) == 2
    ordered.settle("acknowledge", *leases)
    assert ids(ordered.receive()) == ["2"]


# Leases that are none of this rule's


def test_a_lease_of_another_rule_bus_or_life_is_foreign(packing: Pulled, door: ServedBus) -> None:
    packing.publish(1)
    lease = packing.lease()["lease"]
    beside = packing._replace(rule="beside")
    beside.put()
    assert beside.settle("acknowledge", lease) == [(False, "foreign")]
    assert door.put(f"/v1/buses/{packing.bus}-2").is_success
    elsewhere = packing._replace(bus=f"{packing.bus}-2")
    elsewhere.put()
    elsewhere.publish(1)
    assert elsewhere.settle("acknowledge", lease) == [(False, "foreign")]
    _, rest = lease.split("-", 1)
    assert packing.settle("acknowledge", f"00000000-{rest}") == [(False, "foreign")]
    assert packing.settle("acknowledge", lease) == [OK]


def test_a_lease_that_was_never_granted_settles_nothing(packing: Pulled) -> None:
    packing.publish(1, 2)
    lease = packing.receive(max=1)[0]["lease"]
    incarnation, uid, *_ = lease.split("-")
    invented = [f"{incarnation}-{uid}-{rest}" for rest in ("2-0-2", "2-1-1", "3-0-0", "3-0-1", "99-0-1", "0-0-1", "2-0-0")]
    for verb in ("acknowledge", "release", "reject", "renew"):
        reasons = [reason for _, reason in packing.settle(verb, *invented)]
        assert reasons == ["unknown"] * len(invented)
    assert ids(packing.receive()) == ["2"]


@pytest.mark.parametrize(
    "token",
    ["", "-", "a-1-1-0", "a-1-1-0-1-1", "a-1-1-0--1", "a-1-1-0-\u0661", "a-1-1-0-1.0", "a-1-1-0-" + "1" * 17, "é-1-1-0-1"],
)
def test_what_is_no_token_is_malformed(packing: Pulled, token: str) -> None:
    assert packing.settle("acknowledge", token) == [(False, "malformed")]


def test_a_lease_of_a_closed_run_settles_nothing(packing: Pulled) -> None:
    packing.publish(1)
    lease = packing.lease()["lease"]
    packing.door.call(packing.door.yard.seek(packing.bus, packing.rule, "latest"))
    [(is_ok, reason)] = packing.settle("acknowledge", lease)
    assert (is_ok, reason in {"ended", "closed"}) == (False, True)
    packing.await_status(discarded=1, delivered=0)


# Documents


@pytest.mark.parametrize(
    ("verb", "document", "at"),
    [
        ("receive", {"max": 0}, "/max"),
        ("receive", {"max": limits.RECEIVE_MAX + 1}, "/max"),
        ("receive", {"max": "10"}, "/max"),
        ("receive", {"wait_s": -1}, "/wait_s"),
        ("receive", {"wait_s": limits.RECEIVE_WAIT_S_MAX + 1}, "/wait_s"),
        ("receive", {"lease_s": 0.5}, "/lease_s"),
        ("receive", {"lease_s": limits.LEASE_S_MAX + 1}, "/lease_s"),
        ("receive", {"maximum": 1}, "/maximum"),
        ("receive", [], "/"),
        ("acknowledge", {}, "/"),
        ("acknowledge", {"leases": []}, "/leases"),
        ("acknowledge", {"leases": ["a"] * (limits.SETTLE_LEASES_MAX + 1)}, "/leases"),
        ("acknowledge", {"leases": [1]}, "/leases/0"),
        ("acknowledge", {"leases": "a"}, "/leases"),
        ("acknowledge", {"leases": ["a"], "delay_s": 1}, "/delay_s"),
        ("release", {"leases": ["a"], "delay_s": -1}, "/delay_s"),
        ("release", {"leases": ["a"], "delay_s": limits.RELEASE_DELAY_S_MAX + 1}, "/delay_s"),
        ("reject", {"leases": ["a"], "reason": "x" * (limits.REJECT_REASON_LENGTH_MAX + 1)}, "/reason"),
        ("renew", {"leases": ["a"], "lease_s": 0}, "/lease_s"),
    ],
)
def test_a_document_that_cannot_be_is_refused_where_it_is_wrong(packing: Pulled, verb: str, document: Any, at: str) -> None:
    answer = packing.door.post(f"{packing.path}/{verb}", json=document)
    assert (answer.status_code, answer.json()["at"]) == (400, at), answer.text


@pytest.mark.parametrize(
    ("verb", "document"),
    [
        ("receive", {"max": limits.RECEIVE_MAX, "lease_s": limits.LEASE_S_MAX, "wait_s": 0}),
        ("receive", {"lease_s": None}),
        ("release", {"leases": ["a"] * limits.SETTLE_LEASES_MAX, "delay_s": limits.RELEASE_DELAY_S_MAX}),
        ("reject", {"leases": ["a"], "reason": "é" * limits.REJECT_REASON_LENGTH_MAX}),
        ("renew", {"leases": ["a"], "lease_s": limits.LEASE_S_MAX}),
    ],
)
def test_what_is_just_within_the_limits_is_taken(packing: Pulled, verb: str, document: Any) -> None:
    assert packing.door.post(f"{packing.path}/{verb}", json=document).status_code == 200
