"""The OpenAPI document says what the table of routes says, and all it refers to is there."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from eventyard.surfaces.http.problems import STATUSES
from eventyard.surfaces.http.routes import ROUTES
from tests.support.buses import ServedBus


def every_node(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from every_node(child)


def resolved(document: dict[str, Any], reference: str) -> Any:
    node: Any = document
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def test_every_route_is_in_the_document_and_nothing_else(door: ServedBus) -> None:
    document = door.get("/v1/openapi.json").json()
    told = {(method.upper(), path) for path, item in document["paths"].items() for method in item if method != "parameters"}
    assert told == {(route.method, route.path) for route in ROUTES}


def test_every_reference_leads_somewhere(door: ServedBus) -> None:
    document = door.get("/v1/openapi.json").json()
    references = [node["$ref"] for node in every_node(document) if "$ref" in node]
    assert len(references) > 50
    for reference in references:
        assert isinstance(resolved(document, reference), dict)


def test_every_operation_has_a_name_of_its_own_answers_and_problems(door: ServedBus) -> None:
    paths = door.get("/v1/openapi.json").json()["paths"]
    operations = [operation for item in paths.values() for method, operation in item.items() if method != "parameters"]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert any(status.startswith("2") for status in operation["responses"])
        problem = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
        assert problem == {"$ref": "#/components/schemas/Problem"}
        assert all(response["description"] for response in operation["responses"].values())


def test_every_name_in_a_path_is_a_parameter(door: ServedBus) -> None:
    document = door.get("/v1/openapi.json").json()
    for path, item in document["paths"].items():
        parameters = [resolved(document, parameter["$ref"]) for parameter in item["parameters"]]
        assert [parameter["name"] for parameter in parameters] == re.findall(r"\{(\w+)\}", path)
        assert all(parameter["in"] == "path" and parameter["required"] for parameter in parameters)


def test_query_fields_have_their_bounds(door: ServedBus) -> None:
    operation = door.get("/v1/openapi.json").json()["paths"]["/v1/buses/{bus}/events"]["get"]
    by_name = {parameter["name"]: parameter["schema"] for parameter in operation["parameters"]}
    assert list(by_name) == ["after", "from", "until", "pattern", "limit", "order"]
    assert by_name["limit"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
    assert by_name["order"]["enum"] == ["asc", "desc"]


def test_publishing_takes_the_three_content_modes(door: ServedBus) -> None:
    operation = door.get("/v1/openapi.json").json()["paths"]["/v1/buses/{bus}/events"]["post"]
    media = operation["requestBody"]["content"]
    assert list(media) == ["application/cloudevents+json", "application/cloudevents-batch+json", "*/*"]


def test_a_problem_names_its_status_as_the_table_has_it(door: ServedBus) -> None:
    responses = door.get("/v1/openapi.json").json()["paths"]["/v1/buses/{bus}/events"]["post"]["responses"]
    for status, response in responses.items():
        for code in re.findall(r"problem:([a-z-]+)", response["description"]):
            assert {kind.code: told for kind, told in STATUSES.items()}[code] == int(status)


@pytest.mark.parametrize("text", ['"1"', '"10"', '"0"', '"01"', "1", "*", 'W/"1"', '"1", "2"', '"12345678901234567"'])
@pytest.mark.parametrize("header", ["if-match", "if-none-match"])
def test_the_form_of_a_condition_is_the_one_that_is_taken(door: ServedBus, header: str, text: str) -> None:
    operation = door.get("/v1/openapi.json").json()["paths"]["/v1/buses/{bus}/rules/{rule}"]["put"]
    pattern = {parameter["name"]: parameter["schema"]["pattern"] for parameter in operation["parameters"]}[header]
    rule: dict[str, Any] = {"pattern": {}, "target": {"queue": {}}}
    refused = door.put("/v1/buses/default/rules/r", json=rule, headers={header: text}).json().get("at") == f"header {header}"
    assert refused == (re.search(pattern, text) is None)


def test_a_time_in_a_query_may_be_empty_and_the_document_says_so(door: ServedBus) -> None:
    operation = door.get("/v1/openapi.json").json()["paths"]["/v1/buses/{bus}/events"]["get"]
    until = next(parameter["schema"] for parameter in operation["parameters"] if parameter["name"] == "until")
    assert until["anyOf"] == [{"format": "date-time"}, {"maxLength": 0}]
    assert door.get("/v1/buses/default/events?until=").status_code == 200
    assert door.get("/v1/buses/default/events?until=0").status_code == 400
