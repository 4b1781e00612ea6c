"""What is measured: rules that meet one event's bytes. The one place that knows which class of the core that is."""

from collections.abc import Mapping

from eventyard.core.pattern.index import Index as Subject
from eventyard.core.pattern.language import Pattern

__all__ = ["Subject", "built"]


def built(rules: Mapping[int, Pattern]) -> Subject:
    """Rule by rule, as they come into force."""
    subject = Subject()
    for key, pattern in rules.items():
        subject = subject.with_rule(key, pattern)
    return subject
