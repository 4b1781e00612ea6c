"""Workers as processes: with a server that leaves pushing to them, beside one that pushes itself, killed, stopped, alone."""

import asyncio
import contextlib
import json
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.targets import Connection, Target, answer, answers

RUNNER = Path(__file__).resolve().parents[1] / "support" / "run_with_limits.py"
LIMIT_S = 40.0
SHORT = ("PUSH_LEASE_MARGIN_MS=200", "WORKER_LAST_S=0.5")
TIMEOUT_S = 2.0


class Process:
    """A process of ours whose lines can be waited for."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, str(RUNNER), *SHORT, "--", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines: queue.Queue[str] = queue.Queue()
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def wait_for(self, text: str) -> str:
        ends_at = time.monotonic() + LIMIT_S
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, ends_at - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"waited for {text!r} in vain; it said {self.said}") from None
            self.said.append(line)
            if text in line:
                return line

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(LIMIT_S)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_S)

    def end(self) -> None:
        if self.process.poll() is None:
            self.kill()
        self._reader.join(LIMIT_S)
        if self.process.stdout is not None:
            self.process.stdout.close()


class Yard:
    """A server and its workers."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self._folder = folder
        self._flags = flags
        self._processes: list[Process] = []
        self.port = 0
        self.server = self.serve()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def rule(self) -> str:
        return f"{self.url}/v1/buses/default/rules/r"

    def start(self, *arguments: str) -> Process:
        process = Process(*arguments)
        self._processes.append(process)
        return process

    def serve(self) -> Process:
        data = ("--data", str(self._folder / "data"), "--port", str(self.port), "--drain-s", "0")
        self.server = self.start("serve", *data, *self._flags)
        found = re.search(r"127\.0\.0\.1:(\d+)", self.server.wait_for("listens on"))
        assert found
        self.port = int(found[1])
        self.wait_until(self._answers)
        return self.server

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(self.url + "/healthz").is_success
        return False

    def worker(self, *flags: str) -> Process:
        worker = self.start("worker", "--server", self.url, *flags)
        worker.wait_for("Pushing for the server")
        return worker

    def put(self, target: str, **delivery: Any) -> None:
        policy = {"backoff": {"initial_s": 0.01, "max_s": 0.05}, "concurrency": 8} | delivery
        rule = {
            "pattern": {"type": ["order.paid"]},
            "target": {"http": {"url": target, "timeout_s": TIMEOUT_S}},
            "delivery": policy,
        }
        assert httpx.put(self.rule, json=rule).is_success

    def publish(self, numbers: range) -> None:
        batch = [{"specversion": "1.0", "source": "/shop", "type": "order.paid", "id": str(number)} for number in numbers]
        headers = {"content-type": "application/cloudevents-batch+json"}
        assert httpx.post(f"{self.url}/v1/buses/default/events", json=batch, headers=headers).status_code == 202

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(self.rule + "/status").json()
        return found

    def wait_for_status(self, **wanted: int) -> None:
        self.wait_until(lambda: wanted.items() <= self.status().items())

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        ends_at = time.monotonic() + LIMIT_S
        while not is_so():
            assert time.monotonic() < ends_at, "waited in vain"
            time.sleep(0.02)  # Nothing could tell: it is another process.

    def end(self) -> None:
        for process in self._processes:
            process.end()


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    yard = Yard(tmp_path, "--no-dispatch")
    try:
        yield yard
    finally:
        yard.end()


def taken(target: Target) -> Counter[str]:
    """How often the target was sent each event."""
    return Counter(json.loads(request.body)["id"] for request in target.requests)


def deliveries(target: Target) -> dict[str, set[str]]:
    """The delivery ids that each event came under."""
    ids: dict[str, set[str]] = {}
    for request in target.requests:
        ids.setdefault(json.loads(request.body)["id"], set()).add(request.headers["eventyard-delivery"])
    return ids


class Gate:
    """A target that answers nothing until it is opened, and then 204."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def open(self) -> None:
        self._open.set()

    async def __call__(self, connection: Connection) -> None:
        while await connection.request():
            while not self._open.is_set():  # noqa: ASYNC110 - it is opened on another thread
                await asyncio.sleep(0.01)
            await connection.write(answer(204))


def names(numbers: range) -> set[str]:
    return {str(number) for number in numbers}


# Pushing


def test_two_workers_deliver_everything_once(yard: Yard) -> None:
    with Target(answers(204)) as target:
        yard.put(target.url)
        workers = [yard.worker(), yard.worker()]
        for first in range(0, 1_000, 250):
            yard.publish(range(first, first + 250))
        yard.wait_for_status(delivered=1_000, pending=0)
        assert taken(target) == Counter(dict.fromkeys(names(range(1_000)), 1))
        told = []
        for worker in workers:
            assert worker.stop() == 0
            told.append(int(re.findall(r"Stopped. (\d+) deliveries", worker.wait_for("Stopped."))[0]))
        assert sum(told) == 1_000
        assert min(told) > 0


def test_without_a_worker_nothing_is_pushed(yard: Yard) -> None:
    assert "eventyard worker --server" in yard.server.wait_for("left to workers")
    with Target(answers(204)) as target:
        yard.put(target.url)
        yard.publish(range(10))
        assert yard.status()["waiting"] == 10
        yard.worker()
        yard.wait_for_status(delivered=10)
        assert taken(target) == Counter(dict.fromkeys(names(range(10)), 1))


def test_a_worker_helps_a_server_that_pushes_itself(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    try:
        with Target(answers(204)) as target:
            yard.put(target.url)
            yard.worker()
            yard.publish(range(500))
            yard.wait_for_status(delivered=500, pending=0)
            assert taken(target) == Counter(dict.fromkeys(names(range(500)), 1))
    finally:
        yard.end()


def test_what_targets_answer_means_what_it_means_in_the_server(yard: Yard) -> None:
    async def by_its_id(connection: Connection) -> None:
        seen: Counter[str] = Counter()
        while request := await connection.request():
            event = json.loads(request.body)["id"]
            seen[event] += 1
            attempt = request.headers["eventyard-attempt"]
            replies = {
                "1": answer(500) if attempt in ("1", "2") else answer(204),
                "2": answer(422, body=b"no such order"),
                "3": answer(503, {"retry-after": "3600"}),
                "4": answer(302, {"location": "/elsewhere"}) if attempt == "1" else answer(200),
            }
            await connection.write(replies[event])

    with Target(by_its_id) as target:
        yard.put(target.url, breaker=None)  # else the 503 would hold the others too
        yard.worker()
        yard.publish(range(1, 5))
        yard.wait_for_status(delivered=2, dead=1, retrying=1)
        assert taken(target) == {"1": 3, "2": 1, "3": 1, "4": 2}
        (letter,) = httpx.get(yard.rule + "/dead-letters").json()["dead_letters"]
        assert (letter["reason"], letter["last_answer"]["status"], letter["last_answer"]["body"]) == (
            "answer",
            422,
            "no such order",
        )


def test_a_target_that_is_gone_pauses_its_rule(yard: Yard) -> None:
    with Target(answers(410)) as target:
        yard.put(target.url, concurrency=1)
        yard.worker()
        yard.publish(range(5))
        yard.wait_until(lambda: bool(httpx.get(yard.rule).json()["state"]["paused"]))
        assert yard.status()["pending"] == 5


def test_a_worker_has_a_network_policy_of_its_own(yard: Yard) -> None:
    with Target(answers(204)) as target:
        yard.put(target.url.replace("127.0.0.1", "localhost"))
        yard.worker()
        yard.publish(range(1))
        yard.wait_for_status(delivered=1)


# Ends of workers


def test_a_worker_that_is_killed_costs_only_its_leases(yard: Yard) -> None:
    gate = Gate()
    with Target(gate) as target:
        yard.put(target.url, concurrency=16)
        doomed = yard.worker()
        yard.publish(range(100))
        target.wait_for_requests(16)
        yard.worker()
        doomed.kill()
        gate.open()
        yard.wait_for_status(delivered=100, pending=0)
        assert set(taken(target)) == names(range(100))
        assert all(len(ids) == 1 for ids in deliveries(target).values())
        assert max(taken(target).values()) <= 2


def test_workers_that_are_killed_again_and_again_lose_nothing(yard: Yard) -> None:
    with Target(answers(204)) as target:
        yard.put(target.url)
        yard.publish(range(600))
        for sent in (50, 200, 350):
            worker = yard.worker()
            target.wait_for_requests(sent)
            worker.kill()
        yard.worker()
        yard.wait_for_status(delivered=600, pending=0)
        assert set(taken(target)) == names(range(600))
        assert all(len(ids) == 1 for ids in deliveries(target).values())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_stopped_leaves_no_lease_behind(yard: Yard, number: signal.Signals) -> None:
    with Target(answers(204)) as target:
        yard.put(target.url)
        yard.publish(range(1_000))
        yard.publish(range(1_000, 2_000))
        worker = yard.worker()
        target.wait_for_requests(200)
        worker.process.send_signal(number)
        assert worker.process.wait(LIMIT_S) == 0
        found = yard.status()
        assert found["leased"] == 0
        assert found["delivered"] + found["waiting"] == 2_000
        assert found["delivered"] == len(target.requests)
        assert max(taken(target).values()) == 1


def test_a_push_that_hangs_when_its_worker_stops_is_given_back(yard: Yard) -> None:
    async def hang_at_first(connection: Connection) -> None:
        while request := await connection.request():
            if request.headers["eventyard-attempt"] == "1":
                await connection.until_closed()
            await connection.write(answer(204))

    with Target(hang_at_first) as target:
        yard.put(target.url)
        yard.publish(range(3))
        worker = yard.worker("--drain-s", "0.1")
        target.wait_for_requests(3)
        assert worker.stop() == 0
        found = yard.status()
        assert (found["leased"], found["retrying"]) == (0, 3)
        yard.worker()
        yard.wait_for_status(delivered=3)


# Ends of servers


def test_a_server_that_is_killed_while_workers_push_loses_nothing(yard: Yard) -> None:
    with Target(answers(204)) as target:
        yard.put(target.url)
        workers = [yard.worker(), yard.worker()]
        yard.publish(range(1_000))
        for sent in (100, 500):
            target.wait_for_requests(sent)
            yard.server.kill()
            for worker in workers:
                worker.wait_for("The server does not answer")
            yard.serve()
            for worker in workers:
                worker.wait_for("The server is back")
        yard.wait_for_status(delivered=1_000, pending=0)
        assert set(taken(target)) == names(range(1_000))
        assert all(len(ids) == 1 for ids in deliveries(target).values())


def test_what_was_answered_while_the_server_was_away_is_not_pushed_again(yard: Yard) -> None:
    """The server keeps the leases of workers over a restart, and the verdicts come afterwards."""
    gate = Gate()
    with Target(gate) as target:
        yard.put(target.url)
        yard.publish(range(8))
        worker = yard.worker()
        target.wait_for_requests(8)
        yard.server.kill()
        worker.wait_for("The server does not answer")
        gate.open()
        yard.serve()
        yard.wait_for_status(delivered=8)
        assert taken(target) == Counter(dict.fromkeys(names(range(8)), 1))


def test_a_worker_that_stops_while_the_server_is_away_says_what_it_could_not_tell(yard: Yard) -> None:
    gate = Gate()
    with Target(gate) as target:
        yard.put(target.url)
        yard.publish(range(3))
        worker = yard.worker("--drain-s", "0.2")
        target.wait_for_requests(3)
        yard.server.kill()
        worker.wait_for("The server does not answer")
        gate.open()
        assert worker.stop() == 4
        worker.wait_for("3 verdicts did not reach the server")
        yard.serve()
        yard.worker()
        yard.wait_for_status(delivered=3)
        assert taken(target) == Counter(dict.fromkeys(names(range(3)), 2))
        assert all(len(ids) == 1 for ids in deliveries(target).values())


# How it is started


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8410",
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1:99999",
        "http://u:p@127.0.0.1",
        "http://127.0.0.1/bus?a=b",
    ],
)
def test_an_address_that_is_none_is_a_usage_error(url: str) -> None:
    process = Process("worker", "--server", url)
    try:
        assert process.process.wait(LIMIT_S) == 2
        assert "as http://127.0.0.1:8410" in process.wait_for("error")
    finally:
        process.end()


def test_what_is_no_eventyard_is_said_at_once() -> None:
    with Target(answers(200, {"content-type": "text/html"}, b"<html>a web site</html>")) as target:
        process = Process("worker", "--server", target.url.removesuffix("/events"))
        try:
            assert process.process.wait(LIMIT_S) == 3
            assert "wanted an Eventyard server of this version" in process.wait_for("error")
        finally:
            process.end()


def test_a_worker_waits_for_a_server_that_is_not_there_yet(tmp_path: Path) -> None:
    yard = Yard(tmp_path, "--no-dispatch")
    try:
        yard.server.stop()
        worker = yard.start("worker", "--server", yard.url)
        worker.wait_for("The server does not answer: connection refused")
        yard.serve()
        worker.wait_for("Pushing for the server")
        with Target(answers(204)) as target:
            yard.put(target.url)
            yard.publish(range(3))
            target.wait_for_requests(3)
    finally:
        yard.end()
