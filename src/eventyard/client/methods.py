"""What both clients can do, listed once.

Each method is a descriptor around a pure function: on a `Client` it sends the call that the function describes and returns the
answer, on an `AsyncClient` it returns an awaitable of the same. Type checkers see both with all their arguments.
"""

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from eventyard.client import backtesting, explaining, protocol, pulling, rehearsing, runs, storytelling
from eventyard.client import dead_letters as letters
from eventyard.client import detectors as detecting
from eventyard.client import expectations as expecting
from eventyard.client import keys as access
from eventyard.client import schedules as timed
from eventyard.client.answers import StoredEvent
from eventyard.client.call import Call, Walk
from eventyard.client.consuming import Consume, consume
from eventyard.client.following import Follow

if TYPE_CHECKING:
    from eventyard.client.shells import AsyncClient, Client

T = TypeVar("T")
P = ParamSpec("P")


class Method(Generic[P, T]):
    """One answer per call. On the class itself it is the pure function that describes the call."""

    def __init__(self, describe: Callable[P, Call[T]]) -> None:
        self._describe = describe

    @overload
    def __get__(self, shell: None, owner: type) -> Callable[P, Call[T]]: ...
    @overload
    def __get__(self, shell: "Client", owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, shell: "AsyncClient", owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __get__(self, shell: "Client | AsyncClient | None", owner: type) -> Callable[P, Any]:
        return self._describe if shell is None else _bound(self._describe, shell.send)


class Stream(Generic[P, T]):
    """Many answers per call, asked for as they are consumed."""

    def __init__(self, describe: Callable[P, Walk[T]]) -> None:
        self._describe = describe

    @overload
    def __get__(self, shell: None, owner: type) -> Callable[P, Walk[T]]: ...
    @overload
    def __get__(self, shell: "Client", owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, shell: "AsyncClient", owner: type) -> Callable[P, AsyncIterator[T]]: ...

    def __get__(self, shell: "Client | AsyncClient | None", owner: type) -> Callable[P, Any]:
        return self._describe if shell is None else _bound(self._describe, shell.walk)


class Feed(Generic[P]):
    """Events for as long as they are read, over one connection after another."""

    def __init__(self, describe: Callable[P, Follow]) -> None:
        self._describe = describe

    @overload
    def __get__(self, shell: None, owner: type) -> Callable[P, Follow]: ...
    @overload
    def __get__(self, shell: "Client", owner: type) -> Callable[P, Iterator[StoredEvent]]: ...
    @overload
    def __get__(self, shell: "AsyncClient", owner: type) -> Callable[P, AsyncIterator[StoredEvent]]: ...

    def __get__(self, shell: "Client | AsyncClient | None", owner: type) -> Callable[P, Any]:
        return self._describe if shell is None else _bound(self._describe, shell.feed)


class Work(Generic[P]):
    """Deliveries handled for as long as they come."""

    def __init__(self, describe: Callable[P, Consume]) -> None:
        self._describe = describe

    @overload
    def __get__(self, shell: None, owner: type) -> Callable[P, Consume]: ...
    @overload
    def __get__(self, shell: "Client", owner: type) -> Callable[P, None]: ...
    @overload
    def __get__(self, shell: "AsyncClient", owner: type) -> Callable[P, Coroutine[Any, Any, None]]: ...

    def __get__(self, shell: "Client | AsyncClient | None", owner: type) -> Callable[P, Any]:
        return self._describe if shell is None else _bound(self._describe, shell.work)


def _bound(describe: Callable[P, Any], carry_out: Callable[[Any], Any]) -> Callable[P, Any]:
    @functools.wraps(describe)
    def method(*args: P.args, **kwargs: P.kwargs) -> Any:
        return carry_out(describe(*args, **kwargs))

    return method


class Methods:
    """See the functions for each one's arguments."""

    publish = Method(protocol.publish)
    publish_batch = Method(protocol.publish_batch)
    publish_many = Stream(protocol.publish_many)
    event = Method(protocol.event)
    events = Stream(protocol.events)
    follow = Feed(protocol.follow)
    explain = Stream(explaining.explain)
    story = Method(storytelling.story)

    put_rule = Method(protocol.put_rule)
    rule = Method(protocol.rule)
    rules = Stream(protocol.rules)
    delete_rule = Method(protocol.delete_rule)
    pause = Method(protocol.pause)
    resume = Method(protocol.resume)
    status = Method(protocol.status)
    statuses = Stream(protocol.statuses)
    backtest = Stream(backtesting.backtest)
    backtest_detector = Stream(rehearsing.backtest_detector)
    backtest_expectation = Stream(rehearsing.backtest_expectation)

    put_detector = Method(detecting.put_detector)
    detector_turns = Stream(detecting.detector_turns)
    detector = Method(detecting.detector)
    detectors = Stream(detecting.detectors)
    delete_detector = Method(detecting.delete_detector)
    detector_keys = Stream(detecting.detector_keys)
    detector_key = Method(detecting.detector_key)

    put_expectation = Method(expecting.put_expectation)
    expectation = Method(expecting.expectation)
    expectations = Stream(expecting.expectations)
    delete_expectation = Method(expecting.delete_expectation)
    expectation_keys = Stream(expecting.expectation_keys)
    expectation_key = Method(expecting.expectation_key)

    put_schedule = Method(timed.put_schedule)
    schedule = Method(timed.schedule)
    schedules = Stream(timed.schedules)
    delete_schedule = Method(timed.delete_schedule)
    pause_schedule = Method(timed.pause_schedule)
    resume_schedule = Method(timed.resume_schedule)

    receive = Method(pulling.receive)
    acknowledge = Method(pulling.acknowledge)
    release = Method(pulling.release)
    reject = Method(pulling.reject)
    renew = Method(pulling.renew)
    consume = Work(consume)

    seek = Method(runs.seek)
    start_replay = Method(runs.start_replay)
    replay = Method(runs.replay)
    replays = Stream(runs.replays)
    end_replay = Method(runs.end_replay)

    dead_letters = Stream(letters.dead_letters)
    count_dead_letters = Method(letters.count_dead_letters)
    try_dead_letters = Method(letters.try_dead_letters)
    redrive = Method(letters.redrive)
    purge = Method(letters.purge)
    skip = Method(letters.skip)

    bus = Method(protocol.bus)
    buses = Stream(protocol.buses)
    create_bus = Method(protocol.create_bus)
    set_retention = Method(protocol.set_retention)
    delete_bus = Method(protocol.delete_bus)

    create_key = Method(access.create_key)
    keys = Stream(access.keys)
    revoke_key = Method(access.revoke_key)

    rotate_secrets = Method(protocol.rotate_secrets)
    test_pattern = Method(protocol.test_pattern)
    test_transform = Method(protocol.test_transform)
    ready = Method(protocol.ready)
    server_version = Method(protocol.server_version)
