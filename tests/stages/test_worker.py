"""A worker against a bus in memory, without a network: the test is the server's door, the targets, and the clock."""

import itertools
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from standardwebhooks.webhooks import Webhook

from eventyard.consumers import Claim, Consumers, Granted
from eventyard.core import handout, limits
from eventyard.core.commands import CreateBus, Publish, Settle
from eventyard.core.delivery import Delivery, State, decode_note
from eventyard.core.errors import EventyardError
from eventyard.core.event import Event
from eventyard.engines.memory import MemoryEngine
from eventyard.ports import Engine, ExpressionFailed, PushAnswer, PushRequest, Values
from eventyard.worker.worker import RECEIVE, REPORT, Worker
from eventyard.writer import Writer
from tests.stages.test_shaped_pushes import ByHand
from tests.support.builders import ManualClock, ScriptedTransport, an_event, put_rule

URL = "http://127.0.0.1:8410"
POLICY = {"backoff": {"initial_s": 10, "factor": 1}}


class Waiting(msgspec.Struct):
    """A receive that is not answered yet."""

    claim: Claim
    done: Callable[[PushAnswer], None]
    ends_ms: float


class Door:
    """A server that leaves pushing to workers, stepped by hand, with its door as a transport."""

    def __init__(self, clock: ManualClock, engine: Engine | None = None) -> None:
        self.clock = clock
        self.engine = engine or MemoryEngine()
        self.failure = ""
        self.answer_instead: PushAnswer | None = None
        self.is_holding = False
        self.held: list[Callable[[], None]] = []
        """Answers that are on their way while `is_holding`."""
        self.asked: list[str] = []
        self.told: list[int] = []
        self.rooms: list[int] = []
        self._records = handout.Records()
        self.start()

    def start(self) -> None:
        """Begin a life on the same store."""
        self.failure = ""
        self.consumers = Consumers(lambda: None)
        self.writer = Writer(self.engine, self.clock, self.consumers)
        self.writer.is_push_kept = True
        self.writer.open(map("life{}".format, itertools.count()).__next__)
        self._waiting: list[Waiting] = []

    is_running = True

    def send(self, request: PushRequest, done: Callable[[PushAnswer], None]) -> None:
        path = request.url.removeprefix(URL)
        self.asked.append(path)
        done = self._holding(done)
        if self.failure:
            done(PushAnswer(0, {}, b"", failure=self.failure))
        elif self.answer_instead is not None:
            done(self.answer_instead)
        elif path == RECEIVE:
            self._receive(request.body, done)
        else:
            assert path == REPORT
            self._report(request.body, done)

    def _holding(self, done: Callable[[PushAnswer], None]) -> Callable[[PushAnswer], None]:
        def answer(what: PushAnswer) -> None:
            if self.is_holding:
                self.held.append(lambda: done(what))
            else:
                done(what)

        return answer

    def let_go(self) -> None:
        self.is_holding = False
        while self.held:
            self.held.pop(0)()

    def close(self) -> None:
        """Nothing runs by itself."""

    def _receive(self, body: bytes, done: Callable[[PushAnswer], None]) -> None:
        asked = msgspec.json.decode(body)
        assert 0 < asked["max"] <= limits.WORKER_RECEIVE_MAX
        claim = Claim(None, asked["max"], 0, lambda granted: self._hand_out(granted, done))
        self._waiting.append(Waiting(claim, done, self.clock.elapsed_ms + asked["wait_s"] * 1000))
        self.consumers.wait(claim)

    def _hand_out(self, granted: Any, done: Callable[[PushAnswer], None]) -> None:
        self._waiting = [waiting for waiting in self._waiting if waiting.done is not done]
        done(PushAnswer(200, {}, handout.encode(self.writer.now(), _granted(granted), self._records)))

    def _report(self, body: bytes, done: Callable[[PushAnswer], None]) -> None:
        report = handout.read_report(body)
        self.told.append(sum(len(of_bus.settled) for of_bus in report.by_bus))
        self.rooms.append(report.room)
        results: list[list[str | None]] = []
        for of_bus in report.by_bus:
            settlements = tuple(handout.settlements(of_bus.settled))
            self.writer.submit(of_bus.bus, Settle(settlements), lambda answers: results.append(_words(answers)))
        granted: list[Any] = []
        if report.room:
            self.consumers.wait(Claim(None, report.room, 0, lambda leases: granted.extend(_granted(leases)), is_impatient=True))
        self.step()
        done(PushAnswer(200, {}, handout.encode_receipt(results, self.writer.now(), granted, self._records)))

    def step(self) -> None:
        for waiting in self._waiting:
            if waiting.ends_ms <= self.clock.elapsed_ms:
                self.consumers.hurry(waiting.claim)
        while self.writer.step():
            pass

    def end_waits(self) -> None:
        """The time of those who wait is over."""
        for waiting in self._waiting:
            waiting.ends_ms = 0.0
        self.step()

    def die(self) -> None:
        """The process is killed: whoever waits loses the connection, and nobody can connect."""
        self.failure = "connection refused"
        for waiting in self._waiting:
            waiting.done(PushAnswer(0, {}, b"", failure="connection closed without an answer"))
        self._waiting = []


def _granted(answer: Any) -> list[Granted]:
    assert isinstance(answer, list)
    return answer


def _words(answers: Any) -> list[str | None]:
    return [None if stale is None else stale.reason for stale in answers]


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.door = Door(self.clock)
        self.targets = ScriptedTransport()
        self.said: list[str] = []
        self.worker = Worker(
            self.targets,
            self.door,
            URL,
            wake=lambda: None,
            say=self.said.append,
            now=lambda: self.clock.elapsed_ms / 1000,
            rng=random.Random(1),
            wall_ms=lambda: time.time_ns() // 1_000_000,
        )

    def do(self, command: Any, bus: str = "default") -> None:
        answers: list[Any] = []
        self.door.writer.submit(bus, command, answers.append)
        self.door.step()
        assert not isinstance(answers[0], EventyardError)

    def put(self, name: str = "r", **changes: Any) -> None:
        self.do(put_rule(name, **{"delivery": POLICY} | changes))

    def publish(self, *events: Event) -> None:
        self.do(Publish(events))

    def turn(self, ms: int = 10) -> None:
        """A little time passes, and everybody does what there is to do."""
        for _ in range(3):
            self.worker.step()
            self.door.step()
        self.clock.advance(ms)
        self.worker.step()
        self.door.step()
        self.worker.step()

    def sent(self) -> list[str]:
        """The ids of the deliveries that are under way to targets."""
        return [dict(request.headers)["eventyard-delivery"] for request, _ in self.targets.sent]

    def rows(self) -> list[Delivery]:
        """By rule and position."""
        view, state = self.door.engine.view, self.door.writer.states[1]
        found = [view.delivery(1, (uid, 0, position)) for uid in state.by_uid for position in range(1, state.head + 1)]
        return [row for row in found if row is not None]

    def states(self) -> list[State]:
        return [row.state for row in self.rows()]


@pytest.fixture
def house() -> House:
    house = House()
    house.put()
    house.turn()
    return house


def events(count: int, first: int = 1) -> Sequence[Event]:
    return [an_event(number) for number in range(first, first + count)]


# What it is for


def test_what_is_leased_is_pushed_and_the_server_hears_of_it(house: House) -> None:
    house.publish(*events(3))
    house.turn()
    assert len(house.sent()) == 3
    for _ in range(3):
        house.targets.answer(204)
    house.turn()
    assert house.states() == [State.DELIVERED] * 3
    assert house.worker.told == 3
    assert house.worker.under_way == 0


def test_a_target_gets_the_event_as_it_is_stored_under_its_delivery_id(house: House) -> None:
    house.publish(an_event(1))
    house.turn()
    ((request, _),) = house.targets.sent
    assert request.body == an_event(1).json
    row = house.rows()[0]
    assert dict(request.headers)["eventyard-delivery"] == f"life1-{row.rule}-{row.position}-0"
    assert dict(request.headers)["eventyard-attempt"] == "1"


def test_a_worker_shapes_pushes_as_the_server_does(house: House) -> None:
    template = {"paths": {"id": "id", "n": "data.n"}, "path": "/<id>", "body": {"n": "<n>"}}
    house.put(target={"http": {"url": "http://127.0.0.1:9", "method": "PUT", "transform": {"template": template}}})
    house.publish(an_event(1), an_event(2, data={}))
    house.turn()
    ((request, _),) = house.targets.sent
    assert (request.method, request.url, request.body) == ("PUT", "http://127.0.0.1:9/e1", b'{"n":1}')
    house.targets.answer(204)
    house.turn()
    assert house.states() == [State.DELIVERED, State.DEAD]
    assert decode_note(house.rows()[1].note).reason == "transform"


def test_the_rules_of_all_buses_are_pushed(house: House) -> None:
    answers: list[Any] = []
    house.door.writer.submit_system(CreateBus("other", "life-other"), answers.append)
    house.door.step()
    house.do(put_rule("r"), bus="other")
    house.do(Publish((an_event(1),)), bus="other")
    house.publish(an_event(1))
    house.turn()
    house.turn()
    assert len({name.rpartition("-")[0] for name in house.sent()}) == 2
    house.targets.answer(204)
    house.targets.answer(204)
    house.turn()
    assert house.door.told == [2]
    assert house.worker.told == 2


def test_it_asks_for_more_while_pushes_are_under_way(house: House) -> None:
    house.publish(an_event(1))
    house.turn()
    house.publish(an_event(2))
    house.turn()
    assert len(house.sent()) == 2


def test_verdicts_that_come_while_a_request_is_on_its_way_go_together_in_the_next(house: House) -> None:
    house.publish(*events(5))
    house.turn()
    house.door.is_holding = True
    house.targets.answer(204)
    house.turn()
    for _ in range(4):
        house.targets.answer(204)
        house.turn()
    house.door.let_go()
    house.turn()
    assert house.door.told == [1, 4]


def test_while_targets_answer_verdicts_gather_until_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WORKER_VERDICTS_ENOUGH", 3)
    house = House()
    house.put()
    house.publish(*events(5))
    house.turn()
    for _ in range(2):
        house.targets.answer(204)
        assert house.worker.step(was_idle=False) <= limits.WORKER_LULL_S
    assert house.door.told == []
    house.targets.answer(204)
    house.worker.step(was_idle=False)
    assert house.door.told == [3]
    house.targets.answer(204)
    house.worker.step(was_idle=False)
    assert house.door.told == [3]
    house.worker.step(was_idle=True)
    assert house.door.told == [3, 1]


def test_the_last_verdict_of_all_is_waited_for_by_nobody(house: House) -> None:
    house.publish(*events(2))
    house.turn()
    house.targets.answer(204)
    house.worker.step(was_idle=False)
    assert house.door.told == []
    house.targets.answer(204)
    house.worker.step(was_idle=False)
    assert house.door.told == [2]


def test_a_worker_that_is_full_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PUSHES_UNDER_WAY_MAX", 3)
    house = House()
    house.put()
    house.publish(*events(8))
    house.turn()
    asked = len(house.door.asked)
    house.turn()
    house.turn()
    assert len(house.sent()) == 3
    assert len(house.door.asked) == asked
    house.targets.answer(204)
    house.turn()
    house.turn()
    assert len(house.sent()) == 3
    assert house.worker.told == 1


def test_a_receive_that_brought_nothing_is_followed_by_the_next(house: House) -> None:
    asked = house.door.asked.count(RECEIVE)
    house.door.end_waits()
    house.turn()
    assert house.door.asked.count(RECEIVE) == asked + 1


# What targets answer


def test_a_target_that_says_when_to_come_back_is_heeded(house: House) -> None:
    house.publish(an_event(1))
    house.turn()
    house.targets.answer(503, headers={"retry-after": "60"})
    house.turn()
    (row,) = house.rows()
    assert row.state is State.RETRYING
    assert 59_000 <= row.at_ms - house.door.writer.now().work_ms <= 60_000
    house.clock.advance(58_000)
    house.turn()
    assert house.sent() == []
    house.turn(2_000)
    ((request, _),) = house.targets.sent
    assert dict(request.headers)["eventyard-attempt"] == "2"


def test_what_can_never_be_taken_is_a_dead_letter_with_the_answer(house: House) -> None:
    house.publish(an_event(1))
    house.turn()
    house.targets.answer(422, body=b"no such order")
    house.turn()
    (row,) = house.rows()
    assert row.state is State.DEAD
    note = decode_note(row.note)
    assert (note.reason, note.status, note.answer) == ("answer", 422, "no such order")


def test_a_target_that_is_gone_pauses_the_rule(house: House) -> None:
    house.publish(an_event(1))
    house.turn()
    house.targets.answer(410)
    house.turn()
    (record,) = house.door.writer.states[1].by_uid.values()
    assert record.is_paused
    assert [(row.state, row.attempts) for row in house.rows()] == [(State.WAITING, 0)]


def test_the_last_attempt_that_fails_is_a_dead_letter(house: House) -> None:
    house.put("once", delivery={"max_attempts": 1})
    house.publish(an_event(1))
    house.turn()
    house.targets.answer(500)
    house.targets.answer(500)
    house.turn()
    assert sorted(house.states()) == [State.RETRYING, State.DEAD]


# A server that goes away


def test_verdicts_are_kept_while_the_server_is_away_and_told_once_when_it_is_back(house: House) -> None:
    house.publish(*events(3))
    house.turn()
    house.door.die()
    for _ in range(3):
        house.targets.answer(204)
    for _ in range(50):
        house.turn(500)
    assert house.states() == [State.LEASED] * 3
    assert house.worker.under_way == 3
    house.door.start()
    for _ in range(20):
        house.turn(500)
    assert house.states() == [State.DELIVERED] * 3
    assert house.door.told == [3]
    assert house.targets.sent == []


def test_it_says_once_that_the_server_went_and_once_that_it_is_back(house: House) -> None:
    house.door.end_waits()
    house.turn()
    house.door.die()
    for _ in range(20):
        house.turn(1_000)
    house.door.start()
    for _ in range(10):
        house.turn(1_000)
    house.door.end_waits()
    house.turn()
    met, gone, back = house.said
    assert met.startswith("Pushing for the server at http")
    assert gone.startswith("The server does not answer: connection")
    assert back == "The server is back"


def test_a_server_that_is_away_is_asked_less_and_less_but_never_given_up(house: House) -> None:
    house.door.die()
    house.turn()

    def asked_in(seconds: int) -> int:
        before = len(house.door.asked)
        for _ in range(seconds * 20):
            house.turn(50)
        return len(house.door.asked) - before

    first, later = asked_in(10), asked_in(100)
    assert first > 5
    assert 100 / limits.WORKER_WAIT_S_MAX <= later <= 2 * 100 / limits.WORKER_WAIT_S_MAX + 2


def test_a_server_that_is_overloaded_is_left_alone_for_as_long_as_it_says(house: House) -> None:
    house.door.end_waits()
    house.door.answer_instead = PushAnswer(503, {"retry-after": "4"}, b'{"detail": "try again shortly"}')
    house.turn()
    before = len(house.door.asked)
    for _ in range(39):
        house.turn(100)
    assert len(house.door.asked) == before
    assert house.said[-1].startswith("The server does not answer: status 503: try again shortly")
    house.door.answer_instead = None
    house.turn(500)
    assert len(house.door.asked) == before + 1


def test_a_delivery_does_not_grow_old_while_the_server_is_away(house: House) -> None:
    house.put("young", delivery={"max_age_s": 60, "backoff": {"initial_s": 1, "max_s": 1}})
    house.publish(an_event(1))
    house.turn()
    house.door.die()
    for _ in range(30):
        house.turn(10_000)
    house.targets.answer(500)
    house.targets.answer(500)
    house.door.start()
    for _ in range(100):
        house.turn(100)
    assert house.worker.told == 2
    assert State.DEAD not in house.states()


def test_verdicts_that_the_server_refuses_are_not_sent_for_ever(house: House) -> None:
    house.publish(an_event(1))
    house.turn()
    house.door.answer_instead = PushAnswer(400, {}, b"{}")
    house.targets.answer(204)
    house.turn()
    assert house.worker.under_way == 0
    house.turn()
    assert house.door.asked.count(REPORT) == 1


def test_a_lease_that_ran_out_on_the_way_is_not_pushed(house: House) -> None:
    house.turn()
    house.door.is_holding = True
    house.publish(an_event(1))
    house.turn()
    house.clock.advance(10_000 + limits.PUSH_LEASE_MARGIN_MS)
    house.door.let_go()
    house.worker.step()
    assert house.sent() == []
    assert house.worker.under_way == 0


# Whom it asks


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (PushAnswer(404, {}, b"<html>"), "status 404"),
        (PushAnswer(404, {}, b'{"detail": "found no address\\u001b[2J"}'), "status 404: found no address"),
        (PushAnswer(200, {}, b"<html>a web site</html>"), "cannot be read"),
        (PushAnswer(302, {"location": "/login"}, b""), "status 302"),
    ],
)
def test_what_is_no_server_of_this_version_is_the_end_at_first(answer: PushAnswer, found: str) -> None:
    house = House()
    house.door.answer_instead = answer
    house.turn()
    assert house.worker.refusal is not None
    assert found in str(house.worker.refusal)
    assert str(house.worker.refusal).isprintable()


def test_what_was_a_server_once_is_waited_for(house: House) -> None:
    house.door.end_waits()
    house.door.answer_instead = PushAnswer(404, {}, b"")
    for _ in range(30):
        house.turn(500)
    assert house.worker.refusal is None
    house.door.answer_instead = None
    house.publish(an_event(1))
    for _ in range(20):
        house.turn(500)
    assert len(house.sent()) == 1


def test_a_server_that_is_not_there_yet_is_waited_for() -> None:
    house = House()
    house.door.failure = "connection refused"
    for _ in range(10):
        house.turn(500)
    house.door.failure = ""
    house.put()
    house.publish(an_event(1))
    for _ in range(20):
        house.turn(500)
    assert len(house.sent()) == 1
    assert house.worker.refusal is None


# How it stops


def test_a_worker_that_stops_takes_no_more_and_is_over_when_all_is_told(house: House) -> None:
    house.publish(*events(2))
    house.turn()
    house.worker.stop()
    house.turn()
    assert house.worker.is_stopping
    assert not house.worker.is_over
    house.targets.answer(204)
    house.targets.answer(204)
    house.door.end_waits()
    house.turn()
    assert house.worker.is_over
    asked = len(house.door.asked)
    house.publish(*events(2, first=3))
    house.turn()
    assert len(house.door.asked) == asked
    assert house.states() == [State.DELIVERED] * 2 + [State.WAITING] * 2


def test_what_comes_after_the_stop_is_given_back_unsent_and_uncounted(house: House) -> None:
    house.worker.stop()
    house.worker.step()
    house.publish(*events(2))
    house.turn()
    house.turn()
    assert house.sent() == []
    assert [(row.state, row.attempts, row.leases) for row in house.rows()] == [(State.WAITING, 0, 1)] * 2
    assert house.worker.is_over


def test_what_hangs_at_the_end_is_given_back_and_counted(house: House) -> None:
    house.put("once", delivery={"max_attempts": 1})
    house.publish(an_event(1))
    house.turn()
    house.worker.stop()
    house.turn()
    house.worker.give_up()
    for _ in range(2):
        house.targets.answer(0, failure="the bus is stopping")
    house.door.end_waits()
    house.turn()
    assert house.worker.is_over
    assert [(row.state, row.attempts) for row in house.rows()] == [(State.RETRYING, 1)] * 2
    assert decode_note(house.rows()[0].note).failure == "its worker stopped before it was answered"
    assert all(row.at_ms <= house.door.writer.now().work_ms for row in house.rows())


def test_an_answer_at_the_last_moment_counts(house: House) -> None:
    house.publish(*events(2))
    house.turn()
    house.worker.stop()
    house.turn()
    house.worker.give_up()
    house.targets.answer(204)
    house.targets.answer(0, failure="the bus is stopping")
    house.turn()
    assert house.states() == [State.DELIVERED, State.RETRYING]


def test_two_workers_share_a_rule_and_its_concurrency(house: House) -> None:
    other = House()
    other.door = house.door
    other.clock = house.clock
    other.worker = Worker(
        other.targets,
        house.door,
        URL,
        wake=lambda: None,
        say=other.said.append,
        now=lambda: house.clock.elapsed_ms / 1000,
        rng=random.Random(2),
    )
    house.put("narrow", delivery={"concurrency": 3})
    other.turn()
    house.publish(*events(2))
    house.turn()
    other.turn()
    house.publish(*events(4, first=3))
    house.turn()
    other.turn()
    narrow = [row for row in house.rows() if row.state is State.LEASED and row.rule == max(house.door.writer.states[1].by_uid)]
    assert len(narrow) == 3
    assert house.sent()
    assert other.sent()
    assert set(house.sent()).isdisjoint(other.sent())


def test_a_worker_signs_with_the_time_that_targets_know(house: House) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    target = {"http": {"url": "http://127.0.0.1:9/signed", "signing": {"secrets": [{"secret": secret}]}}}
    house.put("signed", target=target)
    house.publish(an_event(1))
    house.turn()
    (request,) = [request for request, _ in house.targets.sent if request.url.endswith("/signed")]
    headers = dict(request.headers)
    Webhook(secret).verify(request.body, headers, json_parse=False)
    assert headers["webhook-id"] == headers["eventyard-delivery"]


# Waiting


def test_a_step_says_when_there_is_something_to_do_again(house: House) -> None:
    assert house.worker.step() == limits.WORKER_IDLE_S
    house.door.die()
    house.worker.step()
    assert 0 < house.worker.step() <= limits.WORKER_WAIT_S_MAX
    house.door.start()
    house.clock.advance(int(limits.WORKER_WAIT_S_MAX * 1000))
    house.worker.step()
    assert house.worker.step() == limits.WORKER_IDLE_S


def test_a_worker_that_found_something_there_rests_before_it_waits_for_more() -> None:
    house = House()
    house.put()
    house.publish(*events(5))
    house.turn(0)
    assert len(house.sent()) == 5
    asked = house.door.asked.count(RECEIVE)
    assert house.worker.step() == pytest.approx(limits.WORKER_REST_S)
    house.turn(0)
    assert house.door.asked.count(RECEIVE) == asked
    house.turn(int(limits.WORKER_REST_S * 1000))
    assert house.door.asked.count(RECEIVE) == asked + 1


def test_what_had_to_be_waited_for_is_followed_by_the_next_wait_at_once(house: House) -> None:
    house.publish(an_event(1))
    asked = house.door.asked.count(RECEIVE)
    house.turn(0)
    assert house.door.asked.count(RECEIVE) == asked + 1


def test_a_report_brings_more_and_there_is_one_claim_at_a_time() -> None:
    house = House()
    house.put("r", delivery={"concurrency": 2})
    house.publish(*events(6))
    house.turn(0)
    assert house.door.rooms == []
    for _ in range(2):
        house.targets.answer(204)
        house.targets.answer(204)
        house.turn(0)
    assert len(house.sent()) == 2
    assert house.door.told == [2, 2]
    assert all(room > 0 for room in house.door.rooms)
    house.turn(int(limits.WORKER_REST_S * 1000))
    house.targets.answer(204)
    house.turn(0)
    assert house.door.rooms[-1] == 0


def test_news_wake_whoever_steps() -> None:
    woken: list[str] = []
    worker = Worker(
        ScriptedTransport(),
        ScriptedTransport(),
        URL,
        wake=lambda: woken.append("up"),
        say=print,
        now=lambda: 0.0,
        rng=random.Random(1),
    )
    worker.stop()
    assert woken == ["up"]
    worker.wait(1_000_000)
    assert worker.is_stopping


# Transforms in JSONata


def test_what_an_evaluator_makes_is_pushed_and_what_it_cannot_is_told_without_waiting() -> None:
    house, evaluator, woken = House(), ByHand(), []
    house.worker = Worker(
        house.targets,
        house.door,
        URL,
        wake=lambda: woken.append(True),
        say=house.said.append,
        now=lambda: house.clock.elapsed_ms / 1000,
        rng=random.Random(1),
        expressions=evaluator,
    )
    house.put(target={"http": {"url": "http://127.0.0.1:9", "transform": {"jsonata": {"path": "id"}}}})
    house.publish(an_event(1), an_event(2))
    house.turn()
    evaluator.tell(Values((b'"e1"',)))
    ((request, _),) = house.targets.sent
    assert request.url == "http://127.0.0.1:9/e1"
    woken.clear()
    evaluator.tell(ExpressionFailed("it loops", 0))
    assert woken
    house.targets.answer(204)
    house.turn()
    assert house.states() == [State.DELIVERED, State.DEAD]


# Batches


def batching(house: House, **batch: Any) -> None:
    """The rule of the house pushes in batches from now on."""
    house.put(target={"http": {"url": "http://127.0.0.1:9/events", "batch": {"max_events": 3, **batch}}})
    house.turn()


def test_a_worker_gathers_batches_and_reports_each_delivery(house: House) -> None:
    batching(house, wait_s=1)
    house.publish(*events(4))
    house.turn()
    assert [request.body.count(b"specversion") for request, _ in house.targets.sent] == [3]
    house.turn(1_000)
    assert [request.body.count(b"specversion") for request, _ in house.targets.sent] == [3, 1]
    house.targets.answer(202, body=b'{"events":[{"position":1},{"error":{"status":422}},{"status":503}]}')
    house.targets.answer(204)
    house.turn()
    assert house.states() == [State.DELIVERED, State.DEAD, State.RETRYING, State.DELIVERED]


def test_a_worker_is_back_in_time_for_a_batch_that_is_not_full(house: House) -> None:
    batching(house, wait_s=0.2)
    house.publish(*events(1))
    house.turn()
    assert not house.targets.sent
    assert 0 < house.worker.step() <= 0.2


def test_a_worker_that_stops_sends_what_has_gathered(house: House) -> None:
    batching(house, wait_s=60)
    house.publish(*events(2))
    house.turn()
    house.worker.stop()
    house.turn()
    assert house.worker.under_way == 2
    house.targets.answer(204)
    house.turn()
    house.door.end_waits()
    house.turn()
    assert house.worker.is_over
    assert house.states() == [State.DELIVERED, State.DELIVERED]
