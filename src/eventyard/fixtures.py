"""What pytest finds in an environment with Eventyard: `eventyard_bus` and `eventyard_server`. Described in docs/guides/testing.md.

Loaded by pytest in every run, so it loads the bus only for a test that asks for one.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventyard.testing import Bus, Server


@pytest.fixture
def eventyard_bus() -> "Iterator[Bus]":
    """A bus in this process, by a clock that the test moves."""
    from eventyard.testing import Bus  # noqa: PLC0415 - see above

    with Bus() as bus:
        yield bus


@pytest.fixture
def eventyard_server(tmp_path: Path) -> "Iterator[Server]":
    """A real server on a free port, with an empty store."""
    from eventyard.testing import server  # noqa: PLC0415 - see above

    with server(tmp_path / "eventyard") as serving:
        yield serving
