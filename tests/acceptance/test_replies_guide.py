"""docs/guides/replies.md, walked as it stands."""

import re
from pathlib import Path

from tests.support.walk import timeless, walking


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    with walking("guides/replies.md", tmp_path) as walk:
        walk.save("packing.py")
        walk.start()
        walk.wait_for_server("9005")
        walk.run()
        walk.run()
        walk.run_until_read()
        walk.run_until_read(alike=alike)
        walk.run()
        walk.run_until_read(alike=alike)


def alike(printed: str) -> str:
    """With the bus's first name and the server's own error page of the guide."""
    printed = re.sub(r"[0-9a-f]+-(\d+)  2026", r"5f0c1d2e-\1  2026", timeless(printed))
    return re.sub(r'501: ".*"', '501: "NO_ANSWER"', printed)
