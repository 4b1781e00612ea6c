"""The books of the crash suite: what the log holds and what the receivers took, against what the clients were answered."""

import json
import urllib.request
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec

from tests.crash.clients import Client
from tests.crash.follower import Follower
from tests.crash.puller import Puller
from tests.crash.receiver import Identity, Receiver

Matches = Callable[[dict[str, Any]], bool]


class Account(msgspec.Struct, frozen=True):
    """What came out. `twice`: deliveries that a receiver took more than once, which a crash may cause."""

    events: int
    acknowledged: int
    answered_again: int
    delivered: int
    twice: int


def call(url: str, *, method: str = "GET", document: Any = None) -> Any:
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"}, method=method)  # noqa: S310 - ours
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        answered = response.read()
        return json.loads(answered) if answered else None


def is_quiet(url: str, rules: list[str]) -> bool:
    """Whether nothing is pending or still to be read for any rule (`default/rules/all`), nor for a replay to it."""
    found = [call(f"{url}/v1/buses/{rule}/status") for rule in rules]
    replays = [replay for rule in rules for replay in call(f"{url}/v1/buses/{rule}/replays")["replays"]]
    is_read = all(replay["state"] in {"done", "cancelled"} for replay in replays)
    return is_read and all(one["pending"] == 0 and one["backfill_position"] is None for one in found)


def read_log(url: str, bus: str = "default", after: int = 0) -> list[dict[str, Any]]:
    """All of the log after a position, in pages."""
    events: list[dict[str, Any]] = []
    next_after: str | None = str(after)
    while next_after is not None:
        page = call(f"{url}/v1/buses/{bus}/events?after={next_after}&limit=1000")
        events += page["events"]
        next_after = page["next"]
    return events


def balance(log: list[dict[str, Any]], clients: list[Client], receiver: Receiver, rules: dict[str, Matches]) -> Account:
    """The account, or AssertionError that names the first thing that does not agree."""
    assert [event["position"] for event in log] == list(range(1, len(log) + 1)), "positions are not dense"
    at = {event["position"]: _identity(event["event"]) for event in log}
    assert len(set(at.values())) == len(at), "an event is in the log twice"
    for client in clients:
        _check_client(client, at)
    assert not receiver.strays, receiver.strays[:3]
    for rule, matches in rules.items():
        _check_rule(rule, {_identity(event["event"]) for event in log if matches(event["event"])}, receiver)
    return _account(log, clients, receiver)


def _check_client(client: Client, at: dict[int, Identity]) -> None:
    assert not client.errors, client.errors[:3]
    first: dict[str, int] = {}
    for answer in client.answers:
        found = at.get(answer.position)
        assert found == (client.source, answer.id), f"{client.source} {answer} was acknowledged, and there is {found}"
        assert first.setdefault(answer.id, answer.position) == answer.position, f"{answer} has another position now"
        assert answer.is_duplicate or not answer.is_again, f"{client.source} {answer} was accepted a second time"
    sent = {(client.source, str(number)) for number in range(1, client.sent + 1)}
    kept = {identity for identity in at.values() if identity[0] == client.source}
    assert kept == sent, f"{client.source}: lost {sorted(sent - kept)[:5]}, invented {sorted(kept - sent)[:5]}"


def _check_rule(rule: str, owed: set[Identity], receiver: Receiver) -> None:
    taken = set(receiver.taken.get(rule, ()))
    assert not owed - taken, f"{rule} never got {sorted(owed - taken)[:5]} ({len(owed - taken)} in all)"
    assert not taken - owed, f"{rule} got what it does not match: {sorted(taken - owed)[:5]}"
    for identity in owed:
        assert len(receiver.deliveries[rule, identity]) == 1, f"{rule} got {identity} under several delivery ids"


def check_follower(log: list[dict[str, Any]], follower: Follower) -> None:
    """What it was shown is the log: nothing that a crash took back, nothing left out, nothing twice."""
    assert not follower.errors, follower.errors[:3]
    told = [(event["position"], _identity(event["event"])) for event in log]
    wrong = next((pair for pair in zip(told, follower.seen, strict=False) if pair[0] != pair[1]), None)
    assert wrong is None, f"there is {wrong[0]}, and the follower was shown {wrong[1]}"
    assert len(follower.seen) == len(told), f"the follower was shown {follower.seen[len(told) : len(told) + 3]} too"


def check_pullers(log: list[dict[str, Any]], pullers: list[Puller], matches: Matches, status: dict[str, Any]) -> None:
    """Every event that matches was given out and is delivered; none again after an acknowledgement was answered; attempts count on."""
    errors = [error for puller in pullers for error in puller.errors]
    assert not errors, errors[:3]
    owed = {_identity(event["event"]) for event in log if matches(event["event"])}
    received = [each for puller in pullers for each in puller.received]
    assert {each.identity for each in received} == owed, f"{len(received)} received, {len(owed)} owed"
    assert (status["delivered"], status["dead"], status["discarded"]) == (len(owed), 0, 0), status
    acknowledged = {name: lease for puller in pullers for name, lease in puller.acknowledged.items()}
    assert acknowledged, "nothing was acknowledged"
    for each in received:
        assert each.lease <= acknowledged.get(each.id, each.lease), (
            f"{each} was acknowledged with lease {acknowledged[each.id]}"
        )
    given = sorted((each.id, each.lease, each.attempt) for each in received)
    for one, other in pairwise(given):
        assert one[0] != other[0] or (one[1] < other[1] and one[2] < other[2]), f"{one} was followed by {other}"


def _identity(event: dict[str, Any]) -> Identity:
    return event["source"], event["id"]


def _account(log: list[dict[str, Any]], clients: list[Client], receiver: Receiver) -> Account:
    answers = [answer for client in clients for answer in client.answers]
    counts = [count for taken in receiver.taken.values() for count in taken.values()]
    return Account(
        events=len(log),
        acknowledged=len(answers),
        answered_again=sum(answer.is_duplicate for answer in answers),
        delivered=len(counts),
        twice=sum(count > 1 for count in counts),
    )
