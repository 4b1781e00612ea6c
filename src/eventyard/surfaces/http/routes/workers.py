"""What worker processes ask."""

from eventyard.core import errors, handout, limits
from eventyard.core.access import Scope
from eventyard.surfaces.http import workers
from eventyard.surfaces.http.route import Body, Route, json_body

ROUTES = (
    Route(
        "POST",
        "/v1/dispatch/receive",
        workers.hand_out,
        "For workers: lease deliveries of push rules of all buses",
        ((200, workers.Message, "A hand-out, empty where nothing came in time"),),
        (errors.Overloaded, errors.Stopping, errors.StoreBehind),
        body=json_body(workers.HandOut),
        media=handout.CONTENT_TYPE,
        scope=Scope.CONSUME,
    ),
    Route(
        "POST",
        "/v1/dispatch/report",
        workers.take_report,
        "For workers: tell what came of pushes, and lease more",
        ((200, workers.Message, "A receipt: what of it counts, and a hand-out of what there was at once"),),
        (errors.Overloaded, errors.StorageFull, errors.Stopping, errors.StoreBehind),
        body=Body(((handout.CONTENT_TYPE, None),), lambda _: limits.REPORT_BYTES_MAX, is_json_only=False),
        media=handout.CONTENT_TYPE,
        scope=Scope.CONSUME,
    ),
)
