"""docs/guides/detectors.md, walked as it stands."""

import json
from pathlib import Path

from tests.support.walk import timeless, walking


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    with walking("guides/detectors.md", tmp_path) as walk:
        walk.run_and_read()
        printed = timeless(walk.run())
        walk.known["5f0c1d2e"] = json.loads(printed)["event"]["id"].split("-")[0]
        assert json.loads(printed) == json.loads(walk.take("json"))
        assert timeless(walk.run()) == walk.take("text")
        assert timeless(walk.run()) == walk.take("text")
        walk.run_until_read()
        walk.run_and_read()
        walk.run_and_read()
        assert timeless(walk.run()) == walk.take("text")
        walk.run_and_read()
