"""Command lines in this process, and a server process for them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from eventyard.testing import server


class Ended(NamedTuple):
    """How one ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Ended]


@contextmanager
def served(data: Path) -> Iterator[str]:
    """A server process of its own; gives its address."""
    with server(data) as serving:
        yield serving.url


def lines(*events: object) -> str:
    """Events as JSON lines; text stays as it is."""
    return "".join(f"{event if isinstance(event, str) else json.dumps(event)}\n" for event in events)
