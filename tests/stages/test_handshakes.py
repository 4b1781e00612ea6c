"""Handshakes over the real writer, dispatch and keeper, with a clock that is moved by hand: who is asked, when, and what is held meanwhile."""

from typing import Any

import pytest

from eventyard.core import limits
from eventyard.core.commands import DeleteRule, SetPaused
from eventyard.core.protection import Hold
from eventyard.handshakes import Handshakes
from eventyard.ports import PushRequest
from tests.support.builders import put_rule
from tests.support.guarded import Guarded

URL = "http://127.0.0.1:9005/events"
AGREED = {"webhook-allowed-origin": "*"}
BACKOFF = {"initial_s": 0, "max_s": 0}


class Asking(Guarded):
    def __init__(self) -> None:
        super().__init__()
        self.begin()

    def begin(self, origin: str = "bus.example.com") -> None:
        """The stage as it is after a start."""
        self.handshakes = Handshakes(self.writer.states, self.writer.submit_own, self.transport, self._now, origin)

    def restarted(self, origin: str = "bus.example.com") -> None:
        super().restarted()
        self.begin(origin)

    def put(self, wanted: str = "required", *, url: str = URL, name: str = "paid", http: Any = None, **delivery: Any) -> int:
        target = {"http": {"url": url, "handshake": wanted, **(http or {})}}
        uid: int = self.do(put_rule(name, target=target, delivery={"backoff": BACKOFF} | delivery))[0].record.uid
        return uid

    def pass_ms(self, ms: int) -> None:
        self.clock.advance(ms)
        self.step()

    def step(self) -> None:
        self.keeper.step()
        self.handshakes.step()
        self.quiet()

    def hear(self, status: int = 200, headers: Any = AGREED, **fields: Any) -> PushRequest:
        """Answer the one handshake that is under way."""
        self.step()
        request: PushRequest = self.answer(status, headers=headers, **fields)
        assert request.method == "OPTIONS"
        return request

    @property
    def methods(self) -> list[str]:
        return [request.method for request, _ in self.transport.sent]


@pytest.fixture
def house() -> Asking:
    return Asking()


def test_nothing_goes_to_a_target_that_has_to_agree_before_it_has(house: Asking) -> None:
    uid = house.put()
    house.publish(3)
    house.step()
    assert house.methods == ["OPTIONS"]
    found = house.held(uid)
    assert found is not None
    assert found.by is Hold.HANDSHAKE
    house.answer(204, headers=AGREED)
    assert house.methods == ["POST"] * 3
    assert house.held(uid) is None


def test_what_is_asked_names_the_bus_and_nothing_of_the_rule_but_its_url(house: Asking) -> None:
    house.put(http={"headers": {"x-team": "shop"}, "method": "PUT", "timeout_s": 3}, rate_per_s=2)
    request = house.hear()
    assert (request.url, request.body, request.timeout_s, request.grant) == (URL, b"", 3, None)
    assert dict(request.headers) == {"webhook-request-origin": "bus.example.com", "webhook-request-rate": "120"}


def test_who_only_prefers_consent_does_not_wait_for_it(house: Asking) -> None:
    house.put("preferred")
    house.publish(1)
    house.step()
    assert sorted(house.methods) == ["OPTIONS", "POST"]
    house.answer(204)
    house.answer(405)
    house.publish(1)
    assert house.methods == ["POST"]


def test_who_wants_none_asks_nobody(house: Asking) -> None:
    house.put("off")
    house.step()
    assert not house.sent
    assert house.handshakes.idle_ms() is None


def test_a_target_that_refuses_is_asked_again_with_growing_waits_until_it_agrees(house: Asking) -> None:
    house.put()
    house.publish(1)
    first_ms = int(limits.HANDSHAKE_AGAIN_S * 1000)
    for wait_ms, answer in ((first_ms, {"status": 200}), (2 * first_ms, {"status": 0, "failure": "connection refused"})):
        house.hear(headers={}, **answer)
        assert house.handshakes.idle_ms() == wait_ms
        house.pass_ms(wait_ms - 1)
        assert not house.sent
        house.pass_ms(1)
        assert house.methods == ["OPTIONS"]
    house.answer(200, headers=AGREED)
    assert house.methods == ["POST"]
    assert house.handshakes.idle_ms() is None


def test_waiting_for_consent_costs_a_delivery_neither_attempts_nor_age(house: Asking) -> None:
    house.put(max_attempts=2, max_age_s=60)
    house.publish(1)
    house.hear()
    house.answer(503)
    assert house.answer(503).method == "POST"
    assert house.counts("paid")[-2] == 1  # It dies of its second attempt.
    house.put(url=f"{URL}/2", max_attempts=3, max_age_s=60)
    house.publish(1)
    house.hear()
    house.put(url=f"{URL}/3", max_attempts=3, max_age_s=60)
    house.answer(503)
    for _ in range(20):
        house.hear(headers={})
        house.pass_ms(600_000)
    house.answer(200, headers=AGREED)
    assert house.answer(204).url == f"{URL}/3"
    assert house.counts("paid")[-2] == 1


def test_another_url_is_another_target_and_is_asked_at_once(house: Asking) -> None:
    house.put()
    house.hear()
    house.put(url=f"{URL}/2")
    house.publish(1)
    house.step()
    assert [(request.method, request.url) for request, _ in house.transport.sent] == [("OPTIONS", f"{URL}/2")]
    house.answer(200, headers=AGREED)
    assert house.answer(204).url == f"{URL}/2"


def test_an_answer_that_comes_after_the_url_was_changed_says_nothing_of_the_new_one(house: Asking) -> None:
    house.put()
    house.publish(1)
    house.step()
    house.put(url=f"{URL}/2")
    assert house.answer(200, headers=AGREED).url == URL
    assert not house.sent


def test_another_url_is_asked_while_the_first_hangs_and_its_late_answer_takes_nothing_back(house: Asking) -> None:
    house.put()
    house.publish(1)
    house.step()
    house.put(url=f"{URL}/2")
    house.step()
    assert [request.url for request, _ in house.transport.sent] == [URL, f"{URL}/2"]
    house.transport.sent.reverse()
    house.answer(200, headers=AGREED)
    house.answer(0, failure="timed out after 10 s")
    house.publish(1)
    assert [(request.method, request.url) for request, _ in house.transport.sent] == [("POST", f"{URL}/2")] * 2


def test_what_stands_behind_another_of_its_key_goes_to_a_new_url_only_with_its_consent(house: Asking) -> None:
    ordered = {"order": "key", "key": "type"}
    house.put(**ordered)
    house.publish(2)
    house.hear()
    assert house.methods == ["POST"]
    house.put(url=f"{URL}/2", **ordered)
    house.answer(204)
    house.step()
    assert house.methods == ["OPTIONS"]
    house.answer(200, headers=AGREED)
    assert house.methods == ["POST"]


def test_a_rule_that_waits_for_consent_is_looked_at_by_no_step(house: Asking) -> None:
    uid = house.put()
    house.publish(1)
    house.step()
    assert not house.writer.states[1].due.is_ready(uid)
    house.answer(200, headers={})
    assert not house.writer.states[1].due.is_ready(uid)


def test_an_edit_that_leaves_the_url_asks_nobody_again(house: Asking) -> None:
    house.put()
    house.hear()
    house.put(rate_per_s=5)
    house.put("preferred")
    house.put()
    house.step()
    assert not house.sent
    house.publish(1)
    assert house.methods == ["POST"]


def test_the_rate_that_the_target_allows_bounds_the_rule_from_then_on(house: Asking) -> None:
    house.put(rate_per_s=100)
    house.publish(20)
    house.hear(headers=AGREED | {"webhook-allowed-rate": "120"})
    sent = house.answer_all(204)
    for _ in range(30):
        house.pass_ms(100)
        sent += house.answer_all(204)
    assert sent == 1 + 6


def test_consent_outlives_a_restart(house: Asking) -> None:
    house.put()
    house.hear(headers=AGREED | {"webhook-allowed-rate": "60"})
    house.restarted()
    house.step()
    assert not house.sent
    house.publish(2)
    house.pass_ms(1_000)
    assert house.methods == ["POST"]


def test_a_refusal_outlives_a_restart_and_so_does_the_wait_after_it(house: Asking) -> None:
    house.put()
    house.publish(1)
    house.hear(headers={})
    house.restarted()
    house.step()
    assert not house.sent
    house.pass_ms(int(limits.HANDSHAKE_AGAIN_S * 1000))
    assert house.methods == ["OPTIONS"]


def test_a_question_that_a_crash_cut_off_is_asked_again(house: Asking) -> None:
    house.put()
    house.step()
    house.transport.sent.clear()
    house.restarted()
    house.step()
    assert house.methods == ["OPTIONS"]


def test_consent_to_another_name_of_the_bus_is_asked_for_anew_and_counts_until_then(house: Asking) -> None:
    house.put()
    house.hear(headers={"webhook-allowed-origin": "bus.example.com"})
    house.restarted("new.example.com")
    house.publish(1)
    house.step()
    assert sorted(house.methods) == ["OPTIONS", "POST"]
    house.answer(204)
    house.answer(403)
    house.publish(1)
    assert not house.sent
    house.pass_ms(int(limits.HANDSHAKE_AGAIN_S * 1000))
    house.answer(200, headers={"webhook-allowed-origin": "new.example.com"})
    assert house.methods == ["POST"]
    house.step()
    assert house.methods == ["POST"]


def test_nobody_is_asked_for_a_rule_that_is_paused_or_deleted(house: Asking) -> None:
    house.put()
    house.do(SetPaused("paid", is_paused=True))
    house.step()
    assert not house.sent
    assert house.handshakes.idle_ms() is None
    house.do(SetPaused("paid", is_paused=False))
    house.step()
    house.do(DeleteRule("paid"))
    house.answer(200, headers=AGREED)
    house.step()
    assert not house.sent


def test_it_is_no_edit_of_the_rule_and_the_log_has_no_event_of_it(house: Asking) -> None:
    uid = house.put()
    state = house.writer.states[1]
    version, head = state.by_uid[uid].version, state.head
    house.hear(headers={})
    house.pass_ms(600_000)
    house.answer(200, headers=AGREED)
    assert (state.by_uid[uid].version, state.head) == (version, head)


def test_no_more_targets_are_asked_at_once_than_leave_connections_to_pushes(house: Asking) -> None:
    for number in range(limits.HANDSHAKES_UNDER_WAY_MAX + 1):
        house.put(url=f"{URL}/{number}", name=f"rule-{number}")
    house.step()
    assert house.sent == limits.HANDSHAKES_UNDER_WAY_MAX
    house.answer(200, headers=AGREED)
    house.step()
    assert house.sent == limits.HANDSHAKES_UNDER_WAY_MAX
