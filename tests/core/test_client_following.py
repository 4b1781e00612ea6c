"""The client follows a bus: messages out of bytes, one connection after another, and what patience makes of trouble."""

import asyncio
import itertools
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventyard.client import AsyncClient, Client, ClientError, Gap, Patience, ProblemError, StoredEvent, Unreachable
from eventyard.client.messages import MESSAGE_BYTES_MAX, Message, Messages, TooLong

AT_ONCE = Patience(attempts_max=3, first_s=0.0)
STREAM = {"content-type": "text/event-stream"}


def event(position: int) -> bytes:
    document = {"position": position, "accepted": "2026-01-01T00:00:00.000Z", "event": {"id": str(position)}}
    return f"id: {position}\ndata: {json.dumps(document)}\n\n".encode()


def named(name: str, position: int, **members: Any) -> bytes:
    return f"id: {position}\nevent: {name}\ndata: {json.dumps({'position': position} | members)}\n\n".encode()


def heartbeat(position: int) -> bytes:
    return named("heartbeat", position)


# Messages


def messages(*received: bytes) -> list[Message]:
    reader = Messages()
    return [message for part in received for message in reader.read(part)]


def test_a_message_has_its_name_its_data_and_the_last_id() -> None:
    text = b"id: 1\nevent: a\ndata: x\n\ndata: y\ndata:  z\n\n: said aside\nretry: 1000\nunknown\nevent: lost\n\ndata\n\n"
    assert messages(text) == [Message("a", b"x", "1"), Message("", b"y\n z", "1"), Message("", b"", "1")]


def test_what_is_not_whole_at_the_end_is_no_message() -> None:
    assert messages(b"id: 1\ndata: x\n") == []
    assert messages(b"id: 1\ndata: x\n\nid: 2\ndata: y") == [Message("", b"x", "1")]


def test_an_id_with_a_nul_is_passed_over() -> None:
    assert messages(b"id: 1\nid: \x002\ndata: x\n\n") == [Message("", b"x", "1")]


LINES = st.lists(st.sampled_from(["id: 1", "id: 2", "event: gap", "data: x", "data: ä", ":", "data", "", ""]), max_size=30)


@given(LINES, st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 300), max_size=10))
def test_messages_are_the_same_however_lines_end_and_bytes_are_cut(lines: list[str], end: str, cuts: list[int]) -> None:
    plain = "".join(line + "\n" for line in lines).encode()
    text = "".join(line + end for line in lines).encode()
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    parts = [text[first:last] for first, last in itertools.pairwise(edges)]
    # A stream that ends in CR may go on with LF: its last message is held until that is known.
    assert messages(*parts, b":" if end == "\r" else b"") == messages(plain)


@pytest.mark.parametrize("part", [b"data: " + b"x" * 1_000_000 + b"\n", b"x" * 1_000_000])
def test_a_message_without_end_is_no_stream_of_ours(part: bytes) -> None:
    count = MESSAGE_BYTES_MAX // len(part)
    assert messages(*[part] * count) == []
    with pytest.raises(TooLong):
        messages(*[part] * (count + 2))


# Connections


class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that breaks off."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def __iter__(self) -> Iterator[bytes]:
        yield self._text
        raise httpx.ReadError("reset")

    async def __aiter__(self) -> Any:
        yield self._text
        raise httpx.ReadError("reset")


Answer = httpx.Response | Exception


class Server:
    """Gives one answer after the other, and at last refuses, which ends the following."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = iter(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = next(self._answers, httpx.Response(404, json={"type": "urn:eventyard:problem:not-found", "status": 404}))
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def last_ids(self) -> list[str | None]:
        return [request.headers.get("last-event-id") for request in self.asked]


def stream(*parts: bytes) -> httpx.Response:
    return httpx.Response(200, headers=STREAM, content=b"".join(parts))


def broken(*parts: bytes) -> httpx.Response:
    return httpx.Response(200, headers=STREAM, stream=Broken(b"".join(parts)))


class Followed:
    """What came of following until it ended: events, contacts, and the error that ended it."""

    def __init__(self) -> None:
        self.events: list[StoredEvent] = []
        self.contacts: list[ClientError | None] = []
        self.error: ClientError | None = None

    @property
    def positions(self) -> list[int]:
        return [event.position for event in self.events]


def synchronously(server: Server, **arguments: Any) -> Followed:
    followed = Followed()
    with Client(transport=httpx.MockTransport(server), patience=AT_ONCE, rng=random.Random(0)) as client:
        try:
            followed.events.extend(client.follow(on_contact=followed.contacts.append, **arguments))
        except ClientError as error:
            followed.error = error
    return followed


def asynchronously(server: Server, **arguments: Any) -> Followed:
    followed = Followed()

    async def run() -> None:
        async with AsyncClient(transport=httpx.MockTransport(server), patience=AT_ONCE, rng=random.Random(0)) as client:
            async for stored in client.follow(on_contact=followed.contacts.append, **arguments):
                followed.events.append(stored)

    try:
        asyncio.run(run())
    except ClientError as error:
        followed.error = error
    return followed


Shell = Callable[..., Followed]
both_shells = pytest.mark.parametrize("through", [synchronously, asynchronously])


def code(followed: Followed) -> str:
    assert isinstance(followed.error, ProblemError)
    return followed.error.code


@both_shells
def test_it_asks_for_the_stream_with_its_pattern_from_its_position_on(through: Shell) -> None:
    server = Server(stream(heartbeat(3), event(4)))
    followed = through(server, bus="a b", after=3, pattern={"type": ["t"]})
    request = server.asked[0]
    assert request.url.raw_path.startswith(b"/v1/buses/a%20b/stream?")
    assert dict(request.url.params) == {"pattern": '{"type":["t"]}'}
    assert (request.headers["accept"], request.headers["last-event-id"]) == ("text/event-stream", "3")
    assert (followed.positions, followed.events[0].event) == ([4], {"id": "4"})


@both_shells
def test_a_connection_that_breaks_is_followed_by_one_that_begins_where_it_ended(through: Shell) -> None:
    half = event(3)[:20]
    server = Server(broken(heartbeat(0), event(1), event(2), half), stream(heartbeat(2), event(3)), stream(heartbeat(3)))
    followed = through(server, after=0)
    assert followed.positions == [1, 2, 3]
    assert server.last_ids == ["0", "2", "3", "3"]


@both_shells
def test_from_now_on_is_where_the_first_connection_began(through: Shell) -> None:
    server = Server(broken(heartbeat(7)), stream(heartbeat(7), event(8)))
    assert through(server).positions == [8]
    assert server.last_ids == [None, "7", "8"]


@both_shells
def test_a_heartbeat_moves_the_place_to_go_on_from(through: Shell) -> None:
    server = Server(broken(heartbeat(0), event(1), heartbeat(900)), stream())
    through(server, after=0)
    assert server.last_ids == ["0", "900", "900"]


@both_shells
def test_trouble_is_told_and_so_is_every_contact(through: Shell) -> None:
    server = Server(
        httpx.ConnectError("refused"),
        httpx.Response(503, json={"type": "urn:eventyard:problem:overloaded", "status": 503}),
        stream(heartbeat(0), event(1), named("cut", 1, reason="stopping")),
    )
    followed = through(server)
    assert [type(contact) for contact in followed.contacts] == [Unreachable, ProblemError, type(None), Unreachable]
    assert "the server ended the stream: stopping" in str(followed.contacts[3])
    assert code(followed) == "not-found"


@both_shells
def test_patience_ends_after_attempts_that_came_to_nothing(through: Shell) -> None:
    server = Server(*[httpx.ConnectError("refused")] * 9)
    followed = through(server)
    assert isinstance(followed.error, Unreachable)
    assert len(server.asked) == AT_ONCE.attempts_max


@both_shells
def test_a_server_that_only_ever_begins_is_not_asked_for_ever(through: Shell) -> None:
    server = Server(*(broken(heartbeat(0)) for _ in range(9)))
    assert isinstance(through(server).error, Unreachable)
    assert len(server.asked) == AT_ONCE.attempts_max


@both_shells
def test_patience_starts_again_with_every_event(through: Shell) -> None:
    server = Server(*(broken(heartbeat(number), event(number + 1)) for number in range(9)))
    followed = through(server, after=0)
    assert followed.positions == list(range(1, 10))
    assert code(followed) == "not-found"


@both_shells
def test_a_gap_is_an_error_behind_which_it_can_go_on(through: Shell) -> None:
    text = b'id: 9\nevent: gap\ndata: {"from":2,"to":9,"reason":"retention"}\n\n'
    followed = through(Server(stream(heartbeat(0), event(1), text, event(10))), after=0)
    assert followed.positions == [1]
    assert isinstance(followed.error, Gap)
    assert (followed.error.first, followed.error.last, followed.error.reason) == (2, 9, "retention")
    assert str(followed.error) == "events 2 to 9 cannot be given: retention"


@both_shells
@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"content-type": "text/html"}, heartbeat(0)),
        (STREAM, b"data: <html>\n\n"),
        (STREAM, b"data: \xff\n\n"),
        (STREAM, b"event: gap\ndata: {}\n\n"),
        (STREAM, b"event: \xff\ndata: {}\n\n"),
    ],
)
def test_what_is_no_stream_of_eventyards_says_so(through: Shell, headers: dict[str, str], text: bytes) -> None:
    assert code(through(Server(httpx.Response(200, headers=headers, content=text)))) == "unreadable-answer"


@both_shells
def test_a_refusal_is_raised_at_once(through: Shell) -> None:
    server = Server(httpx.Response(400, json={"type": "urn:eventyard:problem:invalid-pattern", "status": 400}))
    assert code(through(server, pattern="{}")) == "invalid-pattern"
    assert len(server.asked) == 1


def test_the_connection_is_given_back_when_the_reader_leaves() -> None:
    server = Server(stream(heartbeat(0), event(1), event(2)))
    with Client(transport=httpx.MockTransport(server)) as client:
        events = client.follow(after=0)
        assert next(events).position == 1
        events.close()  # type: ignore[attr-defined]  # a generator
        assert next(events, None) is None
    assert len(server.asked) == 1


def test_a_silence_longer_than_three_heartbeats_ends_a_connection() -> None:
    server = Server(stream())
    synchronously(server)
    assert server.asked[0].extensions["timeout"]["read"] == 45.0
