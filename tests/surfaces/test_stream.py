"""The log as server-sent events: what a reader gets, where it goes on, and how a stream ends."""

import http.client
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import quote

import pytest

from eventyard.core import limits
from eventyard.engines.memory import MemoryEngine
from tests.support.buses import ServedBus, served_bus
from tests.support.listeners import Listener, Message, listening

EVENT = {"specversion": "1.0", "source": "/shop", "type": "order.paid"}
PAID = quote(json.dumps({"type": ["order.paid"]}))


def publish(door: ServedBus, name: str, *numbers: int, **attributes: Any) -> None:
    batch = [EVENT | {"id": str(number)} | attributes for number in numbers]
    answer = door.publish(name, batch, "application/cloudevents-batch+json")
    assert (answer.status_code, [event["duplicate"] for event in answer.json()["events"]]) == (202, [False] * len(batch))


def head(door: ServedBus, name: str) -> int:
    position: int = door.get(f"/v1/buses/{name}").json()["head"]
    return position


@contextmanager
def following(door: ServedBus, name: str, query: str = "", **options: Any) -> Iterator[Listener]:
    """A stream whose first message was read."""
    with listening(door, f"/v1/buses/{name}/stream{query}", **options) as stream:
        assert stream.status == 200
        assert stream.next().name == "heartbeat"
        yield stream


def streams(door: ServedBus) -> int:
    """How many the bus holds."""
    count: int = door.on_loop(lambda: len(door.yard._streams))
    return count


def await_streams(door: ServedBus, count: int) -> None:
    while streams(door) != count:
        pass


def sweep_after(door: ServedBus, seconds: float) -> None:
    """As if so much time had passed, in which the sweeps found no change."""
    door.on_loop(lambda: door.server.sweep(door.time()))
    door.on_loop(lambda: door.server.sweep(door.time() + seconds))


def positions(messages: list[Message]) -> list[int]:
    return [message.id for message in messages]


# Events


def test_a_stream_says_where_it_begins_and_what_it_is(door: ServedBus, name: str) -> None:
    publish(door, name, 1, 2)
    with listening(door, f"/v1/buses/{name}/stream") as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-store"
        assert stream.next() == Message(2, "heartbeat", {"position": 2})


def test_an_event_has_no_name_and_is_the_document_that_history_gives(door: ServedBus, name: str) -> None:
    publish(door, name, 1, data={"total": 1.5})
    with following(door, name, "?after=0") as stream:
        message = stream.next()
    assert (message.id, message.name) == (1, "")
    assert message.data == door.get(f"/v1/buses/{name}/events/1").json()


def test_an_event_that_came_over_several_lines_goes_out_on_one(door: ServedBus, name: str) -> None:
    text = b'{"specversion": "1.0",\r\n "id": "1",\n"source": "/shop",\r"type": "t", "data": {"n": 1.10, "text": "a\\nb"}}'
    assert door.publish(name, text).status_code == 202
    with listening(door, f"/v1/buses/{name}/stream?after=0") as stream:
        stream.next()
        line = next(line for line in iter(stream._answer.readline, b"") if line.startswith(b"data: "))
    assert line.endswith(text.replace(b"\r", b" ").replace(b"\n", b" ") + b"}\n")


def test_events_come_as_they_are_published(door: ServedBus, name: str) -> None:
    with following(door, name) as stream:
        for number in (1, 2, 3):
            publish(door, name, number)
            assert stream.next().data["event"]["id"] == str(number)


def test_a_pattern_chooses(door: ServedBus, name: str) -> None:
    publish(door, name, 1, 2, type="order.sent")
    publish(door, name, 3)
    with following(door, name, f"?after=0&pattern={PAID}") as stream:
        publish(door, name, 4, type="order.sent")
        publish(door, name, 5)
        assert positions(stream.events(2)) == [3, 5]


def test_two_hundred_streams_get_every_event(door: ServedBus, name: str) -> None:
    with ExitStack() as stack:
        followers = [stack.enter_context(following(door, name)) for _ in range(200)]
        for number in range(20):
            publish(door, name, number)
        for stream in followers:
            assert positions(stream.events(20)) == list(range(1, 21))
    await_streams(door, 0)


# Going on


def test_it_goes_on_after_the_last_event_id_whatever_the_query_says(door: ServedBus, name: str) -> None:
    publish(door, name, 1, 2, 3)
    with following(door, name, "?after=0", last_event_id="2") as stream:
        assert stream.next().id == 3


def test_a_reader_that_breaks_off_anywhere_misses_nothing_and_gets_nothing_twice(door: ServedBus, name: str) -> None:
    publish(door, name, *range(300), data="x" * 3_000)
    seen: list[int] = []
    while len(seen) < 300:
        last = str(seen[-1]) if seen else "0"
        with following(door, name, last_event_id=last) as stream:
            seen += positions(stream.events(min(37, 300 - len(seen))))
    assert seen == list(range(1, 301))


@pytest.mark.parametrize("last", ["", "x", "-1", "1.0", "1,2", "99999999999999999", "٣", str(2**53)])
def test_a_last_event_id_that_is_no_position_is_refused(door: ServedBus, name: str, last: str) -> None:
    with listening(door, f"/v1/buses/{name}/stream", last_event_id=last.encode().decode("latin-1")) as stream:
        problem = stream.problem()
        assert (stream.status, problem["at"]) == (400, "header Last-Event-ID")
        assert problem["wanted"] == "a position, 0 to 9007199254740991"


def test_a_last_event_id_stands_once(door: ServedBus, name: str) -> None:
    headers = [("last-event-id", "0"), ("last-event-id", "0")]
    answer = door.get(f"/v1/buses/{name}/stream", headers=headers)
    assert (answer.status_code, answer.json()["at"]) == (400, "header last-event-id")


@pytest.mark.parametrize("after", ["x", "-1", "1.5", str(2**53)])
def test_an_after_that_is_no_position_is_refused(door: ServedBus, name: str, after: str) -> None:
    answer = door.get(f"/v1/buses/{name}/stream", params={"after": after})
    assert (answer.status_code, answer.json()["at"]) == (400, "query after")


def test_a_position_that_the_log_has_not_reached_is_refused(door: ServedBus, name: str) -> None:
    publish(door, name, 1)
    by_query = door.get(f"/v1/buses/{name}/stream?after=2")
    by_header = door.get(f"/v1/buses/{name}/stream", headers={"last-event-id": "2"})
    assert [answer.status_code for answer in (by_query, by_header)] == [400, 400]
    assert by_query.json()["detail"] == "at query after: found the position 2; wanted 0 to 1, the bus's last event"
    assert by_header.json()["at"] == "header Last-Event-ID"


# What it says of itself


def test_after_a_silence_a_heartbeat_carries_the_position_that_was_looked_at(door: ServedBus, name: str) -> None:
    with following(door, name, f"?pattern={PAID}") as stream:
        publish(door, name, 1, 2, 3, type="order.sent")
        await_position(door, 3)
        sweep_after(door, limits.STREAM_SILENCE_S)
        assert stream.next() == Message(3, "heartbeat", {"position": 3})


def await_position(door: ServedBus, position: int) -> None:
    """Until the only stream has looked so far."""
    while door.on_loop(lambda: [stream.position for stream in door.yard._streams._open]) != [position]:
        pass


def test_a_stream_that_has_just_spoken_gives_no_heartbeat(door: ServedBus, name: str) -> None:
    with following(door, name) as stream:
        sweep_after(door, limits.STREAM_SILENCE_S - 1)
        publish(door, name, 1)
        assert stream.next().name == ""


def test_what_was_removed_is_told_and_then_it_goes_on(door: ServedBus, name: str) -> None:
    publish(door, name, *range(1, 10))
    door.yard._state(name).floor = 6
    with following(door, name, "?after=2") as stream:
        assert stream.next() == Message(5, "gap", {"from": 3, "to": 5, "reason": "retention"})
        assert positions(stream.events(4)) == [6, 7, 8, 9]


def test_what_is_damaged_is_told_and_then_it_goes_on() -> None:
    engine = MemoryEngine()
    with served_bus(engine) as door:
        publish(door, "default", 1, 2, 3)
        del engine._buses[1].events[2]
        with following(door, "default", "?after=0") as stream:
            assert [stream.next() for _ in range(3)][1] == Message(2, "gap", {"from": 2, "to": 2, "reason": "damaged"})


# Slow readers


def fill(door: ServedBus, name: str) -> None:
    """More than sockets and a stream hold for a reader."""
    for number in range(16):
        publish(door, name, number, data="x" * 900_000)


def stuck(door: ServedBus) -> bool:
    found: bool = door.on_loop(lambda: any(each.transport.get_write_buffer_size() for each in door.server.connections))
    return found


def test_a_reader_that_takes_nothing_is_cut_with_the_position_to_go_on_from(door: ServedBus, name: str) -> None:
    fill(door, name)
    with following(door, name, "?after=0", buffer_bytes=4096) as slow:
        while not stuck(door):
            pass
        sweep_after(door, limits.HTTP_UNREAD_S_MAX + 1)
        await_streams(door, 0)
        *events, cut = slow.rest()
    assert positions(events) == list(range(1, len(events) + 1))
    assert cut == Message(len(events), "cut", {"position": len(events), "reason": "unread"})
    with following(door, name, last_event_id=str(cut.id)) as again:
        assert positions(again.events(16 - cut.id)) == list(range(cut.id + 1, 17))


def test_a_reader_that_goes_on_taking_nothing_is_ended(door: ServedBus, name: str) -> None:
    fill(door, name)
    with following(door, name, "?after=0", buffer_bytes=4096) as slow:
        while not stuck(door):
            pass
        sweep_after(door, limits.HTTP_UNREAD_S_MAX + 1)
        assert stuck(door)
        sweep_after(door, limits.HTTP_UNREAD_S_MAX + 1)
        while stuck(door):
            pass
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            list(slow.rest())


def test_a_reader_that_takes_nothing_holds_nobody_else_up(door: ServedBus, name: str) -> None:
    fill(door, name)
    with following(door, name, "?after=0", buffer_bytes=4096), following(door, name) as other:
        while not stuck(door):
            pass
        for number in range(100, 110):
            publish(door, name, number)
        assert positions(other.events(10)) == list(range(17, 27))


def test_a_reader_that_takes_nothing_makes_the_bus_hold_one_chunk(door: ServedBus, name: str) -> None:
    publish(door, name, *range(1000), data="x" * 5_000)
    with following(door, name, "?after=0", buffer_bytes=4096):
        while not stuck(door):
            pass
        sweep_after(door, limits.STREAM_SILENCE_S)  # Nothing is said to one that does not listen.
        held = door.on_loop(lambda: sum(each.transport.get_write_buffer_size() for each in door.server.connections))
        assert held <= limits.STREAM_CHUNK_BYTES * 1.1


# Ends


def test_a_reader_that_hangs_up_leaves_nothing_behind(door: ServedBus, name: str) -> None:
    before = door.on_loop(lambda: (len(door.server.connections), len(door.server.server_state.tasks)))
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(following(door, name))
        assert streams(door) == 20
    await_streams(door, 0)
    while door.on_loop(lambda: (len(door.server.connections), len(door.server.server_state.tasks))) > before:
        pass
    assert door.on_loop(lambda: (len(door.yard._streams.sleepers), door.yard._streams._looks)) == (0, {})


def test_a_stream_ends_with_its_bus(door: ServedBus, name: str) -> None:
    publish(door, name, 1)
    with following(door, name) as stream:
        assert door.delete(f"/v1/buses/{name}").status_code == 204
        assert list(stream.rest()) == [Message(1, "cut", {"position": 1, "reason": "deleted"})]


def test_a_stopped_server_ends_its_streams_well_and_stops_although_one_reads_nothing() -> None:
    with ExitStack() as stack:
        with served_bus() as door:
            fill(door, "default")
            well = stack.enter_context(following(door, "default"))
            stack.enter_context(following(door, "default", "?after=0", buffer_bytes=4096))
            while not stuck(door):
                pass
        assert not door._thread.is_alive()
        assert list(well.rest()) == [Message(16, "cut", {"position": 16, "reason": "stopping"})]


# Refusals


def test_a_pattern_that_is_none_is_refused(door: ServedBus, name: str) -> None:
    answer = door.get(f"/v1/buses/{name}/stream", params={"pattern": '{"type": "order.paid"}'})
    assert (answer.status_code, answer.json()["at"]) == (400, "query pattern, /type")


def test_a_bus_that_is_not_there_has_no_stream(door: ServedBus) -> None:
    assert door.get("/v1/buses/nowhere/stream").status_code == 404


def test_an_unknown_field_is_refused(door: ServedBus, name: str) -> None:
    assert door.get(f"/v1/buses/{name}/stream?limit=1").json()["at"] == "query limit"


def test_a_stream_too_many_is_told_to_come_back(door: ServedBus, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAMS_MAX", 1)
    await_streams(door, 0)
    with following(door, name), listening(door, f"/v1/buses/{name}/stream") as second:
        assert (second.status, second.headers["retry-after"]) == (503, "1")
        assert second.problem()["found"] == "found 1 streams"
    await_streams(door, 0)
    with following(door, name):
        pass


@pytest.mark.parametrize("header", [{"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}])
def test_a_page_of_another_origin_gets_no_stream(door: ServedBus, name: str, header: dict[str, str]) -> None:
    assert door.get(f"/v1/buses/{name}/stream", headers=header).status_code == 403


def test_a_page_of_the_bus_itself_gets_its_stream(door: ServedBus, name: str) -> None:
    with following(door, name, origin=door.url, sec_fetch_site="same-origin"):
        pass


def test_a_head_gets_the_headers_and_takes_no_stream(door: ServedBus, name: str) -> None:
    answer = door.request("HEAD", f"/v1/buses/{name}/stream")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "text/event-stream", b"")
    await_streams(door, 0)


def test_http_1_0_which_knows_no_chunks_is_refused(door: ServedBus, name: str) -> None:
    with door.connect() as connection:
        connection.sendall(f"GET /v1/buses/{name}/stream HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n".encode())
        with connection.makefile("rb") as answer:
            assert b" 400 " in answer.readline()
    await_streams(door, 0)
