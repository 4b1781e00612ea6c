"""docs/guides/testing.md and docs/reference/testing.md: their files are those of the examples, their runs end as they say, and every name is told."""

import re
import shutil
from pathlib import Path

import pytest

from eventyard import testing
from eventyard.testing import Bus, Fate, Receiver, Reply, Request
from tests.support.pytest_runs import run_pytest
from tests.support.walk import DOCS, blocks

EXAMPLES = DOCS.parent / "examples" / "choreography"
GUIDE = (DOCS / "guides" / "testing.md").read_text()
REFERENCE = (DOCS / "reference" / "testing.md").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES, tmp_path / "shop", ignore=shutil.ignore_patterns("__pycache__")))


def test_the_example_passes_as_a_team_runs_it(folder: Path) -> None:
    ended = run_pytest(folder)
    assert re.search(r"^5 passed", ended.stdout, re.MULTILINE), ended.stdout + ended.stderr


def test_the_whole_shop_passes_its_test_of_who_reacts_to_what() -> None:
    ended = run_pytest(EXAMPLES.parent / "shop")
    assert re.search(r"^7 passed", ended.stdout, re.MULTILINE), ended.stdout + ended.stderr


@pytest.mark.parametrize("name", ["shop.py", "test_shop.py", "rules/rewards.yaml"])
def test_the_page_shows_the_files_of_the_example(name: str) -> None:
    assert (EXAMPLES / name).read_text() in [block.text for block in blocks(GUIDE)]


def test_the_test_that_fails_says_what_the_page_says(folder: Path) -> None:
    (test,) = [block.text for block in blocks(GUIDE) if "test_a_small_order_is_rewarded" in block.text]
    (told,) = [block.text for block in blocks(GUIDE) if block.text.startswith("AssertionError: ")]
    (folder / "test_small.py").write_text(test)
    ended = run_pytest(folder, "test_small.py")
    printed = [line.removeprefix("E").strip() for line in ended.stdout.splitlines() if line.startswith("E")]
    assert [line.strip() for line in told.splitlines()] == [line for line in printed if line and line in told]


def test_the_other_tests_of_the_page_pass(folder: Path) -> None:
    (first,) = [block.text for block in blocks(GUIDE) if block.text.startswith("from eventyard.testing import Bus\n")]
    tests = [block.text for block in blocks(GUIDE) if re.match(r"def test_\w+\(eventyard_\w+\)", block.text)]
    tests = [test for test in tests if "small_order" not in test]
    indented = "".join(f"    {line}" for line in first.splitlines(keepends=True))
    (folder / "test_page.py").write_text(f"def test_first():\n{indented}\n{''.join(tests)}")
    ended = run_pytest(folder, "test_page.py")
    assert "4 passed" in ended.stdout, ended.stdout + ended.stderr


@pytest.mark.parametrize("kind", [Bus, Receiver, Reply, Request, Fate])
def test_the_reference_names_every_member(kind: type) -> None:
    members = {name for name in dir(kind) if not name.startswith("_")}
    members -= {"url", "name", "take", "content"}  # What they were made with, and what the bus asks of them itself.
    assert {name for name in members if not re.search(rf"`{name}\b", REFERENCE) and f" {name}=" not in REFERENCE} == set()


def test_the_reference_names_everything_that_is_offered() -> None:
    assert [name for name in testing.__all__ if not re.search(rf"`{name}\b", REFERENCE)] == []
