"""`eventyard backup` and `restore` as commands: beside a server that is published to, and killed on their way."""

import itertools
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from tests.support.deaths import KilledAt, deaths
from tests.support.stores import dump, make_store

LIMIT_S = 60.0
EVENTYARD = (sys.executable, "-m", "eventyard")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("EVENTYARD_")} | {
    "PYTHONPATH": ":".join(path for path in sys.path if path)
}


def eventyard(*arguments: str | Path, runner: tuple[str, ...] = EVENTYARD) -> "subprocess.CompletedProcess[str]":
    """One command line, in a process of its own."""
    command = [*runner, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S, env=ENVIRONMENT)


@contextmanager
def served(data: Path) -> Iterator[httpx.Client]:
    command = [*EVENTYARD, "serve", "--port", "0", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        assert process.stdout
        try:
            url = process.stdout.readline().split()[-1]
            with httpx.Client(base_url=f"{url}/v1/buses/default", timeout=LIMIT_S) as client:
                yield client
        finally:
            process.send_signal(signal.SIGTERM)
            process.stdout.read()
            process.wait(LIMIT_S)


def event(number: int | str) -> dict[str, Any]:
    return {"specversion": "1.0", "id": str(number), "source": "/s", "type": "t", "data": {"n": number, "text": "x" * 2000}}


def publish(client: httpx.Client, *events: dict[str, Any]) -> list[dict[str, Any]]:
    """The verdicts, once the events are durable."""
    content = json.dumps(events).encode()
    answer = client.post("/events", content=content, headers={"content-type": "application/cloudevents-batch+json"})
    assert answer.status_code == 202
    verdicts: list[dict[str, Any]] = answer.json()["events"]
    return verdicts


def positions(client: httpx.Client) -> dict[str, int]:
    """By the id of each event, where it stands in the log."""
    found: dict[str, int] = {}
    after = 0
    while page := client.get("/events", params={"after": after, "limit": 1000}).json()["events"]:
        found |= {entry["event"]["id"]: entry["position"] for entry in page}
        after = page[-1]["position"]
    return found


class Publishing:
    """Someone who publishes without a pause, and knows what was acknowledged where."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._numbers = itertools.count(1)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = 0
        self.acknowledged: dict[str, int] = {}

    def publish(self) -> None:
        events = [event(next(self._numbers)) for _ in range(20)]
        self.sent += len(events)
        self.acknowledged |= {verdict["id"]: verdict["position"] for verdict in publish(self._client, *events)}

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.publish()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()


def test_a_backup_made_while_traffic_flows_has_all_that_was_acknowledged_before_it(tmp_path: Path) -> None:
    file, again = tmp_path / "backup.db", tmp_path / "again"
    rule = {"pattern": {"type": ["t"]}, "target": {"http": {"url": "http://127.0.0.1:1/"}}}
    with served(tmp_path / "data") as client:
        assert client.put("/rules/waits", json=rule).status_code == 201
        assert client.post("/rules/waits/pause").status_code == 200
        publisher = Publishing(client)
        for _ in range(50):
            publisher.publish()
        with publisher:
            before = dict(publisher.acknowledged)
            ended = eventyard("backup", file, "--data", tmp_path / "data", "--json")
            assert (ended.returncode, ended.stderr) == (0, "")
        assert len(publisher.acknowledged) == publisher.sent > len(before)
        assert positions(client).items() > publisher.acknowledged.items()

    told = eventyard("restore", file, "--data", again, "--json")
    assert (told.returncode, told.stdout) == (0, ended.stdout)
    (bus,) = json.loads(told.stdout)["buses"]
    with served(again) as client:
        held = positions(client)
        assert len(held) == bus["head"] + 1
        published = {id_: position for id_, position in held.items() if id_.isdigit()}
        assert before.items() <= published.items() <= publisher.acknowledged.items()
        assert client.get("/rules/waits/status").json()["waiting"] == len(published)
        (again_1, fresh) = publish(client, event(1), event("fresh"))
        assert (again_1["duplicate"], again_1["position"]) == (True, publisher.acknowledged["1"])
        assert (fresh["duplicate"], fresh["position"]) == (False, bus["head"] + 2)


def test_a_server_and_a_backup_may_share_the_store_in_any_order(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with served(data) as client:
        publish(client, event(1))
    assert eventyard("backup", tmp_path / "stopped.db", "--data", data).returncode == 0
    with served(data) as client:
        publish(client, event(2))
        assert eventyard("backup", tmp_path / "running.db", "--data", data).returncode == 0
        assert [verdict["position"] for verdict in publish(client, event(3))] == [3]
    assert dump(tmp_path / "running.db")["event"] == dump(data / "eventyard.db")["event"][:-1]


def test_a_lease_of_the_other_life_settles_nothing(tmp_path: Path) -> None:
    """The delivery is the same to the letter, and its receiver may have it from either store."""
    data, again = tmp_path / "data", tmp_path / "again"
    with served(data) as client:
        assert client.put("/rules/pulled", json={"pattern": {"type": ["t"]}, "target": {"queue": {}}}).status_code == 201
        publish(client, event(1))
        (before,) = client.post("/rules/pulled/receive", json={"max": 1}).json()["deliveries"]
        assert eventyard("backup", tmp_path / "b.db", "--data", data).returncode == 0
    assert eventyard("restore", tmp_path / "b.db", "--data", again).returncode == 0

    with served(again) as client:
        (after,) = client.post("/rules/pulled/receive", json={"max": 1}).json()["deliveries"]
        assert (after["position"], after["event"], after["attempt"]) == (before["position"], before["event"], 2)
        assert after["id"] != before["id"]
        verdicts = client.post("/rules/pulled/acknowledge", json={"leases": [before["lease"], after["lease"]]}).json()[
            "results"
        ]
        assert [verdict["ok"] for verdict in verdicts] == [False, True]


# What people see


def test_results_and_progress_are_said_and_the_next_step_too(tmp_path: Path) -> None:
    make_store(tmp_path / "data" / "eventyard.db").engine.close()
    file = tmp_path / "b.db"

    backed_up = eventyard("backup", file, "--data", tmp_path / "data")
    size = f"{file.stat().st_size / 1024**2:.1f} MiB"
    assert backed_up.stdout == f"backed up 48 events of 2 buses to {file} ({size}), verified\n"
    assert backed_up.stderr == "copying\ncatching up\nchecking its structure\nchecking events\n"
    assert backed_up.returncode == 0

    restored = eventyard("restore", file, "--data", tmp_path / "again")
    assert restored.stdout == f"restored 48 events of 2 buses from {file} into {tmp_path / 'again'}, verified\n"
    assert restored.returncode == 0


def test_on_a_terminal_progress_is_a_bar_that_goes_away(tmp_path: Path) -> None:
    make_store(tmp_path / "data" / "eventyard.db").engine.close()
    ours, theirs = pty.openpty()
    command = [*EVENTYARD, "backup", str(tmp_path / "b.db"), "--data", str(tmp_path / "data")]
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=theirs, text=True, check=True, env=ENVIRONMENT | {"TERM": "xterm"}
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)

    assert ended.stdout.endswith("verified\n")
    assert "checking" in shown
    assert "\x1b[2K" in shown
    assert shown.rstrip().endswith("puts it back\x1b[0m")


def test_a_bus_that_a_program_embeds_is_backed_up_by_its_file(tmp_path: Path) -> None:
    make_store(tmp_path / "shop.db").engine.close()

    assert eventyard("backup", tmp_path / "b.db", "--data", tmp_path / "shop.db").returncode == 0
    assert dump(tmp_path / "b.db") == dump(tmp_path / "shop.db")


def test_a_refusal_is_one_message_with_what_to_do(tmp_path: Path) -> None:
    make_store(tmp_path / "data" / "eventyard.db").engine.close()
    file = tmp_path / "b.db"
    file.touch()

    refused = eventyard("backup", file, "--data", tmp_path / "data")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        f"error: found {file} there already\nnext:  another name, or --force to replace it by a whole new one\n"
    )
    refused = eventyard("restore", file, "--data", tmp_path / "again", "--json")
    assert refused.returncode == 2
    assert json.loads(refused.stderr)["error"]["message"] == f"found that {file} is no database"


def test_a_backup_with_damage_in_it_ends_in_1_and_names_it(tmp_path: Path) -> None:
    database = tmp_path / "data" / "eventyard.db"
    make_store(database).engine.close()
    database.write_bytes(database.read_bytes().replace(b'"id":"e7"', b'"id":"g7"'))

    refused = eventyard("backup", tmp_path / "b.db", "--data", tmp_path / "data")
    assert refused.returncode == 5
    assert "event 9 is not what was written" in refused.stderr
    assert not (tmp_path / "b.db").exists()
    kept = eventyard("backup", tmp_path / "b.db", "--data", tmp_path / "data", "--keep-damage")
    assert kept.returncode == 1
    assert 'damaged, kept as it is: bus "default": event 9 is not what was written\n' in kept.stderr
    assert (tmp_path / "b.db").exists()


# Ends before the end


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"lock", "eventyard.marks"} if folder.exists() else set()


@pytest.fixture(scope="module")
def killed_at() -> Iterator[KilledAt]:
    """One command line after the other."""
    loaded = ("eventyard.cli.application", "eventyard.engines.sqlite.backup", "eventyard.engines.sqlite.restore")
    with deaths("eventyard.cli:run", *loaded) as killed_at:
        yield killed_at


@pytest.fixture
def store(tmp_path: Path) -> Path:
    make_store(tmp_path / "data" / "eventyard.db").engine.close()
    return tmp_path / "data"


@pytest.mark.parametrize(("moment", "operation", "step"), [("before", "write", 5), ("torn", "write", 7)])
def test_a_backup_that_is_killed_leaves_the_last_one_and_the_next_is_whole(
    store: Path, tmp_path: Path, killed_at: KilledAt, *, moment: str, operation: str, step: int
) -> None:
    file = tmp_path / "backups" / "b.db"
    file.parent.mkdir()
    file.write_text("the last good one")
    before = dump(store / "eventyard.db")
    kills = 0
    for count in itertools.count(1, step):
        if not killed_at(moment, operation, count, "backup", file, "--force", "--data", store):
            break
        kills += 1
        assert file.read_text() == "the last good one"
    assert kills >= 1
    assert left(file.parent) == {"b.db"}
    assert dump(file) == before


@pytest.mark.parametrize(("moment", "operation", "step"), [("before", "write", 3), ("torn", "write", 4), ("before", "sync", 1)])
def test_a_restore_that_is_killed_leaves_no_store_and_the_next_is_whole(
    store: Path, tmp_path: Path, killed_at: KilledAt, *, moment: str, operation: str, step: int
) -> None:
    file, folder = tmp_path / "b.db", tmp_path / "again"
    assert eventyard("backup", file, "--data", store).returncode == 0
    kills = 0
    for count in itertools.count(1, step):
        if not killed_at(moment, operation, count, "restore", file, "--data", folder):
            break
        kills += 1
        assert "eventyard.db" not in left(folder)
    assert kills >= 2
    assert left(folder) == {"eventyard.db"}
    assert dump(folder / "eventyard.db")["event"][:1] == dump(file)["event"][:1]


KILLED_WHILE = """
import os, signal, sys
from pathlib import Path
from eventyard.engines.sqlite.restore import restore
def look(stage, done, total):
    if stage == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)
restore(Path(sys.argv[1]), Path(sys.argv[2]), look, now_ms=1)
"""


@pytest.mark.parametrize("stage", ["copying", "checking its structure", "checking events"])
def test_a_restore_that_is_killed_at_any_stage_leaves_no_store(store: Path, tmp_path: Path, stage: str) -> None:
    file, folder = tmp_path / "b.db", tmp_path / "again"
    assert eventyard("backup", file, "--data", store).returncode == 0

    ended = eventyard(file, folder, stage, runner=(sys.executable, "-c", KILLED_WHILE))
    assert ended.returncode == -signal.SIGKILL
    assert "eventyard.db" not in left(folder)
    assert eventyard("restore", file, "--data", folder).returncode == 0
    assert left(folder) == {"eventyard.db"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_backup_ends_in_order_when_it_is_told_to(store: Path, tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "backups" / "b.db"
    file.parent.mkdir()
    told = (
        "import os, sys\nfrom eventyard.engines.sqlite import backup\ncopy = backup._copy_pages\n"
        f"backup._copy_pages = lambda *given: (os.kill(os.getpid(), {int(number)}), copy(*given))\n"
        "from eventyard.cli import main; main()"
    )
    ended = eventyard("backup", file, "--data", store, runner=(sys.executable, "-c", told))

    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "copying\n")
    assert left(file.parent) == set()
