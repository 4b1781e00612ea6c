"""What docs/reference/events.md tells its readers to send, and the limits it states."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from eventyard.core import limits
from eventyard.core.errors import InvalidEvent
from eventyard.core.event import Event
from eventyard.ingest import Batch, accept

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "events.md").read_text()
STRUCTURED, BINARY, BATCHED = re.findall(r"```sh\n(curl .*?)```", PAGE, re.DOTALL)


def sent_by(command: str) -> Batch:
    options = list(pairwise(shlex.split(command)))
    headers = dict(value.split(": ", 1) for option, value in options if option == "-H")
    [body] = [value for option, value in options if option == "-d"]
    return accept(headers["content-type"], headers.items(), body.encode())


def test_the_structured_and_the_binary_example_are_the_same_event() -> None:
    [one], [other] = sent_by(STRUCTURED).events, sent_by(BINARY).events
    assert isinstance(one, Event)
    assert isinstance(other, Event)
    assert one.digest == other.digest


def test_the_batched_example_has_the_verdicts_that_the_page_tells() -> None:
    first, second = sent_by(BATCHED).events
    assert isinstance(first, Event)
    assert isinstance(second, InvalidEvent)
    assert second.at == "/1/time"


@pytest.mark.parametrize(
    "row",
    [
        f"in its structured form | {limits.EVENT_BYTES_MAX // 2**20} MiB",
        f"one request | {limits.BATCH_BYTES_MAX // 2**20} MiB",
        f"events in one batch | {limits.BATCH_EVENTS_MAX:,}",
        f"attributes of one event | {limits.ATTRIBUTES_MAX}",
        f"name | {limits.ATTRIBUTE_NAME_CHARACTERS_MAX} characters",
        f"value | {limits.ATTRIBUTE_VALUE_BYTES_MAX:,} bytes",
        f"nesting | {limits.JSON_DEPTH_MAX} objects",
        f"one number | {limits.NUMBER_CHARACTERS_MAX} characters",
    ],
)
def test_the_page_states_the_limits_in_force(row: str) -> None:
    assert row in PAGE
