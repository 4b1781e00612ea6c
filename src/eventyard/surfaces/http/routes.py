"""The one table of routes. Routing, the OpenAPI document and the test of the reference page are all derived from it."""

from functools import cache
from typing import Any

import msgspec

from eventyard.core import errors, handout, limits
from eventyard.core.event import BATCHED, STRUCTURED
from eventyard.core.rule import Rule
from eventyard.surfaces.http import (
    buses,
    dead_letters,
    event_stream,
    events,
    explaining,
    health,
    metrics,
    openapi,
    patterns,
    publishing,
    queues,
    replays,
    reviving,
    rules,
    workers,
)
from eventyard.surfaces.http.calls import JSON, Answer, Call, NoFields
from eventyard.surfaces.http.route import Body, Route
from eventyard.surfaces.http.schemas import CloudEvent


def _json(kind: Any, bytes_max: int = limits.REQUEST_BYTES_MAX, *, is_required: bool = True) -> Body:
    return Body(((JSON.decode(), kind),), lambda _: bytes_max, is_required=is_required)


@cache
def _document() -> bytes:
    return msgspec.json.encode(openapi.document(ROUTES))


async def openapi_document(_: Call[NoFields]) -> Answer:
    return Answer(200, _document(), JSON)


_BUS = "/v1/buses/{bus}"
_RULE = "/v1/buses/{bus}/rules/{rule}"
_NOTHING = _json(NoFields, is_required=False)
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
_RULE_REFUSALS = (errors.InvalidRule, errors.InvalidPattern, errors.PatternTooCostly, errors.ForbiddenTarget)
_SETTLING = (errors.NotFound, errors.Overloaded, errors.StorageFull)

PUBLISH = Route(
    "POST",
    _BUS + "/events",
    publishing.publish,
    "Publish one event or a batch; when it answers 202 they are durable",
    ((202, publishing.Accepted, "Durable"), (202, publishing.AcceptedBatch, "A batch: one verdict for each event")),
    (
        *(errors.NotFound, errors.InvalidJSON, errors.InvalidEvent, errors.ReservedType, errors.EventConflict),
        *(errors.TooManyMatches, errors.TooLarge, errors.UnsupportedContentType, errors.Overloaded, errors.StorageFull),
    ),
    body=_EVENTS,
)

ROUTES = (
    Route("GET", "/", health.index, "The door's main addresses", ((200, health.Index, "The addresses"),)),
    Route("GET", "/healthz", health.healthz, "Whether the process lives", ((200, health.Alive, "It does"),)),
    Route(
        "GET",
        "/readyz",
        health.readyz,
        "Whether the bus takes work, and what it waits for",
        ((200, health.Ready, "It does"), (503, health.Ready, "It does not")),
    ),
    Route(
        "GET",
        "/metrics",
        metrics.metrics,
        "What was counted since the start, and what waits, for Prometheus",
        ((200, str, "In its text format"),),
        media=metrics.MEDIA,
    ),
    Route("GET", "/v1/openapi.json", openapi_document, "This door as OpenAPI 3.1", ((200, dict[str, Any], "The document"),)),
    Route("GET", "/v1/buses", buses.buses, "List the buses", ((200, buses.BusesAnswer, "By name"),)),
    Route(
        "PUT",
        _BUS,
        buses.put_bus,
        "Create a bus, or find it there, and set what it keeps",
        ((201, buses.BusAnswer, "Created"), (200, buses.BusAnswer, "It was there")),
        (errors.InvalidName,),
        body=_json(buses.BusPut, is_required=False),
    ),
    Route("GET", _BUS, buses.bus, "One bus", ((200, buses.BusAnswer, "The bus"),), (errors.NotFound,)),
    Route("DELETE", _BUS, buses.delete_bus, "Delete a bus and all it holds", ((204, None, "Deleted"),), (errors.NotFound,)),
    PUBLISH,
    Route(
        "GET",
        _BUS + "/events",
        events.events,
        "History, in pages",
        ((200, events.EventsAnswer, "A page"),),
        (errors.NotFound, errors.InvalidPattern, errors.PatternTooCostly),
        query=events.EventsQuery,
    ),
    Route(
        "GET",
        _BUS + "/events/{position}",
        events.event,
        "One event of the log",
        ((200, events.EventAnswer, "The event"),),
        (errors.NotFound, errors.Damaged),
    ),
    Route(
        "GET",
        _BUS + "/events/{position}/explain",
        explaining.explain,
        "Why this event reached each rule, or did not",
        ((200, explaining.ExplainAnswer, "A page of rules"),),
        (errors.NotFound, errors.Damaged),
        query=explaining.ExplainQuery,
    ),
    Route(
        "GET",
        _BUS + "/stream",
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
    ),
    Route(
        "GET",
        _BUS + "/rules",
        rules.rules,
        "List the rules",
        ((200, rules.RulesAnswer, "A page, by name"),),
        (errors.NotFound,),
        query=rules.RulesQuery,
    ),
    Route(
        "PUT",
        _RULE,
        rules.put_rule,
        "Create or change a rule",
        ((201, rules.RuleAnswer, "Created"), (200, rules.RuleAnswer, "Changed, or as it was")),
        (errors.NotFound, errors.InvalidName, *_RULE_REFUSALS),
        body=_json(Rule, limits.RULE_BYTES_MAX),
    ),
    Route("GET", _RULE, rules.rule, "One rule", ((200, rules.RuleAnswer, "The rule"),), (errors.NotFound,)),
    Route(
        "DELETE",
        _RULE,
        rules.delete_rule,
        "Delete a rule; what waits for it is discarded",
        ((204, None, "Deleted"),),
        (errors.NotFound,),
    ),
    Route(
        "GET",
        _RULE + "/status",
        rules.status,
        "Where the rule's queue stands",
        ((200, rules.StatusAnswer, "The counts"),),
        (errors.NotFound,),
    ),
    Route(
        "POST",
        _RULE + "/pause",
        rules.pause,
        "Give no more deliveries out; they gather",
        ((200, rules.RuleAnswer, "The rule, paused"),),
        (errors.NotFound,),
        body=_NOTHING,
    ),
    Route(
        "POST",
        _RULE + "/resume",
        rules.resume,
        "Give deliveries out again",
        ((200, rules.RuleAnswer, "The rule, not paused"),),
        (errors.NotFound,),
        body=_NOTHING,
    ),
    Route(
        "POST",
        _RULE + "/receive",
        queues.receive,
        "Lease deliveries of a rule that is pulled",
        ((200, queues.DeliveriesAnswer, "What there was, or came in time"),),
        (*_SETTLING, errors.Stopping),
        body=_json(queues.Receive, is_required=False),
    ),
    Route(
        "POST",
        _RULE + "/acknowledge",
        queues.acknowledge,
        "End leased deliveries: they are done",
        ((200, queues.ResultsAnswer, "A verdict for each lease"),),
        _SETTLING,
        body=_json(queues.Acknowledge),
    ),
    Route(
        "POST",
        _RULE + "/release",
        queues.release,
        "Give leased deliveries back, to be given out again",
        ((200, queues.ResultsAnswer, "A verdict for each lease"),),
        _SETTLING,
        body=_json(queues.Release),
    ),
    Route(
        "POST",
        _RULE + "/reject",
        queues.reject,
        "End leased deliveries as dead letters",
        ((200, queues.ResultsAnswer, "A verdict for each lease"),),
        _SETTLING,
        body=_json(queues.Reject),
    ),
    Route(
        "POST",
        _RULE + "/renew",
        queues.renew,
        "Have leases begin anew",
        ((200, queues.ResultsAnswer, "A verdict for each lease"),),
        _SETTLING,
        body=_json(queues.Renew),
    ),
    Route(
        "POST",
        _RULE + "/seek",
        replays.seek,
        "Go on at another place of the log; what the rule still owes is discarded",
        ((200, rules.RuleAnswer, "The rule, in its new run"),),
        (errors.NotFound, errors.InvalidRule),
        body=_json(replays.Seek),
    ),
    Route(
        "POST",
        _RULE + "/replays",
        replays.replay,
        "Deliver a stretch of the log to this rule once more",
        ((202, replays.ReplayAnswer, "Recorded and begun"),),
        (errors.NotFound, errors.InvalidRule, errors.InvalidPattern, errors.PatternTooCostly),
        body=_json(replays.Replay),
    ),
    Route(
        "GET",
        _RULE + "/replays",
        replays.replays,
        "The replays under way and the last ones that ended",
        ((200, replays.ReplaysAnswer, "The newest first"),),
        (errors.NotFound,),
    ),
    Route(
        "GET",
        _RULE + "/replays/{run}",
        replays.one_replay,
        "How far a replay has come",
        ((200, replays.ReplayAnswer, "The replay"),),
        (errors.NotFound,),
    ),
    Route(
        "DELETE",
        _RULE + "/replays/{run}",
        replays.end_replay,
        "Cancel a replay, or forget one that has ended",
        ((200, replays.ReplayAnswer, "The replay, cancelled or forgotten"),),
        (errors.NotFound,),
    ),
    Route(
        "GET",
        _RULE + "/dead-letters",
        dead_letters.dead_letters,
        "Dead letters, each with its event and why it died",
        ((200, dead_letters.DeadLettersAnswer, "A page, by position"),),
        (errors.NotFound,),
        query=dead_letters.DeadLettersQuery,
    ),
    Route(
        "POST",
        _RULE + "/dead-letters/redrive",
        reviving.redrive,
        "Put dead letters back to be delivered; or count them, or try them on another target",
        (
            (202, reviving.MovedAnswer, "Recorded and begun"),
            (200, reviving.CountAnswer, "A dry run"),
            (200, reviving.TrialsAnswer, "A trial"),
        ),
        (errors.NotFound, errors.InvalidRule, errors.ForbiddenTarget, errors.Overloaded),
        body=_json(reviving.Redrive),
    ),
    Route(
        "POST",
        _RULE + "/dead-letters/purge",
        reviving.purge,
        "Discard dead letters; or count them",
        ((202, reviving.MovedAnswer, "Recorded and begun"), (200, reviving.CountAnswer, "A dry run")),
        (errors.NotFound,),
        body=_json(reviving.Purge),
    ),
    Route(
        "POST",
        _RULE + "/dead-letters/skip",
        reviving.skip,
        "Pass over dead letters, so that what waits behind them goes on",
        ((202, reviving.MovedAnswer, "Recorded and done"),),
        (errors.NotFound,),
        body=_json(reviving.Skip),
    ),
    Route(
        "POST",
        "/v1/dispatch/receive",
        workers.hand_out,
        "For workers: lease deliveries of push rules of all buses",
        ((200, workers.Message, "A hand-out, empty where nothing came in time"),),
        (errors.Overloaded, errors.Stopping, errors.StoreBehind),
        body=_json(workers.HandOut),
        media=handout.CONTENT_TYPE,
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
    ),
    Route(
        "POST",
        "/v1/patterns/test",
        patterns.test_pattern,
        "Whether a pattern matches an event, and why",
        ((200, patterns.PatternTestAnswer, "The verdict"),),
        (errors.InvalidPattern, errors.PatternTooCostly),
        body=_json(patterns.PatternTest, limits.EVENT_BYTES_MAX + limits.RULE_BYTES_MAX),
    ),
)
"""Every address of the door, in the order in which the reference page tells of them."""
