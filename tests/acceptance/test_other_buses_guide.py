"""docs/guides/other-buses.md, walked as it stands: two buses of one server, and two servers."""

from pathlib import Path

from tests.support.walk import Walk


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    walk = Walk("guides/other-buses.md", tmp_path)
    try:
        walk.start()
        walk.wait_for_server("8410")
        walk.run()
        walk.run_until_read()
        walk.start()
        walk.wait_for_server("9006")
        walk.run()
        walk.run_until_read()
        assert walk.left == 0
    finally:
        walk.stop_all()
