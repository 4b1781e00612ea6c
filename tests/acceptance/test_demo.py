"""The demo as a stranger runs it; what its account notices; and what its services do about an event that comes twice."""

import importlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from eventyard.client import CloudEvent
from examples.shop.story.account import Account, Logged, RuleBook, Said, balance, is_match
from tests.support.tools import needs_curl

ROOT = Path(__file__).resolve().parents[2]
SHOP = ROOT / "examples" / "shop"
DEMO = SHOP / "demo.py"
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
        "bus | + expectation default/shipped-in-time",
        "order.overdue  order-4  2.0 s after order.paid: nothing",
        "6 deliveries wait for fulfilment",
        "shelf.low        mug      data.left 2 is < 3",
        "order.done-late  order-6",
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


@needs_curl
def test_a_shell_script_joins_the_demo(told: subprocess.CompletedProcess[str]) -> None:
    assert "labels | a label for order-9" in told.stdout


def test_a_bus_that_cannot_start_is_told_clearly(tmp_path: Path) -> None:
    (tmp_path / "eventyard.py").write_text("raise SystemExit('no bus here')")
    failed = run_demo("--fast", environment={"PYTHONPATH": str(tmp_path)})
    assert failed.returncode == 1
    assert "The demo failed: bus ended with exit code 1" in failed.stdout
    assert "no bus here" in failed.stdout
    assert "Traceback" not in failed.stdout + failed.stderr


def test_an_interrupted_demo_leaves_no_process_behind() -> None:
    with subprocess.Popen([sys.executable, str(DEMO), "--fast"], stdout=subprocess.PIPE, text=True) as demo:
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


def test_who_reacts_to_what_in_the_shop_is_tested_without_a_server() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-p", "eventyard.fixtures", str(SHOP)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


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
        [Said("a", placed), Said("b", ("b-1",))],
        {"b": {"a-1": 1, "a-2": 1} if received is None else received},
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


def test_who_answers_each_event_has_one_event_in_the_log_for_each_that_it_took() -> None:
    log = [Logged(1, {"id": "a-1", "source": "/shop/a"}), Logged(2, {"id": "c-1", "source": "/shop/c", "causationid": "a-1"})]
    assert balance(log, [], [Said("c", ("a-1",), is_by_cause=True)], {}).faults == ()
    lost = balance(log, [], [Said("c", ("a-1", "a-2"), is_by_cause=True)], {}).faults
    assert lost == ("c published what came of a-2, which the log does not have",)


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
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """A service's own module, as its program has it, with an empty memory."""
    monkeypatch.setenv("SHOP_DATA", str(tmp_path))
    monkeypatch.syspath_prepend(str(SHOP))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(SHOP) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def rows(folder: Path, service: str, sql: str) -> list[Any]:
    with closing(sqlite3.connect(folder / f"{service}.db")) as db:
        return [row[0] if len(row) == 1 else row for row in db.execute(sql)]


def came(event: str, kind: str, rule: str, data: Any) -> CloudEvent[Any]:
    return CloudEvent(id=event, source="/shop/a", type=kind, subject="order-1", data=data, rule=rule)


ORDER = {"order": "order-1", "item": "book", "quantity": 1, "total": 42.0, "currency": "EUR", "card": "good"}


def test_points_are_granted_once_and_told_each_time_for_the_bus_takes_the_same_once(
    service: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    rewards = service("rewards")
    paid = came("p-1", "order.paid", "rewards-grant", rewards.Paid("order-1", 42.0))
    first, second = rewards.grant(paid), rewards.grant(paid)
    assert first == second == {"type": "points.granted", "subject": "order-1", "data": {"order": "order-1", "points": 42}}
    assert rows(tmp_path, "rewards", "SELECT points FROM points") == [42]


def test_a_card_is_charged_once(service: Callable[[str], ModuleType], tmp_path: Path) -> None:
    payments = service("payments")
    placed = came("o-1", "order.placed", "payments-charge", ORDER)
    assert payments.charge(placed) == payments.charge(placed)
    assert rows(tmp_path, "payments", "SELECT total FROM charges") == [42.0]


def test_an_order_and_the_event_that_tells_of_it_are_one(service: Callable[[str], ModuleType], tmp_path: Path) -> None:
    orders = service("orders")
    orders.place(ORDER)
    orders.place(ORDER)
    with pytest.raises(ValueError, match="Unknown format code"):
        orders.place({**ORDER, "order": "order-2", "total": "much"})
    assert rows(tmp_path, "orders", "SELECT * FROM orders") == [("order-1", "placed")]
    assert rows(tmp_path, "orders", "SELECT json_extract(event, '$.subject') FROM eventyard_outbox") == ["order-1"]


@pytest.mark.parametrize("is_paid_first", [False, True])
def test_what_is_paid_ships_once_in_whatever_order_the_events_come(
    service: Callable[[str], ModuleType], tmp_path: Path, *, is_paid_first: bool
) -> None:
    fulfilment = service("fulfilment")
    steps = [
        (fulfilment.reserve, came("o-1", "order.placed", "fulfilment-reserve", ORDER)),
        (fulfilment.ship, came("p-1", "order.paid", "fulfilment-ship", ORDER)),
    ]
    for _ in range(2):
        for handle, event in reversed(steps) if is_paid_first else steps:
            handle(event)
    assert rows(tmp_path, "fulfilment", "SELECT state FROM parcels") == ["shipped"]
    told = rows(
        tmp_path,
        "fulfilment",
        "SELECT json_extract(event, '$.type'), json_extract(event, '$.causationid') FROM eventyard_outbox",
    )
    assert told == [("order.shipped", "p-1")]


def test_what_is_put_back_can_be_ordered_again(service: Callable[[str], ModuleType], tmp_path: Path) -> None:
    fulfilment = service("fulfilment")
    everything = {**ORDER, "quantity": 100}
    fulfilment.reserve(came("o-1", "order.placed", "fulfilment-reserve", everything))
    fulfilment.reserve(came("o-2", "order.placed", "fulfilment-reserve", {**ORDER, "order": "order-2"}))
    fulfilment.release(came("f-1", "payment.failed", "fulfilment-release", everything))
    fulfilment.reserve(came("o-3", "order.placed", "fulfilment-reserve", {**ORDER, "order": "order-3"}))
    assert rows(tmp_path, "fulfilment", "SELECT state FROM parcels ORDER BY number") == ["released", "short", "reserved"]
