"""Programs that use the client, as processes of their own against a real server: how they end, and what is on the bus then."""

import json
import signal
import subprocess
import sys

import pytest

from eventyard.client import Client
from tests.support.commands import Command

PUBLISHER = """
import sys
from eventyard.client import Client, Publisher

publisher = Publisher(Client(sys.argv[1]), bus=sys.argv[2])
for number in range(3_000):
    publisher.publish(type="order.seen", source="/shop", id=str(number))
"""

CONSUMER = """
import sys
from eventyard.client import Client, stop_on_signals

def pack(delivery):
    print(delivery.event["id"], flush=True)
    sys.stdin.readline()

with Client(sys.argv[1]) as client, stop_on_signals() as stop:
    client.consume("packing", pack, bus=sys.argv[2], stop=stop)
print("stopped", flush=True)
"""


def ids(server: str, bus: str) -> list[str]:
    with Client(server) as client:
        return [each.event["id"] for each in client.events(bus=bus, pattern={"source": ["/shop"]})]


@pytest.mark.parametrize("ending", ["", "raise SystemExit", "publisher.close()"])
def test_a_program_that_ends_publishes_what_it_gave(server: str, bus: str, ending: str) -> None:
    subprocess.run([sys.executable, "-c", f"{PUBLISHER}\n{ending}", server, bus], check=True, timeout=60)
    assert ids(server, bus) == [str(number) for number in range(3_000)]


def test_a_program_that_fails_publishes_what_it_gave_too(server: str, bus: str) -> None:
    failing = [sys.executable, "-c", f"{PUBLISHER}\nraise ValueError('no more')", server, bus]
    assert subprocess.run(failing, check=False, timeout=60, capture_output=True).returncode == 1
    assert len(ids(server, bus)) == 3_000


def test_a_program_that_ends_while_the_bus_is_away_says_what_is_lost(bus: str) -> None:
    code = PUBLISHER.replace("bus=sys.argv[2]", "close_s=0.1")
    ended = subprocess.run(
        [sys.executable, "-c", code, "http://127.0.0.1:9", bus], check=False, timeout=60, capture_output=True, text=True
    )
    assert "Unpublished: 3000 events wait" in ended.stderr


def test_a_consumer_that_is_terminated_finishes_what_it_does_and_gives_the_rest_back(
    eventyard: Command, server: str, bus: str
) -> None:
    assert eventyard("rules", "put", "packing", "--bus", bus, "--type", "order.paid", "--queue").code == 0
    events = "".join(json.dumps({"type": "order.paid", "source": "/shop", "id": str(number)}) + "\n" for number in (1, 2, 3))
    assert eventyard("publish", "--bus", bus, stdin=events).code == 0
    command = [sys.executable, "-c", CONSUMER, server, bus]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as consumer:
        assert consumer.stdin
        assert consumer.stdout
        assert consumer.stdout.readline() == "1\n"
        consumer.send_signal(signal.SIGTERM)
        consumer.stdin.write("\n")
        consumer.stdin.flush()
        assert consumer.stdout.readline() == "stopped\n"
        assert consumer.wait(30) == 0
    with Client(server) as client:
        told = client.status("packing", bus=bus)
    assert (told.delivered, told.pending, told.leased) == (1, 2, 0)
