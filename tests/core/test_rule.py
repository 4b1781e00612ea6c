"""A rule's document: what is taken, and how each refusal names what was found, what was wanted and where."""

import json
from typing import Any

import msgspec
import pytest

from eventyard.core import limits, rule
from eventyard.core.errors import InvalidName, InvalidPattern, InvalidRule, PatternTooCostly
from eventyard.core.rule import Alike, RuleRecord, StartPosition, Status
from tests.support.builders import URL, a_rule_document


def refusal(body: bytes, kind: type[Exception] = InvalidRule) -> Any:
    with pytest.raises(kind) as caught:
        rule.parse(body)
    return caught.value


def test_defaults_are_those_of_the_design() -> None:
    parsed, _ = rule.parse(a_rule_document())
    assert (parsed.delivery.max_attempts, parsed.delivery.max_age_s, parsed.delivery.concurrency) == (185, 86_400, 16)
    assert parsed.target.http is not None
    assert (parsed.target.http.mode, parsed.target.http.timeout_s) == ("structured", 10)


def test_the_patterns_text_is_kept_as_written() -> None:
    body = b'{"pattern": {"n": [1.0e0,  1.00]}, "target": {"http": {"url": "%s"}}}' % URL.encode()
    assert bytes(rule.parse(body)[0].pattern) == b'{"n": [1.0e0,  1.00]}'


def test_an_unknown_field_is_named_with_the_nearest_known_one() -> None:
    error = refusal(a_rule_document(delivery={"max_atempts": 3}))
    assert error.at == "/delivery/max_atempts"
    assert 'perhaps "max_attempts"' in error.wanted


@pytest.mark.parametrize(
    ("changes", "at", "found"),
    [
        ({"delivery": {"max_attempts": 0}}, "/delivery/max_attempts", "0"),
        ({"delivery": {"max_attempts": -1}}, "/delivery/max_attempts", "-1"),
        ({"delivery": {"max_attempts": 10**30}}, "/delivery/max_attempts", "1000000"),
        ({"delivery": {"max_age_s": -0.5}}, "/delivery/max_age_s", "-0.5"),
        ({"delivery": {"max_age_s": 1e300}}, "/delivery/max_age_s", "1e300"),
        ({"delivery": {"backoff": {"factor": 0.5}}}, "/delivery/backoff/factor", "0.5"),
        ({"delivery": {"concurrency": "many"}}, "/delivery/concurrency", '"many"'),
        ({"delivery": {"order": "strict"}}, "/delivery/order", '"strict"'),
        ({"delivery": {"order": "key", "key": "data..id"}}, "/delivery/key", "data..id"),
        ({"delivery": {"order": "key", "key": "k" * 257}}, "/delivery/key", "kkk"),
        ({"delivery": {"key": "data.id"}}, "/delivery/key", "data.id"),
        ({"delivery": {"backlog": {"max_bytes": 0}}}, "/delivery/backlog/max_bytes", "0"),
        ({"target": {"queue": {"lease_s": 0.5}}}, "/target/queue/lease_s", "0.5"),
        ({"target": {"queue": {"max_leases": 0}}}, "/target/queue/max_leases", "0"),
        ({"target": {"queue": {}, "http": {"url": URL}}}, "/target", "two targets"),
        ({"replay": "never"}, "/replay", '"never"'),
        ({"delivery": []}, "/delivery", "an array"),
        ({"target": {"http": {"url": 5}}}, "/target/http/url", "5"),
        ({"target": {"http": {"url": URL, "mode": "xml"}}}, "/target/http/mode", '"xml"'),
        ({"target": {"http": {"url": URL, "timeout_s": 1e9}}}, "/target/http/timeout_s", "1000000000"),
        ({"target": {}}, "/target", "no target"),
        ({"description": "x" * 2_001}, "/description", "xxx"),
        ({"start": {"position": 0}}, "/start/position", "0"),
        ({"start": {}}, "/start", "both or neither"),
        ({"start": {"position": 1, "time": "2026-01-01T00:00:00Z"}}, "/start", "both or neither"),
        ({"start": {"time": "yesterday"}}, "/start/time", "yesterday"),
        ({"start": {"time": "2026-01-01T00:00:00"}}, "/start/time", "2026"),
    ],
)
def test_each_wrong_value_is_found_in_its_place(changes: dict[str, Any], at: str, found: str) -> None:
    error = refusal(a_rule_document(**changes))
    assert error.at == at
    assert found in error.found
    assert error.wanted


@pytest.mark.parametrize("start", ["soon", 5, ["latest"]])
def test_a_start_of_another_kind_is_refused(start: Any) -> None:
    assert refusal(a_rule_document(start=start)).at == "/start"


def test_a_pattern_is_refused_at_its_place_inside_the_rule() -> None:
    error = refusal(a_rule_document(pattern={"type": [{"prefx": "a"}]}), InvalidPattern)
    assert error.at.startswith("/pattern/type/0")


def test_a_costly_pattern_is_refused_with_its_place() -> None:
    wild = [{"wildcard": "*".join("abcdefghijklmnopqrstuvwxyz" * 3)} for _ in range(200)]
    assert refusal(a_rule_document(pattern={"type": wild}), PatternTooCostly).at.startswith("/pattern")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"rule"', b"\xff", b'{"pattern": {}, "pattern": {}}'])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    assert refusal(body).wanted


def test_missing_parts_are_named() -> None:
    assert "pattern" in refusal(json.dumps({"target": {"http": {"url": URL}}}).encode()).found


def test_a_rule_at_the_limit_is_taken_and_one_past_it_refused() -> None:
    body = a_rule_document()
    assert rule.parse(body + b" " * (limits.RULE_BYTES_MAX - len(body)))
    assert refusal(body + b" " * (limits.RULE_BYTES_MAX - len(body) + 1))


def test_a_start_in_time_is_kept() -> None:
    parsed, _ = rule.parse(a_rule_document(start={"time": "2026-01-31T08:00:00+02:00"}))
    assert parsed.start == StartPosition(time="2026-01-31T08:00:00+02:00")


@pytest.mark.parametrize("name", ["a", "Orders-eu.v2", "x" * 128, "a--b"])
def test_good_names_are_taken(name: str) -> None:
    assert rule.check_name(name, what="rule") == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "-a", "a.", "ä", "x" * 129, "a\n"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        rule.check_name(name, what="rule")


def test_what_rules_read_from_a_store_have_in_common_is_kept_once() -> None:
    alike = Alike()
    texts = [msgspec.json.encode(a_record(number, {"queue": {"lease_s": 5}})) for number in (1, 2)]
    texts += [msgspec.json.encode(a_record(number, {"http": {"url": URL}})) for number in (3, 4)]
    texts += [msgspec.json.encode(a_record(number, {"http": {"url": URL, "headers": {"x-a": "b"}}})) for number in (5, 6)]
    read = [msgspec.json.decode(text, type=RuleRecord) for text in texts]
    kept = [alike.kept(record) for record in read]
    assert kept == read
    targets, policies = [record.rule.target for record in kept], {id(record.rule.delivery) for record in kept}
    assert targets[0] is targets[1]
    assert targets[2] is targets[3]
    assert len(policies) == 1


def a_record(uid: int, target: dict[str, Any]) -> RuleRecord:
    parsed, _ = rule.parse(a_rule_document(target=target))
    return RuleRecord(uid, f"rule-{uid}", uid, parsed, Status.LIVE, 1, 1)
