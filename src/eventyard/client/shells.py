"""The two clients: thin shells over one pure core. What they share is everything but how to wait and how to send.

What can be asked stands in `methods`.
"""

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Self, TypeVar

import httpx

from eventyard.client import working
from eventyard.client.answers import Page, StoredEvent
from eventyard.client.call import Attempt, Call, Request, Walk, attempts
from eventyard.client.consuming import Consume
from eventyard.client.errors import Unreachable
from eventyard.client.following import SILENCE_S, Follow, Following
from eventyard.client.methods import Methods
from eventyard.client.patience import Outcome, Patience, Response

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8410"
TIMEOUT_S = 30.0


class Client(Methods):
    """Speaks to one server, a call at a time; threads may share it. Close it, or use it as a context manager.

    `key` is an access key of the server, or a token of the issuer that it trusts; sent with every request and shown nowhere. `ca_file`:
    authorities (PEM) that a server's certificate may come from, instead of the usual ones.
    `transport` and `rng` are there for tests: where requests go, and what draws the waits between attempts.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout_s: float = TIMEOUT_S,
        patience: Patience | None = None,
        key: str = "",
        ca_file: str = "",
        transport: httpx.BaseTransport | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._patience = patience or Patience()
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._http = httpx.Client(
            base_url=_checked(url),
            timeout=timeout_s,
            transport=transport,
            mounts=dict.fromkeys(_WITHOUT_PROXY),
            headers=_authorization(key),
            verify=_authorities(url, ca_file),
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
        working.work(self, wanted)

    def _make(self, attempt: Attempt) -> Outcome:
        if attempt.delay_s:  # Even sleeping for no time gives the processor away.
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
        key: str = "",
        ca_file: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._patience = patience or Patience()
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._http = httpx.AsyncClient(
            base_url=_checked(url),
            timeout=timeout_s,
            transport=transport,
            mounts=dict.fromkeys(_WITHOUT_PROXY),
            headers=_authorization(key),
            verify=_authorities(url, ca_file),
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
        await working.work_async(self, wanted)

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


def _authorities(url: str, ca_file: str) -> ssl.SSLContext | bool:
    """Without TLS none: to read the usual ones takes 40 ms, as long as some twenty calls."""
    if not ca_file:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if url.startswith("http://") else True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # An SSLError is one.
        found = f"cannot use the authorities in {ca_file}: {error.strerror or error}"
        raise ValueError(f"{found}; wanted certificates as PEM") from error


def _authorization(key: str) -> dict[str, str]:
    if not key:
        return {}
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ValueError("found a key with characters that no key has (a line's end, perhaps); wanted it as it was given out")
    return {"authorization": f"Bearer {key}"}


def _following(walk: Walk[T], page: Page[T]) -> Call[Page[T]] | None:
    try:
        return walk.send(page)
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
