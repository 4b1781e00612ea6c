"""The HTTP transport against targets that behave badly: one answer for each push, and no harm to the others."""

import queue
import re
import resource
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from eventyard.core import limits
from eventyard.ports import PushAnswer, PushRequest
from eventyard.transports.http import HttpTransport
from tests.support import targets
from tests.support.pushes import HOME, Answers, named, push, request_to
from tests.support.targets import WAIT_S, Target


@pytest.fixture
def transport() -> Iterator[HttpTransport]:
    transport = HttpTransport(HOME)
    yield transport
    transport.close()


# A good target


def test_a_push_is_one_post_with_the_callers_headers_and_body(transport: HttpTransport) -> None:
    with Target(targets.answers(201, {"X-One": "1"}, b"done")) as target:
        answer = push(
            transport, request_to(target.url + "?a=b", body=b'{"x":1}', headers=(("webhook-id", "7"), ("x-empty", "")))
        )
    assert (answer.status, answer.headers["x-one"], answer.body, answer.failure) == (201, "1", b"done", "")
    (seen,) = target.requests
    assert (seen.method, seen.path, seen.body) == ("POST", "/events?a=b", b'{"x":1}')
    assert (seen.headers["webhook-id"], seen.headers["x-empty"]) == ("7", "")
    assert seen.headers["user-agent"].startswith("eventyard/")
    assert not {"expect", "cookie", "authorization"} & set(seen.headers)


def test_a_large_body_is_sent_without_waiting_for_a_continue(transport: HttpTransport) -> None:
    with Target(targets.answers()) as target:
        assert push(transport, request_to(target.url, body=b"x" * limits.EVENT_BYTES_MAX)).status == 200
    assert "expect" not in target.requests[0].headers
    assert len(target.requests[0].body) == limits.EVENT_BYTES_MAX


def test_no_body_and_no_content_type_are_sent_as_such(transport: HttpTransport) -> None:
    with Target(targets.answers()) as target:
        push(transport, PushRequest(url=target.url, headers=(), body=b"", timeout_s=10))
    assert target.requests[0].headers["content-length"] == "0"
    assert "content-type" not in target.requests[0].headers


def test_one_connection_carries_every_method_after_every_other_with_a_body_and_without(transport: HttpTransport) -> None:
    methods = ["POST", "GET", "PUT", "DELETE", "PATCH", "GET", "GET", "POST", "DELETE", "POST", "PUT"]
    pushes = [(method, body) for method in methods for body in (b"", b"{}") if (method, body) != ("GET", b"{}")]
    with Target(targets.answers()) as target:
        for method, body in pushes:
            headers = (("content-type", "application/json"),) if body else ()
            request = PushRequest(url=target.url, headers=headers, body=body, timeout_s=10, method=method)
            assert push(transport, request).status == 200
    assert [(seen.method, seen.body) for seen in target.requests] == pushes
    for seen in target.requests:
        says_so = bool(seen.body) or seen.method not in {"GET", "DELETE"}
        assert ("content-length" in seen.headers, "content-type" in seen.headers) == (says_so, bool(seen.body))
    assert target.connections == 1


def test_one_connection_carries_push_after_push(transport: HttpTransport) -> None:
    with Target(targets.answers()) as target:
        for number in range(20):
            assert push(transport, request_to(target.url, body=b"%d" % number)).status == 200
    assert target.connections == 1
    assert [seen.body for seen in target.requests] == [b"%d" % number for number in range(20)]


def test_headers_of_interim_answers_and_trailers_do_not_count(transport: HttpTransport) -> None:
    reply = (
        b"HTTP/1.1 103 Early\r\nx-early: 1\r\n\r\nHTTP/1.1 200 OK: fine\r\nA: 1\r\na: 2\r\ntransfer-encoding: chunked\r\n\r\n"
        b"2\r\nok\r\n0\r\nx-late: 1\r\n\r\n"
    )
    with Target(targets.says(reply)) as target:
        answer = push(transport, request_to(target.url))
    assert (answer.status, answer.body) == (200, b"ok")
    assert answer.headers == {"a": "1, 2", "transfer-encoding": "chunked"}


@pytest.mark.parametrize("status", [200, 202, 204, 304, 400, 401, 404, 410, 429, 500, 503, 599])
def test_any_status_is_an_answer(transport: HttpTransport, status: int) -> None:
    with Target(targets.says(b"HTTP/1.1 %d X\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n" % status)) as target:
        answer = push(transport, request_to(target.url))
    assert (answer.status, answer.headers["retry-after"], answer.failure) == (status, "7", "")


def test_a_flapping_target_is_taken_as_it_is(transport: HttpTransport) -> None:
    with Target(targets.flaps(503, 500)) as target:
        assert [push(transport, request_to(target.url)).status for _ in range(4)] == [503, 500, 200, 200]


def test_a_redirect_is_an_answer_and_never_followed(transport: HttpTransport) -> None:
    with Target(targets.answers()) as there, Target(targets.redirects(there.url)) as target:
        answer = push(transport, request_to(target.url))
    assert (answer.status, answer.headers["location"]) == (307, there.url)
    assert there.connections == 0


def test_a_cookie_is_not_kept(transport: HttpTransport) -> None:
    with Target(targets.answers(200, {"set-cookie": "a=b"})) as target:
        push(transport, request_to(target.url))
        push(transport, request_to(target.url))
    assert "cookie" not in target.requests[1].headers


# Bad targets

BAD = [
    (targets.hang_before_headers, "timed out after 0.4 s"),
    (targets.hang_within_headers, "timed out after 0.4 s"),
    (targets.hang_after_headers, "timed out after 0.4 s"),
    (targets.drip, "timed out after 0.4 s"),
    (targets.drip_headers, "timed out after 0.4 s"),
    (targets.giant_headers, "answer headers larger than 64 KiB"),
    (targets.giant_header, "answer headers larger than 64 KiB"),
    (targets.endless_interim, "answer headers larger than 64 KiB"),
    (targets.close_at_once, "connection closed without an answer|connection broken while (sending|reading the answer)"),
    (targets.close_after_request, "connection closed without an answer"),
    (targets.close_mid_headers, "the answer broke off"),
    (targets.says(b"HTTP/1.1 200 OK\r\na: b\r\n"), "the answer broke off"),
    (targets.says(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\na: b\r\n"), "the answer broke off"),
    (targets.says(b"HTTP/1.1 100 Continue\r\n\r\n"), "the answer broke off|connection closed without an answer"),
    (targets.close_mid_body, "the answer broke off"),
    (targets.garbage, "the answer is not HTTP"),
    (targets.odd_status, "the answer is not HTTP"),
]


@pytest.mark.parametrize(("behaviour", "failure"), BAD, ids=range(len(BAD)))
def test_a_bad_target_gives_one_failure_and_leaves_others_unharmed(
    transport: HttpTransport, behaviour: targets.Behaviour, failure: str
) -> None:
    bad, good = Answers(), Answers()
    with Target(behaviour) as target, Target(targets.answers()) as other:
        transport.send(request_to(target.url, timeout_s=0.4), bad.put)
        target.wait_for_connections(1)
        for _ in range(5):
            transport.send(request_to(other.url), good.put)
        assert [answer.status for answer in good.next_many(5)] == [200] * 5
        answer = bad.next()
        transport.close()
    assert (answer.status, answer.is_refused) == (0, False)
    assert re.fullmatch(failure, answer.failure)
    assert bad.is_empty


@pytest.mark.parametrize("behaviour", [targets.endless, targets.endless_chunks])
def test_an_endless_answer_is_cut_and_its_status_counts(transport: HttpTransport, behaviour: targets.Behaviour) -> None:
    answers = Answers()
    with Target(behaviour) as target:
        for _ in range(20):
            transport.send(request_to(target.url), answers.put)
        arrived = answers.next_many(20)
    assert {(answer.status, len(answer.body), answer.failure) for answer in arrived} == {(200, 64 * 1024, "")}
    assert target.bytes_written < 20 * 16 * 1024 * 1024  # what the kernel's buffers took, not what the target had


@pytest.mark.parametrize(("length", "kept"), [(9, 9), (10, 10), (11, 10)])
def test_an_answer_is_kept_up_to_the_callers_limit(transport: HttpTransport, length: int, kept: int) -> None:
    with Target(targets.answers(200, body=b"x" * length)) as target:
        request = PushRequest(url=target.url, headers=(), body=b"", timeout_s=10, answer_bytes_max=10)
        answer = push(transport, request)
        assert push(transport, request).body == answer.body
    assert (answer.status, answer.body) == (200, b"x" * kept)


def test_nobody_listening_is_a_refused_connection(transport: HttpTransport) -> None:
    with Target(targets.answers()) as target:
        url = target.url
    answer = push(transport, request_to(url + "?secret=1"))
    assert (answer.status, answer.failure, answer.is_refused) == (0, "connection refused", False)


def test_a_kept_connection_that_died_is_tried_again_on_a_fresh_one(transport: HttpTransport) -> None:
    """Libcurl's own doing, and why a target may see one push twice."""
    replies = iter([targets.answer(), b"", targets.answer()])
    with Target(targets.answers_in_turn(replies)) as target:
        assert push(transport, request_to(target.url, body=b"1")).status == 200
        assert push(transport, request_to(target.url, body=b"2")).status == 200
    assert [seen.body for seen in target.requests] == [b"1", b"2", b"2"]
    assert target.connections == 2


def test_a_target_that_closes_idle_connections_is_pushed_to_again(transport: HttpTransport) -> None:
    with Target(targets.says(targets.answer())) as target:
        assert [push(transport, request_to(target.url)).status for _ in range(10)] == [200] * 10


def test_idle_connections_make_room_for_other_targets() -> None:
    with closing(HttpTransport(HOME, connections_max=2)) as transport, ExitStack() as stack:
        urls = [stack.enter_context(Target(targets.answers())).url for _ in range(4)]
        assert [push(transport, request_to(url)).status for url in urls * 2] == [200] * 8


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("nan"), float("inf"), limits.PUSH_TIMEOUT_S_MAX + 1])
def test_an_odd_time_limit_is_a_failure(transport: HttpTransport, timeout_s: float) -> None:
    with Target(targets.answers()) as target:
        assert "time limit" in push(transport, request_to(target.url, timeout_s=timeout_s)).failure
        assert push(transport, request_to(target.url, timeout_s=limits.PUSH_TIMEOUT_S_MAX)).status == 200


def test_more_connections_than_select_can_watch_hang_without_harm(transport: HttpTransport) -> None:
    count = 1_150
    _raise_descriptor_limit(2 * count + 500)
    hanging, good = Answers(), Answers()
    with Target(targets.hang_before_headers) as target, Target(targets.answers()) as other:
        for _ in range(count):
            transport.send(request_to(target.url, timeout_s=300), hanging.put)
        target.wait_for_requests(count)
        transport.send(request_to(other.url), good.put)
        assert good.next().status == 200
        assert hanging.is_empty
        transport.close()
        assert {answer.failure for answer in hanging.next_many(count)} == {"the bus is stopping"}
    assert hanging.is_empty


def _raise_descriptor_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"needs {wanted} descriptors, and the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


# The end, and the caller's own faults


def test_close_ends_every_push_under_way_once() -> None:
    release = threading.Event()

    def hanging(_host: str) -> tuple[str, ...]:
        release.wait(WAIT_S)
        return ("127.0.0.1",)

    answers = Answers()
    transport = HttpTransport(HOME, resolve=hanging)
    with Target(targets.hang_after_headers) as target:
        transport.send(request_to(target.url), answers.put)
        transport.send(request_to(named(target)), answers.put)
        target.wait_for_requests(1)
        transport.close()
        transport.close()
        release.set()
    assert {answer.failure for answer in answers.next_many(2)} == {"the bus is stopping"}
    assert answers.is_empty
    assert not transport._thread.is_alive()


def test_a_push_after_close_fails_at_once(transport: HttpTransport) -> None:
    transport.close()
    assert push(transport, request_to("http://127.0.0.1/")).failure == "the bus is stopping"


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_an_answer_whose_receiver_raises_harms_no_other(transport: HttpTransport, error: type[BaseException]) -> None:
    def raising(_answer: PushAnswer) -> None:
        raise error

    with Target(targets.answers()) as target:
        transport.send(request_to(target.url), raising)
        transport.send(request_to("http://10.0.0.1/"), raising)
        assert push(transport, request_to(target.url)).status == 200


def test_an_answer_may_send_the_next_push_and_close(transport: HttpTransport) -> None:
    answers = Answers()

    def next_one(answer: PushAnswer) -> None:
        answers.put(answer)
        transport.send(request_to(target.url), close)

    def close(answer: PushAnswer) -> None:
        transport.close()
        answers.put(answer)

    with Target(targets.answers()) as target:
        transport.send(request_to(target.url), next_one)
        assert [answer.status for answer in answers.next_many(2)] == [200, 200]
        transport._thread.join(WAIT_S)
    assert not transport._thread.is_alive()


def test_pushes_from_many_threads_are_each_answered_once(transport: HttpTransport) -> None:
    answers = Answers()

    def send_many() -> None:
        for _ in range(100):
            transport.send(request_to(target.url), answers.put)

    with Target(targets.answers()) as target:
        threads = [threading.Thread(target=send_many) for _ in range(8)]
        for thread in threads:
            thread.start()
        arrived = answers.next_many(800)
        for thread in threads:
            thread.join(WAIT_S)
    assert {answer.status for answer in arrived} == {200}
    assert len(target.requests) == 800


def test_a_fault_of_the_transport_itself_answers_everyone(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(_self: HttpTransport, _push: object) -> None:
        raise ZeroDivisionError

    answers = Answers()
    hooked: list[object] = []
    monkeypatch.setattr(threading, "excepthook", hooked.append)
    transport = HttpTransport(HOME)
    with Target(targets.hang_before_headers) as target:
        transport.send(request_to(target.url), answers.put)
        target.wait_for_requests(1)
        monkeypatch.setattr(HttpTransport, "_start", break_down)
        transport.send(request_to(target.url), answers.put)
        assert {answer.failure for answer in answers.next_many(2)} == {"the bus is stopping"}
    transport.close()
    assert len(hooked) == 1


# Between two turns


def test_whoever_is_called_between_two_turns_is_on_the_thread_that_answers_and_may_send(transport: HttpTransport) -> None:
    answers = Answers()
    threads: set[int] = set()
    to_send: queue.Queue[PushRequest] = queue.Queue()

    def between(_was_idle: bool) -> float:
        threads.add(threading.get_ident())
        while not to_send.empty():
            transport.send(to_send.get(), answered)
        return 60.0

    def answered(answer: PushAnswer) -> None:
        threads.add(threading.get_ident())
        answers.put(answer)

    with Target(targets.answers(204)) as target:
        transport.between = between
        to_send.put(request_to(target.url))
        transport.wake()
        assert answers.next().status == 204
    assert threads == {transport._thread.ident}


def test_whoever_is_called_between_is_called_again_when_it_wants_to_be_and_told_that_nothing_came(
    transport: HttpTransport,
) -> None:
    calls: queue.Queue[bool] = queue.Queue()

    def between(was_idle: bool) -> float:
        calls.put(was_idle)
        return 0.001 if calls.qsize() < 3 else 60.0

    transport.between = between
    transport.wake()
    assert [calls.get(timeout=WAIT_S) for _ in range(3)] == [True, True, True]


def test_whoever_is_called_between_is_told_that_targets_have_something_to_say(transport: HttpTransport) -> None:
    answers = Answers()
    busy = threading.Event()

    def between(was_idle: bool) -> float:
        if not was_idle:
            busy.set()
        return 60.0

    transport.between = between
    with Target(targets.answers(204)) as target:
        transport.send(request_to(target.url), answers.put)
        assert answers.next().status == 204
        assert busy.wait(WAIT_S)


def test_a_fault_between_two_turns_answers_everyone(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(_was_idle: bool) -> float:
        raise ZeroDivisionError

    answers = Answers()
    hooked: list[object] = []
    monkeypatch.setattr(threading, "excepthook", hooked.append)
    transport = HttpTransport(HOME)
    with Target(targets.hang_before_headers) as target:
        transport.send(request_to(target.url), answers.put)
        target.wait_for_requests(1)
        transport.between = break_down
        transport.wake()
        assert answers.next().failure == "the bus is stopping"
    transport.close()
    assert len(hooked) == 1
