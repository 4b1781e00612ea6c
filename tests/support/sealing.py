"""A bus with a key file, and a transport that keeps what it is asked to send: for what is secret in rules."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from eventyard.bus import Eventyard
from eventyard.core.network import Policy
from eventyard.core.rule import headers_of
from eventyard.core.rule_secrets import secrets_of
from eventyard.core.secret import Secret
from eventyard.engines.memory import MemoryEngine
from eventyard.ports import PushAnswer, PushRequest
from eventyard.serve import SystemClock
from eventyard.vault import KeyFile
from tests.support.builders import an_event

LIMIT_S = 20.0
TOKEN = "Bearer hunter2"
FIRST, SECOND, THIRD = (
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "whsec_plJ3nmyCDGBKInavdOK15jsl5BQ2W7kC",
)
Story = Callable[["Place"], Awaitable[None]]


class Kept:
    """A transport that keeps what it is asked to send, and says that all went well, or what the test would have it say."""

    is_running = True

    def __init__(self) -> None:
        self.sent: list[PushRequest] = []
        self.came = threading.Event()
        self.status = 204
        self.bodies: dict[str, bytes] = {}

    def send(self, request: PushRequest, done: Callable[[PushAnswer], None]) -> None:
        self.sent.append(request)
        self.came.set()
        body = self.bodies.get(request.url)
        done(PushAnswer(self.status, {}, b"") if body is None else PushAnswer(200, {}, body))

    def close(self) -> None:
        """Nothing runs by itself."""


class Place:
    """A bus with its key file; `again` is the next life of both."""

    def __init__(self, folder: Path) -> None:
        self.key_file = folder / "secrets.key"
        self.engine = MemoryEngine()
        self.transport = Kept()
        self.is_pushing = True
        self.yard = self.again()

    def again(self) -> Eventyard:
        self.yard = Eventyard(
            self.engine,
            self.transport,
            SystemClock(),
            Policy(is_loopback_allowed=True),
            is_pushing=self.is_pushing,
            vault=KeyFile(self.key_file),
        )
        return self.yard

    async def put(
        self, headers: Any, *, name: str = "paid", url: str = "http://127.0.0.1:9/a", signing: Any = (), **more: Any
    ) -> Any:
        http = {"url": url, "headers": headers, **more}
        if signing:
            http["signing"] = {"secrets": [{"secret": secret} for secret in signing]}
        return await self.yard.put_rule(
            "default", name, json.dumps({"pattern": {"type": ["order.paid"]}, "target": {"http": http}}).encode()
        )

    async def pushed(self, number: int) -> dict[str, str]:
        """The headers of the push of a new event."""
        self.transport.came.clear()
        await self.yard.publish("default", [an_event(number)])
        assert await asyncio.to_thread(self.transport.came.wait, LIMIT_S)
        return dict(self.transport.sent[-1].headers)

    def signed_by(self, *secrets: str) -> list[bool]:
        """By which of them a receiver verifies the last push."""
        request = self.transport.sent[-1]
        return [_verifies(secret, request) for secret in secrets]

    def secrets(self) -> list[Secret]:
        """As they stand in the store."""
        return [secret for _, secret in secrets_of(self.yard.rule("default", "paid").rule)]

    def kept(self, name: str = "paid") -> Any:
        """What stands in the store for the rule's header."""
        return headers_of(self.yard.rule("default", name).rule)["authorization"]


def _verifies(secret: str, request: PushRequest) -> bool:
    try:
        Webhook(secret).verify(request.body, dict(request.headers), json_parse=False)
    except WebhookVerificationError:
        return False
    return True


def told(place: Place, story: Story) -> None:
    async def run() -> None:
        place.yard.start()
        try:
            await asyncio.wait_for(story(place), LIMIT_S)
        finally:
            await place.yard.stop()

    asyncio.run(run())
