"""The bus as a process: how it starts, what stops it from starting, how it ends; and the bus inside a program."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import eventyard
from eventyard import serve
from eventyard.core.errors import InvalidSettings
from eventyard.settings import Settings
from tests.support.builders import an_event
from tests.support.buses import LOOPBACK, running_bus

WAIT_S = 20.0
START = """
import sys
from eventyard.serve import serve
from eventyard.settings import Settings
sys.exit(serve(Settings(port=0, data=sys.argv[1], drain_s=5)))
"""


@contextmanager
def served(data: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A server as a process, with the lines that it greeted with."""
    environment = os.environ | {"PYTHONPATH": str(Path(eventyard.__file__).parents[1])}
    command = [sys.executable, "-c", START, str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield process, [process.stdout.readline() for _ in range(4)]
        finally:
            process.kill()


def url_in(greeting: list[str]) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", greeting[0])
    assert found
    return found[0]


def publish(url: str, number: str) -> Any:
    headers = {"ce-specversion": "1.0", "ce-id": number, "ce-source": "/s", "ce-type": "t"}
    return httpx.post(f"{url}/v1/buses/default/events", headers=headers).json()


def test_a_server_tells_where_it_listens_and_what_it_promises(tmp_path: Path) -> None:
    with served(tmp_path / "data") as (_, greeting):
        ready = httpx.get(url_in(greeting) + "/readyz").json()
        assert (ready["ready"], ready["waiting_for"], ready["damaged"]) == (True, [], {})
        assert str(tmp_path / "data") in greeting[1]
        assert "202 means durable" in greeting[2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_server_ends_well_and_goes_on_where_it_was(tmp_path: Path, number: signal.Signals) -> None:
    with served(tmp_path) as (process, greeting):
        assert publish(url_in(greeting), "1")["position"] == 1
        process.send_signal(number)
        assert process.wait(WAIT_S) == 0
    with served(tmp_path) as (_, greeting):
        assert publish(url_in(greeting), "1") == {"id": "1", "source": "/s", "position": 1, "duplicate": True}
        assert publish(url_in(greeting), "2")["position"] == 2


def test_a_second_signal_ends_a_server_at_once(tmp_path: Path) -> None:
    with served(tmp_path) as (process, greeting):
        assert process.stdout is not None
        host, port = url_in(greeting).removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"POST /v1/buses/default/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\n")
            process.send_signal(signal.SIGINT)
            assert "Stopping" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(WAIT_S) == 130


def test_a_folder_is_served_once(tmp_path: Path) -> None:
    with served(tmp_path), pytest.raises(InvalidSettings) as refused:
        serve.serve(Settings(port=0, data=str(tmp_path)))
    assert "held by another eventyard" in refused.value.detail


def test_a_port_that_is_taken_is_told_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidSettings) as refused:
            serve.serve(Settings(port=port, data=str(tmp_path / "data")))
    assert refused.value.at == "port"
    assert f"port {port}" in refused.value.found
    assert "--port" in refused.value.wanted
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_every_name_of_the_loopback_can_be_bound(host: str) -> None:
    with serve.bind(Settings(host=host, port=0)) as listener:
        assert listener.getsockname()[1] > 0


# Inside a program


def test_an_embedded_bus_keeps_its_events_in_its_file(tmp_path: Path) -> None:
    async def twice() -> list[int]:
        positions = []
        for number in (1, 2):
            async with eventyard.open(tmp_path / "shop.db") as bus:
                await bus.publish("default", [an_event(number)])
                positions.append(bus.head("default"))
        return positions

    assert asyncio.run(twice()) == [1, 2]


def test_an_embedded_file_is_held_by_one(tmp_path: Path) -> None:
    async def both() -> None:
        async with eventyard.open(tmp_path / "shop.db"), eventyard.open(tmp_path / "shop.db"):
            pass

    with pytest.raises(InvalidSettings):
        asyncio.run(both())


def test_a_bus_in_memory_is_started_and_stopped() -> None:
    async def published() -> int:
        async with running_bus(policy=LOOPBACK) as yard:
            await yard.publish("default", [an_event()])
            return yard.head("default")

    assert asyncio.run(published()) == 1


def test_a_client_loads_nothing_of_the_server() -> None:
    check = "import sys, eventyard.client; sys.exit('eventyard.serve' in sys.modules or 'uvicorn' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(Path(eventyard.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", check], env=environment, check=False).returncode == 0


def test_the_package_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        eventyard.opne  # noqa: B018
