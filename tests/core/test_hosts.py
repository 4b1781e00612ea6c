"""Budgets of hosts: what may go, who waits in which order, and what a host is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventyard.core.hosts import HostBudget, Hosts, HostsDraft, host_of

URL = "http://api.example.com/events"
HOST = "api.example.com"


def hosts(concurrency: int | None = None, rate_per_s: float | None = None, rules: int = 3) -> Hosts:
    found = Hosts(HostBudget(concurrency, rate_per_s))
    for uid in range(1, rules + 1):
        found.follow((1, uid), URL, 0)
    return found


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://API.example.com/x", "api.example.com"),
        ("https://api.example.com:443/", "api.example.com"),
        ("http://api.example.com:443/", "api.example.com:443"),
        ("http://127.0.0.1:9005/", "127.0.0.1:9005"),
        ("http://[::1]:9005/", "[::1]:9005"),
        ("nothing", None),
    ],
)
def test_a_host_is_a_name_and_a_port_that_is_not_the_usual_one(url: str, host: str | None) -> None:
    assert host_of(url) == host


def test_what_is_under_way_of_all_rules_takes_room() -> None:
    found = hosts(concurrency=5)
    found.say((1, 1), 2)
    found.say((1, 2), 2)
    assert found.room(HOST, 0) == 1
    found.say((1, 1), 0)
    assert found.room(HOST, 0) == 3


def test_a_rule_that_goes_elsewhere_leaves_its_room() -> None:
    found = hosts(concurrency=5)
    found.say((1, 1), 4)
    found.follow((1, 1), "http://other.example.com/", 4)
    assert (found.room(HOST, 0), found.room("other.example.com", 0)) == (5, 1)
    found.follow((1, 1), None, 0)
    assert (found.room("other.example.com", 0), found.host((1, 1))) == (5, None)


def test_a_named_host_has_its_own_budget_and_others_none() -> None:
    found = Hosts(None, {HOST: HostBudget(concurrency=1)})
    found.follow((1, 1), URL, 0)
    found.follow((1, 2), "http://other.example.com/", 0)
    assert (found.host((1, 1)), found.host((1, 2))) == (HOST, None)


def test_who_waits_is_called_in_order_as_far_as_there_is_room() -> None:
    found = hosts(concurrency=2, rules=5)
    found.say((1, 5), 2)
    for uid in (3, 1, 2):
        found.wait((1, uid))
    assert found.wake(0) == []
    found.say((1, 5), 0)
    assert found.wake(0) == [(1, 3), (1, 1)]
    assert found.wake(0) == [(1, 2)]


def test_who_was_called_and_got_nothing_is_the_first_again() -> None:
    found = hosts(concurrency=1)
    for uid in (1, 2):
        found.wait((1, uid))
    assert found.wake(0) == [(1, 1)]
    found.wait((1, 1))
    assert found.wake(0) == [(1, 1)]
    found.take(HOST, [(1, 1)], 0)
    found.wait((1, 1))
    assert found.wake(0) == [(1, 2)]


def test_a_rate_says_when_there_is_room() -> None:
    found = hosts(rate_per_s=2)
    found.take(HOST, [(1, 1)], 0)
    assert found.next_ms(0) is None
    found.wait((1, 1))
    assert (found.room(HOST, 0), found.next_ms(0)) == (0, 500)
    assert found.wake(500) == [(1, 1)]


def test_a_step_counts_what_it_gives_out_and_one_that_is_not_kept_takes_nothing() -> None:
    found = hosts(rate_per_s=20)
    step = HostsDraft(found, 0)
    step.take(HOST, (1, 1))
    assert (step.left(HOST), found.room(HOST, 0)) == (1, 2)
    step.keep()
    assert found.room(HOST, 0) == 1


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["a", "b", ""]), st.integers(0, 5)), max_size=40))
def test_what_is_under_way_is_the_sum_over_the_rules(story: list[tuple[int, str, int]]) -> None:
    found, account = Hosts(HostBudget(concurrency=100)), dict[int, tuple[str, int]]()
    for uid, host, leased in story:
        found.follow((1, uid), f"http://{host}/" if host else None, leased)
        account[uid] = (host, leased)
    for name in {host for host, _ in account.values() if host}:
        assert found.room(name, 0) == 100 - sum(leased for host, leased in account.values() if host == name)
