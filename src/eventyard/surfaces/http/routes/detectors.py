"""Detectors, and what they know of their keys."""

from eventyard.core import errors, limits
from eventyard.core.access import Scope
from eventyard.surfaces.http import detectors
from eventyard.surfaces.http.emitters import KeysQuery
from eventyard.surfaces.http.route import BUS, Route, json_body
from eventyard.surfaces.http.rules import CONDITIONS, IfMatch, RulesQuery

_DETECTOR = BUS + "/detectors/{detector}"

ROUTES = (
    Route(
        "GET",
        BUS + "/detectors",
        detectors.detectors,
        "List the detectors, and what was counted of each",
        ((200, detectors.DetectorsAnswer, "A page, by name"),),
        (errors.NotFound,),
        query=RulesQuery,
        scope=Scope.READ,
    ),
    Route(
        "PUT",
        _DETECTOR,
        detectors.put_detector,
        "Create or change a detector, which publishes an event when a condition turns",
        ((201, detectors.DetectorPutAnswer, "Created"), (200, detectors.DetectorPutAnswer, "Changed, or as it was")),
        (
            *(errors.NotFound, errors.InvalidName, errors.InvalidDetector, errors.InvalidPattern, errors.PatternTooCostly),
            *(errors.VersionConflict, errors.Overloaded),
        ),
        body=json_body(detectors.DetectorDocument, limits.RULE_BYTES_MAX),
        headers=CONDITIONS,
        scope=Scope.MANAGE,
    ),
    Route(
        "GET",
        _DETECTOR,
        detectors.detector,
        "One detector, and what was counted of it",
        ((200, detectors.DetectorAnswer, "The detector"),),
        (errors.NotFound,),
        scope=Scope.READ,
    ),
    Route(
        "DELETE",
        _DETECTOR,
        detectors.delete_detector,
        "Delete a detector and what it knows",
        ((204, None, "Deleted"),),
        (errors.NotFound, errors.VersionConflict),
        headers={"if-match": IfMatch},
        scope=Scope.MANAGE,
    ),
    Route(
        "POST",
        _DETECTOR + "/turns",
        detectors.turns,
        "How many keys a detector would turn, were it saved now",
        ((200, detectors.TurnsAnswer, "Of some of its keys"),),
        (
            *(errors.NotFound, errors.InvalidName, errors.InvalidDetector, errors.InvalidPattern, errors.PatternTooCostly),
            errors.Overloaded,
        ),
        body=json_body(detectors.DetectorDocument, limits.RULE_BYTES_MAX),
        query=detectors.TurnsQuery,
        scope=Scope.READ,
    ),
    Route(
        "GET",
        _DETECTOR + "/keys",
        detectors.detector_keys,
        "What a detector knows of its keys",
        ((200, detectors.KeysAnswer, "A page, by key"),),
        (errors.NotFound,),
        query=KeysQuery,
        scope=Scope.READ,
    ),
    Route(
        "GET",
        _DETECTOR + "/keys/{of}",
        detectors.detector_key,
        "What a detector knows of one key, and why",
        ((200, detectors.KeyAnswer, "The key"),),
        (errors.NotFound,),
        scope=Scope.READ,
    ),
)
