"""Which events a test means: those of a type, or those that match a pattern, in the language and by the evaluator of rules."""

from collections.abc import Mapping
from typing import Any

from eventyard.client.event import encode_json
from eventyard.core import strict_json
from eventyard.core.pattern import evaluator, language

Wanted = str | Mapping[str, Any] | None
"""An event type; a pattern; None for every event that is not the bus's own."""


class Want:
    def __init__(self, wanted: Wanted) -> None:
        """Raises InvalidPattern."""
        pattern = _NOT_OWN if wanted is None else {"type": [wanted]} if isinstance(wanted, str) else wanted
        self._wanted = pattern
        self._pattern = language.parse(encode_json(pattern))
        self.is_any = wanted is None
        self.told = "any event" if wanted is None else wanted if isinstance(wanted, str) else encode_json(wanted).decode()

    def is_about(self, kind: str) -> bool:
        """Whether events of this type may be meant."""
        types = self._wanted.get("type", [])
        return kind in types if isinstance(types, list) else False

    def fits(self, event: bytes) -> bool:
        return evaluator.evaluate(self._pattern, strict_json.decode(event))

    def why_not(self, event: bytes) -> str:
        return evaluator.why(self._pattern, strict_json.decode(event)).sentence


_NOT_OWN = {"type": [{"anything-but": {"prefix": "io.eventyard."}}]}
