"""Pushes that say who sends them, through the whole bus: sealed at rest, opened for the push, kept for their hosts only, handed to workers."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from eventyard.core import handout, limits
from eventyard.core.errors import ForbiddenTarget, InvalidRule
from eventyard.core.rule_secrets import secrets_of
from eventyard.core.secret import Secret
from eventyard.core.target import HttpTarget
from tests.support.builders import an_event
from tests.support.sealing import LIMIT_S, Place, told

BASIC = {"basic": {"username": "shop", "password": {"secret": "hunter2"}}}
BEARER = {"bearer": {"secret": "hunter2"}}
OAUTH2 = {"oauth2": {"token_url": "http://127.0.0.1:9/token", "client_id": "shop", "client_secret": {"secret": "hunter2"}}}
ENCODED = "Basic " + base64.b64encode(b"shop:hunter2").decode()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def without_secret(said: Any) -> Any:
    return json.loads(json.dumps(said).replace('"hunter2"', "null"))


@pytest.mark.parametrize(("said", "sent"), [(BASIC, ENCODED), (BEARER, "Bearer hunter2")])
def test_a_push_says_who_sends_it_and_the_store_does_not_know_by_what(place: Place, said: Any, sent: str) -> None:
    async def story(place: Place) -> None:
        await place.put({}, auth=said)
        assert (await place.pushed(1))["authorization"] == sent
        assert all(secret.is_sealed for secret in place.secrets())
        assert "hunter2" not in repr(place.engine.load())
        assert not (await place.put({}, auth=without_secret(said))).is_changed
        assert not (await place.put({}, auth=said)).is_changed

    told(place, story)


def test_a_push_waits_for_its_token_which_the_next_has_already(place: Place) -> None:
    async def story(place: Place) -> None:
        place.transport.bodies["http://127.0.0.1:9/token"] = b'{"access_token": "t1", "token_type": "Bearer", "expires_in": 60}'
        await place.put({}, auth=OAUTH2)
        for number in range(2):
            await place.yard.publish("default", [an_event(number)])
        while (await place.yard.status("default", "paid")).delivered < 2:  # noqa: ASYNC110 - counted on another thread
            await asyncio.sleep(0.005)
        said = [(request.url.rpartition("/")[2], dict(request.headers)["authorization"]) for request in place.transport.sent]
        assert said == [("token", ENCODED), ("a", "Bearer t1"), ("a", "Bearer t1")]

    told(place, story)


def test_a_token_that_cannot_be_had_fails_the_delivery_which_is_retried(place: Place) -> None:
    async def story(place: Place) -> None:
        place.transport.bodies["http://127.0.0.1:9/token"] = b"<html>"
        await place.put({}, auth=OAUTH2)
        await place.yard.publish("default", [an_event(1)])
        while not (status := await place.yard.status("default", "paid")).failing_since_ms:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)
        assert status.dead == 0
        explained = str(await place.yard.explain("default", 2))
        assert "no access token from 127.0.0.1:9: the answer is no token" in explained
        assert "hunter2" not in explained
        assert {request.url for request in place.transport.sent} == {"http://127.0.0.1:9/token"}

    told(place, story)


@pytest.mark.parametrize(
    ("said", "changed", "url"),
    [
        (BASIC, BASIC, "http://127.0.0.1:10/a"),
        (BEARER, BEARER, "http://127.0.0.1:10/a"),
        (OAUTH2, OAUTH2, "http://127.0.0.1:10/a"),
        (OAUTH2, {"oauth2": OAUTH2["oauth2"] | {"token_url": "http://127.0.0.1:10/token"}}, "http://127.0.0.1:9/a"),
    ],
)
def test_no_secret_follows_to_another_target_or_token_server(place: Place, said: Any, changed: Any, url: str) -> None:
    """A token that the target's new owner is sent is worth as much as the secret, while it holds."""

    async def story(place: Place) -> None:
        await place.put({}, auth=said)
        with pytest.raises(InvalidRule, match="found no value"):
            await place.put({}, auth=without_secret(changed), url=url)

    told(place, story)


def test_a_token_server_stands_where_targets_may(place: Place) -> None:
    async def story(place: Place) -> None:
        elsewhere = {"oauth2": OAUTH2["oauth2"] | {"token_url": "http://169.254.169.254/token"}}
        with pytest.raises(ForbiddenTarget) as refused:
            await place.put({}, auth=elsewhere)
        assert refused.value.at == "/target/http/auth/oauth2/token_url"

    told(place, story)


@pytest.mark.parametrize("said", [BASIC, BEARER, OAUTH2])
def test_what_lets_in_is_sealed_anew_and_handed_to_workers(place: Place, said: Any) -> None:
    place.is_pushing = False
    place.again()

    async def story(place: Place) -> None:
        await place.put({}, auth=said)
        assert (await place.yard.rotate_secrets(is_forgetting=True))[1:] == (1, 0, 1)
        await place.yard.publish("default", [an_event(1)])
        taken = handout.Reader().read(await place.yard.hand_out(count=5, wait_s=LIMIT_S))
        ((_, (lease,)),) = taken.leases
        assert [secret for _, secret in secrets_of(lease.record.rule)] == [Secret("hunter2")]

    told(place, story)


def test_a_lease_lasts_for_two_tokens_and_two_pushes(place: Place) -> None:
    async def story(place: Place) -> None:
        await place.put({}, auth=OAUTH2, timeout_s=7)
        longest_ms = 2 * (7_000 + int(limits.TOKEN_TIMEOUT_S * 1000))
        assert place.yard.rule("default", "paid").push_lease_ms == longest_ms + limits.PUSH_LEASE_MARGIN_MS

    told(place, story)


def test_a_trial_says_who_sends_it_by_a_secret_of_its_own(place: Place) -> None:
    async def story(place: Place) -> None:
        await place.put({}, auth=BEARER)
        target = place.yard.rule("default", "paid").rule.target.http
        assert isinstance(target, HttpTarget)
        with pytest.raises(InvalidRule):
            await place.yard.try_on("default", "paid", target, None)

    told(place, story)
