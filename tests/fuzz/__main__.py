"""`python -m tests.fuzz --examples 200`: a real server, asked by schemathesis whatever its OpenAPI document allows and what it does not."""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

HERE = Path(__file__).parent
BUS = "/v1/buses/default"
END_S = 30.0
EVENTS = 20


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Ask a real server whatever its OpenAPI document allows."
    )
    parser.add_argument("--examples", type=int, default=200, help="of each operation (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="chooses what is asked (default 1)")
    arguments, more = parser.parse_known_args()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, _nowhere() as nowhere:
        code = _run(Path(folder), nowhere, [f"--max-examples={arguments.examples}", f"--seed={arguments.seed}", *more])
    _say(f"seed {arguments.seed}, {arguments.examples} examples of each operation, {time.monotonic() - began_s:.0f} s")
    return code


def _run(folder: Path, nowhere: str, asked: list[str]) -> int:
    log = folder / "server.log"
    with _server(folder, log) as (process, url):
        key = _make_key(url)
        rules = _furnish(url, key, nowhere)
        tally = folder / "tally.json"
        told = {
            "FUZZ_KEY": key,
            "FUZZ_NOWHERE": nowhere,
            "FUZZ_RULES": msgspec.json.encode(rules).decode(),
            "FUZZ_TALLY": str(tally),
        }
        code = _schemathesis(folder, url, told, asked)
        troubles = _troubles(process, url, log)
    for trouble in troubles:
        _say(trouble)
        code = code or 1
    _tell(tally)
    return code


def _tell(tally: Path) -> None:
    """How often each operation answered with each status: one that only refused shows too little."""
    answered: dict[str, dict[int, int]] = msgspec.json.decode(tally.read_bytes(), type=dict[str, dict[int, int]])
    for operation, by_status in answered.items():
        _say(f"{operation:16} " + "  ".join(f"{status}: {count}" for status, count in by_status.items()))


@contextmanager
def _nowhere() -> Iterator[str]:
    """An address that refuses every connection while this lasts: the port is taken, and nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"


@contextmanager
def _server(folder: Path, log: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    quiet = ["--log-level", "error", "--log-format", "text", "--drain-s", "1"]
    command = [sys.executable, "-m", "eventyard", "serve", "--port", "0", "--data", str(folder / "data"), *quiet]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVENTYARD_")}
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as process,
    ):
        try:
            assert process.stdout
            yield process, process.stdout.readline().rsplit(maxsplit=1)[-1]
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _make_key(url: str) -> str:
    asked = {"name": "fuzz", "scopes": ["publish", "consume", "manage", "read"]}
    with httpx.Client(transport=httpx.HTTPTransport(retries=5)) as door:
        key: str = door.post(f"{url}/v1/keys", json=asked).raise_for_status().json()["key"]
    return key


def _furnish(url: str, key: str, nowhere: str) -> dict[str, Any]:
    """Two rules, one pulled and one pushed to nobody, with events, deliveries and dead letters. The rules, by name."""
    every = {"type": [{"prefix": "shop."}]}
    rules: dict[str, Any] = {
        "pulled": {"pattern": every, "target": {"queue": {}}},
        "pushed": {"pattern": every, "target": {"http": {"url": nowhere}}, "delivery": {"max_attempts": 1}},
    }
    events = [
        {"specversion": "1.0", "id": f"{number}", "source": "/fuzz", "type": "shop.order.placed", "subject": f"{number % 3}"}
        for number in range(EVENTS)
    ]
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}) as door:
        for name, rule in rules.items():
            door.put(f"{BUS}/rules/{name}", json=rule).raise_for_status()
        batch = {"content-type": "application/cloudevents-batch+json"}
        door.post(f"{BUS}/events", content=msgspec.json.encode(events), headers=batch).raise_for_status()
        leased = door.post(f"{BUS}/rules/pulled/receive", json={"max": 5, "wait_s": 10}).raise_for_status().json()["deliveries"]
        rejected = {"leases": [delivery["lease"] for delivery in leased], "reason": "to be a dead letter"}
        door.post(f"{BUS}/rules/pulled/reject", json=rejected).raise_for_status()
    return rules


def _schemathesis(folder: Path, url: str, environment: dict[str, str], asked: list[str]) -> int:
    """Its exit code: 0 where all is as the document says. The key goes by the environment, where `ps` does not show it."""
    command = [str(Path(sys.executable).with_name("st")), "--config-file", str(HERE / "schemathesis.toml")]
    run = [*command, "run", f"{url}/v1/openapi.json", "--generation-database=none", "--workers=2", *asked]
    # It keeps what failed in the folder that it runs in.
    within = (
        os.environ | environment | {"PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])}
    )
    return subprocess.run(run, env=within, cwd=folder, check=False).returncode


def _troubles(process: "subprocess.Popen[str]", url: str, log: Path) -> list[str]:
    """What became of the server over all this. One that is sound has no error to log, whatever it is asked."""
    if process.poll() is not None:
        return [f"the server ended with code {process.returncode}", *log.read_text().splitlines()[-20:]]
    answer = httpx.get(f"{url}/healthz", timeout=END_S)
    asked = [] if answer.status_code == 200 else [f"the server's health is {answer.status_code}"]
    return asked + log.read_text().splitlines()[:40]


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - progress for whoever waits


if __name__ == "__main__":
    sys.exit(main())
