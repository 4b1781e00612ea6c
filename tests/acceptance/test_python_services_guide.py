"""docs/guides/python-services.md, walked as it stands."""

from pathlib import Path

from tests.support.walk import Walk


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    walk = Walk("guides/python-services.md", tmp_path)
    try:
        follow(walk)
    finally:
        walk.stop_all()


def follow(walk: Walk) -> None:
    walk.start()
    walk.wait_for_server("8410")
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
    assert walk.left == 0
