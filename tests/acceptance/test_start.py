"""docs/start.md, walked as it stands: every block of it is run, or compared with what the one before it printed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.tools import needs_curl
from tests.support.walk import Walk


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    walk = Walk("start.md", tmp_path)
    yield walk
    walk.stop_all()


@needs_curl
def test_the_five_minutes_go_as_the_page_says(walk: Walk) -> None:
    assert "pip install" in walk.take("sh")
    walk.start()
    walk.wait_for_server("8410")
    walk.run_and_compare()
    walk.run_and_compare()
    walk.save("receiver.py")
    receiver = walk.start()
    walk.wait_for_server("9005")
    walk.run()
    walk.run()
    walk.expect(receiver)
    walk.wait_for_delivery()
    receiver.stop()
    walk.run()
    walk.run_until_as_printed()
    receiver = walk.start()
    walk.expect(receiver)
    walk.run()
    walk.expect(receiver)
    assert "io.eventyard.rule.created" in walk.run()
    walk.run_and_compare()
    assert walk.left == 0
