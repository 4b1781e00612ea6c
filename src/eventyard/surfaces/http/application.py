"""The door as an ASGI application: who may enter, which route it is, and every error as a problem.

Publishing is most of what a bus is asked, so its route is found by one expression before Starlette's router is; all else
about it is as everywhere.
"""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import groupby
from typing import Any
from urllib.parse import unquote

from starlette.routing import Route as Path
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from eventyard import logbook
from eventyard.bus import Eventyard
from eventyard.core.access import Caller
from eventyard.core.errors import EventyardError, Failed, InvalidRequest, NotFound, Refused, UnsupportedContentType
from eventyard.surfaces.http.access import NOBODY, Access, TokenReader
from eventyard.surfaces.http.body import Body, BodyBudget, Gone
from eventyard.surfaces.http.calls import Answer, Call, Unready, read_query
from eventyard.surfaces.http.exchange import Exchange
from eventyard.surfaces.http.origins import OriginGuard
from eventyard.surfaces.http.problems import STATUSES, MethodNotAllowed
from eventyard.surfaces.http.route import Route
from eventyard.surfaces.http.routes import PUBLISH, ROUTES


def app(
    yard: Eventyard,
    *,
    hosts: tuple[str, ...] = (),
    is_public: bool = False,
    unready: Unready = list,
    issuer: TokenReader | None = None,
) -> ASGIApp:
    """The door to `yard`. `hosts` are names that the bus is reached by, beside the loopback's; `is_public`: others than this machine
    reach it. `unready` as /readyz tells it. `issuer` knows who sent a token.
    """
    return _Application(yard, OriginGuard(hosts, is_public=is_public), unready, issuer, is_public=is_public)


class _Application:
    def __init__(
        self, yard: Eventyard, guard: OriginGuard, unready: Unready, issuer: TokenReader | None, *, is_public: bool
    ) -> None:
        self._yard = yard
        self._is_public = is_public
        self._guard = guard
        self._access = Access(yard, issuer)
        self._unready = unready
        self._budget = BodyBudget()
        self._router = Router([Path(path, _Resource(self, of_path)) for path, of_path in _by_path()], redirect_slashes=False)
        self._router.default = _not_found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, send, dict(scope["headers"]), Body(receive, self._budget))
        try:
            await self._enter(exchange)
        except Gone:
            return
        except EventyardError as error:
            await self._refuse(exchange, error)
        except Exception:  # noqa: BLE001 - whatever it is, the log has it and the caller an answer
            logbook.REQUEST_FAILED()
            await self._refuse(exchange, Failed("an unexpected error"))

    async def _refuse(self, exchange: Exchange, error: EventyardError) -> None:
        self._count(exchange, STATUSES[type(error)])
        await exchange.refuse(error)

    def _count(self, exchange: Exchange, status: int) -> None:
        self._yard.meter.answered(status)
        if logbook.REQUEST.is_on:
            scope = exchange.scope
            logbook.REQUEST(method=scope["method"], path=scope["raw_path"].decode("latin-1"), status=status)

    async def _enter(self, exchange: Exchange) -> None:
        scope = exchange.scope
        _check_single(scope["headers"], exchange.headers)
        self._guard.check(exchange.headers, is_key_needed=self._access.is_required)
        caller = NOBODY if scope["raw_path"] in _OPEN else await self._caller(exchange.headers)
        publishing = _PUBLISH_PATH.fullmatch(scope["raw_path"]) if scope["method"] == "POST" else None
        if publishing:
            await self.serve(exchange, PUBLISH, {"bus": unquote(publishing[1].decode("latin-1"))}, caller)
            return
        # By the path as it came, so that an encoded slash stays inside its name.
        path = scope["raw_path"].decode("latin-1")
        await self._router(
            {**scope, "path": path, "root_path": "", _EXCHANGE: exchange, _CALLER: caller}, _no_receive, exchange.send
        )

    async def _caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        token = self._access.token(headers)
        return self._access.holder(token) or await self._access.sender(token)

    async def serve(self, exchange: Exchange, route: Route, names: Mapping[str, str], caller: Caller) -> None:
        if not route.is_open:
            caller.check(route.scope, names.get("bus"), is_narrowed=route.is_narrowed)
        query = read_query(exchange.scope["query_string"], route.query)
        if route.is_in_bus:
            self._yard.bus(names["bus"])  # A bus that is not there is told before a body for it is read.
        body = await self._read_body(exchange, route, names)
        self._access.check_still(caller)
        headers, permit = exchange.scope["headers"], partial(self._access.permit, caller)
        call: Call[Any] = Call(
            self._yard, self._unready, names, query, headers, body, exchange.body.gone, caller, permit, self._remarks
        )
        answer = await route.handler(call)
        if isinstance(answer, Answer):
            self._count(exchange, answer.status)
            await exchange.answer(answer)
            return
        self._count(exchange, 200)
        with permit() as held:
            held.on_end(answer.end)
            await exchange.stream(answer)

    def _remarks(self) -> list[str]:
        is_open = self._is_public and not self._access.is_required
        return ["insecure: others than this machine reach it, and nobody is asked for a key"] if is_open else []

    async def _read_body(self, exchange: Exchange, route: Route, names: Mapping[str, str]) -> bytes:
        try:
            return await _read_body(exchange, route)
        except Refused as refused:
            if route is PUBLISH:
                self._yard.meter.turn_away(names["bus"], refused)
            raise


_EXCHANGE = "eventyard.exchange"
_CALLER = "eventyard.caller"
_OPEN = frozenset(route.path.encode() for route in ROUTES if route.is_open)
"""Paths, as they come, of what is open to all. Spelt in any other way they are not."""

_PUBLISH_PATH = re.compile(rb"/v1/buses/([^/]+)/events")


class _Resource:
    """One path: finds the route by the method. GET answers HEAD too."""

    def __init__(self, application: _Application, of_path: tuple[Route, ...]) -> None:
        self._application = application
        self._by_method = {route.method: route for route in of_path}
        if "GET" in self._by_method:
            self._by_method["HEAD"] = self._by_method["GET"]

    async def __call__(self, scope: Scope, _receive: Receive, _send: Send) -> None:
        route = self._by_method.get(scope["method"])
        if route is None:
            raise MethodNotAllowed(f"found {scope['method'][:20]}", allowed=tuple(sorted(self._by_method)))
        names = {name: unquote(text) for name, text in scope["path_params"].items()}
        await self._application.serve(scope[_EXCHANGE], route, names, scope[_CALLER])


def _by_path() -> list[tuple[str, tuple[Route, ...]]]:
    routes = sorted(ROUTES, key=lambda route: route.path)
    return [(path, tuple(of_path)) for path, of_path in groupby(routes, key=lambda route: route.path)]


async def _not_found(scope: Scope, _receive: Receive, _send: Send) -> None:
    raise NotFound(f'found no address "{scope["path"][:100]}"', wanted="one that /v1/openapi.json lists")


async def _no_receive() -> Any:
    """What the router is given instead of the request's own: bodies are read here, within bounds."""
    raise NotImplementedError


def _check_single(headers: Iterable[tuple[bytes, bytes]], by_name: Mapping[bytes, bytes]) -> None:
    """A header that decides something stands once, or two readers of the request would decide differently."""
    if len(by_name) == len(headers):  # type: ignore[arg-type]  # uvicorn's is a list
        return
    seen = set()
    for name, _ in headers:
        if name in seen and name in _DECIDING:
            raise InvalidRequest("found the header twice", wanted="it once", at=f"header {name.decode('latin-1')}")
        seen.add(name)


_DECIDING = frozenset(
    {b"host", b"authorization", b"origin", b"content-type", b"content-length", b"sec-fetch-site", b"last-event-id"}
)


async def _read_body(exchange: Exchange, route: Route) -> bytes:
    if route.body is None:
        return b""
    body = await exchange.body.read(exchange.headers, route.body.bytes_max(exchange.headers))
    if body and route.body.is_json_only:
        _check_json(exchange.headers.get(b"content-type", b"application/json"))
    return body


def _check_json(content_type: bytes) -> None:
    if not _JSON_TYPE.match(content_type):
        found = f"the content type {content_type[:100].decode('latin-1')}"
        raise UnsupportedContentType(found, wanted="application/json (curl: --json)", at="header content-type")


_JSON_TYPE = re.compile(rb"\s*application/([!#$&^_.+a-z0-9-]+\+)?json\s*(;|\Z)", re.IGNORECASE)
