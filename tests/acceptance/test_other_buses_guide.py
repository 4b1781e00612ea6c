"""docs/guides/other-buses.md, walked as it stands: two buses of one server, and two servers."""

from pathlib import Path

from tests.support.walk import walking


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    with walking("guides/other-buses.md", tmp_path) as walk:
        walk.run()
        walk.run_until_read()
        walk.start()
        walk.wait_for_server("9006")
        walk.run()
        walk.run_until_read()
