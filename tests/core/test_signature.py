"""Signatures of pushes: by the specification's own vector, by the library that receivers use, and by their recipe for attributes."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from eventyard.core import limits, signature
from eventyard.core.errors import InvalidRule
from eventyard.core.rule import parse
from eventyard.core.rule_secrets import secrets_of, shown
from eventyard.core.secret import Secret
from eventyard.core.signature import ATTRIBUTES, ID, SIGNATURE, TIMESTAMP

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
DELIVERY = "0a1b2c3d-7-12-0"


def a_rule(signing: Any) -> bytes:
    http = {"url": "http://127.0.0.1:9000/", "signing": signing}
    return json.dumps({"pattern": {"type": ["order.paid"]}, "target": {"http": http}}).encode()


def secret_of(count: int) -> str:
    return "whsec_" + base64.b64encode(bytes(range(count))).decode()


# Standard Webhooks


def test_the_vector_of_the_specification_comes_out() -> None:
    """The example that the libraries of Standard Webhooks test themselves by."""
    signed = signature.headers([SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == [
        (ID, "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        (TIMESTAMP, "1614265330"),
        (SIGNATURE, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ]


@given(st.text(), st.binary(min_size=24, max_size=64))
def test_the_library_of_a_receiver_verifies_any_body_by_any_good_secret(body: str, key: bytes) -> None:
    secret = signature.new_secret(key)
    signature.check(signature.Signing((Secret(secret),)), at="")
    signed = dict(signature.headers([secret], DELIVERY, int(time.time()), body.encode()))
    Webhook(secret).verify(body, signed, json_parse=False)


def test_while_a_secret_is_changed_a_receiver_verifies_by_either_and_by_no_other() -> None:
    signed = dict(signature.headers([SECRET, OTHER], DELIVERY, int(time.time()), b"{}"))
    for secret in (SECRET, OTHER):
        Webhook(secret).verify(b"{}", signed)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_of(24)).verify(b"{}", signed)


@pytest.mark.parametrize("part", [ID, TIMESTAMP, SIGNATURE, "body"])
def test_whatever_is_changed_of_a_push_shows(part: str) -> None:
    now = int(time.time())
    signed = dict(signature.headers([SECRET], DELIVERY, now, b"{}"))
    changed = {ID: "0a1b2c3d-7-13-0", TIMESTAMP: str(now + 1), SIGNATURE: f"v1,{base64.b64encode(bytes(32)).decode()}"}
    with pytest.raises(WebhookVerificationError, match="No matching"):
        Webhook(SECRET).verify("{} " if part == "body" else "{}", signed | ({part: changed[part]} if part in changed else {}))


# Attributes


ATTRIBUTE_HEADERS = (
    ("ce-type", "order.paid"),
    ("content-type", "application/json"),
    ("ce-id", "a%20b"),
    ("ce-source", "/shop"),
)


def test_attributes_are_signed_as_the_guide_says() -> None:
    signed = dict(signature.headers([SECRET], DELIVERY, 1614265330, b"{}", ATTRIBUTE_HEADERS))
    text = (
        "eventyard-attributes-signature\n0a1b2c3d-7-12-0\n1614265330\n"
        "ce-id:a%20b\nce-source:/shop\nce-type:order.paid\ncontent-type:application/json"
    )
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    assert signed[ATTRIBUTES] == "v1," + base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
    assert signed[ATTRIBUTES] == "v1,gM2VX6QuKy1Y/WpyWL4/EV1mD+dNeLq9M7RT9mTizSY="


def test_attributes_are_ordered_by_name_and_not_by_line() -> None:
    """A colon comes after digits: by whole lines `ce-a1` would stand first."""
    signed = signature.headers([SECRET], DELIVERY, 1, b"", [("ce-a1", "2"), ("ce-a", "1")])
    again = signature.headers([SECRET], DELIVERY, 1, b"", [("ce-a", "1"), ("ce-a1", "2")])
    text = signature.attributes_text(DELIVERY, 1, ["ce-a:1", "ce-a1:2"])
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    assert signed == again
    assert dict(signed)[ATTRIBUTES] == "v1," + base64.b64encode(hmac.digest(key, text, "sha256")).decode()


def test_two_secrets_sign_attributes_too() -> None:
    both = dict(signature.headers([SECRET, OTHER], DELIVERY, 1, b"", ATTRIBUTE_HEADERS))[ATTRIBUTES].split()
    alone = [dict(signature.headers([one], DELIVERY, 1, b"", ATTRIBUTE_HEADERS))[ATTRIBUTES] for one in (SECRET, OTHER)]
    assert both == alone


def test_nothing_is_said_of_attributes_where_they_are_in_the_body() -> None:
    assert ATTRIBUTES not in dict(signature.headers([SECRET], DELIVERY, 1, b"{}"))


def test_the_signature_over_attributes_fits_no_body() -> None:
    """Whoever has caught a push may cut its text at any dot, and call the parts id, time and body: no header can carry them."""
    text = signature.attributes_text("id", 1, ["ce-source:a.b.c"]).decode()
    assert text.index("\n") < text.index(".")


# Secrets


def test_a_good_secret_is_taken_at_both_bounds() -> None:
    for count in (limits.SIGNING_SECRET_BYTES_MIN, limits.SIGNING_SECRET_BYTES_MAX):
        rule, _ = parse(a_rule({"secrets": [{"secret": secret_of(count)}]}))
        assert [secret for _, secret in secrets_of(rule)] == [Secret(secret_of(count))]


BAD = {
    "hunter2-hunter2-hunter2-hunter2": "does not begin with whsec_",
    "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw": "does not begin with whsec_",
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==": "asymmetric",
    "whpk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==": "asymmetric",
    "whsec_": "0 bytes",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n": "line break",
    "whsec_ MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw": "space",
    "whsec_MfKQ9r8GKYqrTwjU PD8ILPZIo2LaLaSw": "no base64",
    "whsec_MfKQ9r8GKYqr-_jUPD8ILPZIo2LaLaSw": "base64 of URLs",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwM": "no base64",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLäSw": "no base64",
    secret_of(32).rstrip("="): "without the =",
    secret_of(23): "23 bytes",
    secret_of(65): "65 bytes",
    "sealed:12345678:AAAA": "does not begin with whsec_",
}


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_a_secret_of_wrong_form_is_refused_with_what_to_do_and_is_not_repeated(text: str) -> None:
    with pytest.raises(InvalidRule) as refused:
        parse(a_rule({"secrets": [{"secret": OTHER}, {"secret": text}]}))
    assert BAD[text] in refused.value.found
    assert "eventyard secrets new" in refused.value.wanted
    assert refused.value.at == "/target/http/signing/secrets/1"
    assert len(text) < 10 or text.removeprefix("whsec_").strip() not in refused.value.detail


@pytest.mark.parametrize(
    "signing", ["whsec_x", ["whsec_x"], {"secrets": ["whsec_x"]}, {"secret": "whsec_x"}, {"secrets": "whsec_x"}]
)
def test_a_secret_in_the_wrong_place_is_not_repeated(signing: Any) -> None:
    with pytest.raises(InvalidRule) as refused:
        parse(a_rule(signing))
    assert "whsec_x" not in refused.value.detail


@pytest.mark.parametrize("count", [0, 3])
def test_one_secret_is_taken_or_two_while_one_is_changed(count: int) -> None:
    with pytest.raises(InvalidRule, match=f"found {count} secrets"):
        parse(a_rule({"secrets": [{"secret": secret_of(24 + number)} for number in range(count)]}))


def test_the_same_secret_twice_is_refused() -> None:
    with pytest.raises(InvalidRule, match="the same secret twice"):
        parse(a_rule({"secrets": [{"secret": SECRET}, {"secret": SECRET}]}))


def test_a_rule_is_shown_with_how_many_secrets_it_has_and_none_of_them() -> None:
    rule, _ = parse(a_rule({"secrets": [{"secret": SECRET}, {"secret": OTHER}]}))
    told = shown(rule).target.http
    assert told
    assert told.signing == signature.Signing((Secret(None), Secret(None)))
