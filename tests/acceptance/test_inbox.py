"""The inbox on SQLite and PostgreSQL, by their drivers and under SQLAlchemy."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import msgspec
import psycopg
import pytest

from eventyard.client import CloudEvent, Delivery, Inbox
from eventyard.client.databases import Database
from tests.support.databases import Service

EVENT = {"specversion": "1.0", "type": "order.paid", "source": "/shop", "id": "1"}
WAIT_S = 30


@pytest.fixture
def inbox(service: Service) -> Inbox:
    made = Inbox("packing")
    service.done(made.create)
    return made


def seen(service: Service, inbox: Inbox, event: Any = EVENT) -> bool:
    with closing(service.connect()) as connection:
        is_first = inbox.first_time(connection, event)
        connection.commit()
    return is_first


def test_an_event_is_there_for_the_first_time_once(service: Service, inbox: Inbox) -> None:
    assert seen(service, inbox)
    assert not seen(service, inbox)


@pytest.mark.parametrize("other", [{"id": "2"}, {"source": "/other"}])
def test_source_and_id_make_the_event(service: Service, inbox: Inbox, other: dict[str, str]) -> None:
    assert seen(service, inbox)
    assert seen(service, inbox, EVENT | other)


def test_each_consumer_has_its_own_first_time(service: Service, inbox: Inbox) -> None:
    assert seen(service, inbox)
    assert seen(service, Inbox("billing"))


def test_a_rollback_forgets(service: Service, inbox: Inbox) -> None:
    with closing(service.connect()) as connection:
        assert inbox.first_time(connection, EVENT)
        connection.rollback()
    assert seen(service, inbox)


def test_a_delivery_and_its_text_are_the_event_itself(service: Service, inbox: Inbox) -> None:
    text = msgspec.json.encode(EVENT)
    assert seen(service, inbox, Delivery("d", "l", 1, 1, 0, raw=msgspec.Raw(text)))
    assert not seen(service, inbox, text)
    assert not seen(service, inbox, text.decode())
    assert not seen(service, inbox, CloudEvent(id="1", source="/shop", type="order.paid", data=None))


@pytest.mark.parametrize("service", ["postgresql"], indirect=True)
@pytest.mark.parametrize(("end", "is_first"), [("commit", False), ("rollback", True)])
def test_who_comes_second_waits_for_what_becomes_of_the_first(service: Service, inbox: Inbox, end: str, is_first: bool) -> None:
    told: list[bool] = []
    with closing(service.connect()) as first, closing(service.connect()) as other:
        assert inbox.first_time(first, EVENT)
        second = threading.Thread(target=lambda: told.append(inbox.first_time(other, EVENT)))
        second.start()
        wait_until(lambda: service.asked("SELECT count(*) FROM pg_locks WHERE NOT granted") == [(1,)])
        assert told == []
        getattr(first, end)()
        second.join(WAIT_S)
    assert told == [is_first]


def test_what_is_old_is_forgotten_the_oldest_first_and_only_so_many_at_once(service: Service, inbox: Inbox) -> None:
    now = int(time.time())
    add = "INSERT INTO eventyard_inbox VALUES (:consumer, '/shop', :id, :seen)"

    def fill(connection: Any) -> None:
        for number in range(10):
            Database(connection).change(add, consumer="packing", id=str(number), seen=now - 1_000 * number)
        Database(connection).change(add, consumer="billing", id="9", seen=0)

    pruned: list[int] = []
    service.done(fill)
    service.done(lambda connection: pruned.append(inbox.prune(connection, older_than_s=4_500, most=3)))
    assert left(service) == ["billing 9", *(f"packing {number}" for number in range(7))]
    service.done(lambda connection: pruned.append(inbox.prune(connection, older_than_s=4_500)))
    assert left(service) == ["billing 9", *(f"packing {number}" for number in range(5))]
    assert pruned == [3, 2]


def left(service: Service) -> list[str]:
    return [" ".join(row) for row in service.asked("SELECT consumer, id FROM eventyard_inbox ORDER BY consumer, id")]


@pytest.mark.parametrize("event", [{"id": "1"}, "no JSON", {"id": 1, "source": "/shop"}])
@pytest.mark.parametrize("service", ["sqlite"], indirect=True)
def test_what_has_no_source_and_id_is_not_looked_for(service: Service, inbox: Inbox, event: Any) -> None:
    with pytest.raises(ValueError, match="no source and id"):
        seen(service, inbox, event)


def test_a_connection_that_commits_each_statement_is_turned_away(postgresql: str) -> None:
    with (
        closing(psycopg.connect(postgresql, autocommit=True)) as connection,
        pytest.raises(ValueError, match="autocommit"),
    ):
        Inbox("packing").first_time(connection, EVENT)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline
