"""Who gets a lease: claims are served in their order, and a step gives out no more than its ledger holds."""

from itertools import islice
from typing import Any

import pytest

from eventyard.core import limits
from eventyard.core.commands import Demand
from eventyard.core.grants import Demands, Grants, Ledger, demanded

ROOM = 1_000
LEASE_MS = 30_000


def grants(*demands: dict[int, tuple[Demand, ...]], ledger: Ledger | None = None) -> Grants:
    """Each of `demands` is a holder's, by rule."""
    return Grants(demands, ledger or Ledger([ROOM] * len(demands)))


def demand(claim: int, count: int) -> Demand:
    return Demand(claim, count, LEASE_MS)


def served(of: Grants, uid: int, times: int, size: int = 1) -> list[tuple[int, int] | None]:
    """Holder and claim of each grant; None where nobody took one more."""
    found = [of.grant(uid, size) for _ in range(times)]
    return [None if one is None else (one[0], one[1].claim) for one in found]


def test_nobody_gets_what_nobody_wants() -> None:
    assert served(grants({}), 1, 1) == [None]
    assert (grants({}).wanted(1), grants({2: (demand(7, 5),)}).wanted(1)) == (0, 0)


def test_the_first_claim_is_served_whole_before_the_next_one() -> None:
    of = grants({1: (demand(7, 2), demand(8, 1))})
    assert of.wanted(1) == 3
    assert served(of, 1, 4) == [(0, 7), (0, 7), (0, 8), None]
    assert of.wanted(1) == 0


def test_claims_that_are_shared_are_served_in_turn() -> None:
    server, one, other = (Demand(claim, count, LEASE_MS, is_shared=True) for claim, count in ((7, 9), (8, 9), (9, 1)))
    of = grants({1: (server,)}, {1: (one, other)})
    assert of.wanted(1) == 19
    assert served(of, 1, 6) == [(0, 7), (1, 8), (1, 9), (0, 7), (1, 8), (0, 7)]


def test_a_holder_that_stands_first_is_served_first() -> None:
    assert served(grants({1: (demand(7, 1),)}, {1: (demand(7, 1),)}), 1, 3) == [(0, 7), (1, 7), None]


def test_a_holder_without_room_is_passed_over() -> None:
    of = grants({1: (demand(7, 5),)}, {1: (demand(8, 5),)}, ledger=Ledger([1, ROOM]))
    assert of.wanted(1) == 6
    assert served(of, 1, 3) == [(0, 7), (1, 8), (1, 8)]


def test_one_claim_on_many_rules_counts_once() -> None:
    claim = (demand(7, 3),)
    of = grants({1: claim, 2: claim})
    assert served(of, 1, 2) == [(0, 7), (0, 7)]
    assert (of.wanted(1), of.wanted(2)) == (1, 1)
    assert served(of, 2, 2) == [(0, 7), None]
    assert served(of, 1, 1) == [None]


def test_one_claim_on_many_buses_counts_once() -> None:
    ledger = Ledger([ROOM])
    first, second = (grants({1: (demand(7, 3),)}, ledger=ledger) for _ in range(2))
    assert served(first, 1, 2) == [(0, 7), (0, 7)]
    assert (second.wanted(1), served(second, 1, 2)) == (1, [(0, 7), None])


def test_claims_of_one_number_are_told_apart_by_their_holders() -> None:
    of = grants({1: (demand(7, 1),)}, {2: (demand(7, 1),)})
    assert (served(of, 1, 2), served(of, 2, 2)) == ([(0, 7), None], [(1, 7), None])


def test_a_step_gives_out_no_more_bytes_than_it_may_but_for_its_last_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STEP_BYTES_MAX", 100)
    of = grants({1: (demand(7, 9),)})
    assert served(of, 1, 3, size=60) == [(0, 7), (0, 7), None]
    assert of.is_spent


def test_one_claim_is_given_no_more_bytes_than_one_answer_holds() -> None:
    of = grants({1: (demand(7, 9), demand(8, 9))})
    size = limits.ANSWER_BYTES_MAX // 2
    assert served(of, 1, 4, size=size) == [(0, 7), (0, 7), (0, 8), (0, 8)]


def test_one_event_larger_than_a_step_is_given_out_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STEP_BYTES_MAX", 100)
    assert served(grants({1: (demand(7, 9),)}), 1, 2, size=1_000) == [(0, 7), None]


def test_many_claims_cost_each_grant_no_more_than_one() -> None:
    """A claim that has all that it wants is not looked at again."""
    of = grants({1: tuple(demand(number, 1) for number in range(1_000))})
    assert served(of, 1, 1_001) == [*((0, number) for number in range(1_000)), None]
    assert of._of(1) == []


# Which rules are looked at


def claims(*uids: int) -> Demands:
    return dict.fromkeys(uids, (Demand(1, 10, 30_000),))


def test_rules_that_somebody_waits_for_come_by_turns_however_few_they_are() -> None:
    pushed, pulled = {7: 0, 3: 2, 5: 3}, {9: 1, 8: 4}

    assert list(demanded((pushed, pulled), [claims(3, 4), claims(9, 7)])) == [7, 9, 3]
    assert list(demanded((pushed, pulled), [claims(*range(100))])) == [7, 9, 3, 5, 8]


def test_a_rule_that_two_wait_for_comes_once() -> None:
    assert list(demanded(({3: 100}, {}), [claims(3), claims(3)])) == [3]


def test_a_backlog_that_nobody_waits_for_is_passed_over() -> None:
    assert list(demanded(({}, dict.fromkeys(range(1_000), 0)), [claims(), claims(2_000)])) == []


class Looked(dict[int, int]):
    """Ready rules that count how many of them were looked at."""

    count = 0

    def items(self) -> Any:
        for item in super().items():
            self.count += 1
            yield item

    def __contains__(self, uid: object) -> bool:
        self.count += 1
        return super().__contains__(uid)


def test_of_rules_without_number_only_those_are_looked_at_that_are_taken_from() -> None:
    pushed, pulled = Looked((uid, uid) for uid in range(1_000)), Looked((uid, uid) for uid in range(1_000, 2_000))
    waited_for = claims(*range(1_000))
    assert list(islice(demanded((pushed, pulled), [waited_for]), 3)) == [0, 1, 2]
    assert list(demanded((pushed, pulled), [claims(1_500)])) == [1_500]
    assert pushed.count + pulled.count < 1_100
