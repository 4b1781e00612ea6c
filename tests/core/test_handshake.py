"""What an answer to a handshake says, when a refusal is asked again, and what of it holds for a rule."""

from typing import Any

import msgspec
import pytest

from eventyard.core import handshake, limits
from eventyard.core import rule as rules
from eventyard.core.errors import InvalidRule
from eventyard.core.handshake import Agreed, Heard, Refused
from tests.support.builders import a_rule_document

URL = "http://127.0.0.1:9005/events"
BUS = "bus.example.com"


def record(heard: Heard | None = None, *, url: str = URL, wanted: str = "required", **delivery: Any) -> rules.RuleRecord:
    document = a_rule_document(target={"http": {"url": url, "handshake": wanted}}, delivery=delivery)
    return rules.RuleRecord(1, "r", 1, rules.parse(document)[0], rules.Status.LIVE, 0, 0, handshake=heard)


@pytest.mark.parametrize("status", [200, 204, 404, 500])
@pytest.mark.parametrize("allowed", [BUS, "BUS.example.com", "*", f" {BUS} "])
def test_consent_is_a_header_whatever_the_status(status: int, allowed: str) -> None:
    assert handshake.read(status, {"webhook-allowed-origin": allowed}, BUS) == Agreed()


@pytest.mark.parametrize(
    "headers", [{}, {"allow": "OPTIONS, POST"}, {"webhook-allowed-origin": ""}, {"webhook-allowed-rate": "*"}]
)
def test_an_answer_without_the_header_is_no_consent_though_it_is_200(headers: dict[str, str]) -> None:
    found = handshake.read(200, headers, BUS)
    assert isinstance(found, Refused)
    assert "200" in found.why


@pytest.mark.parametrize("other", ["example.com", "other.example.com", f"{BUS}, other", "**", "https://bus.example.com"])
def test_consent_to_somebody_else_is_none(other: str) -> None:
    found = handshake.read(200, {"webhook-allowed-origin": other}, BUS)
    assert isinstance(found, Refused)
    assert other in found.why


@pytest.mark.parametrize(("rate", "wanted"), [("*", None), ("120", 120), (" 1 ", 1), ("999999999", 999_999_999)])
def test_the_allowed_rate_is_requests_a_minute(rate: str, wanted: int | None) -> None:
    assert handshake.read(200, {"webhook-allowed-origin": "*", "webhook-allowed-rate": rate}, BUS) == Agreed(wanted)


@pytest.mark.parametrize("rate", ["", "0", "-1", "1.5", "ten", "\u0661", "1" * 5_000])
def test_a_rate_that_cannot_be_understood_is_no_consent(rate: str) -> None:
    found = handshake.read(200, {"webhook-allowed-origin": "*", "webhook-allowed-rate": rate}, BUS)
    assert isinstance(found, Refused)
    assert len(found.why) < 200


@pytest.mark.parametrize(("rate_per_s", "asked"), [(None, None), (20, "1200"), (0.5, "30"), (0.001, "1")])
def test_the_rate_that_the_rule_has_is_asked_for(rate_per_s: float | None, asked: str | None) -> None:
    headers = dict(handshake.headers(BUS, rate_per_s))
    assert (headers["webhook-request-origin"], headers.get("webhook-request-rate")) == (BUS, asked)


def test_who_refuses_is_asked_again_ever_more_rarely_up_to_a_cap_and_for_ever() -> None:
    heard, waits = None, []
    for _ in range(1_200):
        heard = handshake.heard(heard, URL, BUS, Refused("no"), time_ms=7, work_ms=0)
        waits.append(heard.due_ms / 1000)
    assert waits[:3] == [limits.HANDSHAKE_AGAIN_S * times for times in (1, 2, 4)]
    assert waits[-1] == limits.HANDSHAKE_AGAIN_S_MAX
    other = handshake.heard(heard, f"{URL}/2", BUS, Refused("no"), time_ms=7, work_ms=0)
    assert other.refusals == 1


def test_consent_forgets_the_refusals_before_it() -> None:
    refused = handshake.heard(None, URL, BUS, Refused("no"), time_ms=7, work_ms=0)
    given = handshake.heard(refused, URL, BUS, Agreed(60), time_ms=8, work_ms=1)
    assert given == Heard(URL, BUS, 8, rate_per_minute=60)
    assert given.is_given


GIVEN = Heard(URL, BUS, 1, rate_per_minute=60)
REFUSED = Heard(URL, BUS, 1, refusals=1, why="no")


@pytest.mark.parametrize(
    ("heard", "wanted", "url", "gives_out"),
    [
        (None, "required", URL, False),
        (REFUSED, "required", URL, False),
        (GIVEN, "required", URL, True),
        (GIVEN, "required", f"{URL}/2", False),
        (None, "preferred", URL, True),
        (REFUSED, "preferred", URL, True),
        (None, "off", URL, True),
    ],
)
def test_only_who_requires_consent_waits_for_it_and_another_url_makes_it_void(
    heard: Heard | None, wanted: str, url: str, *, gives_out: bool
) -> None:
    assert record(heard, wanted=wanted, url=url).gives_out is gives_out


@pytest.mark.parametrize(
    ("heard", "wanted", "own", "rate"),
    [
        (GIVEN, "required", None, 1.0),
        (GIVEN, "preferred", 20, 1.0),
        (GIVEN, "required", 0.5, 0.5),
        (GIVEN, "off", 20, 20),
        (GIVEN, "off", None, None),
        (REFUSED, "preferred", 20, 20),
        (Heard(URL, BUS, 1), "required", 20, 20),
        (Heard("http://127.0.0.1:1/", BUS, 1, rate_per_minute=60), "preferred", 20, 20),
    ],
)
def test_of_the_rules_rate_and_the_allowed_one_the_lower_counts(
    heard: Heard, wanted: str, own: float | None, rate: float | None
) -> None:
    assert record(heard, wanted=wanted, rate_per_s=own).rate_per_s == rate


@pytest.mark.parametrize("found", ["always", "", True, None])
def test_another_word_is_refused_in_its_place(found: Any) -> None:
    with pytest.raises(InvalidRule) as refused:
        rules.parse(a_rule_document(target={"http": {"url": URL, "handshake": found}}))
    assert refused.value.at == "/target/http/handshake"


def test_a_record_of_before_handshakes_reads_as_one_without() -> None:
    text = msgspec.json.encode(record(wanted="off"))
    before = text.replace(b',"handshake":"off"', b"").replace(b',"handshake":null', b"")
    assert b"handshake" not in before
    assert msgspec.json.decode(before, type=rules.RuleRecord) == record(wanted="off")
