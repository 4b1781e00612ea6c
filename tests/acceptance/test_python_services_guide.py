"""docs/guides/python-services.md, walked as it stands."""

from pathlib import Path

from tests.support.walk import walking


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    with walking("guides/python-services.md", tmp_path) as walk:
        walk.run_and_read()
        walk.save("rewards.py")
        pulling = walk.start()
        walk.expect(pulling)
        walk.run_and_read()
        walk.run()
        walk.run_until_read()
        walk.run_until_read()
        walk.save("rewards_pushed.py")
        pulling.stop()
        pushed = walk.start()
        walk.wait_for_server("9005")
        walk.run()
        walk.expect(pushed)
        walk.run_and_read()
