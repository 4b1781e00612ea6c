"""Damage as the door tells it: a store that lost something is only read, and an event that is damaged is never answered."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

import eventyard
from eventyard.engines.sqlite import SqliteEngine, files
from eventyard.engines.sqlite.place import place
from tests.support.builders import an_event
from tests.support.buses import ServedBus, served_bus
from tests.support.harm import crashed
from tests.support.targets import Target, answers

KEPT, LOST = 5, 3


@pytest.fixture
def target() -> Iterator[Target]:
    with Target(answers(500)) as made:
        yield made


@pytest.fixture
def store(tmp_path: Path, target: Target) -> Path:
    """Some events in the file with deliveries that fail and wait for their retry; then more events, in a log that is lost."""

    async def story() -> Path:
        path = tmp_path / files.DATABASE
        delivery = {"backoff": {"initial_s": 0.01, "max_s": 0.01}}
        document = {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": target.url}}, "delivery": delivery}
        async with eventyard.open(path) as bus:
            await bus.create_bus("shop")
            await bus.put_rule("shop", "paid", json.dumps(document).encode())
            await bus.publish("shop", [an_event(number) for number in range(KEPT)])
            while bus.head("shop") < HEAD:  # noqa: ASYNC110 - the bus itself publishes the last one, when a push has failed
                await asyncio.sleep(0.005)
        async with eventyard.open(path) as bus:
            await bus.publish("shop", [an_event(100 + number) for number in range(LOST)])
            await bus.create_bus("newest")
            return crashed(path)

    path = asyncio.run(story())
    files.log(path).unlink()
    return path


@pytest.fixture
def bus(store: Path) -> Iterator[ServedBus]:
    with served_bus(SqliteEngine(str(store))) as bus:
        yield bus


HEAD = KEPT + 2
"""The rule's creation, the events, and that the rule is failing."""


def test_what_is_there_can_be_read(bus: ServedBus) -> None:
    assert [event["id"] for event in bus.events("shop")] == [f"e{number}" for number in range(KEPT)]
    assert bus.get(f"/v1/buses/shop/events/{HEAD - 1}").json()["event"]["id"] == "e4"
    status = bus.get("/v1/buses/shop/rules/paid/status").json()
    assert status["pending"] == KEPT
    assert bus.get("/v1/buses/shop").json()["head"] == HEAD


def test_it_can_be_watched_and_says_that_it_is_not_ready(bus: ServedBus) -> None:
    told = bus.get("/metrics").text
    assert "eventyard_ready 0.0" in told
    assert f'eventyard_bus_head_position{{bus="shop"}} {HEAD}.0' in told
    assert f'eventyard_rule_lag_events{{bus="shop",rule="paid"}} {KEPT}.0' in told


def test_publishing_is_refused_with_the_gap_and_what_to_do(bus: ServedBus, store: Path) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    answer = bus.publish("shop", event)

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "60"
    problem = answer.json()
    assert problem["type"] == "urn:eventyard:problem:store-behind"
    assert (
        f'bus "shop" ends at position {HEAD} and had reached {HEAD + LOST}: {HEAD + 1} to {HEAD + LOST} are lost'
        in problem["found"]
    )
    assert problem["wanted"] == f"a repair, with the server stopped: eventyard doctor --repair --data {store.parent}"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/buses/another", None),
        ("DELETE", "/v1/buses/shop", None),
        ("PUT", "/v1/buses/shop/rules/new", {"pattern": {"type": ["t"]}, "target": {"http": {"url": "http://127.0.0.1:9/"}}}),
        ("DELETE", "/v1/buses/shop/rules/paid", None),
        ("POST", "/v1/buses/shop/rules/paid/resume", None),
        ("POST", "/v1/buses/shop/rules/paid/dead-letters/redrive", {"all": True}),
    ],
)
def test_every_write_is_refused(bus: ServedBus, method: str, path: str, body: object) -> None:
    answer = bus.request(method, path, json=body) if body else bus.request(method, path)

    assert (answer.status_code, answer.json()["type"]) == (503, "urn:eventyard:problem:store-behind")


def test_a_bus_that_is_not_there_may_be_what_was_lost(bus: ServedBus) -> None:
    """404 would be a lie: it was created, and the answer kept."""
    assert bus.get("/v1/buses/newest/events").json()["type"] == "urn:eventyard:problem:store-behind"


def test_it_is_not_ready_and_says_why(store: Path) -> None:
    engine = SqliteEngine(str(store))
    with served_bus(engine) as bus:
        told = bus.yard.unready()

    assert len(told) == 1
    assert told[0].startswith('a repair: bus "system" ends at')
    assert f"{HEAD + 1} to {HEAD + LOST} are lost" in told[0]


def test_nothing_is_pushed(store: Path, target: Target) -> None:
    """What waits may be settled already, in what was lost. Without its marks the same store pushes at once."""
    pushed = len(target.requests)
    unmarked = crashed(store, "unmarked")
    files.marks(unmarked).unlink()
    with served_bus(SqliteEngine(str(store))) as bus:
        for _ in range(5):
            bus.publish("shop", {"specversion": "1.0", "id": "1", "source": "/s", "type": "order.paid"})
            bus.yard._writer.step()
    assert len(target.requests) == pushed

    with served_bus(SqliteEngine(str(unmarked))):
        target.wait_for_requests(pushed + KEPT)


# Single damaged events


@pytest.fixture
def hit(tmp_path: Path) -> Path:
    """A store of which the third of five events is not what was written."""

    async def story() -> Path:
        path = tmp_path / "hit" / files.DATABASE
        async with eventyard.open(path) as bus:
            await bus.publish("default", [an_event(number) for number in range(1, 6)])
        return path

    path = asyncio.run(story())
    raw = apsw.Connection(str(path))
    changed = """CAST(replace(CAST(json AS TEXT), '"n":3', '"n":4') AS BLOB)"""
    raw.execute(f"UPDATE event SET json = {changed} WHERE place = ?", (place(1, 3),))  # noqa: S608 - the test's own
    raw.execute("INSERT INTO gap VALUES (1, 5, 5, 'the test', 1)")
    raw.execute("DELETE FROM event WHERE place IN (?, ?)", (place(1, 4), place(1, 5)))
    raw.close()
    return path


def test_a_damaged_event_is_never_answered_and_the_rest_is(hit: Path) -> None:
    with served_bus(SqliteEngine(str(hit))) as bus:
        assert [event["id"] for event in bus.events("default")] == ["e1", "e2"]
        codes = {at: bus.get(f"/v1/buses/default/events/{at}") for at in range(1, 7)}
        assert [answer.status_code for answer in codes.values()] == [200, 200, 500, 500, 404, 404]
        assert codes[3].json()["type"] == codes[4].json()["type"] == "urn:eventyard:problem:damaged"
        assert "lost (the test)" in codes[5].json()["found"]
        assert bus.publish("default", {"specversion": "1.0", "id": "9", "source": "/s", "type": "t"}).json()["position"] == 6


def test_a_bus_with_damaged_events_is_ready_and_says_how_many(hit: Path) -> None:
    with served_bus(SqliteEngine(str(hit))) as bus:
        bus.get("/v1/buses/default/events")
        bus.yard._engine.verify(1, 1, 5)
        answer = bus.get("/readyz")

    assert answer.status_code == 200
    assert answer.json()["damaged"] == {"default": 2}
    assert set(answer.json()["scrub"]) == {"bus", "position", "of", "passes"}


def test_a_database_that_cannot_be_written_any_more_says_what_repairs_it(tmp_path: Path) -> None:
    """The page that new events are appended to is gone."""
    path = tmp_path / files.DATABASE
    with served_bus(SqliteEngine(str(path))) as bus:
        for number in range(60):
            bus.publish("default", {"specversion": "1.0", "id": str(number), "source": "/s", "type": "t", "data": "x" * 2_000})
    page = path.read_bytes().index(b'"id": "59"') // 8192
    with path.open("r+b") as file:
        file.seek(page * 8192)
        file.write(b"\xff" * 8192)
    with served_bus(SqliteEngine(str(path))) as bus:
        refused = bus.publish("default", {"specversion": "1.0", "id": "new", "source": "/s", "type": "t"})
        told = bus.yard.unready()
        read = bus.events("default")

    assert (refused.status_code, refused.json()["type"]) == (500, "urn:eventyard:problem:damaged")
    assert len(told) == 1
    assert f"eventyard doctor --repair --data {tmp_path} saves what can be read" in told[0]
    assert 50 <= len(read) < 60
