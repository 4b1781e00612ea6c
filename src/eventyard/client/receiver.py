"""A service's door for pushes: an ASGI application, to be served as it is or mounted in another one.

`POST .../RULE` with an event in binary or structured mode, or a batch of them. What is answered is told in `requests`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from eventyard.client import requests
from eventyard.client.received import Came
from eventyard.client.requests import (
    ALLOWED_METHODS,
    Answer,
    NotTaken,
    allowance,
    answer_to,
    batch_answer,
    events_of,
    mode_of,
    refusal,
    replied,
    reply_bytes_max,
)
from eventyard.client.signatures import (
    Fields,
    InvalidSignature,
    fields_of,
    keys_of,
    verify_event_headers,
    verify_webhook,
)

if TYPE_CHECKING:
    from eventyard.client.service import Handler, Service

log = logging.getLogger("eventyard.client")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

REGISTER_S = 10.0
"""How long a start waits for the bus to take the rules, before it goes on without."""

SIGNED_WITH = 2
"""Secrets that a rule may have; those beyond are only taken."""

UNAUTHORIZED, NOT_FOUND, METHOD_NOT_ALLOWED, TOO_LARGE = 401, 404, 405, 413


class Receiver:
    """See `Service.receiver`. Mounted in another application, which starts it not: call `service.register` there."""

    def __init__(
        self,
        service: "Service",
        push_url: str,
        *,
        secrets: str | Iterable[str],
        http: dict[str, Any],
        origins: str | Iterable[str] = "*",
    ) -> None:
        self._service = service
        self._push_url = push_url
        self._http = http
        self._origins = frozenset(name.lower() for name in ([origins] if isinstance(origins, str) else origins))
        self._secrets = [secrets] if isinstance(secrets, str) else list(secrets)
        if self._secrets:
            keys_of(self._secrets)

    @property
    def service(self) -> "Service":
        return self._service

    @property
    def push_url(self) -> str:
        """Where its rules push to; empty where it puts none."""
        return self._push_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await _send(send, await self._answer(scope, receive))
        else:
            raise NotImplementedError(f"found a {scope['type']} connection; wanted HTTP")

    async def _live(self, receive: Receive, send: Send) -> None:
        """Rules that the bus refuses end the start; a bus that is away does not, for others may send already."""
        await receive()
        registering = asyncio.create_task(self._register())
        await asyncio.wait([registering], timeout=REGISTER_S)
        if registering.done() and (failure := registering.exception()):
            await self._service.close()
            await send({"type": "lifespan.startup.failed", "message": f"{type(failure).__name__}: {failure}"})
            return
        if not registering.done():
            log.warning("the rules of %s are not put yet: the bus does not answer", self._service.name)
            registering.add_done_callback(self._tell)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        registering.cancel()
        await asyncio.wait([registering])
        await self._service.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _register(self) -> None:
        """What is taken only signed is asked for signed."""
        if not self._push_url:
            return
        signing = (
            {"signing": {"secrets": [{"secret": secret} for secret in self._secrets[:SIGNED_WITH]]}} if self._secrets else {}
        )
        await self._service.register(self._push_url, **{**signing, **self._http})

    def _tell(self, registering: "asyncio.Task[None]") -> None:
        failure = None if registering.cancelled() else registering.exception()
        if failure is not None:
            log.error("the rules of %s could not be put: %s", self._service.name, failure)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        handler = self._service.handlers.get(scope["path"].rpartition("/")[2])
        if handler is None:
            return refusal(NOT_FOUND, "no handler of this service has a rule of that name")
        fields = fields_of(scope["headers"])
        if scope["method"] == "OPTIONS":
            return allowance(fields, self._origins)
        if scope["method"] != "POST":
            return Answer(METHOD_NOT_ALLOWED, headers=(("allow", ALLOWED_METHODS),))
        try:
            body = await _body(receive)
            webhook_id = self._verified(fields, body)
            events = events_of(fields, body, webhook_id)
        except InvalidSignature as error:
            return refusal(UNAUTHORIZED, str(error))
        except NotTaken as error:
            return refusal(error.status, error.reason)
        room = reply_bytes_max(fields)
        answers = [await self._handled(handler, event, room) for event in events]
        return batch_answer(events, answers) if mode_of(fields) == "batched" else answers[0]

    def _verified(self, fields: Fields, body: bytes) -> str:
        """What is signed names the delivery; nothing where no secrets are given."""
        if not self._secrets:
            return ""
        if mode_of(fields) == "binary":
            return verify_event_headers(fields, body, self._secrets, now=self._service.now())
        return verify_webhook(fields, body, self._secrets, now=self._service.now())

    async def _handled(self, handler: "Handler", event: Came, room: int) -> Answer:
        try:
            reply = await self._service.handle(handler, event, reply_bytes_max=room)
        except Exception as failure:  # noqa: BLE001 - told to the bus, which knows what to do about each
            return answer_to(failure)
        return answer_to(None) if reply is None else replied(reply)


async def _body(receive: Receive) -> bytes:
    parts, size, is_more = [], 0, True
    while is_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise NotTaken(requests.BAD_REQUEST, "the request broke off")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > requests.BODY_BYTES_MAX:
            raise NotTaken(TOO_LARGE, f"found a body of more than {requests.BODY_BYTES_MAX} bytes")
        is_more = message.get("more_body", False)
    return b"".join(parts)


async def _send(send: Send, answer: Answer) -> None:
    headers = [(name.encode(), value.encode()) for name, value in answer.headers]
    if answer.status != requests.DONE:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
