"""The events that a bus publishes of itself. Their types begin with `io.eventyard.`, which no publisher may use."""

from typing import Any

import msgspec

from eventyard.core.event import Event, make
from eventyard.core.rule import RuleRecord

RULE_CREATED = "io.eventyard.rule.created"
RULE_CHANGED = "io.eventyard.rule.changed"
RULE_DELETED = "io.eventyard.rule.deleted"
RULE_PAUSED = "io.eventyard.rule.paused"
RULE_RESUMED = "io.eventyard.rule.resumed"
RULE_REDRIVEN = "io.eventyard.rule.redriven"
RULE_PURGED = "io.eventyard.rule.purged"
RULE_SKIPPED = "io.eventyard.rule.skipped"
RULE_SOUGHT = "io.eventyard.rule.sought"
RULE_REPLAYED = "io.eventyard.rule.replayed"
REPLAY_CANCELLED = "io.eventyard.replay.cancelled"
RETENTION_CAP = "io.eventyard.retention.cap"
BUS_CREATED = "io.eventyard.bus.created"
BUS_CHANGED = "io.eventyard.bus.changed"
BUS_DELETED = "io.eventyard.bus.deleted"
KEY_CREATED = "io.eventyard.key.created"
KEY_REVOKED = "io.eventyard.key.revoked"
BUS_RESTORED = "io.eventyard.bus.restored"
BUS_REPAIRED = "io.eventyard.bus.repaired"


def bus_event(kind: str, *, bus: str, incarnation: str, position: int, time: str, subject: str, data: dict[str, Any]) -> Event:
    """An event of the bus about itself. Its id follows from the position, so a repeated step makes the same one."""
    return make(
        {
            "specversion": "1.0",
            "id": f"{incarnation}-{position}",
            "source": f"/eventyard/buses/{bus}",
            "type": kind,
            "subject": subject,
            "time": time,
        },
        data,
    )


def rule_data(record: RuleRecord, principal: str) -> dict[str, Any]:
    """What an edit event tells: the rule's name and document as now in force, and who asked (empty: no keys in use)."""
    return {
        "name": record.name,
        "uid": record.uid,
        "principal": principal,
        "rule": msgspec.to_builtins(_shown(record)),
    }


def _shown(record: RuleRecord) -> Any:
    return msgspec.json.decode(msgspec.json.encode(record.rule))
