"""The door as an OpenAPI 3.1 document, derived from the table of routes and the schemas of its structs."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

import eventyard
from eventyard.core import limits
from eventyard.core.errors import (
    EventyardError,
    Forbidden,
    ForbiddenOrigin,
    InvalidRequest,
    Stopping,
    TooLarge,
    Unauthenticated,
    UnsupportedContentType,
)
from eventyard.surfaces.http.problems import STATUSES, TYPE_PREFIX, Problem, TooSlow
from eventyard.surfaces.http.route import Body, Route
from eventyard.surfaces.http.schemas import POSITION_MAX

_REFERENCE = "#/components/schemas/{name}"
_PROBLEM = "application/problem+json"
_EVERYWHERE: tuple[type[EventyardError], ...] = (InvalidRequest, ForbiddenOrigin)
_WITH_KEY: tuple[type[EventyardError], ...] = (Unauthenticated, Forbidden)
_WITH_BODY: tuple[type[EventyardError], ...] = (TooLarge, TooSlow, Stopping, UnsupportedContentType)


_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "An access key. Asked for once there is one; `x-scope` is the scope that an operation needs.",
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    kinds = _kinds(routes)
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
    by_kind = {_key(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Eventyard",
            "version": eventyard.__version__,
            "description": "A self-hosted, durable event bus. Every refusal is a problem of RFC 9457.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(routes, by_kind),
        "components": {"schemas": components, "parameters": _path_parameters(), "securitySchemes": {"key": _SCHEME}},
    }


def _kinds(routes: Sequence[Route]) -> list[Any]:
    """Every type that needs a schema, once."""
    kinds: list[Any] = [Problem]
    for route in routes:
        kinds += [kind for _, kind, _ in route.answers if kind is not None]
        kinds += [kind for _, kind in route.body.media if kind is not None] if route.body else []
        kinds += [field.type for field in msgspec.structs.fields(route.query)]
        kinds += route.headers.values()
    return list({_key(kind): kind for kind in kinds}.values())


def _key(kind: Any) -> str:
    """Annotated types are not all hashable, and their text says all that tells them apart."""
    return repr(kind)


def _paths(routes: Sequence[Route], schemas: dict[str, Any]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    for path, item in paths.items():
        item["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in _names(path)]
    return paths


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "parameters": [*_query_parameters(route, schemas), *_header_parameters(route, schemas)],
        "responses": _responses(route, schemas),
        "security": [] if route.is_open else [{"key": []}],
        "x-scope": "none" if route.is_open else route.scope or "any",
    }
    if route.body:
        operation["requestBody"] = _request_body(route.body, schemas)
    return operation


def _query_parameters(route: Route, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": field.encode_name,
            "in": "query",
            "required": False,
            "schema": {**schemas[_key(field.type)], **({"default": field.default} if field.default != "" else {})},
        }
        for field in msgspec.structs.fields(route.query)
    ]


def _header_parameters(route: Route, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": False, "schema": schemas[_key(kind)]} for name, kind in route.headers.items()
    ]


def _request_body(body: Body, schemas: dict[str, Any]) -> dict[str, Any]:
    content = {media: {"schema": schemas[_key(kind)]} if kind else {} for media, kind in body.media}
    return {"required": body.is_required, "content": content}


def _responses(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, kind, says in route.answers:
        response = responses.setdefault(str(status), {"description": says})
        if kind is not None:
            known = response.get("content", {}).get(route.media, {}).get("schema")
            schema = {"anyOf": [known, schemas[_key(kind)]]} if known else schemas[_key(kind)]
            response["content"] = {route.media: {"schema": schema}}
    for status, codes in _refusals(route).items():
        responses.setdefault(str(status), _refusal(codes))
    responses["default"] = _refusal([])
    return responses


def _refusals(route: Route) -> dict[int, list[str]]:
    kinds = (*_EVERYWHERE, *(() if route.is_open else _WITH_KEY), *route.refusals, *(_WITH_BODY if route.body else ()))
    by_status: dict[int, list[str]] = {}
    for kind in dict.fromkeys(kinds):
        by_status.setdefault(STATUSES[kind], []).append(kind.code)
    return dict(sorted(by_status.items()))


def _refusal(codes: list[str]) -> dict[str, Any]:
    says = ", ".join(f"`{TYPE_PREFIX}{code}`" for code in codes) or "Any other problem"
    return {"description": says, "content": {_PROBLEM: {"schema": {"$ref": _REFERENCE.format(name="Problem")}}}}


def _names(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)


def _path_parameters() -> dict[str, Any]:
    name = {"type": "string", "pattern": r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", "maxLength": limits.NAME_LENGTH_MAX}
    position = {"type": "integer", "minimum": 1, "maximum": POSITION_MAX}
    key = {"type": "string", "pattern": "^[0-9a-f]{8}$"}
    of = {"type": "string", "minLength": 1, "description": "A key of the detector, or of the expectation"}
    schemas = {
        "bus": name,
        "rule": name,
        "detector": name,
        "expectation": name,
        "schedule": name,
        "of": of,
        "position": position,
        "run": position,
        "key": key,
        "backtest": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    }
    return {
        parameter: {"name": parameter, "in": "path", "required": True, "schema": schema}
        for parameter, schema in schemas.items()
    }
