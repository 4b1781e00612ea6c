"""Access tokens for pushes: fetched once for all, kept, fetched anew in time, doubted once; and token servers in every kind of weather."""

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from eventyard.core import limits
from eventyard.core.auth import Grant
from eventyard.core.network import Policy
from eventyard.ports import PushAnswer, PushRequest
from eventyard.tokens import TokenTransport
from eventyard.transports.http import HttpTransport
from tests.support import targets
from tests.support.builders import ScriptedTransport
from tests.support.targets import Target

HOME = Policy(is_loopback_allowed=True)
WAIT_S = 20.0
GRANT = Grant("http://127.0.0.1:9/token", "shop", "hunter2", "", "", "client_secret_basic")


def a_push(number: int = 0, grant: Grant | None = GRANT, url: str = "http://127.0.0.1:9/in") -> PushRequest:
    return PushRequest(url, (("x-number", str(number)),), b"{}", 5.0, grant=grant)


class House:
    """A token transport of which the test is the network and the clock."""

    def __init__(self) -> None:
        self.network = ScriptedTransport()
        self.now_s = 1000.0
        self.tokens = TokenTransport(self.network, lambda: self.now_s)
        self.answers: list[PushAnswer] = []

    def push(self, number: int = 0, grant: Grant | None = GRANT) -> None:
        self.tokens.send(a_push(number, grant), self.answers.append)

    def under_way(self) -> list[str]:
        """The path of each request, and what it says who sends it."""
        return [
            f"{request.url.rpartition('/')[2]} {dict(request.headers).get('authorization')}" for request, _ in self.network.sent
        ]

    def give(self, text: str = "t1", **answer: Any) -> PushRequest:
        document = {"access_token": text, "token_type": "Bearer", "expires_in": 3600} | answer
        return self.network.answer(200, body=json.dumps(document).encode())

    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]


ASKED = "token Basic c2hvcDpodW50ZXIy"


@pytest.fixture
def house() -> House:
    return House()


def test_a_push_without_a_grant_goes_through_untouched(house: House) -> None:
    house.push(grant=None)
    ((request, _),) = house.network.sent
    assert request == a_push(grant=None)


def test_many_pushes_wait_for_one_fetch_and_go_with_its_token(house: House) -> None:
    for number in range(3):
        house.push(number)
    assert house.under_way() == [ASKED]
    house.give()
    assert house.under_way() == ["in Bearer t1"] * 3
    assert [dict(request.headers)["x-number"] for request, _ in house.network.sent] == ["0", "1", "2"]
    for _ in range(3):
        house.network.answer(204)
    house.push()
    assert house.under_way() == ["in Bearer t1"]
    assert house.statuses() == [204] * 3


def test_each_client_has_a_token_of_its_own(house: House) -> None:
    other = Grant(GRANT.token_url, "crm", "hunter3", "", "", "client_secret_basic")
    house.push()
    house.push(grant=other)
    house.give("t1")
    house.give("t2")
    assert house.under_way() == ["in Bearer t1", "in Bearer t2"]


def test_a_token_is_fetched_anew_before_it_ends_and_pushes_do_not_wait(house: House) -> None:
    house.push()
    house.give(expires_in=600)
    house.network.answer(204)
    house.now_s += 600 - limits.TOKEN_REFRESH_S - 1
    house.push()
    assert house.under_way() == ["in Bearer t1"]
    house.network.answer(204)
    house.now_s += 1
    house.push()
    house.push()
    assert house.under_way() == [ASKED, "in Bearer t1", "in Bearer t1"]
    house.give("t2")
    house.network.answer(204)
    house.network.answer(204)
    house.push()
    assert house.under_way() == ["in Bearer t2"]


def test_a_token_that_could_not_be_fetched_anew_goes_on_until_it_ends(house: House) -> None:
    house.push()
    house.give(expires_in=600)
    house.network.answer(204)
    house.now_s += 599
    house.push()
    house.network.answer(503)
    assert house.under_way() == ["in Bearer t1"]
    house.network.answer(204)
    house.now_s += 1
    house.push()
    assert "no access token from 127.0.0.1:9: status 503" in house.answers[-1].failure


def test_an_ended_token_is_not_sent(house: House) -> None:
    house.push()
    house.give(expires_in=600)
    house.network.answer(204)
    house.now_s += 600
    house.push()
    assert house.under_way() == [ASKED]


# 401


def test_a_401_has_the_push_sent_once_more_with_another_token(house: House) -> None:
    house.push()
    house.give("t1")
    house.network.answer(401)
    assert (house.answers, house.under_way()) == ([], [ASKED])
    house.give("t2")
    assert house.under_way() == ["in Bearer t2"]
    house.network.answer(204)
    assert house.statuses() == [204]


def test_a_second_401_is_the_answer(house: House) -> None:
    house.push()
    house.give("t1")
    house.network.answer(401)
    house.give("t2")
    house.network.answer(401)
    assert (house.statuses(), house.under_way()) == ([401], [])


def test_many_401_cost_the_token_server_one_request(house: House) -> None:
    for _ in range(5):
        house.push()
    house.give("t1")
    for _ in range(5):
        house.network.answer(401)
    assert house.under_way() == [ASKED]
    house.give("t2")
    for _ in range(5):
        house.network.answer(401)
    assert house.statuses() == [401] * 5
    for _ in range(5):
        house.push()
        house.network.answer(401)
    assert (house.statuses(), house.under_way()) == ([401] * 10, [])


def test_a_token_is_doubted_again_after_a_while(house: House) -> None:
    house.push()
    house.give("t1")
    house.network.answer(401)
    house.give("t2")
    house.network.answer(204)
    house.now_s += limits.TOKEN_TRUSTED_S
    house.push()
    house.network.answer(401)
    assert house.under_way() == [ASKED]


def test_a_late_401_of_a_token_that_was_replaced_takes_the_new_one_at_once(house: House) -> None:
    house.push(1)
    house.push(2)
    house.give("t1")
    house.network.answer(401)
    late = house.network.sent.pop(0)
    house.give("t2")
    late[1](PushAnswer(401, {}, b""))
    assert house.under_way() == ["in Bearer t2", "in Bearer t2"]


def test_where_the_token_server_fails_a_401_is_the_answer_for_who_has_a_token(house: House) -> None:
    house.push()
    house.give("t1")
    house.network.answer(401)
    house.network.answer(0, failure="connection refused")
    assert house.answers[-1].failure == "no access token from 127.0.0.1:9: connection refused"


# Failure


def test_a_failure_fails_who_waits_and_who_comes_next_until_it_is_tried_again(house: House) -> None:
    house.push()
    house.push()
    house.network.answer(400, body=b'{"error": "invalid_client"}')
    house.push()
    assert [answer.failure for answer in house.answers] == ["no access token from 127.0.0.1:9: status 400 (invalid_client)"] * 3
    assert house.under_way() == []
    house.now_s += limits.TOKEN_FAILURE_S
    house.push()
    house.give()
    house.network.answer(204)
    assert house.statuses() == [0, 0, 0, 204]


def test_a_forbidden_token_server_is_a_forbidden_target(house: House) -> None:
    house.push()
    house.network.answer(0, failure="address 10.0.0.1 is forbidden", is_refused=True)
    assert house.answers[0].is_refused


def test_no_failure_tells_a_secret(house: House) -> None:
    house.push()
    house.network.answer(401, body=b'{"error": "hunter2", "error_description": "hunter2"}')
    assert "hunter2" not in house.answers[0].failure


def test_tokens_are_bounded_and_one_that_is_waited_for_is_kept(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TOKENS_MAX", 3)
    grants = [Grant(GRANT.token_url, f"client-{number}", "hunter2", "", "", "client_secret_basic") for number in range(8)]
    house.push(grant=grants[0])
    for grant in grants[1:]:
        house.push(grant=grant)
        held = house.network.sent.pop(0)
        house.give()
        house.network.answer(204)
        house.network.sent.insert(0, held)
    assert len(house.tokens._kept) <= 3
    house.give("first")
    assert house.under_way() == ["in Bearer first"]


# Over the network


@pytest.fixture
def transport() -> Iterator[TokenTransport]:
    with closing(HttpTransport(HOME)) as pushes:
        clock = itertools.count(0.0, limits.TOKEN_FAILURE_S)
        yield TokenTransport(pushes, lambda: next(clock))


def pushed(transport: TokenTransport, target: Target, token_url: str) -> PushAnswer:
    came, answers = threading.Event(), list[PushAnswer]()

    def done(answer: PushAnswer) -> None:
        answers.append(answer)
        came.set()

    grant = Grant(token_url, "shop", "hunter2", "", "", "client_secret_basic")
    transport.send(a_push(grant=grant, url=target.url), done)
    assert came.wait(WAIT_S)
    return answers[0]


def a_token(text: str = "t1", **more: Any) -> bytes:
    return json.dumps({"access_token": text, "token_type": "Bearer", "expires_in": 3600} | more).encode()


def test_a_push_goes_with_a_fetched_token(transport: TokenTransport) -> None:
    with Target(targets.answers(204)) as target, Target(targets.answers(body=a_token())) as server:
        assert pushed(transport, target, server.url).status == 204
        assert target.requests[0].headers["authorization"] == "Bearer t1"
        assert server.requests[0].body == b"grant_type=client_credentials"
        assert server.requests[0].headers["content-type"] == "application/x-www-form-urlencoded"


HUGE = b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n{"
WEATHER: list[tuple[targets.Behaviour, str]] = [
    (targets.close_at_once, "connection"),
    (targets.says(b"nonsense\r\n\r\n"), ""),
    (targets.hangs_after(b""), "timed out"),
    (targets.hangs_after(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"), "timed out"),
    (targets.repeats(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", b" ", 0.05), "timed out"),
    (targets.repeats(HUGE, b" " * 65536), "the answer is no token"),
    (targets.answers(body=b"<html>welcome</html>"), "the answer is no token"),
    (targets.answers(body=b'{"access_token": "a\\r\\nx: y"}'), "the answer is no token"),
    (targets.answers(body=a_token(expires_in=-5)), "the token has ended already"),
    (targets.redirects("http://127.0.0.1:1/elsewhere"), "status 307"),
    (targets.answers(500), "status 500"),
    (targets.answers(429, {"retry-after": "garbage"}), "status 429"),
]


@pytest.mark.parametrize(("behaviour", "why"), WEATHER, ids=range(len(WEATHER)))
def test_in_bad_weather_nothing_is_sent_to_the_target_and_the_reason_is_told(
    behaviour: targets.Behaviour, why: str, transport: TokenTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TOKEN_TIMEOUT_S", 0.5)
    with Target(targets.answers(204)) as target, Target(behaviour) as server:
        answer = pushed(transport, target, server.url)
        assert answer.status == 0
        assert answer.failure.startswith(f"no access token from 127.0.0.1:{server.port}: ")
        assert why in answer.failure
        assert "hunter2" not in answer.failure
        assert target.requests == []


def test_a_token_server_that_is_down_is_tried_again_when_it_is_back(transport: TokenTransport) -> None:
    with Target(targets.answers(204)) as target:
        with Target(targets.answers(500)) as gone:
            token_url = gone.url
        assert "connection refused" in pushed(transport, target, token_url).failure
        replies = itertools.chain([targets.answer(503)], itertools.repeat(targets.answer(body=a_token())))
        with Target(targets.answers_in_turn(replies)) as server:
            assert "status 503" in pushed(transport, target, server.url).failure
            assert pushed(transport, target, server.url).status == 204


def test_an_expired_token_that_is_said_to_hold_is_replaced_on_401(transport: TokenTransport) -> None:
    replies = iter([targets.answer(body=a_token("old")), targets.answer(body=a_token("new"))])
    with Target(targets.flaps(401)) as target, Target(targets.answers_in_turn(replies)) as server:
        assert pushed(transport, target, server.url).status == 200
        assert [request.headers["authorization"] for request in target.requests] == ["Bearer old", "Bearer new"]


def test_a_token_server_on_a_forbidden_address_is_not_called() -> None:
    with closing(HttpTransport(Policy())) as pushes, Target(targets.answers(body=a_token())) as server:
        answer = pushed(TokenTransport(pushes, lambda: 0.0), server, server.url)
        assert answer.is_refused
        assert server.connections == 0


def test_stopping_ends_a_fetch_and_who_waits_for_it() -> None:
    pushes = HttpTransport(HOME)
    tokens = TokenTransport(pushes, lambda: 0.0)
    answers: list[PushAnswer] = []
    with Target(targets.hangs_after(b"")) as server:
        grant = Grant(server.url, "shop", "hunter2", "", "", "client_secret_basic")
        tokens.send(a_push(grant=grant), answers.append)
        server.wait_for_requests(1)
        tokens.close()
        tokens.send(a_push(grant=grant), answers.append)
    assert [answer.status for answer in answers] == [0, 0]
    assert not tokens.is_running
