"""Expectations: what can be asked about them, as pure functions (see `protocol`), and what is answered."""

from typing import Any

import msgspec

from eventyard.client.answers import Page
from eventyard.client.building import Document, pages_of, text_of
from eventyard.client.call import JSON, Call, Request, Walk, address, answer, condition, nothing


class ExpectationState(msgspec.Struct, frozen=True):
    """Where an expectation stands, and what was counted of it: see docs/reference/expectations.md."""

    uid: int
    version: int
    created: str
    changed: str
    judging: bool = False
    keys: int = 0
    open: int = 0
    opened: int = 0
    met: int = 0
    missed: int = 0
    late: int = 0
    repeated: int = 0
    unexpected: int = 0
    unkeyed: int = 0
    over_max_keys: int = 0
    failed: int = 0
    withdrawn: int = 0
    forgotten: int = 0
    put_off: int = 0
    stopped: int = 0


class Expectation(msgspec.Struct, frozen=True):
    """An expectation: its document as the bus keeps it, under its name, and where it stands. The patterns are JSON as it was written."""

    name: str
    after: msgspec.Raw
    expect: msgspec.Raw
    within_s: float
    emit: dict[str, Any]
    state: ExpectationState
    key: str = "subject"
    late_for_s: float | None = None
    max_keys: int = 0
    max_missed_per_s: float = 0.0
    description: str = ""
    owner: str = ""


class OpenedBy(msgspec.Struct, frozen=True):
    """The event that opened an expectation, and when that was accepted."""

    position: int
    source: str
    id: str
    type: str
    accepted: str


class ExpectedKey(msgspec.Struct, frozen=True):
    """What an expectation keeps of one key: it is `open`, and missed as it `ends`; or `missed`, and may be late until it `ends`."""

    key: str
    state: str
    after: OpenedBy
    ends: str


class ExpectationPage(Page[Expectation], frozen=True, rename={"items": "expectations"}):
    items: list[Expectation]


class ExpectedKeyPage(Page[ExpectedKey], frozen=True, rename={"items": "keys"}):
    items: list[ExpectedKey]


def put_expectation(name: str, document: Document, *, bus: str = "default", version: int | None = None) -> Call[Expectation]:
    """Create the expectation `name`, or change it to `document` (after, expect, within_s, key, emit, ...). `version` as in `put_rule`."""
    path, body = address("buses", bus, "expectations", name), text_of(document).encode()
    return Call(Request("PUT", path, body=body, content_type=JSON, headers=condition(version)), answer(Expectation))


def expectation(name: str, *, bus: str = "default") -> Call[Expectation]:
    """One expectation, and what was counted of it."""
    return Call(Request("GET", address("buses", bus, "expectations", name)), answer(Expectation))


def expectations(*, bus: str = "default", after: str | None = None) -> Walk[Expectation]:
    """Every expectation of the bus, by name; those whose names come after `after`."""
    return pages_of(address("buses", bus, "expectations"), ExpectationPage, after=after)


def delete_expectation(name: str, *, bus: str = "default", version: int | None = None) -> Call[None]:
    """Delete the expectation with all that it has open. `version` as in `put_rule`."""
    return Call(Request("DELETE", address("buses", bus, "expectations", name), headers=condition(version)), nothing)


def expectation_keys(name: str, *, bus: str = "default", after: str | None = None) -> Walk[ExpectedKey]:
    """What the expectation has open, or missed, by key."""
    return pages_of(address("buses", bus, "expectations", name, "keys"), ExpectedKeyPage, after=after)


def expectation_key(name: str, key: str, *, bus: str = "default") -> Call[ExpectedKey]:
    """What the expectation has open, or missed, of one key."""
    return Call(Request("GET", address("buses", bus, "expectations", name, "keys", key)), answer(ExpectedKey))
