"""A bus in a test: the same machine and stages as in a server, in this process, by a clock that the test moves.

    with Bus() as bus:
        bus.put_rule("rewards", {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": "http://rewards/events"}}})
        rewards = bus.receiver("http://rewards/events", lambda request: grant(request.event))
        bus.publish(type="order.paid", source="/orders", data={"total": 25})
        bus.settle()
        bus.assert_delivered("rewards", "order.paid")

Described in docs/guides/testing.md.
"""

import contextlib
import datetime
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import msgspec

from eventyard.client import (
    AsyncClient,
    Client,
    Delivery,
    Detector,
    Expectation,
    Outbox,
    Patience,
    Published,
    Rule,
    Schedule,
    Service,
)
from eventyard.client import Receiver as ServiceReceiver
from eventyard.client.building import Document
from eventyard.client.event import Event as ClientEvent
from eventyard.client.event import given
from eventyard.testing.asgi import Application, Life
from eventyard.testing.clock import moment, unix_ms
from eventyard.testing.door import AsyncDoor, Door
from eventyard.testing.house import House
from eventyard.testing.looking import Looking
from eventyard.testing.pushes import Handler
from eventyard.testing.receivers import Receiver, accept, of_application

BEGINNING = "2026-01-01T00:00:00Z"

ONCE = Patience(attempts_max=1)
"""There is no network that could lose an answer."""


class Bus(Looking):
    """One bus, `name`, and all that a test does with it. Made, used and closed by plain functions: not within a running event loop.

    It begins `at` the same time in every test. A retry comes at the end of its backoff; with `chance` before it, as that draws.
    `client` (and for async code `async_client`) is a client of it, for all that is not here; `client.` methods take `bus=`.
    """

    def __init__(
        self,
        name: str = "default",
        *,
        at: datetime.datetime | str = BEGINNING,
        chance: random.Random | None = None,
        house: House | None = None,
    ) -> None:
        """`house`: where other buses are already, see `other`."""
        self.name = name
        self._house = house or House(unix_ms(at), chance)
        self._is_owner = house is None
        self._numbers = itertools.count(1)
        self._lives = contextlib.ExitStack()
        self.client = Client(transport=Door(self._house.door, self._house.run), patience=ONCE)
        self.async_client = AsyncClient(transport=AsyncDoor(self._house.door), patience=ONCE)
        if name not in {record.name for record in self._house.yard.buses()}:
            self.client.create_bus(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what was started; applications are told to stop."""
        self._lives.close()
        self.client.close()
        self._house.run(self.async_client.close())
        if self._is_owner:
            self._house.close()

    def other(self, name: str) -> "Bus":
        """Another bus of the same server, made where it is not there. It has the same clock, receivers and end."""
        other = Bus(name, house=self._house)
        self._lives.callback(other.close)
        return other

    # What happens

    def publish(
        self,
        event: ClientEvent | None = None,
        *,
        type: str = "",  # noqa: A002 - CloudEvents' own name
        source: str = "",
        id: str = "",  # noqa: A002 - CloudEvents' own name
        subject: str = "",
        data: Any = msgspec.UNSET,
        **attributes: Any,
    ) -> Published:
        """Publish one event, as `Client.publish` does. Without an id it gets a number: `test-1`; without a source `/test`.

        It is in the log when this returns, and nobody has it yet: `settle` has it delivered. Raises ProblemError.
        """
        if event is None:
            id, source = id or f"test-{next(self._numbers)}", source or "/test"  # noqa: A001 - as above
        event = given(event, type=type, source=source, id=id, subject=subject, data=data, **attributes)
        return self.client.publish(event, bus=self.name)

    def settle(self) -> None:
        """Have everything done that is to be done now: deliveries, what handlers publish, deliveries of that, until nothing is left.

        What fails waits for its retry, see `advance`. Raises NeverSettles, naming the rules, where they feed each other without end, and
        what an `assert` in a handler raised.
        """
        self._house.settle()

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Let time pass: retries, timeouts, leases, everything that falls due in it happens at its moment, and is settled there."""
        passing = datetime.timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if passing < datetime.timedelta():
            raise ValueError(f"found {passing} to pass; wanted time to go forward")
        self._house.advance(round(passing / datetime.timedelta(milliseconds=1)))

    def advance_to(self, until: datetime.datetime | str) -> None:
        """`advance` up to that time."""
        self.advance(seconds=(unix_ms(until) - self._house.clock.now_ms()) / 1000)

    @property
    def now(self) -> datetime.datetime:
        """The time by the bus's clock, in UTC."""
        return moment(self._house.clock.now_ms())

    # Rules

    def put_rule(self, name: str, document: Document) -> Rule:
        """Create or change a rule: its document as a dictionary or JSON, as `PUT .../rules/{rule}` takes it. Raises ProblemError."""
        return self.client.put_rule(name, document, bus=self.name)

    def put_detector(self, name: str, document: Document) -> Detector:
        """Create or change a detector, as `PUT .../detectors/{detector}` does. What it publishes is among `published`; holds end as time passes."""
        return self.client.put_detector(name, document, bus=self.name)

    def put_expectation(self, name: str, document: Document) -> Expectation:
        """Create or change an expectation, as `PUT .../expectations/{expectation}` does. What does not come in time is missed as time passes."""
        return self.client.put_expectation(name, document, bus=self.name)

    def put_schedule(self, name: str, document: Document) -> Schedule:
        """Create or change a schedule, as `PUT .../schedules/{schedule}` does. It publishes as time passes."""
        return self.client.put_schedule(name, document, bus=self.name)

    def apply(self, *paths: str | Path, owner: str = "") -> None:
        """Make buses, rules, detectors, expectations and schedules what the documents in these files and folders say, as `eventyard apply -f` does: what is deployed is what is tested.

        `owner`: of rules that name none. Raises ProblemError, or a Failure of the command line that names the place in the file.
        """
        from eventyard.cli import applying, declared, documents, planning  # noqa: PLC0415 - the command line is needed here alone

        wanted = declared.read(documents.read_all([str(path) for path in paths]), bus=self.name, owner=owner)
        for step in planning.plan(wanted, applying.present(self.client, wanted), pruned=frozenset(), takes_over=False):
            if step.act != planning.Act.KEEP:
                applying.take(self.client, step)

    # Who answers pushes

    def receiver(self, url: str, handler: Handler = accept) -> Receiver:
        """Have a function answer what is pushed to `url` or below it; without one everything is taken.

        A rule whose target nobody stands for finds nobody there: its deliveries are tried again. `http://` stands for all there are.
        """
        receiver = Receiver(url, handler)
        self._house.targets.add(receiver)
        return receiver

    def serve(self, application: Application | ServiceReceiver, url: str = "") -> Receiver:
        """Have an ASGI application answer what is pushed to `url` or below it. It is started, and stopped when the bus is closed.

        The application of an `eventyard.client` service puts its rules on this bus when it starts; `url` need not be said for it.
        """
        if isinstance(application, ServiceReceiver):
            url = url or application.push_url
            self._attach(application.service)
        if not url:
            raise ValueError("found an application without a URL; wanted the one that rules push to")
        self._start(Life(application))
        receiver = self.receiver(url, of_application(application))
        receiver.is_agreeing = False
        return receiver

    def run(self, service: Service) -> None:
        """Have a service of `eventyard.client` fetch its events from this bus, as `service.run()` does, until the bus is closed."""
        self._attach(service)
        working = self._house.loop.create_task(service.work())
        self._lives.callback(working.cancel)
        self._house.watch(working)

    def _attach(self, service: Service) -> None:
        self._lives.enter_context(service.attached(self.async_client, lambda: self._house.clock.now_ms() / 1000))

    def _start(self, life: Life) -> None:
        self._house.run(life.start())
        self._lives.callback(lambda: self._house.run(life.end()))

    def relay(self, outbox: Outbox, connect: Callable[[], Any]) -> None:
        """Publish what waits in an outbox whenever the bus settles, as a relay beside it does. `connect` as for `Outbox.relay`."""

        def relayed() -> bool:
            return outbox.relay(self.client, connect, bus=self.name, until_empty=True).accepted > 0

        self._house.relays.append(relayed)

    # Who pulls

    def receive(self, rule: str, *, max: int = 100, lease_s: float | None = None) -> list[Delivery]:  # noqa: A002 - the door's own name
        """Lease what waits in the queue of a pull rule now. What is not settled comes again when its lease has run out."""
        return self.client.receive(rule, max=max, lease_s=lease_s, bus=self.name)

    def acknowledge(self, rule: str, deliveries: Delivery | list[Delivery]) -> None:
        """They are done. AssertionError where a lease is over."""
        lost = [settled for settled in self.client.acknowledge(rule, deliveries, bus=self.name) if not settled.ok]
        if lost:
            raise AssertionError(
                f"found leases that are over ({', '.join(str(settled.reason) for settled in lost)}); wanted them held"
            )
