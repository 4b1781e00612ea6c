"""Seeks and replays of a rule."""

from eventyard.core import errors
from eventyard.core.access import Scope
from eventyard.surfaces.http import replays, rules
from eventyard.surfaces.http.route import RULE, Route, json_body

ROUTES = (
    Route(
        "POST",
        RULE + "/seek",
        replays.seek,
        "Go on at another place of the log; what the rule still owes is discarded",
        ((200, rules.RuleAnswer, "The rule, in its new run"),),
        (errors.NotFound, errors.InvalidRule),
        body=json_body(replays.Seek),
        scope=Scope.MANAGE,
    ),
    Route(
        "POST",
        RULE + "/replays",
        replays.replay,
        "Deliver a stretch of the log to this rule once more",
        ((202, replays.ReplayAnswer, "Recorded and begun"),),
        (errors.NotFound, errors.InvalidRule, errors.InvalidPattern, errors.PatternTooCostly),
        body=json_body(replays.Replay),
        scope=Scope.MANAGE,
    ),
    Route(
        "GET",
        RULE + "/replays",
        replays.replays,
        "The replays under way and the last ones that ended",
        ((200, replays.ReplaysAnswer, "The newest first"),),
        (errors.NotFound,),
        scope=Scope.READ,
    ),
    Route(
        "GET",
        RULE + "/replays/{run}",
        replays.one_replay,
        "How far a replay has come",
        ((200, replays.ReplayAnswer, "The replay"),),
        (errors.NotFound,),
        scope=Scope.READ,
    ),
    Route(
        "DELETE",
        RULE + "/replays/{run}",
        replays.end_replay,
        "Cancel a replay, or forget one that has ended",
        ((200, replays.ReplayAnswer, "The replay, cancelled or forgotten"),),
        (errors.NotFound,),
        scope=Scope.MANAGE,
    ),
)
