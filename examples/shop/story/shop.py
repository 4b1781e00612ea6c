"""The shop while the demo runs: the bus, the services that are up, and waiting for what they do."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty
from typing import Self, TypeVar

import httpx

from .bus import Bus
from .processes import Child, ProcessEnded, Processes
from .screen import Screen
from .witness import Witness

T = TypeVar("T")

FOLDER = Path(__file__).resolve().parent.parent
"""Where the services' programs are."""

_PYTHON = (sys.executable, "-u")

_RULES = {"orders": 2, "fulfilment": 3}
"""How many rules a service puts, where it is not one."""

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
        self.witness = Witness(data, self.processes.said)
        self._listeners: dict[str, Child] = {}
        self._http = httpx.Client(timeout=10, trust_env=False)
        self._rules: dict[str, list[str]] = {}
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
        return list(self._rules)

    # Processes

    def start_bus(self) -> None:
        child = self.processes.start(
            "bus", [*_PYTHON, "-m", "eventyard", "serve", "--port", "0", "--data", str(self.data / "bus")]
        )
        self._bus = bus = Bus(self.until("the bus to say where it listens", lambda: child.url))
        self.until("the bus to be ready", bus.is_ready)

    def start(self, name: str, environment: Mapping[str, str] | None = None, *, is_heard: bool = True) -> None:
        """A service, told where the bus is and where to keep its memory. It has put its rules when this returns."""
        told = {"EVENTYARD_URL": self.bus.url, "SHOP_DATA": str(self.data), "PORT": "0", **(environment or {})}
        script = FOLDER / f"{name}.sh"
        command = ["sh", str(script)] if script.exists() else [*_PYTHON, str(FOLDER / f"{name}.py")]
        self._listeners[name] = self.processes.start(name, command, told)
        self.until(f"{name} to put its rules", lambda: self._has_rules(name), is_heard=is_heard)
        self.witness.watch(name)

    def _has_rules(self, name: str) -> bool:
        """A pushed service that comes again puts its rule with its new address."""
        rules = [rule for rule in self.bus.rules() if rule["owner"] == f"team-{name}"]
        self._rules[name] = [rule["name"] for rule in rules]
        url = self._listeners[name].url
        targets = [rule["target"]["http"]["url"] for rule in rules if "http" in rule["target"]]
        return len(rules) == _RULES.get(name, 1) and all(url and target.startswith(url) for target in targets)

    @property
    def watch(self) -> Path:
        """What the bus is asked to watch for."""
        return FOLDER / "watch.yaml"

    def apply(self, document: Path) -> None:
        """As anybody would, by the command line."""
        command = [*_PYTHON, "-m", "eventyard", "apply", "-f", str(document), "--yes", "--url", self.bus.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WAIT_S_MAX, check=False)  # noqa: S603 - our own
        if done.returncode:
            raise ProcessEnded(f"apply ended with exit code {done.returncode}:\n{done.stderr}")
        for line in done.stdout.splitlines():
            self.screen.say("bus", line.split("  ")[0])  # What comes behind two blanks stands in the document.

    def show_rules(self, name: str) -> None:
        for rule in self.bus.rules():
            if rule["name"] in self._rules[name]:
                self.screen.say(name, f"its rule {rule['name']}: {json.dumps(rule['pattern'])}")

    def rules_of(self, service: str) -> list[str]:
        return self._rules[service]

    def pending(self, service: str) -> int:
        """Deliveries to the service that have not ended."""
        return sum(self.bus.pending(rule) for rule in self._rules[service])

    def kill(self, name: str) -> None:
        self.processes.kill(name)

    def replace(self, name: str, environment: Mapping[str, str]) -> None:
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
        self._http.post(f"{self._listeners['orders'].url}/orders", json=document).raise_for_status()

    def hear(self, service: str, line: str) -> None:
        """Until the service has said this, or what begins with it."""
        self.until(f"{service} to say: {line}", lambda: self._has_said(service, line))

    def _has_said(self, service: str, line: str) -> bool:
        return any(name == service and text.startswith(line) for name, text in list(self.processes.said))

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
