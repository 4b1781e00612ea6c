"""Targets and the network before them: every way of answering that the delivery table knows, and several that it does not."""

import base64
import hmac
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from eventyard.core.clock import BusTime
from eventyard.core.delivery import Delivery, parse_delivery_id
from eventyard.core.limits import PUSH_LEASE_MARGIN_MS
from eventyard.ports import PushAnswer, PushRequest
from tests.simulation import logins, shapes
from tests.simulation.books import BrokenPromise, Handed, HandedKey
from tests.simulation.consents import Consents
from tests.simulation.documents import ANSWERS, LOGIN, SECRETS
from tests.simulation.handing import Gate
from tests.simulation.logins import Logins
from tests.simulation.replies import Repliers
from tests.simulation.shapes import EVALUATED, Evaluator, shape_of
from tests.simulation.world import World

REPLY = 200
"""The one answer that may be a reply."""

MOODS = ("ok", "ok", "slow", "hang", "500", "503", "flapping", "422", "410", "401", "garbage", "lossy", "late")


class Reaction(msgspec.Struct, frozen=True):
    """What a target makes of one request: the status it means, and what of it comes back, when. `each`: what it says of each event of a batch. `offer`: the kind of a reply in it."""

    status: int
    delay_ms: int
    headers: dict[str, str] = {}
    body: bytes = b""
    is_lost: bool = False
    each: tuple[int, ...] = ()
    offer: str = ""


def _with(status: int, retry_after: str = "", body: bytes = b"") -> Callable[[int], Reaction]:
    headers = {"retry-after": retry_after} if retry_after else {}
    return lambda delay_ms: Reaction(status, delay_ms, headers, body)


FLAWED: Mapping[str, tuple[Callable[[int], Reaction], ...]] = MappingProxyType(
    {
        "500": (_with(500),),
        "410": (_with(410),),
        "401": (_with(401),),
        "422": (_with(422),),
        "503": tuple(_with(503, text) for text in ("1", "30", "0", "soon", "-5", "999999999")),
        "flapping": (_with(200), _with(200), _with(500), _with(404)),
        "garbage": tuple(_with(status, "\x00", b"\xff<html>") for status in (0, 302, 100, 599, 204)),
    }
)
"""Moods that answer quickly, each in one of these ways."""


def _check_signatures(headers: dict[str, str], body: bytes, now_ms: int) -> None:
    """By the specification, and not by the code that signs. A push that nobody asked to have signed has none to look at; one that is signed may wait for its token."""
    signed = headers.get("webhook-signature")
    if signed is None:
        return
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in SECRETS]
    good = {"v1," + base64.b64encode(hmac.digest(key, text, "sha256")).decode() for key in keys}
    if not good.issuperset(signed.split()) or headers["webhook-id"] not in {
        headers.get("eventyard-delivery"),
        headers.get("eventyard-batch"),
    }:
        raise BrokenPromise(f"a push is signed badly: {headers}")
    late_s = now_ms // 1000 - int(headers["webhook-timestamp"])
    if late_s < 0 or (late_s and "authorization" not in headers):
        raise BrokenPromise(f"a push says another time than it is, {now_ms}: {headers}")


def _meaning(status: int, answers: Mapping[str, str]) -> str:
    """By the documentation, and not by the code that decides."""
    if 200 <= status < 300:
        usual = "delivered"
    else:
        usual = {400: "dead", 413: "dead", 415: "dead", 422: "dead", 410: "pause"}.get(status, "retry")
    return answers.get(str(status), answers.get(f"{status // 100}xx", usual))


class Targets:
    """The transport of the house, and all targets behind it, each in a mood of its own (by host name)."""

    is_running = True

    def __init__(self, world: World, gate: Gate, evaluator: Evaluator, now: Callable[[], BusTime]) -> None:
        self._world = world
        self._gate = gate
        self._now = now
        self._evaluator = evaluator
        self.logins = Logins(world)
        self.consents = gate.consents = Consents(world)
        self._repliers = Repliers(world)
        self.moods: dict[str, str] = {}
        self.is_healed = False
        self.gathered: dict[str, list[tuple[Delivery, bytes]]] = {}
        """What a batch under this id is made of, since no header says so."""
        self.incarnations: dict[str, str] = {}
        self._batches: dict[str, list[Handed]] = {}
        """What a batch under this id was last, since it may come again with another token."""

    def restart(self) -> None:
        """The house starts anew, and what it gathered is gone."""
        self.gathered.clear()
        self._batches.clear()
        self.logins.restart()

    def heal(self) -> None:
        self.moods.clear()
        self.is_healed = self.logins.is_healed = self.consents.is_healed = self._evaluator.is_healed = True

    def close(self) -> None:
        """Pushes under way die with the world's agenda."""

    def send(self, request: PushRequest, done: Callable[[PushAnswer], None]) -> None:
        host = request.url.split("/")[2]
        if host == logins.HOST:
            self.logins.give(request, done)
        elif request.method == "OPTIONS":
            self.consents.ask(request, done)
        else:
            pushes = self._note(request)
            reaction = self._reaction(request, host, pushes)
            self._world.later(reaction.delay_ms, lambda: self._answer(pushes, host, reaction, done))

    def _reaction(self, request: PushRequest, host: str, pushes: Sequence[Handed]) -> Reaction:
        mood = self.moods.get(host, "ok")
        if LOGIN in request.url.split("/") and (not self.logins.is_good(request) or mood == "401"):
            for push in pushes:
                self.logins.refuse(request, push)
            return Reaction(401, self._world.rng.choice((0, 100)))
        reaction = self._react(mood, request.timeout_s)
        if len(pushes) > 1 and self._world.rng.random() < 0.5:
            return self._react_to_several(reaction, len(pushes))
        if ("eventyard-reply", "true") in request.headers and reaction.status == REPLY:
            offer = self._repliers.offer(pushes[0])
            return msgspec.structs.replace(reaction, headers=offer.headers, body=offer.body, offer=offer.kind)
        return reaction

    def _note(self, request: PushRequest) -> list[Handed]:
        """Each delivery that the request carries."""
        headers = dict(request.headers)
        _check_signatures(headers, request.body, self._now().time_ms)
        if "eventyard-batch" in headers:
            return self._note_batch(request, headers["eventyard-batch"])
        parsed = parse_delivery_id(headers["eventyard-delivery"])
        if parsed is None or parsed[1][2] != int(headers["eventyard-position"]):
            raise BrokenPromise(f"a push has no delivery id that can be read: {headers}")
        event = request.body
        if shape_of(request.url):
            event = self._event(parsed)
            shapes.check(request, event, headers["eventyard-delivery"])
        attempt = int(headers["eventyard-attempt"])
        has_waited = "authorization" in headers or shape_of(request.url) in EVALUATED
        return [self._hand(request, parsed, event, attempt, margin_ms=PUSH_LEASE_MARGIN_MS, has_waited=has_waited)]

    def _event(self, of: HandedKey) -> bytes:
        """What a push is about that does not carry it."""
        bus = self._gate.ledger.of(of[0])
        return b"" if bus is None else bus.log[of[1][2]].json

    def _note_batch(self, request: PushRequest, name: str) -> list[Handed]:
        if name not in self.gathered:
            again = [self._again(request, (push.incarnation, push.key)) for push in self._batches[name]]
            return [push for push in again if push is not None]
        gathered = self.gathered.pop(name)
        if request.body != b"[" + b",".join(event for _, event in gathered) + b"]":
            raise BrokenPromise(f"a batch is not the events that it is made of: {request.body!r}")
        margin_ms = PUSH_LEASE_MARGIN_MS // 2
        pushes = self._batches[name] = [
            self._hand(request, (self.incarnations[name], one.key), event, one.attempts, margin_ms=margin_ms, has_waited=True)
            for one, event in gathered
        ]
        return pushes

    def _again(self, request: PushRequest, of: HandedKey) -> Handed | None:
        bus = self._gate.ledger.of(of[0])
        row = None if bus is None else bus.rows.get(of[1])
        return None if row is None else self.logins.again(request, of[0], of[1], row.leases)

    def _hand(
        self, request: PushRequest, of: HandedKey, event: bytes, attempt: int, *, margin_ms: int, has_waited: bool = False
    ) -> Handed:
        """`margin_ms`: how much longer than its time limit its lease holds at least."""
        if (again := self._again(request, of)) is not None:
            return again
        push = Handed(
            incarnation=of[0],
            key=of[1],
            rule=request.url.split("/")[3],
            event=event,
            attempt=attempt,
            life=self._world.life,
            at_ms=self._world.now_ms,
            bus_ms=self._now().time_ms,
            ends_ms=self._world.now_ms + int(request.timeout_s * 1000) + margin_ms,
            replay=dict(request.headers).get("eventyard-replay", ""),
            has_waited=has_waited,
        )
        self._world.note(f"push {push.incarnation} {push.key} attempt {push.attempt} to {request.url}")
        self._gate.hand(push)
        return push

    def _react_to_several(self, reaction: Reaction, count: int) -> Reaction:
        """It says what became of each, or that there are too many."""
        rng = self._world.rng
        if rng.random() < 0.2:
            return Reaction(413, reaction.delay_ms, is_lost=reaction.is_lost)
        statuses = [rng.choice((reaction.status or 200, 200, 200, 422, 500)) for _ in range(count)]
        if self.is_healed:
            statuses = [200] * count
        entries = [{"position": 1, "duplicate": False} if one == 200 else {"error": {"status": one}} for one in statuses]
        body = msgspec.json.encode({"events": entries})
        return Reaction(202, reaction.delay_ms, reaction.headers, body, is_lost=reaction.is_lost, each=tuple(statuses))

    def _react(self, mood: str, timeout_s: float) -> Reaction:
        rng, timeout_ms = self._world.rng, int(timeout_s * 1000)
        quick_ms = rng.randint(0, 300)
        if mood in FLAWED:
            return rng.choice(FLAWED[mood])(quick_ms)
        delays_ms = {"slow": rng.randint(timeout_ms // 2, timeout_ms), "hang": timeout_ms, "lossy": timeout_ms}
        delays_ms["late"] = timeout_ms + PUSH_LEASE_MARGIN_MS + rng.randint(-2_000, 20_000)
        is_lost = mood == "hang" or (mood == "lossy" and rng.random() < 0.5)
        return Reaction(0 if mood == "hang" else 200, delays_ms.get(mood, quick_ms), is_lost=is_lost)

    def _answer(self, pushes: Sequence[Handed], host: str, reaction: Reaction, done: Callable[[PushAnswer], None]) -> None:
        answers = ANSWERS.get(host, {})
        status = 0 if reaction.is_lost else reaction.status
        for number, push in enumerate(pushes):
            push.answered_ms = self._world.now_ms
            push.status = reaction.each[number] if reaction.each and status else status
            push.meaning = _meaning(push.status, answers)
            if push.meaning == "delivered":
                push.offers = [*push.offers, reaction.offer if status == REPLY else ""]
            if push.status == 413 and len(pushes) > 1:
                push.meaning, push.is_uncounted = "retry", True  # The whole was too large, and none of them was looked at.
            self._world.note(f"answer {push.status} for {push.key} attempt {push.attempt}")
        failure = "" if status else "timed out"
        done(PushAnswer(status, reaction.headers, reaction.body, failure))
