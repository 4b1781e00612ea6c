"""The transport of a test: pushes wait in it until the bus is settled, and then go to the receiver that stands for their URL."""

import asyncio
import datetime
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from eventyard.ports import Clock, PushAnswer, PushRequest
from eventyard.testing.clock import moment
from eventyard.testing.pushes import Reply, Request, reply_of, reply_to
from eventyard.testing.receivers import Hangs, Receiver, Refuses, awaited

NOBODY = "connection refused: no receiver of this test stands for that URL; bus.receiver(URL, handler) has one answer it"


class Push(msgspec.Struct, eq=False):
    """A request on its way."""

    request: PushRequest
    done: Callable[[PushAnswer], None]


class Targets:
    """`ports.Transport`. `raised`: what assertions in handlers came to, for the test."""

    def __init__(self, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self._clock = clock
        self._loop = loop
        self._waiting: deque[Push] = deque()
        self._receivers: list[Receiver] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.raised: list[BaseException] = []
        self.is_running = True

    def add(self, receiver: Receiver) -> None:
        """From now on it stands for its URL, also where another did before."""
        self._receivers = [known for known in self._receivers if known.url != receiver.url]
        self._receivers.append(receiver)

    def send(self, request: PushRequest, done: Callable[[PushAnswer], None]) -> None:
        self._waiting.append(Push(request, done))

    def close(self) -> None:
        self.is_running = False
        for task in self._tasks:
            task.cancel()

    def answer_next(self) -> bool:
        """Have one push answered, or begun to be. False where none waits. The loop does not run meanwhile: a handler may ask the bus."""
        if not self._waiting:
            return False
        push = self._waiting.popleft()
        receiver = self._of(push.request.url)
        if receiver is None:
            push.done(_failed(NOBODY))
        else:
            self._give(receiver, push)
        return True

    def _of(self, url: str) -> Receiver | None:
        """The one that stands for most of the URL."""
        fitting = [receiver for receiver in self._receivers if _is_below(url, receiver.url)]
        return max(fitting, key=lambda receiver: len(receiver.url), default=None)

    def _give(self, receiver: Receiver, push: Push) -> None:
        try:
            taken = receiver.take(_request(push.request, moment(self._clock.now_ms())))
        except AssertionError as failed:
            self.raised.append(failed)
            taken = reply_to(failed)
        except Exception as failure:  # noqa: BLE001 - told to the bus, as a service tells it
            taken = reply_to(failure)
        match taken:
            case Refuses():
                push.done(_failed("connection refused"))
            case Hangs():
                self._later(push, asyncio.Event().wait())
            case Awaitable():
                self._later(push, awaited(taken))
            case _:
                self._reply(push, reply_of(taken))

    def _reply(self, push: Push, reply: Reply) -> None:
        if reply.after_s > 0:
            self._later(push, asyncio.sleep(reply.after_s, reply))
        else:
            push.done(_answer(push.request, reply, 0.0))

    def _later(self, push: Push, coming: Awaitable[Any]) -> None:
        task = self._loop.create_task(self._await(push, coming))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _await(self, push: Push, coming: Awaitable[Any]) -> None:
        """`coming` gives a reply, or does not end."""
        began, timeout_s = self._loop.time(), push.request.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                reply: Reply = await coming
        except TimeoutError:
            push.done(_failed(f"timed out after {timeout_s:g} s", timeout_s))
        except AssertionError as failed:
            self.raised.append(failed)
            push.done(_answer(push.request, reply_to(failed), self._loop.time() - began))
        else:
            push.done(_answer(push.request, reply, self._loop.time() - began))


def _is_below(url: str, prefix: str) -> bool:
    rest = url.removeprefix(prefix)
    return url.startswith(prefix) and (not rest or prefix.endswith("/") or rest[0] in "/?")


def _request(request: PushRequest, at: datetime.datetime) -> Request:
    headers = {name.lower(): value for name, value in request.headers}
    return Request(request.method, request.url, headers, request.body, at)


def _answer(request: PushRequest, reply: Reply, elapsed_s: float) -> PushAnswer:
    headers = {name.lower(): value for name, value in reply.headers.items()}
    return PushAnswer(reply.status, headers, reply.content[: request.answer_bytes_max], elapsed_s=elapsed_s)


def _failed(failure: str, elapsed_s: float = 0.0) -> PushAnswer:
    return PushAnswer(0, {}, b"", failure=failure, elapsed_s=elapsed_s)
