"""What commands print. Results go to standard output, as tables and sentences or (`--json`) as one JSON document a line.

Everything that a server sent is made printable first: an event may hold characters that would steer the terminal.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from eventyard.cli.exits import Exit

if TYPE_CHECKING:
    from rich.table import Table
    from rich.tree import Tree

_PIPE_COLUMNS = 100_000
"""A table that goes to a file or another program is as wide as it likes; on a terminal it is cut to fit."""


_GAP = 2
_CUT_COLUMNS_MIN = 8
"""What is left of a column that gives way, before one that is whole goes on in a second line."""


def printable(text: str) -> str:
    r"""`text` on one line, with what is no printable character spelt as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


class Branch(msgspec.Struct, eq=False):
    """One line of a tree, and what stands below it."""

    text: str
    below: list["Branch"] = []
    colour: str = ""


class Screen:
    """Where one command writes its results. Methods named for people stay silent under `--json`, and the other way round."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def document(self, value: Any) -> None:
        """One line of JSON. Structs of the client keep their wire names; an event keeps its own spelling."""
        if self.as_json:
            # An event is embedded as it was sent, which may be over several lines; in JSON a line's end is only white space.
            _write(msgspec.json.encode(value).decode().replace("\r", " ").replace("\n", " ") + "\n")

    def say(self, text: str, *, colour: str = "") -> None:
        """Lines, in a colour where standard output is a terminal that has some."""
        if not self.as_json:
            lines = [printable(line) for line in text.split("\n")]
            _write("".join((typer.style(line, fg=colour) if colour and _has_colours() else line) + "\n" for line in lines))

    def clear(self) -> None:
        """An empty terminal for what comes, where it is one."""
        if not self.as_json and sys.stdout.isatty():
            _write("\x1b[H\x1b[2J")

    def event(self, json: bytes) -> None:
        """An event's own text, indented; numbers stay spelt as they are."""
        self.say(msgspec.json.format(json, indent=2).decode())

    def advise(self, text: str) -> None:
        """What to do next, on standard error so that it is no part of the result."""
        if not self.as_json and sys.stderr.isatty():
            typer.secho(f"next: {text}", fg="cyan", err=True)

    def note(self, text: str) -> None:
        """A remark beside the result, on standard error."""
        if not self.as_json:
            typer.echo(printable(text), err=True)

    def remark(self, text: str, document: Any) -> None:
        """A remark that programs want too: under `--json` a document on standard error."""
        if self.as_json:
            typer.echo(msgspec.json.encode(document), err=True)
        else:
            self.note(text)

    def pairs(self, rows: Iterable[tuple[str, Any]]) -> None:
        """Names and values, aligned."""
        told = [(name, _text(value)) for name, value in rows]
        width = max(len(name) for name, _ in told)
        self.say("\n".join(f"{name:<{width}}  {value}" for name, value in told))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, whole: Sequence[str] = ()) -> None:
        """Rows under a head. Columns named in `whole` are never cut; the others give way where the terminal is narrow."""
        if not self.as_json:
            _write(_rendered(_table(columns, rows, whole)))

    def tree(self, root: Branch) -> None:
        """A tree of lines; on a terminal long ones go on below their start."""
        if not self.as_json:
            _write(_rendered(_tree(root)))

    def rows(self, columns: Sequence[str]) -> "Rows":
        """A table whose rows are not all known yet."""
        return Rows(self, columns)


class Rows:
    """A table that is written as its rows come. A column is as wide as its widest cell so far; on a terminal lines are cut to fit."""

    def __init__(self, screen: Screen, columns: Sequence[str]) -> None:
        self._screen = screen
        self._head = [name.upper() for name in columns]
        self._widths = [len(name) for name in columns]
        self._is_headed = False

    def write(self, rows: Iterable[Sequence[Any]]) -> None:
        told = [[printable(_text(value)) for value in row] for row in rows]
        if not told:
            return
        self._widths = [max(width, *map(len, cells)) for width, *cells in zip(self._widths, *told, strict=True)]
        for cells in told if self._is_headed else [self._head, *told]:
            self._screen.say(self._line(cells))
        self._is_headed = True

    def _line(self, cells: Sequence[str]) -> str:
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, self._widths, strict=True)).rstrip()
        if not sys.stdout.isatty():
            return line
        columns = shutil.get_terminal_size().columns
        return line if len(line) <= columns else line[: columns - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]], whole: Sequence[str]) -> "Table":
    from rich.table import Table  # noqa: PLC0415 - heavy, see the package
    from rich.text import Text  # noqa: PLC0415 - as above

    told = [[printable(_text(value)) for value in row] for row in rows]
    folded, width = _folded(columns, told, whole)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for name in columns:
        if name == folded:
            table.add_column(name.upper(), width=width, overflow="fold")
        else:
            table.add_column(name.upper(), no_wrap=name in whole, overflow="ellipsis")
    for cells in told:
        fitted = zip(columns, cells, strict=True)
        table.add_row(*(text if name == folded else Text(text, no_wrap=True, overflow="ellipsis") for name, text in fitted))
    return table


def _folded(columns: Sequence[str], rows: Sequence[Sequence[str]], whole: Sequence[str]) -> tuple[str, int]:
    """Which whole column goes on in a second line, and how wide it is, where the others would be left with nothing; the widest."""
    if not sys.stdout.isatty():
        return "", 0
    widths = {name: max(map(len, [name, *(row[index] for row in rows)])) for index, name in enumerate(columns)}
    needed = sum(width if name in whole else min(width, _CUT_COLUMNS_MIN) for name, width in widths.items())
    missing = needed + _GAP * (len(columns) - 1) - shutil.get_terminal_size().columns
    widest = max(whole, key=lambda name: widths[name], default="")
    return (widest, max(_CUT_COLUMNS_MIN, widths[widest] - missing)) if missing > 0 and widest else ("", 0)


def _tree(root: Branch) -> "Tree":
    """Without recursion: a story may go deeper than Python does."""
    from rich.text import Text  # noqa: PLC0415 - heavy, see the package
    from rich.tree import Tree  # noqa: PLC0415 - as above

    def label(branch: Branch) -> Text:
        return Text(printable(branch.text), style=branch.colour if _has_colours() else "")

    tree = Tree(label(root))
    waiting = [(tree, branch) for branch in reversed(root.below)]
    while waiting:
        under, branch = waiting.pop()
        made = under.add(label(branch))
        waiting += [(made, below) for below in reversed(branch.below)]
    return tree


def _rendered(table: "Table | Tree") -> str:
    from rich.console import Console  # noqa: PLC0415 - heavy, see the package

    console = Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def _has_colours() -> bool:
    """See no-color.org."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else str(value)


def _write(text: str) -> None:
    """The only door to standard output. When its reader has gone away the command ends quietly."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would fail again when the interpreter closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Exit.BROKEN_PIPE) from None
