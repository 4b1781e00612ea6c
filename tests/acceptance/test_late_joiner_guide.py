"""docs/guides/late-joiner.md, walked as it stands."""

import re
from pathlib import Path

from tests.support.walk import Walk

TIME = re.compile(r"20\d\d-\d\d-\d\dT[\d:.]+Z")
AGE = re.compile(r"\d+ s ago")


def timeless(printed: str) -> str:
    return AGE.sub("1 s ago", TIME.sub("2026-01-31T08:00:00.000Z", printed))


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    walk = Walk("guides/late-joiner.md", tmp_path)
    try:
        follow(walk)
    finally:
        walk.stop_all()


def follow(walk: Walk) -> None:
    walk.start()
    walk.wait_for_server("8410")
    walk.run_and_read()
    assert timeless(walk.run()) == walk.take("text")
    walk.run_and_read()
    walk.run_until_read(alike=timeless)
    walk.save("rewards.py")
    rewards = walk.start()
    walk.expect(rewards)
    walk.run()
    walk.expect(rewards)
    assert walk.left == 0
    assert rewards.lines.empty()
