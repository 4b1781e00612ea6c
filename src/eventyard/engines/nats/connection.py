"""A connection to the servers of NATS: on an event loop and a thread of its own, asked from other threads.

It connects again by itself for as long as it is open; whoever asks meanwhile is told that nobody answers (`JournalAway`) and decides.
"""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import nats
from nats.aio.client import Client

from eventyard import logbook
from eventyard.core.errors import InvalidSettings, JournalAway

CONNECT_S = 10.0
"""How long the first connection is tried: above an election among the servers, which takes 4 to 8 s."""

RECONNECT_WAIT_S = 0.25

PENDING_BYTES = 32 * 1024 * 1024
"""What may wait to be sent while there is no connection; what does not fit is refused at once, and asked again."""

VERSION_MIN = (2, 12)
"""Before it, what an append expects was not certain to hold across an election."""

PAYLOAD_BYTES_MIN = 64 * 1024
"""Records go in parts of what a message may have; smaller ones would cost more than they carry."""

_Answer = TypeVar("_Answer")


class Connection:
    """Raises `JournalAway` where nobody answers, and `InvalidSettings` where who answers is of no use, or does not let us in."""

    def __init__(self, servers: Sequence[str], *, connect_s: float = CONNECT_S) -> None:
        self._servers = list(servers)
        self._where = logbook.without_secrets(", ".join(servers))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="eventyard-journal", daemon=True)
        self._thread.start()
        self._last_error = ""
        self._client: Client | None = None
        self._is_away = False
        try:
            self._client = self.ask(self._connect(connect_s), connect_s + 1)
            self._check()
        except BaseException:
            self.close()
            raise

    @property
    def client(self) -> Client:
        assert self._client is not None  # noqa: S101 - it is made with the connection
        return self._client

    def ask(self, question: Coroutine[Any, Any, _Answer], wait_s: float) -> _Answer:
        """Run it on the loop and wait for its answer, `wait_s` at the most."""
        future = asyncio.run_coroutine_threadsafe(question, self._loop)
        try:
            return future.result(wait_s)
        except concurrent.futures.TimeoutError as error:
            future.cancel()
            raise JournalAway(f"found nobody who answers within {wait_s:g} s", wanted=self._wanted) from error

    def tell_away(self, error: str) -> None:
        """Once, until they are back: a question that has no answer is asked ten times a second."""
        if not self._is_away:
            self._is_away = True
            logbook.JOURNAL_AWAY(error=error)

    def tell_back(self) -> None:
        if self._is_away:
            self._is_away = False
            logbook.JOURNAL_BACK()

    def close(self) -> None:
        """Twice is harmless."""
        if not self._thread.is_alive():
            return
        if self._client is not None:
            with contextlib.suppress(JournalAway):
                self.ask(self._close(), 5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def _wanted(self) -> str:
        return f"a server of NATS at {self._where}"

    async def _connect(self, connect_s: float) -> Client:
        """Tried again until it is certain that we are not let in, or for `connect_s`."""
        self._refused = asyncio.Event()
        ends_s = self._loop.time() + connect_s
        while True:
            try:
                return await self._try(ends_s - self._loop.time())
            except (OSError, TimeoutError, nats.errors.Error) as error:
                self._last_error = self._last_error or str(error)
            if self._refused.is_set() or self._loop.time() >= ends_s:
                raise self._unconnected()
            await asyncio.sleep(RECONNECT_WAIT_S)

    async def _try(self, wait_s: float) -> Client:
        connecting = nats.connect(
            self._servers,
            name="eventyard",
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT_S,
            pending_size=PENDING_BYTES,
            error_cb=self._note,
            disconnected_cb=self._lost,
            reconnected_cb=self._back,
        )
        trying, refused = asyncio.ensure_future(connecting), asyncio.ensure_future(self._refused.wait())
        try:
            await asyncio.wait((trying, refused), timeout=max(0.0, wait_s), return_when=asyncio.FIRST_COMPLETED)
            if trying.done():
                return trying.result()
        finally:
            await _cancelled(refused)
            if not trying.done():
                await _cancelled(trying)
        raise TimeoutError

    def _unconnected(self) -> JournalAway | InvalidSettings:
        if self._refused.is_set():
            return InvalidSettings(f"found that {self._where} does not let us in", wanted="its credentials")
        return JournalAway(f"found nobody who answers ({self._last_error or 'no answer'})", wanted=self._wanted)

    async def _note(self, error: Exception) -> None:
        """Where the first connection is refused there is nothing to wait for."""
        self._last_error = str(error)
        if _is_refusal(self._last_error):
            self._refused.set()

    async def _lost(self) -> None:
        if self._client is not None and not self._client.is_closed:
            self.tell_away(self._last_error or "the connection ended")

    async def _back(self) -> None:
        self._last_error = ""
        self.tell_back()

    async def _close(self) -> None:
        """Nothing of ours waits in it: each append was answered, or is known to be unknown."""
        await self.client.close()

    def _check(self) -> None:
        found = self.client.connected_server_version
        if (found.major, found.minor) < VERSION_MIN:
            wanted = ".".join(map(str, VERSION_MIN))
            raise InvalidSettings(f"found a NATS server of version {found.major}.{found.minor}", wanted=f"{wanted} or newer")
        if self.client.max_payload < PAYLOAD_BYTES_MIN:
            raise InvalidSettings(
                f"found a NATS server that takes messages up to {self.client.max_payload} bytes (max_payload)",
                wanted=f"at least {PAYLOAD_BYTES_MIN}",
            )


def _is_refusal(told: str) -> bool:
    """The client has no class of its own for it."""
    return "authorization" in told.lower() or "authentication" in told.lower()


async def _cancelled(task: asyncio.Future[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, OSError, nats.errors.Error):
        await task
