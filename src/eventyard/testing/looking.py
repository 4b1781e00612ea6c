"""What a test looks at: the events that were published, the deliveries of a rule, and, where something is missing, why."""

import json
from collections.abc import Iterator

from eventyard.client import Client, Detector, DetectorKey, Expectation, ExpectedKey, StoredEvent
from eventyard.testing.fates import Fate, Fates, fate_of
from eventyard.testing.house import House
from eventyard.testing.pushes import Event
from eventyard.testing.wants import Want, Wanted

SHOWN = 20
"""Lines of a message: the last ones, since what is missing should have come last."""

DELIVERED = "delivered"

TROUBLE = Want({"type": [{"prefix": f"io.eventyard.{what}"} for what in ("delivery.deadlettered", "reply.refused", "loop.")]})
"""What the bus says where something that should have come of an event did not."""


class Looking:
    """`client` speaks to the bus `name` of `house`."""

    name: str
    client: Client
    _house: House

    # Looking

    def published(self, wanted: Wanted = None) -> list[Event]:
        """The events of the log that are of this type, or match this pattern, in their order; without either all but the bus's own."""
        want = Want(wanted)
        return [_event(stored) for stored in self._log() if want.fits(stored.json)]

    def deliveries(self, rule: str, wanted: Wanted = None) -> Fates:
        """The deliveries of a rule, in the order of their events, and what became of each; those of the events that are wanted."""
        want, uid = Want(wanted), self.client.rule(rule, bus=self.name).state.uid
        number = self._house.yard.bus(self.name).number
        positions = sorted({row.position for row in self._house.engine.rows(number) if row.rule == uid})
        stored = [self.client.event(position, bus=self.name) for position in positions]
        wanted_ones = [one for one in stored if want.is_any or want.fits(one.json)]
        return Fates([fate for one in wanted_ones for fate in self._fates(rule, uid, one)], lambda: self._why_none(rule, want))

    def why(self, rule: str, wanted: Wanted = None) -> str:
        """What the rule had to do with each of these events, a line for each: the last ones."""
        return "\n".join(self._reasons(rule, Want(wanted)))

    def _log(self) -> Iterator[StoredEvent]:
        return self.client.events(bus=self.name)

    def _fates(self, rule: str, uid: int, stored: StoredEvent) -> Iterator[Fate]:
        for one in self.client.explain(stored.position, rule, bus=self.name):
            if one.uid == uid:
                for delivery in one.deliveries:
                    yield fate_of(rule, stored.position, _event(stored), delivery)

    def _reasons(self, rule: str, want: Want) -> list[str]:
        lines = []
        for stored in [one for one in self._log() if want.fits(one.json)][-SHOWN:]:
            for one in self.client.explain(stored.position, rule, bus=self.name):
                lines.append(f"{_named(stored)}: {one.outcome}, {one.why}")
                lines += [
                    f"    {_attempt(answer.status, answer.failure, answer.body)}"
                    for each in one.deliveries
                    for answer in each.answers
                ]
        return lines

    def _why_none(self, rule: str, want: Want) -> str:
        reasons = self._reasons(rule, want)
        return reasons[-1] if reasons else f"no event is {want.told}"

    # Asserting

    def assert_published(self, wanted: Wanted, *, times: int | None = None) -> list[Event]:
        """An event of this type, or that matches this pattern, was published; exactly so many `times`, where that is said. Those events."""
        found = self.published(wanted)
        if len(found) != times if times is not None else not found:
            raise AssertionError(self._not_published(Want(wanted), len(found), times))
        return found

    def _not_published(self, want: Want, found: int, times: int | None) -> str:
        wanted = "at least one" if times is None else str(times)
        log = list(self._log())
        lines = [f"found {found} events that are {want.told}; wanted {wanted}"]
        others = [one for one in log if Want(None).fits(one.json)]
        lines += [f"published: {len(others)}" if others else "nothing was published"]
        lines += [
            f"  {_named(one)}: {'it is one' if want.fits(one.json) else want.why_not(one.json)}" for one in others[-SHOWN:]
        ]
        lines += [_said(one.event) for one in log if TROUBLE.fits(one.json)][-SHOWN:]
        lines += [line for detector in self.client.detectors(bus=self.name) for line in self._watched(detector, want)]
        lines += [line for one in self.client.expectations(bus=self.name) for line in self._expected(one, want)]
        return "\n".join(lines)

    def _expected(self, expectation: Expectation, want: Want) -> list[str]:
        """Of an expectation that publishes what is missing: what it has open, and how often what it heard changed nothing."""
        if not any(want.is_about(emitted["type"]) for emitted in expectation.emit.values() if emitted):
            return []
        state, keys = expectation.state, list(self.client.expectation_keys(expectation.name, bus=self.name))[-SHOWN:]
        counts = {"repeated": state.repeated, "unexpected": state.unexpected, "without a key": state.unkeyed}
        left_out = [f"{count} {what}" for what, count in counts.items() if count]
        head = f"  the expectation {expectation.name} was opened {state.opened} times, met {state.met} times and missed {state.missed} times"
        return [", and left out ".join([head, *left_out]), *map(_expected_key, keys)]

    def _watched(self, detector: Detector, want: Want) -> list[str]:
        """Of a detector that publishes what is missing: what it knows of each key, and how often what it heard was no observation."""
        kinds = [edge["type"] for edge in detector.emit.values() if edge]
        if not any(want.is_about(kind) for kind in kinds):
            return []
        keys = list(self.client.detector_keys(detector.name, bus=self.name))[-SHOWN:]
        counts = {"late": detector.state.late, "without a key": detector.state.unkeyed}
        left_out = [f"{count} {what}" for what, count in counts.items() if count]
        head = f"  the detector {detector.name} made {detector.state.observations} observations"
        return [", and left out ".join([head, *left_out]), *map(_watched_key, keys)]

    def assert_delivered(self, rule: str, wanted: Wanted = None, *, times: int | None = None) -> Fates:
        """An event that is wanted was delivered to the rule's target, or acknowledged; exactly so many `times`, where that is said. Those."""
        found = self.deliveries(rule, wanted)
        done = [fate for fate in found if fate.outcome == DELIVERED]
        if len(done) != times if times is not None else not done:
            raise AssertionError(self._not_delivered(rule, Want(wanted), len(done), times))
        return Fates(done, lambda: "")

    def _not_delivered(self, rule: str, want: Want, found: int, times: int | None) -> str:
        wanted = "at least one" if times is None else str(times)
        lines = [f"found {found} deliveries of {want.told} to {rule} that are done; wanted {wanted}"]
        reasons = self._reasons(rule, want)
        if not reasons:
            lines.append(f"no event is {want.told}")
            reasons = [f"{_named(one)}: {want.why_not(one.json)}" for one in self._log() if Want(None).fits(one.json)][-SHOWN:]
        return "\n".join([*lines, *(f"  {reason}" for reason in reasons)])

    def assert_all_delivered(self) -> None:
        """Every delivery of every rule is done: none waits, none is tried again, none is dead or was discarded."""
        names = {rule.state.uid: rule.name for rule in self.client.rules(bus=self.name)}
        number = self._house.yard.bus(self.name).number
        missing: dict[tuple[str, int], None] = {}
        for row in self._house.engine.rows(number):
            if row.rule in names and row.state.name != DELIVERED.upper():
                missing[names[row.rule], row.position] = None
        if missing:
            lines = [line for rule, position in list(missing)[-SHOWN:] for line in self._told(rule, position)]
            raise AssertionError("\n".join([f"found {len(missing)} deliveries that are not done; wanted none", *lines]))

    def _told(self, rule: str, position: int) -> Iterator[str]:
        stored = self.client.event(position, bus=self.name)
        for one in self.client.explain(position, rule, bus=self.name):
            yield f"  {rule}, {_named(stored)}: {one.outcome}, {one.why}"


def _event(stored: StoredEvent) -> Event:
    event: Event = json.loads(stored.json)
    return event


def _named(stored: StoredEvent) -> str:
    event = stored.event
    subject = f" of {event['subject']}" if event.get("subject") else ""
    return f"event {stored.position}, {event['type']}{subject} (id {event['id']})"


def _said(event: Event) -> str:
    why = event["data"].get("detail") or event["data"].get("reason") or ""
    return f"  the bus said {event['type']} of {event.get('subject', '')}: {why}".rstrip(": ")


def _watched_key(key: DetectorKey) -> str:
    ends = f", its hold ends at {key.ends}" if key.ends else ""
    return f"    {key.key}: {key.state} since {key.since}{ends}"


def _expected_key(key: ExpectedKey) -> str:
    ends = f"it is missed at {key.ends}" if key.state == "open" else f"late until {key.ends}"
    return f"    {key.key}: {key.state} since {key.after.accepted}, {ends}"


def _attempt(status: int, failure: str, body: str) -> str:
    return f"{status} {body}".rstrip() if status else failure or body
