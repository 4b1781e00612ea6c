"""How far something long has come: a bar on a terminal, a line now and then elsewhere. Always on standard error."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from eventyard.cli.screen import Screen

LINE_S = 10.0
"""Between two lines about the same stage, where they go into a log."""

Advance = Callable[[str, int, int], None]
"""What is under way, how much of it is done, and how much there is (0: not known)."""


@contextlib.contextmanager
def progress(screen: Screen) -> Iterator[Advance]:
    if screen.as_json:
        yield lambda _stage, _done, _total: None
    elif sys.stderr.isatty():
        with _bar() as advance:
            yield advance
    else:
        yield _Lines(screen).advance


@contextlib.contextmanager
def _bar() -> Iterator[Advance]:
    from rich.console import Console  # noqa: PLC0415 - heavy, see the package
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415 - as above

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=None)
        yield lambda stage, done, total: shown.update(task, description=stage, completed=done, total=total or None)


class _Lines:
    """One line when a stage begins, and one after every `LINE_S` of it."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._stage = ""
        self._told_at = 0.0

    def advance(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage == self._stage and now - self._told_at < LINE_S:
            return
        share = f": {100 * done // total} %" if stage == self._stage and total else ""
        self._screen.note(f"{stage}{share}")
        self._stage, self._told_at = stage, now
