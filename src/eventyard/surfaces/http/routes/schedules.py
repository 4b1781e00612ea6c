"""Schedules."""

from eventyard.core import errors, limits
from eventyard.core.access import Scope
from eventyard.core.schedule import Schedule
from eventyard.surfaces.http import rules, schedules
from eventyard.surfaces.http.route import BUS, NO_FIELDS, Route, json_body

_SCHEDULE = BUS + "/schedules/{schedule}"

ROUTES = (
    Route(
        "GET",
        BUS + "/schedules",
        schedules.schedules,
        "List the schedules",
        ((200, schedules.SchedulesAnswer, "A page, by name"),),
        (errors.NotFound,),
        query=schedules.SchedulesQuery,
        scope=Scope.READ,
    ),
    Route(
        "PUT",
        _SCHEDULE,
        schedules.put_schedule,
        "Create or change a schedule",
        ((201, schedules.ScheduleAnswer, "Created"), (200, schedules.ScheduleAnswer, "Changed, or as it was")),
        (errors.NotFound, errors.InvalidName, errors.InvalidSchedule, errors.VersionConflict, errors.Overloaded),
        body=json_body(Schedule, limits.SCHEDULE_BYTES_MAX),
        headers=rules.CONDITIONS,
        scope=Scope.MANAGE,
    ),
    Route(
        "GET",
        _SCHEDULE,
        schedules.schedule,
        "One schedule, and when it publishes next",
        ((200, schedules.ScheduleAnswer, "The schedule"),),
        (errors.NotFound,),
        scope=Scope.READ,
    ),
    Route(
        "DELETE",
        _SCHEDULE,
        schedules.delete_schedule,
        "Delete a schedule",
        ((204, None, "Deleted"),),
        (errors.NotFound, errors.VersionConflict),
        headers={"if-match": rules.IfMatch},
        scope=Scope.MANAGE,
    ),
    Route(
        "POST",
        _SCHEDULE + "/pause",
        schedules.pause_schedule,
        "Publish nothing; instants that pass meanwhile are none",
        ((200, schedules.ScheduleAnswer, "The schedule, paused"),),
        (errors.NotFound,),
        body=NO_FIELDS,
        scope=Scope.MANAGE,
    ),
    Route(
        "POST",
        _SCHEDULE + "/resume",
        schedules.resume_schedule,
        "Go on with the first instant from now",
        ((200, schedules.ScheduleAnswer, "The schedule"),),
        (errors.NotFound,),
        body=NO_FIELDS,
        scope=Scope.MANAGE,
    ),
)
