"""The door's connections where bytes matter: limits of size, time and number, and callers that hang up."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from eventyard.core import limits
from eventyard.surfaces.http.body import BodyBudget
from eventyard.surfaces.http.connection import Connection, Phase
from tests.support.buses import ServedBus

BODY = b'{"specversion":"1.0","id":"1","source":"/shop","type":"order.paid"}'
LATER_S = 1_000.0


class Reply(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> str:
        return str(json.loads(self.body)["type"]).rpartition(":")[2]


class Speaker:
    """A caller that sends bytes as they are given."""

    def __init__(self, door: ServedBus, connection: socket.socket) -> None:
        self._door = door
        self._connection = connection
        self._file = connection.makefile("rb")

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def ask(self, data: bytes) -> Reply:
        self.send(data)
        return self.read()

    def read(self) -> Reply:
        status = self._file.readline()
        assert status, "the connection ended without an answer"
        headers = dict(self._header_lines())
        return Reply(int(status.split()[1]), headers, self._file.read(int(headers["content-length"])))

    def _header_lines(self) -> Iterator[tuple[str, str]]:
        while line := self._file.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            yield name.lower(), value.strip()

    def is_ended(self) -> bool:
        """True when the server ended the connection and sent nothing more."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True

    def hang_up(self) -> None:
        self._file.close()
        self._connection.close()


@contextmanager
def speaking(door: ServedBus) -> Iterator[Speaker]:
    with door.connect() as connection:
        speaker = Speaker(door, connection)
        yield speaker
        speaker._file.close()


def head(path: str = "/", *headers: str, method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def publishing(name: str, *headers: str) -> bytes:
    return head(f"/v1/buses/{name}/events", "content-type: application/cloudevents+json", *headers, method="POST")


def held(door: ServedBus, phase: Phase) -> list[Connection]:
    """The connections that the server holds in this phase; looked at on its own loop."""
    found: list[Connection] = door.on_loop(lambda: [each for each in door.server.connections if each.phase is phase])
    return found


def await_phase(door: ServedBus, phase: Phase) -> None:
    while not held(door, phase):
        pass


def sweep_later(door: ServedBus) -> None:
    door.on_loop(lambda: door.server.sweep(door.time() + LATER_S))


# Size


def test_a_body_over_the_limit_is_refused_before_it_is_sent(door: ServedBus, name: str) -> None:
    with speaking(door) as speaker:
        reply = speaker.ask(publishing(name, f"content-length: {limits.EVENT_BYTES_MAX + 1}"))
    assert (reply.status, reply.problem) == (413, "too-large")
    assert reply.headers["connection"] == "close"


def test_a_caller_that_sends_a_body_over_the_limit_gets_to_read_why(door: ServedBus, name: str) -> None:
    with speaking(door) as speaker:
        size = limits.EVENT_BYTES_MAX * 4
        reply = speaker.ask(publishing(name, f"content-length: {size}") + b"x" * size)
        assert (reply.status, reply.problem) == (413, "too-large")
        assert speaker.is_ended()


def test_a_body_without_length_is_cut_off_at_the_limit(door: ServedBus, name: str) -> None:
    with speaking(door) as speaker:
        speaker.send(publishing(name, "transfer-encoding: chunked"))
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        for _ in range(limits.EVENT_BYTES_MAX // 0x10000 + 1):
            speaker.send(chunk)
        reply = speaker.read()
        assert (reply.status, reply.problem) == (413, "too-large")
        assert reply.headers["connection"] == "close"


def test_a_chunked_event_is_taken(door: ServedBus, name: str) -> None:
    with speaking(door) as speaker:
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:10], BODY[10:]))
        assert speaker.ask(publishing(name, "transfer-encoding: chunked") + chunks + b"0\r\n\r\n").status == 202
    assert len(door.events(name)) == 1


def test_half_read_bodies_hold_no_more_memory_than_they_may(door: ServedBus, name: str) -> None:
    application: Any = door.server.config.app
    before, application._budget = application._budget, BodyBudget(bytes_max=len(BODY) - 1)
    try:
        with speaking(door) as speaker:
            speaker.send(publishing(name, f"content-length: {len(BODY)}") + BODY[:30])
            while application._budget.held < 30:
                pass
            reply = speaker.ask(BODY[30:])
        assert (reply.status, reply.problem, reply.headers["retry-after"]) == (503, "overloaded", "1")
        assert application._budget.held == 0
    finally:
        application._budget = before
    assert door.events(name) == []


def test_headers_over_the_limit_are_refused(door: ServedBus) -> None:
    with speaking(door) as speaker:
        reply = speaker.ask(head("/", "x: " + "y" * limits.HTTP_HEAD_BYTES_MAX))
        assert (reply.status, reply.problem) == (431, "head-too-large")
        assert speaker.is_ended()


def test_headers_that_never_end_are_refused_at_the_limit(door: ServedBus) -> None:
    with speaking(door) as speaker:
        speaker.send(b"GET / HTTP/1.1\r\n")
        for number in range(70):
            speaker.send(b"x%d: " % number + b"y" * 1000 + b"\r\n")
        assert speaker.read().status == 431


# Time


def test_a_connection_that_says_nothing_is_ended(door: ServedBus) -> None:
    with speaking(door) as speaker:
        await_phase(door, Phase.HEAD)
        sweep_later(door)
        assert speaker.read().problem == "too-slow"
        assert speaker.is_ended()


def test_slow_headers_are_cut_off(door: ServedBus) -> None:
    with speaking(door) as speaker:
        speaker.send(b"GET / HTTP/1.1\r\nhost: 127")
        await_phase(door, Phase.HEAD)
        sweep_later(door)
        assert (speaker.read().status, speaker.is_ended()) == (408, True)


def test_a_slow_body_is_cut_off_and_nothing_of_it_is_kept(door: ServedBus, name: str) -> None:
    with speaking(door) as speaker:
        speaker.send(publishing(name, f"content-length: {len(BODY)}") + BODY[:30])
        await_phase(door, Phase.BODY)
        sweep_later(door)
        reply = speaker.read()
        assert (reply.status, reply.problem, speaker.is_ended()) == (408, "too-slow", True)
    assert door.events(name) == []


def test_empty_lines_do_not_keep_a_connection(door: ServedBus) -> None:
    with speaking(door) as speaker:
        assert speaker.ask(head("/healthz")).status == 200
        speaker.send(b"\r\n")
        await_phase(door, Phase.HEAD)
        sweep_later(door)
        assert speaker.read().status == 408


def test_a_connection_at_rest_is_left_alone(door: ServedBus) -> None:
    with speaking(door) as speaker:
        assert speaker.ask(head("/healthz")).status == 200
        sweep_later(door)
        assert speaker.ask(head("/healthz")).status == 200


# Callers that hang up


def test_a_body_that_is_cut_off_is_not_accepted(door: ServedBus, name: str) -> None:
    speaker = Speaker(door, door.connect())
    speaker.send(publishing(name, f"content-length: {len(BODY)}") + BODY[:-1])
    await_phase(door, Phase.BODY)
    speaker.hang_up()
    while held(door, Phase.BODY):
        pass
    assert door.events(name) == []


def test_what_a_caller_that_hangs_up_had_sent_whole_is_accepted(door: ServedBus, name: str) -> None:
    speaker = Speaker(door, door.connect())
    speaker.send(publishing(name, f"content-length: {len(BODY)}") + BODY)
    speaker.hang_up()
    door.wait_until(lambda: len(door.events(name)) == 1)


# Form


@pytest.mark.parametrize(
    "data",
    [
        b"HELLO\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost 127.0.0.1\r\n\r\n",
        head("/v1/buses/default/events", "content-length: 5", "transfer-encoding: chunked", method="POST"),
        head("/v1/buses/default/events", "content-length: -1", method="POST"),
        head("/v1/buses/default/events", "content-length: 5", "content-length: 6", method="POST"),
        head("/v1/buses/default/events", "transfer-encoding: chunked", method="POST") + b"zz\r\n",
        b"GET http://[::1 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_as_a_problem(door: ServedBus, data: bytes) -> None:
    with speaking(door) as speaker:
        reply = speaker.ask(data)
        assert (reply.status, reply.headers["content-type"]) == (400, "application/problem+json")
        assert speaker.is_ended()


def test_a_header_that_decides_stands_once(door: ServedBus, name: str) -> None:
    with speaking(door) as speaker:
        reply = speaker.ask(publishing(name, "content-type: text/plain", f"content-length: {len(BODY)}") + BODY)
    assert (reply.status, json.loads(reply.body)["at"]) == (400, "header content-type")


def test_a_connection_is_kept_for_the_next_request(door: ServedBus, name: str) -> None:
    with speaking(door) as speaker:
        for _ in range(3):
            assert speaker.ask(publishing(name, f"content-length: {len(BODY)}") + BODY).status == 202


def test_requests_sent_ahead_are_answered_in_order(door: ServedBus, name: str) -> None:
    with speaking(door) as speaker:
        speaker.send(publishing(name, f"content-length: {len(BODY)}") + BODY + head("/healthz") + head("/nowhere"))
        assert [speaker.read().status for _ in range(3)] == [202, 200, 404]


def test_an_offer_to_upgrade_is_passed_over(door: ServedBus, name: str) -> None:
    """Java's HttpClient offers h2c with its first request, a POST with a body among them."""
    with speaking(door) as speaker:
        offer = ("connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAMAAABk")
        assert speaker.ask(publishing(name, *offer, f"content-length: {len(BODY)}") + BODY).status == 202
        assert speaker.ask(head("/healthz")).status == 200
    assert len(door.events(name)) == 1


def test_a_caller_may_ask_before_it_sends_the_body(door: ServedBus, name: str) -> None:
    with speaking(door) as speaker:
        speaker.send(publishing(name, "expect: 100-continue", f"content-length: {len(BODY)}"))
        assert speaker._file.readline() == b"HTTP/1.1 100 Continue\r\n"
        speaker._file.readline()
        assert speaker.ask(BODY).status == 202


def test_http_1_0_is_answered_and_ended(door: ServedBus) -> None:
    with speaking(door) as speaker:
        reply = speaker.ask(b"GET /healthz HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n")
        assert (reply.status, speaker.is_ended()) == (200, True)


# Number


def test_a_connection_too_many_is_told_to_come_back(door: ServedBus, monkeypatch: pytest.MonkeyPatch) -> None:
    with speaking(door) as first:
        assert first.ask(head("/healthz")).status == 200
        count = door.on_loop(lambda: len(door.server.connections))
        monkeypatch.setattr(limits, "HTTP_CONNECTIONS_MAX", count)
        with speaking(door) as second:
            reply = second.ask(head("/healthz"))
            assert (reply.status, reply.problem, reply.headers["retry-after"]) == (503, "overloaded", "1")
            assert second.is_ended()
        assert first.ask(head("/healthz")).status == 200


def test_a_caller_that_reads_nothing_is_ended(door: ServedBus, name: str) -> None:
    event = json.loads(BODY) | {"data": "x" * 900_000}
    for number in range(8):
        assert door.publish(name, event | {"id": str(number)}).status_code == 202
    with speaking(door) as speaker:
        speaker.send(head(f"/v1/buses/{name}/events") * 4)

        def stuck() -> list[Connection]:
            return [each for each in door.server.connections if each.transport.get_write_buffer_size()]

        while not door.on_loop(stuck):
            pass
        door.on_loop(lambda: door.server.sweep(door.time()))
        sweep_later(door)
        while door.on_loop(stuck):
            pass


def test_a_trailer_is_no_header(door: ServedBus, name: str) -> None:
    """Neither does it say what the body is, nor is it held in memory."""
    head = (
        f"POST /v1/buses/{name}/events HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    )
    event = b'{"specversion":"1.0","id":"1","source":"/s","type":"t"}'
    trailer = b"content-type: application/cloudevents+json\r\n" + b"x: y\r\n" * 1_000
    with door.connect() as connection:
        connection.sendall(head.encode() + b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(event), event, trailer))
        assert connection.recv(4096).startswith(b"HTTP/1.1 415 ")
    assert door.events(name) == []
