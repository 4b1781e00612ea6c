from collections.abc import Iterator
from unittest import mock

import pytest

from eventyard.core import limits


@pytest.fixture
def untold_trouble() -> Iterator[None]:
    """The bus keeps its troubles to itself: so the positions of a log are those of what a test publishes and asks for."""
    with mock.patch.object(limits, "TROUBLE_EVENTS_PER_STEP", 0):
        yield
