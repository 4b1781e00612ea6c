"""How a server starts and stops: what it tells, in which order it goes, and that what was answered in time is not pushed again."""

import ast
import asyncio
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

import eventyard
from eventyard.bus import Eventyard
from tests.support.buses import served_bus
from tests.support.targets import Connection, Target, answer

WAIT_S = 20.0


class Server:
    """A server process. `greeting` is what it printed up to "Stop with Ctrl-C"."""

    def __init__(self, data: Path, *flags: str, **environment: str) -> None:
        command = [sys.executable, "-m", "eventyard", "serve", "--port", "0", "--data", str(data), *flags]
        environment = os.environ | {"PYTHONPATH": str(Path(eventyard.__file__).parents[1])} | environment
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)
        self.greeting = list(iter(self._line, "Stop with Ctrl-C."))
        self.url = self.greeting[0].rsplit(maxsplit=1)[-1]

    def _line(self) -> str:
        assert self.process.stdout
        line: str = self.process.stdout.readline()
        assert line, "the server has ended"
        return line.rstrip("\n")

    def terminate(self) -> str:
        """SIGTERM, and what it says to that."""
        self.process.send_signal(signal.SIGTERM)
        return self._line()

    def ended(self) -> tuple[int, str, list[Any]]:
        """Its exit code, the last that it said, and its log."""
        out, err = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, out.strip(), [json.loads(line) for line in err.splitlines()]

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=WAIT_S)

    def publish(self, *numbers: int) -> None:
        events = [{"specversion": "1.0", "id": str(number), "source": "/s", "type": "t"} for number in numbers]
        headers = {"content-type": "application/cloudevents-batch+json"}
        answered = httpx.post(f"{self.url}/v1/buses/default/events", content=json.dumps(events), headers=headers)
        assert answered.status_code == 202

    def push_to(self, target: Target, concurrency: int) -> None:
        rule = {"pattern": {"type": ["t"]}, "target": {"http": {"url": target.url}}, "delivery": {"concurrency": concurrency}}
        assert httpx.put(f"{self.url}/v1/buses/default/rules/r", json=rule).status_code == 201


@contextmanager
def served(data: Path, *flags: str, **environment: str) -> Iterator[Server]:
    server = Server(data, *flags, **environment)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate()


class SlowTarget(Target):
    """Answers 204 to nothing until it is let go, and to everything from then on."""

    def __init__(self) -> None:
        super().__init__(self._behave)
        self._may_go = threading.Event()

    def let_go(self) -> None:
        self._may_go.set()

    async def _behave(self, connection: Connection) -> None:
        while await connection.request() is not None:
            await asyncio.to_thread(self._may_go.wait, WAIT_S)
            await connection.write(answer(204))

    def told(self, header: str) -> list[str]:
        return [request.headers[header] for request in self.requests]


# Starting


def test_a_start_tells_where_it_listens_what_it_holds_and_what_202_means(tmp_path: Path) -> None:
    with SlowTarget() as target:
        with served(tmp_path) as server:
            assert server.greeting[0] == f"Eventyard {eventyard.__version__} listens on {server.url}"
            assert "1 bus, 0 events, 0 rules" in server.greeting[1]
            assert server.greeting[2].startswith("202 means durable")
            server.push_to(target, 1)
            server.publish(1, 2)
            target.wait_for_requests(1)
        with served(tmp_path) as server:
            assert "1 bus, 3 events, 1 rule" in server.greeting[1]
            assert server.greeting[1].endswith("; 2 deliveries wait")
            target.let_go()


def test_a_life_is_told_in_the_log(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        server.terminate()
        _, _, log = server.ended()
    assert [line["event"] for line in log] == ["server-started", "server-stopping", "server-stopped"]
    started, stopping, stopped = log
    assert (started["url"], started["buses"], started["events"]) == (server.url, 1, 0)
    assert (stopping["by"], stopping["drain_s"]) == ("SIGTERM", 10.0)
    assert stopped["unanswered"] == 0


def test_systemd_is_told_when_it_is_ready_and_when_it_stops(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        told.settimeout(WAIT_S)
        with served(tmp_path / "data", NOTIFY_SOCKET=str(tmp_path / "notify")) as server:
            assert told.recv(100) == b"READY=1"
            server.terminate()
            assert told.recv(100) == b"STOPPING=1"


# Stopping


def test_what_is_answered_while_a_stop_drains_is_not_pushed_again(tmp_path: Path) -> None:
    with SlowTarget() as target:
        with served(tmp_path) as server:
            server.push_to(target, 4)
            server.publish(*range(8))
            target.wait_for_requests(4)
            assert server.terminate().startswith("Stopping: ")
            target.let_go()
            code, said, _ = server.ended()
            assert (code, said) == (0, "Stopped. Every push had its answer, and all that was accepted is on disk.")
        with served(tmp_path) as server:
            target.wait_for_requests(8)
            server.terminate()
            assert server.ended()[0] == 0
        with served(tmp_path) as server:
            assert server.get("/v1/buses/default/rules/r/status").json()["delivered"] == 8
        assert len(set(target.told("eventyard-delivery"))) == 8
        assert target.told("eventyard-attempt") == ["1"] * 8


def test_a_stop_waits_no_longer_than_it_is_told_and_says_what_is_pushed_again(tmp_path: Path) -> None:
    with SlowTarget() as target:
        with served(tmp_path, "--drain-s", "0.2") as server:
            server.push_to(target, 2)
            server.publish(1, 2, 3)
            target.wait_for_requests(2)
            server.terminate()
            code, said, _ = server.ended()
            assert (code, said) == (0, "Stopped. 2 pushes had no answer in time: they are sent again at the next start.")
        target.let_go()
        with served(tmp_path):
            target.wait_for_requests(5)
        again = [
            delivery for delivery in target.told("eventyard-delivery") if target.told("eventyard-delivery").count(delivery) == 2
        ]
        assert len(set(again)) == 2


def test_before_it_listens_no_more_a_server_is_not_ready_and_works_on(tmp_path: Path) -> None:
    with SlowTarget() as target, served(tmp_path, "--stop-delay-s", "3600") as server:
        target.let_go()
        server.push_to(target, 1)
        assert server.get("/readyz").status_code == 200
        assert server.terminate().startswith("Stopping: In 3600 s it listens no more.")
        ready = server.get("/readyz")
        assert (ready.status_code, ready.json()["waiting_for"]) == (503, ["a stop that was asked for"])
        assert "eventyard_ready 0.0" in server.get("/metrics").text
        assert server.get("/healthz").status_code == 200
        server.publish(1)
        target.wait_for_requests(1)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(WAIT_S) == 130


def test_after_the_delay_a_stop_goes_its_way(tmp_path: Path) -> None:
    with served(tmp_path, "--stop-delay-s", "0.1") as server:
        server.terminate()
        assert server.ended()[0] == 0


def test_who_waits_for_deliveries_is_answered_when_a_stop_begins(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        httpx.put(f"{server.url}/v1/buses/default/rules/q", json={"pattern": {"type": ["t"]}, "target": {"queue": {}}})
        answers: list[Any] = []
        receive = f"{server.url}/v1/buses/default/rules/q/receive"
        waiting = threading.Thread(
            target=lambda: answers.append(httpx.post(receive, json={"wait_s": 60}, timeout=WAIT_S).json())
        )
        waiting.start()
        while "eventyard_receives_waiting 1.0" not in server.get("/metrics").text:
            pass
        server.terminate()
        assert server.ended()[0] == 0
        waiting.join(WAIT_S)
    assert answers == [{"deliveries": []}]


# Ready


def test_a_transport_that_has_ended_is_told() -> None:
    with served_bus() as bus:
        assert bus.yard.unready() == []
        bus.yard._transport.close()
        assert bus.yard.unready() == ["the thread that pushes has ended"]


def test_all_that_it_may_wait_for_is_told() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operating" / "running.md").read_text(encoding="utf-8")
    for method in (Eventyard.unready, Eventyard._failure):
        [function] = ast.parse(textwrap.dedent(inspect.getsource(method))).body
        assert isinstance(function, ast.FunctionDef)
        said = [node.value for node in ast.walk(function) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        for phrase in said[1:]:  # The first is what it says of itself.
            assert phrase in page
