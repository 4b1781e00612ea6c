"""docs/guides/backtest.md, walked as it stands."""

import json
from pathlib import Path

from tests.support.walk import timeless, walking


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    with walking("guides/backtest.md", tmp_path) as walk:
        for _ in range(6):
            assert timeless(walk.run()) == walk.take("text")
        told = walk.after(walk.take("sh").replace("--json", "--json || true"))
        assert [json.loads(line)["rule"] for line in told.splitlines()] == ["rewards", "refunds"]
