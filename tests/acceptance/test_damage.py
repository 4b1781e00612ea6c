"""The whole way of a store that loses its log: a process killed, a file gone, what the next one says, the repair, and on."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from eventyard.engines.sqlite import files
from tests.support.targets import Target, answers


@contextmanager
def killed_at_the_end(folder: Path) -> Iterator[str]:
    """A server process of its own, and its address; it ends by SIGKILL."""
    command = [sys.executable, "-m", "eventyard", "serve", "--port", "0", "--data", str(folder)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVENTYARD_")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().rsplit(maxsplit=1)[-1]
        finally:
            process.kill()


def publish(url: str, number: int) -> httpx.Response:
    event = {"specversion": "1.0", "id": str(number), "source": "/s", "type": "t"}
    headers = {"content-type": "application/cloudevents+json"}
    return httpx.post(f"{url}/v1/buses/default/events", content=json.dumps(event), headers=headers)


def doctor(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "eventyard", "doctor", "--data", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_server_that_is_killed_and_loses_its_log_is_read_repaired_and_goes_on_above(tmp_path: Path) -> None:
    with Target(answers(204)) as target:
        with killed_at_the_end(tmp_path) as url:
            rule = {"pattern": {"type": ["t"]}, "target": {"http": {"url": target.url}}}
            assert httpx.put(f"{url}/v1/buses/default/rules/r", json=rule).status_code == 201
        with killed_at_the_end(tmp_path) as url:
            given = [publish(url, number).json()["position"] for number in range(1, 21)]
            target.wait_for_requests(20)
        files.log(tmp_path / files.DATABASE).unlink()
        pushed = len(target.requests)

        with killed_at_the_end(tmp_path) as url:
            ready = httpx.get(f"{url}/readyz")
            refused = publish(url, 21)
        assert (ready.status_code, refused.status_code) == (503, 503)
        assert f"had reached {given[-1]}" in ready.json()["waiting_for"][0]
        assert refused.json()["type"] == "urn:eventyard:problem:store-behind"
        assert str(tmp_path) in refused.json()["wanted"]

        found = doctor(tmp_path)
        assert (found.returncode, f"doctor --repair --data {tmp_path}" in found.stdout) == (1, True)
        repaired = doctor(tmp_path, "--repair", "--yes")
        assert repaired.returncode == 0, repaired.stderr
        assert f"to {given[-1]}" in repaired.stdout

        with killed_at_the_end(tmp_path) as url:
            assert httpx.get(f"{url}/readyz").status_code == 200
            again = publish(url, 22).json()
            lost = httpx.get(f"{url}/v1/buses/default/events/{given[-1]}")
        assert again["position"] > given[-1]
        assert (lost.status_code, "were lost (repair)" in lost.json()["found"]) == (404, True)
    assert len(target.requests) - pushed <= 1
