"""docs/guides/existing-apis.md, walked as it stands."""

from pathlib import Path

from tests.support.walk import walking


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    with walking("guides/existing-apis.md", tmp_path) as walk:
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
        assert customers.lines.empty()
