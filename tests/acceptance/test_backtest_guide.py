"""docs/guides/backtest.md, walked as it stands."""

import json
import re
from pathlib import Path

from tests.support.walk import walking

TIME = re.compile(r"20\d\d-\d\d-\d\dT[\d:.]+Z")
DAY = re.compile(r"^20\d\d-\d\d-\d\d(?= )", re.MULTILINE)


def timeless(printed: str) -> str:
    return DAY.sub("2026-01-31", TIME.sub("2026-01-31T08:00:00.000Z", printed))


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    with walking("guides/backtest.md", tmp_path) as walk:
        for _ in range(6):
            assert timeless(walk.run()) == walk.take("text")
        told = walk.after(walk.take("sh").replace("--json", "--json || true"))
        assert [json.loads(line)["rule"] for line in told.splitlines()] == ["rewards", "refunds"]
