"""What answers pushes in a test: a function, or an application, at a URL. It can be told to fail, to hang, to go away and to come back."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Mapping
from typing import Any

import msgspec

from eventyard.testing.asgi import Application, ask
from eventyard.testing.pushes import Answer, Event, Handler, Reply, Request, reply_of, reply_to

SERVER_ERROR, UNAVAILABLE = 500, 503

Given = Answer | Awaitable[Answer]


class Hangs(msgspec.Struct, frozen=True):
    """No answer, ever."""


class Refuses(msgspec.Struct, frozen=True):
    """Nobody listens."""


Instead = Reply | Hangs | Refuses


class Receiver:
    """One that answers at `url` and below it. `requests` holds all that came, in their order, answered or not.

    It agrees to be pushed to when it is asked (`handshake`), which is no request; an application answers that for itself. `fail` and `hang` say what is done with the next requests instead of asking the handler; said several times, one after the other.
    """

    def __init__(self, url: str, handle: Handler) -> None:
        self.url = url
        self.requests: list[Request] = []
        self._handle = handle
        self._instead: deque[Instead] = deque()
        self._is_away = False
        self.is_agreeing = True

    @property
    def events(self) -> list[Event]:
        """Those of all requests, so one that was tried again is there again."""
        return [event for request in self.requests for event in request.events]

    def fail(self, times: int = 1, *, status: int = UNAVAILABLE, body: Any = b"", retry_after_s: int | None = None) -> None:
        """Answer the next requests with `status`."""
        headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
        self._instead.extend([Reply(status, body, headers)] * times)

    def hang(self, times: int = 1) -> None:
        """Do not answer the next requests: they end with the rule's `timeout_s`."""
        self._instead.extend([Hangs()] * times)

    def go_away(self) -> None:
        """Until `come_back` nobody listens: connections are refused."""
        self._is_away = True

    def come_back(self) -> None:
        self._is_away = False

    def take(self, request: Request) -> Instead | Given:
        """What becomes of it. Raises what a plain function raises."""
        if self._is_away:
            return Refuses()
        if self.is_agreeing and request.method == "OPTIONS":
            return Reply(headers={"webhook-allowed-origin": "*"})
        self.requests.append(request)
        return self._instead.popleft() if self._instead else self._handle(request)


def of_application(application: Application) -> Handler:
    """A handler that asks an ASGI application; what that raises is a 500, as a server has it."""

    async def handle(request: Request) -> Reply:
        try:
            answered = await ask(application, request.method, request.url, request.headers.items(), request.body)
        except Exception as error:  # noqa: BLE001 - as a server has it
            return Reply(SERVER_ERROR, f"{type(error).__name__}: {error}")
        return Reply(answered.status, answered.body, _single(answered.headers))

    return handle


def _single(headers: list[tuple[str, str]]) -> Mapping[str, str]:
    return {name.lower(): value for name, value in headers}


async def awaited(given: Awaitable[Answer]) -> Reply:
    """The reply of an async handler, when its time has come, its failures told as a service tells them. A failed assertion is the test's."""
    try:
        reply = reply_of(await given)
        await asyncio.sleep(reply.after_s)
    except AssertionError:
        raise
    except Exception as failure:  # noqa: BLE001 - told to the bus, as `Service` does
        return reply_to(failure)
    return reply


def accept(_request: Request) -> None:
    """The handler of a receiver that has none of its own."""
