"""The log of a bus: events go in, and are read, followed and explained."""

from eventyard.core import errors
from eventyard.core.access import Scope
from eventyard.core.event import BATCHED, STRUCTURED
from eventyard.surfaces.http import event_stream, events, explaining, publishing, storytelling
from eventyard.surfaces.http.route import BUS, Body, Route
from eventyard.surfaces.http.schemas import CloudEvent

_EVENTS = Body(
    (
        (STRUCTURED, CloudEvent),
        (BATCHED, list[CloudEvent]),
        ("*/*", None),
    ),
    publishing.body_bytes_max,
    is_required=False,
    is_json_only=False,
)
PUBLISH = Route(
    "POST",
    BUS + "/events",
    publishing.publish,
    "Publish one event or a batch; when it answers 202 they are durable",
    ((202, publishing.Accepted, "Durable"), (202, publishing.AcceptedBatch, "A batch: one verdict for each event")),
    (
        *(errors.NotFound, errors.InvalidJSON, errors.InvalidEvent, errors.ReservedType, errors.EventConflict),
        *(
            errors.TooManyMatches,
            errors.TooManyHops,
            errors.TooLarge,
            errors.UnsupportedContentType,
            errors.Overloaded,
            errors.StorageFull,
        ),
    ),
    body=_EVENTS,
    scope=Scope.PUBLISH,
)

ROUTES = (
    PUBLISH,
    Route(
        "GET",
        BUS + "/events",
        events.events,
        "History, in pages",
        ((200, events.EventsAnswer, "A page"),),
        (errors.NotFound, errors.InvalidPattern, errors.PatternTooCostly),
        query=events.EventsQuery,
        scope=Scope.READ,
    ),
    Route(
        "GET",
        BUS + "/events/{position}",
        events.event,
        "One event of the log",
        ((200, events.EventAnswer, "The event"),),
        (errors.NotFound, errors.Damaged),
        scope=Scope.READ,
    ),
    Route(
        "GET",
        BUS + "/events/{position}/explain",
        explaining.explain,
        "Why this event reached each rule, or did not",
        ((200, explaining.ExplainAnswer, "A page of rules"),),
        (errors.NotFound, errors.Damaged),
        query=explaining.ExplainQuery,
        scope=Scope.READ,
    ),
    Route(
        "GET",
        BUS + "/events/{position}/story",
        storytelling.story,
        "What came of this event",
        ((200, storytelling.StoryAnswer, "A part of the story, in the order of the log"),),
        (errors.NotFound, errors.Damaged),
        query=storytelling.StoryQuery,
        scope=Scope.READ,
    ),
    Route(
        "GET",
        BUS + "/stream",
        event_stream.stream,
        "The log as it grows, as server-sent events",
        ((200, event_stream.Messages, "Events as they come, until the caller or the bus ends it"),),
        (
            errors.NotFound,
            errors.InvalidPattern,
            errors.PatternTooCostly,
            errors.Overloaded,
            errors.Stopping,
            errors.StoreBehind,
        ),
        query=event_stream.StreamQuery,
        media=event_stream.CONTENT_TYPE,
        headers={event_stream.LAST_EVENT_ID: event_stream.PositionText},
        scope=Scope.READ,
    ),
)
