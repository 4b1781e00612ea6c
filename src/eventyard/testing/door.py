"""The client's way into the bus without a network: requests of httpx, answered by the bus's own HTTP application."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import httpx

from eventyard.testing.asgi import Answered, Application, ask

T = TypeVar("T")

Run = Callable[[Coroutine[Any, Any, Answered]], Answered]


class AsyncDoor(httpx.AsyncBaseTransport):
    """For code that runs on the bus's loop."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return _response(await _asked(self._application, request, await request.aread()))


class Door(httpx.BaseTransport):
    """For all other code. `run` turns the bus until it has answered."""

    def __init__(self, application: Application, run: Run) -> None:
        self._application = application
        self._run = run

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return _response(self._run(_asked(self._application, request, request.read())))


def _asked(application: Application, request: httpx.Request, body: bytes) -> Coroutine[Any, Any, Answered]:
    if request.url.path.endswith("/stream"):
        raise NotImplementedError("a stream has no end, and here nothing happens beside the test; read bus.published() instead")
    return ask(application, request.method, str(request.url), request.headers.multi_items(), body)


def _response(answered: Answered) -> httpx.Response:
    return httpx.Response(answered.status, headers=answered.headers, content=answered.body)
