"""Who may do what: every operation of the OpenAPI document, asked by every kind of caller.

The document says of each operation which scope it needs (`x-scope`), and the matrix is made of that; so what the document says is held
to a few laws of its own, lest both be wrong together.
"""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from eventyard.core.access import Grant, Scope
from eventyard.surfaces.http import openapi
from eventyard.surfaces.http.routes import ROUTES
from tests.support.keys import HOUR_MS, LockedBus, locked_bus

SCOPES = tuple(Scope)
OWN = "granted"
"""The bus that keys of one bus are for. It is not there: who may pass meets a 404 or 400, who may not never hears of it."""


class Operation(NamedTuple):
    method: str
    path: str
    scope: str

    @property
    def is_of_bus(self) -> bool:
        return "{bus}" in self.path


def operations() -> list[Operation]:
    paths = openapi.document(ROUTES)["paths"]
    return [
        Operation(method.upper(), path, operation["x-scope"])
        for path, item in paths.items()
        for method, operation in item.items()
        if method != "parameters"
    ]


OPERATIONS = operations()
NARROWED = [Operation(route.method, route.path, str(route.scope)) for route in ROUTES if route.is_narrowed]

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: f"{operation.method} {operation.path}")


class Callers:
    """The keys of the matrix: of each scope for all buses, for the bus asked about and for another, and those that open nothing."""

    def __init__(self, bus: LockedBus) -> None:
        self.bus = bus
        self.of_all = {scope: bus.key(scope) for scope in SCOPES}
        self.of_bus = {scope: bus.key(scope, buses=(OWN,)) for scope in SCOPES}
        self.of_other = {scope: bus.key(scope, buses=("other",)) for scope in SCOPES}
        self.without = {scope: bus.key(*(one for one in SCOPES if one is not scope)) for scope in SCOPES}
        revoked, _ = bus.make("revoked", Grant(SCOPES))
        bus.revoke(revoked)
        expired, _ = bus.make("expired", Grant(SCOPES), lives_ms=HOUR_MS)
        bus.clock.ahead_ms += HOUR_MS
        self.invalid = {
            "no key": "",
            "one never made": f"ey_{'0' * 8}_{'0' * 64}",
            "one with another secret": bus.admin[:12] + "0" * 64,
            "a revoked one": revoked,
            "an expired one": expired,
        }

    def answer(self, operation: Operation, key: str) -> tuple[int, dict[str, Any], str]:
        """Status, problem, and WWW-Authenticate. Of a stream only the head is read."""
        named = {
            "rule": "rule",
            "position": 1,
            "run": 1,
            "key": "00000000",
            "detector": "detector",
            "expectation": "expectation",
            "schedule": "schedule",
            "of": "car-7",
            "backtest": "0123456789abcdef",
        }
        path = operation.path.format(bus=OWN, **named)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        with self.bus.door._client.stream(operation.method, path, headers=headers) as answer:
            is_problem = answer.headers.get("content-type") == "application/problem+json"
            told = (answer.read(), answer.json())[1] if is_problem else {}
            return answer.status_code, told, answer.headers.get("www-authenticate", "")


@pytest.fixture(scope="module")
def callers() -> Iterator[Callers]:
    with locked_bus() as bus:
        yield Callers(bus)


# The matrix


@every_operation
def test_who_has_no_key_in_force_is_refused(callers: Callers, operation: Operation) -> None:
    for what, key in callers.invalid.items():
        status, problem, challenge = callers.answer(operation, key)
        if operation.scope == "none":
            assert status == 200, what
        else:
            assert (status, problem.get("type")) == (401, "urn:eventyard:problem:unauthenticated"), what
            assert challenge.startswith('Bearer realm="eventyard"'), what
            assert problem["wanted"], what


@every_operation
def test_each_scope_opens_what_needs_it_and_nothing_else(callers: Callers, operation: Operation) -> None:
    for scope, key in callers.of_all.items():
        check(callers, operation, key, is_allowed=operation.scope in (scope, "any", "none"))


@every_operation
def test_all_other_scopes_together_do_not_stand_in_for_one(callers: Callers, operation: Operation) -> None:
    for scope, key in callers.without.items():
        check(callers, operation, key, is_allowed=operation.scope != scope)


@every_operation
def test_a_key_of_one_bus_opens_that_bus(callers: Callers, operation: Operation) -> None:
    for scope, key in callers.of_bus.items():
        is_allowed = operation.scope == scope and (operation.is_of_bus or operation in NARROWED)
        check(callers, operation, key, is_allowed=is_allowed or operation.scope in ("any", "none"))


@every_operation
def test_a_key_of_another_bus_opens_nothing_here(callers: Callers, operation: Operation) -> None:
    for scope, key in callers.of_other.items():
        is_allowed = operation.scope == scope and operation in NARROWED
        check(callers, operation, key, is_allowed=is_allowed or operation.scope in ("any", "none"))


def check(callers: Callers, operation: Operation, key: str, *, is_allowed: bool) -> None:
    status, problem, challenge = callers.answer(operation, key)
    if is_allowed:
        assert status not in (401, 403), problem
        return
    assert (status, problem.get("type")) == (403, "urn:eventyard:problem:forbidden")
    assert f'scope="{operation.scope}"' in challenge
    assert operation.scope in problem["wanted"] or "bus" in problem["wanted"]


def test_an_address_that_there_is_none_of_needs_a_key_too(callers: Callers) -> None:
    for method, path in itertools.product(
        ("GET", "POST", "OPTIONS", "PATCH"), ("/nothing", "/v1", "/v1/keys/", "/healthz/", "//healthz")
    ):
        assert callers.answer(Operation(method, path, ""), "")[0] == 401


def test_another_method_needs_a_key_too(callers: Callers) -> None:
    for operation in OPERATIONS:
        if operation.scope != "none":
            assert callers.answer(operation._replace(method="PATCH"), "")[0] == 401


# What the document says


def test_only_the_sign_of_life_is_open() -> None:
    assert [operation for operation in OPERATIONS if operation.scope == "none"] == [("GET", "/healthz", "none")]


def test_what_any_key_opens_tells_nothing_of_what_the_store_holds() -> None:
    told = {(operation.method, operation.path) for operation in OPERATIONS if operation.scope == "any"}
    assert told == {("GET", "/"), ("GET", "/v1/openapi.json"), ("POST", "/v1/patterns/test"), ("POST", "/v1/transforms/test")}


TRYING = {
    "/v1/patterns/test": "any",
    "/v1/transforms/test": "any",
    "/v1/buses/{bus}/backtest": "read",
    "/v1/buses/{bus}/backtest/detectors": "read",
    "/v1/buses/{bus}/backtest/detectors/{backtest}": "read",
    "/v1/buses/{bus}/backtest/expectations": "read",
    "/v1/buses/{bus}/backtest/expectations/{backtest}": "read",
    "/v1/buses/{bus}/detectors/{detector}/turns": "read",
}
"""What has a body for the sake of a pattern, and changes nothing."""


def test_what_tries_a_pattern_needs_to_read_where_it_tells_of_events() -> None:
    assert {operation.path: operation.scope for operation in OPERATIONS if operation.path in TRYING} == TRYING


def test_what_changes_something_needs_more_than_to_read() -> None:
    changing = [operation for operation in OPERATIONS if operation.method != "GET" and operation.path not in TRYING]
    assert {operation.scope for operation in changing} == {"publish", "consume", "manage"}
    assert [operation.path for operation in changing if operation.scope == "publish"] == ["/v1/buses/{bus}/events"]
    settling = {path.rsplit("/", 1)[1] for _, path, scope in changing if scope == "consume"}
    assert settling == {"receive", "acknowledge", "release", "reject", "renew", "report"}


def test_what_is_only_looked_at_needs_to_read_and_keys_need_to_manage() -> None:
    looking = {operation.path: operation.scope for operation in OPERATIONS if operation.method == "GET"}
    assert looking.pop("/v1/keys") == "manage"
    assert set(looking.values()) == {"none", "any", "read"}


def test_the_document_asks_for_a_key_wherever_the_door_does() -> None:
    document = openapi.document(ROUTES)
    assert list(document["components"]["securitySchemes"]) == ["key"]
    for operation in OPERATIONS:
        told = document["paths"][operation.path][operation.method.lower()]
        assert told["security"] == ([] if operation.scope == "none" else [{"key": []}])
        assert {"401", "403"} <= told["responses"].keys() or operation.scope == "none"
