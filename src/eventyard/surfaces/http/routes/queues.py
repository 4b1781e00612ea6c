"""Consumers that pull: lease deliveries and settle them."""

from eventyard.core import errors
from eventyard.core.access import Scope
from eventyard.surfaces.http import queues
from eventyard.surfaces.http.route import RULE, Route, json_body

_SETTLING = (errors.NotFound, errors.Overloaded, errors.StorageFull)

ROUTES = (
    Route(
        "POST",
        RULE + "/receive",
        queues.receive,
        "Lease deliveries of a rule that is pulled",
        ((200, queues.DeliveriesAnswer, "What there was, or came in time"),),
        (*_SETTLING, errors.Stopping),
        body=json_body(queues.Receive, is_required=False),
        scope=Scope.CONSUME,
    ),
    Route(
        "POST",
        RULE + "/acknowledge",
        queues.acknowledge,
        "End leased deliveries: they are done",
        ((200, queues.ResultsAnswer, "A verdict for each lease"),),
        _SETTLING,
        body=json_body(queues.Acknowledge),
        scope=Scope.CONSUME,
    ),
    Route(
        "POST",
        RULE + "/release",
        queues.release,
        "Give leased deliveries back, to be given out again",
        ((200, queues.ResultsAnswer, "A verdict for each lease"),),
        _SETTLING,
        body=json_body(queues.Release),
        scope=Scope.CONSUME,
    ),
    Route(
        "POST",
        RULE + "/reject",
        queues.reject,
        "End leased deliveries as dead letters",
        ((200, queues.ResultsAnswer, "A verdict for each lease"),),
        _SETTLING,
        body=json_body(queues.Reject),
        scope=Scope.CONSUME,
    ),
    Route(
        "POST",
        RULE + "/renew",
        queues.renew,
        "Have leases begin anew",
        ((200, queues.ResultsAnswer, "A verdict for each lease"),),
        _SETTLING,
        body=json_body(queues.Renew),
        scope=Scope.CONSUME,
    ),
)
