"""Whose an event is, for an emitter that keeps something of each key."""

from eventyard.core import limits, order_key
from eventyard.core.attributes import is_value


def key_of(path: str, event: bytes) -> str | None:
    """The key of an event of the log. None where it has none that can be one: none at all, an object, an array, too long a text."""
    text = order_key.scalar_text(order_key.at_path(path, event))
    if text is None or not is_value(text) or len(text.encode()) > limits.DETECTOR_KEY_BYTES_MAX:
        return None
    return text
