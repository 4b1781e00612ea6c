"""Publishers: what a program publishes waits in a bounded buffer, and goes to the bus in batches while the program goes on.

What is in the buffer is not yet durable: it is lost if the process is killed. Described in docs/reference/client.md.
"""

import asyncio
import atexit
import contextlib
import logging
import random
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Self, TypedDict, Unpack

from eventyard.client.answers import Verdict
from eventyard.client.buffering import BYTES_MAX, EVENTS_MAX, Buffer, BufferFull, Refusal, Settlement, Unpublished, spelt
from eventyard.client.call import Call
from eventyard.client.errors import ClientError
from eventyard.client.event import Event, given
from eventyard.client.patience import Patience
from eventyard.client.shells import AsyncClient, Client

log = logging.getLogger("eventyard.client")

WAIT_S = 30.0
CLOSE_S = 10.0

REFUSED_KEPT = 100

OnRefused = Callable[[Refusal], None]


class PublisherOptions(TypedDict, total=False):
    """What a publisher may be told; see `Publisher`. `rng` is there for tests: it draws the waits between attempts."""

    bus: str
    events_max: int
    bytes_max: int
    wait_s: float
    close_s: float
    patience: Patience | None
    on_refused: OnRefused | None
    rng: random.Random | None


class _Account:
    """What both publishers keep: the buffer, what was refused, and how it ended. No I/O, no waiting."""

    def __init__(
        self,
        *,
        bus: str = "default",
        events_max: int = EVENTS_MAX,
        bytes_max: int = BYTES_MAX,
        wait_s: float = WAIT_S,
        close_s: float = CLOSE_S,
        patience: Patience | None = None,
        on_refused: OnRefused | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.buffer = Buffer(bus, events_max=events_max, bytes_max=bytes_max, patience=patience or Patience())
        self.wait_s = wait_s
        self.close_s = close_s
        self.is_closed = False
        self.ended_by: Exception | None = None
        self._on_refused = on_refused
        self._refused: deque[Refusal] = deque(maxlen=REFUSED_KEPT)
        self._refusals = 0
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing

    @property
    def is_over(self) -> bool:
        return self.is_closed or self.ended_by is not None

    def has_room(self, text: bytes) -> bool:
        return self.is_over or self.buffer.takes(text)

    def add(self, text: bytes) -> None:
        if not self.buffer.takes(text):
            raise self.full()
        self.check()
        self.buffer.add(text)

    def check(self) -> None:
        if self.ended_by is not None:
            raise self.ended_by
        if self.is_closed:
            raise RuntimeError("found a publisher that is closed; wanted an open one")

    def full(self) -> BufferFull:
        return BufferFull(len(self.buffer), self.buffer.trouble)

    def answered(self, verdicts: list[Verdict]) -> Settlement:
        return self.buffer.answered(verdicts, chance=self._rng.random())

    def failed(self, error: Exception) -> Settlement:
        """Raises `error` where it ends the publisher."""
        if not isinstance(error, ClientError):
            raise error
        if self.buffer.trouble is None:
            log.warning("%d events wait to be published: %s", len(self.buffer), error)
        return self.buffer.failed(error, chance=self._rng.random())

    def end(self, error: Exception) -> None:
        log.error("%d events cannot be published: %s", len(self.buffer), error)
        self.ended_by = error

    def tell(self, refused: list[Refusal]) -> None:
        """Before anybody learns that they are settled, so that whoever flushes has been told."""
        for refusal in refused:
            if self._on_refused is None:
                self._refused.append(refusal)
                self._refusals += 1
                log.error("an event was refused: %s: %.200s", refusal.problem.detail, refusal.json.decode("utf-8", "replace"))
                continue
            try:
                self._on_refused(refusal)
            except Exception:
                log.exception("on_refused failed")

    def settle_up(self, number: int) -> None:
        """Raise Unpublished unless the first `number` events are on the bus. What was refused is told once."""
        waiting = [] if self.buffer.is_settled(number) else self.buffer.texts
        refused, refusals = list(self._refused), self._refusals
        self._refused.clear()
        self._refusals = 0
        if waiting or refusals:
            raise Unpublished(waiting, refused, refusals, self.buffer.trouble) from self.ended_by


class Publisher:
    """Publishes in the background through `client`, by a thread of its own; threads may share it. Use it in a `with` block.

    At most `events_max` events and `bytes_max` bytes wait; then `publish` waits up to `wait_s` for room and raises BufferFull.
    While the bus is away they wait, tried again as `patience` spaces it, for ever. `on_refused` is told of each event that the bus
    refuses, by the thread that publishes; without it they are logged, and raised by the next `flush` or `close`. `close_s`: how long closing waits for the bus.
    """

    def __init__(self, client: Client, **options: Unpack[PublisherOptions]) -> None:
        self._client = client
        self._account = _Account(**options)
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="eventyard-publisher", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    @property
    def waiting(self) -> int:
        """Events that the bus has not yet answered for."""
        return len(self._account.buffer)

    def publish(self, event: Event | None = None, **attributes: Any) -> str:
        """Take an event, as `Client.publish` does, to be published soon; its id. Raises BufferFull, or what ended the publisher."""
        name, text = spelt(given(event, **attributes))
        with self._changed:
            self._changed.wait_for(lambda: self._account.has_room(text), self._account.wait_s)
            self._account.add(text)
            self._changed.notify_all()
        return name

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until what was given so far is durable. Raises Unpublished where it is not, within `timeout_s` if there is one."""
        account = self._account
        with self._changed:
            number = account.buffer.given
            self._changed.wait_for(lambda: account.is_over or account.buffer.is_settled(number), timeout_s)
            account.settle_up(number)

    def close(self) -> None:
        """Flush within `close_s`, and take no more. Raises as `flush` does; what waits then is sent no more. Twice is harmless."""
        atexit.unregister(self.close)
        if self._account.is_closed:
            return
        try:
            self.flush(self._account.close_s)
        finally:
            with self._changed:
                self._account.is_closed = True
                self._changed.notify_all()

    def _run(self) -> None:
        try:
            while (call := self._next()) is not None:
                self._settle(self._sent(call))
        except Exception as error:  # noqa: BLE001 - told to whoever publishes, flushes or closes
            with self._changed:
                self._account.end(error)
                self._changed.notify_all()

    def _next(self) -> Call[list[Verdict]] | None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._account.buffer) or self._account.is_closed)
            return None if self._account.is_closed else self._account.buffer.batch()

    def _sent(self, call: Call[list[Verdict]]) -> list[Verdict] | Exception:
        try:
            return self._client.send(call)
        except Exception as error:  # noqa: BLE001 - told to the account, which knows what each means
            return error

    def _settle(self, came: list[Verdict] | Exception) -> None:
        account = self._account
        with self._changed:
            settlement = account.failed(came) if isinstance(came, Exception) else account.answered(came)
            account.tell(settlement.refused)
            self._changed.notify_all()
            self._changed.wait_for(lambda: account.is_closed, settlement.delay_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncPublisher:
    """As `Publisher`, for asyncio: `async with AsyncPublisher(client) as publisher`, whose methods are awaited."""

    def __init__(self, client: AsyncClient, **options: Unpack[PublisherOptions]) -> None:
        self._client = client
        self._account = _Account(**options)
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        return len(self._account.buffer)

    async def publish(self, event: Event | None = None, **attributes: Any) -> str:
        if self._task is None:
            raise RuntimeError("found a publisher that was not entered, and so sends nothing; wanted `async with`")
        name, text = spelt(given(event, **attributes))
        async with self._changed:
            await self._until(lambda: self._account.has_room(text), self._account.wait_s)
            self._account.add(text)
            self._changed.notify_all()
        return name

    async def flush(self, timeout_s: float | None = None) -> None:
        account = self._account
        async with self._changed:
            number = account.buffer.given
            await self._until(lambda: account.is_over or account.buffer.is_settled(number), timeout_s)
            account.settle_up(number)

    async def close(self) -> None:
        if self._account.is_closed:
            return
        try:
            await self.flush(self._account.close_s)
        finally:
            self._account.is_closed = True
            async with self._changed:
                self._changed.notify_all()
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])

    async def _until(self, is_so: Callable[[], bool], timeout_s: float | None) -> None:
        """Whoever waits looks at what came of it, in time or not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait_for(is_so)

    async def _run(self) -> None:
        try:
            while True:
                await self._settle(await self._sent(await self._next()))
        except Exception as error:  # noqa: BLE001 - told to whoever publishes, flushes or closes
            async with self._changed:
                self._account.end(error)
                self._changed.notify_all()

    async def _next(self) -> Call[list[Verdict]]:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._account.buffer) > 0)
            return self._account.buffer.batch()

    async def _sent(self, call: Call[list[Verdict]]) -> list[Verdict] | Exception:
        try:
            return await self._client.send(call)
        except Exception as error:  # noqa: BLE001 - told to the account, which knows what each means
            return error

    async def _settle(self, came: list[Verdict] | Exception) -> None:
        account = self._account
        async with self._changed:
            settlement = account.failed(came) if isinstance(came, Exception) else account.answered(came)
            account.tell(settlement.refused)
            self._changed.notify_all()
        await asyncio.sleep(settlement.delay_s)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
