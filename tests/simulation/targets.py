"""Targets and the network before them: every way of answering that the delivery table knows, and several that it does not."""

import base64
import hmac
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from eventyard.core.clock import BusTime
from eventyard.core.delivery import parse_delivery_id
from eventyard.core.limits import PUSH_LEASE_MARGIN_MS
from eventyard.ports import PushAnswer, PushRequest
from tests.simulation.books import BrokenPromise, Handed
from tests.simulation.documents import ANSWERS, SECRETS
from tests.simulation.handing import Gate
from tests.simulation.world import World

MOODS = ("ok", "ok", "slow", "hang", "500", "503", "flapping", "422", "410", "garbage", "lossy", "late")


class Reaction(msgspec.Struct, frozen=True):
    """What a target makes of one request: the status it means, and what of it comes back, when."""

    status: int
    delay_ms: int
    headers: dict[str, str] = {}
    body: bytes = b""
    is_lost: bool = False


def _with(status: int, retry_after: str = "", body: bytes = b"") -> Callable[[int], Reaction]:
    headers = {"retry-after": retry_after} if retry_after else {}
    return lambda delay_ms: Reaction(status, delay_ms, headers, body)


FLAWED: Mapping[str, tuple[Callable[[int], Reaction], ...]] = MappingProxyType(
    {
        "500": (_with(500),),
        "410": (_with(410),),
        "422": (_with(422),),
        "503": tuple(_with(503, text) for text in ("1", "30", "0", "soon", "-5", "999999999")),
        "flapping": (_with(200), _with(200), _with(500), _with(404)),
        "garbage": tuple(_with(status, "\x00", b"\xff<html>") for status in (0, 302, 100, 599, 204)),
    }
)
"""Moods that answer quickly, each in one of these ways."""


def _check_signatures(headers: dict[str, str], body: bytes, now_ms: int) -> None:
    """By the specification, and not by the code that signs. A push that nobody asked to have signed has none to look at."""
    signed = headers.get("webhook-signature")
    if signed is None:
        return
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in SECRETS]
    good = {"v1," + base64.b64encode(hmac.digest(key, text, "sha256")).decode() for key in keys}
    if not good.issuperset(signed.split()) or headers["webhook-id"] != headers["eventyard-delivery"]:
        raise BrokenPromise(f"a push is signed badly: {headers}")
    if headers["webhook-timestamp"] != str(now_ms // 1000):
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

    def __init__(self, world: World, gate: Gate, now: Callable[[], BusTime]) -> None:
        self._world = world
        self._gate = gate
        self._now = now
        self.moods: dict[str, str] = {}

    def close(self) -> None:
        """Pushes under way die with the world's agenda."""

    def send(self, request: PushRequest, done: Callable[[PushAnswer], None]) -> None:
        push = self._note(request)
        host = request.url.split("/")[2]
        reaction = self._react(self.moods.get(host, "ok"), request.timeout_s)
        self._world.later(reaction.delay_ms, lambda: self._answer(push, host, reaction, done))

    def _note(self, request: PushRequest) -> Handed:
        headers = dict(request.headers)
        parsed = parse_delivery_id(headers["eventyard-delivery"])
        if parsed is None or parsed[1][2] != int(headers["eventyard-position"]):
            raise BrokenPromise(f"a push has no delivery id that can be read: {headers}")
        _check_signatures(headers, request.body, self._now().time_ms)
        push = Handed(
            incarnation=parsed[0],
            key=parsed[1],
            rule=request.url.split("/")[3],
            event=request.body,
            attempt=int(headers["eventyard-attempt"]),
            life=self._world.life,
            at_ms=self._world.now_ms,
            bus_ms=self._now().time_ms,
            ends_ms=self._world.now_ms + int(request.timeout_s * 1000) + PUSH_LEASE_MARGIN_MS,
            replay=headers.get("eventyard-replay", ""),
        )
        self._world.note(f"push {push.incarnation} {push.key} attempt {push.attempt} to {request.url}")
        self._gate.hand(push)
        return push

    def _react(self, mood: str, timeout_s: float) -> Reaction:
        rng, timeout_ms = self._world.rng, int(timeout_s * 1000)
        quick_ms = rng.randint(0, 300)
        if mood in FLAWED:
            return rng.choice(FLAWED[mood])(quick_ms)
        delays_ms = {"slow": rng.randint(timeout_ms // 2, timeout_ms), "hang": timeout_ms, "lossy": timeout_ms}
        delays_ms["late"] = timeout_ms + PUSH_LEASE_MARGIN_MS + rng.randint(-2_000, 20_000)
        is_lost = mood == "hang" or (mood == "lossy" and rng.random() < 0.5)
        return Reaction(0 if mood == "hang" else 200, delays_ms.get(mood, quick_ms), is_lost=is_lost)

    def _answer(self, push: Handed, host: str, reaction: Reaction, done: Callable[[PushAnswer], None]) -> None:
        push.answered_ms = self._world.now_ms
        push.status = 0 if reaction.is_lost else reaction.status
        push.meaning = _meaning(push.status, ANSWERS.get(host, {}))
        self._world.note(f"answer {push.status} for {push.key} attempt {push.attempt}")
        failure = "" if push.status else "timed out"
        done(PushAnswer(push.status, reaction.headers, reaction.body, failure))
