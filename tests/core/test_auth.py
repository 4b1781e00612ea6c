"""How a push says who sends it: what a rule may say, what is asked of a token server, and what is taken for a token."""

import base64
import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventyard.core import auth, limits
from eventyard.core.auth import Grant, Token
from eventyard.core.errors import InvalidRule
from eventyard.core.rule import parse
from eventyard.core.rule_secrets import secrets_of, shown
from eventyard.core.secret import Secret

OAUTH2 = {"token_url": "https://login.example/token", "client_id": "shop", "client_secret": {"secret": "hunter2"}}
GRANT = Grant("https://login.example/token", "shop:1", "hunter2 &=", "read write", "", "client_secret_basic")


def a_rule(said: Any, **http: Any) -> bytes:
    target = {"http": {"url": "http://127.0.0.1:9000/", "auth": said, **http}}
    return json.dumps({"pattern": {"type": ["order.paid"]}, "target": target}).encode()


# What a rule says


@pytest.mark.parametrize(
    ("said", "secret"),
    [
        ({"basic": {"username": "shop", "password": {"secret": "hunter2: ü"}}}, "hunter2: ü"),
        ({"bearer": {"secret": "abc.def-_~+/=="}}, "abc.def-_~+/=="),
        ({"oauth2": OAUTH2}, "hunter2"),
    ],
)
def test_a_rule_is_shown_without_what_lets_it_in(said: Any, secret: str) -> None:
    rule, _ = parse(a_rule(said))
    assert [one for _, one in secrets_of(rule)] == [Secret(secret)]
    assert [one for _, one in secrets_of(shown(rule))] == [Secret(None)]


BAD: list[tuple[Any, str]] = [
    ({}, "/target/http/auth"),
    ({"basic": {"username": "a", "password": {"secret": "b"}}, "bearer": {"secret": "c"}}, "/target/http/auth"),
    ({"basic": {"username": "a:b", "password": {"secret": "hunter2"}}}, "/target/http/auth/basic/username"),
    ({"basic": {"username": "", "password": {"secret": "hunter2"}}}, "/target/http/auth/basic/username"),
    ({"basic": {"username": "a", "password": {"secret": "hunter2\n"}}}, "/target/http/auth/basic/password"),
    ({"basic": {"username": "a", "password": {"secret": ""}}}, "/target/http/auth/basic/password"),
    ({"basic": {"username": "a", "password": "hunter2"}}, "/target/http/auth/basic/password"),
    ({"bearer": "hunter2"}, "/target/http/auth/bearer"),
    ({"bearer": {"secret": "Bearer hunter2"}}, "/target/http/auth/bearer"),
    ({"bearer": {"secret": "hunter2\r\nx-a: b"}}, "/target/http/auth/bearer"),
    ({"bearer": {"secret": "sealed:12345678:hunter2"}}, "/target/http/auth/bearer"),
    ({"bearer": {"secret": "hunter2" * limits.TARGET_HEADER_LENGTH_MAX}}, "/target/http/auth/bearer"),
    ({"oauth2": OAUTH2 | {"client_id": "ü"}}, "/target/http/auth/oauth2/client_id"),
    ({"oauth2": OAUTH2 | {"client_secret": {"secret": "hunter2\n"}}}, "/target/http/auth/oauth2/client_secret"),
    ({"oauth2": OAUTH2 | {"scope": "a  b"}}, "/target/http/auth/oauth2/scope"),
    ({"oauth2": OAUTH2 | {"scope": 'a"b'}}, "/target/http/auth/oauth2/scope"),
    ({"oauth2": OAUTH2 | {"audience": "a\nb"}}, "/target/http/auth/oauth2/audience"),
    ({"oauth2": OAUTH2 | {"client_auth": "private_key_jwt"}}, "/target/http/auth/oauth2/client_auth"),
]


@pytest.mark.parametrize(("said", "at"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_sent_is_refused_where_it_stands_and_not_repeated(said: Any, at: str) -> None:
    with pytest.raises(InvalidRule) as refused:
        parse(a_rule(said))
    assert refused.value.at == at
    assert "hunter2" not in refused.value.detail


def test_one_header_is_said_once() -> None:
    with pytest.raises(InvalidRule, match='found "auth" and the header "authorization"'):
        parse(a_rule({"bearer": {"secret": "a"}}, headers={"authorization": "b"}))


def test_basic_is_as_rfc_7617_has_it() -> None:
    assert auth.basic("Aladdin", "open sesame") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert auth.basic("test", "123£") == "Basic dGVzdDoxMjPCow=="


# What a token server is asked


def test_a_token_is_asked_for_in_both_ways_of_the_rfc() -> None:
    headers, body = auth.token_request(GRANT)
    encoded = base64.b64encode(b"shop%3A1:hunter2+%26%3D").decode()
    assert dict(headers)["authorization"] == f"Basic {encoded}"
    assert parse_qs(body.decode()) == {"grant_type": ["client_credentials"], "scope": ["read write"]}
    posted = Grant(GRANT.token_url, "shop:1", "hunter2 &=", "", "https://api.example", "client_secret_post")
    headers, body = auth.token_request(posted)
    assert "authorization" not in dict(headers)
    assert parse_qs(body.decode()) == {
        "grant_type": ["client_credentials"],
        "audience": ["https://api.example"],
        "client_id": ["shop:1"],
        "client_secret": ["hunter2 &="],
    }


# What is taken for a token


def told(**answer: Any) -> Token | str:
    return auth.read_token(200, json.dumps({"access_token": "abc", "token_type": "Bearer"} | answer).encode())


@pytest.mark.parametrize(
    ("answer", "holds_s"),
    [
        ({"expires_in": 3600}, 3600.0),
        ({"expires_in": "3600"}, 3600.0),
        ({"expires_in": 1.5, "token_type": "bearer"}, 1.5),
        ({}, limits.TOKEN_S_DEFAULT),
        ({"expires_in": 10**12}, limits.TOKEN_S_MAX),
    ],
)
def test_a_token_holds_as_long_as_it_says_within_bounds(answer: Any, holds_s: float) -> None:
    assert told(**answer) == Token("abc", holds_s)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"access_token": None}, "no token"),
        ({"access_token": ""}, "no token"),
        ({"access_token": "a b"}, "no token"),
        ({"access_token": "a\r\nx-a: b"}, "no token"),
        ({"access_token": "ü"}, "no token"),
        ({"access_token": "x" * (limits.TOKEN_LENGTH_MAX + 1)}, "characters"),
        ({"token_type": "mac"}, "another type"),
        ({"token_type": 1}, "another type"),
        ({"expires_in": 0}, "ended already"),
        ({"expires_in": -1}, "ended already"),
        ({"expires_in": "soon"}, "when it ends"),
        ({"expires_in": True}, "when it ends"),
        ({"expires_in": []}, "when it ends"),
    ],
)
def test_what_is_no_good_token_is_told_in_words(answer: Any, why: str) -> None:
    found = told(**answer)
    assert isinstance(found, str)
    assert why in found


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"\xff", b"null", b"[" * 100_000, b'"abc"'])
def test_an_answer_of_any_other_kind_is_no_token(body: bytes) -> None:
    assert auth.read_token(200, body) == "the answer is no token"


def test_a_refusal_is_told_by_its_code_and_not_by_its_words() -> None:
    body = b'{"error": "invalid_client", "error_description": "hunter2 is wrong"}'
    assert auth.read_token(401, body) == "status 401 (invalid_client)"
    assert auth.read_token(400, b'{"error": "hunter2 is wrong"}') == "status 400"
    assert auth.read_token(302, b"") == "status 302"


@given(
    st.integers(0, 599),
    st.binary() | st.dictionaries(st.text(), st.integers() | st.text()).map(lambda d: json.dumps(d).encode()),
)
def test_whatever_a_token_server_says_is_a_token_that_can_be_sent_or_a_reason(status: int, body: bytes) -> None:
    found = auth.read_token(status, body)
    assert isinstance(found, str) or (found.text.isascii() and found.text.isprintable() and " " not in found.text)
