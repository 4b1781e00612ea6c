"""docs/guides/existing-apis.md, walked as it stands."""

from pathlib import Path

from tests.support.walk import Walk


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    walk = Walk("guides/existing-apis.md", tmp_path)
    try:
        follow(walk)
    finally:
        walk.stop_all()


def follow(walk: Walk) -> None:
    walk.start()
    walk.wait_for_server("8410")
    walk.save("customers.py")
    customers = walk.start()
    walk.wait_for_server("9005")
    walk.run_and_read()
    walk.run()
    walk.run_until_read()
    walk.run()
    walk.expect(customers)
    walk.run()
    walk.run_until_read()
    walk.run_and_read()
    walk.run()
    walk.expect(customers)
    walk.run()
    walk.run_until_read()
    assert walk.left == 0
    assert customers.lines.empty()
