"""Links from page to page lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    page
    for folder in (".", "docs", "benchmarks", "examples")
    for page in (ROOT / folder).glob("*.md" if folder == "." else "**/*.md")
]


def anchor(heading: str) -> str:
    """As the common renderers make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        path, _, name = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        if name:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert name in {anchor(heading) for heading in headings}, link
