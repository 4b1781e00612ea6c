"""The shop while the demo runs: the bus, the services that are up, and waiting for what they do."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty
from typing import Any, Self, TypeVar

import httpx

from .bus import Bus
from .processes import Processes
from .screen import Screen

T = TypeVar("T")

FOLDER = Path(__file__).resolve().parent.parent
"""Where the services' programs are."""

_LOOK_EVERY_S = 0.02
_LINE_WAIT_S = 0.05
_WAIT_S_MAX = 20.0


class TooLate(Exception):
    """Something that the story needs did not happen in time."""


class Shop:
    """`data` is the folder for the bus's log and the services' memories. Use it as a context: it ends every process."""

    def __init__(self, screen: Screen, data: Path) -> None:
        self.screen = screen
        self.data = data
        self.processes = Processes()
        self._http = httpx.Client(timeout=10, trust_env=False)
        self._urls: dict[str, str] = {}
        self._bus: Bus | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.processes.end_all()
        self._http.close()
        if self._bus:
            self._bus.close()

    @property
    def bus(self) -> Bus:
        if self._bus is None:
            raise RuntimeError("the bus has not been started")
        return self._bus

    @property
    def services(self) -> list[str]:
        return list(self._urls)

    # Processes

    def start_bus(self) -> None:
        child = self.processes.start("bus", ["-m", "eventyard", "serve", "--port", "0", "--data", str(self.data / "bus")])
        self._bus = bus = Bus(self.until("the bus to say where it listens", lambda: child.url))
        self.until("the bus to be ready", bus.is_ready)

    def start(self, name: str, environment: Mapping[str, str] | None = None, *, is_heard: bool = True) -> None:
        """A service, told nothing but where the bus is and where to keep its memory. It has put its rule when this returns."""
        program = str(FOLDER / f"{name}.py")
        child = self.processes.start(name, [program, "--bus", self.bus.url, "--data", str(self.data)], environment)
        self._urls[name] = self.until(f"{name} to listen", lambda: child.url, is_heard=is_heard)

    def kill(self, name: str) -> None:
        self.processes.kill(name)

    def restart(self, name: str, environment: Mapping[str, str]) -> None:
        """A new release: the old process ends, another takes its place."""
        self.processes.end(name)
        self.start(name, environment)

    # Services

    def place(
        self, order: str, item: str, total: float, *, quantity: int = 1, currency: str = "EUR", card: str = "good"
    ) -> None:
        """What a customer's browser would send to orders."""
        document = {
            "order": order,
            "item": item,
            "quantity": quantity,
            "total": total,
            "currency": currency,
            "card": card,
        }
        self._http.post(f"{self._urls['orders']}/orders", json=document).raise_for_status()

    def report(self, service: str) -> dict[str, Any]:
        """What a service says of itself."""
        answer = self._http.get(f"{self._urls[service]}/report")
        answer.raise_for_status()
        return dict(answer.json())

    def fact(self, service: str, name: str) -> Any:
        return self.report(service)["facts"].get(name)

    def wait_for(self, service: str, fact: str, value: Any = None) -> None:
        """Until the service knows `fact`; where a `value` is given, that it is this."""
        what = f"{service} to know: {fact}" + (f" {value}" if value else "")
        self.until(what, lambda: (found := self.fact(service, fact)) is not None and value in {None, found})

    # Waiting

    def until(self, what: str, look: Callable[[], T], *, limit_s: float = _WAIT_S_MAX, is_heard: bool = True) -> T:
        """Look until there is something to see; TooLate after `limit_s`. Meanwhile shows what the processes say (`is_heard`)."""
        deadline = time.monotonic() + limit_s
        with self.screen.waiting(what) as waiting:
            while not (found := _look(look)):
                self.processes.check()
                if time.monotonic() > deadline:
                    raise TooLate(f"waited {limit_s:.0f} s for {what}")
                time.sleep(_LOOK_EVERY_S)
                if is_heard:
                    self._hear()
                waiting.tick()
        if is_heard:
            self._hear()
        return found

    def _hear(self) -> None:
        """Show lines until none has come for a moment. The bus's own log lines are kept for the case that it fails."""
        while True:
            try:
                name, line = self.processes.lines.get(timeout=_LINE_WAIT_S)
            except Empty:
                return
            if name != "bus":
                self.screen.say(name, line)


def _look(look: Callable[[], T]) -> T | None:
    """None too where nobody answers: then the process has ended, which `Processes.check` tells better than we could."""
    try:
        return look()
    except httpx.TransportError:
        return None
