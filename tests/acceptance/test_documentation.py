"""The documentation as a whole: nothing in it is out of reach, and no walk through it ends in a wall."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventyard.cli.application import command

DOCS = Path(__file__).resolve().parents[2] / "docs"
INDEX = DOCS / "README.md"
TO_FOLLOW = [DOCS / "start.md", DOCS / "concepts.md", *sorted(DOCS.glob("guides/*.md")), *sorted(DOCS.glob("operating/*.md"))]


def test_the_index_lists_every_page_once() -> None:
    listed = re.findall(r"^- \[[^]]+\]\(([^)]+)\): \S.*$", INDEX.read_text(), re.MULTILINE)
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {INDEX.name}
    assert sorted(path for path in listed if not path.startswith("../")) == sorted(pages)


def test_what_the_index_says_of_a_page_is_one_line() -> None:
    assert not re.findall(r"^ +\S.*$", INDEX.read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", TO_FOLLOW, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_page_to_follow_ends_with_where_to_go_on(page: Path) -> None:
    *_, (heading, rest) = re.findall(r"^## (.*)\n((?:(?!^## ).*\n)*)", page.read_text(), re.MULTILINE)
    assert heading == "Where to go on"
    assert re.search(r"\]\([^)]+\.md(#[^)]*)?\)", rest)


def test_every_metric_that_a_page_names_is_one() -> None:
    known = set(re.findall(r"^\| `(eventyard_[a-z_]+)`", (DOCS / "reference" / "metrics.md").read_text(), re.MULTILINE))
    named = {name for page in DOCS.rglob("*.md") for name in re.findall(r"`(eventyard_[a-z_]+)`", page.read_text())}
    assert named <= known


def test_every_command_line_of_a_page_is_one() -> None:
    """Its command is there, and so are its options; the walks do more, but do not go everywhere."""
    wrong = [
        f"{page.relative_to(DOCS)}: {line}" for page in DOCS.rglob("*.md") for line in command_lines(page) if not is_one(line)
    ]
    assert wrong == []


def command_lines(page: Path) -> Iterator[str]:
    yield from re.findall(r"`eventyard ([^`]+)`", page.read_text())
    for block in re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            if found := re.match(r"\s*(?:[A-Z_]+=\S+ )*eventyard (.*)", line):
                yield found[1]


def is_one(line: str) -> bool:
    node = command()
    # An end that is quoted over several lines, as a document, is left away.
    words = shlex.split(re.split(r" [|>]", line)[0] if line.count("'") % 2 == 0 else line.partition("'")[0], comments=True)
    while words and (inner := getattr(node, "commands", {}).get(words[0])) is not None:
        node, words = inner, words[1:]
    known = {text for parameter in node.params for text in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    return (words == ["--help"] or not hasattr(node, "commands")) and {word for word in words if word.startswith("--")} <= known
