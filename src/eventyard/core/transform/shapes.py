"""What a push's request is made of where its rule transforms it: compiled once for each rule as it stands, filled in for each delivery."""

import msgspec

from eventyard.core import limits
from eventyard.core.changes import BusRecord
from eventyard.core.delivery import Delivery, delivery_id
from eventyard.core.errors import InvalidRule
from eventyard.core.rule import RuleRecord
from eventyard.core.target import HttpTarget, compiled_transform
from eventyard.core.transform import TransformFailed
from eventyard.core.transform.jsonata import Program
from eventyard.core.transform.template import Compiled


class Shapes:
    """Compiled transforms, the last ones used. For one thread."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], tuple[HttpTarget, Compiled | Program | None]] = {}

    def of(self, bus: BusRecord, record: RuleRecord) -> Compiled | Program | None:
        """None where the rule has no transform. `TransformFailed` where this version cannot use it."""
        http = record.rule.target.http
        if http is None or isinstance(http.transform, msgspec.UnsetType):
            return None
        return self._compiled((bus.number, record.uid), http)

    def _compiled(self, rule: tuple[int, int], http: HttpTarget) -> Compiled | Program | None:
        """Known by the target itself: a version's number says nothing to a worker whose server was restored to an older one."""
        kept = self._kept.get(rule)
        if kept is None or kept[0] is not http:
            if len(self._kept) >= limits.TRANSFORMS_KEPT:
                self._kept.clear()
            kept = self._kept[rule] = (http, _compiled(http))
        return kept[1]


def _compiled(http: HttpTarget) -> Compiled | Program | None:
    """What was saved by another version may not be usable by this one. Then its deliveries fail, and nothing else does."""
    try:
        return compiled_transform(http)
    except InvalidRule as error:
        raise TransformFailed(error.detail) from error


def facts(bus: BusRecord, record: RuleRecord, delivery: Delivery) -> dict[str, bytes]:
    """What a transform may ask of a delivery, as JSON. Only the attempt differs from one to the next."""
    return {
        "bus": msgspec.json.encode(bus.name),
        "rule": msgspec.json.encode(record.name),
        "delivery": msgspec.json.encode(delivery_id(bus.incarnation, delivery.rule, delivery.position, delivery.run)),
        "position": b"%d" % delivery.position,
        "attempt": b"%d" % delivery.attempts,
    }
