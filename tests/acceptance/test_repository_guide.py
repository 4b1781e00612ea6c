"""docs/guides/repository.md, walked as it stands."""

from pathlib import Path

from tests.support.walk import Walk


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    walk = Walk("guides/repository.md", tmp_path)
    try:
        follow(walk, tmp_path)
    finally:
        walk.stop_all()


def follow(walk: Walk, folder: Path) -> None:
    walk.start()
    walk.wait_for_server("8410")
    walk.run()
    (folder / "events" / "rewards.yaml").write_text(walk.take("yaml"))
    for _ in range(5):
        walk.run_and_read()
    assert "deploy.key" in walk.take("sh")  # It takes a key that the page does not make.
    assert walk.left == 0
