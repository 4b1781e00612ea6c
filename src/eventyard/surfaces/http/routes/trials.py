"""What a pattern or a transform would do, asked before it is in force."""

from eventyard.core import errors, limits
from eventyard.core.access import Scope
from eventyard.surfaces.http import backtesting, patterns, rehearsals, transforms
from eventyard.surfaces.http.route import BUS, NO_FIELDS, Route, json_body

ROUTES = (
    Route(
        "POST",
        BUS + "/backtest",
        backtesting.backtest,
        "What patterns would have matched of the log, beside rules as they are in force",
        ((200, backtesting.BacktestAnswer, "What a stretch of the log says"),),
        (
            errors.NotFound,
            errors.InvalidPattern,
            errors.PatternTooCostly,
            errors.VersionConflict,
            errors.Overloaded,
            errors.Stopping,
        ),
        body=json_body(backtesting.Backtest, limits.BACKTEST_BYTES_MAX),
        scope=Scope.READ,
    ),
    Route(
        "POST",
        BUS + "/backtest/detectors",
        rehearsals.backtest_detector,
        "What a detector would have published of the log, beside the version in force",
        ((200, rehearsals.RehearsalAnswer, "What was found so far"),),
        (
            *(errors.NotFound, errors.InvalidDetector, errors.InvalidPattern, errors.PatternTooCostly),
            *(errors.VersionConflict, errors.Overloaded, errors.Stopping),
        ),
        body=json_body(rehearsals.DetectorTrial, limits.BACKTEST_BYTES_MAX),
        scope=Scope.READ,
    ),
    Route(
        "POST",
        BUS + "/backtest/detectors/{backtest}",
        rehearsals.go_on_with_detector,
        "Go on with a backtest of a detector",
        ((200, rehearsals.RehearsalAnswer, "What was found so far"),),
        (errors.NotFound, errors.Overloaded, errors.Stopping),
        body=NO_FIELDS,
        scope=Scope.READ,
    ),
    Route(
        "POST",
        BUS + "/backtest/expectations",
        rehearsals.backtest_expectation,
        "What an expectation would have published of the log, beside the version in force",
        ((200, rehearsals.RehearsalAnswer, "What was found so far"),),
        (
            *(errors.NotFound, errors.InvalidExpectation, errors.InvalidPattern, errors.PatternTooCostly),
            *(errors.VersionConflict, errors.Overloaded, errors.Stopping),
        ),
        body=json_body(rehearsals.ExpectationTrial, limits.BACKTEST_BYTES_MAX),
        scope=Scope.READ,
    ),
    Route(
        "POST",
        BUS + "/backtest/expectations/{backtest}",
        rehearsals.go_on_with_expectation,
        "Go on with a backtest of an expectation",
        ((200, rehearsals.RehearsalAnswer, "What was found so far"),),
        (errors.NotFound, errors.Overloaded, errors.Stopping),
        body=NO_FIELDS,
        scope=Scope.READ,
    ),
    Route(
        "POST",
        "/v1/patterns/test",
        patterns.test_pattern,
        "Whether a pattern matches an event, and why",
        ((200, patterns.PatternTestAnswer, "The verdict"),),
        (errors.InvalidPattern, errors.PatternTooCostly),
        body=json_body(patterns.PatternTest, limits.EVENT_BYTES_MAX + limits.RULE_BYTES_MAX),
    ),
    Route(
        "POST",
        "/v1/transforms/test",
        transforms.test_transform,
        "What request a target would get of an event",
        ((200, transforms.TransformTestAnswer, "The request, or why there is none"),),
        (errors.InvalidRule, errors.Overloaded),
        body=json_body(transforms.TransformTest, limits.EVENT_BYTES_MAX + limits.RULE_BYTES_MAX),
    ),
)
