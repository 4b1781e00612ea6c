"""docs/guides/replies.md, walked as it stands."""

import re
from pathlib import Path

from tests.support.walk import Walk


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    walk = Walk("guides/replies.md", tmp_path)
    try:
        walk.start()
        walk.wait_for_server("8410")
        walk.save("packing.py")
        walk.start()
        walk.wait_for_server("9005")
        walk.run()
        walk.run()
        walk.run_until_read()
        walk.run_until_read(alike=timeless)
        walk.run()
        walk.run_until_read(alike=timeless)
        assert walk.left == 0
    finally:
        walk.stop_all()


def timeless(printed: str) -> str:
    """With the times, the bus's first name and the server's own error page of the guide."""
    printed = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "2026-01-31T08:00:00.000Z", printed)
    printed = re.sub(r"[0-9a-f]+-(\d+)  2026", r"5f0c1d2e-\1  2026", printed)
    return re.sub(r'501: ".*"', '501: "NO_ANSWER"', printed)
