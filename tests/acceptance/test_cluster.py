"""A server whose bus is kept by a journal on NATS JetStream, as processes that are killed."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from eventyard import settings
from eventyard.core.errors import InvalidSettings
from eventyard.serve import kept
from tests.crash.process import Death, Server
from tests.crash.weather import lose_store
from tests.support.nats_servers import NatsServer, nats_server

EVENTS = 200
WAIT_S = 40.0


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
def node(tmp_path: Path, journal: NatsServer) -> Iterator[Server]:
    made = Server(tmp_path / "data", journal.url)
    yield made
    made.end_surely()


def publish(url: str, number: int) -> int:
    """The position that it was accepted at."""
    event = {"specversion": "1.0", "id": str(number), "source": "/test", "type": "number"}
    headers = {"content-type": "application/cloudevents+json"}
    answer = httpx.post(f"{url}/v1/buses/default/events", json=event, headers=headers, timeout=WAIT_S)
    assert answer.status_code == 202, answer.text
    return int(answer.json()["position"])


def log(url: str) -> list[tuple[int, str]]:
    answer = httpx.get(f"{url}/v1/buses/default/events?after=0&order=asc&limit=1000", timeout=WAIT_S).json()
    numbers = [one for one in answer["events"] if one["event"]["type"] == "number"]
    return [(one["position"], one["event"]["id"]) for one in numbers]


def test_a_node_that_is_killed_and_loses_its_store_has_all_that_it_accepted(
    tmp_path: Path, journal: NatsServer, node: Server
) -> None:
    accepted: dict[str, int] = {}
    assert node.start(Death())
    put = {"pattern": {"type": ["number"]}, "target": {"queue": {}}}
    assert httpx.put(f"{node.url}/v1/buses/default/rules/all", json=put, timeout=WAIT_S).status_code < 300
    is_going = threading.Event()

    def produce() -> None:
        for number in range(EVENTS):
            try:
                accepted[str(number)] = publish(node.url, number)
            except httpx.HTTPError:
                return
            if number == EVENTS // 4:
                is_going.set()

    producer = threading.Thread(target=produce)
    producer.start()
    assert is_going.wait(WAIT_S)
    journal.kill()
    journal.start()
    node.kill()
    producer.join()
    lose_store(tmp_path / "data")

    assert node.start(Death())

    found = log(node.url)
    assert len({event for _, event in found}) == len(found)
    assert {event: position for position, event in found if event in accepted} == accepted
    received = httpx.post(f"{node.url}/v1/buses/default/rules/all/receive", json={"max": 1000}, timeout=WAIT_S).json()
    assert [one["position"] for one in received["deliveries"]] == [position for position, _ in found]
    assert node.stop() == 0


def test_who_starts_last_leads_and_the_other_says_so(tmp_path: Path, journal: NatsServer, node: Server) -> None:
    assert node.start(Death())
    publish(node.url, 1)
    other = Server(tmp_path / "other", journal.url)
    try:
        assert other.start(Death())
        event = {"specversion": "1.0", "id": "2", "source": "/test", "type": "number"}
        headers = {"content-type": "application/cloudevents+json"}
        refused = httpx.post(f"{node.url}/v1/buses/default/events", json=event, headers=headers, timeout=WAIT_S)
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:eventyard:problem:not-leading")
        assert refused.headers["retry-after"]
        unready = httpx.get(f"{node.url}/readyz", timeout=WAIT_S)
        assert (unready.status_code, unready.json()["waiting_for"]) == (
            503,
            ["found that another node leads this bus now; wanted to ask it"],
        )

        publish(other.url, 2)

        assert [event for _, event in log(other.url)] == ["1", "2"]
    finally:
        other.end_surely()


@pytest.mark.parametrize(("left", "engine"), [("eventyard.db", "nats://127.0.0.1:1"), ("replica.db", "sqlite")])
def test_a_folder_of_another_engine_is_refused(tmp_path: Path, left: str, engine: str) -> None:
    (tmp_path / left).touch()

    with pytest.raises(InvalidSettings, match=f"found .*{left}, the store of a bus"):
        kept(settings.load({"data": str(tmp_path), "engine": engine}, environment={}))
