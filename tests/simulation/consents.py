"""Handshakes as targets see them: who asks them, what they agree to, and that nothing comes where nobody had agreed."""

from collections.abc import Callable
from typing import Any

from eventyard.core.handshake import ORIGIN_DEFAULT
from eventyard.core.rule import RuleRecord
from eventyard.ports import PushAnswer, PushRequest
from tests.simulation.books import BrokenPromise
from tests.simulation.ledger import BusLedger
from tests.simulation.world import World

ANSWERS: tuple[tuple[bool, dict[str, str]], ...] = (
    (True, {"webhook-allowed-origin": "*"}),
    (True, {"webhook-allowed-origin": ORIGIN_DEFAULT.upper(), "webhook-allowed-rate": "*"}),
    (True, {"webhook-allowed-origin": ORIGIN_DEFAULT, "webhook-allowed-rate": "30"}),
    (True, {"webhook-allowed-origin": "*", "webhook-allowed-rate": "240"}),
    (False, {}),
    (False, {"allow": "POST, OPTIONS"}),
    (False, {"webhook-allowed-origin": "somebody.else"}),
    (False, {"webhook-allowed-origin": "*", "webhook-allowed-rate": "plenty"}),
    (False, {"webhook-allowed-origin": "*", "webhook-allowed-rate": "0"}),
)
"""Whether it is consent, and the headers."""


class Consents:
    """`given`: by address, the rates that were allowed there (requests a minute, None for any) in answers that the house got."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.given: dict[str, set[int | None]] = {}
        self.is_healed = False

    def ask(self, request: PushRequest, done: Callable[[PushAnswer], None]) -> None:
        _check_question(request)
        rng = self._world.rng
        agrees, headers = ANSWERS[0] if self.is_healed else rng.choice(ANSWERS)
        is_lost = not self.is_healed and rng.random() < 0.2
        self._world.note(f"{request.url} is asked for its consent: {'nothing comes back' if is_lost else headers}")
        status = 0 if is_lost else rng.choice((200, 204, 405, 500))
        self._world.later(rng.choice((0, 200, 4_000)), lambda: self._answer(request.url, status, agrees, headers, done))

    def _answer(self, url: str, status: int, agrees: bool, headers: dict[str, str], done: Callable[[PushAnswer], None]) -> None:
        if agrees and status:
            rate = headers.get("webhook-allowed-rate", "*")
            self.given.setdefault(url, set()).add(None if rate == "*" else int(rate))
        done(PushAnswer(status, headers if status else {}, b"", "" if status else "timed out"))

    def check(self, bus: BusLedger, record: RuleRecord, what: Any) -> None:
        """Something is given out for the rule's target."""
        http = record.rule.target.http
        if http is None or record.uid in bus.edited:
            return
        if http.handshake == "required" and http.url not in self.given:
            bus.fail(f"{what} is pushed to {http.url}, which had to be asked and did not agree")
        heard = record.handshake
        if heard is not None and heard.is_given and heard.rate_per_minute not in self.given.get(heard.url, ()):
            bus.fail(f"{heard.url} is said to allow what it never did: {heard}")


def _check_question(request: PushRequest) -> None:
    """It says who asks, and nothing else of the rule: whoever has not agreed gets no event and no secret."""
    names = {name for name, _ in request.headers}
    if request.body or names - {"webhook-request-origin", "webhook-request-rate"} or request.grant is not None:
        raise BrokenPromise(f"a question for consent says more than it should: {request}")
    if dict(request.headers)["webhook-request-origin"] != ORIGIN_DEFAULT:
        raise BrokenPromise(f"a question for consent is asked in another name: {request}")
