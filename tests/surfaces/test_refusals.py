"""Bad input: each gets one clear problem that names what was found, what was wanted and where, and changes nothing."""

import json
from typing import Any

import pytest

from eventyard.core import limits
from tests.core.test_pattern_limits import BOUNDS
from tests.support.buses import ServedBus

TARGET = {"http": {"url": "http://127.0.0.1:9/events"}}
RULE: dict[str, Any] = {"pattern": {"type": ["order.paid"]}, "target": TARGET}


def refused(answer: Any, code: str, at: str) -> dict[str, Any]:
    """The problem of an answer that must be one, at its place."""
    problem: dict[str, Any] = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["type"], problem["at"]) == (f"urn:eventyard:problem:{code}", at)
    assert problem["status"] == answer.status_code
    assert problem["title"]
    assert problem["found"]
    assert problem["found"] in problem["detail"]
    return problem


def http_target(**http: Any) -> dict[str, Any]:
    return {"target": {"http": TARGET["http"] | http}}


BAD_RULES: list[tuple[dict[str, Any], str, str]] = [
    ({"pattern": ...}, "invalid-rule", "/"),
    ({"target": ...}, "invalid-rule", "/"),
    ({"target": {}}, "invalid-rule", "/target"),
    ({"pattrn": {}}, "invalid-rule", "/pattrn"),
    ({"target": {"htp": {}}}, "invalid-rule", "/target/htp"),
    (http_target(modus="binary"), "invalid-rule", "/target/http/modus"),
    (http_target(mode="batched"), "invalid-rule", "/target/http/mode"),
    (http_target(timeout_s=0), "invalid-rule", "/target/http/timeout_s"),
    (http_target(timeout_s="10"), "invalid-rule", "/target/http/timeout_s"),
    (http_target(url=7), "invalid-rule", "/target/http/url"),
    ({"delivery": {"max_attemps": 3}}, "invalid-rule", "/delivery/max_attemps"),
    ({"delivery": {"max_attempts": 0}}, "invalid-rule", "/delivery/max_attempts"),
    ({"delivery": {"max_attempts": -1}}, "invalid-rule", "/delivery/max_attempts"),
    ({"delivery": {"max_attempts": 10**30}}, "invalid-rule", "/delivery/max_attempts"),
    ({"delivery": {"max_attempts": 1.5}}, "invalid-rule", "/delivery/max_attempts"),
    ({"delivery": {"max_age_s": -1}}, "invalid-rule", "/delivery/max_age_s"),
    ({"delivery": {"max_age_s": 1e300}}, "invalid-rule", "/delivery/max_age_s"),
    ({"delivery": {"backoff": {"factor": 0}}}, "invalid-rule", "/delivery/backoff/factor"),
    ({"delivery": {"concurrency": limits.CONCURRENCY_MAX + 1}}, "invalid-rule", "/delivery/concurrency"),
    ({"delivery": None}, "invalid-rule", "/delivery"),
    ({"start": "yesterday"}, "invalid-rule", "/start"),
    ({"start": {"position": 0}}, "invalid-rule", "/start/position"),
    ({"start": {"position": 1, "time": "2026-01-01T00:00:00Z"}}, "invalid-rule", "/start"),
    ({"start": {"time": "2026-01-01"}}, "invalid-rule", "/start/time"),
    ({"description": "x" * (limits.DESCRIPTION_LENGTH_MAX + 1)}, "invalid-rule", "/description"),
    (http_target(url="ftp://example.com/"), "invalid-rule", "/target/http/url"),
    (http_target(url="file:///etc/passwd"), "invalid-rule", "/target/http/url"),
    (http_target(url="example.com/events"), "invalid-rule", "/target/http/url"),
    (http_target(url="http://user:secret@example.com/"), "invalid-rule", "/target/http/url"),
    (http_target(url="http://exa mple.com/"), "invalid-rule", "/target/http/url"),
    (http_target(url="http://example.com:99999/"), "invalid-rule", "/target/http/url"),
    (http_target(url="http://10.0.0.1/"), "forbidden-target", "/target/http/url"),
    (http_target(url="http://169.254.169.254/latest/meta-data"), "forbidden-target", "/target/http/url"),
    (http_target(url="http://[::ffff:10.0.0.1]/"), "forbidden-target", "/target/http/url"),
    (http_target(url="http://0xA000001/"), "forbidden-target", "/target/http/url"),
    (http_target(method="TRACE"), "invalid-rule", "/target/http/method"),
    (http_target(transform={}), "invalid-rule", "/target/http/transform"),
    (
        http_target(transform={"template": {"body": {"a": "<b>"}}}),
        "invalid-rule",
        "/target/http/transform/template/body/a",
    ),
    ({"pattern": []}, "invalid-pattern", "/pattern"),
    ({"pattern": {}}, "invalid-pattern", "/pattern"),
    ({"pattern": {"type": "order.paid"}}, "invalid-pattern", "/pattern/type"),
    ({"pattern": {"type": []}}, "invalid-pattern", "/pattern/type"),
    ({"pattern": {"data": {"a/b": [{"prefx": "x"}]}}}, "invalid-pattern", "/pattern/data/a~1b/0/prefx"),
    ({"pattern": {"type": [{"prefix": 7}]}}, "invalid-pattern", "/pattern/type/0/prefix"),
    ({"pattern": {"data": {"n": [{"numeric": [">", "x"]}]}}}, "invalid-pattern", "/pattern/data/n/0/numeric/1"),
    ({"pattern": {"data": {"n": [{"numeric": [">", 5, "<", 3]}]}}}, "invalid-pattern", "/pattern/data/n/0/numeric"),
    ({"pattern": {"data": {"ip": [{"cidr": "10.0.0.0/99"}]}}}, "invalid-pattern", "/pattern/data/ip/0/cidr"),
    ({"pattern": {"type": [{"exists": "yes"}]}}, "invalid-pattern", "/pattern/type/0/exists"),
    ({"pattern": {"$or": [{"type": ["a"]}]}}, "invalid-pattern", "/pattern/$or"),
    ({"pattern": {"type": [{"wildcard": "a**b"}]}}, "invalid-pattern", "/pattern/type/0/wildcard"),
    ({"pattern": {"type": [{"wildcard": "*a*b*c*d*e*f"}]}}, "pattern-too-costly", "/pattern/type/0/wildcard"),
    ({"pattern": {"type": ["x"] * (limits.PATTERN_VALUES_PER_FIELD_MAX + 1)}}, "pattern-too-costly", "/pattern/type"),
    ({"pattern": {"$or": [{"a": [1]}] * 1001}}, "pattern-too-costly", "/pattern/$or"),
]


@pytest.mark.parametrize(("changes", "code", "at"), BAD_RULES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_bad_rule_is_refused_at_its_place(door: ServedBus, name: str, changes: dict[str, Any], code: str, at: str) -> None:
    document = {field: value for field, value in (RULE | changes).items() if value is not ...}
    refused(door.put(f"/v1/buses/{name}/rules/r", json=document), code, at)
    assert door.get(f"/v1/buses/{name}/rules").json()["rules"] == []
    assert door.get(f"/v1/buses/{name}").json()["head"] == 0


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_pattern_past_a_limit_is_refused_when_it_is_saved(door: ServedBus, name: str, bound: str) -> None:
    answer = door.put(f"/v1/buses/{name}/rules/r", json=RULE | {"pattern": BOUNDS[bound].refused})
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (400, "urn:eventyard:problem:pattern-too-costly")
    assert problem["found"].startswith(BOUNDS[bound].found)
    assert f"at most {BOUNDS[bound].wanted}" in problem["wanted"]
    assert door.put(f"/v1/buses/{name}/rules/r", json=RULE | {"pattern": BOUNDS[bound].taken}).status_code == 201


def test_an_unknown_field_is_refused_with_the_nearest_known(door: ServedBus, name: str) -> None:
    answer = door.put(f"/v1/buses/{name}/rules/r", json=RULE | {"delivery": {"max_attemps": 3}})
    assert 'perhaps "max_attempts"' in refused(answer, "invalid-rule", "/delivery/max_attemps")["wanted"]


def test_a_refused_change_leaves_the_rule_as_it_was(door: ServedBus, name: str) -> None:
    path = f"/v1/buses/{name}/rules/r"
    before = door.put(path, json=RULE).json()
    assert door.put(path, json=RULE | {"pattern": {"type": "x"}}).status_code == 400
    assert door.get(path).json() == before


def test_a_refused_url_never_shows_its_secrets(door: ServedBus, name: str) -> None:
    url = "http://user:topsecret@10.0.0.1/?key=topsecret"
    assert "topsecret" not in door.put(f"/v1/buses/{name}/rules/r", json=RULE | http_target(url=url)).text


@pytest.mark.parametrize("body", [b"", b"[]", b'{"pattern":1,"pattern":2}', b'{"pattern":', b"null", b"\xff"])
def test_a_body_that_is_no_strict_object_is_refused(door: ServedBus, name: str, body: bytes) -> None:
    answer = door.put(f"/v1/buses/{name}/rules/r", content=body)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:eventyard:problem:invalid-rule")


def test_a_body_of_another_type_is_refused(door: ServedBus, name: str) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = door.put(f"/v1/buses/{name}/rules/r", content=json.dumps(RULE), headers=headers)
    refused(answer, "unsupported-content-type", "header content-type")
    assert answer.status_code == 415


def test_a_rule_over_the_limit_is_refused(door: ServedBus, name: str) -> None:
    answer = door.put(f"/v1/buses/{name}/rules/r", content=b" " * (limits.RULE_BYTES_MAX + 1))
    refused(answer, "too-large", "header content-length")
    assert answer.status_code == 413


BAD_NAMES = ["a b", "-a", "a-", "a.", "a%2Fb", "a%00b", "caf%C3%A9", "%FF", "x" * (limits.NAME_LENGTH_MAX + 1), "$a", "a%0A"]


@pytest.mark.parametrize("bad", BAD_NAMES)
def test_a_bad_name_is_refused(door: ServedBus, name: str, bad: str) -> None:
    refused(door.put(f"/v1/buses/{bad}"), "invalid-name", "")
    refused(door.put(f"/v1/buses/{name}/rules/{bad}", json=RULE), "invalid-name", "")
    assert door.get(f"/v1/buses/{name}/rules").json()["rules"] == []


def test_a_name_of_the_longest_kind_is_taken(door: ServedBus) -> None:
    assert door.put("/v1/buses/" + "x" * limits.NAME_LENGTH_MAX).status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/buses/nowhere"),
        ("DELETE", "/v1/buses/nowhere"),
        ("GET", "/v1/buses/nowhere/events"),
        ("GET", "/v1/buses/nowhere/events/1"),
        ("GET", "/v1/buses/nowhere/rules"),
        ("PUT", "/v1/buses/nowhere/rules/r"),
        ("GET", "/v1/buses/default/rules/nothing"),
        ("DELETE", "/v1/buses/default/rules/nothing"),
        ("GET", "/v1/buses/default/rules/nothing/status"),
        ("POST", "/v1/buses/default/rules/nothing/pause"),
        ("POST", "/v1/buses/default/rules/nothing/resume"),
        ("GET", "/v1/buses/default/rules/nothing/dead-letters"),
        ("POST", "/v1/buses/default/rules/nothing/dead-letters/redrive"),
    ],
)
def test_what_is_not_there_is_not_found(door: ServedBus, method: str, path: str) -> None:
    body = {"PUT": RULE, "POST": {"all": True} if path.endswith("redrive") else {}}.get(method)
    answer = door.request(method, path, json=body)
    refused(answer, "not-found", "")
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("path", "at"),
    [
        ("events?limit=0", "query limit"),
        (f"events?limit={limits.PAGE_MAX + 1}", "query limit"),
        ("events?limit=-1", "query limit"),
        ("events?limit=" + "9" * 30, "query limit"),
        ("events?limit=ten", "query limit"),
        ("events?limit=1&limit=2", "query limit"),
        ("events?limit=", "query limit"),
        ("events?after=-1", "query after"),
        ("events?after=9007199254740992", "query after"),
        ("events?order=up", "query order"),
        ("events?from=yesterday", "query from"),
        ("events?until=2026-01-01T00:00:00", "query until"),
        ("events?lmit=3", "query lmit"),
        ("events?%FF=3", "query"),
        ("events?" + "&".join(f"a{number}=1" for number in range(40)), "query"),
        ("events/0", "path position"),
        ("events/-1", "path position"),
        ("events/one", "path position"),
        ("events/9007199254740992", "path position"),
        ("rules?limit=0", "query limit"),
        ("rules?pattern=x", "query pattern"),
    ],
)
def test_a_bad_query_is_refused_by_its_field(door: ServedBus, name: str, path: str, at: str) -> None:
    answer = door.get(f"/v1/buses/{name}/{path}")
    refused(answer, "invalid-request", at)
    assert answer.status_code == 400


def test_an_unknown_query_field_is_refused_with_the_nearest_known(door: ServedBus, name: str) -> None:
    answer = door.get(f"/v1/buses/{name}/events?lmit=3")
    assert 'perhaps "limit"' in refused(answer, "invalid-request", "query lmit")["wanted"]


def test_a_bad_pattern_in_a_query_is_refused_at_its_place(door: ServedBus, name: str) -> None:
    path = f"/v1/buses/{name}/events"
    refused(door.get(path, params={"pattern": '{"type":"x"}'}), "invalid-pattern", "query pattern, /type")
    refused(door.get(path, params={"pattern": "type=x"}), "invalid-pattern", "query pattern, byte 0")


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({}, "/ids"),
        ({"ids": []}, "/ids"),
        ({"ids": ["x"], "all": True}, "/ids"),
        ({"ids": ["x"]}, "/ids/0"),
        ({"ids": ["00000000-1-1-0"]}, "/ids/0"),
        ({"ids": ["x"] * (limits.REDRIVE_IDS_MAX + 1)}, "/ids"),
        ({"al": True}, "/al"),
        ({"all": 1}, "/all"),
    ],
)
def test_a_bad_redrive_is_refused_at_its_place(door: ServedBus, name: str, body: dict[str, Any], at: str) -> None:
    door.put(f"/v1/buses/{name}/rules/r", json=RULE)
    refused(door.post(f"/v1/buses/{name}/rules/r/dead-letters/redrive", json=body), "invalid-request", at)


def test_a_bad_token_of_dead_letters_is_refused(door: ServedBus, name: str) -> None:
    door.put(f"/v1/buses/{name}/rules/r", json=RULE)
    refused(door.get(f"/v1/buses/{name}/rules/r/dead-letters?after=5"), "invalid-request", "query after")


@pytest.mark.parametrize(
    ("body", "code", "at"),
    [
        ({"pattern": {"a": [1]}}, "invalid-request", "/"),
        ({"pattern": {"a": [1]}, "event": []}, "invalid-request", "/event"),
        ({"pattern": {"a": 1}, "event": {}}, "invalid-pattern", "/pattern/a"),
        ({"pattern": {"a": [1]}, "event": {}, "evntbridge": True}, "invalid-request", "/evntbridge"),
        (
            {"pattern": {"detail": {"a": [1]}, "data": {}}, "event": {}, "eventbridge": True},
            "invalid-request",
            "/pattern/detail",
        ),
    ],
)
def test_a_bad_pattern_test_is_refused_at_its_place(door: ServedBus, body: dict[str, Any], code: str, at: str) -> None:
    refused(door.post("/v1/patterns/test", json=body), code, at)


def test_a_bus_takes_no_fields(door: ServedBus) -> None:
    refused(door.put("/v1/buses/new", json={"retention": 7}), "invalid-request", "/retention")
    assert door.get("/v1/buses/new").status_code == 404


def test_a_defect_is_answered_without_what_it_was(door: ServedBus, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise ValueError("topsecret")

    monkeypatch.setattr(door.yard, "rules", fail)
    answer = door.get(f"/v1/buses/{name}/rules")
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:eventyard:problem:internal-error")
    assert "topsecret" not in answer.text
    assert "Traceback" not in answer.text
