"""What the reader sees: chapters, reasons, and what each process says under its own colour. Plain text where no terminal is."""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

_COLOURS = {
    "bus": "magenta",
    "orders": "cyan",
    "payments": "green",
    "invoices": "yellow",
    "fulfilment": "blue",
    "rewards": "bright_magenta",
    "labels": "bright_cyan",
}
_COLUMNS_MAX = 100
_STILL_WAITING_EVERY_S = 3.0


class Screen:
    """`line_s` passes between two lines, so that an eye can follow; `chapter_s` after a chapter, so that it can be read."""

    def __init__(self, console: Console, *, line_s: float, chapter_s: float) -> None:
        self._console = console
        self._line_s = line_s
        self._chapter_s = chapter_s
        self._chapters = 0

    def title(self, text: str, reason: str) -> None:
        self._console.print(f"\n[bold]{text}[/bold]")
        self._console.print(reason)

    def chapter(self, title: str, reason: str) -> None:
        self._chapters += 1
        self._console.print(f"\n[bold]{self._chapters}  {title}[/bold]")
        self._print(Text(reason, style="italic"))
        self.pause(self._chapter_s / 2)

    def say(self, name: str, line: str) -> None:
        """One line of one process."""
        colour = _COLOURS.get(name, "white")
        self._print(Text.assemble((f"{name:>10} ", f"bold {colour}"), ("| ", "dim"), (line, colour)))
        time.sleep(self._line_s)

    def tell(self, text: str) -> None:
        """What came of it, in a sentence."""
        self._print(Text(f"=> {text}"), left=4)

    def show(self, thing: RenderableType) -> None:
        self._console.print()
        self._print(thing)

    def show_rule(self, name: str, rule: Mapping[str, Any]) -> None:
        """A rule as one would send it, one member on a line."""
        members = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in rule.items())
        self._print(Text(f"PUT /v1/buses/default/rules/{name}\n{{\n{members}\n}}", style=_COLOURS.get(name, "")), left=6)

    def show_file(self, text: str) -> None:
        """A file as it stands."""
        self._print(Text(text.rstrip(), style=_COLOURS["bus"]), left=6)

    def verdict(self, text: str, *, is_good: bool) -> None:
        self._console.print()
        self._print(Text(text, style="bold green" if is_good else "bold red"))

    def pause(self, seconds: float | None = None) -> None:
        time.sleep(self._chapter_s if seconds is None else seconds)

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator["Waiting"]:
        """Shows in a terminal that the demo waits, and for what; elsewhere a line every few seconds."""
        if self._console.is_terminal:
            with self._console.status(f"waiting for {what}", spinner="line"):
                yield Waiting(self, "")
        else:
            yield Waiting(self, what)

    def _print(self, thing: RenderableType, *, left: int = 4) -> None:
        self._console.print(Padding(thing, (0, 0, 0, left), expand=False))


class Waiting:
    """One wait. `what` is empty where the terminal shows it already."""

    def __init__(self, screen: Screen, what: str) -> None:
        self._screen = screen
        self._what = what
        self._began = self._told = time.monotonic()

    def tick(self) -> None:
        now = time.monotonic()
        if self._what and now - self._told >= _STILL_WAITING_EVERY_S:
            self._told = now
            self._screen.tell(f"still waiting for {self._what} ({now - self._began:.0f} s)")


def console() -> Console:
    """At most as wide as is comfortable to read; and as wide as that where the output is a file."""
    made = Console(highlight=False)
    made.width = min(made.width, _COLUMNS_MAX) if made.is_terminal else _COLUMNS_MAX
    return made
