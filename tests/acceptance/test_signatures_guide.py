"""docs/guides/signatures.md, walked as it stands."""

from pathlib import Path

from tests.support.walk import walking


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    with walking("guides/signatures.md", tmp_path) as walk:
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
        assert receiver.lines.empty()
