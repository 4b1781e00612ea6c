"""docs/guides/signatures.md, walked as it stands."""

from pathlib import Path

from tests.support.walk import Walk


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    walk = Walk("guides/signatures.md", tmp_path)
    try:
        follow(walk)
    finally:
        walk.stop_all()


def follow(walk: Walk) -> None:
    walk.start()
    walk.wait_for_server("8410")
    walk.run()
    walk.save("receiver.py")
    receiver = walk.start()
    walk.wait_for_server("9005")
    walk.run()
    walk.expect(receiver)
    walk.run_and_read()
    walk.expect(receiver)
    walk.run_and_read()
    walk.run()
    for _ in range(3):
        walk.run()
        walk.expect(receiver)
    assert walk.left == 0
    assert receiver.lines.empty()
