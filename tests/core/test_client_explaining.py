"""The client's `explain`: what is asked, page by page, and what is made of the answers."""

from collections.abc import Callable
from typing import Any

import pytest

from eventyard.client import RuleExplanation
from tests.core.test_client_calls import Wire, asynchronously, ok, synchronously

EVENT = {"id": "1", "source": "/shop", "type": "order.paid", "subject": ""}
DELIVERY = {
    "id": "5f-1-7-0",
    "run": 0,
    "replay": False,
    "outcome": "dead",
    "why": "a dead letter",
    "attempts": 2,
    "due": None,
    "ended": "e",
    "reason": "attempts",
    "by": "",
    "answers": [{"first": "f", "last": "l", "count": 2, "status": 503, "failure": "", "body": "busy", "reason": ""}],
}
RULE = {"rule": "r", "uid": 1, "deleted": False, "outcome": "dead", "why": "a dead letter", "then": None, "today": None}


def page(*uids: int, next_: str | None = None) -> Any:
    rules = [RULE | {"uid": uid, "deliveries": [DELIVERY], "left_out": 0} for uid in uids]
    return ok({"position": 7, "accepted": "a", "event": EVENT, "rules": rules, "next": next_})


@pytest.mark.parametrize("shell", [synchronously, asynchronously])
def test_rules_are_explained_page_by_page(shell: Callable[[Wire, Callable[[Any], Any]], list[RuleExplanation]]) -> None:
    wire = Wire(page(1, 2, next_="2"), page(3))
    found = shell(wire, lambda client: client.explain(7, bus="shop"))
    assert [one.uid for one in found] == [1, 2, 3]
    assert [(answer.count, answer.body) for answer in found[0].deliveries[0].answers] == [(2, "busy")]
    assert [str(request.url.path) for request in wire.requests] == ["/v1/buses/shop/events/7/explain"] * 2
    assert [dict(request.url.params).get("after") for request in wire.requests] == [None, "2"]


def test_one_rule_is_asked_for_by_its_name() -> None:
    wire = Wire(page(1))
    synchronously(wire, lambda client: client.explain(7, "r"))
    assert wire.requests[0].url.params["rule"] == "r"
