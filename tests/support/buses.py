"""Whole buses for tests: started, with the real push transport; in this program, or behind a real HTTP door.

    async with running_bus() as yard:                      # the facade, on this loop
        await yard.publish("default", [an_event()])

    with served_bus() as bus:                              # the door, on a free loopback port, in a thread of its own
        bus.put("/v1/buses/shop")
        bus.wait_until(lambda: bus.get("/v1/buses/shop/rules/r/status").json()["dead"] == 1)

Without an engine they run on MemoryEngine, which a test can give itself to look inside.
"""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import httpx
import uvloop

from eventyard.bus import Eventyard
from eventyard.core.event import STRUCTURED
from eventyard.core.network import Policy
from eventyard.engines.memory import MemoryEngine
from eventyard.expressions import Evaluators
from eventyard.ports import Clock, Engine, Tracing
from eventyard.serve import SystemClock
from eventyard.surfaces.http import Server, app
from eventyard.surfaces.http.access import TokenReader
from eventyard.transports.http import HttpTransport

T = TypeVar("T")

WAIT_S = 20.0
LOOPBACK = Policy(is_loopback_allowed=True)


def composed(
    engine: Engine | None = None,
    policy: Policy = LOOPBACK,
    clock: Clock | None = None,
    *,
    is_pushing: bool = True,
    tracing: Tracing | None = None,
) -> Eventyard:
    chosen, transport = engine or MemoryEngine(), HttpTransport(policy)
    return Eventyard(
        chosen, transport, clock or SystemClock(), policy, is_pushing=is_pushing, tracing=tracing, expressions=Evaluators()
    )


@asynccontextmanager
async def running_bus(engine: Engine | None = None, policy: Policy = LOOPBACK) -> AsyncIterator[Eventyard]:
    """A started bus; stopped on the way out, with the engine closed."""
    yard = composed(engine, policy)
    yard.start()
    try:
        yield yard
    finally:
        await yard.stop()


class ServedBus:
    """A bus behind its HTTP door. `request` and its siblings are httpx's; `connect` is for tests in which bytes matter."""

    def __init__(self, yard: Eventyard, issuer: TokenReader | None = None) -> None:
        self.yard = yard
        self.unready: list[str] = []
        application = app(yard, unready=lambda: self.unready, issuer=issuer)
        self.server = Server(application, drain_s=1, stopping=yard.drain)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()
        self.url = f"http://{self.host}:{self.port}"
        self._client = httpx.Client(base_url=self.url, timeout=WAIT_S)
        self.get, self.put = self._client.get, self._client.put
        self.post, self.delete, self.request = self._client.post, self._client.delete, self._client.request
        self._stepped = threading.Event()
        self._running = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()), daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._running.wait(WAIT_S)

    def stop(self) -> None:
        self._client.close()
        self.server.should_exit = True
        self._thread.join(WAIT_S)
        self._listener.close()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.yard.start()
        self._announce_steps()
        self._running.set()
        await self.server.serve([self._listener])
        await self.yard.stop(1)

    def _announce_steps(self) -> None:
        """After each step of the writer, whoever waits looks again."""
        after = self.yard._writer.after_step

        def announce() -> None:
            after()
            self._stepped.set()

        self.yard._writer.after_step = announce

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Until the claim holds; it is tried anew after each step of the writer."""
        ends_at = time.monotonic() + WAIT_S
        while True:
            self._stepped.clear()
            if is_so():
                return
            assert self._stepped.wait(ends_at - time.monotonic())

    def on_loop(self, call: Callable[[], Any]) -> Any:
        """Call on the server's loop, and what it gave."""
        assert self._loop is not None

        async def called() -> Any:
            return call()

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result(WAIT_S)

    def time(self) -> float:
        """The server's loop's time."""
        assert self._loop is not None
        return self._loop.time()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """What a method of the facade gives, on the server's loop."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    def connect(self) -> socket.socket:
        connection = socket.create_connection((self.host, self.port), timeout=WAIT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def publish(self, bus: str, body: Any, content_type: str = STRUCTURED, **headers: str) -> httpx.Response:
        """`body` is bytes as they are, or anything else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.post(f"/v1/buses/{bus}/events", content=content, headers={"content-type": content_type, **headers})

    def events(self, bus: str) -> list[dict[str, Any]]:
        """What publishers' events the log holds, in order: the bus's own aside."""
        held = self.get(f"/v1/buses/{bus}/events?limit=1000").json()["events"]
        return [each["event"] for each in held if not each["event"]["type"].startswith("io.eventyard.")]


@contextmanager
def served_bus(
    engine: Engine | None = None,
    policy: Policy = LOOPBACK,
    clock: Clock | None = None,
    *,
    is_pushing: bool = True,
    tracing: Tracing | None = None,
    issuer: TokenReader | None = None,
) -> Iterator[ServedBus]:
    bus = ServedBus(composed(engine, policy, clock, is_pushing=is_pushing, tracing=tracing), issuer)
    bus.start()
    try:
        yield bus
    finally:
        bus.stop()
