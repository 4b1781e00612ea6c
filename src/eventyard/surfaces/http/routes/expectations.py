"""Expectations, and what they have open."""

from eventyard.core import errors, limits
from eventyard.core.access import Scope
from eventyard.surfaces.http import expectations
from eventyard.surfaces.http.emitters import KeysQuery
from eventyard.surfaces.http.route import BUS, Route, json_body
from eventyard.surfaces.http.rules import CONDITIONS, IfMatch, RulesQuery

_EXPECTATION = BUS + "/expectations/{expectation}"

ROUTES = (
    Route(
        "GET",
        BUS + "/expectations",
        expectations.expectations,
        "List the expectations, and what was counted of each",
        ((200, expectations.ExpectationsAnswer, "A page, by name"),),
        (errors.NotFound,),
        query=RulesQuery,
        scope=Scope.READ,
    ),
    Route(
        "PUT",
        _EXPECTATION,
        expectations.put_expectation,
        "Create or change an expectation, which publishes an event when something does not come in time",
        ((201, expectations.ExpectationAnswer, "Created"), (200, expectations.ExpectationAnswer, "Changed, or as it was")),
        (
            *(errors.NotFound, errors.InvalidName, errors.InvalidExpectation, errors.InvalidPattern, errors.PatternTooCostly),
            *(errors.VersionConflict, errors.Overloaded),
        ),
        body=json_body(expectations.ExpectationDocument, limits.RULE_BYTES_MAX),
        headers=CONDITIONS,
        scope=Scope.MANAGE,
    ),
    Route(
        "GET",
        _EXPECTATION,
        expectations.expectation,
        "One expectation, and what was counted of it",
        ((200, expectations.ExpectationAnswer, "The expectation"),),
        (errors.NotFound,),
        scope=Scope.READ,
    ),
    Route(
        "DELETE",
        _EXPECTATION,
        expectations.delete_expectation,
        "Delete an expectation and what it has open",
        ((204, None, "Deleted"),),
        (errors.NotFound, errors.VersionConflict),
        headers={"if-match": IfMatch},
        scope=Scope.MANAGE,
    ),
    Route(
        "GET",
        _EXPECTATION + "/keys",
        expectations.expectation_keys,
        "What an expectation has open, or missed",
        ((200, expectations.ExpectedKeysAnswer, "A page, by key"),),
        (errors.NotFound,),
        query=KeysQuery,
        scope=Scope.READ,
    ),
    Route(
        "GET",
        _EXPECTATION + "/keys/{of}",
        expectations.expectation_key,
        "What an expectation has open, or missed, of one key",
        ((200, expectations.ExpectedKeyAnswer, "The key"),),
        (errors.NotFound,),
        scope=Scope.READ,
    ),
)
