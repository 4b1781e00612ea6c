"""docs/guides/explain.md, walked as it stands."""

import re
from pathlib import Path

from tests.support.walk import timeless, walking


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    with walking("guides/explain.md", tmp_path) as walk:
        for _ in range(5):
            assert timeless(walk.run()) == walk.take("text")
        walk.run_until_read(alike=timeless)
        assert timeless(walk.run()) == walk.take("text")
        printed = walk.run()
        [walk.known["5f0c1d2e"]] = re.findall(r"^[0-9a-f]{8}(?=-7-8-0-1)", printed, re.MULTILINE)
        assert printed == walk.take("text")
        assert timeless(walk.run()) == walk.take("text")
