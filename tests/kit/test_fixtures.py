"""What pytest finds in an environment with Eventyard, in runs of its own, and a test of a team that uses it."""

from pathlib import Path

from tests.support.pytest_runs import run_pytest

TEST = """
def test_a_bus(eventyard_bus):
    eventyard_bus.publish(type="order.paid")
    eventyard_bus.assert_published("order.paid")

def test_it_is_another_one(eventyard_bus):
    eventyard_bus.assert_published("order.paid")

def test_a_server(eventyard_server):
    eventyard_server.client.publish(type="order.paid", source="/orders")
    assert eventyard_server.client.event(1).event["type"] == "order.paid"
"""

COUNT = """
import sys

def test_what_is_loaded():
    assert "eventyard.fixtures" in sys.modules
    assert "eventyard.testing" not in sys.modules
    assert "httpx" not in sys.modules
"""


def test_each_test_gets_a_bus_or_a_server_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(TEST)
    ended = run_pytest(tmp_path)
    assert "2 passed" in ended.stdout, ended.stdout + ended.stderr
    assert "found 0 events that are order.paid; wanted at least one" in ended.stdout


def test_a_run_that_asks_for_no_bus_loads_none(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(COUNT)
    ended = run_pytest(tmp_path)
    assert "1 passed" in ended.stdout, ended.stdout + ended.stderr
