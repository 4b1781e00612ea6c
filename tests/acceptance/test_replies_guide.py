"""docs/guides/replies.md, walked as it stands."""

from pathlib import Path

from tests.support.walk import Walk


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    walk = Walk("guides/replies.md", tmp_path)
    try:
        walk.start()
        walk.wait_for_server("8410")
        walk.save("packing.py")
        walk.start()
        walk.wait_for_server("9005")
        walk.run()
        walk.run()
        walk.run_until_read()
        assert walk.left == 0
    finally:
        walk.stop_all()
