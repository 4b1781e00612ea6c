"""Secrets of rules over their life: put, kept, pushed, handed to workers, sealed anew, lost."""

import asyncio
import base64
import hmac
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from eventyard.bus import Eventyard
from eventyard.core import handout
from eventyard.core.commands import Reseal
from eventyard.core.errors import InvalidRequest, InvalidRule
from eventyard.core.network import Policy
from eventyard.core.rule import HttpTarget, headers_of
from eventyard.core.rule_secrets import secrets_of
from eventyard.core.secret import Secret
from eventyard.core.signature import Signing
from eventyard.engines.memory import MemoryEngine
from eventyard.ports import PushAnswer, PushRequest
from eventyard.serve import SystemClock
from eventyard.vault import KeyFile
from tests.support.builders import an_event

LIMIT_S = 20.0
TOKEN = "Bearer hunter2"
FIRST, SECOND, THIRD = (
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "whsec_plJ3nmyCDGBKInavdOK15jsl5BQ2W7kC",
)
Story = Callable[["Place"], Awaitable[None]]


class Kept:
    """A transport that keeps what it is asked to send, and says that all went well, or what the test would have it say."""

    is_running = True

    def __init__(self) -> None:
        self.sent: list[PushRequest] = []
        self.came = threading.Event()
        self.status = 204

    def send(self, request: PushRequest, done: Callable[[PushAnswer], None]) -> None:
        self.sent.append(request)
        self.came.set()
        done(PushAnswer(self.status, {}, b""))

    def close(self) -> None:
        """Nothing runs by itself."""


class Place:
    """A bus with its key file; `again` is the next life of both."""

    def __init__(self, folder: Path) -> None:
        self.key_file = folder / "secrets.key"
        self.engine = MemoryEngine()
        self.transport = Kept()
        self.is_pushing = True
        self.yard = self.again()

    def again(self) -> Eventyard:
        self.yard = Eventyard(
            self.engine,
            self.transport,
            SystemClock(),
            Policy(is_loopback_allowed=True),
            is_pushing=self.is_pushing,
            vault=KeyFile(self.key_file),
        )
        return self.yard

    async def put(
        self, headers: Any, *, name: str = "paid", url: str = "http://127.0.0.1:9/a", signing: Any = (), **more: Any
    ) -> Any:
        http = {"url": url, "headers": headers, **more}
        if signing:
            http["signing"] = {"secrets": [{"secret": secret} for secret in signing]}
        return await self.yard.put_rule(
            "default", name, json.dumps({"pattern": {"type": ["order.paid"]}, "target": {"http": http}}).encode()
        )

    async def pushed(self, number: int) -> dict[str, str]:
        """The headers of the push of a new event."""
        self.transport.came.clear()
        await self.yard.publish("default", [an_event(number)])
        assert await asyncio.to_thread(self.transport.came.wait, LIMIT_S)
        return dict(self.transport.sent[-1].headers)

    def signed_by(self, *secrets: str) -> list[bool]:
        """By which of them a receiver verifies the last push."""
        request = self.transport.sent[-1]
        return [_verifies(secret, request) for secret in secrets]

    def signing_secrets(self) -> list[Secret]:
        """As they stand in the store."""
        return [secret for _, secret in secrets_of(self.yard.rule("default", "paid").rule)]

    def kept(self, name: str = "paid") -> Any:
        """What stands in the store for the rule's header."""
        return headers_of(self.yard.rule("default", name).rule)["authorization"]


def _verifies(secret: str, request: PushRequest) -> bool:
    try:
        Webhook(secret).verify(request.body, dict(request.headers), json_parse=False)
    except WebhookVerificationError:
        return False
    return True


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def told(place: Place, story: Story) -> None:
    async def run() -> None:
        place.yard.start()
        try:
            await asyncio.wait_for(story(place), LIMIT_S)
        finally:
            await place.yard.stop()

    asyncio.run(run())


def test_a_target_gets_the_secret_and_the_store_never_has_it(place: Place) -> None:
    async def story(place: Place) -> None:
        await place.put({"authorization": {"secret": TOKEN}, "x-tenant": "acme"})
        headers = await place.pushed(1)
        assert (headers["authorization"], headers["x-tenant"]) == (TOKEN, "acme")
        assert place.kept().is_sealed
        assert TOKEN not in repr(place.engine.load())
        assert not any(TOKEN.encode() in event.json for event in place.engine.view.events(1, 1, 9, 9))

    told(place, story)


def test_a_secret_that_is_null_is_kept_also_while_the_rest_of_the_rule_changes(place: Place) -> None:
    async def story(place: Place) -> None:
        await place.put({"authorization": {"secret": TOKEN}})
        before = place.kept()
        again = await place.put({"authorization": {"secret": None}})
        changed = await place.put({"authorization": {"secret": None}, "x-tenant": "acme"}, url="http://127.0.0.1:9/b")
        assert (again.is_changed, changed.is_changed, place.kept()) == (False, True, before)
        assert (await place.pushed(1))["authorization"] == TOKEN

    told(place, story)


def test_the_same_secret_again_changes_nothing_and_another_does(place: Place) -> None:
    async def story(place: Place) -> None:
        await place.put({"authorization": {"secret": TOKEN}})
        assert not (await place.put({"authorization": {"secret": TOKEN}})).is_changed
        assert (await place.put({"authorization": {"secret": "Bearer 2"}})).is_changed
        assert (await place.pushed(1))["authorization"] == "Bearer 2"

    told(place, story)


@pytest.mark.parametrize("url", ["http://127.0.0.1:10/a", "https://127.0.0.1:9/a", "http://localhost:9/a"])
def test_no_secret_is_kept_for_another_host(place: Place, url: str) -> None:
    """Or whoever may edit a rule could have it sent to himself."""

    async def story(place: Place) -> None:
        await place.put({"authorization": {"secret": TOKEN}})
        with pytest.raises(InvalidRule, match="found no value"):
            await place.put({"authorization": {"secret": None}}, url=url)

    told(place, story)


@pytest.mark.parametrize("headers", [{"authorization": {"secret": None}}, {"x-other": {"secret": None}}])
def test_what_is_not_there_cannot_be_kept(place: Place, headers: Any) -> None:
    async def story(place: Place) -> None:
        await place.put({"x-tenant": "acme", "authorization": "in clear"})
        with pytest.raises(InvalidRule, match="found no value"):
            await place.put(headers)

    told(place, story)


def test_a_sealed_value_moved_to_another_rule_opens_nothing(place: Place) -> None:
    """Somebody with access to the store, and not to the key file, who wants it sent to his own target."""

    async def story(place: Place) -> None:
        await place.put({"authorization": {"secret": TOKEN}}, name="theirs")
        stolen = place.kept("theirs").secret
        await place.put({"authorization": {"secret": "mine"}})
        state = place.yard._writer.states[1]
        record = state.by_name["paid"]
        headers_of(record.rule)["authorization"] = Secret(stolen)
        assert place.yard.lost_secrets() == ["default/paid/authorization"]

    told(place, story)


def test_all_secrets_are_sealed_with_the_new_key_and_the_old_one_can_go(place: Place) -> None:
    async def story(place: Place) -> None:
        await place.put({"authorization": {"secret": TOKEN}})
        await place.put({"authorization": {"secret": TOKEN}}, name="more")
        before, head = place.kept(), place.yard.head("default")
        rotated = await place.yard.rotate_secrets(is_forgetting=True)
        assert (rotated.resealed, rotated.lost, rotated.forgotten) == (2, 0, 1)
        assert rotated.key in place.kept().secret != before.secret
        assert place.yard.head("default") == head
        assert (await place.pushed(1))["authorization"] == TOKEN

    told(place, story)
    place.again()
    told(place, lambda place: _pushed_with(place, 2))


async def _pushed_with(place: Place, number: int) -> None:
    assert (await place.pushed(number))["authorization"] == TOKEN


def test_a_secret_that_is_kept_while_its_key_goes_is_not_lost(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(place: Place) -> None:
        await place.put({"authorization": {"secret": TOKEN}})
        ask_for, seen = place.yard._ask_for, list[Any]()

        def and_a_put_behind_it(bus: str, command: Any, *, size: int = 0) -> Any:
            answer = ask_for(bus, command, size=size)
            if isinstance(command, Reseal):
                seen.append(command)
                if len(seen) == 1:
                    keeping = place.put({"authorization": {"secret": None}, "x-tenant": "acme"})
                    keeping.send(None)  # It is in the queue now, and saw the rule as it was.
                    keeping.close()
            return answer

        monkeypatch.setattr(place.yard, "_ask_for", and_a_put_behind_it)
        await place.yard.rotate_secrets(is_forgetting=True)
        assert place.yard.lost_secrets() == []
        headers = await place.pushed(1)
        assert (headers["authorization"], headers["x-tenant"]) == (TOKEN, "acme")

    told(place, story)


def test_a_rotation_that_was_cut_is_finished_by_the_next(place: Place) -> None:
    async def story(place: Place) -> None:
        await place.put({"authorization": {"secret": TOKEN}})
        KeyFile(place.key_file).rotate()

    told(place, story)
    place.again()

    async def again(place: Place) -> None:
        assert (await place.pushed(1))["authorization"] == TOKEN
        assert (await place.yard.rotate_secrets(is_forgetting=True))[1:] == (1, 0, 2)
        assert (await place.pushed(2))["authorization"] == TOKEN

    told(place, again)


def test_without_its_key_a_rule_pushes_nothing_says_why_and_no_key_is_forgotten(place: Place) -> None:
    async def story(place: Place) -> None:
        await place.put({"authorization": {"secret": TOKEN}})

    told(place, story)
    place.key_file.unlink()
    place.again()

    async def later(place: Place) -> None:
        assert place.yard.lost_secrets() == ["default/paid/authorization"]
        await place.yard.publish("default", [an_event(1)])
        while not (status := await place.yard.status("default", "paid")).failing_since_ms:  # noqa: ASYNC110 - it fails on another thread
            await asyncio.sleep(0.01)
        explained = await place.yard.explain("default", 2)
        assert "which the key file does not have" in str(explained), status
        assert place.transport.sent == []
        assert (await place.yard.rotate_secrets(is_forgetting=True))[1:] == (0, 1, 0)
        await place.put({"authorization": {"secret": TOKEN}})
        assert place.yard.lost_secrets() == []
        assert (await place.pushed(2))["authorization"] == TOKEN

    told(place, later)


def test_a_worker_is_handed_the_secret_itself(place: Place) -> None:
    place.is_pushing = False
    place.again()

    async def story(place: Place) -> None:
        await place.put({"authorization": {"secret": TOKEN}})
        await place.yard.publish("default", [an_event(1)])
        taken = handout.Reader().read(await place.yard.hand_out(count=5, wait_s=LIMIT_S))
        ((_, (lease,)),) = taken.leases
        assert headers_of(lease.record.rule) == {"authorization": Secret(TOKEN)}

    told(place, story)


def test_a_trial_takes_a_secret_of_its_own_and_none_to_keep(place: Place) -> None:
    async def story(place: Place) -> None:
        await place.put({"authorization": {"secret": TOKEN}})
        target = place.yard.rule("default", "paid").rule.target.http
        assert target
        with pytest.raises(InvalidRule):
            await place.yard.try_on("default", "paid", target, None)

    told(place, story)


def test_a_bus_without_a_key_file_takes_no_secret_and_sends_other_headers(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.yard = Eventyard(place.engine, place.transport, SystemClock(), Policy(is_loopback_allowed=True))

    async def story(place: Place) -> None:
        with pytest.raises(InvalidRule, match="without a key file"):
            await place.put({"authorization": {"secret": TOKEN}})
        with pytest.raises(InvalidRequest, match="found no key file"):
            await place.yard.rotate_secrets()
        await place.put({"x-tenant": "acme"})
        assert (await place.pushed(1))["x-tenant"] == "acme"

    told(place, story)


# Signing secrets


def test_a_push_is_signed_by_a_secret_that_the_store_never_has_in_clear(place: Place) -> None:
    async def story(place: Place) -> None:
        await place.put({}, signing=[FIRST])
        headers = await place.pushed(1)
        assert place.signed_by(FIRST, SECOND) == [True, False]
        assert headers["webhook-id"] == headers["eventyard-delivery"]
        assert all(secret.is_sealed for secret in place.signing_secrets())
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
