"""Buses."""

from eventyard.core import errors
from eventyard.core.access import Scope
from eventyard.surfaces.http import buses
from eventyard.surfaces.http.route import BUS, Route, json_body

ROUTES = (
    Route(
        "GET",
        "/v1/buses",
        buses.buses,
        "List the buses",
        ((200, buses.BusesAnswer, "By name"),),
        scope=Scope.READ,
        is_narrowed=True,
    ),
    Route(
        "PUT",
        BUS,
        buses.put_bus,
        "Create a bus, or find it there, and set what it keeps",
        ((201, buses.BusAnswer, "Created"), (200, buses.BusAnswer, "It was there")),
        (errors.InvalidName,),
        body=json_body(buses.BusPut, is_required=False),
        scope=Scope.MANAGE,
    ),
    Route("GET", BUS, buses.bus, "One bus", ((200, buses.BusAnswer, "The bus"),), (errors.NotFound,), scope=Scope.READ),
    Route(
        "DELETE",
        BUS,
        buses.delete_bus,
        "Delete a bus and all it holds",
        ((204, None, "Deleted"),),
        (errors.NotFound,),
        scope=Scope.MANAGE,
    ),
)
