"""Who gets a lease."""

from eventyard.core.commands import Demand
from eventyard.core.grants import Demands, demanded


def claims(*uids: int) -> Demands:
    return dict.fromkeys(uids, (Demand(1, 10, 30_000),))


def test_rules_that_somebody_waits_for_come_in_the_order_in_which_they_became_due() -> None:
    due = {7: 300, 3: 100, 5: 200, 9: 100}

    assert demanded(due, [claims(3, 4), claims(9, 7)]) == [7, 3, 9]


def test_a_rule_that_two_wait_for_comes_once() -> None:
    assert demanded({3: 100}, [claims(3), claims(3)]) == [3]


def test_a_backlog_that_nobody_waits_for_is_passed_over() -> None:
    assert demanded(dict.fromkeys(range(1_000), 0), [claims(), claims(2_000)]) == []
