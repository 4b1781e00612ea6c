"""`eventyard tail` and `Client.follow`: against a bus behind its door, and against a server that is stopped and killed."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pytest

from eventyard.cli import run
from eventyard.client import AsyncClient, Client, Patience
from tests.support.buses import ServedBus, served_bus

EVENT = {"specversion": "1.0", "source": "/shop", "type": "order.paid"}
WAIT_S = 30.0
PATIENT = Patience(attempts_max=1_000_000, first_s=0.05, wait_max_s=5.0)


@pytest.fixture(scope="module")
def door() -> Iterator[ServedBus]:
    with served_bus() as bus:
        yield bus


_numbers = itertools.count(1)


@pytest.fixture
def bus(door: ServedBus) -> str:
    name = f"bus-{next(_numbers)}"
    assert door.put(f"/v1/buses/{name}").status_code == 201
    return name


def publish(door: ServedBus, bus: str, *numbers: int, **attributes: Any) -> None:
    batch = [EVENT | {"id": str(number)} | attributes for number in numbers]
    assert door.publish(bus, batch, "application/cloudevents-batch+json").status_code == 202


def tail(door: ServedBus, bus: str, *arguments: str) -> int:
    return run(["tail", "--url", door.url, "--bus", bus, *arguments])


@contextmanager
def tailing(url: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """`tail --follow` as a process."""
    command = [sys.executable, "-m", "eventyard", "tail", "--follow", "--url", url, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline()


def remark(process: "subprocess.Popen[str]") -> str:
    assert process.stderr
    return process.stderr.readline()


# The end of the log


def test_the_last_events_are_shown_oldest_first(door: ServedBus, bus: str, capsys: pytest.CaptureFixture[str]) -> None:
    publish(door, bus, *range(1, 13), subject="o-1")
    assert tail(door, bus) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["POSITION", "ACCEPTED", "TYPE", "SOURCE", "SUBJECT", "ID"]
    assert [row.split()[0] for row in rows] == [str(position) for position in range(3, 13)]
    assert rows[-1].split()[2:] == ["order.paid", "/shop", "o-1", "12"]


def test_json_lines_are_the_documents_of_events_list(door: ServedBus, bus: str, capsys: pytest.CaptureFixture[str]) -> None:
    publish(door, bus, 1, 2, 3)
    assert tail(door, bus, "--json", "-n", "2") == 0
    told = capsys.readouterr().out
    assert run(["events", "list", "--url", door.url, "--bus", bus, "--after", "1", "--order", "asc", "--json"]) == 0
    assert told == capsys.readouterr().out


def test_a_pattern_and_a_position_choose(door: ServedBus, bus: str, capsys: pytest.CaptureFixture[str]) -> None:
    publish(door, bus, 1, 2, type="order.sent")
    publish(door, bus, 3, 4)
    publish(door, bus, 5, type="order.sent")

    def told(*arguments: str) -> list[int]:
        assert tail(door, bus, "--json", *arguments) == 0
        return [json.loads(line)["position"] for line in capsys.readouterr().out.splitlines()]

    assert told("--type", "order.sent", "-n", "2") == [2, 5]
    assert told("--pattern", '{"type": ["order.paid"]}') == [3, 4]
    assert told("--after", "2") == [3, 4, 5]
    assert told("--limit", "0") == []


def test_a_bus_without_events_shows_nothing(door: ServedBus, bus: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tail(door, bus) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("arguments", [(), ("--follow",), ("--follow", "--after", "0")])
def test_a_bus_that_is_not_there_is_an_answer(door: ServedBus, arguments: tuple[str, ...]) -> None:
    assert tail(door, "nowhere", *arguments) == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--limit", "1", "--after", "1"), 2),
        (("--pattern", "{"), 2),
        (("--follow", "--after", "1000"), 3),
        (("--follow", "--pattern", '{"type": 1}'), 3),
    ],
)
def test_what_cannot_be_shown_is_refused(door: ServedBus, bus: str, arguments: tuple[str, ...], code: int) -> None:
    assert tail(door, bus, *arguments) == code


# What comes


def test_it_goes_on_with_what_comes_until_ctrl_c(door: ServedBus, bus: str) -> None:
    publish(door, bus, 1, 2, 3)
    with tailing(door.url, "--bus", bus, "-n", "2") as process:
        assert [line(process).split()[0] for _ in range(3)] == ["POSITION", "2", "3"]
        for number in (4, 5):
            publish(door, bus, number)
            assert line(process).split()[0] == str(number)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=WAIT_S) == ("", "")
        assert process.returncode == 130


def test_it_follows_a_pattern_in_json_from_the_beginning(door: ServedBus, bus: str) -> None:
    publish(door, bus, 1, 2, type="order.sent")
    with tailing(door.url, "--bus", bus, "--after", "0", "--type", "order.paid", "--json") as process:
        publish(door, bus, 3)
        assert json.loads(line(process))["event"] == EVENT | {"id": "3"}


def test_a_gap_is_said_and_it_goes_on_behind(door: ServedBus, bus: str) -> None:
    publish(door, bus, *range(1, 8))
    door.yard._state(bus).floor = 5
    with tailing(door.url, "--bus", bus, "--after", "1") as process:
        assert remark(process) == "events 2 to 4 cannot be given: retention\n"
        assert [line(process).split()[0] for _ in range(4)] == ["POSITION", "5", "6", "7"]
    with tailing(door.url, "--bus", bus, "--after", "1", "--json") as process:
        assert json.loads(remark(process)) == {"gap": {"first": 2, "last": 4, "reason": "retention"}}
        assert json.loads(line(process))["position"] == 5


def test_a_reader_that_goes_away_is_no_error(door: ServedBus, bus: str) -> None:
    publish(door, bus, *range(1, 8))
    command = [sys.executable, "-m", "eventyard", "tail", "--follow", "--after", "0", "--url", door.url, "--bus", bus]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        ended = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, check=False, timeout=WAIT_S)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_nothing_listens_there_is_said_at_once() -> None:
    assert run(["tail", "--follow", "--url", "http://127.0.0.1:9"]) == 4


# Over the ends of a server


class Server:
    """A server as a process, on the same port and folder again and again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = "0"
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> None:
        command = [sys.executable, "-m", "eventyard", "serve", "--port", self._port, "--data", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.url = self._process.stdout.readline().split()[-1]
        self._port = self.url.rpartition(":")[2]

    def end(self, number: signal.Signals) -> int:
        assert self._process
        assert self._process.stdout
        self._process.send_signal(number)
        self._process.stdout.read()
        self._process.stdout.close()
        return self._process.wait(WAIT_S)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    try:
        yield server
    finally:
        with suppress(ValueError):  # It was ended.
            server.end(signal.SIGKILL)


def test_it_waits_for_a_server_that_is_away_and_says_so(server: Server) -> None:
    with Client(server.url, patience=PATIENT) as client, tailing(server.url, "--after", "0") as process:
        client.publish(EVENT | {"id": "1"})
        assert [line(process).split()[0] for _ in range(2)] == ["POSITION", "1"]
        assert server.end(signal.SIGTERM) == 0
        assert remark(process).endswith("the server ended the stream: stopping; trying again until Ctrl-C\n")
        server.start()
        assert remark(process) == "connected again\n"
        client.publish(EVENT | {"id": "2"})
        assert line(process).split()[0] == "2"


class Publisher:
    """Publishes one event after the other until it is told to stop, however often the server is away."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.count = 0

    def _run(self) -> None:
        with Client(self._url, patience=PATIENT) as client:
            while not self._is_over.is_set():
                client.publish(EVENT | {"id": str(self.count + 1)})
                self.count += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()


Seen = list[tuple[int, str]]


def follow(url: str, seen: Seen) -> None:
    with Client(url, patience=PATIENT) as client:
        for stored in client.follow(after=0):
            seen.append((stored.position, stored.event["id"]))
            if stored.event["id"] == "end":
                return


async def follow_async(url: str, seen: Seen) -> None:
    async with AsyncClient(url, patience=PATIENT) as client:
        async for stored in client.follow(after=0, pattern={"type": [{"anything-but": "order.sent"}]}):
            seen.append((stored.position, stored.event["id"]))
            if stored.event["id"] == "end":
                return


def test_followers_miss_nothing_and_get_nothing_twice_while_the_server_is_killed(server: Server) -> None:
    """Five lives of which four end in the midst of publishing; the last event tells the followers to end."""
    seen: tuple[Seen, Seen] = ([], [])
    first = threading.Thread(target=follow, args=(server.url, seen[0]))
    second = threading.Thread(target=lambda: asyncio.run(follow_async(server.url, seen[1])))
    first.start()
    second.start()
    with Publisher(server.url) as publisher:
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
            already = publisher.count
            while publisher.count < already + 40:
                pass
            server.end(number)
            server.start()
    with Client(server.url, patience=PATIENT) as client:
        last = client.publish(EVENT | {"id": "end"}).position
    first.join(WAIT_S)
    second.join(WAIT_S)
    told = [*((position, str(position)) for position in range(1, last)), (last, "end")]
    assert last > 160
    assert seen == (told, told)
