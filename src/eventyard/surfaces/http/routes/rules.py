"""Rules."""

from eventyard.core import errors, limits
from eventyard.core.access import Scope
from eventyard.core.rule import Rule
from eventyard.surfaces.http import rules
from eventyard.surfaces.http.route import BUS, NO_FIELDS, RULE, Route, json_body

_RULE_REFUSALS = (errors.InvalidRule, errors.InvalidPattern, errors.PatternTooCostly, errors.ForbiddenTarget)

ROUTES = (
    Route(
        "GET",
        BUS + "/rules",
        rules.rules,
        "List the rules",
        ((200, rules.RulesAnswer, "A page, by name"),),
        (errors.NotFound,),
        query=rules.RulesQuery,
        scope=Scope.READ,
    ),
    Route(
        "GET",
        BUS + "/statuses",
        rules.statuses,
        "Where the queues of the rules stand",
        ((200, rules.StatusesAnswer, "A page, by the rules' names"),),
        (errors.NotFound,),
        query=rules.RulesQuery,
        scope=Scope.READ,
    ),
    Route(
        "PUT",
        RULE,
        rules.put_rule,
        "Create or change a rule",
        ((201, rules.RulePutAnswer, "Created"), (200, rules.RulePutAnswer, "Changed, or as it was")),
        (errors.NotFound, errors.InvalidName, errors.VersionConflict, errors.Overloaded, *_RULE_REFUSALS),
        body=json_body(Rule, limits.RULE_BYTES_MAX),
        headers=rules.CONDITIONS,
        scope=Scope.MANAGE,
    ),
    Route("GET", RULE, rules.rule, "One rule", ((200, rules.RuleAnswer, "The rule"),), (errors.NotFound,), scope=Scope.READ),
    Route(
        "DELETE",
        RULE,
        rules.delete_rule,
        "Delete a rule; what waits for it is discarded",
        ((204, None, "Deleted"),),
        (errors.NotFound, errors.VersionConflict),
        headers={"if-match": rules.IfMatch},
        scope=Scope.MANAGE,
    ),
    Route(
        "GET",
        RULE + "/status",
        rules.status,
        "Where the rule's queue stands",
        ((200, rules.StatusAnswer, "The counts"),),
        (errors.NotFound,),
        scope=Scope.READ,
    ),
    Route(
        "POST",
        RULE + "/pause",
        rules.pause,
        "Give no more deliveries out; they gather",
        ((200, rules.RuleAnswer, "The rule, paused"),),
        (errors.NotFound,),
        body=NO_FIELDS,
        scope=Scope.MANAGE,
    ),
    Route(
        "POST",
        RULE + "/resume",
        rules.resume,
        "Give deliveries out again",
        ((200, rules.RuleAnswer, "The rule, not paused"),),
        (errors.NotFound,),
        body=NO_FIELDS,
        scope=Scope.MANAGE,
    ),
)
