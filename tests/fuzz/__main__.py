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

import httpx
import msgspec

from tests.fuzz.stock import Stock, rules

HERE = Path(__file__).parent
END_S = 30.0
EVENTS = 20
ASKED_ENOUGH = 100
Answered = dict[str, dict[int, int]]
"""How often, by operation and status."""


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
        Stock(url, key, rules(nowhere)).furnish(EVENTS)
        tally = folder / "tally.json"
        told = {
            "FUZZ_KEY": key,
            "FUZZ_NOWHERE": nowhere,
            "FUZZ_URL": url,
            "FUZZ_EVENTS": str(EVENTS),
            "FUZZ_TALLY": str(tally),
        }
        code = _schemathesis(folder, url, told, asked)
        troubles = _troubles(process, url, log)
    answered: Answered = msgspec.json.decode(tally.read_bytes(), type=Answered) if tally.exists() else {}
    _tell(answered)
    for trouble in [*troubles, *_never_taken(answered)]:
        _say(trouble)
        code = code or 1
    return code


def _tell(answered: Answered) -> None:
    """How often each operation answered with each status."""
    for operation, by_status in answered.items():
        _say(f"{operation:16} " + "  ".join(f"{status}: {count}" for status, count in by_status.items()))


def _never_taken(answered: Answered) -> list[str]:
    """Operations that refused whatever they were asked, so that nothing of them was seen. A few questions may all be bad ones."""
    return [
        f"{operation} took nothing of what it was asked: lead it somewhere in hooks.py"
        for operation, by_status in answered.items()
        if sum(by_status.values()) >= ASKED_ENOUGH and min(by_status) >= 300
    ]


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


def _schemathesis(folder: Path, url: str, environment: dict[str, str], asked: list[str]) -> int:
    """Its exit code: 0 where all is as the document says. The key goes by the environment, where `ps` does not show it."""
    command = [str(Path(sys.executable).with_name("st")), "--config-file", str(HERE / "schemathesis.toml")]
    run = [*command, "run", f"{url}/v1/openapi.json", "--generation-database=none", *asked]
    # One worker: two are no faster, and CPython 3.11 fails to make syntax trees in two threads at once. What failed is kept in the folder.
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
