"""`eventyard rules seek`, `replay` and what a bus keeps, against a running server."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from eventyard.client import Client
from tests.support.commands import Command, lines
from tests.support.targets import Target, answers

EVENT = {"type": "order.paid", "source": "/shop"}


@pytest.fixture
def target() -> Iterator[Target]:
    with Target(answers(204)) as target:
        yield target


@pytest.fixture
def delivered(eventyard: Command, server: str, bus: str, target: Target) -> str:
    """A bus whose rule `points` has had three events, at positions 2 to 4."""
    eventyard("rules", "put", "points", "--bus", bus, "--type", "order.paid", "--to", target.url)
    eventyard("publish", "--bus", bus, stdin=lines(*[EVENT | {"data": {"n": n}} for n in (1, 2, 3)]))
    with Client(server) as client:
        while client.status("points", bus=bus).delivered < 3:
            pass
    return bus


@pytest.mark.parametrize(("where", "again"), [("earliest", 3), ("3", 2), ("1h", 3), ("2001-01-01T00:00:00Z", 3), ("latest", 0)])
def test_a_rule_is_sent_to_another_place(  # noqa: PLR0917 - three fixtures and a case
    eventyard: Command, server: str, delivered: str, target: Target, where: str, again: int
) -> None:
    sought = eventyard("rules", "seek", "points", where, "--bus", delivered)
    assert sought.code == 0
    assert re.fullmatch(r"rule points goes on in run \d+\n", sought.out)
    target.wait_for_requests(3 + again)
    with Client(server) as client:
        while (status := client.status("points", bus=delivered)).lag:
            pass
    assert (status.delivered, len(target.requests)) == (3 + again, 3 + again)


def test_a_place_that_is_none_is_refused_with_what_to_do(eventyard: Command, delivered: str) -> None:
    ended = eventyard("rules", "seek", "points", "99999", "--bus", delivered)
    assert (ended.code, "at /to/position" in ended.err, "next:" in ended.err) == (3, True, True)


def test_a_replay_is_followed_to_its_end(eventyard: Command, delivered: str, target: Target) -> None:
    flags = ("--bus", delivered, "--from", "2", "--until", "4", "--pattern", '{"data": {"n": [2, 3]}}', "--json")
    started = eventyard("replay", "start", "points", *flags)
    [replay] = started.documents
    assert (started.code, replay["state"], replay["delivered"], replay["pattern"]) == (0, "done", 1, {"data": {"n": [2, 3]}})
    assert (len(target.requests), target.requests[-1].headers["eventyard-replay"]) == (4, str(replay["run"]))
    run = str(replay["run"])
    shown = eventyard("replay", "show", "points", run, "--bus", delivered)
    assert "state      done" in shown.out
    assert eventyard("replay", "list", "points", "--bus", delivered).out.splitlines()[1].split()[:4] == [
        run,
        "done",
        "2-3",
        "100",
    ]
    assert eventyard("replay", "cancel", "points", run, "--bus", delivered).out == f"replay {run} is forgotten\n"
    assert eventyard("replay", "show", "points", run, "--bus", delivered).code == 1
    assert eventyard("replay", "list", "points", "--bus", delivered).out == "rule points has no replays\n"


def test_a_replay_is_left_alone_and_cancelled(eventyard: Command, delivered: str) -> None:
    eventyard("rules", "pause", "points", "--bus", delivered)
    started = eventyard("replay", "start", "points", "--bus", delivered, "--from", "earliest", "--no-wait")
    assert "state      reading" in started.out
    assert "eventyard rules resume points" in started.err
    run = re.findall(r"replay +(\d+)", started.out)[0]
    assert eventyard("replay", "cancel", "points", run, "--bus", delivered).out == f"replay {run} is cancelled\n"
    followed = eventyard("replay", "show", "points", run, "--bus", delivered, "--follow")
    assert (followed.code, "state      cancelled" in followed.out) == (1, True)


def test_ctrl_c_leaves_a_replay_running_and_says_so(eventyard: Command, server: str, delivered: str) -> None:
    eventyard("rules", "pause", "points", "--bus", delivered)
    command = ["replay", "start", "points", "--bus", delivered, "--url", server, "--from", "earliest"]
    with subprocess.Popen([sys.executable, "-m", "eventyard", *command], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        while "replaying" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert (process.returncode, "the replay goes on; eventyard replay show points" in said) == (130, True)
    [replay] = eventyard("replay", "list", "points", "--bus", delivered, "--json").documents
    assert replay["state"] == "reading"


def test_what_a_bus_keeps_is_set_and_shown(eventyard: Command, bus: str) -> None:
    flags = ("--max-age", "30d", "--max-bytes", "5GiB", "--dead-letters", "36h")
    assert eventyard("buses", "set-retention", bus, *flags).code == 0
    shown = eventyard("buses", "show", bus)
    for row in ("max age       30d", "max bytes     5 368 709 120", "dead letters  36h", "kept whole    -"):
        assert row in shown.out
    kept = json.loads(eventyard("buses", "show", bus, "--json").out)["retention"]
    assert kept == {"max_age_s": 2_592_000.0, "max_bytes": 5 * 1024**3, "dead_letters_s": 129_600.0}
    eventyard("publish", "--bus", bus, stdin=lines(EVENT))
    assert "kept whole    positions 1 to 1" in eventyard("buses", "show", bus).out


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        ((), 2, "give --max-age, --max-bytes or --dead-letters"),
        (("--max-age", "7"), 2, "--max-age with a unit"),
        (("--max-bytes", "7XB"), 2, "--max-bytes as bytes"),
        (("--max-age", "0s"), 3, "at /retention/max_age_s"),
    ],
)
def test_what_cannot_be_kept_is_refused(eventyard: Command, bus: str, flags: tuple[str, ...], code: int, said: str) -> None:
    ended = eventyard("buses", "set-retention", bus, *flags)
    assert (ended.code, said in ended.err) == (code, True)


def test_a_bus_is_not_made_by_a_name_spelt_wrong(eventyard: Command) -> None:
    assert eventyard("buses", "set-retention", "shpo", "--max-age", "1d").code == 1
    assert eventyard("buses", "show", "shpo").code == 1
