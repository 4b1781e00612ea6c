"""docs/guides/alerting.md, walked as it stands."""

import json
from pathlib import Path

from eventyard.core.pattern.language import parse
from tests.support.walk import walking


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    with walking("guides/alerting.md", tmp_path) as walk:
        walk.save("alarm.py")
        alarm = walk.start()
        walk.wait_for_server("9005")
        walk.save("bills.py")
        bills = walk.start()
        walk.wait_for_server("9006")
        walk.run_and_read()
        walk.expect(alarm)
        walk.run()
        walk.expect(alarm)
        bills.stop()
        walk.run()
        walk.expect(alarm)
        walk.start()
        walk.expect(alarm)
        walk.run()
        walk.expect(alarm)
        for pattern in walk.take("json").splitlines():
            assert parse(json.dumps(json.loads(pattern)).encode())
        assert alarm.lines.empty()
