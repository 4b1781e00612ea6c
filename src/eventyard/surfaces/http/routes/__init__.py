"""Every address of the door, by what it is about. Routing, the OpenAPI document and the test of the reference page are all derived from these."""

from functools import cache
from typing import Any

import msgspec

from eventyard.surfaces.http import openapi
from eventyard.surfaces.http.calls import JSON, Answer, Call, NoFields
from eventyard.surfaces.http.route import Route
from eventyard.surfaces.http.routes import (
    buses,
    dead_letters,
    detectors,
    door,
    expectations,
    log,
    queues,
    rules,
    runs,
    schedules,
    secrets,
    trials,
    workers,
)


@cache
def _document() -> bytes:
    return msgspec.json.encode(openapi.document(ROUTES))


async def openapi_document(_: Call[NoFields]) -> Answer:
    return Answer(200, _document(), JSON)


_OPENAPI = Route(
    "GET", "/v1/openapi.json", openapi_document, "This door as OpenAPI 3.1", ((200, dict[str, Any], "The document"),)
)

PUBLISH = log.PUBLISH

ROUTES = (
    *door.ROUTES,
    _OPENAPI,
    *buses.ROUTES,
    *log.ROUTES,
    *rules.ROUTES,
    *detectors.ROUTES,
    *expectations.ROUTES,
    *schedules.ROUTES,
    *trials.ROUTES,
    *queues.ROUTES,
    *runs.ROUTES,
    *dead_letters.ROUTES,
    *secrets.ROUTES,
    *workers.ROUTES,
)
