"""The shop's services that need nothing of it: one on the client, one a shell script. Each beside a real server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from eventyard.client import Client
from tests.support.commands import served
from tests.support.tools import needs_curl

SHOP = Path(__file__).resolve().parents[2] / "examples" / "shop"
WAIT_S = 30.0


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[str]:
    with served(tmp_path) as address:
        yield address


@contextmanager
def running(bus: str, *command: str) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"EVENTYARD_URL": bus, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)  # a shell's curl too


def ship(client: Client, *orders: str) -> None:
    for order in orders:
        client.publish(type="order.shipped", source="/shop/fulfilment", subject=order, data={"order": order, "item": "book"})


def settled(client: Client, rule: str, delivered: int, dead: int) -> bool:
    """Once all that the rule was owed is."""
    ends_at = time.monotonic() + WAIT_S
    while time.monotonic() < ends_at:
        status = client.status(rule)
        if (status.delivered, status.dead, status.pending) == (delivered, dead, 0):
            return True
    return False


def subjects(client: Client, kind: str) -> list[str]:
    return sorted(each.event["subject"] for each in client.events(pattern={"type": [kind]}))


def test_letters_are_sent_for_what_was_shipped_before_and_after_it_came(bus: str) -> None:
    with Client(bus) as client:
        ship(client, "order-1")
        with running(bus, sys.executable, str(SHOP / "letters.py")) as letters:
            assert letters.stdout
            assert letters.stdout.readline() == "a kind word for order-1\n"
            ship(client, "order-2")
            assert letters.stdout.readline() == "a kind word for order-2\n"
            letters.terminate()
            assert letters.wait(WAIT_S) == 0
        assert settled(client, "letters-send", delivered=2, dead=0)
        assert subjects(client, "letter.sent") == ["order-1", "order-2"]


@needs_curl
def test_a_shell_script_does_as_well_and_refuses_what_it_cannot_read(bus: str) -> None:
    with Client(bus) as client:
        ship(client, "order-1", 'order "2"')
        with running(bus, "sh", str(SHOP / "labels.sh")) as labels:
            assert labels.stdout
            assert labels.stdout.readline() == "a label for order-1\n"
            ship(client, "order-3")
            assert labels.stdout.readline() == "a label for order-3\n"
            assert settled(client, "labels", delivered=2, dead=1)
        assert subjects(client, "label.printed") == ["order-1", "order-3"]
        [label, _] = client.events(pattern={"type": ["label.printed"]})
        story = client.story(label.position).events
        assert [one.event.type for one in story if one.event] == ["order.shipped", "label.printed"]
        [dead] = client.dead_letters("labels")
        assert "no order as its subject" in str(dead.last_answer)
