"""Buses, rules, history, dead letters and pattern tests, as an operator sees them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from eventyard.core import limits
from tests.support import targets
from tests.support.buses import ServedBus
from tests.support.targets import Target

EVENT = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.paid", "data": {"total": 29.5}}
RULE = {"pattern": {"type": ["order.paid"]}, "target": {"http": {"url": "http://127.0.0.1:9/events"}}}


@pytest.fixture
def refusing() -> Iterator[Target]:
    with Target(targets.answers(400, body=b"no such order")) as target:
        yield target


QUEUED: dict[str, Any] = {"target": {"queue": {}}}


def put_rule(door: ServedBus, bus: str, **changes: Any) -> Any:
    answer = door.put(f"/v1/buses/{bus}/rules/rewards", json=RULE | changes)
    assert answer.is_success, answer.text
    return answer.json()


# The door itself


def test_the_index_names_the_main_addresses(door: ServedBus) -> None:
    answer = door.get("/")
    assert answer.json()["name"] == "eventyard"
    for address in ("openapi", "buses", "healthy", "ready"):
        assert door.get(answer.json()[address]).status_code == 200


def test_readiness_names_what_is_not_ready(door: ServedBus) -> None:
    ready = door.get("/readyz").json()
    assert (ready["ready"], ready["waiting_for"], ready["damaged"]) == (True, [], {})
    door.unready.append("stopping")
    answer = door.get("/readyz")
    door.unready.clear()
    assert (answer.status_code, answer.json()["ready"], answer.json()["waiting_for"]) == (503, False, ["stopping"])
    assert door.get("/healthz").json() == {"alive": True}


def test_head_answers_as_get_without_the_body(door: ServedBus, name: str) -> None:
    get, head = door.get(f"/v1/buses/{name}"), door.request("HEAD", f"/v1/buses/{name}")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


def test_an_unknown_method_is_told_the_known_ones(door: ServedBus, name: str) -> None:
    answer = door.request("PATCH", f"/v1/buses/{name}/rules/r")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, HEAD, PUT")
    assert answer.json()["type"] == "urn:eventyard:problem:method-not-allowed"


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/buses/", "/v1/buses/default/events/1/2", "/v2/buses", "/v1//buses", "/v1/buses/default/rules/a/b"]
)
def test_an_unknown_address_is_a_problem(door: ServedBus, path: str) -> None:
    answer = door.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_every_answer_forbids_guessing_and_keeping_it(door: ServedBus) -> None:
    for answer in (door.get("/"), door.get("/nowhere"), door.publish("default", EVENT)):
        assert (answer.headers["x-content-type-options"], answer.headers["cache-control"]) == ("nosniff", "no-store")
        assert "server" not in answer.headers


# Buses


def test_a_bus_is_created_once(door: ServedBus) -> None:
    first, second = door.put("/v1/buses/orders"), door.put("/v1/buses/orders", json={})
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json() == door.get("/v1/buses/orders").json()
    assert first.json() | {"created": ""} == {
        "name": "orders",
        "created": "",
        "head": 0,
        "floor": 1,
        "bytes": 0,
        "retention": {"max_age_s": 604_800.0, "max_bytes": 10 * 1024**3, "dead_letters_s": 2_592_000.0},
    }
    assert "orders" in [bus["name"] for bus in door.get("/v1/buses").json()["buses"]]


def test_the_default_bus_always_exists(door: ServedBus) -> None:
    assert door.get("/v1/buses/default").status_code == 200
    assert door.delete("/v1/buses/default").status_code == 400


def test_a_deleted_bus_is_gone_and_its_name_is_free_again(door: ServedBus, name: str) -> None:
    door.publish(name, EVENT)
    answer = door.delete(f"/v1/buses/{name}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert door.get(f"/v1/buses/{name}/events").status_code == 404
    door.wait_until(lambda: door.put(f"/v1/buses/{name}").status_code == 201)
    assert door.events(name) == []


# Rules


def test_a_rule_answers_as_its_document_with_its_state(door: ServedBus, name: str) -> None:
    created = put_rule(door, name, owner="team-rewards", start="earliest")
    state = created.pop("state")
    assert created == {
        "name": "rewards",
        "pattern": RULE["pattern"],
        "target": {
            "http": {
                "url": "http://127.0.0.1:9/events",
                "mode": "structured",
                "timeout_s": 10.0,
                "headers": {},
                "method": "POST",
                "signing": None,
                "auth": None,
                "reply": False,
                "batch": None,
                "handshake": "off",
            }
        },
        "start": "earliest",
        "delivery": {
            "max_attempts": 185,
            "max_age_s": 86400.0,
            "backoff": {"initial_s": 1.0, "factor": 2.0, "max_s": 600.0},
            "order": "none",
            "key": "",
            "concurrency": 16,
            "backlog": {"max_bytes": 10 * 1024**3, "max_age_s": 604_800.0},
            "answers": {},
            "rate_per_s": None,
            "breaker": {
                "failure_share": 0.5,
                "window_s": 30.0,
                "min_requests": 20,
                "open_s": 10.0,
                "probes": 1,
                "successes": 3,
                "slow_start_s": 10.0,
            },
            "pause_after_s": 432_000.0,
        },
        "replay": "mark",
        "description": "",
        "owner": "team-rewards",
    }
    assert (state["status"], state["paused"], state["uid"], state["version"]) == ("live", False, 1, 1)
    assert door.get(f"/v1/buses/{name}/rules/rewards").json() == created | {"state": state}


def test_a_rules_document_can_be_put_as_it_was_answered(door: ServedBus, name: str) -> None:
    answered = put_rule(door, name, start={"position": 1})
    document = {field: value for field, value in answered.items() if field not in ("name", "state")}
    assert door.put(f"/v1/buses/{name}/rules/rewards", json=document).json() == answered


def test_a_rule_is_created_with_201_and_changed_with_200(door: ServedBus, name: str) -> None:
    path = f"/v1/buses/{name}/rules/rewards"
    assert [door.put(path, json=RULE | {"owner": owner}).status_code for owner in ("a", "b", "b")] == [201, 200, 200]
    assert door.get(path).json()["state"]["version"] == 2


def test_a_pattern_is_answered_as_it_was_written(door: ServedBus, name: str) -> None:
    pattern = b'{ "data": {"n": [1.10, 1e3]} }'
    document = b'{"pattern":%s,"target":{"http":{"url":"http://127.0.0.1:9/"}}}' % pattern
    answer = door.put(f"/v1/buses/{name}/rules/r", content=document)
    assert pattern in answer.content
    assert pattern in door.get(f"/v1/buses/{name}/rules").content


def test_rules_are_listed_by_name_in_pages(door: ServedBus, name: str) -> None:
    for rule in ("c", "a", "b"):
        door.put(f"/v1/buses/{name}/rules/{rule}", json=RULE)
    first = door.get(f"/v1/buses/{name}/rules?limit=2").json()
    rest = door.get(f"/v1/buses/{name}/rules", params={"after": first["next"]}).json()
    assert [rule["name"] for rule in first["rules"] + rest["rules"]] == ["a", "b", "c"]
    assert rest["next"] is None


def test_a_deleted_rule_is_gone(door: ServedBus, name: str) -> None:
    put_rule(door, name)
    assert door.delete(f"/v1/buses/{name}/rules/rewards").status_code == 204
    assert door.get(f"/v1/buses/{name}/rules/rewards").status_code == 404
    assert door.delete(f"/v1/buses/{name}/rules/rewards").status_code == 404


def test_a_paused_rule_gathers_and_a_resumed_one_delivers(door: ServedBus, name: str) -> None:
    with Target(targets.answers(204)) as target:
        put_rule(door, name, target={"http": {"url": target.url}})
        path = f"/v1/buses/{name}/rules/rewards"
        assert door.post(path + "/pause").json()["state"]["paused"] is True
        door.publish(name, EVENT)
        status = door.get(path + "/status").json()
        assert (status["paused"], status["waiting"], status["delivered"]) == (True, 1, 0)
        assert door.post(path + "/resume", json={}).json()["state"]["paused"] is False
        door.wait_until(lambda: door.get(path + "/status").json()["delivered"] == 1)
        assert json.loads(target.requests[0].body) == EVENT


def test_a_rule_is_changed_and_deleted_only_in_the_version_that_was_seen(door: ServedBus, name: str) -> None:
    path = f"/v1/buses/{name}/rules/r"
    document = QUEUED | {"pattern": {"type": ["a"]}}
    new = {"if-none-match": "*"}
    first = door.put(path, json=document, headers=new)
    assert (first.status_code, first.headers["etag"]) == (201, '"1"')
    assert door.put(path, json=document, headers=new).status_code == 200  # It is as asked: the answer may have been lost.
    assert door.put(path, json=document | {"owner": "t"}, headers=new).json()["type"].endswith("version-conflict")
    assert door.put(path, json=document | {"owner": "t"}, headers={"if-match": '"1"'}).headers["etag"] == '"2"'
    assert door.get(path).headers["etag"] == '"2"'
    late = door.put(path, json=document | {"owner": "u"}, headers={"if-match": '"1"'})
    assert (late.status_code, late.json()["found"]) == (412, 'found the rule "r" in version 2')
    assert door.delete(path, headers={"if-match": '"1"'}).status_code == 412
    assert door.get(path).json()["owner"] == "t"
    assert door.delete(path, headers={"if-match": '"2"'}).status_code == 204
    assert door.put(path, json=document, headers={"if-match": '"2"'}).json()["found"] == 'found no rule "r"'


@pytest.mark.parametrize(
    ("header", "value"),
    [("if-match", "*"), ("if-match", '"1", "2"'), ("if-match", 'W/"1"'), ("if-match", "1"), ("if-none-match", '"1"')],
)
def test_a_condition_that_is_not_understood_is_refused(door: ServedBus, name: str, header: str, value: str) -> None:
    answer = door.put(f"/v1/buses/{name}/rules/r", json=QUEUED | {"pattern": {"type": ["a"]}}, headers={header: value})
    assert (answer.status_code, answer.json()["at"]) == (400, f"header {header}")
    assert door.get(f"/v1/buses/{name}/rules/r").status_code == 404


def test_where_all_rules_stand_is_one_list_by_name(door: ServedBus, name: str) -> None:
    for rule in ("a", "b", "c"):
        assert (
            door.put(f"/v1/buses/{name}/rules/{rule}", json=QUEUED | {"pattern": {"type": ["order.paid"]}}).status_code == 201
        )
    door.publish(name, EVENT)
    first = door.get(f"/v1/buses/{name}/statuses", params={"limit": 2}).json()
    rest = door.get(f"/v1/buses/{name}/statuses", params={"limit": 2, "after": first["next"]}).json()
    assert (first["next"], rest["next"]) == ("b", None)
    for found in [*first["statuses"], *rest["statuses"]]:
        alone = door.get(f"/v1/buses/{name}/rules/{found['name']}/status").json()
        assert found | {"oldest_age_s": 0} == alone | {"oldest_age_s": 0}
    assert [found["name"] for found in rest["statuses"]] == ["c"]
    assert door.get("/v1/buses/nowhere/statuses").status_code == 404


# History


def test_history_is_read_in_pages_both_ways(door: ServedBus, name: str) -> None:
    for number in range(1, 6):
        door.publish(name, EVENT | {"id": str(number)})
    for order, expected in (("asc", [1, 2, 3, 4, 5]), ("desc", [5, 4, 3, 2, 1])):
        positions, after = [], "0"
        while after is not None:
            page = door.get(f"/v1/buses/{name}/events", params={"limit": 2, "order": order, "after": after}).json()
            positions += [event["position"] for event in page["events"]]
            after = page["next"]
        assert positions == expected


def test_history_is_filtered_by_pattern_and_time(door: ServedBus, name: str) -> None:
    for number, kind in enumerate(("a", "b", "a")):
        door.publish(name, EVENT | {"id": str(number), "type": kind})
    path = f"/v1/buses/{name}/events"
    found = door.get(path, params={"pattern": '{"type":["a"]}'}).json()["events"]
    assert [event["position"] for event in found] == [1, 3]
    accepted = found[1]["accepted"]
    assert [event["position"] for event in door.get(path, params={"from": accepted}).json()["events"]][-1] == 3
    assert door.get(path, params={"until": "2001-01-01T00:00:00+02:00"}).json() == {"events": [], "next": None}


def test_a_page_holds_no_more_bytes_than_an_answer_may(door: ServedBus, name: str) -> None:
    size = limits.EVENT_BYTES_MAX - 1000
    for number in range(10):
        door.publish(name, EVENT | {"id": str(number), "data": "x" * size})
    page = door.get(f"/v1/buses/{name}/events?limit=10")
    assert len(page.content) < limits.ANSWER_BYTES_MAX + 10_000
    rest = door.get(f"/v1/buses/{name}/events", params={"after": page.json()["next"]}).json()
    assert len(page.json()["events"]) + len(rest["events"]) == 10


def test_one_event_is_found_by_its_position(door: ServedBus, name: str) -> None:
    door.publish(name, EVENT)
    answer = door.get(f"/v1/buses/{name}/events/1").json()
    assert (answer["position"], answer["event"]) == (1, EVENT)
    assert door.get(f"/v1/buses/{name}/events/2").status_code == 404


# Dead letters


def test_a_dead_letter_tells_why_it_died_and_goes_back(door: ServedBus, name: str, refusing: Target) -> None:
    put_rule(door, name, target={"http": {"url": refusing.url}})
    path = f"/v1/buses/{name}/rules/rewards"
    door.publish(name, EVENT)
    door.wait_until(lambda: door.get(path + "/status").json()["dead"] == 1)
    status = door.get(path + "/status").json()
    told = door.get(f"/v1/buses/{name}/events/3").json()["event"]
    assert (status["failing"], status["failing_since"]) == (True, told["data"]["since"])
    page = door.get(path + "/dead-letters").json()
    [letter] = page["dead_letters"]
    assert page["next"] is None
    assert (letter["position"], letter["reason"], letter["attempts"], letter["event"]) == (2, "answer", 1, EVENT)
    assert letter["last_answer"] | {"at": ""} == {"status": 400, "failure": "", "body": "no such order", "at": ""}
    answer = door.post(path + "/dead-letters/redrive", json={"ids": [letter["id"]]})
    assert (answer.status_code, answer.json()["moved"], answer.json()["running"]) == (202, 1, False)
    refusing.wait_for_requests(2)
    door.wait_until(lambda: door.get(path + "/status").json()["dead"] == 1)


def test_dead_letters_are_listed_in_pages_and_all_go_back(door: ServedBus, name: str, refusing: Target) -> None:
    put_rule(door, name, target={"http": {"url": refusing.url}})
    path = f"/v1/buses/{name}/rules/rewards"
    for number in range(3):
        door.publish(name, EVENT | {"id": str(number)})
    door.wait_until(lambda: door.get(path + "/status").json()["dead"] == 3)
    first = door.get(path + "/dead-letters?limit=2").json()
    rest = door.get(path + "/dead-letters", params={"after": first["next"]}).json()
    assert [letter["event"]["id"] for letter in first["dead_letters"] + rest["dead_letters"]] == ["0", "1", "2"]
    assert door.post(path + "/dead-letters/redrive", json={"all": True}).json()["moved"] == 3
    refusing.wait_for_requests(6)
    door.wait_until(lambda: door.get(path + "/status").json()["dead"] == 3)


# Patterns


@pytest.mark.parametrize(
    ("pattern", "event", "match"),
    [
        ('{"a": [1]}', '{"a": 1}', True),
        ('{"a": [1]}', '{"a": 2}', False),
        ('{"a": [10000000000000000001]}', '{"a": 10000000000000000002}', False),
        ('{"a": [1e400]}', '{"a": 1e400}', True),
    ],
)
def test_a_pattern_is_tested_on_any_object(door: ServedBus, pattern: str, event: str, *, match: bool) -> None:
    answer = door.post("/v1/patterns/test", content=f'{{"pattern": {pattern}, "event": {event}}}')
    assert (answer.status_code, answer.json()["match"]) == (200, match)
    assert answer.json()["why"]


def test_a_pattern_of_eventbridge_is_tested_in_its_names(door: ServedBus) -> None:
    test = {
        "pattern": {"detail-type": ["EC2 Instance State-change Notification"], "detail": {"state": ["running"]}},
        "event": {"detail-type": "EC2 Instance State-change Notification", "detail": {"state": "running", "n": 10**30}},
    }
    assert door.post("/v1/patterns/test", json=test | {"eventbridge": True}).json()["match"] is True
    assert door.post("/v1/patterns/test", json=test).json()["match"] is True
    mixed = test | {"event": {"type": test["event"]["detail-type"], "data": {"state": "running"}}}
    assert door.post("/v1/patterns/test", json=mixed).json()["match"] is False
    assert door.post("/v1/patterns/test", json=mixed | {"eventbridge": True}).json()["match"] is True


# Transforms


def shaped_by(door: ServedBus, event: Any, **http: Any) -> Any:
    target = {"http": {"url": "https://api.example.com/v1", **http}}
    answer = door.post("/v1/transforms/test", json={"target": target, "event": event})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_transform_is_tested_and_nothing_secret_is_shown(door: ServedBus) -> None:
    transform = {"template": {"paths": {"id": "data.id"}, "path": "/orders/<id>", "body": {"id": "<id>"}}}
    headers = {"authorization": {"secret": "Bearer x"}, "x-tenant": "acme"}
    answer = shaped_by(door, {"data": {"id": 7}}, method="PUT", headers=headers, transform=transform)
    assert answer == {
        "request": {
            "method": "PUT",
            "url": "https://api.example.com/v1/orders/7",
            "headers": {"content-type": "application/json", "authorization": "(not shown)", "x-tenant": "acme"},
            "body": '{"id":7}',
        },
        "failure": "",
    }
    assert shaped_by(door, {"data": {}}, transform=transform) == {
        "request": None,
        "failure": "body: found nothing at data.id",
    }


def test_a_rule_tells_its_transform_as_it_was_put(door: ServedBus, name: str) -> None:
    template = {"paths": {"id": {"path": "data.id", "default": 1}}, "body": {"id": "<id>"}, "query": {"a": "b"}}
    http = {"url": "http://127.0.0.1:9/", "method": "PATCH", "transform": {"template": template}}
    put = put_rule(door, name, target={"http": http})
    assert (put["target"]["http"]["method"], put["target"]["http"]["transform"]) == ("PATCH", {"template": template})
    again = put_rule(door, name, target={"http": http})
    assert again["state"]["version"] == put["state"]["version"]


def test_a_delivery_that_could_not_be_shaped_tells_why_everywhere(door: ServedBus, name: str) -> None:
    transform = {"template": {"paths": {"it": "data.missing"}, "body": {"it": "<it>"}}}
    put_rule(door, name, target={"http": {"url": "http://127.0.0.1:9/", "transform": transform}})
    position = door.publish(name, EVENT).json()["position"]
    path = f"/v1/buses/{name}/rules/rewards"
    door.wait_until(lambda: door.get(path + "/status").json()["dead"] == 1)
    (letter,) = door.get(path + "/dead-letters", params={"reason": "transform"}).json()["dead_letters"]
    why = "the transform failed: body: found nothing at data.missing"
    assert (letter["reason"], letter["last_answer"]["failure"]) == ("transform", why)
    explained = door.get(f"/v1/buses/{name}/events/{position}/explain").text
    assert why in explained
    assert "could not make a request of it" in explained
    tried = door.post(
        path + "/dead-letters/redrive",
        json={"all": True, "target": {"http": {"url": "http://127.0.0.1:9/", "transform": transform}}},
    )
    assert tried.json()["results"][0]["failure"] == "nothing was sent: " + why


JSONATA = {"body": '{"id": data.id}', "path": '["orders", data.id]', "query": {"q": "data.q"}}


def test_a_transform_in_jsonata_is_tested(door: ServedBus) -> None:
    answer = shaped_by(door, {"data": {"id": "a/b"}}, method="PUT", transform={"jsonata": JSONATA})
    assert (answer["request"]["url"], answer["request"]["body"]) == ("https://api.example.com/v1/orders/a%2Fb", '{"id":"a/b"}')
    assert (
        shaped_by(door, {"data": {}}, transform={"jsonata": {"body": "data.id"}})["failure"]
        == "body: found nothing; wanted a body"
    )
    looping = {"jsonata": {"body": "($f := function($x){ $f($x + 1) }; $f(1))"}}
    assert "processor time" in shaped_by(door, {"data": {}}, transform=looping)["failure"]
    assert door.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("jsonata", "place", "found"),
    [
        ({"body": '{"a": data.b'}, "/body", "at character 12"),
        ({"body": "id", "headers": {"x-id": "id +"}}, "/headers/x-id", "at character 4"),
        ({"path": ")"}, "/path", "found"),
    ],
)
def test_an_expression_that_cannot_be_read_is_refused_where_it_is_wrong(
    door: ServedBus, name: str, jsonata: Any, place: str, found: str
) -> None:
    rule = RULE | {"target": {"http": {"url": "http://127.0.0.1:9/", "transform": {"jsonata": jsonata}}}}
    answer = door.put(f"/v1/buses/{name}/rules/r", json=rule)
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (400, "urn:eventyard:problem:invalid-rule")
    assert problem["at"] == "/target/http/transform/jsonata" + place
    assert found in problem["found"]
    assert door.get(f"/v1/buses/{name}/rules").json()["rules"] == []


def test_a_rule_in_jsonata_pushes_and_one_that_loops_stalls_nobody(door: ServedBus, name: str) -> None:
    loops = "($f := function($x){ $f($x + 1) }; $f(1))"
    with Target(targets.answers(200)) as target:
        for rule, body in (("good", '{"total": data.total}'), ("bad", loops)):
            http = {"url": target.url, "transform": {"jsonata": {"body": body}}}
            assert door.put(f"/v1/buses/{name}/rules/{rule}", json=RULE | {"target": {"http": http}}).status_code == 201
        door.publish(name, EVENT)
        target.wait_for_requests(1)
        assert json.loads(target.requests[0].body) == {"total": 29.5}
        path = f"/v1/buses/{name}/rules/bad"
        door.wait_until(lambda: door.get(path + "/status").json()["dead"] == 1)
        (letter,) = door.get(path + "/dead-letters").json()["dead_letters"]
        assert (letter["reason"], "processor time" in letter["last_answer"]["failure"]) == ("transform", True)
        assert len(target.requests) == 1


def test_evaluations_for_whoever_tries_are_bounded(door: ServedBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EXPRESSIONS_TRIED_MAX", 0)
    body = {"target": {"http": {"url": "http://a.example/", "transform": {"jsonata": {"body": "id"}}}}, "event": {}}
    answer = door.post("/v1/transforms/test", json=body)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:eventyard:problem:overloaded")
