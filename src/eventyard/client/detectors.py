"""Detectors: what can be asked about them, as pure functions (see `protocol`), and what is answered."""

from typing import Any

import msgspec

from eventyard.client.answers import Page
from eventyard.client.building import Document, pages_of, text_of
from eventyard.client.call import JSON, Call, Request, Walk, address, answer, condition, decode, nothing
from eventyard.client.patience import Response


class DetectorState(msgspec.Struct, frozen=True):
    """Where a detector stands, and what was counted of it: see docs/reference/detectors.md."""

    uid: int
    version: int
    created: str
    changed: str
    judging: bool = False
    keys: int = 0
    pending: int = 0
    observations: int = 0
    late: int = 0
    unkeyed: int = 0
    unordered: int = 0
    over_max_keys: int = 0
    failed: int = 0
    rises: int = 0
    falls: int = 0
    cancelled: int = 0
    put_off: int = 0
    forgotten: int = 0
    turned: int = 0
    stopped: int = 0


class Detector(msgspec.Struct, frozen=True):
    """A detector: its document as the bus keeps it, under its name, and where it stands. The patterns are JSON as it was written."""

    name: str
    on: msgspec.Raw
    when: msgspec.Raw
    emit: dict[str, Any]
    state: DetectorState
    key: str = "subject"
    until: msgspec.Raw = msgspec.Raw(b"null")
    for_s: float = 0.0
    keep_for_s: float = 0.0
    first: str = "arm"
    order_by: str = "time"
    late_by_s: float = 0.0
    forget_after_s: float | None = None
    max_keys: int = 0
    max_edges_per_s: float = 0.0
    description: str = ""
    owner: str = ""


class Turns(msgspec.Struct, frozen=True):
    """What a change does to keys: of `keys` that the detector knows `judged` were looked at, in their order, up to the key `next` (None: all).

    `turned` of these come to another truth, which is no edge; `unsaid` cannot be judged anew and stay as they are. `names`: some that turn.
    """

    keys: int
    judged: int
    turned: int
    unsaid: int
    names: list[str]
    next: str | None


class SavedDetector(Detector, frozen=True):
    """A detector as it is in force now, and what the change does to keys; None where nothing was changed."""

    turns: Turns | None = None


class DetectorChange(msgspec.Struct, frozen=True):
    """That a key came to a `state`, since when, by the observation at `position`; `told` where it was an edge."""

    state: str
    since: str
    position: int
    told: bool


class DetectorKey(msgspec.Struct, frozen=True):
    """What a detector knows of one key."""

    key: str
    state: str
    position: int
    since: str | None = None
    said: dict[str, Any] | None = None
    hold_since: str | None = None
    ends: str | None = None
    why: str = ""
    changes: list[DetectorChange] = []


class DetectorPage(Page[Detector], frozen=True, rename={"items": "detectors"}):
    items: list[Detector]


class DetectorKeyPage(Page[DetectorKey], frozen=True, rename={"items": "keys"}):
    items: list[DetectorKey]


def put_detector(name: str, document: Document, *, bus: str = "default", version: int | None = None) -> Call[SavedDetector]:
    """Create the detector `name`, or change it to `document` (on, key, when, emit, ...). `version` as in `put_rule`."""
    path, body = address("buses", bus, "detectors", name), text_of(document).encode()
    return Call(Request("PUT", path, body=body, content_type=JSON, headers=condition(version)), answer(SavedDetector))


def detector_turns(name: str, document: Document, *, bus: str = "default") -> Walk[Turns]:
    """How many keys of the detector `document` would turn, were it saved now. Gives what was found so far, the last one all."""
    path, body = address("buses", bus, "detectors", name, "turns"), text_of(document).encode()
    total = _Sum()
    page = yield Call(Request("POST", path, body=body, content_type=JSON), total.add)
    while (after := page.items[0].next) is not None:
        page = yield Call(Request("POST", path, query={"after": after}, body=body, content_type=JSON), total.add)


class _Sum:
    """Adds up what the stretches say."""

    def __init__(self) -> None:
        self._found: Turns | None = None

    def add(self, response: Response) -> Page[Turns]:
        nothing(response)
        part, before = decode(response, Turns), self._found
        if before is not None:
            judged, turned, unsaid = before.judged + part.judged, before.turned + part.turned, before.unsaid + part.unsaid
            part = Turns(part.keys, judged, turned, unsaid, before.names or part.names, part.next)
        self._found = part
        return Page([part])


def detector(name: str, *, bus: str = "default") -> Call[Detector]:
    """One detector, and what was counted of it."""
    return Call(Request("GET", address("buses", bus, "detectors", name)), answer(Detector))


def detectors(*, bus: str = "default", after: str | None = None) -> Walk[Detector]:
    """Every detector of the bus, by name; those whose names come after `after`."""
    return pages_of(address("buses", bus, "detectors"), DetectorPage, after=after)


def delete_detector(name: str, *, bus: str = "default", version: int | None = None) -> Call[None]:
    """Delete the detector with all that it knows. `version` as in `put_rule`."""
    return Call(Request("DELETE", address("buses", bus, "detectors", name), headers=condition(version)), nothing)


def detector_keys(name: str, *, bus: str = "default", after: str | None = None) -> Walk[DetectorKey]:
    """What the detector knows of each of its keys, by key."""
    return pages_of(address("buses", bus, "detectors", name, "keys"), DetectorKeyPage, after=after)


def detector_key(name: str, key: str, *, bus: str = "default") -> Call[DetectorKey]:
    """What the detector knows of one key, and why."""
    return Call(Request("GET", address("buses", bus, "detectors", name, "keys", key)), answer(DetectorKey))
