"""`eventyard top`: what two looks tell together, once for scripts and live on a terminal."""

import re
import signal
from typing import Any

import pytest

from eventyard.cli.rates import Look, bus_lines, rule_lines
from eventyard.client import RuleStatus
from tests.support.commands import Command, lines
from tests.support.terminal import COLUMNS, on_a_terminal, read_rest, read_until

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
HEAD = ["RULE", "STATE", "OUT/S", "LAG", "LAG/S", "OLDEST", "RETRYING", "DEAD"]


COUNTS = "run lag pending waiting retrying leased blocked parked parked_keys delivered dead discarded"


def status(name: str, **more: Any) -> RuleStatus:
    fields: dict[str, Any] = {"name": name, "status": "live", "paused": False, "oldest_position": None, "oldest_age_s": None}
    return RuleStatus(**(fields | dict.fromkeys(COUNTS.split(), 0) | more))


def look(at_s: float, head: int, *statuses: RuleStatus) -> Look:
    return Look(at_s, {"b": head}, {("b", one.name): one for one in statuses})


def test_rates_are_what_grew_between_two_looks() -> None:
    before = look(10, 100, status("a", delivered=5, lag=20), status("again", delivered=50), status("gone"))
    now = look(14, 180, status("a", delivered=25, lag=12, dead=2), status("again", delivered=3), status("new", delivered=9))
    found = {line.rule: line for line in rule_lines(before, now)}
    assert list(found) == ["a", "again", "new"]
    assert (found["a"].delivered_s, found["a"].lag_s, found["a"].dead_s) == (5.0, -2.0, 0.5)
    assert (found["again"].delivered_s, found["new"].delivered_s) == (None, None)
    [bus] = bus_lines(before, now)
    assert (bus.events_s, bus.rules, bus.lag) == (20.0, 3, 12)


def test_a_state_is_told_in_the_word_that_matters_most() -> None:
    states: dict[str, dict[str, Any]] = {
        "live": {},
        "paused": {"paused": True, "failing": True},
        "failing": {"failing": True},
        "backfilling": {"status": "backfilling"},
    }
    for word, more in states.items():
        [line] = rule_lines(look(0, 0), look(1, 0, status("a", **more)))
        assert line.state == word


@pytest.fixture
def shop(eventyard: Command, bus: str) -> str:
    """A bus with two rules, one of which owes three events."""
    for name, kind in (("a-rule-with-a-name-that-is-as-long-as-names-may-become-in-a-house", "x"), ("waits", "paid")):
        eventyard("rules", "put", name, "--bus", bus, "--queue", "--type", kind)
    eventyard("publish", "--bus", bus, stdin=lines(*[{"type": "paid", "source": "/s"}] * 3))
    return bus


def test_a_script_gets_two_looks_and_an_end(eventyard: Command, shop: str) -> None:
    ended = eventyard("top", "--bus", shop, "--once", "--interval", "0.2", "--json")
    assert ended.code == 0
    first, second = ended.documents
    assert (first["rule"], first["bus"], first["lag"], first["lag_s"], first["state"]) == ("waits", shop, 3, 0.0, "live")
    assert second["delivered_s"] == 0.0
    told = eventyard("top", "--bus", shop, "--once", "--interval", "0.2", "--sort", "name").out.splitlines()
    assert told[0].startswith(f"bus {shop}: position 5, 0 events/s, 2 rules, lag 3")
    assert told[1].split() == HEAD
    assert told[3].split()[:4] == ["waits", "live", "0", "3"]


def test_a_bus_that_is_not_there_is_a_no(eventyard: Command) -> None:
    assert eventyard("top", "--bus", "nowhere", "--once").code == 1


def test_it_lives_on_a_terminal_until_ctrl_c_and_leaves_it_as_it_was(server: str, shop: str) -> None:
    with on_a_terminal("top", "--bus", shop, "--url", server, "--interval", "0.2", NO_COLOR="1") as (process, reader):
        shown = read_until(reader, "Ctrl-C ends")
        read_until(reader, "Ctrl-C ends")  # It goes on.
        process.send_signal(signal.SIGINT)
        rest = read_rest(reader)
        assert process.wait() == 130
    assert "\x1b[?1049h" in shown
    assert rest.rstrip().endswith("\x1b[?25h") or "\x1b[?1049l" in rest
    assert "Traceback" not in rest
    table = [ESCAPE.sub("", line) for line in shown.rpartition("\x1b[H")[2].splitlines()]
    assert all(len(line) <= COLUMNS for line in table)
    [waits] = [line for line in table if line.startswith("waits")]
    assert waits.split()[:4] == ["waits", "live", "0", "3"]
    assert [line.split() for line in table if line.startswith("RULE")] == [
        HEAD
    ]  # The name of a rule gives way, no number does.
