"""docs/guides/repository.md, walked as it stands."""

from pathlib import Path

from tests.support.walk import walking


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    with walking("guides/repository.md", tmp_path) as walk:
        walk.run()
        (tmp_path / "events" / "rewards.yaml").write_text(walk.take("yaml"))
        for _ in range(5):
            walk.run_and_read()
        assert "deploy.key" in walk.take("sh")  # It takes a key that the page does not make.
