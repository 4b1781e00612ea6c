"""The outbox on SQLite and PostgreSQL, by their drivers and under SQLAlchemy, with a real bus."""

import itertools
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.orm import Session

from eventyard.client import Client, Outbox, ProblemError, RefusedRow, Relayed
from eventyard.client.answers import StoredEvent
from eventyard.client.databases import Database
from tests.support.databases import Service

ROOT = Path(__file__).resolve().parents[2]
EVENT = {"type": "order.paid", "source": "/shop"}
WAIT_S = 60
BY_DRIVER = pytest.mark.parametrize("service", ["sqlite", "postgresql"], indirect=True)

_numbers = itertools.count(1)


@pytest.fixture
def client(server: str) -> Iterator[Client]:
    with Client(server) as client:
        yield client


@pytest.fixture
def bus(client: Client) -> str:
    return client.create_bus(f"outbox-{next(_numbers)}").name


@pytest.fixture
def outbox(service: Service) -> Outbox:
    made = Outbox()
    service.done(made.create)
    return made


def adding(outbox: Outbox, *numbers: int) -> Callable[[Any], object]:
    return lambda connection: [outbox.add(connection, **EVENT, id=f"order-{number}") for number in numbers]


def ids(client: Client, bus: str) -> list[str]:
    return [stored.event["id"] for stored in own(client, bus)]


def own(client: Client, bus: str) -> list[StoredEvent]:
    """Without what the bus tells of itself."""
    return [stored for stored in client.events(bus=bus) if stored.event["source"] == "/shop"]


def names(numbers: range) -> list[str]:
    return [f"order-{number}" for number in numbers]


def relay(outbox: Outbox, client: Client, service: Service, bus: str, **options: Any) -> Relayed:
    return outbox.relay(client, service.connect, bus=bus, until_empty=True, wait_s=0.01, **options)


def test_what_a_transaction_adds_is_published_once_it_is_committed(
    service: Service, outbox: Outbox, client: Client, bus: str
) -> None:
    service.done(adding(outbox, 1, 2), adding(outbox, 3))
    assert relay(outbox, client, service, bus) == Relayed(accepted=3)
    assert ids(client, bus) == names(range(1, 4))
    assert service.asked("SELECT count(*) FROM eventyard_outbox") == [(0,)]


def test_a_rollback_leaves_nothing(service: Service, outbox: Outbox, client: Client, bus: str) -> None:
    with closing(service.connect()) as connection:
        outbox.add(connection, **EVENT)
        connection.rollback()
    assert service.asked("SELECT count(*) FROM eventyard_outbox") == [(0,)]
    assert relay(outbox, client, service, bus) == Relayed()
    assert ids(client, bus) == []


def test_an_event_is_spelt_on_the_bus_as_it_was_added(service: Service, outbox: Outbox, client: Client, bus: str) -> None:
    text = '{"specversion": "1.0", "id": "%s :x ?", "type": "t", "source": "/shop", "data": {"total": 25.10, "name": "č"}}'
    service.done(lambda connection: outbox.add(connection, text))
    relay(outbox, client, service, bus)
    assert [stored.json.decode() for stored in own(client, bus)] == [text]


def test_a_refused_event_is_kept_with_the_reason_and_holds_nothing_up(
    service: Service, outbox: Outbox, client: Client, bus: str
) -> None:
    told: list[RefusedRow] = []
    service.done(
        adding(outbox, 1),
        lambda connection: outbox.add(connection, type="", source="/shop", id="wrong"),
        lambda connection: outbox.add(connection, **EVENT, id="order-1", data="another"),
        adding(outbox, 2),
    )
    assert relay(outbox, client, service, bus, on_refused=told.append) == Relayed(accepted=2, refused=2)
    assert ids(client, bus) == ["order-1", "order-2"]
    with closing(service.connect()) as connection:
        refused = outbox.refused(connection)
    assert refused == told
    assert [json.loads(each.json)["id"] for each in refused] == ["wrong", "order-1"]
    assert [each.reason.partition(":")[0] for each in refused] == ["invalid-event", "event-conflict"]


def test_a_refused_event_that_is_put_back_is_published_again(
    service: Service, outbox: Outbox, client: Client, bus: str
) -> None:
    service.done(lambda connection: outbox.add(connection, type="", source="/shop", id="wrong"))
    relay(outbox, client, service, bus)
    [(number,)] = service.asked("SELECT number FROM eventyard_outbox")
    mended = json.dumps({"specversion": "1.0", **EVENT, "id": "mended"})
    service.done(
        lambda connection: Database(connection).change("UPDATE eventyard_outbox SET event = :event", event=mended),
        lambda connection: outbox.put_back(connection, number),
    )
    assert relay(outbox, client, service, bus) == Relayed(accepted=1)
    with closing(service.connect()) as connection:
        assert not outbox.put_back(connection, number)
    assert ids(client, bus) == ["mended"]


@BY_DRIVER
def test_an_event_that_spoils_its_whole_batch_is_found_and_refused_alone(
    service: Service, outbox: Outbox, client: Client, bus: str
) -> None:
    """No batch that holds it can be read; which event it is, smaller batches tell."""
    spoiling = '{"specversion":"1.0","id":"deep","type":"t","source":"/shop","data":' + "[" * 5_000 + "]" * 5_000 + "}"
    add_raw = "INSERT INTO eventyard_outbox (event) VALUES (:event)"
    service.done(
        adding(outbox, 1, 2, 3),
        lambda connection: Database(connection).change(add_raw, event=spoiling),
        lambda connection: Database(connection).change(add_raw, event="no JSON"),
        adding(outbox, 4, 5),
    )
    assert relay(outbox, client, service, bus) == Relayed(accepted=5, refused=2)
    assert ids(client, bus) == names(range(1, 6))


@BY_DRIVER
def test_a_batch_is_bounded_in_events_and_in_bytes(service: Service, outbox: Outbox, server: str, bus: str) -> None:
    service.done(
        adding(outbox, *range(1, 8)),
        *(lambda connection: outbox.add(connection, **EVENT, data="x" * 900_000) for _ in range(6)),
    )
    with Counting(server) as counting:
        assert relay(outbox, counting, service, bus, batch=5) == Relayed(accepted=13)
    assert counting.batches == [5, 5, 3]
    assert max(counting.sizes) <= 4 * 1024 * 1024


class Counting(Client):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.batches: list[int] = []
        self.sizes: list[int] = []

    def send(self, call: Any) -> Any:
        answer = super().send(call)
        self.batches.append(len(answer))
        self.sizes.append(len(call.request.body))
        return answer


@BY_DRIVER
def test_a_relay_that_is_killed_between_publishing_and_marking_costs_only_duplicates(
    service: Service, outbox: Outbox, server: str, client: Client, bus: str
) -> None:
    service.done(adding(outbox, *range(80)))
    with started(service, server, bus, "until-published") as process:
        assert process.stdout
        assert process.stdout.readline() == "published\n"
        process.kill()
        process.wait(WAIT_S)
    assert ids(client, bus) == names(range(50))
    assert relay(outbox, client, service, bus) == Relayed(accepted=80, duplicates=50)
    assert ids(client, bus) == names(range(80))


@BY_DRIVER
def test_of_two_relays_in_order_one_works_and_one_stands_by(
    service: Service, outbox: Outbox, server: str, client: Client, bus: str
) -> None:
    service.done(adding(outbox, *range(1_000)))
    with started(service, server, bus, "until-empty") as one, started(service, server, bus, "until-empty") as other:
        told = [process.communicate(timeout=WAIT_S)[0].split() for process in (one, other)]
    assert sum(int(accepted) for accepted, _ in told) == 1_000
    assert [duplicates for _, duplicates in told] == ["0", "0"]
    assert ids(client, bus) == names(range(1_000))


@BY_DRIVER
def test_a_relay_that_stands_by_takes_over_when_the_other_one_is_killed(
    service: Service, outbox: Outbox, server: str, client: Client, bus: str
) -> None:
    service.done(adding(outbox, *range(80)))
    with started(service, server, bus, "until-published") as first:
        assert first.stdout
        assert first.stdout.readline() == "published\n"
        with started(service, server, bus, "until-empty") as second:
            first.kill()
            assert second.communicate(timeout=WAIT_S)[0] == "80 50\n"
    assert ids(client, bus) == names(range(80))


@pytest.mark.parametrize("service", ["postgresql"], indirect=True)
def test_relays_that_need_no_order_pass_over_what_another_one_holds(
    service: Service, outbox: Outbox, client: Client, bus: str, server: str
) -> None:
    service.done(adding(outbox, *range(80)))
    with started(service, server, bus, "until-published") as first:
        assert first.stdout
        assert first.stdout.readline() == "published\n"
        assert relay(outbox, client, service, bus, in_order=False) == Relayed(accepted=30)
        first.kill()


@pytest.mark.parametrize("service", ["postgresql"], indirect=True)
def test_a_row_that_is_committed_behind_later_ones_is_not_passed_by(
    service: Service, outbox: Outbox, client: Client, bus: str
) -> None:
    """Its number was given first. A cursor over numbers would never see it."""
    with closing(service.connect()) as slow:
        outbox.add(slow, **EVENT, id="late")
        service.done(adding(outbox, 1, 2))
        assert relay(outbox, client, service, bus) == Relayed(accepted=2)
        slow.commit()
    assert relay(outbox, client, service, bus) == Relayed(accepted=1)
    assert ids(client, bus) == ["order-1", "order-2", "late"]


@pytest.mark.parametrize("service", ["postgresql"], indirect=True)
def test_events_of_one_row_are_in_the_order_of_their_commits(
    service: Service, outbox: Outbox, client: Client, bus: str
) -> None:
    """Changed first, added then: who changes the row later has waited for the one before, and has the higher number."""
    service.done(
        lambda connection: connection.execute("CREATE TABLE stock (article text PRIMARY KEY, left_over int)"),
        lambda connection: connection.execute("INSERT INTO stock VALUES ('lamp', 10)"),
    )
    change = "UPDATE stock SET left_over = left_over - 1 RETURNING left_over"

    def sell() -> None:
        for _ in range(25):
            with closing(service.connect()) as connection:
                [left] = connection.execute(change).fetchone()
                outbox.add(connection, **EVENT, data=left)
                connection.commit()

    sellers = [threading.Thread(target=sell) for _ in range(4)]
    stop = threading.Event()
    relaying = threading.Thread(
        target=outbox.relay,
        args=(client, service.connect),
        kwargs={"bus": bus, "batch": 7, "wait_s": 0.001, "stop": stop},
    )
    for thread in (*sellers, relaying):
        thread.start()
    for thread in sellers:
        thread.join(WAIT_S)
    stop.set()
    relaying.join(WAIT_S)
    relay(outbox, client, service, bus)
    assert [stored.event["data"] for stored in own(client, bus)] == list(range(9, -91, -1))


@BY_DRIVER
def test_a_bus_that_is_away_is_waited_for(service: Service, outbox: Outbox, server: str, client: Client, bus: str) -> None:
    service.done(adding(outbox, 1))

    class Away(Client):
        troubles = 3

        def send(self, call: Any) -> Any:
            self.troubles -= 1
            if self.troubles >= 0:
                with Client("http://127.0.0.1:1") as nowhere:
                    return nowhere.send(call)
            return super().send(call)

    with Away(server) as away:
        assert relay(outbox, away, service, bus) == Relayed(accepted=1)
    assert ids(client, bus) == ["order-1"]


@BY_DRIVER
def test_where_no_event_would_fare_better_the_relay_ends_and_nothing_is_lost(
    service: Service, outbox: Outbox, client: Client, bus: str
) -> None:
    service.done(adding(outbox, 1))
    with pytest.raises(ProblemError, match="nowhere"):
        relay(outbox, client, service, "nowhere")
    assert relay(outbox, client, service, bus) == Relayed(accepted=1)


@BY_DRIVER
def test_a_relay_ends_when_it_is_told_to(service: Service, outbox: Outbox, client: Client, bus: str) -> None:
    stop = threading.Event()
    stop.set()
    service.done(adding(outbox, 1))
    assert outbox.relay(client, service.connect, bus=bus, stop=stop) == Relayed()


def test_a_connection_that_commits_each_statement_is_turned_away(tmp_path: Path, postgresql: str) -> None:
    outbox = Outbox()
    with (
        closing(sqlite3.connect(tmp_path / "service.db", isolation_level=None)) as one,
        closing(psycopg.connect(postgresql, autocommit=True)) as other,
    ):
        for connection in (one, other):
            outbox.create(connection)
            with pytest.raises(ValueError, match="autocommit"):
                outbox.add(connection, **EVENT)
            connection.execute("BEGIN")
            outbox.add(connection, **EVENT)
            connection.execute("ROLLBACK")
            assert Database(connection).rows("SELECT count(*) FROM eventyard_outbox") == [(0,)]
            connection.execute("DROP TABLE eventyard_outbox")


@pytest.mark.parametrize("service", ["sqlalchemy-sqlite", "sqlalchemy-postgresql"], indirect=True)
def test_a_session_is_a_connection_too(service: Service, outbox: Outbox) -> None:
    with closing(service.connect()) as connection, Session(connection.engine) as session:
        outbox.add(session, **EVENT)
        session.rollback()
        outbox.add(session, **EVENT, id="kept")
        session.execute(sqlalchemy.text("CREATE TABLE of_the_same_transaction (number int)"))
        session.commit()
    [(event,)] = service.asked("SELECT event FROM eventyard_outbox")
    assert json.loads(event)["id"] == "kept"
    assert service.asked("SELECT * FROM of_the_same_transaction") == []


@BY_DRIVER
def test_a_driver_that_is_awaited_gets_the_statement(service: Service, outbox: Outbox) -> None:
    style = "qmark" if service.kind == "sqlite" else "pyformat"
    service.done(lambda connection: connection.execute(*outbox.statement({**EVENT, "id": "1"}, style)))
    [(event,)] = service.asked("SELECT event FROM eventyard_outbox")
    assert json.loads(event)["id"] == "1"


@pytest.mark.parametrize("event", ["no JSON", '{"type": "without an id"}', "[]", '{"id": 1}', '{"id": "1"} {"id": "2"}'])
def test_text_that_is_no_event_with_an_id_is_not_added(event: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "service.db")) as connection, pytest.raises(ValueError, match="with an id"):
        Outbox().add(connection, event)


def started(service: Service, server: str, bus: str, end: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.support.relay", service.kind, service.place, server, bus, end]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
