"""The books of what is told by itself notice what they are there to notice: each change of a log that is in order is one that a defect would make."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.crash.watched import BUS, DOCUMENTS, HOLD_S, SAYINGS, Told, balanced, is_hot

Log = list[dict[str, Any]]
LATER_S = 10
"""How long after the last observation everything is told that time brings about."""


def _a_log() -> Log:
    """A sensor that has said eight keys' worth, and what has to be told of that by a bus on which every hold that nothing broke has ended."""
    log = _Log()
    for path in DOCUMENTS:
        if path != BUS:
            _, kind, name = path.split("/")
            log.append(f"io.eventyard.{kind[:-1]}.created", f"/eventyard/buses/{BUS}", {"name": name})
    log.append("io.eventyard.detector.deleted", f"/eventyard/buses/{BUS}", {"name": "deleted"})
    began: dict[str, int] = {}
    for number in range(1, SAYINGS * 8):
        _say(log, str(number), began)
    log.now_s += LATER_S
    for key, position in began.items():
        log.tell("detectors", "lasting", f"{{uid}}-{{uid}}-{position}", position, key=key, held_for_s=HOLD_S)
        log.tell("expectations", "cooled", f"{{uid}}-{{uid}}-{position}-missed", position, key=key)
    for instant in range(1, LATER_S):
        log.tell("schedules", "pulse", f"{{uid}}-{instant * 1000}", 0)
    return log.events


class _Log:
    def __init__(self) -> None:
        self.events: Log = []
        self.now_s = 0.0
        self.uids: dict[str, int] = {}

    def append(self, kind: str, source: str, data: dict[str, Any], **attributes: Any) -> int:
        position = len(self.events) + 1
        if kind.endswith(".created"):
            self.uids[data["name"]] = position
        accepted = f"1970-01-01T00:00:{self.now_s:06.3f}Z"
        event = {"id": f"life-{position}", "source": source, "type": kind, "data": data} | attributes
        self.events.append({"position": position, "accepted": accepted, "event": event})
        return position

    def tell(self, kinds: str, name: str, rest: str, /, cause: int, *, key: str = "", **data: Any) -> None:
        about = {"cause": {"position": cause}, "after": {"position": cause}, **data}
        id_ = "life-" + rest.format(uid=self.uids[name])
        type_ = about.pop("type", name)
        self.append(type_, f"/eventyard/buses/{BUS}/{kinds}/{name}", about, id=id_, subject=key)


def _say(log: _Log, name: str, began: dict[str, int]) -> None:
    key = f"key-{int(name) // SAYINGS}"
    position = log.append("sensor.read", "/client/9", {"hot": is_hot(name)}, id=name, subject=key)
    turn = f"{{uid}}-{{uid}}-{position}"
    if is_hot(name) and key not in began:
        began[key] = position
        log.tell("detectors", "turning", turn, position, key=key, type="turned.hot")
    elif not is_hot(name) and key in began:
        log.tell("detectors", "turning", turn, position, key=key, type="turned.cold")
        opened = began.pop(key)
        log.tell("expectations", "cooled", f"{{uid}}-{{uid}}-{opened}-met", opened, key=key, expect={"position": position})


def test_a_log_that_is_in_order_balances() -> None:
    told = balanced(_a_log())
    assert min(told.turned, told.lasted, told.expected, told.struck) > 0
    assert isinstance(told, Told)


def _last(log: Log, name: str) -> int:
    return max(index for index, each in enumerate(log) if each["event"]["source"].endswith(f"/{name}"))


def _lose(name: str) -> Callable[[Log], None]:
    return lambda log: log[_last(log, name)]["event"].update(source="/nobody", type="nothing")


def _repeat(name: str) -> Callable[[Log], None]:
    return lambda log: log.append(log[_last(log, name)] | {"position": len(log) + 1})


def _rename(name: str) -> Callable[[Log], None]:
    return lambda log: log[_last(log, name)]["event"].update(id="life-1-2-" + hashlib.sha256(name.encode()).hexdigest()[:4])


def _hasten(name: str) -> Callable[[Log], None]:
    return lambda log: log[_last(log, name)].update(accepted="1970-01-01T00:00:00.001Z")


@pytest.mark.parametrize("name", ["turning", "lasting", "cooled"])
@pytest.mark.parametrize("defect", [_lose, _repeat, _rename])
def test_what_is_lost_told_twice_or_under_another_id_is_noticed(
    defect: Callable[[str], Callable[[Log], None]], name: str
) -> None:
    log = _a_log()
    defect(name)(log)
    with pytest.raises(AssertionError):
        balanced(log)


@pytest.mark.parametrize("name", ["lasting", "cooled", "pulse"])
def test_what_is_told_before_its_time_is_noticed(name: str) -> None:
    log = _a_log()
    _hasten(name)(log)
    with pytest.raises(AssertionError):
        balanced(log)


def test_an_instant_that_is_left_out_or_published_twice_is_noticed() -> None:
    for defect in (lambda log: log.pop(_last(log, "pulse") - 1), _repeat("pulse")):
        log = _a_log()
        defect(log)
        with pytest.raises(AssertionError):
            balanced(log)


def test_what_a_deleted_detector_tells_is_noticed() -> None:
    log = _a_log()
    edge = log[_last(log, "lasting")]
    log.append(
        {**edge, "position": len(log) + 1, "event": edge["event"] | {"source": f"/eventyard/buses/{BUS}/detectors/deleted"}}
    )
    with pytest.raises(AssertionError):
        balanced(log)
