"""One served bus for all tests of a file, and a fresh bus name for each test."""

import itertools
from collections.abc import Iterator

import pytest

from tests.support.buses import ServedBus, served_bus

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def door() -> Iterator[ServedBus]:
    with served_bus() as bus:
        yield bus


@pytest.fixture
def name(door: ServedBus) -> str:
    """A bus of the test's own."""
    name = f"bus-{next(_numbers)}"
    assert door.put(f"/v1/buses/{name}").status_code == 201
    return name
