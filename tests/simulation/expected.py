"""Whether expectations told what they promise, gone through event by event as in `watched`: of each opening what became of it, once, and no absence that is none."""

import re
from collections.abc import Iterator
from typing import Any

from eventyard.core import expecting
from eventyard.core.clock import rfc3339
from eventyard.core.expectation import Phase
from eventyard.core.view import View
from tests.simulation.books import BrokenPromise
from tests.simulation.damping import Damping
from tests.simulation.hoping import Known, Outcome, Terms, ended, heard, over_ms, read_terms
from tests.simulation.reading import at, matches
from tests.simulation.watched import Step, text_of

EDITS = re.compile(r"io\.eventyard\.expectation\.(created|changed|deleted)")
SPOKEN = re.compile(r"/eventyard/buses/[^/]+/expectations/(.+)")

States = frozenset[Known | None]
NOTHING: States = frozenset({None})


class Hope:
    """An expectation. `versions`: by version, its terms."""

    def __init__(self, uid: int, name: str, document: Any) -> None:
        self.uid = uid
        self.name = name
        self.version = uid
        self.versions: dict[int, Terms] = {uid: read_terms(document)}
        self.is_deleted = False
        self.keys: dict[str, States] = {}
        self.damping = Damping()

    @property
    def terms(self) -> Terms:
        return self.versions[self.version]

    @property
    def is_damped(self) -> bool:
        return any(terms.is_damped for terms in self.versions.values())


class Expecting:
    """`hopes`: by uid, every expectation that ever was. `times`: by position, when its event was accepted, in bus and in work time."""

    def __init__(self, incarnation: str, documents: dict[int, Any]) -> None:
        self._incarnation = incarnation
        self._documents = documents
        self._times: dict[int, tuple[int, int]] = {}
        self.hopes: dict[int, Hope] = {}
        self._awake_ms = 0
        self._touched: set[tuple[int, str]] = set()

    def fail(self, text: str) -> None:
        raise BrokenPromise(f"bus {self._incarnation}: {text}")

    def take(self, step: Step) -> None:
        self._awake_ms = max(self._awake_ms, *step.clocks)
        self._touched = set()
        for position in range(step.first, step.last + 1):
            self._times[position] = (step.time_ms, step.work_ms)
            document = self._documents[position]
            if spoken := SPOKEN.fullmatch(document["source"]):
                self._meet(spoken[1], position, document, step)
            for hope in self._there():
                for signal in hope.terms.hears(document):
                    self._hear(hope, signal, position, document, step)
            if edit := EDITS.fullmatch(document["type"]):
                self._edit(edit[1], position, document["data"], step)
        self._check_told(step)

    def _there(self) -> list[Hope]:
        return [hope for hope in self.hopes.values() if not hope.is_deleted]

    def _edit(self, kind: str, position: int, data: Any, step: Step) -> None:
        if kind == "created":
            self.hopes[position] = Hope(position, data["name"], data["expectation"])
            return
        hope = self.hopes[data["uid"]]
        for key in hope.keys:
            hope.keys[key] = self._possible(hope, key, step)
        self._check_told(step)
        if kind == "deleted":
            hope.is_deleted = True
            hope.keys = {}
            return
        hope.version = position
        hope.versions[position] = read_terms(data["expectation"])

    # What time and sweeps may have made of a key

    def _possible(self, hope: Hope, key: str, step: Step) -> States:
        found: set[Known | None] = set()
        waiting = list(hope.keys.get(key, NOTHING))
        while waiting:
            known = _tidy(waiting.pop())
            if known in found:
                continue
            found.add(known)
            if known is not None and not known.untold:
                waiting += self._next(hope, known, step)
        return frozenset(found)

    def _next(self, hope: Hope, known: Known, step: Step) -> Iterator[Known | None]:
        terms = hope.versions[known.version]
        over = over_ms(known, terms)
        is_silent = known.phase == "missed" or terms.types["missed"] is None
        if over is not None and over <= self._awake_ms and is_silent:
            yield ended(known, terms)
        if known.version == hope.version:
            return
        stays = known._replace(version=hope.version)
        if known.phase == "missed" or known.opened < step.floor or matches(hope.terms.after, self._documents[known.opened]):
            yield stays
        if known.phase == "open" and not matches(hope.terms.after, self._documents[known.opened]):
            yield None

    def _in_force(self, hope: Hope, key: str, step: Step) -> list[Known | None]:
        return [known for known in self._possible(hope, key, step) if known is None or known.version == hope.version]

    # Events

    def _hear(self, hope: Hope, signal: str, position: int, document: Any, step: Step) -> None:
        key = text_of(at(document, hope.terms.key.split(".")))
        if key is None:
            return
        fits = [
            fit
            for known in self._in_force(hope, key, step)
            for now in self._now(hope, known, step)
            for fit in self._after(hope, key, now, (signal, position), step)
        ]
        hope.keys[key] = frozenset(_tidy(fit) for fit in fits)
        self._touched.add((hope.uid, key))

    def _now(self, hope: Hope, known: Known | None, step: Step) -> Iterator[Known]:
        """After all that is over by now has ended. What may be waiting for its turn to be missed is, also while others rest."""
        starts = [known or Known(hope.version)]
        over = over_ms(starts[0], hope.terms)
        if hope.is_damped and starts[0].phase == "open" and over is not None and over <= self._awake_ms:
            starts.append(ended(starts[0], hope.terms))
        for now in starts:
            for clock_ms in step.clocks:
                yield _all_ended(now, hope.terms, clock_ms)

    def _after(self, hope: Hope, key: str, known: Known, event: tuple[str, int], step: Step) -> Iterator[Known]:
        signal, position = event
        if known.phase == "none" and signal == "after":
            least, most = self._count_others(hope, key, step)
            if most >= hope.terms.max_keys:
                yield known
            if least >= hope.terms.max_keys:
                return
        yield heard(known, signal, position, step.work_ms, hope.terms)

    def _count_others(self, hope: Hope, key: str, step: Step) -> tuple[int, int]:
        """How many other keys are kept at least, and at most."""
        if len(hope.keys) < hope.terms.max_keys:
            return 0, len(hope.keys) - (key in hope.keys)
        possible = [self._possible(hope, other, step) for other in hope.keys if other != key]
        return sum(None not in states for states in possible), sum(states != NOTHING for states in possible)

    # What is told

    def _meet(self, name: str, position: int, document: Any, step: Step) -> None:
        uid, key = int(document["id"].split("-")[1]), document["subject"]
        hope = self.hopes.get(uid)
        if hope is None or hope.is_deleted or hope.name != name:
            self.fail(f"position {position} is told by an expectation that is not there: {document}")
            return
        left: set[Known | None] = set()
        owed: list[Any] = []
        for known in self._possible(hope, key, step):
            outcome = None if known is None else self._owed(hope, known, step)
            if outcome is None or known is None:
                continue
            owed.append(self._document(hope, key, outcome))
            if all(document.get(field) == value for field, value in owed[-1].items()):
                left.add(_tidy(known._replace(untold=known.untold[1:]) if known.untold else known._replace(phase="missed")))
                self._tell_in_turn(hope, key, known, step)
        if not left:
            self.fail(f"{name} told of {key} at {position} what it does not owe: {document}, owed {owed}")
        hope.keys[key] = frozenset(left)
        self._touched.add((uid, key))

    def _owed(self, hope: Hope, known: Known, step: Step) -> Outcome | None:
        if known.untold:
            return known.untold[0]
        if known.version != hope.version or known.phase != "open" or hope.terms.types["missed"] is None:
            return None
        over = over_ms(known, hope.terms)
        return Outcome(known.version, "missed", known.opened, 0) if over is not None and over <= max(step.clocks) else None

    def _tell_in_turn(self, hope: Hope, key: str, known: Known, step: Step) -> None:
        """What time alone brings about keeps to a rate."""
        if not known.untold:
            over = over_ms(known, hope.terms)
            hope.damping.take_turn((key, known.opened), over or 0, step.work_ms)
            hope.damping.tell((key, known.opened), step.work_ms)

    def _document(self, hope: Hope, key: str, outcome: Outcome) -> dict[str, Any]:
        terms, cause = hope.versions[outcome.version], self._documents[outcome.heard or outcome.opened]
        opened_ms, began_ms = self._times[outcome.opened]
        time_ms, work_ms = (
            self._times[outcome.heard] if outcome.heard else (opened_ms + terms.within_ms, began_ms + terms.within_ms)
        )
        return {
            "id": f"{self._incarnation}-{hope.uid}-{outcome.version}-{outcome.opened}-{outcome.act}",
            "type": terms.types[outcome.act],
            "subject": key,
            "time": rfc3339(time_ms),
            "causationid": cause["id"],
            "causationsource": cause["source"],
            "correlationid": cause.get("correlationid", cause["id"]),
            "eventyardhops": cause.get("eventyardhops", 0) + 1,
            "data": {
                "expectation": hope.name,
                "key": key,
                "outcome": outcome.act,
                "within_s": terms.within_ms / 1000,
                "waited_s": (work_ms - began_ms) / 1000,
                "after": self._shown(outcome.opened),
                "expect": self._shown(outcome.heard) if outcome.heard else None,
            },
        }

    def _shown(self, position: int) -> dict[str, Any]:
        event = self._documents[position]
        told = {"position": position, "accepted": rfc3339(self._times[position][0])}
        return told | {name: event[name] for name in ("source", "id", "type")}

    # The end of a step, and of all

    def _check_told(self, step: Step) -> None:
        for uid, key in self._touched:
            hope = self.hopes[uid]
            if hope.is_deleted:
                continue
            told = frozenset(known for known in hope.keys[key] if known is None or not known.untold)
            if not told:
                self.fail(f"{hope.name} did not tell of {key} by {step}: {hope.keys[key]}")
            hope.keys[key] = told

    def check_damped(self) -> None:
        for hope in self.hopes.values():
            if all(terms.is_damped for terms in hope.versions.values()):
                hope.damping.check(max(terms.max_missed_per_s for terms in hope.versions.values()), self.fail)

    def check_kept(self, view: View, bus: int, step: Step) -> None:
        """What the house says of each key is what may be known of it."""
        for hope in self._there():
            for key in hope.keys:
                row = view.kept(bus, hope.uid, key)
                kept = None if row is None else expecting.read_key(row.record)
                found = None if kept is None else (kept.version, PHASES[kept.phase], kept.opened.position)
                possible = self._possible(hope, key, step)
                if found not in [known and (known.version, known.phase, known.opened) for known in possible]:
                    self.fail(f"of {key} {hope.name} keeps {kept}, and it may be {possible}")

    def check_at_rest(self, step: Step) -> None:
        """Nothing is open any more."""
        for hope in self._there():
            for key in hope.keys:
                possible = self._possible(hope, key, step)
                if all(known is not None and known.phase == "open" for known in possible):
                    self.fail(f"{hope.name} never told that {key} is missed: {possible}")


PHASES = {Phase.NONE: "none", Phase.OPEN: "open", Phase.MISSED: "missed"}


def _all_ended(known: Known, terms: Terms, clock_ms: int) -> Known:
    while (over := over_ms(known, terms)) is not None and over <= clock_ms:
        known = ended(known, terms)
    return known


def _tidy(known: Known | None) -> Known | None:
    """Nothing is kept of a key of which nothing is known, and nothing to be told."""
    return None if known is not None and known.phase == "none" and not known.untold else known
