"""Headers that a target wants, and what of them is secret."""

import json

import pytest

from eventyard.core import limits
from eventyard.core.errors import InvalidRule
from eventyard.core.rule import headers_of, parse
from eventyard.core.rule_secrets import shown
from eventyard.core.secret import SEALED, Secret, check_headers


def a_rule(headers: dict[str, object]) -> bytes:
    http = {"url": "http://127.0.0.1:9000/", "headers": headers}
    return json.dumps({"pattern": {"type": ["order.paid"]}, "target": {"http": http}}).encode()


def test_a_rule_is_shown_without_what_is_secret() -> None:
    rule, _ = parse(a_rule({"authorization": {"secret": "Bearer 1"}, "x-tenant": "acme"}))
    assert headers_of(rule) == {"authorization": Secret("Bearer 1"), "x-tenant": "acme"}
    assert headers_of(shown(rule)) == {"authorization": Secret(None), "x-tenant": "acme"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "x"),
        ("x y", "x"),
        ("X-Tenant", "x"),
        ("x\r\ny", "x"),
        ("héader", "x"),
        ("x" * 101, "x"),
        *((own, "x") for own in ("host", "content-type", "content-length", "transfer-encoding", "connection", "te", "upgrade")),
        *(
            (own, "x")
            for own in ("ce-id", "eventyard-rule", "webhook-signature", "traceparent", "proxy-authorization", "expect")
        ),
        ("x-a", ""),
        ("x-a", " x"),
        ("x-a", "x "),
        ("x-a", "x\r\nhost: y"),
        ("x-a", "x\0"),
        ("x-a", "ü"),
        ("x-a", "x" * (limits.TARGET_HEADER_LENGTH_MAX + 1)),
    ],
)
@pytest.mark.parametrize("is_secret", [False, True])
def test_a_header_that_cannot_be_sent_is_refused(name: str, value: str, *, is_secret: bool) -> None:
    with pytest.raises(InvalidRule) as refused:
        parse(a_rule({name: {"secret": value} if is_secret else value}))
    assert refused.value.at.startswith("/target/http/headers/")


def test_no_refusal_tells_the_value() -> None:
    with pytest.raises(InvalidRule) as refused:
        parse(a_rule({"authorization": {"secret": "hunter2\n"}}))
    assert "hunter2" not in refused.value.detail


def test_a_caller_cannot_give_a_sealed_value() -> None:
    with pytest.raises(InvalidRule, match=SEALED):
        parse(a_rule({"authorization": {"secret": f"{SEALED}12345678:AAAA"}}))


def test_so_many_headers_are_taken_and_no_more() -> None:
    parse(a_rule({f"x-{number}": "y" for number in range(limits.TARGET_HEADERS_MAX)}))
    with pytest.raises(InvalidRule, match="found 21 headers"):
        parse(a_rule({f"x-{number}": "y" for number in range(limits.TARGET_HEADERS_MAX + 1)}))


def test_a_long_value_is_taken_up_to_the_bound() -> None:
    parse(a_rule({"x-a": "y" * limits.TARGET_HEADER_LENGTH_MAX}))


@pytest.mark.parametrize("value", [{"secret": 1}, {"secret": "x", "more": 1}, {}, 5, None, ["x"]])
def test_a_value_of_another_shape_is_refused(value: object) -> None:
    with pytest.raises(InvalidRule):
        parse(a_rule({"x-a": value}))


def test_where_nothing_can_be_kept_a_value_is_wanted() -> None:
    check_headers({"x-a": Secret(None)}, at="/headers")
    with pytest.raises(InvalidRule, match="found no value"):
        check_headers({"x-a": Secret(None)}, at="/headers", may_keep=False)
