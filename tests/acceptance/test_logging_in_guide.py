"""docs/guides/logging-in.md, walked as it stands."""

from pathlib import Path

from tests.support.walk import walking


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    with walking("guides/logging-in.md", tmp_path) as walk:
        walk.save("api.py")
        api = walk.start()
        walk.wait_for_server("9005")
        for _ in range(3):
            walk.run()
            walk.expect(api)
        assert api.lines.empty()
