"""One request to an ASGI application in this process, and its life from start to end."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

Message = MutableMapping[str, Any]
Application = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]


class Answered(msgspec.Struct, frozen=True):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


async def ask(application: Application, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> Answered:
    """What the application answers. Whatever it raises comes through."""
    exchange = _Exchange(body)
    await application(_scope(method, url, headers), exchange.receive, exchange.send)
    return Answered(exchange.status, exchange.headers, b"".join(exchange.parts))


def _scope(method: str, url: str, headers: Iterable[tuple[str, str]]) -> dict[str, Any]:
    parts = urlsplit(url)
    fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if not any(name == b"host" for name, _ in fields):
        fields.append((b"host", parts.netloc.encode("idna")))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": parts.scheme,
        "path": unquote(parts.path) or "/",
        "raw_path": parts.path.encode("ascii") or b"/",
        "query_string": parts.query.encode("ascii"),
        "root_path": "",
        "headers": fields,
        "client": ("127.0.0.1", 1),
        "server": (parts.hostname or "", parts.port),
        "state": {},
        "extensions": {},
    }


class _Exchange:
    """The two ends that an application is given."""

    def __init__(self, body: bytes) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.parts: list[bytes] = []
        self._request: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        self._gone = asyncio.Event()

    async def receive(self) -> Message:
        """The request, and then nothing: who asks here does not hang up."""
        if self._request:
            return self._request.pop()
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message.get("headers", ())]
        elif message["type"] == "http.response.body":
            self.parts.append(message.get("body", b""))


class NotStarted(Exception):
    """An application said that it could not start."""


class Life:
    """The lifespan of an application, as a server has it begin and end. One that knows of none has none."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._living: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises NotStarted with what it said."""
        self._living = asyncio.create_task(self._live())
        await self._told.put({"type": "lifespan.startup"})
        answer = await self._said.get()
        if answer["type"] == "lifespan.startup.failed":
            raise NotStarted(answer.get("message", ""))

    async def end(self) -> None:
        if self._living is not None and not self._living.done():
            await self._told.put({"type": "lifespan.shutdown"})
            await asyncio.wait([self._living])

    async def _live(self) -> None:
        scope: dict[str, Any] = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        try:
            await self._application(scope, self._told.get, self._said.put)
        except Exception:  # noqa: BLE001 - how an application says that it knows no lifespan
            await self._said.put({"type": "lifespan.unknown"})
