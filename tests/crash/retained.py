"""What became of a bus that keeps little: its log has an old end by now, and what was beyond it was delivered and stays known."""

from typing import Any

from tests.crash.books import Matches, call, read_log
from tests.crash.clients import Client
from tests.crash.receiver import Receiver


def check_retained(url: str, bus: str, rule: str, client: Client, receiver: Receiver) -> int:
    """Its floor. From there on the log is whole; every event sent was taken once and is known, whether it is still there or not."""
    about = call(f"{url}/v1/buses/{bus}")
    log = read_log(url, bus, after=about["floor"] - 1)
    assert about["floor"] > 1, f"nothing was removed from {bus}"
    assert [each["position"] for each in log] == list(range(about["floor"], about["head"] + 1)), "the log has a hole"
    _check_answers(client, {each["position"]: each["event"] for each in log}, about["floor"])
    sent = {(client.source, str(number)) for number in range(1, client.sent + 1)}
    taken = set(receiver.taken.get(rule, ()))
    assert taken == sent, f"{rule} lacks {sorted(sent - taken)[:5]}, and has beside them {sorted(taken - sent)[:5]}"
    assert all(len(receiver.deliveries[rule, identity]) == 1 for identity in sent), f"{rule} got one under several ids"
    return int(about["floor"])


def _check_answers(client: Client, at: dict[int, Any], floor: int) -> None:
    assert not client.errors, client.errors[:3]
    first: dict[str, int] = {}
    for answer in client.answers:
        assert first.setdefault(answer.id, answer.position) == answer.position, f"{answer} has another position now"
        assert answer.is_duplicate or not answer.is_again, f"{client.source} {answer} was accepted a second time"
        found = at.get(answer.position, {"source": client.source, "id": answer.id} if answer.position < floor else {})
        assert (found.get("source"), found.get("id")) == (client.source, answer.id), f"{answer} was acknowledged: {found}"
    assert len(set(first.values())) == len(first), f"{client.source}: two events at one position"


def is_of_clients(event: dict[str, Any]) -> bool:
    return str(event["source"]).startswith("/client/")


EVERYTHING: tuple[dict[str, Any], Matches] = ({"source": [{"prefix": "/client/"}]}, is_of_clients)
"""A pattern, and what it means."""
