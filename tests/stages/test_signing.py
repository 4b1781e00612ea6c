"""Signed pushes over the life of their secrets: put, changed without a gap, sealed anew, handed to workers, lost."""

import asyncio
import base64
import hmac
from pathlib import Path
from typing import Any

import pytest

from eventyard.core import handout
from eventyard.core.errors import InvalidRule
from eventyard.core.rule_secrets import secrets_of
from eventyard.core.secret import Secret
from eventyard.core.signature import Signing
from eventyard.core.target import HttpTarget
from tests.support.builders import an_event
from tests.support.sealing import FIRST, LIMIT_S, SECOND, THIRD, TOKEN, Place, told


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_push_is_signed_by_a_secret_that_the_store_never_has_in_clear(place: Place) -> None:
    async def story(place: Place) -> None:
        await place.put({}, signing=[FIRST])
        headers = await place.pushed(1)
        assert place.signed_by(FIRST, SECOND) == [True, False]
        assert headers["webhook-id"] == headers["eventyard-delivery"]
        assert all(secret.is_sealed for secret in place.secrets())
        assert FIRST not in repr(place.engine.load())

    told(place, story)


def test_a_secret_is_changed_without_a_push_that_a_receiver_cannot_verify(place: Place) -> None:
    async def story(place: Place) -> None:
        await place.put({}, signing=[FIRST])
        await place.put({}, signing=[SECOND, None])
        await place.pushed(1)
        assert place.signed_by(FIRST, SECOND) == [True, True]
        assert not (await place.put({}, signing=[SECOND, None])).is_changed
        assert not (await place.put({}, signing=[None, None])).is_changed
        await place.put({}, signing=[None])
        await place.pushed(2)
        assert place.signed_by(FIRST, SECOND) == [False, True]

    told(place, story)


def test_of_two_secrets_the_older_goes_where_a_third_comes(place: Place) -> None:
    async def story(place: Place) -> None:
        await place.put({}, signing=[SECOND, FIRST])
        await place.put({}, signing=[THIRD, None])
        await place.pushed(1)
        assert place.signed_by(FIRST, SECOND, THIRD) == [False, True, True]

    told(place, story)


@pytest.mark.parametrize("signing", [[None], [FIRST, None], [SECOND, None, None]])
def test_a_signing_secret_that_is_not_there_cannot_be_kept(place: Place, signing: Any) -> None:
    async def story(place: Place) -> None:
        await place.put({}, signing=[FIRST] if len(signing) > 1 else [])
        with pytest.raises(InvalidRule):
            await place.put({}, signing=signing)

    told(place, story)


def test_no_signing_secret_is_kept_for_another_host(place: Place) -> None:
    """Or whoever may edit a rule could collect what the other host takes for true."""

    async def story(place: Place) -> None:
        await place.put({}, signing=[FIRST])
        with pytest.raises(InvalidRule, match="found no value"):
            await place.put({}, signing=[None], url="http://127.0.0.1:10/a")

    told(place, story)


def test_signing_secrets_are_sealed_anew_beside_those_of_headers(place: Place) -> None:
    async def story(place: Place) -> None:
        await place.put({"authorization": {"secret": TOKEN}}, signing=[FIRST, SECOND])
        assert (await place.yard.rotate_secrets(is_forgetting=True))[1:] == (3, 0, 1)
        assert (await place.pushed(1))["authorization"] == TOKEN
        assert place.signed_by(FIRST, SECOND) == [True, True]

    told(place, story)


def test_without_its_key_a_signed_rule_pushes_nothing_rather_than_unsigned(place: Place) -> None:
    async def story(place: Place) -> None:
        await place.put({}, signing=[FIRST])

    told(place, story)
    place.key_file.unlink()
    place.again()

    async def later(place: Place) -> None:
        assert place.yard.lost_secrets() == ["default/paid/signing/secrets"]
        await place.yard.publish("default", [an_event(1)])
        while not (await place.yard.status("default", "paid")).failing_since_ms:  # noqa: ASYNC110 - it fails on another thread
            await asyncio.sleep(0.01)
        assert place.transport.sent == []

    told(place, later)


def test_a_worker_is_handed_the_signing_secrets_themselves(place: Place) -> None:
    place.is_pushing = False
    place.again()

    async def story(place: Place) -> None:
        await place.put({}, signing=[FIRST, SECOND])
        await place.yard.publish("default", [an_event(1)])
        taken = handout.Reader().read(await place.yard.hand_out(count=5, wait_s=LIMIT_S))
        ((_, (lease,)),) = taken.leases
        assert [secret for _, secret in secrets_of(lease.record.rule)] == [Secret(FIRST), Secret(SECOND)]

    told(place, story)


def test_in_binary_mode_the_attributes_are_signed_as_they_are_sent(place: Place) -> None:
    async def story(place: Place) -> None:
        await place.put({}, signing=[FIRST], mode="binary")
        headers = await place.pushed(1)
        assert place.signed_by(FIRST) == [True]
        own = sorted((name, value) for name, value in headers.items() if name.startswith("ce-") or name == "content-type")
        assert len(own) >= 4
        text = "\n".join(
            ["eventyard-attributes-signature", headers["webhook-id"], headers["webhook-timestamp"]]
            + [f"{name}:{value}" for name, value in own]
        )
        digest = hmac.digest(base64.b64decode(FIRST.removeprefix("whsec_")), text.encode(), "sha256")
        assert headers["eventyard-attributes-signature"] == f"v1,{base64.b64encode(digest).decode()}"

    told(place, story)


def test_a_trial_signs_by_a_secret_of_its_own(place: Place) -> None:
    async def story(place: Place) -> None:
        await place.put({}, signing=[FIRST])
        kept = HttpTarget("http://127.0.0.1:9/a", signing=Signing((Secret(None),)))
        with pytest.raises(InvalidRule, match="found no value"):
            await place.yard.try_on("default", "paid", kept, None)
        place.transport.status = 422
        await place.pushed(1)
        while not (await place.yard.status("default", "paid")).dead:  # noqa: ASYNC110 - it dies on another thread
            await asyncio.sleep(0.01)
        own = HttpTarget("http://127.0.0.1:9/b", signing=Signing((Secret(SECOND),)))
        await place.yard.try_on("default", "paid", own, None)
        assert place.signed_by(FIRST, SECOND) == [False, True]

    told(place, story)
