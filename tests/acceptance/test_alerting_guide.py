"""docs/guides/alerting.md, walked as it stands."""

import json
from pathlib import Path

from eventyard.core.pattern.language import parse
from tests.support.walk import Walk


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    walk = Walk("guides/alerting.md", tmp_path)
    try:
        follow(walk)
    finally:
        walk.stop_all()


def follow(walk: Walk) -> None:
    walk.start()
    walk.wait_for_server("8410")
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
    assert walk.left == 0
    assert alarm.lines.empty()
