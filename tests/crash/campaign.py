"""A campaign: clients publish, rules deliver, and the real process is killed again and again on the same data.

Half of the lives end at a moment chosen by the clock, the others at a chosen call to the disk: before, after or in the middle of
the Nth write, sync or truncation (`run_server`). Where that call does not come in time, the life is ended from outside too.
"""

import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tests.crash.books import Account, Matches, balance, call, check_follower, check_pullers, is_quiet, read_log
from tests.crash.clients import Address, Client
from tests.crash.follower import Follower
from tests.crash.process import Death, Server
from tests.crash.puller import Puller
from tests.crash.receiver import Receiver

CLIENTS = 3
PULLERS = 2
LIFE_S_MAX = 1.0
QUIET_S_MAX = 60.0
POLL_S = 0.05


class Campaign(msgspec.Struct, frozen=True):
    """What a campaign came to. `at_calls`: kills that happened at the chosen call to the disk."""

    kills: int
    at_calls: int
    account: Account


RULES: dict[str, tuple[dict[str, Any], Matches]] = {
    "all": ({"source": [{"prefix": "/client/"}]}, lambda event: event["source"].startswith("/client/")),
    "even": ({"type": ["number.even"]}, lambda event: event["type"] == "number.even"),
    "large": ({"data": {"n": [{"numeric": [">=", 100]}]}}, lambda event: event.get("data", {}).get("n", 0) >= 100),
    "nobody": ({"type": ["number.imaginary"]}, lambda _: False),
    "late": ({"type": ["number.odd"]}, lambda event: event["type"] == "number.odd"),
}
"""Pattern and what it means. `late` is put halfway, and starts at the beginning of the log."""

PULLED: tuple[dict[str, Any], Matches] = ({"type": [{"prefix": "number."}]}, lambda event: event["type"].startswith("number."))
"""The pattern of the rule `pulled`, and what it means."""


class Parties(NamedTuple):
    """Who speaks to the server while it lives."""

    clients: list[Client]
    pullers: list[Puller]
    follower: Follower

    def start(self) -> None:
        self.follower.start()
        for client in self.clients:
            client.start()
        for puller in self.pullers:
            puller.start()


def run(folder: Path, kills: int, seed: int, show: Callable[[str], None]) -> Campaign:
    """Kill the server `kills` times under load, then let it come to rest and balance the books."""
    receiver, server, address = Receiver(seed), Server(folder), Address()
    parties = Parties(
        [Client(number, address, seed) for number in range(CLIENTS)],
        [Puller(number, "pulled", address, seed) for number in range(PULLERS)],
        Follower(address),
    )
    receiver.start()
    rng = random.Random(seed)
    try:
        _put_rules(server, receiver, [name for name in RULES if name != "late"])
        _put_pulled(server)
        parties.start()
        deaths = [_choose(rng) for _ in range(kills)]
        at_calls = 0
        for number, death in enumerate(deaths, 1):
            is_as_chosen = _live_and_die(server, address, death, rng.uniform(0.05, LIFE_S_MAX))
            at_calls += is_as_chosen
            show(f"kill {number} of {kills}: {death if is_as_chosen else 'from outside'}")
            if number == kills // 2:
                _put_rules(server, receiver, ["late"])
        return Campaign(kills, at_calls, _settle(server, address, receiver, parties))
    finally:
        server.end_surely()
        receiver.stop()


def _put_rules(server: Server, receiver: Receiver, names: list[str]) -> None:
    """In a life of its own, which ends by SIGKILL as the others do."""
    assert server.start(Death()), "the server does not start"
    for name in names:
        document = {
            "pattern": RULES[name][0],
            "target": {"http": {"url": f"http://127.0.0.1:{receiver.port}/{name}", "timeout_s": 5}},
            "start": "earliest",
            "delivery": {"backoff": {"initial_s": 0.05, "factor": 2, "max_s": 0.5}},
        }
        call(f"{server.url}/v1/buses/default/rules/{name}", method="PUT", document=document)
    server.kill()


def _put_pulled(server: Server) -> None:
    """Leases are as short as may be, so that forgotten ones run out in the last life."""
    assert server.start(Death()), "the server does not start"
    document = {"pattern": PULLED[0], "target": {"queue": {"lease_s": 1}}, "start": "earliest"}
    call(f"{server.url}/v1/buses/default/rules/pulled", method="PUT", document=document)
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


def _settle(server: Server, address: Address, receiver: Receiver, parties: Parties) -> Account:
    """A last life in peace: what is unanswered is answered, what is owed is delivered, and the process ends in order."""
    assert server.start(Death()), "the server does not start"
    address.set(server.url)
    for client in parties.clients:
        client.stop()
    _wait_until(lambda: is_quiet(server.url, [*RULES, "pulled"]))
    for puller in parties.pullers:
        puller.stop()
    log = read_log(server.url)
    _wait_until(lambda: len(parties.follower.seen) >= len(log))
    account = balance(log, parties.clients, receiver, {name: matches for name, (_, matches) in RULES.items()})
    check_follower(log, parties.follower)
    check_pullers(log, parties.pullers, PULLED[1], call(f"{server.url}/v1/buses/default/rules/pulled/status"))
    address.set("")
    code = server.stop()
    assert code == 0, f"the server stopped with code {code}"
    parties.follower.stop()
    return account


def _wait_until(is_done: Callable[[], bool]) -> None:
    """Ask again and again; the limit is no claim about speed, it only ends a test that hangs."""
    pause = threading.Event()
    for _ in range(int(QUIET_S_MAX / POLL_S)):
        if is_done():
            return
        pause.wait(POLL_S)
    raise AssertionError(f"deliveries are still pending, or the follower is behind, after {QUIET_S_MAX} s")
