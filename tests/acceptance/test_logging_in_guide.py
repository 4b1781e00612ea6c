"""docs/guides/logging-in.md, walked as it stands."""

from pathlib import Path

from tests.support.walk import Walk


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    walk = Walk("guides/logging-in.md", tmp_path)
    try:
        follow(walk)
    finally:
        walk.stop_all()


def follow(walk: Walk) -> None:
    walk.start()
    walk.wait_for_server("8410")
    walk.save("api.py")
    api = walk.start()
    walk.wait_for_server("9005")
    for _ in range(3):
        walk.run()
        walk.expect(api)
    assert walk.left == 0
    assert api.lines.empty()
