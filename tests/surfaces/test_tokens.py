"""Tokens of an issuer at the door: they open what their claims come to, beside keys, and what they began ends with them."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from eventyard.core.access import EVERYTHING, Caller, Grant, Scope
from eventyard.core.errors import IssuerAway
from eventyard.issuer import FileKeys, Issuer, Policy
from tests.support.buses import ServedBus, served_bus
from tests.support.listeners import listening
from tests.support.tokens import AUDIENCE, ISSUER, jwks, token

POLICY = Policy(
    ISSUER,
    (AUDIENCE,),
    ("RS256",),
    "groups",
    {
        "admins": EVERYTHING,
        "shop": Grant((Scope.PUBLISH,), ("shop",), "/shop/"),
        "readers": Grant((Scope.READ,), ("shop", "default")),
    },
)


def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedBus]:
    file = tmp_path_factory.mktemp("issuer") / "jwks.json"
    file.write_bytes(jwks())
    with served_bus(issuer=Issuer(POLICY, FileKeys(Path(file), POLICY.algorithms), now_ms)) as bus:
        assert ask(bus, "PUT", "/v1/buses/shop", token(groups=["admins"])).status_code == 201
        yield bus


def ask(door: ServedBus, method: str, path: str, shown: str, **more: Any) -> httpx.Response:
    return door.request(method, path, headers={"authorization": f"Bearer {shown}"} | more.pop("headers", {}), **more)


def test_a_bus_with_an_issuer_asks_who_it_is_although_there_is_no_key(door: ServedBus) -> None:
    assert door.get("/v1/buses").status_code == 401
    assert door.get("/healthz").status_code == 200


def test_a_token_opens_what_its_claims_come_to(door: ServedBus) -> None:
    reader = token(groups=["readers", "somebody"])
    assert [bus["name"] for bus in ask(door, "GET", "/v1/buses", reader).json()["buses"]] == ["default", "shop"]
    assert ask(door, "PUT", "/v1/buses/new", reader).json()["wanted"] == "the scope manage on bus new"
    assert ask(door, "GET", "/v1/keys", reader).status_code == 403
    nobody = ask(door, "GET", "/", token(groups=[]))
    assert (nobody.status_code, nobody.json()["found"]) == (403, "found jwt:me with the scopes none")


def test_several_groups_are_not_mixed(door: ServedBus) -> None:
    both = token(groups=["readers", "shop"])
    for bus, source, status in (("shop", "/shop/a", 202), ("shop", "/other", 403), ("default", "/shop/a", 403)):
        event = {"specversion": "1.0", "id": "1", "source": source, "type": "t"}
        headers = {"content-type": "application/cloudevents+json"}
        assert ask(door, "POST", f"/v1/buses/{bus}/events", both, json=event, headers=headers).status_code == status


def test_edits_carry_the_subject_into_the_log(door: ServedBus) -> None:
    admin = token(groups=["admins"], sub="alice@example.com")
    document = {"pattern": {"type": ["t"]}, "target": {"queue": {}}}
    assert ask(door, "PUT", "/v1/buses/shop/rules/hers", admin, json=document).status_code == 201
    held = ask(door, "GET", "/v1/buses/shop/events", admin).json()["events"]
    edits = [each["event"] for each in held if each["event"].get("subject") == "hers"]
    assert [edit["data"]["principal"] for edit in edits] == ["jwt:alice@example.com"]


def test_keys_and_tokens_open_side_by_side(door: ServedBus) -> None:
    made = ask(door, "POST", "/v1/keys", token(groups=["admins"]), json={"name": "k", "scopes": ["manage", "read"]}).json()
    assert made["created_by"] == "jwt:me"
    assert ask(door, "GET", "/v1/buses", made["key"]).status_code == 200
    assert ask(door, "GET", "/v1/buses", token(groups=["readers"])).status_code == 200
    assert ask(door, "GET", "/v1/buses", made["key"][:-1] + "x").status_code == 401


def test_a_token_that_does_not_count_is_told_why(door: ServedBus) -> None:
    answer = ask(door, "GET", "/v1/buses", token(groups=["admins"], aud="elsewhere"))
    assert (answer.status_code, "another audience" in answer.json()["found"]) == (401, True)
    assert answer.headers["www-authenticate"] == 'Bearer realm="eventyard"'


def test_a_stream_ends_with_its_token(door: ServedBus) -> None:
    """A second from now, the leeway already used up."""
    brief = token(groups=["readers"], exp=int(time.time()) - int(POLICY.leeway_s) + 2)
    with listening(door, "/v1/buses/shop/stream", authorization=f"Bearer {brief}") as stream:
        last = list(stream.rest())[-1]
    assert (last.name, last.data["reason"]) == ("cut", "expired")


def test_an_issuer_that_is_away_is_no_fault_of_the_caller() -> None:
    class Away:
        async def identify(self, token: bytes) -> Caller:
            raise IssuerAway(f"found no keys to check {len(token)} bytes by")

    with served_bus(issuer=Away()) as door:
        answer = ask(door, "GET", "/v1/buses", token())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert answer.json()["type"] == "urn:eventyard:problem:issuer-away"
