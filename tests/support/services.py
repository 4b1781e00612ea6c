"""A service on the client's receiver, asked without a socket, and the bus that it knows."""

import asyncio
import base64
import json
from typing import Any

import httpx

from eventyard.client import AsyncClient, CloudEvent, Receiver, Service

STRUCTURED = {"content-type": "application/cloudevents+json"}


BATCHED = {"content-type": "application/cloudevents-batch+json"}


EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid", "subject": "order-1", "data": {"total": 25}}


SECRET = f"whsec_{base64.b64encode(b's' * 32).decode()}"


class Bus:
    """Takes what is published and put; `refuses` is answered to the next publish."""

    def __init__(self, *rules: dict[str, Any]) -> None:
        self.published: list[Any] = []
        self.rules = {rule["name"]: rule for rule in rules}
        self.refuses: httpx.Response | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        if request.method == "GET":
            return httpx.Response(200, json=self.rules[name]) if name in self.rules else problem(404, "not-found")
        document = json.loads(request.content)
        if request.method == "PUT":
            self.rules[name] = document | {"name": name}
            return httpx.Response(200, json=self.rules[name] | STATE)
        if self.refuses is not None:
            refused, self.refuses = self.refuses, None
            return refused
        self.published.append(document)
        return httpx.Response(202, json={"id": document["id"], "source": document["source"], "position": 7, "duplicate": False})


def problem(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, json={"type": f"urn:eventyard:problem:{code}", "title": code, "status": status})


STATE = {"state": {"uid": 1, "version": 1, "status": "live", "paused": False, "created": "", "changed": ""}}


class Shop:
    """A service that keeps what it gets, and fails as it is told."""

    def __init__(
        self, *, bus: Bus | None = None, failure: BaseException | None = None, returned: Any = None, **options: Any
    ) -> None:
        self.bus = bus or Bus()
        self.got: list[CloudEvent[Any]] = []
        self.failure = failure
        client = AsyncClient(transport=httpx.MockTransport(self.bus))
        self.service = Service("shop", client=client, **options)

        @self.service.on("order.paid")
        def take(event: CloudEvent[Any]) -> Any:
            self.got.append(event)
            if self.failure is not None:
                raise self.failure
            return returned

    def post(
        self, content: Any, headers: Any, *, path: str = "/events/shop-take", receiver: Receiver | None = None
    ) -> httpx.Response:
        return sent(receiver or self.service.receiver(), content, headers, path)


def sent(receiver: Receiver, content: Any, headers: Any, path: str, method: str = "POST") -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(receiver)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            return await client.request(method, path, content=body, headers=headers)

    return asyncio.run(run())


def binary(**attributes: str) -> dict[str, str]:
    return {
        f"ce-{name}": value
        for name, value in ({"specversion": "1.0", "id": "1", "source": "/shop", "type": "a"} | attributes).items()
    }
