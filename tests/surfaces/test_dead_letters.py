"""Dead letters at the door: found by why, when and under which key they died; counted, tried, put back, discarded, skipped."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import targets
from tests.support.buses import ServedBus
from tests.support.targets import Target

FORBIDDEN = "http://10.0.0.1/events"


@pytest.fixture
def refusing() -> Iterator[Target]:
    with Target(targets.answers(422, body=b"no such order")) as target:
        yield target


def event(number: int, **attributes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": str(number), "source": "/shop", "type": "order.paid"} | attributes


def put_rule(door: ServedBus, bus: str, url: str, **delivery: Any) -> str:
    """A rule of one attempt. Its address."""
    path = f"/v1/buses/{bus}/rules/rewards"
    document = {
        "pattern": {"type": ["order.paid"]},
        "target": {"http": {"url": url}},
        "delivery": {"max_attempts": 1} | delivery,
    }
    assert door.put(path, json=document).is_success
    return path


def status(door: ServedBus, rule: str) -> Any:
    return door.get(f"{rule}/status").json()


def letters(door: ServedBus, rule: str, **query: str) -> list[Any]:
    answer = door.get(f"{rule}/dead-letters", params=query)
    assert answer.is_success, answer.text
    found: list[Any] = answer.json()["dead_letters"]
    return found


def acted(door: ServedBus, rule: str, verb: str, **body: Any) -> Any:
    answer = door.post(f"{rule}/dead-letters/{verb}", json=body)
    assert answer.is_success, answer.text
    return answer.json()


def dead_by_key(door: ServedBus, bus: str, refusing: Target, keys: list[Any]) -> str:
    """A rule that keeps order by `data.key`, with a dead letter for each of these keys and one event behind it."""
    rule = put_rule(door, bus, refusing.url, order="key", key="data.key")
    for number, key in enumerate(keys * 2):
        door.publish(bus, event(number, data={"key": key}))
    door.wait_until(lambda: status(door, rule)["dead"] == len(keys))
    return rule


# Found


@pytest.mark.parametrize(
    ("asked", "key"), [("o-1", "o-1"), ("7", 7), ("7", "7"), ("7.0", 7), ('"o-1"', "o-1"), ("true", True), ("null", "null")]
)
def test_a_key_in_a_query_is_its_text_or_the_json_that_it_spells(
    door: ServedBus, name: str, refusing: Target, asked: str, key: Any
) -> None:
    rule = dead_by_key(door, name, refusing, [key, "other", [1]])
    [letter] = letters(door, rule, key=asked)
    assert (letter["key"], letter["parked"], letter["run"]) == (key, 1, 0)
    assert acted(door, rule, "redrive", filter={"key": key}, dry_run=True) == {"count": 1}


def test_dead_letters_are_found_by_reason_and_time(door: ServedBus, name: str, refusing: Target) -> None:
    rule = put_rule(door, name, refusing.url)
    door.publish(name, event(1))
    door.wait_until(lambda: status(door, rule)["dead"] == 1)
    died = letters(door, rule)[0]["died"]
    assert len(letters(door, rule, reason="answer", **{"from": died})) == 1
    assert letters(door, rule, reason="attempts") == []
    assert letters(door, rule, until=died) == []
    assert acted(door, rule, "redrive", filter={"reason": "answer", "from": died}, dry_run=True) == {"count": 1}
    assert acted(door, rule, "purge", filter={"until": died}, dry_run=True) == {"count": 0}
    assert status(door, rule)["dead"] == 1


def test_a_page_of_what_is_seldom_meant_can_be_empty_and_go_on(
    door: ServedBus, name: str, refusing: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = put_rule(door, name, refusing.url)
    door.publish(name, [event(number) for number in range(3)], "application/cloudevents-batch+json")
    door.wait_until(lambda: status(door, rule)["dead"] == 3)
    monkeypatch.setattr("eventyard.core.limits.SCAN_EVENTS_MAX", 2)
    first = door.get(f"{rule}/dead-letters", params={"reason": "age"}).json()
    assert (first["dead_letters"], first["next"]) == ([], "3-0")
    rest = door.get(f"{rule}/dead-letters", params={"reason": "age", "after": first["next"]}).json()
    assert rest == {"dead_letters": [], "next": None}


# Tried


def test_a_trial_pushes_to_another_target_and_changes_nothing(door: ServedBus, name: str, refusing: Target) -> None:
    rule = put_rule(door, name, refusing.url)
    door.publish(name, event(1))
    door.wait_until(lambda: status(door, rule)["dead"] == 1)
    before, head = letters(door, rule), door.get(f"/v1/buses/{name}").json()["head"]
    with Target(targets.answers(200, body=b"thanks")) as other:
        answer = acted(door, rule, "redrive", all=True, target={"http": {"url": other.url}})
        [pushed] = other.requests
    [result] = answer["results"]
    assert result | {"elapsed_s": 0} == {"id": before[0]["id"], "status": 200, "failure": "", "body": "thanks", "elapsed_s": 0}
    assert (json.loads(pushed.body), pushed.headers["eventyard-test"]) == (event(1), "true")
    assert pushed.headers["eventyard-delivery"] == before[0]["id"]
    assert (letters(door, rule), door.get(f"/v1/buses/{name}").json()["head"]) == (before, head)
    assert len(refusing.requests) == 1


def test_a_trial_tells_of_a_target_that_does_not_answer(door: ServedBus, name: str, refusing: Target) -> None:
    rule = put_rule(door, name, refusing.url)
    door.publish(name, event(1))
    door.wait_until(lambda: status(door, rule)["dead"] == 1)
    with Target(targets.close_after_request) as other:
        ids = [letters(door, rule)[0]["id"]]
        [result] = acted(door, rule, "redrive", ids=ids, target={"http": {"url": other.url}})["results"]
    assert (result["status"], result["failure"]) == (0, "connection closed without an answer")


def test_a_trial_takes_the_first_few_and_no_address_that_is_forbidden(
    door: ServedBus, name: str, refusing: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventyard.core.limits.TRIAL_LETTERS_MAX", 2)
    rule = put_rule(door, name, refusing.url)
    door.publish(name, [event(number) for number in range(3)], "application/cloudevents-batch+json")
    door.wait_until(lambda: status(door, rule)["dead"] == 3)
    known = letters(door, rule)
    results = acted(door, rule, "redrive", all=True, target={"http": {"url": refusing.url}})["results"]
    assert [result["id"] for result in results] == [letter["id"] for letter in known[:2]]
    forbidden = door.post(f"{rule}/dead-letters/redrive", json={"all": True, "target": {"http": {"url": FORBIDDEN}}})
    assert (forbidden.status_code, forbidden.json()["type"]) == (400, "urn:eventyard:problem:forbidden-target")
    many = {"ids": [letter["id"] for letter in known], "target": {"http": {"url": refusing.url}}}
    assert door.post(f"{rule}/dead-letters/redrive", json=many).json()["at"] == "/ids"
    strange = {"ids": [known[0]["id"] + "9"], "target": {"http": {"url": refusing.url}}}
    assert door.post(f"{rule}/dead-letters/redrive", json=strange).status_code == 404


# Discarded, skipped, put back


def test_purged_dead_letters_are_discarded_and_recorded(door: ServedBus, name: str, refusing: Target) -> None:
    rule = put_rule(door, name, refusing.url)
    door.publish(name, [event(number) for number in range(3)], "application/cloudevents-batch+json")
    door.wait_until(lambda: status(door, rule)["dead"] == 3)
    first = letters(door, rule)[0]["id"]
    assert acted(door, rule, "purge", ids=[first], dry_run=True) == {"count": 1}
    assert acted(door, rule, "purge", ids=[first])["moved"] == 1
    done = acted(door, rule, "purge", all=True)
    assert (done["moved"], done["running"]) == (2, False)
    assert (status(door, rule)["dead"], status(door, rule)["discarded"]) == (0, 3)
    assert door.get(f"/v1/buses/{name}/events/{done['position']}").json()["event"]["type"] == "io.eventyard.rule.purged"


def test_a_purge_takes_what_is_parked_behind_it_where_that_is_asked(door: ServedBus, name: str, refusing: Target) -> None:
    rule = dead_by_key(door, name, refusing, ["a", "b"])
    [letter] = letters(door, rule, key="a")
    assert acted(door, rule, "purge", ids=[letter["id"]], parked=True, dry_run=True) == {"count": 2}
    assert acted(door, rule, "purge", ids=[letter["id"]], parked=True)["moved"] == 2
    assert (status(door, rule)["parked"], status(door, rule)["discarded"]) == (1, 2)


def test_a_skipped_key_goes_on_and_what_was_skipped_comes_back_only_out_of_order(
    door: ServedBus, name: str, refusing: Target
) -> None:
    rule = dead_by_key(door, name, refusing, ["a", 2])
    [head] = letters(door, rule, key="2")
    assert acted(door, rule, "skip", keys=[2])["moved"] == 1
    door.wait_until(lambda: [one["event"]["id"] for one in letters(door, rule, key="2")] == [event(3)["id"]])
    assert acted(door, rule, "redrive", ids=[head["id"]])["moved"] == 0
    assert acted(door, rule, "redrive", ids=[head["id"]], out_of_order=True, dry_run=True) == {"count": 1}
    assert acted(door, rule, "redrive", ids=[head["id"]], out_of_order=True)["moved"] == 1
    assert acted(door, rule, "skip", ids=[letters(door, rule, key="a")[0]["id"]])["moved"] == 1


def test_a_redrive_can_be_spread_over_time(door: ServedBus, name: str, refusing: Target) -> None:
    rule = put_rule(door, name, refusing.url)
    door.publish(name, [event(number) for number in range(3)], "application/cloudevents-batch+json")
    door.wait_until(lambda: status(door, rule)["dead"] == 3)
    assert acted(door, rule, "redrive", all=True, per_s=0.001)["moved"] == 3
    refusing.wait_for_requests(4)
    door.wait_until(lambda: (status(door, rule)["dead"], status(door, rule)["waiting"]) == (1, 2))


@pytest.mark.parametrize(
    ("verb", "body", "at"),
    [
        ("redrive", {}, "/ids"),
        ("redrive", {"ids": ["x"], "all": True}, "/ids"),
        ("redrive", {"all": True, "filter": {}}, "/ids"),
        ("redrive", {"ids": []}, "/ids"),
        ("redrive", {"ids": ["x"] * 1001}, "/ids"),
        ("redrive", {"ids": ["x"]}, "/ids/0"),
        ("redrive", {"all": True, "out_of_order": True}, "/out_of_order"),
        ("redrive", {"all": True, "per_s": 0}, "/per_s"),
        ("redrive", {"all": True, "per_s": 1e-308}, "/per_s"),
        ("redrive", {"all": True, "per_s": 1e9}, "/per_s"),
        ("redrive", {"all": True, "dryrun": True}, "/dryrun"),
        ("redrive", {"filter": {"reason": "boredom"}}, "/filter/reason"),
        ("redrive", {"filter": {"from": "yesterday"}}, "/filter/from"),
        ("redrive", {"filter": {"key": None}}, "/filter/key"),
        ("redrive", {"filter": {"key": "a"}}, ""),
        ("redrive", {"all": True, "target": {"queue": {}}}, "/target/queue"),
        ("redrive", {"all": True, "target": {"http": {"url": "http://127.0.0.1:9/"}}, "per_s": 1}, "/target"),
        ("redrive", {"all": True, "target": {"http": {"url": "ftp://127.0.0.1/"}}}, "/target/http/url"),
        ("purge", {}, "/ids"),
        ("purge", {"all": True, "parked": True}, "/parked"),
        ("purge", {"ids": ["deadbeef-1-2-0"]}, "/ids/0"),
        ("skip", {}, "/ids"),
        ("skip", {"ids": ["x"], "keys": ["a"]}, "/ids"),
        ("skip", {"keys": [None]}, "/keys/0"),
        ("skip", {"keys": []}, "/keys"),
        ("skip", {"keys": ["a"]}, ""),
    ],
)
def test_what_cannot_be_done_is_refused_at_its_place(
    door: ServedBus, name: str, verb: str, body: dict[str, Any], at: str
) -> None:
    rule = put_rule(door, name, "http://127.0.0.1:9/")
    answer = door.post(f"{rule}/dead-letters/{verb}", json=body)
    assert (answer.status_code, answer.json()["at"]) == (400, at)
    assert door.get(f"/v1/buses/{name}").json()["head"] == 1


@pytest.mark.parametrize(
    ("query", "at"),
    [
        ("reason=boredom", "query reason"),
        ("from=yesterday", "query from"),
        ("after=1", "query after"),
        ("key=a", ""),
    ],
)
def test_a_list_that_cannot_be_given_is_refused_by_its_field(door: ServedBus, name: str, query: str, at: str) -> None:
    rule = put_rule(door, name, "http://127.0.0.1:9/")
    answer = door.get(f"{rule}/dead-letters?{query}")
    assert (answer.status_code, answer.json()["at"]) == (400, at)
