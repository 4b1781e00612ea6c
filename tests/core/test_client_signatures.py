"""Verifying webhooks: what is genuine passes, and nothing else does. The signatures here are made by a few lines of their own."""

import base64
import datetime
import hashlib
import hmac
import json
from typing import Any

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from eventyard.client import InvalidSignature, verify_event_headers, verify_webhook
from eventyard.client.signatures import ID_LENGTH_MAX, SIGNATURES_LENGTH_MAX, SIGNATURES_MAX, TOLERANCE_S

NOW = 1_700_000_000
BODY = json.dumps({"id": "1", "source": "/shop"}).encode()
ARABIC = "".join(chr(0x660 + int(digit)) for digit in str(NOW))
"""Digits to `str.isdigit` and `int`, and in no header."""

SECRETS = [f"whsec_{base64.b64encode(bytes([number]) * 32).decode()}" for number in range(3)]


def signature(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def signed(body: bytes = BODY, *secrets: str, webhook_id: str = "a-1-2-0", time: str = str(NOW)) -> dict[str, str]:
    content = f"{webhook_id}.{time}.".encode() + body
    signatures = " ".join(signature(secret, content) for secret in secrets or SECRETS[:1])
    return {"webhook-id": webhook_id, "webhook-timestamp": time, "webhook-signature": signatures}


def verified(headers: Any, body: bytes = BODY, secrets: Any = SECRETS[0], **options: Any) -> str:
    return verify_webhook(headers, body, secrets, **({"now": NOW} | options))


def test_the_example_of_the_specification_passes() -> None:
    """The test vector of Standard Webhooks' own libraries."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert verified(headers, b'{"test": 2432232314}', secret, now=1_614_265_330) == "msg_p5jXN8AQM9LWM0D4loKWxJek"


@given(st.text(), st.text(min_size=1))
def test_what_a_sender_of_the_library_signs_passes_and_no_change_of_it(body: str, more: str) -> None:
    when = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    signatures = standardwebhooks.Webhook(SECRETS[0]).sign("msg_1", when, body)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(NOW), "webhook-signature": signatures}
    assert verified(headers, body.encode()) == "msg_1"
    with pytest.raises(InvalidSignature):
        verified(headers, (body + more).encode())
    with pytest.raises(InvalidSignature):
        verified(headers | {"webhook-id": "msg_2"}, body.encode())


def test_what_was_signed_with_any_of_several_secrets_passes() -> None:
    assert verified(signed(BODY, SECRETS[1]), secrets=SECRETS) == "a-1-2-0"
    assert verified(signed(BODY, SECRETS[2], SECRETS[0]), secrets=SECRETS[0]) == "a-1-2-0"


@pytest.mark.parametrize(
    "spelt",
    [
        lambda headers: {name.upper(): value for name, value in headers.items()},
        lambda headers: list(headers.items()),
        lambda headers: [(name.encode(), value.encode()) for name, value in headers.items()],
    ],
)
def test_headers_are_taken_as_a_framework_has_them(spelt: Any) -> None:
    assert verified(spelt(signed())) == "a-1-2-0"


def test_signatures_of_other_versions_are_passed_over() -> None:
    headers = signed()
    headers["webhook-signature"] = f"v1a,{'A' * 88} v2 {headers['webhook-signature']} v1,%%%"
    assert verified(headers) == "a-1-2-0"


@pytest.mark.parametrize("shift", [-TOLERANCE_S, TOLERANCE_S])
def test_a_time_at_the_tolerance_passes_and_one_past_it_does_not(shift: float) -> None:
    assert verified(signed(), now=NOW + shift)
    with pytest.raises(InvalidSignature, match="signed at 1700000000; wanted one at most 300 s from"):
        verified(signed(), now=NOW + shift + (1 if shift > 0 else -1))


@given(st.binary(), st.data())
def test_no_changed_body_passes(body: bytes, data: st.DataObject) -> None:
    other = data.draw(st.binary().filter(lambda each: each != body))
    assert verified(signed(body), body)
    with pytest.raises(InvalidSignature, match="fits"):
        verified(signed(body), other)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_is_missing_empty_or_there_twice_is_refused(name: str) -> None:
    headers = signed()
    for wrong in (
        [(each, value) for each, value in headers.items() if each != name],
        [*headers.items(), (name, headers[name])],
        [*headers.items(), (name.title(), "x")],
        list((headers | {name: ""}).items()),
    ):
        with pytest.raises(InvalidSignature):
            verified(wrong)


@pytest.mark.parametrize(
    "time",
    [
        "",
        "-1",
        "+1700000000",
        " 1700000000",
        "1700000000 ",
        "17e8",
        "1_700_000_000",
        "0x1",
        "1" * 5000,
        ARABIC,
        "²",
        "nan",
    ],
)
def test_a_time_that_is_none_is_refused_though_it_is_signed(time: str) -> None:
    with pytest.raises(InvalidSignature, match="no Unix time"):
        verified(signed(time=time))


@pytest.mark.parametrize("webhook_id", ["", "a.1", "a\nb", "ž", "\x00", "x" * (ID_LENGTH_MAX + 1)])
def test_an_id_that_could_be_read_in_two_ways_or_is_none_is_refused_though_it_is_signed(webhook_id: str) -> None:
    with pytest.raises(InvalidSignature, match="webhook-id that none is"):
        verified(signed(webhook_id=webhook_id))


def test_parts_of_a_signed_request_cannot_be_shifted_between_id_and_body() -> None:
    """`a.1700000000.b.c` once as the id `a` and the body `b.c`, once as `a.1700000000`, `b` and `c`."""
    headers = signed(b"1700000001.c", webhook_id="a")
    headers |= {"webhook-id": "a.1700000000", "webhook-timestamp": "1700000001"}
    with pytest.raises(InvalidSignature):
        verified(headers, b"c")


@pytest.mark.parametrize(
    "found",
    [
        "v1,",
        "v1",
        "v1,AAAA",
        "v1," + "A" * 43 + "=",
        ",",
        "v1,ž",
        "v1,\x00",
        " ".join(["v1,AAAA"] * (SIGNATURES_MAX + 1)),
        "v1," + "A" * SIGNATURES_LENGTH_MAX,
        "v0,%s",
        "V1,%s",
        "v1,%s,",
        "v1, %s",
    ],
)
def test_a_signature_header_without_a_genuine_one_is_refused(found: str) -> None:
    genuine = signed()["webhook-signature"].removeprefix("v1,")
    with pytest.raises(InvalidSignature, match="webhook-signature"):
        verified(signed() | {"webhook-signature": found.replace("%s", genuine)})


@given(st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text()))
def test_whatever_stands_in_headers_is_refused_and_nothing_else_is_raised(drawn: dict[str, str]) -> None:
    with pytest.raises(InvalidSignature):
        verified(signed(BODY, SECRETS[1]) | drawn)


@pytest.mark.parametrize(
    ("secrets", "said"),
    [
        ([], "no secret"),
        ("", "secret 1 does not begin with whsec_"),
        ("A" * 44, "secret 1 does not begin with whsec_"),
        (f"whsec_{'A' * 20}", "has 15 bytes"),
        (f"whsec_{'A' * 88}", "has 66 bytes"),
        ("whsec_hidden!", "no base64"),
        (f"whsec_{'A' * 43}", "no base64"),
        ([SECRETS[0], "whsec_hidden"], "secret 2"),
    ],
)
def test_a_secret_that_can_be_none_is_told_without_repeating_it(secrets: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        verified(signed(), secrets=secrets)
    assert "hidden" not in str(raised.value)
    assert "AAAA" not in str(raised.value)


# Attributes in binary mode

EVENT = {"ce-id": "1", "ce-source": "/shop", "ce-type": "order.paid", "content-type": "application/json"}


def signed_event(attributes: dict[str, str] = EVENT) -> dict[str, str]:
    headers = signed()
    lines = [f"{name}:{value}" for name, value in sorted(attributes.items())]
    text = "\n".join(["eventyard-attributes-signature", headers["webhook-id"], headers["webhook-timestamp"], *lines])
    return headers | attributes | {"eventyard-attributes-signature": signature(SECRETS[0], text.encode())}


def event_verified(headers: Any) -> str:
    return verify_event_headers(headers, BODY, SECRETS, now=NOW)


def test_an_events_headers_pass_as_they_were_signed_whatever_else_comes_along() -> None:
    assert event_verified(signed_event() | {"host": "shop", "user-agent": "eventyard"}) == "a-1-2-0"
    assert event_verified(signed_event({"ce-id": "1"})) == "a-1-2-0"


@pytest.mark.parametrize(
    "change",
    [
        {"ce-type": "order.refunded"},
        {"ce-more": "x"},
        {"content-type": "text/plain"},
        {"eventyard-attributes-signature": "v1,AAAA"},
        {"ce-id": "ž"},
    ],
)
def test_no_changed_header_of_an_event_passes(change: dict[str, str]) -> None:
    with pytest.raises(InvalidSignature, match="eventyard-attributes-signature"):
        event_verified(signed_event() | change)


@pytest.mark.parametrize("name", [*EVENT, "eventyard-attributes-signature"])
def test_no_header_of_an_event_can_be_left_out_or_doubled(name: str) -> None:
    headers = signed_event()
    for wrong in (
        [(each, value) for each, value in headers.items() if each != name],
        [*headers.items(), (name, headers[name])],
    ):
        with pytest.raises(InvalidSignature):
            event_verified(wrong)


def test_the_signature_over_headers_is_no_signature_over_a_body() -> None:
    headers = signed_event()
    text = "\n".join(
        ["eventyard-attributes-signature", "a-1-2-0", str(NOW), *(f"{each}:{EVENT[each]}" for each in sorted(EVENT))]
    )
    with pytest.raises(InvalidSignature):
        verified(headers | {"webhook-signature": headers["eventyard-attributes-signature"]}, text.encode())
