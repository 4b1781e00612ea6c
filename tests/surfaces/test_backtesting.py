"""POST .../backtest, as whoever asks before a rule is put sees it."""

import json
import threading
from typing import Any

import httpx
import pytest

from eventyard import backtesting
from eventyard.core import limits
from eventyard.core.clock import DAY_MS
from eventyard.engines.memory import MemoryEngine
from tests.support.builders import ManualClock
from tests.support.buses import WAIT_S, ServedBus, served_bus

PAID = {"type": ["order.paid"]}
BIG = {"type": ["order.paid"], "data": {"total": [{"numeric": [">=", 20]}]}}
WIDE = {"data": {f"f{number}": [1] for number in range(limits.BACKTEST_FIELDS_MAX // 2 + 1)}}
QUEUE: dict[str, Any] = {"queue": {}}


def publish(door: ServedBus, bus: str, *totals: int, kind: str = "order.paid") -> None:
    for total in totals:
        event = {"specversion": "1.0", "id": f"{kind}-{total}", "source": "/shop", "type": kind, "data": {"total": total}}
        assert door.publish(bus, event).status_code == 202


def put(door: ServedBus, bus: str, name: str, pattern: Any) -> int:
    answer = door.put(f"/v1/buses/{bus}/rules/{name}", json={"pattern": pattern, "target": QUEUE})
    assert answer.is_success, answer.text
    version: int = answer.json()["state"]["version"]
    return version


def ask(door: ServedBus, bus: str, *rules: Any, **more: Any) -> httpx.Response:
    return door.post(f"/v1/buses/{bus}/backtest", json={"rules": list(rules), **more})


def asked(door: ServedBus, bus: str, *rules: Any, **more: Any) -> Any:
    answer = ask(door, bus, *rules, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_pattern_is_held_against_the_rule_in_force(door: ServedBus, name: str) -> None:
    version = put(door, name, "rewards", BIG)
    publish(door, name, 10, 20, 30)
    publish(door, name, 40, kind="order.sent")

    found = asked(door, name, {"name": "rewards", "pattern": PAID}, samples=2)
    today = found["begins"][:10]
    assert (found["first"], found["last"], found["next_after"], found["events"]) == (1, 5, None, 5)
    assert (found["days"], found["gaps"]) == ([{"day": today, "events": 5}], [])
    assert found["rules"] == [
        {
            "name": "rewards",
            "version": version,
            "matched": 3,
            "added": 1,
            "removed": 0,
            "failed": 0,
            "days": [{"day": today, "matched": 3, "added": 1, "removed": 0}],
            "samples": {"matched": [2, 4], "added": [2], "removed": [], "failed": []},
        }
    ]


def test_a_rule_that_is_not_there_or_not_named_is_held_against_nothing(door: ServedBus, name: str) -> None:
    publish(door, name, 10)
    for rule in ({"name": "new", "pattern": PAID}, {"pattern": PAID}):
        [told] = asked(door, name, rule)["rules"]
        assert (told["version"], told["matched"], told["added"], told["removed"]) == (0, 1, 0, 0)


def test_next_after_goes_on_to_the_end_that_was_told_first(door: ServedBus, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BACKTEST_EVENTS_MAX", 2)
    publish(door, name, 1, 2, 3)
    matched, found = [], asked(door, name, {"pattern": PAID})
    publish(door, name, 4)
    while True:
        matched += found["rules"][0]["samples"]["matched"]
        if found["next_after"] is None:
            break
        found = asked(door, name, {"pattern": PAID}, after=found["next_after"], last=found["last"])
    assert matched == [1, 2, 3]


def test_times_choose_what_is_looked_at_and_days_are_told_apart() -> None:
    clock = ManualClock(1_700_006_400_000)
    with served_bus(clock=clock) as bus:
        publish(bus, "default", 1)
        clock.advance(DAY_MS)
        publish(bus, "default", 2, 3)
        rule = {"pattern": BIG | {"data": {"total": [2, 3]}}}
        found = asked(bus, "default", rule)
        assert [day["day"] for day in found["days"]] == ["2023-11-15", "2023-11-16"]
        assert [(day["day"], day["matched"]) for day in found["rules"][0]["days"]] == [("2023-11-16", 2)]
        assert asked(bus, "default", rule, until="2023-11-16T00:00:00Z")["events"] == 1
        assert asked(bus, "default", rule, **{"from": "2023-11-16T00:00:00Z"})["first"] == 2


def test_what_cannot_be_read_is_told() -> None:
    engine = MemoryEngine()
    with served_bus(engine) as bus:
        publish(bus, "default", 1, 2, 3, 4)
        for position in (2, 3):
            del engine._buses[1].events[position]
        found = asked(bus, "default", {"pattern": PAID})
        assert (found["gaps"], found["events"]) == ([{"first": 2, "last": 3, "reason": "damaged"}], 2)


def test_a_number_is_compared_as_it_was_spelt(door: ServedBus, name: str) -> None:
    event = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"n":12345678901234567891}}'
    assert door.publish(name, event).status_code == 202
    for spelt, matched in (("12345678901234567891", 1), ("12345678901234567890", 0)):
        body = f'{{"rules": [{{"pattern": {{"data": {{"n": [{spelt}]}}}}}}]}}'
        answer = door.post(f"/v1/buses/{name}/backtest", content=body.encode(), headers={"content-type": "application/json"})
        assert answer.json()["rules"][0]["matched"] == matched


# Refusals


@pytest.mark.parametrize(
    ("body", "code", "at"),
    [
        ({}, "invalid-request", "/"),
        ({"rules": []}, "invalid-request", "/rules"),
        ({"rules": {}}, "invalid-request", "/rules"),
        ({"rules": [{}]}, "invalid-request", "/rules/0"),
        ({"rules": [{"pattern": []}]}, "invalid-pattern", "/rules/0/pattern"),
        ({"rules": [{"pattern": PAID}, {"pattern": {"type": "x"}}]}, "invalid-pattern", "/rules/1/pattern/type"),
        ({"rules": [{"pattern": {"a": [{"wildcard": "*" * 9}]}}]}, "invalid-pattern", "/rules/0/pattern/a/0/wildcard"),
        ({"rules": [{"pattern": PAID, "nmae": "x"}]}, "invalid-request", "/rules/0/nmae"),
        ({"rules": [{"pattern": PAID, "name": "x" * 129}]}, "invalid-request", "/rules/0/name"),
        ({"rules": [{"pattern": PAID, "version": 1}]}, "invalid-request", "/rules/0/version"),
        ({"rules": [{"pattern": PAID, "name": "x", "version": -1}]}, "invalid-request", "/rules/0/version"),
        ({"rules": [{"pattern": PAID, "name": "x", "version": 7}]}, "version-conflict", "/rules/0/version"),
        ({"rules": [{"pattern": WIDE}, {"pattern": WIDE}]}, "pattern-too-costly", "/rules/1/pattern"),
        ({"rules": [{"pattern": PAID}] * (limits.BACKTEST_RULES_MAX + 1)}, "invalid-request", "/rules"),
        ({"rules": [{"pattern": PAID}], "samples": limits.BACKTEST_SAMPLES_MAX + 1}, "invalid-request", "/samples"),
        ({"rules": [{"pattern": PAID}], "samples": -1}, "invalid-request", "/samples"),
        ({"rules": [{"pattern": PAID}], "after": -1}, "invalid-request", "/after"),
        ({"rules": [{"pattern": PAID}], "after": 2**53}, "invalid-request", "/after"),
        ({"rules": [{"pattern": PAID}], "after": "5"}, "invalid-request", "/after"),
        ({"rules": [{"pattern": PAID}], "last": 1.5}, "invalid-request", "/last"),
        ({"rules": [{"pattern": PAID}], "from": "yesterday"}, "invalid-request", "/from"),
        ({"rules": [{"pattern": PAID}], "until": "2026-01-01T00:00:00"}, "invalid-request", "/until"),
        ({"rules": [{"pattern": PAID}], "since": ""}, "invalid-request", "/since"),
    ],
)
def test_a_bad_request_is_refused_at_its_place(door: ServedBus, name: str, body: Any, code: str, at: str) -> None:
    answer = door.post(f"/v1/buses/{name}/backtest", json=body)
    problem = answer.json()
    assert (problem["type"].rsplit(":", 1)[1], problem.get("at", "")) == (code, at), problem
    assert 400 <= answer.status_code < 500


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b'{"rules":[{"pattern":{"a":[1],"a":[2]}}]}',
        b'{"rules":[{"pattern":{"a":[NaN]}}]}',
        b"[" * 100_000,
        b'{"rules":[{"pattern":' + b'{"a":' * 5_000,
    ],
)
def test_a_body_that_is_no_strict_object_is_refused(door: ServedBus, name: str, body: bytes) -> None:
    answer = door.post(f"/v1/buses/{name}/backtest", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text


def test_a_body_over_the_limit_is_refused(door: ServedBus, name: str) -> None:
    body = b'{"rules":[{"pattern":{"a":["' + b"x" * limits.BACKTEST_BYTES_MAX + b'"]}}]}'
    answer = door.post(f"/v1/buses/{name}/backtest", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_as_many_rules_as_may_be_are_taken(door: ServedBus, name: str) -> None:
    publish(door, name, *range(3))
    rules = [{"pattern": {"data": {"total": [number]}}} for number in range(limits.BACKTEST_RULES_MAX)]
    assert [rule["matched"] for rule in asked(door, name, *rules)["rules"]] == [1, 1, 1] + [0] * (len(rules) - 3)


def test_a_bus_or_a_method_that_is_not_there_is_said(door: ServedBus, name: str) -> None:
    assert ask(door, "nowhere", {"pattern": PAID}).status_code == 404
    answer = door.get(f"/v1/buses/{name}/backtest")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert door.post(f"/v1/buses/{name}/backtest?after=1", json={"rules": [{"pattern": PAID}]}).status_code == 400


def test_who_publishes_or_reads_waits_for_no_backtest(door: ServedBus, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looking, may_end, look = threading.Event(), threading.Event(), backtesting.look

    def held(*given: Any) -> Any:
        looking.set()
        assert may_end.wait(WAIT_S)
        return look(*given)

    monkeypatch.setattr(backtesting, "look", held)
    told: list[Any] = []
    asking = threading.Thread(target=lambda: told.append(asked(door, name, {"pattern": PAID})))
    asking.start()
    assert looking.wait(WAIT_S)
    publish(door, name, 1, 2, 3)
    assert len(door.events(name)) == 3
    may_end.set()
    asking.join(WAIT_S)
    assert told[0]["rules"][0]["matched"] == 3


def test_however_much_it_costs_an_answer_has_judged_something(
    door: ServedBus, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BACKTEST_MS_MAX", 0)
    publish(door, name, 1, 2)
    first = asked(door, name, {"pattern": PAID})
    assert (first["events"], first["next_after"]) == (1, 1)
    assert asked(door, name, {"pattern": PAID}, after=1, last=2)["next_after"] is None


def test_who_may_read_may_ask_and_nobody_else() -> None:
    body = json.dumps({"rules": [{"pattern": PAID}]})
    with served_bus() as bus:
        made = {
            scope: bus.post("/v1/keys", json={"name": "k", "scopes": scopes}, headers=headers).json()["key"]
            for scope, scopes, headers in keys_one_after_the_other(bus)
        }
        answers = {
            scope: bus.post(
                "/v1/buses/default/backtest",
                content=body,
                headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
            ).status_code
            for scope, key in made.items()
        }
        assert answers == {"read": 200, "publish": 403, "consume": 403}


def keys_one_after_the_other(bus: ServedBus) -> Any:
    admin = bus.post("/v1/keys", json={"name": "admin", "scopes": ["manage"]}).json()["key"]
    for scope in ("read", "publish", "consume"):
        yield scope, [scope], {"authorization": f"Bearer {admin}"}
