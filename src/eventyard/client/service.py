"""A service: functions that handle events, and the rules on a bus that bring them. Described in docs/guides/python-services.md.

    service = Service("rewards", owner="team-rewards")

    @service.on("order.paid", start="earliest")
    def grant(event: CloudEvent[Order]) -> dict[str, Any]:
        return {"type": "points.granted", "data": {"points": int(event.data.total)}}

    service.run()                                                    # it comes for its events, or
    app = service.receiver("https://rewards.example/events")         # they are pushed to it

Each function has one rule, whose name is the service's and its own. Either way the same function does the same.
"""

import asyncio
import contextlib
import contextvars
import functools
import inspect
import logging
import time
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from eventyard.client.answers import Delivery
from eventyard.client.building import Document, text_of
from eventyard.client.causes import caused, error_event
from eventyard.client.consuming import STOP_S, Stop
from eventyard.client.errors import ClientError, ProblemError, Reject, Retry
from eventyard.client.event import encode_json
from eventyard.client.patience import Patience
from eventyard.client.received import Came, CloudEvent, Reader, Unreadable
from eventyard.client.shells import DEFAULT_URL, AsyncClient
from eventyard.client.working import stop_on_signals

if TYPE_CHECKING:
    from eventyard.client.receiver import Receiver

log = logging.getLogger("eventyard.client")

Handle = Callable[..., Any]
HandleT = TypeVar("HandleT", bound=Handle)

THREADS_MAX = 64
"""Handlers that are plain functions run at once, over all rules; those beyond wait for a thread."""

STEADFAST = Patience(attempts_max=1_000_000, wait_max_s=5.0)
"""A service waits for its bus however long it is away."""


class RuleBelongsToOthers(ClientError):
    """There is a rule of this name with another owner."""


class Handler(msgspec.Struct, frozen=True):
    """One function and its rule. `document` is the rule without its target and owner."""

    rule: str
    function: Handle
    reader: Reader
    document: dict[str, Any]
    concurrency: int
    lease_s: float
    batch: int


class Service:
    """Functions and their rules. `source` of the events that it publishes: `/` and its name, unless said otherwise.

    `error_type`: each failure of a handler is published as an event of that type. `owner` (else the name) is written into the rules; a
    rule that another owner has is not touched. `client` is there for who has one already; else one is made of `url` and `key`.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str = DEFAULT_URL,
        key: str = "",
        bus: str = "default",
        owner: str = "",
        source: str = "",
        error_type: str = "",
        client: AsyncClient | None = None,
    ) -> None:
        self.name = name
        self.bus = bus
        self.owner = owner or name
        self.source = source or f"/{name}"
        self.error_type = error_type
        self._make_client = functools.partial(AsyncClient, url, key=key, patience=STEADFAST)
        self._given = client
        self._wall_s: Callable[[], float] = time.time
        self._made: AsyncClient | None = None
        self._handlers: dict[str, Handler] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._busy = 0

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """By the names of their rules."""
        return self._handlers

    @contextlib.contextmanager
    def attached(self, client: AsyncClient, wall_s: Callable[[], float] = time.time) -> Iterator[None]:
        """Within the block it speaks by `client`, and takes `wall_s` for the time (Unix seconds) by which signatures are judged."""
        before = self._given, self._wall_s
        self._given, self._wall_s = client, wall_s
        try:
            yield
        finally:
            self._given, self._wall_s = before

    def now(self) -> float:
        """Unix time in seconds."""
        return self._wall_s()

    @property
    def client(self) -> AsyncClient:
        """Of the loop that runs the service."""
        if self._given is not None:
            return self._given
        if self._made is None:
            self._made = self._make_client()
        return self._made

    def on(
        self,
        pattern: Document,
        *,
        name: str = "",
        concurrency: int = 1,
        lease_s: float = 30.0,
        batch: int = 10,
        **rule: Any,
    ) -> Callable[[HandleT], HandleT]:
        """Have the function below handle events that match `pattern`: an event type, or a pattern as a rule has it.

        Its rule is named after the service and the function, or by `name`; `rule` is what else its document says (`start`, `delivery`,
        `description`, ...). `concurrency`: how many it handles at once. Pulling, each of these receives up to `batch` for `lease_s`: where a
        handler takes long, 1 leaves more to other processes. What it takes is written as its annotation: `CloudEvent[Order]` has the data decoded as an Order, and what does not fit is a dead letter with the place.
        """

        def register(function: HandleT) -> HandleT:
            named = name or f"{self.name}-{function.__name__.replace('_', '-')}"
            handler = Handler(
                rule=named,
                function=function,
                reader=Reader(named, _data_type(function)),
                document={"pattern": _pattern(pattern), "description": _first_line(function), **rule},
                concurrency=concurrency,
                lease_s=lease_s,
                batch=batch,
            )
            if handler.rule in self._handlers:
                raise ValueError(f"found two handlers of the rule {handler.rule}; wanted a name of its own for each")
            self._handlers[handler.rule] = handler
            return function

        return register

    # Rules

    async def register(self, push_url: str = "", **http: Any) -> None:
        """Put the rule of each handler: as a queue, or as pushes to `push_url/RULE`, with what else `http` says of the target.

        The same again changes nothing. Raises RuleBelongsToOthers where a rule of that name has another owner.
        """
        for handler in self._handlers.values():
            await self._check_owner(handler.rule)
            await self.client.put_rule(handler.rule, self.document(handler, push_url, **http), bus=self.bus)

    def document(self, handler: Handler, push_url: str = "", **http: Any) -> dict[str, Any]:
        """The rule of a handler, as it is put."""
        if not push_url:
            return {"target": {"queue": {"lease_s": handler.lease_s}}, "owner": self.owner, **handler.document}
        delivery = {"concurrency": handler.concurrency, **handler.document.get("delivery", {})}
        target = {"http": {"url": f"{push_url.rstrip('/')}/{handler.rule}", **http}}
        return {"target": target, "owner": self.owner, **handler.document, "delivery": delivery}

    async def _check_owner(self, name: str) -> None:
        try:
            owner = (await self.client.rule(name, bus=self.bus)).owner
        except ProblemError as error:
            if error.code != "not-found":
                raise
            return
        if owner not in ("", self.owner):
            raise RuleBelongsToOthers(f"found the rule {name} with the owner {owner}; wanted {self.owner}, or no rule")

    # Pull

    def run(self) -> None:
        """Register, and handle what comes until SIGTERM or SIGINT: then what is being handled is finished, and the rest given back."""
        with stop_on_signals() as stop:
            asyncio.run(self.work(stop))

    async def work(self, stop: Stop | None = None) -> None:
        """As `run`, in a loop of yours, until `stop` is set or the task is cancelled. Raises what the bus refuses."""
        try:
            working = asyncio.create_task(self._work(stop))
            try:
                await self._until_stopped(working, stop)
            finally:
                working.cancel()
                await asyncio.wait([working])
            if not working.cancelled():
                working.result()
        finally:
            await self.close()

    async def _work(self, stop: Stop | None) -> None:
        if not self._handlers:
            raise ValueError(f"found the service {self.name} without a handler; wanted at least one @service.on")
        await self.register()
        log.info("%s handles events of %s", self.name, ", ".join(self._handlers))
        try:
            async with asyncio.TaskGroup() as group:
                for handler in self._handlers.values():
                    group.create_task(self._consume(handler, stop))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures

    async def _consume(self, handler: Handler, stop: Stop | None) -> None:
        async def handle(delivery: Delivery) -> None:
            await self.handle(handler, Came(delivery.json, delivery.id, delivery.attempt, delivery.position))

        await self.client.consume(
            handler.rule,
            handle,
            bus=self.bus,
            max=handler.batch,
            lease_s=handler.lease_s,
            on_failure=_told_already,
            concurrency=handler.concurrency,
            stop=stop,
        )

    async def _until_stopped(self, working: "asyncio.Task[None]", stop: Stop | None) -> None:
        """Whoever is stopped while the bus is away has nothing to finish, and waits for it no longer."""
        if stop is None:
            await asyncio.wait([working])
            return
        while not stop.is_set() and not working.done():
            await asyncio.wait([working], timeout=_LOOK_EVERY_S)
        while self._busy and not working.done():
            await asyncio.wait([working], timeout=_LOOK_EVERY_S)
        await asyncio.wait([working], timeout=2 * STOP_S)

    # What a handler does, pulled or pushed

    async def handle(self, handler: Handler, came: Came, *, reply_bytes_max: int = 0) -> bytes | None:
        """Have the event handled, and publish what was returned. Raises what the handler did, or Unreadable.

        Where one event was returned, and is no larger than `reply_bytes_max`, it is not published but given back, to be the reply.
        """
        event = self._read(handler, came)
        try:
            returned = await self._counted(handler.function, event)
            all_made = caused(returned, event, source=self.source)
            if len(all_made) == 1 and reply_bytes_max and len(reply := encode_json(all_made[0])) <= reply_bytes_max:
                return reply
            for made in all_made:
                await self._publish(made)
        except Exception as failure:
            await self._tell(failure, event)
            raise
        return None

    def _read(self, handler: Handler, came: Came) -> CloudEvent[Any]:
        try:
            return handler.reader.read(came)
        except Unreadable as error:
            log.warning("%s rejects delivery %s: %s", handler.rule, came.delivery or "of an event", error)
            raise

    async def _counted(self, function: Handle, event: CloudEvent[Any]) -> Any:
        self._busy += 1
        try:
            return await self._call(function, event)
        finally:
            self._busy -= 1

    async def _call(self, function: Handle, event: CloudEvent[Any]) -> Any:
        if inspect.iscoroutinefunction(function):
            return await function(event)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix=self.name)
        context = contextvars.copy_context()
        returned = await asyncio.get_running_loop().run_in_executor(self._threads, context.run, function, event)
        return await returned if inspect.isawaitable(returned) else returned

    async def _publish(self, made: dict[str, Any]) -> None:
        """An event of that id with other content came of the same cause before; the first one stands. One too many in a loop is not made."""
        try:
            await self.client.publish(made, bus=self.bus)
        except ProblemError as error:
            if error.code == "too-many-hops":
                log.error("what came of event %s is not published, for it is in a loop: %s", made["causationid"], error)  # noqa: TRY400
            elif error.code == "event-conflict":
                log.warning("what came of event %s was published before, and differed: %s", made["causationid"], error)
            else:
                raise

    async def _tell(self, failure: Exception, event: CloudEvent[Any]) -> None:
        """Publish the failure, if that is asked for. An error event's own failure is not told: it would never end."""
        is_meant = isinstance(failure, Reject | Retry)
        trace = None if is_meant else failure
        log.warning("%s failed at event %s, attempt %d: %s", event.rule, event.id, event.attempt, failure, exc_info=trace)
        if not self.error_type or event.type == self.error_type or isinstance(failure, Retry):
            return
        try:
            await self._publish(error_event(self.error_type, failure, event, source=self.source))
        except ClientError as error:
            log.error("the failure of %s at event %s could not be published: %s", event.rule, event.id, error)  # noqa: TRY400

    # Push

    def receiver(
        self, push_url: str = "", *, secrets: str | Iterable[str] = (), origins: str | Iterable[str] = "*", **http: Any
    ) -> "Receiver":
        """An ASGI application that takes pushed events at `.../RULE`. With `push_url` it puts the rules when it starts, see `register`.

        With `reply=True` the rules take replies: the one event that a handler returns is the answer, and needs no way back to the bus.

        With `secrets` (`whsec_...`, the newest first) only requests that are signed with one of them are taken, and its rules sign with
        the first two.

        Senders that ask first whether they may push, by an OPTIONS request as CloudEvents' web hooks have it, are told so: all, or those whose
        names are `origins`.
        """
        from eventyard.client.receiver import Receiver  # noqa: PLC0415 - knows services

        return Receiver(self, push_url, secrets=secrets, http=http, origins=origins)

    async def close(self) -> None:
        """Close what was made here. The service can be used again."""
        if self._made is not None:
            await self._made.close()
            self._made = None
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None


_LOOK_EVERY_S = 0.2


def _told_already(_delivery: Delivery, _failure: Exception) -> None:
    """`handle` has logged it."""


def _pattern(pattern: Document) -> msgspec.Raw | dict[str, Any]:
    """A word is an event type; anything else is a pattern, whose text is kept as it is spelt."""
    text = text_of(pattern)
    return msgspec.Raw(text.encode()) if text.lstrip().startswith("{") else {"type": [text]}


def _first_line(function: Handle) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0][:200]


def _data_type(function: Handle) -> Any:
    """What the handler's only argument says of the data; Any where it says nothing."""
    parameters = list(inspect.signature(function).parameters)
    if len(parameters) != 1:
        raise TypeError(f"found the handler {function.__name__} with {len(parameters)} arguments; wanted one, the event")
    annotation = typing.get_type_hints(function).get(parameters[0])
    if typing.get_origin(annotation) is CloudEvent:
        return typing.get_args(annotation)[0]
    if annotation in (None, Any, CloudEvent):
        return Any
    raise TypeError(f"found the handler {function.__name__} of {annotation}; wanted CloudEvent, or CloudEvent[the data's type]")
