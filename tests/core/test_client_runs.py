"""The client's calls for runs, dead letters and retention: what is sent, and what is made of answers."""

import datetime
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from eventyard.client import Client, Patience, Unreachable
from tests.core.test_client_calls import Wire, ok

RULE = {
    "name": "rewards",
    "target": {"queue": {}},
    "pattern": {"type": ["a"]},
    "state": {"status": "live", "paused": False, "uid": 1, "version": 1, "run": 9, "created": "c", "changed": "c"},
}
REPLAY = {
    "run": 7,
    "state": "reading",
    "first": 1,
    "last": 6,
    "next_position": 3,
    "pending": 2,
    "delivered": 0,
    "dead": 0,
    "discarded": 0,
    "pattern": {"data": {"n": [1]}},
    "per_s": None,
    "pace": None,
    "created": "c",
    "ended": None,
}
REDRIVEN = {"position": 8, "moved": 2, "running": False}
RULE_PATH = "/v1/buses/default/rules/rewards"
NOON = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)


def asked(answer: Any, ask: Any) -> tuple[Any, httpx.Request, Any]:
    """What came of one call, the request, and its body."""
    wire = Wire(ok(answer))
    with Client(transport=httpx.MockTransport(wire), rng=random.Random(0)) as client:
        result = ask(client)
        result = list(result) if isinstance(result, Iterator) else result
    return result, wire.requests[0], wire.bodies[0] if wire.requests[0].content else None


@pytest.mark.parametrize(
    ("to", "sent"),
    [
        ("earliest", "earliest"),
        ("latest", "latest"),
        (7, {"position": 7}),
        (NOON, {"time": "2026-01-31T12:00:00+00:00"}),
        ("2026-01-31T12:00:00Z", {"time": "2026-01-31T12:00:00Z"}),
    ],
)
def test_a_place_is_a_position_a_time_or_an_end_of_the_log(to: Any, sent: Any) -> None:
    rule, request, body = asked(RULE, lambda client: client.seek("rewards", to))
    assert (request.method, request.url.path, body) == ("POST", f"{RULE_PATH}/seek", {"to": sent})
    assert rule.state.run == 9


def test_a_replay_is_sent_with_its_pattern_as_it_is_spelt() -> None:
    replay, request, body = asked(
        REPLAY, lambda client: client.start_replay("rewards", 3, NOON, pattern='{"data": {"n": [1.10]}}', per_s=5)
    )
    assert request.url.path == f"{RULE_PATH}/replays"
    assert b"[1.10]" in request.content
    assert body == {
        "from": {"position": 3},
        "until": {"time": "2026-01-31T12:00:00+00:00"},
        "per_s": 5,
        "pattern": {"data": {"n": [1.1]}},
    }
    assert (replay.run, replay.is_ended, replay.pattern_json) == (7, False, b'{"data":{"n":[1]}}')


def test_replays_are_listed_looked_at_and_ended() -> None:
    listed, request, _ = asked({"replays": [REPLAY], "next": None}, lambda client: client.replays("rewards"))
    assert ([replay.run for replay in listed], request.url.query) == ([7], b"")
    for method, ask in (("GET", Client.replay), ("DELETE", Client.end_replay)):
        _, request, _ = asked(REPLAY, lambda client, ask=ask: client.send(ask("rewards", 7)))
        assert (request.method, request.url.path) == (method, f"{RULE_PATH}/replays/7")


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.seek("rewards", "earliest"),
        lambda client: client.start_replay("rewards", "earliest"),
        lambda client: client.try_dead_letters("rewards", "all", "http://127.0.0.1:9/"),
    ],
)
def test_what_begins_anew_each_time_is_sent_once(ask: Any) -> None:
    wire = Wire(httpx.ReadTimeout("late"))
    with Client(transport=httpx.MockTransport(wire), patience=Patience(first_s=0.0)) as client, pytest.raises(Unreachable):
        ask(client)
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({"ids": ["a", "b"]}, {"ids": ["a", "b"]}),
        ({"ids": "all"}, {"all": True}),
        ({"ids": "all", "reason": "age", "until": NOON}, {"filter": {"reason": "age", "until": "2026-01-31T12:00:00+00:00"}}),
        ({"ids": "all", "key": None}, {"filter": {"key": None}}),
        ({"ids": "all", "key": [1, "x"]}, {"filter": {"key": [1, "x"]}}),
    ],
)
def test_dead_letters_are_named_or_meant(arguments: Any, sent: Any) -> None:
    for verb in ("redrive", "purge"):
        moved, request, body = asked(REDRIVEN, lambda client, verb=verb: getattr(client, verb)("rewards", **arguments))
        assert (request.url.path, body) == (f"{RULE_PATH}/dead-letters/{verb}", sent)
        assert (moved.position, moved.moved) == (8, 2)
    count, _, body = asked({"count": 3}, lambda client: client.count_dead_letters("rewards", **arguments))
    assert (count, body) == (3, sent | {"dry_run": True})


def test_what_is_asked_beside_it_is_sent() -> None:
    for ask, verb, sent in (
        (lambda c: c.redrive("rewards", ["a"], per_s=2.5, out_of_order=True), "redrive", {"per_s": 2.5, "out_of_order": True}),
        (lambda c: c.purge("rewards", ["a"], parked=True), "purge", {"parked": True}),
        (lambda c: c.skip("rewards", ["a"]), "skip", {}),
    ):
        _, request, body = asked(REDRIVEN, ask)
        assert (request.url.path, body) == (f"{RULE_PATH}/dead-letters/{verb}", {"ids": ["a"]} | sent)
    _, request, body = asked({"count": 1}, lambda client: client.count_dead_letters("rewards", ["a"], parked=True))
    assert (request.url.path, body["parked"]) == (f"{RULE_PATH}/dead-letters/purge", True)
    assert asked(REDRIVEN, lambda client: client.skip("rewards", keys=[7, "a"]))[2] == {"keys": [7, "a"]}


def test_a_trial_is_of_a_url_or_a_target() -> None:
    said = {"results": [{"id": "a", "status": 204, "failure": "", "body": "", "elapsed_s": 0.1}]}
    for target in ("http://x/", {"http": {"url": "http://x/"}}):
        trials, _, body = asked(said, lambda client, target=target: client.try_dead_letters("rewards", "all", target))
        assert body == {"all": True, "target": {"http": {"url": "http://x/"}}}
        assert [trial.is_taken for trial in trials] == [True]


def test_a_key_in_a_list_is_sent_as_json_so_that_its_kind_is_kept() -> None:
    for key, text in (("7", '"7"'), (7, "7"), (True, "true")):
        _, request, _ = asked(
            {"dead_letters": [], "next": None}, lambda client, key=key: client.dead_letters("rewards", key=key)
        )
        assert request.url.params["key"] == text


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.redrive("rewards", ["a"], reason="age"),
        lambda client: client.purge("rewards", ["a"], key="k"),
        lambda client: client.skip("rewards"),
        lambda client: client.skip("rewards", ["a"], keys=["k"]),
    ],
)
def test_two_ways_of_naming_them_cannot_be_sent(ask: Any) -> None:
    with Client() as client, pytest.raises(ValueError, match="wanted"):
        ask(client)


def test_retention_is_set_in_part() -> None:
    answer = {"name": "shop", "created": "c", "head": 9, "floor": 4, "bytes": 700}
    kept = {"max_age_s": 60.0, "max_bytes": 5, "dead_letters_s": 9.0}
    bus, request, body = asked(answer | {"retention": kept}, lambda client: client.set_retention("shop", max_age_s=60))
    assert (request.method, request.url.path, body) == ("PUT", "/v1/buses/shop", {"retention": {"max_age_s": 60}})
    assert (bus.floor, bus.bytes, bus.retention.max_bytes) == (4, 700, 5)
