"""What the events of a bus about itself have said so far: which rules and runs give out, and which dead letters somebody meant."""

import copy
import datetime
from typing import Any

import msgspec

from eventyard.core import bus_events
from eventyard.core.delivery import Delivery, decode_note


class Asked(msgspec.Struct, frozen=True):
    """A redrive or purge: of some by their ids, or of all that died for `reason` in [from_ms, until_ms) until it was asked."""

    reason: str
    from_ms: int
    until_ms: int

    def means(self, dead: Delivery) -> bool:
        is_then = self.from_ms <= dead.at_ms < self.until_ms
        return is_then and self.reason in {"", decode_note(dead.note).reason}


class Told:
    """By the position that says so: `stopped`, rules that give nothing out (paused or deleted); `closed`, runs that do not.

    `runs`: by rule, its live run. `redriven` and `purged`: by rule, what was asked. `unspoken`: events of which nothing is told that becomes of them.
    """

    def __init__(self) -> None:
        self.runs: dict[int, int] = {}
        self.stopped: dict[int, int] = {}
        self.closed: dict[tuple[int, int], int] = {}
        self.redriven: dict[int, list[Asked]] = {}
        self.purged: dict[int, list[Asked]] = {}
        self.unspoken: set[int] = set()

    def copy(self) -> "Told":
        return copy.deepcopy(self)

    def take(self, position: int, accepted_ms: int, kind: str, data: Any) -> None:
        uid = data.get("uid", 0)
        match kind:
            case bus_events.RULE_PAUSED | bus_events.RULE_DISABLED | bus_events.RULE_DELETED:
                self.stopped[uid] = position
            case bus_events.RULE_RESUMED:
                self.stopped.pop(uid, None)
            case bus_events.RULE_SOUGHT:
                self.closed[uid, self.runs.get(uid, 0)] = position
                self.runs[uid] = position
            case bus_events.REPLAY_CANCELLED:
                self.closed[uid, data["run"]] = position
            case bus_events.RULE_REDRIVEN:
                self.redriven.setdefault(uid, []).append(_asked(accepted_ms, data))
            case bus_events.RULE_PURGED:
                self.purged.setdefault(uid, []).append(_asked(accepted_ms, data))

    def is_redriven(self, dead: Delivery) -> bool:
        return any(asked.means(dead) for asked in self.redriven.get(dead.rule, ()))

    def is_purged(self, dead: Delivery) -> bool:
        return any(asked.means(dead) for asked in self.purged.get(dead.rule, ()))


def _asked(accepted_ms: int, data: Any) -> Asked:
    """Which keys were meant the event does not tell, only how many."""
    meant = data.get("filter", {})
    until_ms = _ms(meant["until"]) if "until" in meant else accepted_ms + 1
    return Asked(meant.get("reason", ""), _ms(meant["from"]) if "from" in meant else 0, until_ms)


def _ms(text: str) -> int:
    return round(datetime.datetime.fromisoformat(text).timestamp() * 1000)
