"""A service on the client, with outbox and inbox, whose process is killed as the server's is; and what its database says at the end.

Some lives end from outside, the others at a chosen moment (`run_service`): between an event's being accepted and its row's being deleted, or
between the commit of what an event asked for and its acknowledgement.
"""

import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from tests.crash.clients import Address

RUNNER = Path(__file__).with_name("run_service.py")
ROOT = Path(__file__).resolve().parents[2]
END_S = 60.0
SOURCE = "/service"
RULE: dict[str, Any] = {
    "pattern": {"type": ["order.made"], "source": [SOURCE]},
    "target": {"queue": {"lease_s": 1}},
    "start": "earliest",
}
KILLED_SHARE = 0.3
"""Of the server's lives, those in which the service is killed from outside too."""


class Work(NamedTuple):
    """`made` and `worked` are what its database holds; `deaths` counts its lives that ended by SIGKILL."""

    made: int
    worked: int
    deaths: int


class Service:
    """`folder` holds its database, and the file that tells it where the server is."""

    def __init__(self, folder: Path, address: Address, seed: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._database = folder / "service.db"
        self._told = folder / "address"
        self._told.write_text("")
        self._rng = random.Random(seed)
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths = 0
        address.tell(self._tell)

    def _tell(self, url: str) -> None:
        """Renamed into place: a reader finds a whole address, or none."""
        new = self._told.with_suffix(".new")
        new.write_text(url)
        new.replace(self._told)

    def live(self) -> None:
        """Start it where it is dead, to die at a chosen moment, or not by itself."""
        if self._process is not None and self._process.poll() is None:
            return
        self._count()
        moment = self._rng.choice(("published", "worked", "never"))
        self._start(moment, self._rng.randint(1, 60))

    def kill_perhaps(self) -> None:
        if self._rng.random() < KILLED_SHARE:
            self.kill()

    def live_in_peace(self) -> None:
        self.kill()
        self._count()
        self._start("peace", 0)

    def stop(self) -> None:
        """All that it has to say is published when this returns, as long as the server is up."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(END_S)
        assert code == 0, f"the service ended with code {code}"

    def kill(self) -> None:
        """Nothing where it does not live."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(END_S)

    def _start(self, moment: str, count: int) -> None:
        command = [sys.executable, str(RUNNER), str(self._database), str(self._told), moment, str(count)]
        self._process = subprocess.Popen(command, cwd=ROOT)

    def _count(self) -> None:
        if self._process is not None:
            code = self._process.wait(END_S)
            assert code == -signal.SIGKILL, f"the service ended by itself with code {code}"
            self._deaths += 1

    def check(self, log: list[dict[str, Any]]) -> Work:
        """Each row of the outbox is in the log, once, and nothing else is; each order was worked once, and told once."""
        with closing(sqlite3.connect(self._database)) as db:
            made = [name for (name,) in db.execute("SELECT id FROM made")]
            worked = dict(db.execute("SELECT id, event FROM worked").fetchall())
            times = db.execute("SELECT count(*) FROM worked").fetchone()[0]
            waiting = db.execute("SELECT count(*) FROM eventyard_outbox").fetchone()[0]
        assert waiting == 0, f"{waiting} events wait in the outbox"
        assert times == len(worked), f"{times - len(worked)} orders were worked more than once"
        logged = [each["event"] for each in log if each["event"]["source"] == SOURCE]
        _agree("made", made, [event["id"] for event in logged if event["type"] == "order.made"])
        _agree("worked", sorted(made), sorted(worked))
        _agree("told", list(worked.values()), [event["id"] for event in logged if event["type"] == "order.worked"])
        causes = {event["id"]: event["causationid"] for event in logged if event["type"] == "order.worked"}
        assert all(causes[event] == order for order, event in worked.items()), "an event names another cause than it has"
        return Work(len(made), len(worked), self._deaths)


def _agree(what: str, wanted: list[str], found: list[str]) -> None:
    missing, beside = set(wanted) - set(found), set(found) - set(wanted)
    assert not missing, f"{what}: {len(missing)} of {len(wanted)} are not there"
    assert not beside, f"{what}: {len(beside)} were never written"
    assert len(wanted) == len(found), f"{what}: {len(found) - len(wanted)} are there more than once"
    assert wanted == found, f"{what}: in another order than they were written"
