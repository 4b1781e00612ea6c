"""The door itself: whether it works, and what it counts."""

from eventyard.core.access import Scope
from eventyard.surfaces.http import health, metrics
from eventyard.surfaces.http.route import Route

ROUTES = (
    Route("GET", "/", health.index, "The door's main addresses", ((200, health.Index, "The addresses"),)),
    Route("GET", "/healthz", health.healthz, "Whether the process lives", ((200, health.Alive, "It does"),), is_open=True),
    Route(
        "GET",
        "/readyz",
        health.readyz,
        "Whether the bus takes work, and what it waits for",
        ((200, health.Ready, "It does"), (503, health.Ready, "It does not")),
        scope=Scope.READ,
    ),
    Route(
        "GET",
        "/metrics",
        metrics.metrics,
        "What was counted since the start, and what waits, for Prometheus",
        ((200, str, "In its text format"),),
        media=metrics.MEDIA,
        scope=Scope.READ,
    ),
)
