"""The model of many machines keeps its own books: nothing vanishes, and who still has a node keeps it."""

import pytest

from benchmarks.scale_model import BOUND, WAYS, busiest_partition, by_load, by_name, by_name_bounded, imbalance, moved, shares

NODES = ["node-0", "node-1", "node-2", "node-3"]
LOADS = {f"bus-{at}": share for at, share in enumerate(shares(400, 0.7))}


def test_shares_are_of_one_whole_and_the_busiest_is_first() -> None:
    each = shares(1_000, 1.0)
    assert sum(each) == pytest.approx(1)
    assert each == sorted(each, reverse=True)
    assert each[9] == pytest.approx(each[0] / 10)


def test_one_partition_has_everything_and_none_has_less_than_the_busiest_key() -> None:
    keys = shares(1_000, 1.2)
    assert busiest_partition(keys, 1) == pytest.approx(1)
    assert busiest_partition(keys, 10_000) >= keys[0]


@pytest.mark.parametrize("way", WAYS)
def test_every_bus_has_a_leader_on_a_node_that_is_there(way: str) -> None:
    placed = WAYS[way](LOADS, NODES, {})
    left = WAYS[way](LOADS, NODES[1:], placed)
    assert placed.keys() == left.keys() == LOADS.keys()
    assert set(left.values()) == set(NODES[1:])


def test_by_name_the_loss_of_a_node_moves_its_own_buses_only() -> None:
    before = by_name(LOADS, NODES, {})
    after = by_name(LOADS, NODES[1:], before)
    assert moved(before, after, NODES[1:]) == 0


def test_what_was_moved_is_counted_where_its_node_stayed() -> None:
    assert moved({"a": "node-1", "b": "node-0"}, {"a": "node-2", "b": "node-2"}, NODES[1:]) == 1


@pytest.mark.parametrize("place", [by_name_bounded, by_load])
def test_a_bound_keeps_the_busiest_node_near_the_mean(place: object) -> None:
    assert callable(place)
    assert imbalance(LOADS, place(LOADS, NODES, {}), NODES) <= BOUND + 0.01


def test_by_load_evens_out_what_all_stood_on_one_node() -> None:
    before = dict.fromkeys(LOADS, "node-0")
    assert imbalance(LOADS, by_load(LOADS, NODES, before), NODES) <= BOUND
