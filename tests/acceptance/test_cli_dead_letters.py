"""`eventyard dead-letters` against a running server."""

from collections.abc import Iterator

import pytest

from eventyard.client import Client
from tests.support.commands import Command, lines
from tests.support.targets import Target, answers

EVENT = {"type": "order.paid", "source": "/shop"}


@pytest.fixture
def dead(eventyard: Command, server: str, bus: str) -> Iterator[str]:
    """A bus whose rule `bills` has two dead letters."""
    with Target(answers(422, body=b"no such currency")) as target, Client(server) as client:
        eventyard("rules", "put", "bills", "--bus", bus, "--type", "order.paid", "--to", target.url)
        eventyard("publish", "--bus", bus, stdin=lines(EVENT, EVENT))
        target.wait_for_requests(2)
        while client.status("bills", bus=bus).dead < 2:
            pass
        client.pause("bills", bus=bus)
        yield bus


def test_dead_letters_are_listed_shown_and_redriven(eventyard: Command, dead: str) -> None:
    head, first, _ = eventyard("dead-letters", "list", "bills", "--bus", dead).out.splitlines()
    assert head.split() == ["ID", "DIED", "ATTEMPTS", "REASON", "ANSWER", "TYPE"]
    assert "422 no such currency" in first
    letter_id = first.split()[0]
    assert "422 no such currency" in eventyard("dead-letters", "show", "bills", letter_id, "--bus", dead).out
    one = eventyard("dead-letters", "redrive", "bills", letter_id, "--bus", dead, "--json")
    assert (one.code, one.documents[0]["moved"]) == (0, 1)
    everything = eventyard("dead-letters", "redrive", "bills", "--all", "--bus", dead)
    assert everything.out.startswith("1 of 1 dead letters put back")
    assert eventyard("dead-letters", "list", "bills", "--bus", dead).out == "rule bills has no dead letters\n"


def test_a_dead_letter_that_is_not_there_is_a_no(eventyard: Command, dead: str) -> None:
    assert eventyard("dead-letters", "show", "bills", "x", "--bus", dead).code == 1
    assert eventyard("dead-letters", "redrive", "bills", "x", "--bus", dead).code == 3


def test_dead_letters_are_counted_before_anything_is_done(eventyard: Command, dead: str) -> None:
    for verb, would in (("redrive", "put back"), ("purge", "discarded")):
        counted = eventyard("dead-letters", verb, "bills", "--bus", dead, "--reason", "answer", "--from", "1h", "--dry-run")
        assert (counted.code, counted.out) == (0, f"2 would be {would}\n")
    assert eventyard("dead-letters", "purge", "bills", "--bus", dead, "--until", "1d", "--dry-run").out.startswith("0 ")
    listed = eventyard("dead-letters", "list", "bills", "--bus", dead, "--reason", "age")
    assert listed.out == "rule bills has no such dead letters\n"


def test_dead_letters_are_tried_on_another_target(eventyard: Command, dead: str) -> None:
    flags = ("dead-letters", "redrive", "bills", "--bus", dead, "--all", "--target")
    with Target(answers(200, body=b"thanks")) as other:
        tried = eventyard(*flags, other.url)
    assert (tried.code, tried.out.splitlines()[-1]) == (0, "2 of 2 were taken; they stay dead letters")
    with Target(answers(500)) as other:
        assert eventyard(*flags, other.url).code == 1
    refused = eventyard(*flags, "http://10.0.0.1/")
    assert (refused.code, "eventyard serve --allow-network CIDR" in refused.err) == (3, True)


def test_the_status_says_since_when_a_rule_fails(eventyard: Command, dead: str) -> None:
    since = eventyard("rules", "status", "bills", "--bus", dead, "--json").documents[0]["failing_since"]
    assert ["failing", "since", since] in [
        line.split() for line in eventyard("rules", "status", "bills", "--bus", dead).out.splitlines()
    ]


def test_dead_letters_are_purged(eventyard: Command, dead: str) -> None:
    purged = eventyard("dead-letters", "purge", "bills", "--bus", dead, "--reason", "answer", "--json")
    assert (purged.code, purged.documents[0]["moved"]) == (0, 2)
    assert eventyard("rules", "status", "bills", "--bus", dead, "--json").documents[0]["discarded"] == 2


def test_a_redrive_is_narrowed_and_spread(eventyard: Command, dead: str) -> None:
    flags = ("--reason", "answer", "--until", "2999-01-01T00:00:00Z", "--per-s", "0.01", "--json")
    assert eventyard("dead-letters", "redrive", "bills", "--bus", dead, *flags).documents[0]["moved"] == 2


def test_a_key_that_is_parked_is_skipped_and_brought_back_out_of_order(eventyard: Command, server: str, bus: str) -> None:
    with Target(answers(422)) as target, Client(server) as client:
        delivery = {"order": "key", "key": "data.n"}
        document = {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": target.url}}, "delivery": delivery}
        client.put_rule("ledger", document, bus=bus)
        eventyard("publish", "--bus", bus, stdin=lines(*[EVENT | {"data": {"n": n}} for n in (7, "7", 7)]))
        while client.status("ledger", bus=bus).dead < 2:
            pass
        head, *rows = eventyard("dead-letters", "list", "ledger", "--bus", bus).out.splitlines()
        assert head.split()[-2:] == ["KEY", "PARKED"]
        assert [row.split()[-2:] for row in rows] == [["7", "1"], ["7", "0"]]
        first = rows[0].split()[0]
        assert eventyard("dead-letters", "skip", "ledger", "--bus", bus, "--key", "7").out.startswith("1 skipped")
        assert eventyard("dead-letters", "skip", "ledger", "--bus", bus, "--key", "nobody").code == 1
        back = ("dead-letters", "redrive", "ledger", first, "--bus", bus)
        assert (eventyard(*back).code, eventyard(*back, "--out-of-order").code) == (1, 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("redrive", "bills"),
        ("redrive", "bills", "x", "--all"),
        ("redrive", "bills", "--all", "--reason", "age"),
        ("purge", "bills"),
        ("skip", "bills"),
        ("skip", "bills", "x", "--key", "k"),
    ],
)
def test_which_dead_letters_has_to_be_said_in_one_way(eventyard: Command, arguments: tuple[str, ...]) -> None:
    ended = eventyard("dead-letters", *arguments)
    assert (ended.code, "next:  give ids" in ended.err) == (2, True)
