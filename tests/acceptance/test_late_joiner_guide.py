"""docs/guides/late-joiner.md, walked as it stands."""

import re
from pathlib import Path

from tests.support.walk import walking

TIME = re.compile(r"20\d\d-\d\d-\d\dT[\d:.]+Z")
AGE = re.compile(r"\d+ s ago")


def timeless(printed: str) -> str:
    return AGE.sub("1 s ago", TIME.sub("2026-01-31T08:00:00.000Z", printed))


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    with walking("guides/late-joiner.md", tmp_path) as walk:
        walk.run_and_read()
        assert timeless(walk.run()) == walk.take("text")
        walk.run_and_read()
        walk.run_until_read(alike=timeless)
        walk.save("rewards.py")
        rewards = walk.start()
        walk.expect(rewards)
        walk.run()
        walk.expect(rewards)
        assert rewards.lines.empty()
