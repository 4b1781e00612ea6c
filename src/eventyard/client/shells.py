"""The two clients: thin shells over one pure core. What they share is everything but how to wait and how to send.

`Methods` lists the methods once. Each is a descriptor around a pure function of `protocol`: on a `Client` it sends the call and
returns the answer, on an `AsyncClient` it returns an awaitable of the same. Type checkers see both with all their arguments.
"""

import asyncio
import contextlib
import functools
import inspect
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

import httpx

from eventyard.client import dead_letters as letters
from eventyard.client import protocol, pulling, runs
from eventyard.client.answers import Page, StoredEvent
from eventyard.client.call import Attempt, Call, Request, Walk, attempts
from eventyard.client.consuming import Consume, Handle, Step, consume, consuming
from eventyard.client.errors import Unreachable
from eventyard.client.following import SILENCE_S, Follow, Following
from eventyard.client.patience import Outcome, Patience, Response

T = TypeVar("T")
P = ParamSpec("P")

DEFAULT_URL = "http://127.0.0.1:8410"
TIMEOUT_S = 30.0


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
    """What both clients can do. See `protocol` for each one's arguments."""

    publish = Method(protocol.publish)
    publish_batch = Method(protocol.publish_batch)
    publish_many = Stream(protocol.publish_many)
    event = Method(protocol.event)
    events = Stream(protocol.events)
    follow = Feed(protocol.follow)

    put_rule = Method(protocol.put_rule)
    rule = Method(protocol.rule)
    rules = Stream(protocol.rules)
    delete_rule = Method(protocol.delete_rule)
    pause = Method(protocol.pause)
    resume = Method(protocol.resume)
    status = Method(protocol.status)

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

    test_pattern = Method(protocol.test_pattern)
    ready = Method(protocol.ready)
    server_version = Method(protocol.server_version)


class Client(Methods):
    """Speaks to one server, a call at a time; threads may share it. Close it, or use it as a context manager.

    `transport` and `rng` are there for tests: where requests go, and what draws the waits between attempts.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout_s: float = TIMEOUT_S,
        patience: Patience | None = None,
        transport: httpx.BaseTransport | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._patience = patience or Patience()
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._http = httpx.Client(
            base_url=_checked(url), timeout=timeout_s, transport=transport, mounts=dict.fromkeys(_WITHOUT_PROXY)
        )

    def send(self, call: Call[T]) -> T:
        """Carry one call out, attempts and waits included."""
        conversation = attempts(call, self._patience, self._rng)
        try:
            attempt = next(conversation)
            while True:
                attempt = conversation.send(self._make(attempt))
        except StopIteration as end:
            answer: T = end.value
            return answer

    def walk(self, walk: Walk[T]) -> Iterator[T]:
        """Carry calls out one by one, and give what they answer."""
        call = next(walk, None)
        while call is not None:
            page = self.send(call)
            yield from page.items
            call = _following(walk, page)

    def feed(self, follow: Follow) -> Iterator[StoredEvent]:
        """Read one stream after another, waits included."""
        following = Following(follow, self._patience, self._rng)
        while True:
            attempt = following.attempt()
            time.sleep(attempt.delay_s)
            try:
                yield from self._read(following, attempt.request)
            except httpx.TransportError as error:
                following.lose(_unreachable(self._http, error))

    def _read(self, following: Following, request: Request) -> Iterator[StoredEvent]:
        with contextlib.closing(self._http.send(_streamed(self._http, request), stream=True)) as response:
            if not following.meet(_head(response)):
                response.read()
                following.lose(_response(response))
                return
            for received in response.iter_bytes():
                yield from following.read(received)
        following.end(_address(self._http))

    def work(self, wanted: Consume) -> None:
        """Carry out what a consumer at work does."""
        if inspect.iscoroutinefunction(wanted.handle):
            raise TypeError("found a handler that has to be awaited; wanted a plain function, or an AsyncClient")
        steps, came, leaving = consuming(wanted, time.monotonic), None, None
        while (step := _next(steps, came)) is not None:
            if not isinstance(step, Handle):
                came = self.send(step)
                continue
            try:
                wanted.handle(step.delivery)
                came = None
            except BaseException as raised:  # noqa: BLE001 - told to the consumer, who knows what each means
                came = raised
                leaving = None if isinstance(raised, Exception) else raised
        if leaving is not None:
            raise leaving

    def _make(self, attempt: Attempt) -> Outcome:
        time.sleep(attempt.delay_s)
        try:
            return _response(self._http.send(_request(self._http, attempt.request)))
        except httpx.TransportError as error:
            return _unreachable(self._http, error)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(Methods):
    """As `Client`, for asyncio: methods are awaited, streams are read with `async for`. Tasks of one loop may share it."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout_s: float = TIMEOUT_S,
        patience: Patience | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._patience = patience or Patience()
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._http = httpx.AsyncClient(
            base_url=_checked(url), timeout=timeout_s, transport=transport, mounts=dict.fromkeys(_WITHOUT_PROXY)
        )

    async def send(self, call: Call[T]) -> T:
        conversation = attempts(call, self._patience, self._rng)
        try:
            attempt = next(conversation)
            while True:
                attempt = conversation.send(await self._make(attempt))
        except StopIteration as end:
            answer: T = end.value
            return answer

    async def walk(self, walk: Walk[T]) -> AsyncIterator[T]:
        call = next(walk, None)
        while call is not None:
            page = await self.send(call)
            for item in page.items:
                yield item
            call = _following(walk, page)

    async def feed(self, follow: Follow) -> AsyncIterator[StoredEvent]:
        following = Following(follow, self._patience, self._rng)
        while True:
            attempt = following.attempt()
            await asyncio.sleep(attempt.delay_s)
            try:
                async with contextlib.aclosing(self._read(following, attempt.request)) as events:
                    async for event in events:
                        yield event
            except httpx.TransportError as error:
                following.lose(_unreachable(self._http, error))

    async def _read(self, following: Following, request: Request) -> AsyncGenerator[StoredEvent, None]:
        async with contextlib.aclosing(await self._http.send(_streamed(self._http, request), stream=True)) as response:
            if not following.meet(_head(response)):
                await response.aread()
                following.lose(_response(response))
                return
            async for received in response.aiter_bytes():
                for event in following.read(received):
                    yield event
        following.end(_address(self._http))

    async def work(self, wanted: Consume) -> None:
        steps, came, leaving = consuming(wanted, time.monotonic), None, None
        while (step := _next(steps, came)) is not None:
            if not isinstance(step, Handle):
                came = await self.send(step)
                continue
            try:
                await wanted.handle(step.delivery)
                came = None
            except BaseException as raised:  # noqa: BLE001 - told to the consumer, who knows what each means
                came = raised
                leaving = None if isinstance(raised, Exception) else raised
        if leaving is not None:
            raise leaving

    async def _make(self, attempt: Attempt) -> Outcome:
        await asyncio.sleep(attempt.delay_s)
        try:
            return _response(await self._http.send(_request(self._http, attempt.request)))
        except httpx.TransportError as error:
            return _unreachable(self._http, error)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


_WITHOUT_PROXY = ("all://127.0.0.1", "all://localhost", "all://[::1]")
"""A proxy of the environment cannot reach this machine's own loopback; a bus there is asked directly."""


def _checked(url: str) -> str:
    if not url.startswith(("http://", "https://")) or not httpx.URL(url).host:
        raise ValueError(f'found the server address "{url}"; wanted one like {DEFAULT_URL}')
    return url


def _following(walk: Walk[T], page: Page[T]) -> Call[Page[T]] | None:
    try:
        return walk.send(page)
    except StopIteration:
        return None


def _next(steps: Generator[Step, Any, None], came: Any) -> Step | None:
    try:
        return steps.send(came)
    except StopIteration:
        return None


def _request(http: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    headers = {"accept": "application/json", "user-agent": "eventyard-client"} | request.headers
    if request.content_type:
        headers["content-type"] = request.content_type
    built = http.build_request(
        request.method, request.path, params=request.query or None, content=request.body or None, headers=headers
    )
    read_s = http.timeout.read
    if request.wait_s and read_s is not None:
        built.extensions = {"timeout": {**http.timeout.as_dict(), "read": read_s + request.wait_s}}
    return built


def _streamed(http: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    built = _request(http, request)
    built.extensions = {"timeout": {**http.timeout.as_dict(), "read": SILENCE_S}}
    return built


def _response(response: httpx.Response) -> Response:
    return _head(response, response.content)


def _head(response: httpx.Response, body: bytes = b"") -> Response:
    headers = response.headers
    return Response(response.status_code, body, headers.get("retry-after", ""), time.time(), headers.get("content-type", ""))


def _unreachable(http: httpx.Client | httpx.AsyncClient, error: httpx.TransportError) -> Unreachable:
    return Unreachable(_address(http), str(error) or type(error).__name__)


def _address(http: httpx.Client | httpx.AsyncClient) -> str:
    return str(http.base_url).rstrip("/")
