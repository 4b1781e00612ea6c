"""`eventyard queue` and `rules put --queue`, against a running server; and the client's consumer at work on it."""

import asyncio
import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from eventyard.client import AsyncClient, Client, Delivery, Reject
from tests.support.buses import served_bus
from tests.support.commands import Command, Ended, lines

EVENT = {"type": "order.paid", "source": "/shop"}


@pytest.fixture
def packing(eventyard: Command, bus: str) -> str:
    """A bus whose rule `packing` has three events in its queue, at positions 2 to 4."""
    put = eventyard("rules", "put", "packing", "--bus", bus, "--type", "order.paid", "--queue")
    assert put == (0, 'rule packing created: {"type":["order.paid"]} -> its queue\n', "")
    publish(eventyard, bus, 1, 2, 3)
    return bus


def publish(eventyard: Command, bus: str, *numbers: int) -> None:
    events = [EVENT | {"id": str(number), "data": {"n": number}} for number in numbers]
    assert eventyard("publish", "--bus", bus, stdin=lines(*events)).code == 0


def receive(eventyard: Command, bus: str, *flags: str) -> list[Any]:
    return eventyard("queue", "receive", "packing", "--bus", bus, "--json", *flags).documents


def settle(eventyard: Command, verb: str, bus: str, *rest: str, stdin: str = "") -> Ended:
    return eventyard("queue", verb, "packing", *rest, "--bus", bus, stdin=stdin)


def test_a_rule_with_a_queue_is_listed_and_shown(eventyard: Command, packing: str) -> None:
    assert eventyard("rules", "list", "--bus", packing).out.splitlines()[1].endswith("  its queue")
    shown = eventyard("rules", "show", "packing", "--bus", packing, "--json")
    assert shown.documents[0]["target"] == {"queue": {"lease_s": 30.0, "max_leases": 10_000}}
    again = eventyard("rules", "put", "packing", "-", "--bus", packing, stdin=shown.out)
    assert (again.code, again.err) == (0, "")


def test_deliveries_are_shown_as_a_table_and_as_lines_with_their_events(eventyard: Command, packing: str) -> None:
    shown = eventyard("queue", "receive", "packing", "--bus", packing, "--max", "1")
    head, row = shown.out.splitlines()
    assert head.split() == ["LEASE", "ATTEMPT", "POSITION", "TYPE", "ID"]
    assert row.split()[1:] == ["1", "2", "order.paid", "1"]
    [delivery] = receive(eventyard, packing, "--max", "1")
    assert (delivery["event"]["data"], delivery["attempt"], "replayed" in delivery) == ({"n": 2}, 1, False)


def test_an_empty_queue_is_a_no(eventyard: Command, packing: str) -> None:
    assert len(receive(eventyard, packing)) == 3
    nothing = eventyard("queue", "receive", "packing", "--bus", packing)
    assert nothing == (1, "rule packing has nothing to give\n", "")


def test_what_is_printed_can_be_acknowledged_at_once(eventyard: Command, packing: str) -> None:
    assert eventyard("queue", "receive", "packing", "--bus", packing, "--ack").code == 0
    status = eventyard("rules", "status", "packing", "--bus", packing, "--json").documents[0]
    assert (status["delivered"], status["pending"]) == (3, 0)


def test_leases_are_settled_from_the_line_or_from_a_pipe(eventyard: Command, packing: str) -> None:
    first, second, third = (delivery["lease"] for delivery in receive(eventyard, packing, "--lease", "600"))
    done = settle(eventyard, "acknowledge", packing, first)
    assert (done.code, done.out.splitlines()[1].split()) == (0, [first, "yes", "-"])
    renewed = settle(eventyard, "renew", packing, "-", "--lease", "900", "--json", stdin=f"{second}\n\n{third}\n")
    assert renewed.documents == [{"lease": lease, "ok": True, "reason": None} for lease in (second, third)]
    assert settle(eventyard, "release", packing, second, "--delay", "0").code == 0
    assert settle(eventyard, "reject", packing, third, "--reason", "no address").code == 0
    assert "no address" in eventyard("dead-letters", "list", "packing", "--bus", packing).out
    assert [delivery["attempt"] for delivery in receive(eventyard, packing)] == [2]


def test_a_verdict_that_does_not_count_is_a_no_that_says_why(eventyard: Command, packing: str) -> None:
    lease = receive(eventyard, packing)[0]["lease"]
    settle(eventyard, "acknowledge", packing, lease)
    ended = settle(eventyard, "reject", packing, "nonsense", lease)
    assert ended.code == 1
    assert [line.split() for line in ended.out.splitlines()[1:]] == [["nonsense", "no", "malformed"], [lease, "no", "ended"]]


def test_more_leases_than_one_request_takes_are_settled_in_several(eventyard: Command, packing: str) -> None:
    ended = settle(eventyard, "acknowledge", packing, "-", "--json", stdin="nonsense\n" * 2_001)
    assert (ended.code, len(ended.documents)) == (1, 2_001)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("queue", "acknowledge", "packing", "-"), "found no leases on standard input"),
        (("rules", "put", "a", "--queue", "--to", "http://x/", "--type", "a"), "found --to and --queue"),
        (("rules", "put", "a", "--type", "a"), "found no --to and no --queue"),
        (("rules", "put", "a", "a.json", "--queue"), "found a file and --queue"),
        (("queue", "receive", "packing", "--max", "1001"), "Invalid value for '--max'"),
    ],
)
def test_a_line_that_cannot_be_says_why(eventyard: Command, arguments: tuple[str, ...], message: str) -> None:
    ended = eventyard(*arguments)
    assert (ended.code, message in ended.err) == (2, True), ended.err


def test_ctrl_c_ends_a_receive_that_waits_and_takes_nothing() -> None:
    with served_bus() as door:
        door.put("/v1/buses/default/rules/packing", json={"pattern": {"type": ["order.paid"]}, "target": {"queue": {}}})
        command = [sys.executable, "-m", "eventyard", "queue", "receive", "packing", "--url", door.url, "--wait", "60"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            door.wait_until(lambda: len(door.yard._consumers._claims) == 1)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        door.publish("default", EVENT | {"id": "4", "specversion": "1.0"})
        answer = door.post("/v1/buses/default/rules/packing/receive", json={"wait_s": 20})
        assert [delivery["attempt"] for delivery in answer.json()["deliveries"]] == [1]


# A consumer at work


def test_a_consumer_acknowledges_rejects_and_releases(server: str, packing: str) -> None:
    seen: list[tuple[int, int]] = []

    def handle(delivery: Delivery) -> None:
        number = delivery.event["data"]["n"]
        seen.append((number, delivery.attempt))
        if number == 2:
            raise Reject("no address")
        if number == 3 and delivery.attempt == 1:
            raise ValueError("not now")

    with Client(server) as client:
        client.consume("packing", handle, bus=packing, wait_s=0, retry_s=0, until_empty=True, on_failure=lambda *_: None)
        status = client.status("packing", bus=packing)
        [letter] = client.dead_letters("packing", bus=packing)
    assert sorted(seen) == [(1, 1), (2, 1), (3, 1), (3, 2)]
    assert (status.delivered, status.dead, status.pending) == (2, 1, 0)
    assert (letter.reason, letter.last_answer and letter.last_answer.body) == ("rejected", "no address")


def test_consumers_share_a_rule_and_each_delivery_is_handled_once(server: str, eventyard: Command, packing: str) -> None:
    publish(eventyard, packing, *range(4, 104))
    handled: list[int] = []

    async def handle(delivery: Delivery) -> None:
        await asyncio.sleep(0)
        handled.append(delivery.position)

    async def work() -> None:
        async with AsyncClient(server) as client:
            consumers = [client.consume("packing", handle, bus=packing, wait_s=0, until_empty=True, max=3) for _ in range(4)]
            await asyncio.gather(*consumers)

    asyncio.run(work())
    assert sorted(handled) == list(range(2, 105))


def test_the_bytes_of_an_event_are_those_that_were_published(server: str, packing: str) -> None:
    text = json.dumps(EVENT | {"id": "spelt", "specversion": "1.0"}).encode()[:-1] + b', "data": 1.10}'
    with Client(server) as client:
        client.publish(text, bus=packing)
        *_, last = client.receive("packing", bus=packing)
    assert last.json == text
