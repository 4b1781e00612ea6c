"""Consumers at work: the conversations of `consuming`, carried out by threads or by tasks, with their leases renewed meanwhile."""

import asyncio
import contextlib
import inspect
import logging
import signal
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any, Protocol, TypeVar

import msgspec

from eventyard.client.call import Call
from eventyard.client.consuming import Consume, Handle, Leases, Step, Stop, consuming
from eventyard.client.errors import ClientError

T = TypeVar("T")

log = logging.getLogger("eventyard.client")

Steps = Generator[Step, Any, None]


class Sender(Protocol):
    def send(self, call: Call[T]) -> T: ...


class AsyncSender(Protocol):
    async def send(self, call: Call[T]) -> T: ...


class Stopping:
    """Set once for all: by a signal, a failure, or `set`."""

    def __init__(self, other: Stop | None = None) -> None:
        self._is_set = False
        self._other = other

    def is_set(self) -> bool:
        return self._is_set or (self._other is not None and self._other.is_set())

    def set(self) -> None:
        self._is_set = True


@contextlib.contextmanager
def stop_on_signals(*signals: signal.Signals) -> Iterator[Stopping]:
    """Set by SIGTERM and SIGINT, else by `signals`, as long as the block lasts; by the second one the process ends as it ever did.

    Of the main thread only, for Python gives signals to no other: ValueError elsewhere.
    """
    stopping = Stopping()
    before = {number: signal.getsignal(number) for number in signals or (signal.SIGTERM, signal.SIGINT)}

    def stop(_number: int, _frame: object) -> None:
        stopping.set()
        _restore(before)

    try:
        for number in before:
            signal.signal(number, stop)
        yield stopping
    finally:
        _restore(before)


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


# By threads


def work(client: Sender, wanted: Consume) -> None:
    """One conversation in the thread that called, or `concurrency` of them in threads of their own. Raises what the first one ended in."""
    if inspect.iscoroutinefunction(wanted.handle):
        raise TypeError("found a handler that has to be awaited; wanted a plain function, or an AsyncClient")
    leases = Leases(wanted, time.monotonic)
    with _renewing(client, leases):
        if wanted.concurrency == 1:
            _converse(client, wanted, consuming(wanted, leases, time.monotonic))
        else:
            _converse_in_threads(client, wanted, leases)


def _converse(client: Sender, wanted: Consume, steps: Steps) -> None:
    came, leaving = None, None
    while (step := _next(steps, came)) is not None:
        if not isinstance(step, Handle):
            came = client.send(step)
            continue
        try:
            wanted.handle(step.delivery)
            came = None
        except BaseException as raised:  # noqa: BLE001 - told to the consumer, who knows what each means
            came = raised
            leaving = None if isinstance(raised, Exception) else raised
    if leaving is not None:
        raise leaving


def _converse_in_threads(client: Sender, wanted: Consume, leases: Leases) -> None:
    """Whatever ends one thread stops the others; so does whatever is raised in the one that waits for them, as Ctrl-C."""
    stopping = Stopping(wanted.stop)
    each = _stopped_by(wanted, stopping)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            _converse(client, each, consuming(each, leases, time.monotonic))
        except BaseException as failure:  # noqa: BLE001 - raised by the thread that waits
            failures.append(failure)
            stopping.set()

    threads = [threading.Thread(target=run, name=f"eventyard-{wanted.name}-{number}") for number in range(wanted.concurrency)]
    for thread in threads:
        thread.start()
    try:
        _join(threads)
    except BaseException:
        stopping.set()
        _join(threads)
        raise
    if failures:
        raise failures[0]


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def _renewing(client: Sender, leases: Leases) -> Iterator[None]:
    """Renew what is held, by a thread of its own, as long as the block lasts."""
    is_over = threading.Event()

    def renew() -> None:
        while not is_over.wait(leases.renew_every_s):
            since = time.monotonic()
            with _renewal_trouble():
                for call in leases.renewals():
                    leases.renewed(client.send(call), since)

    thread = threading.Thread(target=renew, name="eventyard-renewing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


# By tasks


async def work_async(client: AsyncSender, wanted: Consume) -> None:
    """`concurrency` conversations, a task each; one of them in the task that called. Raises what the first one ended in.

    By the loop's clock, which is not the machine's where a test has one of its own.
    """
    now = asyncio.get_running_loop().time
    leases = Leases(wanted, now)
    renewing = asyncio.create_task(_renew_async(client, leases))
    try:
        if wanted.concurrency == 1:
            await _converse_async(client, wanted, consuming(wanted, leases, now))
        else:
            await _converse_in_tasks(client, wanted, leases)
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])


async def _converse_async(client: AsyncSender, wanted: Consume, steps: Steps) -> None:
    came, leaving = None, None
    while (step := _next(steps, came)) is not None:
        if not isinstance(step, Handle):
            came = await client.send(step)
            continue
        try:
            await wanted.handle(step.delivery)
            came = None
        except BaseException as raised:  # noqa: BLE001 - told to the consumer, who knows what each means
            came = raised
            leaving = None if isinstance(raised, Exception) else raised
    if leaving is not None:
        raise leaving


async def _converse_in_tasks(client: AsyncSender, wanted: Consume, leases: Leases) -> None:
    """Whatever ends one task stops the others; when the task that waits is cancelled, they are."""
    stopping = Stopping(wanted.stop)
    each = _stopped_by(wanted, stopping)
    failures: list[BaseException] = []
    now = asyncio.get_running_loop().time

    async def run() -> None:
        try:
            await _converse_async(client, each, consuming(each, leases, now))
        except BaseException as failure:
            failures.append(failure)
            stopping.set()
            raise

    tasks = [asyncio.create_task(run()) for _ in range(wanted.concurrency)]
    try:
        await asyncio.wait(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if failures:
        raise failures[0]


async def _renew_async(client: AsyncSender, leases: Leases) -> None:
    now = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(leases.renew_every_s)
        since = now()
        with _renewal_trouble():
            for call in leases.renewals():
                leases.renewed(await client.send(call), since)


# Shared


def _stopped_by(wanted: Consume, stopping: Stopping) -> Consume:
    return msgspec.structs.replace(wanted, stop=stopping)


@contextlib.contextmanager
def _renewal_trouble() -> Iterator[None]:
    """A renewal that fails is made up for by the next one; if that fails too, leases end and their deliveries come again."""
    try:
        yield
    except ClientError as error:
        log.warning("leases could not be renewed: %s", error)


def _next(steps: Steps, came: Any) -> Step | None:
    try:
        return steps.send(came)
    except StopIteration:
        return None
