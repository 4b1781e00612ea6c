"""docs/reference/cli.md and client.md hold what the commands and the client have, and their help teaches."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from eventyard.cli.application import command
from eventyard.cli.exits import Exit
from eventyard.client.methods import Methods

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
COMMON = {"--url", "--key-file", "--ca-file", "--bus", "--json", "--help"}


def leaves(node: Any, path: str) -> dict[str, Any]:
    """Every command by its whole name."""
    if not hasattr(node, "commands"):
        return {path: node}
    return {name: leaf for child in node.commands.values() for name, leaf in leaves(child, f"{path} {child.name}").items()}


def sections(page: str) -> dict[str, str]:
    """The text under each heading, by the heading."""
    parts = re.split(r"^#+ (.*)$", (REFERENCE / page).read_text(), flags=re.MULTILINE)
    return {title.strip("` "): text for title, text in zip(parts[1::2], parts[2::2], strict=True)}


COMMANDS = leaves(command(), "eventyard")
every_command = pytest.mark.parametrize("name", COMMANDS)


@every_command
def test_a_command_has_its_section_with_all_its_options(name: str) -> None:
    section = sections("cli.md")[name]
    options = {text for parameter in COMMANDS[name].params if parameter.param_type_name == "option" for text in parameter.opts}
    assert {option for option in options - COMMON if f"`{option}" not in section} == set()


@every_command
def test_a_command_that_reaches_a_server_can_be_given_a_key_and_authorities(name: str) -> None:
    options = {text for parameter in COMMANDS[name].params if parameter.param_type_name == "option" for text in parameter.opts}
    assert ({"--key-file", "--ca-file"} <= options) == bool({"--url", "--server"} & options)


def test_options_of_the_whole_line_and_common_ones_are_described() -> None:
    section = sections("cli.md")["Options"]
    own = {text for parameter in command().params for text in parameter.opts}
    assert {option for option in own | COMMON if f"`{option}" not in section} == set()


def test_no_command_is_described_that_is_not_there() -> None:
    described = {title for title in sections("cli.md") if title.startswith("eventyard ")}
    assert described == set(COMMANDS)


def test_every_exit_code_is_described() -> None:
    rows = re.findall(r"^\| (\d+) \|", sections("cli.md")["Exit codes"], flags=re.MULTILINE)
    assert [int(row) for row in rows] == [int(code) for code in Exit]


@every_command
def test_a_commands_help_has_an_example_and_names_the_next_one(name: str) -> None:
    text = COMMANDS[name].help
    assert f"Example:\n  {name}" in text
    assert "\nNext" in text
    assert max(map(len, text.split("\n\n", 1)[1].splitlines())) <= 78


def test_every_method_of_the_client_is_described() -> None:
    page = (REFERENCE / "client.md").read_text()
    assert [name for name in vars(Methods) if not name.startswith("_") and f"`{name}(" not in page] == []


def shown() -> list[tuple[str, str]]:
    """Every command line that a page shows in a block, with its page."""
    pages = sorted((REFERENCE.parent).rglob("*.md"))
    blocks = [
        (page, text) for page in pages for text in re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    ]
    lines = [(page.name, line) for page, text in blocks for line in text.replace("\\\n", " ").splitlines()]
    return [(page, line) for page, line in lines if line.startswith("eventyard ")]


@pytest.mark.parametrize(("page", "line"), shown(), ids=lambda value: value)
def test_a_command_line_that_a_page_shows_can_be_read(page: str, line: str) -> None:
    """Every option is there and takes what it is given; nothing is carried out."""
    words = shlex.split(re.split(r" (?:[|>]|<<?) ?", line)[0], comments=True)[1:]
    node, context = command(), None
    while hasattr(node, "commands") and words:
        name = words.pop(0)
        assert name in node.commands, page
        node = node.commands[name]
    context = node.make_context("eventyard", [word for word in words if word != "&"])
    assert context.command is node
