"""`eventyard detectors backtest` against a running server."""

import json
from typing import Any

import msgspec
import pytest

from eventyard.client import Client, Problem, ProblemError, Unreachable
from tests.support.commands import Command, Ended, lines

SOLD: dict[str, Any] = {
    "on": {"type": ["car.updated"]},
    "when": {"data": {"status": ["sold"]}},
    "emit": {"rise": {"type": "car.sold"}},
}


@pytest.fixture
def yard(eventyard: Command, bus: str) -> str:
    """A bus that knows of two cars that were sold, at positions 2 and 4, and has a detector `sold` (version 5)."""
    events = [
        {"type": "car.updated", "source": "/cars", "subject": car, "data": {"status": status}}
        for car in ("a", "b")
        for status in ("for sale", "sold")
    ]
    assert eventyard("publish", "--bus", bus, stdin=lines(*events)).code == 0
    assert eventyard("detectors", "put", "sold", "-", "--bus", bus, stdin=json.dumps(SOLD)).code == 0
    return bus


@pytest.fixture
def backtest(eventyard: Command, yard: str) -> Command:
    def ended(*arguments: str, stdin: str = "") -> Ended:
        return eventyard("detectors", "backtest", "-", *arguments, "--bus", yard, stdin=stdin)

    return ended


def test_what_would_have_been_published_is_shown(backtest: Command) -> None:
    ended = backtest("--limit", "1", stdin=json.dumps(SOLD))
    said, types, head, day, *_ = ended.out.splitlines()
    assert (ended.code, said) == (0, "2 would have been published of 5 events, within a minute")
    assert (types, head.split()) == ("2 car.sold", ["DAY", "EVENTS", "PUBLISHED"])
    assert day.split()[1:] == ["5", "2"]
    assert "published, 1 of 2:" in ended.out


def test_the_one_that_the_document_names_is_held_beside_it(backtest: Command, eventyard: Command, yard: str) -> None:
    shown = eventyard("detectors", "show", "sold", "--bus", yard, "--json").out
    assert "beside version 5 of sold, which is in force: 0 newly published, 0 no longer" in backtest(stdin=shown).out
    never = json.dumps(SOLD | {"when": {"data": {"status": ["never"]}}})
    ended = backtest("--detector", "sold", "--json", stdin=never)
    told = json.loads(ended.out)
    assert (ended.code, told["told"], told["removed"], told["done"]) == (1, 0, 2, True)
    assert [one["position"] for one in told["samples"]["removed"]] == [2, 4]


def test_a_detector_that_is_not_there_and_a_document_that_is_none_are_refused(backtest: Command) -> None:
    ended = backtest("--detector", "slod", stdin=json.dumps(SOLD))
    assert (ended.code, "slod" in ended.err, ended.out) == (1, True, "")
    ended = backtest(stdin=json.dumps(SOLD | {"when": {"data": "sold"}}))
    assert (ended.code, "/detector/when/data" in ended.err) == (3, True)


FORGOTTEN = Problem(type="urn:eventyard:problem:not-found", title="There is no such thing here", status=404)


@pytest.mark.parametrize(
    ("trouble", "code"),
    [(Unreachable("http://127.0.0.1:1", "connection refused"), 4), (ProblemError(FORGOTTEN), 1), (KeyboardInterrupt(), 130)],
)
def test_what_was_found_is_shown_when_it_ends_early(
    backtest: Command, monkeypatch: pytest.MonkeyPatch, trouble: BaseException, code: int
) -> None:
    """Before the second stretch, which this log has only because the first answer is made to say so."""
    send = Client.send

    def sent(self: Client, call: Any) -> Any:
        if "/backtest/" in call.request.path and not call.request.path.endswith("/detectors"):
            raise trouble
        page = send(self, call)
        if "/backtest/" in call.request.path:
            page = msgspec.structs.replace(page, items=[msgspec.structs.replace(page.items[0], done=False, next_after=4)])
        return page

    monkeypatch.setattr(Client, "send", sent)
    ended = backtest(stdin=json.dumps(SOLD))
    assert "2 would have been published of 5 events" in ended.out
    assert (ended.code, "it ended early: positions up to 4 of 5 were looked at" in ended.err) == (code, True)


def test_an_expectation_is_tried_like_a_detector(eventyard: Command, yard: str) -> None:
    waits = {
        "name": "waits",
        "after": {"type": ["car.updated"], "data": {"status": ["for sale"]}},
        "expect": {"type": ["car.updated"], "data": {"status": ["sold"]}},
        "within_s": 60,
        "emit": {"met": {"type": "car.sold-soon"}},
    }
    ended = eventyard("expectations", "backtest", "-", "--bus", yard, stdin=json.dumps(waits))
    assert (ended.code, ended.out.splitlines()[:2]) == (
        0,
        ["2 would have been published of 5 events, within a minute", "2 car.sold-soon"],
    )
    ended = eventyard("expectations", "backtest", "-", "--expectation", "wiats", "--bus", yard, stdin=json.dumps(waits))
    assert (ended.code, "wiats" in ended.err) == (1, True)
