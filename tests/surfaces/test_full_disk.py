"""A real disk, and full: at every stage what was accepted is kept, the rest is refused, and all goes on when there is room again."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from eventyard.core.errors import StorageFailed, StorageFull
from eventyard.engines.sqlite import SqliteEngine, files
from eventyard.engines.sqlite import engine as engines
from tests.conformance.engines import BUS, SMALL, changes, event, founding
from tests.support.buses import ServedBus, served_bus
from tests.support.commands import served
from tests.support.harm import crashed
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.targets import Target, answers


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 8) as made:
        yield made


@pytest.fixture
def path(disk: SmallDisk) -> Path:
    return disk.path / files.DATABASE


@pytest.fixture
def bus(path: Path) -> Iterator[ServedBus]:
    with served_bus(SqliteEngine(str(path))) as bus:
        yield bus


def an_event(number: int, size: int = 4_000) -> dict[str, Any]:
    return {"specversion": "1.0", "id": str(number), "source": "/s", "type": "t", "data": "x" * size}


def publish_until_refused(bus: ServedBus) -> list[str]:
    """Ids of what was accepted."""
    accepted: list[str] = []
    for number in range(10_000):
        answer = bus.publish("default", an_event(number))
        if answer.status_code != 202:
            assert answer.status_code in (503, 507)
            return accepted
        accepted.append(str(number))
    raise AssertionError("the disk does not fill")


def ids(bus: ServedBus) -> list[str]:
    return [found["id"] for found in bus.events("default")]


# Publishing


def test_a_full_disk_refuses_events_with_507_keeps_what_it_took_and_goes_on(
    bus: ServedBus, disk: SmallDisk, path: Path
) -> None:
    disk.fill(but=300_000)
    accepted = publish_until_refused(bus)
    refused = bus.publish("default", an_event(20_000))

    assert len(accepted) > 5
    assert refused.status_code == 507
    assert refused.headers["retry-after"] == "10"
    assert refused.json()["type"] == "urn:eventyard:problem:storage-full"
    assert ids(bus) == accepted
    assert "the disk refuses what is written" in bus.yard.unready()

    disk.clear()
    assert bus.publish("default", an_event(20_000)).status_code == 202
    assert bus.yard.unready() == []
    assert ids(bus) == [*accepted, "20000"]
    copy = crashed(path)
    found = SqliteEngine(str(copy))
    assert found.losses is None
    assert found.load()[1].head == len(accepted) + 1
    found.close()


def test_edits_are_refused_like_events_and_nothing_of_them_stays(bus: ServedBus, disk: SmallDisk) -> None:
    disk.fill()
    publish_until_refused(bus)
    rule = {"pattern": {"type": ["t"]}, "target": {"queue": {}}, "description": "x" * 2_000}

    assert bus.put("/v1/buses/default/rules/r", json=rule).status_code == 507
    assert bus.put("/v1/buses/another").status_code == 507
    assert bus.get("/v1/buses/default/rules/r").status_code == 404
    disk.clear()
    assert bus.put("/v1/buses/default/rules/r", json=rule).status_code == 201


# Checkpoints


def commit_until_refused(engine: SqliteEngine) -> int:
    """The last position that was kept."""
    for number in range(1, 1_000):
        try:
            engine.commit([changes(event(number, note="x" * 6_000))])
        except (StorageFull, StorageFailed):
            return number - 1
    raise AssertionError("the disk does not fill")


def test_a_checkpoint_that_finds_no_room_costs_no_commit(path: Path, disk: SmallDisk) -> None:
    """The database cannot grow, so what is committed waits in the log."""
    with mock.patch.object(engines, "WAL_BYTES", 200_000):
        engine = SqliteEngine(str(path), layout=SMALL)
        engine.commit([founding(BUS)])
        disk.fill(but=1_200_000)
        head = commit_until_refused(engine)
        assert [found.position for found in engine.view.events(BUS, 1, head, head)] == list(range(1, head + 1))
        disk.clear()
        for number in range(head + 1, head + 60):
            engine.commit([changes(event(number, note="x" * 6_000))])
        assert path.stat().st_size > 200_000
    copy = crashed(path)
    engine.close()
    again = SqliteEngine(str(copy), layout=SMALL)
    assert again.losses is None
    assert len(again.view.events(BUS, 1, head + 59, 1_000)) == head + 59
    again.close()


def test_a_store_that_is_closed_on_a_full_disk_has_all_it_took(path: Path, disk: SmallDisk) -> None:
    engine = SqliteEngine(str(path), layout=SMALL)
    engine.commit([founding(BUS)])
    for number in range(1, 80):
        engine.commit([changes(event(number, note="x" * 6_000))])
    disk.fill()
    engine.close()
    disk.clear()
    again = SqliteEngine(str(path), layout=SMALL)

    assert again.losses is None
    assert len(again.view.events(BUS, 1, 79, 1_000)) == 79
    again.close()


# Starting


def test_a_start_on_a_full_disk_fails_or_serves_and_loses_nothing(path: Path, disk: SmallDisk) -> None:
    engine = SqliteEngine(str(path), layout=SMALL)
    engine.commit([founding(BUS), changes(*(event(number) for number in range(1, 50)))])
    copy = crashed(path)
    engine.close()
    disk.fill()
    try:
        found = SqliteEngine(str(copy), layout=SMALL)
    except (StorageFull, StorageFailed):
        pass
    else:
        found.close()
    disk.clear()
    again = SqliteEngine(str(copy), layout=SMALL)
    assert again.losses is None
    assert len(again.view.events(BUS, 1, 49, 100)) == 49
    again.close()


def test_a_server_that_finds_the_disk_full_at_its_start_waits_for_room(disk: SmallDisk) -> None:
    """Not even the shared memory of SQLite's log finds room then."""
    folder = disk.path / "data"
    with served(folder) as url:
        assert httpx.get(f"{url}/readyz").status_code == 200
    disk.fill()
    command = [sys.executable, "-m", "eventyard", "serve", "--port", "0", "--data", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        try:
            assert "the bus cannot start yet" in process.stderr.readline()
            disk.clear()
            url = process.stdout.readline().rsplit(maxsplit=1)[-1]
            assert httpx.get(f"{url}/readyz").status_code == 200
        finally:
            process.kill()


# Deliveries


def test_a_verdict_that_finds_no_room_is_written_later_and_nothing_is_pushed_twice(bus: ServedBus, disk: SmallDisk) -> None:
    with Target(answers(204)) as target:
        delivery = {"backoff": {"initial_s": 0.01, "max_s": 0.01}}
        rule = {"pattern": {"type": ["t"]}, "target": {"http": {"url": target.url}}, "delivery": delivery}
        assert bus.put("/v1/buses/default/rules/r", json=rule).status_code == 201
        disk.fill()
        accepted = publish_until_refused(bus)
        disk.clear()
        bus.wait_until(lambda: bus.get("/v1/buses/default/rules/r/status").json()["delivered"] == len(accepted))
        pushed = [request.headers["eventyard-position"] for request in target.requests]

    assert len(pushed) == len(set(pushed)) == len(accepted)


def test_a_pull_rule_gives_and_takes_again_when_there_is_room(bus: ServedBus, disk: SmallDisk) -> None:
    rule = {"pattern": {"type": ["t"]}, "target": {"queue": {}}}
    assert bus.put("/v1/buses/default/rules/r", json=rule).status_code == 201
    for number in range(20):
        assert bus.publish("default", an_event(number)).status_code == 202
    received = bus.post("/v1/buses/default/rules/r/receive", json={"max": 10}).json()["deliveries"]
    leases = [one["lease"] for one in received]
    disk.fill()
    publish_until_refused(bus)
    refused = bus.post("/v1/buses/default/rules/r/acknowledge", json={"leases": leases})
    starved = bus.post("/v1/buses/default/rules/r/receive", json={"max": 10})

    assert refused.status_code == 507
    assert starved.status_code in (200, 507)
    assert starved.status_code == 507 or starved.json()["deliveries"] == []
    disk.clear()
    taken = bus.post("/v1/buses/default/rules/r/acknowledge", json={"leases": leases}).json()["results"]
    assert [one["ok"] for one in taken] == [True] * 10
    assert len(bus.post("/v1/buses/default/rules/r/receive", json={"max": 10}).json()["deliveries"]) == 10
