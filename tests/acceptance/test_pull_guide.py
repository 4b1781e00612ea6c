"""docs/guides/pull.md, walked as it stands."""

import re
from pathlib import Path

from tests.support.tools import needs_curl
from tests.support.walk import walking


@needs_curl
def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    with walking("guides/pull.md", tmp_path) as walk:
        walk.run_and_read()
        printed = walk.run()
        [walk.known["5f0c1d2e"], *_] = re.findall(r"^[0-9a-f]{8}", printed, re.MULTILINE)
        assert printed == walk.take("text")
        walk.run_and_read()
        received, acknowledged = walk.run().split("}]}{")
        assert f"{received}}}]}}\n{{{acknowledged}\n" == walk.take("json")
        walk.save("packer.py")
        packer = walk.start()
        walk.run()
        walk.expect(packer)
        walk.run_until_read()
