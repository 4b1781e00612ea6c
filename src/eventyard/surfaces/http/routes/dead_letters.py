"""Dead letters of a rule."""

from eventyard.core import errors
from eventyard.core.access import Scope
from eventyard.surfaces.http import dead_letters, reviving
from eventyard.surfaces.http.route import RULE, Route, json_body

ROUTES = (
    Route(
        "GET",
        RULE + "/dead-letters",
        dead_letters.dead_letters,
        "Dead letters, each with its event and why it died",
        ((200, dead_letters.DeadLettersAnswer, "A page, by position"),),
        (errors.NotFound,),
        query=dead_letters.DeadLettersQuery,
        scope=Scope.READ,
    ),
    Route(
        "POST",
        RULE + "/dead-letters/redrive",
        reviving.redrive,
        "Put dead letters back to be delivered; or count them, or try them on another target",
        (
            (202, reviving.MovedAnswer, "Recorded and begun"),
            (200, reviving.CountAnswer, "A dry run"),
            (200, reviving.TrialsAnswer, "A trial"),
        ),
        (errors.NotFound, errors.InvalidRule, errors.ForbiddenTarget, errors.Overloaded),
        body=json_body(reviving.Redrive),
        scope=Scope.MANAGE,
    ),
    Route(
        "POST",
        RULE + "/dead-letters/purge",
        reviving.purge,
        "Discard dead letters; or count them",
        ((202, reviving.MovedAnswer, "Recorded and begun"), (200, reviving.CountAnswer, "A dry run")),
        (errors.NotFound,),
        body=json_body(reviving.Purge),
        scope=Scope.MANAGE,
    ),
    Route(
        "POST",
        RULE + "/dead-letters/skip",
        reviving.skip,
        "Pass over dead letters, so that what waits behind them goes on",
        ((202, reviving.MovedAnswer, "Recorded and done"),),
        (errors.NotFound,),
        body=json_body(reviving.Skip),
        scope=Scope.MANAGE,
    ),
)
