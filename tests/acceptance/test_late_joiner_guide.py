"""docs/guides/late-joiner.md, walked as it stands."""

import re
from pathlib import Path

from tests.support.walk import timeless, walking

AGE = re.compile(r"\d+ s ago")


def ageless(printed: str) -> str:
    return AGE.sub("1 s ago", timeless(printed))


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    with walking("guides/late-joiner.md", tmp_path) as walk:
        walk.run_and_read()
        assert ageless(walk.run()) == walk.take("text")
        walk.run_and_read()
        walk.run_until_read(alike=ageless)
        walk.save("rewards.py")
        rewards = walk.start()
        walk.expect(rewards)
        walk.run()
        walk.expect(rewards)
        assert rewards.lines.empty()
