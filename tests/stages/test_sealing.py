"""Secrets of rules over their life: put, kept, pushed, handed to workers, sealed anew, lost."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from eventyard.bus import Eventyard
from eventyard.core import handout
from eventyard.core.commands import Reseal
from eventyard.core.errors import InvalidRequest, InvalidRule
from eventyard.core.network import Policy
from eventyard.core.rule import headers_of
from eventyard.core.secret import Secret
from eventyard.serve import SystemClock
from eventyard.vault import KeyFile
from tests.support.builders import an_event
from tests.support.sealing import LIMIT_S, TOKEN, Place, told


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


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
