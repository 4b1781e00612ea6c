"""Every line of the threat model names tests, and they are there."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "operating" / "security.md"


def lines() -> list[tuple[str, str]]:
    """Each threat with what is named for it."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [(row[0], row[2]) for row in rows if row[0] not in {"threat", "---"}]


@cache
def names_in(file: str) -> frozenset[str]:
    """By their lines: CPython 3.11 now and then fails to make a syntax tree of a long file (SystemError, recursion depth mismatch)."""
    return frozenset(re.findall(r"^(?:async )?def (test_\w+)\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize(("threat", "named"), lines(), ids=lambda text: text[:60])
def test_every_line_names_a_test_that_is_there(threat: str, named: str) -> None:
    found = re.findall(r"`(tests/[a-z_/]+\.py)::(test_[a-z_0-9]+)`", named)
    assert found, threat
    for file, name in found:
        assert name in names_in(file), threat


def test_the_page_has_its_lines() -> None:
    assert len(lines()) >= 40
