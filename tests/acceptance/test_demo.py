"""The demo as a stranger runs it; what its account notices; and the two habits that its services rest on."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.shop.service import Event, Receive, Service, Unreadable
from examples.shop.story.account import Account, Logged, Report, RuleBook, balance, is_match

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples" / "shop" / "demo.py"
TYPES = {"a-1": "order.placed", "a-2": "order.placed", "b-1": "order.paid"}


def run_demo(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DEMO), *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, **(environment or {})},
    )


# The whole


@pytest.fixture(scope="module")
def told() -> subprocess.CompletedProcess[str]:
    return run_demo("--fast")


def test_the_demo_ends_well_with_a_balanced_account(told: subprocess.CompletedProcess[str]) -> None:
    assert told.returncode == 0, told.stdout + told.stderr
    assert "The account balances: " in told.stdout
    assert told.stderr == ""


@pytest.mark.parametrize(
    "line",
    [
        "orders | order-1 placed: 1 x book, 42.00 EUR",
        "fulfilment | order-1 shipped: 1 x book",
        "invoices | credit-note 3 for order-2: 65.00 EUR",
        "orders | order-2 cancelled: no lamp left",
        "orders | order-3 cancelled: the card has expired",
        "fulfilment | order-3 released: 1 x mug back on the shelf",
        "6 deliveries wait for fulfilment",
        "orders | order-6 is on its way: done",
        '"start": "earliest"',
        "rewards | 42 points for order-1",
        "rewards | 24 points for order-7",
        "invoices | order-8 refused: cannot read the currency CHF",
        "for order-8: 55.00 CHF",
    ],
)
def test_the_demo_tells_each_turn_of_the_story(told: subprocess.CompletedProcess[str], line: str) -> None:
    assert line in told.stdout


def test_a_bus_that_cannot_start_is_told_clearly(tmp_path: Path) -> None:
    (tmp_path / "eventyard.py").write_text("raise SystemExit('no bus here')")
    failed = run_demo("--fast", environment={"PYTHONPATH": str(tmp_path)})
    assert failed.returncode == 1
    assert "The demo failed: bus ended with exit code 1" in failed.stdout
    assert "no bus here" in failed.stdout
    assert "Traceback" not in failed.stdout + failed.stderr


def test_an_interrupted_demo_leaves_no_process_behind() -> None:
    with subprocess.Popen([sys.executable, str(DEMO)], stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout
        try:
            assert any("order-1 placed" in line for line in demo.stdout)
            children = children_of(demo.pid)
            demo.send_signal(signal.SIGINT)
            rest = demo.stdout.read()
            assert demo.wait(60) == 130
        finally:
            demo.terminate()
    assert "Interrupted" in rest
    assert len(children) == 5
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def children_of(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in found.split()]


# The account


def logged(position: int, event: str, source: str) -> Logged:
    return Logged(position, {"id": event, "source": source, "type": TYPES[event], "data": {"total": 20}})


def books(
    *,
    log: tuple[Logged, ...] | None = None,
    placed: tuple[str, ...] = ("a-1", "a-2"),
    received: dict[str, int] | None = None,
    **fates: Any,
) -> Account:
    """Two services: `a` placed two orders, `b` receives them and published one event that nobody asked for."""
    whole = (logged(1, "a-1", "/shop/a"), logged(2, "b-1", "/shop/b"), logged(3, "a-2", "/shop/a"))
    counts: dict[str, Any] = {"first_position": 1, "delivered": 2, "dead": 0, "discarded": 0, "pending": 0}
    return balance(
        whole if log is None else log,
        [RuleBook("b", {"type": ["order.placed"]}, **(counts | {"dead_ids": frozenset()} | fates))],
        [Report("a", placed, {}), Report("b", ("b-1",), {"a-1": 1, "a-2": 1} if received is None else received)],
    )


def test_honest_books_balance() -> None:
    account = books()
    assert account.faults == ()
    assert account.delivered[0].owed == 2


def test_an_event_that_comes_twice_is_shown_and_is_no_fault() -> None:
    account = books(received={"a-1": 3, "a-2": 1})
    assert account.faults == ()
    assert account.delivered[0].repeated == 2


def test_a_delivery_that_never_arrived_is_a_fault() -> None:
    assert books(received={"a-1": 1}).faults == ("b: the bus delivered 2 events, the service received 1",)


def test_a_delivery_that_was_never_made_is_a_fault() -> None:
    assert books(received={"a-1": 1}, delivered=1).faults == ("b: 2 events match the rule, but 1 deliveries are accounted for",)


def test_a_delivery_with_two_fates_is_a_fault() -> None:
    faults = books(dead=1, dead_ids=frozenset({"a-2"})).faults
    assert "b received a-2, which the bus calls dead" in faults
    assert "b: 2 events match the rule, but 3 deliveries are accounted for" in faults


def test_a_misrouted_delivery_is_a_fault() -> None:
    assert books(received={"a-1": 1, "a-2": 1, "b-1": 1}).faults == ("b received b-1, which its rule does not match",)


def test_a_misrouted_delivery_does_not_make_up_for_a_lost_one() -> None:
    assert len(books(received={"a-1": 1, "b-1": 1}).faults) == 2


def test_dead_discarded_and_pending_deliveries_balance_where_the_service_does_not_have_them() -> None:
    assert books(received={"a-1": 1}, delivered=1, dead=1, dead_ids=frozenset({"a-2"})).faults == ()
    assert books(received={"a-1": 1}, delivered=1, discarded=1).faults == ()
    assert books(received={"a-1": 1}, delivered=1, pending=1).faults == ()


def test_a_dead_letter_of_an_event_that_does_not_match_is_a_fault() -> None:
    faults = books(dead=1, delivered=1, received={"a-1": 1}, dead_ids=frozenset({"b-1"})).faults
    assert faults == ("b has the dead letter b-1, which does not match",)


def test_dead_letters_that_are_counted_but_not_listed_are_a_fault() -> None:
    assert books(dead=1, delivered=1, received={"a-1": 1}).faults == ("b: the bus counts 1 dead letters and lists 0",)


def test_a_published_event_that_the_log_lost_is_a_fault() -> None:
    faults = books(placed=("a-1", "a-2", "a-3")).faults
    assert faults == ("a published a-3, which the log does not have",)


def test_a_logged_event_that_nobody_published_is_a_fault() -> None:
    assert books(placed=("a-1",)).faults == ("the log has a-2, which a never published",)


def test_an_event_that_is_logged_twice_is_a_fault() -> None:
    log = (*(logged(n, "a-1", "/shop/a") for n in (1, 2)), logged(3, "b-1", "/shop/b"), logged(4, "a-2", "/shop/a"))
    assert "the log has a-1 of a 2 times" in books(log=log).faults


def test_a_rule_is_owed_nothing_from_before_its_start() -> None:
    account = books(first_position=2, delivered=1, received={"a-2": 1})
    assert account.faults == ()
    assert account.delivered[0].owed == 1


def test_the_account_reads_the_patterns_of_the_shop() -> None:
    pattern = {"type": ["order.paid"], "data": {"total": [{"numeric": [">=", 20, "<", 30]}]}}
    matches = [is_match(pattern, {"type": "order.paid", "data": {"total": total}}) for total in (19.99, 20, 29.5, 30, "20")]
    assert matches == [False, True, True, False, False]
    assert not is_match(pattern, {"type": "order.paid", "data": "text"})
    assert not is_match(pattern, {"type": "order.placed", "data": {"total": 20}})


def test_the_account_refuses_to_guess_at_a_pattern_that_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="exact values and numeric ranges"):
        is_match({"type": [{"prefix": "order."}]}, {"type": "order.paid"})


# The services


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Receive], Service]]:
    """Starts a service; the next one that a test starts has the same memory."""
    with contextlib.ExitStack() as stack:

        def start(receive: Receive) -> Service:
            started = Service("tested", "http://127.0.0.1:1", tmp_path / "tested.db", receive)
            stack.callback(started._memory.close)
            return started

        yield start


def count(tested: Service, event: Event) -> None:
    tested.remember("count", tested.recall("count", 0) + 1)
    tested.publish("counted", event["id"], {})


def test_a_service_handles_an_event_once_however_often_it_comes(start: Callable[[Receive], Service]) -> None:
    tested = start(count)
    for _ in range(3):
        tested.take({"id": "e-1", "type": "t"})
    report = tested.report()
    assert report["received"] == {"e-1": 3}
    assert report["facts"] == {"count": 1}
    assert report["unsent"] == len(report["published"]) == 1


def test_a_service_goes_on_where_a_killed_one_ended(start: Callable[[Receive], Service]) -> None:
    start(count).take({"id": "e-1", "type": "t"})
    revived = start(count)
    revived.take({"id": "e-1", "type": "t"})
    revived.take({"id": "e-2", "type": "t"})
    assert revived.report()["facts"] == {"count": 2}
    assert revived.report()["unsent"] == 2


def test_of_an_event_that_cannot_be_read_nothing_is_kept(start: Callable[[Receive], Service]) -> None:
    def refuse(tested: Service, event: Event) -> None:
        count(tested, event)
        raise Unreadable("no")

    tested = start(refuse)
    with pytest.raises(Unreadable):
        tested.take({"id": "e-1", "type": "t"})
    assert tested.report() == {"received": {}, "published": [], "unsent": 0, "facts": {}}
