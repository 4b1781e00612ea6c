"""A campaign: clients publish, rules deliver, and the real process is killed again and again on the same data.

Half of the lives end at a moment chosen by the clock, the others at a chosen call to the disk: before, after or in the middle of
the Nth write, sync or truncation (`run_server`). Where that call does not come in time, the life is ended from outside too.
"""

import random
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tests.crash.books import Account, Matches, balance, call, check_follower, check_pullers, is_quiet, read_log
from tests.crash.clients import Address, Client
from tests.crash.copied import ANSWERED, COPIED, check_copied, with_replies
from tests.crash.follower import Follower
from tests.crash.guarded import DELIVERY as GUARDED_DELIVERY
from tests.crash.guarded import RULE as GUARDED
from tests.crash.guarded import TARGET as GUARDED_TARGET
from tests.crash.guarded import check_guarded, has_opened
from tests.crash.moved import check_moved, check_order
from tests.crash.mover import Mover
from tests.crash.process import Death, Server
from tests.crash.puller import Puller
from tests.crash.receiver import Receiver
from tests.crash.retained import EVERYTHING, check_retained
from tests.crash.service import RULE, Service, Work
from tests.crash.shaped import FEW, SHAPED, target_of
from tests.crash.watched import CHANGED, DELETED, DOCUMENTS, Sensor, Told, check_watched, has_lasted, is_still

CLIENTS = 3
PULLERS = 2
LIFE_S_MAX = 1.0
LONG_LIFE_FROM = 20
"""Kills from which a campaign has one life so long that holds end in it: it takes more than five seconds."""

QUIET_S_MAX = 60.0
POLL_S = 0.05
BALANCINGS_MAX = 100
SMALL_BYTES = 10_000
"""What the bus `small` keeps: some seventy events, which a busy machine reaches too."""


class Campaign(msgspec.Struct, frozen=True):
    """What a campaign came to. `replies`: events that a target answered with, on the bus that others are brought to. `at_calls`: kills that happened at the chosen call to the disk. `floor`: of the bus that keeps little.

    `tokens`: given by the token server. `openings`: of the breaker of the rule that is protected.
    """

    kills: int
    at_calls: int
    account: Account
    seeks: int
    replays: int
    floor: int
    work: Work
    tokens: int
    replies: int
    told: Told
    openings: int


RULES: dict[str, tuple[dict[str, Any], Matches]] = {
    "all": EVERYTHING,
    "even": ({"type": ["number.even"]}, lambda event: event["type"] == "number.even"),
    "large": ({"data": {"n": [{"numeric": [">=", 100]}]}}, lambda event: event.get("data", {}).get("n", 0) >= 100),
    "nobody": ({"type": ["number.imaginary"]}, lambda _: False),
    "late": ({"type": ["number.odd"]}, lambda event: event["type"] == "number.odd"),
    "ordered": EVERYTHING,
    "batched": EVERYTHING,
    GUARDED: FEW,
    **dict.fromkeys(SHAPED, FEW),
}
"""Pattern and what it means. `late` is put halfway, and starts at the beginning of the log; `ordered` keeps order by subject; `batched` gets several events in one request; `guarded` has to be asked first and is down until the last life; others log in and shape what they send."""

PULLED: tuple[dict[str, Any], Matches] = ({"type": [{"prefix": "number."}]}, lambda event: event["type"].startswith("number."))
"""The pattern of the rule `pulled`, and what it means."""

QUIET = [
    *(f"default/rules/{rule}" for rule in (*RULES, "pulled", "moved", "worked")),
    "small/rules/kept",
    "default/rules/copied",
    "copies/rules/replied",
]
"""Rules that have to be done at the end."""


class Parties(NamedTuple):
    """Who speaks to the server while it lives. `small` publishes to the bus that keeps little."""

    clients: list[Client]
    small: Client
    pullers: list[Puller]
    follower: Follower
    mover: Mover
    service: Service
    sensor: Sensor

    def start(self) -> None:
        self.follower.start()
        self.mover.start()
        for client in (*self.clients, self.small, self.sensor):
            client.start()
        for puller in self.pullers:
            puller.start()

    def stop_asking(self) -> None:
        """Every event sent is answered when this returns."""
        self.mover.stop()
        for client in (*self.clients, self.small, self.sensor):
            client.stop()


def run(
    folder: Path,
    kills: int,
    seed: int,
    show: Callable[[str], None],
    *,
    engine: str = "sqlite",
    meanwhile: Callable[[int], None] = lambda _: None,
) -> Campaign:
    """Kill the server `kills` times under load, then let it come to rest and balance the books.

    `meanwhile` is called with the number of each kill, before the next life.
    """
    receiver, server, address = Receiver(seed), Server(folder, engine), Address()
    parties = Parties(
        [Client(number, address, seed) for number in range(CLIENTS)],
        Client(CLIENTS, address, seed, bus="small"),
        [Puller(number, "pulled", address, seed) for number in range(PULLERS)],
        Follower(address),
        Mover("moved", address, seed),
        Service(folder.with_name("service"), address, seed),
        Sensor(CLIENTS + 1, address, seed),
    )
    receiver.start()
    rng = random.Random(seed)
    try:
        _set_up(server, receiver)
        parties.start()
        deaths = [_choose(rng) for _ in range(kills)]
        at_calls = 0
        for number, death in enumerate(deaths, 1):
            parties.service.live()
            is_as_chosen = _live_and_die(server, address, death, rng.uniform(0.05, LIFE_S_MAX))
            parties.service.kill_perhaps()
            at_calls += is_as_chosen
            meanwhile(number)
            show(f"kill {number} of {kills}: {death if is_as_chosen else 'from outside'}")
            if number == kills // 2:
                late = {"default/rules/late": _pushed(receiver, "late", RULES["late"][0])}
                _put_in_a_life(server, late | CHANGED, DELETED)
            if number == kills // 4 and kills >= LONG_LIFE_FROM:
                _live_long(server, address)
        account, (seeks, replays), floor, work, replies, told, openings = _settle(server, address, receiver, parties)
        return Campaign(kills, at_calls, account, seeks, replays, floor, work, receiver.tokens.given, replies, told, openings)
    finally:
        server.end_surely()
        parties.service.kill()
        receiver.stop()


def _set_up(server: Server, receiver: Receiver) -> None:
    """Leases of the rule that is pulled are as short as may be, so that forgotten ones run out in the last life."""
    rules = {f"default/rules/{name}": _pushed(receiver, name, RULES[name][0]) for name in RULES if name != "late"}
    rules["default/rules/ordered"]["delivery"]["order"] = "key"
    rules["default/rules/batched"]["target"]["http"]["batch"] = {"max_events": 20, "wait_s": 0.1}
    rules[f"default/rules/{GUARDED}"]["target"]["http"] |= GUARDED_TARGET
    rules[f"default/rules/{GUARDED}"]["delivery"] |= GUARDED_DELIVERY
    moved = _pushed(receiver, "moved", RULES["even"][0])
    pulled = {"pattern": PULLED[0], "target": {"queue": {"lease_s": 1}}, "start": "earliest"}
    small = {"small": {"retention": {"max_bytes": SMALL_BYTES}}, "small/rules/kept": _pushed(receiver, "kept", EVERYTHING[0])}
    queues = {"default/rules/pulled": pulled, "default/rules/worked": RULE}
    replied = with_replies(_pushed(receiver, "replied", ANSWERED))
    copies = {"copies": {}, "copies/rules/replied": replied, "default/rules/copied": COPIED}
    _put_in_a_life(server, rules | {"default/rules/moved": moved} | queues | small | copies | DOCUMENTS)


def _pushed(receiver: Receiver, name: str, pattern: dict[str, Any]) -> dict[str, Any]:
    return {
        "pattern": pattern,
        "target": {
            "http": {
                "url": f"http://127.0.0.1:{receiver.port}/{name}",
                "timeout_s": 5,
                "signing": {"secrets": [{"secret": receiver.secret}]},
                **target_of(name, f"http://127.0.0.1:{receiver.port}"),
            }
        },
        "start": "earliest",
        "delivery": {"backoff": {"initial_s": 0.05, "factor": 2, "max_s": 0.5}},
    }


def _put_in_a_life(server: Server, documents: dict[str, Any], deleted: Sequence[str] = ()) -> None:
    """Buses and what is on them, by path, in a life of its own, which ends by SIGKILL as the others do."""
    assert server.start(Death()), "the server does not start"
    for path, document in documents.items():
        call(f"{server.url}/v1/buses/{path}", method="PUT", document=document)
    for path in deleted:
        call(f"{server.url}/v1/buses/{path}", method="DELETE")
    server.kill()


def _live_long(server: Server, address: Address) -> None:
    """A life in which holds end, which those of a moment are too short for."""
    assert server.start(Death()), "the server does not start"
    address.set(server.url)
    _wait_until(lambda: has_lasted(server.url), lambda: "no hold ends")
    address.set("")
    server.kill()


def _live_and_die(server: Server, address: Address, death: Death, life_s: float) -> bool:
    """One life. True where it ended at the chosen call."""
    if server.start(death):
        address.set(server.url)
    died = server.wait(LIFE_S_MAX if death.count else life_s)
    address.set("")
    code = server.kill()
    assert code == -signal.SIGKILL, f"the server ended by itself with code {code}, in a life to end {death}"
    return died and death.count > 0


def _choose(rng: random.Random) -> Death:
    if rng.random() < 0.5:
        return Death()
    moment, operation = rng.choice(
        (
            ("before", "sync"),
            ("after", "sync"),
            ("before", "write"),
            ("after", "write"),
            ("torn", "write"),
            ("after", "truncate"),
        )
    )
    return Death(moment, operation, 1 if operation == "truncate" else int(10 ** rng.uniform(0, 2.5)))


Balanced = tuple[Account, tuple[int, int], int, Work, int, Told, int]
"""The account, how many seeks and replays there were, the floor of the bus that keeps little, what the service did, how many replies, and what detectors and
schedules told, and how often a breaker opened."""


def _settle(server: Server, address: Address, receiver: Receiver, parties: Parties) -> Balanced:
    """A last life in peace: what is unanswered is answered, what is owed is delivered, and the process ends in order."""
    assert server.start(Death()), "the server does not start"
    address.set(server.url)
    parties.service.live_in_peace()
    parties.stop_asking()
    _wait_until(lambda: has_opened(read_log(server.url)), lambda: "no breaker opens")
    receiver.guarded.recover()
    _wait_until(lambda: is_quiet(server.url, QUIET), lambda: f"pending: {_pending(server.url)}")
    parties.service.stop()
    _wait_until(lambda: is_quiet(server.url, QUIET), lambda: f"pending: {_pending(server.url)}")
    for puller in parties.pullers:
        puller.stop()
    _wait_until(lambda: is_still(server.url), lambda: "holds go on")
    balanced = _balance_at_rest(server.url, receiver, parties)
    assert not any(call(f"{server.url}/readyz")["damaged"].values()), "whole events were taken for damaged ones"
    address.set("")
    code = server.stop()
    assert code == 0, f"the server stopped with code {code}"
    address.end()
    parties.follower.stop()
    return balanced


def _balance_at_rest(url: str, receiver: Receiver, parties: Parties) -> Balanced:
    """Of its own troubles a bus may tell a minute later, to rules that get everything: books between which it did are balanced anew."""
    for _ in range(BALANCINGS_MAX):
        heads = _heads(url)
        try:
            balanced = _balance(url, receiver, parties)
        except AssertionError:
            if _heads(url) == heads:
                raise
        else:
            if _heads(url) == heads:
                return balanced
        _wait_until(lambda: is_quiet(url, QUIET), lambda: f"pending: {_pending(url)}")
    raise AssertionError(f"the logs grow without end: {_heads(url)}")


def _balance(url: str, receiver: Receiver, parties: Parties) -> Balanced:
    log = read_log(url)
    _wait_until(lambda: len(parties.follower.seen) >= len(log), lambda: f"the follower saw {len(parties.follower.seen)}")
    account = balance(log, parties.clients, receiver, {name: matches for name, (_, matches) in RULES.items()})
    check_follower(log, parties.follower)
    check_pullers(log, parties.pullers, PULLED[1], call(f"{url}/v1/buses/default/rules/pulled/status"))
    check_order(log, "ordered", receiver)
    moves = check_moved(log, "moved", RULES["even"][1], receiver)
    floor = check_retained(url, "small", "kept", parties.small, receiver)
    return (
        account,
        moves,
        floor,
        parties.service.check(log),
        check_copied(log, read_log(url, "copies")),
        check_watched(url, parties.sensor),
        check_guarded(log, receiver.guarded),
    )


def _heads(url: str) -> list[int]:
    return [call(f"{url}/v1/buses/{bus}")["head"] for bus in ("default", "small", "copies")]


def _pending(url: str) -> dict[str, int]:
    return {rule: call(f"{url}/v1/buses/{rule}/status")["pending"] for rule in QUIET}


def _wait_until(is_done: Callable[[], bool], why: Callable[[], str]) -> None:
    """Ask again and again; the limit is no claim about speed, it only ends a test that hangs."""
    pause = threading.Event()
    for _ in range(int(QUIET_S_MAX / POLL_S)):
        if is_done():
            return
        pause.wait(POLL_S)
    raise AssertionError(f"after {QUIET_S_MAX} s: {why()}")
